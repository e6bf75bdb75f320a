/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Goes through the worlds, the nearest first, so that the way to a broken rule is a short one. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const task_names[TASKS] = {
	"",
	"bind",
	"bind (incoming)",
	"acquire",
	"attach",
	"detach",
	"pause",
	"resume",
	"prepare",
	"complete-in",
	"cancel-in",
	"complete-out",
	"cancel-out",
	"shutdown",
	"settle",
	"reap",
	"release what was given up",
	"force",
};

/* ---- Worlds in less memory: the logs are cut ---- */

struct packed {
	struct packed *next;
	uint32_t number;
	uint16_t size;
	unsigned char bytes[];
};

static size_t pack(const struct world *world, unsigned char *out)
{
	size_t used = offsetof(struct world, runs);

	memcpy(out, world, used);
	for (unsigned host = 0; host < HOSTS; host++) {
		const struct run *run = &world->runs[host];
		size_t size = offsetof(struct run, log) + run->count * sizeof(run->log[0]);

		memcpy(out + used, run, size);
		used += size;
	}
	return used;
}

static void unpack(const unsigned char *bytes, struct world *out)
{
	size_t used = offsetof(struct world, runs);

	memset(out, 0, sizeof(*out));
	memcpy(out, bytes, used);
	for (unsigned host = 0; host < HOSTS; host++) {
		struct run *run = &out->runs[host];
		size_t size;

		memcpy(run, bytes + used, offsetof(struct run, log));
		size = offsetof(struct run, log) + run->count * sizeof(run->log[0]);
		memcpy(run, bytes + used, size);
		used += size;
	}
}

/* ---- What was seen already: by a hash of 64 bits ---- */

static uint64_t hash(const unsigned char *bytes, size_t size)
{
	uint64_t sum = 0x9e3779b97f4a7c15U ^ size;

	for (size_t i = 0; i < size; i++) {
		sum = (sum ^ bytes[i]) * 0x100000001b3U;
		sum ^= sum >> 29;
	}
	return sum ? sum : 1;
}

/* How a world came about. */
struct step {
	uint32_t from;
	uint8_t host, task; /* task TASKS and up: an event */
	uint8_t mishap;
	int8_t kill_at;
};

enum {
	EVENT_DEATH = TASKS,
	EVENT_KILL,
	EVENT_HAND,
	EVENT_GO,
	EVENT_GIVE_UP,
	EVENT_ASTRAY
};

struct search {
	const struct scenario *scenario;
	uint64_t *seen; /* open addressing */
	size_t room, count;
	struct step *steps;           /* by number of the world */
	struct packed *first, **last; /* worlds to go on from */
	uint32_t current;
	const char *broken; /* the rule that was */
};

static void *need(void *memory)
{
	if (!memory) {
		printf("Bail out! out of memory\n");
		exit(EXIT_FAILURE);
	}
	return memory;
}

static bool insert(uint64_t *seen, size_t room, uint64_t sum)
{
	size_t at = sum & (room - 1);

	while (seen[at] && seen[at] != sum) {
		at = (at + 1) & (room - 1);
	}
	if (seen[at]) {
		return false;
	}
	seen[at] = sum;
	return true;
}

static void grow(struct search *search)
{
	size_t room = search->room ? 2 * search->room : 1 << 16;
	uint64_t *seen = need(calloc(room, sizeof(*seen)));

	for (size_t i = 0; i < search->room; i++) {
		if (search->seen[i]) {
			insert(seen, room, search->seen[i]);
		}
	}
	free(search->seen);
	search->seen = seen;
	search->room = room;
	search->steps = need(reallocarray(search->steps, room, sizeof(*search->steps)));
}

/* ---- Telling ---- */

static void tell_step(const struct step *step)
{
	static const char *const events[] = {
		"the guest dies",
		"the manager is killed",
		"memory is handed over",
		"the guest's program begins",
		"the start is given up, the process killed",
		"somebody continues the paused guest",
	};

	printf("# %s %u: %s", shares_record(step->host) ? "manager" : "host", step->host,
	       step->task >= TASKS ? events[step->task - TASKS] : task_names[step->task]);
	if (step->mishap > MISHAP_KILLED) {
		printf(", killed in the backend after %d writes", step->mishap - MISHAP_KILLED);
	} else if (step->mishap != MISHAP_NONE) {
		printf(", the backend does %s and does not answer",
		       step->mishap == MISHAP_LOST ? "it" : "nothing");
	}
	if (step->kill_at >= 0) {
		printf(", killed before act %d of this step", step->kill_at);
	}
	printf("\n");
}

static void tell_way(const struct search *search, uint32_t number)
{
	if (number > 0) {
		tell_way(search, search->steps[number].from);
		tell_step(&search->steps[number]);
	}
}

static void fail(struct search *search, const struct step *step, const struct world *world,
		 const char *broken)
{
	search->broken = broken;
	printf("# %s: %s\n", is_mutant(search->scenario) ? "found" : "broken", broken);
	tell_way(search, step->from);
	tell_step(step);
	world_describe(world);
}

/* ---- Steps ---- */

static bool all_idle(const struct world *world)
{
	return !world->runs[SOURCE].op && !world->runs[TARGET].op && !world->runs[OTHER].op;
}

/* A world that a step led to. */
static void reach(struct search *search, struct world *world, struct step step)
{
	unsigned char bytes[sizeof(struct world)];
	const char *broken = world_check(world);
	struct packed *packed;
	size_t size;

	world_broken = NULL;
	if (broken) {
		fail(search, &step, world, broken);
		return;
	}
	world_normalize(world);
	size = pack(world, bytes);
	if (2 * (search->count + 1) > search->room) {
		grow(search);
	}
	if (!insert(search->seen, search->room, hash(bytes, size))) {
		return;
	}
	search->steps[search->count] = step;
	broken = all_idle(world) ? world_check_recovery(world, search->scenario) : NULL;
	world_broken = NULL;
	if (broken) {
		fail(search, &step, world, broken);
		return;
	}
	packed = need(malloc(sizeof(*packed) + size));
	*packed = (struct packed){.number = (uint32_t)search->count++, .size = (uint16_t)size};
	memcpy(packed->bytes, bytes, size);
	*search->last = packed;
	search->last = &packed->next;
}

static bool may_run_now(const struct world *world, unsigned host)
{
	return world->notes[host].exists && world->notes[host].state == GUESTLOCK_GUEST_RUNNING;
}

/* What the caller does once its call has come back with success. */
static void follow(struct world *world, unsigned host, enum task task)
{
	struct process *process = &world->processes[host];

	switch (task) {
	case TASK_ACQUIRE:
	case TASK_RESUME:
	case TASK_COMPLETE_IN:
		if (may_run_now(world, host) &&
		    (process->state == PROCESS_BOUND || process->state == PROCESS_HALTED)) {
			world_let_run(world, host);
		}
		break;
	case TASK_ATTACH:
		world_plug(world, host, DISK_E);
		break;
	case TASK_CANCEL_IN:
		world->handed = 0;
		break;
	case TASK_CANCEL_OUT:
		world->handed = 0;
		if (process->state == PROCESS_HALTED && may_run_now(world, host)) {
			world_let_run(world, host);
		} else if (process->state == PROCESS_HALTED && world->target_ran == 2) {
			/* As in world_let_run(): the caller knows. */
			world_end_process(world, host);
		} else if (process->state == PROCESS_HALTED) {
			process->state = PROCESS_STOPPED;
		}
		break;
	case TASK_SHUTDOWN:
		world_end_process(world, host);
		break;
	default:
		break;
	}
}

/* The same for one of two managers of one host, whatever came of its call. */
static void follow_start(struct world *world, unsigned host, enum task task)
{
	struct start *start = &world->starts[host];
	bool good = manager.ending == ENDED && manager.status == GUESTLOCK_OK;

	if (manager.ending == SUSPENDED || task == TASK_SETTLE || task == TASK_FORCE) {
		return;
	}
	if (task == TASK_ACQUIRE && good) {
		start->state = START_GRANTED;
	} else if (manager.ending == KILLED || task == TASK_GIVE_UP || (task == TASK_BIND && !good)) {
		*start = (struct start){0};
	}
}

/* Takes the step that `step` describes, and says how many acts there are before which it can be killed. */
static int try_step(struct search *search, const struct world *world, struct step step, bool begins)
{
	struct world after = *world;
	enum task task;
	bool bind;

	if (begins) {
		after.runs[step.host].op = step.task;
	}
	task = after.runs[step.host].op;
	bind = task == TASK_BIND || task == TASK_BIND_MIGRATE;
	step.task = (uint8_t)task;
	manager = (struct manager){
		.world = &after,
		.host = step.host,
		.alone = search->scenario->atomic[step.host] & 1U << task,
		/* Where the lock may be another's, to take it is a step. */
		.may_call = !begins || shares_record(step.host),
		.mishap = step.mishap,
		.kill_at = step.kill_at,
	};
	manager_step();
	if (manager.ending != SUSPENDED) {
		memset(&after.runs[step.host], 0, sizeof(after.runs[step.host]));
	}
	if (bind && (manager.ending == KILLED || (manager.ending == ENDED && manager.status < 0))) {
		/* The process that binds is the guest to be. */
		world_end_process(&after, step.host);
	}
	if (shares_record(step.host)) {
		follow_start(&after, step.host, task);
	} else if (manager.ending == ENDED && manager.status == GUESTLOCK_OK) {
		follow(&after, step.host, task);
	}
	reach(search, &after, step);
	return manager.acts;
}

/* The step, and the same killed before each of its acts. */
static void take_steps(struct search *search, const struct world *world, struct step step, bool begins)
{
	int acts;

	step.kill_at = -1;
	acts = try_step(search, world, step, begins);
	if (!(search->scenario->kills & 1U << step.host)) {
		return;
	}
	for (int i = 0; i < acts && step.mishap == MISHAP_NONE && !search->broken; i++) {
		step.kill_at = (int8_t)i;
		try_step(search, world, step, begins);
	}
}

static bool has_to_settle(const struct world *world, unsigned host)
{
	const struct note *note = &world->notes[record_host(host)];

	return note->exists && (world->processes[record_host(host)].state == PROCESS_ASTRAY ||
				note->op != GL_OP_NONE || !instance_lives(world, note->instance) ||
				(note->stopped && note->state == GUESTLOCK_GUEST_RUNNING));
}

/* Does a caller in its right mind do this now? */
static bool makes_sense(const struct world *world, unsigned host, enum task task)
{
	const struct process *process = &world->processes[host];
	const struct note *note = &world->notes[host];

	switch (task) {
	case TASK_BIND:
	case TASK_BIND_MIGRATE:
		return process->state == PROCESS_NONE;
	case TASK_ACQUIRE:
		return note->exists && process->state == PROCESS_BOUND;
	case TASK_SETTLE:
		return false;
	case TASK_SHUTDOWN:
		return note->exists && process->state != PROCESS_RUNS;
	case TASK_ATTACH:
		return process->state != PROCESS_NONE && !(process->uses & DISK_E);
	case TASK_DETACH:
		return note->exists;
	case TASK_COMPLETE_IN:
		/* Only a guest whose memory has arrived. */
		return world->handed || process->state == PROCESS_RUNS;
	case TASK_COMPLETE_OUT:
		/* "The guest must not run here": it does not, then. */
		return note->exists && process->state != PROCESS_RUNS;
	case TASK_CANCEL_OUT:
		return note->exists && world->target_ran != 2 && !world->given_up;
	case TASK_PREPARE:
		return note->exists && !world->given_up;
	default:
		return note->exists;
	}
}

/* The same for one of two managers of one host. */
static bool start_makes_sense(const struct world *world, unsigned host, enum task task)
{
	const struct note *note = &world->notes[record_host(host)];
	unsigned state = world->starts[host].state;

	switch (task) {
	case TASK_BIND:
		/* Also when what was given up could not be released: the next bind does. */
		return world->processes[host].state == PROCESS_NONE &&
		       (state == START_NONE || state == START_GIVEN_UP);
	case TASK_ACQUIRE:
		return state == START_BOUND;
	case TASK_GIVE_UP:
		return state == START_GIVEN_UP;
	case TASK_SETTLE:
		return has_to_settle(world, host);
	case TASK_FORCE:
		/* "Sure that it does not write and never will": it was only bound. */
		return note->exists && note->state == GUESTLOCK_GUEST_BOUND && note->op == GL_OP_NONE &&
		       instance_lives(world, note->instance);
	default:
		return false;
	}
}

static bool may_begin(const struct search *search, const struct world *world, unsigned host, enum task task)
{
	if (!(search->scenario->tasks[host] & 1U << task)) {
		return false;
	}
	if (shares_record(host)) {
		return start_makes_sense(world, host, task);
	}
	/* Every operation begins by settling what was left: to do that alone first makes no difference. */
	return has_to_settle(world, host) ? task == TASK_SETTLE : makes_sense(world, host, task);
}

static void begin_tasks(struct search *search, const struct world *world, unsigned host)
{
	for (unsigned task = 1; task < TASKS && !search->broken; task++) {
		struct world before = *world;
		const struct step step = {
			.from = search->current, .host = (uint8_t)host, .task = (uint8_t)task};

		if (!may_begin(search, world, host, task)) {
			continue;
		}
		if (shares_record(host) && task == TASK_BIND) {
			before.starts[host] = (struct start){.state = START_BOUND,
							     .instance = manager_new_instance(world, host)};
		}
		if (task == TASK_DETACH) {
			/* Unplugged first. */
			before.processes[host].uses &= (uint8_t)~DISK_E;
		}
		before.cancelled |= task == TASK_CANCEL_OUT;
		before.given_up |= task == TASK_COMPLETE_OUT;
		before.handed &= task != TASK_CANCEL_IN;
		take_steps(search, &before, step, true);
	}
}

static void go_on(struct search *search, const struct world *world, unsigned host)
{
	struct step step = {.from = search->current, .host = (uint8_t)host, .kill_at = -1};
	bool kills = search->scenario->kills & 1U << host, mishaps = search->scenario->mishaps & 1U << host;
	struct world killed = *world;
	enum task task = world->runs[host].op;

	for (unsigned mishap = 0; mishap < MISHAPS && !search->broken; mishap++) {
		if (mishap == MISHAP_NONE ||
		    (mishap > MISHAP_KILLED ? kills : mishaps && mishap < MISHAP_KILLED)) {
			step.mishap = (uint8_t)mishap;
			take_steps(search, world, step, false);
		}
	}
	if (!kills) {
		return;
	}
	if (task == TASK_BIND || task == TASK_BIND_MIGRATE) {
		world_end_process(&killed, host);
	}
	if (task != TASK_SETTLE && task != TASK_FORCE) {
		killed.starts[host] = (struct start){0};
	}
	memset(&killed.runs[host], 0, sizeof(killed.runs[host]));
	step.mishap = MISHAP_NONE;
	step.task = EVENT_KILL;
	reach(search, &killed, step);
}

/* Between any two of its calls a start may be given up. Once all is granted, the process is let run. */
static void start_events(struct search *search, const struct world *world, unsigned host)
{
	struct world after = *world;
	struct step step = {
		.from = search->current, .host = (uint8_t)host, .task = EVENT_GIVE_UP, .kill_at = -1};
	unsigned state = world->starts[host].state;

	if (world->runs[host].op || (state != START_BOUND && state != START_GRANTED)) {
		return;
	}
	world_end_process(&after, host);
	after.starts[host].state = START_GIVEN_UP;
	reach(search, &after, step);
	if (!search->broken && state == START_GRANTED && world->processes[host].state == PROCESS_BOUND) {
		after = *world;
		world_let_run(&after, host);
		after.starts[host] = (struct start){0};
		step.task = EVENT_GO;
		reach(search, &after, step);
	}
}

static void events(struct search *search, const struct world *world, unsigned host)
{
	struct world after = *world;
	struct step step = {
		.from = search->current, .host = (uint8_t)host, .task = EVENT_DEATH, .kill_at = -1};
	enum task task = world->runs[host].op;

	/* Who binds is the process itself: its death is a kill. */
	if (world->processes[host].state != PROCESS_NONE && task != TASK_BIND && task != TASK_BIND_MIGRATE) {
		world_end_process(&after, host);
		reach(search, &after, step);
	}
	after = *world;
	if (search->scenario->astray && host == SOURCE && !search->broken &&
	    world->processes[host].state == PROCESS_STOPPED &&
	    world->notes[host].state == GUESTLOCK_GUEST_PAUSED && !world->runs[host].op) {
		after.processes[host].state = PROCESS_ASTRAY;
		step.task = EVENT_ASTRAY;
		reach(search, &after, step);
	}
}

/* The memory of the source's guest goes to the target, and the source halts. */
static void hand_over(struct search *search, const struct world *world)
{
	struct world after = *world;
	const struct step step = {.from = search->current, .task = EVENT_HAND, .kill_at = -1};
	const struct note *source = &world->notes[SOURCE], *target = &world->notes[TARGET];
	unsigned process = world->processes[SOURCE].state;

	if (source->state != GUESTLOCK_GUEST_MIGRATING_OUT || source->op || world->runs[SOURCE].op ||
	    target->state != GUESTLOCK_GUEST_MIGRATING_IN || target->op || world->runs[TARGET].op ||
	    world->processes[TARGET].state != PROCESS_BOUND ||
	    (process != PROCESS_RUNS && process != PROCESS_STOPPED)) {
		return;
	}
	after.processes[SOURCE].state = PROCESS_HALTED;
	after.processes[TARGET].stale = world->processes[SOURCE].stale;
	after.processes[TARGET].uses = world->processes[SOURCE].uses;
	after.handed = 1;
	reach(search, &after, step);
}

/* The other manager is within an operation: this one has none, or waits for the lock. */
static bool is_locked_out(const struct world *world, unsigned host)
{
	return shares_record(host) && world->runs[host == SOURCE ? TARGET : SOURCE].locks;
}

static void expand(struct search *search, const struct world *world)
{
	for (unsigned host = 0; host < HOSTS && !search->broken; host++) {
		if (!search->scenario->tasks[host]) {
			continue;
		}
		if (!is_locked_out(world, host)) {
			if (world->runs[host].op) {
				go_on(search, world, host);
			} else {
				begin_tasks(search, world, host);
			}
		}
		if (!search->broken) {
			events(search, world, host);
		}
		if (!search->broken) {
			start_events(search, world, host);
		}
	}
	if (!search->broken) {
		hand_over(search, world);
	}
}

const char *explore(const struct scenario *scenario, unsigned *out_states)
{
	struct search search = {.scenario = scenario};
	struct world world = {0};

	scenario_now = scenario;
	search.last = &search.first;
	grow(&search);
	reach(&search, &world, (struct step){.kill_at = -1});
	while (search.first && !search.broken) {
		struct packed *packed = search.first;

		search.first = packed->next;
		if (!search.first) {
			search.last = &search.first;
		}
		search.current = packed->number;
		unpack(packed->bytes, &world);
		free(packed);
		expand(&search, &world);
	}
	while (search.first) {
		struct packed *next = search.first->next;

		free(search.first);
		search.first = next;
	}
	*out_states = (unsigned)search.count;
	free(search.seen);
	free(search.steps);
	return search.broken;
}
