/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The handle of a guest: what its caller said about it. What is known of the guest itself is in its record.
 */
#ifndef GL_GUEST_H
#define GL_GUEST_H

#include "operation/operation.h"

/* A resource as it was named, with copies of its strings. */
struct gl_named {
	enum guestlock_resource_type type;
	unsigned flags;
	char *name, *lockspace, *path;
	uint64_t offset;
};

struct guestlock_guest {
	struct guestlock *gl;
	enum guestlock_new_mode mode;
	pid_t creator; /* the process that made the handle */
	char uuid[GUESTLOCK_UUID_STRING];
	char *name, *id;
	struct gl_param *params;
	size_t n_params;
	struct gl_named *resources;
	size_t n_resources;
	struct gl_life life; /* START, MIGRATE: that it begins; ATTACH: that it found */
	bool bound;
	pid_t started; /* the guest that this handle started, or 0 */
	struct gl_record *as_started; /* what was known of it then, whatever becomes of its record; NULL: nothing */
	pid_t left; /* a child that no start could wait for, or 0 */
	bool detached;
	bool session;  /* the program that is started leads one of its own */
	int watch;     /* gl_life_watch(), or -1 */
};

/* The handle is used where it may be, and its uuid is known (looked up by name for ATTACH). */
int gl_guest_usable(struct guestlock_guest *guest, struct guestlock_error *err);

/*
 * The beginning of every operation through a handle: gl_run_begin() for the life that the handle is for.
 * ATTACH is for the first that it finds. On failure there is nothing to end.
 */
int gl_guest_begin(struct guestlock_guest *guest, struct gl_operation_run *run, struct guestlock_error *err);
/* The same for one that only looks: the record, read without its lock. NOT_FOUND, REPLACED, ... */
int gl_guest_load(struct guestlock_guest *guest, struct gl_record **out_record, struct guestlock_error *err);

/*
 * What is to be locked of the given resources, by the configuration and the backend: identified, without
 * duplicates (the stronger mode counts), with the guest's own lock if guest_lock. *out_resources is freed
 * with gl_wanted_free().
 */
int gl_wanted(struct guestlock *gl, const char *uuid, const struct gl_named *named, size_t n_named,
	      bool guest_lock, struct gl_resource **out_resources, size_t *out_count,
	      struct guestlock_error *err);
void gl_wanted_free(struct gl_resource *resources, size_t count);

/* Is it locked at all, by the configuration and the backend? */
bool gl_is_locked(const struct guestlock *gl, const struct gl_named *named);

/* One resource without the policy: identified, as it would be locked. gl_resource_clear() on success. */
int gl_identify_named(struct guestlock *gl, const struct gl_named *named, struct gl_resource *out_resource,
		      struct guestlock_error *err);

/* Points into resource: nothing to free. */
struct gl_named gl_named_of(const struct guestlock_resource *resource);

/* Was the resource taken under that name? */
bool gl_is_named(const struct gl_resource *known, const struct gl_named *named);

/* Bind with or without asking who holds the disks. */
int gl_bind(struct guestlock_guest *guest, bool ask, int *out_tether_fd, struct guestlock_error *err);

/* Takes an absent resource of `wanted` into the record, moving it. */
int gl_merge_wanted(struct gl_record *record, struct gl_resource *wanted, size_t count,
		    struct guestlock_error *err);

/*
 * SIGKILL to every process of that life of a guest, again and again until it is dead (one that forked
 * meanwhile is found the next time), or deadline_ms has passed: false. Where there is no record of that life, or
 * one that cannot be read, to those of `known`, as far as /proc leads to them; true when known is NULL and there
 * is none.
 */
bool gl_guest_kill(struct guestlock *gl, const char *uuid, const struct gl_life *life,
		   const struct gl_record *known, int64_t deadline_ms);

/* A resource as a caller may give it: INVALID otherwise. */
int gl_check_resource(const struct guestlock_resource *resource, struct guestlock_error *err);

/* A status of a record that is there and cannot be read: damaged, or written by a newer version. */
bool gl_is_unreadable(int status);

/* Is there a record of that life of a guest, with that key? */
bool gl_record_explains(const struct guestlock *gl, const char *uuid, uint64_t instance, const char *key);

/* Frees the memory of a handle. */
void gl_guest_clear(struct guestlock_guest *guest);

#endif
