/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The protocol of sd_notify(3), as it is documented there. */
#include "keeper.h"

#include "base/base.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_INHERITED 3

static const char *socket_path(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	return path && (path[0] == '/' || path[0] == '@') && path[1] ? path : NULL;
}

bool notify_wanted(void)
{
	return socket_path() != NULL;
}

static void tell(const char *state, const int *fds, size_t count)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct timeval patience = {.tv_sec = 2};
	const char *path = socket_path();
	size_t length = path ? strlen(path) : 0;
	int fd;

	if (!path || length >= sizeof(address.sun_path)) {
		return;
	}
	memcpy(address.sun_path, path, length);
	/* An abstract address begins with a NUL. */
	if (path[0] == '@') {
		address.sun_path[0] = '\0';
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (const struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0 ||
	    gl_send_descriptors(fd, state, strlen(state), fds, count, 0) < 0) {
		log_say(GUESTLOCK_LOG_WARNING, "the service manager cannot be told the state: %m");
	}
	if (fd >= 0) {
		close(fd);
	}
}

void notify(const char *format, ...)
{
	char state[512];
	va_list args;

	va_start(args, format);
	vsnprintf(state, sizeof(state), format, args);
	va_end(args);
	tell(state, NULL, 0);
}

/*
 * ---- The store of descriptors ----
 *
 * Only of a manager that names its size in the environment, as systemd does since version 254. An older one closes what
 * it has, in the end, in its own only thread; and such a close may hang as any call can.
 */

#define STORE_NAME "guestlock-" /* and the place, as they come back in any order */

void notify_kept(const int *fds, size_t count)
{
	for (size_t i = 0; i < GL_DESCRIPTORS_MAX && getenv("FDSTORE"); i++) {
		char state[80];

		snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=" STORE_NAME "%zu\n", i);
		tell(state, NULL, 0);
		if (i < count) {
			/* That something can be read is no reason to let go. */
			snprintf(state, sizeof(state), "FDSTORE=1\nFDPOLL=0\nFDNAME=" STORE_NAME "%zu\n", i);
			tell(state, fds + i, 1);
		}
	}
}

/* The place of the one with the next name of a list "NAME:NAME:...". Not ours: beyond all places. */
static size_t next_place(const char **names)
{
	const size_t length = sizeof(STORE_NAME) - 1;
	const char *name = *names;

	*names += strcspn(name, ":");
	*names += **names == ':';
	return strncmp(name, STORE_NAME, length) == 0 ? strtoul(name + length, NULL, 10) : GL_DESCRIPTORS_MAX;
}

int notify_inherit(struct guestlock_kept *out_kept)
{
	const char *pid = getenv("LISTEN_PID"), *number = getenv("LISTEN_FDS"),
		   *names = getenv("LISTEN_FDNAMES");
	int count = pid && number && names && strtol(pid, NULL, 10) == getpid()
			    ? (int)strtol(number, NULL, 10)
			    : 0;

	memset(out_kept->fds, -1, sizeof(out_kept->fds));
	for (int fd = FIRST_INHERITED; fd < FIRST_INHERITED + count; fd++) {
		size_t place = next_place(&names);

		fcntl(fd, F_SETFD, FD_CLOEXEC);
		if (place < GL_DESCRIPTORS_MAX) {
			out_kept->fds[place] = fd;
		}
	}
	/* All of them, or what is of use without the others. */
	while (out_kept->count < GL_DESCRIPTORS_MAX && out_kept->fds[out_kept->count] >= 0) {
		out_kept->count++;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return FIRST_INHERITED + count;
}
