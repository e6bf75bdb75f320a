/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Locks of hosts, where the module has them: each by a name that all hosts know, and of no guest. */
#include "pair.h"

#include <string.h>
#include <unistd.h>

static char name[20], other[41];

/* Names that no other run has: a technology may remember. */
static void make_names(void)
{
	unsigned long number = (unsigned long)getpid();
	size_t i = 0;

	for (; number > 0 && i < sizeof(name) - 1; number /= 26) {
		name[i++] = (char)('a' + number % 26);
	}
	name[i] = '\0';
	/* As long as one can be: neither is the other one cut off. */
	memset(other, 'x', sizeof(other) - 1);
	memcpy(other, name, i);
	ck_assert_uint_eq(strlen(other), 40);
}

static enum guestlock_result host_take(const struct host *host, const char *which, enum guestlock_mode mode)
{
	struct guestlock_error err = {.message = ""};
	enum guestlock_result result = contract.module->ops->host_acquire(host->backend, which, mode, &err);

	ck_assert_int_eq(result == GRANTED, err.message[0] == '\0');
	return result;
}

static enum guestlock_result host_drop(const struct host *host, const char *which)
{
	struct guestlock_error err = {.message = ""};
	enum guestlock_result result = contract.module->ops->host_release(host->backend, which, &err);

	ck_assert_int_eq(result == GRANTED, err.message[0] == '\0');
	return result;
}

START_TEST(one_host_at_a_time)
{
	make_names();
	ck_assert_int_eq(host_take(&host_a, name, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(host_take(&host_a, name, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(host_take(&host_b, name, EXCLUSIVE), BUSY);
	ck_assert_int_eq(host_take(&host_b, name, SHARED), BUSY);
	ck_assert_int_eq(host_take(&host_b, other, EXCLUSIVE), GRANTED);
	/* What the other one has is not ours to give up. */
	ck_assert_int_eq(host_drop(&host_b, name), GRANTED);
	ck_assert_int_eq(host_take(&host_b, name, EXCLUSIVE), BUSY);
	ck_assert_int_eq(host_drop(&host_a, name), GRANTED);
	ck_assert_int_eq(host_drop(&host_a, name), GRANTED);
	ck_assert_int_eq(host_take(&host_b, name, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(host_drop(&host_b, name), GRANTED);
	ck_assert_int_eq(host_drop(&host_b, other), GRANTED);
}
END_TEST

START_TEST(hosts_share)
{
	make_names();
	ck_assert_int_eq(host_take(&host_a, name, SHARED), GRANTED);
	ck_assert_int_eq(host_take(&host_b, name, SHARED), GRANTED);
	ck_assert_int_eq(host_take(&host_a, name, EXCLUSIVE), BUSY);
	/* That changed nothing. */
	ck_assert_int_eq(host_drop(&host_b, name), GRANTED);
	ck_assert_int_eq(host_take(&host_b, name, EXCLUSIVE), BUSY);
	ck_assert_int_eq(host_take(&host_a, name, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(host_take(&host_b, name, SHARED), BUSY);
	ck_assert_int_eq(host_drop(&host_a, name), GRANTED);
}
END_TEST

START_TEST(names_of_host_locks)
{
	struct guestlock_error err = {.message = ""};

	ck_assert_int_eq(contract.module->ops->host_acquire(host_a.backend, "", EXCLUSIVE, &err),
			 GUESTLOCK_RES_INVALID);
	ck_assert_int_eq(contract.module->ops->host_acquire(host_a.backend, "a/b", EXCLUSIVE, &err),
			 GUESTLOCK_RES_INVALID);
	ck_assert_str_ne(err.message, "");
}
END_TEST

static int count_lock(void *data, const struct guestlock_lock *lock)
{
	size_t *count = data;

	ck_assert_ptr_nonnull(lock);
	(*count)++;
	return 0;
}

START_TEST(is_no_guests)
{
	struct guestlock_error err = {.message = ""};
	size_t count = 0;

	make_names();
	ck_assert_int_eq(host_take(&host_a, other, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(contract.module->ops->enumerate(host_a.backend, count_lock, NULL, &count, &err),
			 GRANTED);
	ck_assert_uint_eq(count, 0);
	/* It does not keep the host, and goes with it. */
	ck_assert_int_eq(contract.module->ops->leave(host_a.backend, &err), GRANTED);
	ck_assert_int_eq(host_take(&host_b, other, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(host_drop(&host_b, other), GRANTED);
}
END_TEST

/* Whoever asked may end: the host itself has it. */
START_TEST(outlives_who_asked)
{
	struct guestlock_error err;

	make_names();
	ck_assert_int_eq(host_take(&host_a, name, EXCLUSIVE), GRANTED);
	host_free(&host_a);
	ck_assert_int_eq(host_take(&host_b, name, EXCLUSIVE), BUSY);
	ck_assert_int_eq(host_make(&host_a, "host-a", "auto", NULL, &err), GRANTED);
	ck_assert_int_eq(host_join(&host_a, &err), GRANTED);
	ck_assert_int_eq(host_take(&host_b, name, EXCLUSIVE), BUSY);
	ck_assert_int_eq(host_take(&host_a, name, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(host_drop(&host_a, name), GRANTED);
	ck_assert_int_eq(host_take(&host_b, name, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(host_drop(&host_b, name), GRANTED);
}
END_TEST

void host_lock_tests(Suite *suite)
{
	TCase *tcase;

	if (!contract_can(GUESTLOCK_CAP_HOST_LOCK)) {
		return;
	}
	tcase = contract_case(suite, "host-lock");
	tcase_add_test(tcase, one_host_at_a_time);
	tcase_add_test(tcase, hosts_share);
	tcase_add_test(tcase, names_of_host_locks);
	tcase_add_test(tcase, is_no_guests);
	tcase_add_test(tcase, outlives_who_asked);
}
