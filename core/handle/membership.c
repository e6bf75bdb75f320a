/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This host as a member of its backend: asking, joining, leaving, and the keeper that keeps it one. */
#include "base/base.h"
#include "base/error.h"
#include "handle/handle.h"
#include "record/rundir.h"

#include <string.h>

/* A keeper that works answers at once. */
#define LOOK_MS 2000

static int backend_status(const struct guestlock *gl, enum guestlock_result result,
			  struct guestlock_error *cause, struct guestlock_error *err)
{
	/* What a backend finds wrong before anything was asked of it is its configuration. */
	cause->code = result == GUESTLOCK_RES_INVALID ? GUESTLOCK_CONFIG : gl_status_of_result(result);
	gl_copy_cut(cause->backend, sizeof(cause->backend), gl_technology(gl));
	gl_error_pass(err, cause);
	return cause->code;
}

int gl_take_run_id(struct guestlock *gl, int64_t deadline_ms, struct guestlock_error *err)
{
	char id[GL_RUN_ID_SIZE], *fresh;
	const char *known = __atomic_load_n(&gl->backend->run_id, __ATOMIC_ACQUIRE);
	int status;

	if (known[0]) {
		return GUESTLOCK_OK;
	}
	status = gl_run_id(&gl->store, deadline_ms, id, err);
	if (status < 0) {
		return status;
	}
	fresh = strdup(id);
	if (!fresh) {
		return gl_fail_memory(err);
	}
	/* Whoever finds it there may call the backend with it. */
	if (__atomic_compare_exchange_n(&gl->backend->run_id, &known, fresh, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE)) {
		gl->run_id = fresh;
	} else {
		free(fresh);
	}
	return GUESTLOCK_OK;
}

int guestlock_leave(struct guestlock *gl, struct guestlock_error *err)
{
	struct guestlock_error cause = {0};
	enum guestlock_result result;
	int status = gl_store_prepare(&gl->store, err);

	if (status == GUESTLOCK_OK) {
		status = gl_take_run_id(gl, gl_deadline(gl), err);
	}
	if (status < 0) {
		return status;
	}
	result = gl->ops->leave(gl->backend, &cause);
	if (result == GUESTLOCK_RES_GRANTED) {
		__atomic_store_n(&gl->joined, false, __ATOMIC_RELEASE);
		return GUESTLOCK_OK;
	}
	return backend_status(gl, result, &cause, err);
}

/* A link to whatever keeper there is, also where this handle calls the backend itself. */
static int ask_about(struct guestlock *gl, struct gl_keeper_about *out_about, struct guestlock_error *out_why)
{
	struct gl_keeper *keeper = gl->context.keeper;
	int result;

	if (!keeper && gl_keeper_new(gl->settings, gl_technology(gl), gl->store.run_dir, &keeper, NULL) < 0) {
		return -1;
	}
	result = gl_keeper_ask_about(keeper, guestlock_monotonic_ms() + LOOK_MS, out_about, out_why);
	if (keeper != gl->context.keeper) {
		gl_keeper_free(keeper);
	}
	return result;
}

int guestlock_get_keeper(struct guestlock *gl, struct guestlock_keeper_info *out_info,
			 struct guestlock_error *err)
{
	static const char *const states[] = {
		[GUESTLOCK_JOIN_OUT] = "out",       [GUESTLOCK_JOIN_JOINING] = "joining",
		[GUESTLOCK_JOIN_JOINED] = "joined", [GUESTLOCK_JOIN_STOPPED] = "stopped",
		[GUESTLOCK_JOIN_LOST] = "lost",
	};
	struct guestlock_keeper_info info = {.used = gl->context.keeper != NULL, .state = ""};
	struct gl_keeper_about about;
	struct guestlock_error why;

	(void)err;
	if (ask_about(gl, &about, &why) == 0) {
		info.running = true;
		info.guard = about.guard;
		info.worker = about.worker;
		info.since = about.since;
		info.calls = about.running > 0 ? about.running - 1 : 0;
		info.state = states[about.state];
		gl_copy_cut(info.version, sizeof(info.version), about.version);
		gl_copy_cut(info.backend, sizeof(info.backend), about.backend);
		gl_copy_cut(info.message, sizeof(info.message), why.message);
	}
	*out_info = info;
	return GUESTLOCK_OK;
}

/* Those that are used; what is made in them is ours then. */
static int check_directories(const struct guestlock *gl, struct guestlock_error *err)
{
	const char *state_dir = gl_settings_string(gl->settings, "guestlock", "state_dir");
	const char *life_dir = gl->backend->life_dir;
	char why[GUESTLOCK_WHY_NOT_SIZE];

	if (!guestlock_directory_is_ours(state_dir, why)) {
		return gl_fail(err, GUESTLOCK_DENIED, 0, "cannot use the state directory %s: %s", state_dir,
			       why);
	}
	if (!guestlock_directory_is_ours(life_dir, why)) {
		return gl_fail(err, GUESTLOCK_DENIED, 0, "cannot use the directory of life locks %s: %s",
			       life_dir, why);
	}
	return gl_store_check(&gl->store, err);
}

int guestlock_probe(struct guestlock *gl, struct guestlock_error *err)
{
	struct guestlock_error cause = {0};
	enum guestlock_result result;
	int status = check_directories(gl, err);

	if (status < 0) {
		return status;
	}
	result = gl->ops->probe(gl->backend, &cause);
	return result == GUESTLOCK_RES_GRANTED ? GUESTLOCK_OK : backend_status(gl, result, &cause, err);
}

int gl_ready(struct guestlock *gl, int64_t deadline_ms, struct guestlock_error *err)
{
	int status;

	if (__atomic_load_n(&gl->joined, __ATOMIC_ACQUIRE)) {
		return GUESTLOCK_OK;
	}
	status = gl_store_prepare(&gl->store, err);
	if (status == GUESTLOCK_OK) {
		status = gl_check_pin(gl, deadline_ms, err);
	}
	if (status == GUESTLOCK_OK) {
		status = gl_take_run_id(gl, deadline_ms, err);
	}
	if (status < 0) {
		return status;
	}
	status = check_directories(gl, err);
	if (status < 0) {
		return status;
	}
	for (unsigned attempt = 0;; attempt++) {
		struct guestlock_error cause = {0};
		enum guestlock_result result = gl->ops->join(gl->backend, &gl->kept, &cause);

		if (result == GUESTLOCK_RES_GRANTED) {
			__atomic_store_n(&gl->joined, true, __ATOMIC_RELEASE);
			return GUESTLOCK_OK;
		}
		if ((result != GUESTLOCK_RES_NOT_JOINED && result != GUESTLOCK_RES_AGAIN) ||
		    !gl_pause_before_retry(attempt, 50, deadline_ms)) {
			return backend_status(gl, result, &cause, err);
		}
	}
}

int guestlock_unprovision_unused(struct guestlock *gl, unsigned unused_s, struct guestlock_error *err)
{
	int64_t deadline_ms = guestlock_monotonic_ms() + gl->acquire_timeout_ms;
	struct guestlock_error cause = {0};
	enum guestlock_result result;
	int status;

	if (!gl_can(gl, GUESTLOCK_CAP_UNPROVISION)) {
		return GUESTLOCK_OK;
	}
	status = gl_ready(gl, deadline_ms, err);
	if (status < 0) {
		return status;
	}
	result = gl->ops->unprovision(gl->backend, unused_s, &cause);
	return result == GUESTLOCK_RES_GRANTED ? GUESTLOCK_OK : backend_status(gl, result, &cause, err);
}
