/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This host as a member of the lockspace: joining it, leaving it, and what becomes of it meanwhile. */
#ifndef GL_DLM_H
#define GL_DLM_H

#include "kernel/kernel.h"

#pragma GCC visibility push(hidden)

/* ---- Being a member: join.c. All but probe take the mutex, and join and leave take membership ---- */

enum guestlock_result gl_dlm_probe(struct guestlock_backend *backend, struct guestlock_error *err);
enum guestlock_result gl_dlm_join(struct guestlock_backend *backend, struct guestlock_kept *kept,
				  struct guestlock_error *err);
enum guestlock_result gl_dlm_leave(struct guestlock_backend *backend, struct guestlock_error *err);
enum guestlock_join_state gl_dlm_status(struct guestlock_backend *backend, struct guestlock_error *err);
/* Lets go of the lockspace without leaving it, when nobody else is there any more. */
void gl_dlm_close(struct gl_dlm *dlm);

/* ---- What is kept: kept.c. All but busy under membership ---- */

/* No mutex. Whether a predecessor left what can be used: the lockspace is still there. */
bool gl_dlm_is_kept(const struct gl_dlm *dlm);
/* No mutex. Lockspace (closed where it fails) and ledger, before anything is asked through them. GRANTED or AGAIN. */
enum guestlock_result gl_dlm_keep(struct gl_dlm *dlm, int fd, struct guestlock_error *err);
/* No mutex. Nobody of ours has open any more what was kept. false: the guard may, and nothing was done. */
bool gl_dlm_let_go(struct gl_dlm *dlm);
/* No mutex. AGAIN, as the guard has not done what it was told. */
enum guestlock_result gl_dlm_fail_keep(const struct gl_dlm *dlm, struct guestlock_error *err);
/* Takes the mutex. Whether any request has no answer yet, of a predecessor too. */
bool gl_dlm_busy(struct guestlock_backend *backend);

/* ---- Stopped, and running again: watch.c ---- */

/*
 * No mutex. The lockspace was looked at, and is in that state; reason: why, unless it is JOINED. true:
 * *out_event tells of it. What passes by within moments is not told, and nothing is twice.
 */
bool gl_dlm_watch_step(struct gl_dlm_watch *watch, enum guestlock_join_state state, const char *reason,
		       struct guestlock_event *out_event);
/* The watch has one thread. Only next_event takes the mutex. */
void gl_dlm_watch_end(struct gl_dlm *dlm);
int gl_dlm_watch(struct guestlock_backend *backend, struct guestlock_error *err);
int gl_dlm_next_event(struct guestlock_backend *backend, struct guestlock_event *out_event);

#pragma GCC visibility pop

#endif
