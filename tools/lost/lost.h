/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guestlock-lost, which a lock technology calls when a guest is about to lose its locks: the guest is
 * stopped and its locks are released, or it is killed, before the technology does worse to it.
 */
#ifndef LOST_H
#define LOST_H

#include <guestlock/guestlock.h>

/* ---- say.c ---- */

/* Of type guestlock_log_fn: to the system's log and standard error. */
void lost_log(void *data, enum guestlock_log_level level, const char *message);
void lost_say(enum guestlock_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- virsh.c ---- */

/*
 * virsh -c URI COMMAND UUID, killed after wait_ms. true: it says that it is done. What it prints is logged
 * if it is not.
 */
bool lost_virsh(const char *uri, const char *command, const char *uuid, int wait_ms);

#endif
