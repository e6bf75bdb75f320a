/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Locks that give no answers. Linux 6.1 forgets whom to answer when a process is killed whose requests are
 * under way and no other process has its descriptor: the lock is granted, can be adopted and converted, but
 * nobody is told any more. Such a lock is replaced:
 *
 *   1. From EX it goes to CW, which the dump shows. In any other mode it stays.
 *   2. A second lock is asked for in that mode, which goes with it.
 *   3. The first one is unlocked, and leaves the dump.
 *   4. The second one goes to EX, and writes the block.
 *
 * In between nobody gets it who could not have it before: into CW comes only who the block names.
 */
#include "recovery/recovery_priv.h"

#include <string.h>
#include <time.h>

#define STEP_MS 5000

/* Waits until the dump shows the lock in that mode, or GL_DLM_NO_MODE: not at all. */
static bool is_shown(const struct gl_dlm *dlm, uint32_t lkid, int mode)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	int64_t until = guestlock_monotonic_ms() + STEP_MS;

	do {
		struct gl_dlm_dump dump;
		int shown = GL_DLM_NO_MODE;

		if (gl_dlm_dump_read(dlm, &dump) < 0) {
			return false;
		}
		for (size_t i = 0; i < dump.count; i++) {
			shown = dump.rows[i].lkid == lkid ? dump.rows[i].mode : shown;
		}
		gl_dlm_dump_free(&dump);
		if (shown == mode) {
			return true;
		}
		nanosleep(&pause, NULL);
	} while (guestlock_monotonic_ms() < until);
	return false;
}

/* The old entry of the table makes room for one that asks anew: its late answers are for nobody. */
static struct gl_dlm_lock *renew(struct gl_dlm *dlm, const struct gl_dlm_row *row)
{
	struct gl_dlm_lock *lock;

	pthread_mutex_lock(&dlm->mutex);
	lock = gl_dlm_table_find(&dlm->table, row->name, row->xid);
	if (lock && !lock->request) {
		gl_dlm_table_remove(&dlm->table, lock);
		lock = NULL;
	}
	lock = lock ? NULL : gl_dlm_table_add(&dlm->table, row->name, row->xid);
	if (lock) {
		lock->used = true;
	}
	pthread_mutex_unlock(&dlm->mutex);
	return lock;
}

/* *lock becomes NULL when it is no more. */
static bool ask_lock(struct gl_dlm *dlm, struct gl_dlm_lock **lock, int mode,
		     const unsigned char block[GL_DLM_BLOCK])
{
	struct gl_dlm_request request = {.lock = *lock, .mode = mode};

	memcpy(request.bytes, block, sizeof(request.bytes));
	bool answered = gl_dlm_ask(dlm, &request, 1, guestlock_monotonic_ms() + STEP_MS);

	*lock = request.lock;
	return answered && request.status == 0;
}

bool gl_dlm_replace(struct gl_dlm *dlm, const struct gl_dlm_row *row, const unsigned char block[GL_DLM_BLOCK])
{
	bool exclusive = row->mode == DLM_LOCK_EX;
	int mode = exclusive ? DLM_LOCK_CW : row->mode;
	struct gl_dlm_lock *lock;
	bool good;

	if (exclusive && (gl_dlm_tell(dlm, row->name, row->lkid, row->xid, DLM_LOCK_CW, block) != 0 ||
			  !is_shown(dlm, row->lkid, DLM_LOCK_CW))) {
		return false;
	}
	lock = renew(dlm, row);
	good = lock && ask_lock(dlm, &lock, mode, block) &&
	       gl_dlm_tell(dlm, row->name, row->lkid, row->xid, GL_DLM_UNLOCK, block) == 0 &&
	       is_shown(dlm, row->lkid, GL_DLM_NO_MODE);
	if (good && exclusive) {
		good = ask_lock(dlm, &lock, DLM_LOCK_EX, block);
		/* The second time writes the block. */
		good = good && ask_lock(dlm, &lock, DLM_LOCK_EX, block);
	}
	pthread_mutex_lock(&dlm->mutex);
	if (lock) {
		lock->used = false;
	}
	pthread_mutex_unlock(&dlm->mutex);
	return good;
}
