/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is digested for each type of resource. To change it is to lose every lock there is. */
#include "disk/key.h"
#include "base/base.h"
#include "base/error.h"
#include "disk/disk.h"

#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>

/*
 * The digest of what is locked: the type, and after a NUL each what makes the key, so that no two different
 * lists give the same bytes. Hosts must agree on it for ever:
 *
 *     "disk" NUL identity
 *     "lease" NUL lockspace NUL path NUL offset in decimal NUL key     (what is not given is empty)
 *     "guest" NUL uuid in small letters
 *     "readers" NUL identity of a disk
 *     "writers" NUL identity of a disk
 */
static void gl_digest_words(char out_key[GUESTLOCK_KEY_SIZE], const char *const words[], size_t count)
{
	struct sha256_ctx context;
	uint8_t digest[SHA256_DIGEST_SIZE];

	sha256_init(&context);
	for (size_t i = 0; i < count; i++) {
		sha256_update(&context, strlen(words[i]) + (i + 1 < count), (const uint8_t *)words[i]);
	}
	sha256_digest(&context, sizeof(digest), digest);
	guestlock_base64url(digest, sizeof(digest), out_key);
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
	identity->born = disk.born;
	gl_digest_words(identity->key, (const char *[]){"disk", disk.text}, 2);
	return GUESTLOCK_OK;
}

static int gl_identify_lease(const struct guestlock_resource *resource, struct gl_identity *identity,
			     struct guestlock_error *err)
{
	const char *lockspace = resource->lockspace ? resource->lockspace : "";
	const char *path = resource->path ? resource->path : "";
	char offset[24];

	if (resource->name[0] == '\0') {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "cannot identify a lease: its key is empty; give it a key");
	}
	snprintf(offset, sizeof(offset), "%" PRIu64, resource->offset);
	identity->text = gl_concat(
		(const char *[]){"lease:", lockspace, ":", path, ":", offset, ":", resource->name}, 8);
	if (!identity->text) {
		return gl_fail_memory(err);
	}
	gl_digest_words(identity->key, (const char *[]){"lease", lockspace, path, offset, resource->name}, 5);
	return GUESTLOCK_OK;
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

	if (!gl_uuid_parse(uuid, canonical)) {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "cannot identify guest %s: that is not a uuid; give a uuid", uuid);
	}
	identity.text = gl_concat((const char *[]){"guest:", canonical}, 2);
	if (!identity.text) {
		return gl_fail_memory(err);
	}
	gl_digest_words(identity.key, (const char *[]){"guest", canonical}, 2);
	*out = identity;
	return GUESTLOCK_OK;
}

const char *gl_identity_whole(const char *text)
{
	return strncmp(text, "part", 4) == 0 ? strchr(text, ':') + 1 : NULL;
}

int gl_identify_whole(const char *text, struct gl_identity *out, struct guestlock_error *err)
{
	struct gl_identity identity = {.text = strdup(text)};

	if (!identity.text) {
		return gl_fail_memory(err);
	}
	gl_digest_words(identity.key, (const char *[]){"disk", text}, 2);
	*out = identity;
	return GUESTLOCK_OK;
}

int gl_identify_side(bool readers, const char *text, struct gl_identity *out, struct guestlock_error *err)
{
	const char *side = readers ? "readers" : "writers";
	struct gl_identity identity = {.text = gl_concat((const char *[]){side, ":", text}, 3)};

	if (!identity.text) {
		return gl_fail_memory(err);
	}
	gl_digest_words(identity.key, (const char *[]){side, text}, 2);
	*out = identity;
	return GUESTLOCK_OK;
}

bool gl_identity_is_local(const char *text)
{
	const char *whole;

	while ((whole = gl_identity_whole(text))) {
		text = whole;
	}
	return strncmp(text, "device:", 7) == 0;
}

void gl_identity_free(struct gl_identity *identity)
{
	free(identity->text);
	identity->text = NULL;
}
