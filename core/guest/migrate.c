/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Migration with handover. The source converts its exclusive locks to handover, the target takes handover;
 * while both hold, nobody else can. Whichever end completes first, the last of them to hold becomes
 * exclusive.
 */
#include "base/error.h"
#include "guest/guest.h"

static int check_handover(const struct guestlock_guest *guest, struct guestlock_error *err)
{
	if (gl_can(guest->gl, GUESTLOCK_CAP_HANDOVER)) {
		return GUESTLOCK_OK;
	}
	gl_fail(err, GUESTLOCK_UNSUPPORTED, 0,
		"guest %s cannot be migrated by handover: backend %s has none; pause it at the source and "
		"resume it at the target with the state string",
		guest->uuid, gl_technology(guest->gl));
	gl_error_about(err, guest->uuid, NULL);
	return GUESTLOCK_UNSUPPORTED;
}

static int begin_migration(struct guestlock_guest *guest, struct gl_operation_run *run,
			   struct guestlock_error *err)
{
	int status = gl_guest_usable(guest, err);

	if (status == GUESTLOCK_OK) {
		status = check_handover(guest, err);
	}
	return status < 0 ? status : gl_guest_begin(guest, run, err);
}

/* What was attached while it was paused is held at once, and goes the way of the rest. */
static int park_again(struct gl_operation_run *run, struct guestlock_error *err)
{
	/* Whom we did not stop somebody else keeps stopped; what it wrote was flushed when it was paused. */
	const struct gl_wish wish = {
		.event = GL_EVENT_PAUSE,
		.stopped = !run->record->stopped,
		.flushed = true,
	};

	return gl_run_wish(run, &wish, err);
}

/* The source has its locks back, exclusively: nobody else had them, and the target has not got them. */
static int cancel_out(struct gl_operation_run *run, struct guestlock_error *err)
{
	const struct gl_wish wish = {.event = GL_EVENT_CANCEL_OUT};
	int status = gl_run_wish(run, &wish, err);

	if (status < 0 || run->record->state != GUESTLOCK_GUEST_PAUSED) {
		return status;
	}
	return park_again(run, err);
}

/*
 * A paused guest takes what it parked for handover, unless somebody wrote meanwhile. Then it holds like one
 * that runs: what is in its memory fits its disks wherever it arrives. What it holds already was attached
 * meanwhile, and is converted after that, as this is hardly ever refused.
 */
static int prepare_paused(struct gl_operation_run *run, struct guestlock_error *err)
{
	const struct gl_wish wish = {.event = GL_EVENT_PREPARE};
	int status = gl_run_wish(run, &wish, err);

	if (status < 0) {
		return status;
	}
	status = gl_run_wish(run, &wish, err);
	if (status < 0) {
		struct guestlock_error ignored;

		cancel_out(run, &ignored);
	}
	return status;
}

static int prepare(struct gl_operation_run *run, const char *uri, struct guestlock_error *err)
{
	const struct gl_wish wish = {.event = GL_EVENT_PREPARE};
	struct gl_record *record = run->record;

	if (!record || record->op != GL_OP_NONE || record->state == GUESTLOCK_GUEST_MIGRATING_OUT) {
		return gl_run_wish(run, &wish, err);
	}
	record->was_paused = record->state == GUESTLOCK_GUEST_PAUSED;
	if (uri && gl_record_set_param(record, "migrate-uri", uri) < 0) {
		return gl_fail_memory(err);
	}
	return record->was_paused ? prepare_paused(run, err) : gl_run_wish(run, &wish, err);
}

int guestlock_guest_prepare_migrate(struct guestlock_guest *guest, const char *uri,
				    struct guestlock_error *err)
{
	struct gl_operation_run run;
	int status = begin_migration(guest, &run, err);

	if (status < 0) {
		return status;
	}
	status = prepare(&run, uri, err);
	gl_run_end(&run);
	return status;
}

static int complete(struct guestlock_guest *guest, enum gl_event event, struct guestlock_error *err)
{
	const struct gl_wish wish = {.event = event};
	struct gl_operation_run run;
	int status = begin_migration(guest, &run, err);

	if (status < 0) {
		return status;
	}
	status = event == GL_EVENT_CANCEL_OUT ? cancel_out(&run, err) : gl_run_wish(&run, &wish, err);
	gl_run_end(&run);
	return status;
}

int guestlock_guest_complete_migrate_in(struct guestlock_guest *guest, unsigned flags,
					struct guestlock_error *err)
{
	return complete(guest, flags & GUESTLOCK_MIGRATE_CANCEL ? GL_EVENT_CANCEL_IN : GL_EVENT_COMPLETE_IN,
			err);
}

int guestlock_guest_complete_migrate_out(struct guestlock_guest *guest, unsigned flags,
					 struct guestlock_error *err)
{
	return complete(guest, flags & GUESTLOCK_MIGRATE_CANCEL ? GL_EVENT_CANCEL_OUT : GL_EVENT_COMPLETE_OUT,
			err);
}
