/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For writers of lock backends. A backend is one loadable module that exports one object,
 * "guestlock_backend_module" of type struct guestlock_module, and includes only this header and its
 * vendor's. docs/backends explains how to add one; tests/contract is the suite that it has to pass.
 *
 * The vocabulary: an owner is one life of a guest (uuid and instance), seen from this host. A key is 43
 * characters that stand for one resource on every host. A batch is what one owner asks for at once. An
 * epoch of a key changes whenever somebody acquires it exclusively; only its equality means anything. It may
 * be forgotten when nobody holds the key, has it parked or is bound to it.
 *
 * Rules for every function of the table:
 *  - It does not wait for other holders, sleep, retry or start a timer: the core owns deadlines, jitter and
 *    retries. What cannot be answered by batch.deadline_ms is GUESTLOCK_RES_INFLIGHT; a backend that cannot
 *    keep that promise in the calling process has GUESTLOCK_CAP_MAY_BLOCK and is run by the keeper.
 *  - It may be called by several threads at once for different owners, never for one owner.
 *  - It may be called in the forked child of a threaded process (bind, inquire and join: always): it keeps
 *    no descriptor, thread or mutex across calls unless it has GUESTLOCK_CAP_MAY_BLOCK.
 *  - It never exits, aborts or prints. The error structure (never NULL here) is filled, with
 *    guestlock_backend_fail(), exactly when the result is not a success, with what was tried, what stood in
 *    the way and what to do next.
 *  - The result of the call is the worst of its items; each item carries its own.
 */
#ifndef GUESTLOCK_BACKEND_H
#define GUESTLOCK_BACKEND_H

#include <guestlock/guestlock.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a structure or function of this header changes shape. A module of another number is refused. */
#define GUESTLOCK_BACKEND_ABI 1

/* What a backend can do. The core asks these bits, never for a name and never for a NULL pointer. */
enum guestlock_capability {
	GUESTLOCK_CAP_SHARED = 1 << 0, /* mode shared exists; without it shared is taken exclusively */
	GUESTLOCK_CAP_HANDOVER = 1 << 1,        /* mode handover and convert exist: migration without a gap */
	GUESTLOCK_CAP_HOTPLUG = 1 << 2,         /* keys can be added to and taken from a running owner */
	GUESTLOCK_CAP_GUEST_ONLY = 1 << 3,      /* one lock per guest: resources are ignored */
	GUESTLOCK_CAP_ADOPT = 1 << 4, /* can lock for a process that was not bound before it started */
	GUESTLOCK_CAP_EPOCH = 1 << 5,           /* has epochs; without them every resume is UNPROVEN */
	GUESTLOCK_CAP_MAY_BLOCK = 1 << 6, /* a call may hang in the kernel: only the keeper may make it */
	GUESTLOCK_CAP_UNPROVISION = 1 << 7,     /* unprovision exists: what is kept of unused keys can go */
	GUESTLOCK_CAP_WATCH = 1 << 8,           /* a lock can be lost while held, and watch tells */
	GUESTLOCK_CAP_LOSS_ACTION = 1 << 9,     /* can act on the guest itself when it loses a lock */
	GUESTLOCK_CAP_CLUSTER = 1 << 10,        /* survey exists: what the guests of all hosts hold */
	/*
	 * bind ties the process that calls it to the technology: it is called by the guest's process itself,
	 * even where the keeper makes all other calls, join too, and keeps its deadline by itself. Goes
	 * without ADOPT.
	 */
	GUESTLOCK_CAP_BIND_HERE = 1 << 11,
	GUESTLOCK_CAP_HOSTS = 1 << 12, /* other hosts are kept out too: what only this host calls so is no key */
};

/* What a call found or did. Each backend has one table from its vendor's codes to these. */
enum guestlock_result {
	/* of acquire, release, convert, bind, ... */
	GUESTLOCK_RES_GRANTED = 0,      /* done (item.epoch is set); for release and convert likewise */
	GUESTLOCK_RES_BUSY,             /* somebody else's: item.holder. Nothing changed */
	GUESTLOCK_RES_STALE,            /* item.expected_epoch differs from the key's. Nothing changed */
	GUESTLOCK_RES_UNPROVEN,         /* the key's epoch is not to be trusted. Nothing changed */
	GUESTLOCK_RES_AGAIN,            /* a momentary obstacle: nothing changed, ask again soon */
	/*
	 * it may have happened or happen yet (no answer by the deadline, or an undo failed): inquire tells
	 */
	GUESTLOCK_RES_INFLIGHT,
	GUESTLOCK_RES_NOT_JOINED,       /* join first, or joining still */
	GUESTLOCK_RES_STOPPED, /* works again by itself later (quorum, fencing): the message says what for */
	GUESTLOCK_RES_UNSAFE,           /* would not protect; the message names the option that allows it */
	GUESTLOCK_RES_NO_ORPHAN,        /* nothing to adopt */
	GUESTLOCK_RES_MODE_MISMATCH,    /* held, in another mode: item.held_mode */
	GUESTLOCK_RES_DENIED,           /* permission */
	GUESTLOCK_RES_IO,
	GUESTLOCK_RES_CANNOT_CREATE,    /* no space, read-only */
	GUESTLOCK_RES_INVALID,          /* the request or the configuration is wrong */
	GUESTLOCK_RES_UNKNOWN, /* cannot be read or trusted: never to be taken for free. Nothing changed */
	GUESTLOCK_RES_DEAD, /* the technology does not know the owner's process (any more). Nothing changed */
	/* of inquire */
	GUESTLOCK_RES_HELD,             /* by this owner, in item.held_mode */
	GUESTLOCK_RES_ORPHAN, /* by this owner, but to be adopted (acquired again) before it is used */
	GUESTLOCK_RES_OTHER,            /* not by this owner, but by item.holder */
	GUESTLOCK_RES_FREE,             /* by nobody */
};

/* What a backend locks. Strings belong to the core and outlive the call. */
struct guestlock_key {
	char key[GUESTLOCK_KEY_SIZE];
	const char *identity;           /* the same in words, for people: any bytes but NUL, up to 4200 */
	enum guestlock_resource_type type;
	const char *lockspace, *path;   /* an administrator's own lease: else NULL */
	uint64_t offset;
};

/* One life of a guest. Strings belong to the core and outlive the call. */
struct guestlock_owner {
	char uuid[GUESTLOCK_UUID_STRING];
	uint64_t instance;              /* never 0; new at each bind */
	const char *name;
	pid_t pid;                      /* as seen in the pid namespace pid_ns; 0: not known */
	uint64_t pid_start;             /* guestlock_process_start(); 0: not known */
	uint64_t pid_ns;                /* inode of its pid namespace; 0: not known */
	char boot_id[GUESTLOCK_UUID_STRING];    /* guestlock_boot_id() where pid was looked at */
	bool adopted;                   /* has no life lock: the pid alone counts */
	const char *host;               /* name of the host */
	const char *manager;            /* the run directory: tells managers of one host apart, but see run_id */
};

enum guestlock_batch_flags {
	GUESTLOCK_BATCH_PARK = 1 << 0,  /* release: keep interest in the epochs, the guest is paused */
	/* release: the grant was never used, put the epoch back if nobody saw it */
	GUESTLOCK_BATCH_UNDO = 1 << 1,
	GUESTLOCK_BATCH_ALL_HOLDERS = 1 << 2,   /* inquire: fill item.holders */
	GUESTLOCK_BATCH_PROBE = 1 << 3, /* acquire: judge only, take nothing */
	/*
	 * inquire: only to refuse early what acquire would refuse; what is known at little cost will do
	 */
	GUESTLOCK_BATCH_GLANCE = 1 << 4,
	/* convert: the target of a migration takes over, which moves the epoch */
	GUESTLOCK_BATCH_TAKE_OVER = 1 << 5,
	/*
	 * release: the guest is about to lose its locks, so what is noted beside them may be out of reach: the
	 * locks go first, and nothing is waited for that they do not need. Epochs need not be told.
	 */
	GUESTLOCK_BATCH_LOSING = 1 << 6,
};

/* One key of a batch. */
struct guestlock_item {
	const struct guestlock_key *key;
	enum guestlock_mode mode;       /* acquire, convert: wanted */
	bool check_epoch;               /* acquire: STALE unless the key's epoch equals expected_epoch */
	uint64_t expected_epoch;
	/* out */
	enum guestlock_result result;
	enum guestlock_mode held_mode;  /* inquire: by this owner */
	bool has_epoch;
	uint64_t epoch;                 /* granted, released or inquired: the key's epoch now */
	struct guestlock_holder holder; /* BUSY, OTHER: one who holds it; uuid "" where not known */
	size_t n_others;                /* inquire: other owners that hold it in any mode but none */
	/* with ALL_HOLDERS: everyone, this owner too; the core free()s it */
	struct guestlock_holder *holders;
	size_t n_holders;
};

/* What one owner asks for at once. */
struct guestlock_batch {
	const struct guestlock_owner *owner;    /* inquire: may be NULL, nobody's */
	struct guestlock_item *items;           /* no key twice */
	size_t count;
	unsigned flags;
	int64_t deadline_ms;            /* guestlock_monotonic_ms() at which the caller stops waiting */
	/*
	 * What becomes of the guest if a lock of it is lost while it runs. "pause" and "poweroff"
	 * (LOSS_ACTION only): the backend has loss_program called. "" or NULL: the technology's own way. Set
	 * for bind, and for acquire where no keeper stands between.
	 */
	const char *loss_action;
};

/* One lock of this host, as enumerate reports it. */
struct guestlock_lock {
	struct guestlock_owner owner;
	struct guestlock_key key;       /* identity "" where not known */
	enum guestlock_mode mode; /* NONE: parked. Whether the owner lives is for the core to find out */
	bool readable;                  /* false: the entry is damaged, only key is valid */
	int64_t since;
};
/* Returns 0 to go on. */
typedef int guestlock_enumerate_fn(void *data, const struct guestlock_lock *lock);
/*
 * Is everything under that key as the caller knows it, given that nothing of it changed after changed_ns
 * (nanoseconds since 1970, by the clock of this host)? Then it need not be visited.
 */
typedef bool guestlock_unchanged_fn(void *data, const char *key, int64_t changed_ns);
/* A host whose guests' locks could not be told, and why, in a few words: "no answer in time". */
typedef void guestlock_silent_fn(void *data, const char *host, const char *reason);

enum guestlock_join_state {
	GUESTLOCK_JOIN_OUT = 0,
	GUESTLOCK_JOIN_JOINING,
	GUESTLOCK_JOIN_JOINED,
	GUESTLOCK_JOIN_STOPPED,         /* joined, but nothing is answered for now */
	GUESTLOCK_JOIN_LOST,
};

/*
 * Descriptors that must survive the process which uses the backend: the keeper's guard has copies, and hands
 * them to the next worker. At the first join of a process they are what its predecessor left (count 0:
 * nothing). The backend uses them, and closes what it gives up, and only that: finish leaves them open. Only
 * keep changes what the guard has: a join that fails takes nothing from it, and the next one, in this process
 * or another, goes on with the same. The structure is the core's, and stays where it is until finish.
 */
struct guestlock_kept {
	int fds[8];
	size_t count;
	/*
	 * MAY_BLOCK. The guard is to have fds, count of them, and nothing else. Called in join, as soon as
	 * they are open and before anything is asked through them; and with count 0 in join or leave, once
	 * nothing is under way, for what is gone or given up. Takes 5 seconds at most. false: the guard has
	 * not said that it did so. Nothing may be asked through them then: join and leave are AGAIN.
	 */
	bool (*keep)(struct guestlock_kept *kept);
};

enum guestlock_event_type {
	GUESTLOCK_EVENT_LOST = 0,       /* uuid and instance lost a lock */
	GUESTLOCK_EVENT_EXPIRING,       /* will be lost at until unless things mend */
	GUESTLOCK_EVENT_RENEWED,        /* no longer expiring */
	GUESTLOCK_EVENT_STOPPED,        /* the whole backend; message says why */
	GUESTLOCK_EVENT_RUNNING,
};
struct guestlock_event {
	enum guestlock_event_type type;
	char uuid[GUESTLOCK_UUID_STRING];       /* "": all guests of this host */
	uint64_t instance;
	int64_t until;                  /* EXPIRING: seconds since 1970 */
	char message[256];
};

enum guestlock_option_type {
	GUESTLOCK_OPTION_STRING,
	GUESTLOCK_OPTION_PATH,          /* absolute; @state_dir@ and @run_dir@ in the default are replaced */
	GUESTLOCK_OPTION_BOOL,          /* yes or no */
	GUESTLOCK_OPTION_UINT,          /* 0 to 4294967295 */
};
/* An option of the section named like the backend: it feeds the parser, `guestlock config` and the manual. */
struct guestlock_option {
	const char *name;
	enum guestlock_option_type type;
	const char *default_value;
	bool required;                  /* has no default: probe must be told */
	const char *help;
};

struct guestlock_limits {
	size_t key_size;                /* bytes of a key it can lock */
	size_t batch;                   /* items in one call; 0: any number. The core splits, all or none */
};

/*
 * One configured backend. The core allocates module->instance_size bytes, zeroed, whose first member is
 * this. life_dir may be set by init: where the life locks of guests must be, because everybody who could
 * contend sees that directory; NULL: the run directory will do.
 */
struct guestlock_backend {
	const struct guestlock_module *module;
	const char *run_dir;            /* absolute */
	/*
	 * Random, kept in run_dir: tells it apart from others of the same path, which each container can have.
	 * "" before the first join or leave.
	 */
	const char *run_id;
	const char *host;               /* name of this host */
	const char *identity_scheme;    /* how disks are named; hosts with different schemes must not meet */
	const struct guestlock_backend_context *context;        /* for guestlock_option_*() and _log() */
	/*
	 * The program to be called for LOSS_ACTION, an absolute path: LOSS_PROGRAM RUN_DIR UUID INSTANCE
	 * ACTION SECONDS (INSTANCE in hexadecimal: the owner's; SECONDS: what there is until the technology
	 * does worse to the guest, GUESTLOCK_LOSS_SECONDS at least), as the user that the guest was bound by
	 * or root. It ends before that, with status 0 once the guest is stopped and its locks are released,
	 * or the guest is dead.
	 */
	const char *loss_program;
	const char *life_dir;
	/*
	 * Does a record of this run directory say that this life of a guest holds the key, is about to take or
	 * give it up, or runs on though it has lost it? Reads a file. Not so: the guest was paused, has ended, or
	 * was released by force. NULL: nobody knows.
	 */
	bool (*is_claimed)(const struct guestlock_backend *backend, const char *uuid, uint64_t instance,
			   const char *key);
};

#define GUESTLOCK_LOSS_SECONDS 20       /* without so many loss_program cannot do its work */

/* The table. Every pointer is set unless a capability bit says that it is not called. */
struct guestlock_backend_ops {
	/* Reads the options, opens nothing. RES_GRANTED or INVALID. finish undoes it and always succeeds. */
	enum guestlock_result (*init)(struct guestlock_backend *backend, struct guestlock_error *err);
	void (*finish)(struct guestlock_backend *backend);

	/*
	 * Can it work here and is it safe? Takes nothing, never blocks. GRANTED, STOPPED, UNSAFE, DENIED, ...
	 */
	enum guestlock_result (*probe)(struct guestlock_backend *backend, struct guestlock_error *err);

	/*
	 * Makes this host a member; repeated: no change. GRANTED once joined, NOT_JOINED while under way.
	 * GRANTED, too, while guests live whose locks the technology has forgotten, and which joining would free
	 * for others: acquire is STOPPED until they have ended, and what else is asked is answered.
	 * Checks that version and identity_scheme are those of the other members, else INVALID. leave: BUSY
	 * while any guest of this host holds or parks anything. The keeper makes no call for a guest
	 * meanwhile.
	 */
	enum guestlock_result (*join)(struct guestlock_backend *backend, struct guestlock_kept *kept,
				      struct guestlock_error *err);
	enum guestlock_result (*leave)(struct guestlock_backend *backend, struct guestlock_error *err);
	enum guestlock_join_state (*status)(struct guestlock_backend *backend, struct guestlock_error *err);

	/*
	 * Called in the guest's process before exec: what else ties locks to that process (a registration, an
	 * inherited descriptor), and interest in the epochs of the keys of batch, so that they outlive other
	 * hosts. Takes no lock. After a failure nothing is left.
	 */
	enum guestlock_result (*bind)(struct guestlock_backend *backend, struct guestlock_batch *batch,
				      struct guestlock_error *err);

	/*
	 * All or nothing. GRANTED: each item is held in item.mode and has its epoch: one more than before if
	 * exclusive (random if it had none), the same if shared or handover; epochs move only when the whole
	 * batch is granted. What this owner holds already in that mode or a stronger one is GRANTED as it is,
	 * its epoch unchanged. Another instance of the same uuid is somebody else, except in handover. Of two
	 * equal batches at once one is granted. What a crash in the midst leaves behind must be found by
	 * inquire.
	 */
	enum guestlock_result (*acquire)(struct guestlock_backend *backend, struct guestlock_batch *batch,
					 struct guestlock_error *err);

	/* What is not held is GRANTED too; holds of other owners are not touched. Epochs are unchanged. */
	enum guestlock_result (*release)(struct guestlock_backend *backend, struct guestlock_batch *batch,
					 struct guestlock_error *err);

	/*
	 * CAP_HANDOVER. Never passes through unlocked; on failure the old mode is kept. Epochs are unchanged,
	 * but from shared to a stronger mode is an exclusive acquire, and so is from handover to exclusive
	 * with TAKE_OVER: what was saved of the guest before the migration must not be resumed any more.
	 * Repeated it moves no epoch again.
	 */
	enum guestlock_result (*convert)(struct guestlock_backend *backend, struct guestlock_batch *batch,
					 struct guestlock_error *err);

	/*
	 * Asks the technology itself, not memory. Changes nothing. The result is the worst of UNKNOWN and the
	 * rest.
	 */
	enum guestlock_result (*inquire)(struct guestlock_backend *backend, struct guestlock_batch *batch,
					 struct guestlock_error *err);

	/*
	 * Every lock and parked interest of this manager's owners (bound with this run_dir, and run_id), damaged ones
	 * of anybody. unchanged (may be NULL) is for a backend that can tell when a key changed for less than
	 * it costs to read what is under it, and for no other: it asks that first.
	 */
	enum guestlock_result (*enumerate)(struct guestlock_backend *backend, guestlock_enumerate_fn *visit,
					   guestlock_unchanged_fn *unchanged, void *data,
					   struct guestlock_error *err);

	/*
	 * CAP_CLUSTER. What owners of any host hold now, this one's too, of key or (NULL) of every key, as
	 * their own managers tell it by deadline_ms: for people, no lock depends on it. Of each lock only
	 * uuid, instance, name, pid and host of the owner, the key, mode and since are set, each where it is
	 * known; all are readable. Owners that are known to be dead are left out. Every host that did not
	 * tell is named to silent, and GRANTED all the same.
	 */
	enum guestlock_result (*survey)(struct guestlock_backend *backend, const char *key,
					int64_t deadline_ms, guestlock_enumerate_fn *visit,
					guestlock_silent_fn *silent, void *data, struct guestlock_error *err);

	/*
	 * Frees the locks that dead or unexplained owners of this host have on a key. force: living ones too,
	 * and damage.
	 */
	enum guestlock_result (*release_orphan)(struct guestlock_backend *backend, const char *key,
						bool force, struct guestlock_error *err);

	/*
	 * CAP_UNPROVISION. Removes the storage of keys that nobody holds or parks, and that are unused for
	 * unused_s seconds.
	 */
	enum guestlock_result (*unprovision)(struct guestlock_backend *backend, unsigned unused_s,
					     struct guestlock_error *err);

	/* CAP_WATCH. A descriptor that polls readable when next_event has something (1), else 0. */
	int (*watch)(struct guestlock_backend *backend, struct guestlock_error *err);
	int (*next_event)(struct guestlock_backend *backend, struct guestlock_event *out_event);

	/*
	 * CAP_MAY_BLOCK. Whether something that was asked of the technology has no answer yet, also when its
	 * caller has given up or was killed: then the last process must not end. Takes in what has come, and
	 * does not wait. Asked again and again while a keeper ends.
	 */
	bool (*busy)(struct guestlock_backend *backend);
};

/* What a module exports under the name guestlock_backend_module. */
struct guestlock_module {
	unsigned abi;                   /* GUESTLOCK_BACKEND_ABI */
	const char *name;               /* [a-z][a-z0-9-]*, also the file's name */
	const char *description;        /* one line */
	unsigned capabilities;
	struct guestlock_limits limits;
	size_t instance_size;
	const struct guestlock_option *options;         /* a row with name NULL at the end */
	const struct guestlock_backend_ops *ops;
};

/* ---- What backends share ---- */

/*
 * Fills err (may be NULL) and returns result. format as in printf; the backend's name is added by the core.
 */
enum guestlock_result guestlock_backend_fail(struct guestlock_error *err, enum guestlock_result result,
					     int sys_errno, long vendor, const char *format,
					     ...) __attribute__((format(printf, 5, 6)));

/* Each item gets this result and tells nothing else. What the items told before is not freed. */
void guestlock_batch_answer(struct guestlock_batch *batch, enum guestlock_result result);

/* Of an inquiry that failed, as only an answer hands out memory: frees item.holders of all items. */
void guestlock_batch_forget_holders(struct guestlock_batch *batch);

/* Are both the same life of the same guest? Only uuid and instance are compared. */
bool guestlock_owner_same(const struct guestlock_owner *a, const struct guestlock_owner *b);

/*
 * An owner as the one who holds something, in that mode and since then (seconds since 1970; 0: not known). pid_ns is the
 * owner's: who is told of it is left to the core.
 */
void guestlock_owner_holder(const struct guestlock_owner *owner, enum guestlock_mode mode, int64_t since,
			    struct guestlock_holder *out);

/*
 * What happened to one item of a call: the worse of item->result and result is kept there, the worst of the
 * call in *worst. True if *worst was worsened, so that result is what the error has to tell. The order is
 * that of the results, but that nothing is worse than INFLIGHT: not to know what one has done.
 */
bool guestlock_item_worsen(struct guestlock_item *item, enum guestlock_result result,
			   enum guestlock_result *worst);

/* For qsort(): puts structures whose first member is a struct guestlock_item * into the order of their keys. */
int guestlock_item_order(const void *a, const void *b);

/* What a code of the kernel or the vendor means, and what to do about it. */
struct guestlock_cause {
	long code;                      /* 0: the last row of a table, for all codes that are in no other */
	enum guestlock_result result;
	const char *reason;             /* NULL: in the words of whoever returned the code */
	const char *advice;             /* as the end of a message */
};
/* The row of a code; never NULL. */
const struct guestlock_cause *guestlock_cause_of(const struct guestlock_cause *causes, long code);

/* Passes a message on to the log. */
void guestlock_backend_log(const struct guestlock_backend *backend, enum guestlock_log_level level,
			   const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The configured value or default of an option; "" when a required one is missing. Belongs to the core. */
const char *guestlock_option_string(const struct guestlock_backend *backend, const char *name);
bool guestlock_option_bool(const struct guestlock_backend *backend, const char *name);
unsigned guestlock_option_uint(const struct guestlock_backend *backend, const char *name);

/* "UUID.INSTANCE", the name of an owner's life lock. */
#define GUESTLOCK_LIFE_NAME_SIZE 64
void guestlock_life_name_of(const struct guestlock_owner *owner, char out_name[GUESTLOCK_LIFE_NAME_SIZE]);

/*
 * Is this guest dead? Asks its life lock in life_dir and its process, as far as that can be seen from here.
 * UNKNOWN (to be treated as alive) when the life lock cannot be read.
 */
enum guestlock_life guestlock_owner_life(const struct guestlock_owner *owner, const char *life_dir);

/*
 * When a process was started, in clock ticks since boot as a process outside of all time namespaces is shown it
 * (/proc/PID/stat, 22); 0: it is gone, or there is no telling.
 */
uint64_t guestlock_process_start(pid_t pid);

/*
 * The random number that this kernel gave itself when it was started: another one is another boot. "": not known, as
 * in a container that sees another one in its place.
 */
void guestlock_boot_id(char out_boot_id[GUESTLOCK_UUID_STRING]);

/* CLOCK_MONOTONIC in milliseconds; random 64 bits, never 0. */
int64_t guestlock_monotonic_ms(void);
uint64_t guestlock_random64(void);

/*
 * Replaces or creates a file so that after a crash the old or the new content is there: temporary file in
 * the same directory, rename. 0 or -1 with errno.
 */
int guestlock_write_file(const char *path, const void *data, size_t size, mode_t mode);

/*
 * The whole of a regular file, NUL-terminated, at most max bytes (EFBIG). 0 or -1 with errno; *out is freed
 * with free().
 */
int guestlock_read_file(const char *path, size_t max, char **out_data, size_t *out_size);

/*
 * Whoever may write to a directory of ours decides who gets a disk. false: path is a symbolic link, or a directory
 * that belongs to somebody else than the caller or root, or that its group or others may write to; out_why has why,
 * and what to do, as the end of a sentence. true also when there is no directory, or it cannot be looked at.
 */
#define GUESTLOCK_WHY_NOT_SIZE 256
bool guestlock_directory_is_ours(const char *path, char out_why[GUESTLOCK_WHY_NOT_SIZE]);

/*
 * Open-file-description lock (F_WRLCK, F_RDLCK, F_UNLCK) over the whole file, without waiting. 0 or -1 with
 * errno.
 */
int guestlock_ofd_lock(int fd, short type);

/* base64url without padding (RFC 4648, 5); out has room for (size * 8 + 5) / 6 + 1 bytes. */
void guestlock_base64url(const void *data, size_t size, char *out);

/* SHA-256 of a text, as 43 characters of base64url. */
void guestlock_digest(const void *data, size_t size, char out[GUESTLOCK_KEY_SIZE]);

/* Can a text be a key: 43 characters of base64url? */
bool guestlock_key_valid(const char *text);

/*
 * Percent-encoding (RFC 3986, 2.1) of every byte that is not a letter, a digit or one of "-._~/:@+,=":
 * the result is one ASCII word. encode: malloc'd or NULL. decode: in place, -1 when malformed.
 */
char *guestlock_percent_encode(const char *text);
int guestlock_percent_decode(char *text);

/* ---- Files of words: who has what, beside the locks themselves ---- */

/*
 * A structure is a line of words "KEY=VALUE" with a blank between two. A table says, for writing and for
 * reading, which members those are, in the order of the words.
 */
enum guestlock_field_kind {
	GUESTLOCK_FIELD_NUMBER,         /* uint64_t */
	GUESTLOCK_FIELD_HEX,            /* uint64_t, as 16 digits */
	GUESTLOCK_FIELD_MAYBE_HEX,      /* the same, or "-" where the bool at flag is false */
	GUESTLOCK_FIELD_UNSIGNED,       /* unsigned */
	GUESTLOCK_FIELD_TIME,           /* int64_t, not negative */
	GUESTLOCK_FIELD_PID,            /* pid_t, not negative */
	GUESTLOCK_FIELD_BOOL,           /* bool: 0 or 1 */
	GUESTLOCK_FIELD_MODE,           /* enum guestlock_mode, by its name */
	GUESTLOCK_FIELD_UUID,           /* char[GUESTLOCK_UUID_STRING], in small letters, or "" */
	GUESTLOCK_FIELD_KEY,            /* char[GUESTLOCK_KEY_SIZE] */
	GUESTLOCK_FIELD_TEXT,           /* const char *, percent-encoded; NULL is written as "" */
	/*
	 * struct guestlock_owner: uuid, instance, pid, start, ns, boot, adopted, host, manager, name. The row's
	 * key is not written. Of host and name GUESTLOCK_HOLDER_TEXT - 1 bytes are.
	 */
	GUESTLOCK_FIELD_OWNER,
};
struct guestlock_field {
	const char *key;                /* NULL: the end of the table */
	enum guestlock_field_kind kind;
	size_t offset;                  /* of the member in its structure */
	size_t flag;                    /* MAYBE_HEX: that of the bool */
	size_t most;                    /* TEXT: bytes, a longer one is cut; 0: any number */
};

/*
 * What a file consists of: a first line "MAGIC LENGTH CHECK", the bytes that follow in 8 digits and the first
 * 8 characters of their digest; a line of one structure; and a line of another kind for each of any number of
 * structures.
 */
struct guestlock_form {
	const char *magic;              /* name and version, "guestlock-entry 1"; at most 64 bytes */
	const struct guestlock_field *head;
	const struct guestlock_field *line;     /* NULL: there is only the head */
	size_t line_size;               /* bytes of each structure in the array of them */
};

/*
 * The text of head and of an array of lines; malloc'd, NUL-terminated. NULL with errno: ENOMEM, or EINVAL
 * when a member has a value that its kind has not.
 */
char *guestlock_form_put(const struct guestlock_form *form, const void *head, const void *lines, size_t count,
			 size_t *out_size);

/*
 * How many bytes a text of that form has, as its first line says, though it may be cut off or followed by
 * what is left of a longer one. 0: it does not begin as one.
 */
size_t guestlock_form_size(const struct guestlock_form *form, const char *text, size_t size);

/*
 * From text to head and *out_lines, an array that the caller free()s, in which there is room for one more
 * than *out_count. Members that no row names stay as they are in head, and are zero in lines. The text is
 * changed, and strings point into it; what is behind the bytes that belong to it is left alone. 0, and
 * *out_damage is NULL; or why the text cannot be trusted ("it is cut short"): then nothing was taken, and what
 * rows of the head name is zero or "". -1 with errno ENOMEM.
 */
int guestlock_form_take(const struct guestlock_form *form, char *text, size_t size, void *head,
			void **out_lines, size_t *out_count, const char **out_damage);

#ifdef __cplusplus
}
#endif
#endif
