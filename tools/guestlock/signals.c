/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signals that reach `guestlock run` are meant for the guest: they are passed on as if the command were not
 * there, and what comes before there is a guest is remembered.
 */
#include "signals.h"

#include "cli.h"

#include <errno.h>
#include <guestlock/backend.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What would end the command. All of these, SIGTSTP and SIGCONT are passed on. */
static const int fatal[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};

enum early {
	EARLY_NONE = 0,
	EARLY_TERMINAL, /* the kernel sent it to the whole process group, the child included */
	EARLY_SENT,
};

static volatile sig_atomic_t early[NSIG];
static volatile sig_atomic_t last_early;
static pid_t keeper_of_signals;

/* A child that has not executed its program yet, and a second signal: as if there were no handler. */
static void keep_signal(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (getpid() != keeper_of_signals || early[number] != EARLY_NONE) {
		signal(number, SIG_DFL);
		raise(number);
		return;
	}
	early[number] = info->si_code == SI_KERNEL ? EARLY_TERMINAL : EARLY_SENT;
	last_early = number;
}

static bool is_ignored(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void cli_keep_signals(void)
{
	struct sigaction action = {.sa_sigaction = keep_signal, .sa_flags = SA_SIGINFO | SA_RESTART};

	sigemptyset(&action.sa_mask);
	keeper_of_signals = getpid();
	for (size_t i = 0; i < CLI_COUNT(fatal); i++) {
		/* nohup and the like: ignored by the command, and by the guest that inherits it. */
		if (!is_ignored(fatal[i])) {
			sigaction(fatal[i], &action, NULL);
		}
	}
	/* An ignored SIGCHLD would take the child's status away. */
	signal(SIGCHLD, SIG_DFL);
}

int cli_early_signal(void)
{
	return last_early;
}

void cli_die_of_early_signal(void)
{
	int number = last_early;

	if (number != 0) {
		signal(number, SIG_DFL);
		raise(number);
	}
}

/* What a terminal sends reaches the whole process group by itself. */
static bool reached_already(pid_t pid, bool from_terminal)
{
	return from_terminal && getpgid(pid) == getpgrp();
}

static void pass_early_signals(pid_t pid)
{
	for (size_t i = 0; i < CLI_COUNT(fatal); i++) {
		int kind = early[fatal[i]];

		if (kind != EARLY_NONE && !reached_already(pid, kind == EARLY_TERMINAL)) {
			kill(pid, fatal[i]);
		}
	}
}

/* Stops the command as the signal's default would: not at all in an orphaned process group. */
static void stop_myself(void)
{
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &stop, NULL);
	sigprocmask(SIG_BLOCK, &stop, NULL);
}

/* *owed: a SIGCONT that must not be passed on before the guest is resumed. */
static void pass_signal(const struct cli_supervision *supervision, const siginfo_t *info, bool *owed)
{
	if (info->si_signo == SIGCHLD) {
		return;
	}
	if (info->si_signo == SIGCONT && !supervision->may_continue(supervision->data)) {
		*owed = true;
		return;
	}
	*owed &= info->si_signo != SIGTSTP;
	if (!reached_already(supervision->pid, info->si_code == SI_KERNEL)) {
		/* The leader of a session of its own does not stop for a terminal's sake. */
		kill(supervision->pid, info->si_signo == SIGTSTP && getsid(supervision->pid) != getsid(0)
					       ? SIGSTOP
					       : info->si_signo);
	}
	if (info->si_signo == SIGTSTP) {
		stop_myself();
	}
}

static void block_signals(sigset_t *out_set)
{
	sigemptyset(out_set);
	for (size_t i = 0; i < CLI_COUNT(fatal); i++) {
		if (!is_ignored(fatal[i])) {
			sigaddset(out_set, fatal[i]);
		}
	}
	if (!is_ignored(SIGTSTP)) {
		sigaddset(out_set, SIGTSTP);
	}
	sigaddset(out_set, SIGCONT);
	sigaddset(out_set, SIGCHLD);
	sigprocmask(SIG_BLOCK, out_set, NULL);
}

/* The next signal, with what is to be done beside it in time whatever comes. Not above 0: none. */
static int next_signal(const struct cli_supervision *supervision, const sigset_t *set, int64_t *next_idle_ms,
		       siginfo_t *out_info)
{
	int64_t left = *next_idle_ms - guestlock_monotonic_ms();
	struct timespec timeout = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000L};
	int number = left > 0 ? sigtimedwait(set, out_info, &timeout) : 0;

	if (guestlock_monotonic_ms() >= *next_idle_ms) {
		*next_idle_ms = guestlock_monotonic_ms() + supervision->idle(supervision->data);
	}
	return number;
}

int cli_supervise(const struct cli_supervision *supervision)
{
	int64_t next_idle_ms = guestlock_monotonic_ms();
	bool owed = false;
	sigset_t set;
	int status;

	/* Blocked first: what came before is in early, what comes now is pending, none falls between. */
	block_signals(&set);
	pass_early_signals(supervision->pid);
	for (;;) {
		siginfo_t info;
		pid_t pid;

		/* Orphans of the guest, too. */
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
			if (pid == supervision->pid) {
				return status;
			}
		}
		if (pid < 0 && errno != EINTR) {
			return W_EXITCODE(EX_SOFTWARE, 0);
		}
		if (next_signal(supervision, &set, &next_idle_ms, &info) > 0) {
			pass_signal(supervision, &info, &owed);
		}
		if (owed && supervision->may_continue(supervision->data)) {
			kill(supervision->pid, SIGCONT);
			owed = false;
		}
	}
}

/* ---- Children that the guest's program left ---- */

/* Calls visit for each; there is one thread only. */
static void each_child(void (*visit)(pid_t pid, void *data), void *data)
{
	CLI_AUTOFREE char *text = NULL;
	CLI_AUTOFREE char *path = cli_format("/proc/self/task/%ld/children", (long)getpid());
	size_t size;
	char *at, *end;

	if (guestlock_read_file(path, 1 << 20, &text, &size) < 0) {
		return;
	}
	for (at = text;; at = end) {
		long pid = strtol(at, &end, 10);

		if (end == at) {
			return;
		}
		visit((pid_t)pid, data);
	}
}

bool cli_any_children(void)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
	}
	return pid == 0;
}

char *cli_process_words(const pid_t *pids, size_t count)
{
	char *words = NULL;

	for (size_t i = 0; i < count; i++) {
		CLI_AUTOFREE char *path = cli_format("/proc/%ld/comm", (long)pids[i]);
		CLI_AUTOFREE char *before = words;
		CLI_AUTOFREE char *name = NULL;
		size_t size;

		if (guestlock_read_file(path, 4096, &name, &size) < 0) {
			before = NULL;
			continue;
		}
		name[strcspn(name, "\n")] = '\0';
		words = cli_format("%s%spid %ld (%s)", before ? before : "", before ? ", " : "",
				   (long)pids[i], name);
	}
	return words;
}

static void pass_to_child(pid_t pid, void *data)
{
	const siginfo_t *info = data;

	if (!reached_already(pid, info->si_code == SI_KERNEL)) {
		kill(pid, info->si_signo == SIGTSTP ? SIGSTOP : info->si_signo);
	}
}

void cli_supervise_children(const struct cli_supervision *supervision, bool (*may_leave)(void *data))
{
	int64_t next_idle_ms = guestlock_monotonic_ms();
	sigset_t set;

	block_signals(&set);
	while (cli_any_children() && !may_leave(supervision->data)) {
		siginfo_t info;

		if (next_signal(supervision, &set, &next_idle_ms, &info) <= 0 || info.si_signo == SIGCHLD ||
		    (info.si_signo == SIGCONT && !supervision->may_continue(supervision->data))) {
			continue;
		}
		each_child(pass_to_child, &info);
		if (info.si_signo == SIGTSTP) {
			stop_myself();
		}
	}
}
