/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the contract tests stand on: hosts, guests and calls. A host is an instance of the module with a run
 * directory of its own; two of them over one technology play two machines. A guest is a real process with a
 * real tether, and can be killed. Each test has the hosts A and B, joined, and a directory of its own, and
 * runs in its own process.
 */
#ifndef GL_CONTRACT_H
#define GL_CONTRACT_H

#include "base/error.h"
#include "keeper/client.h"
#include "backend/module.h"
#include "life/process.h"
#include "life/tether.h"
#include "base/base.h"

#include <check.h>

#define CONTRACT_KEYS 100               /* keys of the largest batch */
#define CONTRACT_SETTINGS 16
/* No test measures: these are bounds, also for a machine that is loaded or emulated. */
#define CONTRACT_WAIT_MS 30000          /* for what must come, by far */
#define CONTRACT_FREED_MS 10000         /* by when a death has freed a lock, by far */
#define CONTRACT_DEATH_US 200000        /* after a death, where nothing can be waited for */

/* What main.c found out, the same for all tests. */
struct contract {
	const char *name;               /* of the module */
	const struct guestlock_module *module;
	const char *options[CONTRACT_SETTINGS]; /* "key=value" of both hosts */
	const char *options_a[CONTRACT_SETTINGS], *options_b[CONTRACT_SETTINGS];
	const char *environment_a[CONTRACT_SETTINGS], *environment_b[CONTRACT_SETTINGS];
	const char *host;               /* name of both hosts, NULL: names of their own */
	char *base, *dir;               /* the directory of the run, and that of this test in it */
	/* with --keeper: the module; module has those functions that ask */
	const struct guestlock_module *behind;
};
extern struct contract contract;

static inline bool contract_can(unsigned capability)
{
	return (contract.module->capabilities & capability) == capability;
}

/*
 * A NAME or a FILE: loads it, and fills contract.module and name. Also fails if it wants other options than
 * it is given.
 */
int contract_load(const char *text, struct gl_module *out_module, struct guestlock_error *err);

/*
 * What the program of this tree has more than the installed one: a module if none is named (else NULL), and
 * tests.
 */
extern const char *const contract_default_module;
void contract_own_tests(Suite *suite);

/* ---- Children ---- */

/*
 * fork(). A child shares the file in which Check keeps what the test reports: half a report, of a child that
 * is killed, ends the whole run. So nothing of Check may be called in a child; what is called there too
 * asserts with contract_expect(), for which a child just ends, with a status that means no result.
 */
pid_t contract_fork(void);
__attribute__((noreturn, format(printf, 1, 2))) void contract_fail(const char *format, ...);
#define contract_expect(what) ((what) ? (void)0 : contract_fail("%s:%d: %s", __FILE__, __LINE__, #what))

/* ---- Hosts ---- */

struct host {
	char *run_dir, *name;
	const char *const *environment; /* "name=value", NULL at the end */
	struct gl_settings *settings;
	struct guestlock_backend_context context;
	struct guestlock_backend *backend;
	struct guestlock_kept kept;     /* by this process, where the backend is called here */
	struct gl_keeper *keeper;       /* NULL: the backend is called here */
	char *life_dir;
	int warnings;                   /* messages of level WARNING and worse */
};
extern struct host host_a, host_b;

/*
 * Makes an instance that has not joined. extra: "key=value" or NULL. The result of init; err as init left it.
 */
enum guestlock_result host_make(struct host *host, const char *name, const char *scheme, const char *extra,
				struct guestlock_error *err);
/* From now on this process is one of that host. */
void host_enter(const struct host *host);
/* Joins as the core does, waiting a little for others who set up the same. */
enum guestlock_result host_join(struct host *host, struct guestlock_error *err);
void host_free(struct host *host);
/* The pids of its keeper's processes; false: there is none. */
bool host_keeper(const struct host *host, pid_t *out_guard, pid_t *out_worker);
/*
 * What the keeper does, which alone calls a backend that may block: dead guests of the host give back what
 * they had. For other backends nothing: a death frees it.
 */
void host_reap(const struct host *host);

/* Fixture: contract.dir, host_a and host_b. */
void contract_setup(void);
void contract_teardown(void);

/* ---- Keys ---- */

struct keys {
	struct guestlock_key key[CONTRACT_KEYS];
	char identity[CONTRACT_KEYS][64];
};
/* Keys that no other test has: group tells those of one test apart. */
void keys_make(struct keys *keys, const char *group);

/* ---- Guests ---- */

enum guest_kind {
	GUEST_PLAIN,
	GUEST_DAEMON,                   /* the bound process ends, its child keeps the tether */
	GUEST_EXEC,                     /* executes another program */
	GUEST_ADOPTED,                  /* was not bound and has no tether */
};

struct guest {
	struct guestlock_owner owner;
	struct host *host;
	char *name;
	pid_t pid;                      /* the process that keeps it alive */
	int control;                    /* closed: it ends by itself */
};

/* uuid NULL: a new one. */
void guest_start(struct guest *guest, struct host *host, const char *name, const char *uuid,
		 enum guest_kind kind);
/* Kills it and waits until it is gone. */
void guest_kill(struct guest *guest);
/*
 * A guest without a process, as a thread can be one: its life lock is held by this process. Where a guest's
 * own process has to bind it, it has one.
 */
void guest_pretend(struct guest *guest, struct host *host, const char *name);

/* ---- Calls ---- */

struct ask {
	struct guestlock_item items[CONTRACT_KEYS];
	size_t count;
	unsigned flags;
	struct guestlock_error err;     /* of the last call */
};

/* All of them in one mode, none with flags or epochs. */
void ask_for(struct ask *ask, const struct guestlock_key *keys, size_t count, enum guestlock_mode mode);
void ask_free(struct ask *ask);

/*
 * The calls of the table, repeated as long as the answer is AGAIN; for children too. They check what holds
 * for every answer: that the error is filled exactly when it is not a success, and that the result is that of
 * an item. Where only a guest's own process can bind it, it has done so, and ask_bind() does nothing.
 */
enum guestlock_result ask_bind(const struct guest *guest, struct ask *ask);
enum guestlock_result ask_acquire(const struct guest *guest, struct ask *ask);
enum guestlock_result ask_release(const struct guest *guest, struct ask *ask);
enum guestlock_result ask_convert(const struct guest *guest, struct ask *ask);
enum guestlock_result ask_inquire(const struct guest *guest, struct ask *ask);
/* Of nobody: inquire with owner NULL. */
enum guestlock_result ask_nobody(struct host *host, struct ask *ask);

/* Acquires without repeating it. */
enum guestlock_result ask_acquire_once(const struct guest *guest, struct ask *ask);
/* Acquires; as long as that is BUSY, again for the time in which a death has to free what the guest held. */
enum guestlock_result ask_acquire_soon(const struct guest *guest, struct ask *ask);

/* The same for one key. */
enum guestlock_result take(const struct guest *guest, const struct guestlock_key *key,
			   enum guestlock_mode mode);
enum guestlock_result take_soon(const struct guest *guest, const struct guestlock_key *key,
				enum guestlock_mode mode);
enum guestlock_result probe(const struct guest *guest, const struct guestlock_key *key,
			    enum guestlock_mode mode);
enum guestlock_result drop(const struct guest *guest, const struct guestlock_key *key, unsigned flags);
enum guestlock_result change(const struct guest *guest, const struct guestlock_key *key,
			     enum guestlock_mode mode);
/* What inquire says of it: RES_HELD, ... mode (may be NULL) is held_mode. */
enum guestlock_result look(const struct guest *guest, const struct guestlock_key *key,
			   enum guestlock_mode *mode);
/* The epoch that inquire gives; there must be one. */
uint64_t epoch_of(const struct guest *guest, const struct guestlock_key *key);

/* Asserts that guest holds none, or all in mode, of the keys. */
void assert_none(const struct guest *guest, const struct guestlock_key *keys, size_t count);
void assert_all(const struct guest *guest, const struct guestlock_key *keys, size_t count,
		enum guestlock_mode mode);
/* Whatever is known of the holder is that guest. */
void assert_holder(const struct guestlock_holder *holder, const struct guest *guest);

/* ---- Calls of another process, which is stopped or killed in their midst ---- */

#define ORDER_STOPS 4000                /* far more than a call makes */

typedef enum guestlock_result ask_fn(const struct guest *guest, struct ask *ask);

struct order {
	ask_fn *call;
	const struct guest *guest;
	const struct guestlock_key *keys;
	size_t count;
	enum guestlock_mode mode;
	unsigned flags;
	pid_t child;                    /* under way */
};

/*
 * Runs the call up to that stop, of which there are two for each system call: before and after. false: it is
 * over.
 */
bool order_begin(struct order *order, unsigned stop);
/* Lets it go on to its end: its result. */
enum guestlock_result order_end(struct order *order);
/* Begins, and kills at that stop. false: it was over before. */
bool order_killed_at(struct order *order, unsigned stop);
/* Killed some time within so many microseconds, or not any more. */
void order_killed_within(struct order *order, unsigned most_us);

/* ---- Faults that cannot be had otherwise: system calls of this process that answer something else ---- */

#define FAULT_WRITES 64

struct fault {
	uint32_t fs_type;               /* not 0: what statfs gives */
	int pwrite_after;               /* so many writes succeed; then */
	size_t pwrite_bytes;            /* not 0: one writes no more than that, */
	int pwrite_errno;               /* not 0: and the next ones fail, */
	int pwrite_failures;            /* so many of them */
	bool noting;                    /* the files that are written */
	uint64_t pwrite_inodes[FAULT_WRITES];
	size_t n_pwrites;
};
extern struct fault fault;

void contract_sleep_us(unsigned us);
/* A directory and all that is in it. */
void contract_remove(const char *directory);

/* ---- The tests ---- */

void hold_tests(Suite *suite);
void batch_tests(Suite *suite);
void epoch_tests(Suite *suite);
void handover_tests(Suite *suite);
void life_tests(Suite *suite);
void look_tests(Suite *suite);
void member_tests(Suite *suite);
void race_tests(Suite *suite);
void kill_tests(Suite *suite);
/* Of one backend's own files; nothing for others. */
void fcntl_entry_tests(Suite *suite);
void fcntl_write_tests(Suite *suite);
void fcntl_directory_tests(Suite *suite);
void keeper_tests(Suite *suite);

/* A test case with the fixture, in suite. */
TCase *contract_case(Suite *suite, const char *name);

#endif
