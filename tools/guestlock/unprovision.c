/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* unprovision: what the backend keeps for resources that nobody uses any more. */
#include "cli.h"

#define DEFAULT_AGE_S (7U * 24 * 3600)

enum {
	OPTION_UNUSED = CLI_LONG,
	OPTION_AGE,
};

const struct cli_option cli_unprovision_options[] = {
	{OPTION_UNUSED, "unused", NULL, "of everything that no guest holds or has paused"},
	{OPTION_AGE, "age", "SECONDS", "and that was not used for so long; default 604800, a week"},
	{0},
};

int cli_unprovision(struct cli *cli, int argc, char **argv)
{
	uint64_t age_s = DEFAULT_AGE_S;
	struct guestlock_error err;
	bool unused = false;
	int option, status;

	while ((option = cli_next_option(cli, argc, argv)) > 0) {
		if (option == OPTION_UNUSED) {
			unused = true;
		} else if (!cli_parse_number(optarg, UINT32_MAX, &age_s)) {
			return cli_usage(cli, "--age takes seconds, as a whole number, and not '%s'", optarg);
		}
	}
	if (option < 0 || cli_no_arguments(cli, argc, argv) != 0) {
		return EX_USAGE;
	}
	if (!unused) {
		return cli_usage(cli, "say --unused: there is nothing else that unprovision removes");
	}
	status = cli_open(cli);
	if (status != 0) {
		return status;
	}
	status = guestlock_unprovision_unused(cli->gl, (unsigned)age_s, &err);
	return status == GUESTLOCK_OK ? EX_OK : cli_fail(cli, status, &err);
}
