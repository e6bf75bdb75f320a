/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guard: it holds what must survive, and starts the worker. The less it does, the less can go wrong: it
 * has one thread, and calls no backend.
 */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define LIVED_MS 1000 /* a worker that lived so long did not fail at once */
#define FIRST_PAUSE_MS 50
#define LAST_PAUSE_MS 2000

struct guard {
	struct pair *pair;
	int signals;
	pid_t worker; /* -1: there is none */
	int status;   /* as the last one ended */
	bool ending;
	int64_t started_ms;
	int pause_ms; /* before the next start */
};

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Both are to end: the worker is to begin with it. */
static void terminate(struct guard *guard)
{
	guard->ending = true;
	if (guard->worker > 0) {
		kill(guard->worker, SIGTERM);
	}
}

/* Until something happens, or the time is up (negative: never). */
static void wait_for(struct guard *guard, int timeout_ms)
{
	struct pollfd polled[] = {
		{.fd = guard->signals, .events = POLLIN},
		{.fd = guard->worker > 0 ? guard->pair->channel : -1, .events = POLLIN},
	};
	struct signalfd_siginfo signal;
	bool end = false;

	poll(polled, 2, timeout_ms);
	while (read(guard->signals, &signal, sizeof(signal)) > 0) {
		end |= signal.ssi_signo != SIGCHLD;
	}
	while (pair_listen(guard->pair, &end)) {
	}
	if (end) {
		terminate(guard);
	}
}

/* true: this is the worker. What is sent to it before it can listen waits until then. */
static bool start_worker(struct guard *guard)
{
	guard->started_ms = guestlock_monotonic_ms();
	guard->status = W_EXITCODE(EX_OSERR, 0);
	guard->worker = pair_fork(guard->pair);
	if (guard->worker == 0) {
		sigset_t ended;

		sigemptyset(&ended);
		sigaddset(&ended, SIGCHLD);
		sigprocmask(SIG_UNBLOCK, &ended, NULL);
		close(guard->signals);
		return true;
	}
	if (guard->ending) {
		terminate(guard);
	}
	return false;
}

static void wait_for_worker(struct guard *guard)
{
	while (guard->worker > 0 && waitpid(guard->worker, &guard->status, WNOHANG | __WALL) == 0) {
		wait_for(guard, -1);
	}
	guard->worker = -1;
	/* What it gave us to keep on its last way. */
	wait_for(guard, 0);
}

/* In words, for the next one. */
static void describe_end(const struct guard *guard, char *out, size_t size)
{
	if (WIFSIGNALED(guard->status)) {
		snprintf(out, size, "ended by signal %d", WTERMSIG(guard->status));
	} else {
		snprintf(out, size, "ended with status %d", WEXITSTATUS(guard->status));
	}
}

/*
 * Only a worker knows that nothing is under way any more, and says so by its end. Where nothing is kept, nothing can be
 * lost.
 */
static bool is_over(const struct guard *guard)
{
	return guard->ending && (guard->status == 0 || guard->pair->kept.count == 0);
}

/* As long as they fail at once it grows. */
static void pause_before_next(struct guard *guard)
{
	bool lived = guestlock_monotonic_ms() - guard->started_ms >= LIVED_MS;
	int64_t until = guestlock_monotonic_ms() + (lived ? 0 : guard->pause_ms), left_ms;

	guard->pause_ms = lived ? FIRST_PAUSE_MS : guard->pause_ms * 2;
	guard->pause_ms = guard->pause_ms < LAST_PAUSE_MS ? guard->pause_ms : LAST_PAUSE_MS;
	while (!is_over(guard) && (left_ms = until - guestlock_monotonic_ms()) > 0) {
		wait_for(guard, (int)left_ms);
	}
}

/* Where nobody can reach us any more, there is nothing to guard. */
static bool is_reachable(const struct pair *pair)
{
	return faccessat(pair->directory, GL_KEEPER_SOCKET, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
	       errno != ENOENT;
}

int guard_run(struct pair *pair)
{
	struct guard guard = {.pair = pair, .signals = open_signals(), .pause_ms = FIRST_PAUSE_MS};

	prctl(PR_SET_NAME, "keeper-guard");
	do {
		if (start_worker(&guard)) {
			return BE_WORKER;
		}
		wait_for_worker(&guard);
		describe_end(&guard, pair->how, sizeof(pair->how));
		guard.ending |= !is_reachable(pair);
		pause_before_next(&guard);
	} while (!is_over(&guard));
	unlinkat(pair->directory, GL_KEEPER_SOCKET, 0);
	return 0;
}
