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

#define TURN "turn "
#define TURN_SIZE (sizeof(TURN) - 1 + 16 + 1)
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

static bool find_page(struct gl_checked *checked, const char *magic)
{
	if (!gl_frame_fits(checked->data, checked->size, magic, &checked->length)) {
		return false;
	}
	checked->body = checked->data + gl_frame_size(magic);
	checked->lines = 1;
	return true;
}

/* The turn that stands in front of a half's body, if it is one of that half; else 0. */
static uint64_t turn_of(const char *body, size_t length, unsigned half)
{
	char digits[16 + 1] = "";
	uint64_t turn;

	if (length < TURN_SIZE || memcmp(body, TURN, strlen(TURN)) != 0 || body[TURN_SIZE - 1] != '\n') {
		return 0;
	}
	memcpy(digits, body + strlen(TURN), sizeof(digits) - 1);
	return gl_parse_u64(digits, 16, &turn) && turn % 2 != half ? turn : 0;
}

static bool find_half(struct gl_checked *checked, const char *magic)
{
	size_t size = checked->size / 2, length;

	for (unsigned half = 0; half < 2; half++) {
		char *data = checked->data + half * size;
		uint64_t turn;

		if (!gl_frame_fits(data, size, magic, &length)) {
			continue;
		}
		turn = turn_of(data + gl_frame_size(magic), length, half);
		if (turn > checked->turn) {
			checked->turn = turn;
			checked->body = data + gl_frame_size(magic) + TURN_SIZE;
			checked->length = length - TURN_SIZE;
			checked->lines = 2;
		}
	}
	return checked->turn > 0;
}

static void find_body(struct gl_checked *checked, const char *magic)
{
	checked->body = checked->data;
	if (checked->size == 0) {
		return;
	}
	if ((checked->size > GL_CHECKED_PAGE && find_half(checked, magic)) || find_page(checked, magic)) {
		checked->body[checked->length] = '\0';
		return;
	}
	find_damaged_body(checked, magic);
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

/* ---- Writing: a text begins with room for a header and a turn, whether it gets one or not ---- */

void gl_checked_begin(struct gl_text *text, const char *magic)
{
	if (gl_text_reserve(text, gl_frame_size(magic) + TURN_SIZE)) {
		memset(text->data, '\n', gl_frame_size(magic) + TURN_SIZE);
		text->size = gl_frame_size(magic) + TURN_SIZE;
	}
}

/* As a page, in which the body stands right behind the header: the room for the turn comes first. */
static size_t page_size(const struct gl_text *text)
{
	return text->size - TURN_SIZE;
}

bool gl_checked_in_place(size_t size, uint64_t turn, const struct gl_text *text)
{
	if (turn > 0) {
		return text->size <= size / 2;
	}
	return size <= GL_CHECKED_PAGE && page_size(text) <= GL_CHECKED_PAGE;
}

/* Empty lines behind the body, so that nothing is left of a longer content that it is written over. */
static void pad_page(struct gl_text *text, size_t size)
{
	size_t used = page_size(text);

	if (used < size && gl_text_reserve(text, size - used)) {
		memset(text->data + text->size, '\n', size - used);
	}
}

static const char *make_page(struct gl_text *text, const char *magic)
{
	size_t header = gl_frame_size(magic);
	char *page = text->data + TURN_SIZE;

	gl_frame_put(page, magic, page + header, page_size(text) - header);
	return page;
}

static void make_half(struct gl_text *text, const char *magic, uint64_t turn)
{
	size_t header = gl_frame_size(magic);
	struct gl_text line = {.data = text->data + header, .room = TURN_SIZE + 1};

	gl_text_string(&line, TURN);
	gl_text_hex(&line, turn);
	gl_text_string(&line, "\n");
	gl_frame_put(text->data, magic, text->data + header, text->size - header);
}

static bool is_writable(const struct gl_text *text)
{
	errno = text->failed ? ENOMEM : EFBIG;
	return !text->failed && text->size <= GL_RECORD_MAX / 2;
}

/* At once: if not all of it gets there, it has failed. */
static int write_at(int fd, const char *data, size_t size, size_t offset)
{
	ssize_t written;

	if (gl_is_too_much(offset + size)) {
		errno = EFBIG;
		return -1;
	}
	written = pwrite(fd, data, size, (off_t)offset);
	if (written >= 0 && (size_t)written < size) {
		errno = ENOSPC;
	}
	return written == (ssize_t)size ? 0 : -1;
}

/* The room of a whole page for good, also where the blocks of the file system are smaller. */
static int reserve_page(int fd)
{
	int result = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, GL_CHECKED_PAGE);

	return result < 0 && (errno == ENOSPC || errno == EDQUOT) ? -1 : 0;
}

static int write_page(int fd, size_t *size, const char *magic, struct gl_text *text)
{
	size_t written = *size > page_size(text) ? *size : page_size(text);

	pad_page(text, written);
	if (!is_writable(text) || (*size == 0 && reserve_page(fd) < 0) ||
	    write_at(fd, make_page(text, magic), written, 0) < 0) {
		return -1;
	}
	*size = written;
	return 0;
}

int gl_checked_write(int fd, size_t *size, const char *magic, struct gl_text *text, uint64_t *turn)
{
	if (*turn == 0) {
		return write_page(fd, size, magic, text);
	}
	if (!is_writable(text)) {
		return -1;
	}
	make_half(text, magic, *turn + 1);
	if (write_at(fd, text->data, text->size, *turn % 2 ? *size / 2 : 0) < 0) {
		return -1;
	}
	++*turn;
	return 0;
}

/* The smallest half that has room for a text and for some more. */
static size_t half_size(const struct gl_text *text)
{
	size_t half = 2 * (size_t)GL_CHECKED_PAGE;

	while (half < text->size) {
		half *= 2;
	}
	return half;
}

/* The second half comes with the next change. */
static int write_halves(int fd, const char *magic, struct gl_text *text, size_t *out_size, uint64_t *out_turn)
{
	*out_size = 2 * half_size(text);
	*out_turn = 1;
	make_half(text, magic, *out_turn);
	if (gl_is_too_much(*out_size)) {
		errno = EFBIG;
		return -1;
	}
	return gl_write_all(fd, text->data, text->size) < 0 ? -1 : ftruncate(fd, (off_t)*out_size);
}

static int write_new(int fd, const char *magic, struct gl_text *text, bool halves, size_t *out_size,
		     uint64_t *out_turn)
{
	if (halves && page_size(text) > GL_CHECKED_PAGE) {
		return write_halves(fd, magic, text, out_size, out_turn);
	}
	*out_turn = 0;
	*out_size = page_size(text);
	if (reserve_page(fd) < 0) {
		return -1;
	}
	return gl_write_all(fd, make_page(text, magic), *out_size);
}

int gl_checked_replace(const char *path, const char *magic, struct gl_text *text, bool halves, int *fd,
		       size_t *out_size, uint64_t *out_turn)
{
	GL_AUTOFREE char *beside = NULL;
	int new, saved_errno;

	if (!is_writable(text)) {
		return -1;
	}
	new = gl_open_beside(path, 0600, &beside);
	if (new < 0) {
		return -1;
	}
	if (guestlock_ofd_lock(new, F_WRLCK) == 0 &&
	    write_new(new, magic, text, halves, out_size, out_turn) == 0 && rename(beside, path) == 0) {
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
