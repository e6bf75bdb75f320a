/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hint file is a checked file (checked.h) whose body has a line "UUID[ VALUE]" for each hint. It is changed
 * under a lock of the file; when it is replaced, those who wait for the lock of the old file find it
 * unlinked.
 */
#include "checked.h"
#include "error.h"
#include "rundir.h"
#include "text.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MAGIC "guestlock-hints 1"

static const char *const kind_parts[] = {
	[GL_HINT_KEY] = "hints/key",
	[GL_HINT_FILE] = "hints/file",
	[GL_HINT_NAME] = "hints/name",
};

struct hints {
	struct gl_hint *items; /* malloc'd, with room for one more */
	size_t count;
	bool damaged; /* not all of it could be read */
};

static void free_hints(struct hints *hints)
{
	free(hints->items);
}

#define AUTOHINTS __attribute__((cleanup(free_hints)))

/* ---- Text ---- */

static bool is_value(const char *value, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (value[i] <= ' ' || value[i] > '~') {
			return false;
		}
	}
	return length < GUESTLOCK_KEY_SIZE;
}

static bool parse_line(const char *line, size_t length, struct gl_hint *out)
{
	size_t uuid_length = GUESTLOCK_UUID_STRING - 1;
	size_t value_length = length > uuid_length ? length - uuid_length - 1 : 0;

	if (length < uuid_length || (length > uuid_length && line[uuid_length] != ' ') ||
	    (length > uuid_length && value_length == 0) ||
	    !is_value(line + length - value_length, value_length)) {
		return false;
	}
	memset(out, 0, sizeof(*out));
	memcpy(out->uuid, line, uuid_length);
	memcpy(out->value, line + length - value_length, value_length);
	return gl_uuid_parse(out->uuid, out->uuid);
}

/* Of a damaged file every line that can be read counts, left over ones too: hints are checked anyway. */
static int parse_hints(const struct gl_checked *file, struct hints *out)
{
	const char *line = file->body, *end = line + file->length, *newline;

	out->count = 0;
	out->damaged = file->damaged;
	if (file->damaged) {
		line = file->data;
		end = line + file->size;
	}
	out->items = calloc((size_t)(end - line) / GUESTLOCK_UUID_STRING + 2, sizeof(*out->items));
	if (!out->items) {
		return -1;
	}
	for (; line < end && (newline = memchr(line, '\n', (size_t)(end - line))); line = newline + 1) {
		if (parse_line(line, (size_t)(newline - line), &out->items[out->count])) {
			out->count++;
		}
	}
	return 0;
}

static char *format_hints(const struct hints *hints, size_t *out_size)
{
	GL_AUTOTEXT struct gl_text text = GL_TEXT_INIT;

	for (size_t i = 0; i < hints->count; i++) {
		gl_text_string(&text, hints->items[i].uuid);
		if (hints->items[i].value[0]) {
			gl_text_string(&text, " ");
			gl_text_string(&text, hints->items[i].value);
		}
		gl_text_string(&text, "\n");
	}
	return gl_text_take(&text, out_size);
}

/* ---- Files ---- */

/* The content of a locked file. 0 or -1 with errno. */
static int load_hints(int fd, size_t size, struct hints *out)
{
	struct gl_checked file;
	int result;

	if (gl_checked_read(fd, size, MAGIC, &file) < 0) {
		return -1;
	}
	result = parse_hints(&file, out);
	gl_checked_clear(&file);
	return result;
}

static int save_hints(const char *path, int fd, size_t old_size, const struct hints *hints)
{
	size_t length;
	GL_AUTOFREE char *body = format_hints(hints, &length);

	if (!body) {
		errno = ENOMEM;
		return -1;
	}
	return gl_checked_in_place(old_size, MAGIC, length) ? gl_checked_write(fd, MAGIC, body, length)
							    : gl_checked_replace(path, MAGIC, body, length);
}

/* ---- Adding ---- */

static bool equal(const struct gl_hint *a, const struct gl_hint *b)
{
	return strcmp(a->uuid, b->uuid) == 0 && strcmp(a->value, b->value) == 0;
}

/* Leaves the hints that count; *out_found: the new one is among them. GUESTLOCK_OK, or the judge's refusal.
 */
static int judge_hints(struct hints *hints, const struct gl_hint *new, gl_hint_judge_fn *judge, void *data,
		       bool *out_found, struct guestlock_error *err)
{
	size_t kept = 0;

	*out_found = false;
	for (size_t i = 0; i < hints->count; i++) {
		bool same = equal(&hints->items[i], new);
		int verdict = judge && !same ? judge(data, &hints->items[i], err) : 0;

		if (verdict < 0) {
			return verdict;
		}
		if (verdict == 0 && !(same && *out_found)) {
			hints->items[kept++] = hints->items[i];
		}
		*out_found = *out_found || same;
	}
	hints->count = kept;
	return GUESTLOCK_OK;
}

static int add_locked(const char *path, int fd, size_t size, const struct gl_hint *hint,
		      gl_hint_judge_fn *judge, void *data, struct guestlock_error *err)
{
	AUTOHINTS struct hints hints = {.items = NULL};
	size_t old_count;
	bool found;
	int status;

	if (load_hints(fd, size, &hints) < 0) {
		return gl_rundir_fail(err, errno, "read", path);
	}
	old_count = hints.count;
	status = judge_hints(&hints, hint, judge, data, &found, err);
	if (status || (found && !hints.damaged && hints.count == old_count)) {
		return status;
	}
	if (!found) {
		hints.items[hints.count++] = *hint;
	}
	return save_hints(path, fd, size, &hints) < 0 ? gl_rundir_fail(err, errno, "write", path)
						      : GUESTLOCK_OK;
}

static int check_hint(const struct gl_hint *hint, struct guestlock_error *err)
{
	char uuid[GUESTLOCK_UUID_STRING];

	if (memchr(hint->uuid, '\0', sizeof(hint->uuid)) && memchr(hint->value, '\0', sizeof(hint->value)) &&
	    gl_uuid_parse(hint->uuid, uuid) && strcmp(uuid, hint->uuid) == 0 &&
	    is_value(hint->value, strlen(hint->value))) {
		return GUESTLOCK_OK;
	}
	return gl_fail(err, GUESTLOCK_INVALID, 0, "'%.*s' is not the uuid of a guest, or '%.*s' not a key",
		       GUESTLOCK_UUID_STRING - 1, hint->uuid, GUESTLOCK_KEY_SIZE - 1, hint->value);
}

static int fail_open(const char *path, int sys_errno, struct guestlock_error *err)
{
	if (sys_errno != ETIMEDOUT) {
		return gl_rundir_fail(err, sys_errno, "lock", path);
	}
	return gl_fail(err, GUESTLOCK_TIMEOUT, sys_errno,
		       "cannot lock %s: another process of guestlock has it locked and did not finish in "
		       "time; try again",
		       path);
}

int gl_hint_add(const struct gl_store *store, enum gl_hint_kind kind, const char *name,
		const struct gl_hint *hint, gl_hint_judge_fn *judge, void *data, int64_t deadline_ms,
		struct guestlock_error *err)
{
	char path[PATH_MAX];
	int status = check_hint(hint, err);
	size_t size;
	int fd;

	if (status == GUESTLOCK_OK) {
		status = gl_rundir_path(store, kind_parts[kind], name, path, err);
	}
	if (status) {
		return status;
	}
	if (gl_rundir_open_locked(store, path, true, deadline_ms, &fd, &size) < 0) {
		return fail_open(path, errno, err);
	}
	status = add_locked(path, fd, size, hint, judge, data, err);
	/* A file that was made in vain, or by somebody who was killed before he wrote to it. */
	if (status && size == 0) {
		unlink(path);
	}
	gl_rundir_close_locked(fd);
	return status;
}

/* ---- Removing, reading ---- */

static void remove_locked(const char *path, int fd, size_t size, const char *uuid)
{
	AUTOHINTS struct hints hints = {.items = NULL};
	size_t kept = 0, old_count;

	if (load_hints(fd, size, &hints) < 0) {
		return;
	}
	old_count = hints.count;
	for (size_t i = 0; i < old_count; i++) {
		if (strcmp(hints.items[i].uuid, uuid) != 0) {
			hints.items[kept++] = hints.items[i];
		}
	}
	hints.count = kept;
	if (kept == 0) {
		unlink(path);
	} else if (kept < old_count || hints.damaged) {
		save_hints(path, fd, size, &hints);
	}
}

void gl_hint_remove(const struct gl_store *store, enum gl_hint_kind kind, const char *name, const char *uuid,
		    int64_t deadline_ms)
{
	char path[PATH_MAX];
	size_t size;
	int fd;

	if (gl_rundir_path(store, kind_parts[kind], name, path, NULL) ||
	    gl_rundir_open_locked(store, path, false, deadline_ms, &fd, &size) < 0) {
		return;
	}
	remove_locked(path, fd, size, uuid);
	gl_rundir_close_locked(fd);
}

/* *out_hints stays without items when there is no file. 0 or -1 with errno. */
static int look(const char *path, struct hints *out_hints)
{
	struct gl_checked file;
	int result;

	if (gl_checked_look(path, MAGIC, &file) < 0) {
		return errno == ENOENT ? 0 : -1;
	}
	result = parse_hints(&file, out_hints);
	gl_checked_clear(&file);
	return result;
}

int gl_hint_read(const struct gl_store *store, enum gl_hint_kind kind, const char *name,
		 struct gl_hint **out_hints, size_t *out_count, struct guestlock_error *err)
{
	struct hints hints = {.items = NULL};
	char path[PATH_MAX];
	int status = gl_rundir_path(store, kind_parts[kind], name, path, err);

	if (status) {
		return status;
	}
	if (look(path, &hints) < 0) {
		return gl_rundir_fail(err, errno, "read", path);
	}
	if (hints.count == 0) {
		free_hints(&hints);
		hints.items = NULL;
	}
	*out_hints = hints.items;
	*out_count = hints.count;
	return GUESTLOCK_OK;
}
