/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Namespaces for tests, as root and as others. */
#ifndef GL_TEST_NAMESPACES_H
#define GL_TEST_NAMESPACES_H

#include "base/base.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static inline bool namespaces_write(const char *path, const char *text)
{
	GL_AUTOCLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* A pid and a mount namespace of its own, also for those who are not root; the next child is in them. */
static inline bool unshare_pids(void)
{
	char map[64];
	uid_t uid = getuid();

	if (uid == 0) {
		return unshare(CLONE_NEWPID | CLONE_NEWNS) == 0;
	}
	snprintf(map, sizeof(map), "0 %u 1", (unsigned)uid);
	return unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS) == 0 &&
	       namespaces_write("/proc/self/uid_map", map);
}

#endif
