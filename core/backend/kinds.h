/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a member of a structure is spelled in a text: as a word after its key, the same for writing and reading. */
#ifndef GL_KINDS_H
#define GL_KINDS_H

#include <guestlock/backend.h>

#include "base/text.h"

struct gl_field_kind {
	size_t size;      /* bytes of the member */
	const char *what; /* what a value is, for messages: "a number" */
	bool text;        /* a char * of any bytes, percent-encoded, which its table's functions write; else: */
	/* false: that is no value of this kind. */
	bool (*put)(const struct gl_field_kind *kind, struct gl_text *text, const void *member);
	bool (*get)(const struct gl_field_kind *kind, void *member, const char *value);
	/* for put and get */
	uint64_t max; /* of numbers and words */
	int base;     /* of numbers */
	const char *(*word)(unsigned value);
	bool (*valid)(const char *value); /* of strings in arrays */
};

bool gl_kind_put_number(const struct gl_field_kind *kind, struct gl_text *text, const void *member);
bool gl_kind_get_number(const struct gl_field_kind *kind, void *member, const char *value);
bool gl_kind_put_word(const struct gl_field_kind *kind, struct gl_text *text, const void *member);
bool gl_kind_get_word(const struct gl_field_kind *kind, void *member, const char *value);
bool gl_kind_put_array(const struct gl_field_kind *kind, struct gl_text *text, const void *member);
bool gl_kind_get_array(const struct gl_field_kind *kind, void *member, const char *value);

/* Numbers are up to limit, in base 10, or 16 with 16 digits. */
#define GL_KIND_NUMBER(type, limit, radix, name)                                                             \
	{                                                                                                    \
		.size = sizeof(type), .what = name, .put = gl_kind_put_number, .get = gl_kind_get_number,    \
		.max = limit, .base = radix,                                                                 \
	}
/* Enumerations, from 0 to last. */
#define GL_KIND_WORDS(last, function, name)                                                                  \
	{                                                                                                    \
		.size = sizeof(unsigned), .what = name, .put = gl_kind_put_word, .get = gl_kind_get_word,    \
		.max = last, .word = function,                                                               \
	}
/* Strings in arrays of so many bytes. */
#define GL_KIND_ARRAY(bytes, function, name)                                                                 \
	{                                                                                                    \
		.size = bytes, .what = name, .put = gl_kind_put_array, .get = gl_kind_get_array,             \
		.valid = function,                                                                           \
	}

extern const struct gl_field_kind gl_kind_number; /* uint64_t, */
extern const struct gl_field_kind gl_kind_hex;    /* in 16 digits */
extern const struct gl_field_kind gl_kind_time;   /* int64_t, not negative */
extern const struct gl_field_kind gl_kind_pid;
extern const struct gl_field_kind gl_kind_mode;
extern const struct gl_field_kind gl_kind_uuid;
extern const struct gl_field_kind gl_kind_key;

#endif
