/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages, put together and taken apart. What a structure consists of is said once for both ways, by the
 * function pass_...() of its name. What is put is only read. What is taken apart anybody may have sent.
 */
#include "keeper/wire.h"

#include "base/base.h"
#include "base/error.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define FIRST_ROOM 1024

struct stream {
	struct gl_wire *out; /* where all is put; NULL: it is taken from data */
	const unsigned char *data;
	size_t size, at;
	bool failed, no_memory; /* whatever is taken from then on is zero or "" */
};

/* ---- Numbers and texts ---- */

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

static const void *take_bytes(struct stream *stream, size_t size)
{
	stream->failed |= size > stream->size - stream->at;
	if (stream->failed) {
		return NULL;
	}
	stream->at += size;
	return stream->data + stream->at - size;
}

/* Both inline: where size is constant, copying takes one instruction. */
static inline void put_number(struct gl_wire *wire, size_t size, uint64_t value)
{
	void *to = extend(wire, size);

	value = htole64(value);
	if (to) {
		memcpy(to, &value, size);
	}
}

static inline uint64_t take_number(struct stream *stream, size_t size, uint64_t most)
{
	const void *from = take_bytes(stream, size);
	uint64_t value = 0;

	if (from) {
		memcpy(&value, from, size);
		value = le64toh(value);
	}
	stream->failed |= value > most;
	return stream->failed ? 0 : value;
}

/* A variable of any integer type in so many bytes; in 8 it may be negative. */
#define NUMBER(stream, variable, size, most)                                                                 \
	do {                                                                                                 \
		if ((stream)->out) {                                                                         \
			put_number((stream)->out, size, (uint64_t)(variable));                               \
		} else {                                                                                     \
			(variable) = (__typeof__(variable))take_number(stream, size, most);                  \
		}                                                                                            \
	} while (0)
#define U8(stream, variable, most) NUMBER(stream, variable, 1, most)
#define BOOL(stream, variable) NUMBER(stream, variable, 1, true)
#define U32(stream, variable, most) NUMBER(stream, variable, 4, most)
#define U64(stream, variable) NUMBER(stream, variable, 8, UINT64_MAX)
#define PID(stream, variable) NUMBER(stream, variable, 8, INT32_MAX)

static void put_text(struct gl_wire *wire, const char *text)
{
	size_t length = text ? strlen(text) : 0;
	void *to;

	wire->failed |= length > GL_KEEPER_TEXT_MAX;
	put_number(wire, 4, text ? length : UINT32_MAX);
	to = text ? extend(wire, length + 1) : NULL;
	if (to) {
		memcpy(to, text, length + 1);
	}
}

static const char *take_text(struct stream *stream)
{
	size_t length = take_number(stream, 4, UINT32_MAX);
	const char *text;

	if (length > GL_KEEPER_TEXT_MAX) {
		stream->failed |= length != UINT32_MAX;
		return NULL;
	}
	text = take_bytes(stream, length + 1);
	stream->failed |= text && strnlen(text, length + 1) != length;
	return stream->failed ? NULL : text;
}

/* NULL and "" are different, as they are in a lease. */
static void pass_any_text(struct stream *stream, const char **text)
{
	if (stream->out) {
		put_text(stream->out, *text);
	} else {
		*text = take_text(stream);
	}
}

/* NULL is put as "". */
static void pass_text(struct stream *stream, const char **text)
{
	const char *any = stream->out && *text ? *text : "";

	pass_any_text(stream, &any);
	if (!stream->out) {
		stream->failed |= !any;
		*text = any ? any : "";
	}
}

static void pass_array(struct stream *stream, char *array, size_t size)
{
	const char *text = array;

	pass_any_text(stream, &text);
	if (!stream->out) {
		stream->failed |= !text || strlen(text) >= size;
		text = stream->failed ? "" : text;
		memcpy(array, text, strlen(text) + 1);
	}
}
#define ARRAY(stream, array) pass_array(stream, array, sizeof(array))

/* Canonical, or "". */
static void pass_uuid(struct stream *stream, char text[GUESTLOCK_UUID_STRING])
{
	char canonical[GUESTLOCK_UUID_STRING];

	pass_array(stream, text, GUESTLOCK_UUID_STRING);
	stream->failed |=
		!stream->out && text[0] && (!gl_uuid_parse(text, canonical) || strcmp(text, canonical) != 0);
}

/* ---- Structures ---- */

static void pass_owner(struct stream *stream, struct guestlock_owner *owner)
{
	pass_uuid(stream, owner->uuid);
	U64(stream, owner->instance);
	pass_text(stream, &owner->name);
	PID(stream, owner->pid);
	U64(stream, owner->pid_start);
	U64(stream, owner->pid_ns);
	pass_uuid(stream, owner->boot_id);
	BOOL(stream, owner->adopted);
	pass_text(stream, &owner->host);
	pass_text(stream, &owner->manager);
}

static void pass_key(struct stream *stream, struct guestlock_key *key)
{
	ARRAY(stream, key->key);
	pass_text(stream, &key->identity);
	U8(stream, key->type, GUESTLOCK_LEASE);
	pass_any_text(stream, &key->lockspace);
	pass_any_text(stream, &key->path);
	U64(stream, key->offset);
	stream->failed |= !stream->out && !guestlock_key_valid(key->key);
}

static void pass_holder(struct stream *stream, struct guestlock_holder *holder)
{
	ARRAY(stream, holder->uuid);
	U64(stream, holder->instance);
	U8(stream, holder->mode, GUESTLOCK_MODE_EXCLUSIVE);
	ARRAY(stream, holder->name);
	ARRAY(stream, holder->host);
	PID(stream, holder->pid);
	U64(stream, holder->since);
	U64(stream, holder->pid_ns);
}

static void pass_error(struct stream *stream, struct guestlock_error *err)
{
	int negated = stream->out ? -err->code : 0;

	U32(stream, negated, -GL_STATUS_LAST);
	if (!stream->out) {
		err->code = -negated;
	}
	U32(stream, err->sys_errno, INT32_MAX);
	U64(stream, err->vendor);
	ARRAY(stream, err->backend);
	ARRAY(stream, err->guest);
	ARRAY(stream, err->resource);
	pass_holder(stream, &err->holder);
	ARRAY(stream, err->message);
}

static void pass_lock(struct stream *stream, struct guestlock_lock *lock)
{
	pass_owner(stream, &lock->owner);
	pass_key(stream, &lock->key);
	U8(stream, lock->mode, GUESTLOCK_MODE_EXCLUSIVE);
	BOOL(stream, lock->readable);
	U64(stream, lock->since);
}

static void pass_about(struct stream *stream, struct gl_keeper_about *about)
{
	PID(stream, about->guard);
	PID(stream, about->worker);
	U64(stream, about->since);
	U32(stream, about->running, UINT32_MAX);
	U32(stream, about->waiting, UINT32_MAX);
	U8(stream, about->state, GUESTLOCK_JOIN_LOST);
	ARRAY(stream, about->version);
	ARRAY(stream, about->backend);
}

/*
 * How many there are, and when they are taken, room for them, to which *array points then. Each takes least
 * bytes or more in a message: nobody can make us allocate much with a short one.
 */
static void pass_room(struct stream *stream, void *array, size_t *count, size_t size, size_t least)
{
	void *room;

	U32(stream, *count, (stream->size - stream->at) / least);
	if (!stream->out) {
		room = *count > 0 ? calloc(*count, size) : NULL;
		stream->no_memory |= *count > 0 && !room;
		stream->failed |= stream->no_memory;
		*count = room ? *count : 0;
		memcpy(array, &room, sizeof(room));
	}
}

static void pass_outcome(struct stream *stream, struct guestlock_item *item)
{
	U8(stream, item->result, GUESTLOCK_RES_FREE);
	U8(stream, item->held_mode, GUESTLOCK_MODE_EXCLUSIVE);
	BOOL(stream, item->has_epoch);
	U64(stream, item->epoch);
	U64(stream, item->n_others);
	pass_holder(stream, &item->holder);
	if (!stream->out) {
		free(item->holders);
	}
	pass_room(stream, &item->holders, &item->n_holders, sizeof(*item->holders), 20);
	for (size_t i = 0; i < item->n_holders && !stream->failed; i++) {
		pass_holder(stream, &item->holders[i]);
	}
}

/* ---- Messages ---- */

static void *writable(const void *object)
{
	void *same;

	memcpy(&same, &object, sizeof(same));
	return same;
}

static void make_batch(struct stream *stream, struct gl_keeper_request *request)
{
	struct guestlock_batch *batch = &request->batch;

	batch->deadline_ms = request->deadline_ms;
	batch->items = calloc(batch->count + 1, sizeof(*batch->items));
	request->keys = calloc(batch->count + 1, sizeof(*request->keys));
	stream->no_memory = !batch->items || !request->keys;
	stream->failed |= stream->no_memory;
	batch->count = stream->no_memory ? 0 : batch->count;
	for (size_t i = 0; i < batch->count; i++) {
		batch->items[i].key = &request->keys[i];
	}
}

static void pass_batch(struct stream *stream, struct gl_keeper_request *request)
{
	struct guestlock_batch *batch = &request->batch;

	BOOL(stream, request->has_owner);
	if (request->has_owner) {
		pass_owner(stream, &request->owner);
	}
	U32(stream, batch->flags, GUESTLOCK_BATCH_LOSING * 2 - 1);
	U32(stream, batch->count, (stream->size - stream->at) / 20); /* as in pass_room() */
	if (!stream->out) {
		make_batch(stream, request);
	}
	for (size_t i = 0; i < batch->count && !stream->failed; i++) {
		struct guestlock_item *item = &batch->items[i];

		pass_key(stream, writable(item->key));
		U8(stream, item->mode, GUESTLOCK_MODE_EXCLUSIVE);
		BOOL(stream, item->check_epoch);
		U64(stream, item->expected_epoch);
	}
}

static void pass_request(struct stream *stream, struct gl_keeper_request *request)
{
	U8(stream, request->call, GL_KEEPER_CALLS - 1);
	ARRAY(stream, request->settings);
	U64(stream, request->deadline_ms);
	U32(stream, request->unused_s, UINT32_MAX);
	BOOL(stream, request->force);
	pass_text(stream, &request->name);
	if (gl_keeper_has_batch(request->call)) {
		pass_batch(stream, request);
	}
}

static void pass_answer(struct stream *stream, struct gl_keeper_answer *answer, size_t asked)
{
	U8(stream, answer->result, GUESTLOCK_RES_FREE);
	U8(stream, answer->state, GUESTLOCK_JOIN_LOST);
	pass_text(stream, &answer->settings);
	BOOL(stream, answer->has_error);
	if (answer->has_error) {
		pass_error(stream, &answer->error);
	}
	U32(stream, answer->count, asked);
	stream->failed |= answer->count != asked && answer->count != 0;
	for (size_t i = 0; i < answer->count && !stream->failed; i++) {
		pass_outcome(stream, &answer->items[i]);
	}
	pass_room(stream, &answer->locks, &answer->n_locks, sizeof(*answer->locks), 40);
	for (size_t i = 0; i < answer->n_locks && !stream->failed; i++) {
		pass_lock(stream, &answer->locks[i]);
	}
	pass_room(stream, &answer->silent, &answer->n_silent, sizeof(*answer->silent), 10);
	for (size_t i = 0; i < answer->n_silent && !stream->failed; i++) {
		pass_text(stream, &answer->silent[i].host);
		pass_text(stream, &answer->silent[i].reason);
	}
	pass_about(stream, &answer->about);
}

void gl_wire_free(struct gl_wire *wire)
{
	free(wire->data);
	*wire = (struct gl_wire){0};
}

static void begin_message(struct gl_wire *wire)
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
	put_number(&header, 4, GL_KEEPER_MAGIC);
	put_number(&header, 2, GL_KEEPER_PROTOCOL);
	put_number(&header, 2, type);
	put_number(&header, 4, body);
	put_number(&header, 4, wire->size > GL_KEEPER_INLINE);
	return 0;
}

int gl_keeper_put_request(struct gl_wire *wire, const struct gl_keeper_request *request)
{
	begin_message(wire);
	pass_request(&(struct stream){.out = wire}, writable(request));
	return complete(wire, GL_KEEPER_REQUEST);
}

int gl_keeper_put_answer(struct gl_wire *wire, const struct gl_keeper_answer *answer)
{
	begin_message(wire);
	pass_answer(&(struct stream){.out = wire}, writable(answer), answer->count);
	return complete(wire, GL_KEEPER_ANSWER);
}

/* Nothing may be left over. 0, or an errno. */
static int finish_message(const struct stream *stream)
{
	if (stream->no_memory) {
		return ENOMEM;
	}
	return stream->failed || stream->at < stream->size ? EBADMSG : 0;
}

int gl_keeper_get_request(const unsigned char *data, size_t size, struct gl_keeper_request *out_request)
{
	struct stream stream = {.data = data, .size = size};
	struct gl_keeper_request request = {.name = ""};
	int error;

	pass_request(&stream, &request);
	stream.failed |= request.has_owner && (!request.owner.uuid[0] || request.owner.instance == 0);
	stream.failed |=
		!request.has_owner && gl_keeper_has_batch(request.call) && request.call != GL_KEEPER_INQUIRE;
	error = finish_message(&stream);
	if (error) {
		gl_keeper_request_free(&request);
		errno = error;
		return -1;
	}
	*out_request = request;
	return 0;
}

void gl_keeper_request_free(struct gl_keeper_request *request)
{
	for (size_t i = 0; i < request->batch.count; i++) {
		free(request->batch.items[i].holders);
	}
	free(request->batch.items);
	free(request->keys);
	*request = (struct gl_keeper_request){.name = ""};
}

int gl_keeper_get_answer(const unsigned char *data, size_t size, struct guestlock_item *items, size_t count,
			 struct gl_keeper_answer *out_answer)
{
	struct stream stream = {.data = data, .size = size};
	int error;

	out_answer->items = items;
	pass_answer(&stream, out_answer, count);
	error = finish_message(&stream);
	if (error) {
		gl_keeper_answer_free(out_answer);
		errno = error;
		return -1;
	}
	return 0;
}

void gl_keeper_answer_free(struct gl_keeper_answer *answer)
{
	free(answer->locks);
	free(answer->silent);
	answer->locks = NULL;
	answer->silent = NULL;
	answer->n_locks = answer->n_silent = 0;
}

int gl_keeper_get_header(const unsigned char *data, size_t size, enum gl_keeper_type type, size_t *out_body,
			 bool *out_beside)
{
	struct stream stream = {.data = data, .size = size};
	uint64_t magic = take_number(&stream, 4, UINT32_MAX), protocol = take_number(&stream, 2, UINT16_MAX);
	uint64_t kind = take_number(&stream, 2, UINT16_MAX), body = take_number(&stream, 4, UINT32_MAX);
	uint64_t beside = take_number(&stream, 4, UINT32_MAX);
	bool ours = !stream.failed && magic == GL_KEEPER_MAGIC;

	if (!ours || protocol != GL_KEEPER_PROTOCOL || kind != type || beside > 1 ||
	    body > GL_KEEPER_BODY_MAX || size - GL_KEEPER_HEADER != (beside ? 0 : body)) {
		errno = ours && protocol != GL_KEEPER_PROTOCOL ? EPROTONOSUPPORT : EBADMSG;
		return -1;
	}
	*out_body = body;
	*out_beside = beside != 0;
	return 0;
}
