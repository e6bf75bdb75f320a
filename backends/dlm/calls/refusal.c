/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why a lock was refused: who has it. A guest of this node that is dead gives it back. */
#include "calls/call.h"

#include "owners/owners.h"
#include "view/view.h"

#include <string.h>

/* A dead guest of this host is in the way. What it has is given back; the next attempt finds it free. */
static bool bury(struct gl_dlm_call *call, struct gl_dlm_slot *slot, uint64_t xid)
{
	struct guestlock_item item = {.key = slot->item->key};
	struct guestlock_batch batch = {.items = &item, .count = 1, .deadline_ms = call->batch->deadline_ms};
	struct guestlock_error ignored;

	return gl_dlm_owner_is_dead(call->dlm, xid) &&
	       gl_dlm_release_as(call->dlm, xid, &batch, &ignored) == GUESTLOCK_RES_GRANTED;
}

static void fail_busy(struct gl_dlm_call *call, struct gl_dlm_slot *slot,
		      const struct guestlock_holder *holder)
{
	slot->item->holder = *holder;
	gl_dlm_slot_fail(
		call, slot, GUESTLOCK_RES_BUSY, 0,
		"guest %s on host %s holds it in mode %s; shut that guest down or detach the resource "
		"from it first",
		holder->uuid[0] ? holder->uuid : "without a name", holder->host,
		guestlock_mode_name(holder->mode));
	if (call->result == GUESTLOCK_RES_BUSY && call->err) {
		call->err->holder = *holder;
	}
}

/* Somebody of this node has it; one who is dead does not any more. false: nobody. */
static bool explain_local(struct gl_dlm_call *call, struct gl_dlm_slot *slot, const char *name, int mode)
{
	struct guestlock_holder holder;
	bool changing;
	uint64_t xid;

	if (!gl_dlm_local_holder(call->dlm, name, call->xid, mode, &holder, &xid, &changing)) {
		return false;
	}
	/* Who shares for the first time is alone for a moment. */
	if (changing) {
		gl_dlm_slot_fail(call, slot, GUESTLOCK_RES_AGAIN, 0,
				 "somebody takes it or gives it back at this moment; try again");
	} else if (bury(call, slot, xid)) {
		gl_dlm_slot_fail(call, slot, GUESTLOCK_RES_AGAIN, 0,
				 "a guest that is dead held it until now; try again");
	} else {
		fail_busy(call, slot, &holder);
	}
	return true;
}

void gl_dlm_explain_seat(struct gl_dlm_call *call, struct gl_dlm_slot *slot, const char *name)
{
	if (!explain_local(call, slot, name, DLM_LOCK_EX)) {
		slot->item->holder.mode = GUESTLOCK_MODE_HANDOVER;
		memcpy(slot->item->holder.uuid, call->batch->owner->uuid, sizeof(slot->item->holder.uuid));
		gl_dlm_slot_fail(call, slot, GUESTLOCK_RES_BUSY, 0,
				 "this guest is being migrated to another host already; cancel that first");
	}
}

void gl_dlm_explain_refusal(struct gl_dlm_call *call, struct gl_dlm_slot *slot, int mode)
{
	struct guestlock_holder holder = {.mode = GUESTLOCK_MODE_NONE};
	struct gl_dlm_block block;

	if (explain_local(call, slot, slot->item->key->key, mode)) {
		return;
	}
	gl_dlm_slot_block(slot, &block);
	if (slot->lock && !slot->lock->lost && gl_dlm_block_holder(call->dlm, &block, &holder)) {
		gl_dlm_name_holder(call->dlm, slot->item->key->key, call->batch->deadline_ms, &holder);
		fail_busy(call, slot, &holder);
	} else if (block.valid && (block.flags & GL_DLM_SHARED) && mode != DLM_LOCK_PR) {
		holder.mode = GUESTLOCK_MODE_SHARED;
		gl_dlm_name_holder(call->dlm, slot->item->key->key, call->batch->deadline_ms, &holder);
		fail_busy(call, slot, &holder);
	} else {
		gl_dlm_slot_fail(call, slot, GUESTLOCK_RES_AGAIN, 0,
				 "somebody takes it or gives it back at this moment; try again");
	}
}
