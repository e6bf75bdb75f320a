/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who has what, in words: on this node by the table and the notes of owners, elsewhere by what keepers tell.
 */
#ifndef GL_DLM_VIEW_H
#define GL_DLM_VIEW_H

#include "kernel/kernel.h"

#pragma GCC visibility push(hidden)

/* ---- Who has it: holder.c ---- */

/*
 * Takes the mutex. Another lock of this node that does not go with mode; who it belongs to. false: none.
 * *out_changing: a call is at work on it, so that it may be something else in a moment.
 */
bool gl_dlm_local_holder(struct gl_dlm *dlm, const char *name, uint64_t xid, int mode,
			 struct guestlock_holder *out, uint64_t *out_xid, bool *out_changing);
/*
 * No mutex, as for all down to the next heading. Who has it exclusively or in handover, as the block says.
 * false: it names nobody.
 */
bool gl_dlm_block_holder(const struct gl_dlm *dlm, const struct gl_dlm_block *block,
			 struct guestlock_holder *out);
void gl_dlm_fill_holder(struct gl_dlm *dlm, const struct gl_dlm_lock *lock, struct guestlock_holder *out);
/* Whether two modes of the DLM go together. */
bool gl_dlm_modes_fit(int a, int b);

/* ---- Other nodes, in words: remote.c ---- */

/* Both under membership; no mutex. */
void gl_dlm_remote_start(struct gl_dlm *dlm);
void gl_dlm_remote_stop(struct gl_dlm *dlm);
/*
 * No mutex. Completes a holder of another node, with the uuid it has or with any: name, pid, since.
 * Unchanged where nobody answers.
 */
void gl_dlm_name_holder(struct gl_dlm *dlm, const char *key, int64_t deadline_ms,
			struct guestlock_holder *holder);
/* No mutex. All of other nodes; *out_holders is freed with free(). */
size_t gl_dlm_remote_holders(struct gl_dlm *dlm, const char *key, int64_t deadline_ms,
			     struct guestlock_holder **out_holders);

/* ---- What is held here, in words: held.c ---- */

/*
 * Takes the mutex, but not while told() is called. What owners of this node that are not known to be dead
 * hold on key (NULL: on every key, and then with identities where they are known, else NULL). No call waits
 * for anything but the mutex.
 */
typedef void gl_dlm_told_fn(void *data, const char *key, const struct guestlock_holder *holder,
			    const char *identity);
void gl_dlm_tell_held(struct gl_dlm *dlm, const char *key, gl_dlm_told_fn *told, void *data);

/* ---- Functions of the table of backend.h: enumerate.c, survey.c. Both take the mutex ---- */

enum guestlock_result gl_dlm_enumerate(struct guestlock_backend *backend, guestlock_enumerate_fn *visit,
				       guestlock_unchanged_fn *unchanged, void *data,
				       struct guestlock_error *err);
enum guestlock_result gl_dlm_survey(struct guestlock_backend *backend, const char *key, int64_t deadline_ms,
				    guestlock_enumerate_fn *visit, guestlock_silent_fn *silent, void *data,
				    struct guestlock_error *err);

#pragma GCC visibility pop

#endif
