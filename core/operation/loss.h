/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is to become of a guest that loses a lock while it runs. */
#ifndef GL_LOSS_H
#define GL_LOSS_H

#include "operation/operation.h"

/* A parameter of the record, "" when it is not set. */
const char *gl_record_param(const struct gl_record *record, const char *key);

/*
 * "pause" or "poweroff": what its parameter on_lockfailure wants of a backend that can act on guests; else
 * "".
 */
const char *gl_loss_action(const struct gl_operation_run *run);

/*
 * Of a record that is being filled: UNSUPPORTED where the backend cannot do what on_lockfailure wants; else
 * which configuration it is, where that will be needed, goes into the record's parameters.
 */
int gl_loss_describe(const struct guestlock *gl, struct gl_record *record, struct guestlock_error *err);

/*
 * Opens what that guest was bound with; no call to the backend takes longer than 5 s. Errors as
 * guestlock_open().
 */
int gl_loss_open(const char *run_dir, const struct gl_record *record, guestlock_log_fn *log,
		 struct guestlock **out_gl, struct guestlock_error *err);

/*
 * Of a guest that has lost its locks without the technology having called its program, as it had ended itself: calls
 * it, and waits for nothing.
 */
void gl_loss_act(const struct gl_operation_run *run);

#endif
