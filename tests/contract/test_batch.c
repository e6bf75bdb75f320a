/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Batches are all or nothing. */
#include "pair.h"

static const size_t sizes[] = {2, 9, 20, 100};

START_TEST(all_of_a_batch)
{
	size_t count = sizes[_i];
	struct ask ask;
	size_t i;

	start_two("all");
	ask_for(&ask, keys.key, count, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	for (i = 0; i < count; i++) {
		ck_assert_int_eq(ask.items[i].result, GRANTED);
		ck_assert_int_eq(ask.items[i].has_epoch, contract_can(GUESTLOCK_CAP_EPOCH));
		ck_assert_int_eq(take(&two, &keys.key[i], EXCLUSIVE), BUSY);
	}
	assert_all(&one, keys.key, count, EXCLUSIVE);
	ask_for(&ask, keys.key, count, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_release(&one, &ask), GRANTED);
	assert_none(&one, keys.key, count);
	ask_for(&ask, keys.key, count, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&two, &ask), GRANTED);
	end_two();
}
END_TEST

/* The key in the way is the first, one in the middle, and the last. */
START_TEST(none_of_a_batch)
{
	size_t count = sizes[_i];
	size_t places[] = {0, count / 2, count - 1};
	struct ask ask;
	size_t p, i;

	start_two("none");
	for (p = 0; p < GL_COUNT(places); p++) {
		ck_assert_int_eq(take(&two, &keys.key[places[p]], EXCLUSIVE), GRANTED);
		ask_for(&ask, keys.key, count, EXCLUSIVE);
		ck_assert_int_eq(ask_acquire(&one, &ask), BUSY);
		ck_assert_int_eq(ask.items[places[p]].result, BUSY);
		assert_holder(&ask.items[places[p]].holder, &two);
		for (i = 0; i < count; i++) {
			ck_assert(i == places[p] || ask.items[i].result != BUSY);
		}
		assert_none(&one, keys.key, count);
		ck_assert_int_eq(drop(&two, &keys.key[places[p]], 0), GRANTED);
	}
	/* Nothing was left behind that would keep others out. */
	ask_for(&ask, keys.key, count, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&two, &ask), GRANTED);
	end_two();
}
END_TEST

START_TEST(what_is_held_already_stays)
{
	struct ask ask;
	uint64_t epoch = 0;

	start_two("held-already");
	ck_assert_int_eq(take(&one, &keys.key[1], EXCLUSIVE), GRANTED);
	ck_assert_int_eq(take(&two, &keys.key[2], EXCLUSIVE), GRANTED);
	if (contract_can(GUESTLOCK_CAP_EPOCH)) {
		epoch = epoch_of(&one, &keys.key[1]);
	}
	ask_for(&ask, keys.key, 3, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), BUSY);
	assert_all(&one, &keys.key[1], 1, EXCLUSIVE);
	assert_none(&one, &keys.key[0], 1);
	assert_none(&one, &keys.key[2], 1);
	ck_assert_int_eq(drop(&two, &keys.key[2], 0), GRANTED);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	assert_all(&one, keys.key, 3, EXCLUSIVE);
	if (contract_can(GUESTLOCK_CAP_EPOCH)) {
		ck_assert_uint_eq(epoch_of(&one, &keys.key[1]), epoch);
	}
	end_two();
}
END_TEST

START_TEST(mixed_modes)
{
	struct ask ask;

	start_two("mixed");
	ask_for(&ask, keys.key, 4, EXCLUSIVE);
	ask.items[1].mode = SHARED;
	ask.items[3].mode = SHARED;
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	assert_all(&one, &keys.key[0], 1, EXCLUSIVE);
	assert_all(&one, &keys.key[1], 1, SHARED);
	assert_all(&one, &keys.key[2], 1, EXCLUSIVE);
	assert_all(&one, &keys.key[3], 1, SHARED);
	ck_assert_int_eq(take(&two, &keys.key[1], SHARED), GRANTED);
	ck_assert_int_eq(take(&two, &keys.key[2], SHARED), BUSY);
	end_two();
}
END_TEST

START_TEST(a_batch_released_in_part)
{
	struct ask ask;

	start_two("part");
	ask_for(&ask, keys.key, 9, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	/* Exactly that resource, and no other. */
	ck_assert_int_eq(drop(&one, &keys.key[4], 0), GRANTED);
	assert_all(&one, keys.key, 4, EXCLUSIVE);
	assert_none(&one, &keys.key[4], 1);
	assert_all(&one, &keys.key[5], 4, EXCLUSIVE);
	ck_assert_int_eq(take(&two, &keys.key[4], EXCLUSIVE), GRANTED);
	/* Some of the batch are held, some are not, one is somebody else's. */
	ask_for(&ask, keys.key, 12, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_release(&one, &ask), GRANTED);
	assert_none(&one, keys.key, 12);
	assert_all(&two, &keys.key[4], 1, EXCLUSIVE);
	end_two();
}
END_TEST

START_TEST(a_probe_of_a_batch)
{
	struct ask ask;

	start_two("probe-batch");
	ck_assert_int_eq(take(&two, &keys.key[7], EXCLUSIVE), GRANTED);
	ask_for(&ask, keys.key, 9, EXCLUSIVE);
	ask.flags = GUESTLOCK_BATCH_PROBE;
	ck_assert_int_eq(ask_acquire(&one, &ask), BUSY);
	ck_assert_int_eq(ask.items[7].result, BUSY);
	ck_assert_int_eq(drop(&two, &keys.key[7], 0), GRANTED);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	assert_none(&one, keys.key, 9);
	end_two();
}
END_TEST

START_TEST(an_empty_batch)
{
	struct ask ask;

	start_two("empty");
	ask_for(&ask, keys.key, 0, EXCLUSIVE);
	ck_assert_int_eq(ask_bind(&one, &ask), GRANTED);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	ck_assert_int_eq(ask_inquire(&one, &ask), GRANTED);
	ck_assert_int_eq(ask_release(&one, &ask), GRANTED);
	end_two();
}
END_TEST

void batch_tests(Suite *suite)
{
	TCase *tcase = contract_case(suite, "batch");

	if (contract_can(GUESTLOCK_CAP_GUEST_ONLY)) {
		return;
	}
	tcase_add_loop_test(tcase, all_of_a_batch, 0, GL_COUNT(sizes));
	tcase_add_loop_test(tcase, none_of_a_batch, 0, GL_COUNT(sizes));
	tcase_add_test(tcase, what_is_held_already_stays);
	tcase_add_test(tcase, a_batch_released_in_part);
	tcase_add_test(tcase, a_probe_of_a_batch);
	tcase_add_test(tcase, an_empty_batch);
	if (contract_can(GUESTLOCK_CAP_SHARED)) {
		tcase_add_test(tcase, mixed_modes);
	}
}
