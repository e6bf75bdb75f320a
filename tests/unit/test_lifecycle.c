/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two tables of the lifecycle: the whole product of their inputs, and what the important ones must
 * give.
 */
#include "base/base.h"
#include "lifecycle/lifecycle.h"
#include "suites.h"

#include <stdio.h>
#include <string.h>

#define GUARDS (2 * GL_GUARD_HANDED_OVER) /* number of combinations */
#define WISHES (GL_EVENT_SHUTDOWN + 1)

static bool is_row(const struct gl_row *row)
{
	size_t count;
	const struct gl_row *rows = gl_lifecycle_rows(&count);

	return row >= rows && row < rows + count;
}

static bool is_wish(unsigned event)
{
	return event < WISHES;
}

/* ---- The guest's table, over the whole product ---- */

#define WRONG_UNLESS(condition)                                                                              \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			return "not so: " #condition;                                                        \
		}                                                                                            \
	} while (0)

#define WISHED (GL_ACTS_ON_RESOURCES | GL_ACT_TETHER | GL_ACT_STOP)

/* NULL, or what is wrong. Every ck_assert() writes to a pipe: too slow for a product this large. */
static const char *check_go(const struct gl_row *row)
{
	WRONG_UNLESS(row->next == GL_SAME || (row->next >= 0 && row->next < GL_GUEST_STATES));
	WRONG_UNLESS(row->next_op == GL_SAME || (row->next_op >= 0 && row->next_op < GL_OPERATIONS));
	WRONG_UNLESS(row->status == GUESTLOCK_OK);
	if (is_wish(row->event) && row->event != GL_EVENT_BIND) {
		/* A wish changes nothing but what is pending; the outcome changes the state. */
		WRONG_UNLESS(row->next == GL_SAME);
		WRONG_UNLESS(row->next_op > GL_OP_NONE);
		WRONG_UNLESS(__builtin_popcount(row->actions & GL_ACTS_ON_RESOURCES) == 1);
		WRONG_UNLESS((row->actions | WISHED) == WISHED);
		WRONG_UNLESS(!(row->actions & GL_ACT_TETHER) || (row->actions & GL_ACT_TAKE));
		/* What keeps an epoch may be given to others: the guest cannot write, unless it never ran. */
		WRONG_UNLESS(!(row->actions & GL_ACT_PARK) == !(row->actions & GL_ACT_STOP) ||
			     row->state == GUESTLOCK_GUEST_BOUND ||
			     /* Its caller says that it lives on at the other end. */
			     row->event == GL_EVENT_COMPLETE_OUT);
		return NULL;
	}
	WRONG_UNLESS(row->actions == 0 || row->actions == GL_ACT_REMOVE || row->actions == GL_ACT_CONTINUE);
	/* Whoever may run again goes on. */
	WRONG_UNLESS(row->event != GL_EVENT_DONE || row->next != GUESTLOCK_GUEST_RUNNING ||
		     row->next_op != GL_OP_NONE || row->actions == GL_ACT_CONTINUE);
	/* Only what is removed has no state. */
	WRONG_UNLESS((row->actions == GL_ACT_REMOVE) == (row->next == GUESTLOCK_GUEST_NONE));
	return NULL;
}

static const char *check_decision(unsigned state, unsigned op, unsigned event, unsigned guards)
{
	const struct gl_row *row = gl_lifecycle_step(state, op, event, guards);

	WRONG_UNLESS(is_row(row));
	WRONG_UNLESS(row->event == event);
	WRONG_UNLESS(row->state == GL_ANY || row->state == (int)state);
	WRONG_UNLESS(row->op == GL_ANY || row->op == (int)op);
	WRONG_UNLESS((guards & row->need) == row->need && (guards & row->forbid) == 0);
	WRONG_UNLESS(row->note && row->note[0] && !strstr(row->note, "report it"));
	if (row->verdict == GL_GO) {
		return check_go(row);
	}
	WRONG_UNLESS(row->next == GL_SAME && row->next_op == GL_SAME && row->actions == 0);
	WRONG_UNLESS((row->verdict == GL_REJECT) == (row->status < 0));
	return NULL;
}

START_TEST(every_combination_is_decided)
{
	unsigned state = (unsigned)_i / GL_EVENTS, event = (unsigned)_i % GL_EVENTS;

	for (unsigned i = 0; i < GL_OPERATIONS * GUARDS; i++) {
		unsigned op = i / GUARDS, guards = i % GUARDS;
		const char *wrong = check_decision(state, op, event, guards);

		if (wrong) {
			ck_abort_msg("state %s, pending \"%s\", event %s, guards %#x: %s",
				     guestlock_guest_state_name(state), gl_operation_name(op),
				     gl_event_name(event), guards, wrong);
		}
	}
}
END_TEST

START_TEST(every_row_decides_something)
{
	size_t count;
	const struct gl_row *rows = gl_lifecycle_rows(&count);
	bool *decides = calloc(count, sizeof(*decides));

	ck_assert_uint_gt(count, 0);
	ck_assert_ptr_nonnull(decides);
	for (unsigned i = 0; i < GL_GUEST_STATES * GL_OPERATIONS * GL_EVENTS * GUARDS; i++) {
		unsigned guards = i % GUARDS, rest = i / GUARDS;
		const struct gl_row *row =
			gl_lifecycle_step(rest / GL_EVENTS / GL_OPERATIONS, rest / GL_EVENTS % GL_OPERATIONS,
					  rest % GL_EVENTS, guards);

		decides[row - rows] = true;
	}
	for (size_t i = 0; i < count; i++) {
		ck_assert_msg(decides[i], "row %zu (event %s: \"%s\") never decides", i,
			      gl_event_name(rows[i].event), rows[i].note);
	}
	free(decides);
}
END_TEST

/* Nothing outside the first guards that a row may ask for. */
START_TEST(rows_ask_for_known_guards)
{
	size_t count;
	const struct gl_row *rows = gl_lifecycle_rows(&count);

	for (size_t i = 0; i < count; i++) {
		ck_assert_uint_lt(rows[i].need, GUARDS);
		ck_assert_uint_lt(rows[i].forbid, GUARDS);
		ck_assert_uint_eq(rows[i].need & rows[i].forbid, 0);
	}
}
END_TEST

/* ---- What can really come about ---- */

struct place {
	int state, op;
};

static struct place after(struct place place, const struct gl_row *row)
{
	if (row->verdict == GL_GO) {
		place.state = row->next == GL_SAME ? place.state : row->next;
		place.op = row->next_op == GL_SAME ? place.op : row->next_op;
	}
	return place;
}

static const struct gl_row *step(struct place place, int event, unsigned guards)
{
	return gl_lifecycle_step((unsigned)place.state, (unsigned)place.op, (unsigned)event, guards);
}

/* Marks everything that events can lead to from here. */
static void explore(bool reached[GL_GUEST_STATES][GL_OPERATIONS], struct place place)
{
	if (reached[place.state][place.op]) {
		return;
	}
	reached[place.state][place.op] = true;
	for (int event = 0; event < GL_EVENTS; event++) {
		for (unsigned guards = 0; guards < GUARDS; guards++) {
			explore(reached, after(place, step(place, event, guards)));
		}
	}
}

static void check_reached(struct place place)
{
	for (unsigned guards = 0; guards < GUARDS; guards++) {
		const struct gl_row *shutdown = step(place, GL_EVENT_SHUTDOWN, guards | GL_GUARD_FORCE);
		struct place dead = after(place, step(place, GL_EVENT_DIED, guards));

		ck_assert_int_ne(shutdown->verdict, GL_REJECT);
		ck_assert_int_eq(dead.state, place.state == GUESTLOCK_GUEST_NONE ? GUESTLOCK_GUEST_NONE
										 : GUESTLOCK_GUEST_DEAD);
		for (int event = GL_EVENT_DONE; event < GL_EVENTS; event++) {
			const struct gl_row *row = step(place, event, guards);
			struct place next = after(place, row);

			if (place.op == GL_OP_NONE) {
				ck_assert_int_eq(row->status, GUESTLOCK_FAILED);
			} else if (event == GL_EVENT_UNSURE) {
				ck_assert_int_eq(next.state, place.state);
				ck_assert_int_eq(next.op, place.op);
			} else {
				ck_assert_int_eq(row->verdict, GL_GO);
				ck_assert(next.op == GL_OP_NONE || (next.op == GL_OP_COMPLETE_IN &&
								    next.state == GUESTLOCK_GUEST_RUNNING));
			}
			if (event == GL_EVENT_REFUSED && place.op != GL_OP_NONE) {
				ck_assert_int_eq(next.state, place.state);
			}
		}
	}
}

START_TEST(what_can_be_reached_has_a_way_out)
{
	bool reached[GL_GUEST_STATES][GL_OPERATIONS] = {{false}};
	bool states[GL_GUEST_STATES] = {false}, ops[GL_OPERATIONS] = {false};

	explore(reached, (struct place){GUESTLOCK_GUEST_NONE, GL_OP_NONE});
	for (int state = 0; state < GL_GUEST_STATES; state++) {
		for (int op = 0; op < GL_OPERATIONS; op++) {
			if (reached[state][op]) {
				states[state] = ops[op] = true;
				check_reached((struct place){state, op});
			}
		}
	}
	for (int state = 0; state < GL_GUEST_STATES; state++) {
		ck_assert_msg(states[state], "state %s is never reached",
			      guestlock_guest_state_name((unsigned)state));
	}
	for (int op = 0; op < GL_OPERATIONS; op++) {
		ck_assert_msg(ops[op], "operation \"%s\" is never pending", gl_operation_name((unsigned)op));
	}
	/* What makes no sense does not come about. */
	for (int op = 1; op < GL_OPERATIONS; op++) {
		ck_assert(!reached[GUESTLOCK_GUEST_NONE][op]);
		ck_assert(!reached[GUESTLOCK_GUEST_DEAD][op] || op == GL_OP_SHUTDOWN);
	}
}
END_TEST

/* Nothing is pending, or only what may stay so: these are the places where a guest lives. */
START_TEST(the_guest_may_run_only_after_an_outcome)
{
	size_t count;
	const struct gl_row *rows = gl_lifecycle_rows(&count);

	for (size_t i = 0; i < count; i++) {
		if (rows[i].verdict == GL_GO && rows[i].next == GUESTLOCK_GUEST_RUNNING) {
			ck_assert_int_eq(rows[i].event, GL_EVENT_DONE);
			ck_assert(rows[i].op == GL_OP_ACQUIRE || rows[i].op == GL_OP_RESUME ||
				  rows[i].op == GL_OP_COMPLETE_IN || rows[i].op == GL_OP_CANCEL_OUT);
		}
	}
}
END_TEST

/* ---- What a wish gives: one letter for each ---- */

static char letter_of(const struct gl_row *row)
{
	static const struct {
		int status;
		char letter;
	} letters[] = {
		{GUESTLOCK_REJECTED, 'R'}, {GUESTLOCK_BUSY, 'B'},  {GUESTLOCK_NOT_FOUND, 'N'},
		{GUESTLOCK_DEAD, 'D'},     {GUESTLOCK_ALIVE, 'A'}, {GUESTLOCK_INDETERMINATE, 'I'},
	};

	if (row->verdict != GL_REJECT) {
		return row->verdict == GL_GO ? 'g' : '-';
	}
	for (size_t i = 0; i < GL_COUNT(letters); i++) {
		if (letters[i].status == row->status) {
			return letters[i].letter;
		}
	}
	return '?';
}

#define ALIVE GL_GUARD_ALIVE
#define MIGRATE GL_GUARD_MIGRATE
#define FORCE GL_GUARD_FORCE

/*
 * g go, - nothing to do, else rejected: R not in this state, B busy, N not found, D dead, A alive,
 * I indeterminate. In the order of enum gl_event: bind acquire attach detach pause resume prepare
 * complete-in cancel-in complete-out cancel-out shutdown.
 */
static const struct {
	int state, op;
	unsigned guards;
	const char *verdicts;
} wishes[] = {
	{GUESTLOCK_GUEST_NONE, GL_OP_NONE, 0, "gNNNNNNNNNN-"},
	{GUESTLOCK_GUEST_NONE, GL_OP_NONE, FORCE, "gNNNNNNNNNN-"},
	{GUESTLOCK_GUEST_BOUND, GL_OP_NONE, ALIVE, "BgggggRRRRRA"},
	{GUESTLOCK_GUEST_BOUND, GL_OP_NONE, ALIVE | FORCE, "BgggggRRRRRg"},
	{GUESTLOCK_GUEST_BOUND, GL_OP_NONE, ALIVE | MIGRATE, "BggggRRR-RRg"},
	{GUESTLOCK_GUEST_RUNNING, GL_OP_NONE, ALIVE, "BggggggRRR-A"},
	{GUESTLOCK_GUEST_RUNNING, GL_OP_NONE, ALIVE | FORCE, "BggggggRRR-g"},
	{GUESTLOCK_GUEST_RUNNING, GL_OP_NONE, ALIVE | MIGRATE, "Bgggggg-RRRA"},
	{GUESTLOCK_GUEST_RUNNING, GL_OP_COMPLETE_IN, ALIVE | MIGRATE, "B-BBB-BgRRRA"},
	{GUESTLOCK_GUEST_PAUSED, GL_OP_NONE, ALIVE, "BggggggRR--A"},
	{GUESTLOCK_GUEST_PAUSED, GL_OP_NONE, ALIVE | FORCE, "BggggggRR--g"},
	{GUESTLOCK_GUEST_PAUSED, GL_OP_NONE, ALIVE | GL_GUARD_HANDED_OVER, "BgggggRRR--g"},
	{GUESTLOCK_GUEST_MIGRATING_OUT, GL_OP_NONE, ALIVE, "BRRRRR-RRggA"},
	{GUESTLOCK_GUEST_MIGRATING_IN, GL_OP_NONE, ALIVE | MIGRATE, "B-RRRRRggRRA"},
	{GUESTLOCK_GUEST_LOST, GL_OP_NONE, ALIVE, "BgRgggRRRRRA"},
	{GUESTLOCK_GUEST_DEAD, GL_OP_NONE, 0, "IDD-DDDD--Dg"},
	{GUESTLOCK_GUEST_DEAD, GL_OP_SHUTDOWN, 0, "IDD-DDDD--Dg"},
	/* What could not be settled. */
	{GUESTLOCK_GUEST_BOUND, GL_OP_ACQUIRE, ALIVE, "BIIIIIIIIIIA"},
	{GUESTLOCK_GUEST_BOUND, GL_OP_ACQUIRE, ALIVE | FORCE, "BIIIIIIIIIIg"},
	{GUESTLOCK_GUEST_RUNNING, GL_OP_ATTACH, ALIVE, "BIIIIIIIIIIA"},
	{GUESTLOCK_GUEST_RUNNING, GL_OP_DETACH, ALIVE, "BIIIIIIIIIIA"},
	{GUESTLOCK_GUEST_RUNNING, GL_OP_PAUSE, ALIVE, "BIIIIIIIIIIA"},
	{GUESTLOCK_GUEST_PAUSED, GL_OP_RESUME, ALIVE, "BIIIIIIIIIIA"},
	{GUESTLOCK_GUEST_RUNNING, GL_OP_PREPARE, ALIVE, "BIIIIIIIIIIA"},
	{GUESTLOCK_GUEST_MIGRATING_IN, GL_OP_COMPLETE_IN, ALIVE | MIGRATE, "BIIIIIIIIIIA"},
	{GUESTLOCK_GUEST_MIGRATING_IN, GL_OP_CANCEL_IN, ALIVE | MIGRATE, "BIIIIIIIIIIA"},
	{GUESTLOCK_GUEST_MIGRATING_OUT, GL_OP_COMPLETE_OUT, ALIVE, "BIIIIIIIIIIA"},
	{GUESTLOCK_GUEST_MIGRATING_OUT, GL_OP_CANCEL_OUT, ALIVE, "BIIIIIIIIIIA"},
	{GUESTLOCK_GUEST_RUNNING, GL_OP_SHUTDOWN, ALIVE | FORCE, "BIIIIIIIIIIg"},
};

START_TEST(wishes_are_granted_as_written)
{
	struct place place = {wishes[_i].state, wishes[_i].op};
	char verdicts[WISHES + 1] = "";

	for (int event = 0; event < WISHES; event++) {
		verdicts[event] = letter_of(step(place, event, wishes[_i].guards));
	}
	ck_assert_str_eq(verdicts, wishes[_i].verdicts);
}
END_TEST

/* ---- Sequences, as the users of lock managers have them ---- */

/* What is done to the process is checked of each row, above. */
#define RESOURCES_OR_RECORD (GL_ACTS_ON_RESOURCES | GL_ACT_REMOVE)

struct walk_step {
	int event;
	unsigned guards;
	char letter; /* as above */
	unsigned actions;
	int state, op; /* afterwards */
};

#define WISH(e, l, what, s, o)                                                                               \
	{                                                                                                    \
		.event = GL_EVENT_##e, .guards = ALIVE, .letter = (l), .actions = (what),                    \
		.state = GUESTLOCK_GUEST_##s, .op = GL_OP_##o                                                \
	}
#define WHEN(g, e, l, what, s, o)                                                                            \
	{                                                                                                    \
		.event = GL_EVENT_##e, .guards = (g), .letter = (l), .actions = (what),                      \
		.state = GUESTLOCK_GUEST_##s, .op = GL_OP_##o                                                \
	}
#define DONE(s) WHEN(ALIVE, DONE, 'g', 0, s, NONE)
#define REFUSED(s) WHEN(ALIVE, REFUSED, 'g', 0, s, NONE)

static const struct walk_step start[] = {
	WHEN(0, BIND, 'g', 0, BOUND, NONE),
	WISH(ACQUIRE, 'g', GL_ACT_TAKE, BOUND, ACQUIRE),
	DONE(RUNNING),
	WHEN(0, DIED, 'g', 0, DEAD, NONE),
	WHEN(0, SHUTDOWN, 'g', GL_ACT_DROP, DEAD, SHUTDOWN),
	WHEN(0, DONE, 'g', GL_ACT_REMOVE, NONE, NONE),
	WHEN(0, SHUTDOWN, '-', 0, NONE, NONE),
};

/* Refused at start: still bound, to be tried again or to be shut down. */
static const struct walk_step refused_start[] = {
	WHEN(0, BIND, 'g', 0, BOUND, NONE),
	WISH(ACQUIRE, 'g', GL_ACT_TAKE, BOUND, ACQUIRE),
	REFUSED(BOUND),
	WISH(ACQUIRE, 'g', GL_ACT_TAKE, BOUND, ACQUIRE),
	WISH(UNSURE, 'g', 0, BOUND, ACQUIRE),
	WISH(ACQUIRE, 'I', 0, BOUND, ACQUIRE),
	WISH(UNSURE, 'g', 0, BOUND, ACQUIRE),
	REFUSED(BOUND),
	WISH(SHUTDOWN, 'A', 0, BOUND, NONE),
	WHEN(ALIVE | FORCE, SHUTDOWN, 'g', GL_ACT_DROP, BOUND, SHUTDOWN),
	WHEN(0, DONE, 'g', GL_ACT_REMOVE, NONE, NONE),
};

static const struct walk_step hotplug[] = {
	WHEN(0, BIND, 'g', 0, BOUND, NONE),
	WISH(ACQUIRE, 'g', GL_ACT_TAKE, BOUND, ACQUIRE),
	DONE(RUNNING),
	WISH(ATTACH, 'g', GL_ACT_TAKE, RUNNING, ATTACH),
	DONE(RUNNING),
	WISH(ATTACH, 'g', GL_ACT_TAKE, RUNNING, ATTACH),
	REFUSED(RUNNING),
	WISH(DETACH, 'g', GL_ACT_DROP, RUNNING, DETACH),
	DONE(RUNNING),
	WISH(ACQUIRE, 'g', GL_ACT_TAKE, RUNNING, ACQUIRE),
	DONE(RUNNING),
	WISH(SHUTDOWN, 'A', 0, RUNNING, NONE),
	WHEN(ALIVE | FORCE, SHUTDOWN, 'g', GL_ACT_DROP, RUNNING, SHUTDOWN),
	WHEN(ALIVE | FORCE, DONE, 'g', GL_ACT_REMOVE, NONE, NONE),
};

/* libvirt releases twice at a pause, and acquires what is held. */
static const struct walk_step pause_twice[] = {
	WHEN(0, BIND, 'g', 0, BOUND, NONE),
	WISH(ACQUIRE, 'g', GL_ACT_TAKE, BOUND, ACQUIRE),
	DONE(RUNNING),
	WISH(PAUSE, 'g', GL_ACT_PARK, RUNNING, PAUSE),
	DONE(PAUSED),
	WISH(PAUSE, 'g', GL_ACT_PARK, PAUSED, PAUSE),
	DONE(PAUSED),
	WISH(ATTACH, 'g', GL_ACT_TAKE, PAUSED, ATTACH),
	DONE(PAUSED),
	WISH(DETACH, 'g', GL_ACT_DROP, PAUSED, DETACH),
	DONE(PAUSED),
	WISH(RESUME, 'g', GL_ACT_TAKE, PAUSED, RESUME),
	REFUSED(PAUSED),
	WISH(ACQUIRE, 'g', GL_ACT_TAKE, PAUSED, RESUME),
	DONE(RUNNING),
	WISH(RESUME, 'g', GL_ACT_TAKE, RUNNING, ACQUIRE),
	DONE(RUNNING),
	WISH(PAUSE, 'g', GL_ACT_PARK, RUNNING, PAUSE),
	REFUSED(RUNNING),
	WISH(PAUSE, 'g', GL_ACT_PARK, RUNNING, PAUSE),
	WISH(UNSURE, 'g', 0, RUNNING, PAUSE),
	WISH(RESUME, 'I', 0, RUNNING, PAUSE),
	DONE(PAUSED),
	WISH(SHUTDOWN, 'A', 0, PAUSED, NONE),
	WHEN(ALIVE | FORCE, SHUTDOWN, 'g', GL_ACT_DROP, PAUSED, SHUTDOWN),
	WHEN(ALIVE, DONE, 'g', GL_ACT_REMOVE, NONE, NONE),
};

/* Started paused: registered, then acquired only at the first resume. */
static const struct walk_step started_paused[] = {
	WHEN(0, BIND, 'g', 0, BOUND, NONE),
	WISH(PAUSE, 'g', GL_ACT_PARK, BOUND, PAUSE),
	DONE(BOUND),
	WISH(ATTACH, 'g', GL_ACT_TAKE, BOUND, ATTACH),
	DONE(BOUND),
	WISH(RESUME, 'g', GL_ACT_TAKE, BOUND, RESUME),
	REFUSED(BOUND),
	WISH(RESUME, 'g', GL_ACT_TAKE, BOUND, RESUME),
	DONE(RUNNING),
};

static const struct walk_step source_success[] = {
	WHEN(0, BIND, 'g', 0, BOUND, NONE),
	WISH(ACQUIRE, 'g', GL_ACT_TAKE, BOUND, ACQUIRE),
	DONE(RUNNING),
	WISH(COMPLETE_OUT, 'R', 0, RUNNING, NONE),
	WISH(PREPARE, 'g', GL_ACT_HAND, RUNNING, PREPARE),
	REFUSED(RUNNING),
	WISH(PREPARE, 'g', GL_ACT_HAND, RUNNING, PREPARE),
	DONE(MIGRATING_OUT),
	WISH(PREPARE, '-', 0, MIGRATING_OUT, NONE),
	WISH(ATTACH, 'R', 0, MIGRATING_OUT, NONE),
	WISH(PAUSE, 'R', 0, MIGRATING_OUT, NONE),
	WISH(COMPLETE_OUT, 'g', GL_ACT_PARK, MIGRATING_OUT, COMPLETE_OUT),
	DONE(PAUSED),
	WISH(COMPLETE_OUT, '-', 0, PAUSED, NONE),
	WISH(SHUTDOWN, 'A', 0, PAUSED, NONE),
	WHEN(ALIVE | GL_GUARD_HANDED_OVER, SHUTDOWN, 'g', GL_ACT_DROP, PAUSED, SHUTDOWN),
	WHEN(ALIVE, DONE, 'g', GL_ACT_REMOVE, NONE, NONE),
};

static const struct walk_step source_cancel[] = {
	WHEN(0, BIND, 'g', 0, BOUND, NONE),
	WISH(ACQUIRE, 'g', GL_ACT_TAKE, BOUND, ACQUIRE),
	DONE(RUNNING),
	WISH(PREPARE, 'g', GL_ACT_HAND, RUNNING, PREPARE),
	DONE(MIGRATING_OUT),
	WISH(CANCEL_OUT, 'g', GL_ACT_CLAIM, MIGRATING_OUT, CANCEL_OUT),
	REFUSED(MIGRATING_OUT),
	WISH(CANCEL_OUT, 'g', GL_ACT_CLAIM, MIGRATING_OUT, CANCEL_OUT),
	DONE(RUNNING),
	WISH(CANCEL_OUT, '-', 0, RUNNING, NONE),
	WISH(PAUSE, 'g', GL_ACT_PARK, RUNNING, PAUSE),
	DONE(PAUSED),
	WISH(PREPARE, 'g', GL_ACT_TAKE, PAUSED, PREPARE),
	REFUSED(PAUSED),
	WISH(PREPARE, 'g', GL_ACT_TAKE, PAUSED, PREPARE),
	DONE(MIGRATING_OUT),
	WHEN(ALIVE | GL_GUARD_WAS_PAUSED, PREPARE, 'g', GL_ACT_HAND, MIGRATING_OUT, PREPARE),
	DONE(MIGRATING_OUT),
	WISH(CANCEL_OUT, 'g', GL_ACT_CLAIM, MIGRATING_OUT, CANCEL_OUT),
	WHEN(ALIVE | GL_GUARD_WAS_PAUSED, DONE, 'g', 0, PAUSED, NONE),
	WISH(CANCEL_OUT, '-', 0, PAUSED, NONE),
	WISH(PAUSE, 'g', GL_ACT_PARK, PAUSED, PAUSE),
	DONE(PAUSED),
};

/* The target completes first: the documented order. */
static const struct walk_step target_first[] = {
	WHEN(MIGRATE, BIND, 'g', 0, BOUND, NONE),
	WHEN(ALIVE | MIGRATE, COMPLETE_IN, 'R', 0, BOUND, NONE),
	WHEN(ALIVE | MIGRATE, RESUME, 'R', 0, BOUND, NONE),
	WHEN(ALIVE | MIGRATE, ACQUIRE, 'g', GL_ACT_TAKE, BOUND, ACQUIRE),
	WHEN(ALIVE | MIGRATE, DONE, 'g', 0, MIGRATING_IN, NONE),
	WHEN(ALIVE | MIGRATE, ACQUIRE, '-', 0, MIGRATING_IN, NONE),
	WHEN(ALIVE | MIGRATE, COMPLETE_IN, 'g', GL_ACT_CLAIM, MIGRATING_IN, COMPLETE_IN),
	WHEN(ALIVE | MIGRATE | GL_GUARD_HANDOVER, DONE, 'g', 0, RUNNING, COMPLETE_IN),
	WHEN(ALIVE | MIGRATE | GL_GUARD_HANDOVER, PAUSE, 'B', 0, RUNNING, COMPLETE_IN),
	WHEN(ALIVE | MIGRATE | GL_GUARD_HANDOVER, CANCEL_IN, 'R', 0, RUNNING, COMPLETE_IN),
	WHEN(ALIVE | MIGRATE | GL_GUARD_HANDOVER, COMPLETE_IN, 'g', GL_ACT_CLAIM, RUNNING, COMPLETE_IN),
	WHEN(ALIVE | MIGRATE | GL_GUARD_HANDOVER, REFUSED, 'g', 0, RUNNING, COMPLETE_IN),
	WHEN(ALIVE | MIGRATE | GL_GUARD_HANDOVER, COMPLETE_IN, 'g', GL_ACT_CLAIM, RUNNING, COMPLETE_IN),
	WHEN(ALIVE | MIGRATE, DONE, 'g', 0, RUNNING, NONE),
	WHEN(ALIVE | MIGRATE, COMPLETE_IN, '-', 0, RUNNING, NONE),
	WHEN(ALIVE | MIGRATE, PREPARE, 'g', GL_ACT_HAND, RUNNING, PREPARE),
};

/* The source completed before: exclusive at once. */
static const struct walk_step target_second[] = {
	WHEN(MIGRATE, BIND, 'g', 0, BOUND, NONE),
	WHEN(ALIVE | MIGRATE, ACQUIRE, 'g', GL_ACT_TAKE, BOUND, ACQUIRE),
	WHEN(ALIVE | MIGRATE, DONE, 'g', 0, MIGRATING_IN, NONE),
	WHEN(ALIVE | MIGRATE, COMPLETE_IN, 'g', GL_ACT_CLAIM, MIGRATING_IN, COMPLETE_IN),
	WHEN(ALIVE | MIGRATE, DONE, 'g', 0, RUNNING, NONE),
	WHEN(ALIVE | MIGRATE, PAUSE, 'g', GL_ACT_PARK, RUNNING, PAUSE),
};

static const struct walk_step target_cancel[] = {
	WHEN(MIGRATE, BIND, 'g', 0, BOUND, NONE),
	WHEN(ALIVE | MIGRATE, CANCEL_IN, '-', 0, BOUND, NONE),
	WHEN(ALIVE | MIGRATE, ACQUIRE, 'g', GL_ACT_TAKE, BOUND, ACQUIRE),
	WHEN(ALIVE | MIGRATE, DONE, 'g', 0, MIGRATING_IN, NONE),
	WHEN(ALIVE | MIGRATE, SHUTDOWN, 'A', 0, MIGRATING_IN, NONE),
	WHEN(ALIVE | MIGRATE, CANCEL_IN, 'g', GL_ACT_DROP, MIGRATING_IN, CANCEL_IN),
	WHEN(ALIVE | MIGRATE, DONE, 'g', 0, BOUND, NONE),
	WHEN(ALIVE | MIGRATE, SHUTDOWN, 'g', GL_ACT_DROP, BOUND, SHUTDOWN),
	WHEN(ALIVE | MIGRATE, DONE, 'g', GL_ACT_REMOVE, NONE, NONE),
};

static const struct walk_step lost[] = {
	WHEN(0, BIND, 'g', 0, BOUND, NONE),
	WISH(LOST, '-', 0, BOUND, NONE),
	WISH(ACQUIRE, 'g', GL_ACT_TAKE, BOUND, ACQUIRE),
	DONE(RUNNING),
	WISH(LOST, 'g', 0, LOST, NONE),
	WISH(ATTACH, 'R', 0, LOST, NONE),
	WISH(RESUME, 'g', GL_ACT_TAKE, LOST, RESUME),
	REFUSED(LOST),
	WISH(PAUSE, 'g', GL_ACT_PARK, LOST, PAUSE),
	DONE(PAUSED),
	WISH(LOST, '-', 0, PAUSED, NONE),
	WISH(RESUME, 'g', GL_ACT_TAKE, PAUSED, RESUME),
	DONE(RUNNING),
	WISH(LOST, 'g', 0, LOST, NONE),
	WISH(ACQUIRE, 'g', GL_ACT_TAKE, LOST, ACQUIRE),
	DONE(RUNNING),
};

#define WALK(name)                                                                                           \
	{                                                                                                    \
#name, name, GL_COUNT(name)                                                                  \
	}

static const struct {
	const char *name;
	const struct walk_step *steps;
	size_t count;
} walks[] = {
	WALK(start),          WALK(refused_start),  WALK(hotplug),       WALK(pause_twice),
	WALK(started_paused), WALK(source_success), WALK(source_cancel), WALK(target_first),
	WALK(target_second),  WALK(target_cancel),  WALK(lost),
};

START_TEST(sequences_go_as_documented)
{
	struct place place = {GUESTLOCK_GUEST_NONE, GL_OP_NONE};

	for (size_t i = 0; i < walks[_i].count; i++) {
		const struct walk_step *expected = &walks[_i].steps[i];
		const struct gl_row *row = step(place, expected->event, expected->guards);

		ck_assert_msg(letter_of(row) == expected->letter &&
				      (row->actions & RESOURCES_OR_RECORD) == expected->actions,
			      "%s, step %zu (%s): %c %#x \"%s\", not %c %#x", walks[_i].name, i,
			      gl_event_name((unsigned)expected->event), letter_of(row), row->actions,
			      row->note, expected->letter, expected->actions);
		place = after(place, row);
		ck_assert_msg(place.state == expected->state && place.op == expected->op,
			      "%s, step %zu (%s): now %s \"%s\"", walks[_i].name, i,
			      gl_event_name((unsigned)expected->event),
			      guestlock_guest_state_name((unsigned)place.state),
			      gl_operation_name((unsigned)place.op));
	}
}
END_TEST

/* Whatever it did and whatever is pending: the dead guest is released and forgotten. */
START_TEST(death_ends_every_state)
{
	struct place place = {_i / GL_OPERATIONS, _i % GL_OPERATIONS};

	if (place.state == GUESTLOCK_GUEST_NONE) {
		return;
	}
	place = after(place, step(place, GL_EVENT_DIED, 0));
	ck_assert_int_eq(place.state, GUESTLOCK_GUEST_DEAD);
	place = after(place, step(place, GL_EVENT_SHUTDOWN, 0));
	ck_assert_int_eq(place.op, GL_OP_SHUTDOWN);
	place = after(place, step(place, GL_EVENT_REFUSED, 0));
	ck_assert_int_eq(place.state, GUESTLOCK_GUEST_DEAD);
	place = after(place, step(place, GL_EVENT_SHUTDOWN, 0));
	ck_assert_uint_eq(step(place, GL_EVENT_DONE, 0)->actions, GL_ACT_REMOVE);
	place = after(place, step(place, GL_EVENT_DONE, 0));
	ck_assert_int_eq(place.state, GUESTLOCK_GUEST_NONE);
	ck_assert_int_eq(place.op, GL_OP_NONE);
}
END_TEST

/* ---- The table of a resource ---- */

#define STATE(name) GUESTLOCK_RESOURCE_##name

static char state_letter(int state)
{
	static const char letters[GL_RESOURCE_STATES + 1] = {
		[STATE(NONE)] = 'n',    [STATE(INTENT)] = 'i',   [STATE(HELD)] = 'h',
		[STATE(PARKED)] = 'p',  [STATE(HANDOVER)] = 'o', [STATE(DROPPING)] = 'd',
		[STATE(UNKNOWN)] = 'u',
	};

	return state == GL_TARGET                         ? 'T'
	       : state == GL_ORIGIN                       ? 'O'
	       : state == GL_SAME                         ? '='
	       : state >= 0 && state < GL_RESOURCE_STATES ? letters[state]
							  : '?';
}

/*
 * Each cell: state meanwhile, target, request (A acquire, R release, C convert, . none); "---" stays, "!!!"
 * is refused until it is settled. T its target, O its origin. Columns: none intent held parked handover
 * dropping unknown.
 */
static const char *const resource_table[GL_RES_EVENTS] = {
	[GL_RES_TAKE] = "ihA !!! --- ihA --- !!! !!!",   [GL_RES_RECEIVE] = "ioA !!! --- ioA --- !!! !!!",
	[GL_RES_PARK] = "--- !!! dpR --- dpR !!! !!!",   [GL_RES_DROP] = "dnR dnR dnR dnR dnR dnR dnR",
	[GL_RES_HAND] = "--- !!! ioC --- --- !!! !!!",   [GL_RES_CLAIM] = "--- !!! --- --- ihC !!! !!!",
	[GL_RES_DONE] = "--- T=. --- --- --- T=. T=.",   [GL_RES_UNDONE] = "--- O=. --- --- --- O=. O=.",
	[GL_RES_UNSURE] = "--- u=. --- --- --- u=. ---",
};

static const char *cell_of(const struct gl_resource_row *row)
{
	static const char requests[] = {
		[GL_REQUEST_NOTHING] = '.',
		[GL_REQUEST_ACQUIRE] = 'A',
		[GL_REQUEST_RELEASE] = 'R',
		[GL_REQUEST_CONVERT] = 'C',
	};
	static char cell[4];

	if (row->verdict != GL_GO) {
		ck_assert_int_eq(row->next, GL_SAME);
		ck_assert_int_eq(row->target, GL_SAME);
		ck_assert_int_eq(row->request, GL_REQUEST_NOTHING);
		return row->verdict == GL_IGNORE ? "---" : "!!!";
	}
	cell[0] = state_letter(row->next);
	cell[1] = state_letter(row->target);
	cell[2] = requests[row->request];
	return cell;
}

START_TEST(resources_step_as_written)
{
	char cells[GL_RESOURCE_STATES * 4 + 1] = "";

	for (unsigned state = 0; state < GL_RESOURCE_STATES; state++) {
		size_t used = strlen(cells);

		snprintf(cells + used, sizeof(cells) - used, "%s%s", state ? " " : "",
			 cell_of(gl_resource_step(state, (unsigned)_i)));
	}
	ck_assert_str_eq(cells, resource_table[_i]);
}
END_TEST

static bool under_way(int state)
{
	return state == STATE(INTENT) || state == STATE(DROPPING) || state == STATE(UNKNOWN);
}

/*
 * What is begun leads to a state that can be kept, back to where it was, or to "unknown" and on from there.
 */
START_TEST(steps_under_way_end)
{
	for (unsigned event = GL_RES_TAKE; event <= GL_RES_CLAIM; event++) {
		for (unsigned state = 0; state < GL_RESOURCE_STATES; state++) {
			const struct gl_resource_row *row = gl_resource_step(state, event);

			if (row->verdict != GL_GO) {
				continue;
			}
			ck_assert(row->next == STATE(INTENT) || row->next == STATE(DROPPING));
			ck_assert(row->target >= 0 && !under_way(row->target));
			ck_assert_int_ne(row->request, GL_REQUEST_NOTHING);
			ck_assert_int_eq(row->request == GL_REQUEST_RELEASE, row->next == STATE(DROPPING));
		}
	}
	for (unsigned state = 0; state < GL_RESOURCE_STATES; state++) {
		int done = gl_resource_step(state, GL_RES_DONE)->next;
		int undone = gl_resource_step(state, GL_RES_UNDONE)->next;

		ck_assert_int_eq(done, under_way((int)state) ? GL_TARGET : GL_SAME);
		ck_assert_int_eq(undone, under_way((int)state) ? GL_ORIGIN : GL_SAME);
	}
}
END_TEST

/* ---- Recovery ---- */

/*
 * Giving up is finished, taking is undone; the target of a migration is finished, because its guest may run
 * already, and so is the source's cancel: whether it may have its locks back the backend decides.
 */
START_TEST(operations_are_finished_or_undone)
{
	static const bool finishes[GL_OPERATIONS] = {
		[GL_OP_DETACH] = true,    [GL_OP_PAUSE] = true,        [GL_OP_COMPLETE_IN] = true,
		[GL_OP_CANCEL_IN] = true, [GL_OP_COMPLETE_OUT] = true, [GL_OP_CANCEL_OUT] = true,
		[GL_OP_SHUTDOWN] = true,
	};

	for (unsigned op = 0; op < GL_OPERATIONS; op++) {
		ck_assert_msg(gl_operation_finishes(op) == finishes[op], "operation \"%s\"",
			      gl_operation_name(op));
	}
}
END_TEST

/* ---- Words ---- */

START_TEST(what_has_no_name_is_a_question_mark)
{
	ck_assert_str_eq(guestlock_guest_state_name(GL_GUEST_STATES), "?");
	ck_assert_str_eq(guestlock_resource_state_name(GL_RESOURCE_STATES), "?");
	ck_assert_str_eq(gl_operation_name(GL_OPERATIONS), "?");
	ck_assert_str_eq(gl_event_name(GL_EVENTS), "?");
	ck_assert_str_eq(guestlock_life_name(GUESTLOCK_LIFE_DEAD + 1), "?");
	ck_assert_str_eq(guestlock_life_name(GUESTLOCK_LIFE_ALIVE), "alive");
}
END_TEST

static const char *word_of(const char *word, const char *what, size_t row)
{
	ck_assert_msg(word && !strchr(word, '?'), "row %zu has no word for %s", row, what);
	return word;
}

START_TEST(the_table_in_words_is_the_table)
{
	size_t n_rows, count;
	const struct gl_row *rows = gl_lifecycle_rows(&n_rows);
	const struct guestlock_transition *words = guestlock_lifecycle(&count);

	ck_assert_uint_eq(count, n_rows);
	for (size_t i = 0; i < count; i++) {
		static const char *const verdicts[] = {
			[GL_GO] = "go", [GL_IGNORE] = "ignore", [GL_REJECT] = "reject"};

		ck_assert_str_eq(word_of(words[i].event, "the event", i), gl_event_name(rows[i].event));
		ck_assert_str_eq(word_of(words[i].verdict, "the verdict", i), verdicts[rows[i].verdict]);
		ck_assert_str_eq(word_of(words[i].note, "the note", i), rows[i].note);
		ck_assert_int_eq(strcmp(word_of(words[i].state, "the state", i), "*") == 0,
				 rows[i].state == GL_ANY);
		ck_assert_int_eq(strcmp(word_of(words[i].pending, "what is pending", i), "*") == 0,
				 rows[i].op == GL_ANY);
		ck_assert_int_eq(strcmp(word_of(words[i].next, "the next state", i), "=") == 0,
				 rows[i].next == GL_SAME);
		ck_assert_uint_gt(strlen(word_of(words[i].next_pending, "what is pending then", i)), 0);
		ck_assert_int_eq(word_of(words[i].guard, "the guard", i)[0] == '\0',
				 rows[i].need == 0 && rows[i].forbid == 0);
		ck_assert_int_eq(word_of(words[i].actions, "the actions", i)[0] == '\0',
				 rows[i].actions == 0);
	}
	/* Again: the same. */
	ck_assert_ptr_eq(guestlock_lifecycle(&count), words);
	ck_assert_uint_eq(count, n_rows);
}
END_TEST

Suite *lifecycle_suite(void)
{
	Suite *suite = suite_create("lifecycle");
	TCase *guest = tcase_create("guest");
	TCase *resource = tcase_create("resource");
	TCase *words = tcase_create("words");

	tcase_add_loop_test(guest, every_combination_is_decided, 0, GL_GUEST_STATES * GL_EVENTS);
	tcase_add_test(guest, every_row_decides_something);
	tcase_add_test(guest, rows_ask_for_known_guards);
	tcase_add_test(guest, what_can_be_reached_has_a_way_out);
	tcase_add_test(guest, the_guest_may_run_only_after_an_outcome);
	tcase_add_loop_test(guest, wishes_are_granted_as_written, 0, GL_COUNT(wishes));
	tcase_add_loop_test(guest, sequences_go_as_documented, 0, GL_COUNT(walks));
	tcase_add_loop_test(guest, death_ends_every_state, 0, GL_GUEST_STATES * GL_OPERATIONS);
	tcase_add_test(guest, operations_are_finished_or_undone);
	suite_add_tcase(suite, guest);

	tcase_add_loop_test(resource, resources_step_as_written, 0, GL_RES_EVENTS);
	tcase_add_test(resource, steps_under_way_end);
	suite_add_tcase(suite, resource);

	tcase_add_test(words, what_has_no_name_is_a_question_mark);
	tcase_add_test(words, the_table_in_words_is_the_table);
	suite_add_tcase(suite, words);
	return suite;
}
