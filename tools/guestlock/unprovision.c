/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* unprovision: what the backend keeps for resources that nobody uses any more. */
#include "cli.h"

#define DEFAULT_AGE_S (7U * 24 * 3600)

struct unprovision {
	bool unused;
	uint64_t age_s;
};

static int take_age(const struct cli *cli, void *place, const char *text)
{
	return cli_parse_number(text, UINT32_MAX, place)
		       ? 0
		       : cli_usage(cli, "--age takes seconds, as a whole number, and not '%s'", text);
}

const struct cli_option cli_unprovision_options[] = {
	{0, "unused", NULL, "of everything that no guest holds or has paused", cli_take_flag,
	 offsetof(struct unprovision, unused)},
	{0, "age", "SECONDS", "and that was not used for so long; default 604800, a week", take_age,
	 offsetof(struct unprovision, age_s)},
	{0},
};

int cli_unprovision(struct cli *cli, int argc, char **argv)
{
	struct unprovision what = {.age_s = DEFAULT_AGE_S};
	struct guestlock_error err;
	int status;

	if (cli_parse(cli, argc, argv, &what) != 0 || cli_no_arguments(cli, argc, argv) != 0) {
		return EX_USAGE;
	}
	if (!what.unused) {
		return cli_usage(cli, "say --unused: there is nothing else that unprovision removes");
	}
	status = cli_open(cli);
	if (status != 0) {
		return status;
	}
	status = guestlock_unprovision_unused(cli->gl, (unsigned)what.age_s, &err);
	return status == GUESTLOCK_OK ? EX_OK : cli_fail(cli, status, &err);
}
