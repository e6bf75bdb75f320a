/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keeper's socket, and whether it is the keeper's. */
#include "base/base.h"
#include "keeper/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

int gl_keeper_address(const char *run_dir, struct sockaddr_un *out_address, int *out_dir)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/" GL_KEEPER_SOCKET, run_dir);
	int dir = -1;

	if (length < 0 || length >= (int)sizeof(address.sun_path)) {
		dir = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0) {
			return -1;
		}
		snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" GL_KEEPER_SOCKET,
			 dir);
	}
	*out_address = address;
	*out_dir = dir;
	return 0;
}

/* It must be ours or root's: who else could listen there would tell us that we hold what we do not. */
static bool is_trusted(int fd)
{
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

int gl_keeper_connect(const struct gl_keeper *keeper, int *out_fd)
{
	struct sockaddr_un address;
	GL_AUTOCLOSE int dir = -1;
	int fd, failure = 0;

	if (gl_keeper_address(keeper->run_dir, &address, &dir) < 0) {
		return errno;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return errno;
	}
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		failure = errno;
	} else if (!is_trusted(fd)) {
		failure = EPERM;
	}
	if (failure) {
		close(fd);
		return failure;
	}
	*out_fd = fd;
	return 0;
}
