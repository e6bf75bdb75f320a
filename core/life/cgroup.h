/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Control groups of version 2, as /proc tells of them. */
#ifndef GL_CGROUP_H
#define GL_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * That of a process (tid 0) or of one of its threads, as this process sees it: "/" is the root of all that it sees. 0,
 * or -1: it is not told.
 */
int gl_cgroup_of(pid_t pid, pid_t tid, char out_path[PATH_MAX]);

/* The directory of one, a descriptor; -1 with errno: ENOENT, it is gone, ENXIO, it is not to be seen from here. */
int gl_cgroup_open(const char *path);

/* The text of one of its files, cut after size - 1 bytes: 0, or -1 with errno. */
int gl_cgroup_read(int directory, const char *name, char *out, size_t size);

/* Nothing in it runs, nor in those below it, whoever has frozen them. */
bool gl_cgroup_is_frozen(int directory);

/* The same of the one that a thread is in. */
bool gl_thread_is_frozen(pid_t pid, pid_t tid);

#endif
