/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files of entries. What fits a page is changed by one write of that page, which a kill does not split;
 * anything longer, and anything new, is complete before it gets its name. So no crash of ours leaves a
 * damaged entry. Whoever has locked a file makes sure that it still is the one with that name: it may have
 * been replaced or removed between the opening and the locking.
 */
#include "fcntl_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define GL_FCNTL_PAGE 4096  /* bytes that are written as a whole or not at all; more is replaced */
#define GL_FCNTL_FIRST 1024 /* bytes that are read at first */
#define GL_FCNTL_MAX (64 * 1024 * 1024) /* bytes of the largest entry */
#define GL_FCNTL_TRIES 4                /* of an entry that others replace at this moment; then AGAIN */
#define GL_FCNTL_FLAGS (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)

/*
 * malloc'd, or NULL with errno: the child that is going to be a guest pays for each page of stack that it
 * touches, and a path would take one.
 */
static char *entry_path(const struct gl_fcntl *fc, const char *key)
{
	size_t length = strlen(fc->keys_dir);
	char *path;

	if (!guestlock_key_valid(key)) {
		errno = EBADMSG;
		return NULL;
	}
	path = malloc(length + 1 + GUESTLOCK_KEY_SIZE);
	if (path) {
		memcpy(path, fc->keys_dir, length);
		path[length] = '/';
		memcpy(path + length + 1, key, GUESTLOCK_KEY_SIZE);
	}
	return path;
}

/* EAGAIN for a lock that somebody else has, whichever of the two the system uses for that. */
static int lock_file(int fd, short type)
{
	int result = guestlock_ofd_lock(fd, type);

	if (result < 0 && errno == EACCES) {
		errno = EAGAIN;
	}
	return result;
}

static void unlock_and_close(int fd)
{
	if (fd >= 0) {
		/* A child that was forked meanwhile may have the descriptor too: closing it is not enough. */
		guestlock_ofd_lock(fd, F_UNLCK);
		close(fd);
	}
}

static void set_damaged(struct gl_fcntl_entry *entry, const char *damage)
{
	entry->presence = GL_FCNTL_DAMAGED;
	entry->damage = damage;
	entry->count = 0;
}

/* ---- Reading ---- */

/* A regular file gives less than was asked for at its end only; what is cut short fails its check. */
static int read_from_start(int fd, char *text, size_t size, size_t *out_size)
{
	size_t used = 0;
	bool end = false;

	while (used < size && !end) {
		ssize_t got = pread(fd, text + used, size - used, (off_t)used);

		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got < 0) {
			return -1;
		}
		end = (size_t)got < size - used;
		used += (size_t)got;
	}
	*out_size = used;
	return 0;
}

/* The first part, which usually is all, and the rest if the entry says that there is more. */
static int read_text(int fd, struct gl_fcntl_entry *entry)
{
	char page[GL_FCNTL_FIRST];
	size_t size, announced;
	char *text;

	if (read_from_start(fd, page, sizeof(page), &size) < 0) {
		return -1;
	}
	announced = gl_fcntl_entry_announced(page, size);
	if (announced == 0 || announced > GL_FCNTL_MAX) {
		announced = size;
	}
	/* In large batches only what is needed: more would go back to the system after each call. */
	text = realloc(entry->text, 2 * (announced + 1));
	if (!text) {
		return -1;
	}
	entry->text = text;
	entry->size = size < announced ? size : announced;
	memcpy(text, page, entry->size);
	return announced <= sizeof(page) ? 0 : read_from_start(fd, text, announced, &entry->size);
}

static int read_entry(int fd, const char *key, struct gl_fcntl_entry *entry)
{
	if (read_text(fd, entry) == 0) {
		return gl_fcntl_entry_parse(entry, key);
	}
	if (errno == EISDIR || errno == ESPIPE || errno == EINVAL) {
		set_damaged(entry, "it is not a regular file");
		return 0;
	}
	return -1;
}

/* What an open that failed means. */
static int judge_open(const struct gl_fcntl *fc, struct gl_fcntl_entry *entry)
{
	if (errno == ELOOP || errno == EISDIR || errno == ENXIO || errno == ENODEV) {
		set_damaged(entry, "it is not a regular file");
		return 0;
	}
	if (errno != ENOENT || access(fc->keys_dir, F_OK) < 0) {
		return -1;
	}
	entry->presence = GL_FCNTL_ABSENT;
	return 0;
}

/*
 * A good checksum shows a state that was complete. A wrong one is a write that is under way, or damage:
 * while the lock can be had, nobody writes.
 */
static int peek_at(int fd, const char *key, struct gl_fcntl_entry *entry)
{
	int tries, result;

	for (tries = 0; tries < GL_FCNTL_TRIES; tries++) {
		if (read_entry(fd, key, entry) < 0) {
			return -1;
		}
		if (entry->presence == GL_FCNTL_READABLE) {
			return 0;
		}
		if (lock_file(fd, F_RDLCK) == 0) {
			result = read_entry(fd, key, entry);
			guestlock_ofd_lock(fd, F_UNLCK);
			return result;
		}
		if (errno != EAGAIN) {
			return -1;
		}
	}
	errno = EAGAIN;
	return -1;
}

static int open_entry(const struct gl_fcntl *fc, const char *key, int flags)
{
	char *path = entry_path(fc, key);
	int fd = path ? open(path, flags | GL_FCNTL_FLAGS) : -1;

	/* This leaves errno as it is, here and below (glibc 2.33). */
	free(path);
	return fd;
}

/* The descriptor, or -1 with errno. */
static int open_in(const struct gl_fcntl *fc, int directory, const char *key, int flags)
{
	if (directory < 0) {
		return open_entry(fc, key, flags);
	}
	if (!guestlock_key_valid(key)) {
		errno = EBADMSG;
		return -1;
	}
	return openat(directory, key, flags | GL_FCNTL_FLAGS);
}

int gl_fcntl_entry_peek(const struct gl_fcntl *fc, int directory, const char *key, struct gl_fcntl_entry *out)
{
	int fd = open_in(fc, directory, key, O_RDONLY);
	int result;

	if (fd < 0) {
		return judge_open(fc, out);
	}
	result = peek_at(fd, key, out);
	close(fd);
	return result;
}

/* 0, or -1 with errno. */
static int stat_named(const struct gl_fcntl *fc, int directory, const char *key, struct stat *out_st)
{
	char *path = directory < 0 ? entry_path(fc, key) : NULL;
	int result = directory >= 0 ? fstatat(directory, key, out_st, AT_SYMLINK_NOFOLLOW)
		     : path         ? lstat(path, out_st)
				    : -1;

	free(path);
	return result;
}

/*
 * 1: locked, and still the file of that name; 0: it was replaced or removed meanwhile; -1 with errno. A count of
 * links would not tell, as a file without its name may have another one in a copy of the directory.
 */
static int lock_entry(const struct gl_fcntl *fc, int directory, const char *key, int fd,
		      struct gl_fcntl_entry *entry)
{
	struct stat st, named;

	if (lock_file(fd, F_WRLCK) < 0 || fstat(fd, &st) < 0) {
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		set_damaged(entry, "it is not a regular file");
	}
	if (stat_named(fc, directory, key, &named) < 0) {
		return errno == ENOENT ? 0 : -1;
	}
	return named.st_dev == st.st_dev && named.st_ino == st.st_ino;
}

int gl_fcntl_entry_open(const struct gl_fcntl *fc, int directory, const char *key, struct gl_fcntl_entry *out)
{
	int tries;

	for (tries = 0; tries < GL_FCNTL_TRIES; tries++) {
		int fd = open_in(fc, directory, key, O_RDWR);
		int locked;

		if (fd < 0) {
			return judge_open(fc, out);
		}
		out->fd = fd;
		locked = lock_entry(fc, directory, key, fd, out);
		if (locked > 0) {
			return out->presence == GL_FCNTL_DAMAGED ? 0 : read_entry(fd, key, out);
		}
		if (locked < 0) {
			return -1;
		}
		gl_fcntl_entry_close(out);
	}
	errno = EAGAIN;
	return -1;
}

void gl_fcntl_entry_close(struct gl_fcntl_entry *entry)
{
	unlock_and_close(entry->fd);
	free(entry->text);
	free(entry->lines);
	*entry = (struct gl_fcntl_entry)GL_FCNTL_ENTRY_INIT;
}

/* ---- Writing ---- */

/* Such a limit would end the process, and cut the entry off in the midst. */
static bool is_too_much(struct gl_fcntl_entry *entry, size_t size)
{
	struct rlimit limit;

	if (entry->most == 0) {
		entry->most = getrlimit(RLIMIT_FSIZE, &limit) < 0 ? UINT64_MAX
			      : limit.rlim_cur > 0                ? limit.rlim_cur
								  : 1;
	}
	return entry->most < size;
}

static int write_from_start(int fd, struct gl_fcntl_entry *entry, const char *text, size_t size)
{
	size_t used = 0;

	if (is_too_much(entry, size)) {
		errno = EFBIG;
		return -1;
	}
	while (used < size) {
		ssize_t put = pwrite(fd, text + used, size - used, (off_t)used);

		if (put < 0 && errno == EINTR) {
			continue;
		}
		if (put <= 0) {
			errno = put == 0 ? ENOSPC : errno;
			return -1;
		}
		used += (size_t)put;
	}
	return 0;
}

/* A new locked file with that text; its name goes to out_path. */
static int make_file(const struct gl_fcntl *fc, struct gl_fcntl_entry *entry, const char *text, size_t size,
		     char **out_path)
{
	int saved_errno, fd;

	if (asprintf(out_path, "%s/%016llx", fc->new_dir, (unsigned long long)guestlock_random64()) < 0) {
		*out_path = NULL;
		errno = ENOMEM;
		return -1;
	}
	fd = open(*out_path, O_RDWR | O_CREAT | O_EXCL | GL_FCNTL_FLAGS, 0600);
	if (fd < 0) {
		return -1;
	}
	if (lock_file(fd, F_WRLCK) == 0 && write_from_start(fd, entry, text, size) == 0) {
		return fd;
	}
	saved_errno = errno;
	unlink(*out_path);
	unlock_and_close(fd);
	errno = saved_errno;
	return -1;
}

/* Gives a file its name, if nothing else has it yet. */
static int name_new(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
		return 0;
	}
	if (errno != EINVAL && errno != ENOSYS) {
		return -1;
	}
	/* Not every file system has it. */
	if (link(from, to) < 0) {
		return -1;
	}
	unlink(from);
	return 0;
}

static int replace_named(const char *path, const char *from, struct gl_fcntl_entry *entry, int fd)
{
	if ((entry->fd < 0 ? name_new(from, path) : rename(from, path)) < 0) {
		int saved_errno = errno;

		/* Before it was locked, somebody may have taken it for what a crash had left. */
		if (saved_errno == EEXIST || (saved_errno == ENOENT && access(from, F_OK) < 0)) {
			saved_errno = EAGAIN;
		}
		unlink(from);
		unlock_and_close(fd);
		errno = saved_errno;
		return -1;
	}
	unlock_and_close(entry->fd);
	entry->fd = fd;
	return 0;
}

/* The entry's file becomes a new one; the descriptor with its lock is exchanged too. */
static int replace_file(const struct gl_fcntl *fc, const char *key, struct gl_fcntl_entry *entry,
			const char *text, size_t size)
{
	char *path = entry_path(fc, key), *from = NULL;
	int fd = path ? make_file(fc, entry, text, size, &from) : -1;
	int result = fd < 0 ? -1 : replace_named(path, from, entry, fd);

	free(path);
	free(from);
	return result;
}

static int write_text(const struct gl_fcntl *fc, const char *key, struct gl_fcntl_entry *entry,
		      const char *text, size_t size)
{
	if (size > GL_FCNTL_MAX) {
		errno = EFBIG;
		return -1;
	}
	if (entry->fd < 0 || size > GL_FCNTL_PAGE) {
		return replace_file(fc, key, entry, text, size);
	}
	return write_from_start(entry->fd, entry, text, size);
}

int gl_fcntl_entry_write(const struct gl_fcntl *fc, const char *key, struct gl_fcntl_entry *entry)
{
	size_t size;
	char *text = gl_fcntl_entry_format(entry, key, &size);
	int result = text ? write_text(fc, key, entry, text, size) : -1;

	free(text);
	return result;
}

int gl_fcntl_entry_restore(const struct gl_fcntl *fc, const char *key, struct gl_fcntl_entry *entry)
{
	if (entry->presence == GL_FCNTL_READABLE) {
		return write_text(fc, key, entry, entry->text, entry->size);
	}
	return entry->fd < 0 ? 0 : gl_fcntl_entry_remove(fc, key);
}

int gl_fcntl_entry_remove(const struct gl_fcntl *fc, const char *key)
{
	char *path = entry_path(fc, key);
	int result = path ? unlink(path) : -1;

	free(path);
	return result;
}

/* ---- All of them ---- */

static int scan_names(const struct gl_fcntl *fc, DIR *directory, gl_fcntl_visit_fn *visit, void *data)
{
	for (;;) {
		struct dirent *found;
		int result;

		errno = 0;
		found = readdir(directory);
		if (!found) {
			return errno == 0 ? 0 : -1;
		}
		if (!guestlock_key_valid(found->d_name)) {
			continue;
		}
		result = visit(fc, dirfd(directory), found->d_name, data);
		if (result != 0) {
			return result;
		}
	}
}

int gl_fcntl_scan(const struct gl_fcntl *fc, gl_fcntl_visit_fn *visit, void *data)
{
	DIR *directory = opendir(fc->keys_dir);
	int result, saved_errno;

	if (!directory) {
		return -1;
	}
	result = scan_names(fc, directory, visit, data);
	saved_errno = errno;
	closedir(directory);
	errno = saved_errno;
	return result;
}
