/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keeper's threads: what they are given is done, and waited for at the end. */
#include "child.h"
#include "suites.h"
#include "tools/keeper/keeper.h"

#include <stdatomic.h>
#include <sys/eventfd.h>

#define JOBS 20
#define PATIENCE_MS 20000

static struct server *server;
static int listener;
static atomic_int done;
static atomic_bool may_end;

/* Nobody connects: none of these is called. */
static void setup(void)
{
	static const struct server_ops ops;

	listener = eventfd(0, EFD_CLOEXEC);
	server = server_new(listener, &ops);
	ck_assert_ptr_nonnull(server);
	ck_assert_int_eq(server_start(server), 0);
}

static void teardown(void)
{
	server_stop(server);
	close(listener);
}

static void work(void *argument)
{
	child_sleep_ms(10);
	atomic_fetch_add((atomic_int *)argument, 1);
}

static void wait_until_told(void *argument)
{
	for (int i = 0; i < PATIENCE_MS && !atomic_load(&may_end); i++) {
		child_sleep_ms(1);
	}
	work(argument);
}

START_TEST(what_was_begun_is_done_when_it_ends)
{
	for (int i = 0; i < JOBS; i++) {
		ck_assert(server_run(server, work, &done));
	}
	ck_assert(server_drain(server, PATIENCE_MS));
	ck_assert_int_eq(atomic_load(&done), JOBS);
}
END_TEST

START_TEST(what_does_not_end_is_waited_for_so_long)
{
	unsigned running, waiting;

	ck_assert(server_run(server, wait_until_told, &done));
	ck_assert(!server_drain(server, 50));
	server_count(server, &running, &waiting);
	ck_assert_uint_eq(running, 1);
	atomic_store(&may_end, true);
	ck_assert(server_drain(server, PATIENCE_MS));
	ck_assert_int_eq(atomic_load(&done), 1);
}
END_TEST

Suite *keeper_server_suite(void)
{
	Suite *suite = suite_create("keeper_server");
	TCase *threads = tcase_create("threads");

	tcase_add_checked_fixture(threads, setup, teardown);
	tcase_add_test(threads, what_was_begun_is_done_when_it_ends);
	tcase_add_test(threads, what_does_not_end_is_waited_for_so_long);
	suite_add_tcase(suite, threads);
	return suite;
}
