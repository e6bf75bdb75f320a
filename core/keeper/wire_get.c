/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking messages apart, which anybody may have sent. */
#include "keeper/wire.h"

#include "base/base.h"
#include "base/error.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* Bytes that each of these takes at least: nobody can make us allocate much with a short message. */
#define LEAST_ITEM 20
#define LEAST_HOLDER 20
#define LEAST_LOCK 40
#define LEAST_SILENT 10

struct reader {
	const unsigned char *data;
	size_t size, at;
	bool failed;
};

static const void *take(struct reader *reader, size_t size)
{
	if (reader->failed || size > reader->size - reader->at) {
		reader->failed = true;
		return NULL;
	}
	reader->at += size;
	return reader->data + reader->at - size;
}

static unsigned get_u8(struct reader *reader, unsigned most)
{
	const unsigned char *from = take(reader, 1);

	if (!from || *from > most) {
		reader->failed = true;
		return 0;
	}
	return *from;
}

static bool get_bool(struct reader *reader)
{
	return get_u8(reader, 1) != 0;
}

static uint32_t get_u32(struct reader *reader, uint32_t most)
{
	const void *from = take(reader, sizeof(uint32_t));
	uint32_t value = 0;

	if (from) {
		memcpy(&value, from, sizeof(value));
		value = le32toh(value);
	}
	if (value > most) {
		reader->failed = true;
		return 0;
	}
	return value;
}

static uint64_t get_u64(struct reader *reader)
{
	const void *from = take(reader, sizeof(uint64_t));
	uint64_t value = 0;

	if (from) {
		memcpy(&value, from, sizeof(value));
	}
	return le64toh(value);
}

static int64_t get_i64(struct reader *reader)
{
	return (int64_t)get_u64(reader);
}

static pid_t get_pid(struct reader *reader)
{
	uint64_t value = get_u64(reader);

	reader->failed |= value > INT32_MAX;
	return reader->failed ? 0 : (pid_t)value;
}

/* How many of what takes so many bytes at least. */
static size_t get_count(struct reader *reader, size_t least)
{
	return get_u32(reader, (uint32_t)((reader->size - reader->at) / least));
}

/* NULL, too, where that was put. */
static const char *get_any_text(struct reader *reader)
{
	uint32_t length = get_u32(reader, UINT32_MAX);
	const char *text;

	if (reader->failed || length == UINT32_MAX) {
		return NULL;
	}
	reader->failed |= length > GL_KEEPER_TEXT_MAX;
	text = take(reader, (size_t)length + 1);
	if (!text || strnlen(text, (size_t)length + 1) != length) {
		reader->failed = true;
		return NULL;
	}
	return text;
}

static const char *get_text(struct reader *reader)
{
	const char *text = get_any_text(reader);

	reader->failed |= !text;
	return text ? text : "";
}

static void get_array(struct reader *reader, char *out, size_t size)
{
	const char *text = get_text(reader);
	size_t length = strlen(text);

	if (length >= size) {
		reader->failed = true;
		length = 0;
	}
	memcpy(out, text, length);
	out[length] = '\0';
}

/* A canonical uuid, or "" where none is needed. */
static void get_uuid(struct reader *reader, bool needed, char text[GUESTLOCK_UUID_STRING])
{
	char out_uuid[GUESTLOCK_UUID_STRING];

	get_array(reader, text, GUESTLOCK_UUID_STRING);
	if ((needed || text[0]) && (!gl_uuid_parse(text, out_uuid) || strcmp(text, out_uuid) != 0)) {
		reader->failed = true;
	}
}

static void get_owner(struct reader *reader, bool needed, struct guestlock_owner *out)
{
	get_uuid(reader, needed, out->uuid);
	out->instance = get_u64(reader);
	out->name = get_text(reader);
	out->pid = get_pid(reader);
	out->pid_start = get_u64(reader);
	out->pid_ns = get_u64(reader);
	get_uuid(reader, false, out->boot_id);
	out->adopted = get_bool(reader);
	out->host = get_text(reader);
	out->manager = get_text(reader);
}

static void get_key(struct reader *reader, struct guestlock_key *out)
{
	get_array(reader, out->key, sizeof(out->key));
	out->identity = get_text(reader);
	out->type = get_u8(reader, GUESTLOCK_LEASE);
	out->lockspace = get_any_text(reader);
	out->path = get_any_text(reader);
	out->offset = get_u64(reader);
	if (strlen(out->key) != GUESTLOCK_KEY_SIZE - 1 ||
	    strspn(out->key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") !=
		    GUESTLOCK_KEY_SIZE - 1) {
		reader->failed = true;
	}
}

static void get_holder(struct reader *reader, struct guestlock_holder *out)
{
	get_array(reader, out->uuid, sizeof(out->uuid));
	out->instance = get_u64(reader);
	out->mode = get_u8(reader, GUESTLOCK_MODE_EXCLUSIVE);
	get_array(reader, out->name, sizeof(out->name));
	get_array(reader, out->host, sizeof(out->host));
	out->pid = get_pid(reader);
	out->since = get_i64(reader);
}

static void get_error(struct reader *reader, struct guestlock_error *out)
{
	out->code = -(int)get_u32(reader, (uint32_t)-GL_STATUS_LAST);
	out->sys_errno = (int)get_u32(reader, INT32_MAX);
	out->vendor = (long)get_i64(reader);
	get_array(reader, out->backend, sizeof(out->backend));
	get_array(reader, out->guest, sizeof(out->guest));
	get_array(reader, out->resource, sizeof(out->resource));
	get_holder(reader, &out->holder);
	get_array(reader, out->message, sizeof(out->message));
}

/* Nothing may be left over. 0, or -1 with errno. */
static int finish(const struct reader *reader, bool memory)
{
	if (!reader->failed && memory && reader->at == reader->size) {
		return 0;
	}
	errno = memory ? EBADMSG : ENOMEM;
	return -1;
}

static bool get_batch(struct reader *reader, struct gl_keeper_request *out)
{
	struct guestlock_batch *batch = &out->batch;
	size_t count;

	batch->flags = get_u32(reader, GUESTLOCK_BATCH_PARK | GUESTLOCK_BATCH_UNDO |
					       GUESTLOCK_BATCH_ALL_HOLDERS | GUESTLOCK_BATCH_PROBE |
					       GUESTLOCK_BATCH_GLANCE | GUESTLOCK_BATCH_TAKE_OVER);
	batch->deadline_ms = out->deadline_ms;
	count = get_count(reader, LEAST_ITEM);
	batch->items = calloc(count + 1, sizeof(*batch->items));
	out->keys = calloc(count + 1, sizeof(*out->keys));
	if (!batch->items || !out->keys) {
		return false;
	}
	for (size_t i = 0; i < count && !reader->failed; i++, batch->count++) {
		get_key(reader, &out->keys[i]);
		batch->items[i].key = &out->keys[i];
		batch->items[i].mode = get_u8(reader, GUESTLOCK_MODE_EXCLUSIVE);
		batch->items[i].check_epoch = get_bool(reader);
		batch->items[i].expected_epoch = get_u64(reader);
	}
	return true;
}

static bool calls_for_batch(enum gl_keeper_call call)
{
	return call >= GL_KEEPER_BIND && call <= GL_KEEPER_PROVISION;
}

int gl_keeper_get_request(const unsigned char *data, size_t size, struct gl_keeper_request *out_request)
{
	struct reader reader = {.data = data, .size = size};
	struct gl_keeper_request request = {.name = ""};
	bool memory = true;

	request.call = get_u8(&reader, GL_KEEPER_CALLS - 1);
	get_array(&reader, request.settings, sizeof(request.settings));
	request.deadline_ms = get_i64(&reader);
	request.unused_s = get_u32(&reader, UINT32_MAX);
	request.mode = get_u8(&reader, GUESTLOCK_MODE_EXCLUSIVE);
	request.force = get_bool(&reader);
	request.name = get_text(&reader);
	request.has_owner = get_bool(&reader);
	if (request.has_owner) {
		get_owner(&reader, true, &request.owner);
		reader.failed |= request.owner.instance == 0;
	}
	request.has_batch = get_bool(&reader);
	if (request.has_batch) {
		memory = get_batch(&reader, &request);
	}
	reader.failed |= calls_for_batch(request.call) &&
			 (!request.has_batch || (!request.has_owner && request.call <= GL_KEEPER_CONVERT));
	if (finish(&reader, memory) < 0) {
		int saved_errno = errno;

		gl_keeper_request_free(&request);
		errno = saved_errno;
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

static bool get_outcome(struct reader *reader, struct guestlock_item *item)
{
	item->result = get_u8(reader, GUESTLOCK_RES_FREE);
	item->held_mode = get_u8(reader, GUESTLOCK_MODE_EXCLUSIVE);
	item->has_epoch = get_bool(reader);
	item->epoch = get_u64(reader);
	item->n_others = get_u64(reader);
	get_holder(reader, &item->holder);

	size_t count = get_count(reader, LEAST_HOLDER);

	free(item->holders);
	item->n_holders = 0;
	item->holders = count > 0 ? calloc(count, sizeof(*item->holders)) : NULL;
	if (count > 0 && !item->holders) {
		return false;
	}
	for (; item->n_holders < count && !reader->failed; item->n_holders++) {
		get_holder(reader, &item->holders[item->n_holders]);
	}
	return true;
}

static bool get_locks(struct reader *reader, struct gl_keeper_answer *answer)
{
	size_t count = get_count(reader, LEAST_LOCK);

	answer->locks = count > 0 ? calloc(count, sizeof(*answer->locks)) : NULL;
	if (count > 0 && !answer->locks) {
		return false;
	}
	for (; answer->n_locks < count && !reader->failed; answer->n_locks++) {
		struct guestlock_lock *lock = &answer->locks[answer->n_locks];

		get_owner(reader, false, &lock->owner);
		get_key(reader, &lock->key);
		lock->mode = get_u8(reader, GUESTLOCK_MODE_EXCLUSIVE);
		lock->readable = get_bool(reader);
		lock->since = get_i64(reader);
	}
	return true;
}

static bool get_silent(struct reader *reader, struct gl_keeper_answer *answer)
{
	size_t count = get_count(reader, LEAST_SILENT);

	answer->silent = count > 0 ? calloc(count, sizeof(*answer->silent)) : NULL;
	if (count > 0 && !answer->silent) {
		return false;
	}
	for (; answer->n_silent < count && !reader->failed; answer->n_silent++) {
		answer->silent[answer->n_silent].host = get_text(reader);
		answer->silent[answer->n_silent].reason = get_text(reader);
	}
	return true;
}

static void get_about(struct reader *reader, struct gl_keeper_about *out)
{
	out->guard = get_pid(reader);
	out->worker = get_pid(reader);
	out->since = get_i64(reader);
	out->running = get_u32(reader, UINT32_MAX);
	out->waiting = get_u32(reader, UINT32_MAX);
	out->state = get_u8(reader, GUESTLOCK_JOIN_LOST);
	get_array(reader, out->version, sizeof(out->version));
	get_array(reader, out->backend, sizeof(out->backend));
}

int gl_keeper_get_answer(const unsigned char *data, size_t size, struct guestlock_item *items, size_t count,
			 struct gl_keeper_answer *out_answer)
{
	struct reader reader = {.data = data, .size = size};
	struct gl_keeper_answer *answer = out_answer;
	bool memory = true;

	answer->locks = NULL;
	answer->silent = NULL;
	answer->n_locks = answer->n_silent = 0;
	answer->items = items;
	answer->result = get_u8(&reader, GUESTLOCK_RES_FREE);
	answer->state = get_u8(&reader, GUESTLOCK_JOIN_LOST);
	answer->settings = get_text(&reader);
	answer->has_error = get_bool(&reader);
	if (answer->has_error) {
		get_error(&reader, &answer->error);
	}
	answer->count = get_u32(&reader, (uint32_t)count);
	reader.failed |= answer->count != count && answer->count != 0;
	for (size_t i = 0; i < answer->count && !reader.failed && memory; i++) {
		memory = get_outcome(&reader, &items[i]);
	}
	memory = memory && get_locks(&reader, answer) && get_silent(&reader, answer);
	get_about(&reader, &answer->about);
	if (finish(&reader, memory) < 0) {
		int saved_errno = errno;

		gl_keeper_answer_free(answer);
		errno = saved_errno;
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
	struct reader reader = {.data = data, .size = size};
	uint32_t magic = get_u32(&reader, UINT32_MAX), kind = get_u32(&reader, UINT32_MAX);
	size_t body = get_u32(&reader, UINT32_MAX);
	uint32_t beside = get_u32(&reader, UINT32_MAX);

	if (reader.failed || magic != GL_KEEPER_MAGIC) {
		errno = EBADMSG;
		return -1;
	}
	if ((kind & 0xffff) != GL_KEEPER_PROTOCOL) {
		errno = EPROTONOSUPPORT;
		return -1;
	}
	if (kind >> 16 != (uint32_t)type || beside > 1 || body > GL_KEEPER_BODY_MAX ||
	    size - GL_KEEPER_HEADER != (beside ? 0 : body)) {
		errno = EBADMSG;
		return -1;
	}
	*out_body = body;
	*out_beside = beside != 0;
	return 0;
}
