/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a killed process, or a backend that did not answer, left under way: ask the backend what is really
 * held, then finish or undo. Every request is idempotent, so that a settling that is killed itself is
 * settled by the next.
 */
#include "base/base.h"
#include "base/error.h"
#include "operation/operation.h"

#include <string.h>

static int collect_under_way(struct gl_operation_run *run, struct gl_batch *batch)
{
	struct gl_record *record = run->record;

	if (gl_batch_init(batch, record->n_resources) < 0) {
		return -1;
	}
	for (size_t i = 0; i < record->n_resources; i++) {
		struct gl_holding *holding = gl_run_holding(run, &record->resources[i]);

		if (holding && gl_holding_under_way(holding)) {
			gl_batch_add(batch, &record->resources[i], GUESTLOCK_MODE_NONE);
		}
	}
	return 0;
}

static struct gl_holding *holding_of(const struct gl_operation_run *run, const struct gl_batch *batch,
				     size_t i)
{
	return gl_run_holding(run, batch->resources[i]);
}

static void step_all(struct gl_operation_run *run, struct gl_batch *batch, enum gl_resource_event event)
{
	for (size_t i = 0; i < batch->count; i++) {
		bool passed = batch->resources[i]->passing && event == GL_RES_DONE;

		gl_run_step_resource(run, batch->resources[i], passed ? GL_RES_UNDONE : event);
	}
}

/* Asks until everything is known or the time is up. A damaged entry is not asked twice: it stays damaged. */
static bool inquire_under_way(struct gl_operation_run *run, struct gl_batch *batch,
			      struct guestlock_error *cause)
{
	for (unsigned attempt = 0;; attempt++) {
		enum guestlock_result result =
			gl_call(run->gl, GL_CALL_INQUIRE, &run->owner, batch, 0, run->deadline_ms, cause);
		bool known = result == GUESTLOCK_RES_GRANTED;

		for (size_t i = 0; i < batch->count && known; i++) {
			known = batch->items[i].result != GUESTLOCK_RES_UNKNOWN;
		}
		if (known) {
			return true;
		}
		if (result != GUESTLOCK_RES_INFLIGHT ||
		    !gl_pause_before_retry(attempt, 100, run->deadline_ms)) {
			return false;
		}
	}
}

static enum guestlock_mode mode_of_state(const struct gl_operation_run *run,
					 const struct gl_resource *resource,
					 enum guestlock_resource_state state)
{
	switch (state) {
	case GUESTLOCK_RESOURCE_HELD:
		return gl_resource_mode(run->gl, resource);
	case GUESTLOCK_RESOURCE_HANDOVER:
		return GUESTLOCK_MODE_HANDOVER;
	default:
		return GUESTLOCK_MODE_NONE;
	}
}

/* Everything was taken as wanted, though nobody said so. */
static bool all_taken(const struct gl_operation_run *run, const struct gl_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		const struct guestlock_item *item = &batch->items[i];

		if (item->result != GUESTLOCK_RES_HELD || !item->has_epoch ||
		    item->held_mode !=
			    mode_of_state(run, batch->resources[i], holding_of(run, batch, i)->to)) {
			return false;
		}
	}
	return true;
}

static void note_epochs(const struct gl_operation_run *run, const struct gl_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct gl_holding *holding = holding_of(run, batch, i);

		holding->has_epoch = batch->items[i].has_epoch;
		holding->epoch = batch->items[i].epoch;
	}
}

/*
 * Sets the modes that the resources go to (or come from), and tells whether they are converted or released.
 */
static enum gl_call_type aim(struct gl_operation_run *run, struct gl_batch *batch, bool forward)
{
	enum gl_call_type type = GL_CALL_RELEASE;

	for (size_t i = 0; i < batch->count; i++) {
		const struct gl_holding *holding = holding_of(run, batch, i);

		batch->items[i].mode =
			mode_of_state(run, batch->resources[i], forward ? holding->to : holding->from);
		if (batch->items[i].mode != GUESTLOCK_MODE_NONE) {
			type = GL_CALL_CONVERT;
		}
	}
	return type;
}

unsigned gl_convert_flags(enum gl_operation op)
{
	return op == GL_OP_COMPLETE_IN ? GUESTLOCK_BATCH_TAKE_OVER : 0;
}

static unsigned call_flags(const struct gl_record *record, bool forward)
{
	bool waits = record->state == GUESTLOCK_GUEST_BOUND && record->op == GL_OP_ACQUIRE;
	bool was_parked = record->op == GL_OP_RESUME || record->op == GL_OP_PREPARE;

	if (forward) {
		return record->op == GL_OP_PAUSE || record->op == GL_OP_COMPLETE_OUT
			       ? GUESTLOCK_BATCH_PARK
			       : gl_convert_flags(record->op);
	}
	return GUESTLOCK_BATCH_UNDO | (waits || was_parked ? GUESTLOCK_BATCH_PARK : 0);
}

/* The other end of the guest's migration is in the way. */
static bool is_other_end(const struct gl_operation_run *run, enum guestlock_result result,
			 const struct guestlock_error *cause)
{
	return result == GUESTLOCK_RES_BUSY && strcmp(cause->holder.uuid, run->record->uuid) == 0;
}

static enum gl_event finish_operation(struct gl_operation_run *run, struct gl_batch *batch,
				      struct guestlock_error *err)
{
	struct guestlock_error cause = {0};
	enum gl_call_type type = aim(run, batch, true);
	enum guestlock_result result = gl_call(run->gl, type, &run->owner, batch,
					       call_flags(run->record, true), run->deadline_ms, &cause);

	if (result == GUESTLOCK_RES_GRANTED) {
		/* A take-over has moved the epochs; what was released keeps those that it had. */
		if (type == GL_CALL_CONVERT) {
			note_epochs(run, batch);
		}
		step_all(run, batch, GL_RES_DONE);
		return GL_EVENT_DONE;
	}
	gl_error_pass(err, &cause);
	if (type == GL_CALL_RELEASE || result == GUESTLOCK_RES_INFLIGHT) {
		step_all(run, batch, GL_RES_UNSURE);
		return GL_EVENT_UNSURE;
	}
	/* A failed conversion keeps the old mode; a target that waits for its source may run in it. */
	step_all(run, batch, GL_RES_UNDONE);
	return run->record->op == GL_OP_COMPLETE_IN && is_other_end(run, result, &cause) ? GL_EVENT_DONE
											 : GL_EVENT_REFUSED;
}

static enum gl_event undo_operation(struct gl_operation_run *run, struct gl_batch *batch,
				    struct guestlock_error *err)
{
	struct guestlock_error cause = {0};
	enum gl_call_type type = aim(run, batch, false);
	enum guestlock_result result = gl_call(run->gl, type, &run->owner, batch,
					       call_flags(run->record, false), run->deadline_ms, &cause);

	/* Too late to take back what was prepared: the target is there already. */
	if (type == GL_CALL_CONVERT && is_other_end(run, result, &cause)) {
		return finish_operation(run, batch, err);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		gl_error_pass(err, &cause);
		step_all(run, batch, GL_RES_UNSURE);
		return GL_EVENT_UNSURE;
	}
	step_all(run, batch, GL_RES_UNDONE);
	gl_fail(err, GUESTLOCK_TIMEOUT, 0,
		"%s of guest %s: the backend did not say in time what it did; it was asked again, and what "
		"it had taken was given back: try again",
		gl_operation_name(run->record->op), run->record->uuid);
	return GL_EVENT_REFUSED;
}

void gl_run_resolve(struct gl_operation_run *run, bool finish_taken, enum gl_event *out_event,
		    struct guestlock_error *err)
{
	struct guestlock_error cause = {0};
	struct gl_batch batch;

	*out_event = GL_EVENT_UNSURE;
	if (collect_under_way(run, &batch) < 0) {
		gl_fail_memory(err);
		return;
	}
	if (batch.count > 0 && !inquire_under_way(run, &batch, &cause)) {
		step_all(run, &batch, GL_RES_UNSURE);
		gl_fail(err, GUESTLOCK_INDETERMINATE, cause.sys_errno,
			"%s of guest %s: it is not known what the backend did%s%s%s",
			gl_operation_name(run->record->op), run->record->uuid, cause.message[0] ? ": " : "",
			cause.message,
			/* One that is dead does not run, and what it held is nobody's until then. */
			run->life == GUESTLOCK_LIFE_DEAD
				? ""
				: "; the guest must not run until this is settled: try again, or run guestlock reap");
	} else if (finish_taken && !gl_operation_finishes(run->record->op) && all_taken(run, &batch) &&
		   gl_run_leave_sides(run, &batch, &cause) == GUESTLOCK_RES_GRANTED) {
		note_epochs(run, &batch);
		step_all(run, &batch, GL_RES_DONE);
		*out_event = GL_EVENT_DONE;
	} else if (gl_operation_finishes(run->record->op)) {
		*out_event = finish_operation(run, &batch, err);
	} else {
		*out_event = undo_operation(run, &batch, err);
	}
	gl_batch_free(&batch);
}
