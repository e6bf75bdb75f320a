/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The descriptors of lockspace and ledger, which must not be closed for the last time while requests are under way: in
 * the kernel their locks would be damaged.
 */
#include "dlm.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

bool gl_dlm_is_kept(const struct gl_dlm *dlm)
{
	const struct guestlock_kept *kept = dlm->kept;
	struct stat st;

	return kept->count > 1 && gl_dlm_lockspace_exists(dlm) && fstat(kept->fds[0], &st) == 0 &&
	       S_ISCHR(st.st_mode);
}

bool gl_dlm_let_go(struct gl_dlm *dlm)
{
	struct guestlock_kept *kept = dlm->kept;
	size_t count = kept->count;

	kept->count = 0;
	if (count > 0 && !kept->keep(kept)) {
		kept->count = count;
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		close(kept->fds[i]);
	}
	return true;
}

enum guestlock_result gl_dlm_fail_keep(const struct gl_dlm *dlm, struct guestlock_error *err)
{
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_AGAIN, 0, 0,
		"cannot use the DLM lockspace %s: the guard of the keeper, which has to "
		"have it open too, does not answer; try again",
		dlm->lockspace);
}

enum guestlock_result gl_dlm_keep(struct gl_dlm *dlm, int fd, struct guestlock_error *err)
{
	struct guestlock_kept *kept = dlm->kept;

	kept->fds[0] = fd;
	kept->fds[1] = dlm->table.fd;
	kept->count = 2;
	if (kept->keep(kept)) {
		dlm->fd = fd;
		return GUESTLOCK_RES_GRANTED;
	}
	kept->count = 0;
	close(fd);
	return gl_dlm_fail_keep(dlm, err);
}

static int is_in_flight(void *data, struct gl_dlm_lock *lock)
{
	bool *found = data;

	bool sent = (__atomic_load_n(&lock->flight, __ATOMIC_ACQUIRE) & GL_DLM_FLIGHT) == GL_DLM_SENT;

	/*
	 * Of one that is no more than an orphan, or deaf, no answer will ever come; nor need one come of what a
	 * predecessor was about to send, if it is of nobody any more.
	 */
	*found = gl_dlm_in_flight(lock) && lock->bound && !lock->deaf && (sent || !lock->passing);
	return *found;
}

bool gl_dlm_busy(struct guestlock_backend *backend)
{
	struct gl_dlm *dlm = gl_dlm_of(backend);
	bool found = false;

	gl_dlm_catch_up(dlm);
	pthread_mutex_lock(&dlm->mutex);
	gl_dlm_table_each(&dlm->table, is_in_flight, &found);
	pthread_mutex_unlock(&dlm->mutex);
	return found;
}
