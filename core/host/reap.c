/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recovery of everything on this host. First every record: damaged ones are set aside, those of dead guests
 * and those with an unfinished operation are settled. Then everything that the backend holds for this host
 * is held against the records: a lock that no record explains is released if its owner is dead, else kept
 * and reported; a lock that a record claims and the backend does not have is taken again, or the guest is
 * said to have lost it.
 */
#include "base/base.h"
#include "base/error.h"
#include "guest/guest.h"

#include <string.h>

/* A record as it was read, and which of its resources the backend turned out to hold. */
struct known {
	char uuid[GUESTLOCK_UUID_STRING]; /* of the record, here for the search */
	struct gl_record *record;
	enum guestlock_life life;
	bool *seen;
};

/* A resource that its record says is held, by this guest alone. */
struct claim {
	char key[GUESTLOCK_KEY_SIZE];
	struct known *known;
	bool *seen;
};

struct reaper {
	struct guestlock *gl;
	struct known *known; /* sorted by uuid */
	size_t count;
	struct claim *claims; /* sorted by key */
	size_t n_claims;
	struct known *last; /* that was found: the locks of a guest often come together */
	struct guestlock_reap_result result;
};

static int by_uuid(const void *a, const void *b)
{
	const struct known *left = a, *right = b;

	return memcmp(left->uuid, right->uuid, sizeof(left->uuid));
}

static struct known *find_known(struct reaper *reaper, const char *uuid)
{
	struct known wanted = {.record = NULL};

	if (!reaper->last || strcmp(reaper->last->uuid, uuid) != 0) {
		gl_copy_cut(wanted.uuid, sizeof(wanted.uuid), uuid);
		reaper->last = bsearch(&wanted, reaper->known, reaper->count, sizeof(wanted), by_uuid);
	}
	return reaper->last;
}

static void forget_known(struct reaper *reaper)
{
	free(reaper->claims);
	for (size_t i = 0; i < reaper->count; i++) {
		gl_record_free(reaper->known[i].record);
		free(reaper->known[i].seen);
	}
	free(reaper->known);
}

/* ---- Records ---- */

static void set_aside(struct reaper *reaper, const char *uuid)
{
	struct guestlock *gl = reaper->gl;
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	struct gl_record *record = NULL;
	struct guestlock_error cause = {0};
	GL_AUTOFREE char *path = NULL;
	int found = gl_store_lock(&gl->store, uuid, gl_deadline(gl), &lock, &cause);

	/* Again, under the lock; what is no file cannot have one. */
	if (found == GUESTLOCK_OK) {
		found = gl_store_open(&gl->store, &lock, &record, &cause);
		gl_record_free(record);
	} else if (found != GUESTLOCK_DAMAGED) {
		reaper->result.failed++;
		gl_log(gl, GUESTLOCK_LOG_WARNING, "%s", cause.message);
		return;
	}
	if (found == GUESTLOCK_DAMAGED) {
		struct guestlock_error failure = {0};
		int status = gl_store_set_aside(&gl->store, uuid, &lock, &path, &failure);

		reaper->result.damaged += status == GUESTLOCK_OK;
		reaper->result.failed += status < 0;
		gl_log(gl, GUESTLOCK_LOG_WARNING,
		       "the record of guest %s is damaged: %s; %s%s; what the guest holds stays held", uuid,
		       cause.message, status < 0 ? "it could not be set aside: " : "it was moved to ",
		       status < 0 ? failure.message : path);
	}
	gl_store_unlock(&gl->store, &lock);
}

static void settle_one(struct reaper *reaper, const char *uuid, bool dead)
{
	struct gl_operation_run run;
	struct guestlock_error cause = {0};

	if (gl_run_begin(&run, reaper->gl, uuid, NULL, gl_deadline(reaper->gl), &cause) < 0) {
		reaper->result.failed++;
		gl_log(reaper->gl, GUESTLOCK_LOG_WARNING, "guest %s could not be settled: %s", uuid,
		       cause.message);
		return;
	}
	if (!run.record) {
		reaper->result.released += run.was_dead;
		if (run.was_dead) {
			gl_log(reaper->gl, GUESTLOCK_LOG_INFO, "released the locks of the dead guest %s",
			       uuid);
		}
	} else if (dead || (run.record->op != GL_OP_NONE && run.record->op != GL_OP_COMPLETE_IN)) {
		reaper->result.failed++;
	} else {
		reaper->result.settled += run.record->op == GL_OP_NONE;
		reaper->result.alive++;
	}
	gl_run_end(&run);
}

static int keep(struct reaper *reaper, struct gl_record *record, enum guestlock_life life)
{
	struct known *known = &reaper->known[reaper->count];

	*known = (struct known){
		.record = record,
		.life = life,
		.seen = calloc(record->n_resources + 1, sizeof(*known->seen)),
	};
	if (!known->seen) {
		return -1;
	}
	memcpy(known->uuid, record->uuid, sizeof(known->uuid));
	reaper->count++;
	return 0;
}

/* By a pause that was killed, or a resume. */
static bool was_left_stopped(const struct gl_record *record)
{
	return record->stopped && record->state == GUESTLOCK_GUEST_RUNNING;
}

/* Whoever looks at one that is paused stops it again if somebody continued it. */
static void look_at_paused(struct reaper *reaper, const char *uuid)
{
	struct guestlock *gl = reaper->gl;
	struct guestlock_error cause = {0};
	struct gl_operation_run run;

	if (gl_run_begin(&run, gl, uuid, NULL, gl_deadline(gl), &cause) < 0) {
		gl_log(gl, GUESTLOCK_LOG_WARNING, "%s", cause.message);
		return;
	}
	if (run.record && run.record->state == GUESTLOCK_GUEST_LOST) {
		reaper->result.failed++;
		gl_log(gl, GUESTLOCK_LOG_WARNING,
		       "guest %s is lost: it is stopped, and must not run again; check its disks, and end it",
		       uuid);
	}
	gl_run_end(&run);
}

static int look_at_record(struct reaper *reaper, const char *uuid, struct guestlock_error *err)
{
	struct gl_record *record = NULL;
	struct guestlock_error cause = {0};
	enum guestlock_life life;
	int status = gl_store_load(&reaper->gl->store, uuid, &record, &cause);

	if (status == GUESTLOCK_DAMAGED) {
		set_aside(reaper, uuid);
		return GUESTLOCK_OK;
	}
	if (status == GUESTLOCK_NOT_FOUND) {
		gl_store_tidy(&reaper->gl->store, uuid);
		return GUESTLOCK_OK;
	}
	if (status < 0) {
		reaper->result.failed++;
		gl_log(reaper->gl, GUESTLOCK_LOG_WARNING, "%s", cause.message);
		return GUESTLOCK_OK;
	}
	life = gl_record_life(reaper->gl, record);
	if (life != GUESTLOCK_LIFE_DEAD && record->op == GL_OP_NONE && !was_left_stopped(record)) {
		reaper->result.alive++;
		if (record->stopped) {
			look_at_paused(reaper, uuid);
		}
		if (life == GUESTLOCK_LIFE_UNTETHERED) {
			gl_log(reaper->gl, GUESTLOCK_LOG_WARNING,
			       "guest %s lives (pid %ld) but has lost its tether; it keeps what it holds and "
			       "gets no new lock",
			       uuid, (long)record->process.pid);
		}
	} else {
		gl_record_free(record);
		record = NULL;
		settle_one(reaper, uuid, life == GUESTLOCK_LIFE_DEAD);
		if (gl_store_load(&reaper->gl->store, uuid, &record, &cause) < 0) {
			return GUESTLOCK_OK;
		}
	}
	if (keep(reaper, record, life) < 0) {
		gl_record_free(record);
		return gl_fail_memory(err);
	}
	return GUESTLOCK_OK;
}

static int look_at_records(struct reaper *reaper, struct guestlock_error *err)
{
	char(*uuids)[GUESTLOCK_UUID_STRING] = NULL;
	size_t count;
	int status = gl_store_uuids(&reaper->gl->store, &uuids, &count, err);

	if (status < 0) {
		return status;
	}
	reaper->known = calloc(count + 1, sizeof(*reaper->known));
	if (!reaper->known) {
		status = gl_fail_memory(err);
	}
	for (size_t i = 0; i < count && status == GUESTLOCK_OK; i++) {
		status = look_at_record(reaper, uuids[i], err);
	}
	free(uuids);
	if (status == GUESTLOCK_OK) {
		qsort(reaper->known, reaper->count, sizeof(*reaper->known), by_uuid);
	}
	return status;
}

/* ---- What the backend holds ---- */

static void orphan(struct reaper *reaper, const struct guestlock_lock *lock)
{
	struct guestlock *gl = reaper->gl;
	struct guestlock_error cause = {0};
	GL_AUTOFREE char *identity =
		gl_printable(lock->key.identity && lock->key.identity[0] ? lock->key.identity : "?");
	GL_AUTOFREE char *name = gl_printable(lock->owner.name ? lock->owner.name : "");

	enum guestlock_life life = guestlock_owner_life(&lock->owner, gl_life_dir(gl));

	if (life == GUESTLOCK_LIFE_DEAD) {
		enum guestlock_result result =
			gl->ops->release_orphan(gl->backend, lock->key.key, false, &cause);

		/* All the dead of a key go at once: there may be nothing left to free. */
		if (result == GUESTLOCK_RES_GRANTED || result == GUESTLOCK_RES_NO_ORPHAN) {
			gl_log(gl, GUESTLOCK_LOG_INFO, "released %s, which the dead guest %s (%s) had left",
			       identity, name, lock->owner.uuid);
			return;
		}
	}
	reaper->result.orphans++;
	gl_log(gl, GUESTLOCK_LOG_WARNING,
	       "no record explains that guest %s (%s, pid %ld, %s) holds %s in mode %s; it is kept: end that "
	       "guest, or free the lock with guestlock release --orphan %s",
	       name ? name : "", lock->owner.uuid, (long)lock->owner.pid, guestlock_life_name(life),
	       identity ? identity : "?", guestlock_mode_name(lock->mode), lock->key.key);
}

/* As of a start that failed while the backend did not answer. */
static void drop_interest_of_dead(const struct reaper *reaper, const struct guestlock_lock *lock)
{
	const struct guestlock *gl = reaper->gl;
	struct guestlock_error ignored;

	if (guestlock_owner_life(&lock->owner, gl_life_dir(gl)) == GUESTLOCK_LIFE_DEAD) {
		gl->ops->release_orphan(gl->backend, lock->key.key, false, &ignored);
	}
}

static int by_key(const void *a, const void *b)
{
	const struct claim *left = a, *right = b;

	return memcmp(left->key, right->key, sizeof(left->key));
}

static bool holds_alone(const struct reaper *reaper, struct gl_resource *resource)
{
	const struct gl_holding *holding = gl_resource_holding(resource, gl_technology(reaper->gl), false);

	return holding && holding->state == GUESTLOCK_RESOURCE_HELD &&
	       holding->mode == GUESTLOCK_MODE_EXCLUSIVE;
}

static bool is_settled(const struct known *known)
{
	return known->life != GUESTLOCK_LIFE_DEAD && known->record->op == GL_OP_NONE;
}

/* What is held alone by living guests, for is_unchanged(). */
static int collect_claims(struct reaper *reaper, struct guestlock_error *err)
{
	size_t room = 1;

	for (size_t i = 0; i < reaper->count; i++) {
		room += reaper->known[i].record->n_resources;
	}
	reaper->claims = calloc(room, sizeof(*reaper->claims));
	if (!reaper->claims) {
		return gl_fail_memory(err);
	}
	for (size_t i = 0; i < reaper->count; i++) {
		struct known *known = &reaper->known[i];

		for (size_t k = 0; k < known->record->n_resources && is_settled(known); k++) {
			struct claim *claim = &reaper->claims[reaper->n_claims];

			if (holds_alone(reaper, &known->record->resources[k])) {
				memcpy(claim->key, known->record->resources[k].key, sizeof(claim->key));
				claim->known = known;
				claim->seen = &known->seen[k];
				reaper->n_claims++;
			}
		}
	}
	qsort(reaper->claims, reaper->n_claims, sizeof(*reaper->claims), by_key);
	return GUESTLOCK_OK;
}

/* The record was written after the lock was taken: what has not changed since is as the record says. */
static bool is_unchanged(void *data, const char *key, int64_t changed_ns)
{
	struct reaper *reaper = data;
	struct claim wanted = {.known = NULL};
	const struct claim *claim;

	gl_copy_cut(wanted.key, sizeof(wanted.key), key);
	claim = bsearch(&wanted, reaper->claims, reaper->n_claims, sizeof(wanted), by_key);
	if (!claim || changed_ns > claim->known->record->stored_ns) {
		return false;
	}
	*claim->seen = true;
	return true;
}

static int visit(void *data, const struct guestlock_lock *lock)
{
	struct reaper *reaper = data;
	struct known *known;
	struct gl_resource *resource;

	if (!lock->readable) {
		reaper->result.orphans++;
		gl_log(reaper->gl, GUESTLOCK_LOG_WARNING,
		       "what is locked under key %s cannot be read and is not given to anybody; when it is "
		       "certain that no guest uses it, free it with guestlock release --orphan %s --force",
		       lock->key.key, lock->key.key);
		return 0;
	}
	known = find_known(reaper, lock->owner.uuid);
	resource = known && known->record->instance == lock->owner.instance
			   ? gl_record_find_key(known->record, lock->key.key)
			   : NULL;
	if (!resource) {
		/* Read again: it may have come into being, or changed, since we read them all. */
		if (gl_record_explains(reaper->gl, lock->owner.uuid, lock->owner.instance, lock->key.key)) {
			return 0;
		}
		if (lock->mode == GUESTLOCK_MODE_NONE) {
			drop_interest_of_dead(reaper, lock);
		} else {
			orphan(reaper, lock);
		}
		return 0;
	}
	known->seen[resource - known->record->resources] = lock->mode != GUESTLOCK_MODE_NONE;
	return 0;
}

/* ---- What the records claim ---- */

static void check_claims(struct reaper *reaper, const struct known *known)
{
	const struct gl_life life = {.instance = known->record->instance};
	struct gl_operation_run run;
	struct guestlock_error cause = {0};
	bool missing = false;

	for (size_t i = 0; i < known->record->n_resources; i++) {
		missing |= !known->seen[i] &&
			   gl_is_claimed(&known->record->resources[i], gl_technology(reaper->gl));
	}
	if (!missing || known->life == GUESTLOCK_LIFE_DEAD ||
	    gl_run_begin(&run, reaper->gl, known->record->uuid, &life, gl_deadline(reaper->gl), &cause) < 0) {
		return;
	}
	if (run.record && run.record->op == GL_OP_NONE && run.record->state == GUESTLOCK_GUEST_RUNNING) {
		int taken = gl_run_take_vanished(&run);

		reaper->result.settled += taken > 0;
		reaper->result.failed += taken < 0;
	}
	gl_run_end(&run);
}

static bool is_known(void *data, const char *uuid, uint64_t instance)
{
	const struct known *known = find_known(data, uuid);

	return known && known->record->instance == instance;
}

int guestlock_reap(struct guestlock *gl, struct guestlock_reap_result *out_result,
		   struct guestlock_error *err)
{
	struct reaper reaper = {.gl = gl};
	struct guestlock_error cause = {0};
	enum guestlock_result result;
	int status = gl_ready(gl, gl_deadline(gl), err);

	/* The handle may be older than what the records are of. */
	if (status == GUESTLOCK_OK) {
		status = gl_check_pin(gl, gl_deadline(gl), err);
	}
	if (status == GUESTLOCK_OK) {
		status = look_at_records(&reaper, err);
	}
	if (status == GUESTLOCK_OK) {
		status = collect_claims(&reaper, err);
	}
	if (status == GUESTLOCK_OK) {
		result = gl->ops->enumerate(gl->backend, visit, is_unchanged, &reaper, &cause);
		if (result != GUESTLOCK_RES_GRANTED) {
			status = cause.code = gl_status_of_result(result);
			gl_error_pass(err, &cause);
		}
	}
	for (size_t i = 0; i < reaper.count && status == GUESTLOCK_OK; i++) {
		check_claims(&reaper, &reaper.known[i]);
	}
	if (status == GUESTLOCK_OK) {
		gl_sweep(gl, is_known, &reaper);
	}
	forget_known(&reaper);
	if (status == GUESTLOCK_OK && out_result) {
		*out_result = reaper.result;
	}
	return status;
}
