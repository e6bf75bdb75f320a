/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guestlock: no disk is ever written by two guests at once.
 *
 * This is the interface for programs that manage guests. One handle of the library (struct guestlock)
 * holds the configuration and the loaded backend; one handle per guest (struct guestlock_guest) carries
 * that guest through its life. What is locked does not depend on any handle or process: a lock lives with
 * the guest or in the cluster, and handles may be freed, and processes killed, at any instant.
 *
 * Rules that hold for every function:
 *  - It returns GUESTLOCK_OK (0) or a negative enum guestlock_status. Nothing exits, aborts or prints.
 *  - The last parameter, struct guestlock_error *err, belongs to the caller and may be NULL. It is filled
 *    on failure and untouched on success.
 *  - Out parameters are set on success only, unless stated otherwise.
 *  - What waits has a deadline: wait_ms for locks of others, acquire_timeout for the backend, for a record that
 *    somebody else changes, and for what else is said of a function. Only the file systems have none: a call that
 *    is given or knows paths (of disks, run_dir, lock_dir, state_dir) looks at them in the calling thread, and one
 *    that lies on storage which does not answer takes as long as that. guestlock_guest_start() looks at disks
 *    in the child and has a deadline for it, guestlock_guest_pause() for what it writes back.
 *  - Strings that are passed in are copied. Strings that are handed out as "char **" are freed by the
 *    caller with free().
 *  - Handles are not thread safe, but any number of handles of any guests, also of the same guest, may be
 *    used in different threads and processes at the same time.
 *  - A guest handle works in the process that created it. After a fork only guestlock_guest_bind() and
 *    guestlock_guest_free() may be called on it in the child; what returns a status gives GUESTLOCK_FORKED.
 *  - A uuid may be started again and again; each bind begins a life of its own, which an instance number
 *    tells from others. A handle acts on one life and never on a later one: that is GUESTLOCK_REPLACED, and
 *    nothing of the new life is touched. With START and MIGRATE it is the life that is begun through it, with
 *    ATTACH the first that it finds, or that of guestlock_guest_set_life().
 *  - Every failure leaves a known state: nothing was taken, or what was held is still held, or the status
 *    is GUESTLOCK_INDETERMINATE: then the guest must not run until an inquiry has settled what holds.
 *  - Time-outs are in milliseconds, points in time in seconds since 1970 (CLOCK_REALTIME).
 */
#ifndef GUESTLOCK_GUESTLOCK_H
#define GUESTLOCK_GUESTLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct guestlock;
struct guestlock_guest;

/* ---- Results ---- */

enum guestlock_status {
	GUESTLOCK_OK = 0,
	GUESTLOCK_FAILED = -1,          /* a fault of guestlock itself; the message says which */
	GUESTLOCK_BUSY = -2,            /* somebody else holds it; error.holder says who */
	GUESTLOCK_STALE = -3,           /* another guest held it exclusively since the state was saved */
	GUESTLOCK_UNPROVEN = -4,        /* it cannot be shown that nobody else held it since */
	GUESTLOCK_INDETERMINATE = -5,   /* the backend did not say what it did: the guest must not run */
	GUESTLOCK_TIMEOUT = -6,         /* the deadline passed; nothing was taken */
	GUESTLOCK_UNAVAILABLE = -7,     /* the backend cannot work now; the message says why */
	GUESTLOCK_UNSAFE = -8,          /* the backend could not protect here; an option would allow it */
	GUESTLOCK_UNSUPPORTED = -9,     /* the backend has no such ability, or a newer version is needed */
	GUESTLOCK_DENIED = -10,         /* permission */
	GUESTLOCK_IO = -11,             /* reading or writing failed */
	GUESTLOCK_CANNOT_CREATE = -12,  /* a file could not be made: full, read-only, no such directory */
	GUESTLOCK_DAMAGED = -13,        /* a record, entry or state string cannot be trusted */
	GUESTLOCK_INVALID = -14,        /* an argument is wrong */
	GUESTLOCK_CONFIG = -15,         /* the configuration is wrong */
	GUESTLOCK_NOT_FOUND = -16,      /* no such guest, resource, file or module */
	GUESTLOCK_REJECTED = -17,       /* not in this state of the guest's life */
	GUESTLOCK_ALIVE = -18,          /* refused because the guest is running; force overrules */
	GUESTLOCK_DEAD = -19,           /* refused because the guest is dead */
	GUESTLOCK_UNTETHERED = -20,     /* the guest lives but lost its tether: it gets no new lock */
	GUESTLOCK_ALIASED = -21,        /* the guest has the same file already, under another path */
	GUESTLOCK_FORKED = -22,         /* the handle belongs to another process */
	GUESTLOCK_NO_MEMORY = -23,
	GUESTLOCK_REPLACED = -24,       /* the guest was started anew: what was meant is its former life */
};

#define GUESTLOCK_UUID_STRING 37        /* bytes of a uuid as a string, with the final NUL */
#define GUESTLOCK_KEY_SIZE 44           /* bytes of a key: 43 characters of base64url and NUL */
#define GUESTLOCK_HOLDER_TEXT 160       /* bytes of a text in a holder, longer ones are cut */

enum guestlock_mode {
	GUESTLOCK_MODE_NONE = 0,        /* nothing is locked; interest in the key's epoch only */
	GUESTLOCK_MODE_SHARED = 1,      /* goes with shared */
	/* goes only with handover of the same guest: the two ends of its migration */
	GUESTLOCK_MODE_HANDOVER = 2,
	GUESTLOCK_MODE_EXCLUSIVE = 3,   /* goes with nothing */
};

/*
 * Who holds a resource. An empty string or a zero means "not known". since is when the lock was taken.
 * instance tells two lives of one uuid apart (the two ends of a migration, or a restart).
 *
 * pid is the process that was bound; guestlock_living_pid() tells which one lives. It is a number of the pid namespace
 * pid_ns (an inode, as /proc/PID/ns/pid leads to it) where that is another one than the caller's, and means another
 * process here, or none; pid_ns is 0 where it is the caller's, or is not known.
 *
 * flags, of one who has a disk shared and whose manager has readonly_disks = shared: GUESTLOCK_READONLY, it only reads
 * it, or GUESTLOCK_SHARED, it writes it beside others. They are set by guestlock_holders() and guestlock_survey() alone.
 */
struct guestlock_holder {
	char uuid[GUESTLOCK_UUID_STRING];
	uint64_t instance;
	enum guestlock_mode mode;
	char name[GUESTLOCK_HOLDER_TEXT];
	char host[GUESTLOCK_HOLDER_TEXT];
	pid_t pid;
	int64_t since;
	uint64_t pid_ns;
	unsigned flags;                 /* enum guestlock_resource_flags, or 0: not known */
};

/* An error. Everything but code and message may be empty or zero. message is one line of UTF-8 text. */
struct guestlock_error {
	enum guestlock_status code;
	int sys_errno;                  /* errno, where the cause was a system call */
	long vendor;                    /* the code of the backend's library, where it had one */
	char backend[32];
	char guest[GUESTLOCK_UUID_STRING];
	char resource[256];             /* the resource's name as the caller gave it, cut */
	struct guestlock_holder holder; /* with BUSY, where known: uuid is "" otherwise */
	char message[1024];             /* what was tried, what stood in the way, what to do next */
};

/* A short English text for a status, never NULL. Static storage. */
const char *guestlock_status_text(int status);

/* The name of a mode: "none", "shared", "handover", "exclusive". Static storage. */
const char *guestlock_mode_name(enum guestlock_mode mode);

/* The version of the library as "major.minor.micro". Static storage. */
const char *guestlock_version(void);

/* ---- Opening ---- */

enum guestlock_log_level {
	GUESTLOCK_LOG_ERROR = 0,
	GUESTLOCK_LOG_WARNING = 1,
	GUESTLOCK_LOG_INFO = 2,
	GUESTLOCK_LOG_DEBUG = 3,
};

/*
 * Receives every message of the library, from whichever thread caused it; message is one line without a
 * newline. It must not call the library. Messages below log_level of the configuration are not passed on.
 */
typedef void guestlock_log_fn(void *data, enum guestlock_log_level level, const char *message);

/*
 * How to open. Set size to sizeof(struct guestlock_options); members beyond it count as zero, and zero
 * means the default everywhere.
 *
 * Values come, the later over the earlier, from the built-in defaults, /etc/guestlock/guestlock.conf,
 * /etc/guestlock/conf.d/ *.conf, extra_file (must exist if given), and overrides. config_file, or else the
 * environment's GUESTLOCK_CONFIG, replaces the files before it.
 */
struct guestlock_options {
	size_t size;
	const char *config_file;
	const char *extra_file;
	const char *const *overrides;   /* "section.key=value", NULL at the end */
	guestlock_log_fn *log;          /* NULL: messages are dropped */
	void *log_data;
	const char *supervisor;         /* path of the guestlock command; NULL: the installed one */
};

/*
 * Reads the configuration and loads the configured backend. Nothing is locked and no file is written. A
 * failed open leaves nothing behind. Whether the backend can work now is told by guestlock_probe() and by
 * the operations that need it. options may be NULL.
 * Errors: CONFIG, NOT_FOUND (the module), DENIED, IO, NO_MEMORY.
 * (libvirt's lock manager API: PluginLoad)
 */
int guestlock_open(struct guestlock **out_gl, const struct guestlock_options *options,
		   struct guestlock_error *err);

/*
 * Frees the handle. No lock is dropped. NULL is accepted. Guest handles must be freed before. (PluginUnload)
 */
void guestlock_close(struct guestlock *gl);

/*
 * Asks whether the backend can work here and now and whether it protects. OK, or UNAVAILABLE or UNSAFE
 * with the reason. Takes nothing and does not block.
 */
int guestlock_probe(struct guestlock *gl, struct guestlock_error *err);

/* ---- Guests ---- */

enum guestlock_new_mode {
	GUESTLOCK_NEW_START = 0,        /* a guest that is about to start */
	GUESTLOCK_NEW_ATTACH = 1,       /* a guest that exists: resources and pid come from its record */
	GUESTLOCK_NEW_MIGRATE = 2,      /* the arriving end of a migration */
};

/* Makes a handle. It has no effect on any guest. Errors: INVALID, NO_MEMORY. (New) */
int guestlock_guest_new(struct guestlock *gl, enum guestlock_new_mode mode,
			struct guestlock_guest **out_guest, struct guestlock_error *err);

/*
 * Sets a parameter. "uuid" (canonical text) is required before anything else can be done, except with
 * ATTACH, where "name" does as well as long as one guest only has that name. "name" (at most 4095 bytes)
 * and "id" are for people. Other keys are kept in the record and shown. Once the guest is bound: REJECTED.
 * GUESTLOCK_PARAM_QMP is the socket of a monitor of its QEMU: guestlock_guest_pause() and _resume() tell it to stop
 * and to go on. It is absolute and has 107 bytes at most, speaks QMP, and is for guestlock alone, since QEMU talks to
 * one client at a time. Errors: INVALID, REJECTED, NO_MEMORY. (SetParameter)
 */
#define GUESTLOCK_PARAM_QMP "qmp"
int guestlock_guest_set_param(struct guestlock_guest *guest, const char *key, const char *value,
			      struct guestlock_error *err);

/*
 * Says which life of its guest an ATTACH handle is for: the instance that guestlock_info or a holder tells,
 * and the pid that it was bound with, as this process sees it; 0: whichever. A pid is not compared when the
 * guest was bound in another pid namespace. For callers that looked, or that know the process which they
 * mean. Errors: INVALID, FORKED.
 */
int guestlock_guest_set_life(struct guestlock_guest *guest, uint64_t instance, pid_t pid,
			     struct guestlock_error *err);

enum guestlock_resource_type {
	GUESTLOCK_DISK = 0,             /* name: absolute path of an image or device; no parameters */
	GUESTLOCK_LEASE = 1,            /* name: the lease's key; parameters lockspace, path, offset */
};

enum guestlock_resource_flags {
	/* read only: shared, or a disk ignored, as configured (readonly_disks) */
	GUESTLOCK_READONLY = 1 << 0,
	GUESTLOCK_SHARED = 1 << 1, /* written by several guests that agree among themselves: taken shared */
};

/* A resource as the caller names it. All strings belong to the caller. */
struct guestlock_resource {
	enum guestlock_resource_type type;
	unsigned flags;                 /* enum guestlock_resource_flags; 0: exclusive, read-write */
	const char *name;
	const char *lockspace;          /* leases: may be NULL */
	const char *path;               /* leases: may be NULL */
	uint64_t offset;                /* leases: bytes from the start of path */
};

/*
 * Names a resource that the guest will need. Before bind with START and MIGRATE; before acquire with
 * ATTACH, where what is named is acquired beside what the record holds. Naming one twice is no error: the
 * stronger mode counts. The path is looked at when it is bound or acquired.
 * Errors: INVALID, REJECTED, NO_MEMORY. (RegisterResource)
 */
int guestlock_guest_register_resource(struct guestlock_guest *guest,
				      const struct guestlock_resource *resource, struct guestlock_error *err);

/*
 * The command line that runs this guest under guestlock's supervision: the guestlock command, "run", the
 * configuration of this handle (its file, and each setting that is not the default), this guest's parameters
 * and resources, "--". The caller appends the guest's own command. *out_argv ends with
 * NULL and is freed, with its strings, in one call of free(). (GetSupervisorPath, GetSupervisorArgs)
 */
int guestlock_guest_supervisor_argv(struct guestlock_guest *guest, char ***out_argv,
				    struct guestlock_error *err);

/*
 * The pid of the guest as recorded at bind. NOT_FOUND when it was never bound, or has ended. REPLACED.
 * (GetChild)
 */
int guestlock_guest_child(struct guestlock_guest *guest, pid_t *out_pid, struct guestlock_error *err);

/*
 * Ties the calling process, which is going to be the guest, to its locks: to be called in the guest's own
 * process before it executes the guest's program. Opens the tether, the one descriptor that the guest
 * inherits (its number goes to *out_tether_fd if that is not NULL), writes the record, and asks, without
 * taking, who holds the guest's disks: BUSY when another guest does. Takes no mutex and may be called in
 * the child of a threaded process. A guest of the same uuid that still lives: BUSY. A handle begins one life:
 * for another one, make another handle.
 * Errors: BUSY, ALIASED, INVALID, NOT_FOUND (a disk), CANNOT_CREATE, DAMAGED, UNAVAILABLE, UNSAFE, IO, ...
 * After an error nothing is left behind and the guest's program must not be executed.
 */
int guestlock_guest_bind(struct guestlock_guest *guest, int *out_tether_fd, struct guestlock_error *err);

enum guestlock_acquire_flags {
	/* take nothing: OK if it could be taken, BUSY with the holder else */
	GUESTLOCK_ACQUIRE_PROBE = 1 << 0,
	/*
	 * Only of a guest that is bound and has just the resources that this handle names, to be used in the
	 * same way; else REJECTED, and nothing is taken. Does not look at the paths again. (_acquire() alone)
	 */
	GUESTLOCK_ACQUIRE_LISTED = 1 << 1,
};

/*
 * Takes the locks of a bound guest, all or none. The guest may run only after OK. What is held already stays
 * held. With MIGRATE they are taken for handover. wait_ms > 0: waits up to that long for whoever holds them,
 * naming them in a message of level INFO; 0 does not wait. A backend that does not answer within
 * acquire_timeout: TIMEOUT (nothing was taken) or INDETERMINATE. state may be NULL, or is a string of
 * guestlock_guest_pause() or _inquire(): then STALE and UNPROVEN are possible (configuration: resume_check),
 * and DAMAGED for a foreign or broken string. Errors: BUSY, STALE, UNPROVEN, TIMEOUT, INDETERMINATE,
 * UNTETHERED, DEAD, REJECTED, ALIASED, ... (AcquireObject)
 */
int guestlock_guest_acquire(struct guestlock_guest *guest, const char *state, unsigned flags, int wait_ms,
			    struct guestlock_error *err);

enum guestlock_release_flags {
	GUESTLOCK_RELEASE_FORCE = 1 << 0, /* also a disk that a process of the guest has open for writing */
};

/*
 * Takes or releases one resource, and no other, of a guest that runs or is paused. Taking what is held and
 * releasing what is not are successes. To take: before the device is plugged; to release: after it is
 * unplugged: ALIVE, and the lock is kept, where a process of the guest has the disk open for writing, as far as /proc
 * tells, unless RELEASE_FORCE is given. (AcquireResource, ReleaseResource)
 */
int guestlock_guest_acquire_resource(struct guestlock_guest *guest, const struct guestlock_resource *resource,
				     unsigned flags, int wait_ms, struct guestlock_error *err);
int guestlock_guest_release_resource(struct guestlock_guest *guest, const struct guestlock_resource *resource,
				     unsigned flags, struct guestlock_error *err);

enum guestlock_pause_flags {
	/* the caller has stopped the guest (and will continue it) itself */
	GUESTLOCK_EXTERNALLY_STOPPED = 1 << 0,
	/* the caller has seen to it that what the guest wrote is on the storage, as QEMU does when it is stopped */
	GUESTLOCK_EXTERNALLY_FLUSHED = 1 << 1,
};

/*
 * Releases the locks of a guest that does not write for now; their epochs are kept. Without
 * EXTERNALLY_STOPPED every process of the guest is stopped with SIGSTOP first, and it is confirmed that
 * they are; resume continues them. A control group (version 2) with processes of this guest alone is frozen as well,
 * if its registered process is in it and the caller may. These are whoever holds its tether, the registered process, and all
 * descendants of both. DENIED, TIMEOUT, FAILED: one of them cannot be stopped, which the message names;
 * UNTETHERED: nobody can say who they are. A guest with the parameter GUESTLOCK_PARAM_QMP is stopped by its monitor
 * before that, so that QEMU gets to its images what is under way. TIMEOUT, DENIED, UNAVAILABLE: the monitor does not
 * answer or refuses, for the reason that the message tells. Then, without EXTERNALLY_FLUSHED, each disk that it holds
 * exclusively is flushed (fdatasync(2)): TIMEOUT, IO, CANNOT_CREATE (no space) when what it wrote does not get to
 * the storage by acquire_timeout. After a failure nothing is released, and the guest goes on. DEAD: there was no
 * process any more.
 * *out_state (may be NULL) gets a string of [A-Za-z0-9._:,-] that guestlock_guest_resume() checks, here or on
 * another host. A paused guest: the same string again, and it is looked whether it is stopped still.
 */
int guestlock_guest_pause(struct guestlock_guest *guest, unsigned flags, char **out_state,
			  struct guestlock_error *err);

/*
 * Takes the locks of a paused guest again, all or none, provided nobody held one exclusively meanwhile
 * (state, or the record where state is NULL), and continues the processes that pause stopped. After an
 * error the guest stays paused and it can be tried again.
 */
int guestlock_guest_resume(struct guestlock_guest *guest, const char *state, int wait_ms,
			   struct guestlock_error *err);

/* Gives the state string of the guest as it is. Changes nothing. */
int guestlock_guest_inquire(struct guestlock_guest *guest, char **out_state, struct guestlock_error *err);

enum guestlock_migrate_flags {
	GUESTLOCK_MIGRATE_CANCEL = 1 << 0,      /* the migration failed or was given up */
};

/*
 * At the source, before the migration: makes its locks ready to be taken over by the same guest on another
 * host, and by nobody else. uri is for messages and may be NULL. UNSUPPORTED: the backend has no handover;
 * pause the guest at the source and resume it at the target instead. A paused guest takes its locks for that,
 * provided nobody held one exclusively meanwhile (BUSY, STALE, UNPROVEN as for a resume). After an error: no
 * migration.
 */
int guestlock_guest_prepare_migrate(struct guestlock_guest *guest, const char *uri,
				    struct guestlock_error *err);

/*
 * At the target. 0: the guest is here now; its locks become exclusive at once or, if the source has not
 * completed yet, as soon as it has (repeating the call, any later operation, or reap settles it); the guest
 * may run either way, for nobody but the two ends can hold the locks. CANCEL: gives the locks back.
 * At the source. 0: gives the locks up; the guest must not run here. CANCEL: takes them back exclusively,
 * or parks them again if the guest was paused; BUSY as long as the target has not cancelled.
 * The two ends may complete in either order.
 */
int guestlock_guest_complete_migrate_in(struct guestlock_guest *guest, unsigned flags,
					struct guestlock_error *err);
int guestlock_guest_complete_migrate_out(struct guestlock_guest *guest, unsigned flags,
					 struct guestlock_error *err);

enum guestlock_shutdown_flags {
	GUESTLOCK_SHUTDOWN_FORCE = 1 << 0, /* also when the guest seems to live, and over a busy record */
};

/*
 * Releases everything the guest holds and removes its record. ALIVE, and nothing is released, while any
 * process of the guest lives. A guest that has no record: OK. If the backend fails, what it still holds
 * stays recorded and recovery (the next operation, or reap) tries again. (Shutdown)
 */
int guestlock_guest_shutdown(struct guestlock_guest *guest, unsigned flags, struct guestlock_error *err);

/*
 * Starts argv as this guest: forks, binds the child, takes the locks (state and wait_ms as for acquire) and
 * only then executes argv in it. On failure the child is gone and nothing is held. The handle becomes the
 * guest's starter: guestlock_guest_free() kills the guest unless guestlock_guest_detach() was called.
 * The caller reaps the child (waitpid) as any other.
 * The child is not waited for beyond acquire_timeout and 2 s, to get to its locks and then to its program: TIMEOUT,
 * and it is killed. One that waits for storage that does not answer ends only then; it never runs the program,
 * and what it was granted is released by whoever finds it dead.
 * Errors: as bind and acquire; NOT_FOUND or DENIED when argv[0] cannot be executed; TIMEOUT.
 */
int guestlock_guest_start(struct guestlock_guest *guest, char *const argv[], const char *state, int wait_ms,
			  pid_t *out_pid, struct guestlock_error *err);

/* The guest lives on when its handle is freed. */
void guestlock_guest_detach(struct guestlock_guest *guest);

/*
 * Before start: the program leads a session of its own (setsid(2)), so that neither a terminal nor the end of
 * somebody else's process group stops or continues it: a shell's fg, and the kernel where a group is orphaned,
 * continue what was paused.
 */
void guestlock_guest_set_session(struct guestlock_guest *guest);

/*
 * For a caller that is a child subreaper (prctl(2)) and has no other children than this guest's processes: from
 * here on these belong to the guest, though they closed what they inherited, and as long as the handle watches
 * (until guestlock_guest_unwatch(), or until it is freed) the guest has not ended; it is untethered where nobody
 * holds its tether. Errors: NOT_FOUND, REPLACED, DEAD (it has ended), UNSUPPORTED (it was adopted), IO.
 */
int guestlock_guest_watch(struct guestlock_guest *guest, struct guestlock_error *err);
void guestlock_guest_unwatch(struct guestlock_guest *guest);

/*
 * The processes of the guest, as far as /proc shows them: who holds its tether, the one that was registered, and the
 * descendants of these. *out_pids is one block, freed with free(); *out_count may be 0. Errors: NOT_FOUND, REPLACED,
 * FAILED.
 */
int guestlock_guest_processes(struct guestlock_guest *guest, pid_t **out_pids, size_t *out_count,
			      struct guestlock_error *err);

/*
 * The processes of the guest that do not hold its tether, as far as /proc shows them: these keep no lock of it, and
 * who watches waits for them. *out_pids is one block, freed with free(); *out_count may be 0. Errors: NOT_FOUND,
 * REPLACED, FAILED.
 */
int guestlock_guest_untethered(struct guestlock_guest *guest, pid_t **out_pids, size_t *out_count,
			       struct guestlock_error *err);

/*
 * Takes locks for a process that already runs and was not bound, where the backend can (UNSUPPORTED
 * otherwise). Such a guest has no tether: it counts as dead when this one process is gone. The handle
 * is of mode START with uuid, name and resources set. Errors: as acquire; DEAD; INVALID: pid 1, a thread of the
 * kernel, or an ancestor of the caller, which are never stopped or killed.
 */
int guestlock_guest_adopt(struct guestlock_guest *guest, pid_t pid, int wait_ms, struct guestlock_error *err);

/*
 * Frees the handle. Locks stay, except through the handle that started the guest and was not detached:
 * that one kills the guest (SIGKILL to every process of it, also when somebody has removed its record), waits
 * for its end, at most 10 s, and shuts it down. NULL is accepted. (Free)
 */
void guestlock_guest_free(struct guestlock_guest *guest);

/* ---- Looking ---- */

enum guestlock_guest_state {
	GUESTLOCK_GUEST_NONE = 0,       /* no record */
	GUESTLOCK_GUEST_BOUND,          /* the process exists, it has no locks yet */
	GUESTLOCK_GUEST_RUNNING,        /* it may write */
	GUESTLOCK_GUEST_PAUSED,         /* it is stopped, its locks are released, their epochs kept */
	GUESTLOCK_GUEST_MIGRATING_OUT,
	GUESTLOCK_GUEST_MIGRATING_IN,
	/* the backend lost a lock, or it ran while it was paused and another guest had its disks: it must not run */
	GUESTLOCK_GUEST_LOST,
	GUESTLOCK_GUEST_DEAD,           /* it ended; locks of it may remain to be released */
};

enum guestlock_resource_state {
	GUESTLOCK_RESOURCE_NONE = 0,
	GUESTLOCK_RESOURCE_INTENT,      /* being taken or converted */
	GUESTLOCK_RESOURCE_HELD,
	GUESTLOCK_RESOURCE_PARKED,      /* released, its epoch kept */
	GUESTLOCK_RESOURCE_HANDOVER,
	GUESTLOCK_RESOURCE_DROPPING,    /* being released */
	GUESTLOCK_RESOURCE_UNKNOWN,     /* the backend did not say what it did */
};

enum guestlock_life {
	GUESTLOCK_LIFE_UNKNOWN = 0,
	GUESTLOCK_LIFE_ALIVE,
	GUESTLOCK_LIFE_UNTETHERED,      /* its process lives, its tether is closed */
	GUESTLOCK_LIFE_ADOPTED,         /* its process lives, it never had a tether */
	GUESTLOCK_LIFE_DEAD,
};

/* The names as records and tools spell them: "running", "migrating-out", "held", "alive". Static storage. */
const char *guestlock_guest_state_name(enum guestlock_guest_state state);
const char *guestlock_resource_state_name(enum guestlock_resource_state state);
const char *guestlock_life_name(enum guestlock_life life);

struct guestlock_resource_info {
	enum guestlock_resource_type type;
	unsigned flags;
	char *name;
	char *lockspace, *path;         /* NULL where there is none */
	uint64_t offset;
	char *identity;                 /* what is locked, in words: "file:/a/b", "lvm:...", ... */
	char key[GUESTLOCK_KEY_SIZE];   /* what the backend locks */
	enum guestlock_resource_state state;
	enum guestlock_mode mode;
	bool has_epoch;
	uint64_t epoch;
};

struct guestlock_param {
	char *key, *value;
};

/* A guest as its record tells. Strings may be any bytes but NUL. Freed as a whole, guestlock_info_free(). */
struct guestlock_info {
	char uuid[GUESTLOCK_UUID_STRING];
	uint64_t instance;
	char *name, *id;                /* "" where not set */
	pid_t pid;                      /* pid and pid_ns: as in struct guestlock_holder */
	uint64_t pid_ns;
	enum guestlock_life life;
	enum guestlock_guest_state state;
	const char *pending;            /* the operation under way or unfinished, or "" */
	bool stopped;                   /* a pause has stopped it, and it was not continued since */
	char *technology;               /* the backend that holds the locks */
	int64_t since;                  /* when it was bound */
	char *damage; /* NULL, or why the record could not be read: only uuid is valid then */
	size_t n_resources;
	struct guestlock_resource_info *resources;
	size_t n_params;
	struct guestlock_param *params;
};

/*
 * uuid of the guest that text names: a uuid, or a name that one guest only has. NOT_FOUND, INVALID (several).
 */
int guestlock_find(struct guestlock *gl, const char *text, char out_uuid[GUESTLOCK_UUID_STRING],
		   struct guestlock_error *err);

/* What is known of a guest. NOT_FOUND, DAMAGED, IO. */
int guestlock_get_info(struct guestlock *gl, const char *uuid, struct guestlock_info **out_info,
		       struct guestlock_error *err);
void guestlock_info_free(struct guestlock_info *info);

/* The same of the life that a handle is for: REPLACED when there is another one now. */
int guestlock_guest_info(struct guestlock_guest *guest, struct guestlock_info **out_info,
			 struct guestlock_error *err);

/*
 * Whom to name for that life of a guest (instance 0: whichever): the process that was bound, or where that has ended or
 * is of another pid namespace one that lives, by the number that it has here. For that one all of /proc is read, and
 * only if search is set. 0: none was found; -1: there is no record of that life in this run directory.
 */
pid_t guestlock_living_pid(struct guestlock *gl, const char *uuid, uint64_t instance, bool search);

/*
 * All guests of this run directory, sorted by name and uuid; *out_infos is an array of *out_count, freed
 * by guestlock_list_free(). Damaged records are in it (damage is set).
 */
int guestlock_list(struct guestlock *gl, struct guestlock_info ***out_infos, size_t *out_count,
		   struct guestlock_error *err);
void guestlock_list_free(struct guestlock_info **infos, size_t count);

/* Who holds a resource, asked of the backend. *out_holders is one block, freed with free(). */
int guestlock_holders(struct guestlock *gl, const struct guestlock_resource *resource,
		      struct guestlock_holder **out_holders, size_t *out_count, struct guestlock_error *err);

/* A lock that a guest of some host holds, and in holder who. */
struct guestlock_survey_lock {
	struct guestlock_holder holder;
	char *identity;                 /* what is locked, in words: "file:/a/b"; "" where not known */
	char key[GUESTLOCK_KEY_SIZE];
};

/* A host that did not tell what its guests hold. */
struct guestlock_survey_silent {
	char *host;
	char *reason;                   /* a few words: "no answer in time" */
};

/*
 * What the guests of all hosts hold. Strings may be any bytes but NUL. Freed as a whole,
 * guestlock_survey_free().
 */
struct guestlock_survey {
	size_t n_locks;
	struct guestlock_survey_lock *locks;    /* sorted by host, name, uuid, instance, identity and key */
	size_t n_silent;
	struct guestlock_survey_silent *silent;
};

/*
 * What the guests of all hosts hold now, this one's too, as their own managers tell the backend: of one key
 * (as guestlock_identify() gives it), or of every key where that is NULL. For people: no decision about a
 * lock may rest on it, for a host that does not answer is in out_survey->silent, and the result is OK all the
 * same. Takes no longer than acquire_timeout, and by the backend's own patience less. Errors: UNSUPPORTED
 * (the backend knows of this host only), INVALID, UNAVAILABLE, ...
 */
int guestlock_survey(struct guestlock *gl, const char *key, struct guestlock_survey **out_survey,
		     struct guestlock_error *err);
void guestlock_survey_free(struct guestlock_survey *survey);

/* Identity (free()) and key of a resource, as they would be locked. Looks at the path. */
int guestlock_identify(struct guestlock *gl, const struct guestlock_resource *resource, char **out_identity,
		       char out_key[GUESTLOCK_KEY_SIZE], struct guestlock_error *err);

/*
 * What this host itself does with a disk beside its guests, as far as the kernel tells without asking anybody: file
 * systems mounted from it or from a part of it, swap, loop devices and other devices made of it. *out_words (free()) has a
 * line for each, such as "it is mounted at /mnt"; "" when there is nothing. No lock keeps a host from that: who
 * gives such a disk to a guest should know. Not seen are processes that have it open, and other mount namespaces.
 * Errors: NOT_FOUND, INVALID, DENIED, IO.
 */
int guestlock_host_uses(struct guestlock *gl, const struct guestlock_resource *resource, char **out_words,
			struct guestlock_error *err);

/* ---- Recovery ---- */

/* What a recovery did. Counts of guests or locks. */
struct guestlock_reap_result {
	size_t released;                /* dead guests whose locks were released */
	size_t settled;                 /* unfinished operations finished or undone */
	size_t alive;                   /* guests that live on */
	size_t damaged;                 /* records set aside */
	size_t orphans;                 /* locks that no record explains: kept */
	size_t failed;                  /* guests that could not be settled now */
};

/*
 * Settles everything on this host that can be settled: finishes or undoes what killed processes left
 * unfinished, releases the locks of dead guests, sets damaged records aside, and reports each as a message
 * (WARNING for what needs a person). OK also when something was reported; result (may be NULL) tells.
 */
int guestlock_reap(struct guestlock *gl, struct guestlock_reap_result *out_result,
		   struct guestlock_error *err);

/*
 * Settles one guest: what a killed process left unfinished is finished or undone; if it is dead, its locks
 * are released and its record goes. One that pause stopped, and that runs, is stopped again; it is LOST then if another
 * guest had one of its resources exclusively meanwhile. OK: its state is known and nothing is unfinished; also when it was dead,
 * then later calls give NOT_FOUND. Errors: NOT_FOUND, INDETERMINATE, TIMEOUT, ...
 */
int guestlock_guest_settle(struct guestlock_guest *guest, struct guestlock_error *err);

/*
 * Frees the lock of one key (as guestlock_identify() gives it) that no record explains. ALIVE while its
 * owner is known to live, unless force. NOT_FOUND when nobody holds it or when a record explains it.
 */
int guestlock_release_orphan(struct guestlock *gl, const char *key, bool force, struct guestlock_error *err);

/*
 * Removes what the backend keeps for resources that nobody holds or has paused, and that have not been used
 * for unused_s seconds (their epochs): a state string older than that will not be accepted any more. OK also
 * where the backend keeps nothing. Errors: UNAVAILABLE, DENIED, IO, ...
 */
int guestlock_unprovision_unused(struct guestlock *gl, unsigned unused_s, struct guestlock_error *err);

/* ---- The host ---- */

/*
 * Takes this host out of what its backend is a member of (a cluster's lockspace), as before a shutdown. BUSY,
 * and nothing changes, while any guest of this host holds or has paused anything. OK also when it is no
 * member. The next operation on a guest joins again. With a keeper, operations that are under way are waited
 * for, and those that begin meanwhile wait until the host has left, or are refused. Errors: BUSY,
 * UNAVAILABLE, DENIED, IO, ...
 */
int guestlock_leave(struct guestlock *gl, struct guestlock_error *err);

/* The keeper of the run directory, the process that calls a backend whose calls may hang. */
struct guestlock_keeper_info {
	bool used;                      /* this handle's calls are made by the keeper */
	bool running;                   /* false: nothing below is set */
	pid_t guard, worker;            /* its two processes; guard 0: it was killed */
	int64_t since;                  /* when the worker began */
	unsigned calls;                 /* under way */
	const char *state;              /* "joined", "joining", "out", "stopped", "lost"; static storage */
	char version[32];               /* of guestlock */
	char backend[32];
	char message[1024];             /* why it is not joined, "" when it is */
};

/* Looks whether a keeper runs. Starts none; does not block for more than 2 seconds. Always OK. */
int guestlock_get_keeper(struct guestlock *gl, struct guestlock_keeper_info *out_info,
			 struct guestlock_error *err);

/* ---- The configuration, the modules, the lifecycle: for tools ---- */

struct guestlock_setting {
	const char *section, *key, *value;
	const char *type, *help;        /* "path", "bool", ... and one line */
	const char *origin;             /* "default", "FILE:LINE", "override" */
};

/* Every setting in effect, also of the installed modules. The array belongs to gl. */
const struct guestlock_setting *guestlock_settings(struct guestlock *gl, size_t *out_count);

struct guestlock_backend_info {
	const char *name, *description, *file;
	bool selected;
	unsigned capabilities;          /* GUESTLOCK_CAP_* of backend.h */
	unsigned abi;
	int status; /* of its probe (selected), else OK; of loading when it could not be loaded */
	char message[512];              /* why not, "" when all is well */
};

/* The modules found, *out_count of them; one block freed with guestlock_backends_free(). Loads each. */
int guestlock_backends(struct guestlock *gl, struct guestlock_backend_info **out_infos, size_t *out_count,
		       struct guestlock_error *err);
void guestlock_backends_free(struct guestlock_backend_info *infos, size_t count);

/* The name of capability bit number bit (0...), or NULL past the last. Static storage. */
const char *guestlock_capability_name(unsigned bit);

/*
 * A row of the lifecycle table: what happens to a guest in state, with that operation pending, at event.
 * verdict is "go", "ignore" or "reject". Strings are static.
 */
struct guestlock_transition {
	const char *state, *pending, *event, *guard, *verdict, *next, *next_pending, *actions, *note;
};
/* The rows as they are written (out_count of them), "*" standing for any. */
const struct guestlock_transition *guestlock_lifecycle(size_t *out_count);

#ifdef __cplusplus
}
#endif
#endif
