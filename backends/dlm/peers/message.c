/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages between keepers as bytes: made here, and read as what anybody may have sent. */
#include "peers/message.h"

#include <stdlib.h>
#include <string.h>

#define GL_DLM_KEY (GUESTLOCK_KEY_SIZE - 1)
#define GL_DLM_UUID (GUESTLOCK_UUID_STRING - 1)
#define GL_DLM_ENTRY_SIZE (GL_DLM_KEY + GL_DLM_UUID + 8 + 8 + 4 + 3)
#define GL_DLM_SIZE_SIZE 2 /* of the identity, behind the names */
#define GL_DLM_DRAFT_STEP 4096U

static const unsigned char magic[8] = "glpeers";

enum gl_dlm_head_offset {
	GL_DLM_AT_VERSION = 8,
	GL_DLM_AT_TYPE = 10,
	GL_DLM_AT_NODE = 12,
	GL_DLM_AT_PID = 16,
	GL_DLM_AT_PART = 20,
	GL_DLM_AT_QUESTION = 24,
	GL_DLM_AT_FLAGS = 32,
	GL_DLM_AT_COUNT = 34,
};

/* ---- Numbers and words ---- */

static uint64_t get(const unsigned char *at, size_t size)
{
	uint64_t value = 0;

	while (size > 0) {
		value = value << 8 | at[--size];
	}
	return value;
}

static void put(unsigned char *at, size_t size, uint64_t value)
{
	size_t i;

	for (i = 0; i < size; i++, value >>= 8) {
		at[i] = (unsigned char)value;
	}
}

static bool read_key(const unsigned char *at, char out[GUESTLOCK_KEY_SIZE])
{
	memcpy(out, at, GL_DLM_KEY);
	out[GL_DLM_KEY] = '\0';
	return guestlock_key_valid(out);
}

static bool is_uuid_byte(size_t position, int byte)
{
	if (position == 8 || position == 13 || position == 18 || position == 23) {
		return byte == '-';
	}
	return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
}

/* All zero where it is not known. */
static bool read_uuid(const unsigned char *at, char out[GUESTLOCK_UUID_STRING])
{
	static const unsigned char none[GL_DLM_UUID];
	size_t i;

	out[0] = '\0';
	if (memcmp(at, none, sizeof(none)) == 0) {
		return true;
	}
	for (i = 0; i < GL_DLM_UUID; i++) {
		if (!is_uuid_byte(i, at[i])) {
			return false;
		}
		out[i] = (char)at[i];
	}
	out[i] = '\0';
	return true;
}

/* A name, without NUL. */
static bool read_text(const unsigned char *at, size_t size, char out[GUESTLOCK_HOLDER_TEXT])
{
	if (size >= GUESTLOCK_HOLDER_TEXT || memchr(at, '\0', size)) {
		return false;
	}
	memcpy(out, at, size);
	out[size] = '\0';
	return true;
}

/* ---- Reading ---- */

static void read_head(const unsigned char *at, struct gl_dlm_message *out)
{
	memset(out, 0, sizeof(*out));
	out->version = (unsigned)get(at + GL_DLM_AT_VERSION, 2);
	out->type = (enum gl_dlm_message_type)get(at + GL_DLM_AT_TYPE, 2);
	out->to_node = (uint32_t)get(at + GL_DLM_AT_NODE, 4);
	out->to_pid = (uint32_t)get(at + GL_DLM_AT_PID, 4);
	out->part = (uint32_t)get(at + GL_DLM_AT_PART, 4);
	out->question = get(at + GL_DLM_AT_QUESTION, 8);
	out->flags = (unsigned)get(at + GL_DLM_AT_FLAGS, 2);
	out->count = (unsigned)get(at + GL_DLM_AT_COUNT, 2);
}

bool gl_dlm_message_read(const void *bytes, size_t size, struct gl_dlm_message *out)
{
	const unsigned char *at = bytes;

	if (size < GL_DLM_HEAD_SIZE || memcmp(at, magic, sizeof(magic)) != 0) {
		return false;
	}
	read_head(at, out);
	if (out->version != GL_DLM_PEERS_VERSION) {
		return true;
	}
	out->rest = at + GL_DLM_HEAD_SIZE;
	out->rest_size = size - GL_DLM_HEAD_SIZE;
	switch (out->type) {
	case GL_DLM_QUESTION:
		out->all = out->rest_size == 0;
		return out->all || (out->rest_size == GL_DLM_KEY && read_key(out->rest, out->key));
	case GL_DLM_ANSWER:
		return out->rest_size >= out->count * (size_t)(GL_DLM_ENTRY_SIZE + GL_DLM_SIZE_SIZE);
	case GL_DLM_REFUSAL:
		return true;
	}
	return false;
}

/* at has GL_DLM_ENTRY_SIZE bytes. */
static bool read_entry(const unsigned char *at, struct gl_dlm_found *out, size_t *out_name, size_t *out_host)
{
	if (!read_key(at, out->key) || !read_uuid(at + GL_DLM_KEY, out->holder.uuid)) {
		return false;
	}
	at += GL_DLM_KEY + GL_DLM_UUID;
	out->holder.instance = get(at, 8);
	out->holder.since = (int64_t)get(at + 8, 8);
	out->holder.pid = (pid_t)get(at + 16, 4);
	out->holder.mode = (enum guestlock_mode)at[20];
	*out_name = at[21];
	*out_host = at[22];
	return at[20] <= GUESTLOCK_MODE_EXCLUSIVE && out->holder.pid >= 0;
}

/* What is left begins with it. */
static bool take_identity(struct gl_dlm_message *message)
{
	size_t size;

	if (message->rest_size < GL_DLM_SIZE_SIZE) {
		return false;
	}
	size = get(message->rest, GL_DLM_SIZE_SIZE);
	message->rest += GL_DLM_SIZE_SIZE;
	message->rest_size -= GL_DLM_SIZE_SIZE;
	if (size >= GL_DLM_IDENTITY || size > message->rest_size || memchr(message->rest, '\0', size)) {
		return false;
	}
	message->identity = (const char *)message->rest;
	message->identity_size = size;
	message->rest += size;
	message->rest_size -= size;
	return true;
}

int gl_dlm_message_next(struct gl_dlm_message *message, struct gl_dlm_found *out)
{
	const unsigned char *at = message->rest;
	size_t name, host;

	if (message->count == 0) {
		return message->rest_size == 0 ? 0 : -1;
	}
	memset(out, 0, sizeof(*out));
	if (message->rest_size < GL_DLM_ENTRY_SIZE || !read_entry(at, out, &name, &host) ||
	    message->rest_size - GL_DLM_ENTRY_SIZE < name + host) {
		return -1;
	}
	at += GL_DLM_ENTRY_SIZE;
	if (!read_text(at, name, out->holder.name) || !read_text(at + name, host, out->holder.host)) {
		return -1;
	}
	message->rest = at + name + host;
	message->rest_size -= GL_DLM_ENTRY_SIZE + name + host;
	message->count--;
	return take_identity(message) ? 1 : -1;
}

/* ---- Writing ---- */

static unsigned char *make_room(struct gl_dlm_draft *draft, size_t size)
{
	unsigned char *at;

	if (draft->room - draft->size < size) {
		size_t room = draft->room + size + GL_DLM_DRAFT_STEP;
		unsigned char *grown = realloc(draft->bytes, room);

		if (!grown) {
			return NULL;
		}
		draft->bytes = grown;
		draft->room = room;
	}
	at = draft->bytes + draft->size;
	draft->size += size;
	return at;
}

int gl_dlm_draft_begin(struct gl_dlm_draft *draft, const struct gl_dlm_message *head, const char *key)
{
	size_t key_size = key ? GL_DLM_KEY : 0;
	unsigned char *at;

	memset(draft, 0, sizeof(*draft));
	at = make_room(draft, GL_DLM_HEAD_SIZE + key_size);
	if (!at) {
		return -1;
	}
	memset(at, 0, GL_DLM_HEAD_SIZE);
	memcpy(at, magic, sizeof(magic));
	put(at + GL_DLM_AT_VERSION, 2, GL_DLM_PEERS_VERSION);
	put(at + GL_DLM_AT_TYPE, 2, head->type);
	put(at + GL_DLM_AT_NODE, 4, head->to_node);
	put(at + GL_DLM_AT_PID, 4, head->to_pid);
	put(at + GL_DLM_AT_PART, 4, head->part);
	put(at + GL_DLM_AT_QUESTION, 8, head->question);
	if (key) {
		memcpy(at + GL_DLM_HEAD_SIZE, key, key_size);
	}
	return 0;
}

int gl_dlm_draft_add(struct gl_dlm_draft *draft, const char *key, const struct guestlock_holder *holder,
		     const char *identity)
{
	size_t name = strnlen(holder->name, GUESTLOCK_HOLDER_TEXT - 1);
	size_t host = strnlen(holder->host, GUESTLOCK_HOLDER_TEXT - 1);
	size_t words = identity ? strnlen(identity, GL_DLM_IDENTITY - 1) : 0;
	unsigned char *at = make_room(draft, GL_DLM_ENTRY_SIZE + name + host + GL_DLM_SIZE_SIZE + words);

	if (!at) {
		return -1;
	}
	memcpy(at, key, GL_DLM_KEY);
	at += GL_DLM_KEY;
	memset(at, 0, GL_DLM_UUID);
	memcpy(at, holder->uuid, strnlen(holder->uuid, GL_DLM_UUID));
	at += GL_DLM_UUID;
	put(at, 8, holder->instance);
	put(at + 8, 8, (uint64_t)holder->since);
	put(at + 16, 4, (uint64_t)holder->pid);
	put(at + 20, 1, holder->mode);
	put(at + 21, 1, name);
	put(at + 22, 1, host);
	memcpy(at + 23, holder->name, name);
	memcpy(at + 23 + name, holder->host, host);
	at += 23 + name + host;
	put(at, GL_DLM_SIZE_SIZE, words);
	if (words > 0) {
		memcpy(at + GL_DLM_SIZE_SIZE, identity, words);
	}
	draft->count++;
	return 0;
}

void gl_dlm_draft_end(struct gl_dlm_draft *draft, unsigned flags)
{
	put(draft->bytes + GL_DLM_AT_FLAGS, 2, flags);
	put(draft->bytes + GL_DLM_AT_COUNT, 2, draft->count);
}
