/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pausing a guest, and the state strings that say what it held. */
#include "error.h"
#include "guest.h"
#include "tether.h"
#include "util.h"

#include <errno.h>
#include <string.h>

int gl_state_of_record(const struct guestlock *gl, struct gl_record *record, char **out_text,
		       struct guestlock_error *err)
{
	struct gl_state state = {0};
	int status;

	gl_copy_cut(state.technology, sizeof(state.technology), gl_technology(gl));
	memcpy(state.uuid, record->uuid, sizeof(state.uuid));
	state.entries = calloc(record->n_resources + 1, sizeof(*state.entries));
	if (!state.entries) {
		return gl_fail_memory(err);
	}
	for (size_t i = 0; i < record->n_resources; i++) {
		const struct gl_holding *holding =
			gl_resource_holding(&record->resources[i], gl_technology(gl), false);
		struct gl_state_entry *entry = &state.entries[state.count];

		if (!holding || holding->state == GUESTLOCK_RESOURCE_NONE) {
			continue;
		}
		memcpy(entry->key, record->resources[i].key, sizeof(entry->key));
		entry->has_epoch = holding->has_epoch;
		entry->epoch = holding->epoch;
		state.count++;
	}
	status = gl_state_format(&state, out_text, err);
	gl_state_clear(&state);
	return status;
}

int gl_state_for_guest(const struct guestlock *gl, const char *uuid, const char *text,
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
				 "%s: it cannot be shown "
				 "that nobody wrote meanwhile; use the same backend on both sides, or set "
				 "resume_check = off for "
				 "this one resume",
				 uuid, out_state->technology, gl_technology(gl));
	} else {
		*out_given = true;
		return GUESTLOCK_OK;
	}
	gl_error_about(err, uuid, NULL);
	gl_state_clear(out_state);
	return status;
}

/* ---- Stopping ---- */

static int tethered(const struct gl_operation_run *run, pid_t **out_pids, size_t *out_count)
{
	if (gl_tether_processes(&run->owner, gl_life_dir(run->gl), run->record->tether_inode, out_pids,
				out_count) < 0) {
		return -1;
	}
	if (*out_count == 0 && gl_process_presence(&run->record->process) == GL_PRESENCE_HERE) {
		pid_t *pids = realloc(*out_pids, sizeof(*pids));

		if (!pids) {
			return -1;
		}
		pids[0] = run->record->process.pid;
		*out_pids = pids;
		*out_count = 1;
	}
	return 0;
}

/* A process may fork while it is being stopped: look again until there is nobody new. */
static int stop_all(struct gl_operation_run *run, size_t *out_stopped)
{
	size_t before = 0;

	*out_stopped = 0;
	for (int round = 0; round < 16; round++) {
		GL_AUTOFREE pid_t *pids = NULL;
		size_t count = 0;

		if (tethered(run, &pids, &count) < 0) {
			return -1;
		}
		if (round > 0 && count == before) {
			*out_stopped = count;
			return 0;
		}
		if (gl_process_stop(pids, count, run->deadline_ms) < 0) {
			return -1;
		}
		before = count;
	}
	errno = ETIMEDOUT;
	return -1;
}

void gl_guest_continue(struct gl_operation_run *run)
{
	GL_AUTOFREE pid_t *pids = NULL;
	size_t count = 0;

	if (tethered(run, &pids, &count) == 0) {
		gl_process_continue(pids, count);
	}
}

static GL_APART void continue_stopped(struct gl_operation_run *run)
{
	struct guestlock_error cause = {0};

	gl_guest_continue(run);
	run->record->stopped = false;
	if (gl_run_save(run, &cause) < 0) {
		gl_log(run->gl, GUESTLOCK_LOG_WARNING,
		       "guest %s runs on, but its record still says that it is stopped: %s", run->lock.uuid,
		       cause.message);
	}
}

void gl_run_continue(struct gl_operation_run *run)
{
	const struct gl_record *record = run->record;

	if (record && record->stopped && record->op == GL_OP_NONE &&
	    record->state == GUESTLOCK_GUEST_RUNNING) {
		continue_stopped(run);
	}
}

static int cannot_stop(struct gl_operation_run *run, int why, struct guestlock_error *err)
{
	gl_guest_continue(run);
	run->record->stopped = false;
	gl_run_save(run, NULL);
	gl_fail(err,
		why == EPERM       ? GUESTLOCK_DENIED
		: why == ETIMEDOUT ? GUESTLOCK_TIMEOUT
				   : GUESTLOCK_FAILED,
		why,
		"cannot pause guest %s: its processes could not be stopped (%s), and the locks of a guest "
		"that may write are "
		"not released; stop it yourself and say that it is stopped",
		run->lock.uuid, why ? strerror(why) : "none of them can be seen from here");
	gl_error_about(err, run->lock.uuid, NULL);
	return err ? (int)err->code : GUESTLOCK_FAILED;
}

/* None of its processes is there any more: it died since the operation began, and is released as such. */
static bool is_dead_by_now(struct gl_operation_run *run)
{
	run->life = gl_record_life(run->gl, run->record);
	if (run->life != GUESTLOCK_LIFE_DEAD) {
		return false;
	}
	gl_run_bury(run);
	return true;
}

/* That we are going to stop it is recorded first: whoever comes after us can continue it. */
static GL_APART int stop_guest(struct gl_operation_run *run, struct guestlock_error *err)
{
	struct guestlock_error local = {0};
	size_t stopped;
	int status;

	if (run->record->stopped) {
		return GUESTLOCK_OK;
	}
	run->record->stopped = true;
	status = gl_run_save(run, err);
	if (status < 0) {
		return status;
	}
	if (stop_all(run, &stopped) < 0) {
		return cannot_stop(run, errno, err ? err : &local);
	}
	return stopped > 0 || is_dead_by_now(run) ? GUESTLOCK_OK : cannot_stop(run, 0, err ? err : &local);
}

static bool may_write(const struct gl_operation_run *run)
{
	return run->record && run->record->op == GL_OP_NONE && run->record->state == GUESTLOCK_GUEST_RUNNING;
}

int guestlock_guest_pause(struct guestlock_guest *guest, unsigned flags, char **out_state,
			  struct guestlock_error *err)
{
	const struct gl_wish wish = {.event = GL_EVENT_PAUSE};
	struct gl_operation_run run;
	int status = gl_guest_begin(guest, &run, err);

	if (status < 0) {
		return status;
	}
	if (may_write(&run) && !(flags & GUESTLOCK_EXTERNALLY_STOPPED)) {
		status = stop_guest(&run, err);
	}
	if (status == GUESTLOCK_OK) {
		status = gl_run_wish(&run, &wish, err);
		/* Still running, and all its locks are: it goes on. */
		if (status < 0 && may_write(&run) && run.record->stopped) {
			gl_guest_continue(&run);
			run.record->stopped = false;
			gl_run_save(&run, NULL);
		}
	}
	if (status == GUESTLOCK_OK && out_state && run.record) {
		status = gl_state_of_record(guest->gl, run.record, out_state, err);
	}
	gl_run_end(&run);
	return status;
}

int guestlock_guest_inquire(struct guestlock_guest *guest, char **out_state, struct guestlock_error *err)
{
	struct gl_record *record;
	int status = gl_guest_load(guest, &record, err);

	if (status < 0) {
		return status;
	}
	status = gl_state_of_record(guest->gl, record, out_state, err);
	gl_record_free(record);
	return status;
}
