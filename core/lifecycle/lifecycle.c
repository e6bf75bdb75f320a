/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The two tables, and looking a row up in them. Nothing else is decided here, and nothing is done. */
#include "lifecycle/lifecycle.h"

#include "base/base.h"

#include <string.h>

#define S(name) GUESTLOCK_GUEST_##name
#define OP(name) GL_OP_##name
#define EV(name) GL_EVENT_##name
#define G(name) GL_GUARD_##name

#define GO(to, to_op, what, text)                                                                            \
	.verdict = GL_GO, .next = (to), .next_op = (to_op), .actions = (what), .note = (text)
#define IGNORE(text) .verdict = GL_IGNORE, .next = GL_SAME, .next_op = GL_SAME, .note = (text)
#define REJECT(why, text)                                                                                    \
	.verdict = GL_REJECT, .next = GL_SAME, .next_op = GL_SAME, .status = GUESTLOCK_##why, .note = (text)
#define ROW(s, o, e, ...)                                                                                    \
	{                                                                                                    \
		.state = (s), .op = (o), .event = EV(e), __VA_ARGS__                                         \
	}
#define WHEN(yes, no) .need = (yes), .forbid = (no)

#define TAKE_NEW (GL_ACT_TETHER | GL_ACT_TAKE)
#define STOP_PARK (GL_ACT_STOP | GL_ACT_PARK)

#define NOT_BOUND "the guest is not bound: there is no record of it here"
#define IS_DEAD "the guest is dead"
#define MOVING "a migration is under way: complete or cancel it first"

/*
 * The guest's table. The first row that matches decides, so that particular rows stand before general
 * ones. Recovery runs before every wish: an operation still pending when a wish comes is one that could
 * not be settled, except complete-in, which may stay pending while the guest runs.
 */
static const struct gl_row rows[] = {
	/* Outcomes of the pending operation. */
	ROW(S(BOUND), OP(ACQUIRE), DONE, WHEN(G(MIGRATE), 0),
	    GO(S(MIGRATING_IN), OP(NONE), 0, "the target holds what the source hands over")),
	ROW(S(BOUND), OP(ACQUIRE), DONE,
	    GO(S(RUNNING), OP(NONE), GL_ACT_CONTINUE, "all locks are held: the guest may run")),
	ROW(S(RUNNING), OP(ACQUIRE), DONE,
	    GO(S(RUNNING), OP(NONE), GL_ACT_CONTINUE, "what was missing is held too")),
	ROW(S(LOST), OP(ACQUIRE), DONE,
	    GO(S(RUNNING), OP(NONE), GL_ACT_CONTINUE, "what was lost is held again")),
	ROW(S(BOUND), OP(RESUME), DONE,
	    GO(S(RUNNING), OP(NONE), GL_ACT_CONTINUE, "all locks are held: the guest may run")),
	ROW(S(PAUSED), OP(RESUME), DONE,
	    GO(S(RUNNING), OP(NONE), GL_ACT_CONTINUE, "all locks are held again, nobody wrote")),
	ROW(S(LOST), OP(RESUME), DONE,
	    GO(S(RUNNING), OP(NONE), GL_ACT_CONTINUE, "what was lost is held again, nobody wrote")),
	ROW(S(BOUND), OP(PAUSE), DONE,
	    GO(S(BOUND), OP(NONE), 0, "it never ran: still bound, nothing is held")),
	ROW(GL_ANY, OP(PAUSE), DONE, GO(S(PAUSED), OP(NONE), 0, "nothing is held, the epochs are kept")),
	ROW(GL_ANY, OP(PREPARE), DONE, GO(S(MIGRATING_OUT), OP(NONE), 0, "the other end may take over")),
	ROW(GL_ANY, OP(COMPLETE_IN), DONE, WHEN(G(HANDOVER), 0),
	    GO(S(RUNNING), OP(COMPLETE_IN), 0, "it may run; exclusive as soon as the source completes")),
	ROW(GL_ANY, OP(COMPLETE_IN), DONE,
	    GO(S(RUNNING), OP(NONE), GL_ACT_CONTINUE, "the migration is over: exclusive here")),
	ROW(GL_ANY, OP(CANCEL_IN), DONE, GO(S(BOUND), OP(NONE), 0, "the target gave everything back")),
	ROW(GL_ANY, OP(COMPLETE_OUT), DONE, GO(S(PAUSED), OP(NONE), 0, "the source gave everything up")),
	ROW(GL_ANY, OP(CANCEL_OUT), DONE, WHEN(G(WAS_PAUSED), 0),
	    GO(S(PAUSED), OP(NONE), 0, "paused as before the migration")),
	ROW(GL_ANY, OP(CANCEL_OUT), DONE,
	    GO(S(RUNNING), OP(NONE), GL_ACT_CONTINUE, "the source holds as before")),
	ROW(GL_ANY, OP(SHUTDOWN), DONE, GO(S(NONE), OP(NONE), GL_ACT_REMOVE, "everything is released")),
	ROW(GL_ANY, OP(NONE), DONE, REJECT(FAILED, "no operation is pending")),
	ROW(GL_ANY, GL_ANY, DONE, GO(GL_SAME, OP(NONE), 0, "done; the guest's state is as it was")),

	ROW(S(RUNNING), OP(COMPLETE_IN), REFUSED,
	    GO(GL_SAME, OP(COMPLETE_IN), 0, "the source has not completed yet: still pending")),
	ROW(GL_ANY, OP(NONE), REFUSED, REJECT(FAILED, "no operation is pending")),
	ROW(GL_ANY, GL_ANY, REFUSED, GO(GL_SAME, OP(NONE), 0, "undone: as before")),

	ROW(GL_ANY, OP(NONE), UNSURE, REJECT(FAILED, "no operation is pending")),
	ROW(GL_ANY, GL_ANY, UNSURE, GO(GL_SAME, GL_SAME, 0, "stays pending until an inquiry settles it")),

	/* Facts. */
	ROW(S(NONE), GL_ANY, DIED, IGNORE("there is no guest")),
	ROW(S(DEAD), GL_ANY, DIED, IGNORE("known already")),
	ROW(GL_ANY, GL_ANY, DIED, GO(S(DEAD), OP(NONE), 0, "what it holds is to be released")),
	ROW(S(RUNNING), GL_ANY, LOST, GO(S(LOST), OP(NONE), 0, "it must not run any more")),
	ROW(S(MIGRATING_OUT), GL_ANY, LOST, GO(S(LOST), OP(NONE), 0, "it must not run any more")),
	ROW(S(MIGRATING_IN), GL_ANY, LOST, GO(S(LOST), OP(NONE), 0, "it must not run")),
	ROW(GL_ANY, GL_ANY, LOST, IGNORE("it holds nothing that it writes under")),
	ROW(S(PAUSED), OP(NONE), OVERTAKEN,
	    GO(S(LOST), OP(NONE), 0, "it ran without its locks, and somebody else had its disks")),
	ROW(GL_ANY, GL_ANY, OVERTAKEN, IGNORE("it is not paused")),

	/* Shutdown, before the general rule for pending operations: it is the way out of them. */
	ROW(S(NONE), GL_ANY, SHUTDOWN, IGNORE("there is nothing to release")),
	ROW(S(DEAD), GL_ANY, SHUTDOWN, GO(GL_SAME, OP(SHUTDOWN), GL_ACT_DROP, "it is dead: everything goes")),
	ROW(S(BOUND), OP(NONE), SHUTDOWN, WHEN(G(MIGRATE), 0),
	    GO(GL_SAME, OP(SHUTDOWN), GL_ACT_DROP, "a target that never ran, or gave everything back")),
	ROW(S(PAUSED), OP(NONE), SHUTDOWN, WHEN(G(HANDED_OVER), 0),
	    GO(GL_SAME, OP(SHUTDOWN), GL_ACT_DROP, "it lives on at the other end")),
	ROW(GL_ANY, GL_ANY, SHUTDOWN, WHEN(G(ALIVE), G(FORCE)),
	    REJECT(ALIVE, "the guest is alive: end it first, or use force if you are sure that it does not "
			  "write and never will")),
	ROW(GL_ANY, GL_ANY, SHUTDOWN, GO(GL_SAME, OP(SHUTDOWN), GL_ACT_DROP, "dead, or the caller insists")),

	/* The target runs, the source has not completed. */
	ROW(S(RUNNING), OP(COMPLETE_IN), COMPLETE_IN,
	    GO(GL_SAME, OP(COMPLETE_IN), GL_ACT_CLAIM, "try again")),
	ROW(S(RUNNING), OP(COMPLETE_IN), ACQUIRE, IGNORE("it runs already")),
	ROW(S(RUNNING), OP(COMPLETE_IN), RESUME, IGNORE("it runs already")),
	ROW(S(RUNNING), OP(COMPLETE_IN), BIND, REJECT(BUSY, "a guest of this uuid lives already")),
	ROW(S(RUNNING), OP(COMPLETE_IN), CANCEL_IN,
	    REJECT(REJECTED, "the migration was completed here already")),
	ROW(S(RUNNING), OP(COMPLETE_IN), COMPLETE_OUT,
	    REJECT(REJECTED, "this is the target of the migration")),
	ROW(S(RUNNING), OP(COMPLETE_IN), CANCEL_OUT, REJECT(REJECTED, "this is the target of the migration")),
	ROW(S(RUNNING), OP(COMPLETE_IN), ATTACH,
	    REJECT(BUSY, "the source has not completed the migration yet")),
	ROW(S(RUNNING), OP(COMPLETE_IN), DETACH,
	    REJECT(BUSY, "the source has not completed the migration yet")),
	ROW(S(RUNNING), OP(COMPLETE_IN), PAUSE,
	    REJECT(BUSY, "the source has not completed the migration yet")),
	ROW(S(RUNNING), OP(COMPLETE_IN), PREPARE,
	    REJECT(BUSY, "the source has not completed the migration yet")),

	/* Wishes while nothing is pending. */
	ROW(S(NONE), OP(NONE), BIND, GO(S(BOUND), OP(NONE), 0, "tether, record, hints")),
	ROW(S(DEAD), OP(NONE), BIND,
	    REJECT(INDETERMINATE, "the locks of the guest's former life could not be released yet")),
	ROW(GL_ANY, OP(NONE), BIND, REJECT(BUSY, "a guest of this uuid lives already")),

	ROW(S(BOUND), OP(NONE), ACQUIRE, GO(GL_SAME, OP(ACQUIRE), TAKE_NEW, "before the guest runs")),
	ROW(S(RUNNING), OP(NONE), ACQUIRE, GO(GL_SAME, OP(ACQUIRE), TAKE_NEW, "what is held stays held")),
	ROW(S(PAUSED), OP(NONE), ACQUIRE, GO(GL_SAME, OP(RESUME), GL_ACT_TAKE, "the same as resume")),
	ROW(S(MIGRATING_IN), OP(NONE), ACQUIRE, IGNORE("taken for handover already")),
	ROW(S(LOST), OP(NONE), ACQUIRE,
	    GO(GL_SAME, OP(ACQUIRE), TAKE_NEW, "epochs tell whether it may run on")),
	ROW(S(MIGRATING_OUT), OP(NONE), ACQUIRE, REJECT(REJECTED, MOVING)),

	ROW(S(BOUND), OP(NONE), RESUME, WHEN(G(MIGRATE), 0), REJECT(REJECTED, "acquire before complete-in")),
	ROW(S(BOUND), OP(NONE), RESUME,
	    GO(GL_SAME, OP(RESUME), TAKE_NEW, "started paused, or arrived paused")),
	ROW(S(RUNNING), OP(NONE), RESUME, GO(GL_SAME, OP(ACQUIRE), TAKE_NEW, "what is held stays held")),
	ROW(S(PAUSED), OP(NONE), RESUME,
	    GO(GL_SAME, OP(RESUME), GL_ACT_TAKE, "only if nobody wrote meanwhile")),
	ROW(S(LOST), OP(NONE), RESUME,
	    GO(GL_SAME, OP(RESUME), GL_ACT_TAKE, "only if nobody wrote meanwhile")),
	ROW(S(MIGRATING_OUT), OP(NONE), RESUME, REJECT(REJECTED, MOVING)),
	ROW(S(MIGRATING_IN), OP(NONE), RESUME, REJECT(REJECTED, MOVING)),

	ROW(S(BOUND), OP(NONE), ATTACH, GO(GL_SAME, OP(ATTACH), TAKE_NEW, "before the device is plugged")),
	ROW(S(RUNNING), OP(NONE), ATTACH, GO(GL_SAME, OP(ATTACH), TAKE_NEW, "before the device is plugged")),
	ROW(S(PAUSED), OP(NONE), ATTACH,
	    GO(GL_SAME, OP(ATTACH), TAKE_NEW, "held although the guest is paused")),
	ROW(S(MIGRATING_OUT), OP(NONE), ATTACH, REJECT(REJECTED, MOVING)),
	ROW(S(MIGRATING_IN), OP(NONE), ATTACH, REJECT(REJECTED, MOVING)),
	ROW(S(LOST), OP(NONE), ATTACH,
	    REJECT(REJECTED, "the guest lost a lock: resume it or shut it down first")),

	ROW(S(BOUND), OP(NONE), DETACH, GO(GL_SAME, OP(DETACH), GL_ACT_DROP, "that resource and no other")),
	ROW(S(RUNNING), OP(NONE), DETACH, GO(GL_SAME, OP(DETACH), GL_ACT_DROP, "that resource and no other")),
	ROW(S(PAUSED), OP(NONE), DETACH, GO(GL_SAME, OP(DETACH), GL_ACT_DROP, "its epoch is forgotten")),
	ROW(S(LOST), OP(NONE), DETACH, GO(GL_SAME, OP(DETACH), GL_ACT_DROP, "that resource and no other")),
	ROW(S(MIGRATING_OUT), OP(NONE), DETACH, REJECT(REJECTED, MOVING)),
	ROW(S(MIGRATING_IN), OP(NONE), DETACH, REJECT(REJECTED, MOVING)),

	ROW(S(BOUND), OP(NONE), PAUSE, GO(GL_SAME, OP(PAUSE), GL_ACT_PARK, "what was attached so far")),
	ROW(S(RUNNING), OP(NONE), PAUSE, GO(GL_SAME, OP(PAUSE), STOP_PARK, "after the guest was stopped")),
	ROW(S(PAUSED), OP(NONE), PAUSE, GO(GL_SAME, OP(PAUSE), STOP_PARK, "what was attached meanwhile")),
	ROW(S(LOST), OP(NONE), PAUSE, GO(GL_SAME, OP(PAUSE), STOP_PARK, "what is left")),
	ROW(S(MIGRATING_OUT), OP(NONE), PAUSE, REJECT(REJECTED, MOVING)),
	ROW(S(MIGRATING_IN), OP(NONE), PAUSE, REJECT(REJECTED, MOVING)),

	ROW(S(RUNNING), OP(NONE), PREPARE, GO(GL_SAME, OP(PREPARE), GL_ACT_HAND, "the source")),
	ROW(S(PAUSED), OP(NONE), PREPARE, WHEN(G(HANDED_OVER), 0),
	    REJECT(REJECTED, "it was handed over already: what it has in its memory may be stale")),
	ROW(S(PAUSED), OP(NONE), PREPARE,
	    GO(GL_SAME, OP(PREPARE), GL_ACT_TAKE, "taken for handover, only if nobody wrote meanwhile")),
	ROW(S(MIGRATING_OUT), OP(NONE), PREPARE, WHEN(G(WAS_PAUSED), 0),
	    GO(GL_SAME, OP(PREPARE), GL_ACT_HAND, "what was attached while it was paused")),
	ROW(S(MIGRATING_OUT), OP(NONE), PREPARE, IGNORE("prepared already")),
	ROW(S(BOUND), OP(NONE), PREPARE, REJECT(REJECTED, "the guest does not run yet")),
	ROW(S(MIGRATING_IN), OP(NONE), PREPARE, REJECT(REJECTED, MOVING)),
	ROW(S(LOST), OP(NONE), PREPARE,
	    REJECT(REJECTED, "the guest lost a lock: resume it or shut it down first")),

	ROW(S(MIGRATING_IN), OP(NONE), COMPLETE_IN, GO(GL_SAME, OP(COMPLETE_IN), GL_ACT_CLAIM, "the target")),
	ROW(S(RUNNING), OP(NONE), COMPLETE_IN, WHEN(G(MIGRATE), 0), IGNORE("completed already")),
	ROW(S(MIGRATING_IN), OP(NONE), CANCEL_IN, GO(GL_SAME, OP(CANCEL_IN), GL_ACT_DROP, "the target")),
	ROW(S(BOUND), OP(NONE), CANCEL_IN, WHEN(G(MIGRATE), 0), IGNORE("nothing was taken")),
	ROW(S(MIGRATING_OUT), OP(NONE), COMPLETE_OUT,
	    GO(GL_SAME, OP(COMPLETE_OUT), GL_ACT_PARK, "the source")),
	ROW(S(PAUSED), OP(NONE), COMPLETE_OUT, IGNORE("nothing is held here")),
	ROW(S(MIGRATING_OUT), OP(NONE), CANCEL_OUT, GO(GL_SAME, OP(CANCEL_OUT), GL_ACT_CLAIM, "the source")),
	ROW(S(RUNNING), OP(NONE), CANCEL_OUT, WHEN(0, G(MIGRATE)), IGNORE("held exclusively already")),
	ROW(S(PAUSED), OP(NONE), CANCEL_OUT, IGNORE("paused, as before the migration")),

	/* Whatever is left. */
	ROW(S(NONE), GL_ANY, BIND, REJECT(INDETERMINATE, "an earlier operation could not be settled")),
	ROW(S(NONE), GL_ANY, ACQUIRE, REJECT(NOT_FOUND, NOT_BOUND)),
	ROW(S(NONE), GL_ANY, ATTACH, REJECT(NOT_FOUND, NOT_BOUND)),
	ROW(S(NONE), GL_ANY, DETACH, REJECT(NOT_FOUND, NOT_BOUND)),
	ROW(S(NONE), GL_ANY, PAUSE, REJECT(NOT_FOUND, NOT_BOUND)),
	ROW(S(NONE), GL_ANY, RESUME, REJECT(NOT_FOUND, NOT_BOUND)),
	ROW(S(NONE), GL_ANY, PREPARE, REJECT(NOT_FOUND, NOT_BOUND)),
	ROW(S(NONE), GL_ANY, COMPLETE_IN, REJECT(NOT_FOUND, NOT_BOUND)),
	ROW(S(NONE), GL_ANY, CANCEL_IN, REJECT(NOT_FOUND, NOT_BOUND)),
	ROW(S(NONE), GL_ANY, COMPLETE_OUT, REJECT(NOT_FOUND, NOT_BOUND)),
	ROW(S(NONE), GL_ANY, CANCEL_OUT, REJECT(NOT_FOUND, NOT_BOUND)),
	ROW(S(DEAD), GL_ANY, DETACH, IGNORE("released with everything else of the dead guest")),
	ROW(S(DEAD), GL_ANY, BIND,
	    REJECT(INDETERMINATE, "the locks of the guest's former life could not be released yet")),
	ROW(S(DEAD), GL_ANY, ACQUIRE, REJECT(DEAD, IS_DEAD)),
	ROW(S(DEAD), GL_ANY, ATTACH, REJECT(DEAD, IS_DEAD)),
	ROW(S(DEAD), GL_ANY, PAUSE, REJECT(DEAD, IS_DEAD)),
	ROW(S(DEAD), GL_ANY, RESUME, REJECT(DEAD, IS_DEAD)),
	ROW(S(DEAD), GL_ANY, PREPARE, REJECT(DEAD, IS_DEAD)),
	ROW(S(DEAD), GL_ANY, COMPLETE_IN, REJECT(DEAD, IS_DEAD)),
	ROW(S(DEAD), GL_ANY, CANCEL_IN, IGNORE("released with everything else of the dead guest")),
	ROW(S(DEAD), GL_ANY, COMPLETE_OUT, IGNORE("released with everything else of the dead guest")),
	ROW(S(DEAD), GL_ANY, CANCEL_OUT, REJECT(DEAD, IS_DEAD)),
	ROW(GL_ANY, OP(NONE), COMPLETE_IN, REJECT(REJECTED, "the guest is not the target of a migration")),
	ROW(GL_ANY, OP(NONE), CANCEL_IN, REJECT(REJECTED, "the guest is not the target of a migration")),
	ROW(GL_ANY, OP(NONE), COMPLETE_OUT, REJECT(REJECTED, "no migration was prepared")),
	ROW(GL_ANY, OP(NONE), CANCEL_OUT, REJECT(REJECTED, "no migration was prepared")),
	ROW(GL_ANY, GL_ANY, BIND, REJECT(BUSY, "a guest of this uuid lives already")),
	ROW(GL_ANY, GL_ANY, ACQUIRE, REJECT(INDETERMINATE, "an earlier operation could not be settled")),
	ROW(GL_ANY, GL_ANY, ATTACH, REJECT(INDETERMINATE, "an earlier operation could not be settled")),
	ROW(GL_ANY, GL_ANY, DETACH, REJECT(INDETERMINATE, "an earlier operation could not be settled")),
	ROW(GL_ANY, GL_ANY, PAUSE, REJECT(INDETERMINATE, "an earlier operation could not be settled")),
	ROW(GL_ANY, GL_ANY, RESUME, REJECT(INDETERMINATE, "an earlier operation could not be settled")),
	ROW(GL_ANY, GL_ANY, PREPARE, REJECT(INDETERMINATE, "an earlier operation could not be settled")),
	ROW(GL_ANY, GL_ANY, COMPLETE_IN, REJECT(INDETERMINATE, "an earlier operation could not be settled")),
	ROW(GL_ANY, GL_ANY, CANCEL_IN, REJECT(INDETERMINATE, "an earlier operation could not be settled")),
	ROW(GL_ANY, GL_ANY, COMPLETE_OUT, REJECT(INDETERMINATE, "an earlier operation could not be settled")),
	ROW(GL_ANY, GL_ANY, CANCEL_OUT, REJECT(INDETERMINATE, "an earlier operation could not be settled")),
};

static bool row_matches(const struct gl_row *row, enum guestlock_guest_state state, enum gl_operation op,
			enum gl_event event, unsigned guards)
{
	return row->event == event && (row->state == GL_ANY || row->state == (int)state) &&
	       (row->op == GL_ANY || row->op == (int)op) && (guards & row->need) == row->need &&
	       (guards & row->forbid) == 0;
}

const struct gl_row *gl_lifecycle_step(enum guestlock_guest_state state, enum gl_operation op,
				       enum gl_event event, unsigned guards)
{
	static const struct gl_row undecided = {
		REJECT(FAILED, "the lifecycle table has no row for this: please report it"),
	};

	for (size_t i = 0; i < GL_COUNT(rows); i++) {
		if (row_matches(&rows[i], state, op, event, guards)) {
			return &rows[i];
		}
	}
	return &undecided;
}

const struct gl_row *gl_lifecycle_rows(size_t *out_count)
{
	*out_count = GL_COUNT(rows);
	return rows;
}

#define R(name) [GUESTLOCK_RESOURCE_##name]
#define UNDER_WAY(during, to, what)                                                                          \
	{                                                                                                    \
		.verdict = GL_GO, .next = GUESTLOCK_RESOURCE_##during, .target = GUESTLOCK_RESOURCE_##to,    \
		.request = GL_REQUEST_##what                                                                 \
	}
#define ARRIVE(where)                                                                                        \
	{                                                                                                    \
		.verdict = GL_GO, .next = (where), .target = GL_SAME, .request = GL_REQUEST_NOTHING          \
	}
#define STAY                                                                                                 \
	{                                                                                                    \
		.verdict = GL_IGNORE, .next = GL_SAME, .target = GL_SAME, .request = GL_REQUEST_NOTHING      \
	}
#define UNSETTLED                                                                                            \
	{                                                                                                    \
		.verdict = GL_REJECT, .next = GL_SAME, .target = GL_SAME, .request = GL_REQUEST_NOTHING      \
	}

/* A resource's table. A step that is under way has a target and an origin, kept in the record. */
static const struct gl_resource_row
	resource_rows[GL_RES_EVENTS]
		     [GL_RESOURCE_STATES] =
			     {
				     [GL_RES_TAKE] =
					     {
						     R(NONE) = UNDER_WAY(INTENT, HELD, ACQUIRE),
						     R(PARKED) = UNDER_WAY(INTENT, HELD, ACQUIRE),
						     R(HELD) = STAY,
						     R(HANDOVER) = STAY,
						     R(INTENT) = UNSETTLED,
						     R(DROPPING) = UNSETTLED,
						     R(UNKNOWN) = UNSETTLED,
					     },
				     [GL_RES_RECEIVE] =
					     {
						     R(NONE) = UNDER_WAY(INTENT, HANDOVER, ACQUIRE),
						     R(PARKED) = UNDER_WAY(INTENT, HANDOVER, ACQUIRE),
						     R(HELD) = STAY,
						     R(HANDOVER) = STAY,
						     R(INTENT) = UNSETTLED,
						     R(DROPPING) = UNSETTLED,
						     R(UNKNOWN) = UNSETTLED,
					     },
				     [GL_RES_PARK] =
					     {
						     R(HELD) = UNDER_WAY(DROPPING, PARKED, RELEASE),
						     R(HANDOVER) = UNDER_WAY(DROPPING, PARKED, RELEASE),
						     R(NONE) = STAY,
						     R(PARKED) = STAY,
						     R(INTENT) = UNSETTLED,
						     R(DROPPING) = UNSETTLED,
						     R(UNKNOWN) = UNSETTLED,
					     },
				     /* For good, whatever the state: what is not held may still be of
					interest to the backend since bind. */
				     [GL_RES_DROP] =
					     {
						     R(NONE) = UNDER_WAY(DROPPING, NONE, RELEASE),
						     R(INTENT) = UNDER_WAY(DROPPING, NONE, RELEASE),
						     R(HELD) = UNDER_WAY(DROPPING, NONE, RELEASE),
						     R(PARKED) = UNDER_WAY(DROPPING, NONE, RELEASE),
						     R(HANDOVER) = UNDER_WAY(DROPPING, NONE, RELEASE),
						     R(DROPPING) = UNDER_WAY(DROPPING, NONE, RELEASE),
						     R(UNKNOWN) = UNDER_WAY(DROPPING, NONE, RELEASE),
					     },
				     [GL_RES_HAND] =
					     {
						     R(HELD) = UNDER_WAY(INTENT, HANDOVER, CONVERT),
						     R(HANDOVER) = STAY,
						     R(NONE) = STAY,
						     R(PARKED) = STAY,
						     R(INTENT) = UNSETTLED,
						     R(DROPPING) = UNSETTLED,
						     R(UNKNOWN) = UNSETTLED,
					     },
				     [GL_RES_CLAIM] =
					     {
						     R(HANDOVER) = UNDER_WAY(INTENT, HELD, CONVERT),
						     R(HELD) = STAY,
						     R(NONE) = STAY,
						     R(PARKED) = STAY,
						     R(INTENT) = UNSETTLED,
						     R(DROPPING) = UNSETTLED,
						     R(UNKNOWN) = UNSETTLED,
					     },
				     [GL_RES_DONE] =
					     {
						     R(INTENT) = ARRIVE(GL_TARGET),
						     R(DROPPING) = ARRIVE(GL_TARGET),
						     R(UNKNOWN) = ARRIVE(GL_TARGET),
						     R(NONE) = STAY,
						     R(HELD) = STAY,
						     R(PARKED) = STAY,
						     R(HANDOVER) = STAY,
					     },
				     [GL_RES_UNDONE] =
					     {
						     R(INTENT) = ARRIVE(GL_ORIGIN),
						     R(DROPPING) = ARRIVE(GL_ORIGIN),
						     R(UNKNOWN) = ARRIVE(GL_ORIGIN),
						     R(NONE) = STAY,
						     R(HELD) = STAY,
						     R(PARKED) = STAY,
						     R(HANDOVER) = STAY,
					     },
				     [GL_RES_UNSURE] =
					     {
						     R(INTENT) = ARRIVE(GUESTLOCK_RESOURCE_UNKNOWN),
						     R(DROPPING) = ARRIVE(GUESTLOCK_RESOURCE_UNKNOWN),
						     R(UNKNOWN) = STAY,
						     R(NONE) = STAY,
						     R(HELD) = STAY,
						     R(PARKED) = STAY,
						     R(HANDOVER) = STAY,
					     },
};

const struct gl_resource_row *gl_resource_step(enum guestlock_resource_state state,
					       enum gl_resource_event event)
{
	return &resource_rows[event][state];
}

bool gl_operation_finishes(enum gl_operation op)
{
	switch (op) {
	case GL_OP_DETACH:
	case GL_OP_PAUSE:
	case GL_OP_COMPLETE_IN:
	case GL_OP_CANCEL_IN:
	case GL_OP_COMPLETE_OUT:
	case GL_OP_CANCEL_OUT:
	case GL_OP_SHUTDOWN:
		return true;
	default:
		return false;
	}
}
