/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who a record is about, as the backend is told, and whether that guest lives; which life of a uuid is meant.
 */
#ifndef GL_OWNER_H
#define GL_OWNER_H

#include "handle/handle.h"
#include "life/members.h"

/* Where life locks are: the backend's directory if it has one, else below the run directory. */
const char *gl_life_dir(const struct guestlock *gl);

/* The owner's strings are the record's: valid as long as that is. */
void gl_record_owner(const struct guestlock *gl, const struct gl_record *record, struct guestlock_owner *out);

enum guestlock_life gl_record_life(const struct guestlock *gl, const struct gl_record *record);

/* A pid namespace, if it is another one than that of the caller; else, or where that is not known, 0. */
uint64_t gl_other_namespace(const struct guestlock *gl, uint64_t ns);
/* A holder as the backend tells it becomes one as callers are told of it: pid_ns is that of another namespace, or 0. */
void gl_holder_from_here(const struct guestlock *gl, struct guestlock_holder *holder);
/* guestlock_living_pid() of a record. */
pid_t gl_record_living(const struct guestlock *gl, const struct gl_record *record, bool search);

/* Which life of a uuid is meant. Zeroed: whichever there is. */
struct gl_life {
	uint64_t instance; /* 0: any */
	pid_t pid;	   /* 0: any; else as it is called in this pid namespace */
};

/* Is it the life of this record? A pid of another namespace than the caller's is not compared. */
bool gl_life_is(const struct guestlock *gl, const struct gl_life *life, const struct gl_record *record);
/* REPLACED, with the record's life named. */
int gl_life_replaced(const struct gl_record *record, struct guestlock_error *err);

/* By what the processes of the guest are known; points into both. */
struct gl_membership gl_record_membership(const struct guestlock_owner *owner, const struct gl_record *record);

#endif
