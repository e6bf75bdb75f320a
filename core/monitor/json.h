/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * As much of JSON as it takes to understand a monitor: is it JSON, and what is the member of that name. The library
 * is loaded into daemons that have a library for JSON of their own, and two of these in one process share names.
 */
#ifndef GL_JSON_H
#define GL_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* A value, within a text that somebody else keeps. */
struct gl_json {
	const char *text;
	size_t size;
};

/* Is it one value, with nothing but blanks around it, that is not nested too deeply? */
bool gl_json_valid(const char *text, size_t size);

/*
 * The first member of that name of a valid value, which need not be an object. Names that are written with escapes
 * are not found. false: there is none.
 */
bool gl_json_member(struct gl_json value, const char *name, struct gl_json *out_member);

/* Is it written so? "true", "7", "\"paused\"". */
bool gl_json_is(struct gl_json value, const char *text);

/*
 * Where the object or array that begins a text ends, in bytes; 0: it goes on. What is none ends somewhere. *frame is
 * kept between two looks at a text that grows, and zeroed for another one.
 */
struct gl_json_frame {
	size_t seen;
	unsigned depth;
	bool quoted, escaped;
};
size_t gl_json_frame(struct gl_json_frame *frame, const char *text, size_t size);

#endif
