/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests as tables: who does what, and what it gives. */
#ifndef GL_CONTRACT_STEPS_H
#define GL_CONTRACT_STEPS_H

#include "pair.h"

#define PARK GUESTLOCK_BATCH_PARK
#define UNDO GUESTLOCK_BATCH_UNDO

#define STEPS_MOST 24

enum act { END, TAKE, TAKE_SOON, PROBE, DROP, CHANGE, TAKE_OVER, LOOK, HOLDS, REFUSED, KILL, CALL };

struct step {
	enum act act;
	struct guest *who;              /* NULL: nobody */
	unsigned what;                  /* mode or flags */
	enum guestlock_result gives;    /* of a look: what the first key is, GRANTED for whatever it is */
	unsigned only_if, epoch; /* EPOCH(): of the first key, which it must have before; that it has then */
	size_t from, count;             /* keys; count 0: all that the walk has */
	size_t because_of;              /* a key but the first, whose own result is that as well */
	const struct guest *holder;     /* who is in the way */
	void (*call)(void);
};
/* MODE[, RESULT][, ...] */
#define TAKE(guest, ...) STEP(TAKE, &(guest), .what = __VA_ARGS__)
/* For the time in which a death has to free it. */
#define TAKE_SOON(guest, ...) STEP(TAKE_SOON, &(guest), .what = __VA_ARGS__)
#define PROBE(guest, ...) STEP(PROBE, &(guest), .what = __VA_ARGS__)
#define CHANGE(guest, ...) STEP(CHANGE, &(guest), .what = __VA_ARGS__)
/* A change of the target that completes. */
#define TAKE_OVER(guest, ...) STEP(TAKE_OVER, &(guest), .what = __VA_ARGS__)
/* FLAGS[, ...] */
#define DROP(guest, ...) STEP(DROP, &(guest), .what = __VA_ARGS__)
#define LOOK(guest, ...) STEP(LOOK, &(guest), __VA_ARGS__)
#define LOOK_BY_NOBODY(...) STEP(LOOK, NULL, __VA_ARGS__)
/* Each key in that mode; NONE: none of them. */
#define HOLDS(guest, ...) STEP(HOLDS, &(guest), .what = __VA_ARGS__)
/* Each key in each mode there is. */
#define REFUSED(guest) STEP(REFUSED, &(guest), .what = NONE)
#define KILL(guest) STEP(KILL, &(guest), .what = NONE)
#define CALL(function) STEP(CALL, NULL, .call = (function))
#define STEP(what_is_done, guest, ...)                                                                       \
	{                                                                                                    \
		.act = what_is_done, .who = (guest), __VA_ARGS__                                             \
	}
/* So many more than at the first step that tells one. */
#define EPOCH(n) ((n) + 1)
#define IF(n) .only_if = EPOCH(n)
#define IS(n) .epoch = EPOCH(n)

struct walk {
	const char *name;               /* also the group of its keys */
	unsigned needs;                 /* GUESTLOCK_CAP_* */
	size_t n_keys;
	struct step steps[STEPS_MOST];
};
#define STEPS(...) .steps = {__VA_ARGS__}

/* Of keys.key, by guests that were started. */
void walk(const struct walk *walk);

#endif
