/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Freeing what dead or unexplained owners of this host have on a key. */
#include "sanlock_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct freeing {
	struct guestlock_backend *backend;
	const char *key;
	bool force;
	size_t freed;
	bool found; /* a living one, which was left alone */
	struct guestlock_holder living;
	enum guestlock_result result;
	struct guestlock_error *err;
	struct gl_sanlock_subject subject; /* of the note that was read last */
};

static void release_line(struct freeing *freeing, const struct gl_sanlock_line *line)
{
	struct guestlock_item item = {.key = &freeing->subject.key};
	struct guestlock_batch batch = {
		.owner = &line->owner,
		.items = &item,
		.count = 1,
		.deadline_ms = INT64_MAX,
	};
	enum guestlock_result result = gl_sanlock_release(freeing->backend, &batch, freeing->err);

	freeing->freed += result == GUESTLOCK_RES_GRANTED;
	if (result != GUESTLOCK_RES_GRANTED) {
		freeing->result = result;
	}
}

/* Of somebody dead it counts only while the daemon has the lease for him, which it frees by itself. */
static bool is_left(const struct gl_sanlock_lease *lease, const struct gl_sanlock_line *line)
{
	struct gl_sanlock_held held;
	bool result;

	if (line->mode == GUESTLOCK_MODE_NONE) {
		return true;
	}
	result = gl_sanlock_held(&line->owner, &held) == 0 && gl_sanlock_held_find(&held, lease);
	gl_sanlock_held_free(&held);
	return result;
}

static int free_lines(const struct gl_sanlock *sl, const char *key, const struct gl_sanlock_note *note,
		      void *data)
{
	struct freeing *freeing = data;

	gl_sanlock_subject_of(sl, key, note, &freeing->subject);
	for (size_t i = 0; i < note->count; i++) {
		const struct gl_sanlock_line *line = &note->lines[i];

		if (line->host_id != sl->host_id || strcmp(line->owner.manager, sl->base.run_dir) != 0 ||
		    !is_left(&freeing->subject.lease, line)) {
			continue;
		}
		if (freeing->force ||
		    guestlock_owner_life(&line->owner, sl->base.life_dir) == GUESTLOCK_LIFE_DEAD) {
			release_line(freeing, line);
		} else {
			freeing->found = true;
			guestlock_owner_holder(&line->owner, line->mode, line->since, &freeing->living);
		}
	}
	return 0;
}

static enum guestlock_result free_note(struct freeing *freeing, const char *path)
{
	const struct gl_sanlock *sl = gl_sanlock_of(freeing->backend);
	struct gl_sanlock_note note;
	enum guestlock_result result = GUESTLOCK_RES_GRANTED;

	if (gl_sanlock_note_read(path, &note) < 0) {
		result = gl_sanlock_fail(freeing->err, -errno, "read", path);
	} else if (note.presence == GL_SANLOCK_DAMAGED && !freeing->force) {
		result = guestlock_backend_fail(
			freeing->err, GUESTLOCK_RES_UNKNOWN, 0, 0,
			"cannot tell who had %s: its note %s is damaged; make sure that no guest uses the "
			"resource, then run: guestlock release --orphan %s --force",
			freeing->key, path, freeing->key);
	} else if (note.presence == GL_SANLOCK_DAMAGED) {
		/* The lease itself is sanlock's. */
		freeing->freed += unlink(path) == 0;
	} else {
		free_lines(sl, freeing->key, &note, freeing);
	}
	gl_sanlock_note_free(&note);
	return result;
}

static enum guestlock_result fail_busy(struct freeing *freeing, const struct guestlock_holder *holder)
{
	guestlock_backend_fail(freeing->err, GUESTLOCK_RES_BUSY, 0, 0,
			       "cannot release %s: guest %s (%s, pid %ld on %s) has it; end that guest",
			       freeing->key, holder->name[0] ? holder->name : "without a name",
			       holder->uuid[0] ? holder->uuid : "not known", (long)holder->pid, holder->host);
	freeing->err->holder = *holder;
	return GUESTLOCK_RES_BUSY;
}

/* Nothing of ours was to be freed: is somebody else there? */
static enum guestlock_result fail_nothing(struct freeing *freeing)
{
	const struct gl_sanlock *sl = gl_sanlock_of(freeing->backend);
	struct guestlock_key key = freeing->subject.key;
	struct guestlock_holder *holders = NULL;
	size_t count = 0;
	uint64_t lver;
	enum guestlock_result result;

	/* Of a note that is not there any more. */
	key.identity = "";
	if (freeing->found) {
		return fail_busy(freeing, &freeing->living);
	}
	if (gl_sanlock_holders(sl, &key, &freeing->subject.lease, NULL, GUESTLOCK_MODE_NONE, &holders, &count,
			       &lver) == 0 &&
	    count > 0) {
		result = fail_busy(freeing, &holders[0]);
	} else {
		result = guestlock_backend_fail(
			freeing->err, GUESTLOCK_RES_NO_ORPHAN, 0, 0,
			"cannot release %s: nobody of this host holds it; there is nothing to do",
			freeing->key);
	}
	free(holders);
	return result;
}

enum guestlock_result gl_sanlock_release_orphan(struct guestlock_backend *backend, const char *key,
						bool force, struct guestlock_error *err)
{
	struct gl_sanlock *sl = gl_sanlock_of(backend);
	struct freeing freeing = {
		.backend = backend,
		.key = key,
		.force = force,
		.result = GUESTLOCK_RES_GRANTED,
		.err = err,
	};
	enum guestlock_result result = gl_sanlock_check_joined(sl, true, err);
	char *path;

	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	if (!guestlock_key_valid(key)) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_INVALID, 0, 0,
			"cannot release %s: it is no key; a key has 43 letters, digits, \"-\" and \"_\", and "
			"guestlock check PATH prints it",
			key);
	}
	path = gl_sanlock_path(sl, key, "note");
	if (!path) {
		return gl_sanlock_fail(err, -ENOMEM, "release", key);
	}
	result = free_note(&freeing, path);
	free(path);
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	gl_sanlock_holders_each(sl, key, sl->mark, free_lines, &freeing);
	if (freeing.result != GUESTLOCK_RES_GRANTED) {
		return freeing.result;
	}
	return freeing.freed > 0 ? GUESTLOCK_RES_GRANTED : fail_nothing(&freeing);
}
