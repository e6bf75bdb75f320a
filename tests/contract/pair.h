/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What most tests have: two guests on two hosts, some keys, and short words for modes and results. */
#ifndef GL_CONTRACT_PAIR_H
#define GL_CONTRACT_PAIR_H

#include "contract.h"

#define EXCLUSIVE GUESTLOCK_MODE_EXCLUSIVE
#define HANDOVER GUESTLOCK_MODE_HANDOVER
#define NONE GUESTLOCK_MODE_NONE
#define SHARED GUESTLOCK_MODE_SHARED
#define BUSY GUESTLOCK_RES_BUSY
#define GRANTED GUESTLOCK_RES_GRANTED
#define UNKNOWN GUESTLOCK_RES_UNKNOWN

extern struct keys keys;
extern struct guest one, two;

/* one on host A and two on host B; group as for keys_make(). */
void start_two(const char *group);
void end_two(void);

#endif
