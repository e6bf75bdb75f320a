/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loading, probing, joining, binding, leaving. */
#include "pair.h"

static enum guestlock_join_state status_of(const struct host *host)
{
	struct guestlock_error err = {.message = ""};
	enum guestlock_join_state state = contract.module->ops->status(host->backend, &err);

	ck_assert_int_eq(state == GUESTLOCK_JOIN_JOINED, err.message[0] == '\0');
	return state;
}

static enum guestlock_result leave(const struct host *host)
{
	struct guestlock_error err = {.message = ""};
	enum guestlock_result result = contract.module->ops->leave(host->backend, &err);

	ck_assert_int_eq(result == GRANTED, err.message[0] == '\0');
	return result;
}

START_TEST(the_module_describes_itself)
{
	const struct guestlock_module *module = contract.module;
	struct guestlock_error err = {.message = ""};

	ck_assert_uint_eq(module->abi, GUESTLOCK_BACKEND_ABI);
	ck_assert_str_eq(module->name, contract.name);
	ck_assert_msg(gl_module_check(module, contract.name, &err) == 0, "%s", err.message);
}
END_TEST

START_TEST(probe_of_the_backend)
{
	struct guestlock_error err = {.message = ""};

	ck_assert_msg(contract.module->ops->probe(host_a.backend, &err) == GRANTED, "%s", err.message);
	ck_assert_str_eq(err.message, "");
}
END_TEST

START_TEST(joining_again_changes_nothing)
{
	struct guestlock_error err;

	start_two("join-again");
	ck_assert_int_eq(status_of(&host_a), GUESTLOCK_JOIN_JOINED);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(host_join(&host_a, &err), GRANTED);
	ck_assert_int_eq(host_join(&host_b, &err), GRANTED);
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), BUSY);
	end_two();
}
END_TEST

START_TEST(another_scheme_is_refused)
{
	struct guestlock_error err;
	struct host other;

	ck_assert_int_eq(host_make(&other, "host-c", "path", NULL, &err), GRANTED);
	ck_assert_int_eq(host_join(&other, &err), GUESTLOCK_RES_INVALID);
	ck_assert_int_ne(status_of(&other), GUESTLOCK_JOIN_JOINED);
	host_free(&other);
}
END_TEST

START_TEST(leaving)
{
	struct guestlock_error err;

	start_two("leave");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(leave(&host_a), BUSY);
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	ck_assert_int_eq(drop(&one, keys.key, GUESTLOCK_BATCH_PARK), GRANTED);
	ck_assert_int_eq(leave(&host_a), BUSY);
	ck_assert_int_eq(status_of(&host_a), GUESTLOCK_JOIN_JOINED);
	ck_assert_int_eq(drop(&one, keys.key, 0), GRANTED);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(leave(&host_a), GRANTED);
	ck_assert_int_eq(status_of(&host_a), GUESTLOCK_JOIN_OUT);
	ck_assert_int_eq(take(&one, &keys.key[1], EXCLUSIVE), GUESTLOCK_RES_NOT_JOINED);
	ck_assert_int_eq(leave(&host_a), GRANTED);
	assert_all(&two, keys.key, 1, EXCLUSIVE);
	ck_assert_int_eq(host_join(&host_a, &err), GRANTED);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), BUSY);
	end_two();
}
END_TEST

START_TEST(a_guest_that_was_lost_does_not_keep_one_from_leaving)
{
	start_two("leave-dead");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	guest_kill(&one);
	contract_sleep_us(CONTRACT_DEATH_US);
	ck_assert_int_eq(leave(&host_a), GRANTED);
	guest_kill(&two);
}
END_TEST

/* It is the host that leaves, whoever of it is asked: another process knows of the guests, too. */
START_TEST(leaving_as_somebody_who_has_not_joined)
{
	struct guestlock_error err;
	struct host again;

	start_two("leave-unjoined");
	ck_assert_int_eq(host_make(&again, "host-a", "auto", NULL, &err), GRANTED);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(leave(&again), BUSY);
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	ck_assert_int_eq(drop(&one, keys.key, 0), GRANTED);
	ck_assert_int_eq(leave(&again), GRANTED);
	host_free(&again);
	end_two();
}
END_TEST

START_TEST(bind_takes_nothing)
{
	struct ask ask;

	start_two("bind");
	ask_for(&ask, keys.key, 9, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_bind(&one, &ask), GRANTED);
	ck_assert_int_eq(ask_bind(&one, &ask), GRANTED);
	assert_none(&one, keys.key, 9);
	ask_for(&ask, keys.key, 9, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&two, &ask), GRANTED);
	/* Interest does not ask who holds. */
	ck_assert_int_eq(ask_bind(&one, &ask), GRANTED);
	ck_assert_int_eq(ask_acquire(&one, &ask), BUSY);
	ck_assert_int_eq(ask_release(&two, &ask), GRANTED);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	/* Binding does not loosen what is held. */
	ck_assert_int_eq(ask_bind(&one, &ask), GRANTED);
	assert_all(&one, keys.key, 9, EXCLUSIVE);
	end_two();
}
END_TEST

/* What is unused goes, and is made again when it is needed. */
START_TEST(unprovisioning)
{
	const struct guestlock_backend_ops *ops = contract.module->ops;
	struct guestlock_error err = {.message = ""};
	struct ask ask;

	start_two("unprovision");
	ask_for(&ask, keys.key, 3, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	ck_assert_int_eq(ops->unprovision(host_a.backend, 0, &err), GRANTED);
	ck_assert_int_eq(ops->unprovision(host_b.backend, 0, &err), GRANTED);
	assert_all(&one, keys.key, 3, EXCLUSIVE);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), BUSY);
	ck_assert_int_eq(drop(&one, keys.key, 0), GRANTED);
	ck_assert_int_eq(ops->unprovision(host_b.backend, 0, &err), GRANTED);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), GRANTED);
	assert_all(&one, &keys.key[1], 2, EXCLUSIVE);
	end_two();
}
END_TEST

void member_tests(Suite *suite)
{
	TCase *tcase = contract_case(suite, "member");

	tcase_add_test(tcase, the_module_describes_itself);
	tcase_add_test(tcase, probe_of_the_backend);
	tcase_add_test(tcase, joining_again_changes_nothing);
	tcase_add_test(tcase, another_scheme_is_refused);
	tcase_add_test(tcase, leaving);
	tcase_add_test(tcase, a_guest_that_was_lost_does_not_keep_one_from_leaving);
	/* One that may block is called by the keeper, which has joined. */
	if (!contract_can(GUESTLOCK_CAP_MAY_BLOCK)) {
		tcase_add_test(tcase, leaving_as_somebody_who_has_not_joined);
	}
	tcase_add_test(tcase, bind_takes_nothing);
	if (contract_can(GUESTLOCK_CAP_UNPROVISION)) {
		tcase_add_test(tcase, unprovisioning);
	}
}
