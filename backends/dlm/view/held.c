/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is held on this node, in words: copies of the table's locks, each with what is noted of its owner. */
#include "view/view.h"

#include "owners/owners.h"

#include <stdlib.h>
#include <string.h>

/* By an owner, in any mode but none. */
static bool is_held(const struct gl_dlm_lock *lock)
{
	return !lock->passing && lock->mode > DLM_LOCK_NL && strlen(lock->name) == GUESTLOCK_KEY_SIZE - 1;
}

/* The owner of the lock before: locks of one owner mostly follow one another. */
struct last_owner {
	bool known, dead;
	uint64_t xid;
	struct guestlock_holder holder; /* since: when the owner was noted */
	struct gl_dlm_names names;
};

static void look_up(struct gl_dlm *dlm, const struct gl_dlm_lock *lock, struct last_owner *last)
{
	struct gl_dlm_lock undated = *lock;

	if (last->known && last->xid == lock->xid) {
		return;
	}
	undated.since = 0;
	gl_dlm_fill_holder(dlm, &undated, &last->holder);
	last->dead = gl_dlm_owner_is_dead(dlm, lock->xid);
	last->xid = lock->xid;
	last->known = true;
}

void gl_dlm_tell_held(struct gl_dlm *dlm, const char *key, gl_dlm_told_fn *told, void *data)
{
	struct last_owner last = {.known = false};
	struct gl_dlm_lock *locks;
	size_t count;

	gl_dlm_catch_up(dlm);
	pthread_mutex_lock(&dlm->mutex);
	locks = gl_dlm_table_copy(&dlm->table, key, &count);
	pthread_mutex_unlock(&dlm->mutex);
	for (size_t i = 0; i < count; i++) {
		const struct gl_dlm_lock *lock = &locks[i];
		struct guestlock_holder holder;
		char *identity;

		if (!is_held(lock)) {
			continue;
		}
		look_up(dlm, lock, &last);
		if (last.dead) {
			continue;
		}
		holder = last.holder;
		holder.mode = gl_dlm_mode_of(lock->mode);
		holder.since = lock->since ? lock->since : holder.since;
		identity = key ? NULL : gl_dlm_names_find(dlm, lock->xid, lock->name, &last.names);
		told(data, lock->name, &holder, identity);
		free(identity);
	}
	gl_dlm_names_free(&last.names);
	free(locks);
}
