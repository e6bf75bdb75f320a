/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is done with all processes of a guest.
 *
 * Stopping goes in rounds. Who is stopped forks no more, so a round in which everybody that is found was
 * stopped before it began proves that nobody is left, unless somebody was overlooked: the kernel lists numbers
 * of processes before we ask them, and one that ends meanwhile may have a child that is not in the list. So a
 * round in which somebody new ended proves nothing.
 *
 * Those that live for less time than a look takes are reached by their process group: the kernel signals all of one
 * at once, and who forks at that moment has no child outside it.
 */
#include "life/members.h"
#include "base/base.h"
#include "base/text.h"
#include "life/belonging.h"
#include "life/procfs.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Rounds that must agree where processes are made all the time; one does where none was. */
#define AGREEING_ROUNDS 3

static const struct gl_census nobody;

#define AUTOCENSUS __attribute__((cleanup(gl_census_free)))

static void describe(pid_t pid, struct gl_culprit *out)
{
	char path[32], text[32];

	*out = (struct gl_culprit){.pid = pid};
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (gl_read_proc(path, text, sizeof(text)) > 0) {
		text[strcspn(text, "\n")] = '\0';
		gl_copy_cut(out->program, sizeof(out->program), text);
	}
}

static int list_members(const struct gl_membership *by, bool untethered, pid_t **out_pids, size_t *out_count)
{
	AUTOCENSUS struct gl_census census = {.people = NULL};
	pid_t other;

	*out_count = 0;
	if (gl_belonging_find(by, &nobody, &census, &other) < 0) {
		return -1;
	}
	*out_pids = calloc(census.count + 1, sizeof(**out_pids));
	if (!*out_pids) {
		return -1;
	}
	for (size_t i = 0; i < census.count; i++) {
		if (census.people[i].member && !(untethered && census.people[i].holds)) {
			(*out_pids)[(*out_count)++] = census.people[i].pid;
		}
	}
	return 0;
}

int gl_members_find(const struct gl_membership *by, pid_t **out_pids, size_t *out_count)
{
	return list_members(by, false, out_pids, out_count);
}

int gl_members_untethered(const struct gl_membership *by, pid_t **out_pids, size_t *out_count)
{
	return list_members(by, true, out_pids, out_count);
}

static bool is_here(const struct gl_process *process)
{
	return process->pid > 0 && process->ns == gl_pid_namespace() &&
	       gl_process_presence(process) == GL_PRESENCE_HERE;
}

/* Those to whom a process leads that lives leave nobody out but orphans; for these all of /proc would be read. */
bool gl_members_write(const struct gl_membership *by, const struct gl_file *file,
		      struct gl_culprit *out_writer)
{
	const struct gl_process registered = {
		.pid = by->owner->pid, .start = by->owner->pid_start, .ns = by->owner->pid_ns};
	bool watched = is_here(by->watcher), first = is_here(&registered);
	GL_AUTOFREE pid_t *pids = NULL;
	pid_t writer = registered.pid;
	size_t count = 0;

	if ((first && (gl_process_writes(registered.pid, file) ||
		       gl_descendant_writes(registered.pid, file, 0, &writer))) ||
	    (watched && gl_descendant_writes(by->watcher->pid, file, 0, &writer))) {
		describe(writer, out_writer);
		return true;
	}
	if (first || gl_members_find(by, &pids, &count) < 0) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (gl_process_writes(pids[i], file)) {
			describe(pids[i], out_writer);
			return true;
		}
	}
	return false;
}

/* ---- Who stands already ---- */

#define STOOD_SIZE 48 /* of one: " PID:START ", with NUL */

static void stood_words(const struct gl_person *person, char out[STOOD_SIZE])
{
	snprintf(out, STOOD_SIZE, " %ld:%" PRIu64 " ", (long)person->pid, person->start);
}

static bool stands(const struct gl_person *person)
{
	struct gl_stat stat;

	return person->member && gl_stat_read(person->pid, 0, &stat) == 0 && stat.state == 'T';
}

char *gl_members_stood(const struct gl_membership *by)
{
	AUTOCENSUS struct gl_census census = {.people = NULL};
	GL_AUTOTEXT struct gl_text text = GL_TEXT_INIT;
	bool any = false;
	size_t size;

	if (gl_belonging_led(by, &census) < 0) {
		return NULL;
	}
	for (size_t i = 0; i < census.count; i++) {
		char words[STOOD_SIZE];

		if (stands(&census.people[i])) {
			stood_words(&census.people[i], words);
			gl_text_string(&text, words);
			any = true;
		}
	}
	return any ? gl_text_take(&text, &size) : NULL;
}

/* Was it stopped before we stopped the guest? Then somebody else wants it so. */
static bool stood_before(const struct gl_membership *by, const struct gl_person *person)
{
	char words[STOOD_SIZE];

	stood_words(person, words);
	return by->stood && strstr(by->stood, words);
}

/* ---- Stopping ---- */

/* The number of the process that was made last, on this host or in this namespace; 0: not told. */
static uint64_t last_made(void)
{
	char text[128];
	const char *number =
		gl_read_proc("/proc/loadavg", text, sizeof(text)) > 0 ? strrchr(text, ' ') : NULL;

	return number ? strtoull(number + 1, NULL, 10) : 0;
}

/* Was he stopped already when the look began? */
static bool is_known(const struct gl_census *stopped, const struct gl_person *person)
{
	const struct gl_person *known = gl_census_find(stopped, person->pid);

	return known && known->member && known->start == person->start && gl_process_is_still(person->pid);
}

static bool are_known(const struct gl_census *stopped, const struct gl_census *found)
{
	for (size_t i = 0; i < found->count; i++) {
		if (found->people[i].member && !is_known(stopped, &found->people[i])) {
			return false;
		}
	}
	return true;
}

/*
 * Does everybody who is in that process group belong to the guest, and the caller not? Who is ending has closed the
 * tether, and may have been a member.
 */
static bool is_group_of_members(const struct gl_census *census, pid_t group)
{
	bool foreign = group <= 1 || group == getpgrp();

	for (size_t i = 0; i < census->count && !foreign; i++) {
		const struct gl_person *person = &census->people[i];

		foreign = person->group == group && !person->member && !person->ended &&
			  !gl_is_ending(person->pid);
	}
	return !foreign;
}

/* Best effort: who cannot be reached so is signalled by himself, and what came of it is looked at then. */
static void signal_groups(const struct gl_census *census, int number)
{
	pid_t last = 0;

	for (size_t i = 0; i < census->count; i++) {
		const struct gl_person *person = &census->people[i];

		/* Neighbours by pid are mostly of one group. */
		if (person->member && person->group != last && is_group_of_members(census, person->group)) {
			kill(-person->group, number);
		}
		last = person->member ? person->group : last;
	}
}

static int stop_those(const struct gl_census *census, int64_t deadline_ms, size_t *out_count,
		      struct gl_culprit *out_culprit)
{
	GL_AUTOFREE struct gl_target *targets = calloc(census->count + 1, sizeof(*targets));
	pid_t culprit = 0;

	*out_count = 0;
	if (!targets) {
		return -1;
	}
	for (size_t i = 0; i < census->count; i++) {
		const struct gl_person *person = &census->people[i];

		if (person->member) {
			targets[(*out_count)++] =
				(struct gl_target){.pid = person->pid, .start = person->start};
		}
	}
	signal_groups(census, SIGSTOP);
	if (gl_process_stop(targets, *out_count, deadline_ms, &culprit) == 0) {
		return 0;
	}
	int saved_errno = errno;

	if (culprit) {
		describe(culprit, out_culprit);
	}
	errno = saved_errno;
	return -1;
}

/*
 * Until when a round waits for those that it found. What was reached by its group only is not among these, and may be
 * what one of them waits for: the child of a vfork(), which the next look finds. Longer each time, as on a busy host
 * everybody needs longer.
 */
static int64_t round_end(unsigned round, int64_t deadline_ms)
{
	int64_t end = guestlock_monotonic_ms() + (200LL << (round < 6 ? round : 6));

	return end < deadline_ms ? end : deadline_ms;
}

int gl_members_stop(const struct gl_membership *by, int64_t deadline_ms, size_t *out_count,
		    struct gl_culprit *out_culprit)
{
	AUTOCENSUS struct gl_census stopped = {.people = NULL};
	unsigned agreeing = 0;

	*out_count = 0;
	*out_culprit = (struct gl_culprit){.pid = 0};
	for (unsigned round = 0;; round++) {
		AUTOCENSUS struct gl_census found = {.people = NULL};
		uint64_t made = last_made();
		pid_t other;

		if (gl_belonging_find(by, &stopped, &found, &other) < 0) {
			return -1;
		}
		if (other) {
			describe(other, out_culprit);
			errno = EPERM;
			return -1;
		}
		agreeing = round > 0 && !found.unsure && are_known(&stopped, &found) ? agreeing + 1 : 0;
		if (agreeing == AGREEING_ROUNDS || (agreeing > 0 && made != 0 && made == last_made())) {
			return 0;
		}
		if (stop_those(&found, round_end(round, deadline_ms), out_count, out_culprit) < 0 &&
		    errno != ETIMEDOUT) {
			return -1;
		}
		if (guestlock_monotonic_ms() >= deadline_ms) {
			errno = ETIMEDOUT;
			return -1;
		}
		gl_census_free(&stopped);
		stopped = found;
		found.people = NULL;
	}
}

bool gl_members_are_still(const struct gl_membership *by)
{
	AUTOCENSUS struct gl_census census = {.people = NULL};
	size_t running = 0;
	pid_t other;

	if (gl_belonging_find(by, &nobody, &census, &other) < 0) {
		return true;
	}
	for (size_t i = 0; i < census.count; i++) {
		const struct gl_person *person = &census.people[i];

		running += person->member && !gl_process_is_still(person->pid) && !gl_is_ending(person->pid);
	}
	return running == 0;
}

/* ---- Continuing, and the end ---- */

static int signal_all(const struct gl_membership *by, int number, struct gl_culprit *out_culprit)
{
	AUTOCENSUS struct gl_census census = {.people = NULL};
	int failure = number == SIGCONT ? ESRCH : 0; /* until somebody is found */
	pid_t other;

	*out_culprit = (struct gl_culprit){.pid = 0};
	if (gl_belonging_find(by, &nobody, &census, &other) < 0) {
		return -1;
	}
	if (number == SIGKILL) {
		signal_groups(&census, number);
	}
	for (size_t i = 0; i < census.count; i++) {
		const struct gl_person *person = &census.people[i];

		if (!person->member) {
			continue;
		}
		failure = failure == ESRCH ? 0 : failure;
		if (number == SIGCONT && stood_before(by, person)) {
			continue;
		}
		if (gl_process_signal(person->pid, person->start, number) < 0) {
			failure = errno;
			describe(person->pid, out_culprit);
		}
	}
	errno = failure;
	return failure ? -1 : 0;
}

int gl_members_continue(const struct gl_membership *by, struct gl_culprit *out_culprit)
{
	return signal_all(by, SIGCONT, out_culprit);
}

int gl_members_kill(const struct gl_membership *by)
{
	struct gl_culprit ignored;

	return signal_all(by, SIGKILL, &ignored);
}
