/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* release, adopt and reap. */
#include "cli.h"
#include "shared/follow.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
	OPTION_FORCE = CLI_LONG,
	OPTION_ORPHAN,
	OPTION_NAME,
	OPTION_UUID,
	OPTION_ID,
	OPTION_WAIT,
	OPTION_FOLLOW,
};

/* ---- release ---- */

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

/* ---- adopt ---- */

const struct cli_option cli_adopt_options[] = {
	{OPTION_NAME, "name", "NAME", "the guest's name"},
	{OPTION_UUID, "uuid", "UUID", "the guest's uuid; made up and printed if missing"},
	{OPTION_ID, "id", "ID", "what else identifies it"},
	CLI_RESOURCE_OPTIONS,
	{OPTION_WAIT, "wait", "SECONDS", "wait so long for locks that others hold (0)"},
	{0},
};

struct adoption {
	struct cli_guest guest;
	uint64_t pid;
	int wait_ms;
};

static void adoption_clear(struct adoption *adoption)
{
	cli_resources_clear(&adoption->guest.resources);
}

static int adopt_option(const struct cli *cli, struct adoption *adoption, int option)
{
	switch (option) {
	case OPTION_NAME:
		adoption->guest.name = optarg;
		return 0;
	case OPTION_UUID:
		adoption->guest.uuid = optarg;
		return 0;
	case OPTION_ID:
		adoption->guest.id = optarg;
		return 0;
	case OPTION_WAIT:
		if (!cli_parse_seconds(optarg, &adoption->wait_ms)) {
			return cli_usage(cli, "--wait wants seconds, such as 2.5, not \"%s\"", optarg);
		}
		return 0;
	default:
		return cli_resource_option(cli, &adoption->guest.resources, option);
	}
}

static int parse_adoption(struct cli *cli, int argc, char **argv, struct adoption *adoption)
{
	const char *pid;
	int option;

	while ((option = cli_next_option(cli, argc, argv)) > 0) {
		if (adopt_option(cli, adoption, option) != 0) {
			return EX_USAGE;
		}
	}
	if (option < 0 || cli_one_argument(cli, argc, argv, "the pid of a process", &pid) != 0) {
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

/* ---- reap ---- */

const struct cli_option cli_reap_options[] = {
	{OPTION_FOLLOW, "follow", NULL, "stay, and do so at every death until SIGTERM or SIGINT"},
	{0},
};

static const struct {
	const char *key, *words;
	size_t offset;
} counts[] = {
	{"released", "dead guests whose locks were released",
	 offsetof(struct guestlock_reap_result, released)},
	{"settled", "unfinished operations settled", offsetof(struct guestlock_reap_result, settled)},
	{"alive", "guests that live on", offsetof(struct guestlock_reap_result, alive)},
	{"damaged", "damaged records set aside", offsetof(struct guestlock_reap_result, damaged)},
	{"orphans", "locks that no record explains, kept", offsetof(struct guestlock_reap_result, orphans)},
	{"failed", "guests that could not be settled now", offsetof(struct guestlock_reap_result, failed)},
};

static size_t count_of(const struct guestlock_reap_result *result, size_t i)
{
	return *(const size_t *)(const void *)((const char *)result + counts[i].offset);
}

static void print_reaped(const struct cli *cli, const struct guestlock_reap_result *result)
{
	struct json_object *top;

	if (!cli->json) {
		for (size_t i = 0; i < CLI_COUNT(counts); i++) {
			printf("%6zu %s\n", count_of(result, i), counts[i].words);
		}
		return;
	}
	top = cli_json_object();
	for (size_t i = 0; i < CLI_COUNT(counts); i++) {
		cli_json_number(top, counts[i].key, (int64_t)count_of(result, i));
	}
	cli_json_print(top);
}

static void log_following(void *data, enum guestlock_log_level level, const char *message)
{
	cli_log(data, level, "%s", message);
}

/* Reaps at every death until SIGTERM or SIGINT. */
static int follow_until_told(struct cli *cli)
{
	struct follow follow = {
		.gl = cli->gl,
		.run_dir = cli_setting(cli, "guestlock", "run_dir"),
		.log = log_following,
		.log_data = cli,
	};
	int failure;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	follow.stop = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	failure = follow.stop < 0 ? errno : follow_guests(&follow);
	close(follow.stop);
	if (failure) {
		cli_complain("cannot follow the guests: %s", strerror(failure));
	}
	return failure ? EX_OSERR : EX_OK;
}

int cli_reap(struct cli *cli, int argc, char **argv)
{
	struct guestlock_reap_result result = {0};
	struct guestlock_error err;
	bool follow = false;
	int option, status;

	while ((option = cli_next_option(cli, argc, argv)) > 0) {
		follow = true;
	}
	if (option < 0 || cli_no_arguments(cli, argc, argv) != 0) {
		return EX_USAGE;
	}
	status = cli_open(cli);
	if (status != 0) {
		return status;
	}
	if (follow) {
		return follow_until_told(cli);
	}
	status = guestlock_reap(cli->gl, &result, &err);
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, &err);
	}
	print_reaped(cli, &result);
	return result.failed > 0 ? EX_TEMPFAIL : EX_OK;
}
