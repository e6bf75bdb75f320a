/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the value of a setting has to look like. */
#ifndef GL_OPTION_H
#define GL_OPTION_H

#include <guestlock/backend.h>

#define GL_OPTION_NAME_MAX 49 /* characters of a section or key */

/* The types of backend.h, and those of the core's own section. */
enum gl_option_kind {
	GL_KIND_STRING = GUESTLOCK_OPTION_STRING,
	GL_KIND_PATH = GUESTLOCK_OPTION_PATH,
	GL_KIND_BOOL = GUESTLOCK_OPTION_BOOL,
	GL_KIND_UINT = GUESTLOCK_OPTION_UINT,
	GL_KIND_NAME,           /* of a module */
	GL_KIND_CHOICE,         /* one of choices */
	GL_KIND_CHOICE_OR_PATH, /* one of choices, or an absolute path */
	GL_KINDS,
};

struct gl_option {
	const char *name;
	enum gl_option_kind kind;
	const char *default_value; /* NULL: none */
	const char *help;
	const char *const *choices; /* NULL at the end */
	uint32_t min, max;          /* of GL_KIND_UINT; max 0: no limit */
};

/* "path", "bool", ... Static storage. */
const char *gl_option_type_name(enum gl_option_kind kind);

/*
 * May the option have this value? false: why_not says what it must be, as the end of a sentence that
 * begins with the option's name.
 */
#define GL_WHY_NOT_SIZE 256
bool gl_option_check(const struct gl_option *option, const char *value, char why_not[GL_WHY_NOT_SIZE]);

/* [a-z][a-z0-9-]* for modules and sections, [a-z][a-z0-9_]* for keys, both at most GL_OPTION_NAME_MAX long.
 */
bool gl_module_name_valid(const char *name);
bool gl_option_name_valid(const char *name);

/* How many characters to insert, remove or change to make b of a; texts longer than GL_OPTION_NAME_MAX are
 * far from all. */
unsigned gl_edit_distance(const char *a, const char *b);

#endif
