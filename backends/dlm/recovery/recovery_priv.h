/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What recovery is made of: rows of the kernel's list, and a lock in place of one that gives no answers. */
#ifndef GL_DLM_RECOVERY_PRIV_H
#define GL_DLM_RECOVERY_PRIV_H

#include "kernel/dump.h"
#include "recovery/recovery.h"

#pragma GCC visibility push(hidden)

/* ---- Rows into the table: rows.c ---- */

/*
 * No mutex. Calls visit for each row of our owners until it returns non-zero; returns that, or 0. The
 * strongest come first: one that nobody uses is not asked to be more. Of equal ones those that are settled:
 * another one may be on its way out.
 */
typedef int gl_dlm_row_fn(void *data, const struct gl_dlm_row *row);
int gl_dlm_rows_each(const struct gl_dlm *dlm, const struct gl_dlm_dump *dump, gl_dlm_row_fn *visit,
		     void *data);
/*
 * Wants the mutex, or to be called before there are threads. A new lock of the table, in that order. An
 * owner has one lock of a resource; a second one was asked for by a predecessor, and once more by us for
 * the same call. Whatever the owner does is done to the first, so the other is surplus. NULL: no memory.
 */
struct gl_dlm_lock *gl_dlm_row_add(struct gl_dlm *dlm, const struct gl_dlm_row *row);
/* Takes the mutex. All that the kernel shows and the table has not, or not as it is. */
enum guestlock_result gl_dlm_rows_take(struct gl_dlm *dlm, struct guestlock_error *err);

/* ---- Locks that give no answers: replace.c ---- */

/*
 * Takes the mutex. A lock that is shown in that mode but gives no answers is replaced by another one,
 * without a gap. block: that of the resource. false: it could not be; it is as it was, or in handover.
 */
bool gl_dlm_replace(struct gl_dlm *dlm, const struct gl_dlm_row *row,
		    const unsigned char block[GL_DLM_BLOCK]);

#pragma GCC visibility pop

#endif
