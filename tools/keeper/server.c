/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connections, threads, and the order of requests.
 *
 * All threads wait at one epoll. Whoever gets a request runs it itself, after it made sure that somebody
 * waits in its place; so a call that hangs holds nobody up, and a call that does not costs no change of
 * threads. A connection is watched by nobody while its request is under way (EPOLLONESHOT).
 *
 * Requests of one owner run one after the other, in the order in which they were read: an owner that is busy
 * has a lane, in which the others wait. A request takes its place first, and only when its turn comes it is
 * looked whether its caller still waits; if not, it is not run. So what a caller asks for that follows a
 * killed one is answered after everything of that one that is ever going to happen.
 *
 * The lock is held for a few steps at a time, by a thread that leaves its post, comes back or ends, by who
 * starts another one, and by who gives the server work, counts it or waits until it is done. It is held by
 * nobody who waits at the epoll, runs a job, or reads or writes a connection.
 */
#include "server_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 512
#define STACK_SIZE (1024 * 1024)
#define IDLE_MS 10000 /* an idle thread ends after this long */
#define LINGER_MS 1
#define SPARE 2 /* but so many stay */

/* ---- Threads ---- */

/* A thread of the server: it has no lock where it begins. */
static void *serve(void *argument);

/* Wants the lock. */
static bool add_thread(struct server *server)
{
	pthread_attr_t attributes;
	pthread_t thread;
	bool fine;

	if (server->threads >= THREADS_MAX || pthread_attr_init(&attributes) != 0) {
		return false;
	}
	fine = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
	       pthread_attr_setstacksize(&attributes, STACK_SIZE) == 0 &&
	       pthread_create(&thread, &attributes, serve, server) == 0;
	pthread_attr_destroy(&attributes);
	server->threads += fine;
	server->idle += fine;
	return fine;
}

/* Takes the lock. This thread may be gone for long. false: nobody would wait in its place. */
static bool leave_post(struct server *server)
{
	bool fine;

	pthread_mutex_lock(&server->lock);
	server->idle--;
	fine = server->idle > 0 || add_thread(server);
	server->idle += !fine;
	server->running += fine;
	pthread_mutex_unlock(&server->lock);
	return fine;
}

/* Wants the lock. What is ready and found no thread, or NULL. */
static struct job *pop_ready(struct server *server)
{
	struct job *job = STAILQ_FIRST(&server->ready);

	if (job) {
		STAILQ_REMOVE_HEAD(&server->ready, next);
		server->waiting--;
	}
	return job;
}

/* Takes the lock. Back at the post, unless something is ready that found no thread. */
static struct job *return_to_post(struct server *server)
{
	struct job *job;

	pthread_mutex_lock(&server->lock);
	job = pop_ready(server);
	if (!job) {
		server->running--;
		server->idle++;
	}
	pthread_mutex_unlock(&server->lock);
	return job;
}

/* ---- Jobs ---- */

/*
 * Takes the lock. Who has asked once often asks again at once: that is cheaper when the same thread waits for
 * it.
 */
static struct job *linger(struct server *server, struct connection *connection)
{
	struct pollfd polled = {.fd = connection->fd, .events = POLLIN};

	if (poll(&polled, 1, LINGER_MS) > 0) {
		return request_take(server, connection);
	}
	connection_rearm(server, connection);
	return NULL;
}

/* Takes the lock, but not while the job runs. What is to be done next by this thread, if anything. */
static struct job *run_job(struct server *server, struct job *job)
{
	struct connection *connection = NULL;
	struct job *next;

	if (job->work) {
		job->work(job->argument);
		request_end_call(server);
	} else if (request_run(server, job)) {
		connection = job->connection;
	}
	next = lane_leave(server, job->lane);
	job_free(job);
	if (connection && next) {
		connection_rearm(server, connection);
	} else if (connection) {
		next = linger(server, connection);
	}
	return next;
}

/*
 * Takes the lock, but not while jobs run: this one, what waits for it, and what found no thread. false: it
 * found none itself, and waits.
 */
static bool run(struct server *server, struct job *job)
{
	if (!leave_post(server)) {
		pthread_mutex_lock(&server->lock);
		STAILQ_INSERT_TAIL(&server->ready, job, next);
		server->waiting++;
		pthread_mutex_unlock(&server->lock);
		return false;
	}
	while (job) {
		job = run_job(server, job);
		if (!job) {
			job = return_to_post(server);
		}
	}
	return true;
}

/* ---- The threads' life ---- */

/* Takes the lock. true: this thread is one too many, or all are to end. */
static bool may_end(struct server *server, bool was_idle)
{
	bool ends;

	pthread_mutex_lock(&server->lock);
	ends = server->stop || (was_idle && server->idle > SPARE);
	if (ends) {
		server->idle--;
		server->threads--;
		pthread_cond_broadcast(&server->changed);
	}
	pthread_mutex_unlock(&server->lock);
	return ends;
}

/* Takes the lock. */
static struct job *take_ready(struct server *server)
{
	struct job *job;

	pthread_mutex_lock(&server->lock);
	job = pop_ready(server);
	pthread_mutex_unlock(&server->lock);
	return job;
}

static void *serve(void *argument)
{
	struct server *server = argument;

	for (;;) {
		struct epoll_event event;
		int count = epoll_wait(server->epoll, &event, 1, IDLE_MS);
		struct job *job;

		if (count <= 0) {
			if (may_end(server, count == 0)) {
				return NULL;
			}
			continue;
		}
		if (event.data.ptr == server) {
			connection_accept(server);
		} else if (event.data.ptr == &server->wake) {
			eventfd_t ignored;

			if (may_end(server, false)) {
				return NULL;
			}
			eventfd_read(server->wake, &ignored);
			while ((job = take_ready(server)) != NULL && run(server, job)) {
			}
		} else {
			job = request_take(server, event.data.ptr);
			if (job) {
				run(server, job);
			}
		}
	}
}

bool server_run(void *data, void (*work)(void *argument), void *argument)
{
	struct server *server = data;
	struct job *job = calloc(1, sizeof(*job));

	if (!job) {
		return false;
	}
	job->work = work;
	job->argument = argument;
	pthread_mutex_lock(&server->lock);
	STAILQ_INSERT_TAIL(&server->ready, job, next);
	server->waiting++;
	/* Whoever waits until nothing is under way waits for it as well. */
	server->calls++;
	pthread_mutex_unlock(&server->lock);
	eventfd_write(server->wake, 1);
	return true;
}

int server_start(struct server *server)
{
	struct epoll_event listener = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = server};
	struct epoll_event wake = {.events = EPOLLIN, .data.ptr = &server->wake};
	bool fine;

	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->epoll < 0 || server->wake < 0 ||
	    epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->listener, &listener) < 0 ||
	    epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->wake, &wake) < 0) {
		return -1;
	}
	pthread_mutex_lock(&server->lock);
	fine = add_thread(server);
	fine = fine && add_thread(server);
	pthread_mutex_unlock(&server->lock);
	return fine ? 0 : -1;
}

struct server *server_new(int listener, const struct server_ops *ops)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server) {
		return NULL;
	}
	server->ops = *ops;
	server->listener = listener;
	LIST_INIT(&server->connections);
	STAILQ_INIT(&server->ready);
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->changed, NULL);
	return server;
}

bool server_drain(struct server *server, int wait_ms)
{
	struct timespec until = time_of(guestlock_monotonic_ms() + wait_ms);
	bool done;

	pthread_mutex_lock(&server->lock);
	server->draining = true;
	while (server->calls > 0 &&
	       pthread_cond_clockwait(&server->changed, &server->lock, CLOCK_MONOTONIC, &until) == 0) {
	}
	done = server->calls == 0;
	pthread_mutex_unlock(&server->lock);
	return done;
}

void server_stop(struct server *server)
{
	struct connection *connection;

	pthread_mutex_lock(&server->lock);
	server->stop = true;
	eventfd_write(server->wake, 1);
	while (server->threads > 0) {
		pthread_cond_wait(&server->changed, &server->lock);
	}
	pthread_mutex_unlock(&server->lock);
	while ((connection = LIST_FIRST(&server->connections)) != NULL) {
		connection_close(server, connection);
	}
	close(server->epoll);
	close(server->wake);
	pthread_mutex_destroy(&server->lock);
	pthread_cond_destroy(&server->changed);
	free(server);
}

void server_count(struct server *server, unsigned *out_running, unsigned *out_waiting)
{
	pthread_mutex_lock(&server->lock);
	*out_running = server->calls;
	*out_waiting = server->waiting;
	pthread_mutex_unlock(&server->lock);
}
