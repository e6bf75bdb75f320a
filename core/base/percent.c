/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Percent encoding: any bytes as a word of records, entries and notes. */
#include "base/base.h"

#include <limits.h>
#include <string.h>

static bool gl_is_plain(char c)
{
	static const bool plain[UCHAR_MAX + 1] = {
		['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['-'] = true, ['.'] = true,
		['_'] = true,         ['~'] = true,         ['/'] = true,         [':'] = true, ['@'] = true,
		['+'] = true,         [','] = true,         ['='] = true,
	};

	return plain[(unsigned char)c];
}

size_t gl_percent_plain(const char *text)
{
	size_t size = 0;

	while (gl_is_plain(text[size])) {
		size++;
	}
	return size;
}

char *guestlock_percent_encode(const char *text)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t size = 1;
	const char *p;
	char *out, *end;

	if (text[gl_percent_plain(text)] == '\0') {
		return strdup(text);
	}
	for (p = text; *p != '\0'; p++) {
		size += gl_is_plain(*p) ? 1 : 3;
	}
	out = malloc(size);
	if (!out) {
		return NULL;
	}
	end = out;
	for (p = text; *p != '\0'; p++) {
		unsigned char byte = (unsigned char)*p;

		if (gl_is_plain(*p)) {
			*end++ = *p;
			continue;
		}
		*end++ = '%';
		*end++ = digits[byte >> 4];
		*end++ = digits[byte & 15];
	}
	*end = '\0';
	return out;
}

/* Two hexadecimal digits as a byte; 0 when they are none, as a text cannot have that byte anyway. */
static unsigned gl_hex_byte(const char *digits)
{
	char pair[3] = "";
	uint64_t value;

	gl_copy_cut(pair, sizeof(pair), digits);
	return pair[0] != '\0' && pair[1] != '\0' && gl_parse_u64(pair, 16, &value) ? (unsigned)value : 0;
}

int guestlock_percent_decode(char *text)
{
	const char *from = text;
	char *to = text;

	while (*from != '\0') {
		unsigned byte;

		if (*from != '%') {
			if (!gl_is_plain(*from)) {
				return -1;
			}
			*to++ = *from++;
			continue;
		}
		byte = gl_hex_byte(from + 1);
		if (byte == 0) {
			return -1;
		}
		*to++ = (char)byte;
		from += 3;
	}
	*to = '\0';
	return 0;
}
