/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking and releasing one resource of a guest. */
#include "base/base.h"
#include "base/error.h"
#include "guest/guest.h"
#include "life/members.h"

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

/*
 * The file as it is known: where it was locked, and as it was named. Of a device node, which is on no storage that
 * may hang, also what the name leads to now. *out_real is freed by the caller.
 */
static size_t names_of(const struct gl_resource *resource, const char *names[3], char **out_real)
{
	static const char file[] = "file:";
	size_t count = 0;

	names[count++] = resource->name;
	if (strncmp(resource->identity, file, strlen(file)) == 0) {
		names[count++] = resource->identity + strlen(file);
	}
	*out_real = strncmp(resource->name, "/dev/", strlen("/dev/")) == 0 ? realpath(resource->name, NULL)
									   : NULL;
	if (*out_real) {
		names[count++] = *out_real;
	}
	return count;
}

/* What a process of the guest can write to needs its lock. */
static int check_unused(const struct gl_operation_run *run, const struct gl_resource *resource,
			struct guestlock_error *err)
{
	const struct gl_membership by = gl_record_membership(&run->owner, run->record);
	GL_AUTOFREE char *real = NULL;
	GL_AUTOFREE char *printable = gl_printable(resource->name);
	const char *names[3];
	const struct gl_file file = {
		.names = names,
		.n_names = names_of(resource, names, &real),
		.device = resource->device,
		.inode = resource->has_file ? resource->inode : 0,
	};
	struct gl_culprit writer;

	if (!gl_members_write(&by, &file, &writer)) {
		return GUESTLOCK_OK;
	}
	gl_fail(err, GUESTLOCK_ALIVE, 0,
		"the lock of %s is not released: process %ld (%s) of guest %s has it open for writing; unplug it "
		"there first, or use force if you are sure that it is not written",
		printable ? printable : "a disk", (long)writer.pid, writer.program, run->lock.uuid);
	gl_error_about(err, run->lock.uuid, resource->name);
	return GUESTLOCK_ALIVE;
}

/* Where the table refuses a release, or has nothing to do, its reason counts. */
static int check_release(const struct gl_operation_run *run, const char *key, struct guestlock_error *err)
{
	const struct gl_resource *resource = run->record ? gl_record_find_key(run->record, key) : NULL;

	if (!resource || resource->type != GUESTLOCK_DISK || resource->guest_lock ||
	    gl_run_row(run, GL_EVENT_DETACH, false)->verdict != GL_GO) {
		return GUESTLOCK_OK;
	}
	return check_unused(run, resource, err);
}

int guestlock_guest_release_resource(struct guestlock_guest *guest, const struct guestlock_resource *resource,
				     unsigned flags, struct guestlock_error *err)
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
	if (!(flags & GUESTLOCK_RELEASE_FORCE)) {
		status = check_release(&run, key, err);
	}
	/* With no key that matches, the table still decides whether a release is in order at all. */
	if (status == GUESTLOCK_OK) {
		status = gl_run_wish(&run, &wish, err);
	}
	gl_run_end(&run);
	return status;
}
