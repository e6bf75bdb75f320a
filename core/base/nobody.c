/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes that belong to nobody. They are forked from programs with threads, so they do only what is allowed there. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

pid_t gl_fork_for_nobody(void)
{
	int subreaper = 0, saved_errno;
	pid_t pid;

	prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
	if (subreaper) {
		prctl(PR_SET_CHILD_SUBREAPER, 0);
	}
	pid = fork();
	if (pid == 0) {
		setsid();
		if (fork() != 0) {
			_exit(0);
		}
		return 0;
	}
	saved_errno = errno;
	/* Somebody's handler of SIGCHLD may have waited for it already. */
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
	}
	if (subreaper) {
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	}
	errno = saved_errno;
	return pid;
}

void gl_keep_only(int fd, int as)
{
	int high = fcntl(fd, F_DUPFD, as + 1), null = open("/dev/null", O_RDWR);

	for (int i = 0; i < as; i++) {
		dup2(null, i);
	}
	if (high < 0 || dup2(high, as) < 0) {
		_exit(1);
	}
	closefrom(as + 1);
}
