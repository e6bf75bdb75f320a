/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One call for a whole batch: split to what the backend takes, repeated while it says AGAIN, joined anew
 * where this host has left meanwhile, undone where a later part fails; and the refusal in words.
 */
#include "operation/call.h"

#include "base/base.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>

#define REJOINS 4 /* how often a host that leaves under a call joins again for it */

int gl_batch_init(struct gl_batch *batch, size_t capacity)
{
	size_t n = capacity ? capacity : 1;

	*batch = (struct gl_batch){
		.items = calloc(n, sizeof(*batch->items)),
		.keys = calloc(n, sizeof(*batch->keys)),
		.resources = calloc(n, sizeof(struct gl_resource *)),
	};
	if (!batch->items || !batch->keys || !batch->resources) {
		gl_batch_free(batch);
		return -1;
	}
	return 0;
}

void gl_batch_add(struct gl_batch *batch, struct gl_resource *resource, enum guestlock_mode mode)
{
	size_t i = batch->count++;

	batch->keys[i] = (struct guestlock_key){
		.identity = resource->identity ? resource->identity : "",
		.type = resource->type,
		.lockspace = resource->lockspace,
		.path = resource->path,
		.offset = resource->offset,
	};
	memcpy(batch->keys[i].key, resource->key, sizeof(resource->key));
	batch->items[i] = (struct guestlock_item){.key = &batch->keys[i], .mode = mode};
	batch->resources[i] = resource;
}

void gl_batch_free(struct gl_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		free(batch->items[i].holders);
	}
	free(batch->items);
	free(batch->keys);
	free(batch->resources);
	*batch = (struct gl_batch){0};
}

static enum guestlock_result call_once(struct guestlock *gl, enum gl_call_type type,
				       struct guestlock_batch *batch, struct guestlock_error *cause)
{
	const struct guestlock_backend_ops *ops = gl->ops;

	switch (type) {
	case GL_CALL_BIND:
		return ops->bind(gl->backend, batch, cause);
	case GL_CALL_ACQUIRE:
		return ops->acquire(gl->backend, batch, cause);
	case GL_CALL_RELEASE:
		return ops->release(gl->backend, batch, cause);
	case GL_CALL_CONVERT:
		return ops->convert(gl->backend, batch, cause);
	case GL_CALL_INQUIRE:
		return ops->inquire(gl->backend, batch, cause);
	}
	return GUESTLOCK_RES_INVALID;
}

/* Longer each time: a thousand guests that share a disk would keep each other from it. */
#define LONGEST_PAUSE_MS 200
#define LEAST_TURN_MS 50

static enum guestlock_result call_until(struct guestlock *gl, enum gl_call_type type,
					struct guestlock_batch *batch, struct guestlock_error *cause)
{
	int64_t turn_ms = LEAST_TURN_MS; /* what one takes, twice the longest so far */

	for (unsigned attempt = 0;; attempt++) {
		int64_t began_ms = guestlock_monotonic_ms(), ended_ms;
		enum guestlock_result result = call_once(gl, type, batch, cause);

		ended_ms = guestlock_monotonic_ms();
		turn_ms = 2 * (ended_ms - began_ms) > turn_ms ? 2 * (ended_ms - began_ms) : turn_ms;
		/* One that the deadline cuts off would leave open what became of it. */
		if (result != GUESTLOCK_RES_AGAIN ||
		    !gl_pause_before_retry(attempt, LONGEST_PAUSE_MS, batch->deadline_ms - turn_ms)) {
			return result;
		}
		*cause = (struct guestlock_error){0};
	}
}

/*
 * A host that left while this was under way (guestlock leave) joins again for it, as it does for whatever
 * comes next. One that leaves again and again is left alone in the end.
 */
static enum guestlock_result call_joined(struct guestlock *gl, enum gl_call_type type,
					 struct guestlock_batch *batch, struct guestlock_error *cause)
{
	enum guestlock_result result = call_until(gl, type, batch, cause);

	for (int again = 0; result == GUESTLOCK_RES_NOT_JOINED && again < REJOINS; again++) {
		struct guestlock_error why = {0};

		__atomic_store_n(&gl->joined, false, __ATOMIC_RELEASE);
		if (gl_ready(gl, batch->deadline_ms, &why) < 0) {
			*cause = why;
			return result;
		}
		*cause = (struct guestlock_error){0};
		result = call_until(gl, type, batch, cause);
	}
	return result;
}

/*
 * The item that the result of the batch is about: a disk or a lease rather than the lock of the guest
 * itself.
 */
static size_t item_of_result(const struct gl_batch *batch, enum guestlock_result result)
{
	size_t found = 0;

	for (size_t i = batch->count; i-- > 0;) {
		if (batch->items[i].result == result &&
		    (!batch->resources[i]->guest_lock || batch->items[found].result != result)) {
			found = i;
		}
	}
	return found;
}

/* Adds to what the backend said what the batch is about. */
static GL_APART void explain_failure(const struct guestlock *gl, const struct gl_batch *batch,
				     enum guestlock_result result, struct guestlock_error *err)
{
	size_t i = item_of_result(batch, result);
	const struct gl_resource *resource = batch->resources[i];
	GL_AUTOFREE char *words = NULL;

	if (result == GUESTLOCK_RES_BUSY) {
		gl_fail_busy(gl, resource, &batch->items[i].holder, err);
		return;
	}
	words = gl_resource_words(resource);
	if (result == GUESTLOCK_RES_STALE) {
		gl_fail(err, GUESTLOCK_STALE, 0,
			"cannot resume: another guest held %s exclusively since this one was paused, and may "
			"have written it; end this guest and start it afresh",
			words ? words : "a resource");
		gl_error_about(err, NULL, resource->name);
		gl_copy_cut(err->backend, sizeof(err->backend), gl_technology(gl));
		return;
	}
	err->code = gl_status_of_result(result);
	if (!err->message[0]) {
		gl_fail(err, err->code, err->sys_errno, "%s", guestlock_status_text(err->code));
	}
	if (result == GUESTLOCK_RES_AGAIN) {
		gl_error_prefix(err, "the deadline passed before the lock of %s could be changed",
				words ? words : "a resource");
	}
	gl_error_about(err, NULL, resource->name);
	gl_copy_cut(err->backend, sizeof(err->backend), gl_technology(gl));
}

static bool succeeded(enum gl_call_type type, enum guestlock_result result)
{
	if (type != GL_CALL_INQUIRE) {
		return result == GUESTLOCK_RES_GRANTED;
	}
	return result == GUESTLOCK_RES_GRANTED || result == GUESTLOCK_RES_UNKNOWN ||
	       result >= GUESTLOCK_RES_HELD;
}

/* Gives back what the parts before a failed one got. What that does not achieve makes the whole uncertain. */
static GL_APART bool undo_parts(struct guestlock *gl, enum gl_call_type type,
				const struct guestlock_owner *owner, struct gl_batch *batch, size_t count,
				unsigned flags, int64_t deadline_ms)
{
	struct guestlock_batch part = {
		.owner = owner,
		.items = batch->items,
		.flags = GUESTLOCK_BATCH_UNDO | GUESTLOCK_BATCH_PARK,
		.deadline_ms = deadline_ms,
	};
	size_t most = gl->module.descriptor->limits.batch;
	struct guestlock_error ignored = {0};

	if (type != GL_CALL_ACQUIRE || (flags & GUESTLOCK_BATCH_PROBE)) {
		return type == GL_CALL_ACQUIRE;
	}
	for (size_t done = 0; done < count; done += part.count, part.items += part.count) {
		part.count = count - done < most ? count - done : most;
		if (call_until(gl, GL_CALL_RELEASE, &part, &ignored) != GUESTLOCK_RES_GRANTED) {
			return false;
		}
	}
	return true;
}

enum guestlock_result gl_call(struct guestlock *gl, enum gl_call_type type,
			      const struct guestlock_owner *owner, struct gl_batch *batch, unsigned flags,
			      int64_t deadline_ms, struct guestlock_error *err)
{
	size_t most = gl->module.descriptor->limits.batch;
	struct guestlock_batch part = {
		.owner = owner,
		.flags = flags,
		.deadline_ms = deadline_ms,
		.loss_action = batch->loss_action ? batch->loss_action : "",
	};

	*err = (struct guestlock_error){0};
	for (size_t done = 0; done < batch->count; done += part.count) {
		size_t left = batch->count - done;
		enum guestlock_result result;

		part.items = batch->items + done;
		part.count = most && left > most ? most : left;
		result = call_joined(gl, type, &part, err);
		if (succeeded(type, result)) {
			if (result == GUESTLOCK_RES_UNKNOWN) {
				explain_failure(gl, batch, result, err);
			}
			continue;
		}
		/* Whatever it was, the next operation makes sure again that the backend is joined. */
		__atomic_store_n(&gl->joined, result == GUESTLOCK_RES_BUSY, __ATOMIC_RELEASE);
		explain_failure(gl, batch, result, err);
		if (done > 0 && !undo_parts(gl, type, owner, batch, done, flags, deadline_ms)) {
			return GUESTLOCK_RES_INFLIGHT;
		}
		return result;
	}
	return GUESTLOCK_RES_GRANTED;
}
