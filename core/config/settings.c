/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files first, then what the caller says instead; what the core knows is checked at once, the rest when
 * a backend declares it.
 */
#include "base/base.h"
#include "base/error.h"
#include "config/priv.h"

#include <stdio.h>
#include <string.h>

void gl_settings_free(struct gl_settings *settings)
{
	size_t i;

	if (!settings) {
		return;
	}
	for (i = 0; i < settings->n_entries; i++) {
		gl_entry_clear(&settings->entries[i]);
	}
	free(settings->entries);
	gl_settings_undeclare(settings, 0);
	free(settings->declared);
	free(settings);
}

/* ---- Loading ---- */

static int gl_read_all_files(struct gl_settings *settings, const struct guestlock_options *options,
			     struct guestlock_error *err)
{
	const char *config = options->config_file;
	int status;

	if (!config) {
		config = secure_getenv("GUESTLOCK_CONFIG");
	}
	if (config && (config == options->config_file || config[0] != '\0')) {
		return gl_settings_read_file(settings, config, true, err);
	}
	status = gl_settings_read_directory(settings, GL_SYSCONFDIR "/guestlock", err);
	if (status == 0 && options->extra_file) {
		status = gl_settings_read_file(settings, options->extra_file, true, err);
	}
	return status;
}

static int gl_take_overrides(struct gl_settings *settings, const char *const *overrides,
			     struct guestlock_error *err)
{
	int status = 0;

	for (; status == 0 && overrides && *overrides; overrides++) {
		status = gl_settings_override(settings, *overrides, err);
	}
	return status;
}

int gl_settings_load(const struct guestlock_options *options, struct gl_settings **out,
		     struct guestlock_error *err)
{
	struct guestlock_options known = {0};
	struct gl_settings *settings;
	int status;

	if (options) {
		memcpy(&known, options, options->size < sizeof(known) ? options->size : sizeof(known));
	}
	settings = gl_settings_new();
	if (!settings) {
		return gl_fail_memory(err);
	}
	status = gl_read_all_files(settings, &known, err);
	if (status == 0) {
		status = gl_take_overrides(settings, known.overrides, err);
	}
	if (status == 0) {
		status = gl_settings_declare_core(settings, err);
	}
	if (status < 0) {
		gl_settings_free(settings);
		return status;
	}
	*out = settings;
	return 0;
}

/* ---- For others ---- */

void gl_settings_pass_on(struct gl_settings *settings, const char *backend, bool defaults_too,
			 struct gl_arguments *arguments)
{
	size_t count;
	const struct guestlock_setting *all = gl_settings_all(settings, &count);

	for (size_t i = 0; i < count; i++) {
		bool ours = strcmp(all[i].section, "guestlock") == 0 || strcmp(all[i].section, backend) == 0;
		bool is_default = strcmp(all[i].origin, "default") == 0;

		if (ours && (is_default ? defaults_too && all[i].value[0] : true)) {
			gl_arguments_add(arguments, "--option");
			gl_arguments_add(arguments, "%s.%s=%s", all[i].section, all[i].key, all[i].value);
		}
	}
}
