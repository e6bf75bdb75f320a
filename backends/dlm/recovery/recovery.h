/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From what the kernel has to our table: after a start, and after answers to what a predecessor asked. */
#ifndef GL_DLM_RECOVERY_H
#define GL_DLM_RECOVERY_H

#include "kernel/kernel.h"

#pragma GCC visibility push(hidden)

/*
 * Under membership; takes the mutex. The table from what the kernel has, before the first request. kept:
 * the descriptor is that of a predecessor, and so are the locks; else they are orphans and are adopted.
 */
enum guestlock_result gl_dlm_recover(struct gl_dlm *dlm, bool kept, struct guestlock_error *err);
/*
 * Under membership; takes the mutex. Adopting does not prove that a lock is held, so each is converted to
 * the mode that it has; only the answer to that does. Locks that are of no use to anybody go.
 */
enum guestlock_result gl_dlm_prove(struct gl_dlm *dlm, bool kept, struct guestlock_error *err);
/*
 * Takes the mutex. After answers to what a predecessor asked for: what the kernel has now. Costs nothing
 * where none came.
 */
enum guestlock_result gl_dlm_refresh(struct gl_dlm *dlm, struct guestlock_error *err);

#pragma GCC visibility pop

#endif
