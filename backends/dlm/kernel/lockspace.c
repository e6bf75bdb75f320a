/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lockspace of this node. Each start refers to it once more, and the first one twice, so that a
 * "dlm_tool leave" by somebody else only counts down: at its last reference it would drop every lock of this
 * node at once, whoever has it open.
 */
#include "kernel/kernel.h"

#include "cluster/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <libdlm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define LOCKSPACE_MODE 0600

static bool is_in_kernel(const struct gl_dlm *dlm)
{
	char path[sizeof("/sys/kernel/dlm/") + DLM_LOCKSPACE_LEN];

	snprintf(path, sizeof(path), "/sys/kernel/dlm/%s", dlm->lockspace);
	return access(path, F_OK) == 0;
}

bool gl_dlm_lockspace_exists(const struct gl_dlm *dlm)
{
	char path[sizeof("/sys/class/misc/dlm_") + DLM_LOCKSPACE_LEN];

	snprintf(path, sizeof(path), "/sys/class/misc/dlm_%s", dlm->lockspace);
	return is_in_kernel(dlm) && access(path, F_OK) == 0;
}

static enum guestlock_result fail_create(const struct gl_dlm *dlm, int error, struct guestlock_error *err)
{
	enum guestlock_result result =
		gl_dlm_cluster_probe(&gl_dlm_this_world, dlm->lockspace, dlm->allow_no_fencing, err);

	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	return gl_dlm_fail(err, error ? error : ENODEV, "create the DLM lockspace", dlm->lockspace);
}

/*
 * One reference more, which is counted; exclusive: only if there is none yet, and then the lockspace is ours. NULL with
 * errno.
 */
static dlm_lshandle_t refer(struct gl_dlm *dlm, bool exclusive)
{
	dlm_lshandle_t handle;

	errno = 0;
	handle = exclusive ? dlm_new_lockspace(dlm->lockspace, LOCKSPACE_MODE, DLM_LSFL_NEWEXCL)
			   : dlm_create_lockspace(dlm->lockspace, LOCKSPACE_MODE);
	if (handle) {
		dlm->table.ledger->references++;
		dlm->table.ledger->created |= exclusive;
	}
	return handle;
}

/* A descriptor of the same open file, above those that are used for input and output. */
static int descriptor_of(dlm_lshandle_t handle)
{
	return fcntl(dlm_ls_get_fd(handle), F_DUPFD_CLOEXEC, 3);
}

enum guestlock_result gl_dlm_lockspace_open(struct gl_dlm *dlm, int *out_fd, struct guestlock_error *err)
{
	bool first = !gl_dlm_lockspace_exists(dlm);
	dlm_lshandle_t handle, second;
	int fd;

	if (first && is_in_kernel(dlm)) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_NOT_JOINED, 0, 0,
			"somebody leaves or joins the DLM lockspace %s at this moment; try again",
			dlm->lockspace);
	}
	handle = refer(dlm, first);
	if (!handle && first && errno == EEXIST) {
		handle = refer(dlm, false);
	}
	if (!handle) {
		return fail_create(dlm, errno, err);
	}
	second = refer(dlm, false);
	if (second) {
		dlm_close_lockspace(second);
	}
	fd = descriptor_of(handle);
	if (fd < 0) {
		int error = errno;

		dlm_close_lockspace(handle);
		return gl_dlm_fail(err, error, "open the DLM lockspace", dlm->lockspace);
	}
	dlm_close_lockspace(handle);
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
		int error = errno;

		close(fd);
		return gl_dlm_fail(err, error, "open the DLM lockspace", dlm->lockspace);
	}
	*out_fd = fd;
	return GUESTLOCK_RES_GRANTED;
}

/*
 * As many references as are ours: what others of this host have holds the lockspace for them. With force where we made
 * it, for without it other nodes' copies of locks count as being in use.
 */
enum guestlock_result gl_dlm_lockspace_leave(struct gl_dlm *dlm, unsigned references, bool created,
					     struct guestlock_error *err)
{
	for (unsigned i = 0; i < references && is_in_kernel(dlm); i++) {
		dlm_lshandle_t handle;

		errno = 0;
		handle = dlm_open_lockspace(dlm->lockspace);
		if (!handle) {
			break;
		}
		errno = 0;
		dlm_release_lockspace(dlm->lockspace, handle, created);
		if (errno && errno != EINTR && gl_dlm_lockspace_exists(dlm)) {
			return gl_dlm_fail(err, errno, "leave the DLM lockspace", dlm->lockspace);
		}
	}
	return GUESTLOCK_RES_GRANTED;
}

enum guestlock_result gl_dlm_check_running(struct gl_dlm *dlm, struct guestlock_error *err)
{
	bool joined, runs;

	pthread_mutex_lock(&dlm->mutex);
	joined = dlm->joined;
	runs = joined && gl_dlm_cluster_runs(dlm->runs_fd);
	pthread_mutex_unlock(&dlm->mutex);
	if (runs) {
		return GUESTLOCK_RES_GRANTED;
	}
	if (!joined) {
		return guestlock_backend_fail(err, GUESTLOCK_RES_NOT_JOINED, 0, 0,
					      "cannot use the DLM lockspace %s: this host has left it; try "
					      "again, which joins it anew",
					      dlm->lockspace);
	}
	switch (gl_dlm_cluster_status(&gl_dlm_this_world, dlm->lockspace, err)) {
	case GUESTLOCK_JOIN_JOINED:
		return GUESTLOCK_RES_GRANTED;
	case GUESTLOCK_JOIN_JOINING:
		return GUESTLOCK_RES_AGAIN;
	case GUESTLOCK_JOIN_STOPPED:
		return GUESTLOCK_RES_STOPPED;
	case GUESTLOCK_JOIN_OUT:
	case GUESTLOCK_JOIN_LOST:
		break;
	}
	return GUESTLOCK_RES_NOT_JOINED;
}
