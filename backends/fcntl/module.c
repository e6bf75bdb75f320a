/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module: what it can do, its options, its instance. */
#include "fcntl_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

extern const struct guestlock_module guestlock_backend_module;

static const struct guestlock_option options[] = {
	{
		.name = "lock_dir",
		.type = GUESTLOCK_OPTION_PATH,
		.default_value = "@state_dir@/fcntl",
		.help = "directory of the locks; all managers of this machine that could use the same disks "
			"share it",
	},
	{
		.name = "allow_network_filesystem",
		.type = GUESTLOCK_OPTION_BOOL,
		.default_value = "no",
		.help = "accept a lock_dir on a network file system, although its locks do not stop another "
			"host",
	},
	{.name = NULL},
};

static void finish_fcntl(struct guestlock_backend *backend)
{
	struct gl_fcntl *fc = gl_fcntl_of(backend);

	free(fc->lock_dir);
	free(fc->keys_dir);
	free(fc->life_dir);
	free(fc->new_dir);
	free(fc->format_path);
	free(fc->setup_path);
	backend->life_dir = NULL;
}

static bool name_paths(struct gl_fcntl *fc, const char *lock_dir)
{
	const struct {
		char **slot;
		const char *name;
	} paths[] = {
		{&fc->lock_dir, ""},    {&fc->keys_dir, "/keys"},      {&fc->life_dir, "/life"},
		{&fc->new_dir, "/new"}, {&fc->format_path, "/format"}, {&fc->setup_path, "/setup"},
	};
	size_t i;

	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (asprintf(paths[i].slot, "%s%s", lock_dir, paths[i].name) < 0) {
			*paths[i].slot = NULL;
			return false;
		}
	}
	return true;
}

static enum guestlock_result init(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct gl_fcntl *fc = gl_fcntl_of(backend);

	fc->allow_network = guestlock_option_bool(backend, "allow_network_filesystem");
	if (!name_paths(fc, guestlock_option_string(backend, "lock_dir"))) {
		finish_fcntl(backend);
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_INVALID, ENOMEM, 0,
			"cannot prepare the use of the lock directory: out of memory; try again");
	}
	backend->life_dir = fc->life_dir;
	return GUESTLOCK_RES_GRANTED;
}

static const struct guestlock_backend_ops ops = {
	.init = init,
	.finish = finish_fcntl,
	.probe = gl_fcntl_probe,
	.join = gl_fcntl_join,
	.leave = gl_fcntl_leave,
	.status = gl_fcntl_status,
	.bind = gl_fcntl_bind,
	.acquire = gl_fcntl_acquire,
	.release = gl_fcntl_release,
	.convert = gl_fcntl_convert,
	.inquire = gl_fcntl_inquire,
	.enumerate = gl_fcntl_enumerate,
	.survey = gl_fcntl_survey,
	.release_orphan = gl_fcntl_release_orphan,
	.unprovision = gl_fcntl_unprovision,
};

__attribute__((visibility("default"))) const struct guestlock_module guestlock_backend_module = {
	.abi = GUESTLOCK_BACKEND_ABI,
	.name = "fcntl",
	.description = "locks in files of this machine, each valid exactly as long as its guest lives",
	.capabilities = GUESTLOCK_CAP_SHARED | GUESTLOCK_CAP_HANDOVER | GUESTLOCK_CAP_HOTPLUG |
			GUESTLOCK_CAP_ADOPT | GUESTLOCK_CAP_EPOCH | GUESTLOCK_CAP_UNPROVISION |
			GUESTLOCK_CAP_CLUSTER,
	.limits = {.key_size = GUESTLOCK_KEY_SIZE - 1, .batch = 0},
	.instance_size = sizeof(struct gl_fcntl),
	.options = options,
	.ops = &ops,
};
