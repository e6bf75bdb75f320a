/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of the server. A connection is served by one thread at a time, a request (job) belongs to the
 * thread that runs it or to the queue in which it waits.
 *
 * Order of locks: the keeper has two, the server's and the worker's (worker.h), and nobody who holds one of
 * them takes the other. The server's is never held across a call of server_ops; who holds the worker's calls
 * nothing of the server.
 *
 * What each function does about the server's lock, it says: it wants it (is called with it held), takes it
 * (by itself or in what it calls, so is called without it), or there is no lock.
 */
#ifndef KEEPER_SERVER_PRIV_H
#define KEEPER_SERVER_PRIV_H

#include "keeper.h"

#include <pthread.h>
#include <sys/queue.h>

struct connection {
	int fd;
	pid_t peer;
	LIST_ENTRY(connection) next;
};

/* A request, or some other work. */
struct job {
	struct connection *connection;
	struct lane *lane;              /* NULL: it goes with any other */
	unsigned char *body;
	struct gl_keeper_request request;
	void (*work)(void *argument);
	void *argument;
	STAILQ_ENTRY(job) next;
};
STAILQ_HEAD(job_queue, job);

/* An owner with a request under way. */
struct lane {
	char name[GUESTLOCK_UUID_STRING + 20];  /* first: the tree compares it */
	struct job_queue waiting;
};

struct server {
	struct server_ops ops;
	int listener, epoll, wake;
	pthread_mutex_t lock;           /* of everything below, of queued jobs and of lanes */
	pthread_cond_t changed;
	LIST_HEAD(, connection) connections;
	void *lanes;
	struct job_queue ready;         /* there was no thread for them */
	unsigned threads, idle, running, waiting;
	unsigned calls; /* that are made, and what server_run() has taken on; not those that are refused */
	bool draining, stop;
};

/* ---- server_connection.c: who is connected ---- */

/* Takes the lock. Takes in everybody who waits at the listener, and waits there again. */
void connection_accept(struct server *server);
/*
 * Takes the lock. It is waited for its next request again. The connection is another thread's from here on.
 */
void connection_rearm(struct server *server, struct connection *connection);
/* Takes the lock. Closes and frees it. */
void connection_close(struct server *server, struct connection *connection);
/* No lock. Its caller has closed the connection, or was killed. */
bool connection_is_gone(const struct connection *connection);

/* ---- server_lane.c: requests of one owner run one after the other ---- */

/*
 * Takes the lock. The job takes its place. true: it is its turn; false: it is in the lane, or there is no
 * memory (*out_failed).
 */
bool lane_enter(struct server *server, struct job *job, bool *out_failed);
/* Takes the lock. The next of the lane (may be NULL); without one the lane goes. */
struct job *lane_leave(struct server *server, struct lane *lane);

/* ---- server_request.c: one request ---- */

/* Takes the lock. The next request of a connection, if it is its turn. */
struct job *request_take(struct server *server, struct connection *connection);
/* Takes the lock, but not while it runs. true: the caller may ask on. false: the connection is closed. */
bool request_run(struct server *server, struct job *job);
/*
 * Takes the lock. false: no more calls are made. What we ask ourselves belongs to what is being brought to
 * an end.
 */
bool request_begin_call(struct server *server, bool own);
/* Takes the lock. */
void request_end_call(struct server *server);
/* No lock. */
void job_free(struct job *job);

#endif
