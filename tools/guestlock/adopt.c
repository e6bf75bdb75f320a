/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* adopt: a process that runs already becomes a guest, and gets its locks while it runs. */
#include "cli.h"

#include <limits.h>

struct adoption {
	struct cli_guest guest;
	uint64_t pid;
	int wait_ms;
};

const struct cli_option cli_adopt_options[] = {
	CLI_GUEST_OPTIONS(offsetof(struct adoption, guest),
			  "the guest's uuid; made up and printed if missing"),
	CLI_RESOURCE_OPTIONS(offsetof(struct adoption, guest.resources)),
	CLI_WAIT_OPTION(offsetof(struct adoption, wait_ms)),
	{0},
};

static void adoption_clear(struct adoption *adoption)
{
	cli_resources_clear(&adoption->guest.resources);
}

static int parse_adoption(struct cli *cli, int argc, char **argv, struct adoption *adoption)
{
	const char *pid;

	if (cli_parse(cli, argc, argv, adoption) != 0 ||
	    cli_one_argument(cli, argc, argv, "the pid of a process", &pid) != 0) {
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
