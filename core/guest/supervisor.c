/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of the guestlock command that runs a guest. */
#include "base/base.h"
#include "base/error.h"
#include "guest/guest.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A list of arguments in one block: the pointers, then the strings. */
static char **pack_arguments(char **list, size_t count)
{
	size_t size = (count + 1) * sizeof(char *);
	char **argv;
	char *text;

	for (size_t i = 0; i < count; i++) {
		size += strlen(list[i]) + 1;
	}
	argv = calloc(1, size);
	if (!argv) {
		return NULL;
	}
	text = (char *)(argv + count + 1);
	for (size_t i = 0; i < count; i++) {
		size_t bytes = strlen(list[i]) + 1;

		argv[i] = memcpy(text, list[i], bytes);
		text += bytes;
	}
	return argv;
}

struct arguments {
	char **list;
	size_t count;
	bool failed;
};

__attribute__((format(printf, 2, 3))) static void add_argument(struct arguments *arguments,
							       const char *format, ...)
{
	char **list = reallocarray(arguments->list, arguments->count + 1, sizeof(*list));
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
}

/* In an option's value a comma is written twice. malloc'd or NULL. */
static char *double_commas(const char *text)
{
	char *out = malloc(2 * strlen(text) + 1), *end = out;

	for (; out && *text; text++) {
		*end++ = *text;
		if (*text == ',') {
			*end++ = ',';
		}
	}
	if (out) {
		*end = '\0';
	}
	return out;
}

static void add_resource_argument(struct arguments *arguments, const struct gl_named *named)
{
	GL_AUTOFREE char *name = double_commas(named->name);
	GL_AUTOFREE char *lockspace = double_commas(named->lockspace ? named->lockspace : "");
	GL_AUTOFREE char *path = double_commas(named->path ? named->path : "");

	if (!name || !lockspace || !path) {
		arguments->failed = true;
		return;
	}
	if (named->type == GUESTLOCK_DISK) {
		add_argument(arguments, "--disk");
		add_argument(arguments, "%s%s%s", name, named->flags & GUESTLOCK_SHARED ? ",shared" : "",
			     named->flags & GUESTLOCK_READONLY ? ",readonly" : "");
		return;
	}
	add_argument(arguments, "--lease");
	add_argument(arguments, "%s%s%s%s%s,offset=%" PRIu64 "%s", name,
		     named->lockspace ? ",lockspace=" : "", lockspace, named->path ? ",path=" : "", path,
		     named->offset, named->flags ? ",shared" : "");
}

int guestlock_guest_supervisor_argv(struct guestlock_guest *guest, char ***out_argv,
				    struct guestlock_error *err)
{
	struct arguments arguments = {0};
	char **argv = NULL;
	int status = gl_guest_usable(guest, err);

	if (status < 0) {
		return status;
	}
	add_argument(&arguments, "%s", guest->gl->supervisor);
	add_argument(&arguments, "run");
	add_argument(&arguments, "--uuid");
	add_argument(&arguments, "%s", guest->uuid);
	if (guest->name[0]) {
		add_argument(&arguments, "--name");
		add_argument(&arguments, "%s", guest->name);
	}
	if (guest->id[0]) {
		add_argument(&arguments, "--id");
		add_argument(&arguments, "%s", guest->id);
	}
	for (size_t i = 0; i < guest->n_params; i++) {
		add_argument(&arguments, "--param");
		add_argument(&arguments, "%s=%s", guest->params[i].key, guest->params[i].value);
	}
	if (guest->mode == GUESTLOCK_NEW_MIGRATE) {
		add_argument(&arguments, "--incoming");
	}
	for (size_t i = 0; i < guest->n_resources; i++) {
		add_resource_argument(&arguments, &guest->resources[i]);
	}
	add_argument(&arguments, "--");
	if (!arguments.failed) {
		argv = pack_arguments(arguments.list, arguments.count);
	}
	for (size_t i = 0; i < arguments.count; i++) {
		free(arguments.list[i]);
	}
	free(arguments.list);
	if (!argv) {
		return gl_fail_memory(err);
	}
	*out_argv = argv;
	return GUESTLOCK_OK;
}
