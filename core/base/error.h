/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Filling struct guestlock_error. Each error is filled once, where the cause is known. */
#ifndef GL_ERROR_H
#define GL_ERROR_H

#include <guestlock/backend.h>

#define GL_STATUS_LAST GUESTLOCK_REPLACED

/*
 * Fills err (may be NULL): code, sys_errno (0: none) and the message, everything else emptied. A non-zero
 * sys_errno is not added to the message by itself: use %m or strerror in it. Returns code, so that callers
 * can write "return gl_fail(...)".
 */
int gl_fail(struct guestlock_error *err, int code, int sys_errno, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* gl_fail() for a failed allocation. */
int gl_fail_memory(struct guestlock_error *err);

/* What was found out on the way becomes the error. err may be NULL. */
void gl_error_pass(struct guestlock_error *err, const struct guestlock_error *cause);

/* Names the guest and the resource an error is about; NULL leaves as it is. err may be NULL. */
void gl_error_about(struct guestlock_error *err, const char *uuid, const char *resource);

/* Puts "text: " before the message. err may be NULL. */
void gl_error_prefix(struct guestlock_error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The status a caller of the library sees for a backend's result. */
int gl_status_of_result(enum guestlock_result result);

/* The status that an errno of creating, writing or reading a file means: DENIED, CANNOT_CREATE, NOT_FOUND,
 * NO_MEMORY, IO. */
int gl_status_of_errno(int sys_errno);

#endif
