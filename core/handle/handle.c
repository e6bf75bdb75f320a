/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening, in order: settings, module, backend, keeper. It makes no file and joins nothing: what is
 * needed first does (membership.c).
 */
#include "handle/handle.h"

#include "base/base.h"
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifndef GL_BINDIR
#error "GL_BINDIR, the directory of the installed command, comes from the build"
#endif
#ifndef GL_PKGLIBEXECDIR
#error "GL_PKGLIBEXECDIR, the directory of programs that no user calls, comes from the build"
#endif

void gl_log(const struct guestlock *gl, enum guestlock_log_level level, const char *format, ...)
{
	char message[2048];
	va_list args;

	if (!gl->context.log || level > gl->context.log_level) {
		return;
	}
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	gl->context.log(gl->context.log_data, level, message);
}

static enum guestlock_log_level log_level_of(const char *name)
{
	static const char *const names[] = {
		[GUESTLOCK_LOG_ERROR] = "error",
		[GUESTLOCK_LOG_WARNING] = "warning",
		[GUESTLOCK_LOG_INFO] = "info",
		[GUESTLOCK_LOG_DEBUG] = "debug",
	};

	for (unsigned i = 0; i < GL_COUNT(names); i++) {
		if (strcmp(names[i], name) == 0) {
			return i;
		}
	}
	return GUESTLOCK_LOG_INFO;
}

static int take_settings(struct guestlock *gl, struct guestlock_error *err)
{
	const struct gl_settings *s = gl->settings;
	char host[GUESTLOCK_HOLDER_TEXT] = "";

	gl->lock_disks = gl_settings_bool(s, "guestlock", "lock_disks");
	gl->lock_guest = gl_settings_bool(s, "guestlock", "lock_guest");
	gl->require_leases = gl_settings_bool(s, "guestlock", "require_leases");
	gl->readonly_shared = strcmp(gl_settings_string(s, "guestlock", "readonly_disks"), "shared") == 0;
	gl->resume_strict = strcmp(gl_settings_string(s, "guestlock", "resume_check"), "strict") == 0;
	gl->identity_scheme = strcmp(gl_settings_string(s, "guestlock", "disk_identity"), "path") == 0
				      ? GL_IDENTITY_PATH
				      : GL_IDENTITY_AUTO;
	gl->local_names = gl_settings_bool(s, "guestlock", "allow_local_names");
	gl->acquire_timeout_ms = (int64_t)gl_settings_uint(s, "guestlock", "acquire_timeout") * 1000;
	gl->context.log_level = log_level_of(gl_settings_string(s, "guestlock", "log_level"));
	if (gethostname(host, sizeof(host) - 1) < 0) {
		gl_copy_cut(host, sizeof(host), "localhost");
	}
	if (gl_set_string(&gl->host, host) < 0 ||
	    gl_set_string(&gl->store.run_dir, gl_settings_string(s, "guestlock", "run_dir")) < 0) {
		return gl_fail_memory(err);
	}
	return GUESTLOCK_OK;
}

static bool is_claimed(const struct guestlock_backend *backend, const char *uuid, uint64_t instance,
		       const char *key)
{
	const struct guestlock *gl = (const struct guestlock *)((const char *)backend->context -
								offsetof(struct guestlock, context));
	struct gl_record *record = NULL;
	struct guestlock_error ignored;
	const struct gl_holding *holding = NULL;
	struct gl_resource *resource;
	bool result;

	if (gl_store_load(&gl->store, uuid, &record, &ignored) < 0) {
		/* What cannot be read may say so. */
		return ignored.code != GUESTLOCK_NOT_FOUND;
	}
	resource = record->instance == instance ? gl_record_find_key(record, key) : NULL;
	if (resource) {
		holding = gl_resource_holding(resource, gl_technology(gl), false);
	}
	result =
		holding &&
		((holding->state != GUESTLOCK_RESOURCE_NONE && holding->state != GUESTLOCK_RESOURCE_PARKED) ||
		 (record->state == GUESTLOCK_GUEST_LOST && !record->stopped));
	gl_record_free(record);
	return result;
}

static int make_backend(struct guestlock *gl, struct guestlock_error *err)
{
	const struct guestlock_module *module = gl->module.descriptor;
	GL_AUTOFREE char *life_dir = NULL;
	struct guestlock_backend *backend = calloc(1, module->instance_size);
	enum guestlock_result result;

	if (!backend || asprintf(&life_dir, "%s/life", gl->store.run_dir) < 0) {
		free(backend);
		return gl_fail_memory(err);
	}
	backend->module = module;
	backend->run_dir = gl->store.run_dir;
	backend->run_id = "";
	backend->host = gl->host;
	backend->identity_scheme = gl->identity_scheme == GL_IDENTITY_PATH ? "path" : "auto";
	backend->context = &gl->context;
	backend->is_claimed = is_claimed;
	backend->loss_program = gl->loss_program;
	struct guestlock_error cause = {0};

	result = module->ops->init(backend, &cause);
	if (result != GUESTLOCK_RES_GRANTED) {
		free(backend);
		cause.code = GUESTLOCK_CONFIG;
		gl_error_pass(err, &cause);
		return GUESTLOCK_CONFIG;
	}
	gl->backend = backend;
	gl->ops = module->ops;
	if (!backend->life_dir) {
		gl->default_life_dir = life_dir;
		backend->life_dir = gl->default_life_dir;
		life_dir = NULL;
	} else if (asprintf(&gl->store.files_dir, "%s/.files", backend->life_dir) < 0) {
		gl->store.files_dir = NULL;
		return gl_fail_memory(err);
	}
	return GUESTLOCK_OK;
}

/* A backend whose calls may hang is never called in the process of whoever needs it. */
static int put_behind_keeper(struct guestlock *gl, struct guestlock_error *err)
{
	bool always = strcmp(gl_settings_string(gl->settings, "guestlock", "keeper"), "always") == 0;
	int status;

	if (!always && !gl_can(gl, GUESTLOCK_CAP_MAY_BLOCK)) {
		return GUESTLOCK_OK;
	}
	status = gl_keeper_new(gl->settings, gl_technology(gl), gl->store.run_dir, &gl->context.keeper, err);
	if (status == GUESTLOCK_OK) {
		gl->ops = &gl_keeper_ops;
	}
	return status;
}

/* For those who are to read the same files from another working directory and environment. */
static int note_files(struct guestlock *gl, const struct guestlock_options *options,
		      struct guestlock_error *err)
{
	const char *config = options->config_file ? options->config_file : secure_getenv("GUESTLOCK_CONFIG");

	if (config && config[0]) {
		gl->config_file = realpath(config, NULL);
		return gl->config_file || errno != ENOMEM ? GUESTLOCK_OK : gl_fail_memory(err);
	}
	if (options->extra_file) {
		gl->extra_file = realpath(options->extra_file, NULL);
		return gl->extra_file || errno != ENOMEM ? GUESTLOCK_OK : gl_fail_memory(err);
	}
	return GUESTLOCK_OK;
}

static int open_parts(struct guestlock *gl, const struct guestlock_options *options,
		      struct guestlock_error *err)
{
	const char *supervisor = options->supervisor ? options->supervisor : GL_BINDIR "/guestlock";
	const char *lost = secure_getenv("GUESTLOCK_LOSS_PROGRAM");
	const char *backend;
	int status = gl_settings_load(options, &gl->settings, err);

	if (status < 0) {
		return status;
	}
	gl->context.settings = gl->settings;
	if (gl_set_string(&gl->supervisor, supervisor) < 0 ||
	    gl_set_string(&gl->loss_program, lost && lost[0] ? lost : GL_PKGLIBEXECDIR "/guestlock-lost") <
		    0) {
		return gl_fail_memory(err);
	}
	status = note_files(gl, options, err);
	if (status == GUESTLOCK_OK) {
		status = take_settings(gl, err);
	}
	if (status < 0) {
		return status;
	}
	backend = gl_settings_string(gl->settings, "guestlock", "backend");
	status = gl_module_load(backend, &gl->module, err);
	if (status < 0) {
		return status;
	}
	status = gl_settings_declare(gl->settings, backend, gl->module.descriptor->options, err);
	if (status < 0) {
		return status;
	}
	status = make_backend(gl, err);
	return status < 0 ? status : put_behind_keeper(gl, err);
}

int guestlock_open(struct guestlock **out_gl, const struct guestlock_options *options,
		   struct guestlock_error *err)
{
	struct guestlock_options known = {.size = sizeof(known)};
	struct guestlock *gl;
	int status;

	if (options) {
		if (options->size == 0) {
			return gl_fail(err, GUESTLOCK_INVALID, 0,
				       "cannot open guestlock: options.size is 0; set it to "
				       "sizeof(struct guestlock_options)");
		}
		memcpy(&known, options, options->size < sizeof(known) ? options->size : sizeof(known));
	}
	gl = calloc(1, sizeof(*gl));
	if (!gl) {
		return gl_fail_memory(err);
	}
	gl_family_look(&gl->family);
	gl->context.log = known.log;
	gl->context.log_data = known.log_data;
	status = open_parts(gl, &known, err);
	if (status < 0) {
		guestlock_close(gl);
		return status;
	}
	*out_gl = gl;
	return GUESTLOCK_OK;
}

void guestlock_close(struct guestlock *gl)
{
	if (!gl) {
		return;
	}
	if (gl->backend) {
		gl->module.descriptor->ops->finish(gl->backend);
		free(gl->backend);
	}
	if (gl->module.descriptor) {
		gl_module_unload(&gl->module);
	}
	gl_keeper_free(gl->context.keeper);
	gl_settings_free(gl->settings);
	free(gl->default_life_dir);
	free(gl->store.files_dir);
	free(gl->store.run_dir);
	free(gl->run_id);
	free(gl->host);
	free(gl->supervisor);
	free(gl->loss_program);
	free(gl->config_file);
	free(gl->extra_file);
	free(gl);
}

const struct guestlock_setting *guestlock_settings(struct guestlock *gl, size_t *out_count)
{
	return gl_settings_all(gl->settings, out_count);
}

int64_t gl_deadline(const struct guestlock *gl)
{
	return guestlock_monotonic_ms() + gl->acquire_timeout_ms;
}
