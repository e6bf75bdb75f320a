/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Each of the two starts the other one by fork and exec, with the same descriptors at the same places, so
 * that either goes on where the other was killed. A socket between them tells the guard what else to keep.
 */
#include "keeper.h"

#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>

#define HIGH 64 /* above all places of descriptors */
#define KEPT_MAX GL_DESCRIPTORS_MAX
_Static_assert(sizeof((struct guestlock_kept){0}.fds) == KEPT_MAX * sizeof(int), "as many as backend.h says");

static int received(int fd)
{
	if (fcntl(fd, F_GETFD) < 0) {
		return -1;
	}
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

void pair_receive(struct pair *pair, char **argv, size_t count)
{
	*pair = (struct pair){
		.listener = received(FD_LISTEN),
		.lock = received(FD_LOCK),
		.directory = received(FD_DIRECTORY),
		.channel = received(FD_CHANNEL),
		.partner = received(FD_PARTNER),
		.argv = argv,
	};
	for (size_t i = 0; i < count && i < KEPT_MAX; i++) {
		pair->kept.fds[pair->kept.count++] = received(FD_KEPT + (int)i);
	}
}

/* ---- Starting ---- */

/* "--guard=2" or "--worker=0:killed", and the options of both. Freed in one call. */
static char **make_arguments(const struct pair *pair, const char *role, const char *how, char *out_first,
			     size_t size)
{
	size_t count = 0, n = 0;
	char **argv;

	while (pair->argv[count]) {
		count++;
	}
	argv = calloc(count + 2, sizeof(*argv));
	if (!argv) {
		return NULL;
	}
	snprintf(out_first, size, "--%s=%zu%s%s", role, pair->kept.count, how ? ":" : "", how ? how : "");
	argv[n++] = pair->argv[0];
	argv[n++] = out_first;
	for (size_t i = 1; i < count; i++) {
		argv[n++] = pair->argv[i];
	}
	return argv;
}

/* -1 stays -1. */
static int lifted(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD, HIGH);
}

/*
 * Puts the descriptors to their places, closes everything else, and executes. Called between fork and exec of
 * a threaded process, so only with what is allowed there. Returns on failure.
 */
static void execute(const struct pair *pair, int channel, int partner, char **argv)
{
	int from[FD_KEPT + KEPT_MAX] = {0};
	size_t count = FD_KEPT + pair->kept.count;
	sigset_t blocked;

	from[FD_LISTEN] = lifted(pair->listener);
	from[FD_LOCK] = lifted(pair->lock);
	from[FD_DIRECTORY] = lifted(pair->directory);
	from[FD_CHANNEL] = lifted(channel);
	from[FD_PARTNER] = lifted(partner);
	for (size_t i = 0; i < pair->kept.count; i++) {
		from[(size_t)FD_KEPT + i] = lifted(pair->kept.fds[i]);
	}
	for (size_t i = FD_LISTEN; i < count; i++) {
		close((int)i);
		if (from[i] >= 0 && dup2(from[i], (int)i) < 0) {
			return;
		}
	}
	closefrom((int)count);
	/* What is sent to it before it can listen waits until then. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	execv(argv[0], argv);
	/* Replaced by another version, or removed: what runs here is still good. */
	execv("/proc/self/exe", argv);
}

pid_t pair_start(struct pair *pair, const char *role, const char *how)
{
	char first[128];
	char **argv = make_arguments(pair, role, how, first, sizeof(first));
	int self = pidfd_open(getpid(), 0), ends[2] = {-1, -1}, failure;
	pid_t pid = -1;

	if (argv && self >= 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0) {
		pid = fork();
	}
	if (pid == 0) {
		execute(pair, ends[1], self, argv);
		_exit(127);
	}
	failure = errno;
	free(argv);
	if (self >= 0) {
		close(self);
	}
	if (ends[1] >= 0) {
		close(ends[1]);
	}
	if (pid < 0) {
		if (ends[0] >= 0) {
			close(ends[0]);
		}
		errno = failure;
		return -1;
	}
	if (pair->channel >= 0) {
		close(pair->channel);
	}
	if (pair->partner >= 0) {
		close(pair->partner);
	}
	pair->channel = ends[0];
	/* It is a child of ours that nobody has waited for, so this is that process. */
	pair->partner = pidfd_open(pid, 0);
	return pid;
}

void pair_become_guard(struct pair *pair)
{
	char first[128];
	char **argv = make_arguments(pair, "guard", NULL, first, sizeof(first));

	if (argv) {
		execute(pair, -1, -1, argv);
	}
	free(argv);
}

/* ---- The channel ---- */

void pair_tell_end(const struct pair *pair)
{
	/* A guard that is gone needs not be told: the next one is started knowing it, or not at all. */
	send(pair->channel, "E", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void pair_tell_kept(const struct pair *pair)
{
	if (gl_send_descriptors(pair->channel, "K", 1, pair->kept.fds, pair->kept.count, MSG_DONTWAIT) < 0) {
		log_say(GUESTLOCK_LOG_DEBUG, "the guard could not be told what to keep: %s", strerror(errno));
	}
}

enum pair_news pair_listen(struct pair *pair)
{
	struct guestlock_kept sent = {.count = 0};
	char type;
	ssize_t got = pair->channel < 0
			      ? -1
			      : gl_receive_descriptors(pair->channel, &type, 1, sent.fds, &sent.count);

	if (got == 0) {
		/* The partner is going; its pidfd tells when it is gone. */
		close(pair->channel);
		pair->channel = -1;
	}
	if (got <= 0) {
		return PAIR_NOTHING;
	}
	if (type == 'K') {
		for (size_t i = 0; i < pair->kept.count; i++) {
			close(pair->kept.fds[i]);
		}
		pair->kept = sent;
		return PAIR_KEPT;
	}
	return type == 'E' ? PAIR_END : PAIR_NOTHING;
}
