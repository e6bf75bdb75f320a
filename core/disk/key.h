/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a resource to what is locked: the same on every host, and the same for every name of it. */
#ifndef GL_KEY_H
#define GL_KEY_H

#include <guestlock/backend.h>

enum gl_identity_scheme {
	GL_IDENTITY_AUTO, /* stable identities of block devices, else the real path */
	GL_IDENTITY_PATH, /* the real path always */
};

struct gl_identity {
	char *text; /* "file:PATH", "device:PATH", "lvm:UUID", "luks:UUID", "wwid:ID", "virtio:SERIAL", and
		       "partN:" before that of the whole disk for its partitions; "lease:LOCKSPACE:PATH:OFFSET:KEY"; "guest:UUID";
		       "readers:" and "writers:" before that of a disk for its sides */
	char key[GUESTLOCK_KEY_SIZE]; /* digest of "disk", "lease", "guest", "readers" or "writers", NUL, and what follows the type
				       */
	bool has_file;                /* a regular file of this host, known by device and inode */
	uint64_t device, inode; /* (block devices: has_file is set too, device is the rdev, inode 0; but a
				   loop device has those of its backing file) */
	uint64_t born; /* when the file was made, in nanoseconds since 1970: inodes are used again; 0: not known */
};

/*
 * Identifies a resource. Disks are looked at: NOT_FOUND (missing), INVALID (relative, a directory, a
 * socket, too long, ...), DENIED, IO. sysfs is "/sys", or a made-up tree in tests. *out needs
 * gl_identity_free() on success only.
 */
int gl_identify(const struct guestlock_resource *resource, enum gl_identity_scheme scheme, const char *sysfs,
		struct gl_identity *out, struct guestlock_error *err);

/* The identity of the guest itself (lock_guest). */
int gl_identify_guest(const char *uuid, struct gl_identity *out, struct guestlock_error *err);

/* The identity of the whole disk that a partition is of, within text; NULL: it is none. */
const char *gl_identity_whole(const char *text);

/* By an identity that gl_identity_whole() gave: what is locked when the whole disk is named. */
int gl_identify_whole(const char *text, struct gl_identity *out, struct guestlock_error *err);

/* Of a disk by its identity: one of the two sides of those who have it shared. Those who write it, or who only read it. */
int gl_identify_side(bool readers, const char *text, struct gl_identity *out, struct guestlock_error *err);

/* Is it a device that is known by its name on this host alone, or a partition of such a one? */
bool gl_identity_is_local(const char *text);

void gl_identity_free(struct gl_identity *identity);

#endif
