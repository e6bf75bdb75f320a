/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls to the backend: batches of resources, split to its limits, repeated where it asks for it, refusals in
 * words. */
#ifndef GL_CALL_H
#define GL_CALL_H

#include "handle/handle.h"

/* Resources of one record, with what is asked of the backend for each. */
struct gl_batch {
	struct guestlock_item *items;
	struct guestlock_key *keys;
	struct gl_resource **resources;
	size_t count;
	bool uncertain; /* something of it was under way already: where it stands is not known */
	const char *loss_action; /* of bind and acquire: backend.h has what it means; NULL: none */
};

/* Room for `capacity` items. 0, or -1 when out of memory. */
int gl_batch_init(struct gl_batch *batch, size_t capacity);
/* The resource must stay where it is as long as the batch is used. */
void gl_batch_add(struct gl_batch *batch, struct gl_resource *resource, enum guestlock_mode mode);
void gl_batch_free(struct gl_batch *batch);

enum gl_call_type {
	GL_CALL_BIND,
	GL_CALL_ACQUIRE,
	GL_CALL_RELEASE,
	GL_CALL_CONVERT,
	GL_CALL_INQUIRE,
};

/*
 * One request for a whole batch. Asks again while the backend says AGAIN, until deadline_ms (then AGAIN is
 * the result, and err says that the time is up). A batch larger than the backend takes is split; what was
 * acquired or converted before a part failed is undone. err, never NULL, is filled unless the result is
 * GRANTED (or the call is an inquiry that succeeded).
 */
enum guestlock_result gl_call(struct guestlock *gl, enum gl_call_type type,
			      const struct guestlock_owner *owner, struct gl_batch *batch, unsigned flags,
			      int64_t deadline_ms, struct guestlock_error *err);

/*
 * "pid N" of the guest of a record, as a person has to know it: who has it where the first process has ended, and
 * whether the number is that of another pid namespace.
 */
#define GL_PID_WORDS 96
void gl_pid_words(const struct guestlock *gl, const struct gl_record *record, char out[GL_PID_WORDS]);

/* err says that item is held by somebody else, with the holder. Returns GUESTLOCK_BUSY. */
int gl_fail_busy(const struct guestlock *gl, const struct gl_resource *resource,
		 const struct guestlock_holder *holder, struct guestlock_error *err);

/* "disk PATH", "lease KEY", "guest UUID", for messages; malloc'd or NULL. */
char *gl_resource_words(const struct gl_resource *resource);

#endif
