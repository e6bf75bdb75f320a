/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "steps.h"

/* Where the walk is, and the epoch that others are counted from. */
static const struct walk *walked;
static const struct step *now;
static uint64_t first_epoch;
static bool has_first_epoch;

static void expect(const char *what, uint64_t found, uint64_t expected)
{
	ck_assert_msg(found == expected, "%s, step %d, %s: %s is %lld instead of %lld", walked->name,
		      (int)(now - walked->steps) + 1, now->who ? now->who->owner.name : "nobody", what,
		      (long long)found, (long long)expected);
}

static void expect_epochs(const struct ask *ask)
{
	uint64_t epoch = ask->items[0].epoch;

	for (size_t i = 0; i < ask->count; i++) {
		expect("whether it has an epoch", ask->items[i].has_epoch, true);
	}
	if (!has_first_epoch) {
		has_first_epoch = true;
		first_epoch = epoch;
	}
	expect("the epoch since the first", epoch - first_epoch, now->epoch - EPOCH(0));
}

static enum guestlock_result ask_now(struct ask *ask)
{
	switch (now->act) {
	case DROP:
		ask->flags = now->what;
		return ask_release(now->who, ask);
	case PROBE:
		ask->flags = GUESTLOCK_BATCH_PROBE;
		return ask_acquire(now->who, ask);
	case TAKE_OVER:
		ask->flags = GUESTLOCK_BATCH_TAKE_OVER;
		return ask_convert(now->who, ask);
	case CHANGE:
		return ask_convert(now->who, ask);
	case TAKE_SOON:
		return ask_acquire_soon(now->who, ask);
	case TAKE:
		return ask_acquire(now->who, ask);
	default:
		return now->who ? ask_inquire(now->who, ask) : ask_nobody(&host_b, ask);
	}
}

/* An inquiry succeeds whatever it finds. */
static void expect_found(const struct ask *ask)
{
	bool held = now->what != NONE;

	if (now->act == LOOK) {
		expect("what is found", now->gives ? ask->items[0].result : 0, now->gives);
		return;
	}
	for (size_t i = 0; i < ask->count; i++) {
		enum guestlock_result found = ask->items[i].result;

		expect("whether it is held", found == GUESTLOCK_RES_HELD, held);
		expect("whether it is an orphan", found == GUESTLOCK_RES_ORPHAN, false);
		expect("the mode", ask->items[i].held_mode, now->what);
	}
}

static void take_step(const struct guestlock_key *key, size_t count)
{
	bool looks = now->act == LOOK || now->act == HOLDS;
	struct ask ask;

	ask_for(&ask, key, count, looks || now->act == DROP ? NONE : now->what);
	if (now->only_if) {
		ask.items[0].check_epoch = true;
		ask.items[0].expected_epoch = first_epoch + now->only_if - EPOCH(0);
	}
	expect("the result", ask_now(&ask), looks ? GRANTED : now->gives);
	if (looks) {
		expect_found(&ask);
	} else if (now->because_of) {
		expect("the key's own result", ask.items[now->because_of].result, now->gives);
	}
	if (now->gives == GUESTLOCK_RES_MODE_MISMATCH) {
		expect("the key's own mode", ask.items[now->because_of].held_mode, NONE);
	}
	if (now->holder) {
		assert_holder(&ask.items[0].holder, now->holder);
	}
	if (now->epoch) {
		expect_epochs(&ask);
	}
}

static void be_refused(const struct guestlock_key *key, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		expect("exclusive", take(now->who, &key[i], EXCLUSIVE), BUSY);
		expect("handover", take(now->who, &key[i], HANDOVER), BUSY);
		if (contract_can(GUESTLOCK_CAP_SHARED)) {
			expect("shared", take(now->who, &key[i], SHARED), BUSY);
		}
	}
}

void walk(const struct walk *walk)
{
	walked = walk;
	has_first_epoch = false;
	for (now = walk->steps; now < walk->steps + STEPS_MOST && now->act != END; now++) {
		const struct guestlock_key *key = keys.key + now->from;
		size_t count = now->count ? now->count : walk->n_keys;

		if (now->act == KILL) {
			guest_kill(now->who);
		} else if (now->act == CALL) {
			now->call();
		} else if (now->act == REFUSED) {
			be_refused(key, count);
		} else {
			take_step(key, count);
		}
	}
}
