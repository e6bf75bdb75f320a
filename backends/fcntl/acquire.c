/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking locks.
 *
 * One key is taken by one write. Several are taken in two rounds: first all intents, then all grants. A kill
 * in the first round leaves intents only, no epoch has moved. A kill in the second leaves every key either
 * granted or with the intent, all of them still closed to others: the same acquire repeated completes it,
 * release with BATCH_UNDO puts the epochs back that have moved.
 */
#include "fcntl_priv.h"

static bool is_held(const struct gl_fcntl_line *own, enum guestlock_mode mode)
{
	return own && own->mode != GUESTLOCK_MODE_NONE && own->mode >= mode;
}

static void judge_epoch(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot)
{
	const struct guestlock_item *item = slot->item;

	if (!item->check_epoch) {
		return;
	}
	if (!slot->entry.has_epoch) {
		gl_fcntl_slot_fail(
			call, slot, GUESTLOCK_RES_UNPROVEN,
			"nothing is known any more of who held it since the guest's state was saved; if "
			"nobody wrote to it, set resume_check = off and try again");
	} else if (slot->entry.epoch != item->expected_epoch) {
		gl_fcntl_slot_fail(
			call, slot, GUESTLOCK_RES_STALE,
			"another guest held it exclusively since this guest's state was saved; start the "
			"guest afresh instead of resuming it");
	}
}

static void judge_acquire(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot)
{
	const struct gl_fcntl_line *own = gl_fcntl_slot_own(call, slot, false);
	const struct gl_fcntl_line *other;
	enum guestlock_mode mode = slot->item->mode;

	if (mode < GUESTLOCK_MODE_SHARED || mode > GUESTLOCK_MODE_EXCLUSIVE) {
		gl_fcntl_slot_fail(call, slot, GUESTLOCK_RES_INVALID, "there is no mode %d to take",
				   (int)mode);
		return;
	}
	if (is_held(own, mode)) {
		/* What an unfinished acquire wanted beyond that is given up. */
		slot->change = own->intent != GUESTLOCK_MODE_NONE;
		return;
	}
	other = gl_fcntl_conflict(call->fc, &slot->entry, call->batch->owner, mode);
	if (other) {
		gl_fcntl_slot_busy(call, slot, other);
		return;
	}
	judge_epoch(call, slot);
	slot->change = true;
}

static size_t count_changes(const struct gl_fcntl_call *call)
{
	size_t changes = 0;
	size_t i;

	for (i = 0; i < call->count; i++) {
		changes += call->slots[i].change;
	}
	return changes;
}

static bool set_intent(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot)
{
	struct gl_fcntl_line *own = gl_fcntl_slot_own(call, slot, true);

	if (own) {
		own->intent = is_held(own, slot->item->mode) ? GUESTLOCK_MODE_NONE : slot->item->mode;
	}
	return own != NULL;
}

static void move_epoch(struct gl_fcntl_entry *entry, struct gl_fcntl_line *own, enum guestlock_mode mode)
{
	own->moved = mode == GUESTLOCK_MODE_EXCLUSIVE;
	own->has_before = own->moved && entry->has_epoch;
	own->before = own->has_before ? entry->epoch : 0;
	if (!entry->has_epoch) {
		entry->epoch = guestlock_random64();
		entry->has_epoch = true;
	} else if (mode == GUESTLOCK_MODE_EXCLUSIVE) {
		entry->epoch++;
	}
}

/* Whoever gets it has seen its epoch: a dead one that is settled later, and never used what it had, puts back none. */
static void keep_epoch(struct gl_fcntl_entry *entry, const struct gl_fcntl_line *own)
{
	for (size_t i = 0; i < entry->count; i++) {
		entry->lines[i].moved &= &entry->lines[i] == own;
	}
}

static bool set_grant(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot)
{
	struct gl_fcntl_line *own = gl_fcntl_slot_own(call, slot, true);

	if (!own) {
		return false;
	}
	own->intent = GUESTLOCK_MODE_NONE;
	if (!is_held(own, slot->item->mode)) {
		keep_epoch(&slot->entry, own);
		move_epoch(&slot->entry, own, slot->item->mode);
		own->mode = slot->item->mode;
		own->since = call->now > 0 ? call->now : 0;
	}
	return true;
}

/* Changes all slots that are to be changed in memory, then writes them. */
static bool round_of(struct gl_fcntl_call *call, bool (*set)(struct gl_fcntl_call *, struct gl_fcntl_slot *))
{
	size_t i;

	for (i = 0; i < call->count; i++) {
		if (call->slots[i].change && !set(call, &call->slots[i])) {
			return false;
		}
	}
	return gl_fcntl_call_write(call);
}

static void prune_all(struct gl_fcntl_call *call)
{
	size_t i;

	for (i = 0; i < call->count; i++) {
		if (call->slots[i].change) {
			gl_fcntl_prune(call->fc, &call->slots[i].entry, call->batch->owner);
		}
	}
}

static void tell_all(struct gl_fcntl_call *call)
{
	size_t i;

	for (i = 0; i < call->count; i++) {
		gl_fcntl_slot_tell(&call->slots[i]);
	}
}

static void take_all(struct gl_fcntl_call *call)
{
	prune_all(call);
	if (count_changes(call) > 1 && !round_of(call, set_intent)) {
		return;
	}
	if (round_of(call, set_grant)) {
		tell_all(call);
	}
}

enum guestlock_result gl_fcntl_acquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
				       struct guestlock_error *err)
{
	bool probe = (batch->flags & GUESTLOCK_BATCH_PROBE) != 0;
	struct gl_fcntl_call call;
	size_t i;

	gl_fcntl_call_begin(&call, backend, batch, "lock", err);
	gl_fcntl_call_open(&call, probe);
	for (i = 0; i < call.count; i++) {
		if (call.slots[i].item->result == GUESTLOCK_RES_GRANTED) {
			judge_acquire(&call, &call.slots[i]);
		}
	}
	if (call.result == GUESTLOCK_RES_GRANTED && !probe) {
		take_all(&call);
	}
	return gl_fcntl_call_end(&call);
}

/*
 * Nothing to do: an entry keeps its epoch whether somebody is interested or not, and who holds it counts by
 * the owner's life lock. So a guest that was only bound is in no entry.
 */
enum guestlock_result gl_fcntl_bind(struct guestlock_backend *backend, struct guestlock_batch *batch,
				    struct guestlock_error *err)
{
	enum guestlock_result result = gl_fcntl_check_joined(gl_fcntl_of(backend), err);

	guestlock_batch_answer(batch, result);
	return result;
}
