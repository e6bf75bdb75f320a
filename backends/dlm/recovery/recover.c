/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the kernel's list of locks to our table: after a start, and after answers to what a predecessor asked.
 *
 * Locks on a descriptor that was kept are as good as ever; those with a request under way are settled by its
 * answer. Without such a descriptor the locks are orphans. Adopting one succeeds also when it is not held any
 * more, and fails or lies while a request is under way. So first no request may be under way; then each that
 * is shown is adopted; then each is converted to the mode that it has, which only its master can confirm.
 */
#include "recovery/recovery_priv.h"

#include "owners/owners.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QUIET_MS 10000 /* for requests of a dead process to be answered */
#define PROVE_MS 20000
/* Requests that are under way at once: how many a host has says nothing of how long one takes. */
#define PART 512
/* After which a lock that is granted all the same is taken for one that gives no answers. */
#define CONFIRM_MS 3000

static enum guestlock_result drop_useless(struct gl_dlm *dlm, struct guestlock_error *err);

enum guestlock_result gl_dlm_refresh(struct gl_dlm *dlm, struct guestlock_error *err)
{
	enum guestlock_result result;
	bool stray;

	gl_dlm_catch_up(dlm);
	pthread_mutex_lock(&dlm->mutex);
	stray = dlm->stray;
	dlm->stray = false;
	pthread_mutex_unlock(&dlm->mutex);
	if (!stray || !gl_dlm_enter(dlm)) {
		return GUESTLOCK_RES_GRANTED;
	}
	result = gl_dlm_rows_take(dlm, err);
	result = result == GUESTLOCK_RES_GRANTED ? drop_useless(dlm, err) : result;
	gl_dlm_exit(dlm);
	return result;
}

/* ---- Orphans ---- */

static bool is_quiet(const struct gl_dlm_dump *dump)
{
	bool quiet = dump->waiters == 0;

	for (size_t i = 0; i < dump->count; i++) {
		quiet &= !dump->rows[i].waited;
	}
	return quiet;
}

/* The list, as soon as nothing is under way any more. */
static enum guestlock_result read_quiet(const struct gl_dlm *dlm, struct gl_dlm_dump *out,
					struct guestlock_error *err)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	int64_t until = guestlock_monotonic_ms() + QUIET_MS;

	for (;;) {
		if (gl_dlm_dump_read(dlm, out) < 0) {
			return gl_dlm_fail(err, errno, "read the kernel's list of locks", dlm->dump_path);
		}
		if (is_quiet(out)) {
			return GUESTLOCK_RES_GRANTED;
		}
		gl_dlm_dump_free(out);
		if (guestlock_monotonic_ms() >= until) {
			return guestlock_backend_fail(err, GUESTLOCK_RES_NOT_JOINED, 0, 0,
						      "cannot take back the locks of this host in lockspace "
						      "%s yet: requests of a process "
						      "that was killed are not answered by another node; it "
						      "goes on when that node answers "
						      "or is gone (dlm_tool lockdebug %s)",
						      dlm->lockspace, dlm->lockspace);
		}
		nanosleep(&pause, NULL);
	}
}

struct adoption {
	struct gl_dlm *dlm;
	struct gl_dlm_dump dump;
	enum guestlock_result result;
	struct guestlock_error *err;
};

/*
 * Which of several orphans of one name and mode is adopted is for the kernel to say: it comes under its own
 * xid.
 */
static enum guestlock_result adopt_row(const struct adoption *adoption, const struct gl_dlm_row *row)
{
	struct gl_dlm *dlm = adoption->dlm;
	struct guestlock_error *err = adoption->err;
	const struct gl_dlm_row *got;
	struct gl_dlm_lock *lock;
	uint32_t lkid;
	int error = gl_dlm_adopt(dlm, row->name, row->mode, row->xid, &lkid);

	if (error == ENOENT) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_NOT_JOINED, 0, 0,
			"cannot take back the lock of %s in lockspace %s: another process has it; is another "
			"keeper at work, or ending?",
			row->name, dlm->lockspace);
	}
	if (error) {
		return gl_dlm_fail(err, error, "take back the lock of", row->name);
	}
	got = lkid == row->lkid ? row : gl_dlm_dump_row(&adoption->dump, lkid);
	if (!got) {
		return gl_dlm_fail(err, EBUSY, "take back the lock of", row->name);
	}
	lock = gl_dlm_row_add(dlm, got);
	if (!lock) {
		return gl_dlm_fail(err, ENOMEM, "take back the lock of", row->name);
	}
	lock->in_flight = false;
	return GUESTLOCK_RES_GRANTED;
}

static int visit_orphan(void *data, const struct gl_dlm_row *row)
{
	struct adoption *adoption = data;

	if (row->mode >= DLM_LOCK_NL) {
		adoption->result = adopt_row(adoption, row);
	}
	return adoption->result != GUESTLOCK_RES_GRANTED;
}

static enum guestlock_result adopt_all(struct gl_dlm *dlm, struct guestlock_error *err)
{
	struct adoption adoption = {.dlm = dlm, .err = err};

	adoption.result = read_quiet(dlm, &adoption.dump, err);
	if (adoption.result == GUESTLOCK_RES_GRANTED) {
		gl_dlm_rows_each(dlm, &adoption.dump, visit_orphan, &adoption);
		gl_dlm_dump_free(&adoption.dump);
	}
	return adoption.result;
}

enum guestlock_result gl_dlm_recover(struct gl_dlm *dlm, bool kept, struct guestlock_error *err)
{
	return kept ? gl_dlm_rows_take(dlm, err) : adopt_all(dlm, err);
}

/* ---- Proving ---- */

struct gather {
	struct gl_dlm *dlm;
	struct gl_dlm_request *requests;
	uint32_t *lkids; /* of the same locks */
	size_t count;
	bool useless; /* gather those of nobody, else all */
};

/* Interest that a killed process left for a moment: no owner is noted, or it has another lock. */
static bool is_useless(const struct gl_dlm *dlm, const struct gl_dlm_lock *lock)
{
	struct gl_dlm_owner owner;
	bool noted;

	if (lock->surplus) {
		/* Two exclusive ones there are not, and an unlock from that mode would write the block. */
		return lock->mode != DLM_LOCK_EX;
	}
	if (lock->mode > DLM_LOCK_CR || strcmp(lock->resource->name, GL_DLM_FORMAT_NAME) == 0) {
		return false;
	}
	noted = gl_dlm_owner_read(dlm, lock->xid, &owner) == 0 || errno != ENOENT;
	gl_dlm_owner_free(&owner);
	return !noted;
}

static int gather_lock(void *data, struct gl_dlm_lock *lock)
{
	struct gather *gather = data;

	if (lock->in_flight || lock->used || (gather->useless && !is_useless(gather->dlm, lock))) {
		return 0;
	}
	lock->used = true;
	gather->requests[gather->count++] = (struct gl_dlm_request){
		.lock = lock,
		.mode = gather->useless ? GL_DLM_UNLOCK : lock->mode,
	};
	gather->lkids[gather->count - 1] = lock->lkid;
	memcpy(gather->requests[gather->count - 1].bytes, lock->bytes, GL_DLM_BLOCK);
	return 0;
}

static enum guestlock_result gather_all(struct gl_dlm *dlm, bool useless, struct gather *out,
					struct guestlock_error *err)
{
	*out = (struct gather){.dlm = dlm, .useless = useless};
	pthread_mutex_lock(&dlm->mutex);
	out->requests = calloc(dlm->table.count + 1, sizeof(*out->requests));
	out->lkids = calloc(dlm->table.count + 1, sizeof(*out->lkids));
	if (out->requests && out->lkids) {
		gl_dlm_table_each(&dlm->table, gather_lock, out);
	}
	pthread_mutex_unlock(&dlm->mutex);
	return out->requests && out->lkids ? GUESTLOCK_RES_GRANTED
					   : gl_dlm_fail(err, ENOMEM, "list the locks of", dlm->lockspace);
}

static void scatter(struct gl_dlm *dlm, struct gather *gather)
{
	pthread_mutex_lock(&dlm->mutex);
	for (size_t i = 0; i < gather->count; i++) {
		if (gather->requests[i].lock) {
			gather->requests[i].lock->used = false;
		}
	}
	pthread_mutex_unlock(&dlm->mutex);
	free(gather->requests);
	free(gather->lkids);
}

/* All of them, a part after the other, each of which has so long. false: some were not answered. */
static bool ask_parts(struct gl_dlm *dlm, struct gl_dlm_request *requests, size_t count, int64_t each_ms)
{
	bool good = true;

	for (size_t i = 0; i < count; i += PART) {
		size_t part = count - i < PART ? count - i : PART;

		good &= gl_dlm_ask(dlm, requests + i, part, guestlock_monotonic_ms() + each_ms);
	}
	return good;
}

/*
 * What a lock in mode EX confirms it also writes: so its block is read first, through a lock without mode
 * beside it. false: no memory.
 */
static bool read_blocks(struct gl_dlm *dlm, struct gather *gather)
{
	struct gl_dlm_request *beside = calloc(gather->count + 1, sizeof(*beside));
	uint64_t xid = gl_dlm_nobody_xid(dlm);
	size_t count = 0;
	bool good = true;

	if (!beside) {
		return false;
	}
	pthread_mutex_lock(&dlm->mutex);
	for (size_t i = 0; i < gather->count && good; i++) {
		const struct gl_dlm_lock *lock = gather->requests[i].lock;
		struct gl_dlm_lock *reader;

		if (lock->mode != DLM_LOCK_EX) {
			continue;
		}
		reader = gl_dlm_table_add(&dlm->table, lock->resource->name, xid);
		good = reader != NULL;
		if (reader) {
			reader->used = true;
			beside[count++] = (struct gl_dlm_request){.lock = reader, .mode = DLM_LOCK_NL};
		}
	}
	pthread_mutex_unlock(&dlm->mutex);
	ask_parts(dlm, beside, count, PROVE_MS);
	pthread_mutex_lock(&dlm->mutex);
	for (size_t i = 0, next = 0; i < gather->count && next < count; i++) {
		const struct gl_dlm_lock *read = beside[next].done ? beside[next].lock : NULL;

		if (gather->requests[i].lock->mode != DLM_LOCK_EX) {
			continue;
		}
		next++;
		if (read && read->content) {
			memcpy(gather->requests[i].bytes, read->bytes, GL_DLM_BLOCK);
		}
	}
	/* They are of nobody, and go with the others of that kind. */
	for (size_t i = 0; i < count; i++) {
		if (beside[i].lock) {
			beside[i].lock->used = false;
		}
	}
	pthread_mutex_unlock(&dlm->mutex);
	free(beside);
	return good;
}

/* Those of which no answer came: they are in the dump as they were, or something is under way still. */
static void replace_silent(struct gl_dlm *dlm, const struct gather *gather)
{
	struct gl_dlm_dump dump;
	size_t silent = 0;

	if (gl_dlm_dump_read(dlm, &dump) < 0) {
		return;
	}
	for (size_t i = 0; i < gather->count; i++) {
		const struct gl_dlm_row *row;

		if (gather->requests[i].done) {
			continue;
		}
		row = gl_dlm_dump_row(&dump, gather->lkids[i]);
		if (!row || row->waited || row->sign != GL_DLM_SIGN_GRANTED ||
		    !gl_dlm_replace(dlm, row, gather->requests[i].bytes)) {
			silent++;
		}
	}
	gl_dlm_dump_free(&dump);
	if (silent > 0) {
		guestlock_backend_log(
			&dlm->base, GUESTLOCK_LOG_WARNING,
			"lockspace %s: %zu locks of this host are not confirmed yet; their guests "
			"cannot change theirs until they are",
			dlm->lockspace, silent);
	}
}

static enum guestlock_result confirm(struct gl_dlm *dlm, struct guestlock_error *err)
{
	struct gather gather;
	enum guestlock_result result = gather_all(dlm, false, &gather, err);
	bool good;

	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	good = read_blocks(dlm, &gather);
	if (good && !ask_parts(dlm, gather.requests, gather.count, CONFIRM_MS)) {
		replace_silent(dlm, &gather);
	}
	scatter(dlm, &gather);
	return good ? GUESTLOCK_RES_GRANTED
		    : gl_dlm_fail(err, ENOMEM, "confirm the locks of", dlm->lockspace);
}

static enum guestlock_result drop_useless(struct gl_dlm *dlm, struct guestlock_error *err)
{
	struct gather gather;
	enum guestlock_result result = gather_all(dlm, true, &gather, err);

	if (result == GUESTLOCK_RES_GRANTED) {
		ask_parts(dlm, gather.requests, gather.count, PROVE_MS);
		scatter(dlm, &gather);
	}
	return result;
}

enum guestlock_result gl_dlm_prove(struct gl_dlm *dlm, bool kept, struct guestlock_error *err)
{
	enum guestlock_result result = kept ? GUESTLOCK_RES_GRANTED : confirm(dlm, err);

	return result == GUESTLOCK_RES_GRANTED ? drop_useless(dlm, err) : result;
}
