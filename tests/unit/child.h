/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes for tests to look at. Each ends by itself if a test fails to end it. */
#ifndef GL_TEST_CHILD_H
#define GL_TEST_CHILD_H

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHILD_SECONDS 40
#define NOBODY 65534

/* Says that a test could not be done here, as a comment of the TAP stream. */
#define SKIP(reason)                                                                                         \
	do {                                                                                                 \
		dprintf(STDOUT_FILENO, "# skipped: %s: %s\n", __func__, reason);                             \
		return;                                                                                      \
	} while (0)

static inline void child_sleep_us(unsigned us)
{
	struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};

	nanosleep(&time, NULL);
}

static inline void child_sleep_ms(unsigned ms)
{
	child_sleep_us(ms * 1000);
}

/* fork() whose child does not outlive the test for long. */
static inline pid_t child_fork(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		/* Nothing of Check in here: a child shares the file of what the test reports, and may be
		 * killed; and its handler of SIGALRM ends the whole test. */
		signal(SIGALRM, SIG_DFL);
		alarm(CHILD_SECONDS);
		return 0;
	}
	ck_assert_int_gt(pid, 0);
	return pid;
}

/* A process that does nothing. */
static inline pid_t child_idle(void)
{
	pid_t pid = child_fork();

	while (pid == 0) {
		pause();
	}
	return pid;
}

/* Waits until a child has ended; it stays a zombie. */
static inline void child_wait_end(pid_t pid)
{
	siginfo_t info;

	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static inline int child_reap(pid_t pid)
{
	int status = 0;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static inline void child_kill(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	child_reap(pid);
}

static inline void child_continue(const pid_t *pids, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		ck_assert_int_eq(kill(pids[i], SIGCONT), 0);
	}
}

/* In the parent: the child that ran a part of the test found all as it should be. */
static inline void child_expect_success(pid_t pid)
{
	int status = child_reap(pid);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %#x",
		      (unsigned)status);
}

/* In such a child, where ck_assert would end the wrong process. */
#define CHILD_ASSERT(condition)                                                                              \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			dprintf(STDERR_FILENO, "%s:%d: not so: %s (errno: %s)\n", __FILE__, __LINE__,        \
				#condition, strerror(errno));                                                \
			_exit(1);                                                                            \
		}                                                                                            \
	} while (0)

#endif
