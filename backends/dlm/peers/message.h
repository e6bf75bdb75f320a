/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages between keepers. Numbers are little-endian, texts have their length before them.
 *
 *     head    magic 8, version 2, type 2, to node 4, to pid 4, part 4, question 8, flags 2, count 2
 *     body    of a question: a key, or nothing for all of them
 *             of an answer: count times
 *                 key 43, uuid 36, instance 8, since 8, pid 4, mode 1, sizes of name and host 1 1, name, host,
 *                 size of the identity 2, identity
 *
 * The head is the same in every version, so that a question in a newer one can be refused.
 */
#ifndef GL_DLM_PEERS_MESSAGE_H
#define GL_DLM_PEERS_MESSAGE_H

#include "peers/peers.h"

#pragma GCC visibility push(hidden)

#define GL_DLM_PEERS_VERSION 1
#define GL_DLM_HEAD_SIZE 36

enum gl_dlm_message_type {
	GL_DLM_QUESTION = 1,
	GL_DLM_ANSWER = 2,
	GL_DLM_REFUSAL = 3,
};

enum gl_dlm_message_flags {
	GL_DLM_LAST = 1 << 0,           /* of an answer's parts */
};

struct gl_dlm_message {
	unsigned version;
	enum gl_dlm_message_type type;
	uint32_t to_node, to_pid;       /* of an answer or refusal */
	uint32_t part;                  /* of an answer, from 0 */
	uint64_t question;
	unsigned flags, count;
	bool all;                       /* of a question: no key */
	char key[GUESTLOCK_KEY_SIZE];
	const unsigned char *rest;      /* of an answer: what gl_dlm_message_next() reads */
	size_t rest_size;
	const char *identity;           /* of the last entry read, not terminated */
	size_t identity_size;
};

/*
 * Reads a message; out refers to bytes. false: it is none of ours, or malformed. Of another version only the
 * head is read. Entries of an answer are checked by next.
 */
bool gl_dlm_message_read(const void *bytes, size_t size, struct gl_dlm_message *out);

/*
 * The next entry of an answer: 1 and *out (but its node and identity), 0 at the end, -1 malformed.
 * message->identity is that of this entry then.
 */
int gl_dlm_message_next(struct gl_dlm_message *message, struct gl_dlm_found *out);

/* A message being made. */
struct gl_dlm_draft {
	unsigned char *bytes;           /* malloc'd */
	size_t size, room;
	unsigned count;
};

/* Both: 0 or -1, out of memory. A key of a question, and an identity, may be NULL. */
int gl_dlm_draft_begin(struct gl_dlm_draft *draft, const struct gl_dlm_message *head, const char *key);
int gl_dlm_draft_add(struct gl_dlm_draft *draft, const char *key, const struct guestlock_holder *holder,
		     const char *identity);
/* Puts the number of entries and the flags into the head. */
void gl_dlm_draft_end(struct gl_dlm_draft *draft, unsigned flags);

#pragma GCC visibility pop

#endif
