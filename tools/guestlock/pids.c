/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pid of a guest, as a person may use it. The process that was bound may have ended, and its number may be that of
 * another pid namespace: who killed it would hit somebody else.
 */
#include "cli.h"

#include <time.h>

/* So much in a whole listing: for a guest whose first process has ended all of /proc is read. */
#define SEARCH_MS 2000

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct cli_pid cli_look_pid(struct cli *cli, const char *uuid, uint64_t instance, pid_t pid, uint64_t ns)
{
	struct cli_pid out = {.pid = pid, .ns = ns, .living = -1};
	int64_t before = now_ms();

	/* A life without its number is not told from others. */
	if (pid > 0 && instance) {
		out.living = guestlock_living_pid(cli->gl, uuid, instance, cli->searched_ms < SEARCH_MS);
		cli->searched_ms += now_ms() - before;
	}
	return out;
}

char *cli_pid_cell(struct cli *cli, const struct cli_pid *pid)
{
	bool ended = pid->living == 0 && !pid->ns;

	if (pid->living > 0) {
		return cli_format("%d", (int)pid->living);
	}
	if (pid->pid <= 0) {
		return NULL;
	}
	cli->foreign_pids |= pid->ns != 0;
	cli->ended_pids |= ended;
	return pid->ns ? cli_format("%d@%llu", (int)pid->pid, (unsigned long long)pid->ns)
		       : cli_format("%d%s", (int)pid->pid, ended ? "*" : "");
}

void cli_explain_pids(struct cli *cli)
{
	if (cli->foreign_pids && !cli->json) {
		cli_log(cli, GUESTLOCK_LOG_INFO,
			"PID@NAMESPACE: a number of another pid namespace, which means another process here, or "
			"none; lsns shows namespaces");
	}
	if (cli->ended_pids && !cli->json) {
		cli_log(cli, GUESTLOCK_LOG_INFO,
			"PID*: that process has ended, and no other one of the guest was found; guestlock show "
			"GUEST looks again");
	}
}
