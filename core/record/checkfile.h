/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small files that are changed in place and read without a lock:
 *
 *     MAGIC LENGTH CHECK        as base/frame.h has it
 *     body
 *
 * Empty lines stand where a longer content was. What fits into one page is written over the old content:
 * the kernel does not let a signal interrupt that, and the file has the room of a page from the beginning, so
 * that a killed process or a full disk leaves the old or the new content. CHECK tells a reader that it read
 * in the midst of a change.
 *
 * More is written beside it and renamed. Where it is going to be changed again, the file has two halves, each
 * with a first line as above and a second one, "turn N" (16 hexadecimal digits), which LENGTH and CHECK count
 * as body. The one with the higher turn counts; odd turns are in the first half. A change writes the next
 * turn into the other half: if it is stopped, its CHECK is wrong, and what was there before still counts.
 * What stands behind LENGTH means nothing.
 */
#ifndef GL_CHECKFILE_H
#define GL_CHECKFILE_H

#include "base/text.h"

#define GL_CHECKED_PAGE 4096 /* bytes that are written at once or not at all */

struct gl_checked {
	char *data; /* the whole file as read, NUL-terminated; malloc'd */
	size_t size;
	char *body; /* within data; of a damaged file: all that is behind the first line */
	size_t length;
	unsigned lines;     /* before body, in its half */
	uint64_t turn;      /* of a file with halves, else 0 */
	bool damaged;
	int64_t changed_ns; /* of what was opened by name: when it was written, or before */
};

/* Reads a file of about size bytes from its beginning. An empty one is not damaged. 0 or -1 with errno. */
int gl_checked_read(int fd, size_t size, const char *magic, struct gl_checked *out);

/* Opens and reads without a lock; what seems damaged is read again for some milliseconds. 0 or -1 with errno.
 */
int gl_checked_look(const char *path, const char *magic, struct gl_checked *out);

void gl_checked_clear(struct gl_checked *checked);

/* Begins an empty text with room for what stands before the body, which is to be added to it. */
void gl_checked_begin(struct gl_text *text, const char *magic);

/*
 * Can a file of that many bytes, whose content had that turn, take the text in place? Else it has to be
 * written with gl_checked_replace(). turn is 0 also where it is not known: then halves cannot.
 */
bool gl_checked_in_place(size_t size, uint64_t turn, const struct gl_text *text);

/*
 * Writes a text, which is of no more use then, over the content of a file that only the caller may change
 * now: 0, and *size and *turn are its bytes and turn. -1 with errno: then the old content stands.
 */
int gl_checked_write(int fd, size_t *size, const char *magic, struct gl_text *text, uint64_t *turn);

/*
 * Makes or replaces path, the file that the caller has locked through *fd, as a whole: the new file is locked
 * too before it gets that name, and *fd becomes a descriptor of it. It has halves if the text needs more than
 * a page and they are wanted. 0, with its bytes and turn, or -1 with errno: then nothing has changed.
 */
int gl_checked_replace(const char *path, const char *magic, struct gl_text *text, bool halves, int *fd,
		       size_t *out_size, uint64_t *out_turn);

#endif
