/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small files that are changed in place and read without a lock:
 *
 *     MAGIC LENGTH CHECK
 *     body
 *
 * LENGTH (8 digits) is that of the body, CHECK the first 8 characters of its digest; empty lines pad the
 * file to a page. What fits into one page is written over the old content: the kernel does not let a signal
 * interrupt that, and the file does not grow, so that a killed process or a full disk leaves the old or the
 * new content. More is written beside it and renamed. CHECK tells a reader that it read in the midst of a
 * change.
 */
#ifndef GL_CHECKED_H
#define GL_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gl_checked {
	char *data; /* the whole file as read, NUL-terminated; malloc'd */
	size_t size;
	char *body; /* within data; of a damaged file: all that is behind the first line */
	size_t length;
	bool damaged;
	int64_t changed_ns; /* of what was opened by name: when it was written, or before */
};

/* Reads a file of about size bytes from its beginning. An empty one is not damaged. 0 or -1 with errno. */
int gl_checked_read(int fd, size_t size, const char *magic, struct gl_checked *out);

/* Opens and reads without a lock; what seems damaged is read again for some milliseconds. 0 or -1 with errno.
 */
int gl_checked_look(const char *path, const char *magic, struct gl_checked *out);

/* Opens for reading and writing, and reads, what nobody else may change now. 0 or -1 with errno. */
int gl_checked_open(const char *path, const char *magic, int *out_fd, struct gl_checked *out);

void gl_checked_clear(struct gl_checked *checked);

/* Can a file of that many bytes take the content in place? Else it has to be written with
 * gl_checked_replace(). */
bool gl_checked_in_place(size_t size, const char *magic, size_t length);

/*
 * Writes over the content of a file that only the caller may change now. 0 or -1 with errno: then the old
 * content stands.
 */
int gl_checked_write(int fd, const char *magic, const char *body, size_t length);

/* Makes or replaces path as a whole. 0 or -1 with errno. */
int gl_checked_replace(const char *path, const char *magic, const char *body, size_t length);

#endif
