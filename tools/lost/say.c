/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is said: who called us may throw standard error away, and a person who looks on may not read the
 * system's log, so each message goes to both.
 */
#include "lost.h"

#include "base/base.h"
#include "shared/log.h"

#include <stdarg.h>
#include <stdio.h>

void lost_log(void *data, enum guestlock_log_level level, const char *message)
{
	static const struct log_target targets[] = {
		{.program = "guestlock-lost", .kind = LOG_TO_SYSLOG, .least = GUESTLOCK_LOG_DEBUG},
		{.program = "guestlock-lost", .kind = LOG_TO_STDERR, .least = GUESTLOCK_LOG_DEBUG},
	};
	char shown[1024];

	(void)data;
	gl_printable_fit(shown, sizeof(shown), message);
	for (size_t i = 0; i < GL_COUNT(targets); i++) {
		log_target_write(&targets[i], level, shown);
	}
}

void lost_say(enum guestlock_log_level level, const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	lost_log(NULL, level, message);
}
