/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking leases.
 *
 * - Look at the notes: what they say is refused without taking anything.
 * - Where they name anybody, look at what the process holds already; mostly it holds nothing.
 * - Take in the order of keys, in groups of as many as one call can bear: of two equal batches the one that
 *   gets the first key goes on, and the other holds nothing.
 * - Look at the versions of the leases, and whether their files are still those under their names.
 * - Note epochs and owner, when all is held.
 *
 * Killed in between, the process holds leases whose notes are older than they are: inquire calls them
 * orphans, the same acquire repeated writes the notes, and release puts the old epoch down for the new
 * version.
 */
#include "sanlock_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define GL_SANLOCK_CARRY_MS 2000 /* for the notes of others who begin to share the same leases */
#define GL_SANLOCK_CARRY_STEP_NS 10000000

/* ---- Judging ---- */

static void refuse_stale(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot, bool proven)
{
	if (proven) {
		gl_sanlock_slot_fail(
			call, slot, GUESTLOCK_RES_STALE,
			"another guest held it exclusively since this guest's state was saved; start the "
			"guest afresh instead of resuming it");
	} else {
		gl_sanlock_slot_fail(
			call, slot, GUESTLOCK_RES_UNPROVEN,
			"its lease was taken since this guest's state was saved, perhaps by somebody who "
			"gave it back unused; if nobody wrote to it, set resume_check = off and try again");
	}
}

/* The epoch from before the lease is taken in version lver, as far as it was asked for. */
static void judge_epoch(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot, uint64_t lver)
{
	if (slot->item->check_epoch && gl_sanlock_slot_epoch(slot, lver) != slot->item->expected_epoch) {
		refuse_stale(call, slot, !slot->lease.foreign && gl_sanlock_slot_is_noted(slot, lver));
	}
}

/* Whoever shares it, or has it parked, is in there. Two who share it do not meet. */
static bool may_be_shared(const struct gl_sanlock_call *call, const struct gl_sanlock_slot *slot)
{
	char *holders;
	bool result;

	if (slot->item->mode == GUESTLOCK_MODE_SHARED) {
		return false;
	}
	holders = gl_sanlock_path(call->sl, slot->item->key->key, "holders");
	result = holders && access(holders, F_OK) == 0;
	free(holders);
	return result;
}

/*
 * The note names somebody else, or somebody may share it, or it is a lease that others take without a note:
 * the lease itself tells. To have it refused with others would move their versions, and nobody would note
 * that.
 */
static bool is_doubtful(const struct gl_sanlock_call *call, const struct gl_sanlock_slot *slot)
{
	if (slot->note.count > 0 || slot->lease.foreign || may_be_shared(call, slot)) {
		return true;
	}
	return (call->batch->flags & GUESTLOCK_BATCH_PROBE) != 0 || slot->note.presence == GL_SANLOCK_DAMAGED;
}

static void judge_file(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	bool probe = (call->batch->flags & GUESTLOCK_BATCH_PROBE) != 0;
	int rv;

	gl_sanlock_close(&slot->file);
	rv = probe || slot->lease.foreign ? gl_sanlock_keep(slot->lease.disk.path, &slot->file)
					  : gl_sanlock_lease_provision(call->sl, &slot->lease, &slot->file);

	/* What was never locked has no file. */
	if (probe && rv == -ENOENT && !slot->lease.foreign) {
		return;
	}
	if (rv < 0) {
		gl_sanlock_slot_rv(call, slot, rv);
	} else if (is_doubtful(call, slot)) {
		gl_sanlock_slot_busy(call, slot);
	}
}

static void judge_acquire(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	enum guestlock_mode mode = slot->item->mode;

	slot->had = slot->mode;
	if (mode != GUESTLOCK_MODE_SHARED && mode != GUESTLOCK_MODE_EXCLUSIVE) {
		gl_sanlock_slot_fail(call, slot, GUESTLOCK_RES_INVALID,
				     "a lease is taken shared or exclusive, not in mode %s",
				     guestlock_mode_name(mode));
		return;
	}
	if (slot->had >= mode) {
		return;
	}
	slot->change = true;
	judge_file(call, slot);
	if (slot->item->result == GUESTLOCK_RES_GRANTED && slot->note.has_epoch) {
		judge_epoch(call, slot, slot->note.lver);
	}
}

/* ---- Sharing ---- */

static bool is_carried(const struct gl_sanlock_slot *slot)
{
	return slot->change && slot->item->result == GUESTLOCK_RES_GRANTED &&
	       slot->mode == GUESTLOCK_MODE_SHARED && !slot->lease.foreign;
}

/* Whether a note is missing that somebody may be about to write. What fails is told when it is noted. */
static bool carry_some(struct gl_sanlock_call *call)
{
	bool missing = false;

	for (size_t i = 0; i < call->count; i++) {
		if (is_carried(&call->slots[i])) {
			missing |= gl_sanlock_slot_carry(call, &call->slots[i]) > 0;
		}
	}
	return missing;
}

/*
 * Of several who begin to share the same leases at once each goes by the note of who came before him, lease
 * by lease, and each writes what he can while he waits for the others.
 */
static void carry_notes(struct gl_sanlock_call *call)
{
	const struct timespec step = {.tv_nsec = GL_SANLOCK_CARRY_STEP_NS};
	int64_t until_ms = guestlock_monotonic_ms() + GL_SANLOCK_CARRY_MS;

	if (until_ms > call->batch->deadline_ms) {
		until_ms = call->batch->deadline_ms;
	}
	while (carry_some(call) && guestlock_monotonic_ms() < until_ms) {
		nanosleep(&step, NULL);
	}
}

/* ---- Giving back what was not used ---- */

static bool was_taken(const struct gl_sanlock_slot *slot)
{
	return slot->taken;
}

/*
 * The version has moved, the epoch has not: whoever comes next is to know. Failing that he cannot prove it.
 * What was read of the note before the lease was taken may be older than what is there.
 */
static void forget(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	if (slot->mode == GUESTLOCK_MODE_EXCLUSIVE) {
		if (gl_sanlock_slot_note(call, slot)) {
			gl_sanlock_slot_vacate(call, slot, true);
		}
	} else if (slot->mode == GUESTLOCK_MODE_SHARED && slot->taken) {
		gl_sanlock_holders_set(call->sl, slot->item->key, call->batch->owner,
				       GUESTLOCK_MODE_EXCLUSIVE);
	}
}

static int convert_back(const struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	slot->lease.resource.flags = SANLK_RES_SHARED;
	return sanlock_convert(-1, call->batch->owner->pid, SANLK_CONVERT_OWNER_NOWAIT,
			       &slot->lease.resource);
}

static void take_back(struct gl_sanlock_call *call)
{
	bool looked = gl_sanlock_call_look(call);
	int rv = 0;

	if (looked) {
		carry_notes(call);
	}
	for (size_t i = 0; i < call->count; i++) {
		struct gl_sanlock_slot *slot = &call->slots[i];

		if (looked && (slot->taken || slot->converted)) {
			forget(call, slot);
		}
		if (slot->converted && rv == 0) {
			rv = convert_back(call, slot);
		}
	}
	if (gl_sanlock_give_back(call, was_taken) < 0 || rv < 0) {
		gl_sanlock_call_fail(call, GUESTLOCK_RES_INFLIGHT);
		guestlock_backend_fail(call->err, GUESTLOCK_RES_INFLIGHT, 0, rv,
				       "some of the guest's leases were taken, and sanlock did not take them "
				       "back; look at sanlock client status");
	}
}

/* ---- Granting ---- */

static void verify(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	if (slot->mode < slot->item->mode) {
		gl_sanlock_slot_fail(call, slot, GUESTLOCK_RES_STOPPED,
				     "sanlock granted it and does not know of it any more; look at its log");
		return;
	}
	if (slot->change) {
		gl_sanlock_slot_verify(call, slot);
	}
}

/* Whoever held it before may have written the note after we read it. */
static void check(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	if (slot->change && slot->item->result == GUESTLOCK_RES_GRANTED &&
	    (is_carried(slot) || gl_sanlock_slot_note(call, slot))) {
		judge_epoch(call, slot, gl_sanlock_slot_before(call, slot));
	}
}

/* Held exclusively: does the note say so? */
static bool is_settled(const struct gl_sanlock_call *call, const struct gl_sanlock_slot *slot)
{
	return gl_sanlock_slot_is_noted(slot, slot->lver) && gl_sanlock_slot_own(call, slot);
}

static int note_exclusive(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	uint64_t before, epoch;

	if (is_settled(call, slot)) {
		gl_sanlock_slot_tell(call, slot, slot->lver);
		return 0;
	}
	before = gl_sanlock_slot_epoch(slot, gl_sanlock_slot_before(call, slot));
	epoch = slot->lease.foreign ? slot->lver : before + 1;
	slot->item->has_epoch = true;
	slot->item->epoch = epoch;
	return gl_sanlock_slot_write(call, slot, epoch, &before, true);
}

static int note_shared(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	if (is_carried(slot) && !gl_sanlock_slot_is_noted(slot, slot->lver) &&
	    gl_sanlock_slot_carry(call, slot) < 0) {
		return -1;
	}
	return gl_sanlock_holders_set(call->sl, slot->item->key, call->batch->owner, GUESTLOCK_MODE_SHARED);
}

/* false: noted, and all of the batch is to be given back. */
static bool note_slot(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	const struct guestlock_owner *owner = call->batch->owner;
	int result;

	if (slot->mode == GUESTLOCK_MODE_EXCLUSIVE) {
		result = note_exclusive(call, slot);
		if (result == 0 && slot->change) {
			result = gl_sanlock_holders_set(call->sl, slot->item->key, owner, slot->mode);
		}
	} else {
		result = slot->change ? note_shared(call, slot) : 0;
	}
	if (result < 0) {
		gl_sanlock_slot_fail(
			call, slot, errno == ENOSPC ? GUESTLOCK_RES_CANNOT_CREATE : gl_sanlock_result(-errno),
			"the note beside its lease, %s, cannot be written (%m); look at the "
			"storage of lease_dir",
			slot->note_path);
		return false;
	}
	/* Of those who share it another may have written it, too. */
	if (slot->mode != GUESTLOCK_MODE_EXCLUSIVE) {
		if (!gl_sanlock_slot_note(call, slot)) {
			return false;
		}
		gl_sanlock_slot_tell(call, slot, slot->lver);
	}
	return true;
}

static void grant(struct gl_sanlock_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		verify(call, &call->slots[i]);
	}
	if (call->result == GUESTLOCK_RES_GRANTED) {
		carry_notes(call);
	}
	for (size_t i = 0; i < call->count; i++) {
		check(call, &call->slots[i]);
	}
	for (size_t i = 0; i < call->count && call->result == GUESTLOCK_RES_GRANTED; i++) {
		note_slot(call, &call->slots[i]);
	}
}

static bool has_changes(const struct gl_sanlock_call *call)
{
	size_t i = 0;

	while (i < call->count && !call->slots[i].change) {
		i++;
	}
	return i < call->count;
}

/* Of all that was changed it is known what the daemon would say. */
static bool is_known(const struct gl_sanlock_call *call)
{
	size_t i = 0;

	while (i < call->count && (call->slots[i].known || (call->looked && !call->slots[i].change))) {
		i++;
	}
	return i == call->count;
}

static void take_leases(struct gl_sanlock_call *call)
{
	if (call->looked && has_changes(call) && !call->registered) {
		gl_sanlock_call_fail(call, gl_sanlock_fail(call->err, GL_SANLOCK_ESRCH, call->verb,
							   "anything for the guest"));
		return;
	}
	if (gl_sanlock_take(call) && (is_known(call) || gl_sanlock_call_look(call))) {
		grant(call);
	}
	if (call->result != GUESTLOCK_RES_GRANTED) {
		take_back(call);
	}
}

/* ---- The whole ---- */

static bool is_named(const struct gl_sanlock_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		const struct gl_sanlock_slot *slot = &call->slots[i];

		if (slot->note.count > 0 || slot->note.presence == GL_SANLOCK_DAMAGED ||
		    may_be_shared(call, slot)) {
			return true;
		}
	}
	return (call->batch->flags & GUESTLOCK_BATCH_PROBE) != 0;
}

static void attempt(struct gl_sanlock_call *call, bool look)
{
	call->looked = look;
	if (look && !gl_sanlock_call_look(call)) {
		return;
	}
	for (size_t i = 0; i < call->count; i++) {
		judge_acquire(call, &call->slots[i]);
	}
	if (call->result == GUESTLOCK_RES_GRANTED && !(call->batch->flags & GUESTLOCK_BATCH_PROBE)) {
		take_leases(call);
	}
}

/* After everything was given back. */
static void start_over(struct gl_sanlock_call *call)
{
	call->look_first = false;
	call->result = GUESTLOCK_RES_GRANTED;
	for (size_t i = 0; i < call->count; i++) {
		struct gl_sanlock_slot *slot = &call->slots[i];

		slot->item->result = GUESTLOCK_RES_GRANTED;
		slot->change = slot->taken = slot->converted = slot->known = false;
	}
	attempt(call, true);
}

enum guestlock_result gl_sanlock_acquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
					 struct guestlock_error *err)
{
	struct gl_sanlock_call call;

	gl_sanlock_call_begin(&call, backend, batch, "lock", true, err);
	for (size_t i = 0; i < call.count && call.result == GUESTLOCK_RES_GRANTED; i++) {
		gl_sanlock_slot_note(&call, &call.slots[i]);
	}
	if (call.result == GUESTLOCK_RES_GRANTED) {
		attempt(&call, is_named(&call));
	}
	if (call.look_first && call.result == GUESTLOCK_RES_AGAIN) {
		start_over(&call);
	}
	return gl_sanlock_call_end(&call);
}
