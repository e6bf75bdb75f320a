/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Values held against their types, each with the words for what would be right; and names that look
 * alike.
 */
#include "config/option.h"
#include "base/base.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char *const gl_type_names[GL_KINDS] = {
	[GL_KIND_STRING] = "string",
	[GL_KIND_PATH] = "path",
	[GL_KIND_BOOL] = "bool",
	[GL_KIND_UINT] = "uint",
	[GL_KIND_NAME] = "name",
	[GL_KIND_CHOICE] = "choice",
	[GL_KIND_CHOICE_OR_PATH] = "choice or path",
};

const char *gl_option_type_name(enum gl_option_kind kind)
{
	return (size_t)kind < GL_KINDS ? gl_type_names[kind] : "unknown";
}

static bool gl_name_valid(const char *name, char joint)
{
	size_t i;

	if (name[0] < 'a' || name[0] > 'z') {
		return false;
	}
	for (i = 0; name[i] != '\0'; i++) {
		char c = name[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != joint) {
			return false;
		}
	}
	return i <= GL_OPTION_NAME_MAX;
}

bool gl_module_name_valid(const char *name)
{
	return gl_name_valid(name, '-');
}

bool gl_option_name_valid(const char *name)
{
	return gl_name_valid(name, '_');
}

static bool gl_chosen(const struct gl_option *option, const char *value)
{
	const char *const *choice;

	for (choice = option->choices; *choice; choice++) {
		if (strcmp(*choice, value) == 0) {
			return true;
		}
	}
	return false;
}

/* "a, b or c" */
static void gl_list_choices(const struct gl_option *option, char *out, size_t size)
{
	const char *const *choice;
	size_t used = 0;

	for (choice = option->choices; *choice && used < size; choice++) {
		const char *joint = choice == option->choices ? "" : choice[1] ? ", " : " or ";
		int length = snprintf(out + used, size - used, "%s%s", joint, *choice);

		used += length > 0 ? (size_t)length : 0;
	}
}

static bool gl_check_uint(const struct gl_option *option, const char *value, char *why_not)
{
	uint32_t max = option->max ? option->max : UINT32_MAX;
	uint64_t number;

	if (gl_parse_u64(value, 10, &number) && number >= option->min && number <= max) {
		return true;
	}
	snprintf(why_not, GL_WHY_NOT_SIZE, "must be a whole number from %u to %u", option->min, max);
	return false;
}

static bool gl_check_path(const char *value, char *why_not)
{
	if (value[0] == '/' && strlen(value) < PATH_MAX) {
		return true;
	}
	gl_copy_cut(why_not, GL_WHY_NOT_SIZE,
		    value[0] == '/'                       ? "must be a shorter path"
		    : value[0] == '"' || value[0] == '\'' ? "must be an absolute path, without quotes"
							  : "must be an absolute path, beginning with /");
	return false;
}

static bool gl_check_choice(const struct gl_option *option, const char *value, char *why_not)
{
	char list[GL_WHY_NOT_SIZE / 2];

	if (gl_chosen(option, value)) {
		return true;
	}
	gl_list_choices(option, list, sizeof(list));
	if (option->kind == GL_KIND_CHOICE) {
		snprintf(why_not, GL_WHY_NOT_SIZE, "must be %s", list);
		return false;
	}
	if (gl_check_path(value, why_not)) {
		return true;
	}
	snprintf(why_not, GL_WHY_NOT_SIZE, "must be %s, or an absolute path", list);
	return false;
}

bool gl_option_check(const struct gl_option *option, const char *value, char why_not[GL_WHY_NOT_SIZE])
{
	switch (option->kind) {
	case GL_KIND_STRING:
		return true;
	case GL_KIND_PATH:
		return gl_check_path(value, why_not);
	case GL_KIND_BOOL:
		if (strcmp(value, "yes") == 0 || strcmp(value, "no") == 0) {
			return true;
		}
		gl_copy_cut(why_not, GL_WHY_NOT_SIZE, "must be yes or no");
		return false;
	case GL_KIND_UINT:
		return gl_check_uint(option, value, why_not);
	case GL_KIND_NAME:
		if (gl_module_name_valid(value)) {
			return true;
		}
		gl_copy_cut(why_not, GL_WHY_NOT_SIZE, "must be a name of small letters, digits and hyphens");
		return false;
	case GL_KIND_CHOICE:
	case GL_KIND_CHOICE_OR_PATH:
		return gl_check_choice(option, value, why_not);
	case GL_KINDS:
		break;
	}
	gl_copy_cut(why_not, GL_WHY_NOT_SIZE, "has a type that is not known");
	return false;
}

/* Wagner and Fischer, one row of the matrix at a time. */
unsigned gl_edit_distance(const char *a, const char *b)
{
	unsigned row[GL_OPTION_NAME_MAX + 1];
	size_t length = strlen(b);
	size_t i, j;

	if (strlen(a) > GL_OPTION_NAME_MAX || length > GL_OPTION_NAME_MAX) {
		return UINT_MAX;
	}
	for (j = 0; j <= length; j++) {
		row[j] = (unsigned)j;
	}
	for (i = 0; a[i] != '\0'; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (j = 0; j < length; j++) {
			unsigned best = diagonal + (a[i] != b[j]);

			diagonal = row[j + 1];
			best = row[j] + 1 < best ? row[j] + 1 : best;
			row[j + 1] = diagonal + 1 < best ? diagonal + 1 : best;
		}
	}
	return row[length];
}
