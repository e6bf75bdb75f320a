/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who holds a tether, or another lock of a file, as /proc tells. */
#include "base/base.h"
#include "life/procfs.h"
#include "life/tether.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* What is looked for: the name that /proc/PID/fd gives it. */
struct gl_sought {
	bool socket;
	char name[GUESTLOCK_LIFE_NAME_SIZE]; /* "socket:[INODE]", or the end of the path of a locked file */
	char inode[24];                      /* of that file, as ":INODE ", "": any */
};

struct gl_pids {
	pid_t *pids;
	size_t count;
};

static int gl_pids_add(struct gl_pids *pids, pid_t pid)
{
	pid_t *grown = gl_grow(pids->pids, pids->count, sizeof(*grown));

	if (!grown) {
		return -1;
	}
	pids->pids = grown;
	pids->pids[pids->count++] = pid;
	return 0;
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
	return lock && strstr(lock, inode);
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
static bool gl_is_tether(const char *owner_dir, int directory, uint64_t fd, const struct gl_sought *sought)
{
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

/* 1 it holds the tether, 0 it does not, -1 it has no descriptors at all, or none that we may see. */
static int gl_holds(const char *owner_dir, const struct gl_sought *sought)
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
		result = gl_is_tether(owner_dir, dirfd(fds), fd, sought) ? 1 : 0;
	}
	closedir(fds);
	return result;
}

/* A process whose first thread has ended shows its descriptors only at the other threads. */
static bool gl_thread_holds(pid_t pid, const struct gl_sought *sought)
{
	char path[64];
	bool holds = false;
	uint64_t tid;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	if (!tasks) {
		return false;
	}
	while (!holds && gl_next_number(tasks, &tid)) {
		if (tid != (uint64_t)pid) {
			snprintf(path, sizeof(path), "/proc/%d/task/%" PRIu64, (int)pid, tid);
			holds = gl_holds(path, sought) == 1;
		}
	}
	closedir(tasks);
	return holds;
}

static bool gl_process_holds(pid_t pid, const struct gl_sought *sought)
{
	char path[64];
	int result;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	result = gl_holds(path, sought);
	return result < 0 ? gl_thread_holds(pid, sought) : result == 1;
}

static int gl_scan(DIR *proc, const struct gl_sought *sought, struct gl_pids *pids)
{
	uint64_t pid;

	while (gl_next_number(proc, &pid)) {
		if (gl_process_holds((pid_t)pid, sought) && gl_pids_add(pids, (pid_t)pid) < 0) {
			return -1;
		}
	}
	return errno ? -1 : 0;
}

static int gl_find(const struct gl_sought *sought, pid_t **out_pids, size_t *out_count)
{
	struct gl_pids pids = {0};
	DIR *proc;

	if (!gl_proc_is_ours()) {
		errno = EOPNOTSUPP;
		return -1;
	}
	proc = opendir("/proc");
	if (!proc) {
		return -1;
	}
	if (gl_scan(proc, sought, &pids) < 0) {
		int saved_errno = errno;

		closedir(proc);
		free(pids.pids);
		errno = saved_errno;
		return -1;
	}
	closedir(proc);
	*out_pids = pids.pids;
	*out_count = pids.count;
	return 0;
}

int gl_tether_processes(const struct guestlock_owner *owner, const char *life_dir, uint64_t inode,
			pid_t **out_pids, size_t *out_count)
{
	struct gl_sought sought = {.socket = inode != 0};

	(void)life_dir; /* the file's name alone is unique, and paths differ between mount namespaces */
	if (sought.socket) {
		snprintf(sought.name, sizeof(sought.name), "socket:[%" PRIu64 "]", inode);
	} else {
		guestlock_life_name_of(owner, sought.name);
	}
	return gl_find(&sought, out_pids, out_count);
}

pid_t gl_lock_holder(const char *name, ino_t inode)
{
	struct gl_sought sought = {.socket = false};
	GL_AUTOFREE pid_t *pids = NULL;
	size_t count = 0;

	gl_copy_cut(sought.name, sizeof(sought.name), name);
	snprintf(sought.inode, sizeof(sought.inode), ":%ju ", (uintmax_t)inode);
	return gl_find(&sought, &pids, &count) == 0 && count > 0 ? pids[0] : 0;
}
