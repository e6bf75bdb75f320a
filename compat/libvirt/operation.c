/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a call means is told by the guest's record and the call's list: operation.h has the table. */
#include "operation.h"

#include "guest.h"
#include "instance.h"
#include "list.h"
#include "report.h"
#include "request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One operation: what libvirt names, who is asked, and what is known of the guest. */
struct operation {
	const struct gl_libvirt_request *asked;
	const struct gl_libvirt_instance *instance;
	struct guestlock_info *info; /* NULL: there is no record */
	struct guestlock_guest *guest;
	struct guestlock_error err;
};

static void finish_operation(struct operation *op)
{
	guestlock_guest_free(op->guest);
	guestlock_info_free(op->info);
}

/* Ends the operation: 0, or -1 and the error of it is reported. */
static int end_operation(struct operation *op, int status)
{
	finish_operation(op);
	return status < 0 ? gl_libvirt_report_error(&op->err) : 0;
}

static int begin_operation(struct operation *op, const struct libvirt_lock_manager *manager)
{
	const struct gl_libvirt_request *request = manager->private_data;

	*op = (struct operation){.asked = request};
	op->instance = gl_libvirt_instance_find(request->uri, request->uuid);
	if (!op->instance) {
		return gl_libvirt_report(GUESTLOCK_FAILED,
					 "cannot lock for guest %s: the plugin was not initialised",
					 request->uuid);
	}
	return 0;
}

/* The same for what has only one way of doing it. */
static int begin_plain(struct operation *op, const struct libvirt_lock_manager *manager, unsigned flags,
		       const char *doing)
{
	if (flags) {
		gl_libvirt_report(GUESTLOCK_UNSUPPORTED, "cannot %s in a way that is not known (flags 0x%x)",
				  doing, flags);
		return -1;
	}
	return begin_operation(op, manager);
}

/* ---- The guest ---- */

/* In the place of the one before. */
static int new_handle(struct operation *op, enum guestlock_new_mode mode)
{
	guestlock_guest_free(op->guest);
	op->guest = NULL;
	return guestlock_guest_new(op->instance->gl, mode, &op->guest, &op->err);
}

static int attach_guest(struct operation *op)
{
	int status = new_handle(op, GUESTLOCK_NEW_ATTACH);

	if (status == GUESTLOCK_OK) {
		status = guestlock_guest_set_param(op->guest, "uuid", op->asked->uuid, &op->err);
	}
	/* A domain is one process for libvirt: what another one of its uuid holds is not meant. */
	return status < 0 ? status : guestlock_guest_set_life(op->guest, 0, op->asked->pid, &op->err);
}

/* What there is of it: op->info stays NULL where there is no record. */
static int look_up_record(struct operation *op)
{
	int status = guestlock_get_info(op->instance->gl, op->asked->uuid, &op->info, &op->err);

	return status == GUESTLOCK_NOT_FOUND ? GUESTLOCK_OK : status;
}

/* The record of a former life, of another process, goes first, so that it is not taken for this one. */
static int look_at_the_living(struct operation *op)
{
	int status = look_up_record(op);

	if (status < 0 || !op->info || op->info->life != GUESTLOCK_LIFE_DEAD ||
	    op->info->pid == op->asked->pid) {
		return status;
	}
	status = guestlock_guest_settle(op->guest, &op->err);
	if (status < 0 && status != GUESTLOCK_NOT_FOUND) {
		return status;
	}
	guestlock_info_free(op->info);
	op->info = NULL;
	return look_up_record(op);
}

static int set_params(struct operation *op, const char *action)
{
	const char *const params[][2] = {
		{"uuid", op->asked->uuid}, {"name", op->asked->name},  {"id", op->asked->id},
		{"uri", op->asked->uri},   {"on_lockfailure", action},
	};
	int status = GUESTLOCK_OK;

	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]) && status == GUESTLOCK_OK; i++) {
		if (params[i][1] && params[i][1][0]) {
			status = guestlock_guest_set_param(op->guest, params[i][0], params[i][1], &op->err);
		}
	}
	return status;
}

static int register_listed(struct operation *op)
{
	int status = GUESTLOCK_OK;

	for (size_t i = 0; i < op->asked->n_resources && status == GUESTLOCK_OK; i++) {
		status = guestlock_guest_register_resource(op->guest, &op->asked->resources[i], &op->err);
	}
	return status;
}

/* A handle of mode START with everything that the call says. */
static int describe(struct operation *op, const char *action)
{
	int status = new_handle(op, GUESTLOCK_NEW_START);

	if (status == GUESTLOCK_OK) {
		status = set_params(op, action);
	}
	return status < 0 ? status : register_listed(op);
}

/* ---- Start ---- */

static int refuse_unknown(struct operation *op, int status, const char *why)
{
	finish_operation(op);
	return gl_libvirt_report(
		status,
		"guestlock does not know guest %s (%s), which was not started under it, and %s: shut the "
		"guest down and start it again",
		op->asked->uuid, op->asked->name ? op->asked->name : "", why);
}

/* A guest that was not bound before it started is adopted. */
static int acquire_unknown(struct operation *op, const char *state, int action)
{
	const char *name = gl_libvirt_instance_action(op->instance, op->asked->uuid, action);
	int status;

	if (!name) {
		finish_operation(op);
		return -1;
	}
	if (state) {
		return refuse_unknown(op, GUESTLOCK_NOT_FOUND, "what it was paused with cannot be checked");
	}
	if (op->asked->pid <= 0) {
		return refuse_unknown(op, GUESTLOCK_NOT_FOUND, "it has no process that could be adopted");
	}
	status = describe(op, name);
	if (status == GUESTLOCK_OK) {
		status = guestlock_guest_adopt(op->guest, op->asked->pid, 0, &op->err);
	}
	if (status == GUESTLOCK_UNSUPPORTED) {
		return refuse_unknown(
			op, status,
			"this backend cannot take over a guest that runs, unless it is saved and restored");
	}
	return end_operation(op, status);
}

/*
 * In the guest's own process. The tether needs no help of libvirt to be inherited: *fd stays -1. Drivers
 * whose guests are no processes of the host call this in the daemon, which must never be bound as a guest.
 */
static int register_guest(struct operation *op, int action, const int *fd)
{
	const char *name = gl_libvirt_instance_action(op->instance, op->asked->uuid, action);
	int status;

	if (!name) {
		return -1;
	}
	if (op->asked->pid ? op->asked->pid != getpid() : !fd) {
		return acquire_unknown(op, NULL, action);
	}
	status = describe(op, name);
	return end_operation(op, status < 0 ? status : guestlock_guest_bind(op->guest, NULL, &op->err));
}

/* ---- What the call lists beside what the guest has ---- */

/*
 * Gives back what libvirt does not need any more. As long as the guest can write to it the lock stays: it is
 * the same image that the guest has another time.
 */
static int give_back(struct operation *op, const struct guestlock_resource *resource,
		     struct guestlock_error *err)
{
	int status = guestlock_guest_release_resource(op->guest, resource, 0, err);
	char message[512];

	if (status != GUESTLOCK_ALIVE) {
		return status;
	}
	snprintf(message, sizeof(message),
		 "guest %s has %.255s open for writing still: its lock is not given back now",
		 op->asked->uuid, resource->name);
	gl_libvirt_report_log(NULL, GUESTLOCK_LOG_WARNING, message);
	return GUESTLOCK_OK;
}

/* Before a start or a resume: the record gets to what the call lists. */
static int follow_list(struct operation *op)
{
	int status = GUESTLOCK_OK;

	for (size_t i = 0; i < op->info->n_resources && status == GUESTLOCK_OK; i++) {
		const struct guestlock_resource_info *known = &op->info->resources[i];
		const struct guestlock_resource *listed = gl_libvirt_list_find(op->asked, known);
		const struct guestlock_resource name = gl_libvirt_list_name(known);

		if (gl_libvirt_list_is_listable(known) && (!listed || listed->flags != known->flags)) {
			status = give_back(op, &name, &op->err);
		}
	}
	for (size_t i = 0; i < op->asked->n_resources && status == GUESTLOCK_OK; i++) {
		const struct guestlock_resource *listed = &op->asked->resources[i];
		const struct guestlock_resource_info *known = gl_libvirt_list_known(op->info, listed);

		if (!known || known->flags != listed->flags) {
			status = guestlock_guest_register_resource(op->guest, listed, &op->err);
		}
	}
	return status;
}

/*
 * What the guest has already is wanted in another way: as a base that was written in a commit and is read
 * only again, or the other way round. Nothing is lost in between: an image that it cannot write, it does not
 * write.
 */
static int change(struct operation *op, const struct guestlock_resource_info *known,
		  const struct guestlock_resource *listed)
{
	const struct guestlock_resource before = gl_libvirt_list_name(known);
	int status;

	/* The stronger mode counts as long as the guest uses it. */
	status = guestlock_guest_release_resource(op->guest, &before,
						  listed->flags != 0 ? 0 : GUESTLOCK_RELEASE_FORCE, &op->err);
	if (status < 0) {
		return status == GUESTLOCK_ALIVE ? GUESTLOCK_OK : status;
	}
	status = guestlock_guest_acquire_resource(op->guest, listed, 0, 0, &op->err);
	if (status < 0) {
		guestlock_guest_acquire_resource(op->guest, &before, 0, 0, NULL);
	}
	return status;
}

static int attach_one(struct operation *op, const struct guestlock_resource *listed)
{
	const struct guestlock_resource_info *known = gl_libvirt_list_known(op->info, listed);

	if (!known || known->state != GUESTLOCK_RESOURCE_HELD) {
		return guestlock_guest_acquire_resource(op->guest, listed, 0, 0, &op->err);
	}
	return known->flags == listed->flags ? GUESTLOCK_OK : change(op, known, listed);
}

/* One after the other; after a failure none of them. */
static int attach_each(struct operation *op)
{
	const struct gl_libvirt_request *request = op->asked;

	for (size_t i = 0; i < request->n_resources; i++) {
		int status = attach_one(op, &request->resources[i]);

		if (status == GUESTLOCK_OK) {
			continue;
		}
		while (i-- > 0) {
			if (!gl_libvirt_list_known(op->info, &request->resources[i])) {
				guestlock_guest_release_resource(op->guest, &request->resources[i], 0, NULL);
			}
		}
		return status;
	}
	return GUESTLOCK_OK;
}

/* All at once where that is possible: of two guests that want the same, one gets it. */
static int attach_running(struct operation *op, const char *state)
{
	const struct gl_libvirt_request *request = op->asked;
	size_t missing = 0;
	bool changes = false;
	int status;

	for (size_t i = 0; i < request->n_resources; i++) {
		const struct guestlock_resource *listed = &request->resources[i];
		const struct guestlock_resource_info *known = gl_libvirt_list_known(op->info, listed);

		changes |= known && known->flags != listed->flags;
		missing += !gl_libvirt_list_known_as(op->info, listed, GUESTLOCK_RESOURCE_HELD);
	}
	if (!state && (missing <= 1 || changes)) {
		return attach_each(op);
	}
	status = register_listed(op);
	return status < 0 ? status : guestlock_guest_acquire(op->guest, state, 0, 0, &op->err);
}

/* ---- Acquire ---- */

static int acquire_known(struct operation *op, const char *state)
{
	int status;

	if (op->info->life == GUESTLOCK_LIFE_DEAD) {
		return guestlock_guest_acquire(op->guest, state, 0, 0, &op->err);
	}
	if (state && op->info->state == GUESTLOCK_GUEST_BOUND && !gl_libvirt_guest_arrives(op->asked->pid)) {
		state = NULL;
	}
	switch (op->info->state) {
	case GUESTLOCK_GUEST_BOUND:
		if (!gl_libvirt_list_means_start(op->asked, op->info, state)) {
			return attach_each(op);
		}
		status = follow_list(op);
		return status < 0 ? status : guestlock_guest_acquire(op->guest, state, 0, 0, &op->err);
	case GUESTLOCK_GUEST_PAUSED:
		if (!gl_libvirt_list_means_resume(op->asked, op->info, state)) {
			return attach_each(op);
		}
		status = follow_list(op);
		return status < 0 ? status : guestlock_guest_resume(op->guest, state, 0, &op->err);
	case GUESTLOCK_GUEST_RUNNING:
		return attach_running(op, state);
	default:
		return guestlock_guest_acquire(op->guest, state, 0, 0, &op->err);
	}
}

/*
 * The usual start: the guest is bound, and the call lists what it was bound with. REJECTED: it is another
 * case.
 */
static int acquire_listed(struct operation *op)
{
	int status = attach_guest(op);

	if (status == GUESTLOCK_OK) {
		status = register_listed(op);
	}
	return status < 0 ? status
			  : guestlock_guest_acquire(op->guest, NULL, GUESTLOCK_ACQUIRE_LISTED, 0, &op->err);
}

int gl_libvirt_operation_acquire(struct libvirt_lock_manager *manager, const char *state, unsigned flags,
				 int action, int *fd)
{
	const unsigned known = LIBVIRT_ACQUIRE_REGISTER_ONLY | LIBVIRT_ACQUIRE_RESTRICT;
	struct operation op;
	int status;

	if (fd) {
		*fd = -1;
	}
	if (begin_operation(&op, manager) < 0) {
		return -1;
	}
	if (flags & ~known) {
		return gl_libvirt_report(
			GUESTLOCK_UNSUPPORTED,
			"cannot lock for guest %s: libvirt asks for what guestlock does not know "
			"(flags 0x%x)",
			op.asked->uuid, flags);
	}
	if (flags & LIBVIRT_ACQUIRE_REGISTER_ONLY) {
		return register_guest(&op, action, fd);
	}
	status = state ? GUESTLOCK_REJECTED : acquire_listed(&op);
	if (status == GUESTLOCK_OK) {
		return end_operation(&op, status);
	}
	/* What was dead is settled by now; libvirt may mean another process, of a later life. */
	if (status == GUESTLOCK_NOT_FOUND ||
	    (status == GUESTLOCK_DEAD && gl_libvirt_guest_is_there(op.asked->pid))) {
		return acquire_unknown(&op, state, action);
	}
	if (status != GUESTLOCK_REJECTED) {
		return end_operation(&op, status);
	}
	status = attach_guest(&op);
	if (status == GUESTLOCK_OK) {
		status = look_at_the_living(&op);
	}
	if (status == GUESTLOCK_OK && !op.info) {
		return acquire_unknown(&op, state, action);
	}
	return end_operation(&op, status < 0 ? status : acquire_known(&op, state));
}

/* ---- Release ---- */

static int detach_guest(struct operation *op)
{
	int result = GUESTLOCK_OK;

	for (size_t i = 0; i < op->asked->n_resources; i++) {
		struct guestlock_error err = {0};
		int status = give_back(op, &op->asked->resources[i], &err);

		if (status < 0 && !gl_libvirt_guest_is_over(status) && result == GUESTLOCK_OK) {
			result = status;
			op->err = err;
		}
	}
	return result;
}

/*
 * libvirt releases twice when it pauses a guest, and keeps one string: what it has already is left as it is,
 * for it frees no string that it is given another one for.
 */
static void hand_out(char **state, char *text)
{
	if (*state && text && strcmp(*state, text) == 0) {
		free(text);
	} else {
		*state = text;
	}
}

static int pause_guest(struct operation *op, char **state)
{
	char *text = NULL;
	int status = guestlock_guest_pause(
		op->guest, GUESTLOCK_EXTERNALLY_STOPPED | GUESTLOCK_EXTERNALLY_FLUSHED, &text, &op->err);

	if (status < 0 && !gl_libvirt_guest_is_over(status)) {
		return status;
	}
	hand_out(state, text);
	return GUESTLOCK_OK;
}

int gl_libvirt_operation_release(struct libvirt_lock_manager *manager, char **state, unsigned flags)
{
	struct operation op;
	int status;

	if (begin_plain(&op, manager, flags, "release locks") < 0) {
		return -1;
	}
	status = attach_guest(&op);
	if (status == GUESTLOCK_OK) {
		status = state ? pause_guest(&op, state) : detach_guest(&op);
	}
	return end_operation(&op, status);
}

/* A guest that is not known has no state to tell. */
int gl_libvirt_operation_inquire(struct libvirt_lock_manager *manager, char **state, unsigned flags)
{
	struct operation op;
	int status;

	if (begin_plain(&op, manager, flags, "inquire") < 0) {
		return -1;
	}
	if (state) {
		*state = NULL;
	}
	status = attach_guest(&op);
	if (status == GUESTLOCK_OK && state) {
		status = guestlock_guest_inquire(op.guest, state, &op.err);
	}
	return end_operation(&op, status == GUESTLOCK_NOT_FOUND ? GUESTLOCK_OK : status);
}
