/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each skip_...() gives where what begins at `at` ends, or NULL: it is no such thing. */
#include "monitor/json.h"

#include <string.h>

#define DEPTH_MAX 32

static const char *skip_value(const char *at, const char *end, unsigned depth);

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && is_blank(*at)) {
		at++;
	}
	return at;
}

static const char *skip_character(const char *at, const char *end, char c)
{
	return at && at < end && *at == c ? at + 1 : NULL;
}

/* What follows a backslash. */
static const char *skip_escape(const char *at, const char *end)
{
	if (at == end) {
		return NULL;
	}
	if (*at != 'u') {
		return *at && strchr("\"\\/bfnrt", *at) ? at + 1 : NULL;
	}
	for (int i = 1; i <= 4; i++) {
		if (end - at <= i || !is_hex(at[i])) {
			return NULL;
		}
	}
	return at + 5;
}

static const char *skip_string(const char *at, const char *end)
{
	at = skip_character(at, end, '"');
	while (at && at < end && *at != '"') {
		if (*at == '\\') {
			at = skip_escape(at + 1, end);
		} else {
			at = (unsigned char)*at < 0x20 ? NULL : at + 1;
		}
	}
	return skip_character(at, end, '"');
}

/* At least one. */
static const char *skip_digits(const char *at, const char *end)
{
	const char *first = at;

	while (at && at < end && is_digit(*at)) {
		at++;
	}
	return at == first ? NULL : at;
}

static const char *skip_number(const char *at, const char *end)
{
	at += *at == '-';
	at = at < end && *at == '0' ? at + 1 : skip_digits(at, end);
	if (at && at < end && *at == '.') {
		at = skip_digits(at + 1, end);
	}
	if (at && at < end && (*at == 'e' || *at == 'E')) {
		at++;
		at += at < end && (*at == '+' || *at == '-');
		at = skip_digits(at, end);
	}
	return at;
}

static const char *skip_word(const char *at, const char *end, const char *word)
{
	size_t size = strlen(word);

	return (size_t)(end - at) >= size && memcmp(at, word, size) == 0 ? at + size : NULL;
}

/* A name and its colon. */
static const char *skip_name(const char *at, const char *end)
{
	at = skip_string(at, end);
	at = at ? skip_character(skip_blanks(at, end), end, ':') : NULL;
	return at ? skip_blanks(at, end) : NULL;
}

/* What an object or an array has, at its first bracket. */
static const char *skip_members(const char *at, const char *end, bool named, unsigned depth)
{
	const char closing = named ? '}' : ']';

	at = skip_blanks(at + 1, end);
	if (at < end && *at == closing) {
		return at + 1;
	}
	while (at) {
		at = named ? skip_name(at, end) : at;
		at = at ? skip_value(at, end, depth + 1) : NULL;
		at = at ? skip_blanks(at, end) : NULL;
		if (at && at < end && *at == closing) {
			return at + 1;
		}
		at = skip_character(at, end, ',');
		at = at ? skip_blanks(at, end) : NULL;
	}
	return NULL;
}

static const char *skip_value(const char *at, const char *end, unsigned depth)
{
	if (at == end || depth > DEPTH_MAX) {
		return NULL;
	}
	switch (*at) {
	case '{':
	case '[':
		return skip_members(at, end, *at == '{', depth);
	case '"':
		return skip_string(at, end);
	case 't':
		return skip_word(at, end, "true");
	case 'f':
		return skip_word(at, end, "false");
	case 'n':
		return skip_word(at, end, "null");
	default:
		return skip_number(at, end);
	}
}

bool gl_json_valid(const char *text, size_t size)
{
	const char *end = text + size;
	const char *at = skip_value(skip_blanks(text, end), end, 0);

	return at && skip_blanks(at, end) == end;
}

bool gl_json_member(struct gl_json value, const char *name, struct gl_json *out_member)
{
	const char *end = value.text + value.size;
	const char *at = skip_blanks(value.text, end);

	at = skip_character(at, end, '{');
	at = at ? skip_blanks(at, end) : NULL;
	while (at && at < end && *at == '"') {
		const char *value_at = skip_name(at, end);
		const char *value_end = value_at ? skip_value(value_at, end, 1) : NULL;
		const char *rest = skip_word(at + 1, end, name);

		if (value_end && rest && rest < value_at && *rest == '"') {
			*out_member =
				(struct gl_json){.text = value_at, .size = (size_t)(value_end - value_at)};
			return true;
		}
		at = value_end ? skip_character(skip_blanks(value_end, end), end, ',') : NULL;
		at = at ? skip_blanks(at, end) : NULL;
	}
	return false;
}

bool gl_json_is(struct gl_json value, const char *text)
{
	return value.size == strlen(text) && memcmp(value.text, text, value.size) == 0;
}

size_t gl_json_frame(struct gl_json_frame *frame, const char *text, size_t size)
{
	while (frame->seen < size) {
		char c = text[frame->seen++];

		if (frame->escaped) {
			frame->escaped = false;
		} else if (frame->quoted) {
			frame->escaped = c == '\\';
			frame->quoted = c != '"';
		} else if (c == '"') {
			frame->quoted = true;
		} else if (c == '{' || c == '[') {
			frame->depth++;
		} else if (c == '}' || c == ']') {
			frame->depth -= frame->depth > 0;
			if (frame->depth == 0) {
				return frame->seen;
			}
		} else if (frame->depth == 0 && !is_blank(c)) {
			return frame->seen;
		}
	}
	return 0;
}
