/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backend of the model: what backend.h asks for, on a few keys. */
#include "model.h"

#include <string.h>

enum {
	CALL_BIND = 100,
	CALL_ACQUIRE,
	CALL_RELEASE,
	CALL_CONVERT,
	CALL_INQUIRE
};

static size_t key_of(const struct guestlock_item *item)
{
	return (size_t)(item->key->key[0] - 'd');
}

static bool lives(const struct world *world, const struct line *line)
{
	return line->instance != 0 && instance_lives(world, line->instance);
}

static uint8_t weight(const struct line *line)
{
	return line->intent > line->mode ? line->intent : line->mode;
}

static bool goes_with(enum guestlock_mode wanted, unsigned host, uint8_t other, unsigned other_host)
{
	switch (wanted) {
	case GUESTLOCK_MODE_HANDOVER:
		return other == GUESTLOCK_MODE_HANDOVER &&
		       strcmp(host_uuid(host), host_uuid(other_host)) == 0;
	case GUESTLOCK_MODE_EXCLUSIVE:
		return false;
	case GUESTLOCK_MODE_SHARED:
		return other == GUESTLOCK_MODE_SHARED;
	default:
		return true;
	}
}

/* The host whose guest is in the way, or -1. */
static int conflict(const struct world *world, size_t key, unsigned host, enum guestlock_mode wanted)
{
	if (scenario_now->open && key != KEY_D) {
		return -1;
	}
	for (unsigned other = 0; other < HOSTS; other++) {
		const struct line *line = &world->lines[key][other];

		if (other != host && lives(world, line) && weight(line) &&
		    !goes_with(wanted, host, weight(line), other)) {
			return (int)other;
		}
	}
	return -1;
}

/* The owner's own line; add: in the place of what a former life left. */
static struct line *own_line(const struct guestlock_owner *owner, size_t key, bool add)
{
	struct line *line = &manager.world->lines[key][host_of(owner->instance)];

	if (line->instance == owner->instance) {
		return line;
	}
	if (!add) {
		return NULL;
	}
	*line = (struct line){.instance = (uint8_t)owner->instance};
	return line;
}

/* Whose lines are those of who asks. */
static unsigned asking_host(const struct guestlock_batch *batch)
{
	return batch->owner ? host_of(batch->owner->instance) : manager.host;
}

static void tell_epoch(struct guestlock_item *item)
{
	const struct epoch *epoch = &manager.world->epochs[key_of(item)];

	item->has_epoch = epoch->known;
	item->epoch = epoch->known ? epoch->value : 0;
}

static void tell_holder(struct guestlock_item *item, unsigned host)
{
	const struct line *line = &manager.world->lines[key_of(item)][host];

	item->holder = (struct guestlock_holder){.instance = line->instance, .mode = weight(line)};
	memcpy(item->holder.uuid, host_uuid(host), GUESTLOCK_UUID_STRING);
}

/* ---- Answers in the log ---- */

static enum guestlock_result give(struct guestlock_batch *batch, const struct entry *entry)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct guestlock_item *item = &batch->items[i];
		const struct answer *answer = &entry->answers[i];

		item->result = answer->result;
		item->held_mode = answer->held_mode;
		item->has_epoch = answer->epoch.known;
		item->epoch = answer->epoch.value;
		item->n_others = answer->n_others;
		item->holder = (struct guestlock_holder){0};
		if (answer->holder) {
			item->holder.mode = answer->holder_mode;
			item->holder.instance = answer->holder_instance;
			memcpy(item->holder.uuid, host_uuid(answer->holder - 1u), GUESTLOCK_UUID_STRING);
		}
	}
	return (enum guestlock_result)entry->result;
}

static void keep(const struct guestlock_batch *batch, struct entry *entry, enum guestlock_result result)
{
	entry->result = (int8_t)result;
	for (size_t i = 0; i < batch->count; i++) {
		const struct guestlock_item *item = &batch->items[i];
		struct answer *answer = &entry->answers[i];

		*answer = (struct answer){
			.key = (uint8_t)(1 + key_of(item)),
			.result = (uint8_t)item->result,
			.held_mode = (uint8_t)item->held_mode,
			.holder_mode = (uint8_t)item->holder.mode,
			.holder_instance = (uint8_t)item->holder.instance,
			.n_others = (uint8_t)item->n_others,
			.epoch = {.known = item->has_epoch, .value = (uint8_t)item->epoch},
		};
		if (item->holder.uuid[0]) {
			bool is_other = strcmp(item->holder.uuid, host_uuid(OTHER)) == 0;

			answer->holder = (uint8_t)(1 + (is_other                 ? OTHER
							: manager.host == SOURCE ? TARGET
										 : SOURCE));
		}
	}
}

static enum guestlock_result set_all(struct guestlock_batch *batch, enum guestlock_result result)
{
	for (size_t i = 0; i < batch->count; i++) {
		batch->items[i].result = result;
	}
	return result;
}

/* ---- The calls ---- */

/* A write to one key. false: the caller was killed before it. */
struct writes {
	unsigned done, most;
};

static bool may_write(struct writes *writes)
{
	return writes->done++ < writes->most;
}

static void grant(const struct guestlock_item *item, struct line *line)
{
	struct epoch *epoch = &manager.world->epochs[key_of(item)];

	/* Whoever gets it has seen its epoch, which is not put back any more. */
	for (unsigned host = 0; host < HOSTS && line->mode < item->mode; host++) {
		manager.world->lines[key_of(item)][host].undo = 0;
	}

	line->intent = GUESTLOCK_MODE_NONE;
	if (line->mode >= item->mode) {
		return;
	}
	line->undo = 0;
	line->before = 0;
	if (item->mode == GUESTLOCK_MODE_EXCLUSIVE) {
		line->undo = epoch->known ? 2 : 1;
		line->before = epoch->value;
	}
	if (item->mode == GUESTLOCK_MODE_EXCLUSIVE || !epoch->known) {
		epoch->value++;
		epoch->known = 1;
	}
	line->mode = (uint8_t)item->mode;
}

static enum guestlock_result judge_item(struct guestlock_batch *batch, struct guestlock_item *item)
{
	const struct line *own = own_line(batch->owner, key_of(item), false);
	const struct epoch *epoch = &manager.world->epochs[key_of(item)];
	int other;

	if (own && own->mode >= item->mode) {
		return GUESTLOCK_RES_GRANTED;
	}
	other = conflict(manager.world, key_of(item), asking_host(batch), item->mode);
	if (other >= 0) {
		tell_holder(item, (unsigned)other);
		return GUESTLOCK_RES_BUSY;
	}
	if (item->check_epoch && !epoch->known) {
		return GUESTLOCK_RES_UNPROVEN;
	}
	return item->check_epoch && epoch->value != item->expected_epoch ? GUESTLOCK_RES_STALE
									 : GUESTLOCK_RES_GRANTED;
}

static enum guestlock_result acquire(struct guestlock_batch *batch, struct writes *writes)
{
	enum guestlock_result worst = GUESTLOCK_RES_GRANTED;

	for (size_t i = 0; i < batch->count; i++) {
		batch->items[i].result = judge_item(batch, &batch->items[i]);
		worst = batch->items[i].result > worst ? batch->items[i].result : worst;
	}
	if (scenario_now->forgiving && (batch->flags & GUESTLOCK_BATCH_PROBE)) {
		return GUESTLOCK_RES_GRANTED;
	}
	if (worst != GUESTLOCK_RES_GRANTED || (batch->flags & GUESTLOCK_BATCH_PROBE)) {
		return worst;
	}
	/* As a kill may leave it: first an intent at every key, then every grant. */
	for (size_t i = 0; i < 2 * batch->count; i++) {
		struct guestlock_item *item = &batch->items[i % batch->count];
		struct line *line;

		if (!may_write(writes)) {
			break;
		}
		line = own_line(batch->owner, key_of(item), true);
		if (i >= batch->count) {
			grant(item, line);
		} else if (line->mode < item->mode) {
			line->intent = (uint8_t)item->mode;
		}
	}
	for (size_t i = 0; i < batch->count; i++) {
		tell_epoch(&batch->items[i]);
	}
	return worst;
}

static void release_line(const struct guestlock_batch *batch, struct guestlock_item *item, struct line *line)
{
	struct epoch *epoch = &manager.world->epochs[key_of(item)];

	/* Put back only if nobody took it since: what a dead guest left is free to be taken. */
	if (batch->flags & GUESTLOCK_BATCH_UNDO && line->mode == GUESTLOCK_MODE_EXCLUSIVE && line->undo &&
	    epoch->value == line->before + 1) {
		*epoch = (struct epoch){.known = line->undo == 2, .value = line->before};
	}
	*line = (struct line){
		.instance = batch->flags & GUESTLOCK_BATCH_PARK ? (uint8_t)batch->owner->instance : 0};
}

static enum guestlock_result release(struct guestlock_batch *batch, struct writes *writes)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct guestlock_item *item = &batch->items[i];
		struct line *line = own_line(batch->owner, key_of(item), false);

		item->result = GUESTLOCK_RES_GRANTED;
		if (line && may_write(writes)) {
			release_line(batch, item, line);
		}
		tell_epoch(item);
	}
	return GUESTLOCK_RES_GRANTED;
}

static enum guestlock_result convert(struct guestlock_batch *batch, struct writes *writes)
{
	enum guestlock_result worst = GUESTLOCK_RES_GRANTED;

	for (size_t i = 0; i < batch->count; i++) {
		struct guestlock_item *item = &batch->items[i];
		const struct line *line = own_line(batch->owner, key_of(item), false);
		int other = conflict(manager.world, key_of(item), asking_host(batch), item->mode);

		item->result = GUESTLOCK_RES_GRANTED;
		if (!line || line->mode == GUESTLOCK_MODE_NONE) {
			item->result = GUESTLOCK_RES_MODE_MISMATCH;
		} else if (item->mode == GUESTLOCK_MODE_NONE) {
			item->result = GUESTLOCK_RES_INVALID;
		} else if (other >= 0) {
			tell_holder(item, (unsigned)other);
			item->result = GUESTLOCK_RES_BUSY;
		}
		worst = item->result > worst ? item->result : worst;
	}
	for (size_t i = 0; i < batch->count && worst == GUESTLOCK_RES_GRANTED && may_write(writes); i++) {
		struct line *line = own_line(batch->owner, key_of(&batch->items[i]), false);

		if (batch->flags & GUESTLOCK_BATCH_TAKE_OVER && line->mode == GUESTLOCK_MODE_HANDOVER &&
		    batch->items[i].mode == GUESTLOCK_MODE_EXCLUSIVE) {
			manager.world->epochs[key_of(&batch->items[i])].value++;
		}
		line->mode = (uint8_t)batch->items[i].mode;
		line->intent = line->undo = line->before = 0;
		tell_epoch(&batch->items[i]);
	}
	return worst;
}

static enum guestlock_result inquire(struct guestlock_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct guestlock_item *item = &batch->items[i];
		const struct line *own = batch->owner ? own_line(batch->owner, key_of(item), false) : NULL;
		int other =
			conflict(manager.world, key_of(item), asking_host(batch), GUESTLOCK_MODE_EXCLUSIVE);

		tell_epoch(item);
		item->n_others = 0;
		if (other >= 0) {
			item->n_others = 1;
			tell_holder(item, (unsigned)other);
		}
		if (own && weight(own)) {
			item->held_mode = weight(own);
			item->result = own->mode ? GUESTLOCK_RES_HELD : GUESTLOCK_RES_ORPHAN;
		} else {
			item->result = other >= 0 ? GUESTLOCK_RES_OTHER : GUESTLOCK_RES_FREE;
		}
	}
	return GUESTLOCK_RES_GRANTED;
}

static enum guestlock_result carry_out(unsigned kind, struct guestlock_batch *batch, struct writes *writes)
{
	switch (kind) {
	case CALL_ACQUIRE:
		return acquire(batch, writes);
	case CALL_RELEASE:
		return release(batch, writes);
	case CALL_CONVERT:
		return convert(batch, writes);
	case CALL_INQUIRE:
		return inquire(batch);
	default:
		for (size_t i = 0; i < batch->count && may_write(writes); i++) {
			own_line(batch->owner, key_of(&batch->items[i]), true);
		}
		return set_all(batch, GUESTLOCK_RES_GRANTED);
	}
}

static enum guestlock_result call(unsigned kind, struct guestlock_batch *batch, struct guestlock_error *err)
{
	struct writes writes = {.most = 2 * KEYS};
	enum mishap mishap = MISHAP_NONE;
	enum guestlock_result result = GUESTLOCK_RES_IO;
	struct entry *entry;

	switch (take_turn(kind, true, &entry)) {
	case REPLAYED:
		result = give(batch, entry);
		break;
	case GONE:
		set_all(batch, result);
		break;
	case LIVE:
		mishap = manager.mishap;
		manager.mishap = MISHAP_NONE;
		if (mishap > MISHAP_KILLED) {
			writes.most = mishap - MISHAP_KILLED;
		}
		result = mishap == MISHAP_DROPPED ? GUESTLOCK_RES_INFLIGHT : carry_out(kind, batch, &writes);
		if (mishap > MISHAP_KILLED) {
			manager.gone = true;
			manager.ending = KILLED;
		} else if (mishap != MISHAP_NONE) {
			result = set_all(batch, GUESTLOCK_RES_INFLIGHT);
		}
		keep(batch, entry, result);
		break;
	}
	return result == GUESTLOCK_RES_GRANTED
		       ? result
		       : guestlock_backend_fail(err, result, 0, 0, "the model says so");
}

static enum guestlock_result model_bind(struct guestlock_backend *backend, struct guestlock_batch *batch,
					struct guestlock_error *err)
{
	(void)backend;
	return call(CALL_BIND, batch, err);
}

static enum guestlock_result model_acquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
					   struct guestlock_error *err)
{
	(void)backend;
	return call(CALL_ACQUIRE, batch, err);
}

static enum guestlock_result model_release(struct guestlock_backend *backend, struct guestlock_batch *batch,
					   struct guestlock_error *err)
{
	(void)backend;
	return call(CALL_RELEASE, batch, err);
}

static enum guestlock_result model_convert(struct guestlock_backend *backend, struct guestlock_batch *batch,
					   struct guestlock_error *err)
{
	(void)backend;
	return call(CALL_CONVERT, batch, err);
}

static enum guestlock_result model_inquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
					   struct guestlock_error *err)
{
	(void)backend;
	return call(CALL_INQUIRE, batch, err);
}

static void visit_line(unsigned host, unsigned key, guestlock_enumerate_fn *visit, void *data)
{
	const struct line *line = &manager.world->lines[key][host];
	struct guestlock_lock lock = {
		.owner = {.instance = line->instance, .name = "", .host = "", .manager = ""},
		.key = {.identity = ""},
		.mode = weight(line),
		.readable = true,
	};

	if (line->instance == 0) {
		return;
	}
	memcpy(lock.owner.uuid, host_uuid(host), GUESTLOCK_UUID_STRING);
	memset(lock.key.key, 'd' + (int)key, GUESTLOCK_KEY_SIZE - 1);
	visit(data, &lock);
}

/* Are those lines of the manager's host? */
static bool is_here(unsigned host)
{
	return record_host(host) == record_host(manager.host);
}

/* Only recovery asks, which runs alone. */
static enum guestlock_result model_enumerate(struct guestlock_backend *backend, guestlock_enumerate_fn *visit,
					     guestlock_unchanged_fn *unchanged, void *data,
					     struct guestlock_error *err)
{
	(void)backend;
	(void)unchanged;
	(void)err;
	for (unsigned key = 0; key < KEYS; key++) {
		for (unsigned host = 0; host < HOSTS; host++) {
			if (is_here(host)) {
				visit_line(host, key, visit, data);
			}
		}
	}
	return GUESTLOCK_RES_GRANTED;
}

static enum guestlock_result model_release_orphan(struct guestlock_backend *backend, const char *key,
						  bool force, struct guestlock_error *err)
{
	(void)backend;
	(void)err;
	for (unsigned host = 0; host < HOSTS; host++) {
		struct line *line = &manager.world->lines[key[0] - 'd'][host];

		if (is_here(host) && (force || !lives(manager.world, line))) {
			*line = (struct line){0};
		}
	}
	return GUESTLOCK_RES_GRANTED;
}

const struct guestlock_backend_ops model_ops = {
	.bind = model_bind,
	.acquire = model_acquire,
	.release = model_release,
	.convert = model_convert,
	.inquire = model_inquire,
	.enumerate = model_enumerate,
	.release_orphan = model_release_orphan,
};

const struct guestlock_module model_module = {
	.abi = GUESTLOCK_BACKEND_ABI,
	.name = "model",
	.description = "a model",
	.capabilities =
		GUESTLOCK_CAP_SHARED | GUESTLOCK_CAP_HANDOVER | GUESTLOCK_CAP_HOTPLUG | GUESTLOCK_CAP_EPOCH,
	.ops = &model_ops,
};

/* What the dead left counts as long as a record still speaks of it. */
void technology_drop_void(struct world *world)
{
	for (unsigned host = 0; host < HOSTS; host++) {
		for (unsigned key = 0; key < KEYS; key++) {
			struct line *line = &world->lines[key][host];
			const struct note *note = &world->notes[record_host(host)];

			if (line->instance && !lives(world, line) &&
			    !(note->exists && note->instance == line->instance)) {
				*line = (struct line){0};
			}
		}
	}
}
