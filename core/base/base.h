/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every file of the core may use: cleanup, text and files. See backend.h for what backends share. */
#ifndef GL_BASE_H
#define GL_BASE_H

#include <guestlock/backend.h>

#include <stdlib.h>
#include <unistd.h>

static inline void gl_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void gl_cleanup_close(const int *fd)
{
	if (*fd >= 0) {
		close(*fd);
	}
}

/* For what is constant for those who use it, and ours. */
static inline void gl_free_constant(const void *memory)
{
	void *ours;

	__builtin_memcpy(&ours, &memory, sizeof(ours));
	free(ours);
}

/* A variable that is freed, or closed unless negative, as it goes out of scope. To close may change errno. */
#define GL_AUTOFREE __attribute__((cleanup(gl_cleanup_free)))
#define GL_AUTOCLOSE __attribute__((cleanup(gl_cleanup_close)))

/*
 * Of what is rare and large: its variables do not count in the stack of who calls it. Each page of stack
 * costs the child that is going to be a guest, and the daemon after its fork, as much as a file does.
 */
#define GL_APART __attribute__((noinline))

#define GL_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Replaces *slot by a copy of text (NULL: by NULL). 0, or -1 when out of memory (then nothing changed). */
int gl_set_string(char **slot, const char *text);

/*
 * count words one after the other, without a format, which would cost more than all the rest: malloc'd or
 * NULL.
 */
char *gl_concat(const char *const words[], size_t count);

/* Room for one more of count members: it is the next power of two, and kept nowhere. NULL: out of memory. */
void *gl_grow(void *array, size_t count, size_t member_size);

/* The hexadecimal digits of number, at least width of them, with a NUL. */
#define GL_HEX_SIZE 17
void gl_hex(char out[GL_HEX_SIZE], uint64_t number, unsigned width);

/* Makes uuid canonical (lower case). false: not a uuid in the form 8-4-4-4-12. */
bool gl_uuid_parse(const char *text, char out_uuid[GUESTLOCK_UUID_STRING]);

/* Is it one in small letters? */
bool gl_uuid_valid(const char *text);

/* Whole-string parse of an unsigned number in base 10 or 16 (without 0x); false: not one, or too large. */
bool gl_parse_u64(const char *text, int base, uint64_t *out_value);

/* How many bytes at the beginning of text percent-encoding leaves as they are. */
size_t gl_percent_plain(const char *text);

/* text with every control byte and every byte that is not UTF-8 as \xNN, for messages; malloc'd, or NULL. */
char *gl_printable(const char *text);

/* The same into a fixed buffer; of what does not fit the middle is left out, as "...". out and text must not
 * overlap. */
void gl_printable_fit(char *out, size_t size, const char *text);

/* Copies into a fixed buffer, cut at a UTF-8 boundary if too long. */
void gl_copy_cut(char *out, size_t size, const char *text);

/* mkdir -p with mode 0755 for parents and mode for the last. 0 or -1 with errno; an existing directory is
 * fine. */
int gl_make_directory(const char *path, mode_t mode);

/*
 * A new file in the directory of path, to be renamed to it; *out_name is freed by the caller. Leftovers of a
 * crash are known by their name, ".tmp-". -1 with errno.
 */
int gl_open_beside(const char *path, mode_t mode, char **out_name);

/* Beyond the limit of this process for files (RLIMIT_FSIZE): to write that much would end it. */
bool gl_is_too_much(size_t size);

/* All of it, to a new file: 0 or -1 with errno. */
int gl_write_all(int fd, const void *data, size_t size);

/*
 * Does path lead to the file fd now? Links do not tell: a file that was replaced may have another name. 1, 0, or
 * -1 with errno.
 */
int gl_leads_to(const char *path, int fd);
/* The same of a file that was looked at. */
struct stat;
int gl_leads_to_file(const char *path, const struct stat *file);

/* What there is, up to size bytes, from where fd stands (offset -1) or from offset on. -1 with errno. */
ssize_t gl_read_all(int fd, void *out, size_t size, off_t offset);

/*
 * As fork(), of a process that belongs to nobody, leads a session of its own, and is not waited for: init hears of its
 * end. Not even a caller that is a child subreaper gets it, which takes each of its children for a process of its
 * guest. In the caller the result is positive, or -1 with errno.
 */
pid_t gl_fork_for_nobody(void);

/*
 * In such a process: nothing of the caller's stays open, as that may take for ever: not the lock of a record, not a
 * guest's tether, not a pipe of which somebody awaits the end. fd becomes number `as`, and what is below it
 * /dev/null.
 */
void gl_keep_only(int fd, int as);

/* Sends a message, which may not be empty, and descriptors beside it. 0 or -1 with errno. */
#define GL_DESCRIPTORS_MAX 8
int gl_send_descriptors(int socket, const void *data, size_t size, const int *fds, size_t count, int flags);

/*
 * Receives one that waits already; the descriptors are the caller's. Its size, 0: the other end is closed, -1
 * with errno (EBADMSG: there is more than fits).
 */
ssize_t gl_receive_descriptors(int socket, void *out, size_t size, int out_fds[GL_DESCRIPTORS_MAX],
			       size_t *out_count);

/*
 * Sleeps a little, longer with each attempt and never the same, not past deadline_ms. false: it has passed.
 */
bool gl_pause_before_retry(unsigned attempt, int64_t max_ms, int64_t deadline_ms);

#endif
