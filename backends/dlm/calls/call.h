/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the functions have in common that are called with a batch: rounds of requests, of any locks of one
 * owner.
 */
#ifndef GL_DLM_CALL_H
#define GL_DLM_CALL_H

#include "calls/calls.h"

#pragma GCC visibility push(hidden)

/*
 * ---- A call on a batch: call.c ----
 *
 * A call belongs to its thread, and so does each lock that it has marked as used, but for what answers change
 * in it: that is read when no request for it is under way. So what looks at slots only needs no mutex.
 */

struct gl_dlm_slot {
	struct guestlock_item *item;    /* first, as guestlock_item_order() wants it */
	struct gl_dlm_lock *lock;       /* used by the call; NULL: we have none */
	struct gl_dlm_request request;  /* of the last round that it took part in */
	bool selected;                  /* takes part in the next round */
	bool fresh;                     /* the lock was asked for by this call */
	bool changed;                   /* acquire, convert: more than before is held */
	bool refused;                   /* acquire, convert: somebody else has it */
	bool hearsay;                   /* inquire: so says a block, and it need not be true */
	int before;                     /* the lock's mode when the call began */
	unsigned char found[GL_DLM_BLOCK];      /* the block when it was granted */
	bool found_lost;
};

struct gl_dlm_call {
	struct gl_dlm *dlm;
	struct guestlock_batch *batch;
	struct guestlock_error *err;
	const char *verb;               /* "lock", "release", ... */
	enum guestlock_result result;   /* the worst so far */
	uint64_t xid;
	bool passing;                   /* locks that it makes are of nobody, and go with it */
	bool entered;
	struct gl_dlm_slot *slots;      /* sorted by key */
	size_t count;
};

/*
 * Both take the mutex. Looks up the locks of xid and marks them as used. The result is GRANTED if it can go
 * on. End always follows; it gives up the fresh locks unless keep.
 */
void gl_dlm_call_begin(struct gl_dlm_call *call, struct gl_dlm *dlm, struct guestlock_batch *batch,
		       uint64_t xid, const char *verb, struct guestlock_error *err);
enum guestlock_result gl_dlm_call_end(struct gl_dlm_call *call, bool keep);

/*
 * Takes the mutex. Lets a slot take part in the next round, to get its lock into that mode. bytes NULL: the
 * block that the lock has. Where there is no lock one is made; out of memory is noted as a failure.
 */
void gl_dlm_select(struct gl_dlm_call *call, struct gl_dlm_slot *slot, int mode, const unsigned char *bytes);
/*
 * Takes the mutex. One request for each selected slot. What was refused shows in slot.request.status
 * (EAGAIN); every other failure is noted. false: something failed.
 */
bool gl_dlm_round(struct gl_dlm_call *call);

/*
 * Takes the mutex. The contents of all locks become known: costs a round only for those where they are not.
 */
bool gl_dlm_read_contents(struct gl_dlm_call *call);
/*
 * No mutex, as for all down to the next heading. The block of a slot's lock; not valid where it is not
 * known, without epoch where it may be an old one.
 */
void gl_dlm_slot_block(const struct gl_dlm_slot *slot, struct gl_dlm_block *out);
/* Held exclusively, but the grant was not finished: the block does not name the owner, or not as such. */
bool gl_dlm_is_unfinished(const struct gl_dlm_call *call, const struct gl_dlm_slot *slot);
/* The same of bytes. */
void gl_dlm_block_of(const unsigned char bytes[GL_DLM_BLOCK], bool lost, struct gl_dlm_block *out);

/* Notes a failure of an item; err keeps the worst. */
void gl_dlm_slot_fail(struct gl_dlm_call *call, struct gl_dlm_slot *slot, enum guestlock_result result,
		      int sys_errno, const char *format, ...) __attribute__((format(printf, 5, 6)));
void gl_dlm_slot_errno(struct gl_dlm_call *call, struct gl_dlm_slot *slot, int sys_errno);
/* The item's epoch is that of the block. */
void gl_dlm_slot_tell(struct gl_dlm_slot *slot, const struct gl_dlm_block *block);
/* The same for all, from the blocks of their locks. */
void gl_dlm_tell_all(struct gl_dlm_call *call);

/* ---- Why a slot was refused: refusal.c. Both take the mutex, and may ask other nodes ---- */

/*
 * Slots that were refused in that mode: BUSY with the holder, or AGAIN where nobody is found who would have
 * it.
 */
void gl_dlm_explain_refusal(struct gl_dlm_call *call, struct gl_dlm_slot *slot, int mode);
/* The seat of that name was refused: BUSY. */
void gl_dlm_explain_seat(struct gl_dlm_call *call, struct gl_dlm_slot *slot, const char *name);

/* ---- One call within another. All take the mutex ---- */

/* inquire.c: acquire with BATCH_PROBE. */
enum guestlock_result gl_dlm_judge(struct gl_dlm *dlm, struct guestlock_batch *batch,
				   struct guestlock_error *err);
/* release.c: forgets who stands behind xid when no lock of theirs is left. */
void gl_dlm_forget_if_last(struct gl_dlm *dlm, uint64_t xid);
/* release.c: release for whoever stands behind xid. */
enum guestlock_result gl_dlm_release_as(struct gl_dlm *dlm, uint64_t xid, struct guestlock_batch *batch,
					struct guestlock_error *err);

/* ---- The second end of a migration: seat.c. Both take the mutex ---- */

/*
 * Asks for the seats of all slots that test wants; unlock: gives up those of them that the owner has. A
 * request for each slot, with its answer if there was a seat to ask for; freed with free(). NULL: no memory.
 */
struct gl_dlm_request *gl_dlm_seats_ask(struct gl_dlm_call *call, bool (*test)(const struct gl_dlm_slot *),
					bool unlock);
/* Gives back the owner's seats of slots that are not in handover. */
void gl_dlm_seats_leave(struct gl_dlm_call *call);

#pragma GCC visibility pop

#endif
