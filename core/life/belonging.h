/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who belongs to a guest (members.h), in a census. */
#ifndef GL_BELONGING_H
#define GL_BELONGING_H

#include "life/census.h"
#include "life/members.h"

/*
 * A census in which the guest's processes are marked as members. *out_other: somebody holds the tether who is none of
 * them; 0: nobody. 0 or -1 with errno, as of gl_census_take().
 */
int gl_belonging_find(const struct gl_membership *by, const struct gl_census *before, struct gl_census *out,
		      pid_t *out_other);

/* The same but for those to whom nothing but the tether leads, without a look at what anybody has open. */
int gl_belonging_led(const struct gl_membership *by, struct gl_census *out);

#endif
