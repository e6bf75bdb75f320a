/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Settings that are declared: what was read is checked, and each gets its value. */
#include "base/base.h"
#include "base/error.h"
#include "config/priv.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

void gl_settings_undeclare(struct gl_settings *settings, size_t count)
{
	while (settings->n_declared > count) {
		const struct guestlock_setting *last = &settings->declared[--settings->n_declared];

		gl_free_constant(last->section);
		gl_free_constant(last->key);
		gl_free_constant(last->value);
		gl_free_constant(last->help);
		gl_free_constant(last->origin);
	}
}

static const struct guestlock_setting *gl_find_declared(const struct gl_settings *settings,
							const char *section, const char *key)
{
	size_t i;

	for (i = 0; i < settings->n_declared; i++) {
		const struct guestlock_setting *declared = &settings->declared[i];

		if (strcmp(declared->section, section) == 0 && (!key || strcmp(declared->key, key) == 0)) {
			return declared;
		}
	}
	return NULL;
}

const char *gl_settings_string(const struct gl_settings *settings, const char *section, const char *key)
{
	const struct guestlock_setting *declared = gl_find_declared(settings, section, key);

	return declared ? declared->value : "";
}

bool gl_settings_bool(const struct gl_settings *settings, const char *section, const char *key)
{
	return strcmp(gl_settings_string(settings, section, key), "yes") == 0;
}

unsigned gl_settings_uint(const struct gl_settings *settings, const char *section, const char *key)
{
	uint64_t value;

	return gl_parse_u64(gl_settings_string(settings, section, key), 10, &value) && value <= UINT_MAX
		       ? (unsigned)value
		       : 0;
}

const struct guestlock_setting *gl_settings_all(struct gl_settings *settings, size_t *out_count)
{
	*out_count = settings->n_declared;
	return settings->declared;
}

static const struct gl_option *gl_find_option(const struct gl_option *options, size_t count, const char *key)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (strcmp(options[i].name, key) == 0) {
			return &options[i];
		}
	}
	return NULL;
}

/* The option that key was probably meant to be, or NULL. */
static const char *gl_nearest(const struct gl_option *options, size_t count, const char *key)
{
	unsigned limit = strlen(key) < 6 ? 1 : 2 + (unsigned)(strlen(key) / 8);
	const char *nearest = NULL;
	size_t i;

	for (i = 0; i < count; i++) {
		unsigned distance = gl_edit_distance(key, options[i].name);

		if (distance <= limit) {
			nearest = options[i].name;
			limit = distance > 0 ? distance - 1 : 0;
		}
	}
	return nearest;
}

static int gl_fail_unknown(const struct gl_entry *entry, const struct gl_option *options, size_t count,
			   struct guestlock_error *err)
{
	const char *nearest = gl_nearest(options, count, entry->key);
	char known[512] = "";
	size_t used = 0;
	size_t i;

	if (nearest) {
		gl_fail(err, GUESTLOCK_CONFIG, 0, "unknown setting \"%s\" in [%s]; did you mean \"%s\"?",
			entry->key, entry->section, nearest);
		return gl_settings_fail_at(entry, err);
	}
	for (i = 0; i < count && used < sizeof(known); i++) {
		int length =
			snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "", options[i].name);

		used += length > 0 ? (size_t)length : 0;
	}
	gl_fail(err, GUESTLOCK_CONFIG, 0, "unknown setting \"%s\" in [%s]; it knows %s", entry->key,
		entry->section, count ? known : "no settings");
	return gl_settings_fail_at(entry, err);
}

/* Also values that a later file replaces must be right: who removes that file must not be surprised. */
static int gl_check_entry(const struct gl_entry *entry, const struct gl_option *options, size_t count,
			  struct guestlock_error *err)
{
	const struct gl_option *option = gl_find_option(options, count, entry->key);
	char why_not[GL_WHY_NOT_SIZE];

	if (!option) {
		return gl_fail_unknown(entry, options, count, err);
	}
	if (!gl_option_check(option, entry->value, why_not)) {
		gl_fail(err, GUESTLOCK_CONFIG, 0, "%s = \"%s\" is not possible; %s %s", entry->key,
			entry->value, entry->key, why_not);
		return gl_settings_fail_at(entry, err);
	}
	return 0;
}

static const struct gl_entry *gl_last_entry(const struct gl_settings *settings, const char *section,
					    const char *key)
{
	size_t i;

	for (i = settings->n_entries; i > 0; i--) {
		const struct gl_entry *entry = &settings->entries[i - 1];

		if (strcmp(entry->key, key) == 0 && strcmp(entry->section, section) == 0) {
			return entry;
		}
	}
	return NULL;
}

/* A default with its first word between '@' replaced by the setting of that name; malloc'd. */
static char *gl_expand_default(const struct gl_settings *settings, const char *text)
{
	static const char *const words[] = {"state_dir", "run_dir"};
	size_t i;

	for (i = 0; text[0] == '@' && i < GL_COUNT(words); i++) {
		size_t length = strlen(words[i]);
		char *expanded;

		if (strncmp(text + 1, words[i], length) != 0 || text[length + 1] != '@') {
			continue;
		}
		if (asprintf(&expanded, "%s%s", gl_settings_string(settings, GL_CORE_SECTION, words[i]),
			     text + length + 2) < 0) {
			return NULL;
		}
		return expanded;
	}
	return strdup(text);
}

/* Directories are compared as text (two managers may share one), so each has one spelling. */
static void gl_tidy_path(char *path)
{
	char *to = path;
	const char *from;

	if (path[0] != '/') {
		return;
	}
	for (from = path; *from != '\0'; from++) {
		if (*from == '/' && to > path && to[-1] == '/') {
			continue;
		}
		*to++ = *from;
	}
	if (to > path + 1 && to[-1] == '/') {
		to--;
	}
	*to = '\0';
}

/* Appends one setting with its value; there is room. 0, or -1: memory, and it is not complete. */
static int gl_declare_one(struct gl_settings *settings, const char *section, const struct gl_option *option)
{
	const struct gl_entry *entry = gl_last_entry(settings, section, option->name);
	const char *fallback = option->default_value ? option->default_value : "";
	char *value = entry ? strdup(entry->value) : gl_expand_default(settings, fallback);
	struct guestlock_setting *declared = &settings->declared[settings->n_declared++];

	*declared = (struct guestlock_setting){
		.section = strdup(section),
		.key = strdup(option->name),
		.value = value,
		.type = gl_option_type_name(option->kind),
		.help = strdup(option->help),
		.origin = strdup(entry ? entry->origin : "default"),
	};
	if (!value || !declared->section || !declared->key || !declared->help || !declared->origin) {
		return -1;
	}
	if (option->kind == GL_KIND_PATH || option->kind == GL_KIND_CHOICE_OR_PATH) {
		gl_tidy_path(value);
	}
	return 0;
}

static int gl_declare_all(struct gl_settings *settings, const char *section, const struct gl_option *options,
			  size_t count)
{
	size_t before = settings->n_declared;
	struct guestlock_setting *declared =
		reallocarray(settings->declared, before + count + 1, sizeof(*declared));
	size_t i;

	if (!declared) {
		return -1;
	}
	settings->declared = declared;
	for (i = 0; i < count; i++) {
		if (gl_declare_one(settings, section, &options[i]) < 0) {
			gl_settings_undeclare(settings, before);
			return -1;
		}
	}
	return 0;
}

int gl_settings_declare_options(struct gl_settings *settings, const char *section,
				const struct gl_option *options, size_t count, struct guestlock_error *err)
{
	size_t i;

	for (i = 0; i < settings->n_entries; i++) {
		const struct gl_entry *entry = &settings->entries[i];

		if (strcmp(entry->section, section) == 0 && gl_check_entry(entry, options, count, err) < 0) {
			return GUESTLOCK_CONFIG;
		}
	}
	return gl_declare_all(settings, section, options, count) < 0 ? gl_fail_memory(err) : 0;
}

int gl_settings_declare(struct gl_settings *settings, const char *section,
			const struct guestlock_option *options, struct guestlock_error *err)
{
	GL_AUTOFREE struct gl_option *own = NULL;
	size_t count, i;

	if (gl_find_declared(settings, section, NULL)) {
		return 0;
	}
	for (count = 0; options[count].name; count++) {
	}
	own = calloc(count + 1, sizeof(*own));
	if (!own) {
		return gl_fail_memory(err);
	}
	for (i = 0; i < count; i++) {
		own[i].name = options[i].name;
		own[i].kind = (enum gl_option_kind)options[i].type;
		own[i].default_value = options[i].default_value;
		own[i].help = options[i].help;
	}
	return gl_settings_declare_options(settings, section, own, count, err);
}
