/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Giving up. The note first, while nobody else can have the lease; then the lease. Mostly the notes name the
 * owner, and the daemon is asked what it holds only if that was not all. What a process had that has ended,
 * the daemon frees by itself some moments later: until then it is not given up.
 */
#include "sanlock_priv.h"

#include <errno.h>
#include <stdlib.h>

static bool is_held(const struct gl_sanlock_slot *slot)
{
	return slot->mode != GUESTLOCK_MODE_NONE;
}

/* The process that was bound; a child of it may have the socket still. */
static bool has_ended(const struct guestlock_owner *owner)
{
	return owner->pid_start != 0 && guestlock_process_start(owner->pid) != owner->pid_start;
}

/* The lease is this host's still, and the note names the guest. */
static bool is_being_freed(const struct gl_sanlock_call *call, const struct gl_sanlock_slot *slot)
{
	struct gl_sanlock_owners *owners;
	bool found = false;

	if (!has_ended(call->batch->owner) || !gl_sanlock_slot_own(call, slot)) {
		return false;
	}
	owners = calloc(1, sizeof(*owners));
	if (owners && gl_sanlock_owners(&slot->lease, owners) == 0 && !owners->shared &&
	    owners->lver == slot->note.lver) {
		for (size_t i = 0; i < owners->count; i++) {
			found = found || owners->ids[i] == call->sl->host_id;
		}
	}
	free(owners);
	return found;
}

static void set_interest(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	bool park = (call->batch->flags & GUESTLOCK_BATCH_PARK) != 0;

	if (gl_sanlock_holders_set(call->sl, slot->item->key, call->batch->owner,
				   park ? GUESTLOCK_MODE_NONE : GUESTLOCK_MODE_EXCLUSIVE) < 0) {
		guestlock_backend_log(&call->sl->base, GUESTLOCK_LOG_WARNING,
				      "cannot note in %s who has parked %s: %m; no lock depends on it",
				      call->sl->dir, slot->item->key->key);
	}
}

static void prepare(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	bool undo = (call->batch->flags & GUESTLOCK_BATCH_UNDO) != 0;

	if (!gl_sanlock_slot_note(call, slot)) {
		return;
	}
	/* Of one that has ended the daemon may free it before we do, and somebody else may have it. */
	if (slot->mode == GUESTLOCK_MODE_EXCLUSIVE && (undo || !has_ended(call->batch->owner))) {
		gl_sanlock_slot_vacate(call, slot, undo);
	}
	/* Not if whoever took it was killed before he had. */
	if (slot->mode == GUESTLOCK_MODE_SHARED && !slot->lease.foreign) {
		gl_sanlock_slot_carry(call, slot);
	}
	/* Now: afterwards somebody else may move it. */
	if (is_held(slot)) {
		gl_sanlock_slot_tell(call, slot, slot->lver);
	}
	set_interest(call, slot);
}

/* ---- What the notes say is held ---- */

static bool is_any(const struct gl_sanlock_slot *slot)
{
	(void)slot;
	return true;
}

static bool is_noted_own(const struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	return gl_sanlock_note_read(slot->note_path, &slot->note) == 0 && slot->note.has_room &&
	       slot->note.count == 1 && slot->note.lines[0].mode == GUESTLOCK_MODE_EXCLUSIVE &&
	       gl_sanlock_slot_own(call, slot) && gl_sanlock_slot_is_noted(slot, slot->note.lver);
}

/*
 * All of it, exclusively, so that the daemon is not asked before: that it leaves may be noted even of what it
 * has lost. false: that is not clear, or something was not held.
 */
static bool release_noted(struct gl_sanlock_call *call)
{
	bool noted = call->count > 0 && !(call->batch->flags & GUESTLOCK_BATCH_UNDO) &&
		     !has_ended(call->batch->owner);

	for (size_t i = 0; i < call->count && noted; i++) {
		noted = is_noted_own(call, &call->slots[i]);
	}
	for (size_t i = 0; i < call->count && noted; i++) {
		noted = gl_sanlock_note_leave(call->slots[i].note_path, &call->slots[i].note) == 0;
	}
	for (size_t i = 0; i < call->count && noted; i++) {
		set_interest(call, &call->slots[i]);
		gl_sanlock_slot_tell(call, &call->slots[i], call->slots[i].note.lver);
	}
	if (noted) {
		noted = gl_sanlock_give_back(call, is_any) == 0 && !call->missed;
	}
	for (size_t i = 0; i < call->count && !noted; i++) {
		gl_sanlock_note_free(&call->slots[i].note);
		call->slots[i].item->has_epoch = false;
	}
	return noted;
}

/* ---- What the daemon says is held ---- */

/* Of what was not held, the lease tells; one that was never taken has no epoch. */
static void tell(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	struct gl_sanlock_lease copy = slot->lease;

	if (is_held(slot) && !has_ended(call->batch->owner)) {
		return;
	}
	if (!is_held(slot) && sanlock_read_resource(&copy.resource, 0) < 0) {
		return;
	}
	if (!gl_sanlock_slot_note(call, slot)) {
		return;
	}
	if (is_being_freed(call, slot)) {
		gl_sanlock_slot_fail(call, slot, GUESTLOCK_RES_AGAIN,
				     "sanlock is freeing its lease at this moment; try again");
		return;
	}
	if (!is_held(slot)) {
		gl_sanlock_slot_tell(call, slot, copy.resource.lver);
	}
}

static void release_held(struct gl_sanlock_call *call)
{
	int rv;

	for (size_t i = 0; i < call->count; i++) {
		prepare(call, &call->slots[i]);
	}
	rv = gl_sanlock_give_back(call, is_held);
	if (rv < 0) {
		gl_sanlock_call_fail(call, gl_sanlock_fail(call->err, rv, "release", "the guest's leases"));
	}
	for (size_t i = 0; i < call->count; i++) {
		tell(call, &call->slots[i]);
	}
}

/* ---- What the daemon has forgotten ---- */

/*
 * It holds nothing, whatever the notes say; and they are not to say so any more, as this host joins when none of them
 * does. Others may have the leases by now: what is written in a note is true of an older version then.
 */
static void release_forgotten(struct gl_sanlock_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_sanlock_slot *slot = &call->slots[i];

		if (!gl_sanlock_slot_note(call, slot)) {
			continue;
		}
		if (gl_sanlock_slot_own(call, slot) &&
		    (!slot->note.has_room || gl_sanlock_note_leave(slot->note_path, &slot->note) < 0)) {
			gl_sanlock_slot_fail(
				call, slot, gl_sanlock_result(-errno),
				"its note %s cannot be written (%m); look at the storage of lease_dir",
				slot->note_path);
		}
		set_interest(call, slot);
	}
}

/* ---- In time ---- */

/*
 * The storage may be away: nothing is read or written there, and the daemon does not either for a lockspace that it is
 * losing. Notes name the guest on, with the version of the lease that it had: so a resume finds the epoch there.
 */
static void release_losing(struct gl_sanlock_call *call)
{
	struct gl_sanlock_held held;
	int rv = gl_sanlock_held(call->batch->owner, &held);

	for (size_t i = 0; i < call->count && rv >= 0; i++) {
		call->slots[i].mode = gl_sanlock_mode(gl_sanlock_held_find(&held, &call->slots[i].lease));
	}
	gl_sanlock_held_free(&held);
	if (rv >= 0) {
		rv = gl_sanlock_give_back(call, is_held);
	}
	if (rv < 0) {
		gl_sanlock_call_fail(call, gl_sanlock_fail(call->err, rv, "release", "the guest's leases"));
	}
}

enum guestlock_result gl_sanlock_release(struct guestlock_backend *backend, struct guestlock_batch *batch,
					 struct guestlock_error *err)
{
	struct gl_sanlock_call call;

	gl_sanlock_call_begin(&call, backend, batch, "release", false, err);
	if (call.result == GUESTLOCK_RES_GRANTED && (batch->flags & GUESTLOCK_BATCH_LOSING) != 0) {
		release_losing(&call);
	} else if (call.result == GUESTLOCK_RES_GRANTED && gl_sanlock_waits(call.sl)) {
		release_forgotten(&call);
	} else if (call.result == GUESTLOCK_RES_GRANTED && !release_noted(&call) &&
		   gl_sanlock_call_look(&call)) {
		release_held(&call);
	}
	return gl_sanlock_call_end(&call);
}
