/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who holds a tether, or another lock of a file, as /proc tells. */
#include "life/scan.h"
#include "base/base.h"
#include "life/procfs.h"
#include "life/tether.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Of the text of fdinfo: the flags, in octal. */
static bool is_close_on_exec(const char *text)
{
	const char *flags = strstr(text, "flags:\t");

	return flags && (strtoul(flags + strlen("flags:\t"), NULL, 8) & O_CLOEXEC);
}

/*
 * A life file is open for an instant also in whoever probes it, and a file that is waited for in whoever
 * waits, but only one descriptor has the lock. It is never looked at through stat: that could hang in a file
 * system of the guest's making.
 */
static bool gl_has_lock(const char *owner_dir, uint64_t fd, const char *inode)
{
	char path[96];
	char text[1024];
	const char *lock;

	snprintf(path, sizeof(path), "%s/fdinfo/%" PRIu64, owner_dir, fd);
	if (gl_read_proc(path, text, sizeof(text)) <= 0) {
		return false;
	}
	lock = strstr(text, "OFDLCK");
	/* A tether is inherited; who watches over a guest closes his descriptor at exec. */
	return lock && strstr(lock, inode) && (inode[0] || !is_close_on_exec(text));
}

/* The file may have been removed, and be known by another directory in another mount namespace. */
static bool gl_is_file(const char *target, const char *name)
{
	const char *gone = strstr(target, " (deleted)");
	size_t length = gone && gone[strlen(" (deleted)")] == '\0' ? (size_t)(gone - target) : strlen(target);
	size_t name_length = strlen(name);

	return length > name_length && target[length - name_length - 1] == '/' &&
	       memcmp(target + length - name_length, name, name_length) == 0;
}

/* Does this descriptor hold the tether? owner_dir is /proc/PID or /proc/PID/task/TID. */
static bool gl_is_tether(const char *owner_dir, int directory, uint64_t fd, const void *data)
{
	const struct gl_sought *sought = data;
	char number[24];
	char target[PATH_MAX];
	ssize_t length;

	snprintf(number, sizeof(number), "%" PRIu64, fd);
	length = readlinkat(directory, number, target, sizeof(target) - 1);
	if (length < 0) {
		return false;
	}
	target[length] = '\0';
	if (sought->socket) {
		return strcmp(target, sought->name) == 0;
	}
	return gl_is_file(target, sought->name) && gl_has_lock(owner_dir, fd, sought->inode);
}

/* 1 one is it, 0 none is, -1 it has no descriptors at all, or none that we may see. */
static int gl_any_of(const char *owner_dir, gl_descriptor_fn *is_it, const void *data)
{
	char path[80];
	uint64_t fd;
	int result = -1;
	DIR *fds;

	snprintf(path, sizeof(path), "%s/fd", owner_dir);
	fds = opendir(path);
	if (!fds) {
		return -1;
	}
	while (result != 1 && gl_next_number(fds, &fd)) {
		result = is_it(owner_dir, dirfd(fds), fd, data) ? 1 : 0;
	}
	closedir(fds);
	return result;
}

/* A process whose first thread has ended shows its descriptors only at the other threads. */
static bool gl_any_of_threads(pid_t pid, gl_descriptor_fn *is_it, const void *data)
{
	char path[64];
	bool any = false;
	uint64_t tid;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	if (!tasks) {
		return false;
	}
	while (!any && gl_next_number(tasks, &tid)) {
		if (tid != (uint64_t)pid) {
			snprintf(path, sizeof(path), "/proc/%d/task/%" PRIu64, (int)pid, tid);
			any = gl_any_of(path, is_it, data) == 1;
		}
	}
	closedir(tasks);
	return any;
}

bool gl_any_descriptor(pid_t pid, gl_descriptor_fn *is_it, const void *data)
{
	char path[64];
	int result;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	result = gl_any_of(path, is_it, data);
	return result < 0 ? gl_any_of_threads(pid, is_it, data) : result == 1;
}

bool gl_process_holds(pid_t pid, const struct gl_sought *sought)
{
	return gl_any_descriptor(pid, gl_is_tether, sought);
}

void gl_seek_tether(const struct guestlock_owner *owner, uint64_t inode, struct gl_sought *out)
{
	*out = (struct gl_sought){.socket = inode != 0, .born = owner->pid_start};
	if (out->socket) {
		snprintf(out->name, sizeof(out->name), "socket:[%" PRIu64 "]", inode);
	} else {
		/* The name alone is unique, and paths differ between mount namespaces. */
		guestlock_life_name_of(owner, out->name);
	}
}

pid_t gl_lock_holder(const char *name, ino_t inode)
{
	struct gl_sought sought = {.socket = false};
	DIR *proc = gl_proc_is_ours() ? opendir("/proc") : NULL;
	uint64_t pid, found = 0;

	if (!proc) {
		return 0;
	}
	gl_copy_cut(sought.name, sizeof(sought.name), name);
	snprintf(sought.inode, sizeof(sought.inode), ":%ju ", (uintmax_t)inode);
	while (found == 0 && gl_next_number(proc, &pid)) {
		found = gl_process_holds((pid_t)pid, &sought) ? pid : 0;
	}
	closedir(proc);
	return (pid_t)found;
}
