/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The answers of a backend to a batch: what backends share of filling them. */
#include <guestlock/backend.h>

#include <limits.h>
#include <stdlib.h>

void guestlock_batch_answer(struct guestlock_batch *batch, enum guestlock_result result)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct guestlock_item *item = &batch->items[i];

		item->result = result;
		item->held_mode = GUESTLOCK_MODE_NONE;
		item->has_epoch = false;
		item->epoch = 0;
		item->holder = (struct guestlock_holder){0};
		item->n_others = 0;
		item->holders = NULL;
		item->n_holders = 0;
	}
}

void guestlock_batch_forget_holders(struct guestlock_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		free(batch->items[i].holders);
		batch->items[i].holders = NULL;
		batch->items[i].n_holders = 0;
	}
}

static int gl_badness(enum guestlock_result result)
{
	return result == GUESTLOCK_RES_INFLIGHT ? INT_MAX : (int)result;
}

bool guestlock_item_worsen(struct guestlock_item *item, enum guestlock_result result,
			   enum guestlock_result *worst)
{
	bool worsened = gl_badness(result) > gl_badness(*worst);

	if (gl_badness(result) > gl_badness(item->result)) {
		item->result = result;
	}
	if (worsened) {
		*worst = result;
	}
	return worsened;
}
