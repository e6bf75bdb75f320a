/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backends: the lock technologies that are installed, what they can do, and which of them is selected. */
#include "cli.h"

#include <string.h>

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
			cli_append(&words, "%s%s", *words ? "," : "", name);
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

	if (cli_parse(cli, argc, argv, NULL) != 0 || cli_no_arguments(cli, argc, argv) != 0) {
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
