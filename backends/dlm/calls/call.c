/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A call on a batch: rounds of requests, all of a round under way together. */
#include "calls/call.h"

#include "owners/owners.h"
#include "recovery/recovery.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_SIZE 512
#define IDENTITY_SHOWN 255

static void fail_all(struct gl_dlm_call *call, enum guestlock_result result)
{
	call->result = result;
	guestlock_batch_answer(call->batch, result);
}

/* Under the mutex. */
static void take_lock(struct gl_dlm_call *call, struct gl_dlm_slot *slot)
{
	struct gl_dlm_lock *lock = gl_dlm_table_find(&call->dlm->table, slot->item->key->key, call->xid);

	slot->before = lock ? lock->mode : GL_DLM_NO_MODE;
	if (!lock) {
		return;
	}
	if (gl_dlm_in_flight(lock)) {
		gl_dlm_slot_fail(
			call, slot, GUESTLOCK_RES_INFLIGHT, 0,
			"an earlier request for it has no answer yet; ask again when the cluster has "
			"recovered (dlm_tool ls)");
	} else if (lock->used) {
		gl_dlm_slot_errno(call, slot, EBUSY);
	} else {
		lock->used = true;
		lock->passing &= call->passing;
		slot->lock = lock;
	}
}

/* Under the mutex, which is left meanwhile. What somebody else asked of these locks, and did not wait for. */
static void await_answers(struct gl_dlm_call *call)
{
	struct gl_dlm_request *requests = calloc(call->count + 1, sizeof(*requests));
	size_t count = 0;

	for (size_t i = 0; i < call->count && requests; i++) {
		struct gl_dlm_lock *lock =
			gl_dlm_table_find(&call->dlm->table, call->slots[i].item->key->key, call->xid);

		if (lock && gl_dlm_in_flight(lock) && !lock->used) {
			lock->used = true;
			requests[count++].lock = lock;
		}
	}
	if (count > 0) {
		gl_dlm_await(call->dlm, requests, count, call->batch->deadline_ms);
	}
	for (size_t i = 0; i < count; i++) {
		if (requests[i].lock) {
			requests[i].lock->used = false;
		}
	}
	free(requests);
}

static void take_locks(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count && (call->dlm->missing || call->dlm->strangers); i++) {
		gl_dlm_adopt_late(call->dlm, call->slots[i].item->key->key, call->xid);
	}
	pthread_mutex_lock(&call->dlm->mutex);
	await_answers(call);
	for (size_t i = 0; i < call->count; i++) {
		take_lock(call, &call->slots[i]);
	}
	pthread_mutex_unlock(&call->dlm->mutex);
}

void gl_dlm_call_begin(struct gl_dlm_call *call, struct gl_dlm *dlm, struct guestlock_batch *batch,
		       uint64_t xid, const char *verb, struct guestlock_error *err)
{
	enum guestlock_result result;

	*call = (struct gl_dlm_call){.dlm = dlm, .batch = batch, .err = err, .verb = verb, .xid = xid};
	guestlock_batch_answer(batch, GUESTLOCK_RES_GRANTED);
	result = gl_dlm_check_running(dlm, err);
	if (result == GUESTLOCK_RES_GRANTED) {
		call->entered = gl_dlm_enter(dlm);
		result = call->entered ? result
				       : guestlock_backend_fail(err, GUESTLOCK_RES_NOT_JOINED, 0, 0,
								"this host leaves the DLM lockspace %s at "
								"this moment; join it again",
								dlm->lockspace);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		fail_all(call, result);
		return;
	}
	gl_dlm_tidy(dlm);
	call->slots = calloc(batch->count + 1, sizeof(*call->slots));
	if (!call->slots) {
		fail_all(call, gl_dlm_fail(err, ENOMEM, verb, "the batch"));
		return;
	}
	for (size_t i = 0; i < batch->count; i++) {
		call->slots[i] = (struct gl_dlm_slot){.item = &batch->items[i], .before = GL_DLM_NO_MODE};
	}
	call->count = batch->count;
	qsort(call->slots, call->count, sizeof(*call->slots), guestlock_item_order);
	take_locks(call);
}

/*
 * What came with this call and is of no use goes again. Whatever does not answer goes later, as an idle
 * lock.
 */
static void drop_fresh(struct gl_dlm_call *call)
{
	enum guestlock_result result = call->result;
	struct guestlock_error ignored, *err = call->err;

	call->err = &ignored;
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		if (slot->fresh && slot->lock && slot->lock->mode == DLM_LOCK_NL) {
			enum guestlock_result own = slot->item->result;

			gl_dlm_select(call, slot, GL_DLM_UNLOCK, NULL);
			slot->item->result = own;
		}
	}
	gl_dlm_round(call);
	call->err = err;
	call->result = result;
}

enum guestlock_result gl_dlm_call_end(struct gl_dlm_call *call, bool keep)
{
	if (!keep) {
		drop_fresh(call);
	}
	pthread_mutex_lock(&call->dlm->mutex);
	for (size_t i = 0; i < call->count; i++) {
		if (call->slots[i].lock) {
			call->slots[i].lock->used = false;
		}
	}
	pthread_mutex_unlock(&call->dlm->mutex);
	if (call->entered) {
		gl_dlm_exit(call->dlm);
	}
	free(call->slots);
	return call->result;
}

/* ---- Rounds ---- */

static struct gl_dlm_lock *make_lock(struct gl_dlm_call *call, const char *name)
{
	struct gl_dlm_lock *lock;

	pthread_mutex_lock(&call->dlm->mutex);
	lock = gl_dlm_table_add(&call->dlm->table, name, call->xid);
	if (lock) {
		lock->used = true;
		lock->passing = call->passing;
	}
	pthread_mutex_unlock(&call->dlm->mutex);
	return lock;
}

void gl_dlm_select(struct gl_dlm_call *call, struct gl_dlm_slot *slot, int mode, const unsigned char *bytes)
{
	if (!slot->lock) {
		slot->lock = make_lock(call, slot->item->key->key);
		if (!slot->lock) {
			gl_dlm_slot_errno(call, slot, ENOMEM);
			return;
		}
		slot->fresh = true;
	}
	slot->selected = true;
	slot->request = (struct gl_dlm_request){.lock = slot->lock, .mode = mode};
	memcpy(slot->request.bytes, bytes ? bytes : slot->lock->bytes, GL_DLM_BLOCK);
}

/* What became of one. */
static bool take_outcome(struct gl_dlm_call *call, struct gl_dlm_slot *slot)
{
	slot->selected = false;
	if (!slot->request.done) {
		slot->lock = NULL;
		gl_dlm_slot_fail(call, slot, GUESTLOCK_RES_INFLIGHT, 0,
				 "the cluster did not answer by the deadline; what became of it is found out "
				 "when it does (dlm_tool ls shows what it waits for)");
		return false;
	}
	if (slot->request.gone) {
		slot->lock = NULL;
	}
	if (slot->request.status != 0 && slot->request.status != EAGAIN) {
		gl_dlm_slot_errno(call, slot, slot->request.status);
		return false;
	}
	return true;
}

bool gl_dlm_round(struct gl_dlm_call *call)
{
	struct gl_dlm_request *requests = calloc(call->count + 1, sizeof(*requests));
	size_t count = 0, next = 0;
	bool good = true;

	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		if (slot->selected && !requests) {
			slot->selected = false;
			gl_dlm_slot_errno(call, slot, ENOMEM);
			good = false;
		} else if (slot->selected) {
			requests[count++] = slot->request;
		}
	}
	if (count == 0) {
		free(requests);
		return good;
	}
	gl_dlm_ask(call->dlm, requests, count, call->batch->deadline_ms);
	pthread_mutex_lock(&call->dlm->mutex);
	for (size_t i = 0; i < call->count; i++) {
		if (call->slots[i].selected) {
			call->slots[i].request = requests[next++];
			good &= take_outcome(call, &call->slots[i]);
		}
	}
	pthread_mutex_unlock(&call->dlm->mutex);
	free(requests);
	return good;
}

/* ---- Contents ---- */

void gl_dlm_block_of(const unsigned char bytes[GL_DLM_BLOCK], bool lost, struct gl_dlm_block *out)
{
	gl_dlm_block_read(bytes, out);
	if (lost) {
		out->flags &= ~(unsigned)GL_DLM_HAS_EPOCH;
	}
}

void gl_dlm_slot_block(const struct gl_dlm_slot *slot, struct gl_dlm_block *out)
{
	*out = (struct gl_dlm_block){.valid = false};
	if (slot->lock && slot->lock->content) {
		gl_dlm_block_of(slot->lock->bytes, slot->lock->lost, out);
	}
}

bool gl_dlm_is_unfinished(const struct gl_dlm_call *call, const struct gl_dlm_slot *slot)
{
	struct gl_dlm_block block;

	if (!slot->lock || slot->lock->mode != DLM_LOCK_EX) {
		return false;
	}
	gl_dlm_slot_block(slot, &block);
	return !block.valid || (block.flags & (GL_DLM_RELEASED | GL_DLM_HANDOVER)) ||
	       !(block.flags & GL_DLM_HAS_EPOCH) || strcmp(block.uuid, call->batch->owner->uuid) != 0;
}

/*
 * A lock in mode EX reads nothing, and what is in another one would be sent before it is read: a second one beside
 * it, without mode, reads. It is of no owner, so that whoever finds it after a crash drops it.
 */
static void read_beside(struct gl_dlm_call *call, struct gl_dlm_call *beside)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		if (slot->lock && slot->lock->mode > DLM_LOCK_NL && !slot->lock->content) {
			beside->slots[beside->count++] =
				(struct gl_dlm_slot){.item = slot->item, .before = GL_DLM_NO_MODE};
			gl_dlm_select(beside, &beside->slots[beside->count - 1], DLM_LOCK_NL, NULL);
		}
	}
	gl_dlm_round(beside);
}

static void copy_contents(struct gl_dlm_call *call, const struct gl_dlm_call *beside)
{
	for (size_t i = 0, next = 0; i < call->count && next < beside->count; i++) {
		const struct gl_dlm_lock *read = beside->slots[next].lock;

		if (call->slots[i].item != beside->slots[next].item) {
			continue;
		}
		next++;
		if (read && read->content) {
			memcpy(call->slots[i].lock->bytes, read->bytes, GL_DLM_BLOCK);
			call->slots[i].lock->lost = read->lost;
			call->slots[i].lock->content = true;
		}
	}
}

static bool read_held(struct gl_dlm_call *call)
{
	struct gl_dlm_call beside = *call;

	beside.count = 0;
	beside.entered = false;
	beside.xid = gl_dlm_nobody_xid(call->dlm);
	beside.passing = true;
	beside.slots = calloc(call->count + 1, sizeof(*beside.slots));
	if (!beside.slots) {
		call->result = gl_dlm_fail(call->err, ENOMEM, call->verb, "the batch");
		return false;
	}
	read_beside(call, &beside);
	copy_contents(call, &beside);
	call->result = gl_dlm_call_end(&beside, false);
	return call->result == GUESTLOCK_RES_GRANTED;
}

bool gl_dlm_read_contents(struct gl_dlm_call *call)
{
	bool held = false;

	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_slot *slot = &call->slots[i];

		if (!slot->lock || slot->lock->content) {
			continue;
		}
		if (slot->lock->mode > DLM_LOCK_NL) {
			held = true;
		} else {
			gl_dlm_select(call, slot, slot->lock->mode, NULL);
		}
	}
	return gl_dlm_round(call) && (!held || read_held(call));
}

/* ---- Failures ---- */

void gl_dlm_slot_fail(struct gl_dlm_call *call, struct gl_dlm_slot *slot, enum guestlock_result result,
		      int sys_errno, const char *format, ...)
{
	const char *identity = slot->item->key->identity;
	char message[MESSAGE_SIZE];
	va_list args;

	if (!guestlock_item_worsen(slot->item, result, &call->result)) {
		return;
	}
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	guestlock_backend_fail(call->err, result, sys_errno, sys_errno, "cannot %s %.*s: %s", call->verb,
			       IDENTITY_SHOWN, identity && identity[0] ? identity : slot->item->key->key,
			       message);
}

void gl_dlm_slot_errno(struct gl_dlm_call *call, struct gl_dlm_slot *slot, int sys_errno)
{
	const char *reason = strerrordesc_np(sys_errno);

	gl_dlm_slot_fail(call, slot, gl_dlm_result_of_errno(sys_errno), sys_errno, "%s; %s",
			 reason ? reason : "the DLM refused", gl_dlm_advice(sys_errno));
}

void gl_dlm_slot_tell(struct gl_dlm_slot *slot, const struct gl_dlm_block *block)
{
	slot->item->has_epoch = block->valid && (block->flags & GL_DLM_HAS_EPOCH);
	slot->item->epoch = slot->item->has_epoch ? block->epoch : 0;
}

void gl_dlm_tell_all(struct gl_dlm_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		struct gl_dlm_block block;

		gl_dlm_slot_block(&call->slots[i], &block);
		gl_dlm_slot_tell(&call->slots[i], &block);
	}
}
