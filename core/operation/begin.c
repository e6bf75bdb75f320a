/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The beginning of an operation: the lock of the record, the record, whether the guest lives; and what has to
 * be put right before anything else may happen: a dead guest is buried, what a killed process left is
 * settled.
 */
#include "operation/operation.h"

#include "base/base.h"
#include "base/error.h"

#include <string.h>

/* A guest whose locks another technology holds cannot be handled by this one. */
static int check_technology(struct gl_operation_run *run, struct guestlock_error *err)
{
	const struct gl_record *record = run->record;
	const char *mine = gl_technology(run->gl);

	for (size_t i = 0; i < record->n_resources; i++) {
		for (size_t k = 0; k < GL_HOLDINGS; k++) {
			const char *theirs = record->resources[i].holdings[k].technology;

			if (theirs[0] && strcmp(theirs, mine) != 0) {
				gl_fail(err, GUESTLOCK_CONFIG, 0,
					"the locks of guest %s are held through backend %s, but backend = %s "
					"is configured: put backend = %s back, or end the guest before the "
					"backend is changed",
					record->uuid, theirs, mine, theirs);
				gl_error_about(err, record->uuid, NULL);
				return GUESTLOCK_CONFIG;
			}
		}
	}
	return GUESTLOCK_OK;
}

static int load(struct gl_operation_run *run, const char *uuid, struct guestlock_error *err)
{
	int status = gl_store_open(&run->gl->store, &run->lock, &run->record, err);

	if (status == GUESTLOCK_NOT_FOUND) {
		run->record = NULL;
		run->life = GUESTLOCK_LIFE_DEAD;
		return GUESTLOCK_OK;
	}
	if (status < 0) {
		return status;
	}
	status = check_technology(run, err);
	if (status < 0) {
		return status;
	}
	gl_run_refresh_owner(run);
	run->life = guestlock_owner_life(&run->owner, gl_life_dir(run->gl));
	/* One that is paused is looked at again and again, and holds nothing. */
	if (run->life == GUESTLOCK_LIFE_UNTETHERED && run->record->state != GUESTLOCK_GUEST_PAUSED) {
		gl_log(run->gl, GUESTLOCK_LOG_WARNING,
		       "guest %s lives (pid %ld) but has lost its tether: its program closed the inherited "
		       "descriptor, or a security module took it; it keeps what it holds and gets no new "
		       "lock until it is restarted",
		       uuid, (long)run->owner.pid);
	}
	return GUESTLOCK_OK;
}

void gl_run_bury(struct gl_operation_run *run)
{
	const struct gl_wish shutdown = {.event = GL_EVENT_SHUTDOWN};
	struct guestlock_error cause = {0};

	run->was_dead = true;
	run->record->state = GUESTLOCK_GUEST_DEAD;
	run->record->op = GL_OP_NONE;
	gl_run_thaw(run);
	gl_log(run->gl, GUESTLOCK_LOG_DEBUG, "guest %s is dead: releasing its locks", run->record->uuid);
	if (gl_run_wish(run, &shutdown, &cause) < 0) {
		gl_log(run->gl, GUESTLOCK_LOG_WARNING,
		       "the locks of the dead guest %s are not all released yet: %s", run->lock.uuid,
		       cause.message);
	}
}

/* The target of a migration that runs already: its source may have completed by now. */
static int claim_again(struct gl_operation_run *run, struct guestlock_error *err)
{
	const struct gl_wish claim = {.event = GL_EVENT_COMPLETE_IN};

	return gl_run_wish(run, &claim, err);
}

/* What was left pending is finished or undone. OK: nothing is pending any more, or only what may stay. */
static int settle_operation(struct gl_operation_run *run, struct guestlock_error *err)
{
	struct gl_record *record = run->record;
	enum gl_operation op = record->op;
	bool single = op == GL_OP_ATTACH || op == GL_OP_DETACH;
	enum gl_event event;
	bool any = false;

	for (size_t i = 0; i < record->n_resources; i++) {
		struct gl_holding *holding = gl_run_holding(run, &record->resources[i]);

		record->resources[i].transient = single && holding && gl_holding_under_way(holding);
		any |= holding && gl_holding_under_way(holding);
	}
	if (op == GL_OP_COMPLETE_IN && record->state == GUESTLOCK_GUEST_RUNNING && !any) {
		return claim_again(run, err);
	}
	gl_run_resolve(run, false, &event, err);
	if (event == GL_EVENT_UNSURE) {
		struct guestlock_error ignored;

		gl_run_outcome(run, event, &ignored);
		return GUESTLOCK_INDETERMINATE;
	}
	gl_log(run->gl, GUESTLOCK_LOG_INFO, "guest %s: the unfinished operation (%s) was %s", run->lock.uuid,
	       gl_operation_name(op), event == GL_EVENT_DONE ? "finished" : "undone");
	return gl_run_outcome(run, event, err);
}

static GL_APART void settle_pending(struct gl_operation_run *run)
{
	struct guestlock_error cause = {0};

	if (settle_operation(run, &cause) < 0) {
		gl_log(run->gl, GUESTLOCK_LOG_WARNING,
		       "an unfinished operation (%s) of guest %s is not settled: %s",
		       gl_operation_name(run->record->op), run->lock.uuid, cause.message);
	}
}

/* Step 2, of what is there. */
static int put_right(struct gl_operation_run *run, const struct gl_life *life, struct guestlock_error *err)
{
	bool meant = !life || gl_life_is(run->gl, life, run->record);

	if (run->life == GUESTLOCK_LIFE_DEAD) {
		gl_run_bury(run);
		/* That another life was dead says nothing of the one that is meant. */
		run->was_dead = run->was_dead && meant;
		return run->record && !meant ? gl_life_replaced(run->record, err) : GUESTLOCK_OK;
	}
	if (!meant) {
		return gl_life_replaced(run->record, err);
	}
	if (run->record->op != GL_OP_NONE) {
		settle_pending(run);
	}
	/* A pause killed before it released anything, or a resume before it continued the guest. */
	gl_run_continue(run);
	gl_run_keep_stopped(run);
	return GUESTLOCK_OK;
}

/*
 * Another configuration may have come in between. If it has left no records, ours is put in its place, by who has no
 * record locked. After a failure none is.
 */
static int lock_record(struct gl_operation_run *run, const char *uuid, struct guestlock_error *err)
{
	struct guestlock *gl = run->gl;
	struct guestlock_error cause = {0};
	int status = gl_store_lock(&gl->store, uuid, run->deadline_ms, &run->lock, err);

	if (status < 0 || gl_is_pinned(gl, run->deadline_ms, &cause) == GUESTLOCK_OK) {
		return status;
	}
	gl_store_unlock(&gl->store, &run->lock);
	status = gl_check_pin(gl, run->deadline_ms, err);
	if (status == GUESTLOCK_OK) {
		status = gl_store_lock(&gl->store, uuid, run->deadline_ms, &run->lock, err);
	}
	if (status == GUESTLOCK_OK) {
		status = gl_is_pinned(gl, run->deadline_ms, err);
		if (status < 0) {
			gl_store_unlock(&gl->store, &run->lock);
		}
	}
	return status;
}

int gl_run_begin(struct gl_operation_run *run, struct guestlock *gl, const char *uuid,
		 const struct gl_life *life, int64_t deadline_ms, struct guestlock_error *err)
{
	int status;

	*run = (struct gl_operation_run){.gl = gl, .lock = GL_GUEST_LOCK_INIT, .deadline_ms = deadline_ms};
	status = gl_ready(gl, deadline_ms, err);
	if (status < 0) {
		return status;
	}
	status = lock_record(run, uuid, err);
	if (status < 0) {
		return status;
	}
	status = load(run, uuid, err);
	if (status == GUESTLOCK_OK && run->record) {
		status = put_right(run, life, err);
	}
	if (status < 0) {
		gl_run_end(run);
	}
	return status;
}
