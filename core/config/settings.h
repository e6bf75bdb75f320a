/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The configuration: what every setting is, and where it came from. */
#ifndef GL_SETTINGS_H
#define GL_SETTINGS_H

#include "base/arguments.h"

#include <guestlock/backend.h>

struct gl_settings;

/*
 * Reads everything that options name (guestlock.h has the order). The section [guestlock] is checked at
 * once; other sections are kept until gl_settings_declare() tells what they may hold. Errors (CONFIG) name
 * file, line, and what would be right.
 */
int gl_settings_load(const struct guestlock_options *options, struct gl_settings **out,
		     struct guestlock_error *err);
void gl_settings_free(struct gl_settings *settings);

/* Declares the options of a module's section and checks what was read for it. Repeated: no change. */
int gl_settings_declare(struct gl_settings *settings, const char *section,
			const struct guestlock_option *options, struct guestlock_error *err);

/* The value in effect, "" when there is none. The section and key must be declared. */
const char *gl_settings_string(const struct gl_settings *settings, const char *section, const char *key);
bool gl_settings_bool(const struct gl_settings *settings, const char *section, const char *key);
unsigned gl_settings_uint(const struct gl_settings *settings, const char *section, const char *key);

/* All declared settings in the order of declaration; the array belongs to settings. */
const struct guestlock_setting *gl_settings_all(struct gl_settings *settings, size_t *out_count);

/*
 * For another program of ours that is to have the same configuration: "--option", "SECTION.KEY=VALUE" for each
 * setting of the core and of that backend which differs from its default, with defaults_too for all of them.
 */
void gl_settings_pass_on(struct gl_settings *settings, const char *backend, bool defaults_too,
			 struct gl_arguments *arguments);

#endif
