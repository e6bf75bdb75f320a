/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changing the mode of what is held. Going down writes the block and asks the master once more; going up to
 * exclusive is granted or refused at once, and then written. A lock never passes through a weaker mode than
 * both ends of its way.
 */
#include "calls/call.h"

#include "owners/owners.h"

#include <errno.h>
#include <string.h>

static bool is_held(const struct gl_dlm_slot *slot)
{
	return slot->lock && slot->lock->mode > DLM_LOCK_NL;
}

static void check(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		if (slot->item->mode < GUESTLOCK_MODE_SHARED || slot->item->mode > GUESTLOCK_MODE_EXCLUSIVE) {
			gl_dlm_slot_fail(call, slot, GUESTLOCK_RES_INVALID, 0,
					 "there is no mode %d to change to", (int)slot->item->mode);
		} else if (!is_held(slot)) {
			gl_dlm_slot_fail(call, slot, GUESTLOCK_RES_MODE_MISMATCH, 0,
					 "it is not held; acquire it first");
		}
	}
}

/* The block after a change to a weaker mode. */
static void put_weaker(const struct gl_dlm_call *call, const struct gl_dlm_slot *slot,
		       struct gl_dlm_block *out)
{
	gl_dlm_slot_block(slot, out);
	out->valid = true;
	out->flags &= GL_DLM_HAS_EPOCH;
	out->epoch += slot->before == DLM_LOCK_PR;
	if (slot->item->mode == GUESTLOCK_MODE_HANDOVER) {
		out->flags |= GL_DLM_HANDOVER;
		out->node = call->dlm->node;
		memcpy(out->uuid, call->batch->owner->uuid, sizeof(out->uuid));
	} else {
		out->flags |= GL_DLM_SHARED | GL_DLM_RELEASED;
	}
}

/*
 * The block of what is exclusive now. From shared it is a new grant, and so it is for a target that takes
 * over; else, from handover, it is the same one as before.
 */
static void put_exclusive(const struct gl_dlm_call *call, const struct gl_dlm_slot *slot,
			  struct gl_dlm_block *out)
{
	bool known, takes_over;

	gl_dlm_slot_block(slot, out);
	known = out->valid && (out->flags & GL_DLM_HAS_EPOCH);
	takes_over = call->batch->flags & GUESTLOCK_BATCH_TAKE_OVER && out->flags & GL_DLM_HANDOVER;
	if (!known) {
		out->epoch = guestlock_random64();
	} else if (slot->before == DLM_LOCK_PR || takes_over) {
		out->epoch++;
	}
	*out = (struct gl_dlm_block){
		.valid = true,
		.flags = GL_DLM_HAS_EPOCH,
		.node = call->dlm->node,
		.epoch = out->epoch,
	};
	memcpy(out->uuid, call->batch->owner->uuid, sizeof(out->uuid));
}

/* What is not exclusive becomes so first, whatever it is to be then: refused, or granted. */
static size_t raise_all(struct gl_dlm_call *call)
{
	size_t refused = 0;

	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		slot->request = (struct gl_dlm_request){.mode = GL_DLM_NO_MODE};
		if (slot->lock->mode != gl_dlm_mode(slot->item->mode) && slot->lock->mode != DLM_LOCK_EX) {
			gl_dlm_select(call, slot, DLM_LOCK_EX, NULL);
		}
	}
	gl_dlm_round(call);
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		slot->changed = slot->request.done && slot->request.status == 0;
		slot->refused = slot->request.done && slot->request.status == EAGAIN;
		refused += slot->refused;
	}
	return refused;
}

/* Back to what it was, with the block as it is. */
static bool give_back(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		if (slot->changed && slot->lock) {
			gl_dlm_select(call, slot, slot->before, NULL);
		}
	}
	return gl_dlm_round(call);
}

static void explain_unconverted(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		if (slot->refused && slot->lock) {
			gl_dlm_select(call, slot, slot->lock->mode, NULL);
		}
	}
	if (!gl_dlm_round(call)) {
		return;
	}
	for (size_t i = 0; i < call->count; i++) {
		if (call->slots[i].refused) {
			gl_dlm_explain_refusal(call, &call->slots[i], gl_dlm_mode(call->slots[i].item->mode));
		}
	}
}

/* What is exclusive: goes down, or is written as such. */
static bool write_all(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];
		int mode = gl_dlm_mode(slot->item->mode);
		unsigned char bytes[GL_DLM_BLOCK];
		struct gl_dlm_block block;

		if (slot->lock->mode != DLM_LOCK_EX ||
		    (mode == DLM_LOCK_EX && !slot->changed && !gl_dlm_is_unfinished(call, slot))) {
			continue;
		}
		if (mode == DLM_LOCK_EX) {
			put_exclusive(call, slot, &block);
		} else {
			put_weaker(call, slot, &block);
		}
		gl_dlm_block_write(&block, bytes);
		gl_dlm_select(call, slot, mode, bytes);
	}
	return gl_dlm_round(call);
}

/* What was lowered is known to the master after one round trip. */
static bool ask_again(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		if (slot->lock->mode != DLM_LOCK_EX && slot->before == DLM_LOCK_EX) {
			gl_dlm_select(call, slot, slot->lock->mode, NULL);
		}
	}
	return gl_dlm_round(call);
}

static void change(struct gl_dlm_call *call)
{
	size_t refused = raise_all(call);

	if (refused || call->result != GUESTLOCK_RES_GRANTED) {
		if (give_back(call) && call->result == GUESTLOCK_RES_GRANTED) {
			explain_unconverted(call);
		}
		return;
	}
	if (!write_all(call) || !ask_again(call)) {
		return;
	}
	gl_dlm_seats_leave(call);
	gl_dlm_tell_all(call);
}

enum guestlock_result gl_dlm_convert(struct guestlock_backend *backend, struct guestlock_batch *batch,
				     struct guestlock_error *err)
{
	struct gl_dlm *dlm = gl_dlm_of(backend);
	struct gl_dlm_call call;

	gl_dlm_call_begin(&call, dlm, batch, gl_dlm_xid(dlm, batch->owner), "change the lock of", err);
	if (call.result == GUESTLOCK_RES_GRANTED) {
		check(&call);
	}
	if (call.result == GUESTLOCK_RES_GRANTED && gl_dlm_read_contents(&call)) {
		change(&call);
	}
	return gl_dlm_call_end(&call, true);
}
