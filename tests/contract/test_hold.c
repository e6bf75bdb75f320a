/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One key: what goes with what, taking and giving back, and who is named. */
#include "contract.h"

#include <string.h>
#include <time.h>

#define EXCLUSIVE GUESTLOCK_MODE_EXCLUSIVE
#define SHARED GUESTLOCK_MODE_SHARED
#define HANDOVER GUESTLOCK_MODE_HANDOVER
#define GRANTED GUESTLOCK_RES_GRANTED
#define BUSY GUESTLOCK_RES_BUSY

static struct keys keys;
static struct guest one, two, three;

/* one and three are on host A, two is on host B. */
static void start_three(const char *group)
{
	keys_make(&keys, group);
	guest_start(&one, &host_a, "one", NULL, GUEST_PLAIN);
	guest_start(&two, &host_b, "two", NULL, GUEST_PLAIN);
	guest_start(&three, &host_a, "three", NULL, GUEST_PLAIN);
}

static void end_three(void)
{
	guest_kill(&one);
	guest_kill(&two);
	guest_kill(&three);
}

static void refuse(const struct guest *guest, const struct guest *holder, enum guestlock_mode mode)
{
	struct ask ask;

	ask_for(&ask, keys.key, 1, mode);
	ck_assert_int_eq(ask_acquire(guest, &ask), BUSY);
	ck_assert_int_eq(ask.items[0].result, BUSY);
	assert_holder(&ask.items[0].holder, holder);
	assert_none(guest, keys.key, 1);
}

START_TEST(exclusive_goes_with_nothing)
{
	start_three("exclusive");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	refuse(&two, &one, EXCLUSIVE);
	refuse(&three, &one, EXCLUSIVE);
	if (contract_can(GUESTLOCK_CAP_SHARED)) {
		refuse(&two, &one, SHARED);
		refuse(&three, &one, SHARED);
	}
	if (contract_can(GUESTLOCK_CAP_HANDOVER)) {
		refuse(&two, &one, HANDOVER);
	}
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	end_three();
}
END_TEST

START_TEST(shared_goes_with_shared)
{
	start_three("shared");
	ck_assert_int_eq(take(&one, keys.key, SHARED), GRANTED);
	ck_assert_int_eq(take(&two, keys.key, SHARED), GRANTED);
	ck_assert_int_eq(take(&three, keys.key, SHARED), GRANTED);
	assert_all(&one, keys.key, 1, SHARED);
	assert_all(&two, keys.key, 1, SHARED);
	assert_all(&three, keys.key, 1, SHARED);
	end_three();
}
END_TEST

START_TEST(shared_refuses_the_others)
{
	start_three("shared-refuses");
	ck_assert_int_eq(take(&one, keys.key, SHARED), GRANTED);
	refuse(&two, &one, EXCLUSIVE);
	refuse(&three, &one, EXCLUSIVE);
	if (contract_can(GUESTLOCK_CAP_HANDOVER)) {
		refuse(&two, &one, HANDOVER);
	}
	assert_all(&one, keys.key, 1, SHARED);
	end_three();
}
END_TEST

START_TEST(exclusive_waits_for_the_last_shared)
{
	start_three("last-shared");
	ck_assert_int_eq(take(&one, keys.key, SHARED), GRANTED);
	ck_assert_int_eq(take(&two, keys.key, SHARED), GRANTED);
	ck_assert_int_eq(take(&three, keys.key, EXCLUSIVE), BUSY);
	ck_assert_int_eq(drop(&one, keys.key, 0), GRANTED);
	refuse(&three, &two, EXCLUSIVE);
	ck_assert_int_eq(drop(&two, keys.key, 0), GRANTED);
	ck_assert_int_eq(take(&three, keys.key, EXCLUSIVE), GRANTED);
	end_three();
}
END_TEST

START_TEST(release_frees)
{
	start_three("release");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(drop(&one, keys.key, 0), GRANTED);
	assert_none(&one, keys.key, 1);
	ck_assert_int_eq(look(&two, keys.key, NULL), GUESTLOCK_RES_FREE);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), GRANTED);
	assert_all(&two, keys.key, 1, EXCLUSIVE);
	end_three();
}
END_TEST

START_TEST(release_of_what_is_not_held)
{
	start_three("not-held");
	ck_assert_int_eq(drop(&one, keys.key, 0), GRANTED);
	ck_assert_int_eq(drop(&one, keys.key, GUESTLOCK_BATCH_PARK), GRANTED);
	ck_assert_int_eq(drop(&one, keys.key, GUESTLOCK_BATCH_UNDO), GRANTED);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(drop(&one, keys.key, 0), GRANTED);
	ck_assert_int_eq(drop(&one, keys.key, 0), GRANTED);
	ck_assert_int_eq(look(&two, keys.key, NULL), GUESTLOCK_RES_FREE);
	end_three();
}
END_TEST

START_TEST(release_leaves_others_alone)
{
	start_three("others");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(drop(&two, keys.key, 0), GRANTED);
	ck_assert_int_eq(drop(&three, keys.key, GUESTLOCK_BATCH_UNDO), GRANTED);
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	refuse(&two, &one, EXCLUSIVE);
	end_three();
}
END_TEST

START_TEST(acquire_again)
{
	struct ask ask;
	uint64_t epoch;

	start_three("again");
	ask_for(&ask, keys.key, 1, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	epoch = ask.items[0].epoch;
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	ck_assert_uint_eq(ask.items[0].epoch, epoch);
	if (contract_can(GUESTLOCK_CAP_SHARED)) {
		/* What is held in a stronger mode stays so. */
		ask_for(&ask, keys.key, 1, SHARED);
		ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
		ck_assert_uint_eq(ask.items[0].epoch, epoch);
	}
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	end_three();
}
END_TEST

START_TEST(from_shared_to_exclusive)
{
	start_three("upgrade");
	ck_assert_int_eq(take(&one, keys.key, SHARED), GRANTED);
	ck_assert_int_eq(take(&two, keys.key, SHARED), GRANTED);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), BUSY);
	assert_all(&one, keys.key, 1, SHARED);
	assert_all(&two, keys.key, 1, SHARED);
	ck_assert_int_eq(drop(&two, keys.key, 0), GRANTED);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	refuse(&two, &one, SHARED);
	end_three();
}
END_TEST

START_TEST(another_life_of_the_same_guest)
{
	struct guest again;

	start_three("instance");
	guest_start(&again, &host_a, "one", one.owner.uuid, GUEST_PLAIN);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	refuse(&again, &one, EXCLUSIVE);
	ck_assert_int_eq(drop(&again, keys.key, 0), GRANTED);
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	guest_kill(&again);
	end_three();
}
END_TEST

START_TEST(probe_takes_nothing)
{
	start_three("probe");
	ck_assert_int_eq(probe(&one, keys.key, EXCLUSIVE), GRANTED);
	assert_none(&one, keys.key, 1);
	ck_assert_int_eq(look(&two, keys.key, NULL), GUESTLOCK_RES_FREE);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(probe(&one, keys.key, EXCLUSIVE), BUSY);
	ck_assert_int_eq(probe(&two, keys.key, EXCLUSIVE), GRANTED);
	assert_all(&two, keys.key, 1, EXCLUSIVE);
	assert_none(&one, keys.key, 1);
	end_three();
}
END_TEST

START_TEST(the_holder_is_named)
{
	int64_t before = (int64_t)time(NULL), since;
	struct ask ask;

	start_three("named");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ask_for(&ask, keys.key, 1, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&two, &ask), BUSY);
	ck_assert_str_eq(ask.items[0].holder.uuid, one.owner.uuid);
	ck_assert_int_eq(ask.items[0].holder.mode, EXCLUSIVE);
	assert_holder(&ask.items[0].holder, &one);
	since = ask.items[0].holder.since;
	ck_assert(since == 0 || (since >= before && since <= (int64_t)time(NULL)));
	ck_assert_int_eq(ask.err.code, GUESTLOCK_BUSY);
	end_three();
}
END_TEST

/* Names are for people, and people write anything. */
START_TEST(names_of_any_bytes)
{
	static char name[4096];
	struct guestlock_error err;
	struct guest odd;
	struct ask ask;

	memset(name, '%', sizeof(name) - 1);
	memcpy(name, "a b\nc\xff\xfe=\"\\", 11);
	start_three("names");
	guest_start(&odd, &host_a, name, NULL, GUEST_PLAIN);
	keys.key[0].identity = "file:/with a\nnewline\xff and 100% more";
	ck_assert_int_eq(take(&odd, keys.key, EXCLUSIVE), GRANTED);
	assert_all(&odd, keys.key, 1, EXCLUSIVE);
	ask_for(&ask, keys.key, 1, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&two, &ask), BUSY);
	err = ask.err;
	ck_assert_ptr_null(strchr(err.message, '\n'));
	ck_assert_str_eq(ask.items[0].holder.uuid, odd.owner.uuid);
	ck_assert_int_eq(strncmp(ask.items[0].holder.name, name, strlen(ask.items[0].holder.name)), 0);
	ck_assert_int_eq(drop(&odd, keys.key, 0), GRANTED);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), GRANTED);
	guest_kill(&odd);
	end_three();
}
END_TEST

void hold_tests(Suite *suite)
{
	TCase *tcase = contract_case(suite, "hold");

	tcase_add_test(tcase, exclusive_goes_with_nothing);
	tcase_add_test(tcase, release_frees);
	tcase_add_test(tcase, release_of_what_is_not_held);
	tcase_add_test(tcase, release_leaves_others_alone);
	tcase_add_test(tcase, acquire_again);
	tcase_add_test(tcase, another_life_of_the_same_guest);
	tcase_add_test(tcase, probe_takes_nothing);
	tcase_add_test(tcase, the_holder_is_named);
	tcase_add_test(tcase, names_of_any_bytes);
	if (contract_can(GUESTLOCK_CAP_SHARED)) {
		tcase_add_test(tcase, shared_goes_with_shared);
		tcase_add_test(tcase, shared_refuses_the_others);
		tcase_add_test(tcase, exclusive_waits_for_the_last_shared);
		tcase_add_test(tcase, from_shared_to_exclusive);
	}
}
