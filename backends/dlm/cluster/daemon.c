/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions to dlm_controld, a connection for each, and its answers, of which nothing is taken unchecked. */
#include "cluster/daemon.h"

#include <guestlock/backend.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define GL_DLM_MAGIC 0xD13CD13CU
#define GL_DLM_VERSION 0x00010001U
#define GL_DLM_ANSWER_MAX (1024U * 1024U)
#define GL_DLM_ANSWER_STEP 8192U
#define GL_DLM_BACKLOG_PAUSE_MS 10
#define GL_DLM_WORDS_MAX 4096U /* bytes of the words about one node */

enum gl_dlm_daemon_command {
	GL_DLM_COMMAND_LOCKSPACE = 3,
	GL_DLM_COMMAND_STATUS = 13,
	GL_DLM_COMMAND_SETTINGS = 14,
};

/* Of a request, and of the answers but for the status. Numbers are those of this machine. */
struct gl_dlm_daemon_header {
	uint32_t magic, version, command, option, size;
	int32_t data; /* in answers a negative errno */
	uint32_t unused[2];
	char name[64]; /* no NUL at the end */
};

/*
 * Each part of the status, before words_size bytes of "NAME=VALUE " and more_size bytes that say nothing
 * here.
 */
struct gl_dlm_daemon_part {
	uint32_t type, flags;
	int32_t node;
	uint32_t data[2];
	uint32_t words_size, more_size;
};

enum gl_dlm_daemon_part_type {
	GL_DLM_PART_DAEMON = 1,
	GL_DLM_PART_NODE = 2,
};

struct gl_dlm_daemon_change {
	uint32_t counts[4];
	int32_t wait_condition; /* an enum gl_dlm_wait, or with wait_messages how many nodes */
	int32_t wait_messages;
	uint32_t sequences[2];
};

struct gl_dlm_daemon_lockspace_answer {
	struct gl_dlm_daemon_header header;
	struct gl_dlm_daemon_change done, next;
	uint32_t flags, id;
};

enum gl_dlm_daemon_lockspace_flags {
	GL_DLM_DAEMON_JOINING = 1 << 0,
	GL_DLM_DAEMON_LEAVING = 1 << 1,
	GL_DLM_DAEMON_STOPPED = 1 << 2,
};

/* ---- Bytes ---- */

/* The number after "name=" in words that blanks or newlines separate. */
static bool find_number(const char *words, const char *name, unsigned *out_value)
{
	size_t length = strlen(name);
	const char *word;

	for (word = words; word[0] != '\0'; word += strcspn(word, " \n"), word += strspn(word, " \n")) {
		char *end = NULL;
		unsigned long value;

		if (strncmp(word, name, length) != 0 || word[length] != '=') {
			continue;
		}
		errno = 0;
		value = strtoul(word + length + 1, &end, 10);
		if (end == word + length + 1 || errno != 0 || value > UINT32_MAX) {
			return false;
		}
		*out_value = (unsigned)value;
		return true;
	}
	return false;
}

static unsigned number_of(const char *words, const char *name)
{
	unsigned value = 0;

	return find_number(words, name, &value) ? value : 0;
}

bool gl_dlm_daemon_setting(const char *settings, const char *name, unsigned *out_value)
{
	return find_number(settings, name, out_value);
}

static void read_part(const struct gl_dlm_daemon_part *part, const char *words, struct gl_dlm_daemon *out)
{
	struct gl_dlm_daemon_node *node = &out->nodes[out->n_nodes];

	if (part->type == GL_DLM_PART_DAEMON) {
		out->node = (unsigned)part->node;
		out->quorate = number_of(words, "quorate") != 0;
		out->merged = number_of(words, "stateful_merge_wait") != 0;
	} else if (part->type == GL_DLM_PART_NODE && out->n_nodes < GL_DLM_NODES_MAX) {
		node->node = (unsigned)part->node;
		node->member = number_of(words, "member") != 0;
		node->needs_fencing = number_of(words, "need_fencing") != 0;
		out->n_nodes++;
	}
}

/* *at is moved behind the part. */
static int parse_part(const unsigned char *answer, size_t size, size_t *at, struct gl_dlm_daemon *out,
		      bool *out_daemon)
{
	struct gl_dlm_daemon_part part;
	char words[GL_DLM_WORDS_MAX + 1];
	size_t left = size - *at;

	if (left < sizeof(part)) {
		return EPROTO;
	}
	memcpy(&part, answer + *at, sizeof(part));
	left -= sizeof(part);
	if (part.words_size > GL_DLM_WORDS_MAX || part.words_size > left ||
	    part.more_size > left - part.words_size) {
		return EPROTO;
	}
	memcpy(words, answer + *at + sizeof(part), part.words_size);
	words[part.words_size] = '\0';
	*out_daemon = *out_daemon || part.type == GL_DLM_PART_DAEMON;
	read_part(&part, words, out);
	*at += sizeof(part) + part.words_size + part.more_size;
	return 0;
}

int gl_dlm_daemon_parse_status(const void *answer, size_t size, struct gl_dlm_daemon *out)
{
	bool daemon = false;
	size_t at = 0;

	memset(out, 0, sizeof(*out));
	while (at < size) {
		int result = parse_part(answer, size, &at, out, &daemon);

		if (result != 0) {
			return result;
		}
	}
	return daemon ? 0 : EPROTO;
}

static int parse_header(const void *answer, size_t size, struct gl_dlm_daemon_header *out)
{
	if (size < sizeof(*out)) {
		return EPROTO;
	}
	memcpy(out, answer, sizeof(*out));
	if (out->magic != GL_DLM_MAGIC || out->version >> 16 != GL_DLM_VERSION >> 16) {
		return EPROTO;
	}
	return 0;
}

static enum gl_dlm_wait wait_of(const struct gl_dlm_daemon_change *change)
{
	if (change->wait_messages != 0) {
		return GL_DLM_WAIT_NODES;
	}
	if (change->wait_condition >= GL_DLM_WAIT_RING && change->wait_condition <= GL_DLM_WAIT_FILE_SYSTEM) {
		return (enum gl_dlm_wait)change->wait_condition;
	}
	return GL_DLM_WAIT_NOTHING;
}

int gl_dlm_daemon_parse_lockspace(const void *answer, size_t size, struct gl_dlm_daemon_lockspace *out)
{
	struct gl_dlm_daemon_lockspace_answer read;
	int result = parse_header(answer, size, &read.header);

	memset(out, 0, sizeof(*out));
	if (result != 0) {
		return result;
	}
	if (read.header.data < 0) {
		return ENOENT;
	}
	if (size < sizeof(read)) {
		return EPROTO;
	}
	memcpy(&read, answer, sizeof(read));
	out->joining = (read.flags & GL_DLM_DAEMON_JOINING) != 0;
	out->leaving = (read.flags & GL_DLM_DAEMON_LEAVING) != 0;
	out->stopped = (read.flags & GL_DLM_DAEMON_STOPPED) != 0;
	out->wait = wait_of(&read.next);
	return 0;
}

int gl_dlm_daemon_parse_settings(const void *answer, size_t size, char **out_text)
{
	struct gl_dlm_daemon_header header;
	int result = parse_header(answer, size, &header);

	if (result != 0) {
		return result;
	}
	*out_text = strndup((const char *)answer + sizeof(header), size - sizeof(header));
	return *out_text ? 0 : ENOMEM;
}

/* ---- The connection ---- */

/* A connected socket that never blocks, or -1 with errno: EAGAIN when too many others wait. */
static int try_connect(const char *name, bool padded)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(name);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
	int fd;

	if (length + 1 > sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path + 1, name, length);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return -1;
	}
	if (connect(fd, (const struct sockaddr *)&address, padded ? sizeof(address) : size) < 0) {
		int saved_errno = errno;

		close(fd);
		errno = saved_errno;
		return -1;
	}
	return fd;
}

bool gl_dlm_socket_listens(const char *name, bool padded)
{
	int fd = try_connect(name, padded);

	if (fd < 0) {
		return errno == EAGAIN || errno == EACCES || errno == EPERM;
	}
	close(fd);
	return true;
}

static int connect_by(const char *name, int64_t deadline_ms)
{
	for (;;) {
		int fd = try_connect(name, false);

		if (fd >= 0 || errno != EAGAIN) {
			return fd;
		}
		if (guestlock_monotonic_ms() >= deadline_ms) {
			errno = ETIMEDOUT;
			return -1;
		}
		poll(NULL, 0, GL_DLM_BACKLOG_PAUSE_MS);
	}
}

/* Waits until something can be read. 0 or ETIMEDOUT. */
static int wait_readable(int fd, int64_t deadline_ms)
{
	for (;;) {
		struct pollfd waited = {.fd = fd, .events = POLLIN};
		int64_t left = deadline_ms - guestlock_monotonic_ms();
		int result = poll(&waited, 1, left > 0 ? (int)left : 0);

		if (result > 0) {
			return 0;
		}
		if (result == 0) {
			return ETIMEDOUT;
		}
		if (errno != EINTR) {
			return errno;
		}
	}
}

/* Reads until the other side closes. *out is freed with free() in any case. 0 or an errno. */
static int read_answer(int fd, int64_t deadline_ms, char **out, size_t *out_size)
{
	size_t room = 0;

	for (;;) {
		ssize_t got;

		if (*out_size == room) {
			char *grown =
				room < GL_DLM_ANSWER_MAX ? realloc(*out, room + GL_DLM_ANSWER_STEP) : NULL;

			if (!grown) {
				return room < GL_DLM_ANSWER_MAX ? ENOMEM : EPROTO;
			}
			*out = grown;
			room += GL_DLM_ANSWER_STEP;
		}
		got = recv(fd, *out + *out_size, room - *out_size, MSG_DONTWAIT);
		if (got == 0) {
			return 0;
		}
		if (got > 0) {
			*out_size += (size_t)got;
		} else if (errno == EAGAIN) {
			int result = wait_readable(fd, deadline_ms);

			if (result != 0) {
				return result;
			}
		} else if (errno != EINTR) {
			return errno;
		}
	}
}

/* What dlm_controld has answered, free()d as it goes out of scope. */
struct answer {
	char *data;
	size_t size;
};

static void answer_clear(const struct answer *answer)
{
	free(answer->data);
}
#define AUTOANSWER __attribute__((cleanup(answer_clear))) struct answer

/* 0 or an errno. */
static int ask_controld(const char *socket, uint32_t command, const char *name, int64_t deadline_ms,
			struct answer *out)
{
	struct gl_dlm_daemon_header request = {
		.magic = GL_DLM_MAGIC,
		.version = GL_DLM_VERSION,
		.command = command,
		.size = sizeof(request),
	};
	int fd = connect_by(socket, deadline_ms);
	int result;

	if (fd < 0) {
		return errno;
	}
	memcpy(request.name, name, strnlen(name, sizeof(request.name)));
	/* A new connection has room for so little. */
	if (send(fd, &request, sizeof(request), MSG_NOSIGNAL) != (ssize_t)sizeof(request)) {
		result = EPROTO;
	} else {
		result = read_answer(fd, deadline_ms, &out->data, &out->size);
	}
	close(fd);
	return result;
}

int gl_dlm_daemon_status(const char *socket, int64_t deadline_ms, struct gl_dlm_daemon *out)
{
	AUTOANSWER answer = {.data = NULL};
	int result = ask_controld(socket, GL_DLM_COMMAND_STATUS, "", deadline_ms, &answer);

	return result != 0 ? result : gl_dlm_daemon_parse_status(answer.data, answer.size, out);
}

int gl_dlm_daemon_lockspace(const char *socket, const char *name, int64_t deadline_ms,
			    struct gl_dlm_daemon_lockspace *out)
{
	AUTOANSWER answer = {.data = NULL};
	int result = ask_controld(socket, GL_DLM_COMMAND_LOCKSPACE, name, deadline_ms, &answer);

	return result != 0 ? result : gl_dlm_daemon_parse_lockspace(answer.data, answer.size, out);
}

int gl_dlm_daemon_settings(const char *socket, int64_t deadline_ms, char **out_text)
{
	AUTOANSWER answer = {.data = NULL};
	int result = ask_controld(socket, GL_DLM_COMMAND_SETTINGS, "", deadline_ms, &answer);

	return result != 0 ? result : gl_dlm_daemon_parse_settings(answer.data, answer.size, out_text);
}
