/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define PLAN_MAX 4096

static const char *const result_names[] = {
	[GUESTLOCK_RES_BUSY] = "busy",
	[GUESTLOCK_RES_AGAIN] = "again",
	[GUESTLOCK_RES_INFLIGHT] = "inflight",
	[GUESTLOCK_RES_NOT_JOINED] = "not-joined",
	[GUESTLOCK_RES_STOPPED] = "stopped",
	[GUESTLOCK_RES_UNSAFE] = "unsafe",
	[GUESTLOCK_RES_DENIED] = "denied",
	[GUESTLOCK_RES_IO] = "io",
	[GUESTLOCK_RES_CANNOT_CREATE] = "cannot-create",
	[GUESTLOCK_RES_INVALID] = "invalid",
	[GUESTLOCK_RES_UNKNOWN] = "unknown",
	[GUESTLOCK_RES_DEAD] = "dead",
};
#define N_RESULTS (sizeof(result_names) / sizeof(result_names[0]))

const char *fault_result_name(enum guestlock_result result)
{
	return (size_t)result < N_RESULTS && result_names[result] ? result_names[result] : "?";
}

static bool result_of(const char *name, enum guestlock_result *out_result)
{
	for (size_t i = 0; i < N_RESULTS; i++) {
		if (result_names[i] && strcmp(result_names[i], name) == 0) {
			*out_result = (enum guestlock_result)i;
			return true;
		}
	}
	return false;
}

static bool number_of(const char *word, unsigned long *out_number)
{
	char *end;

	errno = 0;
	*out_number = strtoul(word, &end, 10);
	return errno == 0 && end != word && *end == '\0';
}

/* The words behind OP. *out_count is 0 when the line stays. */
static void understand(char *words, struct planned *out, unsigned long *out_count)
{
	const char *what = strsep(&words, " ");
	bool fine = true;

	*out = (struct planned){.what = NOT_UNDERSTOOD};
	*out_count = 0;
	if (strcmp(what, "fail") == 0) {
		const char *name = words ? strsep(&words, " ") : "";

		fine = result_of(name, &out->result);
		out->what = FAIL;
	} else if (strcmp(what, "delay") == 0) {
		const char *delay = words ? strsep(&words, " ") : "";

		fine = number_of(delay, &out->delay_ms);
		out->what = DELAY;
	} else if (strcmp(what, "hang") == 0) {
		const char *delay = words ? strsep(&words, " ") : "";

		fine = number_of(delay, &out->delay_ms);
		out->what = HANG;
	} else if (strcmp(what, "drop") == 0 || strcmp(what, "lose") == 0) {
		out->what = what[0] == 'd' ? DROP : LOSE;
	}
	if (words) {
		fine = fine && number_of(words, out_count) && *out_count > 0;
	}
	if (!fine) {
		out->what = NOT_UNDERSTOOD;
	}
}

/* One use less of the line that begins at line; last: it was the only one left. */
static bool use_up(const char *path, const char *text, const char *line, unsigned long count)
{
	const char *end = strchrnul(line, '\n');
	const char *rest = *end ? end + 1 : end;
	char *changed = NULL;
	int length;

	if (count == 1) {
		length = asprintf(&changed, "%.*s%s", (int)(line - text), text, rest);
	} else {
		while (end[-1] != ' ') {
			end--;
		}
		length = asprintf(&changed, "%.*s%lu\n%s", (int)(end - text), text, count - 1, rest);
	}
	if (length < 0) {
		return false;
	}
	bool fine = guestlock_write_file(path, changed, (size_t)length, 0644) == 0;

	free(changed);
	return fine;
}

static const char *find_line(const char *text, const char *op)
{
	size_t length = strlen(op);

	for (const char *line = text; *line; line += strspn(line, "\n")) {
		if (strncmp(line, op, length) == 0 && line[length] == ' ') {
			return line;
		}
		line = strchrnul(line, '\n');
	}
	return NULL;
}

static struct planned look(const char *path, const char *op)
{
	struct planned planned = {.what = NOTHING};
	unsigned long count = 0;
	char *text, *words;
	const char *line;
	size_t size;

	if (guestlock_read_file(path, PLAN_MAX, &text, &size) < 0) {
		planned.what = errno == ENOENT ? NOTHING : NOT_UNDERSTOOD;
		return planned;
	}
	line = find_line(text, op);
	if (line) {
		const char *after = line + strlen(op) + 1;

		words = strndup(after, strcspn(after, "\n"));
		if (words) {
			understand(words, &planned, &count);
		}
		free(words);
		if (count > 0 && !use_up(path, text, line, count)) {
			planned.what = NOT_UNDERSTOOD;
		}
	}
	free(text);
	return planned;
}

/* "OP PID" for each call, whoever makes it. */
static void note_call(const char *op)
{
	const char *path = getenv("GUESTLOCK_FAULT_CALLS");
	char line[64];
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
	int length = snprintf(line, sizeof(line), "%s %ld\n", op, (long)getpid());

	if (fd >= 0) {
		if (write(fd, line, (size_t)length) != length) {
			abort();
		}
		close(fd);
	}
}

struct planned fault_plan(const char *op)
{
	const char *path = getenv("GUESTLOCK_FAULT_PLAN");
	struct planned planned = {.what = NOTHING};
	char *lock = NULL;
	int fd;

	note_call(op);
	if (!path || access(path, F_OK) < 0) {
		return planned;
	}
	if (asprintf(&lock, "%s.lock", path) < 0) {
		planned.what = NOT_UNDERSTOOD;
		return planned;
	}
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	free(lock);
	if (fd < 0 || flock(fd, LOCK_EX) < 0) {
		planned.what = NOT_UNDERSTOOD;
	} else {
		planned = look(path, op);
	}
	if (fd >= 0) {
		close(fd);
	}
	return planned;
}
