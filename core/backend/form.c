/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of words: structures as backends keep them. Without formats: a batch of many keys spends its time here. */
#include "backend/kinds.h"
#include "base/base.h"
#include "base/frame.h"

#include <errno.h>
#include <string.h>

#define LINE_ROOM 320 /* bytes of a line that has no long names */

/* ---- Kinds ---- */

static bool is_uuid_or_none(const char *value)
{
	return value[0] == '\0' || gl_uuid_valid(value);
}

static const struct gl_field_kind kind_unsigned = GL_KIND_NUMBER(unsigned, UINT32_MAX, 10, "a number");
static const struct gl_field_kind kind_bool = GL_KIND_NUMBER(bool, 1, 10, "0 or 1");
static const struct gl_field_kind kind_uuid =
	GL_KIND_ARRAY(GUESTLOCK_UUID_STRING, is_uuid_or_none, "a uuid or nothing");
static const struct gl_field_kind kind_text = {.size = sizeof(char *), .what = "a text", .text = true};

static const struct gl_field_kind *const kinds[] = {
	[GUESTLOCK_FIELD_NUMBER] = &gl_kind_number, [GUESTLOCK_FIELD_HEX] = &gl_kind_hex,
	[GUESTLOCK_FIELD_MAYBE_HEX] = &gl_kind_hex, [GUESTLOCK_FIELD_UNSIGNED] = &kind_unsigned,
	[GUESTLOCK_FIELD_TIME] = &gl_kind_time,     [GUESTLOCK_FIELD_PID] = &gl_kind_pid,
	[GUESTLOCK_FIELD_BOOL] = &kind_bool,        [GUESTLOCK_FIELD_MODE] = &gl_kind_mode,
	[GUESTLOCK_FIELD_UUID] = &kind_uuid,        [GUESTLOCK_FIELD_KEY] = &gl_kind_key,
	[GUESTLOCK_FIELD_TEXT] = &kind_text,
};

#define OWNER(member) .offset = offsetof(struct guestlock_owner, member)
static const struct guestlock_field owner_fields[] = {
	{.key = "uuid", .kind = GUESTLOCK_FIELD_UUID, OWNER(uuid)},
	{.key = "instance", .kind = GUESTLOCK_FIELD_HEX, OWNER(instance)},
	{.key = "pid", .kind = GUESTLOCK_FIELD_PID, OWNER(pid)},
	{.key = "start", .kind = GUESTLOCK_FIELD_NUMBER, OWNER(pid_start)},
	{.key = "ns", .kind = GUESTLOCK_FIELD_NUMBER, OWNER(pid_ns)},
	{.key = "boot", .kind = GUESTLOCK_FIELD_UUID, OWNER(boot_id)},
	{.key = "adopted", .kind = GUESTLOCK_FIELD_BOOL, OWNER(adopted)},
	{.key = "host", .kind = GUESTLOCK_FIELD_TEXT, OWNER(host), .most = GUESTLOCK_HOLDER_TEXT - 1},
	{.key = "manager", .kind = GUESTLOCK_FIELD_TEXT, OWNER(manager)},
	{.key = "name", .kind = GUESTLOCK_FIELD_TEXT, OWNER(name), .most = GUESTLOCK_HOLDER_TEXT - 1},
	{.key = NULL},
};

/* ---- Writing ---- */

static void put_text(struct gl_text *out, const char *value, size_t most)
{
	GL_AUTOFREE char *cut = NULL, *encoded = NULL;

	if (value && most > 0 && strnlen(value, most + 1) > most) {
		cut = malloc(most + 1);
		if (cut) {
			gl_copy_cut(cut, most + 1, value);
		}
		out->failed |= !cut;
		value = cut;
	}
	if (value && value[gl_percent_plain(value)] != '\0') {
		encoded = guestlock_percent_encode(value);
		out->failed |= !encoded;
		value = encoded;
	}
	gl_text_string(out, value ? value : "");
}

static bool put_value(struct gl_text *out, const struct guestlock_field *field, const char *object)
{
	const struct gl_field_kind *kind = kinds[field->kind];
	const char *string;

	if (field->kind == GUESTLOCK_FIELD_MAYBE_HEX && !object[field->flag]) {
		gl_text_string(out, "-");
		return true;
	}
	if (kind->text) {
		memcpy(&string, object + field->offset, sizeof(string));
		put_text(out, string, field->most);
		return true;
	}
	return kind->put(kind, out, object + field->offset);
}

/* A blank after each. */
static bool put_words(struct gl_text *out, const struct guestlock_field *fields, const char *object)
{
	bool good = true;

	for (; fields->key && good; fields++) {
		if (fields->kind == GUESTLOCK_FIELD_OWNER) {
			good = put_words(out, owner_fields, object + fields->offset);
			continue;
		}
		gl_text_string(out, fields->key);
		gl_text_add(out, "=", 1);
		good = put_value(out, fields, object);
		gl_text_add(out, " ", 1);
	}
	return good;
}

static bool put_line(struct gl_text *out, const struct guestlock_field *fields, const void *object)
{
	bool good = put_words(out, fields, object);

	if (good && !out->failed) {
		out->data[out->size - 1] = '\n';
	}
	return good;
}

char *guestlock_form_put(const struct guestlock_form *form, const void *head, const void *lines, size_t count,
			 size_t *out_size)
{
	GL_AUTOTEXT struct gl_text out = GL_TEXT_INIT;
	size_t frame = gl_frame_size(form->magic);
	bool good = true;

	if (gl_text_reserve(&out, frame + LINE_ROOM * (count + 1))) {
		out.size = frame;
		good = put_line(&out, form->head, head);
	}
	for (size_t i = 0; i < count && good; i++) {
		good = put_line(&out, form->line, (const char *)lines + i * form->line_size);
	}
	if (!good || out.failed) {
		errno = good ? ENOMEM : EINVAL;
		return NULL;
	}
	gl_frame_put(out.data, form->magic, out.data + frame, out.size - frame);
	return gl_text_take(&out, out_size);
}

/* ---- Reading ---- */

size_t guestlock_form_size(const struct guestlock_form *form, const char *text, size_t size)
{
	size_t length;

	return gl_frame_length(text, size, form->magic, &length) ? gl_frame_size(form->magic) + length : 0;
}

static void set_text(char *member, const char *text)
{
	memcpy(member, &text, sizeof(text));
}

static bool take_value(const struct guestlock_field *field, char *object, char *value)
{
	const struct gl_field_kind *kind = kinds[field->kind];

	if (field->kind == GUESTLOCK_FIELD_MAYBE_HEX) {
		object[field->flag] = strcmp(value, "-") != 0;
		if (!object[field->flag]) {
			return true;
		}
	}
	if (kind->text) {
		set_text(object + field->offset, value);
		return guestlock_percent_decode(value) == 0;
	}
	return kind->get(kind, object + field->offset, value);
}

static bool take_words(char **rest, const struct guestlock_field *fields, char *object)
{
	for (; fields->key; fields++) {
		size_t size = strlen(fields->key);
		char *word;

		if (fields->kind == GUESTLOCK_FIELD_OWNER) {
			if (!take_words(rest, owner_fields, object + fields->offset)) {
				return false;
			}
			continue;
		}
		word = strsep(rest, " ");
		if (!word || strncmp(word, fields->key, size) != 0 || word[size] != '=' ||
		    !take_value(fields, object, word + size + 1)) {
			return false;
		}
	}
	return true;
}

/* The next line of what is left, all of it. */
static bool take_line(char **rest, const struct guestlock_field *fields, void *object)
{
	char *line = strsep(rest, "\n");

	return take_words(&line, fields, object) && !line;
}

/* Nothing is known of what the rows name. */
static void forget(const struct guestlock_field *fields, char *object)
{
	for (; fields->key; fields++) {
		char *member = object + fields->offset;

		if (fields->kind == GUESTLOCK_FIELD_OWNER) {
			forget(owner_fields, member);
		} else if (fields->kind == GUESTLOCK_FIELD_TEXT) {
			set_text(member, "");
		} else {
			memset(member, 0, kinds[fields->kind]->size);
		}
		if (fields->kind == GUESTLOCK_FIELD_MAYBE_HEX) {
			object[fields->flag] = false;
		}
	}
}

static const char *damage_of_frame(const struct guestlock_form *form, const char *text, size_t size,
				   size_t *out_length)
{
	size_t name = strcspn(form->magic, " ") + 1;

	if (size == 0) {
		return "it is empty";
	}
	if (!gl_frame_length(text, size, form->magic, out_length)) {
		return size >= name && memcmp(text, form->magic, name) == 0
			       ? "its first line is malformed or of another version of guestlock"
			       : "it does not begin as it should";
	}
	if (*out_length > size - gl_frame_size(form->magic)) {
		return "it is cut short";
	}
	return gl_frame_fits(text, size, form->magic, out_length) ? NULL : "its checksum is wrong";
}

static size_t count_lines(const char *body, size_t length)
{
	const char *end = body + length;
	size_t count = 0;

	while ((body = memchr(body, '\n', (size_t)(end - body))) != NULL) {
		body++;
		count++;
	}
	return count;
}

/* lines has room for what there is; the body ends with a line's end. */
static bool take_body(const struct guestlock_form *form, char *body, size_t length, void *head, char *lines,
		      size_t *out_count)
{
	char *rest = body;

	if (!take_line(&rest, form->head, head)) {
		return false;
	}
	for (size_t count = 0; rest < body + length; *out_count = ++count) {
		if (!form->line || !take_line(&rest, form->line, lines + count * form->line_size)) {
			return false;
		}
	}
	return true;
}

int guestlock_form_take(const struct guestlock_form *form, char *text, size_t size, void *head,
			void **out_lines, size_t *out_count, const char **out_damage)
{
	char *body = text + gl_frame_size(form->magic);
	size_t length = 0;

	*out_lines = NULL;
	*out_count = 0;
	*out_damage = damage_of_frame(form, text, size, &length);
	if (!*out_damage && form->line) {
		/* One of the lines is the head's: that room is for one more. */
		*out_lines = calloc(count_lines(body, length) + 1, form->line_size);
		if (!*out_lines) {
			return -1;
		}
	}
	if (!*out_damage && (length == 0 || body[length - 1] != '\n' || memchr(body, '\0', length) ||
			     !take_body(form, body, length, head, *out_lines, out_count))) {
		*out_damage = "a line of it is malformed";
	}
	if (*out_damage) {
		free(*out_lines);
		*out_lines = NULL;
		*out_count = 0;
		forget(form->head, head);
	}
	return 0;
}
