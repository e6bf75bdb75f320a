/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an acquire asks of the daemon. */
#include "sanlock_priv.h"

#include <errno.h>

static bool is_shared(const struct gl_sanlock_slot *slot)
{
	return slot->item->mode == GUESTLOCK_MODE_SHARED;
}

static bool is_new(const struct gl_sanlock_slot *slot)
{
	return slot->change && slot->had == GUESTLOCK_MODE_NONE;
}

/* A group was refused: which of them, and why. */
static void explain_refusal(struct gl_sanlock_call *call, struct gl_sanlock_slot **group, int count, int rv)
{
	enum guestlock_result result = gl_sanlock_result(rv);

	if (result == GUESTLOCK_RES_AGAIN || result == GUESTLOCK_RES_NOT_JOINED || rv == GL_SANLOCK_ESRCH ||
	    result == GUESTLOCK_RES_STOPPED) {
		gl_sanlock_slot_rv(call, group[0], rv);
		return;
	}
	for (int i = 0; i < count && call->result == GUESTLOCK_RES_GRANTED; i++) {
		if (rv == -ENOENT) {
			gl_sanlock_slot_verify(call, group[i]);
		} else {
			gl_sanlock_slot_busy(call, group[i]);
		}
	}
	if (call->result != GUESTLOCK_RES_GRANTED) {
		return;
	}
	if (result == GUESTLOCK_RES_BUSY) {
		gl_sanlock_slot_fail(call, group[0], GUESTLOCK_RES_AGAIN,
				     "somebody else wanted it at the same moment; try again");
	} else {
		gl_sanlock_slot_rv(call, group[0], rv);
	}
}

/*
 * One that nobody is to have had since its note was written: then it is known which version it gets, and the
 * daemon need not be asked. Of several at once the daemon would give back what it had taken before it found
 * one that somebody had, and whose versions moved would not be known.
 */
static int acquire_next(const struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	struct sanlk_resource *resource = &slot->lease.resource;
	int rv;

	resource->flags = SANLK_RES_LVER;
	resource->lver = slot->note.lver;
	rv = sanlock_acquire(-1, call->batch->owner->pid, SANLK_ACQUIRE_OWNER_NOWAIT, 1, &resource, NULL);
	resource->flags = 0;
	resource->lver = 0;
	if (rv >= 0) {
		slot->lver = slot->note.lver + 1;
		slot->mode = GUESTLOCK_MODE_EXCLUSIVE;
		slot->known = true;
	}
	return rv;
}

static bool has_next(const struct gl_sanlock_slot *slot)
{
	return !is_shared(slot) && slot->note.lver > 0 && gl_sanlock_slot_is_noted(slot, slot->note.lver);
}

static int acquire_group(const struct gl_sanlock_call *call, struct gl_sanlock_slot **group, int count)
{
	struct sanlk_resource *resources[SANLK_MAX_RESOURCES];

	if (count == 1 && has_next(group[0])) {
		int rv = acquire_next(call, group[0]);

		if (rv != SANLK_ACQUIRE_LVER) {
			return rv;
		}
	}
	for (int i = 0; i < count; i++) {
		resources[i] = &group[i]->lease.resource;
		resources[i]->flags = is_shared(group[i]) ? SANLK_RES_SHARED : 0;
	}
	return sanlock_acquire(-1, call->batch->owner->pid, SANLK_ACQUIRE_OWNER_NOWAIT, count, resources,
			       NULL);
}

static bool take_group(struct gl_sanlock_call *call, struct gl_sanlock_slot **group, int count)
{
	int rv;

	if (count == 0) {
		return true;
	}
	rv = acquire_group(call, group, count);
	if (rv == -EEXIST && !call->looked) {
		/* Perhaps by this guest itself. */
		call->look_first = true;
		gl_sanlock_call_fail(call, GUESTLOCK_RES_AGAIN);
		return false;
	}
	if (rv < 0) {
		explain_refusal(call, group, count, rv);
		return false;
	}
	for (int i = 0; i < count; i++) {
		group[i]->taken = true;
	}
	return true;
}

/*
 * What is shared is taken by itself: somebody who begins to share it has it for a moment, so it is refused
 * now and then, and the daemon does not say whose versions moved when it gives back a part of a group.
 */
static bool take_new(struct gl_sanlock_call *call)
{
	struct gl_sanlock_slot *group[SANLK_MAX_RESOURCES];
	int count = 0;

	for (size_t i = 0; i < call->count; i++) {
		struct gl_sanlock_slot *slot = &call->slots[i];

		if (!is_new(slot)) {
			continue;
		}
		if (count == SANLK_MAX_RESOURCES ||
		    (count > 0 && (is_shared(slot) || is_shared(group[count - 1])))) {
			if (!take_group(call, group, count)) {
				return false;
			}
			count = 0;
		}
		group[count++] = slot;
	}
	return take_group(call, group, count);
}

/* From shared to exclusive. */
static bool convert_held(struct gl_sanlock_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_sanlock_slot *slot = &call->slots[i];
		int rv;

		if (!slot->change || slot->had == GUESTLOCK_MODE_NONE) {
			continue;
		}
		slot->lease.resource.flags = 0;
		rv = sanlock_convert(-1, call->batch->owner->pid, SANLK_CONVERT_OWNER_NOWAIT,
				     &slot->lease.resource);
		if (rv < 0) {
			explain_refusal(call, &slot, 1, rv);
			return false;
		}
		slot->converted = true;
	}
	return true;
}

bool gl_sanlock_take(struct gl_sanlock_call *call)
{
	return take_new(call) && convert_held(call);
}
