/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* holders: who has a disk or a lease, as the backend says, and which hosts did not answer it. */
#include "cli.h"

const struct cli_option cli_holders_options[] = {CLI_RESOURCE_OPTIONS(0), {0}};

static const struct cli_column holder_columns[] = {
	{.name = "RESOURCE"}, {.name = "MODE"}, {.name = "NAME"},
	{.name = "UUID"},     {.name = "HOST"}, {.name = "PID", .right = true},
	{.name = "SINCE"},
};

static void holder_row(struct cli *cli, const struct cli_listing *listing, const char *resource,
		       const struct guestlock_holder *holder)
{
	const struct cli_pid looked =
		cli_look_pid(cli, holder->uuid, holder->instance, holder->pid, holder->pid_ns);
	CLI_AUTOFREE char *pid = cli_pid_cell(cli, &looked);
	CLI_AUTOFREE char *mode = cli_mode_cell(holder);
	CLI_AUTOFREE char *since = cli_time(holder->since);
	const char *cells[] = {
		resource, mode, holder->name, holder->uuid, holder->host, pid, since,
	};

	cli_add_row(listing, cells);
}

static void add_holders(struct cli *cli, const struct cli_listing *listing, const char *resource,
			const struct guestlock_holder *holders, size_t count)
{
	struct json_object *object;

	if (!cli->json) {
		for (size_t i = 0; i < count; i++) {
			holder_row(cli, listing, resource, &holders[i]);
		}
		return;
	}
	object = cli_json_object();
	cli_json_text(object, "resource", resource);
	cli_json_add(object, "holders", cli_json_holders(cli, holders, count));
	cli_json_append(listing->array, object);
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
	const struct cli_listing listing =
		cli_begin_listing(cli, "resources", holder_columns, CLI_COUNT(holder_columns));
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
		add_holders(cli, &listing, list->items[i].name, holders, count);
	}
	if (told) {
		find_silent(cli, told, &survey);
	}
	cli_json_add(listing.top, "silent", cli_json_silent(survey));
	cli_end_listing(&listing);
	cli_explain_pids(cli);
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
