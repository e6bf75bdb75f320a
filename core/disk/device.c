/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a block device is, as sysfs tells. */
#include "base/base.h"
#include "base/error.h"
#include "disk/disk.h"
#include "disk/sysfs.h"
#include "disk/wwid.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/major.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#define GL_ATTRIBUTE_SIZE 4097      /* the largest attribute is a page of memory */
#define GL_VPD_SIZE (65536 + 4 + 1) /* the largest page of vital product data */
#define GL_DELETED " (deleted)"

/* A device on the way. */
struct gl_device {
	int directory;    /* in sysfs */
	dev_t number;     /* 0: not known */
	const char *node; /* a path of it, or of the partition that led to it */
};

/* Loop devices and partitions on top of each other. A loop device can come to stand for itself. */
#define GL_DEPTH_MAX 16

/* A step deeper than makes sense is INVALID: node is only for the message. */
static int go_deeper(struct gl_disk_walk *walk, const char *node)
{
	if (++walk->depth <= GL_DEPTH_MAX) {
		return GUESTLOCK_OK;
	}
	return gl_fail(
		walk->err, GUESTLOCK_INVALID, 0,
		"cannot identify disk %s: it is made of more than %d loop devices and partitions on top of "
		"each other; use the disk below them",
		node, GL_DEPTH_MAX);
}

typedef int gl_source_fn(struct gl_disk_walk *walk, const struct gl_device *device, struct gl_disk *out_disk);

static int gl_ask_sources(struct gl_disk_walk *walk, const struct gl_device *device,
			  struct gl_disk *out_disk);

static int gl_found(struct gl_disk_walk *walk, struct gl_disk *out_disk, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static int gl_found(struct gl_disk_walk *walk, struct gl_disk *out_disk, const char *format, ...)
{
	va_list args;
	char *text;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0) {
		return gl_fail_memory(walk->err);
	}
	out_disk->text = text;
	return 1;
}

static int gl_fail_attribute(struct gl_disk_walk *walk, const struct gl_device *device, const char *name)
{
	int code = errno == EACCES || errno == EPERM ? GUESTLOCK_DENIED : GUESTLOCK_IO;

	return gl_fail(walk->err, code, errno,
		       "cannot identify disk %s: its attribute %s in %s cannot be read: %m; check the device",
		       device->node, name, walk->sysfs);
}

/* "partN:PARENT", which no file is called. Closes parent. */
static int gl_found_part(struct gl_disk_walk *walk, const struct gl_device *device, int parent,
			 uint64_t number, struct gl_disk *out_disk)
{
	GL_AUTOCLOSE int directory = parent;
	struct gl_device whole = {
		.directory = directory, .number = gl_sysfs_number(directory), .node = device->node};
	struct gl_disk disk = {0};
	int result;

	result = go_deeper(walk, device->node);
	if (result < 0) {
		return result;
	}
	result = gl_ask_sources(walk, &whole, &disk);
	if (result < 0) {
		return result;
	}
	result = gl_found(walk, out_disk, "part%" PRIu64 ":%s", number, disk.text);
	free(disk.text);
	return result;
}

static int gl_by_partition(struct gl_disk_walk *walk, const struct gl_device *device,
			   struct gl_disk *out_disk)
{
	char text[32];
	ssize_t length = gl_sysfs_read_word(device->directory, "partition", text, sizeof(text));
	uint64_t number;
	int parent;

	if (length == 0) {
		return 0;
	}
	if (length > 0 && !gl_parse_u64(text, 10, &number)) {
		length = -1;
		errno = EBADMSG;
	}
	if (length < 0) {
		return gl_fail_attribute(walk, device, "partition");
	}
	parent = openat(device->directory, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0) {
		return gl_fail_attribute(walk, device, "..");
	}
	return gl_found_part(walk, device, parent, number, out_disk);
}

/* "partN-REST", as kpartx names the maps of partitions: the rest, or uuid itself with *out_number 0. */
static const char *gl_mapper_part(const char *uuid, uint64_t *out_number)
{
	char digits[24];
	size_t length;

	*out_number = 0;
	if (strncmp(uuid, "part", 4) != 0) {
		return uuid;
	}
	length = strspn(uuid + 4, "0123456789");
	if (length == 0 || length >= sizeof(digits) || uuid[4 + length] != '-') {
		return uuid;
	}
	memcpy(digits, uuid + 4, length);
	digits[length] = '\0';
	return gl_parse_u64(digits, 10, out_number) ? uuid + 4 + length + 1 : uuid;
}

/*
 * The uuids of device-mapper that are the same on every host. What follows the identifier is a name or a
 * layer.
 */
static const struct gl_mapper_kind {
	const char *prefix, *type;
	size_t length; /* characters of the identifier, 0: all that follow */
} gl_mapper_kinds[] = {
	{"mpath-", "wwid", 0},
	{"LVM-", "lvm", 64},
	{"CRYPT-LUKS1-", "luks", 32},
	{"CRYPT-LUKS2-", "luks", 32},
};

static const struct gl_mapper_kind *gl_mapper_kind_of(const char *uuid, int *out_length)
{
	size_t i;

	for (i = 0; i < GL_COUNT(gl_mapper_kinds); i++) {
		const struct gl_mapper_kind *kind = &gl_mapper_kinds[i];
		size_t prefix = strlen(kind->prefix);
		size_t length;

		if (strncmp(uuid, kind->prefix, prefix) != 0) {
			continue;
		}
		length = kind->length ? strcspn(uuid + prefix, "-") : strlen(uuid + prefix);
		if (length > 0 && (kind->length == 0 || length == kind->length)) {
			*out_length = (int)length;
			return kind;
		}
	}
	return NULL;
}

/*
 * A layer within a logical volume ("-real", "-cow", "-tpool") counts as the volume: whoever writes to the one
 * writes into the other.
 */
static int gl_by_mapper(struct gl_disk_walk *walk, const struct gl_device *device, struct gl_disk *out_disk)
{
	char uuid[GL_ATTRIBUTE_SIZE];
	ssize_t size = gl_sysfs_read_word(device->directory, "dm/uuid", uuid, sizeof(uuid));
	const struct gl_mapper_kind *kind;
	const char *rest;
	uint64_t number;
	int length, parent;

	if (size <= 0) {
		return size < 0 ? gl_fail_attribute(walk, device, "dm/uuid") : 0;
	}
	rest = gl_mapper_part(uuid, &number);
	kind = gl_mapper_kind_of(rest, &length);
	if (kind && number == 0) {
		return gl_found(walk, out_disk, "%s:%.*s", kind->type, length, rest + strlen(kind->prefix));
	}
	if (kind) {
		return gl_found(walk, out_disk, "part%" PRIu64 ":%s:%.*s", number, kind->type, length,
				rest + strlen(kind->prefix));
	}
	parent = number == 0 ? -1 : gl_sysfs_only(device->directory, "slaves");
	return parent < 0 ? 0 : gl_found_part(walk, device, parent, number, out_disk);
}

/* The kernel's words for a file without a name are a legal name too: in doubt it is refused. */
static int gl_check_backing(struct gl_disk_walk *walk, const struct gl_device *device, const char *path)
{
	size_t length = strlen(path);
	size_t mark = strlen(GL_DELETED);

	if (path[0] == '/' && (length < mark || strcmp(path + length - mark, GL_DELETED) != 0)) {
		return GUESTLOCK_OK;
	}
	return gl_fail(
		walk->err, GUESTLOCK_INVALID, 0,
		"cannot identify disk %s: the file behind this loop device, %s, has no name that can be "
		"found; attach the loop device to a file that exists",
		device->node, path);
}

/* The name was given by whoever attached it: since then, or here, it may be that of another file. */
static int gl_check_behind(struct gl_disk_walk *walk, const struct gl_device *device, const char *path)
{
	int behind = walk->is_behind(device->number, device->node, path);

	if (behind > 0) {
		return GUESTLOCK_OK;
	}
	if (behind < 0) {
		return gl_fail(
			walk->err, gl_status_of_errno(errno), errno,
			"cannot identify disk %s: which file is behind this loop device cannot be asked: "
			"%m; it is done through the device, which the caller must be able to read",
			device->node);
	}
	return gl_fail(
		walk->err, GUESTLOCK_INVALID, 0,
		"cannot identify disk %s: the file behind this loop device is not the one that is %s here; "
		"detach the loop device and attach it again, or name its file where that can be found",
		device->node, path);
}

static int gl_by_loop(struct gl_disk_walk *walk, const struct gl_device *device, struct gl_disk *out_disk)
{
	char path[GL_ATTRIBUTE_SIZE];
	ssize_t length = gl_sysfs_read(device->directory, "loop/backing_file", path, sizeof(path));
	int status;

	if (length < 0) {
		return gl_fail_attribute(walk, device, "loop/backing_file");
	}
	if (length == 0 && major(device->number) != LOOP_MAJOR) {
		return 0;
	}
	if (length == 0) {
		return gl_fail(walk->err, GUESTLOCK_INVALID, 0,
			       "cannot identify disk %s: this loop device has no file; attach one first",
			       device->node);
	}
	if (path[length - 1] == '\n') {
		path[length - 1] = '\0';
	}
	status = gl_check_backing(walk, device, path);
	if (status == GUESTLOCK_OK) {
		status = gl_check_behind(walk, device, path);
	}
	if (status == GUESTLOCK_OK) {
		status = go_deeper(walk, device->node);
	}
	if (status != GUESTLOCK_OK) {
		return status;
	}
	status = walk->along(walk, path, out_disk);
	if (status != GUESTLOCK_OK) {
		gl_error_prefix(walk->err, "behind loop device %s", device->node);
		return status;
	}
	return 1;
}

static int gl_by_nvme(struct gl_disk_walk *walk, const struct gl_device *device, struct gl_disk *out_disk)
{
	char wwid[GL_ATTRIBUTE_SIZE];
	ssize_t length = gl_sysfs_read_word(device->directory, "wwid", wwid, sizeof(wwid));

	if (length <= 0) {
		return length < 0 ? gl_fail_attribute(walk, device, "wwid") : 0;
	}
	return gl_found(walk, out_disk, "wwid:%s", wwid);
}

/* The name by the page of vital product data: 1, 0 it has none, -1 with errno. */
static int gl_page_wwid(const struct gl_device *device, char out_wwid[GL_WWID_SIZE])
{
	GL_AUTOFREE char *page = malloc(GL_VPD_SIZE);
	char vendor[64], model[64];
	ssize_t length;

	if (!page) {
		return -1;
	}
	length = gl_sysfs_read(device->directory, "device/vpd_pg83", page, GL_VPD_SIZE);
	if (length <= 0) {
		return (int)length;
	}
	if (gl_sysfs_read_word(device->directory, "device/vendor", vendor, sizeof(vendor)) < 0 ||
	    gl_sysfs_read_word(device->directory, "device/model", model, sizeof(model)) < 0) {
		return -1;
	}
	return gl_wwid_of_page((const unsigned char *)page, (size_t)length, vendor, model, out_wwid);
}

static int gl_by_scsi(struct gl_disk_walk *walk, const struct gl_device *device, struct gl_disk *out_disk)
{
	char attribute[GL_ATTRIBUTE_SIZE];
	char wwid[GL_WWID_SIZE];
	int result = gl_page_wwid(device, wwid);

	if (result < 0) {
		return gl_fail_attribute(walk, device, "device/vpd_pg83");
	}
	if (result == 0) {
		if (gl_sysfs_read_word(device->directory, "device/wwid", attribute, sizeof(attribute)) < 0) {
			return gl_fail_attribute(walk, device, "device/wwid");
		}
		result = gl_wwid_of_attribute(attribute, wwid);
	}
	return result ? gl_found(walk, out_disk, "wwid:%s", wwid) : 0;
}

/* A disk of a virtual machine has the serial number that its host gave it. */
static int gl_by_serial(struct gl_disk_walk *walk, const struct gl_device *device, struct gl_disk *out_disk)
{
	char serial[GL_ATTRIBUTE_SIZE];
	ssize_t length = gl_sysfs_read_word(device->directory, "serial", serial, sizeof(serial));

	if (length <= 0) {
		return length < 0 ? gl_fail_attribute(walk, device, "serial") : 0;
	}
	return gl_found(walk, out_disk, "virtio:%s", serial);
}

/* The node that the kernel names in a uevent, or NULL. Cuts the text behind it. */
static const char *gl_uevent_name(char *text)
{
	static const char key[] = "DEVNAME=";
	char *line = text;

	while (line && strncmp(line, key, strlen(key)) != 0) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line) {
		return NULL;
	}
	line += strlen(key);
	line[strcspn(line, "\n")] = '\0';
	return line[0] != '\0' ? line : NULL;
}

/* The numbers of /dev/dm-N differ between hosts; the names of device-mapper are given by people. */
static int gl_by_node(struct gl_disk_walk *walk, const struct gl_device *device, struct gl_disk *out_disk)
{
	char text[GL_ATTRIBUTE_SIZE];
	ssize_t length = gl_sysfs_read_word(device->directory, "dm/name", text, sizeof(text));
	const char *name;

	if (length < 0) {
		return gl_fail_attribute(walk, device, "dm/name");
	}
	if (length > 0) {
		return gl_found(walk, out_disk, "device:/dev/mapper/%s", text);
	}
	if (gl_sysfs_read(device->directory, "uevent", text, sizeof(text)) < 0) {
		return gl_fail_attribute(walk, device, "uevent");
	}
	name = gl_uevent_name(text);
	return name ? gl_found(walk, out_disk, "device:/dev/%s", name)
		    : gl_found(walk, out_disk, "device:%s", device->node);
}

static int gl_ask_sources(struct gl_disk_walk *walk, const struct gl_device *device, struct gl_disk *out_disk)
{
	static gl_source_fn *const sources[] = {
		gl_by_partition, gl_by_mapper, gl_by_loop, gl_by_nvme, gl_by_scsi, gl_by_serial, gl_by_node,
	};
	int result = 0;
	size_t i;

	for (i = 0; i < GL_COUNT(sources) && result == 0; i++) {
		result = sources[i](walk, device, out_disk);
	}
	return result;
}

int gl_disk_walk_device(struct gl_disk_walk *walk, dev_t number, const char *node, struct gl_disk *out_disk)
{
	GL_AUTOCLOSE int directory = gl_sysfs_open(walk->sysfs, number);
	struct gl_device device = {.directory = directory, .number = number, .node = node};
	struct gl_disk disk = {.device = number};
	int result;

	if (directory >= 0) {
		result = walk->scheme == GL_IDENTITY_PATH ? gl_by_node(walk, &device, &disk)
							  : gl_ask_sources(walk, &device, &disk);
	} else if (walk->scheme == GL_IDENTITY_PATH) {
		result = gl_found(walk, &disk, "device:%s", node);
	} else {
		result = gl_fail(walk->err, gl_status_of_errno(errno), errno,
				 "cannot identify disk %s: the kernel does not describe block device %u:%u "
				 "in %s/dev/block: %m; check that the device exists and that %s is mounted",
				 node, major(number), minor(number), walk->sysfs, walk->sysfs);
	}
	if (result < 0) {
		return result;
	}
	*out_disk = disk;
	return GUESTLOCK_OK;
}
