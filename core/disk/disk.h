/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a disk is, however it is named: see gl_identify(). */
#ifndef GL_DISK_H
#define GL_DISK_H

#include "disk/key.h"

#include <sys/types.h>

struct gl_disk {
	char *text;             /* malloc'd, or NULL */
	uint64_t device, inode; /* of the file that is written in the end; of a block device: its number, 0 */
	uint64_t born;          /* nanoseconds since 1970; 0: a block device, or the file system does not tell */
};

/* Looks at path. *out_disk on success only. */
int gl_disk_identify(const char *path, enum gl_identity_scheme scheme, const char *sysfs,
		     struct gl_disk *out_disk, struct guestlock_error *err);

/* What is there under that path, without its text: a file or a device. 0 or -1 with errno. */
int gl_disk_look(const char *path, struct gl_disk *out_disk);

/* One identification on its way, which may lead from device to device. */
struct gl_disk_walk {
	enum gl_identity_scheme scheme;
	const char *sysfs;
	unsigned depth; /* loop devices and partitions that it went through */
	/* The next step, from a loop device: the file or device node of that path. */
	int (*along)(struct gl_disk_walk *walk, const char *path, struct gl_disk *out_disk);
	/* Is the file of that path the one behind this loop device? 1, 0, or -1 with errno: it cannot be told. */
	int (*is_behind)(dev_t number, const char *node, const char *path);
	struct guestlock_error *err;
};

/* One step: a file or device node by its path. */
int gl_disk_walk_path(struct gl_disk_walk *walk, const char *path, struct gl_disk *out_disk);

/*
 * One step: a block device by its number. Under GL_IDENTITY_AUTO sysfs is asked, in this order: a partition
 * is known by its parent and number, device-mapper by what its uuid stands for, a loop device by its backing
 * file, NVMe and SCSI by their world wide names, virtio by its serial number. What has none of these, and everything under
 * GL_IDENTITY_PATH, is known by its node: /dev/mapper/NAME, the node that the kernel names, or, where sysfs
 * tells neither, by node, a path of it.
 */
int gl_disk_walk_device(struct gl_disk_walk *walk, dev_t number, const char *node, struct gl_disk *out_disk);

/*
 * What a block device is a part of or made of, and what that is made of: the whole disk of a partition, the members
 * of device-mapper and md, the file behind a loop device. *out_disks is malloc'd, with the text of none; none:
 * *out_count 0. INVALID: it is made of more than makes sense; DENIED, IO.
 */
int gl_disk_below(dev_t number, const char *sysfs, struct gl_disk **out_disks, size_t *out_count,
		  struct guestlock_error *err);

/*
 * What this host itself does with a disk, a line each: "it is mounted at /mnt". malloc'd; "": nothing that is known.
 * Says nothing of processes that have it open, nor of other mount namespaces.
 */
int gl_disk_uses(const struct gl_disk *disk, const char *sysfs, char **out_words, struct guestlock_error *err);

/* The kernel is asked, through a node of the device. */
int gl_disk_is_behind(dev_t number, const char *node, const char *path);

#endif
