/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names in entries: cut, percent-encoded, and back. */
#include "fcntl_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *gl_fcntl_encode_cut(const char *text, size_t size)
{
	size_t length = strnlen(text, size);
	char *copy, *word;

	if (text[length] == '\0') {
		return guestlock_percent_encode(text);
	}
	/* Not in the midst of a character of UTF-8. */
	while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) {
		length--;
	}
	copy = strndup(text, length);
	word = copy ? guestlock_percent_encode(copy) : NULL;
	free(copy);
	return word;
}

void gl_fcntl_decode(struct gl_fcntl_word word, char *out, size_t size)
{
	char *copy = strndup(word.text, word.size);

	out[0] = '\0';
	if (copy && guestlock_percent_decode(copy) == 0) {
		snprintf(out, size, "%s", copy);
	}
	free(copy);
}
