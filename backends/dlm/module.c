/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module: what it can do, its options, its instance. */
#include "dlm.h"

#include "calls/calls.h"
#include "owners/owners.h"
#include "view/view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

extern const struct guestlock_module guestlock_backend_module;

static const struct guestlock_option options[] = {
	{
		.name = "lockspace",
		.type = GUESTLOCK_OPTION_STRING,
		.default_value = "guestlock",
		.help = "name of the DLM lockspace, the same on all hosts of the cluster: letters, digits, "
			"\"-\", \"_\" and \".\", at most 64",
	},
	{
		.name = "allow_no_fencing",
		.type = GUESTLOCK_OPTION_BOOL,
		.default_value = "no",
		.help = "lock although fencing is off: a host that seems dead but writes on is not stopped "
			"then",
	},
	{.name = NULL},
};

static void finish_dlm(struct guestlock_backend *backend)
{
	struct gl_dlm *dlm = gl_dlm_of(backend);

	gl_dlm_close(dlm);
	gl_dlm_watch_end(dlm);
	pthread_mutex_destroy(&dlm->membership);
	pthread_mutex_destroy(&dlm->mutex);
	pthread_cond_destroy(&dlm->idle);
	pthread_condattr_destroy(&dlm->monotonic);
	free(dlm->lockspace);
	free(dlm->owners_dir);
	free(dlm->ledger_path);
}

/* The kernel hangs, for good, on a name with a '/' in it. */
static bool is_valid_name(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
	size_t length = strlen(name);

	return length > 0 && length <= DLM_LOCKSPACE_LEN && name[0] != '.' && strspn(name, allowed) == length;
}

static bool set_paths(struct gl_dlm *dlm, const char *lockspace)
{
	dlm->lockspace = strdup(lockspace);
	if (asprintf(&dlm->owners_dir, "%s/owners", dlm->base.run_dir) < 0) {
		dlm->owners_dir = NULL;
	}
	if (asprintf(&dlm->ledger_path, "%s/locks.%s", dlm->base.run_dir, lockspace) < 0) {
		dlm->ledger_path = NULL;
	}
	return dlm->lockspace && dlm->owners_dir && dlm->ledger_path;
}

static void init_threads(struct gl_dlm *dlm)
{
	pthread_mutex_init(&dlm->membership, NULL);
	pthread_mutex_init(&dlm->mutex, NULL);
	pthread_condattr_init(&dlm->monotonic);
	pthread_condattr_setclock(&dlm->monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&dlm->idle, &dlm->monotonic);
	TAILQ_INIT(&dlm->waiting);
}

static enum guestlock_result init(struct guestlock_backend *backend, struct guestlock_error *err)
{
	const char *lockspace = guestlock_option_string(backend, "lockspace");
	struct gl_dlm *dlm = gl_dlm_of(backend);

	if (!is_valid_name(lockspace)) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_INVALID, 0, 0,
			"cannot use \"%s\" as the name of a DLM lockspace: set [dlm] lockspace to "
			"1 to 64 letters, digits, \"-\", \"_\" and \".\"",
			lockspace);
	}
	dlm->fd = -1;
	dlm->runs_fd = -1;
	dlm->stop_fd = -1;
	dlm->watch.fd = -1;
	dlm->allow_no_fencing = guestlock_option_bool(backend, "allow_no_fencing");
	dlm->manager = gl_dlm_manager_bits(backend->run_dir);
	gl_dlm_table_init(&dlm->table);
	init_threads(dlm);
	if (!set_paths(dlm, lockspace)) {
		finish_dlm(backend);
		return gl_dlm_fail(err, ENOMEM, "prepare the DLM lockspace", lockspace);
	}
	return GUESTLOCK_RES_GRANTED;
}

static const struct guestlock_backend_ops ops = {
	.init = init,
	.finish = finish_dlm,
	.probe = gl_dlm_probe,
	.join = gl_dlm_join,
	.leave = gl_dlm_leave,
	.status = gl_dlm_status,
	.bind = gl_dlm_bind,
	.acquire = gl_dlm_acquire,
	.release = gl_dlm_release,
	.convert = gl_dlm_convert,
	.inquire = gl_dlm_inquire,
	.enumerate = gl_dlm_enumerate,
	.survey = gl_dlm_survey,
	.release_orphan = gl_dlm_release_orphan,
	.watch = gl_dlm_watch,
	.next_event = gl_dlm_next_event,
	.busy = gl_dlm_busy,
};

__attribute__((visibility("default"))) const struct guestlock_module guestlock_backend_module = {
	.abi = GUESTLOCK_BACKEND_ABI,
	.name = "dlm",
	.description = "locks of a cluster in the kernel's distributed lock manager (corosync, dlm_controld)",
	.capabilities = GUESTLOCK_CAP_SHARED | GUESTLOCK_CAP_HANDOVER | GUESTLOCK_CAP_HOTPLUG |
			GUESTLOCK_CAP_ADOPT | GUESTLOCK_CAP_EPOCH | GUESTLOCK_CAP_MAY_BLOCK |
			GUESTLOCK_CAP_WATCH | GUESTLOCK_CAP_CLUSTER | GUESTLOCK_CAP_HOSTS,
	.limits = {.key_size = DLM_RESNAME_MAXLEN, .batch = 0},
	.instance_size = sizeof(struct gl_dlm),
	.options = options,
	.ops = &ops,
};
