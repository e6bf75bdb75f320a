/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who has it. Nothing is locked: an entry is read as it stands. */
#include "fcntl_priv.h"

#include <errno.h>
#include <stdlib.h>

/* Whether a line is to be reported: it stands in somebody's way, and it counts. */
static bool counts(const struct gl_fcntl_call *call, struct gl_fcntl_line *line,
		   const struct gl_fcntl_line *own)
{
	return gl_fcntl_line_weight(line) != GUESTLOCK_MODE_NONE &&
	       (line == own || gl_fcntl_line_life(call->fc, line) != GUESTLOCK_LIFE_DEAD);
}

static void count_others(const struct gl_fcntl_call *call, struct gl_fcntl_slot *slot,
			 const struct gl_fcntl_line *own)
{
	size_t i;

	for (i = 0; i < slot->entry.count; i++) {
		struct gl_fcntl_line *line = &slot->entry.lines[i];

		if (line == own || !counts(call, line, own)) {
			continue;
		}
		if (slot->item->n_others++ == 0) {
			gl_fcntl_fill_holder(line, &slot->item->holder);
		}
	}
}

static enum guestlock_result judge_holding(struct guestlock_item *item, const struct gl_fcntl_line *own)
{
	if (own && own->mode != GUESTLOCK_MODE_NONE) {
		item->held_mode = own->mode;
		return GUESTLOCK_RES_HELD;
	}
	if (own && own->intent != GUESTLOCK_MODE_NONE) {
		/*
		 * Of an acquire that was not finished: it keeps others out, but its epoch has not moved
		 * yet.
		 */
		item->held_mode = own->intent;
		return GUESTLOCK_RES_ORPHAN;
	}
	return item->n_others > 0 ? GUESTLOCK_RES_OTHER : GUESTLOCK_RES_FREE;
}

static void list_holders(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot,
			 const struct gl_fcntl_line *own)
{
	struct guestlock_item *item = slot->item;
	size_t i;

	if (slot->entry.count == 0) {
		return;
	}
	item->holders = calloc(slot->entry.count, sizeof(*item->holders));
	if (!item->holders) {
		gl_fcntl_slot_errno(call, slot, ENOMEM);
		return;
	}
	for (i = 0; i < slot->entry.count; i++) {
		struct gl_fcntl_line *line = &slot->entry.lines[i];

		if (counts(call, line, own)) {
			gl_fcntl_fill_holder(line, &item->holders[item->n_holders++]);
		}
	}
}

static void inquire_slot(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot)
{
	const struct gl_fcntl_line *own;

	if (!gl_fcntl_slot_open(call, slot, true)) {
		return;
	}
	own = gl_fcntl_slot_own(call, slot, false);
	count_others(call, slot, own);
	if (call->batch->flags & GUESTLOCK_BATCH_ALL_HOLDERS) {
		list_holders(call, slot, own);
	}
	if (slot->item->result == GUESTLOCK_RES_GRANTED) {
		slot->item->result = judge_holding(slot->item, own);
	}
}

enum guestlock_result gl_fcntl_inquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
				       struct guestlock_error *err)
{
	struct gl_fcntl_call call;
	size_t i;

	gl_fcntl_call_begin(&call, backend, batch, "ask about", err);
	for (i = 0; i < call.count; i++) {
		inquire_slot(&call, &call.slots[i]);
		gl_fcntl_entry_close(&call.slots[i].entry);
	}
	if (call.result != GUESTLOCK_RES_GRANTED && call.result != GUESTLOCK_RES_UNKNOWN) {
		guestlock_batch_forget_holders(batch);
	}
	return gl_fcntl_call_end(&call);
}
