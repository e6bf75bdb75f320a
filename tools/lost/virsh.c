/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest that libvirt started is libvirt's to stop, so that it knows; but its daemon may hang as well. */
#include "lost.h"

#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* Standard output is of no use, and nobody answers a question. */
__attribute__((noreturn)) static void become_virsh(const char *const argv[], int output)
{
	char *arguments[8];
	size_t count = 0;

	while (argv[count]) {
		memcpy(&arguments[count], &argv[count], sizeof(arguments[0]));
		count++;
	}
	arguments[count] = NULL;
	if (dup2(output, STDOUT_FILENO) >= 0 && dup2(output, STDERR_FILENO) >= 0) {
		execvp(arguments[0], arguments);
	}
	dprintf(output, "cannot execute it: %s", strerror(errno));
	_exit(127);
}

/* Reads until end of file, what fits; false: deadline_ms has passed. */
static bool read_output(int fd, char *out, size_t size, int64_t deadline_ms)
{
	size_t used = 0;

	for (;;) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		int64_t left = deadline_ms - guestlock_monotonic_ms();
		char rest[256];
		ssize_t n;

		out[used] = '\0';
		if (left <= 0 || poll(&wait, 1, (int)left) <= 0) {
			if (left > 0 && errno == EINTR) {
				continue;
			}
			return false;
		}
		n = used + 1 < size ? read(fd, out + used, size - used - 1) : read(fd, rest, sizeof(rest));
		if (n == 0 || (n < 0 && errno != EINTR)) {
			return true;
		}
		used += used + 1 < size && n > 0 ? (size_t)n : 0;
	}
}

static int end_of(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	return status;
}

/* The first line that says something. */
static void log_failure(const char *command, const char *why, char *text)
{
	char shown[512];

	text += strspn(text, "\n");
	text[strcspn(text, "\n")] = '\0';
	gl_printable_fit(shown, sizeof(shown), text);
	lost_say(GUESTLOCK_LOG_WARNING, "virsh %s: %s%s%s", command, why, shown[0] ? ": " : "", shown);
}

bool lost_virsh(const char *uri, const char *command, const char *uuid, int wait_ms)
{
	const char *const argv[] = {"virsh", "-q", "-c", uri, command, uuid, NULL};
	int64_t deadline_ms = guestlock_monotonic_ms() + wait_ms;
	char text[512] = "";
	bool in_time;
	int fds[2], status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		lost_say(GUESTLOCK_LOG_WARNING, "cannot run virsh: %s", strerror(errno));
		return false;
	}
	pid = fork();
	if (pid == 0) {
		become_virsh(argv, fds[1]);
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		lost_say(GUESTLOCK_LOG_WARNING, "cannot run virsh: %s", strerror(errno));
		return false;
	}
	in_time = read_output(fds[0], text, sizeof(text), deadline_ms);
	close(fds[0]);
	if (!in_time) {
		kill(pid, SIGKILL);
	}
	status = end_of(pid);
	if (!in_time) {
		log_failure(command, "it has not ended in time", text);
	} else if (status != 0) {
		log_failure(command, "it failed", text);
	}
	return in_time && status == 0;
}
