/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The arguments of a command, put together one by one. */
#ifndef GL_ARGUMENTS_H
#define GL_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed: none. */
struct gl_arguments {
	char **list; /* ends with NULL once there is one */
	size_t count;
	bool failed; /* out of memory: the list is not complete */
};

void gl_arguments_add(struct gl_arguments *arguments, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The pointers and the strings in one block of malloc(). NULL: failed, or out of memory. */
char **gl_arguments_pack(const struct gl_arguments *arguments);
void gl_arguments_clear(struct gl_arguments *arguments);

#endif
