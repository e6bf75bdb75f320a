/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Giving up what nobody needs: locks of owners of this host that are dead, or of whom nothing is known. */
#include "calls/call.h"

#include "owners/owners.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RELEASE_MS 5000

/* Who is dead needs no interest either. */
static bool has(const struct gl_dlm *dlm, const struct gl_dlm_lock *lock)
{
	return lock->mode > DLM_LOCK_NL ||
	       (lock->mode == DLM_LOCK_NL && gl_dlm_owner_is_dead(dlm, lock->xid));
}

/* The xids that have a key, in no mode only where they are dead; malloc'd. */
static uint64_t *holders_of(struct gl_dlm *dlm, const char *key, size_t *out_count)
{
	struct gl_dlm_lock *locks;
	uint64_t *xids;
	size_t count, held = 0;

	pthread_mutex_lock(&dlm->mutex);
	locks = gl_dlm_table_copy(&dlm->table, key, &count);
	pthread_mutex_unlock(&dlm->mutex);
	xids = calloc(count + 1, sizeof(*xids));
	for (size_t i = 0; xids && i < count; i++) {
		if (has(dlm, &locks[i])) {
			xids[held++] = locks[i].xid;
		}
	}
	free(locks);
	*out_count = held;
	return xids;
}

enum guestlock_result gl_dlm_release_xid(struct gl_dlm *dlm, const char *key, uint64_t xid,
					 struct guestlock_error *err)
{
	struct guestlock_key name = {.identity = ""};
	struct guestlock_item item = {.key = &name};
	struct guestlock_batch batch = {
		.items = &item,
		.count = 1,
		.deadline_ms = guestlock_monotonic_ms() + RELEASE_MS,
	};

	if (!gl_dlm_seat_key(key, name.key)) {
		memcpy(name.key, key, strnlen(key, sizeof(name.key) - 1));
	}
	return gl_dlm_release_as(dlm, xid, &batch, err);
}

/* Nobody known stands behind it, or a dead one. */
static bool may_go(const struct gl_dlm *dlm, uint64_t xid)
{
	struct gl_dlm_owner owner;

	if (gl_dlm_owner_read(dlm, xid, &owner) < 0) {
		return errno == ENOENT;
	}
	gl_dlm_owner_free(&owner);
	return gl_dlm_owner_is_dead(dlm, xid);
}

static enum guestlock_result fail_living(struct gl_dlm *dlm, const char *key, uint64_t xid,
					 struct guestlock_error *err)
{
	struct gl_dlm_owner owner;
	const char *uuid = "unknown";

	if (gl_dlm_owner_read(dlm, xid, &owner) == 0) {
		uuid = owner.owner.uuid;
	}
	guestlock_backend_fail(
		err, GUESTLOCK_RES_BUSY, 0, 0,
		"cannot release %s: guest %s has it and is not known to be dead; shut it down, or "
		"add --force if you are certain that it is gone",
		key, uuid);
	gl_dlm_owner_free(&owner);
	return GUESTLOCK_RES_BUSY;
}

enum guestlock_result gl_dlm_release_orphan(struct guestlock_backend *backend, const char *key, bool force,
					    struct guestlock_error *err)
{
	struct gl_dlm *dlm = gl_dlm_of(backend);
	enum guestlock_result result = gl_dlm_check_running(dlm, err);
	size_t count, released = 0;
	uint64_t *xids, living = 0;

	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	xids = holders_of(dlm, key, &count);
	for (size_t i = 0; i < count && result == GUESTLOCK_RES_GRANTED; i++) {
		if (force || may_go(dlm, xids[i])) {
			result = gl_dlm_release_xid(dlm, key, xids[i], err);
			released++;
		} else {
			living = xids[i];
		}
	}
	free(xids);
	if (result != GUESTLOCK_RES_GRANTED || released > 0) {
		return result;
	}
	if (living) {
		return fail_living(dlm, key, living, err);
	}
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_NO_ORPHAN, 0, 0,
		"cannot release %s: no guest of this host has it; look at it with guestlock "
		"holders on the host that does",
		key);
}
