// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A host for the tests, without a container:
 *
 *     virtd_host PARENT NAME CONTROL [DIRECTORY TARGET]...
 *
 * It has mounts and a host name of its own, and each DIRECTORY is bound over its TARGET. Each line that is
 * written to the pipe CONTROL is a shell command that it starts. What these leave behind becomes its child,
 * is reaped at once, and is killed at the end: on SIGTERM, or when the process PARENT is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	PARENT,
	CONTROL,
	SIGNALS,
	SOURCES,
	LINE_BYTES = 4096, /* of one command; a pipe takes as much at once */
	LIST_BYTES = 4096, /* of pids; there is another turn for more */
	NOT_PERMITTED = 77,
};

static sigset_t handled;

static void quit(const char *what)
{
	fprintf(stderr, "virtd_host: cannot %s: %s\n", what, strerror(errno));
	if (errno == EPERM || errno == EACCES || errno == ENOSPC) {
		fprintf(stderr,
			"virtd_host: run as root with the right to make mount and host name namespaces "
			"(CAP_SYS_ADMIN; for docker: --privileged)\n");
	}
	exit(NOT_PERMITTED);
}

static void make_host(const char *name, char **pairs)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWUTS) != 0) {
		quit("make namespaces");
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
		quit("make the mounts private");
	}
	if (sethostname(name, strlen(name)) != 0) {
		quit("set the host name");
	}
	for (; pairs[0] != NULL && pairs[1] != NULL; pairs += 2) {
		if (mount(pairs[0], pairs[1], NULL, MS_BIND | MS_REC, NULL) != 0) {
			fprintf(stderr, "virtd_host: %s over %s:\n", pairs[0], pairs[1]);
			quit("bind a directory");
		}
	}
}

static void start_command(const char *command)
{
	pid_t pid = fork();

	if (pid != 0) {
		return;
	}
	setsid();
	sigprocmask(SIG_UNBLOCK, &handled, NULL);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

/* A line is written at once: once it has begun, all of it is there. */
static void start_one_command(int control)
{
	char line[LINE_BYTES];
	size_t length = 0;

	while (length < sizeof(line) && read(control, &line[length], 1) == 1) {
		if (line[length] == '\n') {
			line[length] = '\0';
			start_command(line);
			return;
		}
		length++;
	}
}

static void reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0) {
	}
}

static void kill_children(int list)
{
	char text[LIST_BYTES + 1], *next = text, *end;
	ssize_t length = pread(list, text, LIST_BYTES, 0);
	long pid;

	text[length > 0 ? length : 0] = '\0';
	for (pid = strtol(next, &end, 10); end != next; pid = strtol(next, &end, 10)) {
		kill((pid_t)pid, SIGKILL);
		next = end;
	}
}

/* What a killed child leaves behind becomes ours: until there is none. */
static void kill_all(void)
{
	char path[64];
	int list;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	list = open(path, O_RDONLY | O_CLOEXEC);
	if (list < 0) {
		quit("read the list of its children");
	}
	while (waitpid(-1, NULL, WNOHANG) >= 0) {
		kill_children(list);
		usleep(5000);
	}
	close(list);
}

static void serve(int parent, int control, int signals)
{
	struct pollfd sources[SOURCES] = {
		[PARENT] = {.fd = parent, .events = POLLIN},
		[CONTROL] = {.fd = control, .events = POLLIN},
		[SIGNALS] = {.fd = signals, .events = POLLIN},
	};
	struct signalfd_siginfo info;

	for (;;) {
		if (poll(sources, SOURCES, -1) < 0 || sources[PARENT].revents != 0) {
			return;
		}
		if (sources[SIGNALS].revents != 0) {
			if (read(signals, &info, sizeof(info)) == sizeof(info) && info.ssi_signo != SIGCHLD) {
				return;
			}
			reap();
		}
		if (sources[CONTROL].revents != 0) {
			start_one_command(control);
		}
	}
}

int main(int argc, char **argv)
{
	int parent, control, signals;

	if (argc < 4) {
		fprintf(stderr, "usage: virtd_host PARENT NAME CONTROL [DIRECTORY TARGET]...\n");
		return EXIT_FAILURE;
	}
	sigemptyset(&handled);
	sigaddset(&handled, SIGCHLD);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGINT);
	sigprocmask(SIG_BLOCK, &handled, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	parent = (int)syscall(SYS_pidfd_open, strtol(argv[1], NULL, 10), 0);
	if (parent < 0) {
		quit("watch the parent");
	}
	make_host(argv[2], argv + 4);
	signals = signalfd(-1, &handled, SFD_CLOEXEC);
	if (signals < 0 || mkfifo(argv[3], 0600) != 0) {
		quit("make its pipe");
	}
	control = open(argv[3], O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (control < 0) {
		quit("open its pipe");
	}
	serve(parent, control, signals);
	kill_all();
	return EXIT_SUCCESS;
}
