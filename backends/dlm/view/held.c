/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is held on this node, in words: copies of the table's locks, each with what is noted of its owner. */
#include "view/view.h"

#include "owners/owners.h"

#include <stdlib.h>
#include <string.h>

struct copies {
	struct gl_dlm_lock *locks;
	char (*keys)[GUESTLOCK_KEY_SIZE];
	size_t count, room;
};

/* What is held here: by an owner, in any mode but none. */
static int copy_held(void *data, struct gl_dlm_lock *lock)
{
	struct copies *copies = data;

	if (copies->count < copies->room && !lock->surplus && lock->mode > DLM_LOCK_CR &&
	    strlen(lock->resource->name) == GUESTLOCK_KEY_SIZE - 1) {
		memcpy(copies->keys[copies->count], lock->resource->name, GUESTLOCK_KEY_SIZE);
		copies->locks[copies->count++] = *lock;
	}
	return 0;
}

static void copy_all(struct gl_dlm *dlm, const char *key, struct copies *out)
{
	*out = (struct copies){.room = dlm->table.count};
	out->locks = calloc(out->room + 1, sizeof(*out->locks));
	out->keys = calloc(out->room + 1, sizeof(*out->keys));
	if (!out->locks || !out->keys) {
		return;
	}
	if (!key) {
		gl_dlm_table_each(&dlm->table, copy_held, out);
		return;
	}
	for (struct gl_dlm_lock *lock = gl_dlm_table_locks(&dlm->table, key); lock; lock = lock->next) {
		copy_held(out, lock);
	}
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
	struct copies copies;

	gl_dlm_catch_up(dlm);
	pthread_mutex_lock(&dlm->mutex);
	copy_all(dlm, key, &copies);
	pthread_mutex_unlock(&dlm->mutex);
	for (size_t i = 0; i < copies.count; i++) {
		const struct gl_dlm_lock *lock = &copies.locks[i];
		struct guestlock_holder holder;
		char *identity;

		look_up(dlm, lock, &last);
		if (last.dead) {
			continue;
		}
		holder = last.holder;
		holder.mode = gl_dlm_mode_of(lock->mode);
		holder.since = lock->since ? lock->since : holder.since;
		identity = key ? NULL : gl_dlm_names_find(dlm, lock->xid, copies.keys[i], &last.names);
		told(data, copies.keys[i], &holder, identity);
		free(identity);
	}
	gl_dlm_names_free(&last.names);
	free(copies.locks);
	free(copies.keys);
}
