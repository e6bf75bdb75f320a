/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Epochs move with exclusive grants and nothing else, and tell whether anybody else had one. */
#include "steps.h"

#define N 5

/* Epochs live as long as somebody has interest in them: this one has, in all. */
static struct guest witness;

static void start_three(const char *group)
{
	struct ask ask;

	start_two(group);
	guest_start(&witness, &host_b, "witness", NULL, GUEST_PLAIN);
	ask_for(&ask, keys.key, N, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_bind(&witness, &ask), GRANTED);
}

static void end_three(void)
{
	guest_kill(&witness);
	end_two();
}

/* Takes a key exclusively and gives the epoch. */
static uint64_t take_epoch(const struct guest *guest, const struct guestlock_key *key)
{
	struct ask ask;

	ask_for(&ask, key, 1, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(guest, &ask), GRANTED);
	ck_assert(ask.items[0].has_epoch);
	return ask.items[0].epoch;
}

static enum guestlock_result take_checked(const struct guest *guest, const struct guestlock_key *key,
					  uint64_t epoch)
{
	struct ask ask;

	ask_for(&ask, key, 1, EXCLUSIVE);
	ask.items[0].check_epoch = true;
	ask.items[0].expected_epoch = epoch;
	return ask_acquire(guest, &ask);
}

START_TEST(first_epochs_are_not_guessed)
{
	struct ask ask;

	start_three("random");
	ask_for(&ask, keys.key, 3, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	ck_assert_uint_ne(ask.items[0].epoch, ask.items[1].epoch);
	ck_assert_uint_ne(ask.items[1].epoch, ask.items[2].epoch);
	end_three();
}
END_TEST

START_TEST(from_shared_to_exclusive_moves_it)
{
	struct ask ask;
	uint64_t epoch;

	start_three("upgrade-epoch");
	ck_assert_int_eq(take(&one, keys.key, SHARED), GRANTED);
	epoch = epoch_of(&one, keys.key);
	ck_assert_uint_eq(take_epoch(&one, keys.key), epoch + 1);
	if (contract_can(GUESTLOCK_CAP_HANDOVER)) {
		ck_assert_int_eq(change(&one, keys.key, SHARED), GRANTED);
		ck_assert_uint_eq(epoch_of(&one, keys.key), epoch + 1);
		ask_for(&ask, keys.key, 1, EXCLUSIVE);
		ck_assert_int_eq(ask_convert(&one, &ask), GRANTED);
		ck_assert_uint_ne(ask.items[0].epoch, epoch + 1);
		ck_assert_uint_eq(epoch_of(&two, keys.key), ask.items[0].epoch);
	}
	end_three();
}
END_TEST

START_TEST(a_refused_batch_moves_none)
{
	uint64_t epochs[N];
	struct ask ask;
	size_t i;

	start_three("refused");
	for (i = 0; i < N; i++) {
		epochs[i] = take_epoch(&two, &keys.key[i]);
	}
	ask_for(&ask, keys.key, N - 1, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_release(&two, &ask), GRANTED);
	ask_for(&ask, keys.key, N, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), BUSY);
	for (i = 0; i < N; i++) {
		ck_assert_uint_eq(epoch_of(&one, &keys.key[i]), epochs[i]);
	}
	end_three();
}
END_TEST

START_TEST(one_stale_key_refuses_the_batch)
{
	uint64_t epochs[N];
	struct ask ask;
	size_t i;

	start_three("stale-batch");
	ask_for(&ask, keys.key, N, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	for (i = 0; i < N; i++) {
		epochs[i] = ask.items[i].epoch;
	}
	ask.flags = PARK;
	ck_assert_int_eq(ask_release(&one, &ask), GRANTED);
	take_epoch(&two, &keys.key[3]);
	ck_assert_int_eq(drop(&two, &keys.key[3], 0), GRANTED);
	ask_for(&ask, keys.key, N, EXCLUSIVE);
	for (i = 0; i < N; i++) {
		ask.items[i].check_epoch = true;
		ask.items[i].expected_epoch = epochs[i];
	}
	ck_assert_int_eq(ask_acquire(&one, &ask), GUESTLOCK_RES_STALE);
	ck_assert_int_eq(ask.items[3].result, GUESTLOCK_RES_STALE);
	assert_none(&one, keys.key, N);
	ck_assert_uint_eq(epoch_of(&one, &keys.key[0]), epochs[0]);
	ask.items[3].check_epoch = false;
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	end_three();
}
END_TEST

/* A key that nobody ever took proves nothing about the time since a state was saved. */
START_TEST(a_key_without_epoch_is_not_proven)
{
	struct ask ask;
	enum guestlock_result result;

	start_three("unproven");
	result = take_checked(&one, keys.key, 1);
	ck_assert(result == GUESTLOCK_RES_UNPROVEN || result == GUESTLOCK_RES_STALE);
	assert_none(&one, keys.key, 1);
	ask_for(&ask, keys.key, 1, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_bind(&one, &ask), GRANTED);
	result = take_checked(&one, keys.key, 1);
	ck_assert(result == GUESTLOCK_RES_UNPROVEN || result == GUESTLOCK_RES_STALE);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	end_three();
}
END_TEST

/* ---- Step by step ---- */

static const struct walk walks[] = {
	{"each-exclusive-grant-moves-it-by-one", 0, 1,
	 STEPS(TAKE(one, EXCLUSIVE, IS(0)), LOOK(one, IS(0)), DROP(one, 0), TAKE(two, EXCLUSIVE, IS(1)),
	       DROP(two, 0), TAKE(two, EXCLUSIVE, IS(2)))},
	/* A second release of the same gives the same again. */
	{"release-and-inquire-tell-the-same", 0, 1,
	 STEPS(TAKE(one, EXCLUSIVE, IS(0)), DROP(one, 0, IS(0)), DROP(one, 0, IS(0)), LOOK(one, IS(0)),
	       LOOK(two, IS(0)), LOOK_BY_NOBODY(IS(0)))},
	{"shared-does-not-move-it", GUESTLOCK_CAP_SHARED, 1,
	 STEPS(TAKE(one, EXCLUSIVE, IS(0)), DROP(one, PARK), TAKE(two, SHARED, IS(0)), DROP(two, 0),
	       TAKE(one, EXCLUSIVE, IF(0)), LOOK(one, IS(1)))},
	{"a-new-key-taken-shared-has-one", GUESTLOCK_CAP_SHARED, 1,
	 STEPS(TAKE(one, SHARED, IS(0)), LOOK(two, IS(0)))},
	{"a-probe-moves-none", 0, 1,
	 STEPS(TAKE(one, EXCLUSIVE, IS(0)), DROP(one, 0), PROBE(two, EXCLUSIVE), LOOK(two, IS(0)))},
	/* Libvirt pauses twice. Resumed twice, or by a manager killed after the grant: it is held already. */
	{"resume-when-nobody-was-there", 0, 1,
	 STEPS(TAKE(one, EXCLUSIVE, IS(0)), DROP(one, PARK), LOOK(one, .gives = GUESTLOCK_RES_FREE),
	       DROP(one, PARK), LOOK(one, IS(0)), TAKE(one, EXCLUSIVE, IF(0)), HOLDS(one, EXCLUSIVE),
	       TAKE(one, EXCLUSIVE, IF(0)), LOOK(one, IS(1)))},
	/* As long as somebody else holds it, that is the answer. */
	{"resume-after-somebody-else", 0, 1,
	 STEPS(TAKE(one, EXCLUSIVE, IS(0)), DROP(one, PARK), TAKE(two, EXCLUSIVE, IS(1)),
	       TAKE(one, EXCLUSIVE, BUSY, IF(0)), DROP(two, 0),
	       TAKE(one, EXCLUSIVE, GUESTLOCK_RES_STALE, IF(0)), HOLDS(one, NONE), LOOK(one, IS(1)),
	       TAKE(one, EXCLUSIVE))},
	{"resume-after-a-dead-guest", 0, 1,
	 STEPS(TAKE(one, EXCLUSIVE, IS(0)), DROP(one, PARK), TAKE(two, EXCLUSIVE, IS(1)), KILL(two),
	       TAKE_SOON(one, EXCLUSIVE, GUESTLOCK_RES_STALE, IF(0)))},
	/* The guest never ran under that grant. */
	{"undo-puts-it-back", 0, 1,
	 STEPS(TAKE(one, EXCLUSIVE, IS(0)), DROP(one, PARK), TAKE(two, EXCLUSIVE, IS(1)), DROP(two, UNDO),
	       LOOK(one, IS(0)), TAKE(one, EXCLUSIVE, IF(0)))},
	{"undo-and-park", 0, 1,
	 STEPS(TAKE(one, EXCLUSIVE, IS(0)), DROP(one, PARK), TAKE(one, EXCLUSIVE, IF(0)),
	       DROP(one, UNDO | PARK), HOLDS(one, NONE), TAKE(one, EXCLUSIVE, IF(0)))},
	/* Somebody else's epoch is not put back by one who does not hold it. */
	{"undo-of-an-idle-key", 0, 1,
	 STEPS(TAKE(one, EXCLUSIVE, IS(0)), DROP(one, PARK), DROP(one, UNDO), LOOK(one, IS(0)),
	       TAKE(two, EXCLUSIVE, IS(1)), DROP(one, UNDO), LOOK(two, IS(1)))},
	{"undo-after-the-grant-was-seen", GUESTLOCK_CAP_HANDOVER, 1,
	 STEPS(TAKE(one, EXCLUSIVE, IS(0)), CHANGE(one, HANDOVER), CHANGE(one, EXCLUSIVE), DROP(one, UNDO),
	       LOOK(one, IS(0)))},
	{"it-outlives-its-guests", 0, 1,
	 STEPS(TAKE(one, EXCLUSIVE, IS(0)), KILL(one), TAKE_SOON(two, EXCLUSIVE), LOOK(two, IS(1)))},
};

START_TEST(it_goes_as_written)
{
	start_three(walks[_i].name);
	walk(&walks[_i]);
	end_three();
}
END_TEST

void epoch_tests(Suite *suite)
{
	TCase *tcase = contract_case(suite, "epoch");

	if (!contract_can(GUESTLOCK_CAP_EPOCH)) {
		return;
	}
	for (int i = 0; i < (int)GL_COUNT(walks); i++) {
		if (contract_can(walks[i].needs)) {
			tcase_add_loop_test(tcase, it_goes_as_written, i, i + 1);
		}
	}
	tcase_add_test(tcase, first_epochs_are_not_guessed);
	tcase_add_test(tcase, a_refused_batch_moves_none);
	tcase_add_test(tcase, one_stale_key_refuses_the_batch);
	tcase_add_test(tcase, a_key_without_epoch_is_not_proven);
	if (contract_can(GUESTLOCK_CAP_SHARED)) {
		tcase_add_test(tcase, from_shared_to_exclusive_moves_it);
	}
}
