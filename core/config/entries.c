/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Settings as they were read, whatever they are for: each once for each source. */
#include "base/base.h"
#include "base/error.h"
#include "config/priv.h"

#include <stdio.h>
#include <string.h>

struct gl_settings *gl_settings_new(void)
{
	return calloc(1, sizeof(struct gl_settings));
}

void gl_entry_clear(struct gl_entry *entry)
{
	free(entry->section);
	free(entry->key);
	free(entry->value);
	free(entry->origin);
}

int gl_settings_fail_at(const struct gl_entry *entry, struct guestlock_error *err)
{
	if (entry->source == GL_OVERRIDES) {
		gl_error_prefix(err, "override %s.%s", entry->section, entry->key);
	} else {
		gl_error_prefix(err, "%s", entry->origin);
	}
	return GUESTLOCK_CONFIG;
}

static const struct gl_entry *gl_find_duplicate(const struct gl_settings *settings,
						const struct gl_entry *entry)
{
	size_t i;

	if (entry->source == GL_OVERRIDES) {
		return NULL;
	}
	for (i = settings->n_entries; i > 0 && settings->entries[i - 1].source == entry->source; i--) {
		const struct gl_entry *other = &settings->entries[i - 1];

		if (strcmp(other->key, entry->key) == 0 && strcmp(other->section, entry->section) == 0) {
			return other;
		}
	}
	return NULL;
}

int gl_settings_add(struct gl_settings *settings, const char *section, const char *key, const char *value,
		    const char *file, size_t source, unsigned line, struct guestlock_error *err)
{
	struct gl_entry entry = {.source = source, .line = line};
	struct gl_entry *grown = gl_grow(settings->entries, settings->n_entries, sizeof(*grown));
	const struct gl_entry *other;

	if (!grown) {
		return gl_fail_memory(err);
	}
	settings->entries = grown;
	if (source == GL_OVERRIDES) {
		entry.origin = strdup("override");
	} else if (asprintf(&entry.origin, "%s:%u", file, line) < 0) {
		entry.origin = NULL;
	}
	if (!entry.origin || gl_set_string(&entry.section, section) < 0 ||
	    gl_set_string(&entry.key, key) < 0 || gl_set_string(&entry.value, value) < 0) {
		gl_entry_clear(&entry);
		return gl_fail_memory(err);
	}
	other = gl_find_duplicate(settings, &entry);
	if (other) {
		gl_fail(err, GUESTLOCK_CONFIG, 0,
			"%s is set twice in [%s], first in line %u; remove one of them", key, section,
			other->line);
		gl_settings_fail_at(&entry, err);
		gl_entry_clear(&entry);
		return GUESTLOCK_CONFIG;
	}
	settings->entries[settings->n_entries++] = entry;
	return 0;
}

int gl_settings_override(struct gl_settings *settings, const char *text, struct guestlock_error *err)
{
	const char *equals = strchr(text, '=');
	const char *dot = strchr(text, '.');
	char section[GL_OPTION_NAME_MAX + 1], key[GL_OPTION_NAME_MAX + 1];

	if (!equals || !dot || dot > equals || dot - text > GL_OPTION_NAME_MAX ||
	    equals - dot - 1 > GL_OPTION_NAME_MAX) {
		return gl_fail(err, GUESTLOCK_CONFIG, 0,
			       "override \"%s\" cannot be understood; write SECTION.KEY=VALUE, for example "
			       "guestlock.lock_guest=no",
			       text);
	}
	snprintf(section, sizeof(section), "%.*s", (int)(dot - text), text);
	snprintf(key, sizeof(key), "%.*s", (int)(equals - dot) - 1, dot + 1);
	if (!gl_module_name_valid(section) || !gl_option_name_valid(key)) {
		return gl_fail(
			err, GUESTLOCK_CONFIG, 0,
			"override \"%s\": \"%s\" cannot be a setting; write SECTION.KEY=VALUE, for example "
			"guestlock.lock_guest=no",
			text, gl_module_name_valid(section) ? key : section);
	}
	return gl_settings_add(settings, section, key, equals + 1, NULL, GL_OVERRIDES, 0, err);
}
