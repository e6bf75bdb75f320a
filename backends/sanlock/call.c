/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A call on a batch: its leases in the order of their keys, what the daemon says of them, their notes. */
#include "sanlock_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GL_SANLOCK_MESSAGE 1024
#define GL_SANLOCK_CARRIES 16 /* times that others may begin to share a lease while its note is written */
#define GL_SANLOCK_SHOWN 512  /* bytes of an identity in a message */

/* ---- Failures ---- */

void gl_sanlock_slot_rv(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot, int rv)
{
	char name[GL_SANLOCK_SHOWN + SANLK_PATH_LEN + 8];

	if (guestlock_item_worsen(slot->item, gl_sanlock_result(rv), &call->result)) {
		snprintf(name, sizeof(name), "%.*s (%s)", GL_SANLOCK_SHOWN, slot->item->key->identity,
			 slot->lease.disk.path);
		gl_sanlock_fail(call->err, rv, call->verb, name);
	}
}

void gl_sanlock_slot_fail(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot,
			  enum guestlock_result result, const char *format, ...)
{
	char reason[GL_SANLOCK_MESSAGE];
	va_list args;

	if (!guestlock_item_worsen(slot->item, result, &call->result)) {
		return;
	}
	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	guestlock_backend_fail(call->err, result, 0, 0, "cannot %s %.*s: %s", call->verb, GL_SANLOCK_SHOWN,
			       slot->item->key->identity, reason);
}

void gl_sanlock_call_fail(struct gl_sanlock_call *call, enum guestlock_result result)
{
	call->result = result;
	for (size_t i = 0; i < call->batch->count; i++) {
		call->batch->items[i].result = result;
	}
}

/* ---- Begin and end ---- */

static void init_slot(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot, struct guestlock_item *item)
{
	enum guestlock_result result = gl_sanlock_lease_init(call->sl, item->key, &slot->lease, call->err);

	slot->item = item;
	slot->note.identity = "";
	slot->note_path = gl_sanlock_path(call->sl, item->key->key, "note");
	if (result != GUESTLOCK_RES_GRANTED) {
		guestlock_item_worsen(item, result, &call->result);
	} else if (!slot->note_path) {
		gl_sanlock_slot_rv(call, slot, -ENOMEM);
	}
}

static bool is_awaited(const struct gl_sanlock_forgotten *forgotten)
{
	return forgotten->guest.pid > 0 &&
	       guestlock_process_start(forgotten->guest.pid) == forgotten->pid_start;
}

bool gl_sanlock_waits(struct gl_sanlock *sl)
{
	bool result;

	pthread_mutex_lock(&sl->mutex);
	result = is_awaited(&sl->forgotten);
	pthread_mutex_unlock(&sl->mutex);
	return result;
}

static enum guestlock_result fail_forgotten(const struct gl_sanlock *sl, const struct guestlock_holder *guest,
					    struct guestlock_error *err)
{
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_STOPPED, 0, 0,
		"cannot use the sanlock lockspace %s: the daemon was started anew while guest %s (%s, pid %ld) ran, and "
		"knows nothing of its leases; if this host joined now, all hosts could have them at once; end that guest, "
		"or see that it does not write and free it by force (guestlock release --force)",
		sl->lockspace, guest->name[0] ? guest->name : "without a name", guest->uuid,
		(long)guest->pid);
}

enum guestlock_result gl_sanlock_check_joined(struct gl_sanlock *sl, bool to_take,
					      struct guestlock_error *err)
{
	struct guestlock_holder guest;
	bool joined, waits;

	pthread_mutex_lock(&sl->mutex);
	joined = sl->joined;
	waits = !joined && is_awaited(&sl->forgotten);
	guest = sl->forgotten.guest;
	pthread_mutex_unlock(&sl->mutex);
	if (joined || (waits && !to_take)) {
		return GUESTLOCK_RES_GRANTED;
	}
	if (waits) {
		return fail_forgotten(sl, &guest, err);
	}
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_NOT_JOINED, 0, 0,
		"cannot use the sanlock lockspace %s: this host has left it; try again, which joins it anew",
		sl->lockspace);
}

void gl_sanlock_call_begin(struct gl_sanlock_call *call, struct guestlock_backend *backend,
			   struct guestlock_batch *batch, const char *verb, bool to_take,
			   struct guestlock_error *err)
{
	*call = (struct gl_sanlock_call){
		.sl = gl_sanlock_of(backend),
		.batch = batch,
		.err = err,
		.verb = verb,
		.now = (int64_t)time(NULL),
	};
	guestlock_batch_answer(batch, GUESTLOCK_RES_GRANTED);
	call->result = gl_sanlock_check_joined(call->sl, to_take, err);
	if (call->result != GUESTLOCK_RES_GRANTED) {
		gl_sanlock_call_fail(call, call->result);
		return;
	}
	call->slots = calloc(batch->count + 1, sizeof(*call->slots));
	if (!call->slots) {
		gl_sanlock_call_fail(call, gl_sanlock_fail(err, -ENOMEM, verb, "the batch"));
		return;
	}
	call->count = batch->count;
	for (size_t i = 0; i < call->count; i++) {
		init_slot(call, &call->slots[i], &batch->items[i]);
	}
	qsort(call->slots, call->count, sizeof(*call->slots), guestlock_item_order);
}

enum guestlock_result gl_sanlock_call_end(struct gl_sanlock_call *call)
{
	for (size_t i = 0; i < call->count; i++) {
		gl_sanlock_note_free(&call->slots[i].note);
		gl_sanlock_close(&call->slots[i].file);
		free(call->slots[i].note_path);
	}
	free(call->slots);
	return call->result;
}

/* ---- What the daemon says ---- */

/* The daemon does not tell the version of a lease that is shared; and others who share it move it. */
static int read_version(struct gl_sanlock_slot *slot)
{
	struct gl_sanlock_lease copy = slot->lease;
	int rv;

	copy.resource.flags = 0;
	rv = sanlock_read_resource(&copy.resource, 0);
	slot->lver = copy.resource.lver;
	return rv;
}

/* false: noted. */
static bool take_over(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot,
		      const struct gl_sanlock_held *held)
{
	const struct sanlk_resource *resource = gl_sanlock_held_find(held, &slot->lease);
	int rv = 0;

	slot->mode = gl_sanlock_mode(resource);
	slot->lver = resource ? resource->lver : 0;
	if (slot->mode == GUESTLOCK_MODE_SHARED) {
		rv = read_version(slot);
	}
	if (rv < 0) {
		gl_sanlock_slot_rv(call, slot, rv);
	}
	return rv >= 0;
}

bool gl_sanlock_call_look(struct gl_sanlock_call *call)
{
	struct gl_sanlock_held held = {.count = 0};
	const struct guestlock_owner *owner = call->batch->owner;
	int rv = owner ? gl_sanlock_held(owner, &held) : 0;
	bool complete = true;

	if (rv < 0) {
		gl_sanlock_call_fail(call, gl_sanlock_fail(call->err, rv, call->verb, "the guest's leases"));
		return false;
	}
	call->registered = held.registered;
	for (size_t i = 0; i < call->count; i++) {
		complete &= take_over(call, &call->slots[i], &held);
	}
	gl_sanlock_held_free(&held);
	/* Not what the call has come to: whoever takes back what it took looks, too. */
	return complete;
}

/* ---- Notes ---- */

bool gl_sanlock_slot_note(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	gl_sanlock_note_free(&slot->note);
	if (gl_sanlock_note_read(slot->note_path, &slot->note) < 0) {
		gl_sanlock_slot_fail(call, slot, gl_sanlock_result(-errno),
				     "its note %s cannot be read (%m); look at the storage of lease_dir",
				     slot->note_path);
		return false;
	}
	if (slot->note.presence == GL_SANLOCK_DAMAGED) {
		guestlock_backend_log(&call->sl->base, GUESTLOCK_LOG_WARNING,
				      "the note %s is damaged: nothing is known of who had the lease before; "
				      "the next who takes it writes another",
				      slot->note_path);
	}
	return true;
}

bool gl_sanlock_slot_is_noted(const struct gl_sanlock_slot *slot, uint64_t lver)
{
	return slot->note.presence == GL_SANLOCK_READABLE && slot->note.has_epoch && slot->note.lver == lver;
}

static bool is_noted_since(const struct gl_sanlock_slot *slot, uint64_t lver)
{
	return slot->note.lver >= lver && slot->note.lver <= slot->lver &&
	       gl_sanlock_slot_is_noted(slot, slot->note.lver);
}

/*
 * Of a shared lease: since which version this host has it. The slot gets the version of now, which only
 * rises.
 */
static bool look_at_versions(const struct gl_sanlock_call *call, struct gl_sanlock_slot *slot,
			     uint64_t *out_since)
{
	uint64_t now;

	if (!gl_sanlock_shared_versions(&slot->lease, call->sl->host_id, out_since, &now)) {
		return false;
	}
	slot->lver = now > slot->lver ? now : slot->lver;
	return true;
}

uint64_t gl_sanlock_slot_before(const struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	uint64_t since;

	if (slot->lver == 0 || gl_sanlock_slot_is_noted(slot, slot->lver)) {
		return slot->lver;
	}
	if (slot->mode == GUESTLOCK_MODE_SHARED && !gl_sanlock_slot_is_noted(slot, slot->lver - 1) &&
	    look_at_versions(call, slot, &since)) {
		return is_noted_since(slot, since - 1) ? slot->note.lver : since - 1;
	}
	return slot->lver - 1;
}

uint64_t gl_sanlock_slot_epoch(const struct gl_sanlock_slot *slot, uint64_t lver)
{
	char text[GUESTLOCK_KEY_SIZE + 24], digest[GUESTLOCK_KEY_SIZE];
	uint64_t epoch = 0;

	if (slot->lease.foreign) {
		return lver;
	}
	if (gl_sanlock_slot_is_noted(slot, lver)) {
		return slot->note.epoch;
	}
	snprintf(text, sizeof(text), "%s %llu", slot->item->key->key, (unsigned long long)lver);
	guestlock_digest(text, strlen(text), digest);
	for (size_t i = 0; i < 8; i++) {
		epoch = epoch << 8 | (unsigned char)digest[i];
	}
	return epoch;
}

void gl_sanlock_slot_tell(const struct gl_sanlock_call *call, struct gl_sanlock_slot *slot, uint64_t lver)
{
	if (slot->mode == GUESTLOCK_MODE_SHARED && !slot->lease.foreign) {
		lver = gl_sanlock_slot_before(call, slot);
	}
	slot->item->has_epoch = true;
	slot->item->epoch = gl_sanlock_slot_epoch(slot, lver);
}

const struct gl_sanlock_line *gl_sanlock_slot_own(const struct gl_sanlock_call *call,
						  const struct gl_sanlock_slot *slot)
{
	for (size_t i = 0; call->batch->owner && i < slot->note.count; i++) {
		if (guestlock_owner_same(&slot->note.lines[i].owner, call->batch->owner)) {
			return &slot->note.lines[i];
		}
	}
	return NULL;
}

int gl_sanlock_slot_write(const struct gl_sanlock_call *call, struct gl_sanlock_slot *slot, uint64_t epoch,
			  const uint64_t *before, bool owned)
{
	struct gl_sanlock_line line = {.mode = GUESTLOCK_MODE_EXCLUSIVE};
	struct gl_sanlock_note note = {
		.lver = slot->lver,
		.has_epoch = true,
		.epoch = epoch,
		.has_before = before != NULL,
		.before = before ? *before : 0,
		.identity = slot->item->key->identity,
		.lines = &line,
		.count = owned,
	};

	if (owned) {
		line.owner = *call->batch->owner;
		line.host_id = call->sl->host_id;
		line.since = call->now > 0 ? call->now : 0;
	}
	return gl_sanlock_note_write(slot->note_path, &note);
}

void gl_sanlock_slot_vacate(const struct gl_sanlock_call *call, struct gl_sanlock_slot *slot, bool undo)
{
	bool noted = gl_sanlock_slot_is_noted(slot, slot->lver);
	uint64_t epoch;

	if (noted) {
		bool back = undo && slot->note.has_before && gl_sanlock_slot_own(call, slot);

		epoch = back ? slot->note.before : slot->note.epoch;
	} else if (slot->lver > 0 && gl_sanlock_slot_is_noted(slot, slot->lver - 1)) {
		/* Of an acquire that was not finished: its epoch never moved. */
		epoch = slot->note.epoch;
	} else {
		return;
	}
	if (gl_sanlock_slot_write(call, slot, epoch, NULL, false) == 0) {
		slot->note.presence = GL_SANLOCK_READABLE;
		slot->note.lver = slot->lver;
		slot->note.has_epoch = true;
		slot->note.epoch = epoch;
		slot->note.has_before = false;
		slot->note.count = 0;
	} else {
		/* It names this guest on, and the next who holds the lease writes another. */
		guestlock_backend_log(&call->sl->base, GUESTLOCK_LOG_WARNING,
				      "cannot write the note %s: %m; it names a guest that has left",
				      slot->note_path);
	}
}

/* Of an older note than so many versions nobody is about to write the next one. */
static bool is_near(const struct gl_sanlock_slot *slot)
{
	return slot->note.lver <= slot->lver && slot->lver - slot->note.lver <= GL_SANLOCK_CARRIES;
}

/*
 * To share a lease moves its version, too. Of several who begin to share it at once some find a note that is
 * too old for them, and the first of them, who can go by it, finds that the version has moved on when he has
 * written his: then he writes another. Whoever comes after that finds it, and who came before asks again. He
 * must: for a moment the lease can show the version of before once more, written by one who did not get it.
 */
int gl_sanlock_slot_carry(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	uint64_t since;

	for (int i = 0; i < GL_SANLOCK_CARRIES; i++) {
		uint64_t before;

		if (!gl_sanlock_slot_note(call, slot)) {
			break;
		}
		before = gl_sanlock_slot_before(call, slot);
		if (before == slot->lver) {
			break;
		}
		if (!gl_sanlock_slot_is_noted(slot, before) &&
		    (slot->note.presence != GL_SANLOCK_ABSENT || before > 0)) {
			return is_near(slot);
		}
		if (gl_sanlock_slot_write(call, slot, gl_sanlock_slot_epoch(slot, before), NULL, false) < 0) {
			return -1;
		}
		look_at_versions(call, slot, &since);
	}
	return 0;
}

/* ---- Who has it ---- */

void gl_sanlock_slot_verify(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	if (!slot->lease.foreign && !gl_sanlock_is_file(slot->lease.disk.path, &slot->file)) {
		gl_sanlock_slot_fail(call, slot, GUESTLOCK_RES_AGAIN,
				     "the file of its lease was removed at this moment; try again");
	}
}

void gl_sanlock_slot_busy(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	struct guestlock_holder *holders = NULL;
	size_t count = 0;
	uint64_t lver;
	int rv = gl_sanlock_holders(call->sl, slot->item->key, &slot->lease, call->batch->owner, slot->mode,
				    &holders, &count, &lver);

	if (rv == -ENOENT && slot->file.inode != 0) {
		gl_sanlock_slot_verify(call, slot);
	}
	if (rv < 0) {
		if (slot->item->result == GUESTLOCK_RES_GRANTED) {
			gl_sanlock_slot_rv(call, slot, rv);
		}
		return;
	}
	if (count > 0 && !slot->lease.foreign && gl_sanlock_is_passing(call->sl, slot, lver, &holders[0])) {
		gl_sanlock_slot_fail(
			call, slot, GUESTLOCK_RES_AGAIN,
			"somebody on %s has it, and no note says who: it begins to use it at this "
			"moment, or removes it (guestlock unprovision); try again",
			holders[0].host);
	} else if (count > 0 &&
		   (slot->item->mode != GUESTLOCK_MODE_SHARED || holders[0].mode != GUESTLOCK_MODE_SHARED)) {
		slot->item->holder = holders[0];
		if (guestlock_item_worsen(slot->item, GUESTLOCK_RES_BUSY, &call->result)) {
			guestlock_backend_fail(
				call->err, GUESTLOCK_RES_BUSY, 0, 0,
				"cannot %s %.*s: guest %s (%s, pid %ld on %s) holds it in mode %s; "
				"end that guest, or wait for its end",
				call->verb, GL_SANLOCK_SHOWN, slot->item->key->identity,
				holders[0].name[0] ? holders[0].name : "without a name",
				holders[0].uuid[0] ? holders[0].uuid : "not known", (long)holders[0].pid,
				holders[0].host, guestlock_mode_name(holders[0].mode));
			call->err->holder = holders[0];
		}
	}
	free(holders);
}

/* ---- Giving back ---- */

static int release_group(struct gl_sanlock_call *call, struct sanlk_resource **group, int count)
{
	int rv = count > 0 ? sanlock_release(-1, call->batch->owner->pid, 0, count, group) : 0;

	if (rv == -1 || rv == GL_SANLOCK_ESRCH) {
		/* Not held, or the process is gone: that is what was wanted. */
		call->missed = true;
		return 0;
	}
	return rv;
}

int gl_sanlock_give_back(struct gl_sanlock_call *call, bool (*wanted)(const struct gl_sanlock_slot *slot))
{
	struct sanlk_resource *group[SANLK_MAX_RESOURCES];
	int count = 0, first = 0;

	for (size_t i = 0; i < call->count; i++) {
		if (wanted(&call->slots[i])) {
			group[count++] = &call->slots[i].lease.resource;
		}
		if (count == SANLK_MAX_RESOURCES || i + 1 == call->count) {
			int rv = release_group(call, group, count);

			first = first < 0 ? first : rv;
			count = 0;
		}
	}
	return first;
}
