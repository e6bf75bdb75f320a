/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which module is asked, and whether it can be. */
#include "contract.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define SUFFIX ".so"

static bool is_file(const char *text)
{
	size_t length = strlen(text), suffix = strlen(SUFFIX);

	return strchr(text, '/') || (length > suffix && strcmp(text + length - suffix, SUFFIX) == 0);
}

/* The name that the module must have, and the directory that it is to be found in first. */
static int choose_file(const char *file, char **out_name, struct guestlock_error *err)
{
	const char *slash = strrchr(file, '/');
	const char *base = slash ? slash + 1 : file;
	GL_AUTOFREE char *folder = slash ? strndup(file, (size_t)(slash - file) + 1) : strdup(".");
	char directory[PATH_MAX];

	if (!is_file(base)) {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "%s is not called like a module: the file of a backend NAME is NAME" SUFFIX,
			       file);
	}
	if (access(file, R_OK) < 0 || !folder || !realpath(folder, directory)) {
		return gl_fail(err, gl_status_of_errno(errno), errno,
			       "cannot read the module %s: %m; build it first, or check the path", file);
	}
	if (strchr(directory, ':')) {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "a module cannot be loaded from %s, as there is a colon in that path; copy it "
			       "elsewhere",
			       directory);
	}
	*out_name = strndup(base, strlen(base) - strlen(SUFFIX));
	return *out_name && setenv("GUESTLOCK_BACKEND_PATH", directory, 1) == 0 ? 0 : gl_fail_memory(err);
}

/* What the module calls is made for the settings of its own version, and these are ours. */
static int check_library(const struct gl_module *module, struct guestlock_error *err)
{
	const char *(*version)(void);
	void *found = dlsym(module->handle, "guestlock_version");

	memcpy(&version, &found, sizeof(found));
	if (!found || strcmp(version(), guestlock_version()) == 0) {
		return 0;
	}
	return gl_fail(err, GUESTLOCK_INVALID, 0,
		       "%s is linked with libguestlock %s, and this is the contract of version %s; let the "
		       "library of this version be found (LD_LIBRARY_PATH)",
		       module->file, version(), guestlock_version());
}

static const struct guestlock_option *find_option(const char *name, size_t length)
{
	for (const struct guestlock_option *option = contract.module->options; option->name; option++) {
		if (strlen(option->name) == length && strncmp(option->name, name, length) == 0) {
			return option;
		}
	}
	return NULL;
}

static int check_known(const char *const *settings, struct guestlock_error *err)
{
	for (size_t i = 0; i < CONTRACT_SETTINGS && settings[i]; i++) {
		const char *end = strchr(settings[i], '=');

		if (!find_option(settings[i], (size_t)(end - settings[i]))) {
			return gl_fail(err, GUESTLOCK_INVALID, 0, "backend %s has no option %.*s",
				       contract.name, (int)(end - settings[i]), settings[i]);
		}
	}
	return 0;
}

static bool is_set(const char *const *settings, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < CONTRACT_SETTINGS && settings[i]; i++) {
		if (strncmp(settings[i], name, length) == 0 && settings[i][length] == '=') {
			return true;
		}
	}
	return false;
}

static int check_options(struct guestlock_error *err)
{
	const struct guestlock_option *option;

	if (check_known(contract.options, err) < 0 || check_known(contract.options_a, err) < 0 ||
	    check_known(contract.options_b, err) < 0) {
		return err->code;
	}
	for (option = contract.module->options; option->name; option++) {
		bool both =
			is_set(contract.options, option->name) || (is_set(contract.options_a, option->name) &&
								   is_set(contract.options_b, option->name));

		if (option->required && !both) {
			return gl_fail(err, GUESTLOCK_INVALID, 0,
				       "backend %s has no default for option %s; set it (--option %s=...)",
				       contract.name, option->name, option->name);
		}
	}
	return 0;
}

int contract_load(const char *text, struct gl_module *out_module, struct guestlock_error *err)
{
	GL_AUTOFREE char *name = NULL;
	int status = is_file(text) ? choose_file(text, &name, err) : 0;

	if (status == 0) {
		status = gl_module_load(name ? name : text, out_module, err);
	}
	if (status < 0) {
		return status;
	}
	contract.module = out_module->descriptor;
	contract.name = contract.module->name;
	status = check_library(out_module, err);
	if (status == 0) {
		status = check_options(err);
	}
	if (status < 0) {
		gl_module_unload(out_module);
	}
	return status;
}
