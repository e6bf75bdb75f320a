/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The words that records, messages and tools use for states, operations and the like; and the table in
 * words.
 */
#include "base/base.h"
#include "lifecycle/lifecycle.h"

#include <pthread.h>

static const char *const guest_states[] = {
	[GUESTLOCK_GUEST_NONE] = "none",
	[GUESTLOCK_GUEST_BOUND] = "bound",
	[GUESTLOCK_GUEST_RUNNING] = "running",
	[GUESTLOCK_GUEST_PAUSED] = "paused",
	[GUESTLOCK_GUEST_MIGRATING_OUT] = "migrating-out",
	[GUESTLOCK_GUEST_MIGRATING_IN] = "migrating-in",
	[GUESTLOCK_GUEST_LOST] = "lost",
	[GUESTLOCK_GUEST_DEAD] = "dead",
};

static const char *const resource_states[] = {
	[GUESTLOCK_RESOURCE_NONE] = "none",         [GUESTLOCK_RESOURCE_INTENT] = "intent",
	[GUESTLOCK_RESOURCE_HELD] = "held",         [GUESTLOCK_RESOURCE_PARKED] = "parked",
	[GUESTLOCK_RESOURCE_HANDOVER] = "handover", [GUESTLOCK_RESOURCE_DROPPING] = "dropping",
	[GUESTLOCK_RESOURCE_UNKNOWN] = "unknown",
};

static const char *const lives[] = {
	[GUESTLOCK_LIFE_UNKNOWN] = "unknown",
	[GUESTLOCK_LIFE_ALIVE] = "alive",
	[GUESTLOCK_LIFE_UNTETHERED] = "untethered",
	[GUESTLOCK_LIFE_ADOPTED] = "adopted",
	[GUESTLOCK_LIFE_DEAD] = "dead",
};

static const char *const operations[] = {
	[GL_OP_NONE] = "",
	[GL_OP_ACQUIRE] = "acquire",
	[GL_OP_ATTACH] = "attach",
	[GL_OP_DETACH] = "detach",
	[GL_OP_PAUSE] = "pause",
	[GL_OP_RESUME] = "resume",
	[GL_OP_PREPARE] = "prepare-migrate",
	[GL_OP_COMPLETE_IN] = "complete-in",
	[GL_OP_CANCEL_IN] = "cancel-in",
	[GL_OP_COMPLETE_OUT] = "complete-out",
	[GL_OP_CANCEL_OUT] = "cancel-out",
	[GL_OP_SHUTDOWN] = "shutdown",
};

static const char *const events[] = {
	[GL_EVENT_BIND] = "bind",
	[GL_EVENT_ACQUIRE] = "acquire",
	[GL_EVENT_ATTACH] = "attach",
	[GL_EVENT_DETACH] = "detach",
	[GL_EVENT_PAUSE] = "pause",
	[GL_EVENT_RESUME] = "resume",
	[GL_EVENT_PREPARE] = "prepare-migrate",
	[GL_EVENT_COMPLETE_IN] = "complete-in",
	[GL_EVENT_CANCEL_IN] = "cancel-in",
	[GL_EVENT_COMPLETE_OUT] = "complete-out",
	[GL_EVENT_CANCEL_OUT] = "cancel-out",
	[GL_EVENT_SHUTDOWN] = "shutdown",
	[GL_EVENT_DIED] = "died",
	[GL_EVENT_LOST] = "lost",
	[GL_EVENT_OVERTAKEN] = "overtaken",
	[GL_EVENT_DONE] = "done",
	[GL_EVENT_REFUSED] = "refused",
	[GL_EVENT_UNSURE] = "unsure",
};

static const char *name_of(const char *const *names, size_t count, unsigned value)
{
	return value < count ? names[value] : "?";
}

const char *guestlock_guest_state_name(enum guestlock_guest_state state)
{
	return name_of(guest_states, GL_COUNT(guest_states), state);
}

const char *guestlock_resource_state_name(enum guestlock_resource_state state)
{
	return name_of(resource_states, GL_COUNT(resource_states), state);
}

const char *guestlock_life_name(enum guestlock_life life)
{
	return name_of(lives, GL_COUNT(lives), life);
}

const char *gl_operation_name(enum gl_operation op)
{
	return name_of(operations, GL_COUNT(operations), op);
}

const char *gl_event_name(enum gl_event event)
{
	return name_of(events, GL_COUNT(events), event);
}

/* ---- The lifecycle table in words ---- */

/* Any combination of the guards and actions that rows use, spelled out once. */
static const char *guard_words(const struct gl_row *row)
{
	static const struct {
		unsigned need, forbid;
		const char *words;
	} known[] = {
		{0, 0, ""},
		{GL_GUARD_MIGRATE, 0, "bound for a migration"},
		{0, GL_GUARD_MIGRATE, "not bound for a migration"},
		{GL_GUARD_HANDOVER, 0, "the source still holds"},
		{GL_GUARD_HANDED_OVER, 0, "handed over"},
		{GL_GUARD_WAS_PAUSED, 0, "paused before"},
		{GL_GUARD_ALIVE, GL_GUARD_FORCE, "alive, no force"},
	};

	for (size_t i = 0; i < GL_COUNT(known); i++) {
		if (known[i].need == row->need && known[i].forbid == row->forbid) {
			return known[i].words;
		}
	}
	return "?";
}

static const char *action_words(unsigned actions)
{
	static const struct {
		unsigned actions;
		const char *words;
	} known[] = {
		{0, ""},
		{GL_ACT_TETHER | GL_ACT_TAKE, "acquire, if tethered"},
		{GL_ACT_TAKE, "acquire"},
		{GL_ACT_STOP | GL_ACT_PARK, "stop and flush; release, keep epochs"},
		{GL_ACT_PARK, "release, keep epochs"},
		{GL_ACT_DROP, "release"},
		{GL_ACT_HAND, "convert to handover"},
		{GL_ACT_CLAIM, "convert to exclusive"},
		{GL_ACT_REMOVE, "remove the record"},
		{GL_ACT_CONTINUE, "continue"},
	};

	for (size_t i = 0; i < GL_COUNT(known); i++) {
		if (known[i].actions == actions) {
			return known[i].words;
		}
	}
	return "?";
}

static const char *state_word(int state)
{
	return state == GL_ANY ? "*" : state == GL_SAME ? "=" : guestlock_guest_state_name((unsigned)state);
}

static const char *operation_word(int op)
{
	return op == GL_ANY       ? "*"
	       : op == GL_SAME    ? "="
	       : op == GL_OP_NONE ? "-"
				  : gl_operation_name((unsigned)op);
}

#define MAX_ROWS 200 /* a unit test sees to it that they suffice */
static struct guestlock_transition transitions[MAX_ROWS];
static size_t n_transitions;

static void fill_transitions(void)
{
	static const char *const verdicts[] = {
		[GL_GO] = "go", [GL_IGNORE] = "ignore", [GL_REJECT] = "reject"};
	const struct gl_row *rows = gl_lifecycle_rows(&n_transitions);

	n_transitions = n_transitions < MAX_ROWS ? n_transitions : MAX_ROWS;
	for (size_t i = 0; i < n_transitions; i++) {
		transitions[i] = (struct guestlock_transition){
			.state = state_word(rows[i].state),
			.pending = operation_word(rows[i].op),
			.event = gl_event_name(rows[i].event),
			.guard = guard_words(&rows[i]),
			.verdict = verdicts[rows[i].verdict],
			.next = state_word(rows[i].next),
			.next_pending = operation_word(rows[i].next_op),
			.actions = action_words(rows[i].actions),
			.note = rows[i].note,
		};
	}
}

const struct guestlock_transition *guestlock_lifecycle(size_t *out_count)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, fill_transitions);
	*out_count = n_transitions;
	return transitions;
}

const char *guestlock_mode_name(enum guestlock_mode mode)
{
	static const char *const names[] = {
		[GUESTLOCK_MODE_NONE] = "none",
		[GUESTLOCK_MODE_SHARED] = "shared",
		[GUESTLOCK_MODE_HANDOVER] = "handover",
		[GUESTLOCK_MODE_EXCLUSIVE] = "exclusive",
	};

	return (size_t)mode < GL_COUNT(names) ? names[mode] : "unknown";
}
