/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/arguments.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void gl_arguments_add(struct gl_arguments *arguments, const char *format, ...)
{
	char **list = reallocarray(arguments->list, arguments->count + 2, sizeof(*list));
	va_list args;

	if (!list) {
		arguments->failed = true;
		return;
	}
	arguments->list = list;
	va_start(args, format);
	if (vasprintf(&list[arguments->count], format, args) < 0) {
		arguments->failed = true;
	} else {
		arguments->count++;
	}
	va_end(args);
	list[arguments->count] = NULL;
}

char **gl_arguments_pack(const struct gl_arguments *arguments)
{
	size_t size = (arguments->count + 1) * sizeof(char *);
	char **argv;
	char *text;

	for (size_t i = 0; i < arguments->count; i++) {
		size += strlen(arguments->list[i]) + 1;
	}
	argv = arguments->failed ? NULL : calloc(1, size);
	if (!argv) {
		return NULL;
	}
	text = (char *)(argv + arguments->count + 1);
	for (size_t i = 0; i < arguments->count; i++) {
		size_t bytes = strlen(arguments->list[i]) + 1;

		argv[i] = memcpy(text, arguments->list[i], bytes);
		text += bytes;
	}
	return argv;
}

void gl_arguments_clear(struct gl_arguments *arguments)
{
	for (size_t i = 0; i < arguments->count; i++) {
		free(arguments->list[i]);
	}
	free(arguments->list);
	*arguments = (struct gl_arguments){0};
}
