/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages. Each is a line that is written by one call, as several processes and threads may have the same
 * file; it has what its reader does not know by itself: time and process, priority, or the program only.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[GUESTLOCK_LOG_ERROR] = {"error", LOG_ERR},
	[GUESTLOCK_LOG_WARNING] = {"warning", LOG_WARNING},
	[GUESTLOCK_LOG_INFO] = {"info", LOG_INFO},
	[GUESTLOCK_LOG_DEBUG] = {"debug", LOG_DEBUG},
};

enum guestlock_log_level log_level_named(const char *name)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(levels[i].name, name) == 0) {
			return (enum guestlock_log_level)i;
		}
	}
	return GUESTLOCK_LOG_INFO;
}

/* JOURNAL_STREAM is "device:inode" of the stream that systemd connected to the journal. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char here[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) != 0) {
		return false;
	}
	snprintf(here, sizeof(here), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	return strcmp(stream, here) == 0;
}

int log_target_choose(struct log_target *target, const char *where)
{
	if (where[0] == '/') {
		int file = open(where, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);

		if (file < 0) {
			return errno;
		}
		target->file = file;
		target->kind = LOG_TO_FILE;
	} else if (strcmp(where, "syslog") == 0) {
		openlog(target->program, LOG_PID, LOG_DAEMON);
		target->kind = LOG_TO_SYSLOG;
	} else {
		target->kind =
			strcmp(where, "stderr") != 0 && stderr_is_journal() ? LOG_TO_JOURNAL : LOG_TO_STDERR;
	}
	return 0;
}

static struct iovec part(const char *text)
{
	struct iovec part = {.iov_len = strlen(text)};

	memcpy(&part.iov_base, &text, sizeof(text));
	return part;
}

static void write_line(int fd, const char *before, const char *message)
{
	const struct iovec parts[] = {part(before), part(message), part("\n")};

	if (writev(fd, parts, sizeof(parts) / sizeof(parts[0])) < 0) {
		return;
	}
}

static void write_to_file(const struct log_target *target, const char *message)
{
	time_t now = time(NULL);
	char before[128], when[64] = "";
	struct tm tm;

	if (localtime_r(&now, &tm)) {
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S%z", &tm);
	}
	snprintf(before, sizeof(before), "%s %s[%ld]: ", when, target->program, (long)getpid());
	write_line(target->file, before, message);
}

void log_target_write(const struct log_target *target, enum guestlock_log_level level, const char *message)
{
	char before[64];

	if (level > target->least) {
		return;
	}
	switch (target->kind) {
	case LOG_TO_SYSLOG:
		syslog(levels[level].priority, "%s", message);
		break;
	case LOG_TO_FILE:
		write_to_file(target, message);
		break;
	case LOG_TO_JOURNAL:
		snprintf(before, sizeof(before), "<%d>%s: ", levels[level].priority, target->program);
		write_line(STDERR_FILENO, before, message);
		break;
	case LOG_TO_STDERR:
		snprintf(before, sizeof(before), "%s: ", target->program);
		write_line(STDERR_FILENO, before, message);
		break;
	}
}
