/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store.h"
#include "checked.h"
#include "error.h"
#include "rundir.h"
#include "tether.h"
#include "util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define GUESTS "guests"
#define LOCKS "locks"
#define DAMAGED "damaged"
#define MAGIC "guestlock-file 1"

/* ---- The lock of a guest ---- */

/* Who it is, is looked for only now: this is rare, and every operation would pay for a note of it. */
static int fail_held(const char *uuid, struct guestlock_error *err)
{
	char name[sizeof(LOCKS) + GUESTLOCK_UUID_STRING];
	char who[48] = "another process of guestlock";
	pid_t pid;

	snprintf(name, sizeof(name), LOCKS "/%.*s", GUESTLOCK_UUID_STRING - 1, uuid);
	pid = gl_lock_holder(name);
	if (pid > 0) {
		snprintf(who, sizeof(who), "process %d", (int)pid);
	}
	gl_fail(err, GUESTLOCK_TIMEOUT, ETIMEDOUT,
		"cannot change guest %s: %s is changing it and did not finish in time; "
		"try again, and look at that process if it hangs",
		uuid, who);
	gl_error_about(err, uuid, NULL);
	return GUESTLOCK_TIMEOUT;
}

int gl_store_lock(const struct gl_store *store, const char *uuid, int64_t deadline_ms,
		  struct gl_guest_lock *out_lock, struct guestlock_error *err)
{
	char path[PATH_MAX];
	int status = gl_rundir_path(store, LOCKS, uuid, path, err);
	size_t size;
	int fd;

	if (status) {
		return status;
	}
	if (gl_rundir_open_locked(store, path, true, deadline_ms, &fd, &size) < 0) {
		return errno == ETIMEDOUT ? fail_held(uuid, err) : gl_rundir_fail(err, errno, "lock", path);
	}
	out_lock->fd = fd;
	gl_copy_cut(out_lock->uuid, sizeof(out_lock->uuid), uuid);
	return GUESTLOCK_OK;
}

void gl_store_unlock(const struct gl_store *store, struct gl_guest_lock *lock, bool remove)
{
	char path[PATH_MAX];

	if (lock->fd < 0) {
		return;
	}
	/* Whoever waits for this file finds out, once it has the lock, that it was unlinked. */
	if (remove && gl_rundir_path(store, LOCKS, lock->uuid, path, NULL) == GUESTLOCK_OK) {
		unlink(path);
	}
	gl_rundir_close_locked(lock->fd);
	lock->fd = -1;
}

/* ---- Records ---- */

static int fail_load(const char *uuid, const char *path, int sys_errno, struct guestlock_error *err)
{
	switch (sys_errno) {
	case ENOENT:
	case ENOTDIR:
		return gl_fail(
			err, GUESTLOCK_NOT_FOUND, sys_errno,
			"there is no guest %s: no record %s; 'guestlock list' shows the guests there are",
			uuid, path);
	case EISDIR:
	case EINVAL:
	case EFBIG:
	case ELOOP:
		return gl_fail(err, GUESTLOCK_DAMAGED, sys_errno,
			       "cannot trust record %s: it is no regular file, or too large; "
			       "'guestlock reap' sets it aside",
			       path);
	default:
		return gl_rundir_fail(err, sys_errno, "read the record", path);
	}
}

static int check_uuid(const struct gl_record *record, const char *uuid, const char *path,
		      struct guestlock_error *err)
{
	if (strcmp(record->uuid, uuid) == 0) {
		return GUESTLOCK_OK;
	}
	return gl_fail(
		err, GUESTLOCK_DAMAGED, 0,
		"cannot trust record %s: it is that of another guest, %s; 'guestlock reap' sets it aside",
		path, record->uuid);
}

/* The parser gives the better reason, unless the damage makes another valid record of it. */
static int parse_file(const struct gl_checked *file, const char *path, struct gl_record **out_record,
		      struct guestlock_error *err)
{
	unsigned lines_before = file->body > file->data;
	int status = gl_record_parse_behind(lines_before, !file->damaged, file->body, file->length, path,
					    out_record, err);

	if (status == GUESTLOCK_OK && file->damaged) {
		gl_record_free(*out_record);
		return gl_fail(
			err, GUESTLOCK_DAMAGED, 0,
			"cannot trust record %s: line 1: the check is not that of the content, which was "
			"changed by something else than guestlock; 'guestlock reap' sets it aside",
			path);
	}
	return status;
}

static int take_file(const struct gl_checked *file, const char *uuid, const char *path,
		     struct gl_record **out_record, struct guestlock_error *err)
{
	struct gl_record *record;
	int status = parse_file(file, path, &record, err);

	if (status) {
		return status;
	}
	record->stored_size = file->size;
	record->stored_ns = file->changed_ns;
	status = check_uuid(record, uuid, path, err);
	if (status) {
		gl_record_free(record);
		return status;
	}
	*out_record = record;
	return GUESTLOCK_OK;
}

int gl_store_load(const struct gl_store *store, const char *uuid, struct gl_record **out_record,
		  struct guestlock_error *err)
{
	char path[PATH_MAX];
	struct gl_checked file = {0};
	int status = gl_rundir_path(store, GUESTS, uuid, path, err);

	if (status == GUESTLOCK_OK && gl_checked_look(path, MAGIC, &file) < 0) {
		status = fail_load(uuid, path, errno, err);
	}
	if (status == GUESTLOCK_OK) {
		status = take_file(&file, uuid, path, out_record, err);
	}
	gl_checked_clear(&file);
	if (status) {
		gl_error_about(err, uuid, NULL);
	}
	return status;
}

int gl_store_open(const struct gl_store *store, const char *uuid, struct gl_record **out_record,
		  struct guestlock_error *err)
{
	char path[PATH_MAX];
	struct gl_checked file = {0};
	int fd = -1, status = gl_rundir_path(store, GUESTS, uuid, path, err);

	if (status == GUESTLOCK_OK && gl_checked_open(path, MAGIC, &fd, &file) < 0) {
		status = fail_load(uuid, path, errno, err);
	}
	if (status == GUESTLOCK_OK) {
		status = take_file(&file, uuid, path, out_record, err);
	}
	gl_checked_clear(&file);
	if (status == GUESTLOCK_OK) {
		(*out_record)->stored_fd = fd;
		return status;
	}
	if (fd >= 0) {
		close(fd);
	}
	gl_error_about(err, uuid, NULL);
	return status;
}

/* Over the old content. 1: done, 0: there is none, or the new one does not fit; -1 with errno. */
static int write_in_place(const char *path, struct gl_record *record, const char *text, size_t size)
{
	int fd = record->stored_fd;
	int result, saved_errno;

	if (record->stored_size == 0 || !gl_checked_in_place(record->stored_size, MAGIC, size)) {
		return 0;
	}
	if (fd < 0) {
		fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	}
	if (fd < 0) {
		return errno == ENOENT ? 0 : -1;
	}
	result = gl_checked_write(fd, MAGIC, text, size);
	saved_errno = errno;
	if (fd != record->stored_fd) {
		close(fd);
	}
	errno = saved_errno;
	return result < 0 ? -1 : 1;
}

/* As a whole; once more if somebody has removed the directory. */
static int write_anew(const struct gl_store *store, const char *path, struct gl_record *record,
		      const char *text, size_t size)
{
	if (gl_checked_replace(path, MAGIC, text, size) < 0 &&
	    (errno != ENOENT || gl_rundir_make(store, NULL) ||
	     gl_checked_replace(path, MAGIC, text, size) < 0)) {
		return -1;
	}
	record->stored_size = size;
	gl_record_close(record);
	return 0;
}

int gl_store_save(const struct gl_store *store, struct gl_record *record, struct guestlock_error *err)
{
	char path[PATH_MAX];
	GL_AUTOFREE char *text = NULL;
	size_t size;
	int status = gl_rundir_path(store, GUESTS, record->uuid, path, err);

	if (status == GUESTLOCK_OK) {
		status = gl_record_serialize(record, &text, &size, err);
	}
	if (status == GUESTLOCK_OK) {
		int written = write_in_place(path, record, text, size);

		if (written < 0 || (written == 0 && write_anew(store, path, record, text, size) < 0)) {
			status = gl_rundir_fail(err, errno, "write the record", path);
		}
	}
	if (status) {
		gl_error_about(err, record->uuid, NULL);
	}
	return status;
}

int gl_store_remove(const struct gl_store *store, const char *uuid, struct guestlock_error *err)
{
	char path[PATH_MAX];
	int status = gl_rundir_path(store, GUESTS, uuid, path, err);

	if (status) {
		return status;
	}
	if (unlink(path) < 0 && errno != ENOENT) {
		status = gl_rundir_fail(err, errno, "remove the record", path);
		gl_error_about(err, uuid, NULL);
	}
	return status;
}

/* TIME is in nanoseconds, so that no name comes twice. */
static int path_aside(const struct gl_store *store, const char *uuid, char out_path[PATH_MAX],
		      struct guestlock_error *err)
{
	char name[64 + GUESTLOCK_UUID_STRING];
	struct timespec now = {0};

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(name, sizeof(name), "%.*s.%lld%09ld", GUESTLOCK_UUID_STRING - 1, uuid, (long long)now.tv_sec,
		 now.tv_nsec);
	return gl_rundir_path(store, DAMAGED, name, out_path, err);
}

int gl_store_set_aside(const struct gl_store *store, const char *uuid, char **out_path,
		       struct guestlock_error *err)
{
	char from[PATH_MAX], to[PATH_MAX];
	int status = gl_rundir_make(store, err);
	char *copy;

	if (status == GUESTLOCK_OK) {
		status = gl_rundir_path(store, GUESTS, uuid, from, err);
	}
	if (status == GUESTLOCK_OK) {
		status = path_aside(store, uuid, to, err);
	}
	if (status) {
		return status;
	}
	copy = strdup(to);
	if (!copy) {
		return gl_fail_memory(err);
	}
	if (rename(from, to) < 0) {
		free(copy);
		status = gl_rundir_fail(err, errno, "set aside the damaged record", from);
		gl_error_about(err, uuid, NULL);
		return status;
	}
	*out_path = copy;
	return GUESTLOCK_OK;
}

/* ---- All records ---- */

struct uuids {
	char (*items)[GUESTLOCK_UUID_STRING];
	size_t count, room;
};

static int add_uuid(struct uuids *uuids, const char *uuid)
{
	if (uuids->count == uuids->room) {
		size_t room = uuids->room ? 2 * uuids->room : 64;
		void *grown = reallocarray(uuids->items, room, sizeof(*uuids->items));

		if (!grown) {
			return -1;
		}
		uuids->items = grown;
		uuids->room = room;
	}
	memcpy(uuids->items[uuids->count++], uuid, GUESTLOCK_UUID_STRING);
	return 0;
}

/* Takes the names that are uuids and passes over the others, such as temporary files. */
static int read_uuids(DIR *directory, struct uuids *uuids)
{
	struct dirent *entry;

	while (errno = 0, (entry = readdir(directory))) {
		char uuid[GUESTLOCK_UUID_STRING];

		if (!gl_uuid_parse(entry->d_name, uuid) || strcmp(uuid, entry->d_name) != 0) {
			continue;
		}
		if (add_uuid(uuids, uuid)) {
			return -1;
		}
	}
	return errno ? -1 : 0;
}

static int read_guests(const char *path, struct uuids *uuids)
{
	DIR *directory = opendir(path);
	int result, saved_errno;

	if (!directory) {
		return errno == ENOENT ? 0 : -1;
	}
	result = read_uuids(directory, uuids);
	saved_errno = errno;
	closedir(directory);
	errno = saved_errno;
	return result;
}

int gl_store_uuids(const struct gl_store *store, char (**out_uuids)[GUESTLOCK_UUID_STRING], size_t *out_count,
		   struct guestlock_error *err)
{
	char path[PATH_MAX];
	struct uuids uuids = {.items = NULL};

	if (snprintf(path, sizeof(path), "%s/%s", store->run_dir, GUESTS) >= PATH_MAX) {
		return gl_rundir_fail(err, ENAMETOOLONG, "read", store->run_dir);
	}
	if (read_guests(path, &uuids) < 0) {
		int saved_errno = errno;

		free(uuids.items);
		return gl_rundir_fail(err, saved_errno, "list the records in", path);
	}
	*out_uuids = uuids.items;
	*out_count = uuids.count;
	return GUESTLOCK_OK;
}
