/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known of one guest, and its text form. */
#ifndef GL_RECORD_H
#define GL_RECORD_H

#include "lifecycle/lifecycle.h"
#include "life/process.h"
#include "base/text.h"

#define GL_TECHNOLOGY_SIZE 32 /* bytes of a backend's name with NUL */
#define GL_HOLDINGS 2         /* technologies that can hold one resource at once, while they change */
#define GL_RECORD_MAX (64 * 1024 * 1024) /* bytes of the largest record that is read */

/*
 * How one technology holds one resource.
 *
 *     state                       from, to    epoch
 *     NONE                        NONE        means nothing
 *     HELD, HANDOVER              NONE        of the key, when it was granted
 *     PARKED                      NONE        that the key must still have to be taken again; none: it was given
 *                                             up for good, to the other end of a migration
 *     INTENT, DROPPING, UNKNOWN   the step    still that of from
 */
struct gl_holding {
	char technology[GL_TECHNOLOGY_SIZE]; /* "": the slot is free */
	enum guestlock_resource_state state, from, to;
	enum guestlock_mode mode; /* exclusive or shared: of HELD, and of what will be */
	bool has_epoch;
	uint64_t epoch;
};

struct gl_resource {
	enum guestlock_resource_type type;
	bool guest_lock; /* the lock of the guest itself; name is its uuid */
	bool whole;      /* the disk of which the guest has a partition, for other hosts alone; name may be its identity */
	/* a side of a disk that is held shared (sides.c), its name the disk's; passing: not to stay there */
	bool readers, writers, passing;
	unsigned flags;
	char *name, *lockspace, *path; /* lockspace and path NULL where there is none */
	uint64_t offset;
	char *identity;
	char key[GUESTLOCK_KEY_SIZE];
	bool has_file;
	uint64_t device, inode, born; /* as in gl_identity */
	bool unhinted; /* the hint of its file may be missing: it is entered before the lock is taken */
	struct gl_holding holdings[GL_HOLDINGS];
	bool transient; /* not recorded: concerned by the single attach or detach under way */
	bool inside;    /* not recorded: its strings are in the text of the record */
};

static inline bool gl_is_side(const struct gl_resource *resource)
{
	return resource->readers || resource->writers;
}

struct gl_param {
	char *key, *value;
};

struct gl_record {
	char uuid[GUESTLOCK_UUID_STRING];
	uint64_t instance;
	char *name, *id; /* never NULL, "" where not set */
	struct gl_process process;
	bool adopted;
	uint64_t tether_inode;
	struct gl_process watcher; /* pid 0: none; else its children are processes of this guest, and of no other */
	int64_t since;
	enum guestlock_guest_state state;
	enum gl_operation op;
	bool migrate; /* bound as the target of a migration */
	bool was_paused;
	bool handed_over; /* the source of a migration that was completed */
	bool stopped;     /* we sent the SIGSTOP: resume sends SIGCONT */
	bool halted;      /* we told its monitor to stop it: resume tells it to go on */
	char *stood;      /* who was stopped before we did that, as of gl_members_stood(); NULL: nobody */
	char *frozen;     /* the control group that we froze, as of gl_freezer_find(): resume thaws it; NULL: none */
	struct gl_param *params;
	size_t n_params;
	struct gl_resource *resources;
	size_t n_resources;
	size_t room;       /* not recorded: how many resources there is memory for */
	int64_t stored_ns; /* not recorded: when what was loaded without a lock was written, or before */
	size_t text_size;
	char text[]; /* what was parsed: one block has all the strings of the record */
};

/* An empty record of a uuid; NULL: out of memory. */
struct gl_record *gl_record_new(const char *uuid);
void gl_record_free(struct gl_record *record);

/* One of its strings is another one now, malloc'd, or NULL: it belongs to the record. */
void gl_record_take_string(struct gl_record *record, char **member, char *string);
int gl_record_set_param(struct gl_record *record, const char *key, const char *value); /* 0, or -1: memory */

/* Room for that many resources, not less than there are: 0, or -1 when out of memory. */
int gl_record_reserve(struct gl_record *record, size_t room);
/* A new last resource, zeroed, or NULL: out of memory. Pointers to others become invalid. */
struct gl_resource *gl_record_add_resource(struct gl_record *record);
/* Removes number index; the others keep their order. */
void gl_record_remove_resource(struct gl_record *record, size_t index);
struct gl_resource *gl_record_find_key(struct gl_record *record, const char *key);
void gl_resource_clear(struct gl_resource *resource);

/* The holding of a technology; add: a free slot is taken if there is none yet. NULL: none, or no slot free.
 */
struct gl_holding *gl_resource_holding(struct gl_resource *resource, const char *technology, bool add);

/*
 * To text and back. The text is INI: [guestlock-record] version, ..., [guest], [resource N] each, and ends
 * with a line "[end]" so that truncation is noticed. Values are percent-encoded; file is for messages only.
 * Parsing gives DAMAGED with file, line and reason for anything that is not exactly what serialize writes:
 * unknown versions, keys and values, duplicates, missing parts. lines_before stand before the text in its
 * file; trusted: it is known to be as written, and not compared. *out_text is malloc'd.
 */
int gl_record_serialize(const struct gl_record *record, char **out_text, size_t *out_size,
			struct guestlock_error *err);
/* The same at the end of a text. */
int gl_record_put(struct gl_text *out, const struct gl_record *record, struct guestlock_error *err);
int gl_record_parse(unsigned lines_before, bool trusted, const char *text, size_t size, const char *file,
		    struct gl_record **out_record, struct guestlock_error *err);

#endif
