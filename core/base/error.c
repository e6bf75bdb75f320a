/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An error is filled in one go: the message may be made of what stands in it already, of any length and
 * any bytes, and is cut and made printable at the end. And the tables from results and errnos to
 * statuses.
 */
#include "base/error.h"
#include "base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A message may name two paths of 4096 bytes before the words that matter: room for all, cut afterwards. */
#define GL_MESSAGE_RAW (3 * 4096)

static const char *const gl_status_texts[] = {
	[-GUESTLOCK_OK] = "done",
	[-GUESTLOCK_FAILED] = "a fault of guestlock itself",
	[-GUESTLOCK_BUSY] = "held by somebody else",
	[-GUESTLOCK_STALE] = "another guest held it since the state was saved",
	[-GUESTLOCK_UNPROVEN] = "it cannot be shown that nobody else held it since the state was saved",
	[-GUESTLOCK_INDETERMINATE] = "the backend did not say what it did",
	[-GUESTLOCK_TIMEOUT] = "the deadline passed",
	[-GUESTLOCK_UNAVAILABLE] = "the backend cannot work now",
	[-GUESTLOCK_UNSAFE] = "the backend could not protect here",
	[-GUESTLOCK_UNSUPPORTED] = "the backend has no such ability",
	[-GUESTLOCK_DENIED] = "permission denied",
	[-GUESTLOCK_IO] = "reading or writing failed",
	[-GUESTLOCK_CANNOT_CREATE] = "a file could not be made",
	[-GUESTLOCK_DAMAGED] = "the data is damaged",
	[-GUESTLOCK_INVALID] = "an argument is wrong",
	[-GUESTLOCK_CONFIG] = "the configuration is wrong",
	[-GUESTLOCK_NOT_FOUND] = "not found",
	[-GUESTLOCK_REJECTED] = "not possible in this state of the guest",
	[-GUESTLOCK_ALIVE] = "the guest is running",
	[-GUESTLOCK_DEAD] = "the guest is dead",
	[-GUESTLOCK_UNTETHERED] = "the guest lives but has lost its tether",
	[-GUESTLOCK_ALIASED] = "the guest has the same file already, under another path",
	[-GUESTLOCK_FORKED] = "the handle belongs to another process",
	[-GUESTLOCK_NO_MEMORY] = "out of memory",
	[-GUESTLOCK_REPLACED] = "the guest was started anew meanwhile",
};

static const int gl_result_statuses[] = {
	[GUESTLOCK_RES_GRANTED] = GUESTLOCK_OK,
	[GUESTLOCK_RES_BUSY] = GUESTLOCK_BUSY,
	[GUESTLOCK_RES_DEAD] = GUESTLOCK_DEAD,
	[GUESTLOCK_RES_STALE] = GUESTLOCK_STALE,
	[GUESTLOCK_RES_UNPROVEN] = GUESTLOCK_UNPROVEN,
	[GUESTLOCK_RES_AGAIN] = GUESTLOCK_TIMEOUT,
	[GUESTLOCK_RES_INFLIGHT] = GUESTLOCK_INDETERMINATE,
	[GUESTLOCK_RES_NOT_JOINED] = GUESTLOCK_UNAVAILABLE,
	[GUESTLOCK_RES_STOPPED] = GUESTLOCK_UNAVAILABLE,
	[GUESTLOCK_RES_UNSAFE] = GUESTLOCK_UNSAFE,
	[GUESTLOCK_RES_NO_ORPHAN] = GUESTLOCK_NOT_FOUND,
	[GUESTLOCK_RES_MODE_MISMATCH] = GUESTLOCK_REJECTED,
	[GUESTLOCK_RES_DENIED] = GUESTLOCK_DENIED,
	[GUESTLOCK_RES_IO] = GUESTLOCK_IO,
	[GUESTLOCK_RES_CANNOT_CREATE] = GUESTLOCK_CANNOT_CREATE,
	[GUESTLOCK_RES_INVALID] = GUESTLOCK_INVALID,
	[GUESTLOCK_RES_UNKNOWN] = GUESTLOCK_DAMAGED,
	[GUESTLOCK_RES_HELD] = GUESTLOCK_OK,
	[GUESTLOCK_RES_ORPHAN] = GUESTLOCK_OK,
	[GUESTLOCK_RES_OTHER] = GUESTLOCK_BUSY,
	[GUESTLOCK_RES_FREE] = GUESTLOCK_OK,
};

/* The arguments may lie in err itself, so the text is complete before err is touched. */
static void gl_error_fill(struct guestlock_error *err, int code, int sys_errno, long vendor,
			  const char *format, va_list args) __attribute__((format(printf, 5, 0)));
static void gl_error_fill(struct guestlock_error *err, int code, int sys_errno, long vendor,
			  const char *format, va_list args)
{
	char raw[GL_MESSAGE_RAW];
	int saved_errno = errno;

	if (!err) {
		return;
	}
	if (sys_errno) {
		errno = sys_errno;
	}
	if (vsnprintf(raw, sizeof(raw), format, args) < 0) {
		gl_copy_cut(raw, sizeof(raw), guestlock_status_text(code));
	}
	memset(err, 0, sizeof(*err));
	err->code = code;
	err->sys_errno = sys_errno;
	err->vendor = vendor;
	gl_printable_fit(err->message, sizeof(err->message), raw);
	errno = saved_errno;
}

int gl_fail(struct guestlock_error *err, int code, int sys_errno, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	gl_error_fill(err, code, sys_errno, 0, format, args);
	va_end(args);
	return code;
}

int gl_fail_memory(struct guestlock_error *err)
{
	return gl_fail(err, GUESTLOCK_NO_MEMORY, ENOMEM, "out of memory; free some and try again");
}

enum guestlock_result guestlock_backend_fail(struct guestlock_error *err, enum guestlock_result result,
					     int sys_errno, long vendor, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	gl_error_fill(err, gl_status_of_result(result), sys_errno, vendor, format, args);
	va_end(args);
	return result;
}

void gl_error_pass(struct guestlock_error *err, const struct guestlock_error *cause)
{
	if (err) {
		*err = *cause;
	}
}

void gl_error_about(struct guestlock_error *err, const char *uuid, const char *resource)
{
	if (!err) {
		return;
	}
	if (uuid) {
		gl_copy_cut(err->guest, sizeof(err->guest), uuid);
	}
	if (resource) {
		gl_copy_cut(err->resource, sizeof(err->resource), resource);
	}
}

void gl_error_prefix(struct guestlock_error *err, const char *format, ...)
{
	char raw[GL_MESSAGE_RAW];
	size_t used;
	va_list args;
	int length;

	if (!err) {
		return;
	}
	va_start(args, format);
	length = vsnprintf(raw, sizeof(raw) - sizeof(err->message) - 2, format, args);
	va_end(args);
	if (length < 0) {
		return;
	}
	used = strlen(raw);
	snprintf(raw + used, sizeof(raw) - used, ": %s", err->message);
	gl_printable_fit(err->message, sizeof(err->message), raw);
}

int gl_status_of_result(enum guestlock_result result)
{
	if ((size_t)result >= GL_COUNT(gl_result_statuses)) {
		return GUESTLOCK_FAILED;
	}
	return gl_result_statuses[result];
}

int gl_status_of_errno(int sys_errno)
{
	switch (sys_errno) {
	case EACCES:
	case EPERM:
		return GUESTLOCK_DENIED;
	case ENOENT:
		return GUESTLOCK_NOT_FOUND;
	case ENOSPC:
	case EDQUOT:
	case EROFS:
	case EEXIST:
	case EISDIR:
	case ENOTDIR:
	case ENAMETOOLONG:
	case ELOOP:
		return GUESTLOCK_CANNOT_CREATE;
	case ENOMEM:
		return GUESTLOCK_NO_MEMORY;
	default:
		return GUESTLOCK_IO;
	}
}

const char *guestlock_status_text(int status)
{
	if (status > 0 || status < GL_STATUS_LAST) {
		return "unknown status";
	}
	return gl_status_texts[-status];
}
