/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* show: everything that the record of one guest says. */
#include "cli.h"
#include "signals.h"

const struct cli_option cli_show_options[] = {{0}};

static const struct cli_column resource_columns[] = {
	{.name = "TYPE"},  {.name = "NAME"},  {.name = "MODE"},     {.name = "STATE", .is_state = true},
	{.name = "FLAGS"}, {.name = "EPOCH"}, {.name = "IDENTITY"}, {.name = "KEY"},
};

static void resource_row(const struct cli_listing *listing, const struct guestlock_resource_info *resource)
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

	cli_add_row(listing, cells);
}

static void show_line(const char *name, const char *value)
{
	CLI_AUTOFREE char *printable = cli_printable(value);

	printf("%-12s %s\n", name, *printable ? printable : "-");
}

/* The first process may be gone: who has the disks now? */
static void show_processes(struct guestlock_guest *guest)
{
	CLI_AUTOFREE pid_t *pids = NULL;
	CLI_AUTOFREE char *words = NULL;
	size_t count = 0;

	if (guestlock_guest_processes(guest, &pids, &count, NULL) == GUESTLOCK_OK && count > 0) {
		words = cli_process_words(pids, count);
		show_line("processes:", words ? words : "");
	}
}

static char *pid_words(const struct guestlock_info *info, const struct cli_pid *pid)
{
	if (info->pid <= 0) {
		return cli_format("%s", "");
	}
	if (info->pid_ns) {
		return cli_format("%d of pid namespace %llu", (int)info->pid,
				  (unsigned long long)info->pid_ns);
	}
	return cli_format("%d%s", (int)info->pid, pid->living == info->pid ? "" : " (has ended)");
}

static void show_lines(const struct guestlock_info *info, const struct cli_pid *pid,
		       struct guestlock_guest *guest)
{
	CLI_AUTOFREE char *since = cli_time(info->since);
	CLI_AUTOFREE char *words = pid_words(info, pid);
	CLI_AUTOFREE char *instance = cli_hex(info->instance);

	show_line("name:", info->name);
	show_line("uuid:", info->uuid);
	show_line("instance:", instance);
	show_line("id:", info->id);
	show_line("pid:", words);
	show_processes(guest);
	show_line("state:", guestlock_guest_state_name(info->state));
	show_line("pending:", info->pending);
	show_line("life:", guestlock_life_name(info->life));
	show_line("technology:", info->technology);
	show_line("since:", since);
	for (size_t i = 0; i < info->n_params; i++) {
		CLI_AUTOFREE char *text = cli_format("%s=%s", info->params[i].key, info->params[i].value);

		show_line("param:", text);
	}
	if (info->n_resources > 0) {
		putchar('\n');
	}
}

static void show(struct cli *cli, const struct guestlock_info *info, struct guestlock_guest *guest)
{
	const struct cli_pid pid = cli_look_pid(cli, info->uuid, info->instance, info->pid, info->pid_ns);
	const struct cli_listing listing =
		cli_begin_listing(cli, "guests", resource_columns, CLI_COUNT(resource_columns));

	if (!cli->json) {
		show_lines(info, &pid, guest);
	}
	cli_json_append(listing.array, cli_json_guest(info, &pid));
	for (size_t i = 0; i < info->n_resources; i++) {
		resource_row(&listing, &info->resources[i]);
	}
	cli_end_listing(&listing);
}

int cli_show(struct cli *cli, int argc, char **argv)
{
	CLI_AUTOINFO struct guestlock_info *info = NULL;
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	struct guestlock_error err;
	int status;

	if (cli_parse(cli, argc, argv, NULL) != 0) {
		return EX_USAGE;
	}
	status = cli_open_guest(cli, argc, argv, &guest, NULL);
	if (status != 0) {
		return status;
	}
	status = guestlock_guest_info(guest, &info, &err);
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, &err);
	}
	show(cli, info, guest);
	return EX_OK;
}
