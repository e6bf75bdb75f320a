/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Epochs move with exclusive grants and nothing else, and tell whether anybody else had one. */
#include "pair.h"

#define PARK GUESTLOCK_BATCH_PARK
#define UNDO GUESTLOCK_BATCH_UNDO
#define N 5

/* Epochs live as long as somebody has interest in them: this one has, in all. */
static struct guest witness;

static void start_three(const char *group)
{
	struct ask ask;

	start_two(group);
	guest_start(&witness, &host_b, "witness", NULL, GUEST_PLAIN);
	ask_for(&ask, keys.key, N, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_bind(&witness, &ask), GRANTED);
}

static void end_three(void)
{
	guest_kill(&witness);
	end_two();
}

/* Takes a key exclusively and gives the epoch. */
static uint64_t take_epoch(const struct guest *guest, const struct guestlock_key *key)
{
	struct ask ask;

	ask_for(&ask, key, 1, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(guest, &ask), GRANTED);
	ck_assert(ask.items[0].has_epoch);
	return ask.items[0].epoch;
}

static enum guestlock_result take_if(const struct guest *guest, const struct guestlock_key *key,
				     uint64_t epoch, bool soon)
{
	struct ask ask;

	ask_for(&ask, key, 1, EXCLUSIVE);
	ask.items[0].check_epoch = true;
	ask.items[0].expected_epoch = epoch;
	return soon ? ask_acquire_soon(guest, &ask) : ask_acquire(guest, &ask);
}

static enum guestlock_result take_checked(const struct guest *guest, const struct guestlock_key *key,
					  uint64_t epoch)
{
	return take_if(guest, key, epoch, false);
}

START_TEST(each_exclusive_grant_moves_it_by_one)
{
	uint64_t epoch;

	start_three("moves");
	epoch = take_epoch(&one, keys.key);
	ck_assert_uint_eq(epoch_of(&one, keys.key), epoch);
	ck_assert_int_eq(drop(&one, keys.key, 0), GRANTED);
	ck_assert_uint_eq(take_epoch(&two, keys.key), epoch + 1);
	ck_assert_int_eq(drop(&two, keys.key, 0), GRANTED);
	ck_assert_uint_eq(take_epoch(&two, keys.key), epoch + 2);
	end_three();
}
END_TEST

START_TEST(first_epochs_are_not_guessed)
{
	struct ask ask;

	start_three("random");
	ask_for(&ask, keys.key, 3, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	ck_assert_uint_ne(ask.items[0].epoch, ask.items[1].epoch);
	ck_assert_uint_ne(ask.items[1].epoch, ask.items[2].epoch);
	end_three();
}
END_TEST

START_TEST(release_and_inquire_tell_the_same)
{
	struct ask ask;
	uint64_t epoch;

	start_three("same");
	epoch = take_epoch(&one, keys.key);
	ask_for(&ask, keys.key, 1, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_release(&one, &ask), GRANTED);
	ck_assert(ask.items[0].has_epoch);
	ck_assert_uint_eq(ask.items[0].epoch, epoch);
	/* A second release of the same gives the same again. */
	ck_assert_int_eq(ask_release(&one, &ask), GRANTED);
	ck_assert(ask.items[0].has_epoch);
	ck_assert_uint_eq(ask.items[0].epoch, epoch);
	ck_assert_uint_eq(epoch_of(&one, keys.key), epoch);
	ck_assert_uint_eq(epoch_of(&two, keys.key), epoch);
	ask_for(&ask, keys.key, 1, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_nobody(&host_b, &ask), GRANTED);
	ck_assert_uint_eq(ask.items[0].epoch, epoch);
	end_three();
}
END_TEST

START_TEST(shared_does_not_move_it)
{
	struct ask ask;
	uint64_t epoch;

	start_three("shared-epoch");
	epoch = take_epoch(&one, keys.key);
	ck_assert_int_eq(drop(&one, keys.key, PARK), GRANTED);
	ask_for(&ask, keys.key, 1, SHARED);
	ck_assert_int_eq(ask_acquire(&two, &ask), GRANTED);
	ck_assert(ask.items[0].has_epoch);
	ck_assert_uint_eq(ask.items[0].epoch, epoch);
	ck_assert_int_eq(drop(&two, keys.key, 0), GRANTED);
	ck_assert_int_eq(take_checked(&one, keys.key, epoch), GRANTED);
	ck_assert_uint_eq(epoch_of(&one, keys.key), epoch + 1);
	end_three();
}
END_TEST

START_TEST(a_new_key_taken_shared_has_one)
{
	struct ask ask;

	start_three("shared-new");
	ask_for(&ask, keys.key, 1, SHARED);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	ck_assert(ask.items[0].has_epoch);
	ck_assert_uint_eq(epoch_of(&two, keys.key), ask.items[0].epoch);
	end_three();
}
END_TEST

START_TEST(from_shared_to_exclusive_moves_it)
{
	struct ask ask;
	uint64_t epoch;

	start_three("upgrade-epoch");
	ck_assert_int_eq(take(&one, keys.key, SHARED), GRANTED);
	epoch = epoch_of(&one, keys.key);
	ck_assert_uint_eq(take_epoch(&one, keys.key), epoch + 1);
	if (contract_can(GUESTLOCK_CAP_HANDOVER)) {
		ck_assert_int_eq(change(&one, keys.key, SHARED), GRANTED);
		ck_assert_uint_eq(epoch_of(&one, keys.key), epoch + 1);
		ask_for(&ask, keys.key, 1, EXCLUSIVE);
		ck_assert_int_eq(ask_convert(&one, &ask), GRANTED);
		ck_assert_uint_ne(ask.items[0].epoch, epoch + 1);
		ck_assert_uint_eq(epoch_of(&two, keys.key), ask.items[0].epoch);
	}
	end_three();
}
END_TEST

START_TEST(a_refused_batch_moves_none)
{
	uint64_t epochs[N];
	struct ask ask;
	size_t i;

	start_three("refused");
	for (i = 0; i < N; i++) {
		epochs[i] = take_epoch(&two, &keys.key[i]);
	}
	ask_for(&ask, keys.key, N - 1, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_release(&two, &ask), GRANTED);
	ask_for(&ask, keys.key, N, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), BUSY);
	for (i = 0; i < N; i++) {
		ck_assert_uint_eq(epoch_of(&one, &keys.key[i]), epochs[i]);
	}
	end_three();
}
END_TEST

START_TEST(a_probe_moves_none)
{
	uint64_t epoch;

	start_three("probed");
	epoch = take_epoch(&one, keys.key);
	ck_assert_int_eq(drop(&one, keys.key, 0), GRANTED);
	ck_assert_int_eq(probe(&two, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_uint_eq(epoch_of(&two, keys.key), epoch);
	end_three();
}
END_TEST

START_TEST(resume_when_nobody_was_there)
{
	uint64_t epoch;

	start_three("resume");
	epoch = take_epoch(&one, keys.key);
	ck_assert_int_eq(drop(&one, keys.key, PARK), GRANTED);
	ck_assert_int_eq(look(&one, keys.key, NULL), GUESTLOCK_RES_FREE);
	/* Libvirt pauses twice. */
	ck_assert_int_eq(drop(&one, keys.key, PARK), GRANTED);
	ck_assert_uint_eq(epoch_of(&one, keys.key), epoch);
	ck_assert_int_eq(take_checked(&one, keys.key, epoch), GRANTED);
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	/* Resumed twice, or by a manager that was killed after the grant: it is held already. */
	ck_assert_int_eq(take_checked(&one, keys.key, epoch), GRANTED);
	ck_assert_uint_eq(epoch_of(&one, keys.key), epoch + 1);
	end_three();
}
END_TEST

START_TEST(resume_after_somebody_else)
{
	uint64_t epoch;

	start_three("stale");
	epoch = take_epoch(&one, keys.key);
	ck_assert_int_eq(drop(&one, keys.key, PARK), GRANTED);
	take_epoch(&two, keys.key);
	/* As long as it is held, that is the answer. */
	ck_assert_int_eq(take_checked(&one, keys.key, epoch), BUSY);
	ck_assert_int_eq(drop(&two, keys.key, 0), GRANTED);
	ck_assert_int_eq(take_checked(&one, keys.key, epoch), GUESTLOCK_RES_STALE);
	assert_none(&one, keys.key, 1);
	ck_assert_uint_eq(epoch_of(&one, keys.key), epoch + 1);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	end_three();
}
END_TEST

START_TEST(resume_after_a_dead_guest)
{
	uint64_t epoch;

	start_three("stale-dead");
	epoch = take_epoch(&one, keys.key);
	ck_assert_int_eq(drop(&one, keys.key, PARK), GRANTED);
	take_epoch(&two, keys.key);
	guest_kill(&two);
	ck_assert_int_eq(take_if(&one, keys.key, epoch, true), GUESTLOCK_RES_STALE);
	guest_kill(&witness);
	guest_kill(&one);
}
END_TEST

START_TEST(one_stale_key_refuses_the_batch)
{
	uint64_t epochs[N];
	struct ask ask;
	size_t i;

	start_three("stale-batch");
	ask_for(&ask, keys.key, N, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	for (i = 0; i < N; i++) {
		epochs[i] = ask.items[i].epoch;
	}
	ask.flags = PARK;
	ck_assert_int_eq(ask_release(&one, &ask), GRANTED);
	take_epoch(&two, &keys.key[3]);
	ck_assert_int_eq(drop(&two, &keys.key[3], 0), GRANTED);
	ask_for(&ask, keys.key, N, EXCLUSIVE);
	for (i = 0; i < N; i++) {
		ask.items[i].check_epoch = true;
		ask.items[i].expected_epoch = epochs[i];
	}
	ck_assert_int_eq(ask_acquire(&one, &ask), GUESTLOCK_RES_STALE);
	ck_assert_int_eq(ask.items[3].result, GUESTLOCK_RES_STALE);
	assert_none(&one, keys.key, N);
	ck_assert_uint_eq(epoch_of(&one, &keys.key[0]), epochs[0]);
	ask.items[3].check_epoch = false;
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	end_three();
}
END_TEST

/* A key that nobody ever took proves nothing about the time since a state was saved. */
START_TEST(a_key_without_epoch_is_not_proven)
{
	struct ask ask;
	enum guestlock_result result;

	start_three("unproven");
	result = take_checked(&one, keys.key, 1);
	ck_assert(result == GUESTLOCK_RES_UNPROVEN || result == GUESTLOCK_RES_STALE);
	assert_none(&one, keys.key, 1);
	ask_for(&ask, keys.key, 1, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_bind(&one, &ask), GRANTED);
	result = take_checked(&one, keys.key, 1);
	ck_assert(result == GUESTLOCK_RES_UNPROVEN || result == GUESTLOCK_RES_STALE);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	end_three();
}
END_TEST

START_TEST(undo_puts_it_back)
{
	uint64_t epoch;

	start_three("undo");
	epoch = take_epoch(&one, keys.key);
	ck_assert_int_eq(drop(&one, keys.key, PARK), GRANTED);
	ck_assert_uint_eq(take_epoch(&two, keys.key), epoch + 1);
	/* The guest never ran under that grant. */
	ck_assert_int_eq(drop(&two, keys.key, UNDO), GRANTED);
	ck_assert_uint_eq(epoch_of(&one, keys.key), epoch);
	ck_assert_int_eq(take_checked(&one, keys.key, epoch), GRANTED);
	end_three();
}
END_TEST

START_TEST(undo_and_park)
{
	uint64_t epoch;

	start_three("undo-park");
	epoch = take_epoch(&one, keys.key);
	ck_assert_int_eq(drop(&one, keys.key, PARK), GRANTED);
	ck_assert_int_eq(take_checked(&one, keys.key, epoch), GRANTED);
	ck_assert_int_eq(drop(&one, keys.key, UNDO | PARK), GRANTED);
	assert_none(&one, keys.key, 1);
	ck_assert_int_eq(take_checked(&one, keys.key, epoch), GRANTED);
	end_three();
}
END_TEST

START_TEST(undo_of_an_idle_key)
{
	uint64_t epoch;

	start_three("undo-idle");
	epoch = take_epoch(&one, keys.key);
	ck_assert_int_eq(drop(&one, keys.key, PARK), GRANTED);
	ck_assert_int_eq(drop(&one, keys.key, UNDO), GRANTED);
	ck_assert_uint_eq(epoch_of(&one, keys.key), epoch);
	/* Somebody else's epoch is not put back by one who does not hold it. */
	ck_assert_uint_eq(take_epoch(&two, keys.key), epoch + 1);
	ck_assert_int_eq(drop(&one, keys.key, UNDO), GRANTED);
	ck_assert_uint_eq(epoch_of(&two, keys.key), epoch + 1);
	end_three();
}
END_TEST

START_TEST(undo_after_the_grant_was_seen)
{
	uint64_t epoch;

	start_three("undo-seen");
	epoch = take_epoch(&one, keys.key);
	ck_assert_int_eq(change(&one, keys.key, HANDOVER), GRANTED);
	ck_assert_int_eq(change(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(drop(&one, keys.key, UNDO), GRANTED);
	ck_assert_uint_eq(epoch_of(&one, keys.key), epoch);
	end_three();
}
END_TEST

START_TEST(it_outlives_its_guests)
{
	uint64_t epoch;

	start_three("outlives");
	epoch = take_epoch(&one, keys.key);
	guest_kill(&one);
	ck_assert_int_eq(take_soon(&two, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_uint_eq(epoch_of(&two, keys.key), epoch + 1);
	guest_kill(&witness);
	guest_kill(&two);
}
END_TEST

void epoch_tests(Suite *suite)
{
	TCase *tcase = contract_case(suite, "epoch");

	if (!contract_can(GUESTLOCK_CAP_EPOCH)) {
		return;
	}
	tcase_add_test(tcase, each_exclusive_grant_moves_it_by_one);
	tcase_add_test(tcase, first_epochs_are_not_guessed);
	tcase_add_test(tcase, release_and_inquire_tell_the_same);
	tcase_add_test(tcase, a_refused_batch_moves_none);
	tcase_add_test(tcase, a_probe_moves_none);
	tcase_add_test(tcase, resume_when_nobody_was_there);
	tcase_add_test(tcase, resume_after_somebody_else);
	tcase_add_test(tcase, resume_after_a_dead_guest);
	tcase_add_test(tcase, one_stale_key_refuses_the_batch);
	tcase_add_test(tcase, a_key_without_epoch_is_not_proven);
	tcase_add_test(tcase, undo_puts_it_back);
	tcase_add_test(tcase, undo_and_park);
	tcase_add_test(tcase, undo_of_an_idle_key);
	tcase_add_test(tcase, it_outlives_its_guests);
	if (contract_can(GUESTLOCK_CAP_SHARED)) {
		tcase_add_test(tcase, shared_does_not_move_it);
		tcase_add_test(tcase, a_new_key_taken_shared_has_one);
		tcase_add_test(tcase, from_shared_to_exclusive_moves_it);
	}
	if (contract_can(GUESTLOCK_CAP_HANDOVER)) {
		tcase_add_test(tcase, undo_after_the_grant_was_seen);
	}
}
