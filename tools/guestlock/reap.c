/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reap: releases what dead guests hold and settles what was left unfinished: once, or at every death until it
 * is told to stop.
 */
#include "cli.h"
#include "shared/descriptors.h"
#include "shared/follow.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

const struct cli_option cli_reap_options[] = {
	{0, "follow", NULL, "stay, and do so at every death until SIGTERM or SIGINT", cli_take_flag, 0},
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
		.run_dir = cli_setting(cli, "run_dir"),
		.log = log_following,
		.log_data = cli,
	};
	int failure;

	follow.stop = open_end_signals();
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
	int status;

	if (cli_parse(cli, argc, argv, &follow) != 0 || cli_no_arguments(cli, argc, argv) != 0) {
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
