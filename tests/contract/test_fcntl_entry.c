/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Entries in files: who is in them, damage, and what does not fit a page. */
#include "fcntl_files.h"
#include "pair.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MANY 40 /* owners that do not fit a page */

START_TEST(everything_about_the_holder)
{
	const struct guestlock_holder *holder;
	int64_t before = (int64_t)time(NULL);
	struct ask ask;

	start_two("holder");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ask_for(&ask, keys.key, 1, SHARED);
	ck_assert_int_eq(ask_acquire(&two, &ask), BUSY);
	holder = &ask.items[0].holder;
	ck_assert_str_eq(holder->uuid, one.owner.uuid);
	ck_assert_uint_eq(holder->instance, one.owner.instance);
	ck_assert_str_eq(holder->name, "one");
	ck_assert_str_eq(holder->host, "host-a");
	ck_assert_int_eq(holder->pid, one.owner.pid);
	ck_assert_int_eq(holder->mode, EXCLUSIVE);
	ck_assert_int_ge(holder->since, before);
	ck_assert_int_le(holder->since, (int64_t)time(NULL));
	ck_assert_ptr_nonnull(strstr(ask.err.message, "one"));
	ck_assert_ptr_nonnull(strstr(ask.err.message, one.owner.uuid));
	ck_assert_str_eq(ask.err.holder.uuid, one.owner.uuid);
	end_two();
}
END_TEST

START_TEST(private_files)
{
	struct stat st;

	start_two("private");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(stat(fcntl_entry(keys.key), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(stat(fcntl_path("", ""), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(stat(fcntl_path("keys", ""), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_uint_eq(fcntl_count("new"), 0);
	end_two();
}
END_TEST

/* ---- Damage ---- */

static int note_damaged(void *data, const struct guestlock_lock *lock)
{
	const char **key = data;

	if (!lock->readable) {
		ck_assert_str_eq(lock->key.key, *key);
		*key = NULL;
	}
	return 0;
}

/* _i: enum damage. Never taken for free, whoever asks and whatever for; what to do is said, and works. */
START_TEST(damaged_is_never_free)
{
	const struct guestlock_backend_ops *ops = contract.module->ops;
	struct guestlock_error err = {.message = ""};
	const char *damaged = keys.key[1].key;
	struct ask ask;

	start_two("damaged");
	ask_for(&ask, keys.key, 3, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	ck_assert_int_eq(ask_release(&one, &ask), GRANTED);
	fcntl_damage((enum damage)_i, &keys.key[1], &keys.key[0]);
	ck_assert_int_eq(ask_acquire(&two, &ask), UNKNOWN);
	ck_assert_int_eq(ask.items[1].result, UNKNOWN);
	ck_assert_ptr_nonnull(strstr(ask.err.message, fcntl_entry(&keys.key[1])));
	ck_assert_ptr_nonnull(strstr(ask.err.message, "guestlock release --orphan"));
	assert_none(&two, &keys.key[0], 1);
	assert_none(&two, &keys.key[2], 1);
	ck_assert_int_eq(take(&one, &keys.key[1], SHARED), UNKNOWN);
	ck_assert_int_eq(probe(&one, &keys.key[1], SHARED), UNKNOWN);
	ck_assert_int_eq(change(&one, &keys.key[1], SHARED), UNKNOWN);
	ck_assert_int_eq(drop(&one, &keys.key[1], 0), UNKNOWN);
	ck_assert_int_eq(look(&one, &keys.key[1], NULL), UNKNOWN);
	ask_for(&ask, keys.key, 3, NONE);
	ck_assert_int_eq(ask_bind(&one, &ask), GRANTED);
	ck_assert_int_eq(ask_inquire(&one, &ask), UNKNOWN);
	ck_assert_int_eq(ask.items[0].result, GUESTLOCK_RES_FREE);
	ck_assert_int_eq(ops->enumerate(host_b.backend, note_damaged, NULL, &damaged, &err), GRANTED);
	ck_assert_ptr_null(damaged);
	ck_assert_int_eq(ops->unprovision(host_a.backend, 0, &err), GRANTED);
	ck_assert_int_eq(look(&one, &keys.key[1], NULL), UNKNOWN);
	ck_assert_int_eq(ops->release_orphan(host_a.backend, keys.key[1].key, false, &err), UNKNOWN);
	if (_i == DAMAGE_DIRECTORY) {
		ck_assert_int_eq(rmdir(fcntl_entry(&keys.key[1])), 0);
	} else {
		err = (struct guestlock_error){.message = ""};
		ck_assert_int_eq(ops->release_orphan(host_b.backend, keys.key[1].key, true, &err), GRANTED);
		ck_assert_int_eq(host_b.warnings, 1);
	}
	ask_for(&ask, keys.key, 3, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&two, &ask), GRANTED);
	end_two();
}
END_TEST

/* Every byte matters: an entry with one of them changed or with its end cut off is damaged. */
START_TEST(every_byte_is_checked)
{
	size_t size, i;
	char *text;

	start_two("bytes");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	text = fcntl_read(keys.key, &size);
	for (i = 0; i < size; i++) {
		text[i] ^= 4;
		fcntl_write(keys.key, text, size);
		ck_assert_int_eq(look(&two, keys.key, NULL), UNKNOWN);
		text[i] ^= 4;
		fcntl_write(keys.key, text, i);
		ck_assert_int_eq(look(&two, keys.key, NULL), UNKNOWN);
	}
	fcntl_write(keys.key, text, size);
	ck_assert_int_eq(look(&two, keys.key, NULL), GUESTLOCK_RES_OTHER);
	free(text);
	end_two();
}
END_TEST

START_TEST(not_readable_is_not_free)
{
	start_two("unreadable");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	if (geteuid() != 0) {
		ck_assert_int_eq(chmod(fcntl_entry(keys.key), 0), 0);
		ck_assert_int_eq(look(&two, keys.key, NULL), GUESTLOCK_RES_DENIED);
		ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), GUESTLOCK_RES_DENIED);
	}
	end_two();
}
END_TEST

/* Somebody else has the entry's lock, and does not let go: nothing is waited for. */
START_TEST(a_contended_entry)
{
	struct guestlock_error err = {.message = ""};
	struct guestlock_item item = {.key = keys.key, .mode = EXCLUSIVE};
	struct guestlock_batch batch = {.items = &item, .count = 1};
	struct ask ask;
	size_t i;
	int fd;

	start_two("contended");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	fd = open(fcntl_entry(keys.key), O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(guestlock_ofd_lock(fd, F_WRLCK), 0);
	batch.owner = &two.owner;
	ck_assert_int_eq(contract.module->ops->acquire(host_b.backend, &batch, &err), GUESTLOCK_RES_AGAIN);
	ck_assert_int_eq(item.result, GUESTLOCK_RES_AGAIN);
	/* A batch is not looked into any further. */
	ask_for(&ask, keys.key, 3, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire_once(&one, &ask), GUESTLOCK_RES_AGAIN);
	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(ask.items[i].result, GUESTLOCK_RES_AGAIN);
	}
	assert_none(&one, &keys.key[1], 2);
	/* Asking does not need the lock. */
	ck_assert_int_eq(look(&two, keys.key, NULL), GUESTLOCK_RES_OTHER);
	close(fd);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), BUSY);
	end_two();
}
END_TEST

/* ---- Long entries ---- */

START_TEST(more_owners_than_fit_a_page)
{
	static struct guest many[MANY];
	struct stat st;
	struct ask ask;
	size_t i;

	start_two("many");
	for (i = 0; i < MANY; i++) {
		guest_pretend(&many[i], i % 2 == 0 ? &host_a : &host_b,
			      "one of many guests of this base image");
		ck_assert_int_eq(take(&many[i], keys.key, SHARED), GRANTED);
	}
	ck_assert_int_eq(stat(fcntl_entry(keys.key), &st), 0);
	ck_assert_int_gt(st.st_size, 4096);
	ask_for(&ask, keys.key, 1, NONE);
	ask.flags = GUESTLOCK_BATCH_ALL_HOLDERS;
	ck_assert_int_eq(ask_nobody(&host_a, &ask), GRANTED);
	ck_assert_uint_eq(ask.items[0].n_holders, MANY);
	ask_free(&ask);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), BUSY);
	for (i = 0; i < MANY; i++) {
		ck_assert_int_eq(drop(&many[i], keys.key, 0), GRANTED);
		ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), i + 1 < MANY ? BUSY : GRANTED);
		guest_kill(&many[i]);
	}
	assert_all(&two, keys.key, 1, EXCLUSIVE);
	ck_assert_uint_eq(fcntl_count("new"), 0);
	end_two();
}
END_TEST

/* However long the entry is: the line of the dead one need not be gone. */
START_TEST(an_epoch_that_somebody_saw_is_not_put_back)
{
	static struct guest many[MANY];
	struct guest dead, unsettled;
	uint64_t epoch;

	start_two("seen");
	for (size_t i = 0; i < MANY; i++) {
		guest_pretend(&many[i], &host_a, "one of many that are paused");
		ck_assert_int_eq(take(&many[i], keys.key, SHARED), GRANTED);
		ck_assert_int_eq(drop(&many[i], keys.key, GUESTLOCK_BATCH_PARK), GRANTED);
	}
	for (size_t i = 0; i < 10; i++) {
		guest_start(&dead, &host_a, "soon dead", NULL, GUEST_PLAIN);
		ck_assert_int_eq(take(&dead, keys.key, EXCLUSIVE), GRANTED);
		unsettled = dead;
		guest_kill(&dead);
		ck_assert_int_eq(take_soon(&two, keys.key, SHARED), GRANTED);
		epoch = epoch_of(&two, keys.key);
		ck_assert_int_eq(drop(&unsettled, keys.key, GUESTLOCK_BATCH_UNDO), GRANTED);
		ck_assert_uint_eq(epoch_of(&two, keys.key), epoch);
		ck_assert_int_eq(drop(&two, keys.key, 0), GRANTED);
	}
	for (size_t i = 0; i < MANY; i++) {
		guest_kill(&many[i]);
	}
	end_two();
}
END_TEST

START_TEST(the_dead_do_not_pile_up)
{
	struct guest dead;
	size_t size, i;

	start_two("pile");
	for (i = 0; i < 2 * MANY; i++) {
		guest_start(&dead, &host_a, "soon dead", NULL, GUEST_PLAIN);
		ck_assert_int_eq(take(&dead, keys.key, SHARED), GRANTED);
		guest_kill(&dead);
	}
	free(fcntl_read(keys.key, &size));
	ck_assert_uint_lt(size, 4096);
	ck_assert_int_eq(take_soon(&two, keys.key, EXCLUSIVE), GRANTED);
	end_two();
}
END_TEST

/* Interest needs no entry: none is made, and none is changed. */
START_TEST(bind_writes_nothing)
{
	char *before, *after;
	size_t size, size_after;
	struct ask ask;

	start_two("bind-writes");
	ask_for(&ask, keys.key, 2, NONE);
	ck_assert_int_eq(ask_bind(&one, &ask), GRANTED);
	ck_assert_uint_eq(fcntl_count("keys"), 0);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), GRANTED);
	before = fcntl_read(keys.key, &size);
	ck_assert_int_eq(ask_bind(&one, &ask), GRANTED);
	after = fcntl_read(keys.key, &size_after);
	ck_assert_uint_eq(size_after, size);
	ck_assert_mem_eq(after, before, size);
	ck_assert_uint_eq(fcntl_count("keys"), 1);
	free(before);
	free(after);
	end_two();
}
END_TEST

void fcntl_entry_tests(Suite *suite)
{
	TCase *tcase = fcntl_case(suite, "fcntl-entry");

	if (!tcase) {
		return;
	}
	tcase_add_test(tcase, everything_about_the_holder);
	tcase_add_test(tcase, private_files);
	tcase_add_test(tcase, bind_writes_nothing);
	tcase_add_loop_test(tcase, damaged_is_never_free, 0, DAMAGES);
	tcase_add_test(tcase, every_byte_is_checked);
	tcase_add_test(tcase, not_readable_is_not_free);
	tcase_add_test(tcase, a_contended_entry);
	tcase_add_test(tcase, more_owners_than_fit_a_page);
	tcase_add_test(tcase, an_epoch_that_somebody_saw_is_not_put_back);
	tcase_add_test(tcase, the_dead_do_not_pile_up);
}
