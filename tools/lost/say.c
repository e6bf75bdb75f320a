/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is said: who called us may throw standard error away, and a person who looks on may not read the
 * system's log, so each message goes to both.
 */
#include "lost.h"

#include "util.h"

#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

void lost_log(void *data, enum guestlock_log_level level, const char *message)
{
	static const int priorities[] = {
		[GUESTLOCK_LOG_ERROR] = LOG_ERR,
		[GUESTLOCK_LOG_WARNING] = LOG_WARNING,
		[GUESTLOCK_LOG_INFO] = LOG_INFO,
		[GUESTLOCK_LOG_DEBUG] = LOG_DEBUG,
	};
	char shown[1024];

	(void)data;
	gl_printable_fit(shown, sizeof(shown), message);
	syslog(priorities[level], "%s", shown);
	fprintf(stderr, "guestlock-lost: %s\n", shown);
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
