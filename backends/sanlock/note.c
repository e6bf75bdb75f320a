/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A note beside a lease, as text:
 *
 *     guestlock-note 1
 *     lver VERSION                 of the lease when this was written
 *     epoch HEX                    "-": there is none
 *     before HEX                   the epoch before this hold moved it; "-": it did not
 *     identity TEXT                percent-encoded, as all texts here
 *     owner mode=M hostid=N uuid=U instance=HEX pid=N start=N ns=N boot=ID since=N host=H manager=M name=N
 *     end DIGEST                   of everything before this line
 *
 * with a line for each owner, and blank lines to a multiple of 1024 bytes: so that a note is mostly written
 * over another of the same size, which costs less than a new file, and much less on file systems that write
 * out at once what is renamed over something. Whoever reads it at that very moment may see a part of each;
 * the digest tells.
 *
 * The last 64 bytes are for an owner that leaves: "left DIGEST", of the version and the owner. It counts in a
 * note of that version and that owner alone. So who writes it needs no proof that he holds the lease still:
 * in a note that somebody wrote since it means nothing, and it touches nothing of that.
 */
#include "sanlock_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
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

/* ---- Reading ---- */

/* What follows key in a piece of text which must begin with it; "-" is an empty one. NULL: it does not. */
static char *take_field(char **rest, const char *separator, const char *key)
{
	char *word = strsep(rest, separator);
	size_t size = strlen(key);

	if (!word || strncmp(word, key, size) != 0) {
		return NULL;
	}
	return strcmp(word + size, "-") == 0 ? word + strlen(word) : word + size;
}

static bool to_number(const char *text, int base, uint64_t *out)
{
	char *end;

	if (!text || !text[0]) {
		return false;
	}
	errno = 0;
	*out = strtoull(text, &end, base);
	return errno == 0 && *end == '\0';
}

static bool take_number(char **rest, const char *key, int base, uint64_t *out)
{
	return to_number(take_field(rest, " ", key), base, out);
}

static bool take_uuid(char **rest, const char *key, char out[GUESTLOCK_UUID_STRING])
{
	const char *text = take_field(rest, " ", key);

	if (!text || strlen(text) >= GUESTLOCK_UUID_STRING) {
		return false;
	}
	memcpy(out, text, strlen(text) + 1);
	return true;
}

static bool take_text(char **rest, const char *key, const char **out)
{
	char *text = take_field(rest, " ", key);

	*out = text;
	return text && guestlock_percent_decode(text) == 0;
}

static bool take_mode(char **rest, enum guestlock_mode *out)
{
	const char *name = take_field(rest, " ", "mode=");

	for (int mode = GUESTLOCK_MODE_NONE; name && mode <= GUESTLOCK_MODE_EXCLUSIVE; mode++) {
		if (strcmp(name, guestlock_mode_name((enum guestlock_mode)mode)) == 0) {
			*out = (enum guestlock_mode)mode;
			return true;
		}
	}
	return false;
}

static bool parse_line(char *rest, struct gl_sanlock_line *out)
{
	uint64_t host_id, pid, since;

	*out = (struct gl_sanlock_line){.since = 0};
	if (!take_mode(&rest, &out->mode) || !take_number(&rest, "hostid=", 10, &host_id) ||
	    !take_uuid(&rest, "uuid=", out->owner.uuid) ||
	    !take_number(&rest, "instance=", 16, &out->owner.instance) ||
	    !take_number(&rest, "pid=", 10, &pid) ||
	    !take_number(&rest, "start=", 10, &out->owner.pid_start) ||
	    !take_number(&rest, "ns=", 10, &out->owner.pid_ns) ||
	    !take_uuid(&rest, "boot=", out->owner.boot_id) || !take_number(&rest, "since=", 10, &since) ||
	    !take_text(&rest, "host=", &out->owner.host) ||
	    !take_text(&rest, "manager=", &out->owner.manager) ||
	    !take_text(&rest, "name=", &out->owner.name)) {
		return false;
	}
	out->host_id = (unsigned)host_id;
	out->owner.pid = (pid_t)pid;
	out->since = (int64_t)since;
	return rest == NULL;
}

/* "-" is none, which is allowed. */
static bool take_epoch(char **rest, const char *key, bool *out_has, uint64_t *out)
{
	const char *text = take_field(rest, "\n", key);

	*out_has = text && text[0] != '\0';
	return text && (!*out_has || to_number(text, 16, out));
}

static size_t count_lines(const char *text)
{
	size_t count = 0;

	for (; *text; text++) {
		count += *text == '\n';
	}
	return count;
}

static bool parse_owners(char *rest, struct gl_sanlock_note *note)
{
	for (;;) {
		char *line = strsep(&rest, "\n");

		if (!line || strncmp(line, "end ", 4) == 0) {
			return line != NULL;
		}
		if (strncmp(line, "owner ", 6) != 0 || !parse_line(line + 6, &note->lines[note->count])) {
			return false;
		}
		note->count++;
	}
}

static bool parse(struct gl_sanlock_note *note)
{
	char *rest = note->text, *identity;
	const char *first = strsep(&rest, "\n");

	if (strcmp(first, "guestlock-note 1") != 0 ||
	    !to_number(take_field(&rest, "\n", "lver "), 10, &note->lver) ||
	    !take_epoch(&rest, "epoch ", &note->has_epoch, &note->epoch) ||
	    !take_epoch(&rest, "before ", &note->has_before, &note->before)) {
		return false;
	}
	identity = take_field(&rest, "\n", "identity ");
	note->identity = identity;
	return identity && guestlock_percent_decode(identity) == 0 && parse_owners(rest, note);
}

/* Whether it is what somebody wrote, and where that ends. */
static bool is_whole(const char *text, size_t size, size_t *out_end)
{
	const char *end = strstr(text, "\nend ");
	char digest[GUESTLOCK_KEY_SIZE];

	if (strlen(text) != size || !end) {
		return false;
	}
	guestlock_digest(text, (size_t)(end + 1 - text), digest);
	*out_end = (size_t)(end - text) + 5 + strlen(digest) + 1;
	return strncmp(end + 5, digest, strlen(digest)) == 0 && text[*out_end - 1] == '\n';
}

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

static bool has_left(const struct gl_sanlock_note *note)
{
	const char *at = note->text + note->size - GL_SANLOCK_LEFT;
	char left[GL_SANLOCK_LEFT + 1];

	if (!note->has_room || *at != 'l' || note->count != 1 ||
	    note->lines[0].mode != GUESTLOCK_MODE_EXCLUSIVE) {
		return false;
	}
	format_left(note, left);
	return strncmp(at, left, strlen(left)) == 0;
}

static int read_once(const char *path, struct gl_sanlock_note *out)
{
	size_t end;

	*out = (struct gl_sanlock_note){.presence = GL_SANLOCK_ABSENT, .identity = ""};
	if (guestlock_read_file(path, GL_SANLOCK_NOTE_MAX, &out->text, &out->size) < 0) {
		out->text = NULL;
		if (errno == ENOENT) {
			return 0;
		}
		out->presence = GL_SANLOCK_DAMAGED;
		return errno == EFBIG || errno == EINVAL ? 0 : -1;
	}
	out->lines = calloc(count_lines(out->text) + 1, sizeof(*out->lines));
	if (!out->lines) {
		errno = ENOMEM;
		return -1;
	}
	out->presence = GL_SANLOCK_READABLE;
	if (!is_whole(out->text, out->size, &end) || !parse(out)) {
		out->presence = GL_SANLOCK_DAMAGED;
		out->has_epoch = out->has_before = false;
		out->identity = "";
		out->count = 0;
		return 0;
	}
	out->has_room = end + GL_SANLOCK_LEFT <= out->size;
	if (has_left(out)) {
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

struct text {
	char *data;
	size_t size, room;
	bool failed; /* no memory */
};

static bool make_room(struct text *to, size_t more)
{
	size_t room = to->room > 0 ? to->room : GL_SANLOCK_STEP;
	char *grown;

	while (room - to->size <= more) {
		room *= 2;
	}
	grown = room == to->room ? to->data : realloc(to->data, room);
	to->failed |= !grown;
	if (grown) {
		to->data = grown;
		to->room = room;
	}
	return !to->failed;
}

static void put_bytes(struct text *to, const char *bytes, size_t size)
{
	if (make_room(to, size)) {
		memcpy(to->data + to->size, bytes, size);
		to->size += size;
	}
}

__attribute__((format(printf, 2, 3))) static void put(struct text *to, const char *format, ...)
{
	char bytes[512];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(bytes, sizeof(bytes), format, args);
	va_end(args);
	to->failed |= length < 0 || (size_t)length >= sizeof(bytes);
	if (!to->failed) {
		put_bytes(to, bytes, (size_t)length);
	}
}

/* "KEY=TEXT", percent-encoded. */
static void put_text(struct text *to, const char *key, const char *text)
{
	char *word = guestlock_percent_encode(text ? text : "");
	const char *shown = word && word[0] ? word : "-";

	put_bytes(to, key, strlen(key));
	put_bytes(to, shown, strlen(shown));
	to->failed |= !word;
	free(word);
}

static void put_identity(struct text *to, const char *identity)
{
	char cut[GL_SANLOCK_IDENTITY];
	size_t length = strnlen(identity, sizeof(cut));

	if (length < sizeof(cut)) {
		put_text(to, "identity ", identity);
		return;
	}
	memcpy(cut, identity, sizeof(cut) - 1);
	cut[sizeof(cut) - 1] = '\0';
	put_text(to, "identity ", cut);
}

static void put_line(struct text *to, const struct gl_sanlock_line *line)
{
	const struct guestlock_owner *owner = &line->owner;

	put(to,
	    "owner mode=%s hostid=%u uuid=%s instance=%016" PRIx64 " pid=%ld start=%" PRIu64 " ns=%" PRIu64
	    " boot=%s since=%" PRId64,
	    guestlock_mode_name(line->mode), line->host_id, owner->uuid, owner->instance, (long)owner->pid,
	    owner->pid_start, owner->pid_ns, owner->boot_id[0] ? owner->boot_id : "-", line->since);
	put_text(to, " host=", owner->host);
	put_text(to, " manager=", owner->manager);
	put_text(to, " name=", owner->name);
	put_bytes(to, "\n", 1);
}

static void put_epoch(struct text *to, const char *key, bool has, uint64_t epoch)
{
	if (has) {
		put(to, "%s %016" PRIx64 "\n", key, epoch);
	} else {
		put(to, "%s -\n", key);
	}
}

static void put_note(struct text *to, const struct gl_sanlock_note *note)
{
	put(to, "guestlock-note 1\nlver %" PRIu64 "\n", note->lver);
	put_epoch(to, "epoch", note->has_epoch, note->epoch);
	put_epoch(to, "before", note->has_before, note->before);
	put_identity(to, note->identity);
	put_bytes(to, "\n", 1);
	for (size_t i = 0; i < note->count; i++) {
		put_line(to, &note->lines[i]);
	}
}

/* The end, and the blank lines. */
static void put_end(struct text *to)
{
	char digest[GUESTLOCK_KEY_SIZE];
	size_t blank = GL_SANLOCK_LEFT;

	guestlock_digest(to->data, to->size, digest);
	put(to, "end %s\n", digest);
	blank += (GL_SANLOCK_STEP - (to->size + blank) % GL_SANLOCK_STEP) % GL_SANLOCK_STEP;
	if (make_room(to, blank)) {
		memset(to->data + to->size, '\n', blank);
		to->size += blank;
	}
}

/* The text of a note, malloc'd; NULL: no memory. */
static char *format(const struct gl_sanlock_note *note, size_t *out_size)
{
	struct text to = {.size = 0};

	put_note(&to, note);
	if (!to.failed) {
		put_end(&to);
	}
	if (to.failed) {
		free(to.data);
		return NULL;
	}
	*out_size = to.size;
	return to.data;
}

/* Over one of the same size. false: there is none, or it could not be. */
static bool overwrite(const char *path, const char *text, size_t size)
{
	int fd = size <= GL_SANLOCK_PAGE ? open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
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
		errno = ENOMEM;
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
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
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

/* ---- Lines ---- */

bool gl_sanlock_same_owner(const struct guestlock_owner *a, const struct guestlock_owner *b)
{
	return a->instance == b->instance && strcmp(a->uuid, b->uuid) == 0;
}

static void copy_cut(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text ? text : "");
}

void gl_sanlock_fill_holder(const struct gl_sanlock_line *line, struct guestlock_holder *out)
{
	*out = (struct guestlock_holder){
		.instance = line->owner.instance,
		.mode = line->mode,
		.pid = line->owner.pid,
		.since = line->since,
	};
	memcpy(out->uuid, line->owner.uuid, sizeof(out->uuid));
	copy_cut(out->name, sizeof(out->name), line->owner.name);
	copy_cut(out->host, sizeof(out->host), line->owner.host);
}
