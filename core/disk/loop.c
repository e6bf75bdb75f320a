/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel says of a loop device: the path that sysfs has may be that of another file by now, or here. */
#include "base/base.h"
#include "disk/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* A descriptor of that device, or -1 with errno. */
static int open_if_it_is(const char *node, dev_t number)
{
	int fd = open(node, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != number)) {
		close(fd);
		errno = ENOENT;
		fd = -1;
	}
	return fd;
}

/* node is a path of it, or of one of its partitions. */
static int open_device(dev_t number, const char *node)
{
	char usual[32], by_number[48];
	int fd;

	snprintf(usual, sizeof(usual), "/dev/loop%u", minor(number));
	fd = open_if_it_is(usual, number);
	if (fd < 0 && errno == ENOENT) {
		fd = open_if_it_is(node, number);
	}
	if (fd < 0 && errno == ENOENT) {
		/* Made by udev. */
		snprintf(by_number, sizeof(by_number), "/dev/block/%u:%u", major(number), minor(number));
		fd = open_if_it_is(by_number, number);
	}
	return fd;
}

/* The kernel's form of a device number in 64 bits: include/linux/kdev_t.h, new_encode_dev(). */
static dev_t device_of(uint64_t encoded)
{
	return makedev((encoded >> 8) & 0xfff, (encoded & 0xff) | ((encoded >> 12) & 0xfff00));
}

int gl_disk_is_behind(dev_t number, const char *node, const char *path)
{
	GL_AUTOCLOSE int fd = open_device(number, node);
	struct loop_info64 info = {0};
	struct stat st;

	if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &info) < 0) {
		return -1;
	}
	if (stat(path, &st) < 0) {
		/* That is told better by whoever follows the path. */
		return 1;
	}
	return st.st_dev == device_of(info.lo_device) && st.st_ino == info.lo_inode;
}
