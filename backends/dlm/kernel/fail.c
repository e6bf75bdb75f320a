/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the DLM's modes and errors to ours, and the messages that several functions share. */
#include "kernel/kernel.h"

#include <errno.h>
#include <string.h>

static const struct {
	int mode;
	enum guestlock_mode ours;
} modes[] = {
	{DLM_LOCK_NL, GUESTLOCK_MODE_NONE},
	{DLM_LOCK_PR, GUESTLOCK_MODE_SHARED},
	{DLM_LOCK_CW, GUESTLOCK_MODE_HANDOVER},
	{DLM_LOCK_EX, GUESTLOCK_MODE_EXCLUSIVE},
};

#define GL_DLM_MODES (sizeof(modes) / sizeof(modes[0]))

/* What we never ask for, somebody else did with our locks: it counts as the strongest. */
enum guestlock_mode gl_dlm_mode_of(int mode)
{
	for (size_t i = 0; i < GL_DLM_MODES; i++) {
		if (modes[i].mode == mode) {
			return modes[i].ours;
		}
	}
	return mode < 0 ? GUESTLOCK_MODE_NONE : GUESTLOCK_MODE_EXCLUSIVE;
}

int gl_dlm_mode(enum guestlock_mode mode)
{
	for (size_t i = 0; i < GL_DLM_MODES; i++) {
		if (modes[i].ours == mode) {
			return modes[i].mode;
		}
	}
	return GL_DLM_NO_MODE;
}

static const struct guestlock_cause causes[] = {
	{EAGAIN, GUESTLOCK_RES_BUSY, NULL, "somebody else holds it"},
	{ETIMEDOUT, GUESTLOCK_RES_AGAIN, NULL, "there was no time left to ask for it: try again"},
	{EBUSY, GUESTLOCK_RES_AGAIN, NULL, "something about it is under way still: try again"},
	{EDEADLK, GUESTLOCK_RES_AGAIN, NULL, "both ends asked for it at once: try again"},
	{DLM_ECANCEL, GUESTLOCK_RES_AGAIN, NULL, "the request was cancelled: try again"},
	{EACCES, GUESTLOCK_RES_DENIED, NULL, "run as root"},
	{EPERM, GUESTLOCK_RES_DENIED, NULL, "run as root"},
	{ENOTCONN, GUESTLOCK_RES_STOPPED, NULL, "start dlm_controld, and look at its log"},
	{EUNATCH, GUESTLOCK_RES_STOPPED, NULL,
	 "dlm_controld has gone away: this node must be rebooted or fenced before it can lock again"},
	{ENODEV, GUESTLOCK_RES_STOPPED, NULL, "load the kernel's module dlm: modprobe dlm"},
	{ENOENT, GUESTLOCK_RES_UNKNOWN, NULL,
	 "somebody took a lock of ours away, as \"dlm_tool purge\" or \"leave\" can: look at dlm_tool "
	 "lockdebug"},
	{EINVAL, GUESTLOCK_RES_INVALID, NULL,
	 "the kernel does not take the request: look at its log (dmesg)"},
	{ENOMEM, GUESTLOCK_RES_IO, NULL, "free some memory"},
	{ENOSPC, GUESTLOCK_RES_CANNOT_CREATE, NULL, "free some space in the run directory"},
	{EROFS, GUESTLOCK_RES_CANNOT_CREATE, NULL, "set run_dir to a directory on a writable file system"},
	{0, GUESTLOCK_RES_IO, NULL, "look at the kernel's log (dmesg) and at dlm_tool ls"},
};

enum guestlock_result gl_dlm_result_of_errno(int sys_errno)
{
	return guestlock_cause_of(causes, sys_errno)->result;
}

const char *gl_dlm_advice(int sys_errno)
{
	return guestlock_cause_of(causes, sys_errno)->advice;
}

enum guestlock_result gl_dlm_fail(struct guestlock_error *err, int sys_errno, const char *what,
				  const char *name)
{
	const char *reason = strerrordesc_np(sys_errno);

	return guestlock_backend_fail(err, gl_dlm_result_of_errno(sys_errno), reason ? sys_errno : 0,
				      sys_errno, "cannot %s %s: %s; %s", what, name,
				      reason ? reason : "the DLM refused", gl_dlm_advice(sys_errno));
}
