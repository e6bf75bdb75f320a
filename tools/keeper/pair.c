/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker is a child of the guard, and the same program, so that neither depends on what is installed meanwhile. A
 * socket between them tells the guard what else to keep, and each of them that the other one is gone.
 */
#include "keeper.h"

#include "base/base.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define KEEP_MS 5000
#define KEPT_MAX GL_DESCRIPTORS_MAX
_Static_assert(sizeof((struct guestlock_kept){0}.fds) == KEPT_MAX * sizeof(int), "as many as backend.h says");
_Static_assert(offsetof(struct pair, kept) == 0, "pair_keep() finds the pair by what is kept");

static void close_channel(struct pair *pair)
{
	if (pair->channel >= 0) {
		close(pair->channel);
	}
	pair->channel = -1;
}

pid_t pair_fork(struct pair *pair)
{
	int ends[2];
	pid_t pid;

	close_channel(pair);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		return -1;
	}
	pid = fork();
	close(ends[pid == 0 ? 0 : 1]);
	pair->channel = ends[pid == 0 ? 1 : 0];
	pair->kept.keep = pair_keep;
	return pid;
}

/* ---- The channel. A message is a letter and a number, which the answer repeats ---- */

void pair_tell_end(const struct pair *pair)
{
	send(pair->channel, "E", 2, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool pair_keep(struct guestlock_kept *kept)
{
	struct pair *pair = (struct pair *)kept;
	const char message[2] = {'K', ++pair->number};
	struct pollfd polled = {.fd = pair->channel, .events = POLLIN};
	int64_t until = guestlock_monotonic_ms() + KEEP_MS, left_ms = KEEP_MS;

	if (gl_send_descriptors(pair->channel, message, sizeof(message), kept->fds, kept->count,
				MSG_DONTWAIT) < 0) {
		return false;
	}
	while (left_ms > 0) {
		char answer[2];
		ssize_t got;

		poll(&polled, 1, (int)left_ms);
		got = recv(pair->channel, answer, sizeof(answer), MSG_DONTWAIT);
		/* One to an earlier message came too late. */
		if (got == 0 || (got == sizeof(answer) && memcmp(answer, message, sizeof(answer)) == 0)) {
			return got > 0;
		}
		left_ms = until - guestlock_monotonic_ms();
	}
	return false;
}

/* The new ones are there before the old ones are closed, which may be others of the same file. */
static void replace_kept(struct pair *pair, const int *fds, size_t count)
{
	struct guestlock_kept old = pair->kept;

	memcpy(pair->kept.fds, fds, count * sizeof(*fds));
	pair->kept.count = count;
	notify_kept(fds, count);
	for (size_t i = 0; i < old.count; i++) {
		close(old.fds[i]);
	}
}

bool pair_listen(struct pair *pair, bool *out_end)
{
	int fds[KEPT_MAX];
	size_t count;
	char message[2];
	ssize_t got = gl_receive_descriptors(pair->channel, message, sizeof(message), fds, &count);

	if (got == 0) {
		/* It is going, which may take its time. */
		close_channel(pair);
	}
	if (got <= 0) {
		return false;
	}
	if (message[0] == 'K') {
		replace_kept(pair, fds, count);
		send(pair->channel, message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	*out_end |= message[0] == 'E';
	return true;
}
