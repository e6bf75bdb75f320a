/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * release: gives up what a guest that ended still holds, or one lock that no record explains. What seems to
 * live keeps its locks, unless the user is sure that it does not write.
 */
#include "cli.h"

enum {
	OPTION_FORCE = CLI_LONG,
	OPTION_ORPHAN,
};

const struct cli_option cli_release_options[] = {
	{OPTION_FORCE, "force", NULL, "although it seems to live: you are sure that it does not write"},
	{OPTION_ORPHAN, "orphan", "KEY|PATH", "a lock that no guest's record explains"},
	{0},
};

static int release_guest(struct cli *cli, const char *text, bool force)
{
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	struct guestlock_error err;
	int status = cli_attach_guest(cli, text, &guest, NULL);

	if (status != 0) {
		return status;
	}
	status = guestlock_guest_shutdown(guest, force ? GUESTLOCK_SHUTDOWN_FORCE : 0, &err);
	return status == GUESTLOCK_OK ? EX_OK : cli_fail(cli, status, &err);
}

/* A key has no slash: what has one is a path. */
static int release_orphan(struct cli *cli, const char *text, bool force)
{
	struct guestlock_resource disk = {.type = GUESTLOCK_DISK, .name = text};
	CLI_AUTOFREE char *identity = NULL;
	char key[GUESTLOCK_KEY_SIZE];
	struct guestlock_error err;
	int status;

	if (text[0] == '/') {
		status = guestlock_identify(cli->gl, &disk, &identity, key, &err);
		if (status != GUESTLOCK_OK) {
			return cli_fail(cli, status, &err);
		}
		text = key;
	}
	status = guestlock_release_orphan(cli->gl, text, force, &err);
	return status == GUESTLOCK_OK ? EX_OK : cli_fail(cli, status, &err);
}

int cli_release(struct cli *cli, int argc, char **argv)
{
	const char *guest = NULL, *orphan = NULL;
	bool force = false;
	int option, status;

	while ((option = cli_next_option(cli, argc, argv)) > 0) {
		if (option == OPTION_FORCE) {
			force = true;
		} else {
			orphan = optarg;
		}
	}
	if (option < 0 || (orphan ? cli_no_arguments(cli, argc, argv)
				  : cli_one_argument(cli, argc, argv, "a guest, or --orphan", &guest)) != 0) {
		return EX_USAGE;
	}
	status = cli_open(cli);
	if (status != 0) {
		return status;
	}
	return orphan ? release_orphan(cli, orphan, force) : release_guest(cli, guest, force);
}
