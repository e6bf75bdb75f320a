/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One request: read, run, answered, by the thread that has its connection and the turn of its lane, without
 * the lock. It is held only to count what is under way, so that draining waits for it and begins nothing new.
 */
#include "server_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void job_free(struct job *job)
{
	gl_keeper_request_free(&job->request);
	free(job->body);
	free(job);
}

static bool send_answer(struct server *server, const struct connection *connection,
			struct gl_keeper_answer *answer)
{
	GL_AUTOWIRE struct gl_wire wire = {.size = 0};
	bool fine = gl_keeper_put_answer(&wire, answer) == 0;

	if (!fine) {
		struct gl_keeper_answer sorry = {.result = GUESTLOCK_RES_IO, .has_error = true};

		guestlock_backend_fail(&sorry.error, GUESTLOCK_RES_IO, errno, 0,
				       "the keeper cannot send its answer: %s; ask for less at once",
				       strerror(errno));
		fine = gl_keeper_put_answer(&wire, &sorry) == 0;
	}
	server->ops.clear(server->ops.data, answer);
	return fine && gl_keeper_send(connection->fd, &wire) == 0;
}

/* Nobody would hear what came of it. */
static bool is_pointless(const struct job *job)
{
	bool late = gl_keeper_has_batch(job->request.call) &&
		    job->request.deadline_ms <= guestlock_monotonic_ms();

	return late || connection_is_gone(job->connection);
}

bool request_begin_call(struct server *server, bool own)
{
	bool fine;

	pthread_mutex_lock(&server->lock);
	fine = own || !server->draining;
	server->calls += fine;
	pthread_mutex_unlock(&server->lock);
	return fine;
}

void request_end_call(struct server *server)
{
	pthread_mutex_lock(&server->lock);
	if (--server->calls == 0) {
		pthread_cond_broadcast(&server->changed);
	}
	pthread_mutex_unlock(&server->lock);
}

bool request_run(struct server *server, struct job *job)
{
	struct gl_keeper_answer answer = {.result = GUESTLOCK_RES_GRANTED};
	const struct server_ops *ops = &server->ops;

	if (is_pointless(job)) {
		connection_close(server, job->connection);
		return false;
	}
	if (request_begin_call(server, job->connection->peer == getpid())) {
		ops->answer(ops->data, &job->request, job->connection->peer, &answer);
		request_end_call(server);
	} else {
		ops->refuse(ops->data, &job->request, &answer);
	}
	if (!send_answer(server, job->connection, &answer)) {
		connection_close(server, job->connection);
		return false;
	}
	return true;
}

/* An answer that every version understands: its header says that it is another one. */
static void tell_version(const struct connection *connection)
{
	GL_AUTOWIRE struct gl_wire wire = {.size = 0};
	struct gl_keeper_answer nothing = {.result = GUESTLOCK_RES_INVALID};

	if (gl_keeper_put_answer(&wire, &nothing) == 0) {
		gl_keeper_send(connection->fd, &wire);
	}
}

/* false: the connection is done with. */
static bool read_request(const struct connection *connection, struct job *job)
{
	size_t size;

	if (gl_keeper_receive(connection->fd, GL_KEEPER_REQUEST, &job->body, &size) < 0) {
		if (errno == EPROTONOSUPPORT) {
			tell_version(connection);
		}
	} else if (gl_keeper_get_request(job->body, size, &job->request) == 0) {
		return true;
	}
	if (errno != ENOTCONN && errno != ECONNRESET) {
		log_say(GUESTLOCK_LOG_WARNING, "dropped the connection of process %ld: %s",
			(long)connection->peer,
			errno == EBADMSG ? "what it sent is no request" : strerror(errno));
	}
	return false;
}

struct job *request_take(struct server *server, struct connection *connection)
{
	struct job *job = calloc(1, sizeof(*job));
	bool failed;

	if (!job || !read_request(connection, job)) {
		if (job) {
			free(job->body);
			free(job);
		}
		connection_close(server, connection);
		return NULL;
	}
	job->connection = connection;
	if (lane_enter(server, job, &failed)) {
		return job;
	}
	if (failed) {
		connection_close(server, connection);
		job_free(job);
	}
	return NULL;
}
