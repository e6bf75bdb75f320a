/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The locks of owners of this node, one by one, as the table has them, with what is noted of their owners. */
#include "view/view.h"

#include "owners/owners.h"
#include "recovery/recovery.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_key(const char *name)
{
	return strlen(name) == GUESTLOCK_KEY_SIZE - 1;
}

/* Whether it is there still: it may have gone since it was copied, and its owner's note with it. */
static bool is_there(struct gl_dlm *dlm, const struct gl_dlm_lock *copy)
{
	bool there;

	pthread_mutex_lock(&dlm->mutex);
	there = gl_dlm_table_find(&dlm->table, copy->name, copy->xid) != NULL;
	pthread_mutex_unlock(&dlm->mutex);
	return there;
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
static int visit_lock(struct gl_dlm *dlm, const struct gl_dlm_lock *copy, struct last_owner *last,
		      guestlock_enumerate_fn *visit, void *data)
{
	struct guestlock_lock lock = {
		.mode = gl_dlm_mode_of(copy->mode),
		.key = {.identity = ""},
		.readable = true,
		.since = copy->since,
	};

	if (copy->passing || !is_key(copy->name) || copy->mode < DLM_LOCK_NL) {
		return 0;
	}
	memcpy(lock.key.key, copy->name, sizeof(lock.key.key));
	if (find_owner(dlm, copy->xid, last)) {
		lock.owner = last->owner.owner;
	} else if (copy->mode <= DLM_LOCK_NL || !is_there(dlm, copy)) {
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
	struct gl_dlm_lock *locks;
	size_t count;

	(void)unchanged; /* one look at all of them costs less than to ask for each */
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	if (gl_dlm_enter(dlm)) {
		gl_dlm_tidy(dlm);
		gl_dlm_exit(dlm);
	}
	pthread_mutex_lock(&dlm->mutex);
	locks = gl_dlm_table_copy(&dlm->table, NULL, &count);
	pthread_mutex_unlock(&dlm->mutex);
	if (!locks) {
		return gl_dlm_fail(err, ENOMEM, "list the locks of", dlm->lockspace);
	}
	for (size_t i = 0; i < count; i++) {
		if (visit_lock(dlm, &locks[i], &last, visit, data) != 0) {
			break;
		}
	}
	gl_dlm_owner_free(&last.owner);
	free(locks);
	return GUESTLOCK_RES_GRANTED;
}
