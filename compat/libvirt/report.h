/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Telling libvirt what went wrong. Safe in the process that is going to be the guest. */
#ifndef GL_LIBVIRT_REPORT_H
#define GL_LIBVIRT_REPORT_H

#include <guestlock/guestlock.h>

/* Looks once for what libvirt has. Before any of the others, and in the daemon: looking up takes a mutex. */
void gl_libvirt_report_init(void);

/* Reports an error of the library. Returns -1. */
int gl_libvirt_report_error(const struct guestlock_error *err);

/* Reports an error of our own. Returns -1. */
int gl_libvirt_report(enum guestlock_status code, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Where the library's messages go: a guestlock_log_fn. */
void gl_libvirt_report_log(void *data, enum guestlock_log_level level, const char *message);

#endif
