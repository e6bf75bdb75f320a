/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "checked.h"

#include "record.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define CHECK_SIZE 8
#define LENGTH_SIZE 8
#define TAIL_SIZE (1 + LENGTH_SIZE + 1 + CHECK_SIZE + 1) /* " LENGTH CHECK\n" */
#define IN_PLACE 4096                                    /* bytes that are written at once or not at all */
#define READ_TRIES 500
#define READ_PAUSE_US 200

void gl_checked_clear(struct gl_checked *checked)
{
	free(checked->data);
	*checked = (struct gl_checked){0};
}

static size_t header_size(const char *magic)
{
	return strlen(magic) + TAIL_SIZE;
}

static void put_header(char *out, const char *magic, const char *body, size_t length)
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

/* The header is right when it is the one that this body would get. */
static bool header_fits(const struct gl_checked *checked, const char *magic, size_t *out_length)
{
	size_t header = header_size(magic);
	char expected[128], digits[LENGTH_SIZE + 1] = "";
	uint64_t length;

	if (checked->size < header || header > sizeof(expected)) {
		return false;
	}
	memcpy(digits, checked->data + strlen(magic) + 1, LENGTH_SIZE);
	if (!gl_parse_u64(digits, 10, &length) || length > checked->size - header) {
		return false;
	}
	put_header(expected, magic, checked->data + header, length);
	*out_length = length;
	return memcmp(expected, checked->data, header) == 0;
}

static void find_body(struct gl_checked *checked, const char *magic)
{
	char *newline;

	checked->body = checked->data;
	if (checked->size == 0) {
		return;
	}
	if (header_fits(checked, magic, &checked->length)) {
		checked->body = checked->data + header_size(magic);
		checked->body[checked->length] = '\0';
		return;
	}
	checked->damaged = true;
	newline = memchr(checked->data, '\n', checked->size);
	if (newline && strncmp(checked->data, magic, strlen(magic)) == 0) {
		checked->body = newline + 1;
	}
	checked->length = checked->size - (size_t)(checked->body - checked->data);
	while (checked->length > 1 && memcmp(checked->body + checked->length - 2, "\n\n", 2) == 0) {
		checked->length--;
	}
}

int gl_checked_read(int fd, size_t size, const char *magic, struct gl_checked *out)
{
	struct gl_checked made = {0};

	if (size > GL_RECORD_MAX) {
		errno = EFBIG;
		return -1;
	}
	made.data = malloc(size + 1);
	if (!made.data) {
		return -1;
	}
	while (made.size < size) {
		ssize_t got = pread(fd, made.data + made.size, size - made.size, (off_t)made.size);

		if (got < 0 && errno != EINTR) {
			gl_checked_clear(&made);
			return -1;
		}
		if (got == 0) {
			break;
		}
		made.size += got > 0 ? (size_t)got : 0;
	}
	made.data[made.size] = '\0';
	find_body(&made, magic);
	*out = made;
	return 0;
}

static int open_and_read(const char *path, int flags, const char *magic, int *out_fd, struct gl_checked *out)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	int result = -1, saved_errno;

	if (fd < 0) {
		return -1;
	}
	if (fstat(fd, &st) == 0) {
		if (S_ISREG(st.st_mode)) {
			result = gl_checked_read(fd, (size_t)st.st_size, magic, out);
		} else {
			errno = EINVAL;
		}
	}
	if (result == 0) {
		out->changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
		*out_fd = fd;
		return 0;
	}
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return -1;
}

int gl_checked_open(const char *path, const char *magic, int *out_fd, struct gl_checked *out)
{
	return open_and_read(path, O_RDWR, magic, out_fd, out);
}

static int look_once(const char *path, const char *magic, struct gl_checked *out)
{
	int fd;

	if (open_and_read(path, O_RDONLY, magic, &fd, out) < 0) {
		return -1;
	}
	close(fd);
	return 0;
}

int gl_checked_look(const char *path, const char *magic, struct gl_checked *out)
{
	const struct timespec pause = {.tv_nsec = READ_PAUSE_US * 1000};

	for (int tries = 1;; tries++) {
		if (look_once(path, magic, out) < 0) {
			return -1;
		}
		if (!out->damaged || tries == READ_TRIES) {
			return 0;
		}
		gl_checked_clear(out);
		nanosleep(&pause, NULL);
	}
}

bool gl_checked_in_place(size_t size, const char *magic, size_t length)
{
	return size <= IN_PLACE && header_size(magic) + length <= IN_PLACE;
}

/* Padded to a page with empty lines: no change of the content grows or shrinks the file. */
static char *assemble(const char *magic, const char *body, size_t length, size_t *out_size)
{
	size_t header = header_size(magic), used = header + length;
	char *text;

	if (length > GL_RECORD_MAX) {
		errno = EFBIG;
		return NULL;
	}
	*out_size = used < IN_PLACE ? IN_PLACE : used;
	text = malloc(*out_size);
	if (text) {
		put_header(text, magic, body, length);
		memcpy(text + header, body, length);
		memset(text + used, '\n', *out_size - used);
	}
	return text;
}

int gl_checked_write(int fd, const char *magic, const char *body, size_t length)
{
	size_t size;
	GL_AUTOFREE char *text = assemble(magic, body, length, &size);
	struct rlimit limit;
	ssize_t written;

	if (!text) {
		return -1;
	}
	/* Such a limit would cut the write off in the midst. */
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size) {
		errno = EFBIG;
		return -1;
	}
	written = pwrite(fd, text, size, 0);
	if (written >= 0 && (size_t)written < size) {
		errno = ENOSPC;
	}
	return written == (ssize_t)size ? 0 : -1;
}

int gl_checked_replace(const char *path, const char *magic, const char *body, size_t length)
{
	size_t size;
	GL_AUTOFREE char *text = assemble(magic, body, length, &size);

	return text ? guestlock_write_file(path, text, size, 0600) : -1;
}
