/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the guests of all hosts hold. */
#include "base/base.h"
#include "base/error.h"
#include "handle/owner.h"

#include <string.h>

void guestlock_survey_free(struct guestlock_survey *survey)
{
	if (!survey) {
		return;
	}
	for (size_t i = 0; i < survey->n_locks; i++) {
		free(survey->locks[i].identity);
	}
	for (size_t i = 0; i < survey->n_silent; i++) {
		free(survey->silent[i].host);
		free(survey->silent[i].reason);
	}
	free(survey->locks);
	free(survey->silent);
	free(survey);
}

/* ---- What the backend says ---- */

struct collection {
	const struct guestlock *gl;
	struct guestlock_survey *survey;
	bool failed; /* out of memory */
};

static const char *text_of(const char *text)
{
	return text ? text : "";
}

static int collect_lock(void *data, const struct guestlock_lock *lock)
{
	struct collection *collection = data;
	struct guestlock_survey *survey = collection->survey;
	struct guestlock_survey_lock *grown = gl_grow(survey->locks, survey->n_locks, sizeof(*grown)), *to;
	char *identity = strdup(text_of(lock->key.identity));

	survey->locks = grown ? grown : survey->locks;
	if (!grown || !identity) {
		free(identity);
		collection->failed = true;
		return -1;
	}
	to = &grown[survey->n_locks++];
	to->identity = identity;
	memcpy(to->key, lock->key.key, sizeof(to->key));
	guestlock_owner_holder(&lock->owner, lock->mode, lock->since, &to->holder);
	gl_holder_from_here(collection->gl, &to->holder);
	return 0;
}

static void collect_silent(void *data, const char *host, const char *reason)
{
	struct collection *collection = data;
	struct guestlock_survey *survey = collection->survey;
	struct guestlock_survey_silent *grown = gl_grow(survey->silent, survey->n_silent, sizeof(*grown));

	if (!grown) {
		collection->failed = true;
		return;
	}
	survey->silent = grown;
	grown += survey->n_silent++;
	grown->host = strdup(host);
	grown->reason = strdup(reason);
	collection->failed |= !grown->host || !grown->reason;
}

/* ---- Order ---- */

static int by_owner(const void *a, const void *b)
{
	const struct guestlock_survey_lock *left = a, *right = b;
	const struct guestlock_holder *one = &left->holder, *other = &right->holder;
	int order = strcmp(one->host, other->host);

	order = order ? order : strcmp(one->name, other->name);
	order = order ? order : strcmp(one->uuid, other->uuid);
	order = order ? order : (one->instance > other->instance) - (one->instance < other->instance);
	order = order ? order : strcmp(left->identity, right->identity);
	return order ? order : strcmp(left->key, right->key);
}

static int by_host(const void *a, const void *b)
{
	const struct guestlock_survey_silent *left = a, *right = b;

	return strcmp(left->host, right->host);
}

static void sort(struct guestlock_survey *survey)
{
	if (survey->n_locks > 0) {
		qsort(survey->locks, survey->n_locks, sizeof(*survey->locks), by_owner);
	}
	if (survey->n_silent > 0) {
		qsort(survey->silent, survey->n_silent, sizeof(*survey->silent), by_host);
	}
}

/* ---- Sides of disks ---- */

/* The identity of the disk, if this is a side of it, and in *out_flags which; else NULL. */
static const char *disk_of_side(const struct guestlock_survey_lock *lock, unsigned *out_flags)
{
	static const char readers[] = "readers:", writers[] = "writers:";

	*out_flags = GUESTLOCK_READONLY;
	if (strncmp(lock->identity, readers, sizeof(readers) - 1) == 0) {
		return lock->identity + sizeof(readers) - 1;
	}
	*out_flags = GUESTLOCK_SHARED;
	return strncmp(lock->identity, writers, sizeof(writers) - 1) == 0
		       ? lock->identity + sizeof(writers) - 1
		       : NULL;
}

static void tell_disk(struct guestlock_survey *survey, size_t side, const char *identity, unsigned flags)
{
	const struct guestlock_holder *guest = &survey->locks[side].holder;

	for (size_t i = 0; i < survey->n_locks; i++) {
		struct guestlock_holder *holder = &survey->locks[i].holder;

		if (holder->mode == GUESTLOCK_MODE_SHARED && holder->instance == guest->instance &&
		    strcmp(holder->uuid, guest->uuid) == 0 && strcmp(holder->host, guest->host) == 0 &&
		    strcmp(survey->locks[i].identity, identity) == 0) {
			holder->flags = flags;
		}
	}
}

/* A side is told with its disk, and not by itself. */
static void fold_sides(struct guestlock_survey *survey)
{
	size_t kept = 0;
	unsigned flags;

	for (size_t i = 0; i < survey->n_locks; i++) {
		const char *identity = disk_of_side(&survey->locks[i], &flags);

		if (identity && survey->locks[i].holder.mode == GUESTLOCK_MODE_SHARED) {
			tell_disk(survey, i, identity, flags);
		}
	}
	for (size_t i = 0; i < survey->n_locks; i++) {
		if (disk_of_side(&survey->locks[i], &flags)) {
			free(survey->locks[i].identity);
		} else {
			survey->locks[kept++] = survey->locks[i];
		}
	}
	survey->n_locks = kept;
}

/* ---- Asking ---- */

static int check(struct guestlock *gl, const char *key, int64_t deadline_ms, struct guestlock_error *err)
{
	if (!gl_can(gl, GUESTLOCK_CAP_CLUSTER)) {
		return gl_fail(err, GUESTLOCK_UNSUPPORTED, 0,
			       "backend %s knows what this host has, and nothing of others; ask on each host",
			       gl_technology(gl));
	}
	if (key && !guestlock_key_valid(key)) {
		return gl_fail(
			err, GUESTLOCK_INVALID, 0,
			"\"%.80s\" is not a key: a key has 43 characters, as guestlock check PATH shows "
			"it",
			key);
	}
	return gl_ready(gl, deadline_ms, err);
}

static int ask_backend(struct guestlock *gl, const char *key, int64_t deadline_ms,
		       struct collection *collection, struct guestlock_error *err)
{
	struct guestlock_error cause;
	enum guestlock_result result;
	unsigned attempt = 0;

	do {
		cause = (struct guestlock_error){0};
		result = gl->ops->survey(gl->backend, key, deadline_ms, collect_lock, collect_silent,
					 collection, &cause);
	} while (result == GUESTLOCK_RES_AGAIN && gl_pause_before_retry(attempt++, 50, deadline_ms));
	if (collection->failed) {
		return gl_fail_memory(err);
	}
	if (result == GUESTLOCK_RES_GRANTED) {
		return GUESTLOCK_OK;
	}
	cause.code = gl_status_of_result(result);
	gl_copy_cut(cause.backend, sizeof(cause.backend), gl_technology(gl));
	gl_error_pass(err, &cause);
	return cause.code;
}

int guestlock_survey(struct guestlock *gl, const char *key, struct guestlock_survey **out_survey,
		     struct guestlock_error *err)
{
	int64_t deadline_ms = gl_deadline(gl);
	struct collection collection = {.gl = gl};
	int status = check(gl, key, deadline_ms, err);

	if (status < 0) {
		return status;
	}
	collection.survey = calloc(1, sizeof(*collection.survey));
	if (!collection.survey) {
		return gl_fail_memory(err);
	}
	status = ask_backend(gl, key, deadline_ms, &collection, err);
	if (status < 0) {
		guestlock_survey_free(collection.survey);
		return status;
	}
	sort(collection.survey);
	if (!key) {
		fold_sides(collection.survey);
	}
	*out_survey = collection.survey;
	return GUESTLOCK_OK;
}
