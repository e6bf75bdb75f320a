/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The answers of a backend to a batch: what backends share of filling them. */
#include "base/base.h"

#include <limits.h>
#include <string.h>

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

int guestlock_item_order(const void *a, const void *b)
{
	const struct guestlock_item *const *left = a, *const *right = b;

	return strcmp((*left)->key->key, (*right)->key->key);
}

const struct guestlock_cause *guestlock_cause_of(const struct guestlock_cause *causes, long code)
{
	while (causes->code != 0 && causes->code != code) {
		causes++;
	}
	return causes;
}

bool guestlock_owner_same(const struct guestlock_owner *a, const struct guestlock_owner *b)
{
	return a->instance == b->instance && strcmp(a->uuid, b->uuid) == 0;
}

void guestlock_owner_holder(const struct guestlock_owner *owner, enum guestlock_mode mode, int64_t since,
			    struct guestlock_holder *out)
{
	*out = (struct guestlock_holder){
		.instance = owner->instance,
		.mode = mode,
		.pid = owner->pid,
		.since = since,
		.pid_ns = owner->pid_ns,
	};
	memcpy(out->uuid, owner->uuid, sizeof(out->uuid));
	gl_copy_cut(out->name, sizeof(out->name), owner->name ? owner->name : "");
	gl_copy_cut(out->host, sizeof(out->host), owner->host ? owner->host : "");
}
