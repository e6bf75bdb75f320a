/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the messages of a program go, as the settings log and log_level say, and what a line of it looks
 * like there. What is written is printable already: each program makes it so by its own means.
 */
#ifndef LOG_H
#define LOG_H

#include <guestlock/guestlock.h>

enum log_kind {
	LOG_TO_STDERR,
	LOG_TO_JOURNAL,                 /* standard error is its stream: lines carry their priority */
	LOG_TO_SYSLOG,
	LOG_TO_FILE,
};

struct log_target {
	const char *program;            /* stands before each message */
	enum log_kind kind;
	int file;
	enum guestlock_log_level least; /* what is less important is not written */
};

/*
 * "auto" (the journal, if standard error is a stream of it, else standard error), "stderr", "syslog", or the
 * path of a file. 0, or an errno: the file cannot be written, and nothing has changed.
 */
int log_target_choose(struct log_target *target, const char *where);
/* "error", "warning", "info" or "debug". */
enum guestlock_log_level log_level_named(const char *name);
/* One line, from any thread. */
void log_target_write(const struct log_target *target, enum guestlock_log_level level, const char *message);

#endif
