/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who holds a tether, or another lock of a file, as /proc tells; what one process has open. */
#ifndef GL_SCAN_H
#define GL_SCAN_H

#include <guestlock/backend.h>

/* What is looked for: the name that /proc/PID/fd gives it. */
struct gl_sought {
	bool socket;
	char name[GUESTLOCK_LIFE_NAME_SIZE]; /* "socket:[INODE]", or the end of the path of a locked file */
	char inode[24];                      /* of that file, as ":INODE ", "": any */
	uint64_t born;                       /* when the guest was, as of guestlock_process_start(); 0: not known */
};

/* The tether of an owner: the socket of that inode, or where that is 0 the life file. */
void gl_seek_tether(const struct guestlock_owner *owner, uint64_t inode, struct gl_sought *out);

/* As far as /proc shows it to this user. */
bool gl_process_holds(pid_t pid, const struct gl_sought *sought);

/*
 * Is one of the descriptors of a process what is sought? owner_dir is /proc/PID or /proc/PID/task/TID, directory its
 * "fd", open. false also where /proc does not show them.
 */
typedef bool gl_descriptor_fn(const char *owner_dir, int directory, uint64_t fd, const void *data);
bool gl_any_descriptor(pid_t pid, gl_descriptor_fn *is_it, const void *data);

#endif
