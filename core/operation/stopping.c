/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stopping the processes of a guest for certain, and letting them go on. */
#include "operation/operation.h"

#include "base/base.h"
#include "base/error.h"
#include "life/tether.h"

#include <errno.h>
#include <string.h>

static int tethered(const struct gl_operation_run *run, pid_t **out_pids, size_t *out_count)
{
	if (gl_tether_processes(&run->owner, gl_life_dir(run->gl), run->record->tether_inode, out_pids,
				out_count) < 0) {
		return -1;
	}
	if (*out_count == 0 && gl_process_presence(&run->record->process) == GL_PRESENCE_HERE) {
		pid_t *pids = realloc(*out_pids, sizeof(*pids));

		if (!pids) {
			return -1;
		}
		pids[0] = run->record->process.pid;
		*out_pids = pids;
		*out_count = 1;
	}
	return 0;
}

/* A process may fork while it is being stopped: look again until there is nobody new. */
static int stop_all(struct gl_operation_run *run, size_t *out_stopped)
{
	size_t before = 0;

	*out_stopped = 0;
	for (int round = 0; round < 16; round++) {
		GL_AUTOFREE pid_t *pids = NULL;
		size_t count = 0;

		if (tethered(run, &pids, &count) < 0) {
			return -1;
		}
		if (round > 0 && count == before) {
			*out_stopped = count;
			return 0;
		}
		if (gl_process_stop(pids, count, run->deadline_ms) < 0) {
			return -1;
		}
		before = count;
	}
	errno = ETIMEDOUT;
	return -1;
}

static void continue_all(struct gl_operation_run *run)
{
	GL_AUTOFREE pid_t *pids = NULL;
	size_t count = 0;

	if (tethered(run, &pids, &count) == 0) {
		gl_process_continue(pids, count);
	}
}

static GL_APART void continue_stopped(struct gl_operation_run *run)
{
	struct guestlock_error cause = {0};

	continue_all(run);
	run->record->stopped = false;
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
		continue_stopped(run);
	}
}

static int cannot_stop(struct gl_operation_run *run, int why, struct guestlock_error *err)
{
	continue_all(run);
	run->record->stopped = false;
	gl_run_save(run, NULL);
	gl_fail(err,
		why == EPERM       ? GUESTLOCK_DENIED
		: why == ETIMEDOUT ? GUESTLOCK_TIMEOUT
				   : GUESTLOCK_FAILED,
		why,
		"cannot pause guest %s: its processes could not be stopped (%s), and the locks of a guest "
		"that may write are not released; stop it yourself and say that it is stopped",
		run->lock.uuid, why ? strerror(why) : "none of them can be seen from here");
	gl_error_about(err, run->lock.uuid, NULL);
	return err ? (int)err->code : GUESTLOCK_FAILED;
}

/* That we are going to stop it is recorded first: whoever comes after us can continue it. */
int gl_run_stop(struct gl_operation_run *run, struct guestlock_error *err)
{
	struct guestlock_error local = {0};
	size_t stopped;
	int status;

	if (run->record->stopped) {
		return GUESTLOCK_OK;
	}
	run->record->stopped = true;
	status = gl_run_save(run, err);
	if (status < 0) {
		return status;
	}
	if (stop_all(run, &stopped) < 0) {
		return cannot_stop(run, errno, err ? err : &local);
	}
	if (stopped == 0) {
		run->life = gl_record_life(run->gl, run->record);
	}
	return stopped > 0 || run->life == GUESTLOCK_LIFE_DEAD ? GUESTLOCK_OK
							       : cannot_stop(run, 0, err ? err : &local);
}
