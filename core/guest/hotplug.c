/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking and releasing one resource of a guest. */
#include "base/error.h"
#include "guest/guest.h"

#include <string.h>

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
		"guest down to change its disks",
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
		if (gl_is_named(&record->resources[i], &named)) {
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
