/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files in the lease directory that are complete when they can be seen. */
#include "sanlock_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define GL_SANLOCK_FILE_MODE 0660

char *gl_sanlock_path(const struct gl_sanlock *sl, const char *key, const char *suffix)
{
	char *path;

	return asprintf(&path, "%s/%s.%s", sl->dir, key, suffix) < 0 ? NULL : path;
}

/* The daemon runs as a user of its own: files belong to whom the directory belongs to. */
static int give_to_owner(const struct gl_sanlock *sl, int fd)
{
	struct stat st;

	if (stat(sl->dir, &st) < 0 || fchmod(fd, GL_SANLOCK_FILE_MODE) < 0) {
		return -1;
	}
	if (fchown(fd, st.st_uid, st.st_gid) < 0 && errno != EPERM) {
		return -1;
	}
	return 0;
}

/* All of its space is there from the beginning: later a full file system cannot take a lease away. */
static int make_empty(const struct gl_sanlock *sl, const char *path, off_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int result = 0;

	if (fd < 0) {
		return -errno;
	}
	if (give_to_owner(sl, fd) < 0) {
		result = -errno;
	} else if (size > 0) {
		result = -posix_fallocate(fd, 0, size);
	}
	if (result == 0 && fsync(fd) < 0) {
		result = -errno;
	}
	close(fd);
	return result;
}

/* Here -ENOSPC comes from the file system, where the daemon means a lockspace by it. */
static int as_quota(int result)
{
	return result == -ENOSPC ? -EDQUOT : result;
}

int gl_sanlock_create(const struct gl_sanlock *sl, const char *path, off_t size, gl_sanlock_fill_fn *fill,
		      const void *data)
{
	char *temporary;
	int result;

	if (asprintf(&temporary, "%s/.new-%016" PRIx64, sl->dir, guestlock_random64()) < 0) {
		return -ENOMEM;
	}
	result = as_quota(make_empty(sl, temporary, size));
	if (result == 0) {
		result = fill(sl, temporary, data);
	}
	if (result == 0 && link(temporary, path) < 0 && errno != EEXIST) {
		result = as_quota(-errno);
	}
	unlink(temporary);
	free(temporary);
	return result;
}

/*
 * Asks for the inode alone: once a file's times were asked for, newer kernels give the next write a time of
 * its own, and to write the changed inode as well makes a daemon's write to the lease much slower.
 */
int gl_sanlock_keep(const char *path, struct gl_sanlock_file *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	struct statx stx;
	int result = 0;

	if (fd < 0) {
		return -errno;
	}
	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO, &stx) < 0) {
		result = -errno;
	} else {
		*out = (struct gl_sanlock_file){
			.device = makedev(stx.stx_dev_major, stx.stx_dev_minor),
			.inode = stx.stx_ino,
			.open = true,
			.fd = fd,
		};
	}
	if (result < 0) {
		close(fd);
	}
	return result;
}

void gl_sanlock_close(struct gl_sanlock_file *file)
{
	if (file->open) {
		close(file->fd);
		file->open = false;
	}
}

int gl_sanlock_identify(const char *path, struct gl_sanlock_file *out)
{
	int result = gl_sanlock_keep(path, out);

	if (result == 0) {
		gl_sanlock_close(out);
	}
	return result;
}

/* Nobody has removed it, as far as this host can tell. */
static bool has_name(const struct gl_sanlock_file *file)
{
	struct statx stx;

	return file->open && statx(file->fd, "", AT_EMPTY_PATH, STATX_NLINK, &stx) == 0 && stx.stx_nlink > 0;
}

bool gl_sanlock_is_file(const char *path, const struct gl_sanlock_file *file)
{
	struct gl_sanlock_file now = {0};

	return has_name(file) && gl_sanlock_identify(path, &now) == 0 && now.inode == file->inode &&
	       now.device == file->device;
}

const char *gl_sanlock_key_of(const char *name, char out_key[GUESTLOCK_KEY_SIZE])
{
	snprintf(out_key, GUESTLOCK_KEY_SIZE, "%s", name);
	return guestlock_key_valid(out_key) ? name + GUESTLOCK_KEY_SIZE - 1 : NULL;
}
