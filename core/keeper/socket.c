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
	return gl_send_descriptors(fd, wire->data, GL_KEEPER_HEADER, &body, 1, MSG_DONTWAIT);
}

int gl_keeper_send(int fd, const struct gl_wire *wire)
{
	return wire->size > GL_KEEPER_INLINE
		       ? send_beside(fd, wire)
		       : gl_send_descriptors(fd, wire->data, wire->size, NULL, 0, MSG_DONTWAIT);
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
	int fds[GL_DESCRIPTORS_MAX];
	size_t count;
	ssize_t length = gl_receive_descriptors(fd, buffer, sizeof(buffer), fds, &count);
	GL_AUTOCLOSE int body_fd = count > 0 ? fds[0] : -1;
	bool beside;

	/* With a message comes one at most. */
	for (size_t i = 1; i < count; i++) {
		close(fds[i]);
	}
	if (length < 0) {
		return -1;
	}
	if (length == 0) {
		errno = ENOTCONN;
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
