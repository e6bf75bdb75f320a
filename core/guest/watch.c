/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Watching over a guest: it has not ended as long as somebody waits for what its program left behind. */
#include "base/base.h"
#include "base/error.h"
#include "guest/guest.h"
#include "life/members.h"
#include "life/tether.h"

#include <errno.h>

/* The lock first: who finds the watcher in the record can rely on it. */
static int watch(struct guestlock_guest *guest, struct gl_operation_run *run, struct guestlock_error *err)
{
	if (!run->record) {
		return gl_fail(err, run->was_dead ? GUESTLOCK_DEAD : GUESTLOCK_NOT_FOUND, 0,
			       "cannot watch over guest %s: it has ended", guest->uuid);
	}
	if (run->record->adopted) {
		return gl_fail(err, GUESTLOCK_UNSUPPORTED, 0,
			       "cannot watch over guest %s: it was adopted, and has no tether", guest->uuid);
	}
	guest->watch = gl_life_watch(&run->owner, gl_life_dir(guest->gl));
	if (guest->watch < 0) {
		return gl_fail(err, errno == ENOENT ? GUESTLOCK_DEAD : gl_status_of_errno(errno), errno,
			       "cannot watch over guest %s: its life lock cannot be had (%m)", guest->uuid);
	}
	if (gl_process_look(getpid(), &run->record->watcher) < 0) {
		return gl_fail(err, errno == EACCES ? GUESTLOCK_UNAVAILABLE : gl_status_of_errno(errno),
			       errno, "cannot watch over guest %s: %s", guest->uuid,
			       gl_process_why_hidden(errno));
	}
	return gl_run_save(run, err);
}

int guestlock_guest_watch(struct guestlock_guest *guest, struct guestlock_error *err)
{
	struct gl_operation_run run;
	int status = gl_guest_begin(guest, &run, err);

	if (status < 0) {
		return status;
	}
	guestlock_guest_unwatch(guest);
	status = watch(guest, &run, err);
	if (status < 0) {
		guestlock_guest_unwatch(guest);
		gl_error_about(err, guest->uuid, NULL);
	}
	gl_run_end(&run);
	return status;
}

typedef int gl_find_members_fn(const struct gl_membership *by, pid_t **out_pids, size_t *out_count);

static int tell_processes(struct guestlock_guest *guest, gl_find_members_fn *find, pid_t **out_pids,
			  size_t *out_count, struct guestlock_error *err)
{
	struct guestlock_owner owner;
	struct gl_membership by;
	struct gl_record *record = NULL;
	int status = gl_guest_load(guest, &record, err);

	if (status < 0) {
		return status;
	}
	gl_record_owner(guest->gl, record, &owner);
	by = gl_record_membership(&owner, record);
	if (find(&by, out_pids, out_count) < 0) {
		status = gl_fail(err, GUESTLOCK_FAILED, errno,
				 "cannot tell the processes of guest %s: /proc cannot be read (%m)",
				 guest->uuid);
	}
	gl_record_free(record);
	return status;
}

int guestlock_guest_processes(struct guestlock_guest *guest, pid_t **out_pids, size_t *out_count,
			      struct guestlock_error *err)
{
	return tell_processes(guest, gl_members_find, out_pids, out_count, err);
}

int guestlock_guest_untethered(struct guestlock_guest *guest, pid_t **out_pids, size_t *out_count,
			       struct guestlock_error *err)
{
	return tell_processes(guest, gl_members_untethered, out_pids, out_count, err);
}
