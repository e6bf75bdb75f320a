/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rules that the world must keep, and what its processes do. */
#include "model.h"

#include <stdio.h>
#include <string.h>

/* The present epoch of every key in a normalized world; others differ by so much at most. */
#define EPOCH_NOW 8
#define EPOCH_SPAN 2

const char *world_broken;
const struct scenario *scenario_now;

bool is_mutant(const struct scenario *scenario)
{
	return scenario->blind != 0 || scenario->restless || scenario->unwatched || scenario->forgiving ||
	       scenario->open;
}

bool shares_record(unsigned host)
{
	return scenario_now->one_host && host != OTHER;
}

unsigned record_host(unsigned host)
{
	return shares_record(host) ? SOURCE : host;
}

unsigned disks_of(unsigned host)
{
	if (scenario_now->wants[host]) {
		return scenario_now->wants[host];
	}
	return host == OTHER ? DISK_E : DISK_D | DISK_E;
}

/* ---- Normal form: what cannot make a difference any more is made equal ---- */

static void move_value(uint8_t *value, int by)
{
	int moved = *value + by;

	moved = moved < EPOCH_NOW - EPOCH_SPAN ? EPOCH_NOW - EPOCH_SPAN : moved;
	*value = (uint8_t)(moved > EPOCH_NOW + EPOCH_SPAN ? EPOCH_NOW + EPOCH_SPAN : moved);
}

static void move_epoch(struct epoch *epoch, int by)
{
	if (epoch->known) {
		move_value(&epoch->value, by);
	} else {
		epoch->value = 0;
	}
}

static void move_log(struct run *run, unsigned key, int by)
{
	for (unsigned i = 0; i < run->count; i++) {
		for (unsigned k = 0; k < KEYS; k++) {
			if (run->log[i].answers[k].key == key + 1) {
				move_epoch(&run->log[i].answers[k].epoch, by);
			}
		}
		move_epoch(&run->log[i].note.held[key].epoch, by);
	}
}

static void move_epochs(struct world *world, unsigned key)
{
	int by = EPOCH_NOW - world->epochs[key].value;

	world->epochs[key].value = EPOCH_NOW;
	for (unsigned host = 0; host < HOSTS; host++) {
		struct line *line = &world->lines[key][host];

		move_epoch(&world->notes[host].held[key].epoch, by);
		if (line->undo) {
			move_value(&line->before, by);
		} else {
			line->before = 0;
		}
		move_log(&world->runs[host], key, by);
	}
}

void world_normalize(struct world *world)
{
	technology_drop_void(world);
	for (unsigned key = 0; key < KEYS; key++) {
		move_epochs(world, key);
	}
	for (unsigned host = 0; host < HOSTS; host++) {
		struct run *run = &world->runs[host];

		memset(&run->log[run->count], 0, (LOG_ENTRIES - run->count) * sizeof(run->log[0]));
	}
}

/* ---- Processes ---- */

static bool has_memory(const struct world *world, unsigned host)
{
	const struct process *process = &world->processes[host];

	return process->state == PROCESS_STOPPED || process->state == PROCESS_HALTED ||
	       process->state == PROCESS_ASTRAY ||
	       (host == TARGET && process->state == PROCESS_BOUND && world->handed);
}

/* What others remember of the disks that host writes is not so any more. */
static void write_disks(struct world *world, unsigned host)
{
	for (unsigned other = 0; other < HOSTS && !only_reads(host); other++) {
		if (other != host && has_memory(world, other)) {
			world->processes[other].stale |=
				world->processes[host].uses & world->processes[other].uses;
		}
	}
}

void world_let_run(struct world *world, unsigned host)
{
	struct process *process = &world->processes[host];

	/*
	 * To cancel is to say that the target did not run and will not. If it did and died, no lock tells of
	 * it, but the caller knows, and does not go on here.
	 */
	if (host == SOURCE && world->cancelled && world->target_ran == 2) {
		world_end_process(world, host);
		return;
	}
	if (process->stale & process->uses) {
		world_broken = "a guest goes on although another one wrote its disk";
	}
	process->state = PROCESS_RUNS;
	process->stale = 0;
	if (host == TARGET && world->handed) {
		world->handed = 0;
		world->target_ran = 1;
	} else if (host == SOURCE) {
		world->target_ran = world->cancelled = world->given_up = 0;
	}
	write_disks(world, host);
}

void world_plug(struct world *world, unsigned host, unsigned disk)
{
	struct process *process = &world->processes[host];

	process->uses |= (uint8_t)disk;
	process->stale &= (uint8_t)~disk;
	if (process->state == PROCESS_RUNS) {
		write_disks(world, host);
	}
}

void world_end_process(struct world *world, unsigned host)
{
	world->processes[host] = (struct process){0};
	if (host == TARGET) {
		world->handed = 0;
		world->target_ran = world->target_ran ? 2 : 0;
	}
	if (host == SOURCE) {
		world->target_ran = world->cancelled = world->given_up = 0;
	}
}

/* ---- Rules ---- */

static bool writes(const struct world *world, unsigned host, unsigned key)
{
	const struct process *process = &world->processes[host];

	return process->state == PROCESS_RUNS && process->uses & 1 << key && !only_reads(host);
}

static bool holds(const struct world *world, unsigned host, unsigned key)
{
	const struct line *line = &world->lines[key][host];

	return line->instance && line->mode != GUESTLOCK_MODE_NONE && instance_lives(world, line->instance);
}

/* Whoever runs has the disk, and who reads it runs beside nobody who writes it. */
static const char *check_sides(const struct world *world)
{
	bool reads = false, is_written = false;

	for (unsigned host = 0; host < HOSTS; host++) {
		if (world->processes[host].state != PROCESS_RUNS) {
			continue;
		}
		if (!holds(world, host, KEY_D)) {
			return "a guest uses a disk that it does not hold";
		}
		reads |= only_reads(host);
		is_written |= writes(world, host, KEY_D);
	}
	return reads && is_written ? "a guest reads a disk that another one writes" : NULL;
}

static const char *check_key(const struct world *world, unsigned key)
{
	unsigned writers = 0, exclusive = 0, holders = 0;

	for (unsigned host = 0; host < HOSTS; host++) {
		const struct line *line = &world->lines[key][host];

		if (holds(world, host, key)) {
			holders++;
			exclusive += line->mode == GUESTLOCK_MODE_EXCLUSIVE;
		}
		if (!writes(world, host, key)) {
			continue;
		}
		writers++;
		if (!holds(world, host, key)) {
			return "a guest writes a disk that it does not hold";
		}
		if (line->mode == GUESTLOCK_MODE_SHARED) {
			return "a guest writes a disk that it holds shared";
		}
	}
	if (writers > 1) {
		return "two guests write one disk";
	}
	return exclusive > 1 || (exclusive == 1 && holders > 1) ? "two guests hold what one holds alone"
								: NULL;
}

const char *world_check(const struct world *world)
{
	const char *broken = world_broken;

	if (!broken && scenario_now->sides) {
		broken = check_sides(world);
	}
	for (unsigned key = 0; key < KEYS && !broken && !scenario_now->sides; key++) {
		broken = check_key(world, key);
	}
	for (unsigned host = 0; host < HOSTS && !broken; host++) {
		const struct note *note = &world->notes[record_host(host)];

		if (world->processes[host].state == PROCESS_RUNS &&
		    (!note->exists || note->instance != world->processes[host].instance)) {
			broken = "a guest runs that no record speaks of";
		}
	}
	return broken;
}

/* The record that speaks of a host's guest. One that two managers share is about the process of one. */
static const struct note *note_about(const struct world *world, unsigned host)
{
	static const struct note none;
	const struct note *note = &world->notes[record_host(host)];

	return shares_record(host) && note->exists && host_of(note->instance) != host ? &none : note;
}

static uint8_t mode_of(const struct holding *held)
{
	return held->state == GUESTLOCK_RESOURCE_HELD       ? held->mode
	       : held->state == GUESTLOCK_RESOURCE_HANDOVER ? GUESTLOCK_MODE_HANDOVER
							    : GUESTLOCK_MODE_NONE;
}

static const char *check_settled(const struct world *world, unsigned host)
{
	const struct note *note = note_about(world, host);
	unsigned process = world->processes[host].state;

	for (unsigned key = 0; key < KEYS; key++) {
		const struct holding *held = &note->held[key];
		const struct line *line = &world->lines[key][host];

		if (held->state == GUESTLOCK_RESOURCE_INTENT || held->state == GUESTLOCK_RESOURCE_DROPPING ||
		    held->state == GUESTLOCK_RESOURCE_UNKNOWN) {
			return "recovery leaves a resource under way";
		}
		if (mode_of(held) != line->mode || line->intent) {
			return "after recovery the record says something else than the backend";
		}
	}
	if (note->op != GL_OP_NONE &&
	    (note->op != GL_OP_COMPLETE_IN || note->state != GUESTLOCK_GUEST_RUNNING)) {
		return "recovery leaves an operation unfinished";
	}
	if (process == PROCESS_RUNS && note->state != GUESTLOCK_GUEST_RUNNING &&
	    note->state != GUESTLOCK_GUEST_MIGRATING_OUT) {
		return "after recovery a guest runs that is not recorded as running";
	}
	if (process == PROCESS_ASTRAY) {
		return "after recovery a paused guest runs";
	}
	if (process == PROCESS_STOPPED && note->state == GUESTLOCK_GUEST_RUNNING) {
		return "after recovery a running guest stands still";
	}
	return NULL;
}

/* It wrote a disk that another guest wrote since it was paused. */
static bool is_not_told_lost(const struct world *before, const struct world *after, unsigned host)
{
	const struct process *process = &before->processes[host];

	return process->state == PROCESS_ASTRAY && (process->stale & process->uses) &&
	       note_about(after, host)->state != GUESTLOCK_GUEST_LOST;
}

/* One that never ran, or stands still, may be shut down while its process is still there. */
static bool loses_guest(const struct world *before, const struct world *after, unsigned host)
{
	return before->processes[host].state != PROCESS_NONE && note_about(before, host)->exists &&
	       note_about(before, host)->op != GL_OP_SHUTDOWN && !note_about(after, host)->exists;
}

static const char *check_empty(const struct world *world, unsigned host)
{
	if (world->notes[host].exists) {
		return "the record of a dead guest stays";
	}
	for (unsigned key = 0; key < KEYS; key++) {
		if (world->lines[key][host].mode || world->lines[key][host].intent) {
			return "a lock of a dead guest stays";
		}
	}
	return NULL;
}

/* A kill of every manager now: is all settled by those that come next, and nothing left once all are dead? */
const char *world_check_recovery(const struct world *world, const struct scenario *scenario)
{
	struct world after = *world;
	const char *broken = NULL;

	for (unsigned host = 0; host < HOSTS; host++) {
		if (after.runs[host].op == TASK_BIND || after.runs[host].op == TASK_BIND_MIGRATE) {
			world_end_process(&after, host);
		}
		memset(&after.runs[host], 0, sizeof(after.runs[host]));
	}
	for (unsigned host = 0; host < HOSTS; host++) {
		if (scenario->tasks[host] && record_host(host) == host &&
		    manager_run_alone(&after, host, TASK_REAP) != GUESTLOCK_OK) {
			return "recovery fails";
		}
	}
	for (unsigned host = 0; host < HOSTS && !broken; host++) {
		broken = check_settled(&after, host);
		if (!broken && loses_guest(world, &after, host)) {
			broken = "recovery loses a living guest";
		}
		if (!broken && is_not_told_lost(world, &after, host)) {
			broken = "a guest that wrote what another one had is not lost";
		}
	}
	if (!broken) {
		broken = world_check(&after);
	}
	for (unsigned host = 0; host < HOSTS; host++) {
		world_end_process(&after, host);
	}
	for (unsigned host = 0; host < HOSTS && !broken; host++) {
		if (scenario->tasks[host]) {
			if (record_host(host) == host) {
				manager_run_alone(&after, host, TASK_REAP);
			}
			broken = check_empty(&after, host);
		}
	}
	return broken;
}

/* ---- In words ---- */

static void describe_key(const struct world *world, unsigned host, unsigned key)
{
	const struct holding *held = &note_about(world, host)->held[key];
	const struct line *line = &world->lines[key][host];

	if (held->present) {
		printf("; %c %s", 'd' + (int)key, guestlock_resource_state_name(held->state));
		if (held->from || held->to) {
			printf(" (%s to %s)", guestlock_resource_state_name(held->from),
			       guestlock_resource_state_name(held->to));
		}
		if (held->epoch.known) {
			printf(" epoch %d", held->epoch.value - EPOCH_NOW);
		}
	}
	if (line->instance) {
		printf("; backend: %c %s", 'd' + (int)key, guestlock_mode_name(line->mode));
		if (line->intent) {
			printf(", intent %s", guestlock_mode_name(line->intent));
		}
	}
}

void world_describe(const struct world *world)
{
	static const char *const processes[] = {"gone",    "bound",  "runs",
						"stopped", "halted", "runs although paused"};

	for (unsigned host = 0; host < HOSTS; host++) {
		const struct note *note = note_about(world, host);

		printf("#   %s %u: process %s; record %s%s%s", shares_record(host) ? "manager" : "host", host,
		       processes[world->processes[host].state],
		       note->exists ? guestlock_guest_state_name(note->state) : "none",
		       note->op ? ", pending " : "", gl_operation_name(note->op));
		for (unsigned key = 0; key < KEYS; key++) {
			describe_key(world, host, key);
		}
		printf("%s\n", world->runs[host].op ? "; manager busy" : "");
	}
}
