/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Killing a guest for certain: all of its processes. */
#include "guest.h"
#include "tether.h"
#include "util.h"

#include <signal.h>
#include <sys/pidfd.h>

/* No later process of that pid is meant: the descriptor is of one, and then that one is looked at. */
static void kill_process(const struct gl_process *process)
{
	GL_AUTOCLOSE int pidfd = process->pid > 0 ? pidfd_open(process->pid, 0) : -1;

	if (gl_process_presence(process) != GL_PRESENCE_HERE) {
		return;
	}
	if (pidfd < 0 || pidfd_send_signal(pidfd, SIGKILL, NULL, 0) < 0) {
		kill(process->pid, SIGKILL);
	}
}

static void kill_processes(const struct gl_operation_run *run, const char *life_dir)
{
	GL_AUTOFREE pid_t *pids = NULL;
	size_t count = 0;

	kill_process(&run->record->process);
	if (!run->record->adopted &&
	    gl_tether_processes(&run->owner, life_dir, run->record->tether_inode, &pids, &count) == 0) {
		for (size_t i = 0; i < count; i++) {
			kill(pids[i], SIGKILL);
		}
	}
}

bool gl_guest_kill(struct guestlock *gl, const char *uuid, const struct gl_life *life, int64_t deadline_ms)
{
	for (unsigned attempt = 0;; attempt++) {
		struct gl_operation_run run = {.gl = gl};
		struct guestlock_error ignored;
		enum guestlock_life found;
		int status = gl_store_load(&gl->store, uuid, &run.record, &ignored);

		if (status < 0) {
			return status == GUESTLOCK_NOT_FOUND;
		}
		gl_run_refresh_owner(&run);
		/* Another one is there only because this one was found dead. */
		found = gl_life_is(gl, life, run.record) ? guestlock_owner_life(&run.owner, gl_life_dir(gl))
							 : GUESTLOCK_LIFE_DEAD;
		if (found != GUESTLOCK_LIFE_DEAD) {
			kill_processes(&run, gl_life_dir(gl));
		}
		gl_record_free(run.record);
		if (found == GUESTLOCK_LIFE_DEAD) {
			return true;
		}
		if (!gl_pause_before_retry(attempt, 20, deadline_ms)) {
			return false;
		}
	}
}
