/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who has it? Every lock of the owner is converted to the mode that it has, or asked for without a mode: the
 * answer comes from the kernel, waits for whatever was under way before, and brings the block. No lock is taken for
 * it that could be in anybody's way.
 *
 * A block that names somebody who has it exclusively is believed: the kernel takes back what a node wrote that went
 * away with an exclusive lock. Of handover it does not, so what a block says of that is hearsay: told, and no reason
 * to refuse anything. That somebody shares a key no block tells.
 */
#include "calls/call.h"

#include "cluster/cluster.h"
#include "owners/owners.h"
#include "peers/peers.h"
#include "view/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Rounds ---- */

static bool ask_in_present_modes(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		/* One that is deaf is as it was. */
		if (!slot->lock || !slot->lock->deaf) {
			gl_dlm_select(call, slot, slot->lock ? slot->lock->mode : DLM_LOCK_NL, NULL);
		}
	}
	return gl_dlm_round(call);
}

/* ---- What blocks claim ---- */

static bool is_member(const struct gl_dlm *dlm, unsigned node)
{
	unsigned nodes[GL_DLM_PEERS_MAX];
	size_t count = 0;

	if (gl_dlm_cluster_members(&gl_dlm_this_world, dlm->lockspace, nodes, GL_DLM_PEERS_MAX, &count) < 0) {
		return true;
	}
	for (size_t i = 0; i < count; i++) {
		if (nodes[i] == node) {
			return true;
		}
	}
	return false;
}

/* Of one whom the table does not know: of another node, or of another keeper of this one. */
static void note_claim(struct gl_dlm_call *call, struct gl_dlm_slot *slot)
{
	struct guestlock_item *item = slot->item;
	struct gl_dlm_block block;

	gl_dlm_slot_block(slot, &block);
	if (!slot->lock || slot->lock->mode != DLM_LOCK_NL || slot->lock->lost || item->n_others > 0 ||
	    !gl_dlm_block_holder(call->dlm, &block, &item->holder)) {
		return;
	}
	slot->hearsay = item->holder.mode != GUESTLOCK_MODE_EXCLUSIVE;
	if (slot->hearsay && !is_member(call->dlm, block.node)) {
		return;
	}
	item->n_others = 1;
	gl_dlm_name_holder(call->dlm, item->key->key, call->batch->deadline_ms, &item->holder);
}

/* ---- Others of this node ---- */

/* Copies of the locks of a resource that others hold; malloc'd, NULL with *out_count 0. */
static struct gl_dlm_lock *others_of(struct gl_dlm_call *call, const struct gl_dlm_slot *slot,
				     size_t *out_count)
{
	struct gl_dlm_lock *copies;
	size_t count, others = 0;

	pthread_mutex_lock(&call->dlm->mutex);
	copies = gl_dlm_table_copy(&call->dlm->table, slot->item->key->key, &count);
	pthread_mutex_unlock(&call->dlm->mutex);
	for (size_t i = 0; i < count; i++) {
		if (copies[i].xid != call->xid && copies[i].mode > DLM_LOCK_NL) {
			copies[others++] = copies[i];
		}
	}
	*out_count = others;
	return copies;
}

static void count_locals(struct gl_dlm_call *call, struct gl_dlm_slot *slot)
{
	struct guestlock_item *item = slot->item;
	size_t count;
	struct gl_dlm_lock *others = others_of(call, slot, &count);

	for (size_t i = 0; i < count; i++) {
		/* The lock of a dead one goes as soon as somebody wants it. */
		if (!gl_dlm_owner_is_dead(call->dlm, others[i].xid) && item->n_others++ == 0) {
			gl_dlm_fill_holder(call->dlm, &others[i], &item->holder);
		}
	}
	free(others);
}

/* The block knows of one whom no keeper names; or the keepers know of more than it does. */
static void note_unnamed(struct gl_dlm_slot *slot, size_t n_local, size_t n_remote)
{
	struct guestlock_item *item = slot->item;

	if (item->n_others > 0 && n_local == 0 && n_remote == 0) {
		item->holders[item->n_holders++] = item->holder;
	} else if (n_remote > 0) {
		bool self = slot->lock && slot->lock->mode > DLM_LOCK_NL;

		item->n_others = item->n_holders - self;
		if (item->result == GUESTLOCK_RES_FREE) {
			item->result = GUESTLOCK_RES_OTHER;
			item->holder = item->holders[item->n_holders - 1];
		}
	}
}

/* Everyone: the owner itself, others of this node, and of other nodes whoever their keepers name. */
static void list_holders(struct gl_dlm_call *call, struct gl_dlm_slot *slot)
{
	struct guestlock_item *item = slot->item;
	size_t count, n_remote;
	struct gl_dlm_lock *others = others_of(call, slot, &count);
	struct guestlock_holder *remote;

	n_remote = gl_dlm_remote_holders(call->dlm, item->key->key, call->batch->deadline_ms, &remote);
	item->holders = calloc(count + n_remote + 2, sizeof(*item->holders));
	if (!item->holders || !remote) {
		gl_dlm_slot_errno(call, slot, ENOMEM);
	} else {
		if (slot->lock && slot->lock->mode > DLM_LOCK_NL) {
			gl_dlm_fill_holder(call->dlm, slot->lock, &item->holders[item->n_holders++]);
		}
		for (size_t i = 0; i < count; i++) {
			if (!gl_dlm_owner_is_dead(call->dlm, others[i].xid)) {
				gl_dlm_fill_holder(call->dlm, &others[i], &item->holders[item->n_holders++]);
			}
		}
		memcpy(item->holders + item->n_holders, remote, n_remote * sizeof(*remote));
		item->n_holders += n_remote;
		note_unnamed(slot, count, n_remote);
	}
	free(others);
	free(remote);
}

/* ---- Answers ---- */

static void answer(struct gl_dlm_call *call, struct gl_dlm_slot *slot)
{
	struct guestlock_item *item = slot->item;
	struct gl_dlm_block block;

	gl_dlm_slot_block(slot, &block);
	gl_dlm_slot_tell(slot, &block);
	if (item->result != GUESTLOCK_RES_GRANTED) {
		return;
	}
	if (slot->lock && slot->lock->mode > DLM_LOCK_NL && call->batch->owner) {
		item->held_mode = gl_dlm_mode_of(slot->lock->mode);
		item->result = gl_dlm_is_unfinished(call, slot) ? GUESTLOCK_RES_ORPHAN : GUESTLOCK_RES_HELD;
	} else {
		item->result = item->n_others > 0 ? GUESTLOCK_RES_OTHER : GUESTLOCK_RES_FREE;
	}
}

/* Fills the items of the batch, but for holders. */
static void look(struct gl_dlm_call *call)
{
	if (!gl_dlm_read_contents(call) || !ask_in_present_modes(call)) {
		return;
	}
	for (size_t i = 0; i < call->count; i++) {
		count_locals(call, &call->slots[i]);
		note_claim(call, &call->slots[i]);
		answer(call, &call->slots[i]);
	}
}

static void begin_inquiry(struct gl_dlm_call *call, struct gl_dlm *dlm, struct guestlock_batch *batch,
			  struct guestlock_error *err)
{
	/* Nobody's locks are of no owner, so that whoever finds them after a crash drops them. */
	uint64_t xid = batch->owner ? gl_dlm_xid(dlm, batch->owner) : gl_dlm_nobody_xid(dlm);

	gl_dlm_call_begin(call, dlm, batch, xid, "ask about", err);
	call->passing = true;
}

enum guestlock_result gl_dlm_inquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
				     struct guestlock_error *err)
{
	struct gl_dlm_call call;

	begin_inquiry(&call, gl_dlm_of(backend), batch, err);
	if (call.result == GUESTLOCK_RES_GRANTED) {
		look(&call);
	}
	for (size_t i = 0; i < call.count && (batch->flags & GUESTLOCK_BATCH_ALL_HOLDERS); i++) {
		if (call.result == GUESTLOCK_RES_GRANTED) {
			list_holders(&call, &call.slots[i]);
		}
	}
	if (call.result != GUESTLOCK_RES_GRANTED) {
		guestlock_batch_forget_holders(batch);
	}
	return gl_dlm_call_end(&call, false);
}

/* ---- Acquire that only judges ---- */

static void judge_slot(struct gl_dlm_call *call, struct gl_dlm_slot *slot)
{
	struct guestlock_item *item = slot->item;
	enum guestlock_result found = item->result;

	item->result = GUESTLOCK_RES_GRANTED;
	if ((found == GUESTLOCK_RES_HELD || found == GUESTLOCK_RES_ORPHAN) && item->held_mode >= item->mode) {
		return;
	}
	if (item->n_others > 0 && !slot->hearsay &&
	    !gl_dlm_modes_fit(gl_dlm_mode(item->holder.mode), gl_dlm_mode(item->mode))) {
		gl_dlm_slot_fail(call, slot, GUESTLOCK_RES_BUSY, 0, "guest %s on host %s holds it",
				 item->holder.uuid[0] ? item->holder.uuid : "without a name",
				 item->holder.host);
	} else if (item->check_epoch && !item->has_epoch) {
		gl_dlm_slot_fail(call, slot, GUESTLOCK_RES_UNPROVEN, 0,
				 "the cluster does not know any more who held it");
	} else if (item->check_epoch && item->epoch != item->expected_epoch) {
		gl_dlm_slot_fail(call, slot, GUESTLOCK_RES_STALE, 0,
				 "another guest held it exclusively since");
	}
}

enum guestlock_result gl_dlm_judge(struct gl_dlm *dlm, struct guestlock_batch *batch,
				   struct guestlock_error *err)
{
	struct gl_dlm_call call;

	begin_inquiry(&call, dlm, batch, err);
	if (call.result == GUESTLOCK_RES_GRANTED) {
		look(&call);
	}
	if (call.result == GUESTLOCK_RES_GRANTED) {
		for (size_t i = 0; i < call.count; i++) {
			judge_slot(&call, &call.slots[i]);
		}
	}
	return gl_dlm_call_end(&call, false);
}
