/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The protocol of sd_notify(3), as it is documented there. */
#include "keeper.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *socket_path(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	return path && (path[0] == '/' || path[0] == '@') && path[1] ? path : NULL;
}

bool notify_wanted(void)
{
	return socket_path() != NULL;
}

void notify(const char *format, ...)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = socket_path();
	size_t length = path ? strlen(path) : 0;
	char state[512];
	va_list args;
	int fd;

	if (!path || length >= sizeof(address.sun_path)) {
		return;
	}
	va_start(args, format);
	vsnprintf(state, sizeof(state), format, args);
	va_end(args);
	memcpy(address.sun_path, path, length);
	/* An abstract address begins with a NUL. */
	if (path[0] == '@') {
		address.sun_path[0] = '\0';
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0) {
		log_say(GUESTLOCK_LOG_WARNING, "the service manager cannot be told the state: %m");
	}
	if (fd >= 0) {
		close(fd);
	}
}
