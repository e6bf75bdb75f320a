/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What tells a run directory apart from others of the same path, which each container has: a random word in it. It
 * is written once, under the lock of its file, and what was written in part is written anew.
 */
#include "base/base.h"
#include "record/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define NAME "/id"

static bool is_complete(const char *text, size_t size)
{
	return size == GL_RUN_ID_SIZE && strspn(text, "0123456789abcdef") == GL_RUN_ID_SIZE - 1 &&
	       text[GL_RUN_ID_SIZE - 1] == '\n';
}

/* 1, 0: it is not there, or not complete; or -1 with errno. Whatever is longer than an id is none. */
static int read_id(int fd, char out_id[GL_RUN_ID_SIZE])
{
	char text[GL_RUN_ID_SIZE + 1];
	ssize_t size = gl_read_all(fd, text, sizeof(text), 0);

	if (size < 0 || !is_complete(text, (size_t)size)) {
		return size < 0 ? -1 : 0;
	}
	memcpy(out_id, text, GL_RUN_ID_SIZE - 1);
	out_id[GL_RUN_ID_SIZE - 1] = '\0';
	return 1;
}

static int write_id(int fd)
{
	char text[GL_RUN_ID_SIZE + 1];

	snprintf(text, sizeof(text), "%016llx%016llx\n", (unsigned long long)guestlock_random64(),
		 (unsigned long long)guestlock_random64());
	if (ftruncate(fd, 0) < 0) {
		return -1;
	}
	return pwrite(fd, text, GL_RUN_ID_SIZE, 0) == GL_RUN_ID_SIZE ? 0 : -1;
}

static int read_or_make(int fd, char out_id[GL_RUN_ID_SIZE])
{
	int found = read_id(fd, out_id);

	if (found == 0) {
		errno = ENOSPC;
		found = write_id(fd) < 0 ? -1 : read_id(fd, out_id);
	}
	return found == 1 ? 0 : -1;
}

/* Most find it written, and need no lock. */
static bool is_there(const char *path, char out_id[GL_RUN_ID_SIZE])
{
	GL_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);

	return fd >= 0 && read_id(fd, out_id) == 1;
}

int gl_run_id(const struct gl_store *store, int64_t deadline_ms, char out_id[GL_RUN_ID_SIZE],
	      struct guestlock_error *err)
{
	GL_AUTOFREE char *path = gl_concat((const char *[]){store->run_dir, NAME}, 2);
	int fd, result, cause;
	size_t size;

	if (!path) {
		return gl_rundir_fail(err, ENOMEM, "read", store->run_dir);
	}
	if (is_there(path, out_id)) {
		return GUESTLOCK_OK;
	}
	if (gl_rundir_open_locked(store, path, true, deadline_ms, &fd, &size) < 0) {
		return gl_rundir_fail(err, errno, "read", path);
	}
	result = read_or_make(fd, out_id);
	cause = errno;
	gl_rundir_close_locked(fd);
	return result < 0 ? gl_rundir_fail(err, cause, "write", path) : GUESTLOCK_OK;
}
