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
 * What is longer is written beside it and renamed.
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
	unsigned lines;     /* before body */
	bool damaged;
	int64_t changed_ns; /* of what was opened by name: when it was written, or before */
};

/* Reads a file of about size bytes from its beginning. An empty one is not damaged. 0 or -1 with errno. */
int gl_checked_read(int fd, size_t size, const char *magic, struct gl_checked *out);

/* Opens and reads without a lock; what seems damaged is read again for some milliseconds. 0 or -1 with errno.
 */
int gl_checked_look(const char *path, const char *magic, struct gl_checked *out);

void gl_checked_clear(struct gl_checked *checked);

/* Begins an empty text with room for the first line; the body is to be added to it. */
void gl_checked_begin(struct gl_text *text, const char *magic);

/*
 * Writes a text, which is of no more use then, to path, the file of *size bytes that the caller has locked
 * through *fd. If it is replaced, the new file is locked too before it gets that name, and *fd becomes a
 * descriptor of it. 0, with *size its bytes, or -1 with errno: then the old content stands.
 */
int gl_checked_write(const char *path, const char *magic, struct gl_text *text, int *fd, size_t *size);

#endif
