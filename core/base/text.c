/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A failed allocation is remembered, not returned, so that writers need not look after each piece. */
#include "base/text.h"

#include <stdlib.h>

#define SMALLEST_ROOM 2048 /* bytes: the record of a guest with a few disks */

bool gl_text_reserve(struct gl_text *text, size_t size)
{
	size_t room = text->room ? text->room : SMALLEST_ROOM;
	char *grown;

	if (text->failed || size > SIZE_MAX / 4 - text->size) {
		text->failed = true;
		return false;
	}
	while (room <= text->size + size) {
		room *= 2;
	}
	grown = realloc(text->data, room);
	if (!grown) {
		text->failed = true;
		return false;
	}
	text->data = grown;
	text->room = room;
	return true;
}

void gl_text_decimal(struct gl_text *text, uint64_t value)
{
	char digits[20];
	size_t first = sizeof(digits);

	do {
		digits[--first] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	gl_text_add(text, digits + first, sizeof(digits) - first);
}

void gl_text_hex(struct gl_text *text, uint64_t value)
{
	char digits[16];

	for (size_t i = sizeof(digits); i-- > 0; value >>= 4) {
		digits[i] = "0123456789abcdef"[value & 15];
	}
	gl_text_add(text, digits, sizeof(digits));
}

char *gl_text_take(struct gl_text *text, size_t *out_size)
{
	char *data;

	gl_text_add(text, "", 1);
	if (text->failed) {
		return NULL;
	}
	data = text->data;
	if (out_size) {
		*out_size = text->size - 1;
	}
	*text = (struct gl_text)GL_TEXT_INIT;
	return data;
}

void gl_text_free(struct gl_text *text)
{
	free(text->data);
	*text = (struct gl_text)GL_TEXT_INIT;
}
