/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who stands behind an xid: one small file each, below the run directory, written before the owner's first
 * lock and removed after its last. The locks themselves are in the kernel: a file that is missing makes a
 * lock unexplained, never free.
 */
#include "owners/owners.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWNER_FILE_MAX 65536

static char *path_of(const struct gl_dlm *dlm, uint64_t xid)
{
	char *path;

	return asprintf(&path, "%s/%016" PRIx64, dlm->owners_dir, xid) < 0 ? NULL : path;
}

static const struct guestlock_field fields[] = {
	{.key = "owner", .kind = GUESTLOCK_FIELD_OWNER, .offset = offsetof(struct gl_dlm_owner, owner)},
	{.key = NULL},
};

static const struct guestlock_form form = {.magic = "guestlock-owner 1", .head = fields};

static int write_owner(const char *path, const struct guestlock_owner *owner)
{
	struct gl_dlm_owner noted = {.owner = *owner};
	size_t size;
	char *text = guestlock_form_put(&form, &noted, NULL, 0, &size);
	int result = text ? guestlock_write_file(path, text, size, 0600) : -1;

	free(text);
	return result;
}

int gl_dlm_owner_note(const struct gl_dlm *dlm, const struct guestlock_owner *owner)
{
	char *path = path_of(dlm, gl_dlm_xid(dlm, owner));
	int result = 0;

	if (!path) {
		errno = ENOMEM;
		return -1;
	}
	if (access(path, F_OK) < 0) {
		result = write_owner(path, owner);
		if (result < 0 && errno == ENOENT && (mkdir(dlm->owners_dir, 0700) == 0 || errno == EEXIST)) {
			result = write_owner(path, owner);
		}
	}
	free(path);
	return result;
}

int gl_dlm_owner_read(const struct gl_dlm *dlm, uint64_t xid, struct gl_dlm_owner *out)
{
	char *path = path_of(dlm, xid);
	const char *damage = NULL;
	struct stat st;
	size_t size, count;
	void *none;
	int result;

	*out = (struct gl_dlm_owner){.text = NULL};
	if (!path) {
		errno = ENOMEM;
		return -1;
	}
	result = guestlock_read_file(path, OWNER_FILE_MAX, &out->text, &size);
	if (result == 0 && stat(path, &st) == 0) {
		out->noted = (int64_t)st.st_mtime;
	}
	free(path);
	if (result == 0) {
		result = guestlock_form_take(&form, out->text, size, out, &none, &count, &damage);
	}
	if (result < 0 || damage) {
		gl_dlm_owner_free(out);
		errno = damage ? EBADMSG : errno;
		return -1;
	}
	return 0;
}

void gl_dlm_owner_free(struct gl_dlm_owner *owner)
{
	free(owner->text);
	*owner = (struct gl_dlm_owner){.text = NULL};
}

void gl_dlm_owner_forget(const struct gl_dlm *dlm, uint64_t xid)
{
	char *path = path_of(dlm, xid);

	if (path) {
		unlink(path);
	}
	free(path);
	gl_dlm_names_forget(dlm, xid);
}

bool gl_dlm_owner_has_locks(struct gl_dlm *dlm, uint64_t xid)
{
	bool has;

	pthread_mutex_lock(&dlm->mutex);
	has = gl_dlm_table_has(&dlm->table, xid);
	pthread_mutex_unlock(&dlm->mutex);
	return has;
}

void gl_dlm_owners_sweep(struct gl_dlm *dlm)
{
	DIR *directory = opendir(dlm->owners_dir);
	const struct dirent *entry;

	if (!directory) {
		return;
	}
	while ((entry = readdir(directory)) != NULL) {
		char *end;
		uint64_t xid = strtoull(entry->d_name, &end, 16);

		if (end == entry->d_name + 16 && (*end == '\0' || strcmp(end, ".keys") == 0) &&
		    gl_dlm_is_ours(dlm, xid) && !gl_dlm_owner_has_locks(dlm, xid)) {
			gl_dlm_owner_forget(dlm, xid);
		}
	}
	closedir(directory);
}

bool gl_dlm_owner_is_dead(const struct gl_dlm *dlm, uint64_t xid)
{
	struct gl_dlm_owner owner;
	bool dead;

	if (gl_dlm_owner_read(dlm, xid, &owner) < 0) {
		return false;
	}
	dead = guestlock_owner_life(&owner.owner, dlm->base.life_dir) == GUESTLOCK_LIFE_DEAD;
	gl_dlm_owner_free(&owner);
	return dead;
}
