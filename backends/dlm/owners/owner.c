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

/* The text of an owner's file, malloc'd or NULL. */
static char *format_owner(const struct guestlock_owner *owner)
{
	char *name = guestlock_percent_encode(owner->name ? owner->name : "");
	char *host = guestlock_percent_encode(owner->host ? owner->host : "");
	char *text = NULL;

	if (name && host &&
	    asprintf(&text,
		     "guestlock-owner 1 uuid=%s instance=%016" PRIx64 " pid=%ld start=%" PRIu64 " ns=%" PRIu64
		     " boot=%s adopted=%d host=%s name=%s end\n",
		     owner->uuid, owner->instance, (long)owner->pid, owner->pid_start, owner->pid_ns,
		     owner->boot_id[0] ? owner->boot_id : "-", owner->adopted, host[0] ? host : "-",
		     name[0] ? name : "-") < 0) {
		text = NULL;
	}
	free(name);
	free(host);
	return text;
}

static int write_owner(const char *path, const struct guestlock_owner *owner)
{
	char *text = format_owner(owner);
	int result;

	if (!text) {
		errno = ENOMEM;
		return -1;
	}
	result = guestlock_write_file(path, text, strlen(text), 0600);
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

/* The value of the next word, which must be "KEY=VALUE"; "-" is an empty one. NULL: it is not. */
static char *take_value(char **rest, const char *key)
{
	char *word = strsep(rest, " ");
	size_t size = strlen(key);

	if (!word || strncmp(word, key, size) != 0 || word[size] != '=') {
		return NULL;
	}
	word += size + 1;
	if (strcmp(word, "-") == 0) {
		word[0] = '\0';
	}
	return word;
}

static bool take_number(char **rest, const char *key, int base, uint64_t *out)
{
	const char *value = take_value(rest, key);
	char *end;

	if (!value || !value[0]) {
		return false;
	}
	errno = 0;
	*out = strtoull(value, &end, base);
	return errno == 0 && *end == '\0';
}

static bool take_uuid(char **rest, const char *key, char out[GUESTLOCK_UUID_STRING])
{
	const char *value = take_value(rest, key);

	if (!value || strlen(value) >= GUESTLOCK_UUID_STRING) {
		return false;
	}
	memcpy(out, value, strlen(value) + 1);
	return true;
}

static bool take_text(char **rest, const char *key, const char **out)
{
	char *value = take_value(rest, key);

	*out = value;
	return value && guestlock_percent_decode(value) == 0;
}

static bool parse_owner(char *text, struct guestlock_owner *out)
{
	static const char begin[] = "guestlock-owner 1 ", end[] = "end\n";
	uint64_t pid, adopted;
	char *rest = text;

	*out = (struct guestlock_owner){.instance = 0};
	if (strncmp(text, begin, strlen(begin)) != 0) {
		return false;
	}
	rest += strlen(begin);
	if (!take_uuid(&rest, "uuid", out->uuid) || !take_number(&rest, "instance", 16, &out->instance) ||
	    !take_number(&rest, "pid", 10, &pid) || !take_number(&rest, "start", 10, &out->pid_start) ||
	    !take_number(&rest, "ns", 10, &out->pid_ns) || !take_uuid(&rest, "boot", out->boot_id) ||
	    !take_number(&rest, "adopted", 10, &adopted) || !take_text(&rest, "host", &out->host) ||
	    !take_text(&rest, "name", &out->name)) {
		return false;
	}
	out->pid = (pid_t)pid;
	out->adopted = adopted != 0;
	return rest && strcmp(rest, end) == 0;
}

int gl_dlm_owner_read(const struct gl_dlm *dlm, uint64_t xid, struct gl_dlm_owner *out)
{
	char *path = path_of(dlm, xid);
	struct stat st;
	size_t size;
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
	if (result < 0) {
		return -1;
	}
	if (!parse_owner(out->text, &out->owner)) {
		gl_dlm_owner_free(out);
		errno = EBADMSG;
		return -1;
	}
	out->owner.manager = dlm->base.run_dir;
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
