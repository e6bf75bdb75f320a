/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stopping a QEMU by its monitor. Its processors stand still then, and what was under way is on its images, with what
 * QEMU itself had still to write to them. This does not take the place of stopping its processes, which comes after it:
 * jobs and exports of a QEMU go on while its processors are stopped, any other client of a monitor can have them go
 * on, and the guest may have other processes.
 */
#include "operation/operation.h"

#include "base/base.h"
#include "base/error.h"
#include "monitor/monitor.h"
#include "operation/loss.h"

#include <errno.h>

#define MONITOR GUESTLOCK_PARAM_QMP
/* How long it may take to go on, after it was stopped for long; and after a pause that had no time left. */
#define GO_ON_MS 5000
#define GO_ON_LATE_MS 2000

/*
 * One that is paused has done it already, and does not answer while its processes are stopped. One that lost a lock
 * must not write any more, not even what is under way.
 */
bool gl_run_has_to_halt(const struct gl_operation_run *run)
{
	const struct gl_record *record = run->record;

	return gl_record_param(record, MONITOR)[0] != '\0' &&
	       (record->state == GUESTLOCK_GUEST_RUNNING ||
		(record->state == GUESTLOCK_GUEST_PAUSED && !record->stopped));
}

static int cannot_halt(struct gl_operation_run *run, const struct gl_monitor *monitor, int why,
		       struct guestlock_error *err)
{
	GL_AUTOFREE char *path = gl_printable(gl_record_param(run->record, MONITOR));
	GL_AUTOFREE char *words = gl_printable(monitor->why);
	int status = why == ETIMEDOUT                ? GUESTLOCK_TIMEOUT
		     : why == EACCES || why == EPERM ? GUESTLOCK_DENIED
						     : GUESTLOCK_UNAVAILABLE;

	gl_fail(err, status, why,
		"cannot pause guest %s: its monitor %s %s; its locks are kept: look at that monitor and try "
		"again, or stop the guest by other means and say that it is stopped",
		run->lock.uuid, path ? path : "", words ? words : "");
	gl_error_about(err, run->lock.uuid, NULL);
	return status;
}

static int still_runs(struct gl_monitor *monitor)
{
	static const char words[] = "said that the guest is stopped, and then that it runs";

	gl_copy_cut(monitor->why, sizeof(monitor->why), words);
	errno = EBUSY;
	return -1;
}

/* What is under way is on its images when it answers, as long as nobody else has it go on. */
static int stop_processors(struct gl_monitor *monitor)
{
	bool running;

	if (gl_monitor_tell(monitor, "stop") < 0 || gl_monitor_runs(monitor, &running) < 0) {
		return -1;
	}
	return running ? still_runs(monitor) : 0;
}

/* One whose processors somebody else has stopped is left to him: they stay so when we resume it. */
int gl_run_halt(struct gl_operation_run *run, struct guestlock_error *err)
{
	GL_AUTOMONITOR struct gl_monitor monitor = GL_MONITOR_INIT;
	bool running = false;
	int status;

	if (gl_monitor_open(&monitor, gl_record_param(run->record, MONITOR), run->deadline_ms) < 0 ||
	    gl_monitor_runs(&monitor, &running) < 0) {
		return cannot_halt(run, &monitor, errno, err);
	}
	if (!running) {
		return GUESTLOCK_OK;
	}
	/* Whoever comes after us can have it go on. */
	run->record->stopped = run->record->halted = true;
	status = gl_run_save(run, err);
	return status == GUESTLOCK_OK && stop_processors(&monitor) < 0
		       ? cannot_halt(run, &monitor, errno, err)
		       : status;
}

int gl_run_unhalt(struct gl_operation_run *run, struct guestlock_error *err)
{
	GL_AUTOMONITOR struct gl_monitor monitor = GL_MONITOR_INIT;
	const char *path = gl_record_param(run->record, MONITOR);
	int64_t now = guestlock_monotonic_ms();
	int64_t deadline_ms = now + (now < run->deadline_ms ? GO_ON_MS : GO_ON_LATE_MS);

	if (gl_monitor_open(&monitor, path, deadline_ms) == 0 && gl_monitor_tell(&monitor, "cont") == 0) {
		run->record->halted = false;
		return GUESTLOCK_OK;
	}
	return gl_fail(err, GUESTLOCK_UNAVAILABLE, errno, "its monitor %s %s", path, monitor.why);
}
