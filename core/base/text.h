/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A text that grows while it is written. */
#ifndef GL_TEXT_H
#define GL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct gl_text {
	char *data; /* malloc'd; NULL while nothing was added */
	size_t size;
	size_t room;
	bool failed; /* memory ran out: gl_text_take() will say so */
};
#define GL_TEXT_INIT                                                                                         \
	{                                                                                                    \
		.data = NULL                                                                                 \
	}

/* Makes room for size more bytes and a NUL; false: out of memory. */
bool gl_text_reserve(struct gl_text *text, size_t size);

static inline void gl_text_add(struct gl_text *text, const void *data, size_t size)
{
	if ((text->room - text->size <= size && !gl_text_reserve(text, size)) || !text->data) {
		return;
	}
	memcpy(text->data + text->size, data, size);
	text->size += size;
}

static inline void gl_text_string(struct gl_text *text, const char *string)
{
	gl_text_add(text, string, strlen(string));
}

void gl_text_decimal(struct gl_text *text, uint64_t value);
void gl_text_hex(struct gl_text *text, uint64_t value); /* 16 digits */

/* Hands the text over to the caller (free()), with a NUL after it, or NULL if memory ran out. out_size may be
 * NULL. */
char *gl_text_take(struct gl_text *text, size_t *out_size);

/* For GL_AUTOTEXT: a text that is freed, unless it was taken, when it goes out of scope. */
void gl_text_free(struct gl_text *text);
#define GL_AUTOTEXT __attribute__((cleanup(gl_text_free)))

#endif
