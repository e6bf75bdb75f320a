/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Locks of this host itself: a resource each, and a lock that is no owner's. They are persistent as those of
 * guests are, so that they outlive the keeper, and go with the host: with its node, or when it leaves.
 */
#include "calls/calls.h"

#include "owners/owners.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAME_MOST 40
#define HOST_MS 5000

static bool name_resource(const char *name, char out[DLM_RESNAME_MAXLEN + 1])
{
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz.");

	snprintf(out, DLM_RESNAME_MAXLEN + 1, GL_DLM_HOST_PREFIX "%.*s", NAME_MOST, name);
	return size > 0 && size <= NAME_MOST && name[size] == '\0';
}

/*
 * The lock, used by the caller; add: a new one where there is none. NULL: *out_error is why, 0 where there is
 * none.
 */
static struct gl_dlm_lock *begin(struct gl_dlm *dlm, const char *resource, bool add, int *out_error)
{
	struct gl_dlm_lock *lock;

	if (!gl_dlm_enter(dlm)) {
		*out_error = ENOTCONN;
		return NULL;
	}
	pthread_mutex_lock(&dlm->mutex);
	lock = gl_dlm_table_find(&dlm->table, resource, gl_dlm_host_xid(dlm));
	*out_error = lock && (lock->used || lock->in_flight) ? EBUSY : 0;
	if (!lock && add) {
		lock = gl_dlm_table_add(&dlm->table, resource, gl_dlm_host_xid(dlm));
		*out_error = lock ? 0 : ENOMEM;
	}
	lock = *out_error ? NULL : lock;
	if (lock) {
		lock->used = true;
	}
	pthread_mutex_unlock(&dlm->mutex);
	if (!lock) {
		gl_dlm_exit(dlm);
	}
	return lock;
}

/* lock NULL: it is gone. */
static void end(struct gl_dlm *dlm, struct gl_dlm_lock *lock)
{
	pthread_mutex_lock(&dlm->mutex);
	if (lock) {
		lock->used = false;
	}
	pthread_mutex_unlock(&dlm->mutex);
	gl_dlm_exit(dlm);
}

/* Gets a lock that begin() gave into that mode, or gives it up. */
static enum guestlock_result ask(struct gl_dlm *dlm, struct gl_dlm_lock *lock, int mode, const char *name,
				 struct guestlock_error *err)
{
	struct gl_dlm_request request = {.lock = lock, .mode = mode};

	bool answered = gl_dlm_ask(dlm, &request, 1, guestlock_monotonic_ms() + HOST_MS);

	end(dlm, request.lock);
	if (!answered) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_INFLIGHT, 0, 0,
			"the cluster did not answer about the host lock %s in time; ask again when it has "
			"recovered (dlm_tool ls)",
			name);
	}
	if (request.status == EAGAIN) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_BUSY, EAGAIN, EAGAIN,
			"cannot take the host lock %s: another host has it; try again when that is done",
			name);
	}
	return request.status ? gl_dlm_fail(err, request.status, "change the host lock", name)
			      : GUESTLOCK_RES_GRANTED;
}

enum guestlock_result gl_dlm_host_acquire(struct guestlock_backend *backend, const char *name,
					  enum guestlock_mode mode, struct guestlock_error *err)
{
	struct gl_dlm *dlm = gl_dlm_of(backend);
	enum guestlock_result result = gl_dlm_check_running(dlm, err);
	char resource[DLM_RESNAME_MAXLEN + 1];
	struct gl_dlm_lock *lock;
	int error;

	if (!name_resource(name, resource) || mode == GUESTLOCK_MODE_NONE || gl_dlm_mode(mode) < 0) {
		return guestlock_backend_fail(err, GUESTLOCK_RES_INVALID, 0, 0,
					      "there is no host lock \"%s\" in mode %d: a name has 1 to %d "
					      "letters, a to z, and dots",
					      name, (int)mode, NAME_MOST);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	lock = begin(dlm, resource, true, &error);
	if (!lock) {
		return gl_dlm_fail(err, error, "take the host lock", name);
	}
	if (lock->mode > DLM_LOCK_NL && gl_dlm_mode_of(lock->mode) >= mode) {
		end(dlm, lock);
		return GUESTLOCK_RES_GRANTED;
	}
	return ask(dlm, lock, gl_dlm_mode(mode), name, err);
}

/* Nobody reads its block, so that it may go as it is. */
enum guestlock_result gl_dlm_host_drop(struct gl_dlm *dlm, const char *resource, struct guestlock_error *err)
{
	const char *name = resource + strlen(GL_DLM_HOST_PREFIX);
	int error;
	struct gl_dlm_lock *lock = begin(dlm, resource, false, &error);

	if (error) {
		return gl_dlm_fail(err, error, "release the host lock", name);
	}
	return lock ? ask(dlm, lock, GL_DLM_UNLOCK, name, err) : GUESTLOCK_RES_GRANTED;
}

enum guestlock_result gl_dlm_host_release(struct guestlock_backend *backend, const char *name,
					  struct guestlock_error *err)
{
	struct gl_dlm *dlm = gl_dlm_of(backend);
	enum guestlock_result result = gl_dlm_check_running(dlm, err);
	char resource[DLM_RESNAME_MAXLEN + 1];

	if (result != GUESTLOCK_RES_GRANTED || !name_resource(name, resource)) {
		return result;
	}
	return gl_dlm_host_drop(dlm, resource, err);
}
