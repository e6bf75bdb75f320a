/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asking who has what, all of a host's locks, and those that nobody explains. */
#include "pair.h"

#include <string.h>
#include <time.h>

#define PARK GUESTLOCK_BATCH_PARK

START_TEST(nobody_has_it)
{
	struct ask ask;

	start_two("nobody");
	ask_for(&ask, keys.key, 2, GUESTLOCK_MODE_NONE);
	ask.flags = GUESTLOCK_BATCH_ALL_HOLDERS;
	ck_assert_int_eq(ask_inquire(&one, &ask), GRANTED);
	ck_assert_int_eq(ask.items[0].result, GUESTLOCK_RES_FREE);
	ck_assert_uint_eq(ask.items[0].n_others, 0);
	ck_assert_uint_eq(ask.items[0].n_holders, 0);
	ck_assert_str_eq(ask.items[0].holder.uuid, "");
	ask_free(&ask);
	ck_assert_int_eq(ask_nobody(&host_b, &ask), GRANTED);
	ck_assert_int_eq(ask.items[1].result, GUESTLOCK_RES_FREE);
	ask_free(&ask);
	end_two();
}
END_TEST

START_TEST(one_has_it)
{
	enum guestlock_mode mode;
	struct ask ask;

	start_two("one");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(look(&one, keys.key, &mode), GUESTLOCK_RES_HELD);
	ck_assert_int_eq(mode, EXCLUSIVE);
	ask_for(&ask, keys.key, 2, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_inquire(&two, &ask), GRANTED);
	ck_assert_int_eq(ask.items[0].result, GUESTLOCK_RES_OTHER);
	ck_assert_int_eq(ask.items[0].held_mode, GUESTLOCK_MODE_NONE);
	ck_assert_uint_eq(ask.items[0].n_others, 1);
	ck_assert_str_eq(ask.items[0].holder.uuid, one.owner.uuid);
	assert_holder(&ask.items[0].holder, &one);
	ck_assert_int_eq(ask.items[1].result, GUESTLOCK_RES_FREE);
	ck_assert_int_eq(ask_nobody(&host_a, &ask), GRANTED);
	ck_assert_int_eq(ask.items[0].result, GUESTLOCK_RES_OTHER);
	end_two();
}
END_TEST

START_TEST(parked_is_not_held)
{
	struct ask ask;

	start_two("parked");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(drop(&one, keys.key, PARK), GRANTED);
	ask_for(&ask, keys.key, 1, GUESTLOCK_MODE_NONE);
	ask.flags = GUESTLOCK_BATCH_ALL_HOLDERS;
	ck_assert_int_eq(ask_inquire(&two, &ask), GRANTED);
	ck_assert_int_eq(ask.items[0].result, GUESTLOCK_RES_FREE);
	ck_assert_uint_eq(ask.items[0].n_others, 0);
	ck_assert_uint_eq(ask.items[0].n_holders, 0);
	ask_free(&ask);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), GRANTED);
	end_two();
}
END_TEST

static const struct guestlock_holder *find_holder(const struct guestlock_item *item,
						  const struct guest *guest)
{
	size_t i;

	for (i = 0; i < item->n_holders; i++) {
		if (strcmp(item->holders[i].uuid, guest->owner.uuid) == 0) {
			assert_holder(&item->holders[i], guest);
			return &item->holders[i];
		}
	}
	return NULL;
}

START_TEST(several_have_it)
{
	struct guest three;
	struct ask ask;

	start_two("several");
	guest_start(&three, &host_a, "three", NULL, GUEST_PLAIN);
	ck_assert_int_eq(take(&one, keys.key, SHARED), GRANTED);
	ck_assert_int_eq(take(&two, keys.key, SHARED), GRANTED);
	ck_assert_int_eq(take(&three, keys.key, SHARED), GRANTED);
	ask_for(&ask, keys.key, 1, GUESTLOCK_MODE_NONE);
	ask.flags = GUESTLOCK_BATCH_ALL_HOLDERS;
	ck_assert_int_eq(ask_inquire(&one, &ask), GRANTED);
	ck_assert_int_eq(ask.items[0].result, GUESTLOCK_RES_HELD);
	ck_assert_int_eq(ask.items[0].held_mode, SHARED);
	ck_assert_uint_eq(ask.items[0].n_others, 2);
	ck_assert_uint_eq(ask.items[0].n_holders, 3);
	ck_assert_int_eq(find_holder(&ask.items[0], &one)->mode, SHARED);
	ck_assert_int_eq(find_holder(&ask.items[0], &two)->mode, SHARED);
	ck_assert_int_eq(find_holder(&ask.items[0], &three)->mode, SHARED);
	ask_free(&ask);
	guest_kill(&three);
	ck_assert_int_eq(ask_nobody(&host_a, &ask), GRANTED);
	ck_assert_uint_eq(ask.items[0].n_others, 2);
	ck_assert_ptr_null(find_holder(&ask.items[0], &three));
	ask_free(&ask);
	end_two();
}
END_TEST

/* ---- enumerate ---- */

#define MOST_SEEN 64

struct seen {
	struct guestlock_lock locks[MOST_SEEN]; /* the strings in them are gone with the visit */
	enum guestlock_life lives[MOST_SEEN];
	size_t count, stop_at;
};

static int note(void *data, const struct guestlock_lock *lock)
{
	struct seen *seen = data;
	size_t at = seen->count++;

	ck_assert_uint_lt(at, MOST_SEEN);
	seen->locks[at] = *lock;
	seen->lives[at] = guestlock_owner_life(&lock->owner, host_a.life_dir);
	ck_assert(lock->readable);
	ck_assert_str_eq(lock->owner.manager, host_a.run_dir);
	ck_assert_str_eq(lock->owner.host, host_a.name);
	ck_assert(lock->key.identity[0] == '\0' || strncmp(lock->key.identity, "file:/", 6) == 0);
	return seen->count == seen->stop_at;
}

static void enumerate(struct seen *seen, size_t stop_at)
{
	struct guestlock_error err = {.message = ""};

	memset(seen, 0, sizeof(*seen));
	seen->stop_at = stop_at;
	ck_assert_msg(contract.module->ops->enumerate(host_a.backend, note, NULL, seen, &err) == GRANTED,
		      "%s", err.message);
	ck_assert_str_eq(err.message, "");
}

static const struct guestlock_lock *find_lock(const struct seen *seen, const struct guest *guest,
					      const struct guestlock_key *key)
{
	size_t i;

	for (i = 0; i < seen->count; i++) {
		if (strcmp(seen->locks[i].key.key, key->key) == 0 &&
		    strcmp(seen->locks[i].owner.uuid, guest->owner.uuid) == 0) {
			ck_assert_uint_eq(seen->locks[i].owner.instance, guest->owner.instance);
			return &seen->locks[i];
		}
	}
	return NULL;
}

START_TEST(enumerate_finds_all_of_this_host)
{
	struct ask ask;
	struct seen seen;
	size_t i;

	start_two("enumerate");
	enumerate(&seen, 0);
	ck_assert_uint_eq(seen.count, 0);
	ask_for(&ask, keys.key, 9, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	ck_assert_int_eq(drop(&one, &keys.key[8], PARK), GRANTED);
	ck_assert_int_eq(drop(&one, &keys.key[7], 0), GRANTED);
	ck_assert_int_eq(take(&two, &keys.key[9], EXCLUSIVE), GRANTED);
	enumerate(&seen, 0);
	for (i = 0; i < 7; i++) {
		const struct guestlock_lock *lock = find_lock(&seen, &one, &keys.key[i]);

		ck_assert_ptr_nonnull(lock);
		ck_assert_int_eq(lock->mode, EXCLUSIVE);
		ck_assert_int_eq(seen.lives[lock - seen.locks], GUESTLOCK_LIFE_ALIVE);
	}
	ck_assert_ptr_null(find_lock(&seen, &one, &keys.key[7]));
	if (find_lock(&seen, &one, &keys.key[8])) {
		ck_assert_int_eq(find_lock(&seen, &one, &keys.key[8])->mode, GUESTLOCK_MODE_NONE);
	}
	ck_assert_ptr_null(find_lock(&seen, &two, &keys.key[9]));
	enumerate(&seen, 3);
	ck_assert_uint_eq(seen.count, 3);
	end_two();
}
END_TEST

struct asked {
	const struct guestlock_key *skip;
	size_t asked, skipped, visited;
	int64_t changed_ns;
};

static bool is_known(void *data, const char *key, int64_t changed_ns)
{
	struct asked *asked = data;
	bool skip = strcmp(key, asked->skip->key) == 0;

	asked->asked++;
	if (skip) {
		asked->skipped++;
		asked->changed_ns = changed_ns;
	}
	return skip;
}

static int note_visited(void *data, const struct guestlock_lock *lock)
{
	struct asked *asked = data;

	asked->visited += strcmp(lock->key.key, asked->skip->key) == 0;
	return 0;
}

static void ask_unchanged(struct asked *asked)
{
	struct guestlock_error err = {.message = ""};

	*asked = (struct asked){.skip = &keys.key[0]};
	ck_assert_int_eq(contract.module->ops->enumerate(host_a.backend, note_visited, is_known, asked, &err),
			 GRANTED);
	/* A backend need not ask; if it does, it is told. */
	ck_assert_uint_eq(asked->visited, asked->skipped ? 0 : 1);
}

START_TEST(enumerate_passes_over_what_is_known)
{
	struct timespec pause = {.tv_nsec = 20000000};
	struct asked before, after;

	start_two("enumerate-known");
	ck_assert_int_eq(take(&one, &keys.key[0], EXCLUSIVE), GRANTED);
	ck_assert_int_eq(take(&one, &keys.key[1], EXCLUSIVE), GRANTED);
	ask_unchanged(&before);
	nanosleep(&pause, NULL);
	ask_unchanged(&after);
	ck_assert_int_eq(after.changed_ns, before.changed_ns);
	ck_assert_int_eq(drop(&one, &keys.key[0], 0), GRANTED);
	ck_assert_int_eq(take(&one, &keys.key[0], EXCLUSIVE), GRANTED);
	ask_unchanged(&after);
	if (after.skipped) {
		ck_assert_int_gt(after.changed_ns, before.changed_ns);
	}
	end_two();
}
END_TEST

START_TEST(enumerate_tells_who_is_dead)
{
	const struct guestlock_lock *lock;
	struct guest three;
	struct seen seen;

	start_two("enumerate-dead");
	guest_start(&three, &host_a, "three", NULL, GUEST_PLAIN);
	ck_assert_int_eq(take(&one, &keys.key[0], EXCLUSIVE), GRANTED);
	ck_assert_int_eq(take(&three, &keys.key[1], EXCLUSIVE), GRANTED);
	guest_kill(&one);
	contract_sleep_us(CONTRACT_DEATH_US);
	enumerate(&seen, 0);
	/* A technology that has freed it by itself need not show it any more. */
	lock = find_lock(&seen, &one, &keys.key[0]);
	ck_assert(!lock || guestlock_owner_life(&lock->owner, host_a.life_dir) == GUESTLOCK_LIFE_DEAD);
	lock = find_lock(&seen, &three, &keys.key[1]);
	ck_assert_ptr_nonnull(lock);
	ck_assert_int_eq(seen.lives[lock - seen.locks], GUESTLOCK_LIFE_ALIVE);
	guest_kill(&three);
	guest_kill(&two);
}
END_TEST

/* ---- survey ---- */

static int note_any(void *data, const struct guestlock_lock *lock)
{
	struct seen *seen = data;
	size_t at = seen->count++;

	ck_assert_uint_lt(at, MOST_SEEN);
	seen->locks[at] = *lock;
	ck_assert(lock->readable);
	ck_assert_int_ne(lock->mode, GUESTLOCK_MODE_NONE);
	ck_assert_ptr_nonnull(lock->owner.host);
	ck_assert(lock->key.identity[0] == '\0' || strncmp(lock->key.identity, "file:/", 6) == 0);
	return seen->count == seen->stop_at;
}

static void note_no_silence(void *data, const char *host, const char *reason)
{
	(void)data;
	ck_abort_msg("host %s is silent: %s", host, reason);
}

static void survey(struct host *host, const struct guestlock_key *key, size_t stop_at, struct seen *seen)
{
	struct guestlock_error err = {.message = ""};

	memset(seen, 0, sizeof(*seen));
	seen->stop_at = stop_at;
	ck_assert_msg(contract.module->ops->survey(host->backend, key ? key->key : NULL,
						   guestlock_monotonic_ms() + CONTRACT_WAIT_MS, note_any,
						   note_no_silence, seen, &err) == GRANTED,
		      "%s", err.message);
	ck_assert_str_eq(err.message, "");
}

/*
 * All that enumerate finds of the living and held; and of other hosts the same, where one process can play
 * two, or each has a keeper.
 */
START_TEST(survey_finds_all)
{
	bool plays_two = contract.behind || !contract_can(GUESTLOCK_CAP_MAY_BLOCK);
	const struct guestlock_lock *lock;
	struct seen seen;
	struct ask ask;

	start_two("survey");
	ask_for(&ask, keys.key, 3, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	ck_assert_int_eq(drop(&one, &keys.key[2], PARK), GRANTED);
	ck_assert_int_eq(take(&two, &keys.key[3], EXCLUSIVE), GRANTED);
	survey(&host_a, NULL, 0, &seen);
	for (size_t i = 0; i < 2; i++) {
		lock = find_lock(&seen, &one, &keys.key[i]);
		ck_assert_ptr_nonnull(lock);
		ck_assert_int_eq(lock->mode, EXCLUSIVE);
		ck_assert_int_eq(lock->owner.pid, one.owner.pid);
	}
	ck_assert_ptr_null(find_lock(&seen, &one, &keys.key[2]));
	ck_assert_uint_eq(find_lock(&seen, &two, &keys.key[3]) != NULL, plays_two);
	survey(&host_b, NULL, 0, &seen);
	ck_assert_ptr_nonnull(find_lock(&seen, &two, &keys.key[3]));
	ck_assert_uint_eq(find_lock(&seen, &one, &keys.key[0]) != NULL, plays_two);
	survey(&host_a, &keys.key[1], 0, &seen);
	ck_assert_uint_eq(seen.count, 1);
	ck_assert_ptr_nonnull(find_lock(&seen, &one, &keys.key[1]));
	survey(&host_a, NULL, 1, &seen);
	ck_assert_uint_eq(seen.count, 1);
	guest_kill(&one);
	contract_sleep_us(CONTRACT_DEATH_US);
	survey(&host_a, NULL, 0, &seen);
	ck_assert_ptr_null(find_lock(&seen, &one, &keys.key[0]));
	guest_kill(&two);
}
END_TEST

/* ---- release_orphan ---- */

static enum guestlock_result release_orphan(struct host *host, const struct guestlock_key *key, bool force)
{
	struct guestlock_error err = {.message = ""};
	enum guestlock_result result =
		contract.module->ops->release_orphan(host->backend, key->key, force, &err);

	ck_assert_int_eq(result == GRANTED, err.message[0] == '\0');
	return result;
}

START_TEST(the_dead_are_released)
{
	struct seen seen;

	start_two("orphan-dead");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	guest_kill(&one);
	contract_sleep_us(CONTRACT_DEATH_US);
	enumerate(&seen, 0);
	if (seen.count > 0) {
		ck_assert_int_eq(release_orphan(&host_a, keys.key, false), GRANTED);
	}
	enumerate(&seen, 0);
	ck_assert_uint_eq(seen.count, 0);
	ck_assert_int_ne(release_orphan(&host_a, keys.key, false), GRANTED);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), GRANTED);
	guest_kill(&two);
}
END_TEST

START_TEST(the_living_are_released_by_force)
{
	start_two("orphan-force");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(release_orphan(&host_a, keys.key, false), BUSY);
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	ck_assert_int_eq(release_orphan(&host_a, keys.key, true), GRANTED);
	assert_none(&one, keys.key, 1);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), GRANTED);
	end_two();
}
END_TEST

/* A dead and a living guest of one host share it: only the dead one goes. */
START_TEST(the_living_stay)
{
	struct guest three;
	struct seen seen;

	start_two("orphan-both");
	guest_start(&three, &host_a, "three", NULL, GUEST_PLAIN);
	ck_assert_int_eq(take(&one, keys.key, SHARED), GRANTED);
	ck_assert_int_eq(take(&three, keys.key, SHARED), GRANTED);
	guest_kill(&one);
	contract_sleep_us(CONTRACT_DEATH_US);
	enumerate(&seen, 0);
	if (find_lock(&seen, &one, keys.key)) {
		ck_assert_int_eq(release_orphan(&host_a, keys.key, false), GRANTED);
	}
	enumerate(&seen, 0);
	ck_assert_ptr_null(find_lock(&seen, &one, keys.key));
	assert_all(&three, keys.key, 1, SHARED);
	ck_assert_int_eq(release_orphan(&host_a, keys.key, false), BUSY);
	guest_kill(&three);
	guest_kill(&two);
}
END_TEST

START_TEST(nobody_is_released)
{
	start_two("orphan-nobody");
	ck_assert_int_eq(release_orphan(&host_a, &keys.key[0], true), GUESTLOCK_RES_NO_ORPHAN);
	ck_assert_int_eq(take(&two, &keys.key[1], EXCLUSIVE), GRANTED);
	/* Another host's lock is not ours to release. */
	ck_assert_int_ne(release_orphan(&host_a, &keys.key[1], false), GRANTED);
	ck_assert_int_ne(release_orphan(&host_a, &keys.key[1], true), GRANTED);
	assert_all(&two, &keys.key[1], 1, EXCLUSIVE);
	end_two();
}
END_TEST

void look_tests(Suite *suite)
{
	TCase *tcase = contract_case(suite, "look");

	tcase_add_test(tcase, nobody_has_it);
	tcase_add_test(tcase, one_has_it);
	tcase_add_test(tcase, parked_is_not_held);
	tcase_add_test(tcase, enumerate_finds_all_of_this_host);
	tcase_add_test(tcase, enumerate_passes_over_what_is_known);
	tcase_add_test(tcase, enumerate_tells_who_is_dead);
	if (contract_can(GUESTLOCK_CAP_CLUSTER)) {
		tcase_add_test(tcase, survey_finds_all);
	}
	tcase_add_test(tcase, the_dead_are_released);
	tcase_add_test(tcase, the_living_are_released_by_force);
	tcase_add_test(tcase, nobody_is_released);
	if (contract_can(GUESTLOCK_CAP_SHARED)) {
		/* Those who share on other hosts are known to the keepers alone. */
		if (!contract_can(GUESTLOCK_CAP_MAY_BLOCK)) {
			tcase_add_test(tcase, several_have_it);
		}
		tcase_add_test(tcase, the_living_stay);
	}
}
