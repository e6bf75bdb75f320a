/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Each sequence of a guest's life as one call, on top of guestlock.h. A program that wants no more than to
 * run guests under their locks needs only these, guestlock_open() and guestlock_close(). The rules of
 * guestlock.h hold.
 */
#ifndef GUESTLOCK_DOMAIN_H
#define GUESTLOCK_DOMAIN_H

#include <guestlock/guestlock.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A guest and what it uses. Strings and arrays belong to the caller. */
struct guestlock_domain {
	const char *uuid;               /* required */
	const char *name;               /* may be NULL */
	const char *id;                 /* may be NULL */
	const struct guestlock_resource *resources;
	size_t n_resources;
};

/*
 * Startup in the guest's own process: binds it. To be called between fork and exec; acquire follows in the
 * manager.
 */
int guestlock_domain_bind(struct guestlock *gl, const struct guestlock_domain *domain,
			  struct guestlock_error *err);

/* Startup in the manager, after bind and before the guest runs: takes all its locks or none. */
int guestlock_domain_acquire(struct guestlock *gl, const struct guestlock_domain *domain, int wait_ms,
			     struct guestlock_error *err);

/* Both at once: forks, binds, acquires, executes argv. The guest outlives the caller's handles. */
int guestlock_domain_start(struct guestlock *gl, const struct guestlock_domain *domain, char *const argv[],
			   int wait_ms, pid_t *out_pid, struct guestlock_error *err);

/* Restart of the manager: one running guest; its pid. What a killed manager left unfinished is settled. */
int guestlock_domain_attach(struct guestlock *gl, const char *uuid, pid_t *out_pid,
			    struct guestlock_error *err);

/*
 * Shutdown, after the guest ended or was killed. ALIVE if it lives and flags has no GUESTLOCK_SHUTDOWN_FORCE.
 */
int guestlock_domain_shutdown(struct guestlock *gl, const char *uuid, unsigned flags,
			      struct guestlock_error *err);

/*
 * Hotplug (before the device is plugged; a failure means: do not plug) and unhotplug (after it is unplugged; ALIVE as
 * long as the guest has the disk open for writing).
 */
int guestlock_domain_plug(struct guestlock *gl, const char *uuid, const struct guestlock_resource *resource,
			  struct guestlock_error *err);
int guestlock_domain_unplug(struct guestlock *gl, const char *uuid, const struct guestlock_resource *resource,
			    struct guestlock_error *err);

/* Suspend and resume of a guest that the caller stops and continues; *out_state and state may be NULL. */
int guestlock_domain_suspend(struct guestlock *gl, const char *uuid, char **out_state,
			     struct guestlock_error *err);
int guestlock_domain_resume(struct guestlock *gl, const char *uuid, const char *state,
			    struct guestlock_error *err);

/*
 * Migration, the source: before it begins, and when it has ended (flags 0 or GUESTLOCK_MIGRATE_CANCEL).
 * Success without CANCEL ends the guest's life here: once its process is gone its record goes too.
 */
int guestlock_domain_migrate_out(struct guestlock *gl, const char *uuid, const char *uri,
				 struct guestlock_error *err);
int guestlock_domain_migrate_out_end(struct guestlock *gl, const char *uuid, unsigned flags,
				     struct guestlock_error *err);

/* Migration, the target: start of the receiving process, and the end. CANCEL shuts the guest down here. */
int guestlock_domain_migrate_in(struct guestlock *gl, const struct guestlock_domain *domain,
				char *const argv[], pid_t *out_pid, struct guestlock_error *err);
int guestlock_domain_migrate_in_end(struct guestlock *gl, const char *uuid, unsigned flags,
				    struct guestlock_error *err);

#ifdef __cplusplus
}
#endif
#endif
