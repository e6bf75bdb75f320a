/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * attach and detach: disks and leases of a guest that exists are locked or unlocked one by one, until one of
 * them fails.
 */
#include "cli.h"

const struct cli_option cli_attach_options[] = {CLI_RESOURCE_OPTIONS, CLI_WAIT_OPTION, {0}};
const struct cli_option cli_detach_options[] = {CLI_RESOURCE_OPTIONS, {0}};

/* After the first failure nothing more is tried, and it is said what had been done before. */
static void report_partial(const struct cli_resources *list, size_t done, const char *verb)
{
	if (list->count < 2) {
		return;
	}
	for (size_t i = 0; i < list->count; i++) {
		cli_complain("%s: %s", list->items[i].name,
			     i < done    ? verb
			     : i == done ? "failed"
					 : "not tried");
	}
}

static int change_resources(const struct cli *cli, struct guestlock_guest *guest,
			    const struct cli_resources *list, int wait_ms, bool attach)
{
	for (size_t i = 0; i < list->count; i++) {
		struct guestlock_error err;
		int status =
			attach ? guestlock_guest_acquire_resource(guest, &list->items[i], 0, wait_ms, &err)
			       : guestlock_guest_release_resource(guest, &list->items[i], &err);

		if (status != GUESTLOCK_OK) {
			status = cli_fail(cli, status, &err);
			report_partial(list, i, attach ? "attached" : "detached");
			return status;
		}
	}
	return EX_OK;
}

static int attach_or_detach(struct cli *cli, int argc, char **argv, bool attach)
{
	CLI_AUTORESOURCES struct cli_resources list = {0};
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	int wait_ms = 0, option, status = 0;
	const char *text;

	while (status == 0 && (option = cli_next_option(cli, argc, argv)) > 0) {
		status = option == CLI_OPTION_WAIT ? cli_wait_option(cli, &wait_ms)
						   : cli_resource_option(cli, &list, option);
	}
	if (status != 0 || option < 0 || cli_one_argument(cli, argc, argv, "a guest", &text) != 0) {
		return EX_USAGE;
	}
	if (list.count == 0) {
		return cli_usage(cli, "%s wants at least one --disk or --lease", cli->command->name);
	}
	status = cli_open(cli);
	if (status == 0) {
		status = cli_attach_guest(cli, text, &guest, NULL);
	}
	return status != 0 ? status : change_resources(cli, guest, &list, wait_ms, attach);
}

int cli_attach(struct cli *cli, int argc, char **argv)
{
	return attach_or_detach(cli, argc, argv, true);
}

int cli_detach(struct cli *cli, int argc, char **argv)
{
	return attach_or_detach(cli, argc, argv, false);
}
