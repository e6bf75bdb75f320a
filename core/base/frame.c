/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first line of a file: how long what follows is, and whether it is whole. */
#include "base/frame.h"

#include "base/base.h"

#include <string.h>

#define CHECK_SIZE 8
#define LENGTH_SIZE 8
#define TAIL_SIZE (1 + LENGTH_SIZE + 1 + CHECK_SIZE + 1) /* " LENGTH CHECK\n" */

size_t gl_frame_size(const char *magic)
{
	return strlen(magic) + TAIL_SIZE;
}

void gl_frame_put(char *out, const char *magic, const char *body, size_t length)
{
	char digest[GUESTLOCK_KEY_SIZE];
	size_t used = 0;

	for (; magic[used]; used++) {
		out[used] = magic[used];
	}
	out[used++] = ' ';
	for (size_t i = LENGTH_SIZE, rest = length; i-- > 0; rest /= 10) {
		out[used + i] = (char)('0' + rest % 10);
	}
	used += LENGTH_SIZE;
	out[used++] = ' ';
	guestlock_digest(body, length, digest);
	memcpy(out + used, digest, CHECK_SIZE);
	out[used + CHECK_SIZE] = '\n';
}

bool gl_frame_length(const char *data, size_t size, const char *magic, size_t *out_length)
{
	char digits[LENGTH_SIZE + 1] = "";
	size_t used = strlen(magic);
	uint64_t length;

	if (size < gl_frame_size(magic) || memcmp(data, magic, used) != 0 || data[used] != ' ') {
		return false;
	}
	memcpy(digits, data + used + 1, LENGTH_SIZE);
	if (!gl_parse_u64(digits, 10, &length)) {
		return false;
	}
	*out_length = length;
	return true;
}

/* It is right when it is the one that this body would get. */
bool gl_frame_fits(const char *data, size_t size, const char *magic, size_t *out_length)
{
	size_t header = gl_frame_size(magic);
	char expected[128];

	if (header > sizeof(expected) || !gl_frame_length(data, size, magic, out_length) ||
	    *out_length > size - header) {
		return false;
	}
	gl_frame_put(expected, magic, data + header, *out_length);
	return memcmp(expected, data, header) == 0;
}
