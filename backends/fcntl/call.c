/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A call on a batch. The entries are locked in the order of their keys, all before any is judged, and stay
 * locked until the call ends, so that what was judged is what is changed. Of two calls that meet, the one
 * that locked their first common key goes on; the other gives everything back and answers AGAIN.
 */
#include "fcntl_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GL_FCNTL_MESSAGE 1024
#define GL_FCNTL_MANY 3 /* keys for which it pays to open their directory first */

/* A failure that is not one item's. */
static void fail_all(struct gl_fcntl_call *call, enum guestlock_result result)
{
	call->result = result;
	guestlock_batch_answer(call->batch, result);
}

void gl_fcntl_call_begin(struct gl_fcntl_call *call, struct guestlock_backend *backend,
			 struct guestlock_batch *batch, const char *verb, struct guestlock_error *err)
{
	size_t i;

	*call = (struct gl_fcntl_call){
		.fc = gl_fcntl_of(backend),
		.batch = batch,
		.err = err,
		.verb = verb,
		.directory = -1,
		.now = (int64_t)time(NULL),
	};
	guestlock_batch_answer(batch, GUESTLOCK_RES_GRANTED);
	call->result = gl_fcntl_check_joined(call->fc, err);
	if (call->result != GUESTLOCK_RES_GRANTED) {
		fail_all(call, call->result);
		return;
	}
	call->slots = calloc(batch->count + 1, sizeof(*call->slots));
	if (!call->slots) {
		fail_all(call, gl_fcntl_fail(err, ENOMEM, verb, "the batch"));
		return;
	}
	for (i = 0; i < batch->count; i++) {
		call->slots[i] =
			(struct gl_fcntl_slot){.item = &batch->items[i], .entry = GL_FCNTL_ENTRY_INIT};
	}
	call->count = batch->count;
	if (call->count > 1) {
		qsort(call->slots, call->count, sizeof(*call->slots), guestlock_item_order);
	}
	/* What opening it may fail for is said by those who open a file there by its path. */
	if (call->count >= GL_FCNTL_MANY) {
		call->directory = open(call->fc->keys_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
}

enum guestlock_result gl_fcntl_call_end(struct gl_fcntl_call *call)
{
	size_t i;

	for (i = 0; i < call->count; i++) {
		gl_fcntl_entry_close(&call->slots[i].entry);
	}
	if (call->directory >= 0) {
		close(call->directory);
	}
	free(call->slots);
	return call->result;
}

/* ---- Failures ---- */

void gl_fcntl_slot_errno(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot, int sys_errno)
{
	if (guestlock_item_worsen(slot->item, gl_fcntl_result_of_errno(sys_errno), &call->result)) {
		errno = sys_errno;
		guestlock_backend_fail(call->err, call->result, sys_errno, 0,
				       "cannot %s %.*s (%s/%s): %m; %s", call->verb, GL_FCNTL_IDENTITY,
				       slot->item->key->identity, call->fc->keys_dir, slot->item->key->key,
				       gl_fcntl_advice(sys_errno));
	}
}

void gl_fcntl_slot_busy(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot,
			const struct gl_fcntl_line *line)
{
	gl_fcntl_fill_holder(line, &slot->item->holder);
	if (guestlock_item_worsen(slot->item, GUESTLOCK_RES_BUSY, &call->result)) {
		gl_fcntl_fail_busy(call->err, call->verb, slot->item->key->identity, slot->item->key->key,
				   &slot->item->holder);
	}
}

void gl_fcntl_slot_fail(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot, enum guestlock_result result,
			const char *format, ...)
{
	char reason[GL_FCNTL_MESSAGE];
	va_list args;

	if (!guestlock_item_worsen(slot->item, result, &call->result)) {
		return;
	}
	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	guestlock_backend_fail(call->err, result, 0, 0, "cannot %s %.*s: %s", call->verb, GL_FCNTL_IDENTITY,
			       slot->item->key->identity, reason);
}

/* ---- Opening ---- */

bool gl_fcntl_slot_open(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot, bool peek)
{
	const char *key = slot->item->key->key;
	int result = peek ? gl_fcntl_entry_peek(call->fc, call->directory, key, &slot->entry)
			  : gl_fcntl_entry_open(call->fc, call->directory, key, &slot->entry);

	if (result < 0) {
		gl_fcntl_slot_errno(call, slot, errno);
		return false;
	}
	if (slot->entry.presence == GL_FCNTL_DAMAGED) {
		if (guestlock_item_worsen(slot->item, GUESTLOCK_RES_UNKNOWN, &call->result)) {
			gl_fcntl_fail_damaged(call->fc, call->err, call->verb, slot->item->key->identity, key,
					      slot->entry.damage);
		}
		return false;
	}
	gl_fcntl_slot_tell(slot);
	return true;
}

/* Stops at the first that somebody else is changing: to hold what comes after it could stop that one. */
void gl_fcntl_call_open(struct gl_fcntl_call *call, bool peek)
{
	size_t i = 0;

	while (i < call->count && (gl_fcntl_slot_open(call, &call->slots[i], peek) ||
				   call->slots[i].item->result != GUESTLOCK_RES_AGAIN)) {
		i++;
	}
	if (i < call->count && call->result == GUESTLOCK_RES_AGAIN) {
		fail_all(call, GUESTLOCK_RES_AGAIN);
	}
	for (; i < call->count; i++) {
		call->slots[i].item->result = GUESTLOCK_RES_AGAIN;
	}
}

void gl_fcntl_slot_tell(struct gl_fcntl_slot *slot)
{
	slot->item->has_epoch = slot->entry.has_epoch;
	slot->item->epoch = slot->entry.has_epoch ? slot->entry.epoch : 0;
}

/* ---- Changing ---- */

struct gl_fcntl_line *gl_fcntl_slot_own(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot, bool add)
{
	const struct guestlock_owner *owner = call->batch->owner;
	struct gl_fcntl_line *line = owner ? gl_fcntl_entry_find(&slot->entry, owner) : NULL;

	if (line || !add) {
		return line;
	}
	line = gl_fcntl_entry_add(&slot->entry);
	if (!line) {
		gl_fcntl_slot_errno(call, slot, ENOMEM);
		return NULL;
	}
	line->owner = *owner;
	line->run_id = call->fc->base.run_id;
	line->since = call->now > 0 ? call->now : 0;
	return line;
}

static void put_back(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot)
{
	if (slot->written && gl_fcntl_entry_restore(call->fc, slot->item->key->key, &slot->entry) < 0) {
		gl_fcntl_slot_fail(call, slot, GUESTLOCK_RES_INFLIGHT,
				   "writing %s/%s failed, and what was there before could not be put back "
				   "(%m); mend the file system, then ask again",
				   call->fc->keys_dir, slot->item->key->key);
	}
}

static bool write_once(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot)
{
	struct gl_fcntl_line *own = gl_fcntl_slot_own(call, slot, false);
	int result;

	if (own) {
		/* With what is known of the owner by now. */
		own->owner = *call->batch->owner;
	}
	if (slot->entry.presence == GL_FCNTL_ABSENT) {
		slot->entry.identity = slot->item->key->identity;
	}
	slot->written = slot->entry.fd >= 0;
	slot->entry.most = call->most;
	result = gl_fcntl_entry_write(call->fc, slot->item->key->key, &slot->entry);
	call->most = slot->entry.most;
	if (result < 0) {
		gl_fcntl_slot_errno(call, slot, errno);
		return false;
	}
	slot->written = true;
	return true;
}

bool gl_fcntl_slot_write(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot)
{
	if (write_once(call, slot)) {
		return true;
	}
	put_back(call, slot);
	return false;
}

/* After a failure what was written is put back, the last first. */
bool gl_fcntl_call_write(struct gl_fcntl_call *call)
{
	size_t i = 0;

	while (i < call->count && (!call->slots[i].change || write_once(call, &call->slots[i]))) {
		i++;
	}
	if (i == call->count) {
		return true;
	}
	for (i = call->count; i > 0; i--) {
		put_back(call, &call->slots[i - 1]);
	}
	return false;
}
