/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A note beside a lease, as guestlock_form_put() writes it:
 *
 *     guestlock-note 1 LENGTH CHECK
 *     lver=VERSION epoch=EPOCH before=EPOCH identity=TEXT
 *     mode=M hostid=N since=T uuid=U instance=N ...
 *
 * with a line for each owner, and blank lines to a multiple of 1024 bytes: so that a note is mostly written
 * over another of the same size, which costs less than a new file, and much less on file systems that write
 * out at once what is renamed over something. Whoever reads it at that very moment may see a part of each;
 * CHECK tells.
 *
 * The last 64 bytes are for an owner that leaves: "left DIGEST", of the version and the owner. It counts in a
 * note of that version and that owner alone. So who writes it needs no proof that he holds the lease still:
 * in a note that somebody wrote since it means nothing, and it touches nothing of that.
 */
#include "sanlock_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GL_SANLOCK_MODE 0660
#define GL_SANLOCK_STEP 1024 /* a note has a multiple of this many bytes */
#define GL_SANLOCK_PAGE 4096 /* up to this a write is done as a whole or not at all, whoever is killed */
#define GL_SANLOCK_LEFT 64   /* bytes at the end of a note for who leaves */
#define GL_SANLOCK_READS 5   /* of one that is being written */

/*
 * To the storage at once, and no more than is written: a page of a network file system that waits to be written would
 * be written as a whole, over what somebody else has written in it since.
 */
#define GL_SANLOCK_WRITES (O_WRONLY | O_DSYNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)

#define NOTE(member) .offset = offsetof(struct gl_sanlock_note, member)
#define NOTE_FLAG(member) .flag = offsetof(struct gl_sanlock_note, member)
static const struct guestlock_field note_fields[] = {
	{.key = "lver", .kind = GUESTLOCK_FIELD_NUMBER, NOTE(lver)},
	{.key = "epoch", .kind = GUESTLOCK_FIELD_MAYBE_HEX, NOTE(epoch), NOTE_FLAG(has_epoch)},
	{.key = "before", .kind = GUESTLOCK_FIELD_MAYBE_HEX, NOTE(before), NOTE_FLAG(has_before)},
	{.key = "identity", .kind = GUESTLOCK_FIELD_TEXT, NOTE(identity), .most = GL_SANLOCK_IDENTITY - 1},
	{.key = NULL},
};

#define LINE(member) .offset = offsetof(struct gl_sanlock_line, member)
static const struct guestlock_field line_fields[] = {
	{.key = "mode", .kind = GUESTLOCK_FIELD_MODE, LINE(mode)},
	{.key = "hostid", .kind = GUESTLOCK_FIELD_UNSIGNED, LINE(host_id)},
	{.key = "since", .kind = GUESTLOCK_FIELD_TIME, LINE(since)},
	{.key = "owner", .kind = GUESTLOCK_FIELD_OWNER, LINE(owner)},
	{.key = NULL},
};

static const struct guestlock_form form = {
	.magic = "guestlock-note 1",
	.head = note_fields,
	.line = line_fields,
	.line_size = sizeof(struct gl_sanlock_line),
};

/* ---- Reading ---- */

/* What the one owner of a note leaves there. */
static void format_left(const struct gl_sanlock_note *note, char out[GL_SANLOCK_LEFT + 1])
{
	const struct guestlock_owner *owner = &note->lines[0].owner;
	char text[128], digest[GUESTLOCK_KEY_SIZE];
	int length = snprintf(text, sizeof(text), "%" PRIu64 " %s %016" PRIx64, note->lver, owner->uuid,
			      owner->instance);

	guestlock_digest(text, (size_t)length, digest);
	snprintf(out, GL_SANLOCK_LEFT + 1, "left %s\n", digest);
}

/* There is room for that. */
static bool has_left(const struct gl_sanlock_note *note)
{
	const char *at = note->text + note->size - GL_SANLOCK_LEFT;
	char left[GL_SANLOCK_LEFT + 1];

	if (*at != 'l' || note->count != 1 || note->lines[0].mode != GUESTLOCK_MODE_EXCLUSIVE) {
		return false;
	}
	format_left(note, left);
	return strncmp(at, left, strlen(left)) == 0;
}

static int read_once(const char *path, struct gl_sanlock_note *out)
{
	const char *damage;
	void *lines;

	*out = (struct gl_sanlock_note){.presence = GL_SANLOCK_ABSENT, .identity = ""};
	if (guestlock_read_file(path, GL_SANLOCK_NOTE_MAX, &out->text, &out->size) < 0) {
		out->text = NULL;
		if (errno == ENOENT) {
			return 0;
		}
		out->presence = GL_SANLOCK_DAMAGED;
		return errno == EFBIG || errno == EINVAL ? 0 : -1;
	}
	if (guestlock_form_take(&form, out->text, out->size, out, &lines, &out->count, &damage) < 0) {
		return -1;
	}
	out->lines = lines;
	out->presence = damage ? GL_SANLOCK_DAMAGED : GL_SANLOCK_READABLE;
	out->has_room =
		!damage && guestlock_form_size(&form, out->text, out->size) + GL_SANLOCK_LEFT <= out->size;
	if (out->has_room && has_left(out)) {
		out->has_before = false;
		out->count = 0;
	}
	return 0;
}

int gl_sanlock_note_read(const char *path, struct gl_sanlock_note *out)
{
	int result = read_once(path, out);

	for (int i = 1; i < GL_SANLOCK_READS && result == 0 && out->presence == GL_SANLOCK_DAMAGED; i++) {
		gl_sanlock_note_free(out);
		result = read_once(path, out);
	}
	return result;
}

void gl_sanlock_note_free(struct gl_sanlock_note *note)
{
	free(note->lines);
	free(note->text);
	*note = (struct gl_sanlock_note){.presence = GL_SANLOCK_ABSENT, .identity = ""};
}

/* ---- Writing ---- */

/* The text of a note with its blank lines, malloc'd; NULL with errno. */
static char *format(const struct gl_sanlock_note *note, size_t *out_size)
{
	size_t size, whole;
	char *text = guestlock_form_put(&form, note, note->lines, note->count, &size), *grown;

	if (!text) {
		return NULL;
	}
	whole = (size + GL_SANLOCK_LEFT + GL_SANLOCK_STEP - 1) / GL_SANLOCK_STEP * GL_SANLOCK_STEP;
	grown = realloc(text, whole);
	if (!grown) {
		free(text);
		return NULL;
	}
	memset(grown + size, '\n', whole - size);
	*out_size = whole;
	return grown;
}

/* Over one of the same size. false: there is none, or it could not be. */
static bool overwrite(const char *path, const char *text, size_t size)
{
	int fd = size <= GL_SANLOCK_PAGE ? open(path, GL_SANLOCK_WRITES) : -1;
	struct statx st;
	bool done;

	if (fd < 0) {
		return false;
	}
	done = statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE, &st) == 0 && S_ISREG(st.stx_mode) &&
	       st.stx_size == size && pwrite(fd, text, size, 0) == (ssize_t)size;
	return close(fd) == 0 && done;
}

int gl_sanlock_note_write(const char *path, const struct gl_sanlock_note *note)
{
	size_t size;
	char *text = format(note, &size);
	int result = 0;

	if (!text) {
		return -1;
	}
	if (!overwrite(path, text, size)) {
		result = guestlock_write_file(path, text, size, GL_SANLOCK_MODE);
	}
	free(text);
	return result;
}

int gl_sanlock_note_leave(const char *path, const struct gl_sanlock_note *note)
{
	int fd = open(path, GL_SANLOCK_WRITES);
	char left[GL_SANLOCK_LEFT + 1];
	struct statx st;
	bool done;

	if (fd < 0) {
		return -1;
	}
	format_left(note, left);
	done = statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE, &st) == 0 && S_ISREG(st.stx_mode) &&
	       st.stx_size == note->size &&
	       pwrite(fd, left, strlen(left), (off_t)(note->size - GL_SANLOCK_LEFT)) == (ssize_t)strlen(left);
	return close(fd) == 0 && done ? 0 : -1;
}
