/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Freezing a guest that has a control group of its own (version 2): nobody's signal continues it then. It comes on top of
 * stopping, which proves that everybody was found, and reaches those who are elsewhere.
 */
#ifndef GL_FREEZER_H
#define GL_FREEZER_H

#include "life/members.h"

/*
 * The control group of the guest's registered process, if it, with those below it, has processes of this guest alone, is
 * not frozen by its own switch, and may be frozen by us. A text for the record, malloc'd; NULL: there is none.
 */
char *gl_freezer_find(const struct gl_membership *by);

/* By the deadline. 0, or -1 with errno: it is not frozen, and it was tried to take that back. */
int gl_freezer_freeze(const char *cgroup, int64_t deadline_ms);

/* Whoever froze it. 0, also when it is gone, or -1 with errno. */
int gl_freezer_thaw(const char *cgroup);

#endif
