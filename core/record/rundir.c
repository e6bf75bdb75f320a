/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file is locked and then looked at again: whoever had the lock before may have removed or replaced
 * it. Parts of the run directory are made when they are missing, not before.
 */
#include "record/rundir.h"
#include "base/base.h"
#include "base/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Between two looks at a lock: longer each time, so that a thousand that wait do not keep each other from it. */
#define LONGEST_PAUSE_MS 200

static int path_below(const char *directory, const char *part, const char *name, char **out_path,
		      struct guestlock_error *err)
{
	const char *const words[] = {directory, part[0] ? "/" : "", part, "/", name};
	char *path;

	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/')) {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "'%s' cannot be the name of a file in %s%s%s; check the uuid", name, directory,
			       words[1], part);
	}
	path = gl_concat(words, GL_COUNT(words));
	if (!path) {
		return gl_fail_memory(err);
	}
	if (strlen(path) >= PATH_MAX) {
		free(path);
		return gl_fail(err, GUESTLOCK_INVALID, ENAMETOOLONG,
			       "the path of directory %s is too long; configure a shorter run_dir",
			       directory);
	}
	*out_path = path;
	return GUESTLOCK_OK;
}

int gl_rundir_path(const struct gl_store *store, const char *part, const char *name, char **out_path,
		   struct guestlock_error *err)
{
	return path_below(store->run_dir, part, name, out_path, err);
}

int gl_rundir_hints(const struct gl_store *store, enum gl_hint_kind kind, const char *name, char **out_path,
		    struct guestlock_error *err)
{
	if (kind == GL_HINT_FILE && store->files_dir) {
		return path_below(store->files_dir, "", name, out_path, err);
	}
	return path_below(store->run_dir, kind == GL_HINT_FILE ? "hints/file" : "hints/name", name, out_path,
			  err);
}

static const char *advice(int sys_errno)
{
	switch (sys_errno) {
	case EACCES:
	case EPERM:
		return "run it as the user whose directory this is, or configure another run_dir";
	case ENOSPC:
	case EDQUOT:
		return "free some space there";
	case EROFS:
		return "make that file system writable, or configure another run_dir";
	case ENOENT:
	case ENOTDIR:
	case ELOOP:
	case ENAMETOOLONG:
		return "check run_dir in the configuration";
	default:
		return "check that file system";
	}
}

int gl_rundir_fail(struct guestlock_error *err, int sys_errno, const char *tried, const char *path)
{
	int status = gl_status_of_errno(sys_errno);

	/* A parent that is missing, in the way of making something, or no file at all. */
	if (status == GUESTLOCK_NOT_FOUND) {
		status = GUESTLOCK_CANNOT_CREATE;
	}
	return gl_fail(err, status, sys_errno, "cannot %s %s: %s; %s", tried, path, strerror(sys_errno),
		       advice(sys_errno));
}

/* The last one is what gl_store_prepare() looks for. */
static const char *const parts[] = {
	"", "/guests", "/damaged", "/hints", "/hints/file", "/hints/name",
};

static int refuse(const char *path, const char *why, struct guestlock_error *err)
{
	return gl_fail(err, GUESTLOCK_DENIED, 0, "cannot use the run directory %s: %s", path, why);
}

int gl_rundir_make(const struct gl_store *store, struct guestlock_error *err)
{
	char path[PATH_MAX], why[GUESTLOCK_WHY_NOT_SIZE];

	for (size_t i = 0; i < GL_COUNT(parts); i++) {
		int length = snprintf(path, sizeof(path), "%s%s", store->run_dir, parts[i]);

		if (length < 0 || length >= PATH_MAX) {
			return gl_rundir_fail(err, ENAMETOOLONG, "make the directory", store->run_dir);
		}
		if (gl_make_directory(path, 0700) < 0) {
			return gl_rundir_fail(err, errno, "make the directory", path);
		}
		if (!guestlock_directory_is_ours(path, why)) {
			return refuse(path, why, err);
		}
	}
	if (store->files_dir && gl_make_directory(store->files_dir, 0700) < 0) {
		return gl_rundir_fail(err, errno, "make the directory", store->files_dir);
	}
	return GUESTLOCK_OK;
}

int gl_store_prepare(const struct gl_store *store, struct guestlock_error *err)
{
	char path[PATH_MAX], why[GUESTLOCK_WHY_NOT_SIZE];
	struct stat st;
	int length = snprintf(path, sizeof(path), "%s%s", store->run_dir, parts[GL_COUNT(parts) - 1]);

	/* What is in it is ours if it is, as long as nobody else could write there before: see gl_store_check(). */
	if (length > 0 && length < PATH_MAX && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		return guestlock_directory_is_ours(store->run_dir, why) ? GUESTLOCK_OK
									: refuse(store->run_dir, why, err);
	}
	return gl_rundir_make(store, err);
}

int gl_store_check(const struct gl_store *store, struct guestlock_error *err)
{
	char path[PATH_MAX], why[GUESTLOCK_WHY_NOT_SIZE];

	for (size_t i = 0; i < GL_COUNT(parts); i++) {
		snprintf(path, sizeof(path), "%s%s", store->run_dir, parts[i]);
		if (!guestlock_directory_is_ours(path, why)) {
			return refuse(path, why, err);
		}
	}
	return GUESTLOCK_OK;
}

/* Are there any records? */
static bool has_records(const char *run_dir)
{
	char path[PATH_MAX];
	DIR *directory =
		snprintf(path, sizeof(path), "%s/guests", run_dir) < (int)sizeof(path) ? opendir(path) : NULL;
	const struct dirent *entry;
	bool any = false;

	while (directory && !any && (entry = readdir(directory))) {
		any = entry->d_name[0] != '.';
	}
	if (directory) {
		closedir(directory);
	}
	return any;
}

bool gl_store_beside(const struct gl_store *store, char out_path[PATH_MAX])
{
	const char *slash = strrchr(store->run_dir, '/'), *name = slash ? slash + 1 : "";
	GL_AUTOFREE char *above = slash ? strndup(store->run_dir, (size_t)(slash - store->run_dir)) : NULL;
	DIR *directory = above && strncmp(name, "run-", 4) == 0 ? opendir(above) : NULL;
	const struct dirent *entry;
	bool found = false;

	while (directory && !found && (entry = readdir(directory))) {
		found = strncmp(entry->d_name, "run-", 4) == 0 && strcmp(entry->d_name, name) != 0 &&
			snprintf(out_path, PATH_MAX, "%s/%s", above, entry->d_name) < PATH_MAX &&
			has_records(out_path);
	}
	if (!found) {
		out_path[0] = '\0';
	}
	if (directory) {
		closedir(directory);
	}
	return found;
}

/* Locks fd. 0 or -1 with errno. */
static int lock_until(int fd, int64_t deadline_ms)
{
	for (unsigned attempt = 0; guestlock_ofd_lock(fd, F_WRLCK) < 0; attempt++) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR) {
			return -1;
		}
		if (!gl_pause_before_retry(attempt, LONGEST_PAUSE_MS, deadline_ms)) {
			errno = ETIMEDOUT;
			return -1;
		}
	}
	return 0;
}

/* Opens and locks, without knowing yet whether path still names this file. */
static int open_and_lock(const char *path, int flags, int64_t deadline_ms, struct stat *out_st)
{
	int fd = open(path, flags, 0600);
	int saved_errno;

	if (fd < 0) {
		return -1;
	}
	if (lock_until(fd, deadline_ms) == 0 && fstat(fd, out_st) == 0) {
		return fd;
	}
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return -1;
}

/* 1: it can be used; 0: it is not that of this name any more; -1 with errno. */
static int judge_locked(const char *path, const struct stat *st)
{
	if (!S_ISREG(st->st_mode)) {
		errno = EINVAL;
		return -1;
	}
	return gl_leads_to_file(path, st);
}

static int open_locked(const char *path, int flags, int64_t deadline_ms, int *out_fd, size_t *out_size)
{
	struct stat st;
	int fd;

	/* Each turn means that somebody else has removed or replaced the file, so somebody made progress. */
	while ((fd = open_and_lock(path, flags, deadline_ms, &st)) >= 0) {
		int judged = judge_locked(path, &st), saved_errno = errno;

		if (judged > 0) {
			*out_fd = fd;
			*out_size = (size_t)st.st_size;
			return 0;
		}
		close(fd);
		errno = saved_errno;
		if (judged < 0) {
			return -1;
		}
	}
	return -1;
}

int gl_rundir_open_locked(const struct gl_store *store, const char *path, bool create, int64_t deadline_ms,
			  int *out_fd, size_t *out_size)
{
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | (create ? O_CREAT : 0);

	if (open_locked(path, flags, deadline_ms, out_fd, out_size) == 0) {
		return 0;
	}
	if (errno != ENOENT || !create || gl_rundir_make(store, NULL)) {
		return -1;
	}
	return open_locked(path, flags, deadline_ms, out_fd, out_size);
}

void gl_rundir_close_locked(int fd)
{
	guestlock_ofd_lock(fd, F_UNLCK);
	close(fd);
}
