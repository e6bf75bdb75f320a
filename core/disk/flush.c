/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Storage that hangs does not let go of whoever waits for it, not even for SIGKILL. So the waiting is done by a
 * process that nobody needs.
 */
#include "disk/flush.h"

#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#define RESULTS 3 /* the descriptor on which it says what came of each file */

/* What it says of each file, in turn: 0 or an errno. */
static int flush_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int result;

	if (fd < 0 && errno == EACCES) {
		fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	}
	if (fd < 0) {
		return errno == ENOENT || errno == ENOTDIR || errno == ENXIO ? 0 : errno;
	}
	result = fdatasync(fd) < 0 && errno != EINVAL && errno != EROFS ? errno : 0;
	close(fd);
	return result;
}

__attribute__((noreturn)) static void flush_files(const char *const paths[], size_t count, int fd)
{
	gl_keep_only(fd, RESULTS);
	for (size_t i = 0; i < count; i++) {
		int result = flush_file(paths[i]);

		if (gl_write_all(RESULTS, &result, sizeof(result)) < 0 || result != 0) {
			break;
		}
	}
	_exit(0);
}

static int next_result(int fd, int64_t deadline_ms, int *out_result)
{
	struct pollfd polled = {.fd = fd, .events = POLLIN};
	int64_t left = deadline_ms - guestlock_monotonic_ms();
	int ready = poll(&polled, 1, left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left);

	if (ready < 0 && errno == EINTR) {
		return next_result(fd, deadline_ms, out_result);
	}
	if (ready <= 0) {
		*out_result = ready == 0 ? ETIMEDOUT : errno;
		return -1;
	}
	if (gl_read_all(fd, out_result, sizeof(*out_result), -1) != sizeof(*out_result)) {
		*out_result = ECHILD;
		return -1;
	}
	return *out_result ? -1 : 0;
}

int gl_flush(const char *const paths[], size_t count, int64_t deadline_ms, size_t *out_failed)
{
	int fds[2], result;
	size_t done = 0;
	pid_t pid;

	*out_failed = 0;
	if (count == 0) {
		return 0;
	}
	if (pipe2(fds, O_CLOEXEC) < 0) {
		return -1;
	}
	pid = gl_fork_for_nobody();
	if (pid == 0) {
		flush_files(paths, count, fds[1]);
	}
	result = pid < 0 ? errno : 0;
	close(fds[1]);
	while (result == 0 && done < count && next_result(fds[0], deadline_ms, &result) == 0) {
		done++;
	}
	close(fds[0]);
	*out_failed = done;
	errno = result;
	return done == count ? 0 : -1;
}
