/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looks into /proc and stores nothing: what cannot be read there counts as not so. */
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <guestlock/backend.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (1 << 20) /* bytes of a command line, or of what is told of a descriptor */

/* The text of a file in /proc, malloc'd. NULL: it cannot be read, or there is too much of it. */
static char *read_proc(const char *path, size_t *out_size)
{
	char *text;

	return guestlock_read_file(path, TEXT_MAX, &text, out_size) < 0 ? NULL : text;
}

static bool is_for_writing(pid_t pid, const char *fd)
{
	char path[64];
	char *text, *flags;
	size_t size;
	bool writes;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.16s", (int)pid, fd);
	text = read_proc(path, &size);
	flags = text ? strstr(text, "flags:") : NULL;
	writes = flags && (strtoul(flags + strlen("flags:"), NULL, 8) & O_ACCMODE) != O_RDONLY;
	free(text);
	return writes;
}

/* By its name only: to stat what a guest has open could hang in a file system that does not answer. */
static bool is_file(int directory, const char *fd, const char *path)
{
	char target[PATH_MAX];
	ssize_t length = readlinkat(directory, fd, target, sizeof(target) - 1);

	if (length < 0) {
		return false;
	}
	target[length] = '\0';
	return strcmp(target, path) == 0;
}

static bool has_open(DIR *fds, pid_t pid, const char *path)
{
	struct dirent *entry;

	while ((entry = readdir(fds))) {
		if (is_file(dirfd(fds), entry->d_name, path) && is_for_writing(pid, entry->d_name)) {
			return true;
		}
	}
	return false;
}

bool gl_libvirt_guest_writes(pid_t pid, const char *path)
{
	char name[64], *real;
	bool writes;
	DIR *fds;

	if (pid <= 0) {
		return false;
	}
	snprintf(name, sizeof(name), "/proc/%d/fd", (int)pid);
	fds = opendir(name);
	if (!fds) {
		return false;
	}
	real = realpath(path, NULL);
	writes = has_open(fds, pid, real ? real : path);
	free(real);
	closedir(fds);
	return writes;
}

bool gl_libvirt_guest_arrives(pid_t pid)
{
	char path[64], *text;
	size_t size;
	bool arrives = false;

	if (pid <= 0) {
		return true;
	}
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	text = read_proc(path, &size);
	if (!text || size == 0) {
		free(text);
		return true;
	}
	for (const char *word = text; word < text + size && !arrives; word += strlen(word) + 1) {
		arrives = strcmp(word, "-incoming") == 0 || strcmp(word, "--incoming") == 0;
	}
	free(text);
	return arrives;
}

/* A zombie has no command line any more. */
bool gl_libvirt_guest_is_there(pid_t pid)
{
	char path[64], *text;
	size_t size = 0;

	if (pid <= 0 || (kill(pid, 0) < 0 && errno == ESRCH)) {
		return false;
	}
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	text = read_proc(path, &size);
	size = text ? size : 1;
	free(text);
	return size > 0;
}

bool gl_libvirt_guest_is_over(int status)
{
	return status == GUESTLOCK_NOT_FOUND || status == GUESTLOCK_DEAD || status == GUESTLOCK_REPLACED;
}
