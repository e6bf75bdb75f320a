/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The locks that we have: in a ledger that outlives us, found by resource, owner and token; and what a value block
 * says. No lockspace is needed here.
 */
#ifndef GL_DLM_TABLE_H
#define GL_DLM_TABLE_H

#include <guestlock/backend.h>

#include <linux/dlmconstants.h>
#include <stddef.h>

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

/*
 * ---- The ledger: ledger.c ----
 *
 * A file that every process maps which has the lockspace open for this run directory. It has a slot for each lock, with
 * all that the next process has to know of it: what is asked for stands there before it is asked for, and what was
 * answered once it was read. So whoever comes next knows every lock, and every request that is under way, and looks
 * into no list of the kernel's. What a process needs for itself stands in the same slots, and means nothing to the next.
 *
 * A process may be killed between any two stores. So what decides is stored last, and atomically: that a slot is used
 * (made), and what is under way (flight).
 */

enum gl_dlm_flight {
	GL_DLM_IDLE = 0,
	GL_DLM_SENDING,                 /* noted; nobody knows whether it was sent */
	GL_DLM_SENT,                    /* there will be an answer */
	GL_DLM_FLIGHT = 3,              /* mask of these */
	GL_DLM_ONE_REQUEST = 4,         /* what one request more adds */
};

/*
 * One lock of ours. Everything in it is guarded by the mutex of struct gl_dlm, but for flight, which whoever sends
 * changes from SENDING to SENT without it.
 */
struct gl_dlm_lock {
	/* ---- for the next process; laid out for good ---- */
	uint64_t made;                  /* the order in which locks were made; 0: the slot is free */
	uint64_t flight;                /* enum gl_dlm_flight, and above it how many requests there were */
	uint64_t xid;
	int64_t since;                  /* held in this mode, seconds since 1970; 0: not known */
	uint32_t lkid;                  /* 0: not known yet */
	int32_t mode;                   /* granted: DLM_LOCK_NL, ... or GL_DLM_NO_MODE */
	int32_t wanted;                 /* in flight: what was asked for */
	bool content;                   /* bytes are those of the resource, as last seen with this lock */
	bool lost;                      /* ... and the kernel says that they may be old */
	bool passing;                   /* of nobody: whoever finds it idle gives it up */
	bool deaf;                      /* the kernel tells nobody any more what became of it */
	bool without_block;             /* in flight: the request neither writes nor reads one */
	unsigned char bytes[GL_DLM_BLOCK];
	unsigned char sent[GL_DLM_BLOCK];       /* in flight: the block that the request carries */
	char name[DLM_RESNAME_MAXLEN + 1];
	/* ---- of this process ---- */
	struct gl_dlm_lock *next;       /* of the same resource, or of the free slots */
	struct gl_dlm_resource *resource;
	struct gl_dlm_request *request; /* who waits for the answer; NULL: nobody any more */
	bool used;                      /* by a call that is under way */
	bool bound;                     /* to our descriptor: no orphan that is still to be adopted */
};

#define GL_DLM_LEDGER_VERSION 1
_Static_assert(offsetof(struct gl_dlm_lock, next) == 184, "a layout of its own has a version of its own");
_Static_assert(sizeof(struct gl_dlm_lock) == 216, "a layout of its own has a version of its own");

/* What it says beside locks. */
struct gl_dlm_ledger {
	char magic[8];
	uint32_t version, slots;        /* as many as the file has room for */
	char boot[GUESTLOCK_UUID_STRING + 3];   /* that it was written in */
	uint64_t made;                  /* locks so far */
	uint32_t references;            /* of ours, to the lockspace */
	bool created;                   /* the lockspace was made by us, or is of guestlock before */
	/*
	 * What is read goes here, so that whoever reads may be killed with it. It is the kernel's structure, and all 0
	 * once it has been noted.
	 */
	uint64_t answer[32];
};

/* Nothing is under way for it any more. */
static inline void gl_dlm_land(struct gl_dlm_lock *lock)
{
	__atomic_and_fetch(&lock->flight, ~(uint64_t)GL_DLM_FLIGHT, __ATOMIC_ACQ_REL);
}

struct gl_dlm_table;

/*
 * Opens the ledger in fd, which is the table's from here on; -1: a new one that nobody else sees. One of another boot,
 * or an empty file, becomes a new one. 0 or -1 with errno (EPROTO: it is of another version); fd is the caller's then.
 */
int gl_dlm_ledger_open(struct gl_dlm_table *table, int fd);
/* Closes it. What is in the file stays; what the table knows of it must be forgotten. */
void gl_dlm_ledger_close(struct gl_dlm_table *table);
/* A slot that is free, with more room in the file if there is need. NULL: no room, or no memory. */
struct gl_dlm_lock *gl_dlm_ledger_slot(struct gl_dlm_table *table);
/* All slots, used or not; none where it is not open. */
struct gl_dlm_lock *gl_dlm_ledger_slots(const struct gl_dlm_table *table, size_t *out_count);

static inline bool gl_dlm_in_flight(const struct gl_dlm_lock *lock)
{
	return (__atomic_load_n(&lock->flight, __ATOMIC_ACQUIRE) & GL_DLM_FLIGHT) != GL_DLM_IDLE;
}

/*
 * ---- Locks by name, owner and token: table.c. All functions want the mutex, or are called before there are threads,
 * and but for the first want an open ledger ----
 */

struct gl_dlm_resource;

struct gl_dlm_table {
	struct gl_dlm_ledger *ledger;   /* NULL: it is not open */
	int fd;                         /* of the ledger; -1: it is not the table's */
	struct gl_dlm_lock *free;       /* slots */
	void *resources, *shares;       /* trees of tsearch(3) */
	size_t count;
};

void gl_dlm_table_init(struct gl_dlm_table *table);
/* Finds the locks that are in the ledger. bound: the descriptor is their own. 0, or -1: no memory. */
int gl_dlm_table_load(struct gl_dlm_table *table, bool bound);
/* Forgets them, and closes the ledger, which stays as it is. */
void gl_dlm_table_close(struct gl_dlm_table *table);
/* There are none any more, and no references. */
void gl_dlm_table_clear(struct gl_dlm_table *table);
/* A new lock without mode, or NULL: no memory. */
struct gl_dlm_lock *gl_dlm_table_add(struct gl_dlm_table *table, const char *name, uint64_t xid);
void gl_dlm_table_remove(struct gl_dlm_table *table, struct gl_dlm_lock *lock);
/* It is of nobody from now on, under that xid. false: no memory, and nothing has changed. */
bool gl_dlm_table_disown(struct gl_dlm_table *table, struct gl_dlm_lock *lock, uint64_t xid);
struct gl_dlm_lock *gl_dlm_table_find(const struct gl_dlm_table *table, const char *name, uint64_t xid);
/* The locks of one resource, the first of a list. */
struct gl_dlm_lock *gl_dlm_table_locks(const struct gl_dlm_table *table, const char *name);
/* Whether there is any lock of that xid. */
bool gl_dlm_table_has(const struct gl_dlm_table *table, uint64_t xid);
/* What names the request for that lock which is under way: its slot, and its number. Never 0. */
uint64_t gl_dlm_table_token(const struct gl_dlm_table *table, const struct gl_dlm_lock *lock);
/* The lock with that request under way; NULL: there is none. */
struct gl_dlm_lock *gl_dlm_table_asked(const struct gl_dlm_table *table, uint64_t token);
/* Copies of the locks of one resource (NULL: of all); malloc'd, *out_count of them. NULL: no memory. */
struct gl_dlm_lock *gl_dlm_table_copy(const struct gl_dlm_table *table, const char *name, size_t *out_count);
/* Calls visit for every lock until it returns non-zero. visit does not add any; it may remove the one it is given. */
typedef int gl_dlm_visit_fn(void *data, struct gl_dlm_lock *lock);
void gl_dlm_table_each(const struct gl_dlm_table *table, gl_dlm_visit_fn *visit, void *data);

#pragma GCC visibility pop

#endif
