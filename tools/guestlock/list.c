/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* list, show, holders: what there is. */
#include "cli.h"

#include <string.h>

/* ---- list ---- */

enum {
	OPTION_CLUSTER = CLI_LONG,
};

const struct cli_option cli_list_options[] = {
	{OPTION_CLUSTER, "cluster", NULL, "show what the guests of all hosts hold"},
	{0},
};

static const struct cli_column list_columns[] = {
	{.name = "NAME"},
	{.name = "UUID"},
	{.name = "PID", .right = true},
	{.name = "STATE", .is_state = true},
	{.name = "LIFE", .is_state = true},
	{.name = "DISKS", .right = true},
	{.name = "SINCE"},
};

static size_t count_disks(const struct guestlock_info *info)
{
	size_t count = 0;

	for (size_t i = 0; i < info->n_resources; i++) {
		count += info->resources[i].type == GUESTLOCK_DISK;
	}
	return count;
}

static void list_row(struct libscols_table *table, const struct guestlock_info *info)
{
	CLI_AUTOFREE char *pid = info->pid > 0 ? cli_format("%d", (int)info->pid) : NULL;
	CLI_AUTOFREE char *disks = cli_format("%zu", count_disks(info));
	CLI_AUTOFREE char *since = cli_time(info->since);
	const char *cells[] = {
		info->name,
		info->uuid,
		pid,
		guestlock_guest_state_name(info->state),
		guestlock_life_name(info->life),
		disks,
		since,
	};
	const char *damaged[CLI_COUNT(cells)] = {NULL, info->uuid, NULL, "damaged", NULL, NULL, NULL};

	cli_table_row(table, list_columns, info->damage ? damaged : cells, CLI_COUNT(cells));
}

static void list_table(struct cli *cli, struct guestlock_info *const *infos, size_t count)
{
	struct libscols_table *table = cli_table(cli, list_columns, CLI_COUNT(list_columns));

	for (size_t i = 0; i < count; i++) {
		list_row(table, infos[i]);
	}
	cli_table_end(table);
	for (size_t i = 0; i < count; i++) {
		if (infos[i]->damage) {
			cli_log(cli, GUESTLOCK_LOG_WARNING, "the record of guest %s is damaged: %s",
				infos[i]->uuid, infos[i]->damage);
		}
	}
}

static void list_json(struct guestlock_info *const *infos, size_t count)
{
	struct json_object *top = cli_json_object(), *guests = cli_json_array();

	for (size_t i = 0; i < count; i++) {
		cli_json_append(guests, cli_json_guest(infos[i]));
	}
	cli_json_add(top, "guests", guests);
	cli_json_print(top);
}

int cli_list(struct cli *cli, int argc, char **argv)
{
	struct guestlock_info **infos;
	struct guestlock_error err;
	bool cluster = false;
	size_t count;
	int option, status;

	while ((option = cli_next_option(cli, argc, argv)) > 0) {
		cluster = true;
	}
	if (option < 0 || cli_no_arguments(cli, argc, argv) != 0) {
		return EX_USAGE;
	}
	if (cluster) {
		return cli_list_cluster(cli);
	}
	status = cli_open(cli);
	if (status != 0) {
		return status;
	}
	status = guestlock_list(cli->gl, &infos, &count, &err);
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, &err);
	}
	if (cli->json) {
		list_json(infos, count);
	} else {
		list_table(cli, infos, count);
	}
	guestlock_list_free(infos, count);
	return EX_OK;
}

/* ---- show ---- */

const struct cli_option cli_show_options[] = {{0}};

static const struct cli_column resource_columns[] = {
	{.name = "TYPE"},  {.name = "NAME"},  {.name = "MODE"},     {.name = "STATE", .is_state = true},
	{.name = "FLAGS"}, {.name = "EPOCH"}, {.name = "IDENTITY"}, {.name = "KEY"},
};

static void resource_row(struct libscols_table *table, const struct guestlock_resource_info *resource)
{
	CLI_AUTOFREE char *epoch = resource->has_epoch ? cli_hex(resource->epoch) : NULL;
	const char *flags = resource->flags & GUESTLOCK_READONLY ? "readonly"
			    : resource->flags & GUESTLOCK_SHARED ? "shared"
								 : NULL;
	const char *cells[] = {
		cli_resource_type(resource),
		resource->name,
		guestlock_mode_name(resource->mode),
		guestlock_resource_state_name(resource->state),
		flags,
		epoch,
		resource->identity,
		resource->key,
	};

	cli_table_row(table, resource_columns, cells, CLI_COUNT(cells));
}

static void show_line(const char *name, const char *value)
{
	CLI_AUTOFREE char *printable = cli_printable(value);

	printf("%-12s %s\n", name, *printable ? printable : "-");
}

static void show_text(struct cli *cli, const struct guestlock_info *info)
{
	CLI_AUTOFREE char *since = cli_time(info->since), *pid = cli_format("%d", (int)info->pid);
	CLI_AUTOFREE char *instance = cli_hex(info->instance);
	struct libscols_table *table;

	show_line("name:", info->name);
	show_line("uuid:", info->uuid);
	show_line("instance:", instance);
	show_line("id:", info->id);
	show_line("pid:", info->pid > 0 ? pid : "");
	show_line("state:", guestlock_guest_state_name(info->state));
	show_line("pending:", info->pending);
	show_line("life:", guestlock_life_name(info->life));
	show_line("technology:", info->technology);
	show_line("since:", since);
	for (size_t i = 0; i < info->n_params; i++) {
		CLI_AUTOFREE char *text = cli_format("%s=%s", info->params[i].key, info->params[i].value);

		show_line("param:", text);
	}
	if (info->n_resources == 0) {
		return;
	}
	putchar('\n');
	table = cli_table(cli, resource_columns, CLI_COUNT(resource_columns));
	for (size_t i = 0; i < info->n_resources; i++) {
		resource_row(table, &info->resources[i]);
	}
	cli_table_end(table);
}

static void show_json(const struct guestlock_info *info)
{
	struct json_object *top = cli_json_object(), *guests = cli_json_array();

	cli_json_append(guests, cli_json_guest(info));
	cli_json_add(top, "guests", guests);
	cli_json_print(top);
}

int cli_show(struct cli *cli, int argc, char **argv)
{
	CLI_AUTOINFO struct guestlock_info *info = NULL;
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	struct guestlock_error err;
	const char *text;
	int status;

	if (cli_next_option(cli, argc, argv) != 0 ||
	    cli_one_argument(cli, argc, argv, "a guest", &text) != 0) {
		return EX_USAGE;
	}
	status = cli_open(cli);
	if (status != 0) {
		return status;
	}
	status = cli_attach_guest(cli, text, &guest, NULL);
	if (status != 0) {
		return status;
	}
	status = guestlock_guest_info(guest, &info, &err);
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, &err);
	}
	if (cli->json) {
		show_json(info);
	} else {
		show_text(cli, info);
	}
	return EX_OK;
}

/* ---- holders ---- */

const struct cli_option cli_holders_options[] = {CLI_RESOURCE_OPTIONS, {0}};

static const struct cli_column holder_columns[] = {
	{.name = "RESOURCE"}, {.name = "MODE"}, {.name = "NAME"},
	{.name = "UUID"},     {.name = "HOST"}, {.name = "PID", .right = true},
	{.name = "SINCE"},
};

static void holder_row(struct libscols_table *table, const char *resource,
		       const struct guestlock_holder *holder)
{
	CLI_AUTOFREE char *pid = holder->pid > 0 ? cli_format("%d", (int)holder->pid) : NULL;
	CLI_AUTOFREE char *since = cli_time(holder->since);
	const char *cells[] = {
		resource, guestlock_mode_name(holder->mode), holder->name, holder->uuid, holder->host, pid,
		since,
	};

	cli_table_row(table, holder_columns, cells, CLI_COUNT(cells));
}

/* Those that could not tell whether they hold one of these: any of them, for a host is silent about all. */
static void find_silent(struct cli *cli, const struct guestlock_resource *resource,
			struct guestlock_survey **out_survey)
{
	CLI_AUTOFREE char *identity = NULL;
	char key[GUESTLOCK_KEY_SIZE];
	struct guestlock_error err;
	int status = guestlock_identify(cli->gl, resource, &identity, key, &err);

	if (status == GUESTLOCK_OK) {
		status = guestlock_survey(cli->gl, key, out_survey, &err);
	}
	if (status == GUESTLOCK_OK) {
		cli_name_silent(cli, *out_survey);
	} else if (status != GUESTLOCK_UNSUPPORTED) {
		cli_log(cli, GUESTLOCK_LOG_WARNING, "it is not known whether all hosts have told: %s",
			err.message);
	}
}

/* All resources are asked; the first failure is the status. */
static int print_holders(struct cli *cli, const struct cli_resources *list)
{
	struct libscols_table *table = cli_table(cli, holder_columns, CLI_COUNT(holder_columns));
	struct json_object *top = cli_json_object(), *array = cli_json_array();
	CLI_AUTOSURVEY struct guestlock_survey *survey = NULL;
	const struct guestlock_resource *told = NULL;
	int result = EX_OK;

	for (size_t i = 0; i < list->count; i++) {
		CLI_AUTOFREE struct guestlock_holder *holders = NULL;
		struct guestlock_error err;
		size_t count = 0;
		int status = guestlock_holders(cli->gl, &list->items[i], &holders, &count, &err);

		if (status != GUESTLOCK_OK) {
			status = cli_fail(cli, status, &err);
			result = result == EX_OK ? status : result;
			continue;
		}
		told = &list->items[i];
		struct json_object *object = cli_json_object();
		cli_json_text(object, "resource", list->items[i].name);
		cli_json_add(object, "holders", cli_json_holders(holders, count));
		cli_json_append(array, object);
		for (size_t j = 0; j < count; j++) {
			holder_row(table, list->items[i].name, &holders[j]);
		}
	}
	if (told) {
		find_silent(cli, told, &survey);
	}
	cli_json_add(top, "resources", array);
	cli_json_add(top, "silent", cli_json_silent(survey));
	cli_print_either(cli, table, top);
	return result;
}

int cli_holders(struct cli *cli, int argc, char **argv)
{
	CLI_AUTORESOURCES struct cli_resources list = {0};
	int status = cli_resources_parse(cli, argc, argv, &list);

	if (status == 0 && list.count == 0) {
		return cli_usage(cli, "holders wants a path, or a --lease");
	}
	status = status != 0 ? status : cli_open(cli);
	return status != 0 ? status : print_holders(cli, &list);
}
