/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What this node has, and what of it nobody needs. */
#include "dump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RELEASE_MS 5000

static bool is_key(const char *name)
{
	return strlen(name) == GUESTLOCK_KEY_SIZE - 1 && !gl_dlm_is_host_lock(name);
}

/* Whether it is there still, which may have gone since the list was read, and its owner's note with it. */
static bool is_there(struct gl_dlm *dlm, const struct gl_dlm_row *row, int64_t *out_since)
{
	const struct gl_dlm_lock *known;

	pthread_mutex_lock(&dlm->mutex);
	known = gl_dlm_table_find(&dlm->table, row->name, row->xid);
	*out_since = known ? known->since : 0;
	pthread_mutex_unlock(&dlm->mutex);
	return known != NULL;
}

/* The owner of the lock before: locks that follow one another are mostly one owner's. */
struct last_owner {
	bool known, noted;
	uint64_t xid;
	struct gl_dlm_owner owner;
};

static bool find_owner(const struct gl_dlm *dlm, uint64_t xid, struct last_owner *last)
{
	if (!last->known || last->xid != xid) {
		gl_dlm_owner_free(&last->owner);
		last->noted = gl_dlm_owner_read(dlm, xid, &last->owner) == 0;
		last->xid = xid;
		last->known = true;
	}
	return last->noted;
}

/* Visits one lock. Interest of nobody is nothing. */
static int visit_row(struct gl_dlm *dlm, const struct gl_dlm_row *row, struct last_owner *last,
		     guestlock_enumerate_fn *visit, void *data)
{
	struct guestlock_lock lock = {
		.mode = gl_dlm_mode_of(row->mode), .key = {.identity = ""}, .readable = true};

	if (!gl_dlm_is_ours(dlm, row->xid) || !is_key(row->name) || row->mode < DLM_LOCK_NL) {
		return 0;
	}
	memcpy(lock.key.key, row->name, sizeof(lock.key.key));
	if (find_owner(dlm, row->xid, last)) {
		lock.owner = last->owner.owner;
		is_there(dlm, row, &lock.since);
	} else if (row->mode <= DLM_LOCK_CR || !is_there(dlm, row, &lock.since)) {
		return 0;
	} else {
		lock.readable = false;
		lock.owner.name = lock.owner.host = "";
		lock.owner.manager = dlm->base.run_dir;
	}
	return visit(data, &lock);
}

enum guestlock_result gl_dlm_enumerate(struct guestlock_backend *backend, guestlock_enumerate_fn *visit,
				       guestlock_unchanged_fn *unchanged, void *data,
				       struct guestlock_error *err)
{
	struct gl_dlm *dlm = gl_dlm_of(backend);
	enum guestlock_result result = gl_dlm_check_running(dlm, err);
	struct last_owner last = {.known = false};
	struct gl_dlm_dump dump;

	(void)unchanged; /* one look at all of them costs less than to ask for each */
	if (result == GUESTLOCK_RES_GRANTED) {
		result = gl_dlm_refresh(dlm, err);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	if (gl_dlm_dump_read(dlm, &dump) < 0) {
		return gl_dlm_fail(err, errno, "read the kernel's list of locks", dlm->dump_path);
	}
	for (size_t i = 0; i < dump.count; i++) {
		if (visit_row(dlm, &dump.rows[i], &last, visit, data) != 0) {
			break;
		}
	}
	gl_dlm_owner_free(&last.owner);
	gl_dlm_dump_free(&dump);
	return GUESTLOCK_RES_GRANTED;
}

/* ---- Orphans ---- */

/* The xids of ours that have a key in any mode but none; malloc'd. */
static uint64_t *holders_of(struct gl_dlm *dlm, const char *key, size_t *out_count)
{
	const struct gl_dlm_lock *first, *lock;
	uint64_t *xids;
	size_t count = 0;

	pthread_mutex_lock(&dlm->mutex);
	first = gl_dlm_table_locks(&dlm->table, key);
	for (lock = first; lock; lock = lock->next) {
		count++;
	}
	xids = calloc(count + 1, sizeof(*xids));
	count = 0;
	for (lock = xids ? first : NULL; lock; lock = lock->next) {
		if (gl_dlm_is_ours(dlm, lock->xid) && lock->mode > DLM_LOCK_NL) {
			xids[count++] = lock->xid;
		}
	}
	pthread_mutex_unlock(&dlm->mutex);
	*out_count = count;
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
