/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Giving up, and changing the mode of what is held. */
#include "fcntl_priv.h"

/* The epoch moved with the grant that is undone. Nobody else can have taken the key exclusively since. */
static void undo_epoch(struct gl_fcntl_entry *entry, const struct gl_fcntl_line *own)
{
	if (own->mode == GUESTLOCK_MODE_EXCLUSIVE && own->moved) {
		entry->has_epoch = own->has_before;
		entry->epoch = own->before;
	}
}

/* false: nothing to write. */
static bool give_up(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot, struct gl_fcntl_line *own)
{
	if (call->batch->flags & GUESTLOCK_BATCH_UNDO) {
		undo_epoch(&slot->entry, own);
	}
	if (!(call->batch->flags & GUESTLOCK_BATCH_PARK)) {
		gl_fcntl_entry_drop(&slot->entry, (size_t)(own - slot->entry.lines));
		return true;
	}
	if (gl_fcntl_line_weight(own) == GUESTLOCK_MODE_NONE) {
		return false;
	}
	own->mode = GUESTLOCK_MODE_NONE;
	own->intent = GUESTLOCK_MODE_NONE;
	own->moved = false;
	return true;
}

/* Each key by itself: what was released stays so, whatever becomes of the others. */
static void release_slot(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot)
{
	struct gl_fcntl_line *own;

	if (!gl_fcntl_slot_open(call, slot, false)) {
		return;
	}
	own = gl_fcntl_slot_own(call, slot, false);
	if (!own || !give_up(call, slot, own)) {
		return;
	}
	gl_fcntl_prune(call->fc, &slot->entry, call->batch->owner);
	if (gl_fcntl_slot_write(call, slot)) {
		gl_fcntl_slot_tell(slot);
	}
}

enum guestlock_result gl_fcntl_release(struct guestlock_backend *backend, struct guestlock_batch *batch,
				       struct guestlock_error *err)
{
	struct gl_fcntl_call call;
	size_t i;

	gl_fcntl_call_begin(&call, backend, batch, "release", err);
	for (i = 0; i < call.count; i++) {
		release_slot(&call, &call.slots[i]);
		gl_fcntl_entry_close(&call.slots[i].entry);
	}
	return gl_fcntl_call_end(&call);
}

/* ---- convert ---- */

static void judge_convert(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot)
{
	struct gl_fcntl_line *own = gl_fcntl_slot_own(call, slot, false);
	enum guestlock_mode mode = slot->item->mode;
	const struct gl_fcntl_line *other;

	slot->item->held_mode = own ? own->mode : GUESTLOCK_MODE_NONE;
	if (mode < GUESTLOCK_MODE_SHARED || mode > GUESTLOCK_MODE_EXCLUSIVE) {
		gl_fcntl_slot_fail(call, slot, GUESTLOCK_RES_INVALID, "there is no mode %d to change to",
				   (int)mode);
		return;
	}
	if (slot->item->held_mode == GUESTLOCK_MODE_NONE) {
		gl_fcntl_slot_fail(call, slot, GUESTLOCK_RES_MODE_MISMATCH,
				   "this guest does not hold it; acquire it instead");
		return;
	}
	other = gl_fcntl_conflict(call->fc, &slot->entry, call->batch->owner, mode);
	if (other) {
		gl_fcntl_slot_busy(call, slot, other);
		return;
	}
	slot->change = own->mode != mode || own->intent != GUESTLOCK_MODE_NONE;
}

/*
 * Whoever comes from shared was not alone before: for everybody else that is a new exclusive hold. So is a
 * take-over, for what was saved of the guest at the other end.
 */
static void set_mode(struct gl_fcntl_slot *slot, struct gl_fcntl_line *own, unsigned flags)
{
	bool takes_over = flags & GUESTLOCK_BATCH_TAKE_OVER && own->mode == GUESTLOCK_MODE_HANDOVER &&
			  slot->item->mode == GUESTLOCK_MODE_EXCLUSIVE;

	if (takes_over || (own->mode == GUESTLOCK_MODE_SHARED && slot->item->mode > GUESTLOCK_MODE_SHARED)) {
		slot->entry.epoch = slot->entry.has_epoch ? slot->entry.epoch + 1 : guestlock_random64();
		slot->entry.has_epoch = true;
	}
	own->mode = slot->item->mode;
	own->intent = GUESTLOCK_MODE_NONE;
	own->moved = false;
}

static void convert_all(struct gl_fcntl_call *call)
{
	size_t i;

	for (i = 0; i < call->count; i++) {
		struct gl_fcntl_slot *slot = &call->slots[i];

		if (slot->change) {
			gl_fcntl_prune(call->fc, &slot->entry, call->batch->owner);
			set_mode(slot, gl_fcntl_slot_own(call, slot, false), call->batch->flags);
		}
	}
	if (!gl_fcntl_call_write(call)) {
		return;
	}
	for (i = 0; i < call->count; i++) {
		gl_fcntl_slot_tell(&call->slots[i]);
		call->slots[i].item->held_mode = call->slots[i].item->mode;
	}
}

enum guestlock_result gl_fcntl_convert(struct guestlock_backend *backend, struct guestlock_batch *batch,
				       struct guestlock_error *err)
{
	struct gl_fcntl_call call;
	size_t i;

	gl_fcntl_call_begin(&call, backend, batch, "change the mode of", err);
	gl_fcntl_call_open(&call, false);
	for (i = 0; i < call.count; i++) {
		if (call.slots[i].item->result == GUESTLOCK_RES_GRANTED) {
			judge_convert(&call, &call.slots[i]);
		}
	}
	if (call.result == GUESTLOCK_RES_GRANTED) {
		convert_all(&call);
	}
	return gl_fcntl_call_end(&call);
}
