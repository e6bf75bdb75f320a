/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Migration without a gap: the two ends of one guest, and everybody else. */
#include "contract.h"

#define EXCLUSIVE GUESTLOCK_MODE_EXCLUSIVE
#define SHARED GUESTLOCK_MODE_SHARED
#define HANDOVER GUESTLOCK_MODE_HANDOVER
#define GRANTED GUESTLOCK_RES_GRANTED
#define BUSY GUESTLOCK_RES_BUSY
#define N 9

static struct keys keys;
static struct guest source, target, stranger;

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
}

static enum guestlock_result take_all(const struct guest *guest, enum guestlock_mode mode)
{
	struct ask ask;

	ask_for(&ask, keys.key, N, mode);
	return ask_acquire(guest, &ask);
}

static enum guestlock_result change_all(const struct guest *guest, enum guestlock_mode mode)
{
	struct ask ask;

	ask_for(&ask, keys.key, N, mode);
	return ask_convert(guest, &ask);
}

static enum guestlock_result drop_all(const struct guest *guest)
{
	struct ask ask;

	ask_for(&ask, keys.key, N, GUESTLOCK_MODE_NONE);
	return ask_release(guest, &ask);
}

static void refuse_strangers(void)
{
	size_t i;

	for (i = 0; i < N; i++) {
		ck_assert_int_eq(take(&stranger, &keys.key[i], EXCLUSIVE), BUSY);
		ck_assert_int_eq(take(&stranger, &keys.key[i], HANDOVER), BUSY);
		if (contract_can(GUESTLOCK_CAP_SHARED)) {
			ck_assert_int_eq(take(&stranger, &keys.key[i], SHARED), BUSY);
		}
	}
}

START_TEST(a_migration)
{
	uint64_t epoch;

	start_all("migration");
	ck_assert_int_eq(take_all(&source, EXCLUSIVE), GRANTED);
	epoch = epoch_of(&source, keys.key);
	/* Before the source is ready, the target is as foreign as anybody. */
	ck_assert_int_eq(take_all(&target, HANDOVER), BUSY);
	ck_assert_int_eq(change_all(&source, HANDOVER), GRANTED);
	assert_all(&source, keys.key, N, HANDOVER);
	refuse_strangers();
	ck_assert_int_eq(take_all(&target, EXCLUSIVE), BUSY);
	ck_assert_int_eq(take_all(&target, HANDOVER), GRANTED);
	assert_all(&target, keys.key, N, HANDOVER);
	refuse_strangers();
	ck_assert_int_eq(drop_all(&source), GRANTED);
	refuse_strangers();
	ck_assert_int_eq(change_all(&target, EXCLUSIVE), GRANTED);
	assert_all(&target, keys.key, N, EXCLUSIVE);
	refuse_strangers();
	ck_assert_int_eq(take_all(&source, HANDOVER), BUSY);
	if (contract_can(GUESTLOCK_CAP_EPOCH)) {
		ck_assert_uint_eq(epoch_of(&target, keys.key), epoch);
	}
	end_all();
}
END_TEST

START_TEST(the_target_completes_first)
{
	struct ask ask;

	start_all("target-first");
	ck_assert_int_eq(take_all(&source, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(change_all(&source, HANDOVER), GRANTED);
	ck_assert_int_eq(take_all(&target, HANDOVER), GRANTED);
	ask_for(&ask, keys.key, N, EXCLUSIVE);
	ck_assert_int_eq(ask_convert(&target, &ask), BUSY);
	assert_holder(&ask.items[0].holder, &source);
	assert_all(&target, keys.key, N, HANDOVER);
	assert_all(&source, keys.key, N, HANDOVER);
	ck_assert_int_eq(drop_all(&source), GRANTED);
	ck_assert_int_eq(change_all(&target, EXCLUSIVE), GRANTED);
	end_all();
}
END_TEST

/* The target as it completes. Repeated, nothing moves any more. */
static enum guestlock_result take_over(struct ask *ask)
{
	ask_for(ask, keys.key, N, EXCLUSIVE);
	ask->flags = GUESTLOCK_BATCH_TAKE_OVER;
	return ask_convert(&target, ask);
}

START_TEST(a_target_that_takes_over_moves_the_epoch)
{
	uint64_t epoch;
	struct ask ask;

	start_all("take-over");
	ck_assert_int_eq(take_all(&source, EXCLUSIVE), GRANTED);
	epoch = epoch_of(&source, keys.key);
	ck_assert_int_eq(change_all(&source, HANDOVER), GRANTED);
	ck_assert_int_eq(take_all(&target, HANDOVER), GRANTED);
	ck_assert_int_eq(take_over(&ask), BUSY);
	ck_assert_uint_eq(epoch_of(&target, keys.key), epoch);
	ck_assert_int_eq(drop_all(&source), GRANTED);
	for (size_t times = 0; times < 2; times++) {
		ck_assert_int_eq(take_over(&ask), GRANTED);
		for (size_t i = 0; i < N; i++) {
			ck_assert(ask.items[i].has_epoch);
		}
		ck_assert_uint_eq(ask.items[0].epoch, epoch + 1);
		ck_assert_uint_eq(epoch_of(&target, keys.key), epoch + 1);
	}
	assert_all(&target, keys.key, N, EXCLUSIVE);
	refuse_strangers();
	/* What was saved before the migration is not resumed any more. */
	ck_assert_int_eq(drop_all(&target), GRANTED);
	ask_for(&ask, keys.key, 1, EXCLUSIVE);
	ask.items[0].check_epoch = true;
	ask.items[0].expected_epoch = epoch;
	ck_assert_int_eq(ask_acquire(&source, &ask), GUESTLOCK_RES_STALE);
	end_all();
}
END_TEST

START_TEST(a_migration_that_is_cancelled)
{
	uint64_t epoch;

	start_all("cancelled");
	ck_assert_int_eq(take_all(&source, EXCLUSIVE), GRANTED);
	epoch = epoch_of(&source, keys.key);
	ck_assert_int_eq(change_all(&source, HANDOVER), GRANTED);
	ck_assert_int_eq(take_all(&target, HANDOVER), GRANTED);
	ck_assert_int_eq(change_all(&source, EXCLUSIVE), BUSY);
	assert_all(&source, keys.key, N, HANDOVER);
	ck_assert_int_eq(drop_all(&target), GRANTED);
	refuse_strangers();
	ck_assert_int_eq(change_all(&source, EXCLUSIVE), GRANTED);
	assert_all(&source, keys.key, N, EXCLUSIVE);
	refuse_strangers();
	ck_assert_uint_eq(epoch_of(&source, keys.key), epoch);
	end_all();
}
END_TEST

START_TEST(only_two_ends)
{
	struct guest third;

	start_all("third");
	guest_start(&third, &host_a, "moving", source.owner.uuid, GUEST_PLAIN);
	ck_assert_int_eq(take_all(&source, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(change_all(&source, HANDOVER), GRANTED);
	ck_assert_int_eq(take_all(&target, HANDOVER), GRANTED);
	ck_assert_int_eq(take_all(&third, HANDOVER), BUSY);
	assert_none(&third, keys.key, N);
	/* The next migration is one of its own. */
	ck_assert_int_eq(drop_all(&source), GRANTED);
	ck_assert_int_eq(change_all(&target, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(change_all(&target, HANDOVER), GRANTED);
	ck_assert_int_eq(take_all(&third, HANDOVER), GRANTED);
	guest_kill(&third);
	end_all();
}
END_TEST

START_TEST(an_end_that_died_makes_room)
{
	struct guest again;

	start_all("died");
	ck_assert_int_eq(take_all(&source, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(change_all(&source, HANDOVER), GRANTED);
	ck_assert_int_eq(take_all(&target, HANDOVER), GRANTED);
	guest_kill(&target);
	refuse_strangers();
	guest_start(&again, &host_b, "moving", source.owner.uuid, GUEST_PLAIN);
	ck_assert_int_eq(take_all(&again, HANDOVER), GRANTED);
	guest_kill(&source);
	ck_assert_int_eq(change_all(&again, EXCLUSIVE), GRANTED);
	refuse_strangers();
	guest_kill(&again);
	guest_kill(&stranger);
}
END_TEST

START_TEST(handover_of_a_free_key)
{
	start_all("free");
	ck_assert_int_eq(take_all(&target, HANDOVER), GRANTED);
	refuse_strangers();
	ck_assert_int_eq(change_all(&target, EXCLUSIVE), GRANTED);
	assert_all(&target, keys.key, N, EXCLUSIVE);
	end_all();
}
END_TEST

static enum guestlock_result take_checked(const struct guest *guest, enum guestlock_mode mode, uint64_t epoch)
{
	struct ask ask;

	ask_for(&ask, keys.key, 1, mode);
	ask.items[0].check_epoch = true;
	ask.items[0].expected_epoch = epoch;
	return ask_acquire(guest, &ask);
}

/* A guest that is paused when its migration begins. */
START_TEST(handover_of_what_was_parked)
{
	uint64_t epoch;

	start_all("parked");
	ck_assert_int_eq(take(&source, keys.key, EXCLUSIVE), GRANTED);
	epoch = epoch_of(&source, keys.key);
	ck_assert_int_eq(drop(&source, keys.key, GUESTLOCK_BATCH_PARK), GRANTED);
	ck_assert_int_eq(take_checked(&source, HANDOVER, epoch), GRANTED);
	ck_assert_uint_eq(epoch_of(&source, keys.key), epoch);
	ck_assert_int_eq(take(&stranger, keys.key, EXCLUSIVE), BUSY);
	ck_assert_int_eq(take(&target, keys.key, HANDOVER), GRANTED);
	ck_assert_int_eq(change(&source, keys.key, EXCLUSIVE), BUSY);
	ck_assert_int_eq(drop(&target, keys.key, 0), GRANTED);
	/* Given up as if it had never been had. */
	ck_assert_int_eq(drop(&source, keys.key, GUESTLOCK_BATCH_PARK | GUESTLOCK_BATCH_UNDO), GRANTED);
	ck_assert_int_eq(take_checked(&source, HANDOVER, epoch), GRANTED);
	ck_assert_int_eq(change(&source, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(drop(&source, keys.key, GUESTLOCK_BATCH_PARK), GRANTED);
	ck_assert_int_eq(take_checked(&source, EXCLUSIVE, epoch), GRANTED);
	epoch = epoch_of(&source, keys.key);
	ck_assert_int_eq(drop(&source, keys.key, GUESTLOCK_BATCH_PARK), GRANTED);
	ck_assert_int_eq(take(&stranger, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(take_checked(&source, HANDOVER, epoch), BUSY);
	ck_assert_int_eq(drop(&stranger, keys.key, 0), GRANTED);
	ck_assert_int_eq(take_checked(&source, HANDOVER, epoch), GUESTLOCK_RES_STALE);
	assert_none(&source, keys.key, 1);
	end_all();
}
END_TEST

/* One key of the batch is in the way: all keep their old modes. */
START_TEST(a_conversion_is_all_or_nothing)
{
	struct ask ask;

	start_all("convert-all");
	ck_assert_int_eq(take_all(&source, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(change_all(&source, HANDOVER), GRANTED);
	ck_assert_int_eq(take(&target, &keys.key[N - 2], HANDOVER), GRANTED);
	ask_for(&ask, keys.key, N, EXCLUSIVE);
	ck_assert_int_eq(ask_convert(&source, &ask), BUSY);
	ck_assert_int_eq(ask.items[N - 2].result, BUSY);
	assert_all(&source, keys.key, N, HANDOVER);
	ck_assert_int_eq(drop(&target, &keys.key[N - 2], 0), GRANTED);
	ck_assert_int_eq(change_all(&source, EXCLUSIVE), GRANTED);
	end_all();
}
END_TEST

START_TEST(what_is_not_held_cannot_be_converted)
{
	struct ask ask;

	start_all("not-held");
	ck_assert_int_eq(take(&source, &keys.key[0], EXCLUSIVE), GRANTED);
	ask_for(&ask, keys.key, 2, HANDOVER);
	ck_assert_int_eq(ask_convert(&source, &ask), GUESTLOCK_RES_MODE_MISMATCH);
	ck_assert_int_eq(ask.items[1].result, GUESTLOCK_RES_MODE_MISMATCH);
	ck_assert_int_eq(ask.items[1].held_mode, GUESTLOCK_MODE_NONE);
	assert_all(&source, &keys.key[0], 1, EXCLUSIVE);
	assert_none(&source, &keys.key[1], 1);
	ck_assert_int_eq(change(&target, &keys.key[0], HANDOVER), GUESTLOCK_RES_MODE_MISMATCH);
	assert_all(&source, &keys.key[0], 1, EXCLUSIVE);
	end_all();
}
END_TEST

START_TEST(a_conversion_to_the_same)
{
	uint64_t epoch;

	start_all("same");
	ck_assert_int_eq(take(&source, keys.key, EXCLUSIVE), GRANTED);
	epoch = epoch_of(&source, keys.key);
	ck_assert_int_eq(change(&source, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(change(&source, keys.key, HANDOVER), GRANTED);
	ck_assert_int_eq(change(&source, keys.key, HANDOVER), GRANTED);
	assert_all(&source, keys.key, 1, HANDOVER);
	ck_assert_uint_eq(epoch_of(&source, keys.key), epoch);
	end_all();
}
END_TEST

START_TEST(between_shared_and_exclusive)
{
	start_all("shared-exclusive");
	ck_assert_int_eq(take(&source, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(change(&source, keys.key, SHARED), GRANTED);
	assert_all(&source, keys.key, 1, SHARED);
	ck_assert_int_eq(take(&stranger, keys.key, SHARED), GRANTED);
	ck_assert_int_eq(change(&source, keys.key, EXCLUSIVE), BUSY);
	ck_assert_int_eq(change(&source, keys.key, HANDOVER), BUSY);
	assert_all(&source, keys.key, 1, SHARED);
	ck_assert_int_eq(drop(&stranger, keys.key, 0), GRANTED);
	ck_assert_int_eq(change(&source, keys.key, EXCLUSIVE), GRANTED);
	assert_all(&source, keys.key, 1, EXCLUSIVE);
	ck_assert_int_eq(take(&stranger, keys.key, SHARED), BUSY);
	end_all();
}
END_TEST

void handover_tests(Suite *suite)
{
	TCase *tcase = contract_case(suite, "handover");

	if (!contract_can(GUESTLOCK_CAP_HANDOVER)) {
		return;
	}
	tcase_add_test(tcase, a_migration);
	tcase_add_test(tcase, the_target_completes_first);
	tcase_add_test(tcase, only_two_ends);
	tcase_add_test(tcase, an_end_that_died_makes_room);
	tcase_add_test(tcase, handover_of_a_free_key);
	tcase_add_test(tcase, a_conversion_is_all_or_nothing);
	tcase_add_test(tcase, what_is_not_held_cannot_be_converted);
	tcase_add_test(tcase, a_migration_that_is_cancelled);
	tcase_add_test(tcase, a_conversion_to_the_same);
	if (contract_can(GUESTLOCK_CAP_EPOCH)) {
		tcase_add_test(tcase, handover_of_what_was_parked);
		tcase_add_test(tcase, a_target_that_takes_over_moves_the_epoch);
	}
	if (contract_can(GUESTLOCK_CAP_SHARED)) {
		tcase_add_test(tcase, between_shared_and_exclusive);
	}
}
