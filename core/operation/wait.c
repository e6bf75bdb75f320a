/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waiting for who is in the way. */
#include "base/base.h"
#include "base/error.h"
#include "operation/operation.h"

/* The longest pause: a lock that is given back is taken so much later at the most. */
#define WAIT_STEP_MS 250

/* Releasing what a dead holder left takes less, unless somebody else is at work on it, who ends it. */
#define SETTLE_HOLDER_MS 2000

/*
 * The holder is of this host, and dead or left unfinished: settles it. Called without any lock, so that two
 * that stand in each other's way do not wait for each other. true: it may be worth trying again.
 */
static GL_APART bool settle_holder(struct guestlock *gl, const struct guestlock_holder *holder)
{
	const struct gl_life meant = {.instance = holder->instance};
	struct gl_operation_run run;
	struct gl_record *record = NULL;
	bool stale;

	if (!holder->uuid[0] || gl_store_load(&gl->store, holder->uuid, &record, NULL) < 0) {
		return false;
	}
	stale = record->instance == holder->instance &&
		(record->op != GL_OP_NONE || gl_record_life(gl, record) == GUESTLOCK_LIFE_DEAD);
	gl_record_free(record);
	if (!stale || gl_run_begin(&run, gl, holder->uuid, &meant,
				   guestlock_monotonic_ms() + SETTLE_HOLDER_MS, NULL) < 0) {
		return false;
	}
	gl_run_end(&run);
	return true;
}

int gl_wait_while_busy(struct guestlock *gl, const char *uuid, int wait_ms, gl_attempt_fn *attempt,
		       void *data, struct guestlock_error *err)
{
	int64_t until = guestlock_monotonic_ms() + (wait_ms > 0 ? wait_ms : 0);
	bool told = false, settled = false;

	for (unsigned i = 8;; i++) {
		struct guestlock_error cause = {0};
		int status = attempt(data, &cause);

		if (status == GUESTLOCK_OK) {
			return status;
		}
		if (status == GUESTLOCK_BUSY && !settled) {
			settled = true;
			if (settle_holder(gl, &cause.holder)) {
				continue;
			}
		}
		if (status == GUESTLOCK_BUSY && !told && wait_ms > 0) {
			gl_log(gl, GUESTLOCK_LOG_INFO, "guest %s waits up to %d.%03d s: %s", uuid,
			       wait_ms / 1000, wait_ms % 1000, cause.message);
			told = true;
		}
		if (status != GUESTLOCK_BUSY || !gl_pause_before_retry(i, WAIT_STEP_MS, until)) {
			gl_error_pass(err, &cause);
			return status;
		}
	}
}
