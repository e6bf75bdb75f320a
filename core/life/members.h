/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who belongs to a guest. These are whoever holds its tether, the process that was registered, the children of
 * who watches over it, and all descendants of these, whether they hold the tether or not: what closed the
 * inherited descriptors writes as well as any other.
 *
 * A guest can send its tether to anybody. Who is older than the guest is none of its processes. Who is younger, only
 * holds it, and runs as another user than all of these, is not taken for one either, nor is pid 1 ever: he is not
 * signalled, and is in the way of stopping.
 */
#ifndef GL_MEMBERS_H
#define GL_MEMBERS_H

#include "life/process.h"
#include "life/writer.h"

/* A process that stands in the way of stopping a guest, or of releasing its disk, for the message. */
struct gl_culprit {
	pid_t pid;        /* 0: none is known */
	char program[16]; /* as the kernel calls it, "" if not known */
};

/* By what the processes of a guest are known. */
struct gl_membership {
	const struct guestlock_owner *owner; /* with the registered process */
	uint64_t tether_inode;
	const struct gl_process *watcher; /* a child subreaper of this guest alone; pid 0: nobody */
	const char *stood; /* of gl_members_stood(): these are not continued; NULL: nobody */
};

/* Those that /proc shows to this user: malloc'd, *out_count may be 0. 0 or -1 with errno. */
int gl_members_find(const struct gl_membership *by, pid_t **out_pids,
		    size_t *out_count);

/* The same of those that do not hold the tether. */
int gl_members_untethered(const struct gl_membership *by, pid_t **out_pids, size_t *out_count);

/*
 * Who is stopped already, before we stop the guest: a text for the record, malloc'd, so that who continues it takes back
 * what we did and no more. NULL: nobody that could be seen without a look at what each process has open.
 */
char *gl_members_stood(const struct gl_membership *by);

/*
 * Stops all of them: SIGSTOP, until one whole look at /proc finds nobody who is not known and stopped, in a
 * time in which nobody could have been overlooked. 0 and *out_count, 0 when there is none; else -1 with errno
 * (ETIMEDOUT, EPERM: somebody may not be stopped by us, EDEADLK: the caller is among them) and *out_culprit;
 * some of them may be stopped then.
 */
int gl_members_stop(const struct gl_membership *by, int64_t deadline_ms,
		    size_t *out_count, struct gl_culprit *out_culprit);

/* Is everybody stopped who can be found? */
bool gl_members_are_still(const struct gl_membership *by);

/*
 * Continues all of them but who stood before. 0, or -1 with errno and *out_culprit: somebody may be stopped still; ESRCH when nobody can be
 * found.
 */
int gl_members_continue(const struct gl_membership *by, struct gl_culprit *out_culprit);

/* Has one of them that file open for writing? Then *out_writer is that one. false where /proc does not say. */
bool gl_members_write(const struct gl_membership *by, const struct gl_file *file, struct gl_culprit *out_writer);

/* SIGKILL to all of them that are there now. 0, or -1 with errno. */
int gl_members_kill(const struct gl_membership *by);

#endif
