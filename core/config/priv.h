/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the configuration: settings*.c and their tests. */
#ifndef GL_CONFIG_PRIV_H
#define GL_CONFIG_PRIV_H

#include "config/option.h"
#include "config/settings.h"

#define GL_CORE_SECTION "guestlock"
#define GL_CONFIG_MAX 65536 /* bytes of the largest file */
#define GL_OVERRIDES 0      /* the source of what did not come from a file */

/* One setting as it was read; later ones count more. */
struct gl_entry {
	char *section, *key, *value;
	char *origin;  /* "FILE:LINE" or "override" */
	size_t source; /* number of its file, or GL_OVERRIDES */
	unsigned line;
};

struct gl_settings {
	struct gl_entry *entries;
	size_t n_entries;
	size_t n_sources;
	struct guestlock_setting *declared; /* its strings are malloc'd, all but the type */
	size_t n_declared;
};

/* Frees what an entry has. */
void gl_entry_clear(struct gl_entry *entry);

/* Nothing read, nothing declared. NULL: out of memory. */
struct gl_settings *gl_settings_new(void);

/* Copies one setting in; line 0 with GL_OVERRIDES. A key that this source has set already: CONFIG. */
int gl_settings_add(struct gl_settings *settings, const char *section, const char *key, const char *value,
		    const char *file, size_t source, unsigned line, struct guestlock_error *err);

/* Reads the text of a configuration file. file is for messages and origins. */
int gl_settings_parse(struct gl_settings *settings, const char *file, const char *text, size_t size,
		      struct guestlock_error *err);

/* Reads a file, or nothing if it is missing and not required. */
int gl_settings_read_file(struct gl_settings *settings, const char *file, bool required,
			  struct guestlock_error *err);

/* Reads guestlock.conf and conf.d/ *.conf of a directory. Whatever is missing is passed over. */
int gl_settings_read_directory(struct gl_settings *settings, const char *directory,
			       struct guestlock_error *err);

/* Takes "section.key=value". */
int gl_settings_override(struct gl_settings *settings, const char *text, struct guestlock_error *err);

/*
 * Checks what was read for a section and gives each of its options its value; names starting with '@' in
 * defaults are replaced. Nothing is declared after an error.
 */
int gl_settings_declare_options(struct gl_settings *settings, const char *section,
				const struct gl_option *options, size_t count, struct guestlock_error *err);

/* Forgets all declared settings but the first count. */
void gl_settings_undeclare(struct gl_settings *settings, size_t count);

/* Puts the place of an entry before the message of err. CONFIG. */
int gl_settings_fail_at(const struct gl_entry *entry, struct guestlock_error *err);

/* Declares the section [guestlock]. */
int gl_settings_declare_core(struct gl_settings *settings, struct guestlock_error *err);

#endif
