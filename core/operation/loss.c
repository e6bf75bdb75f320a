/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is to become of a guest that loses a lock while it runs: the parameter on_lockfailure of its record.
 */
#include "operation/loss.h"

#include "base/base.h"
#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ACTION "on_lockfailure"
/* What the program that acts has to read, as it is called without the guest's environment. */
#define CONFIG "config"
#define CONFIG_EXTRA "config_extra"

const char *gl_record_param(const struct gl_record *record, const char *key)
{
	for (size_t i = 0; i < record->n_params; i++) {
		if (strcmp(record->params[i].key, key) == 0) {
			return record->params[i].value;
		}
	}
	return "";
}

/* One that a backend can be told. */
static bool is_told(const char *action)
{
	return strcmp(action, "pause") == 0 || strcmp(action, "poweroff") == 0;
}

const char *gl_loss_action(const struct gl_operation_run *run)
{
	const char *action = gl_record_param(run->record, ACTION);

	return gl_can(run->gl, GUESTLOCK_CAP_LOSS_ACTION) && is_told(action) ? action : "";
}

static int refuse(const struct guestlock *gl, const struct gl_record *record, const char *action,
		  struct guestlock_error *err)
{
	const char *why = "cannot act on a guest that lost a lock";

	if (gl_can(gl, GUESTLOCK_CAP_LOSS_ACTION)) {
		why = "can pause a guest that loses a lock or power it off, but not restart it";
	} else if (!gl_can(gl, GUESTLOCK_CAP_WATCH)) {
		why = "never loses a lock while the guest runs, so that there is nothing to act on";
	}
	return gl_fail(err, GUESTLOCK_UNSUPPORTED, 0,
		       "guest %s wants on_lockfailure \"%s\", and backend %s %s: leave it out", record->uuid,
		       action, gl_technology(gl), why);
}

int gl_loss_describe(const struct guestlock *gl, struct gl_record *record, struct guestlock_error *err)
{
	const char *action = gl_record_param(record, ACTION);

	if (strcmp(action, "restart") == 0 || (is_told(action) && !gl_can(gl, GUESTLOCK_CAP_LOSS_ACTION))) {
		return refuse(gl, record, action, err);
	}
	if (!is_told(action)) {
		return GUESTLOCK_OK;
	}
	if ((gl->config_file && gl_record_set_param(record, CONFIG, gl->config_file) < 0) ||
	    (gl->extra_file && gl_record_set_param(record, CONFIG_EXTRA, gl->extra_file) < 0)) {
		return gl_fail_memory(err);
	}
	return GUESTLOCK_OK;
}

int gl_loss_open(const char *run_dir, const struct gl_record *record, guestlock_log_fn *log,
		 struct guestlock **out_gl, struct guestlock_error *err)
{
	const char *config = gl_record_param(record, CONFIG), *extra = gl_record_param(record, CONFIG_EXTRA);
	GL_AUTOFREE char *setting = NULL;
	const char *overrides[3] = {"guestlock.acquire_timeout=5"};
	const struct guestlock_options options = {
		.size = sizeof(options),
		.config_file = config[0] ? config : NULL,
		.extra_file = extra[0] ? extra : NULL,
		.overrides = overrides,
		.log = log,
	};
	int status;

	if (asprintf(&setting, "guestlock.run_dir=%s", run_dir) < 0) {
		setting = NULL;
		return gl_fail_memory(err);
	}
	overrides[1] = setting;
	status = guestlock_open(out_gl, &options, err);
	if (status == GUESTLOCK_OK) {
		(*out_gl)->losing = true;
	}
	return status;
}

/* What a technology leaves to its program where it can still call it. */
#define SECONDS "40"

void gl_loss_act(const struct gl_operation_run *run)
{
	const struct guestlock *gl = run->gl;
	const char *action = gl_loss_action(run);
	char instance[20];
	pid_t pid;

	if (!action[0]) {
		return;
	}
	snprintf(instance, sizeof(instance), "%016" PRIx64, run->record->instance);
	pid = gl_fork_for_nobody();
	if (pid == 0) {
		closefrom(STDERR_FILENO + 1);
		execl(gl->loss_program, gl->loss_program, gl->store.run_dir, run->lock.uuid, instance, action,
		      SECONDS, (char *)NULL);
		_exit(127);
	}
	if (pid < 0) {
		gl_log(gl, GUESTLOCK_LOG_ERROR,
		       "guest %s has lost its locks, and cannot be acted upon (%s): %m", run->lock.uuid,
		       action);
	}
}
