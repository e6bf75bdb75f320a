/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pause, resume and inquire: a guest gives its locks up, and takes them again if the state that pause printed
 * still holds.
 */
#include "cli.h"

#include <string.h>

struct pause {
	bool externally_stopped, force;
};

struct resume {
	const char *state;
	int wait_ms;
};

const struct cli_option cli_pause_options[] = {
	{0, "externally-stopped", NULL, "the guest was stopped by other means", cli_take_flag,
	 offsetof(struct pause, externally_stopped)},
	{0, "force", NULL, "although libvirt runs the guest, and is not told", cli_take_flag,
	 offsetof(struct pause, force)},
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

/* Prints the state that a call gave, or its error. */
static int finish_state(const struct cli *cli, int status, const char *uuid, const char *state,
			const struct guestlock_error *err)
{
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, err);
	}
	print_state(cli, uuid, state);
	return EX_OK;
}

/* The plugin keeps the uri of the libvirtd that runs a guest in its record; NULL: none does. */
static const char *libvirt_uri(const struct guestlock_info *info)
{
	for (size_t i = 0; i < info->n_params; i++) {
		if (strcmp(info->params[i].key, "uri") == 0) {
			return info->params[i].value;
		}
	}
	return NULL;
}

/* libvirt would take the guest for running, and for hung: it is not told by anybody. */
static int check_manager(struct guestlock_guest *guest)
{
	CLI_AUTOINFO struct guestlock_info *info = NULL;
	CLI_AUTOFREE char *words = NULL;
	const char *uri;

	/* What there is to say about a guest without a record is said by the call itself. */
	if (guestlock_guest_info(guest, &info, NULL) != GUESTLOCK_OK) {
		return 0;
	}
	uri = libvirt_uri(info);
	if (!uri) {
		return 0;
	}
	words = cli_guest_words(info->name, info->uuid);
	cli_complain(
		"cannot pause guest %s: libvirt runs this guest; use 'virsh -c %s suspend %s', or --force "
		"if libvirt cannot do it",
		words, uri, info->uuid);
	return EX_NOPERM;
}

int cli_pause(struct cli *cli, int argc, char **argv)
{
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	CLI_AUTOFREE char *state = NULL;
	char uuid[GUESTLOCK_UUID_STRING];
	struct pause how = {.force = false};
	struct guestlock_error err;
	int status = cli_parse(cli, argc, argv, &how);

	status = status != 0 ? status : cli_open_guest(cli, argc, argv, &guest, uuid);
	if (status == 0 && !how.force) {
		status = check_manager(guest);
	}
	if (status != 0) {
		return status;
	}
	status = guestlock_guest_pause(guest, how.externally_stopped ? GUESTLOCK_EXTERNALLY_STOPPED : 0,
				       &state, &err);
	return finish_state(cli, status, uuid, state, &err);
}

int cli_inquire(struct cli *cli, int argc, char **argv)
{
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	CLI_AUTOFREE char *state = NULL;
	char uuid[GUESTLOCK_UUID_STRING];
	struct guestlock_error err;
	int status = cli_parse(cli, argc, argv, NULL);

	status = status != 0 ? status : cli_open_guest(cli, argc, argv, &guest, uuid);
	if (status != 0) {
		return status;
	}
	status = guestlock_guest_inquire(guest, &state, &err);
	return finish_state(cli, status, uuid, state, &err);
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
