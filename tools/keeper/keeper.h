/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guestlock-keeper, the process that calls a backend whose calls may hang. It is a pair, of one program:
 *
 *   the guard   holds what must survive: the listening socket, the lock of the run directory, and the descriptors
 *               that the backend gave it to keep. It starts the worker, and starts it again when it has ended.
 *   the worker  does all the work.
 *
 * Either may be killed at any instant. Only the guard starts workers, and nobody starts a guard: a worker whose guard
 * is gone works on until nothing is under way, and takes its place then. They end together when they are told to, or their socket is removed: the worker when nothing is under way, whether
 * or not anybody waits for it still, and the guard when a worker has ended so.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include "handle/handle.h"

#include <sys/types.h>
#include <time.h>

#define FD_REPORT 3     /* of whoever is started on demand, in the beginning only */

struct pair {
	struct guestlock_kept kept;     /* what the guard has; in the worker the descriptors are the backend's */
	int listener, lock;
	int directory;                  /* the run directory */
	int channel;                    /* between the two, -1: none */
	char number;                    /* of the last message of the worker */
	char how[64];                   /* the worker before ended, in words; "": this is the first one */
};

/* ---- pair.c: the two of them. The guard has one thread and no lock, and none is needed in the worker ---- */

/* The guard becomes two, with a channel between them: as fork(). The descriptors are those of both. */
pid_t pair_fork(struct pair *pair);
/* The worker has the guard keep what a backend says. The function of struct guestlock_kept: one call at a time. */
bool pair_keep(struct guestlock_kept *kept);
/* The worker tells the guard that both are to end. */
void pair_tell_end(const struct pair *pair);
/* The guard does what it was told next. false: that was all. *out_end: both are to end. */
bool pair_listen(struct pair *pair, bool *out_end);

/* For pthread_cond_clockwait() with CLOCK_MONOTONIC. */
static inline struct timespec time_of(int64_t monotonic_ms)
{
	return (struct timespec){
		.tv_sec = (time_t)(monotonic_ms / 1000),
		.tv_nsec = (long)(monotonic_ms % 1000) * 1000000,
	};
}

/* ---- The parts of the program ---- */

struct options {
	const char *config_file;
	const char **overrides;         /* NULL at the end */
	bool on_demand;
};

/* What a process is next, where it does not end with a status. */
enum {
	BE_GUARD = -1,
	BE_WORKER = -2,
};
/* The first step, while nothing is open that is ours: only what the service manager kept stays open. */
void claim_inherit(struct pair *pair, const struct options *options);
/* Takes the run directory, and listens there: BE_GUARD, or the exit status. */
int claim_run(struct pair *pair, const struct options *options);
/* Until both are to end: the exit status. In each child: BE_WORKER. */
int guard_run(struct pair *pair);
/* Until both are to end: the exit status. Where the guard was killed: BE_GUARD. */
int worker_run(struct pair *pair, const struct options *options);
/* Opens the library, and directs messages as configured. */
int claim_library(const struct options *options, struct guestlock **out_gl, struct guestlock_error *err);

/* ---- log.c: no lock, as it is told where to write before there are threads ---- */

/* Where messages go as long as no configuration has been read, and afterwards. */
void log_begin(bool on_demand);
void log_configure(const struct gl_settings *settings);
/* Of type guestlock_log_fn. */
void log_write(void *data, enum guestlock_log_level level, const char *message);
void log_say(enum guestlock_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- notify.c: systemd; no lock ---- */

/* Passes a state ("READY=1\n...") on to the service manager, if there is one. */
void notify(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool notify_wanted(void);
/* It is to keep these and nothing else; count 0: nothing. As far as there is one that does. */
void notify_kept(const int *fds, size_t count);
/*
 * What it kept of a predecessor, as far as it is ours. Returns the first descriptor that is not from the service
 * manager.
 */
int notify_inherit(struct guestlock_kept *out_kept);

/*
 * ---- server.c (and server_*.c): connections, threads and the order of requests ----
 *
 * The lock is that of the server. What it may be held for is said in server_priv.h.
 */

struct server;

/*
 * What is done with a request, in a thread of its own and without the lock. The answer's items and locks are
 * freed by clear().
 */
struct server_ops {
	void *data;
	void (*answer)(void *data, const struct gl_keeper_request *request, pid_t peer,
		       struct gl_keeper_answer *out_answer);
	/* Called instead while draining. */
	void (*refuse)(void *data, const struct gl_keeper_request *request,
		       struct gl_keeper_answer *out_answer);
	void (*clear)(void *data, struct gl_keeper_answer *answer);
};

/* No lock. NULL with errno. listener stays the caller's. */
struct server *server_new(int listener, const struct server_ops *ops);
/* Takes the lock. From here on ops are called, which may need the server. 0 or -1 with errno. */
int server_start(struct server *server);
/*
 * Takes the lock. No request is begun any more. true: nothing is under way, and all is done that
 * server_run() was given before, within wait_ms.
 */
bool server_drain(struct server *server, int wait_ms);
/* Takes the lock. Only when nothing is under way. */
void server_stop(struct server *server);
/* Takes the lock. */
void server_count(struct server *server, unsigned *out_running, unsigned *out_waiting);
/*
 * Takes the lock. Runs work(argument) in one of the threads; of type follow.start, data is the server.
 * false: no memory.
 */
bool server_run(void *data, void (*work)(void *argument), void *argument);

#endif
