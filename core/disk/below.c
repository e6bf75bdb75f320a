/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a block device is made of, down to the devices that are made of nothing, or to a file. */
#include "base/base.h"
#include "base/error.h"
#include "disk/disk.h"
#include "disk/sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MOST 1024 /* devices: an array of hundreds of disks, each with its paths */

struct below {
	struct gl_disk *disks;
	size_t count;
};

static int fail_below(dev_t number, const char *sysfs, struct guestlock_error *err)
{
	return gl_fail(err, errno == E2BIG ? GUESTLOCK_INVALID : gl_status_of_errno(errno), errno,
		       "cannot tell what block device %u:%u is made of: %s; check %s/dev/block/%u:%u",
		       major(number), minor(number), errno == E2BIG ? "that is too much" : strerror(errno),
		       sysfs, major(number), minor(number));
}

/* Once. 0 or -1 with errno. */
static int add(struct below *below, const struct gl_disk *disk)
{
	struct gl_disk *grown;

	for (size_t i = 0; i < below->count; i++) {
		const struct gl_disk *known = &below->disks[i];

		if (known->device == disk->device && known->inode == disk->inode) {
			return 0;
		}
	}
	if (below->count == MOST) {
		errno = E2BIG;
		return -1;
	}
	grown = gl_grow(below->disks, below->count, sizeof(*grown));
	if (!grown) {
		return -1;
	}
	below->disks = grown;
	below->disks[below->count++] = *disk;
	return 0;
}

/* The device of an open directory of sysfs, which is closed; -1 is none. */
static int add_device(struct below *below, int opened)
{
	GL_AUTOCLOSE int directory = opened;
	struct gl_disk disk = {.device = directory >= 0 ? gl_sysfs_number(directory) : 0};

	return disk.device ? add(below, &disk) : 0;
}

static int add_slaves(struct below *below, int directory)
{
	int fd = openat(directory, "slaves", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *slaves = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int result = 0;

	if (!slaves) {
		return fd < 0 && errno == ENOENT ? 0 : -1;
	}
	while (result == 0 && (entry = readdir(slaves))) {
		if (entry->d_name[0] != '.') {
			result = add_device(below,
					    openat(fd, entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC));
		}
	}
	closedir(slaves);
	return result;
}

static int add_backing(struct below *below, dev_t number, int directory)
{
	GL_AUTOFREE char *path = malloc(PATH_MAX + 1);
	ssize_t length = path ? gl_sysfs_read(directory, "loop/backing_file", path, PATH_MAX + 1) : -1;
	struct gl_disk disk;
	int behind;

	if (length <= 0) {
		return (int)length;
	}
	path[length - (path[length - 1] == '\n')] = '\0';
	if (gl_disk_look(path, &disk) < 0) {
		/* A file without a name is nobody's disk. */
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	}
	behind = gl_disk_is_behind(number, path, path);
	return behind > 0 ? add(below, &disk) : behind;
}

static int add_one_step(struct below *below, dev_t number, const char *sysfs)
{
	GL_AUTOCLOSE int directory = gl_sysfs_open(sysfs, number);
	char text[32];
	ssize_t length;

	if (directory < 0) {
		return -1;
	}
	length = gl_sysfs_read(directory, "partition", text, sizeof(text));
	if (length < 0 || (length > 0 && add_device(below, openat(directory, "..",
								  O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)) {
		return -1;
	}
	return add_slaves(below, directory) < 0 ? -1 : add_backing(below, number, directory);
}

int gl_disk_below(dev_t number, const char *sysfs, struct gl_disk **out_disks, size_t *out_count,
		  struct guestlock_error *err)
{
	struct below below = {.disks = NULL};
	int result = add_one_step(&below, number, sysfs);

	for (size_t i = 0; result == 0 && i < below.count; i++) {
		if (below.disks[i].inode == 0) {
			result = add_one_step(&below, below.disks[i].device, sysfs);
		}
	}
	if (result < 0) {
		int status = errno == ENOMEM ? gl_fail_memory(err) : fail_below(number, sysfs, err);

		free(below.disks);
		return status;
	}
	*out_disks = below.disks;
	*out_count = below.count;
	return GUESTLOCK_OK;
}
