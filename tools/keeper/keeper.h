/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guestlock-keeper, the process that calls a backend whose calls may hang. It is a pair, of one program:
 *
 *   the guard   holds what must survive: the listening socket, the lock of the run directory, and the descriptors
 *               that the backend gave it to keep. It starts the worker, and starts it again when it has ended.
 *   the worker  does all the work. When the guard has ended, it starts another one with the same descriptors.
 *
 * Either may be killed at any instant: the other one has everything. A predecessor counts as gone when its
 * pidfd says so, never at an end of file, as its last calls may still be under way then.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include "handle/handle.h"

#include <sys/types.h>
#include <time.h>

/* Where the descriptors of both are, from one program to the next. */
enum {
	FD_REPORT = 3,                  /* of whoever is started on demand, in the beginning only */
	FD_LISTEN = 3,
	FD_LOCK,
	FD_DIRECTORY,                   /* the run directory */
	FD_CHANNEL,                     /* between the two */
	FD_PARTNER,                     /* pidfd of the other; nothing here in the very first guard */
	FD_KEPT,                        /* the first of those that the backend keeps */
};

struct pair {
	int listener, lock, directory;
	int channel, partner;           /* -1: there is none */
	struct guestlock_kept kept;
	char **argv;                    /* program and options, without what only concerns one process */
};

/*
 * ---- pair.c: the two of them ----
 *
 * The guard has one thread and no lock. In the worker, the lock is that of struct worker.
 */

/* No lock. The descriptors as they were handed over, count of them kept. */
void pair_receive(struct pair *pair, char **argv, size_t count);
/*
 * Wants the lock. Starts the partner ("guard" or "worker"), with a channel of its own; how (may be NULL) is
 * why, in words. Its pid, or -1 with errno.
 */
pid_t pair_start(struct pair *pair, const char *role, const char *how);
/* No lock. Becomes the guard, in this process. Returns only on failure, with errno. */
void pair_become_guard(struct pair *pair);
/* Wants the lock. The worker tells the guard what to keep from now on. */
void pair_tell_kept(const struct pair *pair);
/*
 * No lock, as it is for the main thread, and no other one starts a partner. The worker tells the guard that
 * both are to end.
 */
void pair_tell_end(const struct pair *pair);
enum pair_news {
	PAIR_NOTHING,
	PAIR_KEPT,
	PAIR_END,
};
/* No lock. What the guard was told next. */
enum pair_news pair_listen(struct pair *pair);

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

/* Runs until both are to end: the exit status. */
int guard_run(struct pair *pair);
int worker_run(struct pair *pair, const struct options *options, const char *how);
/* Takes the run directory, listens there, and becomes the guard. */
int claim_run(const struct options *options, char **argv);
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
