/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After a worker that was killed while others kept its descriptor. Every answer to what it sent comes, and tells by its
 * token what it is for. So there is one question only: what the ledger says is being sent, was it? All calls of the dead
 * one have ended, so it was sent by now, or never.
 *
 *   A conversion or an unlock was sent exactly if the lock is busy, or the answer is here: the kernel says whether it is
 *   busy, and after that all answers there are have been read.
 *
 *   A new lock has no number yet by which to ask. Sent or not, it belongs to nobody from now on, and whoever wanted it
 *   asks anew. If it is granted, it is given up.
 */
#include "recovery/recovery.h"

#include "owners/owners.h"

#include <errno.h>
#include <stdlib.h>

#define TIDY_MS 20000
#define PART 512

static void settle_new(struct gl_dlm *dlm, struct gl_dlm_lock *lock)
{
	if (!lock->passing && !gl_dlm_table_disown(&dlm->table, lock, gl_dlm_nobody_xid(dlm))) {
		guestlock_backend_log(&dlm->base, GUESTLOCK_LOG_WARNING, "no memory to set lock %s aside",
				      lock->name);
	}
}

static void settle_known(struct gl_dlm *dlm, struct gl_dlm_lock *lock)
{
	uint64_t made = lock->made, token = gl_dlm_table_token(&dlm->table, lock);
	int busy = gl_dlm_look(dlm, lock);

	if (busy == EBUSY) {
		lock->flight += GL_DLM_SENT - GL_DLM_SENDING;
		return;
	}
	gl_dlm_catch_up(dlm);
	if (gl_dlm_table_asked(&dlm->table, token)) {
		if (busy == ENOENT) {
			gl_dlm_table_remove(&dlm->table, lock);
		} else {
			gl_dlm_land(lock);
		}
	} else if (lock->made == made) {
		/* The look took away the block that came with it. */
		lock->content = false;
	}
}

void gl_dlm_settle(struct gl_dlm *dlm)
{
	size_t count;
	struct gl_dlm_lock *slots = gl_dlm_ledger_slots(&dlm->table, &count);

	gl_dlm_catch_up(dlm);
	for (size_t i = 0; i < count; i++) {
		struct gl_dlm_lock *lock = &slots[i];

		if (lock->made == 0 || !gl_dlm_in_flight(lock)) {
			continue;
		}
		if (lock->lkid == 0) {
			settle_new(dlm, lock);
		} else if ((lock->flight & GL_DLM_FLIGHT) == GL_DLM_SENDING) {
			settle_known(dlm, lock);
		}
	}
	dlm->litter = true;
}

/* ---- What is of nobody ---- */

struct litter {
	struct gl_dlm_request *requests;
	size_t count;
};

static int gather(void *data, struct gl_dlm_lock *lock)
{
	struct litter *litter = data;

	if (lock->passing && !lock->used && (!lock->bound || !gl_dlm_in_flight(lock))) {
		lock->used = true;
		litter->requests[litter->count++] =
			(struct gl_dlm_request){.lock = lock, .mode = GL_DLM_UNLOCK};
	}
	return 0;
}

/* Orphans to be that have not come up yet are left for the next time. */
static void find_orphans(struct gl_dlm *dlm, struct litter *litter)
{
	size_t count = 0;

	for (size_t i = 0; i < litter->count; i++) {
		struct gl_dlm_lock *lock = litter->requests[i].lock;

		if (lock->bound || gl_dlm_adopt_passing(dlm, lock)) {
			litter->requests[count++] = litter->requests[i];
			continue;
		}
		pthread_mutex_lock(&dlm->mutex);
		lock->used = false;
		dlm->litter = guestlock_monotonic_ms() < dlm->orphans_until_ms;
		pthread_mutex_unlock(&dlm->mutex);
	}
	litter->count = count;
}

static void give_up(struct gl_dlm *dlm, struct litter *litter)
{
	for (size_t i = 0; i < litter->count; i += PART) {
		size_t part = litter->count - i < PART ? litter->count - i : PART;

		gl_dlm_ask(dlm, litter->requests + i, part, guestlock_monotonic_ms() + TIDY_MS);
	}
	pthread_mutex_lock(&dlm->mutex);
	for (size_t i = 0; i < litter->count; i++) {
		if (litter->requests[i].lock) {
			litter->requests[i].lock->used = false;
		}
	}
	pthread_mutex_unlock(&dlm->mutex);
}

void gl_dlm_tidy(struct gl_dlm *dlm)
{
	struct litter litter = {.count = 0};

	gl_dlm_catch_up(dlm);
	pthread_mutex_lock(&dlm->mutex);
	if (dlm->litter && (litter.requests = calloc(dlm->table.count + 1, sizeof(*litter.requests)))) {
		dlm->litter = false;
		gl_dlm_table_each(&dlm->table, gather, &litter);
	}
	pthread_mutex_unlock(&dlm->mutex);
	if (litter.count > 0) {
		find_orphans(dlm, &litter);
		give_up(dlm, &litter);
	}
	free(litter.requests);
}
