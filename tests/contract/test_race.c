/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many at once: never two holders, and of equal batches one wins. */
#include "contract.h"

#include <pthread.h>
#include <stdatomic.h>
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

/* One racer's batch in each round: equal ones, or parts of a ring that overlap at their ends. */
static void choose(struct ask *ask, unsigned racer, bool equal)
{
	const struct guestlock_key *first = equal ? keys.key : &keys.key[racer * 2];

	ask_for(ask, first, equal ? BATCH : 3, EXCLUSIVE);
	if (!equal && racer == RACERS - 1) {
		ask->items[2].key = &keys.key[0];
	}
}

static void race_round(const struct guest *guest, unsigned racer, bool equal, unsigned round)
{
	enum guestlock_result result;
	struct ask ask;

	choose(&ask, racer, equal);
	pthread_barrier_wait(&track->barrier);
	result = ask_acquire(guest, &ask);
	if (result == GRANTED) {
		mark(&ask, 1);
		__atomic_add_fetch(&track->winners[round], 1, __ATOMIC_SEQ_CST);
		track->won[racer]++;
	} else if (result != BUSY) {
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
		children[i] = fork();
		ck_assert_int_ge(children[i], 0);
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
	if (!contract_can(GUESTLOCK_CAP_GUEST_ONLY)) {
		tcase_add_test(tcase, of_equal_batches_one_wins);
		tcase_add_test(tcase, of_overlapping_batches_at_most_one_wins);
	}
}
