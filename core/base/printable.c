/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names and paths of any bytes, as people may see them. */
#include "base/base.h"

#include <string.h>

#define GL_PRINTED_MAX 5 /* bytes that one character takes at most when printed, with NUL */

#define GL_ELLIPSIS "..."

/* Length of the well-formed UTF-8 character (RFC 3629) at text, 0 if there is none; its code point. */
static size_t gl_utf8_decode(const unsigned char *text, unsigned *out_point)
{
	static const unsigned smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length, i;
	unsigned point;

	if (text[0] < 0x80) {
		*out_point = text[0];
		return 1;
	}
	if (text[0] < 0xc0 || text[0] > 0xf7) {
		return 0;
	}
	length = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
	point = text[0] & (0x7fU >> length);
	for (i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80) {
			return 0;
		}
		point = point << 6 | (text[i] & 0x3fU);
	}
	if (point < smallest[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
		return 0;
	}
	*out_point = point;
	return length;
}

/*
 * Prints the character or stray byte at *text, moves on, and returns how many bytes it wrote (without NUL).
 */
static size_t gl_print_character(const char **text, char out[GL_PRINTED_MAX])
{
	unsigned char byte = (unsigned char)**text;
	unsigned point = 0;
	size_t length = gl_utf8_decode((const unsigned char *)*text, &point);

	/* U+0080 to U+009F are control characters too, and terminals obey them. */
	if (length == 0 || point < 0x20 || (point >= 0x7f && point < 0xa0)) {
		out[0] = '\\';
		out[1] = 'x';
		out[2] = "0123456789abcdef"[byte >> 4];
		out[3] = "0123456789abcdef"[byte & 15];
		out[4] = '\0';
		*text += 1;
		return 4;
	}
	memcpy(out, *text, length);
	out[length] = '\0';
	*text += length;
	return length;
}

static size_t gl_printed_length(const char *text)
{
	char printed[GL_PRINTED_MAX];
	size_t length = 0;

	while (*text != '\0') {
		length += gl_print_character(&text, printed);
	}
	return length;
}

/* Prints text until its end, or until a character does not fit into size bytes with the NUL. */
static char *gl_print_until(char *out, size_t size, const char *text)
{
	char printed[GL_PRINTED_MAX];

	while (*text != '\0') {
		size_t length = gl_print_character(&text, printed);

		if (length >= size) {
			break;
		}
		memcpy(out, printed, length);
		out += length;
		size -= length;
	}
	*out = '\0';
	return out;
}

char *gl_printable(const char *text)
{
	size_t size = gl_printed_length(text) + 1;
	char *out = malloc(size);

	if (out) {
		gl_print_until(out, size, text);
	}
	return out;
}

void gl_printable_fit(char *out, size_t size, const char *text)
{
	char printed[GL_PRINTED_MAX];
	size_t length = gl_printed_length(text);
	size_t tail = size / 2;
	char *end;

	if (length < size || size < 4 * sizeof(GL_ELLIPSIS)) {
		gl_print_until(out, size, text);
		return;
	}
	end = gl_print_until(out, size - tail - strlen(GL_ELLIPSIS), text);
	memcpy(end, GL_ELLIPSIS, sizeof(GL_ELLIPSIS));
	end += strlen(GL_ELLIPSIS);
	while (length > tail) {
		length -= gl_print_character(&text, printed);
	}
	gl_print_until(end, size - (size_t)(end - out), text);
}
