/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After all processes with the descriptor have gone. The kernel keeps their locks as orphans, to be had by name and
 * mode, in the order in which they were made: so the ledger is gone through in that order.
 *
 * A predecessor may still be closing: until that is over the kernel denies that there are orphans, and calls busy what it
 * cancels. So what is not found, or busy, is tried again for a while, and never forgotten.
 */
#include "recovery/recovery.h"

#include "owners/owners.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIND_MS 5000
#define PROVE_MS 5000
/* Requests that are under way at once: how many a host has says nothing of how long one takes. */
#define PART 512
#define MOST_NAMED 8

static void rest(void)
{
	const struct timespec pause = {.tv_nsec = 20000000};

	nanosleep(&pause, NULL);
}

/* ---- Finding ---- */

/*
 * The modes in which it may be: as the ledger has it, and what was asked for when its process ended. Where the ledger
 * knows nothing it may be any.
 */
static size_t modes_of(const struct gl_dlm_lock *lock, int out_modes[4])
{
	static const int any[] = {DLM_LOCK_EX, DLM_LOCK_PR, DLM_LOCK_CW, DLM_LOCK_NL};
	size_t count = 0;

	if (gl_dlm_in_flight(lock) && lock->wanted >= DLM_LOCK_NL) {
		out_modes[count++] = lock->wanted;
	}
	if (lock->mode >= DLM_LOCK_NL && (count == 0 || lock->mode != out_modes[0])) {
		out_modes[count++] = lock->mode;
	}
	if (count == 0) {
		memcpy(out_modes, any, sizeof(any));
		count = sizeof(any) / sizeof(any[0]);
	}
	return count;
}

/* 0, or why not: ENOENT, EAGAIN (it is in no mode that can be had), or another errno. */
static int find(struct gl_dlm *dlm, struct gl_dlm_lock *lock, bool *out_uncertain)
{
	int modes[4], error = EAGAIN;
	size_t count = modes_of(lock, modes);
	uint32_t lkid;

	/* Where there is one in another mode the kernel says so; where there is none no mode helps. */
	for (size_t i = 0; i < count && error == EAGAIN; i++) {
		error = gl_dlm_adopt(dlm, lock, modes[i], &lkid);
		if (error == 0) {
			*out_uncertain = gl_dlm_in_flight(lock) || modes[i] != lock->mode;
			lock->lkid = lkid;
			lock->mode = modes[i];
			lock->content &= !*out_uncertain;
			lock->bound = true;
			gl_dlm_land(lock);
		}
	}
	return error;
}

struct adoption {
	struct gl_dlm_lock **locks; /* in the order in which they were made */
	struct gl_dlm_request *requests;
	bool *uncertain; /* what it was asked for may be under way: of locks with the same index */
	size_t count;
};

static int gather(void *data, struct gl_dlm_lock *lock)
{
	struct adoption *adoption = data;

	if (!lock->bound) {
		adoption->locks[adoption->count++] = lock;
	}
	return 0;
}

static int by_age(const void *a, const void *b)
{
	const struct gl_dlm_lock *const *left = a, *const *right = b;

	return ((*left)->made > (*right)->made) - ((*left)->made < (*right)->made);
}

static bool begin_adoption(struct gl_dlm *dlm, struct adoption *out)
{
	size_t room = dlm->table.count + 1;

	*out = (struct adoption){
		.locks = calloc(room, sizeof(struct gl_dlm_lock *)),
		.requests = calloc(room, sizeof(*out->requests)),
		.uncertain = calloc(room, sizeof(*out->uncertain)),
	};
	if (!out->locks || !out->requests || !out->uncertain) {
		return false;
	}
	gl_dlm_table_each(&dlm->table, gather, out);
	qsort(out->locks, out->count, sizeof(struct gl_dlm_lock *), by_age);
	return true;
}

static void end_adoption(struct adoption *adoption)
{
	free(adoption->locks);
	free(adoption->requests);
	free(adoption->uncertain);
}

/* Those that are not bound yet, once. How many of them should be there, and are not; -1 with errno. */
static ssize_t find_all(struct gl_dlm *dlm, const struct adoption *adoption)
{
	ssize_t missing = 0;

	for (size_t i = 0; i < adoption->count; i++) {
		struct gl_dlm_lock *lock = adoption->locks[i];
		int error = lock->bound ? 0 : find(dlm, lock, &adoption->uncertain[i]);

		if (error && error != ENOENT && error != EAGAIN && error != EBUSY) {
			errno = error;
			return -1;
		}
		missing += error && lock->mode != GL_DLM_NO_MODE;
	}
	return missing;
}

/* What was never granted need not be there. What should be is named. */
static void name_missing(struct gl_dlm *dlm, const struct adoption *adoption)
{
	size_t missing = 0;

	for (size_t i = 0; i < adoption->count; i++) {
		struct gl_dlm_lock *lock = adoption->locks[i];

		if (lock->bound) {
			continue;
		}
		if (lock->mode == GL_DLM_NO_MODE) {
			/* It may be granted yet, and be an orphan then. */
			if (!lock->passing) {
				gl_dlm_table_disown(&dlm->table, lock, gl_dlm_nobody_xid(dlm));
			}
		} else if (missing++ < MOST_NAMED) {
			guestlock_backend_log(
				&dlm->base, GUESTLOCK_LOG_WARNING,
				"lockspace %s: lock %s (%s) of this host is not among those that the kernel kept; it is "
				"looked for again when its guest needs it",
				dlm->lockspace, lock->name, guestlock_mode_name(gl_dlm_mode_of(lock->mode)));
		}
	}
	dlm->missing = missing > 0;
	if (missing > MOST_NAMED) {
		guestlock_backend_log(&dlm->base, GUESTLOCK_LOG_WARNING, "lockspace %s: and %zu more",
				      dlm->lockspace, missing - MOST_NAMED);
	}
}

/* ---- Proving ---- */

static bool ask_parts(struct gl_dlm *dlm, struct gl_dlm_request *requests, size_t count, int64_t until_ms)
{
	bool good = true;

	for (size_t i = 0; i < count; i += PART) {
		good &= gl_dlm_ask(dlm, requests + i, count - i < PART ? count - i : PART, until_ms);
	}
	return good;
}

/*
 * A request for each lock that is bound and idle, to the mode that it has. blocks: with the block, as the lock knows
 * it; where it does not know it there is none. Else without, which is for those that are uncertain: what went on with
 * them may have changed the mode, and a block that nobody has read is never sent.
 */
static size_t make_requests(const struct adoption *adoption, bool blocks)
{
	size_t count = 0;

	for (size_t i = 0; i < adoption->count; i++) {
		struct gl_dlm_lock *lock = adoption->locks[i];
		bool blind = lock->mode > DLM_LOCK_NL && !lock->content;

		if (!lock->bound || lock->deaf || lock->used || gl_dlm_in_flight(lock) ||
		    (blocks ? blind : !adoption->uncertain[i] && !blind)) {
			continue;
		}
		lock->used = true;
		adoption->requests[count] =
			(struct gl_dlm_request){.lock = lock, .mode = lock->mode, .without_block = !blocks};
		memcpy(adoption->requests[count++].bytes, lock->bytes, GL_DLM_BLOCK);
	}
	return count;
}

/* Those that are busy stay in front. The number of them. */
static size_t keep_busy(struct gl_dlm_request *requests, size_t count)
{
	size_t busy = 0;

	for (size_t i = 0; i < count; i++) {
		if (requests[i].done && requests[i].status == EBUSY && requests[i].lock) {
			requests[busy++] = requests[i];
		} else if (requests[i].lock) {
			requests[i].lock->used = false;
		}
	}
	return busy;
}

/* Those that are not answered. Should an answer come yet, nobody needs it. */
static void note_deaf(struct gl_dlm *dlm, struct adoption *adoption)
{
	pthread_mutex_lock(&dlm->mutex);
	for (size_t i = 0; i < adoption->count; i++) {
		struct gl_dlm_lock *lock = adoption->locks[i];

		if (lock->bound && gl_dlm_in_flight(lock) && !lock->used) {
			lock->deaf = true;
			gl_dlm_land(lock);
		}
	}
	pthread_mutex_unlock(&dlm->mutex);
}

/* false: some are not proven, and stay as they are. */
static bool prove(struct gl_dlm *dlm, const struct adoption *adoption, bool blocks)
{
	int64_t until_ms = guestlock_monotonic_ms() + PROVE_MS;
	size_t count = make_requests(adoption, blocks);
	bool good = true;

	while (count > 0) {
		good &= ask_parts(dlm, adoption->requests, count, until_ms);
		pthread_mutex_lock(&dlm->mutex);
		count = keep_busy(adoption->requests, count);
		if (count > 0 && guestlock_monotonic_ms() >= until_ms) {
			for (size_t i = 0; i < count; i++) {
				adoption->requests[i].lock->used = false;
			}
			good = false;
			count = 0;
		}
		pthread_mutex_unlock(&dlm->mutex);
		if (count > 0) {
			rest();
		}
	}
	return good;
}

static enum guestlock_result adopt_all(struct gl_dlm *dlm, struct adoption *adoption,
				       struct guestlock_error *err)
{
	int64_t until_ms = guestlock_monotonic_ms() + FIND_MS;
	ssize_t missing;

	while ((missing = find_all(dlm, adoption)) > 0 && guestlock_monotonic_ms() < until_ms) {
		rest();
	}
	if (missing < 0) {
		return gl_dlm_fail(err, errno, "take back the locks of this host in", dlm->lockspace);
	}
	name_missing(dlm, adoption);
	if (!prove(dlm, adoption, false) || !prove(dlm, adoption, true)) {
		note_deaf(dlm, adoption);
		guestlock_backend_log(
			&dlm->base, GUESTLOCK_LOG_WARNING,
			"lockspace %s: not every lock of this host is confirmed: requests were under way when "
			"the last process of its keeper was killed; those locks are held, and can only be given up",
			dlm->lockspace);
	}
	dlm->litter = true;
	return GUESTLOCK_RES_GRANTED;
}

enum guestlock_result gl_dlm_adopt_all(struct gl_dlm *dlm, struct guestlock_error *err)
{
	struct adoption adoption;
	enum guestlock_result result =
		begin_adoption(dlm, &adoption)
			? adopt_all(dlm, &adoption, err)
			: gl_dlm_fail(err, ENOMEM, "take back the locks of this host in", dlm->lockspace);

	end_adoption(&adoption);
	return result;
}

/* ---- Later ---- */

bool gl_dlm_adopt_passing(struct gl_dlm *dlm, struct gl_dlm_lock *lock)
{
	bool uncertain;

	if (find(dlm, lock, &uncertain) != 0) {
		return false;
	}
	/* Whether it answers need not be found out. */
	lock->deaf = true;
	return true;
}

/*
 * The lock, if it is one that is missing and nobody else looks for it; it is used then. Where the ledger was lost it may
 * be any.
 */
static struct gl_dlm_lock *take_missing(struct gl_dlm *dlm, const char *name, uint64_t xid)
{
	struct gl_dlm_lock *lock;

	pthread_mutex_lock(&dlm->mutex);
	lock = gl_dlm_table_find(&dlm->table, name, xid);
	if (!lock && dlm->strangers) {
		lock = gl_dlm_table_add(&dlm->table, name, xid);
		if (lock) {
			lock->bound = false;
		}
	}
	lock = lock && !lock->bound && !lock->used ? lock : NULL;
	if (lock) {
		lock->used = true;
	}
	pthread_mutex_unlock(&dlm->mutex);
	return lock;
}

void gl_dlm_adopt_late(struct gl_dlm *dlm, const char *name, uint64_t xid)
{
	struct gl_dlm_lock *lock = take_missing(dlm, name, xid);
	bool uncertain = true;
	int error;

	if (!lock) {
		return;
	}
	error = find(dlm, lock, &uncertain);
	if (error == 0) {
		struct gl_dlm_request request = {.lock = lock, .mode = lock->mode, .without_block = true};

		lock->content = false;
		gl_dlm_ask(dlm, &request, 1, guestlock_monotonic_ms() + PROVE_MS);
		lock = request.lock;
	} else if (error == ENOENT || error == EAGAIN) {
		pthread_mutex_lock(&dlm->mutex);
		gl_dlm_table_remove(&dlm->table, lock);
		pthread_mutex_unlock(&dlm->mutex);
		lock = NULL;
	}
	pthread_mutex_lock(&dlm->mutex);
	if (lock) {
		lock->used = false;
	}
	pthread_mutex_unlock(&dlm->mutex);
}
