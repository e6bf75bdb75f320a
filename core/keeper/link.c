/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connections to the keeper, and a message there and back. */
#include "base/base.h"
#include "base/error.h"
#include "keeper/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* So often a request may lose its keeper before it is given up: it may be what ends it. */
#define LOSSES 8
#define LONGEST_PAUSE_MS 20

/* ---- Connections ---- */

/* A connection that is not in use, or -1. Those of the process that we were forked from are not ours. */
static int take_idle(struct gl_keeper *keeper)
{
	if (keeper->pid != getpid()) {
		return -1;
	}
	for (size_t i = 0; i < GL_KEEPER_SLOTS; i++) {
		int fd = __atomic_exchange_n(&keeper->slots[i], -1, __ATOMIC_ACQ_REL);

		if (fd >= 0) {
			return fd;
		}
	}
	return -1;
}

static void put_idle(struct gl_keeper *keeper, int fd)
{
	for (size_t i = 0; i < GL_KEEPER_SLOTS && keeper->pid == getpid(); i++) {
		int none = -1;

		if (__atomic_compare_exchange_n(&keeper->slots[i], &none, fd, false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED)) {
			return;
		}
	}
	close(fd);
}

/* Explicitly: a child that was forked meanwhile has a copy, and the keeper must see that nobody waits. */
static void drop(int fd)
{
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

/* ---- One message there and back ---- */

/* false: not by then. */
static bool wait_for_answer(int fd, int64_t deadline_ms)
{
	struct pollfd polled = {.fd = fd, .events = POLLIN};

	for (;;) {
		int64_t left = deadline_ms - guestlock_monotonic_ms();
		int ready = poll(&polled, 1, left < 0 ? 0 : left > 1000000 ? 1000000 : (int)left);

		if (ready > 0) {
			return true;
		}
		if (ready < 0 ? errno != EINTR : left <= 0) {
			return false;
		}
	}
}

static enum guestlock_result not_reachable(const struct gl_keeper *keeper, int failure,
					   struct guestlock_error *err)
{
	bool denied = failure == EACCES || failure == EPERM;

	return guestlock_backend_fail(err, denied ? GUESTLOCK_RES_DENIED : GUESTLOCK_RES_STOPPED, failure, 0,
				      "cannot reach the keeper of %s, which calls backend %s: %s; %s",
				      keeper->run_dir, keeper->backend, strerror(failure),
				      denied ? "run this as root or as the user who runs the keeper"
				      : failure == EAGAIN       ? "it has too much to do: try again later"
				      : keeper->program == NULL ? "start guestlock-keeper"
								: "try again, and look into its log");
}

/* A connection, starting the keeper if need be. Waits for room in the queue of those who want one. */
static enum guestlock_result connected(struct gl_keeper *keeper, int64_t deadline_ms, bool start, int *out_fd,
				       struct guestlock_error *err)
{
	for (unsigned attempt = 0;; attempt++) {
		int failure = gl_keeper_connect(keeper, out_fd);
		bool nobody = failure == ENOENT || failure == ECONNREFUSED;

		if (failure == 0) {
			return GUESTLOCK_RES_GRANTED;
		}
		if (nobody && start && keeper->program) {
			enum guestlock_result result = gl_keeper_start(keeper, deadline_ms, err);

			if (result != GUESTLOCK_RES_GRANTED) {
				return result;
			}
		} else if (failure != EAGAIN && failure != EINTR) {
			return not_reachable(keeper, failure, err);
		}
		if (!gl_pause_before_retry(attempt, LONGEST_PAUSE_MS, deadline_ms)) {
			return not_reachable(keeper, failure, err);
		}
	}
}

static enum guestlock_result other_version(const struct gl_keeper *keeper, struct guestlock_error *err)
{
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_INVALID, EPROTONOSUPPORT, 0,
		"the keeper of %s is of another version of guestlock than this (%s) and "
		"they do not understand each other; end it with SIGTERM (locks stay), or "
		"restart guestlock-keeper.service, so that one of this version starts",
		keeper->run_dir, guestlock_version());
}

static enum guestlock_result keeper_ended(const struct gl_keeper *keeper, struct guestlock_error *err)
{
	return guestlock_backend_fail(err, GUESTLOCK_RES_INFLIGHT, ECONNRESET, 0,
				      "the keeper of %s ended before it answered, so that it is not known "
				      "whether backend %s did it; try again, and look into its log",
				      keeper->run_dir, keeper->backend);
}

/* What stands in the way of an answer that was waited for. */
static enum gl_keeper_outcome not_understood(const struct gl_keeper *keeper, int failure,
					     enum guestlock_result *out_result, struct guestlock_error *err)
{
	if (failure == EPROTONOSUPPORT) {
		*out_result = other_version(keeper, err);
		return GL_KEEPER_NOT_ASKED;
	}
	*out_result = guestlock_backend_fail(err, GUESTLOCK_RES_INFLIGHT, failure, 0,
					     "the answer of the keeper of %s cannot be taken: %s; try again",
					     keeper->run_dir, strerror(failure));
	return GL_KEEPER_LOST;
}

/* The keeper is gone, or has closed what it did not know how to answer. */
static bool is_gone(int failure)
{
	return failure == ENOTCONN || failure == ECONNRESET || failure == EPIPE;
}

enum gl_keeper_outcome gl_keeper_exchange(struct gl_keeper *keeper, const struct gl_wire *request,
					  int64_t deadline_ms, bool start, unsigned char **out_body,
					  size_t *out_size, enum guestlock_result *out_result,
					  struct guestlock_error *err)
{
	unsigned losses = 0;

	for (;;) {
		int fd = take_idle(keeper), failure = 0;
		bool fresh = fd < 0;

		if (fresh) {
			*out_result = connected(keeper, deadline_ms, start, &fd, err);
			if (*out_result != GUESTLOCK_RES_GRANTED) {
				return losses > 0 ? GL_KEEPER_LOST : GL_KEEPER_NOT_ASKED;
			}
		}
		if (gl_keeper_send(fd, request) < 0) {
			failure = errno;
			drop(fd);
			/* It had ended while the connection was not in use: nobody got this. */
			if (is_gone(failure) &&
			    (!fresh || (++losses <= LOSSES &&
					gl_pause_before_retry(losses, LONGEST_PAUSE_MS, deadline_ms)))) {
				continue;
			}
			*out_result = not_reachable(keeper, failure, err);
			return losses > 0 ? GL_KEEPER_LOST : GL_KEEPER_NOT_ASKED;
		}
		if (!wait_for_answer(fd, deadline_ms)) {
			drop(fd);
			return GL_KEEPER_LATE;
		}
		if (gl_keeper_receive(fd, GL_KEEPER_ANSWER, out_body, out_size) == 0) {
			put_idle(keeper, fd);
			return GL_KEEPER_ANSWERED;
		}
		failure = errno;
		drop(fd);
		if (!is_gone(failure)) {
			return not_understood(keeper, failure, out_result, err);
		}
		if (++losses > LOSSES || !gl_pause_before_retry(losses, LONGEST_PAUSE_MS, deadline_ms)) {
			*out_result = keeper_ended(keeper, err);
			return GL_KEEPER_LOST;
		}
	}
}

/* ---- The link ---- */

static int append(char **text, const char *section, const char *key, const char *value)
{
	char *longer = NULL;
	int length = asprintf(&longer, "%s%s%s%s=%s\n", *text ? *text : "", section, section[0] ? "." : "",
			      key, value);

	if (length < 0) {
		return -1;
	}
	free(*text);
	*text = longer;
	return 0;
}

char *gl_keeper_settings_text(struct gl_settings *settings, const char *backend)
{
	char *text = NULL;
	size_t count;
	const struct guestlock_setting *all = gl_settings_all(settings, &count);
	int status = append(&text, "", "backend", backend);

	if (status == 0) {
		status = append(&text, "", "disk_identity",
				gl_settings_string(settings, "guestlock", "disk_identity"));
	}
	for (size_t i = 0; i < count && status == 0; i++) {
		if (strcmp(all[i].section, backend) == 0) {
			status = append(&text, all[i].section, all[i].key, all[i].value);
		}
	}
	if (status < 0) {
		free(text);
		return NULL;
	}
	return text;
}

int gl_keeper_new(struct gl_settings *settings, const char *backend, const char *run_dir,
		  struct gl_keeper **out_keeper, struct guestlock_error *err)
{
	const char *program = secure_getenv("GUESTLOCK_KEEPER");
	struct gl_keeper *keeper = calloc(1, sizeof(*keeper));

	if (!keeper) {
		return gl_fail_memory(err);
	}
	keeper->settings = settings;
	keeper->timeout_ms = (int64_t)gl_settings_uint(settings, "guestlock", "acquire_timeout") * 1000;
	keeper->pid = getpid();
	for (size_t i = 0; i < GL_KEEPER_SLOTS; i++) {
		keeper->slots[i] = -1;
	}
	keeper->text = gl_keeper_settings_text(settings, backend);
	if (!keeper->text || gl_set_string(&keeper->backend, backend) < 0 ||
	    gl_set_string(&keeper->run_dir, run_dir) < 0 ||
	    gl_set_string(&keeper->program,
			  program && program[0] ? program : GL_SBINDIR "/guestlock-keeper") < 0) {
		gl_keeper_free(keeper);
		return gl_fail_memory(err);
	}
	guestlock_digest(keeper->text, strlen(keeper->text), keeper->digest);
	*out_keeper = keeper;
	return GUESTLOCK_OK;
}

void gl_keeper_free(struct gl_keeper *keeper)
{
	if (!keeper) {
		return;
	}
	/* In a forked child these are copies: closing them changes nothing for the parent. */
	for (size_t i = 0; i < GL_KEEPER_SLOTS; i++) {
		if (keeper->slots[i] >= 0) {
			close(keeper->slots[i]);
		}
	}
	free(keeper->run_dir);
	free(keeper->backend);
	free(keeper->program);
	free(keeper->text);
	free(keeper);
}
