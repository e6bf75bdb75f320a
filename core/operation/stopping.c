/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stopping a guest so that it cannot write for certain, and letting it go on. */
#include "operation/operation.h"

#include "base/base.h"
#include "base/error.h"
#include "disk/flush.h"
#include "life/cgroup.h"
#include "life/freezer.h"
#include "life/members.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* " (pid 12, qemu)", or "". */
static void culprit_words(const struct gl_culprit *culprit, char *out, size_t size)
{
	if (culprit->pid) {
		snprintf(out, size, " (pid %ld%s%s)", (long)culprit->pid, culprit->program[0] ? ", " : "",
			 culprit->program);
	} else {
		out[0] = '\0';
	}
}

/* ---- Its control group ---- */

/*
 * What was stopped is frozen as well, where that is possible, so that nobody else's SIGCONT continues it. That we are
 * going to is recorded first.
 */
static void freeze(struct gl_operation_run *run)
{
	const struct gl_membership by = gl_record_membership(&run->owner, run->record);
	const char *before = run->record->frozen;
	char *cgroup = gl_freezer_find(&by);

	if (!cgroup || (before && strcmp(before, cgroup) != 0 && gl_freezer_thaw(before) < 0)) {
		free(cgroup);
		return;
	}
	gl_record_take_string(run->record, &run->record->frozen, cgroup);
	if ((gl_run_save(run, NULL) < 0 || gl_freezer_freeze(cgroup, run->deadline_ms) < 0) &&
	    gl_freezer_thaw(cgroup) == 0) {
		gl_record_take_string(run->record, &run->record->frozen, NULL);
	}
}

static int thaw(struct gl_operation_run *run)
{
	if (run->record->frozen && gl_freezer_thaw(run->record->frozen) < 0) {
		return -1;
	}
	gl_record_take_string(run->record, &run->record->frozen, NULL);
	return 0;
}

void gl_run_thaw(struct gl_operation_run *run)
{
	const struct gl_membership by = gl_record_membership(&run->owner, run->record);
	struct gl_culprit ignored;
	size_t count;

	if (!run->record->frozen) {
		return;
	}
	/* Somebody's SIGCONT may have come meanwhile. */
	gl_members_stop(&by, run->deadline_ms, &count, &ignored);
	if (thaw(run) < 0) {
		gl_log(run->gl, GUESTLOCK_LOG_WARNING,
		       "the control group of guest %s stays frozen (%s): %s; write 0 to its cgroup.freeze",
		       run->lock.uuid, run->record->frozen, strerror(errno));
	}
}

/* Somebody else froze it, or what it is in: that is left to him. */
static void say_frozen(const struct gl_operation_run *run)
{
	if (run->owner.pid_ns == gl_pid_namespace() && gl_thread_is_frozen(run->owner.pid, 0)) {
		gl_log(run->gl, GUESTLOCK_LOG_WARNING,
		       "guest %s may run, but its control group is frozen, by somebody else than guestlock: it goes on "
		       "when that is thawed (0 in cgroup.freeze)",
		       run->lock.uuid);
	}
}

/* ---- Stopping and continuing ---- */

/* Whoever looks at it next tries again, as long as not everybody goes on. */
static void let_go_on(struct gl_operation_run *run)
{
	const struct gl_membership by = gl_record_membership(&run->owner, run->record);
	struct guestlock_error cause = {0};
	struct gl_culprit culprit;
	char who[64];

	if (thaw(run) < 0) {
		gl_log(run->gl, GUESTLOCK_LOG_WARNING,
		       "guest %s may run, but its control group could not be thawed (%s): %s; write 0 to its "
		       "cgroup.freeze, or as a user who may: 'guestlock resume %s'",
		       run->lock.uuid, run->record->frozen, strerror(errno), run->lock.uuid);
		return;
	}
	if (gl_members_continue(&by, &culprit) < 0) {
		int why = errno;

		if (why == ESRCH && gl_record_life(run->gl, run->record) == GUESTLOCK_LIFE_DEAD) {
			return;
		}
		culprit_words(&culprit, who, sizeof(who));
		gl_log(run->gl, GUESTLOCK_LOG_WARNING,
		       "guest %s may run, but could not be continued%s: %s; continue it with 'kill -CONT', or "
		       "as a user who may: 'guestlock resume %s'",
		       run->lock.uuid, who,
		       why == ESRCH ? "none of its processes can be seen from here" : strerror(why),
		       run->lock.uuid);
		return;
	}
	if (run->record->halted && gl_run_unhalt(run, &cause) < 0) {
		gl_log(run->gl, GUESTLOCK_LOG_WARNING,
		       "guest %s may run, but could not be continued: %s; continue it with the command \"cont\" of its "
		       "monitor, or try again: 'guestlock resume %s'",
		       run->lock.uuid, cause.message, run->lock.uuid);
		return;
	}
	say_frozen(run);
	run->record->stopped = false;
	gl_record_take_string(run->record, &run->record->stood, NULL);
	if (gl_run_save(run, &cause) < 0) {
		gl_log(run->gl, GUESTLOCK_LOG_WARNING,
		       "guest %s runs on, but its record still says that it is stopped: %s", run->lock.uuid,
		       cause.message);
	}
}

void gl_run_continue(struct gl_operation_run *run)
{
	const struct gl_record *record = run->record;

	if (record && record->stopped && record->op == GL_OP_NONE &&
	    record->state == GUESTLOCK_GUEST_RUNNING) {
		let_go_on(run);
	}
}

bool gl_run_is_empty(const struct gl_operation_run *run)
{
	const struct gl_membership by = gl_record_membership(&run->owner, run->record);
	GL_AUTOFREE pid_t *pids = NULL;
	size_t count;

	return gl_members_find(&by, &pids, &count) == 0 && count == 0;
}

static int cannot_stop(struct gl_operation_run *run, int why, const struct gl_culprit *culprit,
		       struct guestlock_error *err)
{
	struct guestlock_error local;
	char who[64];

	if (!err) {
		err = &local;
	}
	culprit_words(culprit, who, sizeof(who));
	gl_fail(err,
		why == EPERM || why == EDEADLK ? GUESTLOCK_DENIED
		: why == EOPNOTSUPP            ? GUESTLOCK_UNSUPPORTED
		: why == ETIMEDOUT             ? GUESTLOCK_TIMEOUT
					       : GUESTLOCK_FAILED,
		why,
		"cannot pause guest %s: not all of its processes could be stopped%s: %s; the locks of a guest "
		"that may write are not released: stop it yourself and say that it is stopped",
		run->lock.uuid, who,
		why == 0 ? "none of them can be seen from here"
		: why == ETIMEDOUT
			? "they did not stop in time, as one that waits for its storage, or that a debugger holds, does not"
		: why == EPERM   ? "one that has its tether runs as another user, or may not be signalled"
		: why == EDEADLK ? "the one that asks is among them"
		: why == EOPNOTSUPP
			? "they cannot be seen from this pid namespace, or /proc is that of another one"
			: strerror(why));
	gl_error_about(err, run->lock.uuid, NULL);
	return (int)err->code;
}

static int just_ended(const struct gl_operation_run *run, struct guestlock_error *err)
{
	return gl_fail(err, GUESTLOCK_DEAD, 0, "cannot pause guest %s: it has just ended", run->lock.uuid);
}

/* Its monitor first. What ends while it is asked is not answered. */
static int halt(struct gl_operation_run *run, struct guestlock_error *err)
{
	struct guestlock_error cause = {0};
	int status = gl_run_has_to_halt(run) ? gl_run_halt(run, &cause) : GUESTLOCK_OK;

	if (status == GUESTLOCK_OK) {
		return status;
	}
	run->life = gl_record_life(run->gl, run->record);
	if (run->life == GUESTLOCK_LIFE_DEAD ||
	    (run->life == GUESTLOCK_LIFE_UNTETHERED && gl_run_is_empty(run))) {
		return just_ended(run, err);
	}
	gl_run_continue(run);
	gl_error_pass(err, &cause);
	return status;
}

/* That we are going to stop it is recorded first, and who stood already: whoever comes after us can take back what we did. */
static int record_stopped(struct gl_operation_run *run, struct guestlock_error *err)
{
	const struct gl_membership by = gl_record_membership(&run->owner, run->record);

	if (run->record->stopped) {
		return GUESTLOCK_OK;
	}
	gl_record_take_string(run->record, &run->record->stood, gl_members_stood(&by));
	run->record->stopped = true;
	return gl_run_save(run, err);
}

int gl_run_stop(struct gl_operation_run *run, struct guestlock_error *err)
{
	const struct gl_membership by = gl_record_membership(&run->owner, run->record);
	struct gl_culprit culprit = {.pid = 0};
	bool before = run->record->stopped;
	size_t stopped;
	int status = halt(run, err);
	int why = 0;

	if (status == GUESTLOCK_OK) {
		status = record_stopped(run, err);
	}
	if (status < 0) {
		return status;
	}
	if (gl_members_stop(&by, run->deadline_ms, &stopped, &culprit) < 0) {
		why = errno;
	} else if (stopped > 0) {
		freeze(run);
		return GUESTLOCK_OK;
	} else {
		run->life = gl_record_life(run->gl, run->record);
		/* Who watches over it may not have noticed yet. */
		if (run->life == GUESTLOCK_LIFE_DEAD || run->life == GUESTLOCK_LIFE_UNTETHERED) {
			return just_ended(run, err);
		}
	}
	status = cannot_stop(run, why, &culprit, err);
	if (why == EOPNOTSUPP || why == 0) {
		/* Nobody was stopped, unless by the monitor. */
		run->record->stopped =
			before || (run->record->halted && gl_run_unhalt(run, NULL) != GUESTLOCK_OK);
		gl_run_save(run, NULL);
	} else {
		gl_run_continue(run);
	}
	return status;
}

/* ---- What it wrote ---- */

static int cannot_flush(struct gl_operation_run *run, int why, const char *path, struct guestlock_error *err)
{
	GL_AUTOFREE char *printable = gl_printable(path);
	int status = why == ETIMEDOUT ? GUESTLOCK_TIMEOUT : gl_status_of_errno(why);

	gl_fail(err, status, why,
		"cannot pause guest %s: what it wrote to %s is not all on the storage (%s), and its locks are "
		"kept so that no other host reads it too early; look at that storage and try again",
		run->lock.uuid, printable ? printable : "a disk",
		why == ETIMEDOUT ? "it did not get there in time" : strerror(why));
	gl_error_about(err, run->lock.uuid, path);
	return status;
}

static bool may_hold_back(const struct gl_operation_run *run, struct gl_resource *resource)
{
	const struct gl_holding *holding = gl_run_holding(run, resource);

	return resource->type == GUESTLOCK_DISK && !resource->guest_lock && holding &&
	       (holding->state == GUESTLOCK_RESOURCE_HELD || holding->state == GUESTLOCK_RESOURCE_HANDOVER) &&
	       gl_resource_mode(run->gl, resource) == GUESTLOCK_MODE_EXCLUSIVE;
}

int gl_run_flush(struct gl_operation_run *run, struct guestlock_error *err)
{
	GL_AUTOFREE const char **paths = calloc(run->record->n_resources + 1, sizeof(*paths));
	size_t count = 0, failed;

	if (!paths) {
		return gl_fail_memory(err);
	}
	for (size_t i = 0; i < run->record->n_resources; i++) {
		if (may_hold_back(run, &run->record->resources[i])) {
			paths[count++] = run->record->resources[i].name;
		}
	}
	if (gl_flush(paths, count, run->deadline_ms, &failed) < 0) {
		return cannot_flush(run, errno, failed < count ? paths[failed] : "", err);
	}
	return GUESTLOCK_OK;
}
