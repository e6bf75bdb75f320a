/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define GL_PRINTED_MAX 5 /* bytes that one character takes at most when printed, with NUL */
#define GL_ELLIPSIS "..."

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

/* Prints the character or stray byte at *text, moves on, and returns how many bytes it wrote (without NUL).
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

/* mkdir for which an existing directory is a success. */
static int gl_make_one(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0) {
		return 0;
	}
	if (errno != EEXIST) {
		return -1;
	}
	if (stat(path, &st) < 0) {
		return -1;
	}
	if (!S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return -1;
	}
	return 0;
}

/* The directories above the last one of path, which is changed on the way. */
static int gl_make_parents(char *path)
{
	size_t i;

	for (i = 1; path[i] != '\0'; i++) {
		if (path[i] != '/' || path[i - 1] == '/') {
			continue;
		}
		path[i] = '\0';
		if (gl_make_one(path, 0755) < 0) {
			return -1;
		}
		path[i] = '/';
	}
	return 0;
}

int gl_make_directory(const char *path, mode_t mode)
{
	char copy[PATH_MAX];
	size_t length = strlen(path);

	if (gl_make_one(path, mode) == 0) {
		return 0;
	}
	if (errno != ENOENT || length == 0) {
		return -1;
	}
	while (length > 1 && path[length - 1] == '/') {
		length--;
	}
	if (length >= sizeof(copy)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(copy, path, length);
	copy[length] = '\0';
	return gl_make_parents(copy) < 0 ? -1 : gl_make_one(copy, mode);
}
