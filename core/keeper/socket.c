/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages of wire.h on their way. */
#include "keeper/wire.h"

#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define MOST_FDS 8 /* that may come with one message and are closed, all but one */

union control {
	char buffer[CMSG_SPACE(MOST_FDS * sizeof(int))];
	struct cmsghdr align;
};

/* A memfd with the body in it, which nobody can change any more. */
static int make_body(const struct gl_wire *wire)
{
	int fd = memfd_create("guestlock-message", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (gl_write_all(fd, wire->data + GL_KEEPER_HEADER, wire->size - GL_KEEPER_HEADER) < 0 ||
			fcntl(fd, F_ADD_SEALS, SEALS) < 0)) {
		int saved_errno = errno;

		close(fd);
		errno = saved_errno;
		return -1;
	}
	return fd;
}

static int send_beside(int fd, const struct gl_wire *wire)
{
	GL_AUTOCLOSE int body = make_body(wire);

	if (body < 0) {
		return -1;
	}
	return gl_send_descriptor(fd, wire->data, GL_KEEPER_HEADER, body, MSG_DONTWAIT);
}

int gl_keeper_send(int fd, const struct gl_wire *wire)
{
	ssize_t sent;

	if (wire->size > GL_KEEPER_INLINE) {
		return send_beside(fd, wire);
	}
	do {
		sent = send(fd, wire->data, wire->size, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -1 : 0;
}

/* The one descriptor that may come with a message, or -1; more are closed. */
static int take_descriptor(struct msghdr *message)
{
	int found = -1;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		size_t count;

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
			continue;
		}
		count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
			if (found < 0) {
				found = fd;
			} else {
				close(fd);
			}
		}
	}
	return found;
}

/* What could still be changed, or is not a file in memory, is not read. */
static unsigned char *read_body(int fd, size_t size)
{
	unsigned char *data;
	struct stat st;

	if (fd < 0 || (fcntl(fd, F_GET_SEALS) & SEALS) != SEALS || fstat(fd, &st) < 0 ||
	    st.st_size != (off_t)size) {
		errno = EBADMSG;
		return NULL;
	}
	data = malloc(size + 1);
	if (data && gl_read_all(fd, data, size, 0) != (ssize_t)size) {
		free(data);
		errno = EBADMSG;
		return NULL;
	}
	return data;
}

int gl_keeper_receive(int fd, enum gl_keeper_type type, unsigned char **out_body, size_t *out_size)
{
	unsigned char buffer[GL_KEEPER_INLINE];
	union control control;
	struct iovec part = {.iov_base = buffer, .iov_len = sizeof(buffer)};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.buffer,
		.msg_controllen = sizeof(control.buffer),
	};
	ssize_t length;
	bool beside;

	do {
		length = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (length < 0 && errno == EINTR);
	if (length < 0) {
		return -1;
	}

	GL_AUTOCLOSE int body_fd = take_descriptor(&message);

	if (length == 0) {
		errno = ENOTCONN;
		return -1;
	}
	if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		errno = EBADMSG;
		return -1;
	}
	if (gl_keeper_get_header(buffer, (size_t)length, type, out_size, &beside) < 0) {
		return -1;
	}
	if (beside) {
		*out_body = read_body(body_fd, *out_size);
	} else {
		*out_body = malloc(*out_size + 1);
		if (*out_body) {
			memcpy(*out_body, buffer + GL_KEEPER_HEADER, *out_size);
		}
	}
	return *out_body ? 0 : -1;
}
