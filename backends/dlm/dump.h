/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel shows of this node's locks, and how the table comes to be the same. */
#ifndef GL_DLM_DUMP_H
#define GL_DLM_DUMP_H

#include "dlm_priv.h"

#pragma GCC visibility push(hidden)

/* ---- What the kernel shows: dump.c ---- */

enum gl_dlm_sign {
	GL_DLM_SIGN_WAITING = 1,
	GL_DLM_SIGN_GRANTED,
	GL_DLM_SIGN_CONVERTING,
};

/* One lock of this node's processes. */
struct gl_dlm_row {
	uint32_t lkid;
	uint64_t xid;
	enum gl_dlm_sign sign;
	int mode, wanted;
	bool waited;                    /* an answer of another node is still to come */
	char name[DLM_RESNAME_MAXLEN + 1];
};
struct gl_dlm_dump {
	struct gl_dlm_row *rows;
	size_t count;
	size_t waiters;                 /* requests of this node that no row shows yet */
};

/* Reads both files; *out is freed by gl_dlm_dump_free(). 0 or -1 with errno. */
int gl_dlm_dump_read(const struct gl_dlm *dlm, struct gl_dlm_dump *out);
void gl_dlm_dump_free(struct gl_dlm_dump *dump);
/* The row of that lock, or NULL. */
const struct gl_dlm_row *gl_dlm_dump_row(const struct gl_dlm_dump *dump, uint32_t lkid);
/* One line of either file; false: it shows none of this node's locks, or cannot be understood. */
bool gl_dlm_dump_line(const char *line, struct gl_dlm_row *out);
bool gl_dlm_waiter_line(const char *line, uint32_t *out_lkid);

/* ---- Rows of it into the table: rows.c ---- */

/*
 * Calls visit for each row of our owners until it returns non-zero; returns that, or 0. The strongest come first: one that
 * nobody uses is not asked to be more. Of equal ones those that are settled: another one may be on its way out.
 */
typedef int gl_dlm_row_fn(void *data, const struct gl_dlm_row *row);
int gl_dlm_rows_each(const struct gl_dlm *dlm, const struct gl_dlm_dump *dump, gl_dlm_row_fn *visit, void *data);
/*
 * A new lock of the table, in that order. An owner has one lock of a resource; a second one was asked for by a predecessor, and
 * once more by us for the same call. Whatever the owner does is done to the first, so the other is surplus. NULL: no memory.
 */
struct gl_dlm_lock *gl_dlm_row_add(struct gl_dlm *dlm, const struct gl_dlm_row *row);
/* All that the kernel shows and the table has not, or not as it is. */
enum guestlock_result gl_dlm_rows_take(struct gl_dlm *dlm, struct guestlock_error *err);

/* ---- After a start: recover.c ---- */

/*
 * The table from what the kernel has, before the first request. kept: the descriptor is that of a predecessor,
 * and so are the locks; else they are orphans and are adopted.
 */
enum guestlock_result gl_dlm_recover(struct gl_dlm *dlm, bool kept, struct guestlock_error *err);
/*
 * Adopting does not prove that a lock is held, so each is converted to the mode that it has;
 * only the answer to that does. Locks that are of no use to anybody go.
 */
enum guestlock_result gl_dlm_prove(struct gl_dlm *dlm, bool kept, struct guestlock_error *err);
/* After answers to what a predecessor asked for: what the kernel has now. Costs nothing where none came. */
enum guestlock_result gl_dlm_refresh(struct gl_dlm *dlm, struct guestlock_error *err);

/*
 * replace.c: a lock that is shown in that mode but gives no answers is replaced by another one, without a gap.
 * block: that of the resource. false: it could not be; it is as it was, or in handover.
 */
bool gl_dlm_replace(struct gl_dlm *dlm, const struct gl_dlm_row *row, const unsigned char block[GL_DLM_BLOCK]);

#pragma GCC visibility pop

#endif
