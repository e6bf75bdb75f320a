/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the host is a member of its backend. One at a time joins or leaves, and while it leaves there are
 * no calls for guests.
 *
 * The lock is the worker's. A thread that joins or leaves has it for the bookkeeping before and after, never
 * while the backend is called: joining and leaving stand for it meanwhile, and changed tells of their end.
 */
#include "worker.h"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* How long a call waits for the host to leave before it is refused. */
#define LEAVE_MS 3000
/* So long before its deadline a caller is told why it waited in vain. */
#define TELL_MS 300
/* How long it is waited for somebody else who joins. */
#define JOIN_MS 2000

/*
 * Wants the lock, which is left while it waits. One at a time joins or leaves; false: somebody else still
 * does when the deadline is near.
 */
static bool begin_joining(struct worker *worker, int64_t deadline_ms)
{
	struct timespec until = time_of(deadline_ms - TELL_MS);
	bool free;

	while (worker->joining &&
	       pthread_cond_clockwait(&worker->changed, &worker->lock, CLOCK_MONOTONIC, &until) == 0) {
	}
	free = !worker->joining;
	worker->joining = true;
	return free;
}

/* Wants the lock. */
static void end_joining(struct worker *worker)
{
	worker->joining = false;
	pthread_cond_broadcast(&worker->changed);
}

/* Wants the lock, which is left meanwhile. only_new: not if this process has joined already. */
static enum guestlock_result join_locked(struct worker *worker, bool only_new, struct guestlock_error *err)
{
	enum guestlock_result result;

	if (worker->left) {
		return guestlock_backend_fail(err, GUESTLOCK_RES_STOPPED, 0, 0,
					      "this host has left and joins again with its next guest");
	}
	if (only_new && worker->joined) {
		return GUESTLOCK_RES_GRANTED;
	}
	pthread_mutex_unlock(&worker->lock);
	result = worker_ops(worker)->join(worker->gl->backend, &worker->pair->kept, err);
	pthread_mutex_lock(&worker->lock);
	worker->joined = result == GUESTLOCK_RES_GRANTED;
	eventfd_write(worker->news, 1);
	return result;
}

enum guestlock_result member_join(struct worker *worker, int64_t deadline_ms, bool on_demand, bool only_new,
				  struct guestlock_error *err)
{
	enum guestlock_result result;

	pthread_mutex_lock(&worker->lock);
	if (!begin_joining(worker, deadline_ms)) {
		pthread_mutex_unlock(&worker->lock);
		return guestlock_backend_fail(err, GUESTLOCK_RES_NOT_JOINED, 0, 0,
					      "backend %s still joins or leaves; try again later",
					      gl_technology(worker->gl));
	}
	worker->left = worker->left && !on_demand;
	result = join_locked(worker, only_new, err);
	end_joining(worker);
	pthread_mutex_unlock(&worker->lock);
	return result;
}

/* Wants the lock, which is left while it waits. No call for a guest is under way then, until leaving ends. */
static bool begin_leaving(struct worker *worker, int64_t deadline_ms, struct guestlock_error *err)
{
	struct timespec until = time_of(deadline_ms - TELL_MS);
	unsigned calls;

	if (!begin_joining(worker, deadline_ms)) {
		guestlock_backend_fail(err, GUESTLOCK_RES_STOPPED, 0, 0,
				       "backend %s still joins or leaves; try again later",
				       gl_technology(worker->gl));
		return false;
	}
	worker->leaving = true;
	while (worker->calls > 0 &&
	       pthread_cond_clockwait(&worker->changed, &worker->lock, CLOCK_MONOTONIC, &until) == 0) {
	}
	calls = worker->calls;
	if (calls > 0) {
		worker->leaving = false;
		end_joining(worker);
		guestlock_backend_fail(err, GUESTLOCK_RES_STOPPED, 0, 0,
				       "cannot leave: %u calls for guests of this host are under way; try "
				       "again when they have ended",
				       calls);
	}
	return calls == 0;
}

enum guestlock_result member_leave(struct worker *worker, int64_t deadline_ms, struct guestlock_error *err)
{
	enum guestlock_result result = GUESTLOCK_RES_GRANTED;
	bool begun;

	pthread_mutex_lock(&worker->lock);
	begun = begin_leaving(worker, deadline_ms, err);
	if (begun && !worker->joined && worker->pair->kept.count > 0) {
		/* What a predecessor left behind can only be given up by a member. */
		result = join_locked(worker, true, err);
	}
	pthread_mutex_unlock(&worker->lock);
	if (!begun) {
		return GUESTLOCK_RES_STOPPED;
	}
	if (result == GUESTLOCK_RES_GRANTED) {
		result = worker_ops(worker)->leave(worker->gl->backend, err);
	}
	pthread_mutex_lock(&worker->lock);
	if (result == GUESTLOCK_RES_GRANTED) {
		worker->left = true;
		worker->joined = false;
		eventfd_write(worker->news, 1);
	}
	worker->leaving = false;
	end_joining(worker);
	pthread_mutex_unlock(&worker->lock);
	return result;
}

/* ---- Calls for guests ---- */

/* A new guest, or a new lock: for that the host becomes a member again. */
static bool may_join(const struct gl_keeper_request *request, pid_t peer)
{
	return peer != getpid() && (request->call == GL_KEEPER_BIND || request->call == GL_KEEPER_ACQUIRE);
}

/*
 * Wants the lock, which is left while it waits. Nothing is begun while the host leaves: what a guest would
 * get between the backend's look for guests and its last step would be taken from it again.
 */
static bool wait_for_leave(struct worker *worker, int64_t deadline_ms)
{
	int64_t patience_ms = guestlock_monotonic_ms() + LEAVE_MS, last_ms = deadline_ms - TELL_MS;
	struct timespec until = time_of(patience_ms < last_ms ? patience_ms : last_ms);

	while (worker->leaving &&
	       pthread_cond_clockwait(&worker->changed, &worker->lock, CLOCK_MONOTONIC, &until) == 0) {
	}
	return !worker->leaving;
}

/*
 * Callers that joined through the worker before this one do not know that it is gone, nor that the host has
 * left. true: leave waits until member_end_call().
 */
bool member_begin_call(struct worker *worker, const struct gl_keeper_request *request, pid_t peer,
		       struct gl_keeper_answer *answer)
{
	bool again = false;

	for (;;) {
		bool gone, ready;

		pthread_mutex_lock(&worker->lock);
		/* Who asked while the host was a member joins again; who asks later is told. */
		again |= worker->leaving && may_join(request, peer);
		gone = wait_for_leave(worker, request->deadline_ms);
		ready = gone && (worker->joined || (worker->left && !again));
		worker->calls += ready;
		pthread_mutex_unlock(&worker->lock);
		if (ready) {
			return true;
		}
		answer->result =
			gone ? member_join(worker, request->deadline_ms, again, true, &answer->error)
			     : guestlock_backend_fail(&answer->error, GUESTLOCK_RES_NOT_JOINED, 0, 0,
						      "this host leaves at this moment (guestlock leave); "
						      "try again when it has left, or stay");
		if (answer->result != GUESTLOCK_RES_GRANTED) {
			return false;
		}
	}
}

void member_end_call(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	if (--worker->calls == 0 && worker->leaving) {
		pthread_cond_broadcast(&worker->changed);
	}
	pthread_mutex_unlock(&worker->lock);
}

void member_note_result(struct worker *worker, enum guestlock_result result)
{
	if (result == GUESTLOCK_RES_NOT_JOINED) {
		pthread_mutex_lock(&worker->lock);
		worker->joined = false;
		pthread_mutex_unlock(&worker->lock);
	}
}

/* ---- Ending ---- */

bool member_is_idle(struct worker *worker, bool join)
{
	struct guestlock_error ignored = {0};
	bool known;

	if (!gl_can(worker->gl, GUESTLOCK_CAP_MAY_BLOCK)) {
		return true;
	}
	pthread_mutex_lock(&worker->lock);
	known = worker->joined || worker->pair->kept.count == 0;
	pthread_mutex_unlock(&worker->lock);
	if (!known && join) {
		known = member_join(worker, guestlock_monotonic_ms() + JOIN_MS, false, true, &ignored) ==
			GUESTLOCK_RES_GRANTED;
	}
	return known && !worker_ops(worker)->busy(worker->gl->backend);
}
