/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the resources that a caller names to those that are locked. */
#include "base/base.h"
#include "base/error.h"
#include "guest/guest.h"

#include <string.h>

struct gl_named gl_named_of(const struct guestlock_resource *resource)
{
	struct gl_named named = {
		.type = resource->type,
		.flags = resource->flags,
		.offset = resource->offset,
	};

	/* Only read through: gl_named owns its strings elsewhere. */
	memcpy(&named.name, &resource->name, sizeof(named.name));
	memcpy(&named.lockspace, &resource->lockspace, sizeof(named.lockspace));
	memcpy(&named.path, &resource->path, sizeof(named.path));
	return named;
}

static int take_identity(struct gl_resource *out, struct gl_identity *identity)
{
	out->identity = identity->text;
	identity->text = NULL;
	memcpy(out->key, identity->key, sizeof(out->key));
	out->has_file = identity->has_file;
	out->device = identity->device;
	out->inode = identity->inode;
	out->born = identity->born;
	gl_identity_free(identity);
	return 0;
}

int gl_identify_named(struct guestlock *gl, const struct gl_named *named, struct gl_resource *out_resource,
		      struct guestlock_error *err)
{
	const struct guestlock_resource resource = {
		.type = named->type,
		.flags = named->flags,
		.name = named->name,
		.lockspace = named->lockspace,
		.path = named->path,
		.offset = named->offset,
	};
	struct gl_resource made = {.type = named->type, .flags = named->flags, .offset = named->offset};
	struct gl_identity identity = {0};
	int status = gl_identify(&resource, gl->identity_scheme, "/sys", &identity, err);

	if (status < 0) {
		gl_error_about(err, NULL, named->name);
		return status;
	}
	take_identity(&made, &identity);
	if (gl_set_string(&made.name, named->name) < 0 ||
	    gl_set_string(&made.lockspace, named->lockspace) < 0 ||
	    gl_set_string(&made.path, named->path) < 0) {
		gl_resource_clear(&made);
		return gl_fail_memory(err);
	}
	*out_resource = made;
	return GUESTLOCK_OK;
}

static int make_guest_lock(const char *uuid, struct gl_resource *out, struct guestlock_error *err)
{
	struct gl_resource made = {.type = GUESTLOCK_LEASE, .guest_lock = true};
	struct gl_identity identity = {0};
	int status = gl_identify_guest(uuid, &identity, err);

	if (status < 0) {
		return status;
	}
	take_identity(&made, &identity);
	if (gl_set_string(&made.name, uuid) < 0) {
		gl_resource_clear(&made);
		return gl_fail_memory(err);
	}
	*out = made;
	return GUESTLOCK_OK;
}

static bool is_writable_disk(const struct gl_named *named)
{
	return named->type == GUESTLOCK_DISK && !(named->flags & GUESTLOCK_READONLY);
}

bool gl_is_locked(const struct guestlock *gl, const struct gl_named *named)
{
	if (gl_can(gl, GUESTLOCK_CAP_GUEST_ONLY)) {
		return false;
	}
	if (named->type == GUESTLOCK_LEASE) {
		return true;
	}
	return gl->lock_disks && (gl->readonly_shared || !(named->flags & GUESTLOCK_READONLY));
}

static int check_leases(const struct guestlock *gl, const char *uuid, const struct gl_named *named,
			size_t n_named, struct guestlock_error *err)
{
	bool lease = false, disk = false;

	for (size_t i = 0; i < n_named; i++) {
		lease |= named[i].type == GUESTLOCK_LEASE;
		disk |= is_writable_disk(&named[i]);
	}
	if (gl->lock_disks || !gl->require_leases || !disk || lease) {
		return GUESTLOCK_OK;
	}
	gl_fail(err, GUESTLOCK_REJECTED, 0,
		"guest %s has writable disks and no lease, and the configuration locks leases only "
		"(lock_disks = no, require_leases = yes): give it a lease, or change one of the two settings",
		uuid);
	gl_error_about(err, uuid, NULL);
	return GUESTLOCK_REJECTED;
}

/*
 * The stronger of two wishes. Neither flag: to write alone. SHARED: to write beside others, who agree. READONLY: to
 * read.
 */
static unsigned stronger_flags(unsigned a, unsigned b)
{
	return a == 0 || b == 0 ? 0 : (a & b) == 0 ? GUESTLOCK_SHARED : a & b;
}

/* With the scheme "path" every device is called by its name, which was chosen to be the same everywhere. */
static int check_name(const struct guestlock *gl, const struct gl_resource *resource,
		      struct guestlock_error *err)
{
	if (resource->type != GUESTLOCK_DISK || gl->local_names || gl->identity_scheme == GL_IDENTITY_PATH ||
	    !gl_can(gl, GUESTLOCK_CAP_HOSTS) || !gl_identity_is_local(resource->identity)) {
		return GUESTLOCK_OK;
	}
	return gl_fail(
		err, GUESTLOCK_UNSAFE, 0,
		"cannot lock disk %s for all hosts: the kernel gives it no identity, and its name (%s) "
		"may be that of another disk on another host; use a disk with one (a serial number, a "
		"logical volume), or set allow_local_names = yes if the name is the same everywhere",
		resource->name, resource->identity);
}

/* What is collected. */
struct wanted {
	struct gl_resource *resources;
	size_t count;
};

/* Takes the resource over: of two wishes for one key the stronger counts. */
static int add_wanted(struct wanted *wanted, struct gl_resource *resource, struct guestlock_error *err)
{
	struct gl_resource *grown;

	for (size_t i = 0; i < wanted->count; i++) {
		struct gl_resource *known = &wanted->resources[i];

		if (strcmp(known->key, resource->key) == 0) {
			known->flags = stronger_flags(known->flags, resource->flags);
			/* Named as a disk, it is more than the whole of a partition. */
			if (known->whole && !resource->whole) {
				resource->flags = known->flags;
				gl_resource_clear(known);
				*known = *resource;
			} else {
				gl_resource_clear(resource);
			}
			return GUESTLOCK_OK;
		}
	}
	grown = gl_grow(wanted->resources, wanted->count, sizeof(*grown));
	if (!grown) {
		gl_resource_clear(resource);
		return gl_fail_memory(err);
	}
	wanted->resources = grown;
	wanted->resources[wanted->count++] = *resource;
	return GUESTLOCK_OK;
}

/*
 * A partition has its whole disk shared, so that who wants that alone, on whichever host, meets it. On this host
 * the hints tell more.
 */
static int add_wholes(struct guestlock *gl, const char *part, struct wanted *wanted,
		      struct guestlock_error *err)
{
	const char *whole = gl_locks_wholes(gl) ? gl_identity_whole(part) : NULL;
	int status = GUESTLOCK_OK;

	for (; whole && status == GUESTLOCK_OK; whole = gl_identity_whole(whole)) {
		struct gl_resource made = {.type = GUESTLOCK_DISK, .flags = GUESTLOCK_SHARED, .whole = true};
		struct gl_identity identity = {0};

		status = gl_identify_whole(whole, &identity, err);
		if (status < 0) {
			return status;
		}
		take_identity(&made, &identity);
		if (gl_set_string(&made.name, whole) < 0) {
			gl_resource_clear(&made);
			return gl_fail_memory(err);
		}
		status = add_wanted(wanted, &made, err);
	}
	return status;
}

static int add_named(struct guestlock *gl, const struct gl_named *named, struct wanted *wanted,
		     struct guestlock_error *err)
{
	struct gl_resource made = {0};
	GL_AUTOFREE char *identity = NULL;
	int status = gl_identify_named(gl, named, &made, err);

	if (status == GUESTLOCK_OK) {
		status = check_name(gl, &made, err);
	}
	if (status == GUESTLOCK_OK && gl_set_string(&identity, made.identity) < 0) {
		status = gl_fail_memory(err);
	}
	if (status < 0) {
		gl_resource_clear(&made);
		return status;
	}
	status = add_wanted(wanted, &made, err);
	return status == GUESTLOCK_OK && named->type == GUESTLOCK_DISK ? add_wholes(gl, identity, wanted, err)
								       : status;
}

int gl_wanted(struct guestlock *gl, const char *uuid, const struct gl_named *named, size_t n_named,
	      bool guest_lock, struct gl_resource **out_resources, size_t *out_count,
	      struct guestlock_error *err)
{
	struct wanted wanted = {.resources = NULL};
	int status = check_leases(gl, uuid, named, n_named, err);

	if (status == GUESTLOCK_OK && guest_lock &&
	    (gl->lock_guest || gl_can(gl, GUESTLOCK_CAP_GUEST_ONLY))) {
		struct gl_resource made = {0};

		status = make_guest_lock(uuid, &made, err);
		status = status == GUESTLOCK_OK ? add_wanted(&wanted, &made, err) : status;
	}
	for (size_t i = 0; i < n_named && status == GUESTLOCK_OK; i++) {
		if (gl_is_locked(gl, &named[i])) {
			status = add_named(gl, &named[i], &wanted, err);
		}
	}
	if (status < 0) {
		gl_error_about(err, uuid, NULL);
		gl_wanted_free(wanted.resources, wanted.count);
		return status;
	}
	*out_resources = wanted.resources;
	*out_count = wanted.count;
	return GUESTLOCK_OK;
}

void gl_wanted_free(struct gl_resource *resources, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		gl_resource_clear(&resources[i]);
	}
	free(resources);
}

/* What is held shared does not become exclusive in passing: somebody else may share it. */
static int strengthen(struct gl_record *record, struct gl_resource *known, const struct gl_resource *wanted,
		      struct guestlock_error *err)
{
	unsigned flags = stronger_flags(known->flags, wanted->flags);
	bool idle = true;

	for (size_t k = 0; k < GL_HOLDINGS; k++) {
		idle &= known->holdings[k].state == GUESTLOCK_RESOURCE_NONE;
	}
	/* Nor does who only reads a disk become one of those who write it. */
	if (idle || flags == known->flags || (flags != 0 && known->type != GUESTLOCK_DISK)) {
		known->flags = flags;
		return GUESTLOCK_OK;
	}
	GL_AUTOFREE char *words = gl_resource_words(known);

	gl_fail(err, GUESTLOCK_REJECTED, 0,
		known->whole
			? "guest %s has a partition of %s, and with it the whole shared: detach the partition first"
			: "guest %s has %s as shared or read-only already and wants more of it now: detach it "
			  "first, then attach it as it is to be used",
		record->uuid, words ? words : "a resource");
	gl_error_about(err, record->uuid, known->name);
	return GUESTLOCK_REJECTED;
}

/* What was held for its partitions alone is named now. */
static void name_whole(struct gl_resource *known, struct gl_resource *wanted)
{
	wanted->flags = known->flags;
	wanted->unhinted = wanted->has_file;
	memcpy(wanted->holdings, known->holdings, sizeof(wanted->holdings));
	gl_resource_clear(known);
	*known = *wanted;
	*wanted = (struct gl_resource){0};
}

int gl_merge_wanted(struct gl_record *record, struct gl_resource *wanted, size_t count,
		    struct guestlock_error *err)
{
	for (size_t i = 0; i < count; i++) {
		struct gl_resource *known = gl_record_find_key(record, wanted[i].key);
		int status = known ? strengthen(record, known, &wanted[i], err) : GUESTLOCK_OK;

		if (status < 0) {
			return status;
		}
		if (known) {
			if (known->whole && !wanted[i].whole) {
				name_whole(known, &wanted[i]);
			}
			continue;
		}
		known = gl_record_add_resource(record);
		if (!known) {
			return gl_fail_memory(err);
		}
		*known = wanted[i];
		known->unhinted = known->has_file;
		wanted[i] = (struct gl_resource){0};
	}
	return GUESTLOCK_OK;
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

bool gl_is_named(const struct gl_resource *known, const struct gl_named *named)
{
	if (known->guest_lock || known->type != named->type || strcmp(known->name, named->name) != 0) {
		return false;
	}
	return named->type == GUESTLOCK_DISK ||
	       (known->offset == named->offset && same_text(known->lockspace, named->lockspace) &&
		same_text(known->path, named->path));
}

int gl_check_resource(const struct guestlock_resource *resource, struct guestlock_error *err)
{
	if (resource->type != GUESTLOCK_DISK && resource->type != GUESTLOCK_LEASE) {
		return gl_fail(err, GUESTLOCK_INVALID, 0, "there is no resource type %d",
			       (int)resource->type);
	}
	if (resource->flags & ~(unsigned)(GUESTLOCK_READONLY | GUESTLOCK_SHARED)) {
		return gl_fail(err, GUESTLOCK_INVALID, 0, "unknown resource flags 0x%x", resource->flags);
	}
	if (!resource->name || !resource->name[0]) {
		return gl_fail(err, GUESTLOCK_INVALID, 0, "a %s has no name: give %s",
			       resource->type == GUESTLOCK_DISK ? "disk" : "lease",
			       resource->type == GUESTLOCK_DISK ? "its absolute path" : "its key");
	}
	return GUESTLOCK_OK;
}
