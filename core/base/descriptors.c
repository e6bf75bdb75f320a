/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors that go to another process, or wait in a socket, beside a message. */
#include "base/base.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int gl_send_descriptor(int socket, const void *data, size_t size, int fd, int flags)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.space = {0}};
	struct iovec part = {.iov_len = size};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	ssize_t sent;

	/* Only read through. */
	memcpy(&part.iov_base, &data, sizeof(data));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	do {
		sent = sendmsg(socket, &message, MSG_NOSIGNAL | flags);
	} while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)size ? 0 : -1;
}
