/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases of sanlock. A lease is held by a process that is registered with the sanlock daemon of its host; the
 * registration is a socket that the process inherits, so the daemon frees the leases when the last process
 * with that socket is gone. Nothing of ours has to live for that.
 *
 *     lease_dir/                  on storage that all hosts share
 *         LOCKSPACE.lockspace     sanlock's lockspace: one sector for each host id
 *         guestlock.format        version, identity scheme, sector size; compared by join
 *         host.ID                 the name of the host with that id
 *         KEY.lease               sanlock's resource for a key
 *         KEY.note                who holds it exclusively, and its epoch (note.c has the form)
 *         KEY.holders/ID-MANAGER  who of one host holds it shared, or has it parked
 *         .new-*                  files under construction; what a crash leaves there unprovision removes
 *
 * A lease file is made under another name and linked into place when it is complete, and it is never written
 * to by anybody but the daemons: a lease that is initialised again can be had twice. The note is changed by
 * whoever holds the lease exclusively and by nobody else. It carries the version of the lease that it was
 * written for, so that a note that somebody failed to write is told from a valid one.
 */
#ifndef GL_SANLOCK_PRIV_H
#define GL_SANLOCK_PRIV_H

#include <guestlock/backend.h>

#include <pthread.h>
#include <stddef.h>
#include <sys/types.h>

#include <sanlock.h>
#include <sanlock_admin.h>
#include <sanlock_resource.h>
#include <sanlock_rv.h>

#define GL_SANLOCK_NOTE_MAX 65536
#define GL_SANLOCK_IDENTITY 1200 /* bytes of an identity in a note: that of any lease; longer ones are cut */
#define GL_SANLOCK_HOSTS 2000   /* host ids of a lockspace */
#define GL_SANLOCK_ESRCH (-3)   /* "not registered", as the daemon has it */
#define GL_SANLOCK_UNHEARD (-113)       /* ours: a host that the daemon has not heard of yet (EHOSTUNREACH) */

#pragma GCC visibility push(hidden)

struct gl_sanlock_adding;

/* The instance: first member as backend.h wants it. */
struct gl_sanlock {
	struct guestlock_backend base;
	char *dir, *lockspace;
	char *lockspace_path, *format_path, *host_path;
	char *daemon_path;              /* its socket */
	char mark[48];                  /* "ID-DIGEST" of this host and run directory: a file name */
	unsigned host_id, io_timeout, sector;
	bool allow_no_watchdog, allow_local;
	pthread_mutex_t mutex;          /* of what follows, and of this manager's files in KEY.holders */
	struct gl_sanlock_adding *adding;       /* the lockspace is being joined by a thread */
	bool joined;
	unsigned fire_timeout;          /* of the daemon, as it said last */
	struct gl_sanlock_forgotten {
		struct guestlock_holder guest;
		uint64_t pid_start;
	} forgotten;                    /* whose end is waited for before anything is joined; pid 0: nobody's */
	struct {
		char key[GUESTLOCK_KEY_SIZE];
		uint64_t lver;
		ino_t inode;            /* a lease that is made anew begins with the same versions */
		int64_t since_ms;
	} passing;                      /* what gl_sanlock_is_passing() has seen last */
	int watch, registered;          /* -1: not */
	int kick;                       /* an eventfd in watch, for what no daemon tells; -1: not */
	bool gone, back; /* the daemon had ended when it was looked at last; is there again, to be told */
	pid_t bound;                    /* the process that bind has registered; 0: none */
};

static inline struct gl_sanlock *gl_sanlock_of(struct guestlock_backend *backend)
{
	return (struct gl_sanlock *)backend;
}

/* ---- The daemon: daemon.c ---- */

/* What the running daemon says of itself: neither its files nor its command line tell what it runs with. */
struct gl_sanlock_daemon {
	bool told;                      /* else it does not say what follows, but for fire_timeout */
	unsigned watchdog;              /* 0: none */
	unsigned grace;                 /* seconds between the call of a program for lost leases and SIGKILL */
	unsigned fire_timeout;          /* seconds after which its watchdog resets a host that renews nothing */
};
/* Waits some seconds at most. STOPPED: it does not run, or does not answer. */
enum guestlock_result gl_sanlock_ask_daemon(const struct gl_sanlock *sl, struct gl_sanlock_daemon *out,
					    struct guestlock_error *err);
/* And does it protect? UNSAFE, unless that is allowed. */
enum guestlock_result gl_sanlock_daemon_check(const struct gl_sanlock *sl, struct gl_sanlock_daemon *out,
					      struct guestlock_error *err);
/* Is what is set up on this host, and the storage, good for leases? */
enum guestlock_result gl_sanlock_check(const struct gl_sanlock *sl, struct guestlock_error *err);

enum guestlock_result gl_sanlock_probe(struct guestlock_backend *backend, struct guestlock_error *err);

/* ---- What hosts have in common: format.c ---- */

/*
 * The format and the lockspace are there, or are made, and are as this host has them; INVALID, or UNKNOWN for what may
 * not be the lockspace any more that others have joined. joined: this host's daemon has.
 */
enum guestlock_result gl_sanlock_set_up(const struct gl_sanlock *sl, const struct gl_sanlock_daemon *daemon,
					bool joined, struct guestlock_error *err);
/* The lockspace as libsanlock wants it, its file under that path. */
void gl_sanlock_describe(const struct gl_sanlock *sl, const char *path, struct sanlk_lockspace *out);

/* ---- Errors: fail.c ---- */

enum guestlock_result gl_sanlock_result(int rv);
/* "cannot WHAT NAME: REASON; ADVICE" from what libsanlock or the kernel returned, negative. */
enum guestlock_result gl_sanlock_fail(struct guestlock_error *err, int rv, const char *what,
				      const char *name);

/* ---- Files: file.c ---- */

/* DIR/KEY.SUFFIX, malloc'd or NULL. */
char *gl_sanlock_path(const struct gl_sanlock *sl, const char *key, const char *suffix);

/*
 * Makes a file that is complete when it can be seen: filled by fill under another name, then linked. 0, also
 * if somebody else was first, or a negative errno or result of libsanlock.
 */
typedef int gl_sanlock_fill_fn(const struct gl_sanlock *sl, const char *path, const void *data);
int gl_sanlock_create(const struct gl_sanlock *sl, const char *path, off_t size, gl_sanlock_fill_fn *fill,
		      const void *data);

/* Which file is under a path now, asked so that a network file system answers anew. 0 or a negative errno. */
struct gl_sanlock_file {
	dev_t device;
	ino_t inode;
	bool open;                      /* fd is: as long as it is, no other file gets its number */
	int fd;
};
int gl_sanlock_identify(const char *path, struct gl_sanlock_file *out);
int gl_sanlock_keep(const char *path, struct gl_sanlock_file *out);     /* and leaves it open */
void gl_sanlock_close(struct gl_sanlock_file *file);
/* Whether it is still that file, which was left open. */
bool gl_sanlock_is_file(const char *path, const struct gl_sanlock_file *file);

/* The key that the name of a file begins with, and what follows it; NULL: none. */
const char *gl_sanlock_key_of(const char *name, char out_key[GUESTLOCK_KEY_SIZE]);

/* ---- Notes: note.c ---- */

/* One owner in a note. Strings point into the note's text. */
struct gl_sanlock_line {
	struct guestlock_owner owner;
	enum guestlock_mode mode;       /* NONE: parked */
	unsigned host_id;
	int64_t since;
};

enum gl_sanlock_presence {
	GL_SANLOCK_ABSENT = 0,
	GL_SANLOCK_READABLE,
	GL_SANLOCK_DAMAGED,
};

struct gl_sanlock_note {
	enum gl_sanlock_presence presence;
	uint64_t lver;                  /* of the lease when this was written */
	bool has_epoch, has_before;     /* before: what the epoch was when this hold moved it */
	uint64_t epoch, before;
	const char *identity;
	struct gl_sanlock_line *lines;
	size_t count;
	char *text;
	size_t size;                    /* of text */
	bool has_room;                  /* for who leaves */
};

/* 0 (see presence), or -1 with errno. out needs gl_sanlock_note_free() in any case. */
int gl_sanlock_note_read(const char *path, struct gl_sanlock_note *out);
void gl_sanlock_note_free(struct gl_sanlock_note *note);
/* 0 or -1 with errno. */
int gl_sanlock_note_write(const char *path, const struct gl_sanlock_note *note);
/*
 * The one owner in a note that was read, which has room for that, is about to give the lease back: from now
 * on the note names nobody. Harmless if it holds the lease no longer and somebody else has written another. 0
 * or -1 with errno.
 */
int gl_sanlock_note_leave(const char *path, const struct gl_sanlock_note *note);

/* ---- Who of this manager shares or has parked a key: sharers.c ---- */

/* Sets the owner's line there; mode EXCLUSIVE: takes it away. 0 or -1 with errno. */
int gl_sanlock_holders_set(struct gl_sanlock *sl, const struct guestlock_key *key,
			   const struct guestlock_owner *owner, enum guestlock_mode mode);

/* Calls visit for each note in KEY.holders whose name begins with prefix, until it returns non-zero. */
typedef int gl_sanlock_note_fn(const struct gl_sanlock *sl, const char *key,
			       const struct gl_sanlock_note *note, void *data);
int gl_sanlock_holders_each(const struct gl_sanlock *sl, const char *key, const char *prefix,
			    gl_sanlock_note_fn *visit, void *data);

/* Somebody alive of any host has an interest in the key there; what cannot be read counts. */
bool gl_sanlock_holders_any(const struct gl_sanlock *sl, const char *key);

/*
 * A guest of this host that lives, has leases as a note says, and of which the daemon knows nothing: that was started
 * anew. pid 0: none. 0, or negative.
 */
int gl_sanlock_find_forgotten(struct gl_sanlock *sl, struct gl_sanlock_forgotten *out);

/* ---- Leases: lease.c ---- */

/* A resource of one disk, as libsanlock wants it. */
struct gl_sanlock_lease {
	struct sanlk_resource resource;
	struct sanlk_disk disk;
	bool foreign;                   /* an administrator's own */
};

/* GRANTED, or INVALID with err: no such lease can be. */
enum guestlock_result gl_sanlock_lease_init(const struct gl_sanlock *sl, const struct guestlock_key *key,
					    struct gl_sanlock_lease *out, struct guestlock_error *err);
/* That of a key of ours. */
void gl_sanlock_lease_of_key(const struct gl_sanlock *sl, const char *key, struct gl_sanlock_lease *out);

/* What a note is about: a key of ours or, if its identity says so, an administrator's own lease. */
struct gl_sanlock_subject {
	struct guestlock_key key;       /* the identity is the note's, other strings lie in text */
	struct gl_sanlock_lease lease;
	char text[GL_SANLOCK_IDENTITY];
};
void gl_sanlock_subject_of(const struct gl_sanlock *sl, const char *key, const struct gl_sanlock_note *note,
			   struct gl_sanlock_subject *out);

/* Makes the file of a lease of ours, unless it is there, and tells which it is, left open. 0 or negative. */
int gl_sanlock_lease_provision(const struct gl_sanlock *sl, const struct gl_sanlock_lease *lease,
			       struct gl_sanlock_file *out);
/* Bytes of a lease. */
off_t gl_sanlock_size(const struct gl_sanlock *sl);

/* What a process holds, as the daemon says. */
struct gl_sanlock_held {
	struct sanlk_resource **resources;
	int count;
	bool registered;
};
/* 0 or a negative result; a process that is not registered or not the owner's any more holds nothing. */
int gl_sanlock_held(const struct guestlock_owner *owner, struct gl_sanlock_held *out);
void gl_sanlock_held_free(struct gl_sanlock_held *held);
/* The process that was bound is there still. */
bool gl_sanlock_is_running(const struct guestlock_owner *owner);
const struct sanlk_resource *gl_sanlock_held_find(const struct gl_sanlock_held *held,
						  const struct gl_sanlock_lease *lease);
enum guestlock_mode gl_sanlock_mode(const struct sanlk_resource *resource);

/* ---- Who holds it: sector.c, who.c ---- */

/* Has that host released the lease, whose record names it as the owner still? */
bool gl_sanlock_has_left(const struct gl_sanlock_lease *lease, const struct sanlk_host *owner);

/* Of a lease that the host shares: its version, now and when the host began to. false: it cannot be told. */
bool gl_sanlock_shared_versions(const struct gl_sanlock_lease *lease, uint64_t host_id, uint64_t *out_since,
				uint64_t *out_now);

/* The hosts that hold a lease and stand in the way of others. */
struct gl_sanlock_owners {
	uint64_t lver;
	bool shared;
	uint64_t ids[GL_SANLOCK_HOSTS];
	size_t count;
};
int gl_sanlock_owners(const struct gl_sanlock_lease *lease, struct gl_sanlock_owners *out);

/*
 * Those who hold it, other than owner (may be NULL) which holds it in own: malloc'd in *out. 0 or negative.
 */
int gl_sanlock_holders(const struct gl_sanlock *sl, const struct guestlock_key *key,
		       const struct gl_sanlock_lease *lease, const struct guestlock_owner *owner,
		       enum guestlock_mode own, struct guestlock_holder **out, size_t *out_count,
		       uint64_t *out_lver);

/*
 * Whoever takes a lease, begins to share it, or removes it has it exclusively for a moment, and no note names
 * him. So is a holder to be taken, as long as he has not been seen with that version of the lease for a
 * second.
 */
struct gl_sanlock_slot;
bool gl_sanlock_is_passing(struct gl_sanlock *sl, const struct gl_sanlock_slot *slot, uint64_t lver,
			   const struct guestlock_holder *holder);

/* ---- A call on a batch: call.c ---- */

struct gl_sanlock_slot {
	struct guestlock_item *item;    /* first, as guestlock_item_order() wants it */
	struct gl_sanlock_lease lease;
	char *note_path;
	struct gl_sanlock_note note;
	struct gl_sanlock_file file;    /* of the lease, before it was taken */
	enum guestlock_mode had;        /* before this call */
	bool change, taken, converted;
	bool known;                     /* acquire: lver and mode, from how it was taken */
	uint64_t lver;                  /* as held now */
	enum guestlock_mode mode;       /* as held now */
};

struct gl_sanlock_call {
	struct gl_sanlock *sl;
	struct guestlock_batch *batch;
	struct guestlock_error *err;
	const char *verb;
	enum guestlock_result result;   /* the worst so far */
	struct gl_sanlock_slot *slots;  /* sorted by key */
	size_t count;
	int64_t now;
	bool registered;                /* the owner's process, as the last look found */
	bool looked, look_first;        /* acquire: what the process holds is known; has to be known */
	bool missed;                    /* of what was given back something was not held */
};

/*
 * NOT_JOINED with its message, or GRANTED. While a guest is waited for that the daemon has forgotten, the host is no
 * member, and to take something is STOPPED; whatever else is asked is answered: these hold nothing.
 */
enum guestlock_result gl_sanlock_check_joined(struct gl_sanlock *sl, bool to_take, struct guestlock_error *err);
bool gl_sanlock_waits(struct gl_sanlock *sl);

/* Its result is GRANTED if it can go on. gl_sanlock_call_end() always follows. */
void gl_sanlock_call_begin(struct gl_sanlock_call *call, struct guestlock_backend *backend,
			   struct guestlock_batch *batch, const char *verb, bool to_take,
			   struct guestlock_error *err);
enum guestlock_result gl_sanlock_call_end(struct gl_sanlock_call *call);

/* Notes a failure; err keeps the worst. */
void gl_sanlock_slot_rv(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot, int rv);
void gl_sanlock_slot_fail(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot,
			  enum guestlock_result result, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void gl_sanlock_call_fail(struct gl_sanlock_call *call, enum guestlock_result result);

/* What the daemon says that the owner holds, into the slots: mode and lver. false: noted. */
bool gl_sanlock_call_look(struct gl_sanlock_call *call);
/* The note of the key. false: noted. */
bool gl_sanlock_slot_note(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot);

/*
 * The key's epoch when its lease has that version: what the note says if it was written for it, else a number
 * made of key and version, on which all hosts agree. The version of an administrator's own lease is its
 * epoch.
 */
uint64_t gl_sanlock_slot_epoch(const struct gl_sanlock_slot *slot, uint64_t lver);
bool gl_sanlock_slot_is_noted(const struct gl_sanlock_slot *slot, uint64_t lver);
/*
 * The version before the one that is held, unless that was noted already: taking a lease moves it by one.
 * Others who share it move it, too, and the epoch does not: so of a shared one what was noted since this host
 * shares it will do.
 */
uint64_t gl_sanlock_slot_before(const struct gl_sanlock_call *call, struct gl_sanlock_slot *slot);
/*
 * Reads the note, and notes the epoch that a shared lease has for its version of now, if it is known. 1: not
 * yet, another one who begins to share it may be about to write the note that this one would follow from. 0
 * or -1 with errno.
 */
int gl_sanlock_slot_carry(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot);
void gl_sanlock_slot_tell(const struct gl_sanlock_call *call, struct gl_sanlock_slot *slot, uint64_t lver);
/* The owner's line in the note, in mode exclusive; NULL: there is none. */
const struct gl_sanlock_line *gl_sanlock_slot_own(const struct gl_sanlock_call *call,
						  const struct gl_sanlock_slot *slot);
/*
 * Writes the note for the lease as it is held: with the owner (taken) or without (given back). 0 or -1 with
 * errno.
 */
int gl_sanlock_slot_write(const struct gl_sanlock_call *call, struct gl_sanlock_slot *slot, uint64_t epoch,
			  const uint64_t *before, bool owned);
/*
 * The note of a lease that is held exclusively and about to be given back: its epoch, or (undo) that before.
 * The slot's note is then the new one.
 */
void gl_sanlock_slot_vacate(const struct gl_sanlock_call *call, struct gl_sanlock_slot *slot, bool undo);

/*
 * AGAIN if the file that was prepared for it is not the one of its name any more: removed, and perhaps made
 * again by somebody else, it is another lease.
 */
void gl_sanlock_slot_verify(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot);
/* Is it busy, by whom? Fills holder, notes BUSY; or another result when it cannot be told. */
void gl_sanlock_slot_busy(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot);

/*
 * Asks the daemon for all that is to change, in the order of keys. What it gave is marked, also when it
 * refused something in the end. false: that is noted; or it has to be known first what the process holds, see
 * look_first.
 */
bool gl_sanlock_take(struct gl_sanlock_call *call);
/*
 * Gives back leases, in groups as the daemon can bear them; those in which wanted is set. The first failure.
 */
int gl_sanlock_give_back(struct gl_sanlock_call *call, bool (*wanted)(const struct gl_sanlock_slot *slot));

/* ---- The functions of the table ---- */

enum guestlock_result gl_sanlock_join(struct guestlock_backend *backend, struct guestlock_kept *kept,
				      struct guestlock_error *err);
enum guestlock_result gl_sanlock_leave(struct guestlock_backend *backend, struct guestlock_error *err);
enum guestlock_join_state gl_sanlock_status(struct guestlock_backend *backend, struct guestlock_error *err);
/* Of the thread that joins, if there is one: it goes on without us. */
void gl_sanlock_adding_leave(struct gl_sanlock *sl);
enum guestlock_result gl_sanlock_bind(struct guestlock_backend *backend, struct guestlock_batch *batch,
				      struct guestlock_error *err);
enum guestlock_result gl_sanlock_acquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
					 struct guestlock_error *err);
enum guestlock_result gl_sanlock_release(struct guestlock_backend *backend, struct guestlock_batch *batch,
					 struct guestlock_error *err);
enum guestlock_result gl_sanlock_inquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
					 struct guestlock_error *err);
enum guestlock_result gl_sanlock_enumerate(struct guestlock_backend *backend, guestlock_enumerate_fn *visit,
					   guestlock_unchanged_fn *unchanged, void *data,
					   struct guestlock_error *err);
/* Somebody of this manager who lives holds or parks something: holder, and GRANTED otherwise. */
enum guestlock_result gl_sanlock_in_use(struct gl_sanlock *sl, struct guestlock_error *err);
enum guestlock_result gl_sanlock_release_orphan(struct guestlock_backend *backend, const char *key,
						bool force, struct guestlock_error *err);
enum guestlock_result gl_sanlock_unprovision(struct guestlock_backend *backend, unsigned unused_s,
					     struct guestlock_error *err);
int gl_sanlock_watch(struct guestlock_backend *backend, struct guestlock_error *err);
int gl_sanlock_next_event(struct guestlock_backend *backend, struct guestlock_event *out_event);
/* Registers this process with the daemon, unless it is, and watches the connection. 0 or negative. */
int gl_sanlock_watch_again(struct gl_sanlock *sl);

#pragma GCC visibility pop

#endif
