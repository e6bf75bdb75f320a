/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names, directories and locked files below the run directory. */
#ifndef GL_RUNDIR_H
#define GL_RUNDIR_H

#include "record/store.h"

#include <limits.h>

#define GL_RUN_ID_SIZE 33 /* 32 digits and a NUL */

/*
 * RUN_DIR/PART/NAME, malloc'd: on the stack of the child that is going to be a guest it would be a page of
 * its own. INVALID when that is too long, or when name could mean another directory; NO_MEMORY.
 */
int gl_rundir_path(const struct gl_store *store, const char *part, const char *name, char **out_path,
		   struct guestlock_error *err);

/* The same of a file of hints. */
int gl_rundir_hints(const struct gl_store *store, enum gl_hint_kind kind, const char *name, char **out_path,
		    struct guestlock_error *err);

/* Makes every directory that is missing. */
int gl_rundir_make(const struct gl_store *store, struct guestlock_error *err);

/*
 * Opens path for reading and writing (create: makes it if missing, and its directory) and locks it as a
 * whole, trying until deadline_ms and at least once. What is locked is what path names at that time: a file
 * that was unlinked or replaced meanwhile is opened anew. 0 or -1 with errno, ETIMEDOUT at the deadline.
 */
int gl_rundir_open_locked(const struct gl_store *store, const char *path, bool create, int64_t deadline_ms,
			  int *out_fd, size_t *out_size);

/* Unlocks and closes. The unlocking is explicit since a fork may have copied the descriptor meanwhile. */
void gl_rundir_close_locked(int fd);

/* The word of this run directory (struct guestlock_backend, run_id), which is made if there is none yet. */
int gl_run_id(const struct gl_store *store, int64_t deadline_ms, char out_id[GL_RUN_ID_SIZE],
	      struct guestlock_error *err);

/* Fills err for errno: what was tried with path ("cannot write", ...), why it failed, what to do. */
int gl_rundir_fail(struct guestlock_error *err, int sys_errno, const char *tried, const char *path);

#endif
