/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking and releasing: all of a guest's locks, or one resource of it; waiting for who is in the way. */
#include "error.h"
#include "guest.h"
#include "util.h"

#include <inttypes.h>
#include <string.h>

#define WAIT_STEP_MS 250
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
			if (err) {
				*err = cause;
			}
			return status;
		}
	}
}

/* ---- Acquire ---- */

struct acquire {
	struct guestlock_guest *guest;
	const struct gl_state *state;
	enum gl_event event;
	unsigned flags; /* GUESTLOCK_ACQUIRE_* */
};

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool is_named(const struct gl_resource *known, const struct gl_named *named)
{
	if (known->guest_lock || known->type != named->type || strcmp(known->name, named->name) != 0) {
		return false;
	}
	return named->type == GUESTLOCK_DISK ||
	       (known->offset == named->offset && same_text(known->lockspace, named->lockspace) &&
		same_text(known->path, named->path));
}

/* The search begins behind the last one that was found: both are usually in the same order. */
static bool has_named(const struct gl_record *record, const struct gl_named *named, size_t *last)
{
	for (size_t i = 1; i <= record->n_resources; i++) {
		size_t at = (*last + i) % record->n_resources;

		if (is_named(&record->resources[at], named)) {
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
		known += !record->resources[i].guest_lock;
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
	if (status == GUESTLOCK_OK && !wish.probe) {
		gl_run_continue(&run);
	}
	gl_run_end(&run);
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
		status = gl_state_for_guest(guest->gl, guest->uuid, text, &state, &given, err);
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

/* ---- One resource ---- */

struct attach {
	struct guestlock_guest *guest;
	const struct guestlock_resource *resource;
	bool probe;
};

static int check_hotplug(const struct guestlock_guest *guest, struct guestlock_error *err)
{
	if (gl_can(guest->gl, GUESTLOCK_CAP_HOTPLUG)) {
		return GUESTLOCK_OK;
	}
	gl_fail(err, GUESTLOCK_UNSUPPORTED, 0,
		"guest %s: backend %s cannot add or release single resources of a running guest; shut the "
		"guest down to change "
		"its disks",
		guest->uuid, gl_technology(guest->gl));
	gl_error_about(err, guest->uuid, NULL);
	return GUESTLOCK_UNSUPPORTED;
}

static int attempt_attach(void *data, struct guestlock_error *err)
{
	const struct attach *attach = data;
	struct guestlock_guest *guest = attach->guest;
	struct gl_named named = gl_named_of(attach->resource);
	struct gl_operation_run run;
	struct gl_resource *wanted;
	size_t count;
	int status = gl_wanted(guest->gl, guest->uuid, &named, 1, false, &wanted, &count, err);

	if (status < 0) {
		return status;
	}
	status = gl_guest_begin(guest, &run, err);
	if (status == GUESTLOCK_OK) {
		char key[GUESTLOCK_KEY_SIZE] = "";
		const struct gl_wish wish = {
			.event = GL_EVENT_ATTACH, .only_key = key, .probe = attach->probe};

		if (count > 0) {
			memcpy(key, wanted[0].key, sizeof(key));
		}
		status = run.record ? gl_merge_wanted(run.record, wanted, count, err) : GUESTLOCK_OK;
		if (status == GUESTLOCK_OK) {
			status = gl_run_wish(&run, &wish, err);
		}
		gl_run_end(&run);
	}
	gl_wanted_free(wanted, count);
	return status;
}

int guestlock_guest_acquire_resource(struct guestlock_guest *guest, const struct guestlock_resource *resource,
				     unsigned flags, int wait_ms, struct guestlock_error *err)
{
	struct attach attach = {
		.guest = guest, .resource = resource, .probe = (flags & GUESTLOCK_ACQUIRE_PROBE) != 0};
	int status = gl_guest_usable(guest, err);

	if (status == GUESTLOCK_OK) {
		status = gl_check_resource(resource, err);
	}
	if (status == GUESTLOCK_OK) {
		status = check_hotplug(guest, err);
	}
	if (status == GUESTLOCK_OK) {
		status = gl_wait_while_busy(guest->gl, guest->uuid, wait_ms, attempt_attach, &attach, err);
	}
	if (status < 0) {
		gl_error_about(err, guest->uuid, resource->name);
	}
	return status;
}

/*
 * The name under which it was taken finds it, even if the path is gone by the time its device is unplugged.
 * Another name of the same resource has to be looked at.
 */
static void find_held(struct guestlock *gl, struct gl_record *record,
		      const struct guestlock_resource *resource, char key[GUESTLOCK_KEY_SIZE])
{
	struct gl_named named = gl_named_of(resource);
	struct guestlock_error ignored;
	struct gl_resource identified;

	for (size_t i = 0; i < record->n_resources; i++) {
		if (is_named(&record->resources[i], &named)) {
			memcpy(key, record->resources[i].key, GUESTLOCK_KEY_SIZE);
			return;
		}
	}
	if (gl_identify_named(gl, &named, &identified, &ignored) == GUESTLOCK_OK) {
		memcpy(key, identified.key, GUESTLOCK_KEY_SIZE);
		gl_resource_clear(&identified);
	}
}

int guestlock_guest_release_resource(struct guestlock_guest *guest, const struct guestlock_resource *resource,
				     struct guestlock_error *err)
{
	char key[GUESTLOCK_KEY_SIZE] = "";
	const struct gl_wish wish = {.event = GL_EVENT_DETACH, .only_key = key};
	struct gl_operation_run run;
	int status = gl_guest_usable(guest, err);

	if (status == GUESTLOCK_OK) {
		status = gl_check_resource(resource, err);
	}
	if (status == GUESTLOCK_OK) {
		status = check_hotplug(guest, err);
	}
	if (status == GUESTLOCK_OK) {
		status = gl_guest_begin(guest, &run, err);
	}
	if (status < 0) {
		return status;
	}
	if (run.record) {
		find_held(guest->gl, run.record, resource, key);
	}
	/* With no key that matches, the table still decides whether a release is in order at all. */
	status = gl_run_wish(&run, &wish, err);
	gl_run_end(&run);
	return status;
}
