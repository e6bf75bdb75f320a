/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What goes over all notes. A note only says whom to ask about: what is reported as held, the daemon has
 * confirmed.
 */
#include "sanlock_priv.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the daemon said of one owner: asked once in a round. */
struct asked {
	struct guestlock_owner owner; /* strings are of no use here */
	struct gl_sanlock_held held;
};

struct round {
	struct gl_sanlock *sl;
	gl_sanlock_note_fn *visit_note; /* of notes that can be read */
	const char *mark;               /* the names of notes in KEY.holders begin with it */
	guestlock_enumerate_fn *visit;
	void *data;
	struct asked *asked;
	size_t count;
	int rv; /* the first failure */
};

static const struct gl_sanlock_held *ask_daemon(struct round *round, const struct guestlock_owner *owner)
{
	struct asked *grown;
	int rv;

	for (size_t i = 0; i < round->count; i++) {
		if (guestlock_owner_same(&round->asked[i].owner, owner)) {
			return &round->asked[i].held;
		}
	}
	grown = reallocarray(round->asked, round->count + 1, sizeof(*grown));
	if (!grown) {
		round->rv = -ENOMEM;
		return NULL;
	}
	round->asked = grown;
	grown += round->count;
	*grown = (struct asked){.owner = *owner};
	rv = gl_sanlock_held(owner, &grown->held);
	if (rv < 0) {
		round->rv = rv;
		return NULL;
	}
	round->count++;
	return &grown->held;
}

static bool is_ours(const struct gl_sanlock *sl, const struct gl_sanlock_line *line)
{
	return line->host_id == sl->host_id && strcmp(line->owner.manager, sl->base.run_dir) == 0;
}

/* The mode in which the owner holds the lease by now; NONE: parked, or gone. */
static enum guestlock_mode mode_of(struct round *round, const struct gl_sanlock_lease *lease,
				   const struct gl_sanlock_line *line)
{
	const struct gl_sanlock_held *held = ask_daemon(round, &line->owner);

	return held ? gl_sanlock_mode(gl_sanlock_held_find(held, lease)) : GUESTLOCK_MODE_NONE;
}

static int report(struct round *round, const struct guestlock_key *key, const struct gl_sanlock_line *line,
		  enum guestlock_mode mode)
{
	struct guestlock_lock lock = {
		.owner = line->owner,
		.key = *key,
		.mode = mode,
		.readable = true,
		.since = line->since,
	};

	return round->visit(round->data, &lock);
}

static int report_damaged(struct round *round, const char *key)
{
	struct guestlock_lock lock = {.key = {.identity = ""}, .readable = false};

	memcpy(lock.key.key, key, GUESTLOCK_KEY_SIZE);
	return round->visit(round->data, &lock);
}

static int visit_lines(const struct gl_sanlock *sl, const char *key, const struct gl_sanlock_note *note,
		       void *data)
{
	struct round *round = data;
	struct gl_sanlock_subject subject;

	gl_sanlock_subject_of(sl, key, note, &subject);
	for (size_t i = 0; i < note->count; i++) {
		const struct gl_sanlock_line *line = &note->lines[i];
		enum guestlock_mode mode;

		if (!is_ours(sl, line)) {
			continue;
		}
		mode = mode_of(round, &subject.lease, line);
		if (round->rv < 0) {
			return -1;
		}
		/* Somebody who was here, or who parked it and has it again: that note tells. */
		if ((line->mode != GUESTLOCK_MODE_NONE && mode == GUESTLOCK_MODE_NONE) ||
		    (line->mode != GUESTLOCK_MODE_EXCLUSIVE && mode == GUESTLOCK_MODE_EXCLUSIVE)) {
			continue;
		}
		if (report(round, &subject.key, line, mode) != 0) {
			return 1;
		}
	}
	return 0;
}

static int visit_note(struct round *round, const char *key)
{
	char *path = gl_sanlock_path(round->sl, key, "note");
	struct gl_sanlock_note note;
	int result;

	if (!path) {
		round->rv = -ENOMEM;
		return -1;
	}
	if (gl_sanlock_note_read(path, &note) < 0) {
		round->rv = -errno;
		result = -1;
	} else if (note.presence == GL_SANLOCK_DAMAGED) {
		result = round->visit ? report_damaged(round, key) : 0;
	} else {
		result = round->visit_note(round->sl, key, &note, round);
	}
	gl_sanlock_note_free(&note);
	free(path);
	return result;
}

/* "KEY.note" and "KEY.holders" are of interest. */
static int visit_entry(struct round *round, const char *name)
{
	char key[GUESTLOCK_KEY_SIZE];
	const char *ending = gl_sanlock_key_of(name, key);

	if (ending && strcmp(ending, ".note") == 0) {
		return visit_note(round, key);
	}
	if (ending && strcmp(ending, ".holders") == 0) {
		return gl_sanlock_holders_each(round->sl, key, round->mark, round->visit_note, round);
	}
	return 0;
}

static int go_round(struct round *round)
{
	DIR *directory = opendir(round->sl->dir);
	const struct dirent *entry;
	int result = 0;

	if (!directory) {
		return -errno;
	}
	while (result == 0 && (entry = readdir(directory)) != NULL) {
		result = visit_entry(round, entry->d_name);
	}
	closedir(directory);
	for (size_t i = 0; i < round->count; i++) {
		gl_sanlock_held_free(&round->asked[i].held);
	}
	free(round->asked);
	return round->rv;
}

enum guestlock_result gl_sanlock_enumerate(struct guestlock_backend *backend, guestlock_enumerate_fn *visit,
					   guestlock_unchanged_fn *unchanged, void *data,
					   struct guestlock_error *err)
{
	struct gl_sanlock *sl = gl_sanlock_of(backend);
	struct round round = {
		.sl = sl,
		.visit_note = visit_lines,
		.mark = sl->mark,
		.visit = visit,
		.data = data,
	};
	enum guestlock_result result = gl_sanlock_check_joined(sl, false, err);
	int rv;

	(void)unchanged;
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	rv = go_round(&round);
	return rv < 0 ? gl_sanlock_fail(err, rv, "list the leases in", sl->dir) : GUESTLOCK_RES_GRANTED;
}

/* ---- Whether anybody stays ---- */

struct search {
	const struct gl_sanlock *sl;
	bool found;
	struct guestlock_holder holder;
	char key[GUESTLOCK_KEY_SIZE];
};

static int find_living(void *data, const struct guestlock_lock *lock)
{
	struct search *search = data;

	if (!lock->readable ||
	    guestlock_owner_life(&lock->owner, search->sl->base.life_dir) == GUESTLOCK_LIFE_DEAD) {
		return 0;
	}
	search->found = true;
	guestlock_owner_holder(&lock->owner, lock->mode, lock->since, &search->holder);
	memcpy(search->key, lock->key.key, sizeof(search->key));
	return 1;
}

enum guestlock_result gl_sanlock_in_use(struct gl_sanlock *sl, struct guestlock_error *err)
{
	struct search search = {.sl = sl};
	struct round round = {
		.sl = sl,
		.visit_note = visit_lines,
		.mark = sl->mark,
		.visit = find_living,
		.data = &search,
	};
	int rv = go_round(&round);

	/* Without the storage nothing is held that could be lost by leaving. */
	if (rv < 0 && rv != -ENOENT && rv != -ECONNREFUSED) {
		return gl_sanlock_fail(err, rv, "list the leases in", sl->dir);
	}
	if (!search.found) {
		return GUESTLOCK_RES_GRANTED;
	}
	guestlock_backend_fail(
		err, GUESTLOCK_RES_BUSY, 0, 0,
		"cannot leave lockspace %s: guest %s (%s, pid %ld) %s %s; end that guest first",
		sl->lockspace, search.holder.name[0] ? search.holder.name : "without a name",
		search.holder.uuid, (long)search.holder.pid,
		search.holder.mode == GUESTLOCK_MODE_NONE ? "has parked" : "holds", search.key);
	err->holder = search.holder;
	return GUESTLOCK_RES_BUSY;
}

/* ---- Whom the daemon has forgotten ---- */

/*
 * Of another manager there is only the process that was registered. Another host may have this one's id by mistake; what
 * holds a tether in our directory is ours, even if this host had another name.
 */
static bool lives(const struct gl_sanlock *sl, const struct guestlock_owner *owner)
{
	bool here = strcmp(owner->host, sl->base.host) == 0;
	enum guestlock_life life;

	if (strcmp(owner->manager, sl->base.run_dir) != 0) {
		return here && gl_sanlock_is_running(owner);
	}
	life = guestlock_owner_life(owner, sl->base.life_dir);
	return life == GUESTLOCK_LIFE_ALIVE || (here && life != GUESTLOCK_LIFE_DEAD);
}

/* Who gave it up while the storage was away is in the note still. */
static bool is_claimed(const struct gl_sanlock *sl, const struct guestlock_owner *owner, const char *key)
{
	return strcmp(owner->manager, sl->base.run_dir) != 0 || !sl->base.is_claimed ||
	       sl->base.is_claimed(&sl->base, owner->uuid, owner->instance, key);
}

/* A line that says more than the daemon knows. */
static int find_forgotten(const struct gl_sanlock *sl, const char *key, const struct gl_sanlock_note *note,
			  void *data)
{
	struct round *round = data;
	struct gl_sanlock_forgotten *forgotten = round->data;
	struct gl_sanlock_subject subject;

	gl_sanlock_subject_of(sl, key, note, &subject);
	for (size_t i = 0; i < note->count; i++) {
		const struct gl_sanlock_line *line = &note->lines[i];

		if (line->host_id != sl->host_id || line->mode == GUESTLOCK_MODE_NONE ||
		    !lives(sl, &line->owner) || !is_claimed(sl, &line->owner, key)) {
			continue;
		}
		if (mode_of(round, &subject.lease, line) == GUESTLOCK_MODE_NONE && round->rv == 0) {
			guestlock_owner_holder(&line->owner, line->mode, line->since, &forgotten->guest);
			forgotten->pid_start = line->owner.pid_start;
		}
		if (round->rv < 0 || forgotten->guest.pid > 0) {
			return 1;
		}
	}
	return 0;
}

int gl_sanlock_find_forgotten(struct gl_sanlock *sl, struct gl_sanlock_forgotten *out)
{
	char mark[16];
	struct round round = {.sl = sl, .visit_note = find_forgotten, .mark = mark, .data = out};

	*out = (struct gl_sanlock_forgotten){.pid_start = 0};
	snprintf(mark, sizeof(mark), "%u-", sl->host_id);
	return go_round(&round);
}
