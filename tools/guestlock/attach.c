/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * attach and detach: disks and leases of a guest that exists are locked or unlocked one by one, until one of
 * them fails.
 */
#include "cli.h"

struct change {
	struct cli_resources list;
	int wait_ms;
	bool force;
};

const struct cli_option cli_attach_options[] = {
	CLI_RESOURCE_OPTIONS(offsetof(struct change, list)),
	CLI_WAIT_OPTION(offsetof(struct change, wait_ms)),
	{0},
};
const struct cli_option cli_detach_options[] = {
	CLI_RESOURCE_OPTIONS(offsetof(struct change, list)),
	{0, "force", NULL, "although the guest has it open for writing: you are sure that it does not write",
	 cli_take_flag, offsetof(struct change, force)},
	{0},
};

static void change_clear(struct change *change)
{
	cli_resources_clear(&change->list);
}

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

static int change_resources(const struct cli *cli, struct guestlock_guest *guest, const struct change *change,
			    bool attach)
{
	const struct cli_resources *list = &change->list;
	const unsigned flags = change->force ? GUESTLOCK_RELEASE_FORCE : 0;

	for (size_t i = 0; i < list->count; i++) {
		struct guestlock_error err;
		int status = attach ? guestlock_guest_acquire_resource(guest, &list->items[i], 0,
								       change->wait_ms, &err)
				    : guestlock_guest_release_resource(guest, &list->items[i], flags, &err);

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
	__attribute__((cleanup(change_clear))) struct change change = {.wait_ms = 0};
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	const char *text;
	int status;

	if (cli_parse(cli, argc, argv, &change) != 0 ||
	    cli_one_argument(cli, argc, argv, "a guest", &text) != 0) {
		return EX_USAGE;
	}
	if (change.list.count == 0) {
		return cli_usage(cli, "%s wants at least one --disk or --lease", cli->command->name);
	}
	status = cli_open(cli);
	if (status == 0) {
		status = cli_attach_guest(cli, text, &guest, NULL);
	}
	return status != 0 ? status : change_resources(cli, guest, &change, attach);
}

int cli_attach(struct cli *cli, int argc, char **argv)
{
	return attach_or_detach(cli, argc, argv, true);
}

int cli_detach(struct cli *cli, int argc, char **argv)
{
	return attach_or_detach(cli, argc, argv, false);
}
