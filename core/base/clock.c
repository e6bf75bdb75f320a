/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The time that deadlines go by, and numbers that nobody can foresee. */
#include <guestlock/backend.h>

#include <errno.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

int64_t guestlock_monotonic_ms(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Where the kernel gives no random bytes (a system call filter): different at each call and in each
 * process.
 */
static uint64_t gl_random_fallback(void)
{
	static uint64_t counter;
	struct timespec now = {0};
	uint64_t mix;

	clock_gettime(CLOCK_REALTIME, &now);
	mix = (uint64_t)now.tv_sec * 1000000007U + (uint64_t)now.tv_nsec;
	mix ^= (uint64_t)getpid() << 40;
	mix += __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED) * 0x9e3779b97f4a7c15U;
	mix = (mix ^ mix >> 31) * 0xd6e8feb86659fd93U;
	return mix ^ mix >> 32;
}

uint64_t guestlock_random64(void)
{
	uint64_t value = 0;

	while (value == 0) {
		ssize_t got = getrandom(&value, sizeof(value), 0);

		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got != (ssize_t)sizeof(value)) {
			value = gl_random_fallback();
		}
	}
	return value;
}
