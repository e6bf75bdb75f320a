/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Locks on one machine. lock_dir holds
 *
 *     format       version, identity scheme and boot, checked by join
 *     keys/KEY     the entry of a key: its epoch, and who holds it (entry.c has the form)
 *     life/        the life locks of guests: an owner in an entry counts exactly as long as it lives
 *     new/         files under construction; what a crash leaves there is removed by join or unprovision
 *     setup        locked by whoever sets up the others
 *
 * An entry is changed under an open-file-description lock of the entry itself, which lasts no longer than
 * the call. Everything is opened by path and closed again within the call.
 */
#ifndef GL_FCNTL_PRIV_H
#define GL_FCNTL_PRIV_H

#include <guestlock/backend.h>

#include <stdatomic.h>

#define GL_FCNTL_IDENTITY 512 /* bytes of an identity in an entry, longer ones are cut */
#define GL_FCNTL_FORMAT_SIZE 192
#define GL_FCNTL_WHEN_SIZE 32

#pragma GCC visibility push(hidden)

/* The instance: first member as backend.h wants it. */
struct gl_fcntl {
	struct guestlock_backend base;
	char *lock_dir, *keys_dir, *life_dir, *new_dir, *format_path, *setup_path;
	bool allow_network;
	_Atomic bool joined;
	_Atomic int noted;                 /* 0: format is not filled in, 1: being so, 2: valid for good */
	char format[GL_FCNTL_FORMAT_SIZE]; /* the format file as join found it right */
};

static inline struct gl_fcntl *gl_fcntl_of(struct guestlock_backend *backend)
{
	return (struct gl_fcntl *)backend;
}

/* ---- Entries: entry.c, file.c ---- */

/* One owner in an entry. */
struct gl_fcntl_line {
	struct guestlock_owner owner;
	const char *run_id;         /* of the owner's manager; NULL or "": not known */
	enum guestlock_mode mode;   /* held; NONE: parked, interest in the epoch */
	enum guestlock_mode intent; /* being taken by an acquire of several keys; NONE: nothing */
	bool moved;                 /* this hold moved the epoch, and it was not used since: */
	bool has_before;            /* it was before, if there was one then */
	uint64_t before;
	int64_t since;
	bool judged; /* life was asked in this call */
	enum guestlock_life life;
};

enum gl_fcntl_presence {
	GL_FCNTL_ABSENT = 0,
	GL_FCNTL_READABLE,
	GL_FCNTL_DAMAGED,
};

struct gl_fcntl_entry {
	enum gl_fcntl_presence presence;
	const char *damage; /* DAMAGED: "is empty", ... */
	int fd;             /* locked for writing, or -1 */
	uint64_t most;      /* bytes that this process may write to a file; 0: not asked yet */
	char *text;         /* as read, and behind that a copy that strings point into */
	size_t size;        /* as read */
	char key[GUESTLOCK_KEY_SIZE];
	bool has_epoch;
	uint64_t epoch;
	const char *identity;
	struct gl_fcntl_line *lines;
	size_t count;
};

#define GL_FCNTL_ENTRY_INIT                                                                                  \
	{                                                                                                    \
		.fd = -1, .identity = ""                                                                     \
	}

/* Bytes that an entry says it has; 0: this is not the beginning of one. */
size_t gl_fcntl_entry_announced(const char *text, size_t size);

/* Fills presence, and the rest from size bytes of text, which has room for twice (size + 1). 0, or -1 with ENOMEM. */
int gl_fcntl_entry_parse(struct gl_fcntl_entry *entry, const char *key);

/* The text of an entry, malloc'd, or NULL with errno ENOMEM. */
char *gl_fcntl_entry_format(struct gl_fcntl_entry *entry, const char *key, size_t *out_size);

/* A new last line, zeroed, or NULL with errno ENOMEM. Pointers to lines become invalid. */
struct gl_fcntl_line *gl_fcntl_entry_add(struct gl_fcntl_entry *entry);
void gl_fcntl_entry_drop(struct gl_fcntl_entry *entry, size_t index);
struct gl_fcntl_line *gl_fcntl_entry_find(const struct gl_fcntl_entry *entry,
					  const struct guestlock_owner *owner);

/*
 * Opens an entry and locks it for writing. 0, also if there is none or it is damaged (presence), or -1
 * with errno: EAGAIN when somebody else is changing it, ENOENT when the directory of entries is missing.
 * directory: that of entries, which spares the way to it, or -1.
 */
int gl_fcntl_entry_open(const struct gl_fcntl *fc, int directory, const char *key,
			struct gl_fcntl_entry *out);

/* Reads an entry as it stands, without keeping a lock. Otherwise the same. */
int gl_fcntl_entry_peek(const struct gl_fcntl *fc, int directory, const char *key,
			struct gl_fcntl_entry *out);

/* Unlocks, closes, frees; the entry is as after GL_FCNTL_ENTRY_INIT then. */
void gl_fcntl_entry_close(struct gl_fcntl_entry *entry);

/*
 * Of an entry that was opened: writes its members; writes what was read (removes it if it was absent);
 * removes the file. 0 or -1 with errno, EAGAIN when somebody else created it meanwhile.
 */
int gl_fcntl_entry_write(const struct gl_fcntl *fc, const char *key, struct gl_fcntl_entry *entry);
int gl_fcntl_entry_restore(const struct gl_fcntl *fc, const char *key, struct gl_fcntl_entry *entry);
int gl_fcntl_entry_remove(const struct gl_fcntl *fc, const char *key);

/*
 * Calls visit for every key that has a file, until it returns non-zero; that, 0, or -1 with errno.
 * directory is that of entries.
 */
typedef int gl_fcntl_visit_fn(const struct gl_fcntl *fc, int directory, const char *key, void *data);
int gl_fcntl_scan(const struct gl_fcntl *fc, gl_fcntl_visit_fn *visit, void *data);

/* ---- Owners: judge.c ---- */

/* Whether a line counts; asks once. Own lines need not be asked. */
enum guestlock_life gl_fcntl_line_life(const struct gl_fcntl *fc, struct gl_fcntl_line *line);

/* A living line other than owner's (may be NULL) that does not go with mode; NULL: none. */
struct gl_fcntl_line *gl_fcntl_conflict(const struct gl_fcntl *fc, struct gl_fcntl_entry *entry,
					const struct guestlock_owner *owner, enum guestlock_mode mode);

/* The mode in which a line stands in the way of others: the held one, or the stronger one being taken. */
enum guestlock_mode gl_fcntl_line_weight(const struct gl_fcntl_line *line);

/* Is it of the same run directory? */
bool gl_fcntl_is_ours(const struct gl_fcntl *fc, const struct gl_fcntl_line *line);

/* Drops lines of dead owners other than owner; of a long entry only some, so that its cost has a bound. */
void gl_fcntl_prune(const struct gl_fcntl *fc, struct gl_fcntl_entry *entry,
		    const struct guestlock_owner *owner);

void gl_fcntl_fill_holder(const struct gl_fcntl_line *line, struct guestlock_holder *out);

/* ---- Errors: fail.c ---- */

enum guestlock_result gl_fcntl_result_of_errno(int sys_errno);
/* What to do about an errno, as the end of a message. */
const char *gl_fcntl_advice(int sys_errno);

/* "cannot VERB PATH: REASON; ADVICE" from an errno. */
enum guestlock_result gl_fcntl_fail(struct guestlock_error *err, int sys_errno, const char *verb,
				    const char *path);
enum guestlock_result gl_fcntl_fail_damaged(const struct gl_fcntl *fc, struct guestlock_error *err,
					    const char *verb, const char *identity, const char *key, const char *damage);
enum guestlock_result gl_fcntl_fail_busy(struct guestlock_error *err, const char *verb,
					 const char *identity, const char *key,
					 const struct guestlock_holder *holder);
/* NOT_JOINED with its message, or GRANTED. */
enum guestlock_result gl_fcntl_check_joined(const struct gl_fcntl *fc, struct guestlock_error *err);

/* ---- A call on a batch: call.c ---- */

struct gl_fcntl_slot {
	struct guestlock_item *item;    /* first, as guestlock_item_order() wants it */
	struct gl_fcntl_entry entry;
	bool change;    /* to be written */
	bool written;
};

struct gl_fcntl_call {
	const struct gl_fcntl *fc;
	struct guestlock_batch *batch;
	struct guestlock_error *err;
	const char *verb;             /* "lock", "release", ... */
	enum guestlock_result result; /* the worst so far */
	struct gl_fcntl_slot *slots;  /* sorted by key */
	size_t count;
	int directory; /* of entries, or -1 */
	uint64_t most; /* as in entries: asked once */
	int64_t now;   /* seconds since 1970 */
};

/* Prepares a call; its result is GRANTED if it can go on. gl_fcntl_call_end() always follows. */
void gl_fcntl_call_begin(struct gl_fcntl_call *call, struct guestlock_backend *backend,
			 struct guestlock_batch *batch, const char *verb, struct guestlock_error *err);
enum guestlock_result gl_fcntl_call_end(struct gl_fcntl_call *call);

/* Opens one entry, or all of them in the order of keys; locked unless peek. A damaged one is a failure. */
bool gl_fcntl_slot_open(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot, bool peek);
void gl_fcntl_call_open(struct gl_fcntl_call *call, bool peek);

/* Notes a failure of an item; err keeps the worst. */
void gl_fcntl_slot_errno(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot, int sys_errno);
void gl_fcntl_slot_busy(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot,
			const struct gl_fcntl_line *line);
void gl_fcntl_slot_fail(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot, enum guestlock_result result,
			const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The owner's line, made if add (NULL: out of memory, noted). What is changed in it will be written. */
struct gl_fcntl_line *gl_fcntl_slot_own(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot, bool add);

/* Writes one slot, or every slot that is to be changed. false: it failed, and all are as they were (or
 * INFLIGHT). */
bool gl_fcntl_slot_write(struct gl_fcntl_call *call, struct gl_fcntl_slot *slot);
bool gl_fcntl_call_write(struct gl_fcntl_call *call);

/* The item's epoch as the entry has it. */
void gl_fcntl_slot_tell(struct gl_fcntl_slot *slot);

/* ---- The functions of the table ---- */

enum guestlock_result gl_fcntl_probe(struct guestlock_backend *backend, struct guestlock_error *err);
enum guestlock_result gl_fcntl_join(struct guestlock_backend *backend, struct guestlock_kept *kept,
				    struct guestlock_error *err);
enum guestlock_result gl_fcntl_leave(struct guestlock_backend *backend, struct guestlock_error *err);
enum guestlock_join_state gl_fcntl_status(struct guestlock_backend *backend, struct guestlock_error *err);
enum guestlock_result gl_fcntl_bind(struct guestlock_backend *backend, struct guestlock_batch *batch,
				    struct guestlock_error *err);
enum guestlock_result gl_fcntl_acquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
				       struct guestlock_error *err);
enum guestlock_result gl_fcntl_release(struct guestlock_backend *backend, struct guestlock_batch *batch,
				       struct guestlock_error *err);
enum guestlock_result gl_fcntl_convert(struct guestlock_backend *backend, struct guestlock_batch *batch,
				       struct guestlock_error *err);
enum guestlock_result gl_fcntl_inquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
				       struct guestlock_error *err);
enum guestlock_result gl_fcntl_enumerate(struct guestlock_backend *backend, guestlock_enumerate_fn *visit,
					 guestlock_unchanged_fn *unchanged,
					 void *data, struct guestlock_error *err);
enum guestlock_result gl_fcntl_survey(struct guestlock_backend *backend, const char *key, int64_t deadline_ms,
				      guestlock_enumerate_fn *visit, guestlock_silent_fn *silent, void *data,
				      struct guestlock_error *err);
enum guestlock_result gl_fcntl_release_orphan(struct guestlock_backend *backend, const char *key, bool force,
					      struct guestlock_error *err);
enum guestlock_result gl_fcntl_unprovision(struct guestlock_backend *backend, unsigned unused_s,
					   struct guestlock_error *err);

/* ---- What an earlier boot left: clear.c ---- */

enum gl_fcntl_cleared {
	GL_FCNTL_CLEARED,
	GL_FCNTL_ALIVE, /* somebody lives, so there was no reboot: nothing was touched */
};

/*
 * Removes all entries and life files, unless some owner lives. damaged: also entries that do not tell whose they are;
 * else one that is damaged counts as somebody who lives. 0 or -1 with errno.
 */
int gl_fcntl_clear(const struct gl_fcntl *fc, bool damaged, enum gl_fcntl_cleared *out_cleared);

/* Removes what crashes left in new/, if it is at least age_s seconds old and nobody is making it. */
void gl_fcntl_clear_new(const struct gl_fcntl *fc, unsigned age_s);

#pragma GCC visibility pop

#endif
