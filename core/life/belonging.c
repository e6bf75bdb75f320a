/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A census of /proc, and from it the set of a guest's processes: first the registered one with its descendants,
 * who say which users the guest has, then whoever else holds the tether, with theirs.
 */
#include "life/belonging.h"
#include "life/procfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

int gl_belonging_find(const struct gl_membership *by, const struct gl_census *before, struct gl_census *out,
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

int gl_belonging_led(const struct gl_membership *by, struct gl_census *out)
{
	if (gl_census_take(NULL, &(const struct gl_census){.people = NULL}, out) < 0) {
		return -1;
	}
	add_led(by, out);
	return 0;
}
