/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Step 5 of an operation (operation.h): what came of it is applied to the record, which is written or goes. */
#include "operation/operation.h"

#include "life/tether.h"

int gl_run_remove(struct gl_operation_run *run, struct guestlock_error *err)
{
	gl_run_thaw(run);
	for (size_t i = 0; i < run->record->n_resources; i++) {
		gl_unhint_file(run, &run->record->resources[i]);
	}
	gl_unhint_name(run);
	if (!run->record->adopted) {
		gl_tether_remove(&run->owner, gl_life_dir(run->gl));
	}
	int status = gl_store_remove(&run->lock, err);

	if (status < 0) {
		return status;
	}
	gl_record_free(run->record);
	run->record = NULL;
	return GUESTLOCK_OK;
}

/* After a step, what is neither held nor parked goes, unless it waits for its first acquire. */
static void prune(struct gl_operation_run *run, enum gl_operation op)
{
	struct gl_record *record = run->record;
	bool single = op == GL_OP_ATTACH || op == GL_OP_DETACH;

	for (size_t i = record->n_resources; i-- > 0;) {
		struct gl_resource *resource = &record->resources[i];
		struct gl_holding *holding = gl_run_holding(run, resource);
		bool idle = !holding || holding->state == GUESTLOCK_RESOURCE_NONE;
		bool waits = record->state == GUESTLOCK_GUEST_BOUND && !(single && resource->transient) &&
			     !gl_is_side(resource);

		if (idle && !waits) {
			gl_unhint_file(run, resource);
			gl_record_remove_resource(record, i);
		} else {
			resource->transient = false;
		}
	}
}

/*
 * The other end goes on from here, and its taking over moves no epoch. So what this end knows must never
 * let it run again.
 */
static void forget_epochs(struct gl_operation_run *run)
{
	for (size_t i = 0; i < run->record->n_resources; i++) {
		struct gl_holding *holding = gl_run_holding(run, &run->record->resources[i]);

		if (holding) {
			holding->has_epoch = false;
		}
	}
}

int gl_run_outcome(struct gl_operation_run *run, enum gl_event event, struct guestlock_error *err)
{
	struct gl_record *record = run->record;
	enum gl_operation op = record->op;
	const struct gl_row *row = gl_run_row(run, event, false);
	int status;

	if (row->verdict == GL_REJECT) {
		return gl_run_reject(run, row, err);
	}
	if (row->actions & GL_ACT_REMOVE) {
		return gl_run_remove(run, err);
	}
	record->state = row->next == GL_SAME ? record->state : (enum guestlock_guest_state)row->next;
	record->op = row->next_op == GL_SAME ? record->op : (enum gl_operation)row->next_op;
	if (record->state != GUESTLOCK_GUEST_MIGRATING_OUT && record->op == GL_OP_NONE) {
		record->was_paused = false;
	}
	if (record->op == GL_OP_NONE || record->op == GL_OP_COMPLETE_IN) {
		prune(run, op);
	}
	if (op == GL_OP_COMPLETE_OUT && event == GL_EVENT_DONE) {
		record->handed_over = true;
		forget_epochs(run);
	}
	if (record->state == GUESTLOCK_GUEST_RUNNING) {
		record->handed_over = false;
	}
	status = gl_run_save(run, err);
	if (status == GUESTLOCK_OK && (row->actions & GL_ACT_CONTINUE)) {
		gl_run_continue(run);
	}
	return status;
}
