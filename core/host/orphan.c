/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Freeing a lock that no record accounts for. */
#include "base/base.h"
#include "base/error.h"
#include "guest/guest.h"
#include "operation/call.h"

#include <string.h>

bool gl_record_explains(const struct guestlock *gl, const char *uuid, uint64_t instance, const char *key)
{
	struct gl_record *record = NULL;
	struct guestlock_error ignored;
	bool explained;

	if (gl_store_load(&gl->store, uuid, &record, &ignored) < 0) {
		return false;
	}
	explained = record->instance == instance && gl_record_find_key(record, key);
	gl_record_free(record);
	return explained;
}

static int fail_explained(const char *key, const char *uuid, struct guestlock_error *err)
{
	return gl_fail(
		err, GUESTLOCK_NOT_FOUND, 0,
		"key %s is no orphan: the record of guest %s accounts for it; use guestlock release on that "
		"guest",
		key, uuid);
}

/* Does any record name it? Where the backend does not tell whose a lock is, it may be that guest's. */
static int check_records(struct guestlock *gl, const char *key, struct guestlock_error *err)
{
	GL_AUTOFREE char(*uuids)[GUESTLOCK_UUID_STRING] = NULL;
	size_t count = 0;
	int status = gl_store_uuids(&gl->store, &uuids, &count, err);

	for (size_t i = 0; i < count && status == GUESTLOCK_OK; i++) {
		struct guestlock_error ignored;
		struct gl_record *record = NULL;

		if (gl_store_load(&gl->store, uuids[i], &record, &ignored) == GUESTLOCK_OK) {
			status =
				gl_record_find_key(record, key) ? fail_explained(key, uuids[i], err) : status;
			gl_record_free(record);
		}
	}
	return status;
}

static int check_unexplained(struct guestlock *gl, const char *key, struct guestlock_error *err)
{
	struct gl_resource resource = {.type = GUESTLOCK_LEASE};
	struct guestlock_error cause = {0};
	struct gl_batch batch;
	int status = GUESTLOCK_OK;

	gl_copy_cut(resource.key, sizeof(resource.key), key);
	if (gl_batch_init(&batch, 1) < 0) {
		return gl_fail_memory(err);
	}
	gl_batch_add(&batch, &resource, GUESTLOCK_MODE_NONE);
	if (gl_call(gl, GL_CALL_INQUIRE, NULL, &batch, GUESTLOCK_BATCH_ALL_HOLDERS, gl_deadline(gl),
		    &cause) != GUESTLOCK_RES_GRANTED ||
	    batch.items[0].result == GUESTLOCK_RES_UNKNOWN) {
		status = check_records(gl, key, err);
	}
	for (size_t i = 0; i < batch.items[0].n_holders && status == GUESTLOCK_OK; i++) {
		const struct guestlock_holder *holder = &batch.items[0].holders[i];

		if (!holder->uuid[0]) {
			status = check_records(gl, key, err);
		} else if (gl_record_explains(gl, holder->uuid, holder->instance, key)) {
			status = fail_explained(key, holder->uuid, err);
		}
	}
	gl_batch_free(&batch);
	return status;
}

int guestlock_release_orphan(struct guestlock *gl, const char *key, bool force, struct guestlock_error *err)
{
	struct guestlock_error cause = {0};
	enum guestlock_result result;
	int status;

	if (!guestlock_key_valid(key)) {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "\"%.80s\" is not a key: a key has 43 characters, as guestlock check PATH and "
			       "guestlock reap show it",
			       key);
	}
	status = gl_ready(gl, gl_deadline(gl), err);
	if (status == GUESTLOCK_OK) {
		status = check_unexplained(gl, key, err);
	}
	if (status < 0) {
		return status;
	}
	result = gl->ops->release_orphan(gl->backend, key, force, &cause);
	if (result == GUESTLOCK_RES_GRANTED) {
		return GUESTLOCK_OK;
	}
	cause.code = result == GUESTLOCK_RES_BUSY ? GUESTLOCK_ALIVE : gl_status_of_result(result);
	if (result == GUESTLOCK_RES_FREE || result == GUESTLOCK_RES_NO_ORPHAN) {
		cause.code = GUESTLOCK_NOT_FOUND;
	}
	gl_copy_cut(cause.backend, sizeof(cause.backend), gl_technology(gl));
	gl_error_pass(err, &cause);
	return cause.code;
}
