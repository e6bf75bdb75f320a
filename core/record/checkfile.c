/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one place that knows how such a file is laid out. Reading never waits for a writer: a check that
 * does not fit is looked at again, and only then called damage.
 */
#include "record/checkfile.h"

#include "base/base.h"
#include "base/frame.h"
#include "record/record.h"
#include "record/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Some 100 ms with the pauses: a change takes less, unless its writer is stopped in it. */
#define READ_TRIES 500

void gl_checked_clear(struct gl_checked *checked)
{
	free(checked->data);
	*checked = (struct gl_checked){0};
}

static void find_damaged_body(struct gl_checked *checked, const char *magic)
{
	char *newline = memchr(checked->data, '\n', checked->size);

	checked->damaged = true;
	checked->body = checked->data;
	if (newline && strncmp(checked->data, magic, strlen(magic)) == 0) {
		checked->body = newline + 1;
		checked->lines = 1;
	}
	checked->length = checked->size - (size_t)(checked->body - checked->data);
	while (checked->length > 1 && memcmp(checked->body + checked->length - 2, "\n\n", 2) == 0) {
		checked->length--;
	}
}

static void find_body(struct gl_checked *checked, const char *magic)
{
	checked->body = checked->data;
	if (checked->size == 0) {
		return;
	}
	if (!gl_frame_fits(checked->data, checked->size, magic, &checked->length)) {
		find_damaged_body(checked, magic);
		return;
	}
	checked->body = checked->data + gl_frame_size(magic);
	checked->body[checked->length] = '\0';
	checked->lines = 1;
}

int gl_checked_read(int fd, size_t size, const char *magic, struct gl_checked *out)
{
	struct gl_checked made = {.changed_ns = out->changed_ns};
	ssize_t got;

	if (size > GL_RECORD_MAX) {
		errno = EFBIG;
		return -1;
	}
	made.data = malloc(size + 1);
	if (!made.data) {
		return -1;
	}
	got = gl_read_all(fd, made.data, size, 0);
	if (got < 0) {
		gl_checked_clear(&made);
		return -1;
	}
	made.size = (size_t)got;
	made.data[made.size] = '\0';
	find_body(&made, magic);
	*out = made;
	return 0;
}

static int look_once(const char *path, const char *magic, struct gl_checked *out)
{
	GL_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0) {
		return -1;
	}
	if (fstat(fd, &st) < 0) {
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	out->changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	return gl_checked_read(fd, (size_t)st.st_size, magic, out);
}

int gl_checked_look(const char *path, const char *magic, struct gl_checked *out)
{
	for (int tries = 1;; tries++) {
		if (look_once(path, magic, out) < 0) {
			return -1;
		}
		if (!out->damaged || tries == READ_TRIES) {
			return 0;
		}
		gl_checked_clear(out);
		gl_pause_before_retry(0, 1, guestlock_monotonic_ms() + 1);
	}
}

/* ---- Writing: a text begins with room for its header ---- */

void gl_checked_begin(struct gl_text *text, const char *magic)
{
	if (gl_text_reserve(text, gl_frame_size(magic))) {
		text->size = gl_frame_size(magic);
	}
}

static bool finish_text(struct gl_text *text, const char *magic)
{
	size_t header = gl_frame_size(magic);

	if (text->failed || text->size > GL_RECORD_MAX) {
		errno = text->failed ? ENOMEM : EFBIG;
		return false;
	}
	gl_frame_put(text->data, magic, text->data + header, text->size - header);
	return true;
}

/* The room of a whole page for good, also where the blocks of the file system are smaller. */
static int reserve_page(int fd)
{
	int result = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, GL_CHECKED_PAGE);

	return result < 0 && (errno == ENOSPC || errno == EDQUOT) ? -1 : 0;
}

/* At once: if not all of it gets there, it has failed. */
static int write_page(int fd, const struct gl_text *text)
{
	ssize_t written;

	if (gl_is_too_much(text->size)) {
		errno = EFBIG;
		return -1;
	}
	written = pwrite(fd, text->data, text->size, 0);
	if (written >= 0 && (size_t)written < text->size) {
		errno = ENOSPC;
	}
	return written == (ssize_t)text->size ? 0 : -1;
}

/* Over the old content, with empty lines over what is left of a longer one. */
static int write_in_place(int fd, size_t *size, struct gl_text *text)
{
	int saved_errno;

	if (text->size < *size) {
		if (!gl_text_reserve(text, *size - text->size)) {
			errno = ENOMEM;
			return -1;
		}
		memset(text->data + text->size, '\n', *size - text->size);
		text->size = *size;
	}
	if (*size == 0 && reserve_page(fd) < 0) {
		return -1;
	}
	if (write_page(fd, text) == 0) {
		*size = text->size;
		return 0;
	}
	saved_errno = errno;
	/* A new file that was not written in full is none. */
	if (*size == 0 && ftruncate(fd, 0) < 0) {
		saved_errno = errno;
	}
	errno = saved_errno;
	return -1;
}

static int replace(const char *path, const struct gl_text *text, int *fd)
{
	GL_AUTOFREE char *beside = NULL;
	int saved_errno, new = gl_open_beside(path, 0600, &beside);

	if (new < 0) {
		return -1;
	}
	if (guestlock_ofd_lock(new, F_WRLCK) == 0 && reserve_page(new) == 0 &&
	    gl_write_all(new, text->data, text->size) == 0 && rename(beside, path) == 0) {
		gl_rundir_close_locked(*fd);
		*fd = new;
		return 0;
	}
	saved_errno = errno;
	unlink(beside);
	close(new);
	errno = saved_errno;
	return -1;
}

int gl_checked_write(const char *path, const char *magic, struct gl_text *text, int *fd, size_t *size)
{
	if (!finish_text(text, magic)) {
		return -1;
	}
	if (*size <= GL_CHECKED_PAGE && text->size <= GL_CHECKED_PAGE) {
		return write_in_place(*fd, size, text);
	}
	if (replace(path, text, fd) < 0) {
		return -1;
	}
	*size = text->size;
	return 0;
}
