/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests and answers, with a thread in place of the kernel: a socket takes the place of its device. What it
 * is asked for it grants, in another order than it was asked; locks whose name begins with "late" when it is
 * told to.
 */
#include "kernel/kernel.h"
#include "world.h"

#include <fcntl.h>
#include <linux/dlm_device.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LONG_MS 20000
#define SHORT_MS 200
#define THREADS 8
#define ROUNDS 300
#define LOCKS 4
#define MOST_HELD_BACK 64

static struct gl_dlm dlm;
static int device, tell[2];
static pthread_t kernel;

union packet {
	struct dlm_write_request request;
	char bytes[512];
};

static void grant(const union packet *packet)
{
	static uint32_t last;
	struct dlm_lock_result result = {
		.user_astparam = packet->request.i.lock.castparam,
		.lksb = {.sb_lkid = packet->request.i.lock.lkid ? packet->request.i.lock.lkid : ++last},
	};

	if (packet->request.cmd == DLM_USER_UNLOCK) {
		result.lksb.sb_status = -DLM_EUNLOCK;
	}
	ck_assert_int_eq(write(device, &result, sizeof(result)), (ssize_t)sizeof(result));
}

static void *be_kernel(void *data)
{
	struct pollfd polls[] = {{.fd = device, .events = POLLIN}, {.fd = tell[0], .events = POLLIN}};
	union packet held[MOST_HELD_BACK], late = {.bytes = ""};
	size_t count = 0;
	char word;

	(void)data;
	for (;;) {
		/* As long as they keep coming they are held back, then the last is answered first. */
		bool enough = poll(polls, 2, count ? 0 : -1) == 0 || count == MOST_HELD_BACK;

		while (enough && count > 0) {
			grant(&held[--count]);
		}
		if (polls[1].revents) {
			ck_assert_int_eq(read(tell[0], &word, 1), 1);
			if (word == 'e') {
				return NULL;
			}
			grant(&late);
		}
		if (!enough && polls[0].revents) {
			memset(&held[count], 0, sizeof(held[count]));
			ck_assert_int_gt(read(device, &held[count], sizeof(held[count]) - 1), 0);
			if (strncmp(held[count].request.i.lock.name, "late", 4) == 0) {
				late = held[count];
			} else {
				count++;
			}
		}
	}
}

static void setup(void)
{
	int pair[2];

	dlm = (struct gl_dlm){.joined = true, .watch = {.fd = -1}};
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(pipe2(tell, O_CLOEXEC), 0);
	device = pair[1];
	dlm.fd = pair[0];
	ck_assert_int_eq(fcntl(dlm.fd, F_SETFL, O_NONBLOCK), 0);
	pthread_mutex_init(&dlm.mutex, NULL);
	pthread_condattr_init(&dlm.monotonic);
	pthread_condattr_setclock(&dlm.monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&dlm.idle, &dlm.monotonic);
	TAILQ_INIT(&dlm.waiting);
	gl_dlm_table_init(&dlm.table);
	ck_assert_int_eq(gl_dlm_ledger_open(&dlm.table, -1), 0);
	ck_assert_int_eq(gl_dlm_answers_begin(&dlm), 0);
	ck_assert_int_eq(pthread_create(&kernel, NULL, be_kernel, NULL), 0);
}

static void say(char word)
{
	ck_assert_int_eq(write(tell[1], &word, 1), 1);
}

static void teardown(void)
{
	say('e');
	pthread_join(kernel, NULL);
	pthread_mutex_lock(&dlm.mutex);
	ck_assert(gl_dlm_answers_end(&dlm));
	gl_dlm_table_close(&dlm.table);
	pthread_mutex_unlock(&dlm.mutex);
	close(dlm.fd);
	close(device);
	close(tell[0]);
	close(tell[1]);
}

static struct gl_dlm_lock *add(const char *name, uint64_t xid)
{
	struct gl_dlm_lock *lock;

	pthread_mutex_lock(&dlm.mutex);
	lock = gl_dlm_table_add(&dlm.table, name, xid);
	pthread_mutex_unlock(&dlm.mutex);
	ck_assert_ptr_nonnull(lock);
	return lock;
}

static void one_round(struct gl_dlm_lock *locks[LOCKS], int mode)
{
	struct gl_dlm_request requests[LOCKS];

	for (size_t i = 0; i < LOCKS; i++) {
		requests[i] = (struct gl_dlm_request){.lock = locks[i], .mode = mode};
	}
	ck_assert(gl_dlm_ask(&dlm, requests, LOCKS, guestlock_monotonic_ms() + LONG_MS));
	for (size_t i = 0; i < LOCKS; i++) {
		ck_assert(requests[i].done);
		ck_assert_int_eq(requests[i].status, 0);
		ck_assert_int_eq(requests[i].gone, mode == GL_DLM_UNLOCK);
		ck_assert(mode == GL_DLM_UNLOCK || locks[i]->mode == mode);
	}
}

static void *be_guest(void *data)
{
	const uint64_t *xid = data;
	struct gl_dlm_lock *locks[LOCKS];
	char name[32];

	for (size_t i = 0; i < LOCKS; i++) {
		snprintf(name, sizeof(name), "key %zu", i);
		locks[i] = add(name, *xid);
	}
	for (int round = 0; round < ROUNDS; round++) {
		one_round(locks, round % 2 ? DLM_LOCK_NL : DLM_LOCK_EX);
	}
	one_round(locks, GL_DLM_UNLOCK);
	return NULL;
}

START_TEST(many_wait_and_one_reads)
{
	pthread_t threads[THREADS];
	uint64_t xids[THREADS];

	for (size_t i = 0; i < THREADS; i++) {
		xids[i] = i + 1;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, be_guest, &xids[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
	}
	ck_assert_uint_eq(dlm.table.count, 0);
}
END_TEST

static bool ask_late(struct gl_dlm_lock *lock, int64_t wait_ms)
{
	struct gl_dlm_request request = {.lock = lock, .mode = DLM_LOCK_EX};
	bool answered = gl_dlm_ask(&dlm, &request, 1, guestlock_monotonic_ms() + wait_ms);

	ck_assert_int_eq(answered, request.done);
	ck_assert_ptr_eq(request.lock, answered ? lock : NULL);
	return answered;
}

static bool is_in_flight(const struct gl_dlm_lock *lock)
{
	bool in_flight;

	pthread_mutex_lock(&dlm.mutex);
	in_flight = gl_dlm_in_flight(lock);
	pthread_mutex_unlock(&dlm.mutex);
	return in_flight;
}

START_TEST(an_answer_that_nobody_waits_for)
{
	struct gl_dlm_lock *lock = add("late", 1);
	int64_t begin_ms = guestlock_monotonic_ms();

	ck_assert(!ask_late(lock, SHORT_MS));
	ck_assert_int_ge(guestlock_monotonic_ms() - begin_ms, SHORT_MS / 2);
	ck_assert(is_in_flight(lock));
	say('l');
	while (is_in_flight(lock) && guestlock_monotonic_ms() < begin_ms + LONG_MS) {
		gl_dlm_catch_up(&dlm);
	}
	ck_assert(!is_in_flight(lock));
	ck_assert_int_eq(lock->mode, DLM_LOCK_EX);
}
END_TEST

static void *wait_long(void *data)
{
	static bool answered;

	answered = ask_late(data, LONG_MS);
	return &answered;
}

/* Whoever reads gives up first: then another one has to. */
START_TEST(the_next_one_reads)
{
	struct gl_dlm_lock *ours = add("late of ours", 1), *theirs = add("late of theirs", 2);
	pthread_t thread;
	void *answered;

	ck_assert(!ask_late(ours, SHORT_MS));
	ck_assert_int_eq(pthread_create(&thread, NULL, wait_long, theirs), 0);
	while (!is_in_flight(theirs)) {
		poll(NULL, 0, 1);
	}
	/* Now that one reads, and an answer is for somebody else first. */
	one_round((struct gl_dlm_lock *[LOCKS]){add("a", 3), add("b", 3), add("c", 3), add("d", 3)},
		  DLM_LOCK_EX);
	say('l');
	pthread_join(thread, &answered);
	ck_assert(*(bool *)answered);
	ck_assert(is_in_flight(ours));
}
END_TEST

START_TEST(closing_ends_all_who_wait)
{
	int64_t begin_ms = guestlock_monotonic_ms();
	struct gl_dlm_lock *lock = add("late", 1);
	pthread_t thread;
	void *answered;

	ck_assert_int_eq(pthread_create(&thread, NULL, wait_long, lock), 0);
	while (!is_in_flight(lock)) {
		poll(NULL, 0, 1);
	}
	pthread_mutex_lock(&dlm.mutex);
	ck_assert(gl_dlm_answers_end(&dlm));
	pthread_mutex_unlock(&dlm.mutex);
	pthread_join(thread, &answered);
	ck_assert(!*(bool *)answered);
	ck_assert_int_lt(guestlock_monotonic_ms() - begin_ms, LONG_MS / 2);
}
END_TEST

START_TEST(closing_waits_for_calls)
{
	ck_assert(gl_dlm_enter(&dlm));
	pthread_mutex_lock(&dlm.mutex);
	ck_assert(!gl_dlm_answers_end(&dlm));
	dlm.joined = false;
	pthread_mutex_unlock(&dlm.mutex);
	gl_dlm_exit(&dlm);
	ck_assert(!gl_dlm_enter(&dlm));
}
END_TEST

Suite *answer_suite(void)
{
	Suite *suite = suite_create("answers");
	TCase *tests = tcase_create("answers");

	tcase_set_timeout(tests, 120);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, many_wait_and_one_reads);
	tcase_add_test(tests, an_answer_that_nobody_waits_for);
	tcase_add_test(tests, the_next_one_reads);
	tcase_add_test(tests, closing_ends_all_who_wait);
	tcase_add_test(tests, closing_waits_for_calls);
	suite_add_tcase(suite, tests);
	return suite;
}
