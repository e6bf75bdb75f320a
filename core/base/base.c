/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words: copied, cut, joined; uuids and numbers. No format is used where a record is read or written. */
#include "base/base.h"

#include <string.h>

int gl_set_string(char **slot, const char *text)
{
	char *copy = NULL;

	if (text) {
		copy = strdup(text);
		if (!copy) {
			return -1;
		}
	}
	free(*slot);
	*slot = copy;
	return 0;
}

char *gl_concat(const char *const words[], size_t count)
{
	size_t size = 1;
	char *text, *end;

	for (size_t i = 0; i < count; i++) {
		size += strlen(words[i]);
	}
	text = end = malloc(size);
	for (size_t i = 0; i < count && text; i++) {
		end = stpcpy(end, words[i]);
	}
	return text;
}

void *gl_grow(void *array, size_t count, size_t member_size)
{
	return count & (count - 1) ? array : reallocarray(array, count ? 2 * count : 1, member_size);
}

void gl_hex(char out[GL_HEX_SIZE], uint64_t number, unsigned width)
{
	unsigned digits = 1;

	while (digits < 16 && (digits < width || number >> (4 * digits))) {
		digits++;
	}
	for (unsigned i = digits; i-- > 0; number >>= 4) {
		out[i] = "0123456789abcdef"[number & 15];
	}
	out[digits] = '\0';
}

static int gl_hex_value(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	if (c >= 'a' && c <= 'f') {
		return c - 'a' + 10;
	}
	if (c >= 'A' && c <= 'F') {
		return c - 'A' + 10;
	}
	return -1;
}

bool gl_uuid_parse(const char *text, char out_uuid[GUESTLOCK_UUID_STRING])
{
	char uuid[GUESTLOCK_UUID_STRING] = "";
	size_t i;

	for (i = 0; i < GUESTLOCK_UUID_STRING - 1; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i] != '-') {
				return false;
			}
			uuid[i] = '-';
			continue;
		}
		if (gl_hex_value(text[i]) < 0) {
			return false;
		}
		uuid[i] = "0123456789abcdef"[gl_hex_value(text[i])];
	}
	if (text[i] != '\0') {
		return false;
	}
	memcpy(out_uuid, uuid, sizeof(uuid));
	return true;
}

bool gl_uuid_valid(const char *text)
{
	char uuid[GUESTLOCK_UUID_STRING];

	return gl_uuid_parse(text, uuid) && strcmp(uuid, text) == 0;
}

bool gl_parse_u64(const char *text, int base, uint64_t *out_value)
{
	uint64_t value = 0;

	if (*text == '\0') {
		return false;
	}
	for (; *text != '\0'; text++) {
		int digit = gl_hex_value(*text);

		if (digit < 0 || digit >= base) {
			return false;
		}
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value)) {
			return false;
		}
	}
	*out_value = value;
	return true;
}

void gl_copy_cut(char *out, size_t size, const char *text)
{
	size_t length = strnlen(text, size);
	size_t i;

	if (length == size) {
		length = size - 1;
		for (i = length; i > 0 && length - i < 3 && ((unsigned char)text[i] & 0xc0) == 0x80; i--) {
		}
		if (((unsigned char)text[i] & 0xc0) == 0xc0) {
			length = i;
		}
	}
	memmove(out, text, length);
	out[length] = '\0';
}
