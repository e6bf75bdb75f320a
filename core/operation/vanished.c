/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest runs, and the backend does not know of a lock that its record claims. */
#include "base/error.h"
#include "operation/loss.h"
#include "operation/operation.h"

bool gl_is_claimed(struct gl_resource *resource, const char *technology)
{
	const struct gl_holding *holding = gl_resource_holding(resource, technology, false);

	return holding &&
	       (holding->state == GUESTLOCK_RESOURCE_HELD || holding->state == GUESTLOCK_RESOURCE_HANDOVER);
}

/* Under the guest's lock: what the backend says that it does not hold is parked at the most. */
static bool drop_vanished(struct gl_operation_run *run, struct guestlock_error *err)
{
	struct gl_batch batch;
	bool any = false;

	if (gl_batch_init(&batch, run->record->n_resources) < 0) {
		return false;
	}
	for (size_t i = 0; i < run->record->n_resources; i++) {
		if (gl_is_claimed(&run->record->resources[i], gl_technology(run->gl))) {
			gl_batch_add(&batch, &run->record->resources[i], GUESTLOCK_MODE_NONE);
		}
	}
	if (gl_call(run->gl, GL_CALL_INQUIRE, &run->owner, &batch, 0, run->deadline_ms, err) ==
	    GUESTLOCK_RES_GRANTED) {
		for (size_t i = 0; i < batch.count; i++) {
			enum guestlock_result result = batch.items[i].result;

			if (result == GUESTLOCK_RES_FREE || result == GUESTLOCK_RES_OTHER) {
				struct gl_holding *holding = gl_run_holding(run, batch.resources[i]);

				holding->state = GUESTLOCK_RESOURCE_PARKED;
				any = true;
			}
		}
	}
	gl_batch_free(&batch);
	return any;
}

/* The guest runs, so the best is to keep others out again, whoever was in meanwhile. */
int gl_run_take_vanished(struct gl_operation_run *run)
{
	const struct gl_wish acquire = {.event = GL_EVENT_ACQUIRE, .unchecked = true};
	struct guestlock_error cause = {0}, ignored;

	if (!drop_vanished(run, &cause)) {
		return 0;
	}
	if (gl_run_wish(run, &acquire, &cause) == GUESTLOCK_OK) {
		gl_log(run->gl, GUESTLOCK_LOG_WARNING,
		       "locks of the running guest %s had vanished from the backend and were taken again: "
		       "somebody removed them, and another guest may have written the same disk meanwhile; "
		       "check it",
		       run->lock.uuid);
		return 1;
	}
	gl_run_outcome(run, GL_EVENT_LOST, &ignored);
	gl_log(run->gl, GUESTLOCK_LOG_ERROR,
	       "guest %s runs without a lock that it had, and it must not: %s; stop it", run->lock.uuid,
	       cause.message);
	gl_loss_act(run);
	return -1;
}
