/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "key.h"
#include "disk.h"
#include "error.h"
#include "util.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * The digest of what is locked, which format and its arguments write: the type, and after a NUL each what
 * makes the key, so that no two different lists give the same bytes. Hosts must agree on it for ever:
 *
 *     "disk" NUL identity
 *     "lease" NUL lockspace NUL path NUL offset in decimal NUL key     (what is not given is empty)
 *     "guest" NUL uuid in small letters
 */
static int gl_digest_format(char out_key[GUESTLOCK_KEY_SIZE], struct guestlock_error *err, const char *format,
			    ...) __attribute__((format(printf, 3, 4)));
static int gl_digest_format(char out_key[GUESTLOCK_KEY_SIZE], struct guestlock_error *err, const char *format,
			    ...)
{
	GL_AUTOFREE char *data = NULL;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&data, format, args);
	va_end(args);
	if (length < 0) {
		data = NULL;
		return gl_fail_memory(err);
	}
	guestlock_digest(data, (size_t)length, out_key);
	return GUESTLOCK_OK;
}

static int gl_identify_disk(const struct guestlock_resource *resource, enum gl_identity_scheme scheme,
			    const char *sysfs, struct gl_identity *identity, struct guestlock_error *err)
{
	struct gl_disk disk;
	int status = gl_disk_identify(resource->name, scheme, sysfs, &disk, err);

	if (status != GUESTLOCK_OK) {
		return status;
	}
	identity->text = disk.text;
	identity->has_file = true;
	identity->device = disk.device;
	identity->inode = disk.inode;
	return gl_digest_format(identity->key, err, "disk%c%s", 0, disk.text);
}

static int gl_identify_lease(const struct guestlock_resource *resource, struct gl_identity *identity,
			     struct guestlock_error *err)
{
	const char *lockspace = resource->lockspace ? resource->lockspace : "";
	const char *path = resource->path ? resource->path : "";

	if (resource->name[0] == '\0') {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "cannot identify a lease: its key is empty; give it a key");
	}
	if (asprintf(&identity->text, "lease:%s:%s:%" PRIu64 ":%s", lockspace, path, resource->offset,
		     resource->name) < 0) {
		identity->text = NULL;
		return gl_fail_memory(err);
	}
	return gl_digest_format(identity->key, err, "lease%c%s%c%s%c%" PRIu64 "%c%s", 0, lockspace, 0, path,
				0, resource->offset, 0, resource->name);
}

int gl_identify(const struct guestlock_resource *resource, enum gl_identity_scheme scheme, const char *sysfs,
		struct gl_identity *out, struct guestlock_error *err)
{
	struct gl_identity identity = {0};
	int status;

	if (!resource->name) {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "cannot identify a resource: it has no name; give it one");
	}
	switch (resource->type) {
	case GUESTLOCK_DISK:
		status = gl_identify_disk(resource, scheme, sysfs, &identity, err);
		break;
	case GUESTLOCK_LEASE:
		status = gl_identify_lease(resource, &identity, err);
		break;
	default:
		status = gl_fail(err, GUESTLOCK_INVALID, 0,
				 "cannot identify %s: %d is not a type of resource; use a disk or a lease",
				 resource->name, (int)resource->type);
	}
	if (status != GUESTLOCK_OK) {
		gl_error_about(err, NULL, resource->name);
		gl_identity_free(&identity);
		return status;
	}
	*out = identity;
	return GUESTLOCK_OK;
}

int gl_identify_guest(const char *uuid, struct gl_identity *out, struct guestlock_error *err)
{
	struct gl_identity identity = {0};
	char canonical[GUESTLOCK_UUID_STRING];
	int status;

	if (!gl_uuid_parse(uuid, canonical)) {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "cannot identify guest %s: that is not a uuid; give a uuid", uuid);
	}
	if (asprintf(&identity.text, "guest:%s", canonical) < 0) {
		return gl_fail_memory(err);
	}
	status = gl_digest_format(identity.key, err, "guest%c%s", 0, canonical);
	if (status != GUESTLOCK_OK) {
		gl_identity_free(&identity);
		return status;
	}
	*out = identity;
	return GUESTLOCK_OK;
}

void gl_identity_free(struct gl_identity *identity)
{
	free(identity->text);
	identity->text = NULL;
}
