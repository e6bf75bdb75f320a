/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who has it: what the daemon says of the guest's process, and what the lease says of everybody else. */
#include "sanlock_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The owner itself, in front of the others. */
static struct guestlock_holder *with_owner(const struct gl_sanlock_call *call,
					   const struct gl_sanlock_slot *slot,
					   struct guestlock_holder *others, size_t *count)
{
	const struct guestlock_owner *owner = call->batch->owner;
	const struct gl_sanlock_line *noted = gl_sanlock_slot_own(call, slot);
	struct guestlock_holder *grown = reallocarray(others, *count + 1, sizeof(*grown));

	if (!grown) {
		free(others);
		return NULL;
	}
	memmove(grown + 1, grown, *count * sizeof(*grown));
	guestlock_owner_holder(owner, slot->mode, noted ? noted->since : 0, grown);
	++*count;
	return grown;
}

static void list(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot, struct guestlock_holder *others,
		 size_t count)
{
	if (slot->mode != GUESTLOCK_MODE_NONE) {
		others = with_owner(call, slot, others, &count);
		if (!others) {
			gl_sanlock_slot_rv(call, slot, -ENOMEM);
			return;
		}
	}
	slot->item->holders = others;
	slot->item->n_holders = count;
}

static enum guestlock_result judge_holding(const struct gl_sanlock_call *call,
					   const struct gl_sanlock_slot *slot)
{
	if (slot->mode == GUESTLOCK_MODE_NONE) {
		return slot->item->n_others > 0 ? GUESTLOCK_RES_OTHER : GUESTLOCK_RES_FREE;
	}
	if (slot->mode == GUESTLOCK_MODE_EXCLUSIVE &&
	    !(gl_sanlock_slot_is_noted(slot, slot->lver) && gl_sanlock_slot_own(call, slot))) {
		/*
		 * Of an acquire that was not finished: others are kept out, but its epoch has not moved
		 * yet.
		 */
		return GUESTLOCK_RES_ORPHAN;
	}
	return GUESTLOCK_RES_HELD;
}

/* A lease of ours that was never wanted has no file. */
static bool is_missing(const struct gl_sanlock_slot *slot)
{
	struct gl_sanlock_file file;

	return !slot->lease.foreign && gl_sanlock_identify(slot->lease.disk.path, &file) == -ENOENT;
}

static void ask_lease(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	struct guestlock_holder *others = NULL;
	size_t count = 0;
	uint64_t lver = 0;
	int rv = gl_sanlock_holders(call->sl, slot->item->key, &slot->lease, call->batch->owner, slot->mode,
				    &others, &count, &lver);

	if (rv < 0) {
		free(others);
		gl_sanlock_slot_rv(call, slot, rv);
		/* What cannot be asked is never free. */
		slot->item->result = GUESTLOCK_RES_UNKNOWN;
		call->result = GUESTLOCK_RES_UNKNOWN;
		return;
	}
	if (count > 0 && (call->batch->flags & GUESTLOCK_BATCH_GLANCE) &&
	    gl_sanlock_is_passing(call->sl, slot, lver, &others[0])) {
		count = 0;
	}
	slot->item->n_others = count;
	if (count > 0) {
		slot->item->holder = others[0];
	}
	gl_sanlock_slot_tell(call, slot, lver);
	if (call->batch->flags & GUESTLOCK_BATCH_ALL_HOLDERS) {
		list(call, slot, others, count);
	} else {
		free(others);
	}
}

/*
 * Whoever has it says so beside it, unless he has just taken it, or was killed in between: acquire finds
 * those.
 */
static bool looks_free(const struct gl_sanlock_call *call, const struct gl_sanlock_slot *slot)
{
	char *holders;
	bool result;

	if (!(call->batch->flags & GUESTLOCK_BATCH_GLANCE) || slot->lease.foreign ||
	    slot->note.presence != GL_SANLOCK_READABLE || slot->note.count > 0) {
		return false;
	}
	holders = gl_sanlock_path(call->sl, slot->item->key->key, "holders");
	result = holders && access(holders, F_OK) < 0;
	free(holders);
	return result;
}

static void inquire_slot(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	bool all = (call->batch->flags & GUESTLOCK_BATCH_ALL_HOLDERS) != 0;

	if (!gl_sanlock_slot_note(call, slot)) {
		return;
	}
	slot->item->held_mode = slot->mode;
	if (slot->mode == GUESTLOCK_MODE_EXCLUSIVE && !all) {
		/* Nobody else can have it. */
		gl_sanlock_slot_tell(call, slot, slot->lver);
	} else if (slot->mode != GUESTLOCK_MODE_NONE || !(looks_free(call, slot) || is_missing(slot))) {
		ask_lease(call, slot);
	}
	if (slot->item->result == GUESTLOCK_RES_GRANTED) {
		slot->item->result = judge_holding(call, slot);
	}
}

enum guestlock_result gl_sanlock_inquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
					 struct guestlock_error *err)
{
	struct gl_sanlock_call call;

	gl_sanlock_call_begin(&call, backend, batch, "ask about", false, err);
	if (call.result == GUESTLOCK_RES_GRANTED &&
	    ((batch->flags & GUESTLOCK_BATCH_GLANCE) || gl_sanlock_call_look(&call))) {
		for (size_t i = 0; i < call.count; i++) {
			inquire_slot(&call, &call.slots[i]);
		}
	}
	if (call.result != GUESTLOCK_RES_GRANTED && call.result != GUESTLOCK_RES_UNKNOWN) {
		guestlock_batch_forget_holders(batch);
	}
	return gl_sanlock_call_end(&call);
}
