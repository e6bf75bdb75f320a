/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker: what it has, what it does with requests, and whether this host is a member of the backend. Its
 * functions say what they do about its lock as those of the server do (server_priv.h, which has the order of
 * both).
 */
#ifndef KEEPER_WORKER_H
#define KEEPER_WORKER_H

#include "keeper.h"

#include <pthread.h>

struct worker {
	struct guestlock *gl;
	char *settings;                 /* those that callers must have, too */
	char digest[GUESTLOCK_KEY_SIZE];        /* of those */
	struct server *server;
	int64_t since;
	int news;                       /* eventfd: somebody joined, the main thread is to look */
	struct pair *pair;              /* what is kept is for whoever joins or leaves */
	pthread_mutex_t lock;           /* of what follows; never held across a call of the backend */
	pid_t guard;                    /* 0: it is gone */
	pthread_cond_t changed;         /* joining has ended */
	bool joining;                   /* or leaving: one at a time */
	bool joined;                    /* in this process, as far as is known */
	bool left;                      /* on demand: only others make us a member again */
	bool leaving;                   /* no call for a guest begins */
	unsigned calls;                 /* for guests, under way */
};

/* No lock. The backend's functions, which are called without it. */
static inline const struct guestlock_backend_ops *worker_ops(const struct worker *worker)
{
	return worker->gl->module.descriptor->ops;
}

/* ---- dispatch.c: what is done with a request ---- */

/* These are server_ops. Both take the lock, but not while the backend is called. */
void worker_answer(void *data, const struct gl_keeper_request *request, pid_t peer,
		   struct gl_keeper_answer *out_answer);
void worker_refuse(void *data, const struct gl_keeper_request *request, struct gl_keeper_answer *out_answer);
/* No lock. */
void worker_clear(void *data, struct gl_keeper_answer *answer);

/* ---- membership.c: joining and leaving ---- */

/*
 * Takes the lock, but not while the backend is called. on_demand: somebody asks for it, who is not
 * ourselves. only_new: not if this process has joined already.
 */
enum guestlock_result member_join(struct worker *worker, int64_t deadline_ms, bool on_demand, bool only_new,
				  struct guestlock_error *err);
/* Takes the lock, but not while the backend is called. */
enum guestlock_result member_leave(struct worker *worker, int64_t deadline_ms, struct guestlock_error *err);
/*
 * Takes the lock. Before a call of the backend for a guest, once the host is a member. false: it cannot be,
 * *answer says why. Nobody leaves until member_end_call().
 */
bool member_begin_call(struct worker *worker, const struct gl_keeper_request *request, pid_t peer,
		       struct gl_keeper_answer *answer);
/* Takes the lock. */
void member_end_call(struct worker *worker);
/* Takes the lock. A result of the backend, which knows better than we do. */
void member_note_result(struct worker *worker, enum guestlock_result result);
/*
 * Takes the lock, but not while the backend is called. Whether nothing that was ever asked is under way. What a
 * predecessor asked for is known once this process has joined: join has it do so.
 */
bool member_is_idle(struct worker *worker, bool join);

#endif
