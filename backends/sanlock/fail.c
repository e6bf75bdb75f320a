/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the numbers of sanlock and of the kernel to results and words. A number here means what a lease
 * makes of it.
 */
#include "sanlock_priv.h"

#include <errno.h>
#include <string.h>

/* Without a reason: as the kernel has it. */
static const struct guestlock_cause causes[] = {
	{SANLK_ACQUIRE_IDLIVE, GUESTLOCK_RES_BUSY, "another host holds it",
	 "end the guest that has it, or wait for its end"},
	{SANLK_ACQUIRE_OWNED, GUESTLOCK_RES_BUSY, "another host was faster",
	 "end the guest that has it, or wait for its end"},
	{SANLK_ACQUIRE_OTHER, GUESTLOCK_RES_BUSY, "another host was faster",
	 "end the guest that has it, or wait for its end"},
	{SANLK_ACQUIRE_OWNED_RETRY, GUESTLOCK_RES_BUSY,
	 "the host that holds it has stopped renewing its lease, but is not known to be dead yet",
	 "try again when sanlock counts that host as dead (sanlock client host_status)"},
	{SANLK_ACQUIRE_SHRETRY, GUESTLOCK_RES_AGAIN, "other hosts change who shares it at this moment",
	 "try again"},
	{-EEXIST, GUESTLOCK_RES_BUSY, "another guest of this host holds it",
	 "end the guest that has it, or wait for its end"},
	{-EAGAIN, GUESTLOCK_RES_BUSY, "others share it",
	 "end the guests that have it, or wait for their end"},
	{GL_SANLOCK_UNHEARD, GUESTLOCK_RES_AGAIN,
	 "the sanlock daemon of this host has joined a moment ago, and does not know yet whether the host that had it "
	 "last is alive",
	 "try again"},
	{-EBUSY, GUESTLOCK_RES_AGAIN, "sanlock is doing something else for that guest", "try again"},
	{-EINPROGRESS, GUESTLOCK_RES_NOT_JOINED, "sanlock is joining the lockspace still", "try again later"},
	{-ENOSPC, GUESTLOCK_RES_NOT_JOINED, "sanlock has not joined the lockspace of the lease",
	 "for a lockspace of your own: sanlock client add_lockspace; for ours: look at guestlock check"},
	{SANLK_ACQUIRE_LOCKSPACE, GUESTLOCK_RES_INVALID, "the lease is of another lockspace",
	 "check the lockspace's name"},
	{GL_SANLOCK_ESRCH, GUESTLOCK_RES_DEAD, "the guest's process is not registered with sanlock",
	 "it has ended; or it closed the socket that it inherited, or sanlock was started anew since: then "
	 "end it and start it again"},
	{-ECONNREFUSED, GUESTLOCK_RES_STOPPED, "the sanlock daemon does not run",
	 "start it: systemctl start sanlock"},
	{-ECONNRESET, GUESTLOCK_RES_STOPPED, "the sanlock daemon has gone away",
	 "look at its log, and start it: systemctl start sanlock"},
	{-EPIPE, GUESTLOCK_RES_STOPPED, "the sanlock daemon has gone away",
	 "look at its log, and start it: systemctl start sanlock"},
	{-ETIMEDOUT, GUESTLOCK_RES_STOPPED, "the sanlock daemon does not answer",
	 "it is full (1022 clients), stopped or hung: look at sanlock client status and its log"},
	{-ENOENT, GUESTLOCK_RES_IO, "its file is missing",
	 "mount the storage, or bring the file back; a new one is made only for leases that nobody can hold"},
	{-ENODEV, GUESTLOCK_RES_IO, "its file cannot be used by sanlock", "check lease_dir and its rights"},
	{-EACCES, GUESTLOCK_RES_DENIED, "no permission",
	 "run as root or in the group of sanlock, and let the daemon's user write in lease_dir"},
	/* Also what libsanlock says when the daemon goes away during a call. */
	{-EPERM, GUESTLOCK_RES_STOPPED, "sanlock did not answer, or does not permit it",
	 "see that its daemon runs (systemctl status sanlock), and what its log says"},
	{-EROFS, GUESTLOCK_RES_CANNOT_CREATE, NULL, "mount the storage of lease_dir for writing"},
	{-EDQUOT, GUESTLOCK_RES_CANNOT_CREATE, NULL, "free some space on the storage of lease_dir"},
	{-EMSGSIZE, GUESTLOCK_RES_UNKNOWN, "its file is cut off",
	 "make sure that no guest uses the resource, remove the file, and try again"},
	{SANLK_AIO_TIMEOUT, GUESTLOCK_RES_STOPPED, "the storage does not answer in time",
	 "look at the storage of lease_dir"},
	{-EIO, GUESTLOCK_RES_IO, "the storage reports an error", "look at the storage of lease_dir"},
	{SANLK_WD_ERROR, GUESTLOCK_RES_STOPPED, "sanlock cannot reach its watchdog",
	 "start it: systemctl start wdmd"},
	{SANLK_LEADER_MAGIC, GUESTLOCK_RES_UNKNOWN, "its file holds no lease",
	 "make sure that no guest uses the resource, remove the file, and try again"},
	{SANLK_LEADER_CHECKSUM, GUESTLOCK_RES_UNKNOWN, "its file is damaged",
	 "make sure that no guest uses the resource, remove the file, and try again"},
	{SANLK_LEADER_VERSION, GUESTLOCK_RES_INVALID, "it was made by another version of sanlock",
	 "use versions of sanlock that go together on all hosts"},
	{SANLK_LEADER_SECTORSIZE, GUESTLOCK_RES_INVALID, "it was made for sectors of another size",
	 "check sector_size"},
	{SANLK_LEADER_LOCKSPACE, GUESTLOCK_RES_INVALID, "its file is of another lockspace",
	 "check the lockspace's name"},
	{SANLK_LEADER_RESOURCE, GUESTLOCK_RES_INVALID, "its file holds another lease",
	 "check the lease's name, path and offset"},
	{SANLK_LEADER_NUMHOSTS, GUESTLOCK_RES_UNKNOWN, "its file is damaged",
	 "make sure that no guest uses the resource, remove the file, and try again"},
	{SANLK_LEADER_READ, GUESTLOCK_RES_IO, "it cannot be read", "look at the storage of lease_dir"},
	{SANLK_LEADER_WRITE, GUESTLOCK_RES_IO, "it cannot be written", "look at the storage of lease_dir"},
	{SANLK_DBLOCK_READ, GUESTLOCK_RES_IO, "it cannot be read", "check sector_size and the storage"},
	{SANLK_DBLOCK_WRITE, GUESTLOCK_RES_IO, "it cannot be written", "check sector_size and the storage"},
	{SANLK_DBLOCK_CHECKSUM, GUESTLOCK_RES_UNKNOWN, "its file is damaged, or of another sector size",
	 "check sector_size"},
	{SANLK_ADDLS_INVALID_HOSTID, GUESTLOCK_RES_INVALID, "the lockspace has no such host id",
	 "check host_id"},
	{SANLK_ADDLS_SIZES, GUESTLOCK_RES_INVALID, "the lockspace was made for sectors of another size",
	 "check sector_size"},
	{SANLK_HOSTID_BUSY, GUESTLOCK_RES_INVALID, "another host that is alive uses this host id",
	 "give each host a host_id of its own"},
	{-EINVAL, GUESTLOCK_RES_INVALID, "sanlock does not take the request", "look at sanlock's log"},
	{-ENOMEM, GUESTLOCK_RES_IO, NULL, "free some memory"},
	{-ELOOP, GUESTLOCK_RES_INVALID, NULL, "check lease_dir"},
	{-ENOTDIR, GUESTLOCK_RES_INVALID, NULL, "check lease_dir"},
	{-ESTALE, GUESTLOCK_RES_IO, NULL, "mount the storage of lease_dir anew"},
	{0, GUESTLOCK_RES_IO, NULL, "look at sanlock's log"},
};

enum guestlock_result gl_sanlock_result(int rv)
{
	return guestlock_cause_of(causes, rv)->result;
}

enum guestlock_result gl_sanlock_fail(struct guestlock_error *err, int rv, const char *what, const char *name)
{
	const struct guestlock_cause *cause = guestlock_cause_of(causes, rv);
	const char *reason = cause->reason;
	/* Its own numbers begin where those of the kernel have ended long ago. */
	bool kernel = rv > SANLK_ERROR;

	if (!reason) {
		reason = kernel ? strerrordesc_np(-rv) : sanlock_strerror(rv);
	}
	return guestlock_backend_fail(err, cause->result, kernel ? -rv : 0, rv,
				      "cannot %s %s: %s (sanlock: %d); %s", what, name,
				      reason ? reason : "sanlock refused", rv, cause->advice);
}
