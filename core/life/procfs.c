/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads of /proc that need no memory: they are made in the guest's process before it is one. */
#include "life/procfs.h"
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* /proc/PID/stat: 52 numbers, and a name of up to 64 bytes in which there may be anything. */
#define GL_STAT_SIZE 2048
#define GL_STAT_STATE 3
#define GL_STAT_PARENT 4
#define GL_STAT_GROUP 5
#define GL_STAT_FLAGS 9
#define GL_STAT_THREADS 20
#define GL_STAT_START 22

/* once: the kernel gives it in one piece, and need not be asked for more. */
static ssize_t gl_read(const char *path, bool once, char *out, size_t size)
{
	GL_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t length;

	if (fd < 0) {
		return -1;
	}
	do {
		length = once ? read(fd, out, size - 1) : gl_read_all(fd, out, size - 1, -1);
	} while (length < 0 && errno == EINTR);
	if (length >= 0) {
		out[length] = '\0';
	}
	return length;
}

ssize_t gl_read_proc(const char *path, char *out, size_t size)
{
	return gl_read(path, false, out, size);
}

/* The number that is `skip` words after text. */
static bool gl_stat_number(const char *text, unsigned skip, uint64_t *out_value)
{
	uint64_t value = 0;

	for (; skip > 0; skip--) {
		text = strchr(text, ' ');
		if (!text) {
			return false;
		}
		text++;
	}
	if (*text < '0' || *text > '9') {
		return false;
	}
	for (; *text >= '0' && *text <= '9'; text++) {
		if (__builtin_mul_overflow(value, 10U, &value) ||
		    __builtin_add_overflow(value, (unsigned)(*text - '0'), &value)) {
			return false;
		}
	}
	if (*text != ' ') {
		return false;
	}
	*out_value = value;
	return true;
}

/* The name is in parentheses and may hold parentheses, spaces and newlines itself: the last one ends it. */
bool gl_stat_parse(const char *text, struct gl_stat *out_stat)
{
	const char *rest = strrchr(text, ')');
	struct gl_stat stat;

	if (!rest || rest[1] != ' ' || rest[2] == '\0' || rest[3] != ' ') {
		return false;
	}
	rest += 2;
	stat.state = rest[0];
	stat.pid = stat.parent = stat.group = stat.flags = 0;
	gl_stat_number(text, 0, &stat.pid);
	gl_stat_number(rest, GL_STAT_PARENT - GL_STAT_STATE, &stat.parent);
	gl_stat_number(rest, GL_STAT_GROUP - GL_STAT_STATE, &stat.group);
	gl_stat_number(rest, GL_STAT_FLAGS - GL_STAT_STATE, &stat.flags);
	if (!gl_stat_number(rest, GL_STAT_THREADS - GL_STAT_STATE, &stat.threads) ||
	    !gl_stat_number(rest, GL_STAT_START - GL_STAT_STATE, &stat.start)) {
		return false;
	}
	*out_stat = stat;
	return true;
}

int gl_stat_read(pid_t pid, pid_t tid, struct gl_stat *out_stat)
{
	char path[64];
	char text[GL_STAT_SIZE];

	if (pid == 0) {
		snprintf(path, sizeof(path), "/proc/self/stat");
	} else if (tid) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)pid, (int)tid);
	} else {
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	}
	if (gl_read(path, true, text, sizeof(text)) < 0) {
		return -1;
	}
	if (!gl_stat_parse(text, out_stat)) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

/* A process of which only the first thread has ended looks like a zombie too, but the others still write. */
bool gl_stat_ended(const struct gl_stat *stat)
{
	return stat->state == 'X' || stat->state == 'x' || (stat->state == 'Z' && stat->threads <= 1);
}

bool gl_proc_is_ours(void)
{
	char text[32];
	ssize_t length = readlink("/proc/self", text, sizeof(text) - 1);
	uint64_t pid;

	if (length < 0) {
		return false;
	}
	text[length] = '\0';
	return gl_parse_u64(text, 10, &pid) && pid == (uint64_t)getpid();
}

bool gl_next_number(DIR *directory, uint64_t *out_number)
{
	struct dirent *entry;

	do {
		errno = 0;
		entry = readdir(directory);
	} while (entry && !gl_parse_u64(entry->d_name, 10, out_number));
	return entry != NULL;
}
