/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose line counts, and what goes with what. */
#include "fcntl_priv.h"

#include <string.h>

/* An entry with more lines than this has only so many of them asked at each writing. */
#define GL_FCNTL_PRUNE 16

/* Rows: wanted; columns: another owner's. Handover has its own rule on top. */
static const bool together[GUESTLOCK_MODE_EXCLUSIVE + 1][GUESTLOCK_MODE_EXCLUSIVE + 1] = {
	[GUESTLOCK_MODE_NONE] = {true, true, true, true},
	[GUESTLOCK_MODE_SHARED] = {[GUESTLOCK_MODE_NONE] = true, [GUESTLOCK_MODE_SHARED] = true},
	[GUESTLOCK_MODE_HANDOVER] = {[GUESTLOCK_MODE_NONE] = true, [GUESTLOCK_MODE_HANDOVER] = true},
	[GUESTLOCK_MODE_EXCLUSIVE] = {[GUESTLOCK_MODE_NONE] = true},
};

struct gl_fcntl_line *gl_fcntl_entry_find(const struct gl_fcntl_entry *entry,
					  const struct guestlock_owner *owner)
{
	size_t i;

	for (i = 0; i < entry->count; i++) {
		if (guestlock_owner_same(&entry->lines[i].owner, owner)) {
			return &entry->lines[i];
		}
	}
	return NULL;
}

bool gl_fcntl_is_ours(const struct gl_fcntl *fc, const struct gl_fcntl_line *line)
{
	return line->run_id && line->run_id[0] != '\0' && strcmp(line->run_id, fc->base.run_id) == 0;
}

enum guestlock_life gl_fcntl_line_life(const struct gl_fcntl *fc, struct gl_fcntl_line *line)
{
	if (!line->judged) {
		line->life = guestlock_owner_life(&line->owner, fc->life_dir);
		line->judged = true;
	}
	return line->life;
}

enum guestlock_mode gl_fcntl_line_weight(const struct gl_fcntl_line *line)
{
	return line->intent > line->mode ? line->intent : line->mode;
}

static bool is_same_guest(const struct gl_fcntl_line *line, const struct guestlock_owner *owner)
{
	return owner && strcmp(line->owner.uuid, owner->uuid) == 0;
}

struct gl_fcntl_line *gl_fcntl_conflict(const struct gl_fcntl *fc, struct gl_fcntl_entry *entry,
					const struct guestlock_owner *owner, enum guestlock_mode mode)
{
	size_t ends = 0;
	size_t i;

	for (i = 0; i < entry->count; i++) {
		struct gl_fcntl_line *line = &entry->lines[i];
		bool handover = mode == GUESTLOCK_MODE_HANDOVER && gl_fcntl_line_weight(line) == mode;
		bool fits = together[mode][line->mode] && together[mode][line->intent];

		if ((owner && guestlock_owner_same(&line->owner, owner)) || (fits && !handover)) {
			continue;
		}
		if (gl_fcntl_line_life(fc, line) == GUESTLOCK_LIFE_DEAD) {
			continue;
		}
		/* A guest has two ends while it migrates: one beside this owner. */
		if (fits && is_same_guest(line, owner) && ends++ == 0) {
			continue;
		}
		return line;
	}
	return NULL;
}

void gl_fcntl_prune(const struct gl_fcntl *fc, struct gl_fcntl_entry *entry,
		    const struct guestlock_owner *owner)
{
	size_t asked = 0;
	size_t at = entry->count > GL_FCNTL_PRUNE ? (size_t)(guestlock_random64() % entry->count) : 0;

	while (at < entry->count && asked < GL_FCNTL_PRUNE) {
		struct gl_fcntl_line *line = &entry->lines[at];

		asked += !line->judged;
		if (!(owner && guestlock_owner_same(&line->owner, owner)) &&
		    gl_fcntl_line_life(fc, line) == GUESTLOCK_LIFE_DEAD) {
			gl_fcntl_entry_drop(entry, at);
		} else {
			at++;
		}
	}
}

void gl_fcntl_fill_holder(const struct gl_fcntl_line *line, struct guestlock_holder *out)
{
	guestlock_owner_holder(&line->owner, gl_fcntl_line_weight(line), line->since, out);
}
