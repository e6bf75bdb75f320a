/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guard: it holds what must survive, and starts the worker. The less it does, the less can go wrong: it
 * reads no configuration and loads no backend.
 */
#include "keeper.h"

#include "shared/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIVED_MS 1000 /* a worker that lived so long did not fail at once */
#define FIRST_PAUSE_MS 50
#define LAST_PAUSE_MS 2000
#define TRACED_MS 500 /* so often a dead worker that a tracer still has is looked for */

struct guard {
	struct pair *pair;
	int signals;
	bool ending;
	int64_t started_ms;
	int pause_ms;  /* before the next start */
	bool unreaped; /* a dead worker cannot be waited for yet */
};

static void terminate(struct guard *guard)
{
	guard->ending = true;
	if (guard->pair->partner >= 0) {
		pidfd_send_signal(guard->pair->partner, SIGTERM, NULL, 0);
	}
}

static void take_news(struct guard *guard)
{
	enum pair_news news;

	while ((news = pair_listen(guard->pair)) != PAIR_NOTHING) {
		guard->ending |= news == PAIR_END;
	}
}

/* Where nobody can reach us any more, there is nothing to guard. */
static bool is_reachable(const struct guard *guard)
{
	return faccessat(guard->pair->directory, GL_KEEPER_SOCKET, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
	       errno != ENOENT;
}

/* Until the worker is gone, or the time is up (negative: never). A signal to end ends the pause, too. */
static bool wait_for(struct guard *guard, int timeout_ms)
{
	struct pollfd polled[] = {
		{.fd = guard->signals, .events = POLLIN},
		{.fd = guard->pair->partner, .events = POLLIN},
		{.fd = guard->pair->channel, .events = POLLIN},
	};
	struct signalfd_siginfo signal;

	if (poll(polled, 3, timeout_ms) <= 0) {
		return false;
	}
	if (polled[0].revents && read(guard->signals, &signal, sizeof(signal)) > 0) {
		terminate(guard);
	}
	if (polled[2].revents) {
		take_news(guard);
	}
	return polled[1].revents != 0;
}

/*
 * How the worker ended, in words for the next one. A worker that was not our child tells nothing, nor does
 * one that is traced, until its tracer lets go.
 */
static void describe_end(struct guard *guard, char *out, size_t size)
{
	int status;
	pid_t pid;

	snprintf(out, size, "ended");
	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		if (WIFSIGNALED(status)) {
			snprintf(out, size, "pid %ld ended by signal %d", (long)pid, WTERMSIG(status));
		} else {
			snprintf(out, size, "pid %ld ended with status %d", (long)pid, WEXITSTATUS(status));
		}
	}
	guard->unreaped = pid == 0;
}

static void reap_late(struct guard *guard)
{
	if (guard->unreaped && waitpid(-1, NULL, WNOHANG | __WALL) > 0) {
		guard->unreaped = false;
	}
}

static void start_worker(struct guard *guard, const char *how)
{
	guard->started_ms = guestlock_monotonic_ms();
	if (pair_start(guard->pair, "worker", how) < 0) {
		guard->pair->partner = -1;
	}
}

/* The worker is gone: the next one, after a pause that grows as long as they fail at once. */
static void go_on(struct guard *guard)
{
	char how[80];
	bool lived = guestlock_monotonic_ms() - guard->started_ms >= LIVED_MS;
	int64_t until;

	describe_end(guard, how, sizeof(how));
	if (guard->pair->partner >= 0) {
		close(guard->pair->partner);
		guard->pair->partner = -1;
	}
	until = guestlock_monotonic_ms() + (lived ? 0 : guard->pause_ms);
	guard->pause_ms = lived ? FIRST_PAUSE_MS : guard->pause_ms * 2;
	guard->pause_ms = guard->pause_ms < LAST_PAUSE_MS ? guard->pause_ms : LAST_PAUSE_MS;
	while (!guard->ending && guestlock_monotonic_ms() < until) {
		wait_for(guard, (int)(until - guestlock_monotonic_ms()));
	}
	guard->ending |= !is_reachable(guard);
	if (!guard->ending) {
		start_worker(guard, how);
	}
}

int guard_run(struct pair *pair)
{
	struct guard guard = {.pair = pair, .pause_ms = FIRST_PAUSE_MS};

	guard.signals = open_end_signals();
	guard.started_ms = guestlock_monotonic_ms();
	if (pair->partner < 0) {
		start_worker(&guard, NULL);
	}
	for (;;) {
		bool gone = pair->partner < 0 || wait_for(&guard, guard.unreaped ? TRACED_MS : -1);

		/* What a dead worker gave us to keep on its last way is here by now. */
		take_news(&guard);
		if (gone && guard.ending) {
			break;
		}
		if (gone) {
			go_on(&guard);
		} else {
			reap_late(&guard);
		}
	}
	unlinkat(pair->directory, GL_KEEPER_SOCKET, 0);
	return 0;
}
