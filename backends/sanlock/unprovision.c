/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Removing the files of leases. One is removed under its own lease, taken exclusively by this process: so
 * nobody holds it, and whoever has opened the file meanwhile finds another one, or none, under its name when
 * he has got it, and gives it back (acquire.c).
 */
#include "sanlock_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void unlink_all(const struct gl_sanlock *sl, const char *key, const char *lease)
{
	char *note = gl_sanlock_path(sl, key, "note"), *holders = gl_sanlock_path(sl, key, "holders");

	/* The lease last: a note without one says that it may be held. */
	if (note) {
		unlink(note);
	}
	/* What a manager left there that is gone. */
	if (holders) {
		rmdir(holders);
	}
	unlink(lease);
	free(note);
	free(holders);
}

/* Whoever takes or gives back a lease for this process: the daemon takes one command of a process at a time. */
static pthread_mutex_t removing = PTHREAD_MUTEX_INITIALIZER;

/* Unless somebody has it. */
static void remove_lease(struct gl_sanlock *sl, const char *key)
{
	struct sanlk_resource *resource;
	struct gl_sanlock_lease lease;
	struct gl_sanlock_file before;

	gl_sanlock_lease_of_key(sl, key, &lease);
	resource = &lease.resource;
	if (gl_sanlock_watch_again(sl) < 0 || gl_sanlock_keep(lease.disk.path, &before) < 0) {
		return;
	}
	/* A release that is refused for another thread's acquire would leave the lease with this process for good. */
	pthread_mutex_lock(&removing);
	if (sanlock_acquire(-1, getpid(), SANLK_ACQUIRE_OWNER_NOWAIT, 1, &resource, NULL) == 0) {
		/* A file that was made again meanwhile is another lease, which this process does not hold. */
		if (gl_sanlock_is_file(lease.disk.path, &before)) {
			unlink_all(sl, key, lease.disk.path);
		}
		/* Its file is gone, and the daemon says so. */
		sanlock_release(-1, getpid(), 0, 1, &resource);
	}
	pthread_mutex_unlock(&removing);
	gl_sanlock_close(&before);
}

/* ---- All that are unused ---- */

static bool is_old(int directory, const char *name, time_t oldest)
{
	struct stat st;

	return fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_mtime <= oldest;
}

/* A file that a note is about and that is there still is in use, whoever runs at the moment. */
static bool is_wanted(const struct gl_sanlock *sl, const char *key)
{
	char *path = gl_sanlock_path(sl, key, "note");
	struct gl_sanlock_note note = {.count = 0};
	bool wanted = true;

	if (path && gl_sanlock_note_read(path, &note) == 0) {
		static const char file[] = "file:";

		wanted = note.presence == GL_SANLOCK_READABLE &&
			 strncmp(note.identity, file, sizeof(file) - 1) == 0 &&
			 access(note.identity + sizeof(file) - 1, F_OK) == 0;
	}
	if (path) {
		gl_sanlock_note_free(&note);
	}
	free(path);
	return wanted;
}

static void sweep_entry(struct gl_sanlock *sl, int directory, const char *name, time_t oldest)
{
	char key[GUESTLOCK_KEY_SIZE];
	const char *ending = gl_sanlock_key_of(name, key);

	/* A crash left it. Whoever makes one needs seconds. */
	if (strncmp(name, ".new-", 5) == 0) {
		if (is_old(directory, name, time(NULL) - 3600)) {
			unlinkat(directory, name, 0);
		}
		return;
	}
	if (!ending || strcmp(ending, ".lease") != 0 || !is_old(directory, name, oldest)) {
		return;
	}
	if (!is_wanted(sl, key) && !gl_sanlock_holders_any(sl, key)) {
		remove_lease(sl, key);
	}
}

enum guestlock_result gl_sanlock_unprovision(struct guestlock_backend *backend, unsigned unused_s,
					     struct guestlock_error *err)
{
	struct gl_sanlock *sl = gl_sanlock_of(backend);
	time_t oldest = time(NULL) - (time_t)unused_s;
	enum guestlock_result result = gl_sanlock_check_joined(sl, true, err);
	const struct dirent *entry;
	DIR *directory;

	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	directory = opendir(sl->dir);
	if (!directory) {
		return gl_sanlock_fail(err, -errno, "read", sl->dir);
	}
	while ((entry = readdir(directory)) != NULL) {
		sweep_entry(sl, dirfd(directory), entry->d_name, oldest);
	}
	closedir(directory);
	return GUESTLOCK_RES_GRANTED;
}
