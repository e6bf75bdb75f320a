/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many at once: never two holders, and of equal batches one wins. */
#include "contract.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define EXCLUSIVE GUESTLOCK_MODE_EXCLUSIVE
#define GRANTED GUESTLOCK_RES_GRANTED
#define BUSY GUESTLOCK_RES_BUSY
#define ROUNDS 200
#define RACERS 3
#define BATCH 5
#define THREADS 8
#define THREAD_ROUNDS 150
#define THREAD_KEYS 12

/* What the racing processes share. */
struct track {
	pthread_barrier_t barrier;
	atomic_int holders[CONTRACT_KEYS]; /* must never be more than one */
	atomic_int clashes, strange;
	int won[RACERS];
	int winners[ROUNDS];
};

static struct keys keys;
static struct track *track;

static void open_track(unsigned racers)
{
	pthread_barrierattr_t attr;

	track = mmap(NULL, sizeof(*track), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(track, MAP_FAILED);
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	ck_assert_int_eq(pthread_barrier_init(&track->barrier, &attr, racers), 0);
}

static void mark(const struct ask *ask, int change)
{
	size_t i;

	for (i = 0; i < ask->count; i++) {
		size_t at = (size_t)(ask->items[i].key - keys.key);
		int before = atomic_fetch_add(&track->holders[at], change);

		if (before != (change > 0 ? 0 : 1)) {
			atomic_fetch_add(&track->clashes, 1);
		}
	}
}

/*
 * One racer's batch in each round: equal ones, which name their keys in different orders, or parts of a ring
 * that overlap at their ends.
 */
static void choose(struct ask *ask, unsigned racer, bool equal)
{
	size_t i;

	ask_for(ask, keys.key, equal ? BATCH : 3, EXCLUSIVE);
	for (i = 0; i < ask->count; i++) {
		size_t forth = racer % 2 == 0 ? i : BATCH - 1 - i;

		ask->items[i].key = &keys.key[equal ? forth : (racer * 2 + i) % (RACERS * 2)];
	}
}

static void race_round(const struct guest *guest, unsigned racer, bool equal, unsigned round)
{
	enum guestlock_result result;
	struct ask ask;

	choose(&ask, racer, equal);
	pthread_barrier_wait(&track->barrier);
	/* Of equal ones one wins at once. */
	result = equal ? ask_acquire_once(guest, &ask) : ask_acquire(guest, &ask);
	if (result == GRANTED) {
		mark(&ask, 1);
		__atomic_add_fetch(&track->winners[round], 1, __ATOMIC_SEQ_CST);
		track->won[racer]++;
	} else if (result != BUSY && result != GUESTLOCK_RES_AGAIN) {
		atomic_fetch_add(&track->strange, 1);
	}
	pthread_barrier_wait(&track->barrier);
	if (result == GRANTED) {
		mark(&ask, -1);
		if (ask_release(guest, &ask) != GRANTED) {
			atomic_fetch_add(&track->strange, 1);
		}
	}
	pthread_barrier_wait(&track->barrier);
}

static void race(unsigned racers, bool equal)
{
	struct guest guests[RACERS];
	pid_t children[RACERS];
	unsigned i, round;

	open_track(racers);
	for (i = 0; i < racers; i++) {
		guest_start(&guests[i], i % 2 == 0 ? &host_a : &host_b, "racer", NULL, GUEST_PLAIN);
	}
	for (i = 0; i < racers; i++) {
		children[i] = contract_fork();
		for (round = 0; children[i] == 0 && round < ROUNDS; round++) {
			race_round(&guests[i], i, equal, round);
		}
		if (children[i] == 0) {
			_exit(0);
		}
	}
	for (i = 0; i < racers; i++) {
		int status;

		ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
		ck_assert_int_eq(status, 0);
		guest_kill(&guests[i]);
	}
	ck_assert_int_eq(track->clashes, 0);
	ck_assert_int_eq(track->strange, 0);
}

START_TEST(of_equal_batches_one_wins)
{
	unsigned round;

	keys_make(&keys, "race-equal");
	race(2, true);
	for (round = 0; round < ROUNDS; round++) {
		ck_assert_int_eq(track->winners[round], 1);
	}
}
END_TEST

START_TEST(of_overlapping_batches_at_most_one_wins)
{
	unsigned round, won = 0;

	keys_make(&keys, "race-overlap");
	race(RACERS, false);
	for (round = 0; round < ROUNDS; round++) {
		ck_assert_int_le(track->winners[round], 1);
		won += (unsigned)track->winners[round];
	}
	ck_assert_uint_gt(won, 0);
}
END_TEST

/* ---- Step by step: one is stopped before and after each of its system calls, and another acts ---- */

static void start_pair(struct guest pair[2])
{
	guest_start(&pair[0], &host_a, "stopped", NULL, GUEST_PLAIN);
	guest_start(&pair[1], &host_b, "other", NULL, GUEST_PLAIN);
}

static void end_pair(struct guest pair[2])
{
	guest_kill(&pair[0]);
	guest_kill(&pair[1]);
}

static void release_all(const struct guest *guest)
{
	struct ask ask;

	ask_for(&ask, keys.key, 2 * BATCH, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_release(guest, &ask), GRANTED);
}

/* Whether the two granted each other's end, and what inquire says to both fits. */
static void check_pair(struct guest pair[2], enum guestlock_result first, enum guestlock_result second,
		       const struct order *order, const struct ask *other)
{
	ck_assert_msg((first == GRANTED) != (second == GRANTED), "the results are %d and %d", (int)first,
		      (int)second);
	ck_assert(first == GRANTED || first == BUSY || first == GUESTLOCK_RES_AGAIN);
	ck_assert(second == GRANTED || second == BUSY || second == GUESTLOCK_RES_AGAIN);
	if (first == GRANTED) {
		assert_all(&pair[0], order->keys, order->count, EXCLUSIVE);
		assert_none(&pair[1], keys.key, 2 * BATCH);
	} else {
		assert_all(&pair[1], other->items[0].key, other->count, other->items[0].mode);
		assert_none(&pair[0], keys.key, 2 * BATCH);
	}
}

/* _i: where the other's batch begins; both overlap. Odd: on keys that nobody knows yet. */
START_TEST(stopped_while_acquiring)
{
	struct order order = {.call = ask_acquire_once, .keys = keys.key, .count = BATCH, .mode = EXCLUSIVE};
	bool fresh = _i % 2 == 1;
	struct guest pair[2];
	struct ask ask;
	unsigned stop;

	start_pair(pair);
	order.guest = &pair[0];
	keys_make(&keys, "stopped");
	for (stop = 1; stop < ORDER_STOPS; stop++) {
		enum guestlock_result second;

		if (fresh) {
			char group[32];

			snprintf(group, sizeof(group), "stopped-%u", stop);
			keys_make(&keys, group);
		}
		ask_for(&ask, &keys.key[_i / 2], BATCH, EXCLUSIVE);
		if (!order_begin(&order, stop)) {
			break;
		}
		second = ask_acquire_once(&pair[1], &ask);
		check_pair(pair, order_end(&order), second, &order, &ask);
		release_all(&pair[0]);
		release_all(&pair[1]);
	}
	ck_assert_uint_lt(stop, ORDER_STOPS);
	ck_assert_uint_gt(stop, 1);
	end_pair(pair);
}
END_TEST

START_TEST(stopped_while_releasing)
{
	struct order order = {.call = ask_release, .keys = keys.key, .count = BATCH};
	struct guest pair[2];
	struct ask ask;
	unsigned stop;

	start_pair(pair);
	order.guest = &pair[0];
	keys_make(&keys, "stopped-release");
	for (stop = 1; stop < ORDER_STOPS; stop++) {
		enum guestlock_result second;

		ask_for(&ask, keys.key, BATCH, EXCLUSIVE);
		ck_assert_int_eq(ask_acquire(&pair[0], &ask), GRANTED);
		if (!order_begin(&order, stop)) {
			break;
		}
		second = ask_acquire_once(&pair[1], &ask);
		ck_assert(second == GRANTED || second == BUSY || second == GUESTLOCK_RES_AGAIN);
		ck_assert_int_eq(order_end(&order), GRANTED);
		assert_none(&pair[0], keys.key, BATCH);
		ck_assert_int_eq(ask_acquire(&pair[1], &ask), GRANTED);
		assert_all(&pair[1], keys.key, BATCH, EXCLUSIVE);
		release_all(&pair[1]);
	}
	ck_assert_uint_lt(stop, ORDER_STOPS);
	end_pair(pair);
}
END_TEST

/* Two shared holders are stopped in each other's writing: neither is forgotten. */
START_TEST(stopped_while_sharing)
{
	struct order order = {
		.call = ask_acquire, .keys = keys.key, .count = 2, .mode = GUESTLOCK_MODE_SHARED};
	struct guest pair[2];
	struct ask ask;
	unsigned stop;

	start_pair(pair);
	order.guest = &pair[0];
	keys_make(&keys, "stopped-share");
	for (stop = 1; stop < ORDER_STOPS; stop++) {
		enum guestlock_result second;

		if (!order_begin(&order, stop)) {
			break;
		}
		ask_for(&ask, keys.key, 2, GUESTLOCK_MODE_SHARED);
		second = ask_acquire_once(&pair[1], &ask);
		ck_assert(second == GRANTED || second == GUESTLOCK_RES_AGAIN);
		ck_assert_int_eq(order_end(&order), GRANTED);
		assert_all(&pair[0], keys.key, 2, GUESTLOCK_MODE_SHARED);
		ck_assert_int_eq(ask_acquire(&pair[1], &ask), GRANTED);
		assert_all(&pair[0], keys.key, 2, GUESTLOCK_MODE_SHARED);
		assert_all(&pair[1], keys.key, 2, GUESTLOCK_MODE_SHARED);
		release_all(&pair[0]);
		release_all(&pair[1]);
	}
	ck_assert_uint_lt(stop, ORDER_STOPS);
	end_pair(pair);
}
END_TEST

/* ---- Threads ---- */

struct runner {
	pthread_t thread;
	struct guest guest;
	unsigned granted;
};

/* Some keys, in an order of chance. */
static void choose_some(struct ask *ask)
{
	size_t wanted = 1 + guestlock_random64() % 4, first = guestlock_random64() % THREAD_KEYS;
	size_t step = 1 + guestlock_random64() % 3, i;

	ask_for(ask, keys.key, wanted, EXCLUSIVE);
	for (i = 0; i < wanted; i++) {
		ask->items[i].key = &keys.key[(first + i * step) % THREAD_KEYS];
	}
}

static void *run_thread(void *data)
{
	struct runner *runner = data;
	unsigned round;

	for (round = 0; round < THREAD_ROUNDS; round++) {
		enum guestlock_result result;
		struct ask ask;

		choose_some(&ask);
		result = ask_acquire(&runner->guest, &ask);
		if (result == GRANTED) {
			runner->granted++;
			mark(&ask, 1);
			mark(&ask, -1);
		} else if (result != BUSY) {
			atomic_fetch_add(&track->strange, 1);
		}
		if (ask_release(&runner->guest, &ask) != GRANTED) {
			atomic_fetch_add(&track->strange, 1);
		}
	}
	return NULL;
}

START_TEST(threads_with_guests_of_their_own)
{
	struct runner runners[THREADS];
	unsigned i, granted = 0;

	keys_make(&keys, "threads");
	open_track(1);
	memset(runners, 0, sizeof(runners));
	for (i = 0; i < THREADS; i++) {
		guest_pretend(&runners[i].guest, i % 2 == 0 ? &host_a : &host_b, "thread");
	}
	for (i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_create(&runners[i].thread, NULL, run_thread, &runners[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(runners[i].thread, NULL), 0);
		granted += runners[i].granted;
		guest_kill(&runners[i].guest);
	}
	ck_assert_int_eq(track->clashes, 0);
	ck_assert_int_eq(track->strange, 0);
	ck_assert_uint_gt(granted, 0);
}
END_TEST

static void *run_join(void *data)
{
	struct guestlock_error err;
	unsigned round;

	(void)data;
	for (round = 0; round < THREAD_ROUNDS; round++) {
		if (host_join(&host_a, &err) != GRANTED) {
			atomic_fetch_add(&track->strange, 1);
		}
	}
	return NULL;
}

START_TEST(threads_that_join)
{
	pthread_t threads[THREADS];
	unsigned i;

	open_track(1);
	for (i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run_join, NULL), 0);
	}
	for (i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	}
	ck_assert_int_eq(track->strange, 0);
}
END_TEST

void race_tests(Suite *suite)
{
	TCase *tcase = contract_case(suite, "race");

	tcase_add_test(tcase, threads_that_join);
	tcase_add_test(tcase, threads_with_guests_of_their_own);
	/* The others call it in children, as only the keeper calls one that may block. */
	if (contract_can(GUESTLOCK_CAP_MAY_BLOCK)) {
		return;
	}
	if (contract_can(GUESTLOCK_CAP_SHARED)) {
		tcase_add_test(tcase, stopped_while_sharing);
	}
	if (!contract_can(GUESTLOCK_CAP_GUEST_ONLY)) {
		tcase_add_loop_test(tcase, stopped_while_acquiring, 0, 2 * BATCH);
		tcase_add_test(tcase, stopped_while_releasing);
		tcase_add_test(tcase, of_equal_batches_one_wins);
		tcase_add_test(tcase, of_overlapping_batches_at_most_one_wins);
	}
}
