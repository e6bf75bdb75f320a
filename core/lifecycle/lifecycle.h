/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lifecycle as data. Two tables: one for the guest (state, pending operation, event), one for each
 * resource (state, event). gl_lifecycle_step() and gl_resource_step() are pure: they look up, they do no
 * I/O. Every combination is decided: exactly one row matches.
 */
#ifndef GL_LIFECYCLE_H
#define GL_LIFECYCLE_H

#include <guestlock/guestlock.h>

#define GL_GUEST_STATES (GUESTLOCK_GUEST_DEAD + 1)
#define GL_RESOURCE_STATES (GUESTLOCK_RESOURCE_UNKNOWN + 1)

/* The operation that is under way; found in a record without a process behind it, it is unfinished. */
enum gl_operation {
	GL_OP_NONE = 0,
	GL_OP_ACQUIRE, /* start, and taking what a running guest does not hold yet */
	GL_OP_ATTACH,
	GL_OP_DETACH,
	GL_OP_PAUSE,
	GL_OP_RESUME,
	GL_OP_PREPARE,
	GL_OP_COMPLETE_IN, /* stays pending until the source has completed: the guest may run */
	GL_OP_CANCEL_IN,
	GL_OP_COMPLETE_OUT,
	GL_OP_CANCEL_OUT,
	GL_OP_SHUTDOWN,
	GL_OPERATIONS,
};

enum gl_event {
	/* wishes of the caller */
	GL_EVENT_BIND = 0,
	GL_EVENT_ACQUIRE,
	GL_EVENT_ATTACH,
	GL_EVENT_DETACH,
	GL_EVENT_PAUSE,
	GL_EVENT_RESUME,
	GL_EVENT_PREPARE,
	GL_EVENT_COMPLETE_IN,
	GL_EVENT_CANCEL_IN,
	GL_EVENT_COMPLETE_OUT,
	GL_EVENT_CANCEL_OUT,
	GL_EVENT_SHUTDOWN,
	/* facts */
	GL_EVENT_DIED, /* the guest was found dead */
	GL_EVENT_LOST, /* the backend lost a lock of it */
	GL_EVENT_OVERTAKEN, /* it was paused, ran, and somebody else had what it had given up */
	/* outcomes of the pending operation */
	GL_EVENT_DONE,
	GL_EVENT_REFUSED, /* nothing changed */
	GL_EVENT_UNSURE,  /* what happened is not known yet */
	GL_EVENTS,
};

/* Facts about the guest that rows may ask for. */
enum gl_guard {
	GL_GUARD_NONE = 0,
	GL_GUARD_ALIVE = 1 << 0,       /* some process of it lives */
	GL_GUARD_FORCE = 1 << 1,       /* the caller insists */
	GL_GUARD_MIGRATE = 1 << 2,     /* bound as the target of a migration */
	GL_GUARD_WAS_PAUSED = 1 << 3,  /* the migration began with a paused guest */
	GL_GUARD_HANDOVER = 1 << 4,    /* resources in handover remain after the operation */
	GL_GUARD_HANDED_OVER = 1 << 5, /* paused because it lives on at the other end of a migration */
};

enum gl_verdict {
	GL_GO,     /* a transition: next, next_op, actions */
	GL_IGNORE, /* nothing to do: success */
	GL_REJECT, /* an error: status, note */
};

/* What the engine does on a transition, in this order. */
enum gl_action {
	GL_ACT_TETHER = 1 << 0, /* refused where the guest has lost its tether: it gets no new lock */
	/* it cannot write from here on, and what it wrote is on the storage, unless the caller says that it is so */
	GL_ACT_STOP = 1 << 1,
	GL_ACT_TAKE = 1 << 2,   /* resources: wanted (or all parked) ones are acquired */
	GL_ACT_PARK = 1 << 3,   /* released, epochs kept */
	GL_ACT_DROP = 1 << 4,   /* released for good */
	GL_ACT_HAND = 1 << 5,   /* exclusive to handover */
	GL_ACT_CLAIM = 1 << 6,  /* handover to exclusive */
	GL_ACT_REMOVE = 1 << 7, /* the record goes */
	GL_ACT_CONTINUE = 1 << 8, /* what we stopped goes on */
	/* those that are done to resources, of which a row has one at the most */
	GL_ACTS_ON_RESOURCES = GL_ACT_TAKE | GL_ACT_PARK | GL_ACT_DROP | GL_ACT_HAND | GL_ACT_CLAIM,
};

struct gl_row {
	int state; /* enum guestlock_guest_state or GL_ANY */
	int op;    /* enum gl_operation or GL_ANY */
	enum gl_event event;
	unsigned need, forbid; /* guards that must and must not hold */
	enum gl_verdict verdict;
	int next;    /* enum guestlock_guest_state or GL_SAME */
	int next_op; /* enum gl_operation or GL_SAME */
	unsigned actions;
	int status; /* with GL_REJECT */
	const char *note;
};
#define GL_ANY (-1)
#define GL_SAME (-2)

/* The row that decides: the first that matches. Never NULL, as the last rows match anything. */
const struct gl_row *gl_lifecycle_step(enum guestlock_guest_state state, enum gl_operation op,
				       enum gl_event event, unsigned guards);

/* What can happen to one resource. */
enum gl_resource_event {
	GL_RES_TAKE = 0, /* is going to be acquired */
	GL_RES_RECEIVE,  /* is going to be acquired for handover */
	GL_RES_PARK,     /* is going to be released, epoch kept */
	GL_RES_DROP,     /* is going to be released for good */
	GL_RES_HAND,     /* is going to handover */
	GL_RES_CLAIM,    /* is going to be exclusive again */
	GL_RES_DONE,     /* the step succeeded: to what it was going to */
	GL_RES_UNDONE,   /* the step failed: to where it came from */
	GL_RES_UNSURE,   /* nobody knows */
	GL_RES_EVENTS,
};

enum gl_request {
	GL_REQUEST_NOTHING, /* no call to the backend */
	GL_REQUEST_ACQUIRE,
	GL_REQUEST_RELEASE,
	GL_REQUEST_CONVERT,
};

struct gl_resource_row {
	enum gl_verdict verdict;
	int next;   /* state while the step is under way, GL_SAME, GL_TARGET or GL_ORIGIN */
	int target; /* state that it is going to, or GL_SAME */
	enum gl_request request;
};
#define GL_TARGET (-3)
#define GL_ORIGIN (-4)

/* Never NULL. */
const struct gl_resource_row *gl_resource_step(enum guestlock_resource_state state,
					       enum gl_resource_event event);

/* Operations that a killed process left are finished (true) or undone (false) by recovery. */
bool gl_operation_finishes(enum gl_operation op);

/* All rows of the guest's table, for tests and documentation. */
const struct gl_row *gl_lifecycle_rows(size_t *out_count);

const char *gl_operation_name(enum gl_operation op); /* "" for GL_OP_NONE */
const char *gl_event_name(enum gl_event event);

#endif
