/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All processes at one time, as /proc tells of them. */
#ifndef GL_CENSUS_H
#define GL_CENSUS_H

#include "life/scan.h"

#include <stdbool.h>
#include <stddef.h>

struct gl_person {
	pid_t pid, parent, group;
	uint64_t start; /* as of guestlock_process_start(); 0: not known */
	bool ended;     /* a zombie */
	bool holds;     /* what was sought */
	bool member;    /* for who took the census; kept from the one before */
};

/* Zeroed: nobody. */
struct gl_census {
	struct gl_person *people; /* by pid; no threads of the kernel */
	size_t count;
	bool unsure; /* somebody new ended before he could be asked, and may have left a child */
};

/*
 * sought NULL: nothing is. Whom the census before knows is not asked again whether he holds it. 0, or -1 with errno
 * (EOPNOTSUPP: /proc is not there, or that of another pid namespace).
 */
int gl_census_take(const struct gl_sought *sought, const struct gl_census *before, struct gl_census *out);

void gl_census_free(struct gl_census *census);

/* NULL: there is none of that pid. */
struct gl_person *gl_census_find(const struct gl_census *census, pid_t pid);

/* Who is ending has closed what he had. */
bool gl_is_ending(pid_t pid);

#endif
