/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files and directories: read whole, replaced whole, made with what leads to them. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* mkdir for which an existing directory is a success. */
static int gl_make_one(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0) {
		return 0;
	}
	if (errno != EEXIST) {
		return -1;
	}
	if (stat(path, &st) < 0) {
		return -1;
	}
	if (!S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return -1;
	}
	return 0;
}

/* The directories above the last one of path, which is changed on the way. */
static int gl_make_parents(char *path)
{
	size_t i;

	for (i = 1; path[i] != '\0'; i++) {
		if (path[i] != '/' || path[i - 1] == '/') {
			continue;
		}
		path[i] = '\0';
		if (gl_make_one(path, 0755) < 0) {
			return -1;
		}
		path[i] = '/';
	}
	return 0;
}

int gl_make_directory(const char *path, mode_t mode)
{
	char copy[PATH_MAX];
	size_t length = strlen(path);

	if (gl_make_one(path, mode) == 0) {
		return 0;
	}
	if (errno != ENOENT || length == 0) {
		return -1;
	}
	while (length > 1 && path[length - 1] == '/') {
		length--;
	}
	if (length >= sizeof(copy)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(copy, path, length);
	copy[length] = '\0';
	return gl_make_parents(copy) < 0 ? -1 : gl_make_one(copy, mode);
}

bool guestlock_directory_is_ours(const char *path, char out_why[GUESTLOCK_WHY_NOT_SIZE])
{
	char copy[PATH_MAX];
	size_t length = strlen(path);
	struct stat st;

	/* With a slash at its end a link is followed. */
	while (length > 1 && path[length - 1] == '/') {
		length--;
	}
	if (length >= sizeof(copy)) {
		return true;
	}
	memcpy(copy, path, length);
	copy[length] = '\0';
	if (lstat(copy, &st) < 0) {
		return true;
	}
	if (S_ISLNK(st.st_mode)) {
		snprintf(
			out_why, GUESTLOCK_WHY_NOT_SIZE,
			"it is a symbolic link, which may lead elsewhere tomorrow; configure the directory that it "
			"leads to");
		return false;
	}
	if (S_ISDIR(st.st_mode) && st.st_uid != geteuid() && st.st_uid != 0) {
		snprintf(
			out_why, GUESTLOCK_WHY_NOT_SIZE,
			"it belongs to user %u, who could give any guest any disk; run this as that user, or "
			"remove it, or configure another one",
			(unsigned)st.st_uid);
		return false;
	}
	if (S_ISDIR(st.st_mode) && (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		snprintf(
			out_why, GUESTLOCK_WHY_NOT_SIZE,
			"others than its owner may write there (mode %04o), and could give any guest any disk; look "
			"at what they left there, then chmod go-w",
			(unsigned)st.st_mode & 07777);
		return false;
	}
	return true;
}

#define GL_BESIDE_TRIES 16 /* names by chance: even the second is hardly ever needed */
#define GL_READ_STEP 4096  /* bytes of a file that does not tell its size */

int gl_open_beside(const char *path, mode_t mode, char **out_name)
{
	const char *slash = strrchr(path, '/');
	int directory = slash ? (int)(slash - path) + 1 : 0;

	for (int tries = 0; tries < GL_BESIDE_TRIES; tries++) {
		GL_AUTOFREE char *name = NULL;
		int fd;

		if (asprintf(&name, "%.*s.tmp-%016llx", directory, path,
			     (unsigned long long)guestlock_random64()) < 0) {
			name = NULL;
			return -1;
		}
		fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
		if (fd >= 0) {
			*out_name = name;
			name = NULL;
			return fd;
		}
		if (errno != EEXIST) {
			return -1;
		}
	}
	return -1;
}

bool gl_is_too_much(size_t size)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size;
}

int gl_write_all(int fd, const void *data, size_t size)
{
	const char *from = data;

	if (gl_is_too_much(size)) {
		errno = EFBIG;
		return -1;
	}
	while (size > 0) {
		ssize_t written = write(fd, from, size);

		if (written < 0 && errno == EINTR) {
			continue;
		}
		if (written < 0) {
			return -1;
		}
		from += written;
		size -= (size_t)written;
	}
	return 0;
}

ssize_t gl_read_all(int fd, void *out, size_t size, off_t offset)
{
	size_t used = 0;

	while (used < size) {
		ssize_t got = offset < 0 ? read(fd, (char *)out + used, size - used)
					 : pread(fd, (char *)out + used, size - used, offset + (off_t)used);

		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got < 0) {
			return -1;
		}
		if (got == 0) {
			break;
		}
		used += (size_t)got;
	}
	return (ssize_t)used;
}

/* Writes and closes fd in any case. */
static int gl_fill_temporary(int fd, const void *data, size_t size, mode_t mode)
{
	int result = gl_write_all(fd, data, size);
	int saved_errno;

	/* What others are to read must not depend on the umask of whoever writes. */
	if (result == 0 && (mode & 077) != 0) {
		result = fchmod(fd, mode);
	}
	saved_errno = errno;
	if (close(fd) < 0 && errno != EINTR) {
		return -1;
	}
	errno = saved_errno;
	return result;
}

int gl_leads_to_file(const char *path, const struct stat *file)
{
	struct stat named;

	if (lstat(path, &named) < 0) {
		return errno == ENOENT ? 0 : -1;
	}
	return file->st_dev == named.st_dev && file->st_ino == named.st_ino;
}

int gl_leads_to(const char *path, int fd)
{
	struct stat opened;

	return fstat(fd, &opened) < 0 ? -1 : gl_leads_to_file(path, &opened);
}

int guestlock_write_file(const char *path, const void *data, size_t size, mode_t mode)
{
	GL_AUTOFREE char *temporary = NULL;
	int fd = gl_open_beside(path, mode, &temporary);
	int saved_errno;

	if (fd < 0) {
		return -1;
	}
	if (gl_fill_temporary(fd, data, size, mode) == 0 && rename(temporary, path) == 0) {
		return 0;
	}
	saved_errno = errno;
	unlink(temporary);
	errno = saved_errno;
	return -1;
}

/* The content of fd, expected to have size bytes (0: not known). */
static char *gl_read_content(int fd, size_t size, size_t max, size_t *out_size)
{
	size_t capacity = (size > 0 ? size : GL_READ_STEP) + 1;
	size_t used = 0;
	GL_AUTOFREE char *data = NULL;
	ssize_t got;
	char *out;

	for (;;) {
		char *grown = realloc(data, capacity + 1);

		if (!grown) {
			return NULL;
		}
		data = grown;
		got = gl_read_all(fd, data + used, capacity - used, -1);
		if (got < 0) {
			return NULL;
		}
		used += (size_t)got;
		if (used > max) {
			errno = EFBIG;
			return NULL;
		}
		if (used < capacity) {
			break;
		}
		capacity = used * 2;
	}
	data[used] = '\0';
	*out_size = used;
	out = data;
	data = NULL;
	return out;
}

int guestlock_read_file(const char *path, size_t max, char **out_data, size_t *out_size)
{
	/* O_NONBLOCK: a fifo put in the place of a file must not hang the reader. */
	GL_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct statx st;
	size_t size;
	char *data;

	/* Not its times: whoever asks for them makes the next write to it, and to others, cost more. */
	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE, &st) < 0) {
		return -1;
	}
	if (!S_ISREG(st.stx_mode)) {
		errno = S_ISDIR(st.stx_mode) ? EISDIR : EINVAL;
		return -1;
	}
	if (st.stx_size > max) {
		errno = EFBIG;
		return -1;
	}
	data = gl_read_content(fd, (size_t)st.stx_size, max, &size);
	if (!data) {
		return -1;
	}
	*out_data = data;
	*out_size = size;
	return 0;
}

int guestlock_ofd_lock(int fd, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &lock);
}
