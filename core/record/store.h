/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The run directory: one record per guest (guests/UUID), hints (hints/KIND/) and records that were set aside
 * (damaged/UUID.TIME). Records can be read without a lock; whoever changes a guest holds the lock of its
 * record's file, from before the intent until after the outcome, so that a pending operation found under the
 * lock is one whose process was killed. An empty file is no record: somebody has it locked who may write one,
 * or was killed before that.
 */
#ifndef GL_STORE_H
#define GL_STORE_H

#include "record/record.h"

#include <limits.h>

struct gl_store {
	char *run_dir;   /* absolute */
	char *files_dir; /* of hints of files, shared by all who share the life locks; NULL: in run_dir */
};

/* The lock of one guest: an open-file-description lock that ends with the process at the latest. */
struct gl_guest_lock {
	int fd; /* of the record's file, locked; -1: not held */
	char uuid[GUESTLOCK_UUID_STRING];
	size_t size; /* bytes of the file: 0 while there is no record */
	bool gone;   /* the file was set aside: what has that name now is somebody else's */
	uint64_t turn; /* of what was read or written, see checked.h; 0: that is not known, or it has none */
};
#define GL_GUEST_LOCK_INIT                                                                                   \
	{                                                                                                    \
		.fd = -1                                                                                     \
	}

/* Makes the directories (0700) if missing. CANNOT_CREATE, DENIED (also when they are somebody else's), IO. */
int gl_store_prepare(const struct gl_store *store, struct guestlock_error *err);
/* Is there nobody else who may write to any of the directories that are there? DENIED. */
int gl_store_check(const struct gl_store *store, struct guestlock_error *err);

/*
 * TIMEOUT (saying which pid has it, where /proc tells) when it is not free by deadline_ms. DAMAGED: what is
 * there is no regular file.
 */
int gl_store_lock(const struct gl_store *store, const char *uuid, int64_t deadline_ms,
		  struct gl_guest_lock *out_lock, struct guestlock_error *err);
/* An empty file goes (safe against others that wait for it). */
void gl_store_unlock(const struct gl_store *store, struct gl_guest_lock *lock);

/* NOT_FOUND, DAMAGED, DENIED, IO. */
int gl_store_load(const struct gl_store *store, const char *uuid, struct gl_record **out_record,
		  struct guestlock_error *err);
/* The same of the guest that is locked. NOT_FOUND (without words: that is usual), DAMAGED, IO. */
int gl_store_open(const struct gl_store *store, struct gl_guest_lock *lock, struct gl_record **out_record,
		  struct guestlock_error *err);
/*
 * Of the guest that is locked. CANNOT_CREATE (full, read-only), DENIED, IO: then the old record still stands.
 * What is short enough is written in place (see checked.h), else as a new file, which the lock is then of.
 */
int gl_store_save(const struct gl_store *store, struct gl_guest_lock *lock, const struct gl_record *record,
		  struct guestlock_error *err);
/* Of the guest that is locked. A missing record is fine. */
int gl_store_remove(struct gl_guest_lock *lock, struct guestlock_error *err);
/*
 * Moves a damaged record out of the way, which is locked unless it is no regular file; *out_path (free())
 * is where it went.
 */
int gl_store_set_aside(const struct gl_store *store, const char *uuid, struct gl_guest_lock *lock,
		       char **out_path, struct guestlock_error *err);
/* Removes the empty file of a process that was killed, if nobody has it locked. */
void gl_store_tidy(const struct gl_store *store, const char *uuid);

/* uuids of all records, unsorted: one block, freed with free(). A missing directory: none. */
int gl_store_uuids(const struct gl_store *store, char (**out_uuids)[GUESTLOCK_UUID_STRING], size_t *out_count,
		   struct guestlock_error *err);

/*
 * A run directory that is called run-HOST may have been another one before the host was renamed: one beside it that
 * has records, if there is any.
 */
bool gl_store_beside(const struct gl_store *store, char out_path[PATH_MAX]);

/* ---- Hints: who on this host has a file, a name; always to be checked against the record ---- */

enum gl_hint_kind {
	GL_HINT_FILE, /* name: digest of what tells a file or device from others; value: the key */
	GL_HINT_NAME, /* name: digest of the guest's name */
};

struct gl_hint {
	char uuid[GUESTLOCK_UUID_STRING];
	uint64_t instance;
	char value[GUESTLOCK_KEY_SIZE]; /* "" where the kind has none */
	/* only with a value: */
	bool part; /* what has the key is a part of this file or device, or is made of it */
	bool adopted; /* the guest, which has no life lock */
	struct gl_process process; /* that it was bound with, for those who have no record of it; pid 0: not known */
};

/*
 * Told of each hint there is beside the new one; decides whether it still counts: 0 keep, 1 drop (its
 * record does not support it), negative: refuse, with err filled, and gl_hint_add() returns that.
 * Runs under the hint's lock: it may read records and must not lock them.
 */
typedef int gl_hint_judge_fn(void *data, const struct gl_hint *other, struct guestlock_error *err);

/* The file that has the hints of a name, beside those of others. INVALID: not one word of less than 44 bytes.
 */
int gl_hint_path(const struct gl_store *store, enum gl_hint_kind kind, const char *name, char **out_path,
		 struct guestlock_error *err);

/* Adds, after judge (may be NULL) has seen the others of that name. The same hint twice: once. Not held up by
 * others for more than deadline_ms: TIMEOUT. A damaged hint file is rebuilt from what can be read of it. */
int gl_hint_add(const struct gl_store *store, enum gl_hint_kind kind, const char *name,
		const struct gl_hint *hint, gl_hint_judge_fn *judge, void *data, int64_t deadline_ms,
		struct guestlock_error *err);
/*
 * Removes those of that guest under that name with that value (NULL: any), of any of its lives. Missing is fine; errors are not
 * reported.
 */
void gl_hint_remove(const struct gl_store *store, enum gl_hint_kind kind, const char *name, const char *uuid,
		    const char *value, int64_t deadline_ms);
/* All hints of a name: one block, freed with free(). None: *out_count 0. */
int gl_hint_read(const struct gl_store *store, enum gl_hint_kind kind, const char *name,
		 struct gl_hint **out_hints, size_t *out_count, struct guestlock_error *err);

#endif
