/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The process that makes a call is killed: before every system call of it, and at moments of chance. What
 * inquire says then is the truth for everybody, and the call can be finished or undone.
 */
#include "contract.h"

#include <stdio.h>

#define EXCLUSIVE GUESTLOCK_MODE_EXCLUSIVE
#define HANDOVER GUESTLOCK_MODE_HANDOVER
#define NONE GUESTLOCK_MODE_NONE
#define GRANTED GUESTLOCK_RES_GRANTED
#define BUSY GUESTLOCK_RES_BUSY
#define N 4
#define ROUNDS 150
#define MOST_DELAY_US 400

static struct keys keys;
static struct guest one, two;
static unsigned in_the_midst; /* kills that found some keys changed and others not */

static void start_two(void)
{
	guest_start(&one, &host_a, "one", NULL, GUEST_PLAIN);
	guest_start(&two, &host_b, "two", NULL, GUEST_PLAIN);
}

static void end_two(void)
{
	guest_kill(&one);
	guest_kill(&two);
}

static void new_keys(const char *group, unsigned round)
{
	char name[40];

	snprintf(name, sizeof(name), "%s-%u", group, round);
	keys_make(&keys, name);
}

/* ---- What is true afterwards ---- */

/* Everybody sees the same; ask has what inquire said to the owner. */
static void look_around(struct ask *ask)
{
	unsigned closed = 0;
	size_t i;

	ask_for(ask, keys.key, N, NONE);
	ck_assert_int_eq(ask_inquire(&one, ask), GRANTED);
	for (i = 0; i < N; i++) {
		enum guestlock_result mine = ask->items[i].result;
		bool held = mine == GUESTLOCK_RES_HELD || mine == GUESTLOCK_RES_ORPHAN;

		ck_assert(held || mine == GUESTLOCK_RES_FREE);
		ck_assert_int_eq(probe(&two, &keys.key[i], EXCLUSIVE), held ? BUSY : GRANTED);
		ck_assert_int_eq(look(&two, &keys.key[i], NULL),
				 held ? GUESTLOCK_RES_OTHER : GUESTLOCK_RES_FREE);
		closed += held;
	}
	in_the_midst += closed > 0 && closed < N;
}

static void assert_epochs(const uint64_t *epochs, uint64_t moved)
{
	size_t i;

	for (i = 0; i < N && contract_can(GUESTLOCK_CAP_EPOCH); i++) {
		ck_assert_uint_eq(epoch_of(&two, &keys.key[i]), epochs[i] + moved);
	}
}

/* The keys are known and free. */
static void prepare(uint64_t *epochs)
{
	struct ask ask;
	size_t i;

	ask_for(&ask, keys.key, N, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	for (i = 0; i < N; i++) {
		epochs[i] = ask.items[i].epoch;
	}
	ck_assert_int_eq(ask_release(&one, &ask), GRANTED);
}

static void call_again(ask_fn *call, enum guestlock_mode mode, unsigned flags)
{
	struct ask ask;

	ask_for(&ask, keys.key, N, mode);
	ask.flags = flags;
	ck_assert_int_eq(call(&one, &ask), GRANTED);
}

/* An acquire that was killed is undone, or made again. */
static void settle_acquire(bool undo, const uint64_t *epochs)
{
	struct ask ask;

	look_around(&ask);
	if (undo) {
		call_again(ask_release, NONE, GUESTLOCK_BATCH_UNDO);
		assert_epochs(epochs, 0);
	} else {
		call_again(ask_acquire, EXCLUSIVE, 0);
		assert_all(&one, keys.key, N, EXCLUSIVE);
		assert_epochs(epochs, 1);
		call_again(ask_release, NONE, 0);
		assert_epochs(epochs, 1);
	}
	assert_none(&one, keys.key, N);
	ask_for(&ask, keys.key, N, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&two, &ask), GRANTED);
	ck_assert_int_eq(ask_release(&two, &ask), GRANTED);
}

static struct order acquire_order = {
	.call = ask_acquire, .guest = &one, .keys = keys.key, .count = N, .mode = EXCLUSIVE};

/* _i: finish or undo. */
START_TEST(acquire_at_every_step)
{
	uint64_t epochs[N];
	unsigned stops;
	bool killed = true;

	start_two();
	for (stops = 1; killed && stops < ORDER_STOPS; stops++) {
		new_keys("step", stops);
		prepare(epochs);
		killed = order_killed_at(&acquire_order, stops);
		settle_acquire(_i == 0, epochs);
	}
	ck_assert(!killed);
	ck_assert_uint_gt(stops, 2);
	end_two();
}
END_TEST

/* Keys that nobody ever had: their storage is being made. */
START_TEST(first_acquire_at_every_step)
{
	struct ask ask;
	unsigned stops;
	bool killed = true;

	start_two();
	for (stops = 1; killed && stops < ORDER_STOPS; stops++) {
		new_keys("first", stops);
		killed = order_killed_at(&acquire_order, stops);
		look_around(&ask);
		if (_i == 0) {
			call_again(ask_release, NONE, GUESTLOCK_BATCH_UNDO);
		} else {
			call_again(ask_acquire, EXCLUSIVE, 0);
			assert_all(&one, keys.key, N, EXCLUSIVE);
			call_again(ask_release, NONE, 0);
		}
		assert_none(&one, keys.key, N);
		ask_for(&ask, keys.key, N, EXCLUSIVE);
		ck_assert_int_eq(ask_acquire(&two, &ask), GRANTED);
	}
	ck_assert(!killed);
	end_two();
}
END_TEST

/* The guest dies too: nothing of it remains in the way. */
START_TEST(the_guest_dies_with_it)
{
	struct ask ask;
	unsigned stops;
	bool killed = true;

	guest_start(&two, &host_b, "two", NULL, GUEST_PLAIN);
	for (stops = 1; killed && stops < ORDER_STOPS; stops += 3) {
		new_keys("both", stops);
		guest_start(&one, &host_a, "one", NULL, GUEST_PLAIN);
		killed = order_killed_at(&acquire_order, stops);
		guest_kill(&one);
		ask_for(&ask, keys.key, N, EXCLUSIVE);
		ck_assert_int_eq(ask_acquire_soon(&two, &ask), GRANTED);
	}
	ck_assert(!killed);
	guest_kill(&two);
}
END_TEST

START_TEST(release_at_every_step)
{
	struct order order = {
		.call = ask_release,
		.guest = &one,
		.keys = keys.key,
		.count = N,
		.flags = _i == 0 ? 0 : GUESTLOCK_BATCH_PARK,
	};
	uint64_t epochs[N];
	struct ask ask;
	unsigned stops;
	bool killed = true;

	start_two();
	for (stops = 1; killed && stops < ORDER_STOPS; stops++) {
		new_keys("release", stops);
		prepare(epochs);
		call_again(ask_acquire, EXCLUSIVE, 0);
		killed = order_killed_at(&order, stops);
		look_around(&ask);
		assert_epochs(epochs, 1);
		call_again(ask_release, NONE, order.flags);
		assert_none(&one, keys.key, N);
		assert_epochs(epochs, 1);
		ask_for(&ask, keys.key, N, EXCLUSIVE);
		ck_assert_int_eq(ask_acquire(&two, &ask), GRANTED);
	}
	ck_assert(!killed);
	end_two();
}
END_TEST

START_TEST(convert_at_every_step)
{
	enum guestlock_mode from = _i == 0 ? EXCLUSIVE : HANDOVER, to = _i == 0 ? HANDOVER : EXCLUSIVE;
	struct order order = {.call = ask_convert, .guest = &one, .keys = keys.key, .count = N, .mode = to};
	uint64_t epochs[N];
	struct ask ask;
	unsigned stops;
	bool killed = true;
	size_t i;

	start_two();
	new_keys("convert", 0);
	prepare(epochs);
	call_again(ask_acquire, EXCLUSIVE, 0);
	for (stops = 1; killed && stops < ORDER_STOPS; stops++) {
		call_again(ask_convert, from, 0);
		killed = order_killed_at(&order, stops);
		look_around(&ask);
		for (i = 0; i < N; i++) {
			ck_assert_int_eq(ask.items[i].result, GUESTLOCK_RES_HELD);
			ck_assert(ask.items[i].held_mode == from || ask.items[i].held_mode == to);
		}
		call_again(ask_convert, to, 0);
		assert_all(&one, keys.key, N, to);
		assert_epochs(epochs, 1);
	}
	ck_assert(!killed);
	end_two();
}
END_TEST

START_TEST(acquire_at_any_moment)
{
	uint64_t epochs[N];
	unsigned round;

	start_two();
	for (round = 0; round < ROUNDS; round++) {
		new_keys("moment", round);
		prepare(epochs);
		order_killed_within(&acquire_order, MOST_DELAY_US);
		settle_acquire(round % 2 == 0, epochs);
	}
	end_two();
}
END_TEST

void kill_tests(Suite *suite)
{
	TCase *tcase = contract_case(suite, "kill");

	/* One that may block is not called by processes that end at any moment, but by the keeper. */
	if (contract_can(GUESTLOCK_CAP_MAY_BLOCK)) {
		return;
	}
	tcase_add_loop_test(tcase, acquire_at_every_step, 0, 2);
	tcase_add_loop_test(tcase, first_acquire_at_every_step, 0, 2);
	tcase_add_test(tcase, the_guest_dies_with_it);
	tcase_add_loop_test(tcase, release_at_every_step, 0, 2);
	tcase_add_test(tcase, acquire_at_any_moment);
	if (contract_can(GUESTLOCK_CAP_HANDOVER)) {
		tcase_add_loop_test(tcase, convert_at_every_step, 0, 2);
	}
}
