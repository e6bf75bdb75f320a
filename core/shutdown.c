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

static void kill_processes(const struct guestlock *gl, const struct gl_record *record)
{
	GL_AUTOFREE pid_t *pids = NULL;
	struct guestlock_owner owner;
	size_t count = 0;

	kill_process(&record->process);
	gl_record_owner(gl, record, &owner);
	if (!record->adopted &&
	    gl_tether_processes(&owner, gl_life_dir(gl), record->tether_inode, &pids, &count) == 0) {
		for (size_t i = 0; i < count; i++) {
			kill(pids[i], SIGKILL);
		}
	}
}

bool gl_guest_kill(struct guestlock *gl, const char *uuid, const struct gl_life *life, int64_t deadline_ms)
{
	for (unsigned attempt = 0;; attempt++) {
		struct gl_record *record = NULL;
		struct guestlock_error ignored;
		int status = gl_store_load(&gl->store, uuid, &record, &ignored);
		bool over;

		if (status < 0) {
			return status == GUESTLOCK_NOT_FOUND;
		}
		/* Another life is there only because this one was found dead. */
		over = !gl_life_is(gl, life, record) || gl_record_life(gl, record) == GUESTLOCK_LIFE_DEAD;
		if (!over) {
			kill_processes(gl, record);
		}
		gl_record_free(record);
		if (over) {
			return true;
		}
		if (!gl_pause_before_retry(attempt, 20, deadline_ms)) {
			return false;
		}
	}
}
