/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sysfs says "there is none" in many ways; they are told apart from not being able to read here. */
#include "disk/sysfs.h"
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

int gl_sysfs_open(const char *sysfs, dev_t number)
{
	char path[PATH_MAX];
	int length = snprintf(path, sizeof(path), "%s/dev/block/%u:%u", sysfs, major(number), minor(number));

	if (length < 0 || (size_t)length >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Errors by which attributes say that a device does not have what they are about. */
static bool gl_means_none(int sys_errno)
{
	return sys_errno == ENOENT || sys_errno == ENXIO || sys_errno == EINVAL || sys_errno == ENODATA ||
	       sys_errno == EOPNOTSUPP;
}

static ssize_t gl_read_attribute(int fd, char *out, size_t size)
{
	ssize_t length = gl_read_all(fd, out, size, -1);

	if (length < (ssize_t)size) {
		return length;
	}
	errno = ENOBUFS;
	return -1;
}

ssize_t gl_sysfs_read(int directory, const char *name, char *out, size_t size)
{
	GL_AUTOCLOSE int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t length = fd < 0 ? -1 : gl_read_attribute(fd, out, size);

	if (length < 0) {
		out[0] = '\0';
		return gl_means_none(errno) ? 0 : -1;
	}
	out[length] = '\0';
	return length;
}

ssize_t gl_sysfs_read_word(int directory, const char *name, char *out, size_t size)
{
	ssize_t length = gl_sysfs_read(directory, name, out, size);

	while (length > 0 && strchr(" \t\n", out[length - 1]) != NULL) {
		out[--length] = '\0';
	}
	return length;
}

dev_t gl_sysfs_number(int directory)
{
	char text[32];
	char *colon;
	uint64_t high, low;

	if (gl_sysfs_read_word(directory, "dev", text, sizeof(text)) <= 0 || !(colon = strchr(text, ':'))) {
		return 0;
	}
	*colon = '\0';
	return gl_parse_u64(text, 10, &high) && gl_parse_u64(colon + 1, 10, &low)
		       ? makedev((unsigned)high, (unsigned)low)
		       : 0;
}

/* The name of the one entry, or "" when there are none or several. */
static void gl_only_entry(DIR *directory, char out_name[NAME_MAX + 1])
{
	struct dirent *entry;

	out_name[0] = '\0';
	while ((entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] == '.') {
			continue;
		}
		if (out_name[0] != '\0') {
			out_name[0] = '\0';
			return;
		}
		gl_copy_cut(out_name, NAME_MAX + 1, entry->d_name);
	}
}

int gl_sysfs_only(int directory, const char *name)
{
	char path[NAME_MAX + 1];
	int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries;

	if (fd < 0) {
		return -1;
	}
	entries = fdopendir(fd);
	if (!entries) {
		close(fd);
		return -1;
	}
	gl_only_entry(entries, path);
	fd = -1;
	errno = ENOENT;
	if (path[0] != '\0') {
		fd = openat(dirfd(entries), path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	closedir(entries);
	return fd;
}
