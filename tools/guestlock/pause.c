/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pause, resume and inquire: a guest gives its locks up, and takes them again if the state that pause printed
 * still holds.
 */
#include "cli.h"

struct resume {
	const char *state;
	int wait_ms;
};

const struct cli_option cli_pause_options[] = {
	{0, "externally-stopped", NULL, "the guest was stopped by other means", cli_take_flag, 0},
	{0},
};
const struct cli_option cli_resume_options[] = {
	{0, "state", "STATE", "what pause printed, here or on another host", cli_take_text,
	 offsetof(struct resume, state)},
	CLI_WAIT_OPTION(offsetof(struct resume, wait_ms)),
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
	bool stopped = false;
	int status = cli_parse(cli, argc, argv, &stopped);

	status = status != 0 ? status : cli_open_guest(cli, argc, argv, &guest, uuid);
	if (status != 0) {
		return status;
	}
	status =
		pause ? guestlock_guest_pause(guest, stopped ? GUESTLOCK_EXTERNALLY_STOPPED : 0, &state, &err)
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
	struct resume how = {.wait_ms = 0};
	struct guestlock_error err;
	int status = cli_parse(cli, argc, argv, &how);

	status = status != 0 ? status : cli_open_guest(cli, argc, argv, &guest, NULL);
	if (status != 0) {
		return status;
	}
	status = guestlock_guest_resume(guest, how.state, how.wait_ms, &err);
	return status == GUESTLOCK_OK ? EX_OK : cli_fail(cli, status, &err);
}
