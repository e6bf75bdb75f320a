/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hint file is a checked file (checked.h) whose body has a line "NAME UUID INSTANCE[ VALUE[ WORD...]]" for each hint. The
 * words: "part"; "adopted"; and "process=PID,START,NAMESPACE,BOOT", numbers but for the last. Each
 * kind has a fixed number of files, and the digest of a name says which one its hints are in: a file that
 * stays costs less than one that comes and goes with its only hint. It is changed under a lock of the file;
 * when it is replaced, those who wait for the lock of the old file find it unlinked.
 */
#include "base/base.h"
#include "base/error.h"
#include "base/text.h"
#include "record/checkfile.h"
#include "record/rundir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAGIC "guestlock-hints 3"
#define FILE_DIGITS 2 /* of 64 kinds each: 4096 files of a kind, a few hints in each on a large host */

#define PART "part"
#define ADOPTED "adopted"
#define PROCESS "process="
#define PROCESS_FORM PROCESS "%ld,%" PRIx64 ",%" PRIx64 ",%s"
#define WORD_SIZE 128 /* of the longest word behind a value */

struct entry {
	char name[GUESTLOCK_KEY_SIZE];
	struct gl_hint hint;
};

struct hints {
	struct entry *items; /* malloc'd, with room for one more */
	size_t count;
	bool damaged; /* not all of it could be read */
};

static void free_hints(struct hints *hints)
{
	free(hints->items);
}

#define AUTOHINTS __attribute__((cleanup(free_hints)))

/* ---- Text ---- */

static bool is_plain(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] <= ' ' || text[i] > '~') {
			return false;
		}
	}
	return true;
}

/* Fits a line and its field, and is one word. */
static bool is_word(const char *text, size_t length)
{
	return length < GUESTLOCK_KEY_SIZE && is_plain(text, length);
}

/* Takes the word that ends at a blank or at end, and moves behind that. false: it is none, or too long. */
static bool take_word(const char **at, const char *end, char *out, size_t size)
{
	const char *blank = memchr(*at, ' ', (size_t)(end - *at));
	size_t length = (size_t)((blank ? blank : end) - *at);

	if (length == 0 || length >= size || !is_plain(*at, length)) {
		return false;
	}
	memcpy(out, *at, length);
	out[length] = '\0';
	*at += length + (blank != NULL);
	return true;
}

/* Takes a number that ends at a comma, and moves behind that. */
static bool take_number(char **at, int base, uint64_t *out)
{
	char *comma = strchr(*at, ',');

	if (!comma) {
		return false;
	}
	*comma = '\0';
	if (!gl_parse_u64(*at, base, out)) {
		return false;
	}
	*at = comma + 1;
	return true;
}

static bool parse_process(char *text, struct gl_process *out)
{
	uint64_t pid;

	if (!take_number(&text, 10, &pid) || pid > INT32_MAX || !take_number(&text, 16, &out->start) ||
	    !take_number(&text, 16, &out->ns) || (*text && !gl_uuid_parse(text, out->boot_id))) {
		return false;
	}
	out->pid = (pid_t)pid;
	return true;
}

/* Each once. */
static bool parse_word(char *word, struct gl_hint *out)
{
	if (strcmp(word, PART) == 0 && !out->part) {
		out->part = true;
		return true;
	}
	if (strcmp(word, ADOPTED) == 0 && !out->adopted) {
		out->adopted = true;
		return true;
	}
	return strncmp(word, PROCESS, strlen(PROCESS)) == 0 && !out->process.pid &&
	       parse_process(word + strlen(PROCESS), &out->process);
}

static bool parse_line(const char *line, size_t length, struct entry *out)
{
	const char *end = line + length;
	char instance[GL_HEX_SIZE], word[WORD_SIZE];

	memset(out, 0, sizeof(*out));
	if (length == 0 || end[-1] == ' ' || !take_word(&line, end, out->name, sizeof(out->name)) ||
	    !take_word(&line, end, out->hint.uuid, sizeof(out->hint.uuid)) ||
	    !gl_uuid_parse(out->hint.uuid, out->hint.uuid) ||
	    !take_word(&line, end, instance, sizeof(instance)) ||
	    !gl_parse_u64(instance, 16, &out->hint.instance)) {
		return false;
	}
	if (line < end && !take_word(&line, end, out->hint.value, sizeof(out->hint.value))) {
		return false;
	}
	while (line < end) {
		if (!take_word(&line, end, word, sizeof(word)) || !parse_word(word, &out->hint)) {
			return false;
		}
	}
	return true;
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

static void put_words(struct gl_text *text, const struct gl_hint *hint)
{
	char process[WORD_SIZE];

	gl_text_string(text, hint->part ? " " PART : "");
	gl_text_string(text, hint->adopted ? " " ADOPTED : "");
	if (hint->process.pid > 0) {
		snprintf(process, sizeof(process), " " PROCESS_FORM, (long)hint->process.pid,
			 hint->process.start, hint->process.ns, hint->process.boot_id);
		gl_text_string(text, process);
	}
}

static void put_hints(struct gl_text *text, const struct hints *hints)
{
	char instance[GL_HEX_SIZE];

	for (size_t i = 0; i < hints->count; i++) {
		gl_text_string(text, hints->items[i].name);
		gl_text_string(text, " ");
		gl_text_string(text, hints->items[i].hint.uuid);
		gl_hex(instance, hints->items[i].hint.instance, 1);
		gl_text_string(text, " ");
		gl_text_string(text, instance);
		if (hints->items[i].hint.value[0]) {
			gl_text_string(text, " ");
			gl_text_string(text, hints->items[i].hint.value);
			put_words(text, &hints->items[i].hint);
		}
		gl_text_string(text, "\n");
	}
}

/* ---- Files ---- */

int gl_hint_path(const struct gl_store *store, enum gl_hint_kind kind, const char *name, char **out_path,
		 struct guestlock_error *err)
{
	char digest[GUESTLOCK_KEY_SIZE];

	if (name[0] == '\0' || !is_word(name, strlen(name))) {
		return gl_fail(err, GUESTLOCK_INVALID, 0, "'%.*s' is not a name that hints are kept under",
			       GUESTLOCK_KEY_SIZE - 1, name);
	}
	guestlock_digest(name, strlen(name), digest);
	digest[FILE_DIGITS] = '\0';
	return gl_rundir_hints(store, kind, digest, out_path, err);
}

/* The content of a locked file. 0 or -1 with errno. */
static int load_hints(int fd, size_t size, struct hints *out)
{
	struct gl_checked file = {0};
	int result;

	if (gl_checked_read(fd, size, MAGIC, &file) < 0) {
		return -1;
	}
	result = parse_hints(&file, out);
	gl_checked_clear(&file);
	return result;
}

static int save_hints(const char *path, int *fd, size_t old_size, const struct hints *hints)
{
	GL_AUTOTEXT struct gl_text text = GL_TEXT_INIT;
	uint64_t turn = 0;
	size_t size;

	gl_checked_begin(&text, MAGIC);
	put_hints(&text, hints);
	return gl_checked_in_place(old_size, turn, &text)
		       ? gl_checked_write(*fd, &old_size, MAGIC, &text, &turn)
		       : gl_checked_replace(path, MAGIC, &text, false, fd, &size, &turn);
}

/* ---- Adding ---- */

static bool is_named(const struct entry *entry, const char *name)
{
	return strcmp(entry->name, name) == 0;
}

static bool equal(const struct entry *a, const struct entry *b)
{
	return is_named(a, b->name) && strcmp(a->hint.uuid, b->hint.uuid) == 0 &&
	       a->hint.instance == b->hint.instance && strcmp(a->hint.value, b->hint.value) == 0 &&
	       a->hint.part == b->hint.part;
}

/*
 * Leaves the hints that count; *out_found: the new one is among them. GUESTLOCK_OK, or the judge's refusal.
 */
static int judge_hints(struct hints *hints, const struct entry *new, gl_hint_judge_fn *judge, void *data,
		       bool *out_found, struct guestlock_error *err)
{
	size_t kept = 0;

	*out_found = false;
	for (size_t i = 0; i < hints->count; i++) {
		const struct entry *old = &hints->items[i];
		bool same = equal(old, new);
		int verdict = judge && !same && is_named(old, new->name) ? judge(data, &old->hint, err) : 0;

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

static int add_locked(const char *path, int *fd, size_t size, const struct entry *new,
		      gl_hint_judge_fn *judge, void *data, struct guestlock_error *err)
{
	AUTOHINTS struct hints hints = {.items = NULL};
	size_t old_count;
	bool found;
	int status;

	if (load_hints(*fd, size, &hints) < 0) {
		return gl_rundir_fail(err, errno, "read", path);
	}
	old_count = hints.count;
	status = judge_hints(&hints, new, judge, data, &found, err);
	if (status || (found && !hints.damaged && hints.count == old_count)) {
		return status;
	}
	if (!found) {
		hints.items[hints.count++] = *new;
	}
	return save_hints(path, fd, size, &hints) < 0 ? gl_rundir_fail(err, errno, "write", path)
						      : GUESTLOCK_OK;
}

static int check_hint(const struct gl_hint *hint, struct guestlock_error *err)
{
	if (memchr(hint->uuid, '\0', sizeof(hint->uuid)) && memchr(hint->value, '\0', sizeof(hint->value)) &&
	    gl_uuid_valid(hint->uuid) && is_word(hint->value, strlen(hint->value)) &&
	    (hint->value[0] || (!hint->part && !hint->adopted && !hint->process.pid))) {
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
	struct entry new = {.hint = *hint};
	GL_AUTOFREE char *path = NULL;
	int status = check_hint(hint, err);
	size_t size;
	int fd;

	if (status == GUESTLOCK_OK) {
		status = gl_hint_path(store, kind, name, &path, err);
	}
	if (status) {
		return status;
	}
	if (gl_rundir_open_locked(store, path, true, deadline_ms, &fd, &size) < 0) {
		return fail_open(path, errno, err);
	}
	gl_copy_cut(new.name, sizeof(new.name), name);
	status = add_locked(path, &fd, size, &new, judge, data, err);
	/* A file that was made in vain, or by somebody who was killed before he wrote to it. */
	if (status && size == 0 && gl_leads_to(path, fd) > 0) {
		unlink(path);
	}
	gl_rundir_close_locked(fd);
	return status;
}

/* ---- Removing, reading ---- */

static void remove_locked(const char *path, int *fd, size_t size, const char *name, const char *uuid,
			  const char *value)
{
	AUTOHINTS struct hints hints = {.items = NULL};
	size_t kept = 0, old_count;

	if (load_hints(*fd, size, &hints) < 0) {
		return;
	}
	old_count = hints.count;
	for (size_t i = 0; i < old_count; i++) {
		const struct gl_hint *hint = &hints.items[i].hint;

		if (!is_named(&hints.items[i], name) || strcmp(hint->uuid, uuid) != 0 ||
		    (value && strcmp(hint->value, value) != 0)) {
			hints.items[kept++] = hints.items[i];
		}
	}
	hints.count = kept;
	if (kept < old_count || hints.damaged) {
		save_hints(path, fd, size, &hints);
	}
}

void gl_hint_remove(const struct gl_store *store, enum gl_hint_kind kind, const char *name, const char *uuid,
		    const char *value, int64_t deadline_ms)
{
	GL_AUTOFREE char *path = NULL;
	size_t size;
	int fd;

	if (gl_hint_path(store, kind, name, &path, NULL) ||
	    gl_rundir_open_locked(store, path, false, deadline_ms, &fd, &size) < 0) {
		return;
	}
	remove_locked(path, &fd, size, name, uuid, value);
	gl_rundir_close_locked(fd);
}

/* *out_hints stays without items when there is no file. 0 or -1 with errno. */
static int look_at_hints(const char *path, struct hints *out_hints)
{
	struct gl_checked file = {0};
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
	AUTOHINTS struct hints hints = {.items = NULL};
	struct gl_hint *found;
	size_t count = 0;
	GL_AUTOFREE char *path = NULL;
	int status = gl_hint_path(store, kind, name, &path, err);

	if (status) {
		return status;
	}
	if (look_at_hints(path, &hints) < 0) {
		return gl_rundir_fail(err, errno, "read", path);
	}
	found = calloc(hints.count + 1, sizeof(*found));
	if (!found) {
		return gl_fail_memory(err);
	}
	for (size_t i = 0; i < hints.count; i++) {
		if (is_named(&hints.items[i], name)) {
			found[count++] = hints.items[i].hint;
		}
	}
	*out_hints = found;
	*out_count = count;
	return GUESTLOCK_OK;
}
