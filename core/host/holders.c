/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who holds a resource, and what a path is locked as. */
#include "base/base.h"
#include "base/error.h"
#include "disk/disk.h"
#include "guest/guest.h"

#include <string.h>

int guestlock_identify(struct guestlock *gl, const struct guestlock_resource *resource, char **out_identity,
		       char out_key[GUESTLOCK_KEY_SIZE], struct guestlock_error *err)
{
	struct gl_named named = gl_named_of(resource);
	struct gl_resource identified;
	int status = gl_check_resource(resource, err);

	if (status == GUESTLOCK_OK) {
		status = gl_identify_named(gl, &named, &identified, err);
	}
	if (status < 0) {
		return status;
	}
	memcpy(out_key, identified.key, GUESTLOCK_KEY_SIZE);
	*out_identity = identified.identity;
	identified.identity = NULL;
	gl_resource_clear(&identified);
	return GUESTLOCK_OK;
}

int guestlock_host_uses(struct guestlock *gl, const struct guestlock_resource *resource, char **out_words,
			struct guestlock_error *err)
{
	struct gl_named named = gl_named_of(resource);
	struct gl_resource identified;
	struct gl_disk disk;
	int status = gl_check_resource(resource, err);

	if (status == GUESTLOCK_OK) {
		status = gl_identify_named(gl, &named, &identified, err);
	}
	if (status < 0) {
		return status;
	}
	disk = (struct gl_disk){.device = identified.device, .inode = identified.inode};
	if (identified.has_file) {
		status = gl_disk_uses(&disk, "/sys", out_words, err);
	} else {
		*out_words = strdup("");
		status = *out_words ? GUESTLOCK_OK : gl_fail_memory(err);
	}
	gl_resource_clear(&identified);
	return status;
}

static int inquire_holders(struct guestlock *gl, struct gl_resource *resource,
			   struct guestlock_holder **out_holders, size_t *out_count,
			   struct guestlock_error *err)
{
	int64_t deadline_ms = gl_deadline(gl);
	struct guestlock_error cause = {0};
	struct gl_batch batch;
	enum guestlock_result result;
	int status = gl_ready(gl, deadline_ms, err);

	if (status < 0) {
		return status;
	}
	if (gl_batch_init(&batch, 1) < 0) {
		return gl_fail_memory(err);
	}
	gl_batch_add(&batch, resource, GUESTLOCK_MODE_NONE);
	result = gl_call(gl, GL_CALL_INQUIRE, NULL, &batch, GUESTLOCK_BATCH_ALL_HOLDERS, deadline_ms, &cause);
	if (result != GUESTLOCK_RES_GRANTED || batch.items[0].result == GUESTLOCK_RES_UNKNOWN) {
		status = cause.code < 0 ? (int)cause.code : GUESTLOCK_DAMAGED;
		if (cause.code == 0) {
			cause.code = GUESTLOCK_DAMAGED;
		}
		gl_error_pass(err, &cause);
	} else {
		*out_holders = batch.items[0].holders;
		*out_count = batch.items[0].n_holders;
		batch.items[0].holders = NULL;
		for (size_t i = 0; i < *out_count; i++) {
			gl_holder_from_here(gl, &(*out_holders)[i]);
		}
	}
	gl_batch_free(&batch);
	return status;
}

/* Those on that side of the disk are told so. What cannot be asked is not known. */
static void tell_side(struct guestlock *gl, const char *identity, bool readers,
		      struct guestlock_holder *holders, size_t count)
{
	GL_AUTOFREE struct guestlock_holder *on_side = NULL;
	struct gl_resource side = {.type = GUESTLOCK_LEASE};
	struct guestlock_error ignored;
	struct gl_identity found;
	size_t n_on_side = 0;

	if (gl_identify_side(readers, identity, &found, &ignored) < 0) {
		return;
	}
	memcpy(side.key, found.key, sizeof(side.key));
	side.identity = side.name = found.text;
	if (inquire_holders(gl, &side, &on_side, &n_on_side, &ignored) < 0) {
		n_on_side = 0;
	}
	for (size_t i = 0; i < n_on_side; i++) {
		for (size_t k = 0; k < count && on_side[i].mode == GUESTLOCK_MODE_SHARED; k++) {
			if (strcmp(holders[k].uuid, on_side[i].uuid) == 0 &&
			    holders[k].instance == on_side[i].instance) {
				holders[k].flags = readers ? GUESTLOCK_READONLY : GUESTLOCK_SHARED;
			}
		}
	}
	gl_identity_free(&found);
}

static bool is_any_shared(const struct guestlock_holder *holders, size_t count)
{
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		any |= holders[i].mode == GUESTLOCK_MODE_SHARED;
	}
	return any;
}

int guestlock_holders(struct guestlock *gl, const struct guestlock_resource *resource,
		      struct guestlock_holder **out_holders, size_t *out_count, struct guestlock_error *err)
{
	struct gl_named named = gl_named_of(resource);
	struct gl_resource identified;
	int status = gl_check_resource(resource, err);

	if (status == GUESTLOCK_OK) {
		status = gl_identify_named(gl, &named, &identified, err);
	}
	if (status < 0) {
		return status;
	}
	status = inquire_holders(gl, &identified, out_holders, out_count, err);
	if (status == GUESTLOCK_OK && gl->readonly_shared && resource->type == GUESTLOCK_DISK &&
	    is_any_shared(*out_holders, *out_count)) {
		tell_side(gl, identified.identity, true, *out_holders, *out_count);
		tell_side(gl, identified.identity, false, *out_holders, *out_count);
	}
	gl_resource_clear(&identified);
	return status;
}
