/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A lock lives exactly as long as its guest. */
#include "contract.h"

#include <signal.h>
#include <sys/wait.h>

#define EXCLUSIVE GUESTLOCK_MODE_EXCLUSIVE
#define GRANTED GUESTLOCK_RES_GRANTED
#define BUSY GUESTLOCK_RES_BUSY
#define QUIET_US 300000 /* long enough for a wrong release to show */

static struct keys keys;
static struct guest one, two;

static void start_two(const char *group, enum guest_kind kind)
{
	keys_make(&keys, group);
	guest_start(&one, &host_a, "one", NULL, kind);
	guest_start(&two, &host_b, "two", NULL, GUEST_PLAIN);
}

START_TEST(death_frees)
{
	struct ask ask;

	start_two("death", GUEST_PLAIN);
	ask_for(&ask, keys.key, 9, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	ck_assert_int_eq(ask_acquire(&two, &ask), BUSY);
	guest_kill(&one);
	ck_assert_int_eq(ask_acquire_soon(&two, &ask), GRANTED);
	assert_all(&two, keys.key, 9, EXCLUSIVE);
	guest_kill(&two);
}
END_TEST

START_TEST(a_zombie_is_dead)
{
	start_two("zombie", GUEST_PLAIN);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(kill(one.pid, SIGKILL), 0);
	ck_assert_int_eq(take_soon(&two, keys.key, EXCLUSIVE), GRANTED);
	guest_kill(&one);
	guest_kill(&two);
}
END_TEST

START_TEST(a_stopped_guest_lives)
{
	start_two("stopped", GUEST_PLAIN);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(kill(one.pid, SIGSTOP), 0);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), BUSY);
	guest_kill(&one);
	ck_assert_int_eq(take_soon(&two, keys.key, EXCLUSIVE), GRANTED);
	guest_kill(&two);
}
END_TEST

/* The process that was bound has ended; its child still has the tether, and writes on. */
START_TEST(a_daemon_lives_on)
{
	start_two("daemon", GUEST_DAEMON);
	ck_assert_int_ne(one.pid, one.owner.pid);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), BUSY);
	contract_sleep_us(QUIET_US);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), BUSY);
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	guest_kill(&one);
	ck_assert_int_eq(take_soon(&two, keys.key, EXCLUSIVE), GRANTED);
	guest_kill(&two);
}
END_TEST

START_TEST(another_program_keeps_them)
{
	start_two("exec", GUEST_EXEC);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	contract_sleep_us(QUIET_US);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), BUSY);
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	guest_kill(&one);
	ck_assert_int_eq(take_soon(&two, keys.key, EXCLUSIVE), GRANTED);
	guest_kill(&two);
}
END_TEST

START_TEST(an_adopted_guest)
{
	start_two("adopted", GUEST_ADOPTED);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), BUSY);
	guest_kill(&one);
	ck_assert_int_eq(take_soon(&two, keys.key, EXCLUSIVE), GRANTED);
	guest_kill(&two);
}
END_TEST

/* Whoever acquires is not the guest, and its end means nothing. */
START_TEST(the_manager_may_die)
{
	struct ask ask;
	int status;
	pid_t manager;

	start_two("manager", GUEST_PLAIN);
	manager = contract_fork();
	if (manager == 0) {
		ask_for(&ask, keys.key, 3, EXCLUSIVE);
		_exit(ask_acquire(&one, &ask) != GRANTED);
	}
	ck_assert_int_eq(waitpid(manager, &status, 0), manager);
	ck_assert_int_eq(status, 0);
	assert_all(&one, keys.key, 3, EXCLUSIVE);
	ck_assert_int_eq(take(&two, &keys.key[1], EXCLUSIVE), BUSY);
	guest_kill(&one);
	guest_kill(&two);
}
END_TEST

/* Only the dead one's own locks go. */
START_TEST(the_others_live_on)
{
	struct guest three;

	start_two("others", GUEST_PLAIN);
	guest_start(&three, &host_a, "three", NULL, GUEST_PLAIN);
	ck_assert_int_eq(take(&one, &keys.key[0], EXCLUSIVE), GRANTED);
	ck_assert_int_eq(take(&three, &keys.key[1], EXCLUSIVE), GRANTED);
	guest_kill(&one);
	ck_assert_int_eq(take(&two, &keys.key[1], EXCLUSIVE), BUSY);
	ck_assert_int_eq(take_soon(&two, &keys.key[0], EXCLUSIVE), GRANTED);
	assert_all(&three, &keys.key[1], 1, EXCLUSIVE);
	guest_kill(&two);
	guest_kill(&three);
}
END_TEST

void life_tests(Suite *suite)
{
	TCase *tcase = contract_case(suite, "life");

	tcase_add_test(tcase, death_frees);
	tcase_add_test(tcase, a_zombie_is_dead);
	tcase_add_test(tcase, a_stopped_guest_lives);
	tcase_add_test(tcase, a_daemon_lives_on);
	tcase_add_test(tcase, another_program_keeps_them);
	if (!contract_can(GUESTLOCK_CAP_MAY_BLOCK)) {
		tcase_add_test(tcase, the_manager_may_die);
	}
	tcase_add_test(tcase, the_others_live_on);
	if (contract_can(GUESTLOCK_CAP_ADOPT)) {
		tcase_add_test(tcase, an_adopted_guest);
	}
}
