/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the backend whose locks are entries in files have in common. */
#ifndef GL_CONTRACT_FCNTL_H
#define GL_CONTRACT_FCNTL_H

#include "contract.h"

/* The path of something in the lock directory of this test, good until the next call; of a key's entry. */
const char *fcntl_path(const char *what, const char *name);
const char *fcntl_entry(const struct guestlock_key *key);

/* An entry as it counts; malloc'd. */
char *fcntl_read(const struct guestlock_key *key, size_t *out_size);
void fcntl_write(const struct guestlock_key *key, const char *text, size_t size);

size_t fcntl_count(const char *directory);

enum damage {
	DAMAGE_EMPTY,
	DAMAGE_SHORT,
	DAMAGE_FLIPPED,
	DAMAGE_ZEROS,
	DAMAGE_GARBAGE,
	DAMAGE_VERSION,
	DAMAGE_SWAPPED,
	DAMAGE_DIRECTORY,
	DAMAGE_LINK,
	DAMAGE_FIFO,
	DAMAGES,
};
/* other: a healthy entry. */
void fcntl_damage(enum damage what, const struct guestlock_key *key, const struct guestlock_key *other);

/* The test case, or NULL: this is another module. */
TCase *fcntl_case(Suite *suite, const char *name);

#endif
