/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What all steps of an operation use (operation.h): the rows of the tables, and the record that is written.
 * Asking the backend is in wish.c and underway.c, what comes before in begin.c.
 */
#include "operation/operation.h"

#include "base/error.h"

#include <string.h>

void gl_run_refresh_owner(struct gl_operation_run *run)
{
	gl_record_owner(run->gl, run->record, &run->owner);
}

void gl_run_end(struct gl_operation_run *run)
{
	gl_store_unlock(&run->gl->store, &run->lock);
	gl_record_free(run->record);
	run->record = NULL;
}

int gl_run_save(struct gl_operation_run *run, struct guestlock_error *err)
{
	gl_log(run->gl, GUESTLOCK_LOG_DEBUG, "guest %s: state %s, pending %s", run->record->uuid,
	       guestlock_guest_state_name(run->record->state), gl_operation_name(run->record->op));
	return gl_store_save(&run->gl->store, &run->lock, run->record, err);
}

/* ---- Stepping ---- */

enum guestlock_mode gl_resource_mode(const struct guestlock *gl, const struct gl_resource *resource)
{
	bool shared = !resource->guest_lock && (resource->flags & (GUESTLOCK_SHARED | GUESTLOCK_READONLY));

	return shared && gl_can(gl, GUESTLOCK_CAP_SHARED) ? GUESTLOCK_MODE_SHARED : GUESTLOCK_MODE_EXCLUSIVE;
}

bool gl_has_sides(const struct guestlock *gl, const struct gl_resource *resource)
{
	return gl->readonly_shared && resource->type == GUESTLOCK_DISK &&
	       gl_resource_mode(gl, resource) == GUESTLOCK_MODE_SHARED;
}

bool gl_is_reader(const struct gl_resource *disk)
{
	return (disk->flags & GUESTLOCK_READONLY) != 0;
}

bool gl_sides_differ(const struct guestlock *gl, const struct gl_resource *a, const struct gl_resource *b)
{
	return gl_has_sides(gl, a) && gl_has_sides(gl, b) && gl_is_reader(a) != gl_is_reader(b);
}

bool gl_holding_under_way(const struct gl_holding *holding)
{
	return holding->state == GUESTLOCK_RESOURCE_INTENT || holding->state == GUESTLOCK_RESOURCE_DROPPING ||
	       holding->state == GUESTLOCK_RESOURCE_UNKNOWN;
}

void gl_run_step_resource(struct gl_operation_run *run, struct gl_resource *resource,
			  enum gl_resource_event event)
{
	struct gl_holding *holding = gl_run_holding(run, resource);
	const struct gl_resource_row *row;

	if (!holding) {
		return;
	}
	row = gl_resource_step(holding->state, event);
	if (row->verdict != GL_GO) {
		return;
	}
	if (row->next == GL_TARGET) {
		holding->state = holding->to;
	} else if (row->next == GL_ORIGIN) {
		holding->state = holding->from;
	} else {
		if (row->target != GL_SAME) {
			/* What is under way already came from where it came from. */
			holding->from = gl_holding_under_way(holding) ? holding->from : holding->state;
			holding->to = (enum guestlock_resource_state)row->target;
		}
		holding->state = (enum guestlock_resource_state)row->next;
		return;
	}
	holding->from = holding->to = GUESTLOCK_RESOURCE_NONE;
}

static unsigned guards_of(const struct gl_operation_run *run, bool force)
{
	const struct gl_record *record = run->record;
	unsigned guards = force ? GL_GUARD_FORCE : 0;

	if (!record) {
		return guards;
	}
	guards |= run->life != GUESTLOCK_LIFE_DEAD ? GL_GUARD_ALIVE : 0;
	guards |= record->migrate ? GL_GUARD_MIGRATE : 0;
	guards |= record->was_paused ? GL_GUARD_WAS_PAUSED : 0;
	guards |= record->handed_over ? GL_GUARD_HANDED_OVER : 0;
	for (size_t i = 0; i < record->n_resources; i++) {
		for (size_t k = 0; k < GL_HOLDINGS; k++) {
			if (record->resources[i].holdings[k].state == GUESTLOCK_RESOURCE_HANDOVER) {
				guards |= GL_GUARD_HANDOVER;
			}
		}
	}
	return guards;
}

static bool is_wish(enum gl_event event)
{
	return event <= GL_EVENT_SHUTDOWN;
}

const struct gl_row *gl_run_row(const struct gl_operation_run *run, enum gl_event event, bool force)
{
	enum guestlock_guest_state state = GUESTLOCK_GUEST_NONE;

	if (run->record) {
		state = run->record->state;
	} else if (run->was_dead && event != GL_EVENT_BIND && event != GL_EVENT_SHUTDOWN) {
		state = GUESTLOCK_GUEST_DEAD;
	}
	return gl_lifecycle_step(state, run->record ? run->record->op : GL_OP_NONE, event,
				 guards_of(run, force));
}

int gl_run_reject(const struct gl_operation_run *run, const struct gl_row *row, struct guestlock_error *err)
{
	const char *doing = is_wish(row->event) ? gl_event_name(row->event) : "recovery";

	gl_fail(err, row->status, 0, "%s of guest %s is refused: %s", doing, run->lock.uuid, row->note);
	gl_error_about(err, run->lock.uuid, NULL);
	return row->status;
}
