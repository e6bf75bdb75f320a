/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests become calls of the backend, and what they say becomes answers. Threads of the server do that,
 * each with a request of its own; the backend is called without any lock.
 */
#include "worker.h"

#include "base/base.h"
#include "base/error.h"

#include <errno.h>
#include <string.h>

/* ---- What is enumerated ---- */

struct collection {
	struct guestlock_lock *locks;
	size_t count;
	struct gl_keeper_silent *silent;
	size_t n_silent;
	bool failed;
};

static char *copy(struct collection *collection, const char *text)
{
	char *copied = text ? strdup(text) : NULL;

	collection->failed |= text && !copied;
	return copied;
}

/* The strings are the backend's only as long as we are here. */
static int collect(void *data, const struct guestlock_lock *lock)
{
	struct collection *collection = data;
	struct guestlock_lock *to = gl_grow(collection->locks, collection->count, sizeof(*to));

	if (!to) {
		collection->failed = true;
		return -1;
	}
	collection->locks = to;
	to += collection->count++;
	*to = *lock;
	if (!lock->readable) {
		/* Nothing else is valid. */
		*to = (struct guestlock_lock){.readable = false};
		memcpy(to->key.key, lock->key.key, sizeof(to->key.key));
	}
	to->owner.name = copy(collection, lock->readable ? lock->owner.name : "");
	to->owner.host = copy(collection, lock->readable ? lock->owner.host : "");
	to->owner.manager = copy(collection, lock->readable ? lock->owner.manager : "");
	to->key.identity = copy(collection, lock->readable ? lock->key.identity : "");
	to->key.lockspace = copy(collection, lock->readable ? lock->key.lockspace : NULL);
	to->key.path = copy(collection, lock->readable ? lock->key.path : NULL);
	return collection->failed ? -1 : 0;
}

static void collect_silent(void *data, const char *host, const char *reason)
{
	struct collection *collection = data;
	struct gl_keeper_silent *grown =
		reallocarray(collection->silent, collection->n_silent + 1, sizeof(*grown));

	if (!grown) {
		collection->failed = true;
		return;
	}
	collection->silent = grown;
	grown[collection->n_silent++] = (struct gl_keeper_silent){
		.host = copy(collection, host),
		.reason = copy(collection, reason),
	};
}

void worker_clear(void *data, struct gl_keeper_answer *answer)
{
	(void)data;
	for (size_t i = 0; i < answer->n_locks; i++) {
		gl_free_constant(answer->locks[i].owner.name);
		gl_free_constant(answer->locks[i].owner.host);
		gl_free_constant(answer->locks[i].owner.manager);
		gl_free_constant(answer->locks[i].key.identity);
		gl_free_constant(answer->locks[i].key.lockspace);
		gl_free_constant(answer->locks[i].key.path);
	}
	for (size_t i = 0; i < answer->n_silent; i++) {
		gl_free_constant(answer->silent[i].host);
		gl_free_constant(answer->silent[i].reason);
	}
	free(answer->locks);
	free(answer->silent);
	answer->locks = NULL;
	answer->silent = NULL;
	answer->n_locks = answer->n_silent = 0;
}

static enum guestlock_result hand_over(const struct collection *collection, enum guestlock_result result,
				       struct gl_keeper_answer *answer)
{
	answer->locks = collection->locks;
	answer->n_locks = collection->count;
	answer->silent = collection->silent;
	answer->n_silent = collection->n_silent;
	if (collection->failed) {
		result = guestlock_backend_fail(&answer->error, GUESTLOCK_RES_IO, ENOMEM, 0,
						"the keeper cannot list the locks: out of memory; free some");
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		worker_clear(NULL, answer);
	}
	return result;
}

static enum guestlock_result enumerate(const struct worker *worker, struct gl_keeper_answer *answer)
{
	struct collection collection = {.count = 0};
	enum guestlock_result result = worker_ops(worker)->enumerate(worker->gl->backend, collect, NULL,
								     &collection, &answer->error);

	return hand_over(&collection, result, answer);
}

/* ---- Answers ---- */

/* Takes the worker's lock, and the server's afterwards. */
static void tell_about(struct worker *worker, struct gl_keeper_about *out)
{
	pthread_mutex_lock(&worker->lock);
	out->guard = worker->guard;
	pthread_mutex_unlock(&worker->lock);
	out->worker = getpid();
	out->since = worker->since;
	server_count(worker->server, &out->running, &out->waiting);
	gl_copy_cut(out->version, sizeof(out->version), guestlock_version());
	gl_copy_cut(out->backend, sizeof(out->backend), gl_technology(worker->gl));
}

/* The function that is asked for may not be there, as the backend has no such ability. */
static enum guestlock_result unable(const struct worker *worker, struct guestlock_error *err)
{
	return guestlock_backend_fail(err, GUESTLOCK_RES_INVALID, 0, 0, "backend %s has no such ability",
				      gl_technology(worker->gl));
}

static enum guestlock_result call_survey(const struct worker *worker, const struct gl_keeper_request *request,
					 struct gl_keeper_answer *answer)
{
	const struct guestlock_backend_ops *ops = worker_ops(worker);
	struct collection collection = {.count = 0};
	enum guestlock_result result;

	if (!ops->survey) {
		return unable(worker, &answer->error);
	}
	result = ops->survey(worker->gl->backend, request->name[0] ? request->name : NULL,
			     request->deadline_ms, collect, collect_silent, &collection, &answer->error);
	return hand_over(&collection, result, answer);
}

typedef enum guestlock_result batch_fn(struct guestlock_backend *, struct guestlock_batch *,
				       struct guestlock_error *);

/* Its results are the answer. */
static struct guestlock_batch take_batch(const struct gl_keeper_request *request,
					 struct gl_keeper_answer *answer)
{
	struct guestlock_batch batch = request->batch;

	batch.owner = request->has_owner ? &request->owner : NULL;
	answer->items = batch.items;
	answer->count = batch.count;
	return batch;
}

static enum guestlock_result call_batch(const struct worker *worker, batch_fn *function,
					const struct gl_keeper_request *request,
					struct gl_keeper_answer *answer)
{
	struct guestlock_batch batch;

	if (!function) {
		return unable(worker, &answer->error);
	}
	batch = take_batch(request, answer);
	return function(worker->gl->backend, &batch, &answer->error);
}

static enum guestlock_result call_unprovision(const struct worker *worker,
					      const struct gl_keeper_request *request,
					      struct guestlock_error *err)
{
	const struct guestlock_backend_ops *ops = worker_ops(worker);

	return ops->unprovision ? ops->unprovision(worker->gl->backend, request->unused_s, err)
				: unable(worker, err);
}

static enum guestlock_result call_backend(struct worker *worker, const struct gl_keeper_request *request,
					  pid_t peer, struct gl_keeper_answer *answer)
{
	const struct guestlock_backend_ops *ops = worker_ops(worker);
	struct guestlock_backend *backend = worker->gl->backend;
	struct guestlock_error *err = &answer->error;

	switch (request->call) {
	case GL_KEEPER_ABOUT:
	case GL_KEEPER_STATUS:
		answer->state = answer->about.state = ops->status(backend, err);
		return GUESTLOCK_RES_GRANTED;
	case GL_KEEPER_JOIN:
		return member_join(worker, request->deadline_ms, peer != getpid(), false, err);
	case GL_KEEPER_LEAVE:
		return member_leave(worker, request->deadline_ms, err);
	case GL_KEEPER_BIND:
		return call_batch(worker, ops->bind, request, answer);
	case GL_KEEPER_ACQUIRE:
		return call_batch(worker, ops->acquire, request, answer);
	case GL_KEEPER_RELEASE:
		return call_batch(worker, ops->release, request, answer);
	case GL_KEEPER_CONVERT:
		return call_batch(worker, ops->convert, request, answer);
	case GL_KEEPER_INQUIRE:
		return call_batch(worker, ops->inquire, request, answer);
	case GL_KEEPER_UNPROVISION:
		return call_unprovision(worker, request, err);
	case GL_KEEPER_ENUMERATE:
		return enumerate(worker, answer);
	case GL_KEEPER_RELEASE_ORPHAN:
		return ops->release_orphan(backend, request->name, request->force, err);
	case GL_KEEPER_SURVEY:
		return call_survey(worker, request, answer);
	case GL_KEEPER_CALLS:
		break;
	}
	return unable(worker, err);
}

static bool needs_member(enum gl_keeper_call call)
{
	return call >= GL_KEEPER_BIND;
}

void worker_answer(void *data, const struct gl_keeper_request *request, pid_t peer,
		   struct gl_keeper_answer *out_answer)
{
	struct worker *worker = data;

	tell_about(worker, &out_answer->about);
	if (request->settings[0] && strcmp(request->settings, worker->digest) != 0) {
		out_answer->result = GUESTLOCK_RES_INVALID;
		out_answer->settings = worker->settings;
		return;
	}
	if (!needs_member(request->call)) {
		out_answer->result = call_backend(worker, request, peer, out_answer);
	} else if (member_begin_call(worker, request, peer, out_answer)) {
		out_answer->result = call_backend(worker, request, peer, out_answer);
		member_end_call(worker);
		member_note_result(worker, out_answer->result);
	}
	out_answer->has_error = out_answer->error.message[0] != '\0';
}

/* While draining: nothing is done, and whoever asks again soon asks our successor. */
void worker_refuse(void *data, const struct gl_keeper_request *request, struct gl_keeper_answer *out_answer)
{
	struct worker *worker = data;

	tell_about(worker, &out_answer->about);
	out_answer->items = request->batch.items;
	out_answer->count = request->batch.count;
	for (size_t i = 0; i < out_answer->count; i++) {
		out_answer->items[i].result = GUESTLOCK_RES_AGAIN;
	}
	out_answer->result =
		guestlock_backend_fail(&out_answer->error, GUESTLOCK_RES_AGAIN, 0, 0,
				       "the keeper (pid %ld) is ending; ask again", (long)getpid());
	out_answer->has_error = true;
}
