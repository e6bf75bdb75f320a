/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pause between two attempts. */
#include "base/base.h"

#include <time.h>

#define TURNS 32 /* that are left in any time */

bool gl_pause_before_retry(unsigned attempt, int64_t max_ms, int64_t deadline_ms)
{
	int64_t now = guestlock_monotonic_ms(), left = deadline_ms - now;
	uint64_t most_us = 200ULL << (attempt < 12 ? attempt : 12);

	if (left <= 0) {
		return false;
	}
	if (most_us > (uint64_t)max_ms * 1000) {
		most_us = (uint64_t)max_ms * 1000;
	}
	/* Who has little time left has waited longest, and tries more often than those that came later. */
	if (most_us > (uint64_t)left * 1000 / TURNS) {
		most_us = (uint64_t)left * 1000 / TURNS;
	}
	/* Half of it for certain, the rest by chance: two that collide once do not collide again. */
	uint64_t us = most_us / 2 + guestlock_random64() % (most_us / 2 + 1);
	struct timespec pause = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};

	nanosleep(&pause, NULL);
	return true;
}
