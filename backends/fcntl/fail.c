/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From errno to results, and the messages that several functions share. */
#include "fcntl_priv.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static const struct guestlock_cause causes[] = {
	{EAGAIN, GUESTLOCK_RES_AGAIN, NULL, "somebody else is changing it at this moment: try again"},
	{EACCES, GUESTLOCK_RES_DENIED, NULL, "run as the user that owns the lock directory"},
	{EPERM, GUESTLOCK_RES_DENIED, NULL, "run as the user that owns the lock directory"},
	{ENOENT, GUESTLOCK_RES_NOT_JOINED, NULL,
	 "the lock directory or a part of its path is missing; never remove it while guests run"},
	{ENOTDIR, GUESTLOCK_RES_INVALID, NULL, "check lock_dir: a part of it is no directory"},
	{ELOOP, GUESTLOCK_RES_INVALID, NULL, "check lock_dir: there is a symbolic link where none may be"},
	{ENAMETOOLONG, GUESTLOCK_RES_INVALID, NULL, "check lock_dir: its path is too long"},
	{EBADMSG, GUESTLOCK_RES_INVALID, NULL, "a key has 43 letters, digits, \"-\" and \"_\""},
	{ENOSPC, GUESTLOCK_RES_CANNOT_CREATE, NULL,
	 "free some space on the file system of the lock directory"},
	{EDQUOT, GUESTLOCK_RES_CANNOT_CREATE, NULL,
	 "free some space on the file system of the lock directory"},
	{EROFS, GUESTLOCK_RES_CANNOT_CREATE, NULL, "set lock_dir to a directory on a writable file system"},
	{EFBIG, GUESTLOCK_RES_CANNOT_CREATE, NULL, "too many guests share this resource"},
	{EMFILE, GUESTLOCK_RES_IO, NULL, "raise the limit of open files"},
	{ENFILE, GUESTLOCK_RES_IO, NULL, "raise the system's limit of open files (fs.file-max)"},
	{ENOLCK, GUESTLOCK_RES_IO, NULL, "set lock_dir to a directory on a file system that has file locks"},
	{EINVAL, GUESTLOCK_RES_IO, NULL, "set lock_dir to a directory on a file system that has file locks"},
	{ENOMEM, GUESTLOCK_RES_IO, NULL, "free some memory"},
	{0, GUESTLOCK_RES_IO, NULL, "check the file system of the lock directory"},
};

enum guestlock_result gl_fcntl_result_of_errno(int sys_errno)
{
	return guestlock_cause_of(causes, sys_errno)->result;
}

const char *gl_fcntl_advice(int sys_errno)
{
	return guestlock_cause_of(causes, sys_errno)->advice;
}

enum guestlock_result gl_fcntl_fail(struct guestlock_error *err, int sys_errno, const char *verb,
				    const char *path)
{
	errno = sys_errno;
	return guestlock_backend_fail(err, gl_fcntl_result_of_errno(sys_errno), sys_errno, 0,
				      "cannot %s %s: %m; %s", verb, path, gl_fcntl_advice(sys_errno));
}

enum guestlock_result gl_fcntl_fail_damaged(const struct gl_fcntl *fc, struct guestlock_error *err,
					    const char *verb, const char *identity, const char *key,
					    const char *damage)
{
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_UNKNOWN, 0, 0,
		"cannot %s %.*s: the lock entry %s/%s cannot be trusted (%s); make sure that no "
		"guest uses the resource, then run: guestlock release --orphan %s --force",
		verb, GL_FCNTL_IDENTITY, identity[0] != '\0' ? identity : "a lock", fc->keys_dir, key, damage,
		key);
}

static void print_since(int64_t since, char out[GL_FCNTL_WHEN_SIZE])
{
	time_t seconds = (time_t)since;
	struct tm tm;

	if (since == 0 || !gmtime_r(&seconds, &tm) ||
	    strftime(out, GL_FCNTL_WHEN_SIZE, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0) {
		snprintf(out, GL_FCNTL_WHEN_SIZE, "an unknown time");
	}
}

enum guestlock_result gl_fcntl_fail_busy(struct guestlock_error *err, const char *verb, const char *identity,
					 const char *key, const struct guestlock_holder *holder)
{
	char since[GL_FCNTL_WHEN_SIZE];

	print_since(holder->since, since);
	guestlock_backend_fail(
		err, GUESTLOCK_RES_BUSY, 0, 0,
		"cannot %s %.*s: guest %s (%s, pid %d on host %s) holds it in mode %s since %s; shut "
		"that guest down or detach the resource from it first",
		verb, GL_FCNTL_IDENTITY, identity[0] != '\0' ? identity : key,
		holder->name[0] != '\0' ? holder->name : "without a name", holder->uuid, (int)holder->pid,
		holder->host, guestlock_mode_name(holder->mode), since);
	err->holder = *holder;
	return GUESTLOCK_RES_BUSY;
}

enum guestlock_result gl_fcntl_check_joined(const struct gl_fcntl *fc, struct guestlock_error *err)
{
	if (atomic_load(&fc->joined)) {
		return GUESTLOCK_RES_GRANTED;
	}
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_NOT_JOINED, 0, 0,
		"cannot use the lock directory %s: this host has left it; try again, which joins it anew",
		fc->lock_dir);
}
