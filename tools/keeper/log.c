/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages of the keeper: as the setting log says, but a keeper that was started on demand has no standard
 * error.
 */
#include "keeper.h"

#include "base/base.h"
#include "shared/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct log_target target = {.program = "guestlock-keeper", .least = GUESTLOCK_LOG_INFO};

void log_begin(bool on_demand)
{
	log_target_choose(&target, on_demand ? "syslog" : "auto");
}

void log_configure(const struct gl_settings *settings)
{
	const char *where = gl_settings_string(settings, "guestlock", "log");
	int failure = 0;

	target.least = log_level_named(gl_settings_string(settings, "guestlock", "log_level"));
	/* For "auto" and "stderr" it began with what there is. */
	if (where[0] == '/' || strcmp(where, "syslog") == 0) {
		failure = log_target_choose(&target, where);
	}
	if (failure) {
		log_say(GUESTLOCK_LOG_WARNING, "cannot write to the log file %s: %s; check the setting log",
			where, strerror(failure));
	}
}

void log_write(void *data, enum guestlock_log_level level, const char *message)
{
	(void)data;
	log_target_write(&target, level, message);
}

void log_say(enum guestlock_log_level level, const char *format, ...)
{
	char raw[2048], message[2048];
	int saved_errno = errno;
	va_list args;

	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	gl_printable_fit(message, sizeof(message), raw);
	log_write(NULL, level, message);
	errno = saved_errno;
}
