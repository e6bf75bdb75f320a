/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Those who only read a disk and those who write it together both hold it shared, which keeps out only who wants it
 * alone. They keep each other out by two more keys, one for each side:
 *
 *   1. with the disk, its own side is taken shared, and the other side exclusively; all or nothing
 *   2. the other side is given back at once
 *
 * Who stays on a side has it shared, so step 1 of the other side is refused, for as long. At the moment of the grant
 * nobody was there, and nobody comes: he would have to pass this side. Of two that begin on both sides at once one is
 * refused, or both are. Two that begin on one side are in each other's way while they pass the other: they try again.
 *
 * Passing moves the epoch of a side. So who read, was paused, and comes back is told that somebody wrote; a writer need
 * not be told that somebody read.
 *
 * Killed between the steps, the operation is unfinished as any other, and what was taken is given back.
 */
#include "base/base.h"
#include "base/error.h"
#include "operation/operation.h"

#include <string.h>

/* How long those who pass are waited for: each takes as long as the backend takes for two calls. */
#define PASSING_MS 5000
#define PASSING_STEP_MS 50

static bool is_held(const struct gl_operation_run *run, struct gl_resource *resource)
{
	const struct gl_holding *holding = resource ? gl_run_holding(run, resource) : NULL;

	return holding && holding->state != GUESTLOCK_RESOURCE_NONE &&
	       holding->state != GUESTLOCK_RESOURCE_PARKED;
}

/* Adds a side to the record, or finds it there. */
static int add_side(struct gl_operation_run *run, size_t disk, bool readers, bool passing,
		    struct guestlock_error *err)
{
	struct gl_identity identity;
	struct gl_resource *side;
	int status = gl_identify_side(readers, run->record->resources[disk].identity, &identity, err);

	if (status < 0) {
		return status;
	}
	side = gl_record_find_key(run->record, identity.key);
	if (!side) {
		/* The record's resources move. */
		side = gl_record_add_resource(run->record);
		if (!side || gl_set_string(&side->name, run->record->resources[disk].name) < 0) {
			gl_identity_free(&identity);
			return gl_fail_memory(err);
		}
		side->type = GUESTLOCK_LEASE;
		memcpy(side->key, identity.key, sizeof(side->key));
		side->identity = identity.text;
		identity.text = NULL;
	}
	side->readers = readers;
	side->writers = !readers;
	side->passing = passing;
	side->flags = passing ? 0 : GUESTLOCK_SHARED;
	gl_identity_free(&identity);
	return GUESTLOCK_OK;
}

/* A disk that is going to be taken, or that lacks its side. */
static int add_sides(struct gl_operation_run *run, size_t disk, struct guestlock_error *err)
{
	bool readers = gl_is_reader(&run->record->resources[disk]);
	struct gl_identity own;
	int status = gl_identify_side(readers, run->record->resources[disk].identity, &own, err);

	if (status < 0) {
		return status;
	}
	if (!is_held(run, &run->record->resources[disk]) ||
	    !is_held(run, gl_record_find_key(run->record, own.key))) {
		status = add_side(run, disk, readers, false, err);
		status = status < 0 ? status : add_side(run, disk, !readers, true, err);
	}
	gl_identity_free(&own);
	return status;
}

int gl_run_add_sides(struct gl_operation_run *run, const struct gl_wish *wish, unsigned actions,
		     struct guestlock_error *err)
{
	size_t count = run->record && (actions & GL_ACT_TAKE) ? run->record->n_resources : 0;
	int status = GUESTLOCK_OK;

	for (size_t i = 0; i < count && status == GUESTLOCK_OK; i++) {
		const struct gl_resource *resource = &run->record->resources[i];

		if (gl_has_sides(run->gl, resource) && gl_run_is_concerned(run, wish, resource)) {
			status = add_sides(run, i, err);
		}
	}
	return status;
}

bool gl_run_is_passed(const struct gl_batch *batch, unsigned attempt, int64_t deadline_ms)
{
	bool any = false;

	for (size_t i = 0; i < batch->count; i++) {
		const struct guestlock_item *item = &batch->items[i];

		if (item->result != GUESTLOCK_RES_BUSY) {
			continue;
		}
		if (!batch->resources[i]->passing || item->holder.mode != GUESTLOCK_MODE_EXCLUSIVE) {
			return false;
		}
		any = true;
	}
	return any && gl_pause_before_retry(attempt, PASSING_STEP_MS, deadline_ms);
}

int64_t gl_run_passing_deadline(const struct gl_operation_run *run)
{
	int64_t soon = guestlock_monotonic_ms() + PASSING_MS;

	return soon < run->deadline_ms ? soon : run->deadline_ms;
}

enum guestlock_result gl_run_leave_sides(struct gl_operation_run *run, const struct gl_batch *batch,
					 struct guestlock_error *err)
{
	enum guestlock_result result = GUESTLOCK_RES_GRANTED;
	struct gl_batch passed;

	if (gl_batch_init(&passed, batch->count) < 0) {
		gl_fail_memory(err);
		return GUESTLOCK_RES_INFLIGHT;
	}
	for (size_t i = 0; i < batch->count; i++) {
		if (batch->resources[i]->passing) {
			gl_batch_add(&passed, batch->resources[i], GUESTLOCK_MODE_NONE);
		}
	}
	if (passed.count > 0) {
		result = gl_call(run->gl, GL_CALL_RELEASE, &run->owner, &passed, 0, run->deadline_ms, err);
	}
	gl_batch_free(&passed);
	return result == GUESTLOCK_RES_GRANTED ? result : GUESTLOCK_RES_INFLIGHT;
}
