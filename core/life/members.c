/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A census of /proc, and from it the set of a guest's processes: first the registered one with its descendants,
 * who say which users the guest has, then whoever else holds the tether, with theirs.
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
#include "life/census.h"
#include "life/procfs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Rounds that must agree where processes are made all the time; one does where none was. */
#define AGREEING_ROUNDS 3

static const struct gl_census nobody;

#define AUTOCENSUS __attribute__((cleanup(gl_census_free)))

/* ---- The guest's part of it ---- */

/* Children of members are members, until nobody is new. */
static void add_descendants(struct gl_census *census)
{
	bool any = true;

	while (any) {
		any = false;
		for (size_t i = 0; i < census->count; i++) {
			struct gl_person *person = &census->people[i];
			const struct gl_person *parent =
				person->member ? NULL : gl_census_find(census, person->parent);

			if (parent && parent->member && !person->ended) {
				person->member = any = true;
			}
		}
	}
}

/* parent may be NULL. */
static void add_children(struct gl_census *census, const struct gl_person *parent)
{
	for (size_t i = 0; parent && i < census->count; i++) {
		struct gl_person *person = &census->people[i];

		person->member |= person->parent == parent->pid && !person->ended;
	}
}

/* The one that was noted, if it is still there; NULL: not here. */
static struct gl_person *find_process(const struct gl_census *census, pid_t pid, uint64_t start, uint64_t ns)
{
	struct gl_person *person = pid > 0 && ns == gl_pid_namespace() ? gl_census_find(census, pid) : NULL;

	return person && !person->ended && (!start || !person->start || person->start == start) ? person
												: NULL;
}

/* The real user of a process; -1: it is not told. */
static int64_t user_of(pid_t pid)
{
	char path[32], text[2048];
	const char *line;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (gl_read_proc(path, text, sizeof(text)) < 0) {
		return -1;
	}
	line = strstr(text, "\nUid:\t");
	return line ? (int64_t)strtoul(line + strlen("\nUid:\t"), NULL, 10) : -1;
}

/*
 * Is that one of the users of those that are members so far? One whose guest is root's needs no guest to reach
 * others.
 */
static bool is_user(const struct gl_census *census, int64_t user)
{
	for (size_t i = 0; i < census->count; i++) {
		int64_t known = census->people[i].member ? user_of(census->people[i].pid) : -1;

		if (known == 0 || (known >= 0 && known == user)) {
			return true;
		}
	}
	return false;
}

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

/* Are all who hold the tether of one user? *out_other: one who is not that of the first. */
static bool is_one_user(const struct gl_census *census, pid_t *out_other)
{
	int64_t first = -1;

	for (size_t i = 0; i < census->count; i++) {
		const struct gl_person *person = &census->people[i];
		int64_t user = person->holds ? user_of(person->pid) : -1;

		if (first >= 0 && user >= 0 && user != first) {
			*out_other = person->pid;
			return false;
		}
		first = user >= 0 ? user : first;
	}
	return true;
}

/*
 * Whoever holds the tether and is of the guest's users. Where no registered process says who these are, there is
 * but one of them.
 */
static void add_holders(struct gl_census *census, bool registered, pid_t *out_other)
{
	bool one = registered || is_one_user(census, out_other);

	for (size_t i = 0; i < census->count && one; i++) {
		struct gl_person *person = &census->people[i];

		if (!person->holds || person->member) {
			continue;
		}
		if (person->pid == 1 || (registered && !is_user(census, user_of(person->pid)))) {
			*out_other = person->pid;
		} else {
			person->member = true;
		}
	}
}

/* Those to whom the record leads, without the tether. Is the registered process among them? */
static bool add_led(const struct gl_membership *by, struct gl_census *census)
{
	const struct gl_process *watcher = by->watcher;
	struct gl_person *registered =
		find_process(census, by->owner->pid, by->owner->pid_start, by->owner->pid_ns);

	if (registered) {
		registered->member = true;
	}
	add_children(census, find_process(census, watcher->pid, watcher->start, watcher->ns));
	add_descendants(census);
	return registered != NULL;
}

/* *out_other: somebody holds the tether who is none of them; 0: nobody. 0 or -1 with errno. */
static int find_members(const struct gl_membership *by, const struct gl_census *before, struct gl_census *out,
			pid_t *out_other)
{
	struct gl_sought sought;
	bool registered;

	*out_other = 0;
	gl_seek_tether(by->owner, by->tether_inode, &sought);
	if (gl_census_take(by->owner->adopted ? NULL : &sought, before, out) < 0) {
		return -1;
	}
	registered = add_led(by, out);
	add_holders(out, registered, out_other);
	add_descendants(out);
	return 0;
}

static int list_members(const struct gl_membership *by, bool untethered, pid_t **out_pids, size_t *out_count)
{
	AUTOCENSUS struct gl_census census = {.people = NULL};
	pid_t other;

	*out_count = 0;
	if (find_members(by, &nobody, &census, &other) < 0) {
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

		if (find_members(by, &stopped, &found, &other) < 0) {
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

	if (find_members(by, &nobody, &census, &other) < 0) {
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
	if (find_members(by, &nobody, &census, &other) < 0) {
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
