/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest that exists: its process, and what of it is unfinished. */
#include "base/error.h"
#include "guest/guest.h"

int guestlock_guest_child(struct guestlock_guest *guest, pid_t *out_pid, struct guestlock_error *err)
{
	struct gl_record *record;
	int status = gl_guest_load(guest, &record, err);

	if (status == GUESTLOCK_OK) {
		*out_pid = record->process.pid;
		gl_record_free(record);
	}
	return status;
}

int guestlock_guest_settle(struct guestlock_guest *guest, struct guestlock_error *err)
{
	struct gl_operation_run run;
	int status = gl_guest_begin(guest, &run, err);

	if (status < 0) {
		return status;
	}
	if (!run.record && !run.was_dead) {
		status = gl_fail(err, GUESTLOCK_NOT_FOUND, 0, "there is no record of guest %s on this host",
				 guest->uuid);
	} else if (run.record && run.record->op != GL_OP_NONE && run.record->op != GL_OP_COMPLETE_IN) {
		status = gl_fail(err, GUESTLOCK_INDETERMINATE, 0,
				 "an unfinished operation (%s) of guest %s could not be settled yet: try "
				 "again when the backend answers",
				 gl_operation_name(run.record->op), guest->uuid);
	}
	gl_run_end(&run);
	return status;
}
