/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the ledger of those before us to locks that can be used. */
#ifndef GL_DLM_RECOVERY_H
#define GL_DLM_RECOVERY_H

#include "kernel/kernel.h"

#pragma GCC visibility push(hidden)

/*
 * Both under membership; they take the mutex.
 *
 * settle.c: the descriptor is that of a predecessor, so the locks are as they were. What he may have sent when he was
 * killed is found out. No request of ours has been sent yet.
 */
void gl_dlm_settle(struct gl_dlm *dlm);
/*
 * adopt.c: nobody has the descriptor any more, so the locks are orphans of this node. Those that the ledger has are
 * adopted, and then converted to the mode that they have: adopting succeeds also where a request is under way, only the
 * answer to that proves that a lock is held. What is not found is looked for again when somebody needs it. May be called
 * again, for those that are left.
 */
enum guestlock_result gl_dlm_adopt_all(struct gl_dlm *dlm, struct guestlock_error *err);
/*
 * Takes the mutex; between gl_dlm_enter() and _exit(). A lock of the ledger that was not found among the orphans: it is
 * adopted now, or taken for gone, and the ledger forgets it.
 */
void gl_dlm_adopt_late(struct gl_dlm *dlm, const char *name, uint64_t xid);

/*
 * No mutex; lock is used by the caller. The same for one that is passing, and never taken for gone. false: it is not
 * there.
 */
bool gl_dlm_adopt_passing(struct gl_dlm *dlm, struct gl_dlm_lock *lock);

/* settle.c. Takes the mutex. Gives up what is passing and idle, when somebody left such. Costs nothing otherwise. */
void gl_dlm_tidy(struct gl_dlm *dlm);

#pragma GCC visibility pop

#endif
