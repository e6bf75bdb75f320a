/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What guests may ask for: taking, giving back, changing, and asking about locks. */
#ifndef GL_DLM_CALLS_H
#define GL_DLM_CALLS_H

#include "kernel/kernel.h"

#pragma GCC visibility push(hidden)

/* ---- Functions of the table of backend.h. All take the mutex ---- */

enum guestlock_result gl_dlm_bind(struct guestlock_backend *backend, struct guestlock_batch *batch,
				  struct guestlock_error *err);
enum guestlock_result gl_dlm_acquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
				     struct guestlock_error *err);
enum guestlock_result gl_dlm_release(struct guestlock_backend *backend, struct guestlock_batch *batch,
				     struct guestlock_error *err);
enum guestlock_result gl_dlm_convert(struct guestlock_backend *backend, struct guestlock_batch *batch,
				     struct guestlock_error *err);
enum guestlock_result gl_dlm_inquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
				     struct guestlock_error *err);
enum guestlock_result gl_dlm_release_orphan(struct guestlock_backend *backend, const char *key, bool force,
					    struct guestlock_error *err);

/* ---- As this host leaves, under membership. Both take the mutex ---- */

/* orphan.c: gives up one key of whoever stands behind xid. */
enum guestlock_result gl_dlm_release_xid(struct gl_dlm *dlm, const char *key, uint64_t xid,
					 struct guestlock_error *err);

#pragma GCC visibility pop

#endif
