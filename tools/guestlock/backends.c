/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backends and config: what is installed and how it is set. */
#include "cli.h"

#include <string.h>

/* ---- backends ---- */

const struct cli_option cli_backends_options[] = {{0}};

static const struct cli_column backend_columns[] = {
	{.name = "NAME"},
	{.name = "DESCRIPTION"},
	{.name = "CAPABILITIES"},
	{.name = "STATUS"},
};

static char *capability_words(unsigned capabilities)
{
	char *words = cli_need(strdup(""));
	const char *name;

	for (unsigned bit = 0; (name = guestlock_capability_name(bit)) != NULL; bit++) {
		if (capabilities & 1U << bit) {
			char *longer = cli_format("%s%s%s", words, *words ? "," : "", name);

			free(words);
			words = longer;
		}
	}
	return words;
}

static char *backend_status(const struct guestlock_backend_info *info)
{
	const char *what = info->selected ? "selected" : "installed";

	if (info->status == GUESTLOCK_OK) {
		return cli_format("%s%s", what, info->selected ? ", ready" : "");
	}
	return cli_format("%s, %s", info->selected ? what : "unusable",
			  info->message[0] ? info->message : guestlock_status_text(info->status));
}

static void backend_row(struct libscols_table *table, const struct guestlock_backend_info *info)
{
	CLI_AUTOFREE char *words = capability_words(info->capabilities), *status = backend_status(info);
	const char *cells[] = {info->name, info->description, words, status};

	cli_table_row(table, backend_columns, cells, CLI_COUNT(cells));
}

static struct json_object *json_capabilities(unsigned capabilities)
{
	struct json_object *array = cli_json_array();
	const char *name;

	for (unsigned bit = 0; (name = guestlock_capability_name(bit)) != NULL; bit++) {
		if (capabilities & 1U << bit) {
			cli_json_append(array, cli_need(json_object_new_string(name)));
		}
	}
	return array;
}

static struct json_object *json_backend(const struct guestlock_backend_info *info)
{
	struct json_object *object = cli_json_object();

	cli_json_text(object, "name", info->name);
	cli_json_text(object, "description", info->description);
	cli_json_text(object, "file", info->file);
	cli_json_bool(object, "selected", info->selected);
	cli_json_number(object, "abi", info->abi);
	cli_json_add(object, "capabilities", json_capabilities(info->capabilities));
	cli_json_bool(object, "ok", info->status == GUESTLOCK_OK);
	cli_json_text(object, "message", info->message);
	return object;
}

static void print_backends(const struct cli *cli, const struct guestlock_backend_info *infos, size_t count)
{
	struct libscols_table *table = cli_table(cli, backend_columns, CLI_COUNT(backend_columns));
	struct json_object *top = cli_json_object(), *array = cli_json_array();

	for (size_t i = 0; i < count; i++) {
		backend_row(table, &infos[i]);
		cli_json_append(array, json_backend(&infos[i]));
	}
	cli_json_add(top, "backends", array);
	cli_print_either(cli, table, top);
}

int cli_backends(struct cli *cli, int argc, char **argv)
{
	struct guestlock_backend_info *infos;
	struct guestlock_error err;
	size_t count;
	int status;

	if (cli_next_option(cli, argc, argv) != 0 || cli_no_arguments(cli, argc, argv) != 0) {
		return EX_USAGE;
	}
	status = cli_open(cli);
	if (status != 0) {
		return status;
	}
	status = guestlock_backends(cli->gl, &infos, &count, &err);
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, &err);
	}
	print_backends(cli, infos, count);
	guestlock_backends_free(infos, count);
	return EX_OK;
}

/* ---- config ---- */

enum {
	OPTION_DEFAULTS = CLI_LONG,
};

const struct cli_option cli_config_options[] = {
	{OPTION_DEFAULTS, "defaults", NULL, "print a configuration file of the defaults, as comments"},
	{0},
};

static const struct cli_column setting_columns[] = {
	{.name = "SECTION"},
	{.name = "KEY"},
	{.name = "VALUE"},
	{.name = "ORIGIN"},
};

static struct json_object *json_setting(const struct guestlock_setting *setting)
{
	struct json_object *object = cli_json_object();

	cli_json_text(object, "section", setting->section);
	cli_json_text(object, "key", setting->key);
	cli_json_text(object, "value", setting->value);
	cli_json_text(object, "type", setting->type);
	cli_json_text(object, "help", setting->help);
	cli_json_text(object, "origin", setting->origin);
	return object;
}

static void print_settings(const struct cli *cli, const struct guestlock_setting *settings, size_t count)
{
	struct libscols_table *table = cli_table(cli, setting_columns, CLI_COUNT(setting_columns));
	struct json_object *top = cli_json_object(), *array = cli_json_array();

	for (size_t i = 0; i < count; i++) {
		const struct guestlock_setting *s = &settings[i];
		const char *cells[] = {s->section, s->key, s->value, s->origin};

		cli_table_row(table, setting_columns, cells, CLI_COUNT(cells));
		cli_json_append(array, json_setting(s));
	}
	cli_json_add(top, "settings", array);
	cli_print_either(cli, table, top);
}

/* A file that changes nothing, to be edited. */
static void print_defaults(const struct guestlock_setting *settings, size_t count)
{
	const char *section = "";

	for (size_t i = 0; i < count; i++) {
		const struct guestlock_setting *s = &settings[i];

		if (strcmp(section, s->section) != 0) {
			printf("%s[%s]\n", *section ? "\n" : "", s->section);
			section = s->section;
		}
		printf("# %s (%s)\n#%s = %s\n", s->help, s->type, s->key, s->value);
	}
}

int cli_config(struct cli *cli, int argc, char **argv)
{
	const struct guestlock_setting *settings;
	bool defaults = false;
	size_t count;
	int option, status;

	while ((option = cli_next_option(cli, argc, argv)) > 0) {
		defaults = true;
	}
	if (option < 0 || cli_no_arguments(cli, argc, argv) != 0) {
		return EX_USAGE;
	}
	if (defaults) {
		cli->config_file = "/dev/null";
		cli->timeout = NULL;
	}
	status = cli_open(cli);
	if (status != 0) {
		return status;
	}
	settings = guestlock_settings(cli->gl, &count);
	if (defaults) {
		print_defaults(settings, count);
	} else {
		print_settings(cli, settings, count);
	}
	return EX_OK;
}
