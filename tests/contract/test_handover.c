/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Migration without a gap: the two ends of one guest, and everybody else. */
#include "steps.h"

#define MISMATCH GUESTLOCK_RES_MODE_MISMATCH
#define STALE GUESTLOCK_RES_STALE
#define N 9

static struct guest source, target, stranger, late;

/* source and target are one guest, on A and B; stranger is on B. */
static void start_all(const char *group)
{
	keys_make(&keys, group);
	guest_start(&source, &host_a, "moving", NULL, GUEST_PLAIN);
	guest_start(&target, &host_b, "moving", source.owner.uuid, GUEST_PLAIN);
	guest_start(&stranger, &host_b, "stranger", NULL, GUEST_PLAIN);
}

static void end_all(void)
{
	guest_kill(&source);
	guest_kill(&target);
	guest_kill(&stranger);
	if (late.host) {
		guest_kill(&late);
	}
}

/* One more end of the same guest. */
static void start_third(void)
{
	guest_start(&late, &host_a, "moving", source.owner.uuid, GUEST_PLAIN);
}

static void start_again(void)
{
	guest_start(&late, &host_b, "moving", source.owner.uuid, GUEST_PLAIN);
}

static const struct walk walks[] = {
	/* Before the source is ready, the target is as foreign as anybody. */
	{"a-migration", 0, N,
	 STEPS(TAKE(source, EXCLUSIVE), LOOK(source, IS(0)), TAKE(target, HANDOVER, BUSY),
	       CHANGE(source, HANDOVER), HOLDS(source, HANDOVER), REFUSED(stranger),
	       TAKE(target, EXCLUSIVE, BUSY), TAKE(target, HANDOVER), HOLDS(target, HANDOVER),
	       REFUSED(stranger), DROP(source, 0), REFUSED(stranger), CHANGE(target, EXCLUSIVE),
	       HOLDS(target, EXCLUSIVE), REFUSED(stranger), TAKE(source, HANDOVER, BUSY),
	       LOOK(target, IS(0)))},
	{"the-target-completes-first", 0, N,
	 STEPS(TAKE(source, EXCLUSIVE), CHANGE(source, HANDOVER), TAKE(target, HANDOVER),
	       CHANGE(target, EXCLUSIVE, BUSY, .holder = &source), HOLDS(target, HANDOVER),
	       HOLDS(source, HANDOVER), DROP(source, 0), CHANGE(target, EXCLUSIVE))},
	/* Repeated, nothing moves any more. What was saved before the migration is not resumed. */
	{"a-target-that-takes-over-moves-the-epoch", GUESTLOCK_CAP_EPOCH, N,
	 STEPS(TAKE(source, EXCLUSIVE), LOOK(source, IS(0)), CHANGE(source, HANDOVER), TAKE(target, HANDOVER),
	       TAKE_OVER(target, EXCLUSIVE, BUSY), LOOK(target, IS(0)), DROP(source, PARK),
	       TAKE_OVER(target, EXCLUSIVE, IS(1)), LOOK(target, IS(1)), TAKE_OVER(target, EXCLUSIVE, IS(1)),
	       LOOK(target, IS(1)), HOLDS(target, EXCLUSIVE), REFUSED(stranger), DROP(target, 0),
	       TAKE(source, EXCLUSIVE, STALE, IF(0), .count = 1))},
	{"a-migration-that-is-cancelled", 0, N,
	 STEPS(TAKE(source, EXCLUSIVE), LOOK(source, IS(0)), CHANGE(source, HANDOVER), TAKE(target, HANDOVER),
	       CHANGE(source, EXCLUSIVE, BUSY), HOLDS(source, HANDOVER), DROP(target, 0), REFUSED(stranger),
	       CHANGE(source, EXCLUSIVE), HOLDS(source, EXCLUSIVE), REFUSED(stranger), LOOK(source, IS(0)))},
	/* The next migration is one of its own. */
	{"only-two-ends", 0, N,
	 STEPS(CALL(start_third), TAKE(source, EXCLUSIVE), CHANGE(source, HANDOVER), TAKE(target, HANDOVER),
	       TAKE(late, HANDOVER, BUSY), HOLDS(late, NONE), DROP(source, 0), CHANGE(target, EXCLUSIVE),
	       CHANGE(target, HANDOVER), TAKE(late, HANDOVER))},
	{"an-end-that-died-makes-room", 0, N,
	 STEPS(TAKE(source, EXCLUSIVE), CHANGE(source, HANDOVER), TAKE(target, HANDOVER), KILL(target),
	       REFUSED(stranger), CALL(start_again), TAKE(late, HANDOVER), KILL(source),
	       CHANGE(late, EXCLUSIVE), REFUSED(stranger))},
	{"handover-of-a-free-key", 0, N,
	 STEPS(TAKE(target, HANDOVER), REFUSED(stranger), CHANGE(target, EXCLUSIVE),
	       HOLDS(target, EXCLUSIVE))},
	/* A guest that is paused when its migration begins. Undone, it was never had. */
	{"handover-of-what-was-parked", GUESTLOCK_CAP_EPOCH, 1,
	 STEPS(TAKE(source, EXCLUSIVE), LOOK(source, IS(0)), DROP(source, PARK),
	       TAKE(source, HANDOVER, IF(0)), LOOK(source, IS(0)), TAKE(stranger, EXCLUSIVE, BUSY),
	       TAKE(target, HANDOVER), CHANGE(source, EXCLUSIVE, BUSY), DROP(target, 0),
	       DROP(source, PARK | UNDO), TAKE(source, HANDOVER, IF(0)), CHANGE(source, EXCLUSIVE),
	       DROP(source, PARK), TAKE(source, EXCLUSIVE, IF(0)), LOOK(source, IS(1)), DROP(source, PARK),
	       TAKE(stranger, EXCLUSIVE), TAKE(source, HANDOVER, BUSY, IF(1)), DROP(stranger, 0),
	       TAKE(source, HANDOVER, STALE, IF(1)), HOLDS(source, NONE))},
	/* One key of the batch is in the way: all keep their old modes. */
	{"a-conversion-is-all-or-nothing", 0, N,
	 STEPS(TAKE(source, EXCLUSIVE), CHANGE(source, HANDOVER),
	       TAKE(target, HANDOVER, .from = N - 2, .count = 1),
	       CHANGE(source, EXCLUSIVE, BUSY, .because_of = N - 2), HOLDS(source, HANDOVER),
	       DROP(target, 0, .from = N - 2, .count = 1), CHANGE(source, EXCLUSIVE))},
	{"what-is-not-held-cannot-be-converted", 0, 2,
	 STEPS(TAKE(source, EXCLUSIVE, .count = 1), CHANGE(source, HANDOVER, MISMATCH, .because_of = 1),
	       HOLDS(source, EXCLUSIVE, .count = 1), HOLDS(source, NONE, .from = 1, .count = 1),
	       CHANGE(target, HANDOVER, MISMATCH, .count = 1), HOLDS(source, EXCLUSIVE, .count = 1))},
	{"a-conversion-to-the-same", 0, 1,
	 STEPS(TAKE(source, EXCLUSIVE), LOOK(source, IS(0)), CHANGE(source, EXCLUSIVE),
	       CHANGE(source, HANDOVER), CHANGE(source, HANDOVER), HOLDS(source, HANDOVER),
	       LOOK(source, IS(0)))},
	{"between-shared-and-exclusive", GUESTLOCK_CAP_SHARED, 1,
	 STEPS(TAKE(source, EXCLUSIVE), CHANGE(source, SHARED), HOLDS(source, SHARED), TAKE(stranger, SHARED),
	       CHANGE(source, EXCLUSIVE, BUSY), CHANGE(source, HANDOVER, BUSY), HOLDS(source, SHARED),
	       DROP(stranger, 0), CHANGE(source, EXCLUSIVE), HOLDS(source, EXCLUSIVE),
	       TAKE(stranger, SHARED, BUSY))},
};

START_TEST(it_goes_as_written)
{
	start_all(walks[_i].name);
	walk(&walks[_i]);
	end_all();
}
END_TEST

void handover_tests(Suite *suite)
{
	TCase *tcase = contract_case(suite, "handover");

	for (int i = 0; i < (int)GL_COUNT(walks) && contract_can(GUESTLOCK_CAP_HANDOVER); i++) {
		if (contract_can(walks[i].needs)) {
			tcase_add_loop_test(tcase, it_goes_as_written, i, i + 1);
		}
	}
}
