/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A paused guest stays stopped: who looks at it sees to that, and what comes of it where it ran. */
#include "base/error.h"
#include "life/members.h"
#include "operation/operation.h"

static bool are_still(const struct gl_operation_run *run)
{
	const struct gl_membership by = gl_record_membership(&run->owner, run->record);

	return gl_members_are_still(&by);
}

/* Did anybody have exclusively what a paused guest gave up, or has it now? *out_cause says what. */
static bool was_overtaken(struct gl_operation_run *run, struct guestlock_error *out_cause)
{
	const struct gl_wish resume = {.event = GL_EVENT_RESUME, .probe = true};
	int status = gl_run_wish(run, &resume, out_cause);

	return status == GUESTLOCK_STALE || run->record->handed_over ||
	       (status == GUESTLOCK_BUSY && out_cause->holder.mode != GUESTLOCK_MODE_SHARED);
}

/* It is stopped again. What comes of that it ran. */
static void judge_who_ran(struct gl_operation_run *run)
{
	struct guestlock_error cause = {0};

	if (run->record->state == GUESTLOCK_GUEST_PAUSED && was_overtaken(run, &cause)) {
		gl_log(run->gl, GUESTLOCK_LOG_ERROR,
		       "guest %s ran without its locks while it was paused, as somebody else than 'guestlock resume' "
		       "continued it, and another guest had its disks meanwhile%s%s; it is stopped again, and lost: "
		       "check these disks, and end it",
		       run->lock.uuid, cause.message[0] ? ": " : "", cause.message);
		gl_run_outcome(run, GL_EVENT_OVERTAKEN, NULL);
		return;
	}
	gl_log(run->gl, GUESTLOCK_LOG_WARNING,
	       "guest %s ran without its locks: it is %s, and somebody else than 'guestlock resume' continued it; it "
	       "is stopped again. If another guest had its disks meanwhile, check these",
	       run->lock.uuid, guestlock_guest_state_name(run->record->state));
}

void gl_run_keep_stopped(struct gl_operation_run *run)
{
	const struct gl_record *record = run->record;
	struct guestlock_error cause = {0};

	if (!record || (record->state != GUESTLOCK_GUEST_PAUSED && record->state != GUESTLOCK_GUEST_LOST) ||
	    record->op != GL_OP_NONE || !record->stopped || are_still(run)) {
		return;
	}
	/* Who continues it wants nobody of it to stand. */
	if (record->stood) {
		gl_record_take_string(run->record, &run->record->stood, NULL);
		gl_run_save(run, NULL);
	}
	if (gl_run_stop(run, &cause) < 0) {
		gl_log(run->gl, GUESTLOCK_LOG_ERROR,
		       "guest %s runs without its locks: it is %s, somebody continued it, and it cannot be stopped "
		       "again: %s",
		       run->lock.uuid, guestlock_guest_state_name(record->state), cause.message);
		return;
	}
	judge_who_ran(run);
}
