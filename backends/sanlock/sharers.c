/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who of a host shares a key, or has it parked: the lease itself says only which hosts share it, and nothing
 * of those who have left it. A directory for each key where there is somebody, in it a note for each manager,
 * which nobody else changes. They name holders and keep this host from leaving; no lock depends on them.
 */
#include "sanlock_priv.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char *directory_of(const struct gl_sanlock *sl, const char *key)
{
	return gl_sanlock_path(sl, key, "holders");
}

static char *path_in(const char *directory, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static size_t index_of(const struct gl_sanlock_note *note, const struct guestlock_owner *owner)
{
	size_t i = 0;

	while (i < note->count && !guestlock_owner_same(&note->lines[i].owner, owner)) {
		i++;
	}
	return i;
}

/* There is room for one line more than was read. */
static void set_line(const struct gl_sanlock *sl, struct gl_sanlock_note *note,
		     const struct guestlock_owner *owner, enum guestlock_mode mode)
{
	size_t at = index_of(note, owner);

	note->lines[at] = (struct gl_sanlock_line){
		.owner = *owner,
		.mode = mode,
		.host_id = sl->host_id,
		.since = (int64_t)time(NULL),
	};
	note->count += at == note->count;
}

static void drop_line(struct gl_sanlock_note *note, size_t at)
{
	note->count--;
	memmove(&note->lines[at], &note->lines[at + 1], (note->count - at) * sizeof(note->lines[0]));
}

/* The first line of a note that was not there needs room. */
static int make_room(struct gl_sanlock_note *note)
{
	if (!note->lines) {
		note->lines = calloc(1, sizeof(*note->lines));
	}
	return note->lines ? 0 : -1;
}

static int change(const struct gl_sanlock *sl, const char *directory, const char *path,
		  const struct guestlock_key *key, const struct guestlock_owner *owner,
		  enum guestlock_mode mode, struct gl_sanlock_note *note)
{
	if (mode == GUESTLOCK_MODE_EXCLUSIVE) {
		size_t at = index_of(note, owner);

		if (at == note->count) {
			return 0;
		}
		drop_line(note, at);
		if (note->count == 0) {
			unlink(path);
			/* Others may have theirs there. */
			rmdir(directory);
			return 0;
		}
		return gl_sanlock_note_write(path, note);
	}
	if (make_room(note) < 0) {
		return -1;
	}
	note->identity = key->identity;
	set_line(sl, note, owner, mode);
	if (gl_sanlock_note_write(path, note) == 0) {
		return 0;
	}
	/* The directory may go at any moment with the last of another manager. */
	if (errno != ENOENT || (mkdir(directory, 0770) < 0 && errno != EEXIST)) {
		return -1;
	}
	return gl_sanlock_note_write(path, note);
}

int gl_sanlock_holders_set(struct gl_sanlock *sl, const struct guestlock_key *key,
			   const struct guestlock_owner *owner, enum guestlock_mode mode)
{
	char *directory = directory_of(sl, key->key);
	char *path = directory ? path_in(directory, sl->mark) : NULL;
	struct gl_sanlock_note note = {.text = NULL};
	int result = -1;

	if (path) {
		pthread_mutex_lock(&sl->mutex);
		/* A damaged one is written anew. */
		if (gl_sanlock_note_read(path, &note) == 0) {
			result = change(sl, directory, path, key, owner, mode, &note);
		}
		pthread_mutex_unlock(&sl->mutex);
		gl_sanlock_note_free(&note);
	}
	free(path);
	free(directory);
	return result;
}

int gl_sanlock_holders_each(const struct gl_sanlock *sl, const char *key, const char *prefix,
			    gl_sanlock_note_fn *visit, void *data)
{
	char *directory = directory_of(sl, key);
	DIR *opened = directory ? opendir(directory) : NULL;
	const struct dirent *entry;
	int result = 0;

	while (opened && result == 0 && (entry = readdir(opened)) != NULL) {
		struct gl_sanlock_note note;
		char *path;

		if (entry->d_name[0] == '.' || strncmp(entry->d_name, prefix, strlen(prefix)) != 0) {
			continue;
		}
		path = path_in(directory, entry->d_name);
		if (path && gl_sanlock_note_read(path, &note) == 0 && note.presence != GL_SANLOCK_ABSENT) {
			result = visit(sl, key, &note, data);
		}
		if (path) {
			gl_sanlock_note_free(&note);
		}
		free(path);
	}
	if (opened) {
		closedir(opened);
	}
	free(directory);
	return result;
}

/* Whether those of other hosts live, only they can tell. */
static int has_living(const struct gl_sanlock *sl, const char *key, const struct gl_sanlock_note *note,
		      void *data)
{
	(void)data;
	(void)key;
	for (size_t i = 0; i < note->count; i++) {
		const struct gl_sanlock_line *line = &note->lines[i];

		if (line->host_id != sl->host_id || strcmp(line->owner.manager, sl->base.run_dir) != 0 ||
		    guestlock_owner_life(&line->owner, sl->base.life_dir) != GUESTLOCK_LIFE_DEAD) {
			return 1;
		}
	}
	return note->presence == GL_SANLOCK_DAMAGED;
}

bool gl_sanlock_holders_any(const struct gl_sanlock *sl, const char *key)
{
	return gl_sanlock_holders_each(sl, key, "", has_living, NULL) != 0;
}
