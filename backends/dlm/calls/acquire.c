/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking locks.
 *
 *   1. All are asked for at once, without queueing.
 *   2. If a part was granted and a part refused, all is given back and asked for again in the order of keys,
 *      the first alone: of two equal batches that met, one gets it, and the other has nothing in its way.
 *   3. When all are granted and no epoch is against it, the blocks of those held exclusively are written:
 *      owner and epoch. A crash before that leaves locks without an owner in their block: inquire calls
 *      them ORPHAN.
 *   4. Otherwise everything that was granted goes back with the block that was found, and who refused is
 *      named.
 */
#include "calls/call.h"

#include "owners/owners.h"
#include "view/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- What is there already ---- */

static bool is_held(const struct gl_dlm_slot *slot, enum guestlock_mode mode)
{
	enum guestlock_mode held = slot->lock ? gl_dlm_mode_of(slot->lock->mode) : GUESTLOCK_MODE_NONE;

	return held != GUESTLOCK_MODE_NONE && held >= mode;
}

/* ---- Judging ---- */

static void judge_epoch(struct gl_dlm_call *call, struct gl_dlm_slot *slot, const struct gl_dlm_block *block)
{
	if (!slot->item->check_epoch) {
		return;
	}
	if (!block->valid || !(block->flags & GL_DLM_HAS_EPOCH)) {
		gl_dlm_slot_fail(
			call, slot, GUESTLOCK_RES_UNPROVEN, 0,
			"the cluster does not know any more who held it since the guest's state was saved; "
			"if nobody wrote to it, set resume_check = off and try again");
	} else if (block->epoch != slot->item->expected_epoch) {
		gl_dlm_slot_fail(
			call, slot, GUESTLOCK_RES_STALE, 0,
			"another guest held it exclusively since this guest's state was saved; start the "
			"guest afresh instead of resuming it");
	}
}

/* The DLM lets anybody into handover: who may is in the block. */
static void judge_handover(struct gl_dlm_call *call, struct gl_dlm_slot *slot,
			   const struct gl_dlm_block *block)
{
	struct guestlock_holder holder;

	if (slot->item->mode != GUESTLOCK_MODE_HANDOVER || !gl_dlm_block_holder(call->dlm, block, &holder) ||
	    strcmp(block->uuid, call->batch->owner->uuid) == 0) {
		return;
	}
	slot->item->holder = holder;
	gl_dlm_slot_fail(call, slot, GUESTLOCK_RES_BUSY, 0,
			 "guest %s on host %s is being migrated and holds it; wait until that is over",
			 holder.uuid, holder.host);
}

static void judge_grant(struct gl_dlm_call *call, struct gl_dlm_slot *slot)
{
	struct gl_dlm_block block;

	gl_dlm_block_of(slot->found, slot->found_lost, &block);
	judge_handover(call, slot, &block);
	judge_epoch(call, slot, &block);
}

/* ---- Rounds ---- */

static void note_granted(struct gl_dlm_slot *slot)
{
	slot->changed = true;
	memcpy(slot->found, slot->lock->bytes, GL_DLM_BLOCK);
	slot->found_lost = slot->lock->lost;
	if (!slot->lock->content) {
		memset(slot->found, 0, GL_DLM_BLOCK);
	}
}

/* Asks for those among [from, to) that are not held. The number of refusals. */
static size_t ask_for(struct gl_dlm_call *call, size_t from, size_t to)
{
	size_t refused = 0;

	for (size_t i = from; i < to; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		if (!slot->changed && !is_held(slot, slot->item->mode)) {
			gl_dlm_select(call, slot, gl_dlm_mode(slot->item->mode), NULL);
		} else {
			slot->request = (struct gl_dlm_request){.mode = GL_DLM_NO_MODE};
		}
		slot->refused = false;
	}
	gl_dlm_round(call);
	for (size_t i = from; i < to; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		if (slot->request.done && slot->request.status == 0) {
			note_granted(slot);
		}
		slot->refused = slot->request.done && slot->request.status == EAGAIN;
		refused += slot->refused;
	}
	return refused;
}

/*
 * Everything that this call got goes back to what it was, with the block that was found. An old block does
 * not become a good one by that: its epoch goes.
 */
static bool give_back(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];
		unsigned char bytes[GL_DLM_BLOCK];
		struct gl_dlm_block block;

		if (!slot->changed || !slot->lock) {
			continue;
		}
		memcpy(bytes, slot->found, sizeof(bytes));
		gl_dlm_block_of(bytes, slot->found_lost, &block);
		if (block.valid && slot->found_lost) {
			block.flags |= GL_DLM_RELEASED;
			gl_dlm_block_write(&block, bytes);
		}
		slot->changed = false;
		gl_dlm_select(call, slot, slot->before > DLM_LOCK_NL ? slot->before : DLM_LOCK_NL, bytes);
	}
	return gl_dlm_round(call);
}

static bool got_any(const struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		if (call->slots[i].changed) {
			return true;
		}
	}
	return false;
}

/* The first that is not held, alone; then the others. */
static size_t ask_in_order(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		if (!is_held(&call->slots[i], call->slots[i].item->mode)) {
			size_t refused = ask_for(call, i, i + 1);

			return refused || call->result != GUESTLOCK_RES_GRANTED
				       ? refused
				       : ask_for(call, i + 1, call->count);
		}
	}
	return 0;
}

/* Names who is in the way of those that were refused: their blocks are read again. */
static void explain_refused(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		if (slot->refused) {
			gl_dlm_select(call, slot, slot->lock ? slot->lock->mode : DLM_LOCK_NL, NULL);
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

/* ---- Seats beside another end ---- */

/* Who is the first has no seat: the block names nobody yet, and for the mark in it that one must be alone. */
static bool wants_seat(const struct gl_dlm_slot *slot)
{
	struct gl_dlm_block block;

	gl_dlm_slot_block(slot, &block);
	return slot->item->mode == GUESTLOCK_MODE_HANDOVER && slot->changed && block.valid &&
	       (block.flags & (GL_DLM_HAS_EPOCH | GL_DLM_RELEASED)) == GL_DLM_HAS_EPOCH;
}

/* For what got handover beside another end with this call. false: one is taken, or worse; that is noted. */
static bool take_seats(struct gl_dlm_call *call)
{
	struct gl_dlm_request *requests = gl_dlm_seats_ask(call, wants_seat, false);

	if (!requests) {
		call->result = gl_dlm_fail(call->err, ENOMEM, call->verb, "the batch");
		return false;
	}
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		if (!requests[i].done) {
			gl_dlm_slot_fail(call, slot, GUESTLOCK_RES_INFLIGHT, 0,
					 "the cluster did not answer by the deadline");
		} else if (requests[i].status == EAGAIN) {
			char name[DLM_RESNAME_MAXLEN + 1];

			gl_dlm_seat_name(slot->item->key->key, name);
			gl_dlm_explain_seat(call, slot, name);
		} else if (requests[i].status) {
			gl_dlm_slot_errno(call, slot, requests[i].status);
		}
	}
	free(requests);
	return call->result == GUESTLOCK_RES_GRANTED;
}

/* ---- Writing what was granted ---- */

static void put_owner(const struct gl_dlm_call *call, const struct gl_dlm_block *before,
		      struct gl_dlm_block *out)
{
	bool known = before->valid && (before->flags & GL_DLM_HAS_EPOCH);

	*out = (struct gl_dlm_block){
		.valid = true,
		.flags = GL_DLM_HAS_EPOCH | (known ? GL_DLM_MOVED : GL_DLM_NEW_EPOCH),
		.node = call->dlm->node,
		.epoch = known ? before->epoch + 1 : guestlock_random64(),
	};
	memcpy(out->uuid, call->batch->owner->uuid, sizeof(out->uuid));
}

/* Owner and epoch of what is exclusive now; also of a grant that was not finished before. */
static bool write_exclusive(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];
		unsigned char bytes[GL_DLM_BLOCK];
		struct gl_dlm_block before, after;

		if (slot->item->mode == GUESTLOCK_MODE_EXCLUSIVE &&
		    (slot->changed || gl_dlm_is_unfinished(call, slot))) {
			gl_dlm_slot_block(slot, &before);
			put_owner(call, &before, &after);
			gl_dlm_block_write(&after, bytes);
			gl_dlm_select(call, slot, DLM_LOCK_EX, bytes);
		}
	}
	return gl_dlm_round(call);
}

/*
 * Who shares first, or is in handover first, says so in the block, and makes the epoch if there is none. For
 * that it must be alone for a moment.
 */
static bool wants_mark(const struct gl_dlm_slot *slot)
{
	struct gl_dlm_block block;

	gl_dlm_slot_block(slot, &block);
	if (!slot->changed || slot->item->mode == GUESTLOCK_MODE_EXCLUSIVE) {
		return false;
	}
	if (!block.valid || !(block.flags & GL_DLM_HAS_EPOCH)) {
		return true;
	}
	return slot->item->mode == GUESTLOCK_MODE_SHARED ? !(block.flags & GL_DLM_SHARED)
							 : (block.flags & GL_DLM_RELEASED) != 0;
}

static void put_mark(const struct gl_dlm_call *call, const struct gl_dlm_slot *slot, struct gl_dlm_block *out)
{
	gl_dlm_slot_block(slot, out);
	if (!out->valid || !(out->flags & GL_DLM_HAS_EPOCH)) {
		out->epoch = guestlock_random64();
	}
	out->flags = GL_DLM_HAS_EPOCH | GL_DLM_RELEASED | GL_DLM_SHARED;
	if (slot->item->mode == GUESTLOCK_MODE_HANDOVER) {
		out->flags = GL_DLM_HAS_EPOCH | GL_DLM_HANDOVER;
		out->node = call->dlm->node;
		memcpy(out->uuid, call->batch->owner->uuid, sizeof(out->uuid));
	}
}

/* Not alone: another one who shares has done it, or is at it. */
static void judge_mark(struct gl_dlm_call *call, struct gl_dlm_slot *slot)
{
	struct gl_dlm_block block;

	gl_dlm_slot_block(slot, &block);
	if (slot->item->mode == GUESTLOCK_MODE_HANDOVER || !block.valid ||
	    !(block.flags & GL_DLM_HAS_EPOCH)) {
		gl_dlm_slot_fail(call, slot, GUESTLOCK_RES_AGAIN, 0,
				 "somebody else takes it for the first time at this moment; try again");
	}
}

static bool mark(struct gl_dlm_call *call)
{
	unsigned char bytes[GL_DLM_BLOCK];
	struct gl_dlm_block block;

	for (size_t i = 0; i < call->count; i++) {
		call->slots[i].request = (struct gl_dlm_request){.mode = GL_DLM_NO_MODE};
		if (wants_mark(&call->slots[i])) {
			gl_dlm_select(call, &call->slots[i], DLM_LOCK_EX, NULL);
		}
	}
	if (!gl_dlm_round(call)) {
		return false;
	}
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		if (slot->request.mode != DLM_LOCK_EX) {
			continue;
		}
		if (slot->request.status == EAGAIN) {
			judge_mark(call, slot);
			continue;
		}
		put_mark(call, slot, &block);
		gl_dlm_block_write(&block, bytes);
		gl_dlm_select(call, slot, gl_dlm_mode(slot->item->mode), bytes);
	}
	return gl_dlm_round(call) && call->result == GUESTLOCK_RES_GRANTED;
}

/* ---- The whole ---- */

static void check_modes(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		enum guestlock_mode mode = call->slots[i].item->mode;

		if (mode < GUESTLOCK_MODE_SHARED || mode > GUESTLOCK_MODE_EXCLUSIVE) {
			gl_dlm_slot_fail(call, &call->slots[i], GUESTLOCK_RES_INVALID, 0,
					 "there is no mode %d to take", (int)mode);
		}
	}
}

static void judge_all(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		if (call->slots[i].changed) {
			judge_grant(call, &call->slots[i]);
		}
	}
}

static void take_slots(struct gl_dlm_call *call)
{
	size_t refused = ask_for(call, 0, call->count);

	if (refused && got_any(call) && call->result == GUESTLOCK_RES_GRANTED && give_back(call)) {
		refused = ask_in_order(call);
	}
	judge_all(call);
	if (!refused && call->result == GUESTLOCK_RES_GRANTED && take_seats(call) && write_exclusive(call) &&
	    mark(call)) {
		return;
	}
	if (give_back(call) && refused && call->result == GUESTLOCK_RES_GRANTED) {
		explain_refused(call);
	}
	gl_dlm_seats_leave(call);
}

/*
 * A grant that was under way for a lock that is deaf cannot be finished: the lock is given up, and asked for anew. Its
 * guest has not got it yet. One that was finished is held, and stays.
 */
static bool drop_deaf(struct gl_dlm_call *call)
{
	const int steps[] = {DLM_LOCK_NL, GL_DLM_UNLOCK};

	for (size_t step = 0; step < 2; step++) {
		for (size_t i = 0; i < call->count; i++) {
			struct gl_dlm_slot *slot = &call->slots[i];

			if (slot->lock && slot->lock->deaf &&
			    (slot->lock->mode == DLM_LOCK_NL || gl_dlm_is_unfinished(call, slot))) {
				gl_dlm_select(call, slot, steps[step], NULL);
			}
		}
		if (!gl_dlm_round(call)) {
			return false;
		}
	}
	return true;
}

/* GRANTED, once the owner of the batch is noted. */
static enum guestlock_result note_owner(struct gl_dlm *dlm, struct guestlock_batch *batch,
					struct guestlock_error *err)
{
	enum guestlock_result result;

	if (gl_dlm_owner_note(dlm, batch->owner) == 0) {
		gl_dlm_names_note(dlm, batch);
		return GUESTLOCK_RES_GRANTED;
	}
	result = gl_dlm_fail(err, errno, "note the owner of locks in", dlm->owners_dir);
	for (size_t i = 0; i < batch->count; i++) {
		batch->items[i].result = result;
	}
	return result;
}

static enum guestlock_result end_acquire(struct gl_dlm_call *call)
{
	enum guestlock_result result = gl_dlm_call_end(call, call->result == GUESTLOCK_RES_GRANTED);

	if (result != GUESTLOCK_RES_GRANTED) {
		gl_dlm_forget_if_last(call->dlm, call->xid);
	}
	return result;
}

enum guestlock_result gl_dlm_acquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
				     struct guestlock_error *err)
{
	struct gl_dlm *dlm = gl_dlm_of(backend);
	enum guestlock_result result;
	struct gl_dlm_call call;

	if (batch->flags & GUESTLOCK_BATCH_PROBE) {
		return gl_dlm_judge(dlm, batch, err);
	}
	result = note_owner(dlm, batch, err);
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	gl_dlm_call_begin(&call, dlm, batch, gl_dlm_xid(dlm, batch->owner), "lock", err);
	check_modes(&call);
	if (call.result == GUESTLOCK_RES_GRANTED && gl_dlm_read_contents(&call) && drop_deaf(&call)) {
		take_slots(&call);
		gl_dlm_tell_all(&call);
	}
	return end_acquire(&call);
}

enum guestlock_result gl_dlm_bind(struct guestlock_backend *backend, struct guestlock_batch *batch,
				  struct guestlock_error *err)
{
	struct gl_dlm *dlm = gl_dlm_of(backend);
	enum guestlock_result result = note_owner(dlm, batch, err);
	struct gl_dlm_call call;

	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	gl_dlm_call_begin(&call, dlm, batch, gl_dlm_xid(dlm, batch->owner), "register", err);
	for (size_t i = 0; i < call.count && call.result == GUESTLOCK_RES_GRANTED; i++) {
		if (!call.slots[i].lock) {
			gl_dlm_select(&call, &call.slots[i], DLM_LOCK_NL, NULL);
		}
	}
	gl_dlm_round(&call);
	gl_dlm_tell_all(&call);
	return end_acquire(&call);
}
