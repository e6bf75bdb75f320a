/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The locks of owners of this node, one by one, as the kernel has them and as they were noted. */
#include "view/view.h"

#include "kernel/dump.h"
#include "owners/owners.h"
#include "recovery/recovery.h"

#include <errno.h>
#include <string.h>

static bool is_key(const char *name)
{
	return strlen(name) == GUESTLOCK_KEY_SIZE - 1;
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
