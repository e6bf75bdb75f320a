/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Giving up. What is exclusive goes to NL first, with a block that says so, then asks the master once more
 * (the kernel lowers a lock before the master knows), then is unlocked unless it is parked: an unlock from EX
 * would write rubbish into the block.
 */
#include "calls/call.h"

#include "owners/owners.h"

#include <string.h>

/* The block of what is released. The epoch that moved with a grant that was never used moves back. */
static void put_released(const struct gl_dlm_call *call, const struct gl_dlm_slot *slot,
			 struct gl_dlm_block *out)
{
	gl_dlm_slot_block(slot, out);
	if (!out->valid) {
		/* Nothing is known of it, so nothing is said: no epoch. */
		*out = (struct gl_dlm_block){.valid = true, .node = call->dlm->node};
	}
	if (call->batch->flags & GUESTLOCK_BATCH_UNDO) {
		if (out->flags & GL_DLM_MOVED) {
			out->epoch--;
		}
		if (out->flags & GL_DLM_NEW_EPOCH) {
			out->flags &= ~(unsigned)GL_DLM_HAS_EPOCH;
		}
	}
	out->flags = (out->flags & (GL_DLM_HAS_EPOCH | GL_DLM_SHARED)) | GL_DLM_RELEASED;
}

/* What is not held is asked about, for its epoch, unless that is to make no difference afterwards. */
static bool lower(struct gl_dlm_call *call, bool park)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];
		unsigned char bytes[GL_DLM_BLOCK];
		struct gl_dlm_block block;

		if (slot->lock && slot->lock->mode > DLM_LOCK_NL) {
			put_released(call, slot, &block);
			gl_dlm_block_write(&block, bytes);
			gl_dlm_select(call, slot, DLM_LOCK_NL, bytes);
		} else if (!slot->lock && !park) {
			gl_dlm_select(call, slot, DLM_LOCK_NL, NULL);
		}
	}
	return gl_dlm_round(call);
}

/* One round trip: what was lowered is known to the master then, and the block is the last one. */
static bool ask_again(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		if (slot->lock && slot->lock->mode == DLM_LOCK_NL) {
			gl_dlm_select(call, slot, DLM_LOCK_NL, NULL);
		}
	}
	return gl_dlm_round(call);
}

static void unlock(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		if (slot->lock && slot->lock->mode == DLM_LOCK_NL) {
			gl_dlm_select(call, slot, GL_DLM_UNLOCK, NULL);
		}
	}
	gl_dlm_round(call);
}

void gl_dlm_forget_if_last(struct gl_dlm *dlm, uint64_t xid)
{
	if (!gl_dlm_owner_has_locks(dlm, xid)) {
		gl_dlm_owner_forget(dlm, xid);
	}
}

enum guestlock_result gl_dlm_release_as(struct gl_dlm *dlm, uint64_t xid, struct guestlock_batch *batch,
					struct guestlock_error *err)
{
	bool park = (batch->flags & GUESTLOCK_BATCH_PARK) != 0;
	struct gl_dlm_call call;

	gl_dlm_call_begin(&call, dlm, batch, xid, "release", err);
	if (call.result == GUESTLOCK_RES_GRANTED && gl_dlm_read_contents(&call) && lower(&call, park) &&
	    (!park || ask_again(&call))) {
		gl_dlm_seats_leave(&call);
		gl_dlm_tell_all(&call);
		if (!park) {
			unlock(&call);
		}
	}
	gl_dlm_call_end(&call, true);
	if (!park && call.result == GUESTLOCK_RES_GRANTED) {
		gl_dlm_forget_if_last(dlm, xid);
	}
	return call.result;
}

enum guestlock_result gl_dlm_release(struct guestlock_backend *backend, struct guestlock_batch *batch,
				     struct guestlock_error *err)
{
	struct gl_dlm *dlm = gl_dlm_of(backend);

	return gl_dlm_release_as(dlm, gl_dlm_xid(dlm, batch->owner), batch, err);
}
