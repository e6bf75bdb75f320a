/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bind: the guest's own process ties itself to the locks it is going to have. And adoption of one that did
 * not.
 */
#include "base/base.h"
#include "base/error.h"
#include "guest/guest.h"
#include "life/tether.h"
#include "operation/loss.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* What gl_wanted() gave. */
struct wanted {
	struct gl_resource *resources;
	size_t count;
};

/* Everything that the caller said goes into the record. */
static int describe(const struct guestlock_guest *guest, struct gl_record *record,
		    struct guestlock_error *err)
{
	if (gl_set_string(&record->name, guest->name) < 0 || gl_set_string(&record->id, guest->id) < 0) {
		return gl_fail_memory(err);
	}
	for (size_t i = 0; i < guest->n_params; i++) {
		if (gl_record_set_param(record, guest->params[i].key, guest->params[i].value) < 0) {
			return gl_fail_memory(err);
		}
	}
	record->instance = guest->life.instance;
	record->since = (int64_t)time(NULL);
	record->migrate = guest->mode == GUESTLOCK_NEW_MIGRATE;
	record->state = GUESTLOCK_GUEST_BOUND;
	return gl_loss_describe(guest->gl, record, err);
}

static int add_holdings(const struct guestlock *gl, struct gl_record *record, struct guestlock_error *err)
{
	for (size_t i = 0; i < record->n_resources; i++) {
		struct gl_holding *holding =
			gl_resource_holding(&record->resources[i], gl_technology(gl), true);

		if (!holding) {
			return gl_fail_memory(err);
		}
		holding->mode = gl_resource_mode(gl, &record->resources[i]);
	}
	return GUESTLOCK_OK;
}

static int fill_record(const struct guestlock_guest *guest, struct gl_record *record, struct wanted *wanted,
		       struct guestlock_error *err)
{
	int status = describe(guest, record, err);

	if (status < 0) {
		return status;
	}
	/* A new record has no others. */
	record->resources = wanted->resources;
	record->n_resources = record->room = wanted->count;
	*wanted = (struct wanted){0};
	for (size_t i = 0; i < record->n_resources; i++) {
		record->resources[i].unhinted = record->resources[i].has_file;
	}
	return add_holdings(guest->gl, record, err);
}

/* Does what another guest holds stand in the way of what this one wants? */
static bool stands_in_the_way(const struct gl_record *record, const struct guestlock_item *item,
			      enum guestlock_mode wanted)
{
	if (item->result != GUESTLOCK_RES_OTHER || strcmp(item->holder.uuid, record->uuid) == 0) {
		return false;
	}
	return wanted != GUESTLOCK_MODE_SHARED || item->holder.mode != GUESTLOCK_MODE_SHARED;
}

static int judge_who_holds(struct gl_operation_run *run, const struct gl_batch *batch,
			   struct guestlock_error *err)
{
	for (size_t i = 0; i < batch->count; i++) {
		if (batch->items[i].result == GUESTLOCK_RES_UNKNOWN) {
			GL_AUTOFREE char *words = gl_resource_words(batch->resources[i]);

			return gl_fail(err, GUESTLOCK_DAMAGED, 0,
				       "it cannot be told who holds %s%s%s; run guestlock reap, which says "
				       "what is damaged",
				       words ? words : "a resource", err->message[0] ? ": " : "",
				       err->message);
		}
		if (stands_in_the_way(run->record, &batch->items[i],
				      gl_resource_mode(run->gl, batch->resources[i]))) {
			return gl_fail_busy(run->gl, batch->resources[i], &batch->items[i].holder, err);
		}
	}
	return GUESTLOCK_OK;
}

/*
 * The program may open and even repair its images before the locks are taken: so it must not start for
 * nothing.
 */
static int ask_who_holds(struct gl_operation_run *run, struct gl_batch *batch, struct guestlock_error *err)
{
	enum guestlock_result result = gl_call(run->gl, GL_CALL_INQUIRE, &run->owner, batch,
					       GUESTLOCK_BATCH_GLANCE, run->deadline_ms, err);

	return result == GUESTLOCK_RES_GRANTED ? judge_who_holds(run, batch, err) : (int)err->code;
}

static void add_all(struct gl_operation_run *run, struct gl_batch *batch, bool guest_lock)
{
	for (size_t i = 0; i < run->record->n_resources; i++) {
		if (run->record->resources[i].guest_lock == guest_lock) {
			gl_batch_add(batch, &run->record->resources[i], GUESTLOCK_MODE_NONE);
		}
	}
}

/*
 * What of the record the backend must know before the guest's program starts. The lock of the guest itself is
 * the last, and who holds it is not asked: if it is not free, this guest has it, at another place.
 */
static int bind_backend(struct gl_operation_run *run, bool ask, struct guestlock_error *err)
{
	struct guestlock_error cause = {0};
	struct gl_batch batch;
	size_t others, all;
	int status = GUESTLOCK_OK;

	if (gl_batch_init(&batch, run->record->n_resources) < 0) {
		return gl_fail_memory(err);
	}
	add_all(run, &batch, false);
	others = batch.count;
	add_all(run, &batch, true);
	all = batch.count;
	batch.loss_action = gl_loss_action(run);
	if (gl_call(run->gl, GL_CALL_BIND, &run->owner, &batch, 0, run->deadline_ms, &cause) !=
	    GUESTLOCK_RES_GRANTED) {
		status = (int)cause.code;
	} else if (ask) {
		batch.count = others;
		status = ask_who_holds(run, &batch, &cause);
		batch.count = all;
	}
	if (status < 0) {
		gl_error_pass(err, &cause);
		gl_call(run->gl, GL_CALL_RELEASE, &run->owner, &batch, GUESTLOCK_BATCH_UNDO, run->deadline_ms,
			&cause);
	}
	gl_batch_free(&batch);
	return status;
}

/* Who is going to wait for others is not refused because of them: the acquire enters what is missing. */
static int enter_hints(struct gl_operation_run *run, bool ask, struct guestlock_error *err)
{
	int status = gl_hint_name(run, err);
	bool late = false;

	for (size_t i = 0; i < run->record->n_resources && status == GUESTLOCK_OK; i++) {
		struct gl_resource *resource = &run->record->resources[i];
		struct guestlock_error cause = {0};

		status = gl_hint_file(run, resource, &cause);
		if (status == GUESTLOCK_BUSY && !ask) {
			late = resource->unhinted = true;
			status = GUESTLOCK_OK;
		} else if (status < 0) {
			gl_error_pass(err, &cause);
		}
	}
	return status == GUESTLOCK_OK && late ? gl_run_save(run, err) : status;
}

/* Record, then hints, then backend: each is found by recovery if we die before the next. */
static int enter_record(struct gl_operation_run *run, bool ask, struct guestlock_error *err)
{
	int status = gl_run_save(run, err);

	if (status == GUESTLOCK_OK) {
		status = enter_hints(run, ask, err);
	}
	return status == GUESTLOCK_OK ? bind_backend(run, ask, err) : status;
}

static int begin_bind(struct gl_operation_run *run, struct guestlock_guest *guest,
		      struct guestlock_error *err)
{
	const struct gl_wish bind = {.event = GL_EVENT_BIND};
	int status = gl_run_begin(run, guest->gl, guest->uuid, NULL, gl_deadline(guest->gl), err);

	if (status < 0) {
		return status;
	}
	if (run->record) {
		status = gl_run_wish(run, &bind, err);
		if (status == GUESTLOCK_BUSY && err) {
			GL_AUTOFREE char *name = gl_printable(run->record->name);
			char pid[GL_PID_WORDS];

			gl_pid_words(run->gl, run->record, pid);
			gl_fail(err, status, 0,
				"cannot start guest %s: a guest of this uuid lives here already (%s, %s, %s); end "
				"it first, or give the new one another uuid",
				guest->uuid, name ? name : "", pid,
				guestlock_guest_state_name(run->record->state));
			gl_error_about(err, guest->uuid, NULL);
			guestlock_owner_holder(&run->owner, GUESTLOCK_MODE_NONE, run->record->since,
					       &err->holder);
			gl_holder_from_here(run->gl, &err->holder);
		}
		gl_run_end(run);
		return status < 0 ? status : GUESTLOCK_FAILED;
	}
	run->record = gl_record_new(guest->uuid);
	if (!run->record) {
		gl_run_end(run);
		return gl_fail_memory(err);
	}
	return GUESTLOCK_OK;
}

static int bind_record(struct gl_operation_run *run, struct guestlock_guest *guest, struct wanted *wanted,
		       bool ask, int *out_tether_fd, struct guestlock_error *err)
{
	int fd = -1;
	int status = fill_record(guest, run->record, wanted, err);

	if (status < 0) {
		return status;
	}
	if (gl_process_look_here(&run->gl->family, &run->record->process) < 0) {
		return gl_fail(err, errno == EACCES ? GUESTLOCK_UNAVAILABLE : gl_status_of_errno(errno),
			       errno, "cannot bind guest %s: %s", guest->uuid, gl_process_why_hidden(errno));
	}
	gl_run_refresh_owner(run);
	status = gl_tether_open(&run->owner, gl_life_dir(run->gl), &fd, &run->record->tether_inode, err);
	if (status < 0) {
		return status;
	}
	run->life = GUESTLOCK_LIFE_ALIVE;
	/* Whoever is killed before they are entered is the guest itself. */
	for (size_t i = 0; i < run->record->n_resources; i++) {
		run->record->resources[i].unhinted = false;
	}
	status = enter_record(run, ask, err);
	if (status < 0) {
		close(fd);
		gl_run_remove(run, NULL);
		return status;
	}
	if (out_tether_fd) {
		*out_tether_fd = fd;
	}
	return GUESTLOCK_OK;
}

int gl_bind(struct guestlock_guest *guest, bool ask, int *out_tether_fd, struct guestlock_error *err)
{
	struct gl_operation_run run;
	struct wanted wanted;
	int status;

	if (!guest->uuid[0]) {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "the guest has no uuid: set the parameter \"uuid\" first");
	}
	if (guest->mode == GUESTLOCK_NEW_ATTACH) {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "guest %s: a handle of mode ATTACH is for a guest that exists already",
			       guest->uuid);
	}
	if (guest->mode == GUESTLOCK_NEW_MIGRATE && !gl_can(guest->gl, GUESTLOCK_CAP_HANDOVER)) {
		return gl_fail(err, GUESTLOCK_UNSUPPORTED, 0,
			       "guest %s cannot arrive by handover: backend %s has none; pause it at the "
			       "source and resume it here "
			       "with the state string",
			       guest->uuid, gl_technology(guest->gl));
	}
	status = gl_wanted(guest->gl, guest->uuid, guest->resources, guest->n_resources, true,
			   &wanted.resources, &wanted.count, err);
	if (status < 0) {
		return status;
	}
	status = begin_bind(&run, guest, err);
	if (status == GUESTLOCK_OK) {
		status = bind_record(&run, guest, &wanted, ask, out_tether_fd, err);
		if (status < 0 && run.record) {
			gl_record_free(run.record);
			run.record = NULL;
		}
		guest->bound = status == GUESTLOCK_OK;
		gl_run_end(&run);
	}
	gl_wanted_free(wanted.resources, wanted.count);
	if (status < 0) {
		gl_error_about(err, guest->uuid, NULL);
	}
	return status;
}

int guestlock_guest_bind(struct guestlock_guest *guest, int *out_tether_fd, struct guestlock_error *err)
{
	return gl_bind(guest, true, out_tether_fd, err);
}

/* ---- Adoption ---- */

static int adopt_record(struct gl_operation_run *run, struct guestlock_guest *guest, struct wanted *wanted,
			const struct gl_process *process, struct guestlock_error *err)
{
	struct guestlock_error ignored;
	int status = fill_record(guest, run->record, wanted, err);

	if (status < 0) {
		return status;
	}
	run->record->adopted = true;
	run->record->process = *process;
	gl_run_refresh_owner(run);
	run->life = GUESTLOCK_LIFE_ADOPTED;
	status = enter_record(run, false, err);
	if (status < 0) {
		gl_run_remove(run, &ignored);
	}
	return status;
}

static int check_adoption(const struct guestlock_guest *guest, pid_t pid, struct gl_process *out_process,
			  struct guestlock_error *err)
{
	const char *why;

	if (guest->mode != GUESTLOCK_NEW_START) {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "adoption of process %ld needs a handle of mode START", (long)pid);
	}
	if (!gl_can(guest->gl, GUESTLOCK_CAP_ADOPT)) {
		return gl_fail(err, GUESTLOCK_UNSUPPORTED, 0,
			       "cannot adopt process %ld: backend %s must be bound to a guest before it "
			       "starts; restart the guest "
			       "under guestlock",
			       (long)pid, gl_technology(guest->gl));
	}
	if (pid <= 0 || gl_process_look(pid, out_process) < 0) {
		return gl_fail(err, GUESTLOCK_DEAD, pid > 0 ? errno : 0,
			       "cannot adopt process %ld: there is no such process; check the pid",
			       (long)pid);
	}
	why = gl_process_no_guest(pid);
	if (why) {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "cannot adopt process %ld: %s; give the pid of the guest's own process",
			       (long)pid, why);
	}
	return GUESTLOCK_OK;
}

int guestlock_guest_adopt(struct guestlock_guest *guest, pid_t pid, int wait_ms, struct guestlock_error *err)
{
	struct guestlock_error ignored;
	struct gl_operation_run run;
	struct gl_process process;
	struct wanted wanted;
	int status = gl_guest_usable(guest, err);

	if (status == GUESTLOCK_OK) {
		status = check_adoption(guest, pid, &process, err);
	}
	if (status < 0) {
		return status;
	}
	status = gl_wanted(guest->gl, guest->uuid, guest->resources, guest->n_resources, true,
			   &wanted.resources, &wanted.count, err);
	if (status < 0) {
		return status;
	}
	/* A handle that has adopted, or tried, may do so again. */
	guest->life.instance = guestlock_random64();
	status = begin_bind(&run, guest, err);
	if (status == GUESTLOCK_OK) {
		status = adopt_record(&run, guest, &wanted, &process, err);
		if (status < 0 && run.record) {
			gl_record_free(run.record);
			run.record = NULL;
		}
		gl_run_end(&run);
	}
	gl_wanted_free(wanted.resources, wanted.count);
	if (status < 0) {
		return status;
	}
	guest->bound = true;
	status = guestlock_guest_acquire(guest, NULL, 0, wait_ms, err);
	if (status < 0) {
		/* It was never ours: the record that says so must not stay. */
		guestlock_guest_shutdown(guest, GUESTLOCK_SHUTDOWN_FORCE, &ignored);
		guest->bound = false;
	}
	return status;
}
