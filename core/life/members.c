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
#include "life/procfs.h"
#include "life/scan.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Rounds that must agree where processes are made all the time; one does where none was. */
#define AGREEING_ROUNDS 3

struct person {
	pid_t pid, parent, group;
	uint64_t start;
	bool ended;  /* a zombie */
	bool holds;  /* the tether */
	bool member; /* of the guest */
};

struct census {
	struct person *people; /* by pid */
	size_t count;
	bool unsure; /* somebody new ended before he could be asked, and may have left a child */
};

static void free_census(struct census *census)
{
	free(census->people);
}

static const struct census nobody;

#define AUTOCENSUS __attribute__((cleanup(free_census)))

static int by_pid(const void *a, const void *b)
{
	const struct person *p = a, *q = b;

	return (p->pid > q->pid) - (p->pid < q->pid);
}

static struct person *find_person(const struct census *census, pid_t pid)
{
	const struct person key = {.pid = pid};

	return census->count == 0
		       ? NULL
		       : bsearch(&key, census->people, census->count, sizeof(*census->people), by_pid);
}

/* ---- The census ---- */

/* Who is ending has closed what he had. */
static bool is_ending(pid_t pid)
{
	struct gl_stat stat;

	return gl_stat_read(pid, 0, &stat) < 0 || gl_stat_ended(&stat) || (stat.flags & GL_STAT_EXITING);
}

/* Whom the census before knows is not asked what he has open: nobody but a child gets the tether in passing. */
static struct person ask_person(pid_t pid, const struct gl_stat *stat, const struct gl_sought *sought,
				const struct census *before, bool *out_unsure)
{
	const struct person *known = find_person(before, pid);
	struct person person = {
		.pid = pid,
		.parent = (pid_t)stat->parent,
		.group = (pid_t)stat->group,
		.start = stat->start,
		.ended = gl_stat_ended(stat),
	};

	if (known && known->start == person.start) {
		person.holds = known->holds;
		person.member = known->member && !person.ended;
		return person;
	}
	/* Who is older than the guest was sent its tether, and is none of its processes. */
	if (sought && person.start < sought->born) {
		return person;
	}
	person.holds = sought && !person.ended && gl_process_holds(pid, sought);
	*out_unsure |= person.ended || (!person.holds && is_ending(pid));
	return person;
}

static int count_all(DIR *proc, const struct gl_sought *sought, const struct census *before,
		     struct census *census)
{
	uint64_t pid;

	while (gl_next_number(proc, &pid)) {
		struct person *grown = gl_grow(census->people, census->count, sizeof(*grown));
		struct gl_stat stat;

		if (!grown) {
			return -1;
		}
		census->people = grown;
		if (gl_stat_read((pid_t)pid, 0, &stat) < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
				return -1;
			}
			census->unsure |= !find_person(before, (pid_t)pid);
		} else if (!(stat.flags & GL_STAT_KTHREAD)) {
			census->people[census->count++] =
				ask_person((pid_t)pid, &stat, sought, before, &census->unsure);
		}
	}
	return errno ? -1 : 0;
}

/* sought NULL: there is no tether. 0 or -1 with errno. */
static int take_census(const struct gl_sought *sought, const struct census *before, struct census *census)
{
	DIR *proc;
	int result, saved_errno;

	*census = (struct census){.people = NULL};
	if (!gl_proc_is_ours()) {
		errno = EOPNOTSUPP;
		return -1;
	}
	proc = opendir("/proc");
	if (!proc) {
		return -1;
	}
	result = count_all(proc, sought, before, census);
	saved_errno = errno;
	closedir(proc);
	errno = saved_errno;
	if (result == 0 && census->count > 0) {
		qsort(census->people, census->count, sizeof(*census->people), by_pid);
	}
	return result;
}

/* ---- The guest's part of it ---- */

/* Children of members are members, until nobody is new. */
static void add_descendants(struct census *census)
{
	bool any = true;

	while (any) {
		any = false;
		for (size_t i = 0; i < census->count; i++) {
			struct person *person = &census->people[i];
			const struct person *parent =
				person->member ? NULL : find_person(census, person->parent);

			if (parent && parent->member && !person->ended) {
				person->member = any = true;
			}
		}
	}
}

/* parent may be NULL. */
static void add_children(struct census *census, const struct person *parent)
{
	for (size_t i = 0; parent && i < census->count; i++) {
		struct person *person = &census->people[i];

		person->member |= person->parent == parent->pid && !person->ended;
	}
}

/* The one that was noted, if it is still there; NULL: not here. */
static struct person *find_process(const struct census *census, pid_t pid, uint64_t start, uint64_t ns)
{
	struct person *person = pid > 0 && ns == gl_pid_namespace() ? find_person(census, pid) : NULL;

	return person && !person->ended && (start == 0 || person->start == start) ? person : NULL;
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
static bool is_user(const struct census *census, int64_t user)
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
static bool is_one_user(const struct census *census, pid_t *out_other)
{
	int64_t first = -1;

	for (size_t i = 0; i < census->count; i++) {
		const struct person *person = &census->people[i];
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
static void add_holders(struct census *census, bool registered, pid_t *out_other)
{
	bool one = registered || is_one_user(census, out_other);

	for (size_t i = 0; i < census->count && one; i++) {
		struct person *person = &census->people[i];

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
static bool add_led(const struct gl_membership *by, struct census *census)
{
	const struct gl_process *watcher = by->watcher;
	struct person *registered =
		find_process(census, by->owner->pid, by->owner->pid_start, by->owner->pid_ns);

	if (registered) {
		registered->member = true;
	}
	add_children(census, find_process(census, watcher->pid, watcher->start, watcher->ns));
	add_descendants(census);
	return registered != NULL;
}

/* *out_other: somebody holds the tether who is none of them; 0: nobody. 0 or -1 with errno. */
static int find_members(const struct gl_membership *by, const struct census *before, struct census *out,
			pid_t *out_other)
{
	struct gl_sought sought;
	bool registered;

	*out_other = 0;
	gl_seek_tether(by->owner, by->tether_inode, &sought);
	if (take_census(by->owner->adopted ? NULL : &sought, before, out) < 0) {
		return -1;
	}
	registered = add_led(by, out);
	add_holders(out, registered, out_other);
	add_descendants(out);
	return 0;
}

static int list_members(const struct gl_membership *by, bool untethered, pid_t **out_pids, size_t *out_count)
{
	AUTOCENSUS struct census census = {.people = NULL};
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
static bool is_known(const struct census *stopped, const struct person *person)
{
	const struct person *known = find_person(stopped, person->pid);

	return known && known->member && known->start == person->start && gl_process_is_still(person->pid);
}

static bool are_known(const struct census *stopped, const struct census *found)
{
	for (size_t i = 0; i < found->count; i++) {
		if (found->people[i].member && !is_known(stopped, &found->people[i])) {
			return false;
		}
	}
	return true;
}

/* Does everybody who is in that process group belong to the guest, and the caller not? */
static bool is_group_of_members(const struct census *census, pid_t group)
{
	bool foreign = group <= 1 || group == getpgrp();

	for (size_t i = 0; i < census->count && !foreign; i++) {
		const struct person *person = &census->people[i];

		foreign = person->group == group && !person->member && !person->ended;
	}
	return !foreign;
}

/* Best effort: who cannot be reached so is signalled by himself, and what came of it is looked at then. */
static void signal_groups(const struct census *census, int number)
{
	pid_t last = 0;

	for (size_t i = 0; i < census->count; i++) {
		const struct person *person = &census->people[i];

		/* Neighbours by pid are mostly of one group. */
		if (person->member && person->group != last && is_group_of_members(census, person->group)) {
			kill(-person->group, number);
		}
		last = person->member ? person->group : last;
	}
}

static int stop_those(const struct census *census, int64_t deadline_ms, size_t *out_count,
		      struct gl_culprit *out_culprit)
{
	GL_AUTOFREE struct gl_target *targets = calloc(census->count + 1, sizeof(*targets));
	pid_t culprit = 0;

	*out_count = 0;
	if (!targets) {
		return -1;
	}
	for (size_t i = 0; i < census->count; i++) {
		const struct person *person = &census->people[i];

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

int gl_members_stop(const struct gl_membership *by, int64_t deadline_ms, size_t *out_count,
		    struct gl_culprit *out_culprit)
{
	AUTOCENSUS struct census stopped = {.people = NULL};
	unsigned agreeing = 0;

	*out_count = 0;
	*out_culprit = (struct gl_culprit){.pid = 0};
	for (unsigned round = 0;; round++) {
		AUTOCENSUS struct census found = {.people = NULL};
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
		if (stop_those(&found, deadline_ms, out_count, out_culprit) < 0) {
			return -1;
		}
		if (guestlock_monotonic_ms() >= deadline_ms) {
			errno = ETIMEDOUT;
			return -1;
		}
		free_census(&stopped);
		stopped = found;
		found.people = NULL;
	}
}

bool gl_members_are_still(const struct gl_membership *by)
{
	AUTOCENSUS struct census census = {.people = NULL};
	size_t running = 0;
	pid_t other;

	if (find_members(by, &nobody, &census, &other) < 0) {
		return true;
	}
	for (size_t i = 0; i < census.count; i++) {
		const struct person *person = &census.people[i];

		running += person->member && !gl_process_is_still(person->pid) && !is_ending(person->pid);
	}
	return running == 0;
}

/* ---- Continuing, and the end ---- */

static int signal_all(const struct gl_membership *by, int number, struct gl_culprit *out_culprit)
{
	AUTOCENSUS struct census census = {.people = NULL};
	int failure = 0;
	pid_t other;

	*out_culprit = (struct gl_culprit){.pid = 0};
	if (find_members(by, &nobody, &census, &other) < 0) {
		return -1;
	}
	if (number == SIGKILL) {
		signal_groups(&census, number);
	}
	for (size_t i = 0; i < census.count; i++) {
		const struct person *person = &census.people[i];

		if (person->member && gl_process_signal(person->pid, person->start, number) < 0) {
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
