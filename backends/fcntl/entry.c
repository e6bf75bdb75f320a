/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text of an entry:
 *
 *     guestlock-entry 1 SIZE CHECK
 *     key KEY
 *     epoch EPOCH
 *     identity WORD
 *     owner UUID INSTANCE mode=M intent=M before=B since=T pid=N start=N ns=N boot=ID adopted=0 host=W
 * manager=W name=W
 *
 * with one "owner" line for each. SIZE, 8 decimal digits, is how many bytes from the beginning belong to the
 * entry: a shorter one is written over a longer one without cutting the file. CHECK covers everything behind
 * the first line. Numbers of 64 bits are 16 hexadecimal digits; EPOCH is "-" when there is none. Words are
 * percent-encoded.
 *
 * An owner counts as long as it lives. mode is what it holds, "none" while it is parked.
 * intent is what an acquire of several keys is about to give it: it keeps others out and moves no epoch.
 * Only when all intents stand are the lines of the grant written. Whoever is killed in between leaves
 * intents that inquire reports as orphans: the same acquire completes them, release drops them, the owner's
 * death voids them. before tells release with BATCH_UNDO what the epoch was before this hold: "-" none, "="
 * nothing to undo.
 */
#include "fcntl_priv.h"

#include <stdlib.h>
#include <string.h>

#define GL_FCNTL_MAGIC "guestlock-entry "
#define GL_FCNTL_VERSION "1 "
#define GL_FCNTL_SIZE_AT (sizeof(GL_FCNTL_MAGIC GL_FCNTL_VERSION) - 1)
#define GL_FCNTL_CHECK_AT (GL_FCNTL_SIZE_AT + 9)
#define GL_FCNTL_CHECK 8                                       /* characters of it */
#define GL_FCNTL_HEAD (GL_FCNTL_CHECK_AT + GL_FCNTL_CHECK + 1) /* bytes of the first line */
#define GL_FCNTL_BODY 128 /* room for the other lines but owners, without the identity */
#define GL_FCNTL_LINE 192 /* room for an owner's line up to its tail */
#define GL_FCNTL_TAIL 160 /* room for a tail without its names */

/* The first characters of the digest, as the records of the core have it. */
static void put_check(const char *text, size_t size, char out[GL_FCNTL_CHECK])
{
	char digest[GUESTLOCK_KEY_SIZE];

	guestlock_digest(text + GL_FCNTL_HEAD, size - GL_FCNTL_HEAD, digest);
	memcpy(out, digest, GL_FCNTL_CHECK);
}

/* ---- Reading ---- */

struct cursor {
	const char *at, *end;
};

static bool take_text(struct cursor *cursor, const char *text)
{
	size_t size = strlen(text);

	if ((size_t)(cursor->end - cursor->at) < size || memcmp(cursor->at, text, size) != 0) {
		return false;
	}
	cursor->at += size;
	return true;
}

/* label, then everything up to the next blank or newline. */
static bool take_word(struct cursor *cursor, const char *label, struct gl_fcntl_word *out)
{
	if (!take_text(cursor, label)) {
		return false;
	}
	out->text = cursor->at;
	while (cursor->at < cursor->end && *cursor->at != ' ' && *cursor->at != '\n') {
		if (*cursor->at <= ' ' || *cursor->at > '~') {
			return false;
		}
		cursor->at++;
	}
	out->size = (size_t)(cursor->at - out->text);
	return true;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

static bool number_of(struct gl_fcntl_word word, unsigned base, uint64_t *out)
{
	uint64_t value = 0;
	size_t i;

	for (i = 0; i < word.size; i++) {
		unsigned digit = (unsigned)digit_of(word.text[i]);

		if (digit >= base || __builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value)) {
			return false;
		}
	}
	*out = value;
	return word.size > 0;
}

static bool take_number(struct cursor *cursor, const char *label, unsigned base, uint64_t *out)
{
	struct gl_fcntl_word word;

	return take_word(cursor, label, &word) && number_of(word, base, out);
}

static bool take_mode(struct cursor *cursor, const char *label, enum guestlock_mode *out)
{
	struct gl_fcntl_word word;
	unsigned mode;

	if (!take_word(cursor, label, &word)) {
		return false;
	}
	for (mode = GUESTLOCK_MODE_NONE; mode <= GUESTLOCK_MODE_EXCLUSIVE; mode++) {
		const char *name = guestlock_mode_name(mode);

		if (word.size == strlen(name) && memcmp(word.text, name, word.size) == 0) {
			*out = mode;
			return true;
		}
	}
	return false;
}

static bool take_uuid(struct cursor *cursor, const char *label, char out[GUESTLOCK_UUID_STRING])
{
	struct gl_fcntl_word word;

	if (!take_word(cursor, label, &word) || word.size >= GUESTLOCK_UUID_STRING) {
		return false;
	}
	memcpy(out, word.text, word.size);
	out[word.size] = '\0';
	return true;
}

static bool take_undo(struct cursor *cursor, struct gl_fcntl_line *line)
{
	if (take_text(cursor, " before==")) {
		line->undo = GL_FCNTL_UNDO_NOTHING;
		return true;
	}
	if (take_text(cursor, " before=-")) {
		line->undo = GL_FCNTL_UNDO_NONE;
		return true;
	}
	line->undo = GL_FCNTL_UNDO_VALUE;
	return take_number(cursor, " before=", 16, &line->before);
}

static bool take_process(struct cursor *cursor, struct guestlock_owner *owner)
{
	uint64_t pid, adopted;

	if (!take_number(cursor, "pid=", 10, &pid) ||
	    !take_number(cursor, " start=", 10, &owner->pid_start) ||
	    !take_number(cursor, " ns=", 10, &owner->pid_ns) ||
	    !take_uuid(cursor, " boot=", owner->boot_id) || !take_number(cursor, " adopted=", 2, &adopted) ||
	    pid > INT32_MAX || adopted > 1) {
		return false;
	}
	owner->pid = (pid_t)pid;
	owner->adopted = adopted == 1;
	return true;
}

static bool take_line(struct cursor *cursor, struct gl_fcntl_line *line)
{
	struct guestlock_owner *owner = &line->owner;
	uint64_t since;

	line->text.text = cursor->at;
	if (!take_uuid(cursor, "owner ", owner->uuid) || !take_number(cursor, " ", 16, &owner->instance) ||
	    !take_mode(cursor, " mode=", &line->mode) || !take_mode(cursor, " intent=", &line->intent) ||
	    !take_undo(cursor, line) || !take_number(cursor, " since=", 10, &since) ||
	    !take_text(cursor, " ")) {
		return false;
	}
	if (!take_process(cursor, owner) || !take_word(cursor, " host=", &line->host) ||
	    !take_word(cursor, " manager=", &line->manager) || !take_word(cursor, " name=", &line->name) ||
	    !take_text(cursor, "\n")) {
		return false;
	}
	line->text.size = (size_t)(cursor->at - line->text.text);
	line->since = (int64_t)since;
	owner->name = owner->host = owner->manager = "";
	return true;
}

static bool take_epoch(struct cursor *cursor, struct gl_fcntl_entry *entry)
{
	entry->has_epoch = !take_text(cursor, "epoch -\n");
	return !entry->has_epoch ||
	       (take_number(cursor, "epoch ", 16, &entry->epoch) && take_text(cursor, "\n"));
}

size_t gl_fcntl_entry_announced(const char *text, size_t size)
{
	struct gl_fcntl_word word = {.text = text + GL_FCNTL_SIZE_AT, .size = 8};
	uint64_t announced;

	if (size < GL_FCNTL_HEAD || memcmp(text, GL_FCNTL_MAGIC GL_FCNTL_VERSION, GL_FCNTL_SIZE_AT) != 0 ||
	    text[GL_FCNTL_CHECK_AT - 1] != ' ' || text[GL_FCNTL_HEAD - 1] != '\n' ||
	    !number_of(word, 10, &announced) || announced < GL_FCNTL_HEAD) {
		return 0;
	}
	return (size_t)announced;
}

static const char *damage_of_head(const struct gl_fcntl_entry *entry)
{
	size_t announced = gl_fcntl_entry_announced(entry->text, entry->size);
	char check[GL_FCNTL_CHECK];

	if (entry->size == 0) {
		return "it is empty";
	}
	if (announced == 0) {
		bool ours = entry->size >= GL_FCNTL_SIZE_AT &&
			    memcmp(entry->text, GL_FCNTL_MAGIC, strlen(GL_FCNTL_MAGIC)) == 0;

		return ours ? "its first line is malformed or of another version of guestlock"
			    : "it does not begin as an entry does";
	}
	if (entry->size < announced) {
		return "it is cut short";
	}
	put_check(entry->text, announced, check);
	if (memcmp(check, entry->text + GL_FCNTL_CHECK_AT, sizeof(check)) != 0) {
		return "its checksum is wrong";
	}
	return NULL;
}

static int parse_lines(struct gl_fcntl_entry *entry, struct cursor *cursor)
{
	while (cursor->at < cursor->end) {
		struct gl_fcntl_line *line = gl_fcntl_entry_add(entry);

		if (!line) {
			return -1;
		}
		if (!take_line(cursor, line)) {
			entry->damage = "a line of it is malformed";
			return 0;
		}
	}
	return 0;
}

static int parse_body(struct gl_fcntl_entry *entry, const char *key)
{
	struct cursor cursor = {.at = entry->text + GL_FCNTL_HEAD, .end = entry->text + entry->size};
	struct gl_fcntl_word word;

	if (!take_word(&cursor, "key ", &word) || !take_text(&cursor, "\n") || !take_epoch(&cursor, entry) ||
	    !take_word(&cursor, "identity ", &entry->identity) || !take_text(&cursor, "\n")) {
		entry->damage = "it is malformed";
		return 0;
	}
	if (word.size != strlen(key) || memcmp(word.text, key, word.size) != 0) {
		entry->damage = "it belongs to another key";
		return 0;
	}
	return parse_lines(entry, &cursor);
}

int gl_fcntl_entry_parse(struct gl_fcntl_entry *entry, const char *key)
{
	entry->count = 0;
	entry->damage = damage_of_head(entry);
	if (!entry->damage) {
		entry->size = gl_fcntl_entry_announced(entry->text, entry->size);
		if (parse_body(entry, key) < 0) {
			return -1;
		}
	}
	entry->presence = entry->damage ? GL_FCNTL_DAMAGED : GL_FCNTL_READABLE;
	if (entry->damage) {
		entry->count = 0;
		entry->has_epoch = false;
	}
	return 0;
}

/* ---- Writing ---- */

struct writer {
	char *at;
};

static void put(struct writer *writer, const char *text, size_t size)
{
	memcpy(writer->at, text, size);
	writer->at += size;
}

static void put_string(struct writer *writer, const char *text)
{
	put(writer, text, strlen(text));
}

static void put_hex(struct writer *writer, uint64_t number)
{
	static const char digits[] = "0123456789abcdef";
	int shift;

	for (shift = 60; shift >= 0; shift -= 4) {
		*writer->at++ = digits[number >> shift & 15];
	}
}

/* At least that many digits. */
static void put_decimal(struct writer *writer, uint64_t number, size_t width)
{
	char digits[24];
	size_t at = sizeof(digits);

	while (number > 0 || sizeof(digits) - at < width) {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	}
	put(writer, digits + at, sizeof(digits) - at);
}

static void put_before(struct writer *writer, const struct gl_fcntl_line *line)
{
	switch (line->undo) {
	case GL_FCNTL_UNDO_VALUE:
		put_hex(writer, line->before);
		break;
	case GL_FCNTL_UNDO_NONE:
		put_string(writer, "-");
		break;
	default:
		put_string(writer, "=");
		break;
	}
}

/* Without formats: a batch of many keys spends its time here. */
static void put_line(struct writer *writer, const struct gl_fcntl_line *line)
{
	if (line->text.text) {
		put(writer, line->text.text, line->text.size);
		return;
	}
	put_string(writer, "owner ");
	put(writer, line->owner.uuid, strnlen(line->owner.uuid, GUESTLOCK_UUID_STRING - 1));
	put_string(writer, " ");
	put_hex(writer, line->owner.instance);
	put_string(writer, " mode=");
	put_string(writer, guestlock_mode_name(line->mode));
	put_string(writer, " intent=");
	put_string(writer, guestlock_mode_name(line->intent));
	put_string(writer, " before=");
	put_before(writer, line);
	put_string(writer, " since=");
	put_decimal(writer, line->since > 0 ? (uint64_t)line->since : 0, 1);
	put_string(writer, " ");
	put_string(writer, line->tail);
}

static void put_tail(struct writer *writer, const struct guestlock_owner *owner)
{
	put_string(writer, "pid=");
	put_decimal(writer, owner->pid > 0 ? (uint64_t)owner->pid : 0, 1);
	put_string(writer, " start=");
	put_decimal(writer, owner->pid_start, 1);
	put_string(writer, " ns=");
	put_decimal(writer, owner->pid_ns, 1);
	put_string(writer, " boot=");
	put(writer, owner->boot_id, strnlen(owner->boot_id, GUESTLOCK_UUID_STRING - 1));
	put_string(writer, owner->adopted ? " adopted=1" : " adopted=0");
}

char *gl_fcntl_tail(const struct guestlock_owner *owner)
{
	char *host = gl_fcntl_encode_cut(owner->host, GL_FCNTL_TEXT - 1);
	char *manager = guestlock_percent_encode(owner->manager);
	char *name = gl_fcntl_encode_cut(owner->name ? owner->name : "", GL_FCNTL_TEXT - 1);
	char *tail = NULL;

	if (host && manager && name) {
		tail = malloc(GL_FCNTL_TAIL + strlen(host) + strlen(manager) + strlen(name));
	}
	if (tail) {
		struct writer writer = {.at = tail};

		put_tail(&writer, owner);
		writer.at = stpcpy(stpcpy(writer.at, " host="), host);
		writer.at = stpcpy(stpcpy(writer.at, " manager="), manager);
		stpcpy(stpcpy(stpcpy(writer.at, " name="), name), "\n");
	}
	free(host);
	free(manager);
	free(name);
	return tail;
}

static size_t room_for(const struct gl_fcntl_entry *entry)
{
	size_t room = GL_FCNTL_HEAD + GL_FCNTL_BODY + entry->identity.size;
	size_t i;

	for (i = 0; i < entry->count; i++) {
		const struct gl_fcntl_line *line = &entry->lines[i];

		room += line->text.text ? line->text.size : GL_FCNTL_LINE + strlen(line->tail);
	}
	return room + 1;
}

static void put_head(char *text, size_t size)
{
	struct writer writer = {.at = text};

	put_string(&writer, GL_FCNTL_MAGIC GL_FCNTL_VERSION);
	put_decimal(&writer, size, 8);
	put_string(&writer, " ");
	put_check(text, size, writer.at);
	writer.at += GL_FCNTL_CHECK;
	put_string(&writer, "\n");
}

char *gl_fcntl_entry_format(const struct gl_fcntl_entry *entry, const char *key, size_t *out_size)
{
	char *text = malloc(room_for(entry));
	struct writer writer;
	size_t i;

	if (!text) {
		return NULL;
	}
	writer = (struct writer){.at = text + GL_FCNTL_HEAD};
	put_string(&writer, "key ");
	put_string(&writer, key);
	put_string(&writer, "\nepoch ");
	if (entry->has_epoch) {
		put_hex(&writer, entry->epoch);
	} else {
		put_string(&writer, "-");
	}
	put_string(&writer, "\nidentity ");
	put(&writer, entry->identity.text, entry->identity.size);
	put_string(&writer, "\n");
	for (i = 0; i < entry->count; i++) {
		put_line(&writer, &entry->lines[i]);
	}
	*out_size = (size_t)(writer.at - text);
	put_head(text, *out_size);
	return text;
}

/* ---- Lines ---- */

struct gl_fcntl_line *gl_fcntl_entry_add(struct gl_fcntl_entry *entry)
{
	/* Grows at 0, 1, 2, 4, 8, ... */
	if ((entry->count & (entry->count - 1)) == 0) {
		size_t room = entry->count > 0 ? entry->count * 2 : 1;
		struct gl_fcntl_line *lines = reallocarray(entry->lines, room, sizeof(*lines));

		if (!lines) {
			return NULL;
		}
		entry->lines = lines;
	}
	memset(&entry->lines[entry->count], 0, sizeof(*entry->lines));
	return &entry->lines[entry->count++];
}

void gl_fcntl_entry_drop(struct gl_fcntl_entry *entry, size_t index)
{
	entry->count--;
	memmove(&entry->lines[index], &entry->lines[index + 1],
		(entry->count - index) * sizeof(*entry->lines));
}
