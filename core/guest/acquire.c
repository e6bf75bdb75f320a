/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking all of a guest's locks. */
#include "base/error.h"
#include "guest/guest.h"

#include <string.h>

struct acquire {
	struct guestlock_guest *guest;
	const struct gl_state *state;
	enum gl_event event;
	unsigned flags; /* GUESTLOCK_ACQUIRE_* */
};

/* The search begins behind the last one that was found: both are usually in the same order. */
static bool has_named(const struct gl_record *record, const struct gl_named *named, size_t *last)
{
	for (size_t i = 1; i <= record->n_resources; i++) {
		size_t at = (*last + i) % record->n_resources;

		if (gl_is_named(&record->resources[at], named)) {
			*last = at;
			return record->resources[at].flags == named->flags;
		}
	}
	return false;
}

/* Is what the handle names, as far as it is locked, just what the record has? */
static bool is_listed(const struct gl_operation_run *run, const struct guestlock_guest *guest)
{
	const struct gl_record *record = run->record;
	size_t wanted = 0, known = 0, last = 0;

	for (size_t i = 0; i < record->n_resources; i++) {
		known += !record->resources[i].guest_lock && !record->resources[i].whole &&
			 !gl_is_side(&record->resources[i]);
	}
	for (size_t i = 0; i < guest->n_resources; i++) {
		if (gl_is_locked(run->gl, &guest->resources[i])) {
			if (!has_named(record, &guest->resources[i], &last)) {
				return false;
			}
			wanted++;
		}
	}
	return wanted == known;
}

/* A guest that is dead or not known is for the table to judge. */
static int check_listed(const struct gl_operation_run *run, const struct guestlock_guest *guest,
			struct guestlock_error *err)
{
	const struct gl_record *record = run->record;

	if (!record ||
	    (record->state == GUESTLOCK_GUEST_BOUND && record->op == GL_OP_NONE && is_listed(run, guest))) {
		return GUESTLOCK_OK;
	}
	return gl_fail(
		err, GUESTLOCK_REJECTED, 0,
		"guest %s is not bound with just the resources that are listed (it is %s): look at what it "
		"has, then acquire or attach what is missing",
		guest->uuid, guestlock_guest_state_name(record->state));
}

/* What the handle names beside the record: with a record of our own bind there is nothing new. */
static int add_named(struct gl_operation_run *run, struct guestlock_guest *guest, struct guestlock_error *err)
{
	struct gl_resource *wanted;
	size_t count;
	int status;

	if (!run->record || guest->n_resources == 0 || guest->bound) {
		return GUESTLOCK_OK;
	}
	status = gl_wanted(run->gl, guest->uuid, guest->resources, guest->n_resources, false, &wanted, &count,
			   err);
	if (status < 0) {
		return status;
	}
	status = gl_merge_wanted(run->record, wanted, count, err);
	gl_wanted_free(wanted, count);
	return status;
}

static int attempt_acquire(void *data, struct guestlock_error *err)
{
	const struct acquire *acquire = data;
	struct guestlock_guest *guest = acquire->guest;
	const struct gl_wish wish = {
		.event = acquire->event,
		.state = acquire->state,
		.probe = (acquire->flags & GUESTLOCK_ACQUIRE_PROBE) != 0,
	};
	struct gl_operation_run run;
	int status = gl_guest_begin(guest, &run, err);

	if (status < 0) {
		return status;
	}
	status = acquire->flags & GUESTLOCK_ACQUIRE_LISTED ? check_listed(&run, guest, err)
							   : add_named(&run, guest, err);
	if (status == GUESTLOCK_OK) {
		status = gl_run_wish(&run, &wish, err);
	}
	gl_run_end(&run);
	return status;
}

/*
 * Parses a state string and checks that it is of this guest and technology. text NULL: *out_given is false.
 */
static int state_for_guest(const struct guestlock *gl, const char *uuid, const char *text,
			   struct gl_state *out_state, bool *out_given, struct guestlock_error *err)
{
	int status;

	*out_given = false;
	if (!text) {
		return GUESTLOCK_OK;
	}
	status = gl_state_parse(text, out_state, err);
	if (status < 0) {
		gl_error_about(err, uuid, NULL);
		return status;
	}
	if (strcmp(out_state->uuid, uuid) != 0) {
		status = gl_fail(
			err, GUESTLOCK_DAMAGED, 0,
			"the state given for guest %s was saved for guest %s: give the state of this guest",
			uuid, out_state->uuid);
	} else if (strcmp(out_state->technology, gl_technology(gl)) != 0 && gl->resume_strict) {
		status = gl_fail(err, GUESTLOCK_UNPROVEN, 0,
				 "the state of guest %s was saved under backend %s, and this host locks with "
				 "%s: it cannot be shown that nobody wrote meanwhile; use the same backend "
				 "on both sides, or set resume_check = off for this one resume",
				 uuid, out_state->technology, gl_technology(gl));
	} else {
		*out_given = true;
		return GUESTLOCK_OK;
	}
	gl_error_about(err, uuid, NULL);
	gl_state_clear(out_state);
	return status;
}

static int acquire_all(struct guestlock_guest *guest, enum gl_event event, const char *text, unsigned flags,
		       int wait_ms, struct guestlock_error *err)
{
	struct acquire acquire = {.guest = guest, .event = event, .flags = flags};
	struct gl_state state;
	bool given;
	int status = gl_guest_usable(guest, err);

	if (status == GUESTLOCK_OK) {
		status = state_for_guest(guest->gl, guest->uuid, text, &state, &given, err);
	}
	if (status < 0) {
		return status;
	}
	acquire.state = given ? &state : NULL;
	status = gl_wait_while_busy(guest->gl, guest->uuid, wait_ms, attempt_acquire, &acquire, err);
	if (given) {
		gl_state_clear(&state);
	}
	return status;
}

int guestlock_guest_acquire(struct guestlock_guest *guest, const char *state, unsigned flags, int wait_ms,
			    struct guestlock_error *err)
{
	return acquire_all(guest, GL_EVENT_ACQUIRE, state, flags, wait_ms, err);
}

int guestlock_guest_resume(struct guestlock_guest *guest, const char *state, int wait_ms,
			   struct guestlock_error *err)
{
	return acquire_all(guest, GL_EVENT_RESUME, state, 0, wait_ms, err);
}
