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

/* 0, or a negative result: -EEXIST and the like when somebody has it. */
static int remove_lease(struct gl_sanlock *sl, const char *key)
{
	struct sanlk_resource *resource;
	struct gl_sanlock_lease lease;
	struct gl_sanlock_file before;
	int rv;

	gl_sanlock_lease_of_key(sl, key, &lease);
	resource = &lease.resource;
	rv = gl_sanlock_identify(lease.disk.path, &before);
	if (rv == -ENOENT) {
		return 0;
	}
	if (rv == 0) {
		rv = gl_sanlock_watch_again(sl);
	}
	if (rv < 0) {
		return rv;
	}
	/* A release that is refused for another thread's acquire would leave the lease with this process for good. */
	pthread_mutex_lock(&removing);
	rv = sanlock_acquire(-1, getpid(), SANLK_ACQUIRE_OWNER_NOWAIT, 1, &resource, NULL);
	if (rv == 0) {
		/* A file that was made again meanwhile is another lease, which this process does not hold. */
		if (gl_sanlock_is_file(lease.disk.path, &before)) {
			unlink_all(sl, key, lease.disk.path);
		}
		/* Its file is gone, and the daemon says so. */
		sanlock_release(-1, getpid(), 0, 1, &resource);
	}
	pthread_mutex_unlock(&removing);
	return rv;
}

static void unprovision_slot(struct gl_sanlock_call *call, struct gl_sanlock_slot *slot)
{
	const char *key = slot->item->key->key;
	int rv;

	if (slot->lease.foreign) {
		return;
	}
	if (gl_sanlock_holders_any(call->sl, key)) {
		gl_sanlock_slot_fail(call, slot, GUESTLOCK_RES_BUSY,
				     "a guest shares it or has it parked; end that guest first");
		return;
	}
	rv = remove_lease(call->sl, key);
	if (rv < 0 && gl_sanlock_result(rv) == GUESTLOCK_RES_BUSY) {
		gl_sanlock_slot_busy(call, slot);
	}
	if (rv < 0 && slot->item->result == GUESTLOCK_RES_GRANTED) {
		gl_sanlock_slot_rv(call, slot, rv);
	}
}

static enum guestlock_result unprovision_batch(struct guestlock_backend *backend,
					       struct guestlock_batch *batch, struct guestlock_error *err)
{
	struct gl_sanlock_call call;

	gl_sanlock_call_begin(&call, backend, batch, "forget", err);
	if (call.result == GUESTLOCK_RES_GRANTED) {
		for (size_t i = 0; i < call.count; i++) {
			unprovision_slot(&call, &call.slots[i]);
		}
	}
	return gl_sanlock_call_end(&call);
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

enum guestlock_result gl_sanlock_unprovision(struct guestlock_backend *backend, struct guestlock_batch *batch,
					     unsigned unused_s, struct guestlock_error *err)
{
	struct gl_sanlock *sl = gl_sanlock_of(backend);
	time_t oldest = time(NULL) - (time_t)unused_s;
	enum guestlock_result result;
	const struct dirent *entry;
	DIR *directory;

	if (batch) {
		return unprovision_batch(backend, batch, err);
	}
	result = gl_sanlock_check_joined(sl, err);
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
