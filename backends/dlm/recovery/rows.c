/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From rows of the kernel's list to locks of the table. What the table knows to answer stays as it is; the
 * rest is what a predecessor asked for, whose answers are for nobody here.
 */
#include "recovery/recovery_priv.h"

#include "owners/owners.h"

#include <errno.h>
#include <stdlib.h>

#define RANKS (2 * (DLM_LOCK_EX - GL_DLM_NO_MODE + 1))

static bool is_settled(const struct gl_dlm_row *row)
{
	return !row->waited && row->sign == GL_DLM_SIGN_GRANTED;
}

static void note_row(struct gl_dlm_lock *lock, const struct gl_dlm_row *row)
{
	lock->lkid = row->lkid;
	lock->mode = row->mode;
	lock->wanted = row->wanted;
	lock->in_flight = !is_settled(row);
	lock->content = false;
}

struct gl_dlm_lock *gl_dlm_row_add(struct gl_dlm *dlm, const struct gl_dlm_row *row)
{
	bool surplus = gl_dlm_table_find(&dlm->table, row->name, row->xid) != NULL;
	uint64_t xid = surplus ? gl_dlm_nobody_xid(dlm) : row->xid;
	struct gl_dlm_lock *lock = gl_dlm_table_add(&dlm->table, row->name, xid);

	if (lock) {
		note_row(lock, row);
		lock->surplus = surplus;
	}
	return lock;
}

static struct gl_dlm_lock *find_lkid(const struct gl_dlm *dlm, const struct gl_dlm_row *row)
{
	struct gl_dlm_lock *lock = gl_dlm_table_locks(&dlm->table, row->name);

	while (lock && lock->lkid != row->lkid) {
		lock = lock->next;
	}
	return lock;
}

struct taking {
	struct gl_dlm *dlm;
	bool current; /* no lock has gone since the list was read */
};

/* Under the mutex, or before there are threads. A lock that answers to us needs no look. -1: no memory. */
static int take_row(void *data, const struct gl_dlm_row *row)
{
	const struct taking *taking = data;
	struct gl_dlm *dlm = taking->dlm;
	struct gl_dlm_lock *lock = find_lkid(dlm, row);
	const struct gl_dlm_lock *first;

	if (lock) {
		if (lock->in_flight && !lock->request) {
			note_row(lock, row);
		}
		return 0;
	}
	first = gl_dlm_table_find(&dlm->table, row->name, row->xid);
	/* It may be the one that is asked for at this moment, or one that is gone: another look tells. */
	if (first && (first->lkid == 0 || !taking->current)) {
		dlm->stray = true;
		return 0;
	}
	return gl_dlm_row_add(dlm, row) ? 0 : -1;
}

/* From 0 for the strongest. */
static int rank_of(const struct gl_dlm_row *row)
{
	int strongest = !is_settled(row) && row->wanted > row->mode ? row->wanted : row->mode;

	return 2 * (DLM_LOCK_EX - strongest) + !is_settled(row);
}

int gl_dlm_rows_each(const struct gl_dlm *dlm, const struct gl_dlm_dump *dump, gl_dlm_row_fn *visit,
		     void *data)
{
	int result = 0;

	for (int rank = 0; rank < RANKS; rank++) {
		for (size_t i = 0; i < dump->count && result == 0; i++) {
			const struct gl_dlm_row *row = &dump->rows[i];

			if (rank_of(row) == rank && gl_dlm_is_ours(dlm, row->xid)) {
				result = visit(data, row);
			}
		}
	}
	return result;
}

/* Locks with requests that nobody here waits for and that the list shows no more: they have been given up. */
struct gone {
	const struct gl_dlm *dlm;
	const struct gl_dlm_dump *dump;
	struct gl_dlm_lock **locks;
	size_t count;
};

static int gather_gone(void *data, struct gl_dlm_lock *lock)
{
	struct gone *gone = data;

	if (lock->in_flight && !lock->request && !lock->used && lock->lkid != 0 &&
	    lock != gone->dlm->format && !gl_dlm_dump_row(gone->dump, lock->lkid)) {
		gone->locks[gone->count++] = lock;
	}
	return 0;
}

static bool drop_gone(struct gl_dlm *dlm, const struct gl_dlm_dump *dump)
{
	struct gone gone = {.dlm = dlm, .dump = dump};

	gone.locks = calloc(dlm->table.count + 1, sizeof(struct gl_dlm_lock *));
	if (!gone.locks) {
		return false;
	}
	gl_dlm_table_each(&dlm->table, gather_gone, &gone);
	for (size_t i = 0; i < gone.count; i++) {
		gl_dlm_table_remove(&dlm->table, gone.locks[i]);
	}
	free(gone.locks);
	return true;
}

enum guestlock_result gl_dlm_rows_take(struct gl_dlm *dlm, struct guestlock_error *err)
{
	struct taking taking = {.dlm = dlm};
	struct gl_dlm_dump dump;
	uint64_t unlocks;
	bool good;

	pthread_mutex_lock(&dlm->mutex);
	unlocks = dlm->unlocks;
	pthread_mutex_unlock(&dlm->mutex);
	if (gl_dlm_dump_read(dlm, &dump) < 0) {
		return gl_dlm_fail(err, errno, "read the kernel's list of locks", dlm->dump_path);
	}
	pthread_mutex_lock(&dlm->mutex);
	taking.current = unlocks == dlm->unlocks;
	good = drop_gone(dlm, &dump) && gl_dlm_rows_each(dlm, &dump, take_row, &taking) == 0;
	/* Until then an owner without locks may get one yet. */
	dlm->unsettled = dump.waiters > 0;
	pthread_mutex_unlock(&dlm->mutex);
	gl_dlm_dump_free(&dump);
	return good ? GUESTLOCK_RES_GRANTED : gl_dlm_fail(err, ENOMEM, "list the locks of", dlm->lockspace);
}
