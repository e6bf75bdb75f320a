/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages of the keeper: as the setting log says, but a keeper that was started on demand has no standard
 * error. */
#include "keeper.h"

#include "shared/journal.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

enum target {
	TO_STDERR,
	TO_JOURNAL,
	TO_SYSLOG,
	TO_FILE,
};

static enum target target;
static int file = -1;
static bool has_stderr = true;
static enum guestlock_log_level least = GUESTLOCK_LOG_INFO;

static const int priorities[] = {
	[GUESTLOCK_LOG_ERROR] = LOG_ERR,
	[GUESTLOCK_LOG_WARNING] = LOG_WARNING,
	[GUESTLOCK_LOG_INFO] = LOG_INFO,
	[GUESTLOCK_LOG_DEBUG] = LOG_DEBUG,
};

static void choose(enum target chosen)
{
	target = chosen;
	if (chosen == TO_SYSLOG) {
		openlog("guestlock-keeper", LOG_PID, LOG_DAEMON);
	}
}

void log_begin(bool on_demand)
{
	has_stderr = !on_demand;
	choose(on_demand ? TO_SYSLOG : stderr_is_journal() ? TO_JOURNAL : TO_STDERR);
}

void log_configure(const struct gl_settings *settings)
{
	const char *where = gl_settings_string(settings, "guestlock", "log");
	const char *level = gl_settings_string(settings, "guestlock", "log_level");

	least = strcmp(level, "error") == 0     ? GUESTLOCK_LOG_ERROR
		: strcmp(level, "warning") == 0 ? GUESTLOCK_LOG_WARNING
		: strcmp(level, "debug") == 0   ? GUESTLOCK_LOG_DEBUG
						: GUESTLOCK_LOG_INFO;
	if (strcmp(where, "syslog") == 0) {
		choose(TO_SYSLOG);
	} else if (where[0] == '/') {
		file = open(where, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
		if (file < 0) {
			log_say(GUESTLOCK_LOG_WARNING,
				"cannot write to the log file %s: %s; check the setting log", where,
				strerror(errno));
			return;
		}
		choose(TO_FILE);
	} else if (strcmp(where, "stderr") == 0 && has_stderr && !stderr_is_journal()) {
		choose(TO_STDERR);
	}
}

/* One write for each message: several processes and threads have the same file. */
static void write_line(int fd, const char *before, const char *message)
{
	char line[4096];
	int length = snprintf(line, sizeof(line) - 1, "%s%s", before, message);

	length = length < (int)sizeof(line) - 1 ? length : (int)sizeof(line) - 2;
	if (length > 0) {
		line[length] = '\n';
		if (write(fd, line, (size_t)length + 1) < 0) {
			return;
		}
	}
}

static void write_file(const char *message)
{
	time_t now = time(NULL);
	char before[96], when[64] = "";
	struct tm tm;

	if (localtime_r(&now, &tm)) {
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S%z", &tm);
	}
	snprintf(before, sizeof(before), "%s guestlock-keeper[%ld]: ", when, (long)getpid());
	write_line(file, before, message);
}

void log_write(void *data, enum guestlock_log_level level, const char *message)
{
	char before[40];

	(void)data;
	if (level > least) {
		return;
	}
	switch (target) {
	case TO_SYSLOG:
		syslog(priorities[level], "%s", message);
		break;
	case TO_FILE:
		write_file(message);
		break;
	case TO_JOURNAL:
		snprintf(before, sizeof(before), "<%d>guestlock-keeper: ", priorities[level]);
		write_line(STDERR_FILENO, before, message);
		break;
	case TO_STDERR:
		write_line(STDERR_FILENO, "guestlock-keeper: ", message);
		break;
	}
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
