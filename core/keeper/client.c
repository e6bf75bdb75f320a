/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of functions that asks the keeper. */
#include "keeper/client.h"
#include "backend/module.h"
#include "base/base.h"
#include "base/error.h"

#include <errno.h>
#include <string.h>

/* How long somebody who has waited in vain may still take to find out why. */
#define REASON_MS 300

static struct gl_keeper *keeper_of(const struct guestlock_backend *backend)
{
	return backend->context->keeper;
}

/* ---- One call ---- */

/* A call on its way: what is asked, and what came back. */
struct ask {
	struct gl_keeper_request request;
	struct guestlock_item *items; /* of the batch */
	size_t count;
	enum guestlock_result late; /* the result where nobody knows what was done */
	bool start;
	unsigned char *body; /* of the answer, whose texts lie in it */
	struct gl_keeper_answer answer;
};

static void ask_clear(struct ask *ask)
{
	gl_keeper_answer_free(&ask->answer);
	free(ask->body);
}
#define AUTOASK __attribute__((cleanup(ask_clear)))

/* Nothing is known of any item, but that. */
static enum guestlock_result set_all(const struct ask *ask, enum guestlock_result result)
{
	struct guestlock_batch batch = {.items = ask->items, .count = ask->count};

	for (size_t i = 0; i < ask->count; i++) {
		free(ask->items[i].holders);
	}
	guestlock_batch_answer(&batch, result);
	return result;
}

/* Its one line, from a text of many; what differs first. */
static void first_difference(const char *ours, const char *theirs, char *out_ours, char *out_theirs,
			     size_t size)
{
	while (*ours && *theirs) {
		size_t length = strcspn(ours, "\n"), other = strcspn(theirs, "\n");

		if (length != other || strncmp(ours, theirs, length) != 0) {
			break;
		}
		ours += length + (ours[length] == '\n');
		theirs += other + (theirs[other] == '\n');
	}
	gl_copy_cut(out_ours, size, ours);
	gl_copy_cut(out_theirs, size, theirs);
	out_ours[strcspn(out_ours, "\n")] = '\0';
	out_theirs[strcspn(out_theirs, "\n")] = '\0';
}

static enum guestlock_result other_settings(const struct gl_keeper *keeper,
					    const struct gl_keeper_answer *answer,
					    struct guestlock_error *err)
{
	const struct gl_keeper_about *about = &answer->about;
	long pid = (long)(about->guard > 0 ? about->guard : about->worker);
	char ours[256], theirs[256];

	first_difference(keeper->text, answer->settings, ours, theirs, sizeof(ours));
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_INVALID, 0, 0,
		"the keeper of %s (pid %ld) runs with %s, but here it is %s: use the same configuration "
		"everywhere, or end the keeper (kill -TERM %ld, or restart guestlock-keeper.service; locks "
		"stay), and the next one starts with the new settings",
		keeper->run_dir, pid, theirs[0] ? theirs : "fewer settings", ours[0] ? ours : "set otherwise",
		pid);
}

/* The deadline has passed: says so, and why, if the keeper still tells. */
static enum guestlock_result too_late(struct gl_keeper *keeper, const struct ask *ask,
				      struct guestlock_error *err)
{
	struct guestlock_error why = {0};
	struct gl_keeper_about about;
	int known = gl_keeper_ask_about(keeper, guestlock_monotonic_ms() + REASON_MS, &about, &why);

	set_all(ask, ask->late);
	if (known < 0) {
		return guestlock_backend_fail(
			err, ask->late, ETIMEDOUT, 0,
			"backend %s has not answered in time, and neither does the keeper "
			"of %s that calls it; look into its log, and try again later",
			keeper->backend, keeper->run_dir);
	}
	return guestlock_backend_fail(
		err, ask->late, ETIMEDOUT, 0,
		"backend %s has not answered the keeper (pid %ld, %u calls under way) in time%s%s; it may do "
		"yet what it was asked for: try again later",
		keeper->backend, (long)about.worker, about.running, why.message[0] ? ": " : "", why.message);
}

static enum guestlock_result take_answer(struct gl_keeper *keeper, struct ask *ask, size_t size,
					 struct guestlock_error *err)
{
	const struct gl_keeper_answer *answer = &ask->answer;

	if (gl_keeper_get_answer(ask->body, size, ask->items, ask->count, &ask->answer) < 0) {
		guestlock_backend_fail(
			err, ask->late, errno, 0,
			"the answer of the keeper of %s makes no sense: %s; end it with SIGTERM, "
			"so that another one starts",
			keeper->run_dir, strerror(errno));
		return set_all(ask, ask->late);
	}
	if (answer->settings[0]) {
		return set_all(ask, other_settings(keeper, answer, err));
	}
	if (answer->count != ask->count) {
		set_all(ask, answer->result);
	}
	if (answer->has_error) {
		gl_error_pass(err, &answer->error);
	}
	return answer->result;
}

static enum guestlock_result carry_request(struct guestlock_backend *backend, struct ask *ask,
					   struct guestlock_error *err)
{
	GL_AUTOWIRE struct gl_wire wire = {.size = 0};
	struct gl_keeper *keeper = keeper_of(backend);
	enum guestlock_result result = GUESTLOCK_RES_INVALID;
	size_t size;

	memcpy(ask->request.settings, keeper->digest, sizeof(keeper->digest));
	if (gl_keeper_put_request(&wire, &ask->request) < 0) {
		guestlock_backend_fail(
			err, GUESTLOCK_RES_INVALID, errno, 0,
			"what is asked of the keeper of %s is too much for one message, or there "
			"is no memory: %s; ask for less",
			keeper->run_dir, strerror(errno));
		return set_all(ask, GUESTLOCK_RES_INVALID);
	}
	switch (gl_keeper_exchange(keeper, &wire, ask->request.deadline_ms, ask->start, &ask->body, &size,
				   &result, err)) {
	case GL_KEEPER_ANSWERED:
		return take_answer(keeper, ask, size, err);
	case GL_KEEPER_LATE:
		return too_late(keeper, ask, err);
	case GL_KEEPER_LOST:
		if (err) {
			err->code = gl_status_of_result(ask->late);
		}
		return set_all(ask, ask->late);
	case GL_KEEPER_NOT_ASKED:
		break;
	}
	return set_all(ask, result);
}

/* ---- The functions ---- */

static enum guestlock_result plain(struct guestlock_backend *backend, struct gl_keeper_request *request,
				   struct guestlock_error *err)
{
	AUTOASK struct ask ask = {
		.request = *request,
		.late = GUESTLOCK_RES_STOPPED,
		.start = true,
	};

	ask.request.deadline_ms = guestlock_monotonic_ms() + keeper_of(backend)->timeout_ms;
	return carry_request(backend, &ask, err);
}

static enum guestlock_result batched(struct guestlock_backend *backend, enum gl_keeper_call call,
				     struct guestlock_batch *batch, struct guestlock_error *err)
{
	AUTOASK struct ask ask = {
		.request =
			{
				.call = call,
				.deadline_ms = batch->deadline_ms,
				.batch = *batch,
				.has_owner = batch->owner != NULL,
			},
		.items = batch->items,
		.count = batch->count,
		.late = call == GL_KEEPER_INQUIRE ? GUESTLOCK_RES_UNKNOWN : GUESTLOCK_RES_INFLIGHT,
		.start = true,
	};

	if (batch->owner) {
		ask.request.owner = *batch->owner;
	}
	return carry_request(backend, &ask, err);
}

static enum guestlock_result keeper_init(struct guestlock_backend *backend, struct guestlock_error *err)
{
	return backend->module->ops->init(backend, err);
}

static void keeper_finish(struct guestlock_backend *backend)
{
	backend->module->ops->finish(backend);
}

static enum guestlock_result keeper_probe(struct guestlock_backend *backend, struct guestlock_error *err)
{
	return backend->module->ops->probe(backend, err);
}

/* What is kept, the keeper keeps. */
static enum guestlock_result keeper_join(struct guestlock_backend *backend, struct guestlock_kept *kept,
					 struct guestlock_error *err)
{
	(void)kept;
	return plain(backend, &(struct gl_keeper_request){.call = GL_KEEPER_JOIN}, err);
}

static enum guestlock_result keeper_leave(struct guestlock_backend *backend, struct guestlock_error *err)
{
	return plain(backend, &(struct gl_keeper_request){.call = GL_KEEPER_LEAVE}, err);
}

/* Of a keeper that does not run: out. */
static enum guestlock_join_state keeper_status(struct guestlock_backend *backend, struct guestlock_error *err)
{
	AUTOASK struct ask ask = {
		.request = {.call = GL_KEEPER_STATUS},
		.late = GUESTLOCK_RES_STOPPED,
	};
	enum guestlock_result result;

	ask.request.deadline_ms = guestlock_monotonic_ms() + keeper_of(backend)->timeout_ms;
	result = carry_request(backend, &ask, err);
	if (result == GUESTLOCK_RES_GRANTED) {
		return ask.answer.state;
	}
	return ask.body ? GUESTLOCK_JOIN_STOPPED : GUESTLOCK_JOIN_OUT;
}

/* What ties the guest's process to the technology cannot be done for it. */
static enum guestlock_result keeper_bind(struct guestlock_backend *backend, struct guestlock_batch *batch,
					 struct guestlock_error *err)
{
	if (backend->module->capabilities & GUESTLOCK_CAP_BIND_HERE) {
		return backend->module->ops->bind(backend, batch, err);
	}
	return batched(backend, GL_KEEPER_BIND, batch, err);
}

static enum guestlock_result keeper_acquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
					    struct guestlock_error *err)
{
	return batched(backend, GL_KEEPER_ACQUIRE, batch, err);
}

static enum guestlock_result keeper_release(struct guestlock_backend *backend, struct guestlock_batch *batch,
					    struct guestlock_error *err)
{
	return batched(backend, GL_KEEPER_RELEASE, batch, err);
}

static enum guestlock_result keeper_convert(struct guestlock_backend *backend, struct guestlock_batch *batch,
					    struct guestlock_error *err)
{
	return batched(backend, GL_KEEPER_CONVERT, batch, err);
}

static enum guestlock_result keeper_inquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
					    struct guestlock_error *err)
{
	return batched(backend, GL_KEEPER_INQUIRE, batch, err);
}

/* Everything there is: the keeper does not know what the caller knows already. */
static enum guestlock_result keeper_enumerate(struct guestlock_backend *backend,
					      guestlock_enumerate_fn *visit,
					      guestlock_unchanged_fn *unchanged, void *data,
					      struct guestlock_error *err)
{
	AUTOASK struct ask ask = {
		.request = {.call = GL_KEEPER_ENUMERATE},
		.late = GUESTLOCK_RES_STOPPED,
		.start = true,
	};
	enum guestlock_result result;

	(void)unchanged;
	ask.request.deadline_ms = guestlock_monotonic_ms() + keeper_of(backend)->timeout_ms;
	result = carry_request(backend, &ask, err);
	for (size_t i = 0; i < ask.answer.n_locks; i++) {
		if (visit(data, &ask.answer.locks[i]) != 0) {
			break;
		}
	}
	return result;
}

static enum guestlock_result keeper_survey(struct guestlock_backend *backend, const char *key,
					   int64_t deadline_ms, guestlock_enumerate_fn *visit,
					   guestlock_silent_fn *silent, void *data,
					   struct guestlock_error *err)
{
	AUTOASK struct ask ask = {
		.request = {.call = GL_KEEPER_SURVEY, .name = key ? key : "", .deadline_ms = deadline_ms},
		.late = GUESTLOCK_RES_STOPPED,
		.start = true,
	};
	enum guestlock_result result = carry_request(backend, &ask, err);

	for (size_t i = 0; i < ask.answer.n_locks; i++) {
		if (visit(data, &ask.answer.locks[i]) != 0) {
			break;
		}
	}
	for (size_t i = 0; i < ask.answer.n_silent; i++) {
		silent(data, ask.answer.silent[i].host, ask.answer.silent[i].reason);
	}
	return result;
}

static enum guestlock_result keeper_release_orphan(struct guestlock_backend *backend, const char *key,
						   bool force, struct guestlock_error *err)
{
	return plain(backend,
		     &(struct gl_keeper_request){
			     .call = GL_KEEPER_RELEASE_ORPHAN,
			     .name = key,
			     .force = force,
		     },
		     err);
}

static enum guestlock_result keeper_unprovision(struct guestlock_backend *backend, unsigned unused_s,
						struct guestlock_error *err)
{
	return plain(backend,
		     &(struct gl_keeper_request){.call = GL_KEEPER_UNPROVISION, .unused_s = unused_s}, err);
}

/* The keeper watches, and acts on what it sees. */
static int keeper_watch(struct guestlock_backend *backend, struct guestlock_error *err)
{
	guestlock_backend_fail(err, GUESTLOCK_RES_INVALID, 0, 0,
			       "backend %s is watched by the keeper of %s and by nobody else; ask that one",
			       backend->module->name, keeper_of(backend)->run_dir);
	return -1;
}

static int keeper_next_event(struct guestlock_backend *backend, struct guestlock_event *out_event)
{
	(void)backend;
	(void)out_event;
	return 0;
}

/* What the keeper waits for, its callers need not wait for. */
static bool keeper_busy(struct guestlock_backend *backend)
{
	(void)backend;
	return false;
}

const struct guestlock_backend_ops gl_keeper_ops = {
	.init = keeper_init,
	.finish = keeper_finish,
	.probe = keeper_probe,
	.join = keeper_join,
	.leave = keeper_leave,
	.status = keeper_status,
	.bind = keeper_bind,
	.acquire = keeper_acquire,
	.release = keeper_release,
	.convert = keeper_convert,
	.inquire = keeper_inquire,
	.enumerate = keeper_enumerate,
	.survey = keeper_survey,
	.release_orphan = keeper_release_orphan,
	.unprovision = keeper_unprovision,
	.watch = keeper_watch,
	.next_event = keeper_next_event,
	.busy = keeper_busy,
};

int gl_keeper_ask_about(struct gl_keeper *keeper, int64_t deadline_ms, struct gl_keeper_about *out_about,
			struct guestlock_error *out_error)
{
	struct gl_keeper_request request = {.call = GL_KEEPER_ABOUT, .deadline_ms = deadline_ms};
	GL_AUTOWIRE struct gl_wire wire = {.size = 0};
	struct gl_keeper_answer answer = {.result = GUESTLOCK_RES_GRANTED};
	GL_AUTOFREE unsigned char *body = NULL;
	enum guestlock_result ignored;
	size_t size;

	if (gl_keeper_put_request(&wire, &request) < 0 ||
	    gl_keeper_exchange(keeper, &wire, deadline_ms, false, &body, &size, &ignored, NULL) !=
		    GL_KEEPER_ANSWERED ||
	    gl_keeper_get_answer(body, size, NULL, 0, &answer) < 0) {
		return -1;
	}
	*out_about = answer.about;
	*out_error = answer.has_error ? answer.error : (struct guestlock_error){0};
	gl_keeper_answer_free(&answer);
	return 0;
}
