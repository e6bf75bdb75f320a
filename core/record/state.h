/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * State strings: what a pause or an inquiry hands to libvirt or to the other end of a migration.
 *
 *     gl1:TECHNOLOGY:UUID:KEY.EPOCH,KEY.EPOCH,...:CHECK
 *
 * EPOCH is 16 hexadecimal digits, or "-" where there is none; CHECK is the first 8 characters of the digest
 * of everything before its colon. Only [A-Za-z0-9._:,-] occurs, as libvirt stores it unescaped in XML.
 */
#ifndef GL_STATE_H
#define GL_STATE_H

#include "record/record.h"

struct gl_state_entry {
	char key[GUESTLOCK_KEY_SIZE];
	bool has_epoch;
	uint64_t epoch;
};

struct gl_state {
	char technology[GL_TECHNOLOGY_SIZE];
	char uuid[GUESTLOCK_UUID_STRING];
	struct gl_state_entry *entries; /* malloc'd, sorted by key */
	size_t count;
};

/* *out_text is malloc'd. NO_MEMORY. */
int gl_state_format(const struct gl_state *state, char **out_text, struct guestlock_error *err);
/* DAMAGED for everything that gl_state_format() did not write, with what it is instead. gl_state_clear() on
 * success. */
int gl_state_parse(const char *text, struct gl_state *out_state, struct guestlock_error *err);
const struct gl_state_entry *gl_state_find(const struct gl_state *state, const char *key);
void gl_state_clear(struct gl_state *state);

#endif
