/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A wish from its intent to its outcome: which resources it concerns, what is asked of the backend, what
 * came of it.
 */
#include "base/base.h"
#include "base/error.h"
#include "operation/loss.h"
#include "operation/operation.h"

#include <string.h>

/* Either end of a migration, that holds nothing yet. */
static bool is_for_handover(const struct gl_operation_run *run, const struct gl_wish *wish)
{
	return wish->event == GL_EVENT_PREPARE ||
	       (run->record->migrate && run->record->state == GUESTLOCK_GUEST_BOUND);
}

static enum gl_resource_event resource_event(const struct gl_operation_run *run, const struct gl_wish *wish,
					     unsigned actions, const struct gl_resource *resource)
{
	bool exclusive =
		gl_resource_mode(run->gl, resource) == GUESTLOCK_MODE_EXCLUSIVE && !gl_is_side(resource);

	switch (actions & GL_ACTS_ON_RESOURCES) {
	case GL_ACT_TAKE:
		return exclusive && is_for_handover(run, wish) ? GL_RES_RECEIVE : GL_RES_TAKE;
	case GL_ACT_PARK:
		return GL_RES_PARK;
	case GL_ACT_DROP:
		return GL_RES_DROP;
	case GL_ACT_HAND:
		/* Shared goes with shared: nothing to hand over. */
		return exclusive ? GL_RES_HAND : GL_RES_EVENTS;
	case GL_ACT_CLAIM:
		return GL_RES_CLAIM;
	default:
		return GL_RES_EVENTS;
	}
}

static enum guestlock_mode wanted_mode(const struct guestlock *gl, const struct gl_resource *resource,
				       const struct gl_holding *holding)
{
	return holding->to == GUESTLOCK_RESOURCE_HANDOVER ? GUESTLOCK_MODE_HANDOVER
							  : gl_resource_mode(gl, resource);
}

/* UNPROVEN is an error only where the configuration is strict. */
static int unproven(const struct gl_operation_run *run, const struct gl_resource *resource, const char *why,
		    struct guestlock_error *err)
{
	GL_AUTOFREE char *words = gl_resource_words(resource);

	if (!run->gl->resume_strict) {
		gl_log(run->gl, GUESTLOCK_LOG_WARNING,
		       "resuming guest %s although it cannot be shown that nobody wrote %s: %s",
		       run->lock.uuid, words ? words : "a resource", why);
		return GUESTLOCK_OK;
	}
	gl_fail(err, GUESTLOCK_UNPROVEN, 0,
		"cannot resume guest %s: it cannot be shown that nobody else wrote %s meanwhile (%s); check "
		"the disk, then start the guest anew, or set resume_check = off for this one resume",
		run->lock.uuid, words ? words : "a resource", why);
	gl_error_about(err, run->lock.uuid, resource->name);
	return GUESTLOCK_UNPROVEN;
}

/* Which epoch, if any, the key must still have. */
static int expect_epoch(const struct gl_operation_run *run, const struct gl_wish *wish,
			const struct gl_resource *resource, const struct gl_holding *holding,
			struct guestlock_item *item, struct guestlock_error *err)
{
	const struct gl_state_entry *entry = wish->state ? gl_state_find(wish->state, resource->key) : NULL;
	bool parked = holding->from == GUESTLOCK_RESOURCE_PARKED;

	/* Who wrote need not know that somebody read. */
	if (wish->unchecked || (!entry && !parked) || resource->writers || resource->passing) {
		return GUESTLOCK_OK;
	}
	/* A parked lock without an epoch was given up for good, to the other end of a migration. */
	if (!gl_can(run->gl, GUESTLOCK_CAP_EPOCH) || (parked && !holding->has_epoch) ||
	    (entry && !entry->has_epoch)) {
		return unproven(run, resource, "its epoch is not known", err);
	}
	item->check_epoch = true;
	item->expected_epoch = entry ? entry->epoch : holding->epoch;
	return GUESTLOCK_OK;
}

/* Sets the resources that the row's actions concern under way, and collects them. */
static int collect_resources(struct gl_operation_run *run, const struct gl_wish *wish, unsigned actions,
			     struct gl_batch *batch, enum gl_request *out_request,
			     struct guestlock_error *err)
{
	struct gl_record *record = run->record;

	*out_request = GL_REQUEST_NOTHING;
	if (gl_batch_init(batch, record->n_resources) < 0) {
		return gl_fail_memory(err);
	}
	for (size_t i = 0; i < record->n_resources; i++) {
		struct gl_resource *resource = &record->resources[i];
		enum gl_resource_event event = resource_event(run, wish, actions, resource);
		struct gl_holding *holding = gl_run_holding(run, resource);
		const struct gl_resource_row *row;
		int status = GUESTLOCK_OK;

		if (!holding || event == GL_RES_EVENTS || !gl_run_is_concerned(run, wish, resource)) {
			continue;
		}
		row = gl_resource_step(holding->state, event);
		if (row->verdict != GL_GO) {
			continue;
		}
		batch->uncertain |= gl_holding_under_way(holding);
		gl_run_step_resource(run, resource, event);
		resource->transient = wish->only_key != NULL;
		holding->mode = gl_resource_mode(run->gl, resource);
		*out_request = row->request;
		gl_batch_add(batch, resource, wanted_mode(run->gl, resource, holding));
		if (row->request == GL_REQUEST_ACQUIRE) {
			status = expect_epoch(run, wish, resource, holding, &batch->items[batch->count - 1],
					      err);
		}
		if (status < 0) {
			return status;
		}
	}
	return GUESTLOCK_OK;
}

static void step_batch(struct gl_operation_run *run, struct gl_batch *batch, enum gl_resource_event event)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct gl_holding *holding;

		/* What was passed is not held. */
		gl_run_step_resource(run, batch->resources[i],
				     batch->resources[i]->passing && event == GL_RES_DONE ? GL_RES_UNDONE
											  : event);
		holding = gl_run_holding(run, batch->resources[i]);
		if (holding && event == GL_RES_DONE && batch->items[i].has_epoch) {
			holding->has_epoch = true;
			holding->epoch = batch->items[i].epoch;
		}
	}
}

/* Hints go with the resource, not with its lock: what has one already needs none. */
static int enter_hint(struct gl_operation_run *run, struct gl_resource *resource, struct guestlock_error *err)
{
	int status = resource->unhinted ? gl_hint_file(run, resource, err) : GUESTLOCK_OK;

	/* The outcome is written with that. */
	resource->unhinted &= status < 0;
	return status;
}

/*
 * Where the backend cannot tell whether an epoch has moved, the configuration decides. false: that is an
 * error; true: those items are not checked any more.
 */
static bool accept_unproven(struct gl_operation_run *run, struct gl_batch *batch, struct guestlock_error *err)
{
	bool any = false;

	/* Backwards, as the lock of the guest itself comes first and says less to people than a disk. */
	for (size_t i = batch->count; i-- > 0;) {
		struct guestlock_item *item = &batch->items[i];

		if (item->result != GUESTLOCK_RES_UNPROVEN || !item->check_epoch) {
			continue;
		}
		if (unproven(run, batch->resources[i], "somebody had its lock since, or its epoch is lost",
			     err) < 0) {
			return false;
		}
		item->check_epoch = false;
		*err = (struct guestlock_error){0};
		any = true;
	}
	return any;
}

static enum guestlock_result acquire(struct gl_operation_run *run, unsigned flags, struct gl_batch *batch,
				     struct guestlock_error *err)
{
	int64_t passing_until = gl_run_passing_deadline(run);
	enum guestlock_result result;
	unsigned attempt = 0;

	batch->loss_action = gl_loss_action(run);
	do {
		result = gl_call(run->gl, GL_CALL_ACQUIRE, &run->owner, batch, flags, run->deadline_ms, err);
	} while ((result == GUESTLOCK_RES_UNPROVEN && accept_unproven(run, batch, err)) ||
		 (result == GUESTLOCK_RES_BUSY && gl_run_is_passed(batch, attempt++, passing_until)));
	return result == GUESTLOCK_RES_GRANTED && !(flags & GUESTLOCK_BATCH_PROBE)
		       ? gl_run_leave_sides(run, batch, err)
		       : result;
}

static enum guestlock_result request(struct gl_operation_run *run, enum gl_request what, unsigned actions,
				     struct gl_batch *batch, struct guestlock_error *err)
{
	unsigned flags =
		(actions & GL_ACT_PARK ? GUESTLOCK_BATCH_PARK : 0) | gl_convert_flags(run->record->op);

	switch (what) {
	case GL_REQUEST_ACQUIRE:
		for (size_t i = 0; i < batch->count; i++) {
			int status = enter_hint(run, batch->resources[i], err);

			if (status < 0) {
				return status == GUESTLOCK_BUSY || status == GUESTLOCK_ALIASED
					       ? GUESTLOCK_RES_BUSY
					       : GUESTLOCK_RES_IO;
			}
		}
		return acquire(run, flags, batch, err);
	case GL_REQUEST_RELEASE:
		flags |= run->gl->losing ? GUESTLOCK_BATCH_LOSING : 0;
		return gl_call(run->gl, GL_CALL_RELEASE, &run->owner, batch, flags, run->deadline_ms, err);
	case GL_REQUEST_CONVERT:
		return gl_call(run->gl, GL_CALL_CONVERT, &run->owner, batch, flags, run->deadline_ms, err);
	case GL_REQUEST_NOTHING:
		break;
	}
	return GUESTLOCK_RES_GRANTED;
}

/* The other end of the migration still holds: that is what a completing target waits for. */
static bool waits_for_source(const struct gl_operation_run *run, const struct guestlock_error *cause)
{
	return run->record->op == GL_OP_COMPLETE_IN && cause->code == GUESTLOCK_BUSY &&
	       strcmp(cause->holder.uuid, run->record->uuid) == 0;
}

/* The outcome of the backend's call, with the resources stepped accordingly. */
static enum gl_event judge_answer(struct gl_operation_run *run, struct gl_batch *batch, enum gl_request what,
				  enum guestlock_result result, struct guestlock_error *cause)
{
	enum gl_event event = GL_EVENT_REFUSED;
	bool partial = false;

	if (result == GUESTLOCK_RES_GRANTED) {
		step_batch(run, batch, GL_RES_DONE);
		return GL_EVENT_DONE;
	}
	/* A release is no transaction: what went is gone, and the rest must follow. */
	for (size_t i = 0; i < batch->count && what == GL_REQUEST_RELEASE; i++) {
		partial |= batch->items[i].result == GUESTLOCK_RES_GRANTED;
	}
	if (result == GUESTLOCK_RES_INFLIGHT || partial || batch->uncertain) {
		gl_run_resolve(run, true, &event, cause);
		return event;
	}
	step_batch(run, batch, GL_RES_UNDONE);
	return waits_for_source(run, cause) ? GL_EVENT_DONE : GL_EVENT_REFUSED;
}

/* The backend misses the guest's process. Whether it is dead, its life tells. */
static void look_again(struct gl_operation_run *run, struct guestlock_error *cause)
{
	run->life = gl_record_life(run->gl, run->record);
	/* Who watches over it may not have noticed yet that it has ended. */
	if (run->life != GUESTLOCK_LIFE_DEAD &&
	    !(run->life == GUESTLOCK_LIFE_UNTETHERED && gl_run_is_empty(run))) {
		cause->code = GUESTLOCK_UNTETHERED;
	}
}

static int carry_out(struct gl_operation_run *run, const struct gl_row *row, struct gl_batch *batch,
		     enum gl_request what, struct guestlock_error *err)
{
	struct guestlock_error cause = {0};
	enum gl_operation before = run->record->op;
	enum guestlock_result result;
	enum gl_event event;
	int status;

	run->record->op = (enum gl_operation)row->next_op;
	if (what == GL_REQUEST_NOTHING) {
		return gl_run_outcome(run, GL_EVENT_DONE, err);
	}
	status = gl_run_save(run, err);
	if (status < 0) {
		step_batch(run, batch, GL_RES_UNDONE);
		run->record->op = before;
		return status;
	}
	result = request(run, what, row->actions, batch, &cause);
	event = judge_answer(run, batch, what, result, &cause);
	if (event == GL_EVENT_DONE) {
		/* The outcome could not be written: what was done is found and settled under the intent. */
		return gl_run_outcome(run, event, err);
	}
	if (result == GUESTLOCK_RES_DEAD) {
		look_again(run, &cause);
	}
	gl_error_pass(err, &cause);
	gl_error_about(err, run->lock.uuid, NULL);
	if (event == GL_EVENT_UNSURE && cause.code != GUESTLOCK_INDETERMINATE && err) {
		err->code = GUESTLOCK_INDETERMINATE;
	}
	gl_run_outcome(run, event, NULL);
	return event == GL_EVENT_UNSURE ? GUESTLOCK_INDETERMINATE : cause.code;
}

/* Judges an acquire without taking; the record is not written. */
static int probe_only(struct gl_operation_run *run, struct gl_batch *batch, struct guestlock_error *err)
{
	struct guestlock_error cause = {0};
	int status = GUESTLOCK_OK;

	for (size_t i = 0; i < batch->count && status == GUESTLOCK_OK; i++) {
		status = gl_probe_file(run, batch->resources[i], &cause);
	}
	if (status == GUESTLOCK_OK &&
	    acquire(run, GUESTLOCK_BATCH_PROBE, batch, &cause) != GUESTLOCK_RES_GRANTED) {
		status = (int)cause.code;
	}
	step_batch(run, batch, GL_RES_UNDONE);
	if (status < 0) {
		gl_error_pass(err, &cause);
		gl_error_about(err, run->lock.uuid, NULL);
	}
	return status;
}

static int check_tether(const struct gl_operation_run *run, struct guestlock_error *err)
{
	if (run->life != GUESTLOCK_LIFE_UNTETHERED) {
		return GUESTLOCK_OK;
	}
	gl_fail(err, GUESTLOCK_UNTETHERED, 0,
		"guest %s gets no new lock: it lives (pid %ld) but its tether, the descriptor by which its "
		"life is known, is closed; let its program keep inherited descriptors and its security "
		"profile allow them, then restart it",
		run->lock.uuid, (long)run->owner.pid);
	gl_error_about(err, run->lock.uuid, NULL);
	return GUESTLOCK_UNTETHERED;
}

/* Who has closed the inherited descriptor may have left others, of whom nobody knows. */
static int check_known(const struct gl_operation_run *run, struct guestlock_error *err)
{
	if (run->life != GUESTLOCK_LIFE_UNTETHERED) {
		return GUESTLOCK_OK;
	}
	/* Who watches over it may not have noticed yet that it has ended. */
	if (gl_run_is_empty(run)) {
		return gl_fail(err, GUESTLOCK_DEAD, 0, "cannot pause guest %s: it has just ended",
			       run->lock.uuid);
	}
	gl_fail(err, GUESTLOCK_UNTETHERED, 0,
		"cannot pause guest %s: it lives (pid %ld) but its tether, the descriptor by which its processes "
		"are known, is closed, and the locks of a guest that may write are not released; stop it "
		"yourself and say that it is stopped",
		run->lock.uuid, (long)run->owner.pid);
	gl_error_about(err, run->lock.uuid, NULL);
	return GUESTLOCK_UNTETHERED;
}

/* What must be true of the guest before its locks change. */
static int prepare_guest(struct gl_operation_run *run, const struct gl_wish *wish, unsigned actions,
			 struct guestlock_error *err)
{
	int status = GUESTLOCK_OK;

	if (actions & GL_ACT_TETHER) {
		status = check_tether(run, err);
	}
	if (status == GUESTLOCK_OK && (actions & GL_ACT_STOP) && !wish->stopped) {
		status = check_known(run, err);
		if (status == GUESTLOCK_OK) {
			status = gl_run_stop(run, err);
		}
	}
	if (status == GUESTLOCK_OK && (actions & GL_ACT_STOP) && !wish->flushed) {
		status = gl_run_flush(run, err);
		if (status < 0) {
			gl_run_continue(run);
		}
	}
	return status;
}

int gl_run_wish(struct gl_operation_run *run, const struct gl_wish *wish, struct guestlock_error *err)
{
	const struct gl_row *row = gl_run_row(run, wish->event, wish->force);
	struct gl_resource was = {0};
	struct gl_batch batch = {0};
	enum gl_request what;
	int status;

	if (row->verdict == GL_IGNORE) {
		return GUESTLOCK_OK;
	}
	if (row->verdict == GL_REJECT) {
		return gl_run_reject(run, row, err);
	}
	status = prepare_guest(run, wish, row->actions, err);
	if (status == GUESTLOCK_OK) {
		status = gl_run_hint_held(run, wish, err);
	}
	if (status < 0) {
		return status;
	}
	status = gl_run_add_sides(run, wish, row->actions, err);
	if (status < 0) {
		return status;
	}
	status = collect_resources(run, wish, row->actions, &batch, &what, err);
	if (status < 0) {
		step_batch(run, &batch, GL_RES_UNDONE);
	} else if (wish->probe) {
		status = probe_only(run, &batch, err);
	} else {
		gl_run_keep_whole(run, wish, &was);
		status = carry_out(run, row, &batch, what, err);
	}
	if (status == GUESTLOCK_OK) {
		gl_unhint_file(run, &was);
	}
	gl_batch_free(&batch);
	if (status < 0 && (row->actions & GL_ACT_STOP)) {
		gl_run_continue(run);
	}
	return status;
}
