/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backends: the lock technologies that are installed, what they can do, and which of them is selected. */
#include "cli.h"

#include <string.h>

const struct cli_option cli_backends_options[] = {{0}};

static const struct cli_column backend_columns[] = {
	{.name = "NAME", .key = "name"},
	{.name = "DESCRIPTION", .key = "description"},
	{.name = "CAPABILITIES"},
	{.name = "STATUS"},
};

static char *backend_status(const struct guestlock_backend_info *info)
{
	const char *what = info->selected ? "selected" : "installed";

	if (info->status == GUESTLOCK_OK) {
		return cli_format("%s%s", what, info->selected ? ", ready" : "");
	}
	return cli_format("%s, %s", info->selected ? what : "unusable",
			  info->message[0] ? info->message : guestlock_status_text(info->status));
}

static void add_backend(const struct cli_listing *listing, const struct guestlock_backend_info *info)
{
	CLI_AUTOFREE char *words = cli_format("%s", ""), *status = backend_status(info);
	struct json_object *object, *array = cli_json_array();
	const char *name;

	for (unsigned bit = 0; (name = guestlock_capability_name(bit)) != NULL; bit++) {
		if (info->capabilities & 1U << bit) {
			cli_append(&words, "%s%s", *words ? "," : "", name);
			cli_json_append(array, cli_need(json_object_new_string(name)));
		}
	}
	object = cli_add_object(listing, (const char *[]){info->name, info->description, words, status});
	cli_json_text(object, "file", info->file);
	cli_json_bool(object, "selected", info->selected);
	cli_json_number(object, "abi", info->abi);
	cli_json_add(object, "capabilities", array);
	cli_json_bool(object, "ok", info->status == GUESTLOCK_OK);
	cli_json_text(object, "message", info->message);
}

int cli_backends(struct cli *cli, int argc, char **argv)
{
	struct guestlock_backend_info *infos;
	struct cli_listing listing;
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
	listing = cli_begin_listing(cli, "backends", backend_columns, CLI_COUNT(backend_columns));
	for (size_t i = 0; i < count; i++) {
		add_backend(&listing, &infos[i]);
	}
	cli_end_listing(&listing);
	guestlock_backends_free(infos, count);
	return EX_OK;
}
