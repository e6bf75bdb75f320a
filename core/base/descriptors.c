/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors that go to another process, or wait in a socket, beside a message. */
#include "base/base.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

union control {
	char buffer[CMSG_SPACE(GL_DESCRIPTORS_MAX * sizeof(int))];
	struct cmsghdr header;
};

int gl_send_descriptors(int socket, const void *data, size_t size, const int *fds, size_t count, int flags)
{
	union control control = {{0}};
	struct iovec part = {.iov_len = size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t sent;

	/* Only read through. */
	memcpy(&part.iov_base, &data, sizeof(data));
	if (count > 0) {
		message.msg_control = control.buffer;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	}
	do {
		sent = sendmsg(socket, &message, MSG_NOSIGNAL | flags);
	} while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)size ? 0 : -1;
}

ssize_t gl_receive_descriptors(int socket, void *out, size_t size, int out_fds[GL_DESCRIPTORS_MAX],
			       size_t *out_count)
{
	union control control;
	struct iovec part = {.iov_base = out, .iov_len = size};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.buffer,
		.msg_controllen = sizeof(control.buffer),
	};
	ssize_t length;

	*out_count = 0;
	do {
		length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (length < 0 && errno == EINTR);
	if (length < 0) {
		return -1;
	}
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
	     header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
			size_t bytes = header->cmsg_len - CMSG_LEN(0);

			memcpy(out_fds + *out_count, CMSG_DATA(header), bytes);
			*out_count += bytes / sizeof(int);
		}
	}
	if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		while (*out_count > 0) {
			close(out_fds[--*out_count]);
		}
		errno = EBADMSG;
		return -1;
	}
	return length;
}
