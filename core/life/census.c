/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All processes at one time, as /proc tells of them. */
#include "life/census.h"
#include "base/base.h"
#include "life/procfs.h"

#include <errno.h>

void gl_census_free(struct gl_census *census)
{
	free(census->people);
}

static int by_pid(const void *a, const void *b)
{
	const struct gl_person *p = a, *q = b;

	return (p->pid > q->pid) - (p->pid < q->pid);
}

struct gl_person *gl_census_find(const struct gl_census *census, pid_t pid)
{
	const struct gl_person key = {.pid = pid};

	return census->count == 0
		       ? NULL
		       : bsearch(&key, census->people, census->count, sizeof(*census->people), by_pid);
}

bool gl_is_ending(pid_t pid)
{
	struct gl_stat stat;

	return gl_stat_read(pid, 0, &stat) < 0 || gl_stat_ended(&stat) || (stat.flags & GL_STAT_EXITING);
}

/* Whom the census before knows is not asked what he has open: nobody but a child gets the tether in passing. */
static struct gl_person ask_person(pid_t pid, const struct gl_stat *stat, const struct gl_sought *sought,
				   const struct gl_census *before, bool *out_unsure)
{
	const struct gl_person *known = gl_census_find(before, pid);
	struct gl_person person = {
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
	if (sought && person.start && person.start < sought->born) {
		return person;
	}
	person.holds = sought && !person.ended && gl_process_holds(pid, sought);
	*out_unsure |= person.ended || (!person.holds && gl_is_ending(pid));
	return person;
}

static int count_all(DIR *proc, const struct gl_sought *sought, const struct gl_census *before,
		     struct gl_census *census)
{
	uint64_t pid;

	while (gl_next_number(proc, &pid)) {
		struct gl_person *grown = gl_grow(census->people, census->count, sizeof(*grown));
		struct gl_stat stat;

		if (!grown) {
			return -1;
		}
		census->people = grown;
		if (gl_stat_read((pid_t)pid, 0, &stat) < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
				return -1;
			}
			census->unsure |= !gl_census_find(before, (pid_t)pid);
		} else if (!(stat.flags & GL_STAT_KTHREAD)) {
			census->people[census->count++] =
				ask_person((pid_t)pid, &stat, sought, before, &census->unsure);
		}
	}
	return errno ? -1 : 0;
}

int gl_census_take(const struct gl_sought *sought, const struct gl_census *before, struct gl_census *out)
{
	DIR *proc;
	int result, saved_errno;

	*out = (struct gl_census){.people = NULL};
	if (!gl_proc_is_ours()) {
		errno = EOPNOTSUPP;
		return -1;
	}
	proc = opendir("/proc");
	if (!proc) {
		return -1;
	}
	result = count_all(proc, sought, before, out);
	saved_errno = errno;
	closedir(proc);
	errno = saved_errno;
	if (result == 0 && out->count > 0) {
		qsort(out->people, out->count, sizeof(*out->people), by_pid);
	}
	return result;
}
