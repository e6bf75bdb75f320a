/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The engine on the world: what stands in the place of files and processes, and the tasks of a manager. */
#include "model.h"

#include "base/base.h"
#include "base/error.h"
#include "life/members.h"
#include "life/tether.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	ACT_LOAD = 1,
	ACT_LIFE,
	ACT_LOOK, /* those up to here only look */
	ACT_SAVE,
	ACT_REMOVE,
	ACT_TETHER,
	ACT_STOP,
	ACT_CONTINUE,
	ACT_LOCK,
};

struct manager manager;

static const char *const uuids[HOSTS] = {
	[SOURCE] = "11111111-1111-4111-8111-111111111111",
	[TARGET] = "11111111-1111-4111-8111-111111111111",
	[OTHER] = "22222222-2222-4222-8222-222222222222",
};

const char *host_uuid(unsigned host)
{
	return uuids[host];
}

unsigned host_of(uint64_t instance)
{
	return instance ? (unsigned)(instance - 1) / INSTANCES : SOURCE;
}

bool instance_lives(const struct world *world, uint64_t instance)
{
	const struct process *process = &world->processes[host_of(instance)];

	return process->state != PROCESS_NONE && process->instance == instance;
}

/* ---- Turns ---- */

static void leave_off(enum ending ending)
{
	manager.gone = true;
	manager.ending = ending;
}

enum turn take_turn(unsigned kind, bool shared, struct entry **out_entry)
{
	static struct entry scratch;
	struct run *run = &manager.world->runs[manager.host];

	if (manager.gone) {
		return GONE;
	}
	if (manager.alone) {
		*out_entry = &scratch;
		return LIVE;
	}
	if (manager.position < run->count) {
		*out_entry = &run->log[manager.position++];
		if ((*out_entry)->kind != kind) {
			printf("Bail out! the engine did not do the same twice\n");
			exit(EXIT_FAILURE);
		}
		return REPLAYED;
	}
	if (shared && !manager.may_call) {
		leave_off(SUSPENDED);
		return GONE;
	}
	/*
	 * To be killed before an act that only looks is the same as to be killed before the next that does
	 * not.
	 */
	if (!shared && kind > ACT_LOOK && manager.acts++ == manager.kill_at) {
		leave_off(KILLED);
		return GONE;
	}
	if (shared) {
		manager.may_call = false;
		manager.calls = true;
	}
	if (run->count == LOG_ENTRIES) {
		printf("Bail out! an operation takes more than %d steps\n", LOG_ENTRIES);
		exit(EXIT_FAILURE);
	}
	*out_entry = &run->log[run->count++];
	(*out_entry)->kind = (uint8_t)kind;
	manager.position++;
	return LIVE;
}

/* A local act: the answer in the log, or what act() gives. */
static int local_act(unsigned kind, int (*act)(struct entry *entry), int when_gone, struct entry **out_entry)
{
	struct entry *entry = NULL;

	switch (take_turn(kind, false, &entry)) {
	case GONE:
		return when_gone;
	case LIVE:
		entry->result = (int8_t)act(entry);
		break;
	case REPLAYED:
		break;
	}
	if (out_entry) {
		*out_entry = entry;
	}
	return entry->result;
}

/* ---- Records ---- */

static struct note *own_note(void)
{
	return &manager.world->notes[record_host(manager.host)];
}

/* The process of the life that the record speaks of. */
static struct process *recorded_process(void)
{
	return &manager.world->processes[host_of(own_note()->instance)];
}

bool only_reads(unsigned host)
{
	return scenario_now->sides && host == SOURCE;
}

static unsigned flags_of_disk(void)
{
	if (!scenario_now->sides) {
		return 0;
	}
	return only_reads(manager.host) ? GUESTLOCK_READONLY : GUESTLOCK_SHARED;
}

/* As the first guest to have them would name them: a side to pass, or one to stay on. */
static bool fill_side(struct gl_resource *resource, unsigned key)
{
	resource->readers = key == KEY_READERS;
	resource->writers = key == KEY_WRITERS;
	resource->passing = resource->readers != only_reads(manager.host);
	resource->flags = resource->passing ? 0 : GUESTLOCK_SHARED;
	resource->type = GUESTLOCK_LEASE;
	return gl_set_string(&resource->identity, resource->readers ? "readers:/d" : "writers:/d") == 0;
}

static bool fill_resource(struct gl_record *record, unsigned key, const struct holding *held)
{
	struct gl_resource *resource = gl_record_add_resource(record);
	const char name[] = {'/', (char)('d' + key), '\0'};
	struct gl_holding *holding;

	if (!resource || gl_set_string(&resource->name, name) < 0 ||
	    gl_set_string(&resource->identity, name) < 0) {
		return false;
	}
	memset(resource->key, 'd' + (int)key, GUESTLOCK_KEY_SIZE - 1);
	if (scenario_now->sides && key == KEY_D) {
		resource->flags = flags_of_disk();
	} else if (scenario_now->sides && !fill_side(resource, key)) {
		return false;
	}
	holding = gl_resource_holding(resource, model_module.name, true);
	holding->state = held->state;
	holding->from = held->from;
	holding->to = held->to;
	holding->mode = held->mode;
	holding->has_epoch = held->epoch.known;
	holding->epoch = held->epoch.value;
	return true;
}

static struct gl_record *record_of(const struct note *note)
{
	struct gl_record *record = gl_record_new(host_uuid(manager.host));

	if (!record) {
		return NULL;
	}
	record->instance = note->instance;
	record->state = note->state;
	record->op = note->op;
	record->migrate = note->migrate;
	record->was_paused = note->was_paused;
	record->stopped = note->stopped;
	record->process.pid = 1;
	for (unsigned key = 0; key < KEYS; key++) {
		if (note->held[key].present && !fill_resource(record, key, &note->held[key])) {
			gl_record_free(record);
			return NULL;
		}
	}
	return record;
}

static struct note note_of(const struct gl_record *record)
{
	struct note note = {
		.exists = 1,
		.instance = (uint8_t)record->instance,
		.state = (uint8_t)record->state,
		.op = (uint8_t)record->op,
		.migrate = record->migrate,
		.was_paused = record->was_paused,
		.stopped = record->stopped,
	};

	for (size_t i = 0; i < record->n_resources; i++) {
		const struct gl_holding *holding = &record->resources[i].holdings[0];

		note.held[record->resources[i].key[0] - 'd'] = (struct holding){
			.present = 1,
			.state = (uint8_t)holding->state,
			.from = (uint8_t)holding->from,
			.to = (uint8_t)holding->to,
			.mode = (uint8_t)holding->mode,
			.epoch = {.known = holding->has_epoch,
				  .value = holding->has_epoch ? (uint8_t)holding->epoch : 0},
		};
	}
	return note;
}

/* The functions that the linker puts in the place of the real ones. */
/* The linker gives these names. NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
int __wrap_gl_store_lock(const struct gl_store *store, const char *uuid, int64_t deadline_ms,
			 struct gl_guest_lock *out_lock, struct guestlock_error *err);
void __wrap_gl_store_unlock(const struct gl_store *store, struct gl_guest_lock *lock);
int __wrap_gl_store_load(const struct gl_store *store, const char *uuid, struct gl_record **out_record,
			 struct guestlock_error *err);
int __wrap_gl_store_open(const struct gl_store *store, const struct gl_guest_lock *lock,
			 struct gl_record **out_record, struct guestlock_error *err);
int __wrap_gl_store_save(const struct gl_store *store, struct gl_guest_lock *lock,
			 const struct gl_record *record, struct guestlock_error *err);
int __wrap_gl_store_remove(struct gl_guest_lock *lock, struct guestlock_error *err);
int __wrap_gl_store_uuids(const struct gl_store *store, char (**out_uuids)[GUESTLOCK_UUID_STRING],
			  size_t *out_count, struct guestlock_error *err);
int __wrap_gl_hint_add(void);
void __wrap_gl_hint_remove(void);
int __wrap_gl_tether_open(const struct guestlock_owner *owner, const char *life_dir, int *out_fd,
			  uint64_t *out_inode, struct guestlock_error *err);
void __wrap_gl_tether_remove(void);
enum guestlock_life __wrap_guestlock_owner_life(const struct guestlock_owner *owner, const char *life_dir);
int __wrap_gl_process_look(pid_t pid, struct gl_process *out_process);
int __wrap_gl_process_look_here(const struct gl_family *family, struct gl_process *out_process);
enum gl_presence __wrap_gl_process_presence(void);
int __wrap_gl_members_stop(const struct gl_membership *by, int64_t deadline_ms, size_t *out_count,
			   struct gl_culprit *out_culprit);
bool __wrap_gl_members_are_still(void);
int __wrap_gl_members_continue(const struct gl_membership *by, struct gl_culprit *out_culprit);
int __wrap_gl_members_find(const struct gl_membership *by, pid_t **out_pids, size_t *out_count);
char *__wrap_gl_members_stood(void);
char *__wrap_gl_freezer_find(const struct gl_membership *by);
bool __wrap_gl_thread_is_frozen(pid_t pid, pid_t tid);
int __wrap_gl_flush(void);
int __wrap_gl_ready(void);
int __wrap_gl_is_pinned(void);
void __wrap_gl_sweep(void);
bool __wrap_gl_pause_before_retry(void);
int64_t __wrap_guestlock_monotonic_ms(void);
uint64_t __wrap_guestlock_random64(void);
int __wrap_gl_identify_side(bool readers, const char *text, struct gl_identity *out,
			    struct guestlock_error *err);
int __wrap_gl_identify(const struct guestlock_resource *resource, enum gl_identity_scheme scheme,
		       const char *sysfs, struct gl_identity *out, struct guestlock_error *err);
int __wrap_gl_fail(struct guestlock_error *err, int status);
void __wrap_gl_error_prefix(struct guestlock_error *err);
char *__wrap_gl_printable(const char *text);

/* The lock of a record is nothing to wait for where there is one manager a host. */
int __wrap_gl_store_lock(const struct gl_store *store, const char *uuid, int64_t deadline_ms,
			 struct gl_guest_lock *out_lock, struct guestlock_error *err)
{
	struct entry *entry;

	(void)store;
	(void)deadline_ms;
	if (shares_record(manager.host)) {
		if (take_turn(ACT_LOCK, true, &entry) == GONE) {
			return gl_fail(err, GUESTLOCK_IO, 0, "the model says so");
		}
		manager.world->runs[manager.host].locks = 1;
	}
	memcpy(out_lock->uuid, uuid, GUESTLOCK_UUID_STRING);
	return GUESTLOCK_OK;
}

void __wrap_gl_store_unlock(const struct gl_store *store, struct gl_guest_lock *lock)
{
	(void)store;
	(void)lock;
	/* What unwinds had it when it was left. */
	if (!manager.gone) {
		manager.world->runs[manager.host].locks = 0;
	}
}

static int load_note(struct entry *entry)
{
	entry->note = *own_note();
	return entry->note.exists ? GUESTLOCK_OK : GUESTLOCK_NOT_FOUND;
}

int __wrap_gl_store_load(const struct gl_store *store, const char *uuid, struct gl_record **out_record,
			 struct guestlock_error *err)
{
	struct entry *entry;
	int status = GUESTLOCK_NOT_FOUND;

	(void)store;
	if (strcmp(uuid, host_uuid(manager.host)) == 0) {
		status = local_act(ACT_LOAD, load_note, GUESTLOCK_IO, &entry);
	}
	if (status == GUESTLOCK_OK) {
		*out_record = record_of(&entry->note);
		return *out_record ? GUESTLOCK_OK : gl_fail_memory(err);
	}
	return gl_fail(err, status, 0, "the model says so");
}

int __wrap_gl_store_open(const struct gl_store *store, const struct gl_guest_lock *lock,
			 struct gl_record **out_record, struct guestlock_error *err)
{
	return __wrap_gl_store_load(store, lock->uuid, out_record, err);
}

static const struct gl_record *to_save;

static int save_note(struct entry *entry)
{
	(void)entry;
	*own_note() = note_of(to_save);
	return GUESTLOCK_OK;
}

int __wrap_gl_store_save(const struct gl_store *store, struct gl_guest_lock *lock,
			 const struct gl_record *record, struct guestlock_error *err)
{
	(void)store;
	(void)lock;
	to_save = record;
	return local_act(ACT_SAVE, save_note, GUESTLOCK_IO, NULL) == GUESTLOCK_OK
		       ? GUESTLOCK_OK
		       : gl_fail(err, GUESTLOCK_IO, 0, "the model says so");
}

static int remove_note(struct entry *entry)
{
	(void)entry;
	*own_note() = (struct note){0};
	return GUESTLOCK_OK;
}

int __wrap_gl_store_remove(struct gl_guest_lock *lock, struct guestlock_error *err)
{
	(void)lock;
	return local_act(ACT_REMOVE, remove_note, GUESTLOCK_IO, NULL) == GUESTLOCK_OK
		       ? GUESTLOCK_OK
		       : gl_fail(err, GUESTLOCK_IO, 0, "the model says so");
}

int __wrap_gl_store_uuids(const struct gl_store *store, char (**out_uuids)[GUESTLOCK_UUID_STRING],
			  size_t *out_count, struct guestlock_error *err)
{
	(void)store;
	*out_uuids = calloc(1, sizeof(**out_uuids));
	if (!*out_uuids) {
		return gl_fail_memory(err);
	}
	memcpy(*out_uuids[0], host_uuid(manager.host), GUESTLOCK_UUID_STRING);
	*out_count = own_note()->exists;
	return GUESTLOCK_OK;
}

int __wrap_gl_hint_add(void)
{
	return GUESTLOCK_OK;
}

void __wrap_gl_hint_remove(void)
{
}

/* ---- Processes ---- */

static bool is_logged(const struct run *run, unsigned instance)
{
	for (unsigned i = 0; i < run->count; i++) {
		if (run->log[i].note.instance == instance) {
			return true;
		}
		for (unsigned key = 0; key < KEYS; key++) {
			if (run->log[i].answers[key].holder_instance == instance) {
				return true;
			}
		}
	}
	return false;
}

static bool is_spoken_of(const struct world *world, unsigned instance)
{
	bool found = false;

	for (unsigned host = 0; host < HOSTS; host++) {
		found |= world->notes[host].instance == instance || is_logged(&world->runs[host], instance);
	}
	for (unsigned key = 0; key < KEYS; key++) {
		found |= world->lines[key][host_of(instance)].instance == instance;
	}
	return found;
}

uint8_t manager_new_instance(const struct world *world, unsigned host)
{
	for (unsigned i = 0; i < INSTANCES; i++) {
		unsigned instance = 1 + host * INSTANCES + i;

		if (!is_spoken_of(world, instance)) {
			return (uint8_t)instance;
		}
	}
	printf("Bail out! more than %d lives of one guest are spoken of\n", INSTANCES);
	exit(EXIT_FAILURE);
}

uint64_t __wrap_guestlock_random64(void)
{
	const struct world *world = manager.world;
	unsigned instance = 0;
	bool used;

	if (shares_record(manager.host)) {
		return world->starts[manager.host].instance;
	}

	/* Only bind asks, and nothing of this host's former lives changes while it is under way. */
	do {
		used = world->notes[manager.host].instance == 1 + manager.host * INSTANCES + instance;
		for (unsigned key = 0; key < KEYS; key++) {
			used |= world->lines[key][manager.host].instance ==
				1 + manager.host * INSTANCES + instance;
		}
		instance += used;
	} while (used);
	return 1 + manager.host * INSTANCES + instance;
}

static uint8_t instance_of_tether;

static int open_tether(struct entry *entry)
{
	(void)entry;
	manager.world->processes[manager.host] = (struct process){
		.state = PROCESS_BOUND,
		.instance = instance_of_tether,
		.uses = (uint8_t)disks_of(manager.host),
	};
	return GUESTLOCK_OK;
}

int __wrap_gl_tether_open(const struct guestlock_owner *owner, const char *life_dir, int *out_fd,
			  uint64_t *out_inode, struct guestlock_error *err)
{
	(void)life_dir;
	instance_of_tether = (uint8_t)owner->instance;
	*out_fd = -1;
	*out_inode = 1;
	return local_act(ACT_TETHER, open_tether, GUESTLOCK_IO, NULL) == GUESTLOCK_OK
		       ? GUESTLOCK_OK
		       : gl_fail(err, GUESTLOCK_IO, 0, "the model says so");
}

void __wrap_gl_tether_remove(void)
{
}

static uint64_t instance_asked;

static int life_now(struct entry *entry)
{
	(void)entry;
	return instance_lives(manager.world, instance_asked) ? GUESTLOCK_LIFE_ALIVE : GUESTLOCK_LIFE_DEAD;
}

enum guestlock_life __wrap_guestlock_owner_life(const struct guestlock_owner *owner, const char *life_dir)
{
	(void)life_dir;
	instance_asked = owner->instance;
	return (enum guestlock_life)local_act(ACT_LIFE, life_now, GUESTLOCK_LIFE_UNKNOWN, NULL);
}

/* How many there were. */
static int stop_process(struct entry *entry)
{
	struct process *process = recorded_process();

	(void)entry;
	if (process->state == PROCESS_RUNS && scenario_now->stubborn) {
		return -1;
	}
	if (process->state == PROCESS_ASTRAY || (process->state == PROCESS_RUNS && !scenario_now->restless)) {
		process->state = PROCESS_STOPPED;
	}
	return process->state != PROCESS_NONE;
}

/* Nobody else stops anybody. */
char *__wrap_gl_members_stood(void)
{
	return NULL;
}

int __wrap_gl_members_stop(const struct gl_membership *by, int64_t deadline_ms, size_t *out_count,
			   struct gl_culprit *out_culprit)
{
	int count = local_act(ACT_STOP, stop_process, -1, NULL);

	(void)by;
	(void)deadline_ms;
	*out_culprit = (struct gl_culprit){.pid = 0};
	*out_count = count > 0 ? (size_t)count : 0;
	errno = EIO;
	return count < 0 ? -1 : 0;
}

static int continue_process(struct entry *entry)
{
	(void)entry;
	if (recorded_process()->state == PROCESS_STOPPED) {
		world_let_run(manager.world, host_of(own_note()->instance));
	}
	return 0;
}

static int process_is_still(struct entry *entry)
{
	(void)entry;
	return recorded_process()->state != PROCESS_ASTRAY;
}

bool __wrap_gl_members_are_still(void)
{
	return scenario_now->unwatched || local_act(ACT_LOOK, process_is_still, true, NULL) != 0;
}

/* And nobody has a control group of his own. */
char *__wrap_gl_freezer_find(const struct gl_membership *by)
{
	(void)by;
	return NULL;
}

bool __wrap_gl_thread_is_frozen(pid_t pid, pid_t tid)
{
	(void)pid;
	(void)tid;
	return false;
}

/* What a process wrote is on the storage at once in this world. */
int __wrap_gl_flush(void)
{
	return 0;
}

/* Somebody of it lives: whose life is not known to be over. */
int __wrap_gl_members_find(const struct gl_membership *by, pid_t **out_pids, size_t *out_count)
{
	*out_pids = calloc(1, sizeof(**out_pids));
	if (!*out_pids) {
		return -1;
	}
	(*out_pids)[0] = by->owner->pid;
	*out_count = 1;
	return 0;
}

int __wrap_gl_members_continue(const struct gl_membership *by, struct gl_culprit *out_culprit)
{
	(void)by;
	*out_culprit = (struct gl_culprit){.pid = 0};
	return local_act(ACT_CONTINUE, continue_process, 0, NULL);
}

enum gl_presence __wrap_gl_process_presence(void)
{
	return GL_PRESENCE_GONE;
}

int __wrap_gl_process_look(pid_t pid, struct gl_process *out_process)
{
	*out_process = (struct gl_process){.pid = pid, .start = 1, .ns = 1};
	return 0;
}

int __wrap_gl_process_look_here(const struct gl_family *family, struct gl_process *out_process)
{
	(void)family;
	return __wrap_gl_process_look(getpid(), out_process);
}

/* ---- Time, names ---- */

int __wrap_gl_ready(void)
{
	return GUESTLOCK_OK;
}

int __wrap_gl_is_pinned(void)
{
	return GUESTLOCK_OK;
}

void __wrap_gl_sweep(void)
{
}

bool __wrap_gl_pause_before_retry(void)
{
	return false;
}

int64_t __wrap_guestlock_monotonic_ms(void)
{
	return 0;
}

int __wrap_gl_identify(const struct guestlock_resource *resource, enum gl_identity_scheme scheme,
		       const char *sysfs, struct gl_identity *out, struct guestlock_error *err)
{
	(void)scheme;
	(void)sysfs;
	*out = (struct gl_identity){.text = strdup(resource->name)};
	if (!out->text) {
		return gl_fail_memory(err);
	}
	memset(out->key, resource->name[1], GUESTLOCK_KEY_SIZE - 1);
	return GUESTLOCK_OK;
}

int __wrap_gl_identify_side(bool readers, const char *text, struct gl_identity *out,
			    struct guestlock_error *err)
{
	*out = (struct gl_identity){
		.text = gl_concat((const char *[]){readers ? "readers:" : "writers:", text}, 2)};
	if (!out->text) {
		return gl_fail_memory(err);
	}
	memset(out->key, 'd' + (readers ? KEY_READERS : KEY_WRITERS), GUESTLOCK_KEY_SIZE - 1);
	return GUESTLOCK_OK;
}

/* Nobody reads the messages, and to write them takes longer than all the rest. */
int __wrap_gl_fail(struct guestlock_error *err, int status)
{
	if (err) {
		err->code = status;
		err->message[0] = '-';
		err->message[1] = '\0';
	}
	return status;
}

void __wrap_gl_error_prefix(struct guestlock_error *err)
{
	(void)err;
}

char *__wrap_gl_printable(const char *text)
{
	return strdup(text);
}

/* ---- Tasks ---- */

/* Not there: nothing that is not replaced above may find, or change, a file. */
static char run_dir[] = "/nonexistent/guestlock-model", host_name[] = "host";
static struct guestlock_backend backend = {.module = &model_module, .life_dir = run_dir};
static struct guestlock library = {
	.module = {.descriptor = &model_module},
	.ops = &model_ops,
	.backend = &backend,
	.store = {.run_dir = run_dir},
	.host = host_name,
	.supervisor = host_name,
	.lock_disks = true,
	.resume_strict = true,
};

static struct guestlock_resource disk_d = {.type = GUESTLOCK_DISK, .name = "/d"};
static const struct guestlock_resource disk_e = {.type = GUESTLOCK_DISK, .name = "/e"};

static bool is_bind(enum task task)
{
	return task == TASK_BIND || task == TASK_BIND_MIGRATE;
}

static bool set_up(struct guestlock_guest *guest, enum task task)
{
	bool good = guestlock_guest_set_param(guest, "uuid", host_uuid(manager.host), NULL) == GUESTLOCK_OK;

	disk_d.flags = flags_of_disk();

	if (is_bind(task) && disks_of(manager.host) & DISK_D) {
		good &= guestlock_guest_register_resource(guest, &disk_d, NULL) == GUESTLOCK_OK;
	}
	if (is_bind(task) && disks_of(manager.host) & DISK_E) {
		good &= guestlock_guest_register_resource(guest, &disk_e, NULL) == GUESTLOCK_OK;
	}
	return good;
}

static int carry_out(struct guestlock_guest *guest, enum task task, struct guestlock_error *err)
{
	int fd;

	switch (task) {
	case TASK_BIND:
	case TASK_BIND_MIGRATE:
		return gl_bind(guest, false, &fd, err);
	case TASK_ACQUIRE:
		return guestlock_guest_acquire(guest, NULL, 0, 0, err);
	case TASK_ATTACH:
		return guestlock_guest_acquire_resource(guest, &disk_e, 0, 0, err);
	case TASK_DETACH:
		return guestlock_guest_release_resource(guest, &disk_e, GUESTLOCK_RELEASE_FORCE, err);
	case TASK_PAUSE:
		return guestlock_guest_pause(guest, 0, NULL, err);
	case TASK_RESUME:
		return guestlock_guest_resume(guest, NULL, 0, err);
	case TASK_PREPARE:
		return guestlock_guest_prepare_migrate(guest, NULL, err);
	case TASK_COMPLETE_IN:
		return guestlock_guest_complete_migrate_in(guest, 0, err);
	case TASK_CANCEL_IN:
		return guestlock_guest_complete_migrate_in(guest, GUESTLOCK_MIGRATE_CANCEL, err);
	case TASK_COMPLETE_OUT:
		return guestlock_guest_complete_migrate_out(guest, 0, err);
	case TASK_CANCEL_OUT:
		return guestlock_guest_complete_migrate_out(guest, GUESTLOCK_MIGRATE_CANCEL, err);
	case TASK_SHUTDOWN:
		return guestlock_guest_shutdown(guest, 0, err);
	case TASK_SETTLE:
		return guestlock_guest_settle(guest, err);
	case TASK_REAP:
		return guestlock_reap(guest->gl, NULL, err);
	case TASK_GIVE_UP:
	case TASK_FORCE:
		return guestlock_guest_shutdown(guest, GUESTLOCK_SHUTDOWN_FORCE, err);
	default:
		return GUESTLOCK_INVALID;
	}
}

/* A start's later steps are taken through the handle that began it. */
static bool goes_on(enum task task)
{
	return shares_record(manager.host) && (task == TASK_ACQUIRE || task == TASK_GIVE_UP);
}

static void run_task(enum task task)
{
	enum guestlock_new_mode mode = task == TASK_BIND || goes_on(task) ? GUESTLOCK_NEW_START
				       : task == TASK_BIND_MIGRATE        ? GUESTLOCK_NEW_MIGRATE
									  : GUESTLOCK_NEW_ATTACH;
	struct guestlock_error err = {0};
	struct guestlock_guest *guest;

	library.readonly_shared = scenario_now->sides;
	if (guestlock_guest_new(&library, mode, &guest, NULL) < 0 || !set_up(guest, task)) {
		printf("Bail out! out of memory\n");
		exit(EXIT_FAILURE);
	}
	guest->bound = goes_on(task);
	if (scenario_now->blind & 1U << task) {
		guest->life = (struct gl_life){0};
	}
	manager.status = carry_out(guest, task, &err);
	guestlock_guest_free(guest);
}

void manager_step(void)
{
	manager.position = 0;
	manager.acts = 0;
	manager.calls = false;
	manager.gone = false;
	manager.ending = ENDED;
	run_task(manager.world->runs[manager.host].op);
}

int manager_run_alone(struct world *world, unsigned host, enum task task)
{
	const struct manager before = manager;
	int status;

	manager = (struct manager){.world = world, .host = host, .alone = true};
	run_task(task);
	status = manager.status;
	manager = before;
	return status;
}

/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
