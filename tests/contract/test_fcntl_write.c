/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Entries in files: kills, interruptions and failures while they are written. */
#include "fcntl_files.h"
#include "pair.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#define N 5
#define MANY 40 /* owners that do not fit a page */

/* ---- Kills: whatever is killed, no key is free once one is granted ---- */

START_TEST(intents_first)
{
	struct order order = {
		.call = ask_acquire, .guest = &one, .keys = keys.key, .count = N, .mode = EXCLUSIVE};
	unsigned stop, orphans = 0, mixed = 0;
	bool killed = true;
	struct ask ask;
	size_t i;

	start_two("intents");
	for (stop = 1; killed && stop < ORDER_STOPS; stop++) {
		unsigned held = 0, intents = 0;

		killed = order_killed_at(&order, stop);
		ask_for(&ask, keys.key, N, NONE);
		ck_assert_int_eq(ask_inquire(&one, &ask), GRANTED);
		for (i = 0; i < N; i++) {
			held += ask.items[i].result == GUESTLOCK_RES_HELD;
			intents += ask.items[i].result == GUESTLOCK_RES_ORPHAN;
		}
		ck_assert(held == 0 || held + intents == N);
		orphans += intents > 0;
		mixed += held > 0 && intents > 0;
		ck_assert_int_eq(ask_release(&one, &ask), GRANTED);
	}
	ck_assert(!killed);
	ck_assert_uint_gt(orphans, N);
	ck_assert_uint_gt(mixed, 1);
	end_two();
}
END_TEST

/* The process is stopped while an entry is half written, or killed. */
START_TEST(a_write_under_way_is_not_damage)
{
	struct order order = {
		.call = ask_acquire, .guest = &one, .keys = keys.key, .count = 1, .mode = EXCLUSIVE};
	unsigned stop, contended = 0;
	struct ask ask;

	start_two("under-way");
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(drop(&two, keys.key, 0), GRANTED);
	for (stop = 1; stop < ORDER_STOPS; stop++) {
		struct guestlock_batch batch = {.owner = &two.owner, .items = ask.items, .count = 1};
		struct guestlock_error err = {.message = ""};
		enum guestlock_result result;

		fault = (struct fault){.pwrite_bytes = 100};
		if (!order_begin(&order, stop)) {
			break;
		}
		ask_for(&ask, keys.key, 1, NONE);
		result = contract.module->ops->inquire(host_b.backend, &batch, &err);
		ck_assert(result == GRANTED || result == GUESTLOCK_RES_AGAIN);
		contended += result == GUESTLOCK_RES_AGAIN;
		ck_assert_int_eq(order_end(&order), GRANTED);
		fault = (struct fault){.fs_type = 0};
		ck_assert_int_eq(drop(&one, keys.key, 0), GRANTED);
	}
	ck_assert_uint_gt(contended, 0);
	fault = (struct fault){.fs_type = 0};
	end_two();
}
END_TEST

/* A long entry is not torn, as it is not written in its place. */
START_TEST(a_long_entry_is_replaced)
{
	struct order order = {
		.call = ask_acquire, .guest = &one, .keys = keys.key, .count = 1, .mode = SHARED};
	static struct guest many[MANY];
	bool killed = true;
	unsigned stop;
	size_t i;

	start_two("replaced");
	for (i = 0; i < MANY; i++) {
		guest_pretend(&many[i], &host_a, "one of many guests of this base image");
		ck_assert_int_eq(take(&many[i], keys.key, SHARED), GRANTED);
	}
	for (stop = 1; killed && stop < ORDER_STOPS; stop++) {
		fault = (struct fault){.pwrite_bytes = 4096};
		killed = order_killed_at(&order, stop);
		fault = (struct fault){.fs_type = 0};
		assert_all(&many[0], keys.key, 1, SHARED);
		ck_assert_int_ne(look(&one, keys.key, NULL), UNKNOWN);
		ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), BUSY);
		ck_assert_int_eq(drop(&one, keys.key, 0), GRANTED);
	}
	ck_assert(!killed);
	for (i = 0; i < MANY; i++) {
		guest_kill(&many[i]);
	}
	end_two();
}
END_TEST

/* As a copy of the lock directory by links has it: cp -al, and programs that save space. */
static void copy_by_link(bool wanted)
{
	char *copy = strdup(fcntl_path("copy", ""));

	ck_assert_ptr_nonnull(copy);
	unlink(copy);
	if (wanted) {
		ck_assert(link(fcntl_path("keys/", keys.key[0].key), copy) == 0 || errno == ENOENT);
	}
	free(copy);
}

/*
 * The entry is removed, and made anew by somebody, while another has it open. _i, odd: only removed; 2 and 3: it has
 * another name besides.
 */
START_TEST(an_entry_that_is_replaced_meanwhile)
{
	struct order order = {
		.call = ask_acquire_once, .guest = &one, .keys = keys.key, .count = 1, .mode = EXCLUSIVE};
	unsigned stop, refused = 0;

	start_two("meanwhile");
	for (stop = 1; stop < ORDER_STOPS; stop++) {
		struct guestlock_error err = {.message = ""};
		enum guestlock_result result, second = BUSY;

		ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
		ck_assert_int_eq(drop(&one, keys.key, 0), GRANTED);
		if (!order_begin(&order, stop)) {
			break;
		}
		copy_by_link(_i >= 2);
		ck_assert_int_eq(contract.module->ops->unprovision(host_b.backend, 0, &err), GRANTED);
		if (_i % 2 == 0) {
			struct ask ask;

			ask_for(&ask, keys.key, 1, EXCLUSIVE);
			second = ask_acquire_once(&two, &ask);
		}
		result = order_end(&order);
		ck_assert((result == GRANTED) != (second == GRANTED));
		refused += result != GRANTED;
		ck_assert_int_eq(look(&one, keys.key, NULL),
				 result == GRANTED ? GUESTLOCK_RES_HELD : GUESTLOCK_RES_OTHER);
		ck_assert_int_eq(drop(&one, keys.key, 0), GRANTED);
		ck_assert_int_eq(drop(&two, keys.key, 0), GRANTED);
	}
	ck_assert_int_eq(refused > 0, _i % 2 == 0);
	copy_by_link(false);
	end_two();
}
END_TEST

/* Whoever names the same keys in another order locks them in the same. */
START_TEST(keys_are_locked_in_their_order)
{
	uint64_t inodes[2][N];
	struct ask ask;
	size_t i, turn;

	start_two("order");
	ask_for(&ask, keys.key, N, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&two, &ask), GRANTED);
	ck_assert_int_eq(ask_release(&two, &ask), GRANTED);
	for (turn = 0; turn < 2; turn++) {
		for (i = 0; i < N; i++) {
			ask.items[i].key = &keys.key[turn == 0 ? i : N - 1 - i];
		}
		fault = (struct fault){.noting = true};
		ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
		ck_assert_uint_eq(fault.n_pwrites, 2 * N);
		memcpy(inodes[turn], fault.pwrite_inodes, sizeof(inodes[turn]));
		fault = (struct fault){.fs_type = 0};
		ck_assert_int_eq(ask_release(&one, &ask), GRANTED);
	}
	ck_assert_mem_eq(inodes[0], inodes[1], sizeof(inodes[0]));
	end_two();
}
END_TEST

/* ---- Writing fails ---- */

static void assert_untouched(const uint64_t *epochs)
{
	size_t i;

	assert_none(&one, keys.key, N);
	for (i = 0; i < N; i++) {
		ck_assert_uint_eq(epoch_of(&two, &keys.key[i]), epochs[i]);
		ck_assert_int_eq(probe(&two, &keys.key[i], EXCLUSIVE), GRANTED);
	}
}

static void know_keys(uint64_t *epochs)
{
	struct ask ask;
	size_t i;

	ask_for(&ask, keys.key, N, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&two, &ask), GRANTED);
	for (i = 0; i < N; i++) {
		epochs[i] = ask.items[i].epoch;
	}
	ck_assert_int_eq(ask_release(&two, &ask), GRANTED);
}

/* _i: 0 fails at once, else after some bytes. At each write of the two rounds. */
START_TEST(a_write_that_fails_takes_nothing)
{
	uint64_t epochs[N];
	struct ask ask;
	int after;

	start_two("write-fails");
	know_keys(epochs);
	for (after = 0; after < 2 * N; after++) {
		fault = (struct fault){.pwrite_errno = _i == 1 ? ENOSPC : EIO,
				       .pwrite_after = after,
				       .pwrite_failures = 1,
				       .pwrite_bytes = _i == 0 ? 0 : 100};
		ask_for(&ask, keys.key, N, EXCLUSIVE);
		ck_assert_int_eq(ask_acquire(&one, &ask),
				 _i == 1 ? GUESTLOCK_RES_CANNOT_CREATE : GUESTLOCK_RES_IO);
		ck_assert_int_eq(fault.pwrite_failures, 0);
		fault = (struct fault){.fs_type = 0};
		assert_untouched(epochs);
	}
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	end_two();
}
END_TEST

/* New entries are being made, and the process may not open another file: those that were made go again. */
START_TEST(entries_that_cannot_be_made)
{
	struct rlimit before, few;
	struct ask ask;
	int next, more;

	start_two("few-files");
	next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(next);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (more = 1; more <= N; more++) {
		few = before;
		few.rlim_cur = (rlim_t)next + (rlim_t)more;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
		ask_for(&ask, keys.key, N + 1, EXCLUSIVE);
		ck_assert_int_eq(ask_acquire(&one, &ask), GUESTLOCK_RES_IO);
		ck_assert_ptr_nonnull(strstr(ask.err.message, "limit of open files"));
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
		ck_assert_uint_eq(fcntl_count("keys"), 0);
		ck_assert_uint_eq(fcntl_count("new"), 0);
	}
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	end_two();
}
END_TEST

START_TEST(a_release_that_fails_keeps_it)
{
	start_two("release-fails");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	fault = (struct fault){.pwrite_errno = EIO, .pwrite_failures = 1, .pwrite_bytes = 60};
	ck_assert_int_eq(drop(&one, keys.key, 0), GUESTLOCK_RES_IO);
	fault = (struct fault){.fs_type = 0};
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), BUSY);
	fault = (struct fault){.pwrite_errno = EIO, .pwrite_failures = 1};
	ck_assert_int_eq(change(&one, keys.key, SHARED), GUESTLOCK_RES_IO);
	fault = (struct fault){.fs_type = 0};
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	end_two();
}
END_TEST

/* Nothing can be written any more in the midst: then nobody is told that it is free. */
START_TEST(what_cannot_be_undone_is_uncertain)
{
	uint64_t epochs[N];
	struct ask ask;
	unsigned unknown = 0;
	size_t i;

	start_two("undo-fails");
	know_keys(epochs);
	fault = (struct fault){
		.pwrite_errno = EIO, .pwrite_after = N + 1, .pwrite_failures = 1000, .pwrite_bytes = 100};
	ask_for(&ask, keys.key, N, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GUESTLOCK_RES_INFLIGHT);
	fault = (struct fault){.fs_type = 0};
	for (i = 0; i < N; i++) {
		unknown += look(&one, &keys.key[i], NULL) == UNKNOWN;
		ck_assert_int_ne(look(&two, &keys.key[i], NULL), GUESTLOCK_RES_FREE);
		ck_assert_int_ne(take(&two, &keys.key[i], EXCLUSIVE), GRANTED);
	}
	/* The one that was torn. */
	ck_assert_uint_eq(unknown, 1);
	end_two();
}
END_TEST

void fcntl_write_tests(Suite *suite)
{
	TCase *tcase = fcntl_case(suite, "fcntl-write");

	if (!tcase) {
		return;
	}
	tcase_add_test(tcase, intents_first);
	tcase_add_test(tcase, a_write_under_way_is_not_damage);
	tcase_add_test(tcase, a_long_entry_is_replaced);
	tcase_add_loop_test(tcase, an_entry_that_is_replaced_meanwhile, 0, 4);
	tcase_add_test(tcase, keys_are_locked_in_their_order);
	tcase_add_loop_test(tcase, a_write_that_fails_takes_nothing, 0, 3);
	tcase_add_test(tcase, entries_that_cannot_be_made);
	tcase_add_test(tcase, a_release_that_fails_keeps_it);
	tcase_add_test(tcase, what_cannot_be_undone_is_uncertain);
}
