/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Locks of the kernel's distributed lock manager, in one lockspace. A key is a resource of that name; an
 * owner has one lock on it, found again by the extended id (xid) that the kernel keeps with it:
 *
 *     16 bits of the digest of the run directory, 48 bits of that of uuid and instance
 *
 *     mode of guestlock   none, parked   shared   handover   exclusive
 *     mode of the DLM     NL             PR       CW         EX
 *
 * The value block of a resource says who has it exclusively, and its epoch (block.c). Every lock is
 * persistent: it stays when all processes of ours are gone, until somebody adopts it or the node dies.
 *
 * Locks are asked for through the kernel's device protocol on one descriptor, which is kept by a second
 * process (struct guestlock_kept): whoever comes next finds the locks as they were, and reads the answers
 * to requests that its predecessor sent. Tokens, not pointers, tell which request an answer is for: a slot of the
 * ledger, and how often something was asked of it. libdlm makes and leaves the lockspace.
 *
 *     lockspace.c  creating, leaving           device.c    requests, and answer.c their answers
 *     table.h      the locks we have, and ledger.c the file that they are in
 *
 * Order of mutexes: membership, then the mutex of struct gl_dlm. Those of the peers (peers/peers_priv.h) and
 * of names of nodes (cluster/nodes.c) are for a moment each, and no other is taken by who holds one of them;
 * nor are they taken by who holds the mutex. It is never held while a request is sent or corosync is asked.
 *
 * What each function of the backend does about the mutex, it says: it wants it (is called with it held),
 * takes it (by itself or in what it calls, so is called without it), or there is no mutex (it touches
 * nothing that the mutex is for, and may be called either way).
 */
#ifndef GL_DLM_KERNEL_H
#define GL_DLM_KERNEL_H

#include "kernel/table.h"

#include <guestlock/backend.h>

#include <pthread.h>
#include <sys/queue.h>

#define GL_DLM_FORMAT_NAME "guestlock.format"

#pragma GCC visibility push(hidden)

/* ---- The instance ---- */

struct gl_dlm_peers;

/* Requests that somebody waits for together. */
struct gl_dlm_round {
	size_t left;                    /* without an answer yet */
	uint64_t opening;               /* of the lockspace that they are for */
	int64_t deadline_ms;
	pthread_cond_t woken;           /* it is done, or its turn to read */
	TAILQ_ENTRY(gl_dlm_round) next; /* of those that are waited for */
};

/* What was seen of the lockspace. One thread watches. */
struct gl_dlm_watch {
	int fd;                         /* a timer, -1: nobody watches */
	/* why it stands still, as at the last look, and as was told; "": it runs */
	char seen[256], told[256];
	unsigned looks;                 /* how often in turn the same was seen */
};

struct gl_dlm {
	struct guestlock_backend base;
	char *lockspace, *owners_dir, *ledger_path;
	bool allow_no_fencing;
	uint64_t manager;               /* the 16 bits of xids, in place */
	uint32_t node;                  /* of this host; 0: not known */

	struct guestlock_kept *kept;    /* with the descriptor, which is closed by nobody else. Under membership */
	struct gl_dlm_peers *peers; /* NULL: other hosts' guests cannot be named. Changed under membership */
	pthread_mutex_t membership;     /* held while somebody joins or leaves */
	pthread_mutex_t mutex;          /* of what follows */
	pthread_condattr_t monotonic;   /* what conditions here are made with */
	pthread_cond_t idle;            /* while closing: somebody has ended */
	bool joined;
	uint64_t joins;                 /* tells one membership from another */
	uint64_t lost;                  /* that of them which was told to be lost */
	bool taken_away;                /* somebody took the lockspace away, and nobody was told */
	int fd;                         /* of the lockspace, -1: none */
	uint64_t openings;              /* tells one descriptor from another */
	int runs_fd;                    /* of gl_dlm_cluster_open() */
	int stop_fd;                    /* an eventfd: whoever reads is to end */
	bool reading;                   /* somebody reads answers, for all who wait */
	bool closing;                   /* all calls are to end */
	unsigned calls;                 /* that use locks of the table */
	TAILQ_HEAD(gl_dlm_rounds, gl_dlm_round) waiting;
	struct gl_dlm_table table;
	struct gl_dlm_lock *format;     /* the lock on the format record */
	bool missing;                   /* locks of the ledger were not found among the orphans */
	bool strangers;                 /* there may be orphans that no ledger of ours has */
	int64_t orphans_until_ms;       /* when orphans that have not come up yet are given up */
	bool litter;                    /* there may be locks of nobody that can go */
	struct gl_dlm_watch watch;
};

static inline struct gl_dlm *gl_dlm_of(struct guestlock_backend *backend)
{
	return (struct gl_dlm *)backend;
}

/* ---- Requests: device.c ---- */

struct gl_dlm_request {
	struct gl_dlm_lock *lock;       /* used by the caller */
	int mode;                       /* DLM_LOCK_NL, ..., or GL_DLM_UNLOCK */
	unsigned char bytes[GL_DLM_BLOCK];      /* written when the mode goes down or stays exclusive */
	bool without_block;             /* it is neither written nor read */
	/* out */
	bool done;
	int status;                     /* 0; EAGAIN: refused, nothing changed; else an errno */
	bool gone; /* the lock is no more: not granted at all, or given up. lock is NULL */
	struct gl_dlm_round *round;     /* while it is under way */
};

/*
 * Takes the mutex. Sends all of them and waits for their answers until deadline_ms. A lock without lkid is
 * asked for, another one converted; never queued. true: all are answered. false: some are not (done is
 * false, lock is NULL); their locks stay in flight and are not used any more, and whatever comes later is
 * noted in the table.
 */
bool gl_dlm_ask(struct gl_dlm *dlm, struct gl_dlm_request *requests, size_t count, int64_t deadline_ms);

/*
 * Wants the mutex, and leaves it meanwhile. The same for requests that are under way already, and that nobody waits
 * for: only lock is set.
 */
bool gl_dlm_await(struct gl_dlm *dlm, struct gl_dlm_request *requests, size_t count, int64_t deadline_ms);

/*
 * No mutex, as no request is sent meanwhile. Takes an orphan of that lock's name and mode, whosever it was: they are
 * all alike. 0 and *out_lkid, or an errno (ENOENT: there is none; EAGAIN: there is one in another mode).
 */
int gl_dlm_adopt(struct gl_dlm *dlm, const struct gl_dlm_lock *lock, int mode, uint32_t *out_lkid);

/*
 * The same. Whether the request for a lock that may be under way is: EBUSY, it is; EINVAL: nothing is under way for that
 * lock; ENOENT: there is no such lock any more. Asks for what the kernel always refuses, once it has looked whether the
 * lock is busy (a conversion to NL with QUECVT): nothing changes, but that the block which a granted request brought
 * is not to be had any more.
 */
int gl_dlm_look(struct gl_dlm *dlm, const struct gl_dlm_lock *lock);

/* ---- Answers: answer.c ---- */

/* guestlock_monotonic_ms(), not to the millisecond: this one costs little on any machine. */
int64_t gl_dlm_about_now_ms(void);
/* Wants the mutex. A request under way for that lock has ended. gone: the lock is no more, and freed. */
void gl_dlm_answer_request(struct gl_dlm *dlm, struct gl_dlm_lock *lock, int status, bool gone);
/*
 * Wants the mutex. The kernel does what a lock that is deaf is asked for, but gives no answer: what was sent counts as
 * done. So it can be given up, and no more than that.
 */
void gl_dlm_answer_deaf(struct gl_dlm *dlm, uint64_t token);
/*
 * Wants the mutex, and leaves it meanwhile. Reads, or waits for who does, until all of it are answered, or
 * the deadline.
 */
void gl_dlm_round_wait(struct gl_dlm *dlm, struct gl_dlm_round *round, int64_t deadline_ms);
/*
 * Takes the mutex. Takes in what is there that nobody waits for. Costs no more than to find that there is
 * nothing.
 */
void gl_dlm_catch_up(struct gl_dlm *dlm);
/* No mutex: before the first request. 0 or an errno. */
int gl_dlm_answers_begin(struct gl_dlm *dlm);
/*
 * Wants the mutex, and leaves it meanwhile. No requests are sent and none is waited for any more. true: no
 * call uses locks of the table. false: one hangs in the kernel, and may come back.
 */
bool gl_dlm_answers_end(struct gl_dlm *dlm);
/*
 * Both take the mutex. A call that uses locks of the table is between these two. false: it cannot be made,
 * the lockspace is not joined.
 */
bool gl_dlm_enter(struct gl_dlm *dlm);
void gl_dlm_exit(struct gl_dlm *dlm);

/* ---- The lockspace: lockspace.c. The first two under membership ---- */

/*
 * No mutex. Creates it or refers to it once more, which the ledger notes, and opens it: *out_fd. RES_GRANTED, or why
 * not.
 */
enum guestlock_result gl_dlm_lockspace_open(struct gl_dlm *dlm, int *out_fd, struct guestlock_error *err);
/* No mutex. Gives back so many references; nothing of ours may be in it, nor be open. */
enum guestlock_result gl_dlm_lockspace_leave(struct gl_dlm *dlm, unsigned references, bool created,
					     struct guestlock_error *err);
/*
 * No mutex. Whether this node is a member. Who leaves takes the device away first, and then waits for those
 * who have it open, while the kernel shows the lockspace still: no lock of this node counts any more then.
 */
bool gl_dlm_lockspace_exists(const struct gl_dlm *dlm);
/* Takes the mutex. GRANTED when calls can be made: joined, and the lockspace runs. */
enum guestlock_result gl_dlm_check_running(struct gl_dlm *dlm, struct guestlock_error *err);

/* ---- Names of resources: resname.c; no mutex ---- */

/* What the seat of a key is called (calls/seat.c). */
void gl_dlm_seat_name(const char *key, char out[DLM_RESNAME_MAXLEN + 1]);
/* Whether a resource is the seat of a key, and of which. */
bool gl_dlm_seat_key(const char *name, char out_key[GUESTLOCK_KEY_SIZE]);

/* ---- Errors: fail.c; no mutex ---- */

enum guestlock_mode gl_dlm_mode_of(int mode);
int gl_dlm_mode(enum guestlock_mode mode);
enum guestlock_result gl_dlm_result_of_errno(int sys_errno);
/* What to do about an errno, or a code of the DLM's, as the end of a message. */
const char *gl_dlm_advice(int sys_errno);
enum guestlock_result gl_dlm_fail(struct guestlock_error *err, int sys_errno, const char *what,
				  const char *name);

#pragma GCC visibility pop

#endif
