/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the name of a backend to its table: the directories where it may lie, dlopen, and what a module
 * may ask of its context afterwards. What it has to look like is in check.c.
 */
#include "backend/module.h"
#include "base/base.h"
#include "base/error.h"
#include "config/option.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define GL_MODULE_SYMBOL "guestlock_backend_module"
#define GL_MODULE_SUFFIX ".so"

struct gl_directories {
	char *text; /* of which the paths are made */
	const char **paths;
	size_t count;
};

static void gl_directories_free(struct gl_directories *directories)
{
	free(directories->text);
	free(directories->paths);
}
#define GL_AUTODIRECTORIES __attribute__((cleanup(gl_directories_free)))

/* Where modules are looked for, in order. 0, or -1: memory. */
static int gl_list_directories(struct gl_directories *out)
{
	const char *extra = secure_getenv("GUESTLOCK_BACKEND_PATH");
	size_t colons = 0;
	char *rest, *path;
	const char *c;

	for (c = extra; c && *c != '\0'; c++) {
		colons += *c == ':';
	}
	out->paths = calloc(colons + 2, sizeof(*out->paths));
	out->text = strdup(extra ? extra : "");
	if (!out->paths || !out->text) {
		return -1;
	}
	rest = out->text;
	while ((path = strsep(&rest, ":")) != NULL) {
		if (path[0] != '\0') {
			out->paths[out->count++] = path;
		}
	}
	out->paths[out->count++] = GL_BACKEND_DIR;
	return 0;
}

/* ---- The modules there are ---- */

void gl_module_names_free(char **names, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		free(names[i]);
	}
	free(names);
}

static bool gl_is_listed(char *const *names, size_t count, const char *name)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0) {
			return true;
		}
	}
	return false;
}

/* The name of a module from its file's name. false: not a module. */
static bool gl_name_of_file(const char *file, char out_name[GL_OPTION_NAME_MAX + 1])
{
	size_t suffix = strlen(GL_MODULE_SUFFIX);
	size_t length = strlen(file);

	if (length <= suffix || length - suffix > GL_OPTION_NAME_MAX ||
	    strcmp(file + length - suffix, GL_MODULE_SUFFIX) != 0) {
		return false;
	}
	memcpy(out_name, file, length - suffix);
	out_name[length - suffix] = '\0';
	return gl_module_name_valid(out_name);
}

/* 0, or -1: memory. */
static int gl_add_name(char ***names, size_t *count, const char *file)
{
	char name[GL_OPTION_NAME_MAX + 1];
	char **grown;

	if (!gl_name_of_file(file, name) || gl_is_listed(*names, *count, name)) {
		return 0;
	}
	grown = reallocarray(*names, *count + 1, sizeof(*grown));
	if (!grown) {
		return -1;
	}
	*names = grown;
	grown[*count] = strdup(name);
	if (!grown[*count]) {
		return -1;
	}
	*count += 1;
	return 0;
}

/* A directory that is not there or cannot be read has no modules. 0, or -1: memory. */
static int gl_scan_directory(const char *path, char ***names, size_t *count)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	int result = 0;

	if (!directory) {
		return 0;
	}
	while (result == 0 && (entry = readdir(directory)) != NULL) {
		result = gl_add_name(names, count, entry->d_name);
	}
	closedir(directory);
	return result;
}

static int gl_by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int gl_module_names(char ***out_names, size_t *out_count, struct guestlock_error *err)
{
	GL_AUTODIRECTORIES struct gl_directories directories = {0};
	char **names = NULL;
	size_t count = 0;
	size_t i;

	if (gl_list_directories(&directories) < 0) {
		return gl_fail_memory(err);
	}
	for (i = 0; i < directories.count; i++) {
		if (gl_scan_directory(directories.paths[i], &names, &count) < 0) {
			gl_module_names_free(names, count);
			return gl_fail_memory(err);
		}
	}
	if (count > 0) {
		qsort(names, count, sizeof(*names), gl_by_text);
	}
	*out_names = names;
	*out_count = count;
	return 0;
}

/* ---- Loading ---- */

/* "a, b, c" into out; what does not fit is left out. */
static void gl_join(char *out, size_t size, const char *const *texts, size_t count)
{
	size_t used = 0;
	size_t i;

	out[0] = '\0';
	for (i = 0; i < count && used < size; i++) {
		int length = snprintf(out + used, size - used, "%s%s", i ? ", " : "", texts[i]);

		used += length > 0 ? (size_t)length : 0;
	}
}

static int gl_fail_not_found(const char *name, const struct gl_directories *directories,
			     struct guestlock_error *err)
{
	char searched[384], present[256];
	char **names = NULL;
	size_t count = 0;

	gl_join(searched, sizeof(searched), directories->paths, directories->count);
	if (gl_module_names(&names, &count, NULL) < 0) {
		count = 0;
	}
	gl_join(present, sizeof(present), (const char *const *)names, count);
	gl_fail(err, GUESTLOCK_NOT_FOUND, ENOENT,
		"cannot load backend \"%s\": no %s.so in %s; install it, or choose one that is there (%s)",
		name, name, searched, count ? present : "there is none");
	gl_module_names_free(names, count);
	return GUESTLOCK_NOT_FOUND;
}

/* The file of a module: the first there is. *out_file is malloc'd. */
static int gl_find_file(const char *name, const struct gl_directories *directories, char **out_file,
			struct guestlock_error *err)
{
	size_t i;

	for (i = 0; i < directories->count; i++) {
		GL_AUTOFREE char *file = NULL;

		if (asprintf(&file, "%s/%s" GL_MODULE_SUFFIX, directories->paths[i], name) < 0) {
			file = NULL;
			return gl_fail_memory(err);
		}
		if (access(file, R_OK) == 0) {
			*out_file = file;
			file = NULL;
			return 0;
		}
		if (errno != ENOENT && errno != ENOTDIR) {
			return gl_fail(err, gl_status_of_errno(errno), errno,
				       "cannot load backend \"%s\" from %s: %m; make the file readable", name,
				       file);
		}
	}
	return gl_fail_not_found(name, directories, err);
}

/* Why dlopen() failed, without the path that it likes to put before. */
static const char *gl_dlopen_reason(const char *file)
{
	const char *why = dlerror();
	size_t length = strlen(file);

	if (!why) {
		return "no reason given";
	}
	return strncmp(why, file, length) == 0 && strncmp(why + length, ": ", 2) == 0 ? why + length + 2
										      : why;
}

/* Opens file into out->handle and finds the descriptor. */
static int gl_open_file(const char *file, struct gl_module *out, struct guestlock_error *err)
{
	out->handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	if (!out->handle) {
		return gl_fail(err, GUESTLOCK_INVALID, 0, "%s; install it again", gl_dlopen_reason(file));
	}
	out->descriptor = dlsym(out->handle, GL_MODULE_SYMBOL);
	if (!out->descriptor) {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "it has no " GL_MODULE_SYMBOL " and so is no backend; remove it");
	}
	return 0;
}

/* out is to be unloaded after a failure too. */
static int gl_load_file(const char *name, const char *file, struct gl_module *out,
			struct guestlock_error *err)
{
	int status = gl_open_file(file, out, err);

	if (status == 0) {
		status = gl_module_check(out->descriptor, name, err);
	}
	if (status < 0) {
		gl_error_prefix(err, "cannot load backend \"%s\" from %s", name, file);
	}
	return status;
}

int gl_module_load(const char *name, struct gl_module *out_module, struct guestlock_error *err)
{
	GL_AUTODIRECTORIES struct gl_directories directories = {0};
	struct gl_module module = {0};
	int status;

	if (!gl_module_name_valid(name)) {
		return gl_fail(
			err, GUESTLOCK_INVALID, 0,
			"\"%s\" cannot be the name of a backend; use small letters, digits and hyphens",
			name);
	}
	if (gl_list_directories(&directories) < 0) {
		return gl_fail_memory(err);
	}
	status = gl_find_file(name, &directories, &module.file, err);
	if (module.file) {
		status = gl_load_file(name, module.file, &module, err);
	}
	if (status < 0) {
		gl_module_unload(&module);
		return status;
	}
	*out_module = module;
	return 0;
}

void gl_module_unload(struct gl_module *module)
{
	if (module->handle) {
		dlclose(module->handle);
	}
	free(module->file);
	memset(module, 0, sizeof(*module));
}

/* ---- What modules may ask of their context ---- */

void guestlock_backend_log(const struct guestlock_backend *backend, enum guestlock_log_level level,
			   const char *format, ...)
{
	const struct guestlock_backend_context *context = backend->context;
	char raw[4096], message[1024];
	va_list args;

	if (!context->log || level > context->log_level) {
		return;
	}
	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	gl_printable_fit(message, sizeof(message), raw);
	context->log(context->log_data, level, message);
}

const char *guestlock_option_string(const struct guestlock_backend *backend, const char *name)
{
	return gl_settings_string(backend->context->settings, backend->module->name, name);
}

bool guestlock_option_bool(const struct guestlock_backend *backend, const char *name)
{
	return gl_settings_bool(backend->context->settings, backend->module->name, name);
}

unsigned guestlock_option_uint(const struct guestlock_backend *backend, const char *name)
{
	return gl_settings_uint(backend->context->settings, backend->module->name, name);
}
