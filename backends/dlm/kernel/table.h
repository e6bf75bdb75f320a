/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The locks that we have, by resource, owner and token, and what a value block says. No lockspace is needed
 * here.
 */
#ifndef GL_DLM_TABLE_H
#define GL_DLM_TABLE_H

#include <guestlock/backend.h>

#include <linux/dlmconstants.h>

#define GL_DLM_BLOCK 32                 /* bytes of a value block */
#define GL_DLM_NO_MODE (-1)             /* of a lock that is not granted yet */
#define GL_DLM_UNLOCK (-2)              /* as a wanted mode: to be given up */

#pragma GCC visibility push(hidden)

/* ---- Value blocks: block.c; no mutex ---- */

enum gl_dlm_block_flags {
	GL_DLM_RELEASED = 1 << 0,       /* uuid has it no more */
	GL_DLM_HANDOVER = 1 << 1,       /* uuid is migrating: its other end may have it too */
	GL_DLM_SHARED = 1 << 2,         /* was taken shared since */
	GL_DLM_MOVED = 1 << 3,          /* the grant moved the epoch by one, and nothing happened since */
	GL_DLM_NEW_EPOCH = 1 << 4,      /* the grant made the epoch: there was none */
	GL_DLM_HAS_EPOCH = 1 << 5,
};

struct gl_dlm_block {
	bool valid;                     /* one of ours; else nothing of it counts */
	unsigned flags;
	uint32_t node;
	uint64_t epoch;
	char uuid[GUESTLOCK_UUID_STRING];
};

void gl_dlm_block_read(const unsigned char bytes[GL_DLM_BLOCK], struct gl_dlm_block *out);
void gl_dlm_block_write(const struct gl_dlm_block *block, unsigned char out[GL_DLM_BLOCK]);

/* ---- Locks: table.c. All functions want the mutex, or are called before there are threads ---- */

struct gl_dlm_resource;

/* One lock of ours. Everything in it is guarded by the mutex of struct gl_dlm. */
struct gl_dlm_lock {
	struct gl_dlm_resource *resource;
	struct gl_dlm_lock *next;       /* of the same resource */
	uint64_t xid;
	uint64_t token;                 /* names it in requests; never used twice */
	uint32_t lkid;                  /* 0: not known yet */
	int mode;                       /* granted: DLM_LOCK_NL, ... or GL_DLM_NO_MODE */
	int wanted;                     /* in_flight: what was asked for */
	bool in_flight;                 /* there is no answer yet */
	bool used;                      /* by a call that is under way */
	bool surplus;                   /* a second one of an owner, which goes; xid is nobody's */
	bool content;                   /* bytes are those of the resource, as last seen with this lock */
	bool lost;                      /* ... and the kernel says that they may be old */
	unsigned char bytes[GL_DLM_BLOCK];
	unsigned char sent[GL_DLM_BLOCK];       /* in_flight: the block that the request carries */
	int64_t since;                  /* held in this mode, seconds since 1970; 0: not known */
	struct gl_dlm_request *request; /* who waits for the answer; NULL: nobody any more */
};

struct gl_dlm_resource {
	char name[DLM_RESNAME_MAXLEN + 1];
	struct gl_dlm_lock *locks;
};

struct gl_dlm_table {
	void *resources, *tokens, *shares;      /* trees of tsearch(3) */
	size_t count;
	uint64_t next_token;
};

void gl_dlm_table_init(struct gl_dlm_table *table);
void gl_dlm_table_clear(struct gl_dlm_table *table);
/* A new lock without mode, or NULL: out of memory. */
struct gl_dlm_lock *gl_dlm_table_add(struct gl_dlm_table *table, const char *name, uint64_t xid);
void gl_dlm_table_remove(struct gl_dlm_table *table, struct gl_dlm_lock *lock);
struct gl_dlm_lock *gl_dlm_table_find(const struct gl_dlm_table *table, const char *name, uint64_t xid);
/* The locks of one resource, the first of a list. */
struct gl_dlm_lock *gl_dlm_table_locks(const struct gl_dlm_table *table, const char *name);
/* Whether there is any lock of that xid. */
bool gl_dlm_table_has(const struct gl_dlm_table *table, uint64_t xid);
struct gl_dlm_lock *gl_dlm_table_token(const struct gl_dlm_table *table, uint64_t token);
/* Calls visit for every lock until it returns non-zero. visit does not add or remove any. */
typedef int gl_dlm_visit_fn(void *data, struct gl_dlm_lock *lock);
void gl_dlm_table_each(const struct gl_dlm_table *table, gl_dlm_visit_fn *visit, void *data);

#pragma GCC visibility pop

#endif
