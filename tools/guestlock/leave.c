/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* leave: this host is no member any more. */
#include "cli.h"

const struct cli_option cli_leave_options[] = {{0}};

int cli_leave(struct cli *cli, int argc, char **argv)
{
	struct guestlock_error err;
	int status;

	if (cli_parse(cli, argc, argv, NULL) != 0 || cli_no_arguments(cli, argc, argv) != 0) {
		return EX_USAGE;
	}
	status = cli_open(cli);
	if (status != 0) {
		return status;
	}
	status = guestlock_leave(cli->gl, &err);
	return status == GUESTLOCK_OK ? EX_OK : cli_fail(cli, status, &err);
}
