/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting the keeper from whoever needs it, which may be a forked child of a threaded process, or a guest's
 * process with its tether already open:
 *
 *   1. take the lock of those who start; look whether somebody listens by now;
 *   2. fork twice, so that it is nobody's child, in a session of its own;
 *   3. there: all descriptors are closed but the pipe on which it reports; execute guestlock-keeper with the
 *      settings in effect here;
 *   4. the pipe's end of file says that it listens; a text on it says why it could not.
 *
 * If we are killed on the way, the keeper comes up, or the next one starts it.
 */
#include "base/arguments.h"
#include "base/base.h"
#include "keeper/client.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define REPORT_FD 3
#define REPORT_MAX 1024    /* bytes of why it could not start, with NUL */
#define LONGEST_PAUSE_MS 5 /* whoever has the lock starts a process: some milliseconds */

/* PROGRAM --on-demand -o guestlock.backend=NAME -o ...: whatever has a value; NULL when out of memory. */
static char **make_arguments(const struct gl_keeper *keeper)
{
	struct gl_arguments arguments = {0};
	char **argv;

	gl_arguments_add(&arguments, "%s", keeper->program);
	gl_arguments_add(&arguments, "--on-demand");
	gl_settings_pass_on(keeper->settings, keeper->backend, true, &arguments);
	argv = gl_arguments_pack(&arguments);
	gl_arguments_clear(&arguments);
	return argv;
}

/* Only what may be called between fork and exec in a threaded process. */
__attribute__((noreturn)) static void be_the_keeper(int report, char *const argv[])
{
	static const char failed[] = "it cannot be executed; install it, or set GUESTLOCK_KEEPER to its path";
	sigset_t none;

	gl_keep_only(report, REPORT_FD);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(argv[0], argv, environ);
	if (write(REPORT_FD, failed, sizeof(failed) - 1) < 0) {
		_exit(2);
	}
	_exit(1);
}

/* The text on the pipe until it is closed. -1: not by then. */
static int read_report(int fd, int64_t deadline_ms, char out[REPORT_MAX])
{
	size_t used = 0;

	for (;;) {
		int64_t left = deadline_ms - guestlock_monotonic_ms();
		struct pollfd polled = {.fd = fd, .events = POLLIN};
		int ready = poll(&polled, 1, left < 0 ? 0 : (int)(left < 1000000 ? left : 1000000));
		ssize_t got;

		if (ready == 0) {
			return -1;
		}
		got = ready > 0 ? read(fd, out + used, REPORT_MAX - 1 - used) : -1;
		if (got < 0 && errno != EINTR) {
			return -1;
		}
		used += got > 0 ? (size_t)got : 0;
		if (got == 0 || used == REPORT_MAX - 1) {
			out[used] = '\0';
			return 0;
		}
	}
}

static enum guestlock_result not_started(const struct gl_keeper *keeper, int sys_errno, const char *why,
					 struct guestlock_error *err)
{
	return guestlock_backend_fail(err, GUESTLOCK_RES_STOPPED, sys_errno, 0,
				      "cannot start the keeper of %s, which is to call backend %s (%s): %s",
				      keeper->run_dir, keeper->backend, keeper->program, why);
}

static enum guestlock_result spawn(const struct gl_keeper *keeper, int64_t deadline_ms,
				   struct guestlock_error *err)
{
	char report[REPORT_MAX] = "";
	char **argv = make_arguments(keeper);
	int fds[2], result;
	pid_t pid;

	if (!argv) {
		return not_started(keeper, ENOMEM, "out of memory; free some and try again", err);
	}
	if (pipe2(fds, O_CLOEXEC) < 0) {
		free(argv);
		return not_started(keeper, errno, "no pipe can be made; close some descriptors", err);
	}
	pid = gl_fork_for_nobody();
	if (pid == 0) {
		be_the_keeper(fds[1], argv);
	}
	close(fds[1]);
	free(argv);
	result = pid < 0 ? -1 : read_report(fds[0], deadline_ms, report);
	close(fds[0]);
	if (pid < 0) {
		return not_started(keeper, errno, "no process can be made; end some", err);
	}
	if (result < 0) {
		return not_started(keeper, ETIMEDOUT, "it did not come up in time; look into its log", err);
	}
	return report[0] ? not_started(keeper, 0, report, err) : GUESTLOCK_RES_GRANTED;
}

/* 0 when we have the lock of those who start, or an errno. */
static int take_lock(const struct gl_keeper *keeper, int64_t deadline_ms, int *out_fd)
{
	char path[PATH_MAX];
	int length = snprintf(path, sizeof(path), "%s/" GL_KEEPER_START_LOCK, keeper->run_dir);
	int fd;

	if (length < 0 || length >= (int)sizeof(path)) {
		return ENAMETOOLONG;
	}
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		return errno;
	}
	for (unsigned attempt = 0; guestlock_ofd_lock(fd, F_WRLCK) < 0; attempt++) {
		int failure = errno;

		if ((failure != EAGAIN && failure != EACCES) ||
		    !gl_pause_before_retry(attempt, LONGEST_PAUSE_MS, deadline_ms)) {
			close(fd);
			return failure == EAGAIN ? ETIMEDOUT : failure;
		}
	}
	*out_fd = fd;
	return 0;
}

enum guestlock_result gl_keeper_start(const struct gl_keeper *keeper, int64_t deadline_ms,
				      struct guestlock_error *err)
{
	enum guestlock_result result = GUESTLOCK_RES_GRANTED;
	GL_AUTOCLOSE int fd = -1;
	int lock = -1, failure = take_lock(keeper, deadline_ms, &lock);

	if (failure != 0) {
		return not_started(keeper, failure, strerror(failure), err);
	}
	failure = gl_keeper_connect(keeper, &fd);
	if (failure == ENOENT || failure == ECONNREFUSED) {
		result = spawn(keeper, deadline_ms, err);
	}
	/* Explicitly, since a fork may have copied it. */
	guestlock_ofd_lock(lock, F_UNLCK);
	close(lock);
	return result;
}
