/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The first line of what is written in place and read without a lock: "MAGIC LENGTH CHECK". LENGTH (8 digits)
 * is that of the body behind it, CHECK the first 8 characters of its digest. What stands behind the body is
 * left from a longer one, and means nothing.
 */
#ifndef GL_FRAME_H
#define GL_FRAME_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the first line, with its newline. */
size_t gl_frame_size(const char *magic);

/* Writes so many bytes: the first line for that body. */
void gl_frame_put(char *out, const char *magic, const char *body, size_t length);

/* The length that the first line tells, of a body that need not be there. false: it is no such line. */
bool gl_frame_length(const char *data, size_t size, const char *magic, size_t *out_length);

/* Does the first line have the form that magic says, and is the body the one that it was written for? */
bool gl_frame_fits(const char *data, size_t size, const char *magic, size_t *out_length);

#endif
