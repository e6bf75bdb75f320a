/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* adopt: a process that runs already becomes a guest, and gets its locks while it runs. */
#include "cli.h"

#include <limits.h>

enum {
	OPTION_NAME = CLI_LONG,
	OPTION_UUID,
	OPTION_ID,
};

const struct cli_option cli_adopt_options[] = {
	{OPTION_NAME, "name", "NAME", "the guest's name"},
	{OPTION_UUID, "uuid", "UUID", "the guest's uuid; made up and printed if missing"},
	{OPTION_ID, "id", "ID", "what else identifies it"},
	CLI_RESOURCE_OPTIONS,
	CLI_WAIT_OPTION,
	{0},
};

struct adoption {
	struct cli_guest guest;
	uint64_t pid;
	int wait_ms;
};

static void adoption_clear(struct adoption *adoption)
{
	cli_resources_clear(&adoption->guest.resources);
}

static int adopt_option(const struct cli *cli, struct adoption *adoption, int option)
{
	switch (option) {
	case OPTION_NAME:
		adoption->guest.name = optarg;
		return 0;
	case OPTION_UUID:
		adoption->guest.uuid = optarg;
		return 0;
	case OPTION_ID:
		adoption->guest.id = optarg;
		return 0;
	case CLI_OPTION_WAIT:
		return cli_wait_option(cli, &adoption->wait_ms);
	default:
		return cli_resource_option(cli, &adoption->guest.resources, option);
	}
}

static int parse_adoption(struct cli *cli, int argc, char **argv, struct adoption *adoption)
{
	const char *pid;
	int option;

	while ((option = cli_next_option(cli, argc, argv)) > 0) {
		if (adopt_option(cli, adoption, option) != 0) {
			return EX_USAGE;
		}
	}
	if (option < 0 || cli_one_argument(cli, argc, argv, "the pid of a process", &pid) != 0) {
		return EX_USAGE;
	}
	if (!cli_parse_number(pid, INT_MAX, &adoption->pid) || adoption->pid == 0) {
		return cli_usage(cli, "\"%s\" is no pid", pid);
	}
	return 0;
}

static void print_adopted(const struct cli *cli, const struct cli_guest *guest)
{
	struct json_object *top;

	if (cli->json) {
		top = cli_json_object();
		cli_json_text(top, "guest", guest->uuid);
		cli_json_print(top);
	} else if (guest->made_up[0]) {
		puts(guest->made_up);
	}
}

int cli_adopt(struct cli *cli, int argc, char **argv)
{
	__attribute__((cleanup(adoption_clear))) struct adoption adoption = {0};
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	struct guestlock_error err;
	int status = parse_adoption(cli, argc, argv, &adoption);

	if (status == 0) {
		status = cli_open(cli);
	}
	if (status == 0) {
		status = cli_new_guest(cli, &adoption.guest, GUESTLOCK_NEW_START, &guest);
	}
	if (status != 0) {
		return status;
	}
	status = guestlock_guest_adopt(guest, (pid_t)adoption.pid, adoption.wait_ms, &err);
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, &err);
	}
	print_adopted(cli, &adoption.guest);
	return EX_OK;
}
