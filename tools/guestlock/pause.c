/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pause, resume and inquire: a guest gives its locks up, and takes them again if the state that pause printed
 * still holds.
 */
#include "cli.h"

enum {
	OPTION_EXTERNALLY_STOPPED = CLI_LONG,
	OPTION_STATE,
};

const struct cli_option cli_pause_options[] = {
	{OPTION_EXTERNALLY_STOPPED, "externally-stopped", NULL, "the guest was stopped by other means"},
	{0},
};
const struct cli_option cli_resume_options[] = {
	{OPTION_STATE, "state", "STATE", "what pause printed, here or on another host"},
	CLI_WAIT_OPTION,
	{0},
};
const struct cli_option cli_inquire_options[] = {{0}};

static void print_state(const struct cli *cli, const char *uuid, const char *state)
{
	struct json_object *top;

	if (!cli->json) {
		puts(state);
		return;
	}
	top = cli_json_object();
	cli_json_text(top, "guest", uuid);
	cli_json_text(top, "state", state);
	cli_json_print(top);
}

/* pause and inquire print a state. */
static int state_command(struct cli *cli, int argc, char **argv, bool pause)
{
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	CLI_AUTOFREE char *state = NULL;
	char uuid[GUESTLOCK_UUID_STRING];
	struct guestlock_error err;
	unsigned flags = 0;
	int option, status;

	while ((option = cli_next_option(cli, argc, argv)) > 0) {
		flags |= GUESTLOCK_EXTERNALLY_STOPPED;
	}
	status = option < 0 ? EX_USAGE : cli_open_guest(cli, argc, argv, &guest, uuid);
	if (status != 0) {
		return status;
	}
	status = pause ? guestlock_guest_pause(guest, flags, &state, &err)
		       : guestlock_guest_inquire(guest, &state, &err);
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, &err);
	}
	print_state(cli, uuid, state);
	return EX_OK;
}

int cli_pause(struct cli *cli, int argc, char **argv)
{
	return state_command(cli, argc, argv, true);
}

int cli_inquire(struct cli *cli, int argc, char **argv)
{
	return state_command(cli, argc, argv, false);
}

int cli_resume(struct cli *cli, int argc, char **argv)
{
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	const char *state = NULL;
	struct guestlock_error err;
	int wait_ms = 0, option, status;

	while ((option = cli_next_option(cli, argc, argv)) > 0) {
		if (option == OPTION_STATE) {
			state = optarg;
		} else if (cli_wait_option(cli, &wait_ms) != 0) {
			return EX_USAGE;
		}
	}
	status = option < 0 ? EX_USAGE : cli_open_guest(cli, argc, argv, &guest, NULL);
	if (status != 0) {
		return status;
	}
	status = guestlock_guest_resume(guest, state, wait_ms, &err);
	return status == GUESTLOCK_OK ? EX_OK : cli_fail(cli, status, &err);
}
