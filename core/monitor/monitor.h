/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The monitor of a QEMU, which speaks QMP over a unix socket: stopping its processors so that what is under way gets
 * to its images, and having them go on. Whoever is at the other end is not trusted: nothing takes longer than the
 * deadline, and no answer is read that is too long.
 */
#ifndef GL_MONITOR_H
#define GL_MONITOR_H

#include "monitor/json.h"

#include <stdint.h>

struct gl_monitor {
	int fd; /* -1: none */
	int64_t deadline_ms;
	unsigned asked;   /* commands so far: each has its number */
	char *text;       /* what was read; the message that was looked at last begins it */
	size_t used, done; /* bytes: of all that, and of that message */
	char why[256];    /* of the last failure: the end of a sentence that begins with the monitor */
};
#define GL_MONITOR_INIT {.fd = -1}

/* May it be the path of a monitor: absolute, and short enough for a unix socket? */
bool gl_monitor_path_valid(const char *path);

/*
 * Each gives 0, or -1 with errno (ETIMEDOUT: the deadline; EACCES, EPERM; EPROTO, EMSGSIZE: it is none; EREMOTEIO: it
 * refuses; ECONNRESET and others: it is gone) and why. Closed in any case.
 */
int gl_monitor_open(struct gl_monitor *monitor, const char *path, int64_t deadline_ms);
/* Do its processors run? */
int gl_monitor_runs(struct gl_monitor *monitor, bool *out_running);
/* "stop", "cont": a command without arguments, that is done when it is answered. */
int gl_monitor_tell(struct gl_monitor *monitor, const char *command);

void gl_monitor_close(struct gl_monitor *monitor);
#define GL_AUTOMONITOR __attribute__((cleanup(gl_monitor_close)))

#endif
