/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A model of a few hosts that share a backend. What runs on them is the real engine: its operations, wishes,
 * settling and tables. What is modelled is the world it acts on: records, processes, and a backend of two
 * keys. Each act on the world is one step; between any two steps of one host the others may do theirs, a
 * manager may be killed, and a guest may die.
 *
 * An operation that is between two steps is kept as the log of the answers it has had so far. To take the
 * next step it is run again from its beginning, gets the same answers, acts once more, and is then abandoned:
 * whatever it tries after that fails without effect, so that it unwinds and leaves nothing behind.
 *
 * In some scenarios the first two are managers of one host, and start the same guest: see struct scenario.
 */
#ifndef GL_MODEL_H
#define GL_MODEL_H

#include "guest/guest.h"

#define HOSTS 3
#define KEYS 3
#define LOG_ENTRIES 32
#define INSTANCES 4 /* per host, while old ones are still spoken of */

/* Hosts 0 and 1 have the same guest, which migrates from 0 to 1; host 2 has another. */
enum { SOURCE, TARGET, OTHER };

/*
 * The two disks. Host 2's guest has only the second. Where a disk is read and written, it is the first, and the keys that
 * come after it are its sides.
 */
enum { DISK_D = 1 << 0, DISK_E = 1 << 1 };
enum { KEY_D, KEY_READERS, KEY_WRITERS };

struct epoch {
	uint8_t known, value;
};

/* What the backend knows of a host's guest at a key. */
struct line {
	uint8_t instance;               /* 0: nothing */
	uint8_t mode, intent;
	uint8_t undo;                   /* 0 nothing, 1 there was no epoch, 2 before */
	uint8_t before;
};

struct holding {
	uint8_t present, state, from, to, mode;
	struct epoch epoch;
};

/* A record. */
struct note {
	uint8_t exists, instance, state, op, migrate, was_paused, stopped;
	struct holding held[KEYS];
};

enum process_state {
	PROCESS_NONE,
	PROCESS_BOUND,                  /* not let run yet */
	PROCESS_RUNS,                   /* may write */
	PROCESS_STOPPED,                /* by pause */
	PROCESS_HALTED,                 /* its memory has gone to the other end of the migration */
	PROCESS_ASTRAY,                 /* it was paused, and somebody continued it: it writes without locks */
};

struct process {
	uint8_t state, instance;
	uint8_t uses;                   /* disks that are plugged */
	uint8_t stale; /* disks that another guest wrote since this one's memory stands still */
};

struct answer {
	uint8_t key;                    /* 1 and up; 0: no answer */
	uint8_t result, held_mode, holder, holder_mode, holder_instance, n_others;
	struct epoch epoch;
};

struct entry {
	uint8_t kind;
	int8_t result;
	struct answer answers[KEYS];
	struct note note;
};

/* An operation under way. */
struct run {
	uint8_t op;                     /* enum task, 0: idle */
	uint8_t count;
	uint8_t locks;                  /* it has the lock of the record, where two managers share one */
	struct entry log[LOG_ENTRIES];
};

enum start_state {
	START_NONE,
	START_BOUND,                    /* or about to be */
	START_GRANTED,                  /* the process has not been told yet that it may run */
	START_GIVEN_UP,                 /* the process is killed, what it had is not released yet */
};

/* A start under way, of one of two managers of one host: the life that it began. */
struct start {
	uint8_t state, instance;
};

struct world {
	struct epoch epochs[KEYS];      /* value counts also while it is not known */
	struct line lines[KEYS][HOSTS];
	struct note notes[HOSTS];
	struct process processes[HOSTS];
	struct start starts[HOSTS];
	uint8_t handed;                 /* the guest's memory is at the target */
	uint8_t target_ran;             /* 1: it does, 2: it did and died */
	uint8_t cancelled, given_up;    /* the source's caller has said so: cancel-out, complete-out */
	struct run runs[HOSTS];
};

enum task {
	TASK_NONE,
	TASK_BIND,
	TASK_BIND_MIGRATE,
	TASK_ACQUIRE,
	TASK_ATTACH,
	TASK_DETACH,
	TASK_PAUSE,
	TASK_RESUME,
	TASK_PREPARE,
	TASK_COMPLETE_IN,
	TASK_CANCEL_IN,
	TASK_COMPLETE_OUT,
	TASK_CANCEL_OUT,
	TASK_SHUTDOWN,
	TASK_SETTLE,
	TASK_REAP,
	TASK_GIVE_UP,                   /* the shutdown by which a start that was given up ends */
	TASK_FORCE,                     /* somebody shuts down by force what has only been bound */
	TASKS,
};

/* What the backend does with a call. */
enum mishap {
	MISHAP_NONE,
	MISHAP_LOST,                    /* done, but nobody hears of it */
	MISHAP_DROPPED,                 /* not done, and nobody hears of it */
	MISHAP_KILLED,                  /* + n: the caller is killed after n keys were written */
	MISHAPS = MISHAP_KILLED + 2 * KEYS,
};

/* ---- manager.c: the engine on the world ---- */

enum ending {
	ENDED,                          /* with a status */
	SUSPENDED,                      /* before its next call to the backend */
	KILLED,
};

/* One host's manager while it takes a step. There is one at a time. */
struct manager {
	struct world *world;
	unsigned host;
	bool alone;                     /* runs to its end, without steps, log or mishaps */
	enum mishap mishap;             /* of the call to the backend that the step begins with */
	bool may_call;
	unsigned position;
	int kill_at;                    /* -1, or: killed before that local act of this step */
	int acts;                       /* local acts so far */
	bool calls;                     /* the step had a call to the backend */
	bool gone;
	enum ending ending;
	int status;
};
extern struct manager manager;

/* Answers of the world: GONE means fail, without effect. */
enum turn { REPLAYED, LIVE, GONE };
enum turn take_turn(unsigned kind, bool shared, struct entry **out_entry);

/* Takes the next step of a task (or begins it) as manager says; the world changes. */
void manager_step(void);

/* Runs a task to its end, alone. Returns its status. */
int manager_run_alone(struct world *world, unsigned host, enum task task);

/* For a start that begins: one that nobody speaks of any more. */
uint8_t manager_new_instance(const struct world *world, unsigned host);

const char *host_uuid(unsigned host);
/* Each has instances of its own, two managers of one host as well: so a life's process is known by it. */
unsigned host_of(uint64_t instance);
bool instance_lives(const struct world *world, uint64_t instance);

/* ---- technology.c: the backend ---- */

extern const struct guestlock_module model_module;
extern const struct guestlock_backend_ops model_ops;
void technology_drop_void(struct world *world);

struct scenario {
	const char *name;
	uint32_t tasks[HOSTS];          /* bits of enum task: what each does */
	uint32_t atomic[HOSTS];         /* those that are taken in one step, without a kill */
	/* bits of hosts: whose manager may be killed, whose backend may not answer */
	unsigned kills, mishaps;
	bool full;                      /* takes long */

	/*
	 * SOURCE and TARGET are two managers of one host. They share one record (SOURCE's) and its lock:
	 * while one is within an operation the other can do none. Each starts the guest with a process and
	 * disks of its own, and may give up between any two calls.
	 */
	bool one_host;
	uint8_t wants[HOSTS];           /* the disks of each; 0: as ever */
	bool stubborn;                  /* processes that run do not stop when they are to */
	bool astray;                    /* somebody continues guests that are paused */
	bool sides;                     /* SOURCE's guest only reads the disk, and OTHER's writes it, shared */
	/* Mutants, in which a rule must be found broken: */
	uint32_t blind;                 /* handles of these tasks do not know their life */
	bool restless;                  /* a process that was stopped runs on, and nobody notices */
	bool unwatched;                 /* one that was continued is taken for stopped */
	bool forgiving;                 /* who probes is not told that somebody else had the disk */
	bool open;                      /* a side can be passed though somebody is there */
};

/* The one that is played. */
extern const struct scenario *scenario_now;

/* One in which a rule must be found broken. */
bool is_mutant(const struct scenario *scenario);

/* Is it one of two managers of one host? */
bool shares_record(unsigned host);
/* The host whose record is that of this one's guest. */
unsigned record_host(unsigned host);
/* Does its guest only read the disk? */
bool only_reads(unsigned host);
/* The disks that its guest is started with. */
unsigned disks_of(unsigned host);

/* ---- world.c ---- */

/* The same world in fewer words: epochs relative to the present one, lines of nobody dropped. */
void world_normalize(struct world *world);

/* NULL, or which rule is broken. */
const char *world_check(const struct world *world);
const char *world_check_recovery(const struct world *world, const struct scenario *scenario);
void world_describe(const struct world *world);

/* Acts of processes. A rule that one breaks is in world_broken then. */
extern const char *world_broken;
void world_let_run(struct world *world, unsigned host);
void world_plug(struct world *world, unsigned host, unsigned disk);
void world_end_process(struct world *world, unsigned host);

/* ---- explore.c ---- */

/* Goes through everything that can happen. NULL, or the rule that is broken; standard output tells how. */
const char *explore(const struct scenario *scenario, unsigned *out_states);

#endif
