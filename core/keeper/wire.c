/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Putting messages together; keeper_get.c takes them apart. */
#include "keeper/wire.h"

#include "base/base.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define FIRST_ROOM 1024

void gl_wire_free(struct gl_wire *wire)
{
	free(wire->data);
	*wire = (struct gl_wire){0};
}

static void *extend(struct gl_wire *wire, size_t size)
{
	if (wire->failed) {
		return NULL;
	}
	if (size > wire->room - wire->size) {
		size_t room = wire->room * 2 + size + FIRST_ROOM;
		void *grown = realloc(wire->data, room);

		if (!grown) {
			wire->failed = true;
			return NULL;
		}
		wire->data = grown;
		wire->room = room;
	}
	wire->size += size;
	return wire->data + wire->size - size;
}

static void put_u8(struct gl_wire *wire, unsigned value)
{
	unsigned char *to = extend(wire, 1);

	if (to) {
		*to = (unsigned char)value;
	}
}

static void put_u32(struct gl_wire *wire, uint32_t value)
{
	void *to = extend(wire, sizeof(value));

	value = htole32(value);
	if (to) {
		memcpy(to, &value, sizeof(value));
	}
}

static void put_u64(struct gl_wire *wire, uint64_t value)
{
	void *to = extend(wire, sizeof(value));

	value = htole64(value);
	if (to) {
		memcpy(to, &value, sizeof(value));
	}
}

/* NULL and "" are different, as they are in a lease. */
static void put_text(struct gl_wire *wire, const char *text)
{
	size_t length = text ? strlen(text) : 0;
	void *to;

	if (length > GL_KEEPER_TEXT_MAX) {
		wire->failed = true;
		return;
	}
	put_u32(wire, text ? (uint32_t)length : UINT32_MAX);
	to = text ? extend(wire, length + 1) : NULL;
	if (to) {
		memcpy(to, text, length + 1);
	}
}

static void put_owner(struct gl_wire *wire, const struct guestlock_owner *owner)
{
	put_text(wire, owner->uuid);
	put_u64(wire, owner->instance);
	put_text(wire, owner->name ? owner->name : "");
	put_u64(wire, (uint64_t)owner->pid);
	put_u64(wire, owner->pid_start);
	put_u64(wire, owner->pid_ns);
	put_text(wire, owner->boot_id);
	put_u8(wire, owner->adopted);
	put_text(wire, owner->host ? owner->host : "");
	put_text(wire, owner->manager ? owner->manager : "");
}

static void put_key(struct gl_wire *wire, const struct guestlock_key *key)
{
	put_text(wire, key->key);
	put_text(wire, key->identity ? key->identity : "");
	put_u8(wire, key->type);
	put_text(wire, key->lockspace);
	put_text(wire, key->path);
	put_u64(wire, key->offset);
}

static void put_holder(struct gl_wire *wire, const struct guestlock_holder *holder)
{
	put_text(wire, holder->uuid);
	put_u64(wire, holder->instance);
	put_u8(wire, holder->mode);
	put_text(wire, holder->name);
	put_text(wire, holder->host);
	put_u64(wire, (uint64_t)holder->pid);
	put_u64(wire, (uint64_t)holder->since);
}

static void put_error(struct gl_wire *wire, const struct guestlock_error *err)
{
	put_u32(wire, (uint32_t)-err->code);
	put_u32(wire, (uint32_t)err->sys_errno);
	put_u64(wire, (uint64_t)err->vendor);
	put_text(wire, err->backend);
	put_text(wire, err->guest);
	put_text(wire, err->resource);
	put_holder(wire, &err->holder);
	put_text(wire, err->message);
}

static void begin(struct gl_wire *wire)
{
	wire->size = 0;
	wire->failed = false;
	extend(wire, GL_KEEPER_HEADER);
}

static int complete(struct gl_wire *wire, enum gl_keeper_type type)
{
	struct gl_wire header = {.data = wire->data, .room = GL_KEEPER_HEADER};
	size_t body = wire->size - GL_KEEPER_HEADER;

	if (wire->failed || body > GL_KEEPER_BODY_MAX) {
		errno = wire->failed ? ENOMEM : EMSGSIZE;
		return -1;
	}
	put_u32(&header, GL_KEEPER_MAGIC);
	put_u32(&header, GL_KEEPER_PROTOCOL | (uint32_t)type << 16);
	put_u32(&header, (uint32_t)body);
	put_u32(&header, wire->size > GL_KEEPER_INLINE);
	return 0;
}

int gl_keeper_put_request(struct gl_wire *wire, const struct gl_keeper_request *request)
{
	begin(wire);
	put_u8(wire, request->call);
	put_text(wire, request->settings);
	put_u64(wire, (uint64_t)request->deadline_ms);
	put_u32(wire, request->unused_s);
	put_u8(wire, request->mode);
	put_u8(wire, request->force);
	put_text(wire, request->name ? request->name : "");
	put_u8(wire, request->has_owner);
	if (request->has_owner) {
		put_owner(wire, &request->owner);
	}
	put_u8(wire, request->has_batch);
	if (request->has_batch) {
		const struct guestlock_batch *batch = &request->batch;

		put_u32(wire, batch->flags);
		put_u32(wire, (uint32_t)batch->count);
		for (size_t i = 0; i < batch->count; i++) {
			put_key(wire, batch->items[i].key);
			put_u8(wire, batch->items[i].mode);
			put_u8(wire, batch->items[i].check_epoch);
			put_u64(wire, batch->items[i].expected_epoch);
		}
	}
	return complete(wire, GL_KEEPER_REQUEST);
}

static void put_outcome(struct gl_wire *wire, const struct guestlock_item *item)
{
	put_u8(wire, item->result);
	put_u8(wire, item->held_mode);
	put_u8(wire, item->has_epoch);
	put_u64(wire, item->epoch);
	put_u64(wire, item->n_others);
	put_holder(wire, &item->holder);
	put_u32(wire, (uint32_t)item->n_holders);
	for (size_t i = 0; i < item->n_holders; i++) {
		put_holder(wire, &item->holders[i]);
	}
}

static void put_about(struct gl_wire *wire, const struct gl_keeper_about *about)
{
	put_u64(wire, (uint64_t)about->guard);
	put_u64(wire, (uint64_t)about->worker);
	put_u64(wire, (uint64_t)about->since);
	put_u32(wire, about->running);
	put_u32(wire, about->waiting);
	put_u8(wire, about->state);
	put_text(wire, about->version);
	put_text(wire, about->backend);
}

int gl_keeper_put_answer(struct gl_wire *wire, const struct gl_keeper_answer *answer)
{
	begin(wire);
	put_u8(wire, answer->result);
	put_u8(wire, answer->state);
	put_text(wire, answer->settings ? answer->settings : "");
	put_u8(wire, answer->has_error);
	if (answer->has_error) {
		put_error(wire, &answer->error);
	}
	put_u32(wire, (uint32_t)answer->count);
	for (size_t i = 0; i < answer->count; i++) {
		put_outcome(wire, &answer->items[i]);
	}
	put_u32(wire, (uint32_t)answer->n_locks);
	for (size_t i = 0; i < answer->n_locks; i++) {
		put_owner(wire, &answer->locks[i].owner);
		put_key(wire, &answer->locks[i].key);
		put_u8(wire, answer->locks[i].mode);
		put_u8(wire, answer->locks[i].readable);
		put_u64(wire, (uint64_t)answer->locks[i].since);
	}
	put_u32(wire, (uint32_t)answer->n_silent);
	for (size_t i = 0; i < answer->n_silent; i++) {
		put_text(wire, answer->silent[i].host);
		put_text(wire, answer->silent[i].reason);
	}
	put_about(wire, &answer->about);
	return complete(wire, GL_KEEPER_ANSWER);
}
