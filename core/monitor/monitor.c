/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Objects of JSON go to and fro. Each command has an id, which its answer repeats; events come between. */
#include "monitor/monitor.h"

#include "base/base.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define MESSAGE_MAX 65536   /* bytes; what answers our commands has less than 1000 */
#define CONNECT_PAUSE_MS 50 /* the longest between two attempts, where too many others are waiting */

__attribute__((format(printf, 3, 4))) static int fail(struct gl_monitor *monitor, int why, const char *format,
						      ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(monitor->why, sizeof(monitor->why), format, args);
	va_end(args);
	errno = why;
	return -1;
}

/* One that serves another client is as silent as one that hangs. */
static int fail_late(struct gl_monitor *monitor)
{
	return fail(monitor, ETIMEDOUT,
		    "did not answer in time, as one that serves another client or hangs does not");
}

static int fail_gone(struct gl_monitor *monitor, int why)
{
	return fail(monitor, why, "closed the connection (%s)", strerror(why));
}

static int fail_foreign(struct gl_monitor *monitor)
{
	return fail(monitor, EPROTO, "does not speak QMP; it takes the socket of a -qmp option of QEMU");
}

bool gl_monitor_path_valid(const char *path)
{
	return path[0] == '/' && strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path);
}

void gl_monitor_close(struct gl_monitor *monitor)
{
	if (monitor->fd >= 0) {
		close(monitor->fd);
	}
	free(monitor->text);
	monitor->fd = -1;
	monitor->text = NULL;
}

/* ---- Bytes ---- */

static int wait_for(struct gl_monitor *monitor, short events)
{
	struct pollfd polled = {.fd = monitor->fd, .events = events};
	int ready;

	do {
		int64_t left = monitor->deadline_ms - guestlock_monotonic_ms();

		if (left <= 0) {
			return fail_late(monitor);
		}
		ready = poll(&polled, 1, left > INT32_MAX ? INT32_MAX : (int)left);
	} while (ready == 0 || (ready < 0 && errno == EINTR));
	return ready < 0 ? fail_gone(monitor, errno) : 0;
}

static int send_text(struct gl_monitor *monitor, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		ssize_t sent = send(monitor->fd, text, left, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent > 0) {
			text += sent;
			left -= (size_t)sent;
		} else if (errno != EAGAIN && errno != EINTR) {
			return fail_gone(monitor, errno);
		} else if (wait_for(monitor, POLLOUT) < 0) {
			return -1;
		}
	}
	return 0;
}

/* Whatever has come by now, or comes next. */
static int receive(struct gl_monitor *monitor)
{
	ssize_t got;

	if (monitor->used == MESSAGE_MAX) {
		return fail(monitor, EMSGSIZE, "says more at once than it can have to say");
	}
	if (wait_for(monitor, POLLIN) < 0) {
		return -1;
	}
	got = recv(monitor->fd, monitor->text + monitor->used, MESSAGE_MAX - monitor->used, MSG_DONTWAIT);
	if (got > 0) {
		monitor->used += (size_t)got;
		return 0;
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		return 0;
	}
	return fail_gone(monitor, got == 0 ? ECONNRESET : errno);
}

/* The message before goes. */
static int next_message(struct gl_monitor *monitor, struct gl_json *out_message)
{
	struct gl_json_frame frame = {.seen = 0};

	memmove(monitor->text, monitor->text + monitor->done, monitor->used - monitor->done);
	monitor->used -= monitor->done;
	monitor->done = 0;
	/* Who never stops talking gets no answer of ours either. */
	if (guestlock_monotonic_ms() >= monitor->deadline_ms) {
		return fail_late(monitor);
	}
	while ((monitor->done = gl_json_frame(&frame, monitor->text, monitor->used)) == 0) {
		if (receive(monitor) < 0) {
			return -1;
		}
	}
	if (!gl_json_valid(monitor->text, monitor->done)) {
		return fail_foreign(monitor);
	}
	*out_message = (struct gl_json){.text = monitor->text, .size = monitor->done};
	return 0;
}

/* ---- Commands ---- */

static int refused(struct gl_monitor *monitor, const char *command, struct gl_json error)
{
	struct gl_json said = error;
	char words[120];

	gl_json_member(error, "desc", &said);
	snprintf(words, sizeof(words), "%.*s", (int)said.size, said.text);
	return fail(monitor, EREMOTEIO, "refused \"%s\": %s", command, words);
}

/* *out_value points into what was read. */
static int ask(struct gl_monitor *monitor, const char *command, struct gl_json *out_value)
{
	char text[80], number[16];

	snprintf(number, sizeof(number), "%u", ++monitor->asked);
	snprintf(text, sizeof(text), "{\"execute\":\"%.30s\",\"id\":%s}\r\n", command, number);
	if (send_text(monitor, text) < 0) {
		return -1;
	}
	for (;;) {
		struct gl_json message = {.size = 0}, id, value;
		bool named;

		if (next_message(monitor, &message) < 0) {
			return -1;
		}
		named = gl_json_member(message, "id", &id);
		if (gl_json_member(message, "event", &value) || (named && !gl_json_is(id, number))) {
			continue;
		}
		if (gl_json_member(message, "error", &value)) {
			return refused(monitor, command, value);
		}
		return named && gl_json_member(message, "return", out_value) ? 0 : fail_foreign(monitor);
	}
}

int gl_monitor_tell(struct gl_monitor *monitor, const char *command)
{
	struct gl_json ignored;

	return ask(monitor, command, &ignored);
}

int gl_monitor_runs(struct gl_monitor *monitor, bool *out_running)
{
	struct gl_json value = {.size = 0}, running;

	if (ask(monitor, "query-status", &value) < 0) {
		return -1;
	}
	if (!gl_json_member(value, "running", &running) ||
	    !(gl_json_is(running, "true") || gl_json_is(running, "false"))) {
		return fail_foreign(monitor);
	}
	*out_running = gl_json_is(running, "true");
	return 0;
}

/* ---- The connection ---- */

/* EAGAIN: as many as it takes are waiting for it already. */
static int connect_to(struct gl_monitor *monitor, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	monitor->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (monitor->fd < 0) {
		return fail(monitor, errno, "cannot be reached (%s)", strerror(errno));
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	for (unsigned attempt = 0;; attempt++) {
		if (connect(monitor->fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
			return 0;
		}
		if (errno != EAGAIN && errno != EINTR) {
			return fail(monitor, errno, "cannot be reached (%s)", strerror(errno));
		}
		if (!gl_pause_before_retry(attempt, CONNECT_PAUSE_MS, monitor->deadline_ms)) {
			return fail_late(monitor);
		}
	}
}

/* It greets, and takes commands only after the one that says what we can do: nothing in particular. */
static int negotiate(struct gl_monitor *monitor)
{
	struct gl_json greeting = {.size = 0}, version;

	if (next_message(monitor, &greeting) < 0) {
		return -1;
	}
	if (!gl_json_member(greeting, "QMP", &version)) {
		return fail_foreign(monitor);
	}
	return gl_monitor_tell(monitor, "qmp_capabilities");
}

int gl_monitor_open(struct gl_monitor *monitor, const char *path, int64_t deadline_ms)
{
	*monitor = (struct gl_monitor){.fd = -1, .deadline_ms = deadline_ms};
	if (!gl_monitor_path_valid(path)) {
		return fail(monitor, EINVAL, "has a path that no socket can have");
	}
	monitor->text = malloc(MESSAGE_MAX);
	if (!monitor->text) {
		return fail(monitor, ENOMEM, "cannot be asked (%s)", strerror(ENOMEM));
	}
	return connect_to(monitor, path) < 0 ? -1 : negotiate(monitor);
}
