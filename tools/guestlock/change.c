/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* attach, detach, pause, resume, inquire: what can be done to a guest that exists. */
#include "cli.h"

enum {
	OPTION_WAIT = CLI_LONG,
	OPTION_EXTERNALLY_STOPPED,
	OPTION_STATE,
};

#define WAIT_OPTION                                                                                          \
	{                                                                                                    \
		OPTION_WAIT, "wait", "SECONDS", "wait so long for locks that others hold (0)"                \
	}

/* What these commands have in common on the command line. */
struct request {
	const char *guest;
	char uuid[GUESTLOCK_UUID_STRING];
	struct cli_resources resources;
	int wait_ms;
	unsigned pause_flags;
	const char *state;
};

static void request_clear(struct request *request)
{
	cli_resources_clear(&request->resources);
}
#define AUTOREQUEST __attribute__((cleanup(request_clear)))

static int request_option(const struct cli *cli, struct request *request, int option)
{
	switch (option) {
	case OPTION_WAIT:
		if (!cli_parse_seconds(optarg, &request->wait_ms)) {
			return cli_usage(cli, "--wait wants seconds, such as 2.5, not \"%s\"", optarg);
		}
		return 0;
	case OPTION_EXTERNALLY_STOPPED:
		request->pause_flags |= GUESTLOCK_EXTERNALLY_STOPPED;
		return 0;
	case OPTION_STATE:
		request->state = optarg;
		return 0;
	default:
		return cli_resource_option(cli, &request->resources, option);
	}
}

/* Reads the command line, opens the library and finds the guest. Returns an exit status. */
static int request_begin(struct cli *cli, int argc, char **argv, bool wants_resources,
			 struct request *request, struct guestlock_guest **out_guest)
{
	int option, status;

	while ((option = cli_next_option(cli, argc, argv)) > 0) {
		if (request_option(cli, request, option) != 0) {
			return EX_USAGE;
		}
	}
	if (option < 0 || cli_one_argument(cli, argc, argv, "a guest", &request->guest) != 0) {
		return EX_USAGE;
	}
	if (wants_resources && request->resources.count == 0) {
		return cli_usage(cli, "%s wants at least one --disk or --lease", cli->command->name);
	}
	status = cli_open(cli);
	return status != 0 ? status : cli_attach_guest(cli, request->guest, out_guest, request->uuid);
}

/* ---- attach and detach ---- */

const struct cli_option cli_attach_options[] = {CLI_RESOURCE_OPTIONS, WAIT_OPTION, {0}};
const struct cli_option cli_detach_options[] = {CLI_RESOURCE_OPTIONS, {0}};

/* After the first failure nothing more is tried, and it is said what had been done before. */
static void report_partial(const struct cli_resources *list, size_t done, const char *verb)
{
	if (list->count < 2) {
		return;
	}
	for (size_t i = 0; i < list->count; i++) {
		cli_complain("%s: %s", list->items[i].name,
			     i < done    ? verb
			     : i == done ? "failed"
					 : "not tried");
	}
}

static int change_resources(const struct cli *cli, struct guestlock_guest *guest,
			    const struct request *request, bool attach)
{
	const struct cli_resources *list = &request->resources;

	for (size_t i = 0; i < list->count; i++) {
		struct guestlock_error err;
		int status = attach ? guestlock_guest_acquire_resource(guest, &list->items[i], 0,
								       request->wait_ms, &err)
				    : guestlock_guest_release_resource(guest, &list->items[i], &err);

		if (status != GUESTLOCK_OK) {
			status = cli_fail(cli, status, &err);
			report_partial(list, i, attach ? "attached" : "detached");
			return status;
		}
	}
	return EX_OK;
}

static int attach_or_detach(struct cli *cli, int argc, char **argv, bool attach)
{
	AUTOREQUEST struct request request = {0};
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	int status = request_begin(cli, argc, argv, true, &request, &guest);

	return status != 0 ? status : change_resources(cli, guest, &request, attach);
}

int cli_attach(struct cli *cli, int argc, char **argv)
{
	return attach_or_detach(cli, argc, argv, true);
}

int cli_detach(struct cli *cli, int argc, char **argv)
{
	return attach_or_detach(cli, argc, argv, false);
}

/* ---- pause, resume, inquire ---- */

const struct cli_option cli_pause_options[] = {
	{OPTION_EXTERNALLY_STOPPED, "externally-stopped", NULL, "the guest was stopped by other means"},
	{0},
};
const struct cli_option cli_resume_options[] = {
	{OPTION_STATE, "state", "STATE", "what pause printed, here or on another host"},
	WAIT_OPTION,
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
	AUTOREQUEST struct request request = {0};
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	CLI_AUTOFREE char *state = NULL;
	struct guestlock_error err;
	int status = request_begin(cli, argc, argv, false, &request, &guest);

	if (status != 0) {
		return status;
	}
	status = pause ? guestlock_guest_pause(guest, request.pause_flags, &state, &err)
		       : guestlock_guest_inquire(guest, &state, &err);
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, &err);
	}
	print_state(cli, request.uuid, state);
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
	AUTOREQUEST struct request request = {0};
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	struct guestlock_error err;
	int status = request_begin(cli, argc, argv, false, &request, &guest);

	if (status != 0) {
		return status;
	}
	status = guestlock_guest_resume(guest, request.state, request.wait_ms, &err);
	return status == GUESTLOCK_OK ? EX_OK : cli_fail(cli, status, &err);
}
