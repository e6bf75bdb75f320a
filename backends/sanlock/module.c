/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module: what it can do, its options, its instance. */
#include "sanlock_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const struct guestlock_module guestlock_backend_module;

static const struct guestlock_option options[] = {
	{
		.name = "host_id",
		.type = GUESTLOCK_OPTION_UINT,
		.required = true,
		.help = "number of this host, 1 to 2000: a different one on each host that shares lease_dir",
	},
	{
		.name = "lease_dir",
		.type = GUESTLOCK_OPTION_PATH,
		.required = true,
		.help = "directory of the leases, on storage that all hosts share (NFS, GFS2, OCFS2); lease "
			"files belong to whom it belongs to",
	},
	{
		.name = "lockspace",
		.type = GUESTLOCK_OPTION_STRING,
		.default_value = "guestlock",
		.help = "name of the sanlock lockspace, the same on all hosts: letters, digits, \"-\", \"_\" "
			"and \".\", at most 48",
	},
	{
		.name = "io_timeout",
		.type = GUESTLOCK_OPTION_UINT,
		.default_value = "10",
		.help = "seconds that one read or write of a lease may take, the same on all hosts; a host "
			"counts as dead 8 times that plus 60 seconds after its last renewal",
	},
	{
		.name = "sector_size",
		.type = GUESTLOCK_OPTION_UINT,
		.default_value = "512",
		.help = "512 or 4096, the same on all hosts: that of the storage below lease_dir",
	},
	{
		.name = "allow_no_watchdog",
		.type = GUESTLOCK_OPTION_BOOL,
		.default_value = "no",
		.help = "lock although sanlock runs without a watchdog: when it dies, its guests write on, "
			"and others can have their leases",
	},
	{
		.name = "allow_local_leases",
		.type = GUESTLOCK_OPTION_BOOL,
		.default_value = "no",
		.help = "lock although lease_dir is on a file system that only this host can see",
	},
	{.name = NULL},
};

static void finish_sanlock(struct guestlock_backend *backend)
{
	struct gl_sanlock *sl = gl_sanlock_of(backend);

	gl_sanlock_adding_leave(sl);
	if (sl->registered >= 0) {
		close(sl->registered);
	}
	if (sl->watch >= 0) {
		close(sl->watch);
	}
	if (sl->kick >= 0) {
		close(sl->kick);
	}
	pthread_mutex_destroy(&sl->mutex);
	free(sl->dir);
	free(sl->lockspace);
	free(sl->lockspace_path);
	free(sl->format_path);
	free(sl->host_path);
	free(sl->daemon_path);
}

static bool is_valid_name(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
	size_t length = strlen(name);

	return length > 0 && length <= SANLK_NAME_LEN && name[0] != '.' && strspn(name, allowed) == length;
}

/* The daemon separates paths by blanks and colons in what it answers, and does not escape all of them. */
static bool is_valid_path(const char *path)
{
	return path[0] == '/' && !strpbrk(path, " \t\n:\\") && strlen(path) < SANLK_PATH_LEN - 64;
}

static enum guestlock_result check_options(const struct guestlock_backend *backend,
					   struct guestlock_error *err)
{
	const char *lockspace = guestlock_option_string(backend, "lockspace");
	const char *dir = guestlock_option_string(backend, "lease_dir");
	unsigned sector = guestlock_option_uint(backend, "sector_size");
	unsigned io_timeout = guestlock_option_uint(backend, "io_timeout");
	unsigned host_id = guestlock_option_uint(backend, "host_id");

	if (!is_valid_name(lockspace)) {
		return guestlock_backend_fail(err, GUESTLOCK_RES_INVALID, 0, 0,
					      "cannot use \"%s\" as the name of a sanlock lockspace: set "
					      "[sanlock] lockspace to 1 to %d letters, digits, \"-\", \"_\" "
					      "and \".\"",
					      lockspace, SANLK_NAME_LEN);
	}
	if (dir[0] != '\0' && !is_valid_path(dir)) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_INVALID, 0, 0,
			"cannot keep leases in %s: sanlock takes no blank, colon or backslash in a path, and "
			"at most %d bytes; set [sanlock] lease_dir to another directory",
			dir, SANLK_PATH_LEN - 65);
	}
	if (sector != 512 && sector != 4096) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_INVALID, 0, 0,
			"cannot use sectors of %u bytes: set [sanlock] sector_size to 512 or 4096", sector);
	}
	if (host_id > GL_SANLOCK_HOSTS) {
		return guestlock_backend_fail(err, GUESTLOCK_RES_INVALID, 0, 0,
					      "cannot use %u as a host id: set [sanlock] host_id to a number "
					      "from 1 to %d, on each host another one",
					      host_id, GL_SANLOCK_HOSTS);
	}
	if (io_timeout == 0 || io_timeout > 255) {
		return guestlock_backend_fail(err, GUESTLOCK_RES_INVALID, 0, 0,
					      "cannot use an I/O timeout of %u seconds: set [sanlock] "
					      "io_timeout to 1 to 255, on all hosts the same",
					      io_timeout);
	}
	return GUESTLOCK_RES_GRANTED;
}

static char *join_path(const char *dir, const char *before, const char *name, const char *after)
{
	char *path;

	return asprintf(&path, "%s/%s%s%s", dir, before, name, after) < 0 ? NULL : path;
}

static bool set_texts(struct gl_sanlock *sl)
{
	const char *run_dir = getenv("SANLOCK_RUN_DIR");
	char id[16], digest[GUESTLOCK_KEY_SIZE];

	snprintf(id, sizeof(id), "%u", sl->host_id);
	guestlock_digest(sl->base.run_dir, strlen(sl->base.run_dir), digest);
	snprintf(sl->mark, sizeof(sl->mark), "%u-%.16s", sl->host_id, digest);
	sl->dir = strdup(guestlock_option_string(&sl->base, "lease_dir"));
	sl->lockspace = strdup(guestlock_option_string(&sl->base, "lockspace"));
	if (!sl->dir || !sl->lockspace) {
		return false;
	}
	sl->lockspace_path = join_path(sl->dir, "", sl->lockspace, ".lockspace");
	sl->format_path = join_path(sl->dir, "", "guestlock", ".format");
	sl->host_path = join_path(sl->dir, "host.", id, "");
	/* As libsanlock finds it. */
	sl->daemon_path = join_path(run_dir && run_dir[0] ? run_dir : "/run/sanlock", "", "sanlock", ".sock");
	return sl->lockspace_path && sl->format_path && sl->host_path && sl->daemon_path;
}

static enum guestlock_result init(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct gl_sanlock *sl = gl_sanlock_of(backend);
	enum guestlock_result result = check_options(backend, err);

	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	sl->watch = sl->registered = sl->kick = -1;
	sl->host_id = guestlock_option_uint(backend, "host_id");
	sl->io_timeout = guestlock_option_uint(backend, "io_timeout");
	sl->sector = guestlock_option_uint(backend, "sector_size");
	sl->allow_no_watchdog = guestlock_option_bool(backend, "allow_no_watchdog");
	sl->allow_local = guestlock_option_bool(backend, "allow_local_leases");
	pthread_mutex_init(&sl->mutex, NULL);
	if (!set_texts(sl)) {
		finish_sanlock(backend);
		return gl_sanlock_fail(err, -ENOMEM, "prepare the leases in",
				       guestlock_option_string(backend, "lease_dir"));
	}
	return GUESTLOCK_RES_GRANTED;
}

/* What is asked is the daemon's to finish, whatever becomes of who asked. */
static bool busy(struct guestlock_backend *backend)
{
	(void)backend;
	return false;
}

static const struct guestlock_backend_ops ops = {
	.init = init,
	.finish = finish_sanlock,
	.probe = gl_sanlock_probe,
	.join = gl_sanlock_join,
	.leave = gl_sanlock_leave,
	.status = gl_sanlock_status,
	.bind = gl_sanlock_bind,
	.acquire = gl_sanlock_acquire,
	.release = gl_sanlock_release,
	.inquire = gl_sanlock_inquire,
	.enumerate = gl_sanlock_enumerate,
	.release_orphan = gl_sanlock_release_orphan,
	.unprovision = gl_sanlock_unprovision,
	.watch = gl_sanlock_watch,
	.next_event = gl_sanlock_next_event,
	.busy = busy,
};

__attribute__((visibility("default"))) const struct guestlock_module guestlock_backend_module = {
	.abi = GUESTLOCK_BACKEND_ABI,
	.name = "sanlock",
	.description = "leases on storage that hosts share, kept by the sanlock daemon",
	.capabilities = GUESTLOCK_CAP_SHARED | GUESTLOCK_CAP_HOTPLUG | GUESTLOCK_CAP_EPOCH |
			GUESTLOCK_CAP_MAY_BLOCK | GUESTLOCK_CAP_UNPROVISION | GUESTLOCK_CAP_WATCH |
			GUESTLOCK_CAP_LOSS_ACTION | GUESTLOCK_CAP_BIND_HERE | GUESTLOCK_CAP_HOSTS,
	.limits = {.key_size = SANLK_NAME_LEN, .batch = 0},
	.instance_size = sizeof(struct gl_sanlock),
	.options = options,
	.ops = &ops,
};
