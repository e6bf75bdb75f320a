/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * release: gives up what a guest that ended still holds, or one lock that no record explains. What seems to
 * live keeps its locks, unless the user is sure that it does not write.
 */
#include "cli.h"

struct release {
	bool force;
	const char *orphan;
};

const struct cli_option cli_release_options[] = {
	{0, "force", NULL, "although it seems to live: you are sure that it does not write", cli_take_flag,
	 offsetof(struct release, force)},
	{0, "orphan", "KEY|PATH", "a lock that no guest's record explains", cli_take_text,
	 offsetof(struct release, orphan)},
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
	struct release release = {.force = false};
	const char *guest = NULL;
	int status = cli_parse(cli, argc, argv, &release);

	if (status != 0 ||
	    (release.orphan ? cli_no_arguments(cli, argc, argv)
			    : cli_one_argument(cli, argc, argv, "a guest, or --orphan", &guest)) != 0) {
		return EX_USAGE;
	}
	status = cli_open(cli);
	if (status != 0) {
		return status;
	}
	return release.orphan ? release_orphan(cli, release.orphan, release.force)
			      : release_guest(cli, guest, release.force);
}
