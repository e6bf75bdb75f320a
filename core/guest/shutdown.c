/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of a guest: all of its processes, its locks, its record. */
#include "base/base.h"
#include "guest/guest.h"
#include "life/members.h"

#include <signal.h>
#include <sys/wait.h>

static void kill_processes(const struct guestlock *gl, const struct gl_record *record)
{
	struct guestlock_owner owner;
	struct gl_membership by;

	/* Also where /proc does not lead to the others. */
	if (gl_process_presence(&record->process) == GL_PRESENCE_HERE) {
		gl_process_signal(record->process.pid, record->process.start, SIGKILL);
	}
	gl_record_owner(gl, record, &owner);
	by = gl_record_membership(&owner, record);
	gl_members_kill(&by);
}

/* Without a record nobody else can say so. */
static bool is_nobody_left(const struct guestlock *gl, const struct gl_record *record)
{
	GL_AUTOFREE pid_t *pids = NULL;
	struct guestlock_owner owner;
	struct gl_membership by;
	size_t count = 0;

	gl_record_owner(gl, record, &owner);
	by = gl_record_membership(&owner, record);
	return gl_process_presence(&record->process) != GL_PRESENCE_HERE &&
	       (gl_members_find(&by, &pids, &count) < 0 || count == 0);
}

/* One round: true when it is over. */
static bool kill_once(struct guestlock *gl, const char *uuid, const struct gl_life *life,
		      const struct gl_record *known, bool *out_dead)
{
	struct gl_record *record = NULL;
	struct guestlock_error ignored;
	int status = gl_store_load(&gl->store, uuid, &record, &ignored);
	bool is_it = status == GUESTLOCK_OK && gl_life_is(gl, life, record);
	const struct gl_record *by = is_it ? record : known;

	/* Another life is there only because this one was found dead. */
	*out_dead = !by            ? status >= 0 || status == GUESTLOCK_NOT_FOUND
		    : by == record ? gl_record_life(gl, by) == GUESTLOCK_LIFE_DEAD
				   : is_nobody_left(gl, by);
	if (by && !*out_dead) {
		kill_processes(gl, by);
	}
	gl_record_free(record);
	return *out_dead || !by;
}

bool gl_guest_kill(struct guestlock *gl, const char *uuid, const struct gl_life *life,
		   const struct gl_record *known, int64_t deadline_ms)
{
	bool dead = false;

	for (unsigned attempt = 0; !kill_once(gl, uuid, life, known, &dead); attempt++) {
		if (!gl_pause_before_retry(attempt, 20, deadline_ms)) {
			return false;
		}
	}
	return dead;
}

#define KILL_WAIT_MS 10000 /* a process in the midst of a read or write of storage ends after that */

int guestlock_guest_shutdown(struct guestlock_guest *guest, unsigned flags, struct guestlock_error *err)
{
	const struct gl_wish wish = {.event = GL_EVENT_SHUTDOWN,
				     .force = (flags & GUESTLOCK_SHUTDOWN_FORCE) != 0};
	struct gl_operation_run run;
	int status = gl_guest_begin(guest, &run, err);

	if (status < 0) {
		return status;
	}
	status = gl_run_wish(&run, &wish, err);
	gl_run_end(&run);
	return status;
}

/* Until the last process of it is gone: one that forked while it was being killed is found the next time. */
static void kill_started(struct guestlock_guest *guest)
{
	struct guestlock_error ignored;

	gl_guest_kill(guest->gl, guest->uuid, &guest->life, guest->as_started,
		      guestlock_monotonic_ms() + KILL_WAIT_MS);
	waitpid(guest->started, NULL, WNOHANG);
	guestlock_guest_shutdown(guest, 0, &ignored);
}

void guestlock_guest_free(struct guestlock_guest *guest)
{
	if (!guest) {
		return;
	}
	if (guest->started && !guest->detached && guest->creator == getpid()) {
		kill_started(guest);
	}
	if (guest->left && guest->creator == getpid()) {
		waitpid(guest->left, NULL, WNOHANG);
	}
	gl_guest_clear(guest);
}
