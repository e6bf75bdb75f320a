/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The handle of the library: configuration, backend, run directory. */
#ifndef GL_HANDLE_H
#define GL_HANDLE_H

#include "keeper/client.h"
#include "disk/key.h"
#include "backend/module.h"
#include "life/process.h"
#include "record/store.h"

struct guestlock {
	struct gl_settings *settings;
	struct guestlock_backend_context context;
	struct gl_module module;
	struct guestlock_backend *backend;
	const struct guestlock_backend_ops *ops; /* the module's, or those that ask the keeper */
	bool joined; /* once; a backend that says NOT_JOINED later is joined again */
	struct guestlock_kept kept; /* nothing, as the backend is called here: the keeper's worker has what is kept */
	struct gl_store store;
	struct gl_family family; /* of whoever opened it */
	char *default_life_dir; /* where the backend has none */
	char *run_id; /* NULL: not read yet */
	char *host;
	char *supervisor;
	char *loss_program;
	bool losing; /* it is for a guest that is about to lose its locks */
	char *config_file, *extra_file; /* absolute; NULL where there is none */
	/* settings in effect */
	bool lock_disks, lock_guest, require_leases, readonly_shared, resume_strict;
	enum gl_identity_scheme identity_scheme;
	bool local_names;
	int64_t acquire_timeout_ms;
};

void gl_log(const struct guestlock *gl, enum guestlock_log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static inline const char *gl_technology(const struct guestlock *gl)
{
	return gl->module.descriptor->name;
}

static inline bool gl_can(const struct guestlock *gl, unsigned capability)
{
	return (gl->module.descriptor->capabilities & capability) != 0;
}

/* Deadline of an operation that begins now. */
int64_t gl_deadline(const struct guestlock *gl);

/* The directories are there, the records belonged to us at first, and the backend is joined, by deadline_ms. */
int gl_ready(struct guestlock *gl, int64_t deadline_ms, struct guestlock_error *err);

/* Tells the backend the word of the run directory. Any thread may be the first. */
int gl_take_run_id(struct guestlock *gl, int64_t deadline_ms, struct guestlock_error *err);

/*
 * The records of the run directory belong to this backend and its life locks, or are made to if there are none:
 * else CONFIG (pin.c).
 */
int gl_check_pin(const struct guestlock *gl, int64_t deadline_ms, struct guestlock_error *err);
/*
 * The same for whoever has the lock of a record, and changes nothing: it stays so for as long as he has that lock.
 */
int gl_is_pinned(const struct guestlock *gl, int64_t deadline_ms, struct guestlock_error *err);

/* Removes files that killed processes left and nobody looks at (sweep.c); known: there is a record of that
 * life. */
typedef bool gl_life_known_fn(void *data, const char *uuid, uint64_t instance);
void gl_sweep(const struct guestlock *gl, gl_life_known_fn *known, void *data);

#endif
