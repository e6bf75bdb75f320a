/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records on disk: under their lock loaded, saved and removed; without it looked at; damaged ones set
 * aside.
 */
#include "record/store.h"
#include "base/base.h"
#include "base/error.h"
#include "life/tether.h"
#include "record/checkfile.h"
#include "record/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define GUESTS "guests"
#define DAMAGED "damaged"
#define MAGIC "guestlock-file 1"

/* ---- The lock of a guest ---- */

/* Who it is, is looked for only now: this is rare, and every operation would pay for a note of it. */
static int fail_held(const char *uuid, const char *path, struct guestlock_error *err)
{
	char name[sizeof(GUESTS) + GUESTLOCK_UUID_STRING];
	char who[48] = "another process of guestlock";
	struct stat st;
	pid_t pid = 0;

	snprintf(name, sizeof(name), GUESTS "/%.*s", GUESTLOCK_UUID_STRING - 1, uuid);
	if (stat(path, &st) == 0) {
		pid = gl_lock_holder(name, st.st_ino);
	}
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

static int fail_no_file(const char *path, int sys_errno, struct guestlock_error *err)
{
	return gl_fail(err, GUESTLOCK_DAMAGED, sys_errno,
		       "cannot trust record %s: it is no regular file, or too large; "
		       "'guestlock reap' sets it aside",
		       path);
}

static int fail_lock(const char *uuid, const char *path, int sys_errno, struct guestlock_error *err)
{
	int status;

	switch (sys_errno) {
	case ETIMEDOUT:
		return fail_held(uuid, path, err);
	case EISDIR:
	case EINVAL:
	case ELOOP:
	case ENXIO:
		status = fail_no_file(path, sys_errno, err);
		break;
	default:
		status = gl_rundir_fail(err, sys_errno, "lock", path);
	}
	gl_error_about(err, uuid, NULL);
	return status;
}

int gl_store_lock(const struct gl_store *store, const char *uuid, int64_t deadline_ms,
		  struct gl_guest_lock *out_lock, struct guestlock_error *err)
{
	GL_AUTOFREE char *path = NULL;
	int status = gl_rundir_path(store, GUESTS, uuid, &path, err);
	size_t size;
	int fd;

	if (status) {
		return status;
	}
	if (gl_rundir_open_locked(store, path, true, deadline_ms, &fd, &size) < 0) {
		return fail_lock(uuid, path, errno, err);
	}
	*out_lock = (struct gl_guest_lock){.fd = fd, .size = size};
	gl_copy_cut(out_lock->uuid, sizeof(out_lock->uuid), uuid);
	return GUESTLOCK_OK;
}

void gl_store_unlock(const struct gl_store *store, struct gl_guest_lock *lock)
{
	GL_AUTOFREE char *path = NULL;

	if (lock->fd < 0) {
		return;
	}
	/*
	 * Whoever waits for this file finds out, once it has the lock, that it was unlinked. While it is locked, nobody
	 * may take its name away; but somebody may have removed it all the same, and the name be a new life's.
	 */
	if (lock->size == 0 && !lock->gone &&
	    gl_rundir_path(store, GUESTS, lock->uuid, &path, NULL) == GUESTLOCK_OK &&
	    gl_leads_to(path, lock->fd) > 0) {
		unlink(path);
	}
	gl_rundir_close_locked(lock->fd);
	lock->fd = -1;
}

void gl_store_tidy(const struct gl_store *store, const char *uuid)
{
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	GL_AUTOFREE char *path = NULL;
	size_t size;

	if (gl_rundir_path(store, GUESTS, uuid, &path, NULL) == GUESTLOCK_OK &&
	    gl_rundir_open_locked(store, path, false, 0, &lock.fd, &size) == 0) {
		lock.size = size;
		gl_copy_cut(lock.uuid, sizeof(lock.uuid), uuid);
		gl_store_unlock(store, &lock);
	}
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
		return fail_no_file(path, sys_errno, err);
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
	int status =
		gl_record_parse(file->lines, !file->damaged, file->body, file->length, path, out_record, err);

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
	GL_AUTOFREE char *path = NULL;
	struct gl_checked file = {0};
	int status = gl_rundir_path(store, GUESTS, uuid, &path, err);

	if (status == GUESTLOCK_OK && (gl_checked_look(path, MAGIC, &file) < 0 || file.size == 0)) {
		status = fail_load(uuid, path, file.data ? ENOENT : errno, err);
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

int gl_store_open(const struct gl_store *store, struct gl_guest_lock *lock, struct gl_record **out_record,
		  struct guestlock_error *err)
{
	GL_AUTOFREE char *path = NULL;
	struct gl_checked file = {0};
	int status;

	if (lock->size == 0) {
		return GUESTLOCK_NOT_FOUND;
	}
	status = gl_rundir_path(store, GUESTS, lock->uuid, &path, err);
	if (status == GUESTLOCK_OK && gl_checked_read(lock->fd, lock->size, MAGIC, &file) < 0) {
		status = fail_load(lock->uuid, path, errno, err);
	}
	if (status == GUESTLOCK_OK) {
		lock->turn = file.turn;
		status = take_file(&file, lock->uuid, path, out_record, err);
	}
	gl_checked_clear(&file);
	if (status) {
		gl_error_about(err, lock->uuid, NULL);
	}
	return status;
}

/* A new record that was not written in full is none. */
static int write_in_place(struct gl_guest_lock *lock, struct gl_text *text)
{
	int saved_errno;

	if (gl_checked_write(lock->fd, &lock->size, MAGIC, text, &lock->turn) == 0) {
		return 0;
	}
	saved_errno = errno;
	if (lock->size == 0 && ftruncate(lock->fd, 0) < 0) {
		saved_errno = errno;
	}
	errno = saved_errno;
	return -1;
}

/* As a whole; once more if somebody has removed the directory. */
static int write_anew(const struct gl_store *store, const char *path, struct gl_guest_lock *lock,
		      struct gl_text *text)
{
	if (gl_checked_replace(path, MAGIC, text, true, &lock->fd, &lock->size, &lock->turn) < 0 &&
	    (errno != ENOENT || gl_rundir_make(store, NULL) ||
	     gl_checked_replace(path, MAGIC, text, true, &lock->fd, &lock->size, &lock->turn) < 0)) {
		return -1;
	}
	return 0;
}

static int save(const struct gl_store *store, struct gl_guest_lock *lock, const struct gl_record *record,
		struct guestlock_error *err)
{
	GL_AUTOTEXT struct gl_text text = GL_TEXT_INIT;
	GL_AUTOFREE char *path = NULL;
	int status = gl_rundir_path(store, GUESTS, record->uuid, &path, err);

	gl_checked_begin(&text, MAGIC);
	if (status == GUESTLOCK_OK) {
		status = gl_record_put(&text, record, err);
	}
	if (status) {
		return status;
	}
	if ((gl_checked_in_place(lock->size, lock->turn, &text) ? write_in_place(lock, &text)
								: write_anew(store, path, lock, &text)) < 0) {
		return gl_rundir_fail(err, errno, "write the record", path);
	}
	return GUESTLOCK_OK;
}

int gl_store_save(const struct gl_store *store, struct gl_guest_lock *lock, const struct gl_record *record,
		  struct guestlock_error *err)
{
	int status = save(store, lock, record, err);

	if (status) {
		gl_error_about(err, record->uuid, NULL);
	}
	return status;
}

/* Emptied, since a file that has no name any more would keep nobody out: unlocking removes it. */
int gl_store_remove(struct gl_guest_lock *lock, struct guestlock_error *err)
{
	if (lock->size > 0 && ftruncate(lock->fd, 0) < 0) {
		int status = gl_rundir_fail(err, errno, "remove the record of guest", lock->uuid);

		gl_error_about(err, lock->uuid, NULL);
		return status;
	}
	lock->size = 0;
	lock->turn = 0;
	return GUESTLOCK_OK;
}

/* TIME is in nanoseconds, so that no name comes twice. */
static int path_aside(const struct gl_store *store, const char *uuid, char **out_path,
		      struct guestlock_error *err)
{
	char name[64 + GUESTLOCK_UUID_STRING];
	struct timespec now = {0};

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(name, sizeof(name), "%.*s.%lld%09ld", GUESTLOCK_UUID_STRING - 1, uuid, (long long)now.tv_sec,
		 now.tv_nsec);
	return gl_rundir_path(store, DAMAGED, name, out_path, err);
}

/*
 * A copy goes aside and the file goes, so that who waits for its lock finds that it is gone. What is no
 * regular file nobody waits for, and what is too large nobody takes for a record.
 */
static int move_aside(const char *from, const char *to, const struct gl_guest_lock *lock)
{
	GL_AUTOFREE char *data = NULL;
	size_t size;
	int named;

	if (lock->fd < 0) {
		return rename(from, to);
	}
	named = gl_leads_to(from, lock->fd);
	if (named <= 0) {
		errno = named == 0 ? ENOENT : errno;
		return -1;
	}
	if (lock->size > GL_RECORD_MAX) {
		return rename(from, to);
	}
	return guestlock_read_file(from, GL_RECORD_MAX, &data, &size) < 0 ||
			       guestlock_write_file(to, data, size, 0600) < 0
		       ? -1
		       : unlink(from);
}

int gl_store_set_aside(const struct gl_store *store, const char *uuid, struct gl_guest_lock *lock,
		       char **out_path, struct guestlock_error *err)
{
	GL_AUTOFREE char *from = NULL;
	GL_AUTOFREE char *to = NULL;
	int status = gl_rundir_make(store, err);
	char *copy;

	if (status == GUESTLOCK_OK) {
		status = gl_rundir_path(store, GUESTS, uuid, &from, err);
	}
	if (status == GUESTLOCK_OK) {
		status = path_aside(store, uuid, &to, err);
	}
	if (status) {
		return status;
	}
	copy = strdup(to);
	if (!copy) {
		return gl_fail_memory(err);
	}
	if (move_aside(from, to, lock) < 0) {
		free(copy);
		status = gl_rundir_fail(err, errno, "set aside the damaged record", from);
		gl_error_about(err, uuid, NULL);
		return status;
	}
	lock->size = 0;
	lock->turn = 0;
	lock->gone = true;
	*out_path = copy;
	return GUESTLOCK_OK;
}

/* ---- All records ---- */

struct uuids {
	char (*items)[GUESTLOCK_UUID_STRING];
	size_t count;
};

static int add_uuid(struct uuids *uuids, const char *uuid)
{
	void *grown = gl_grow(uuids->items, uuids->count, sizeof(*uuids->items));

	if (!grown) {
		return -1;
	}
	uuids->items = grown;
	memcpy(uuids->items[uuids->count++], uuid, GUESTLOCK_UUID_STRING);
	return 0;
}

/* Takes the names that are uuids and passes over the others, such as temporary files. */
static int read_uuids(DIR *directory, struct uuids *uuids)
{
	struct dirent *entry;

	while (errno = 0, (entry = readdir(directory))) {
		if (!gl_uuid_valid(entry->d_name)) {
			continue;
		}
		if (add_uuid(uuids, entry->d_name)) {
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
	GL_AUTOFREE char *path = NULL;
	struct uuids uuids = {.items = NULL};

	if (asprintf(&path, "%s/%s", store->run_dir, GUESTS) < 0) {
		path = NULL;
		return gl_fail_memory(err);
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
