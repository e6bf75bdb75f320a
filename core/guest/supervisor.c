/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of the guestlock command that runs a guest. */
#include "base/arguments.h"
#include "base/base.h"
#include "base/error.h"
#include "guest/guest.h"

#include <inttypes.h>
#include <string.h>

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

static void add_resource_argument(struct gl_arguments *arguments, const struct gl_named *named)
{
	GL_AUTOFREE char *name = double_commas(named->name);
	GL_AUTOFREE char *lockspace = double_commas(named->lockspace ? named->lockspace : "");
	GL_AUTOFREE char *path = double_commas(named->path ? named->path : "");

	if (!name || !lockspace || !path) {
		arguments->failed = true;
		return;
	}
	if (named->type == GUESTLOCK_DISK) {
		gl_arguments_add(arguments, "--disk");
		gl_arguments_add(arguments, "%s%s%s", name, named->flags & GUESTLOCK_SHARED ? ",shared" : "",
				 named->flags & GUESTLOCK_READONLY ? ",readonly" : "");
		return;
	}
	gl_arguments_add(arguments, "--lease");
	gl_arguments_add(arguments, "%s%s%s%s%s,offset=%" PRIu64 "%s", name,
			 named->lockspace ? ",lockspace=" : "", lockspace, named->path ? ",path=" : "", path,
			 named->offset, named->flags ? ",shared" : "");
}

/* The file that this handle has read, and what counts here whatever that says by then. */
static void add_configuration(struct gl_arguments *arguments, const struct guestlock *gl)
{
	if (gl->config_file) {
		gl_arguments_add(arguments, "--config");
		gl_arguments_add(arguments, "%s", gl->config_file);
	}
	gl_settings_pass_on(gl->settings, gl_technology(gl), false, arguments);
}

int guestlock_guest_supervisor_argv(struct guestlock_guest *guest, char ***out_argv,
				    struct guestlock_error *err)
{
	struct gl_arguments arguments = {0};
	char **argv;
	int status = gl_guest_usable(guest, err);

	if (status < 0) {
		return status;
	}
	gl_arguments_add(&arguments, "%s", guest->gl->supervisor);
	gl_arguments_add(&arguments, "run");
	add_configuration(&arguments, guest->gl);
	gl_arguments_add(&arguments, "--uuid");
	gl_arguments_add(&arguments, "%s", guest->uuid);
	if (guest->name[0]) {
		gl_arguments_add(&arguments, "--name");
		gl_arguments_add(&arguments, "%s", guest->name);
	}
	if (guest->id[0]) {
		gl_arguments_add(&arguments, "--id");
		gl_arguments_add(&arguments, "%s", guest->id);
	}
	for (size_t i = 0; i < guest->n_params; i++) {
		gl_arguments_add(&arguments, "--param");
		gl_arguments_add(&arguments, "%s=%s", guest->params[i].key, guest->params[i].value);
	}
	if (guest->mode == GUESTLOCK_NEW_MIGRATE) {
		gl_arguments_add(&arguments, "--incoming");
	}
	for (size_t i = 0; i < guest->n_resources; i++) {
		add_resource_argument(&arguments, &guest->resources[i]);
	}
	gl_arguments_add(&arguments, "--");
	argv = gl_arguments_pack(&arguments);
	gl_arguments_clear(&arguments);
	if (!argv) {
		return gl_fail_memory(err);
	}
	*out_argv = argv;
	return GUESTLOCK_OK;
}
