/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Leases as libsanlock wants them, their files, and what the daemon says a process holds. */
#include "sanlock_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GL_SANLOCK_TRIES 4             /* to make a file that others remove */
#define GL_SANLOCK_ALIGNMENT (1 << 20) /* bytes, of the smallest leases */

/* ---- What a lease is called ---- */

/* Names of the library need no NUL when they are full. */
static bool set_name(char out[SANLK_NAME_LEN], const char *name)
{
	size_t length = strlen(name);

	memset(out, 0, SANLK_NAME_LEN);
	memcpy(out, name, length < SANLK_NAME_LEN ? length : SANLK_NAME_LEN);
	return length > 0 && length <= SANLK_NAME_LEN && strcspn(name, " \t\n:\\") == length;
}

static bool set_path(char out[SANLK_PATH_LEN], const char *path)
{
	size_t length = strlen(path);

	if (path[0] != '/' || length >= SANLK_PATH_LEN || strcspn(path, " \t\n:\\") != length) {
		return false;
	}
	memcpy(out, path, length + 1);
	return true;
}

void gl_sanlock_lease_of_key(const struct gl_sanlock *sl, const char *key, struct gl_sanlock_lease *out)
{
	*out = (struct gl_sanlock_lease){.foreign = false};
	out->resource.num_disks = 1;
	set_name(out->resource.lockspace_name, sl->lockspace);
	set_name(out->resource.name, key);
	snprintf(out->disk.path, sizeof(out->disk.path), "%s/%.*s.lease", sl->dir, GUESTLOCK_KEY_SIZE, key);
}

/* The identity is "lease:LOCKSPACE:PATH:OFFSET:NAME". */
static const char *name_of(const struct guestlock_key *key)
{
	char before[32];
	size_t digits = (size_t)snprintf(before, sizeof(before), "%" PRIu64, key->offset);
	size_t skipped = strlen("lease:") + strlen(key->lockspace ? key->lockspace : "") + 1 +
			 strlen(key->path) + 1 + digits + 1;

	return strlen(key->identity) > skipped ? key->identity + skipped : "";
}

static enum guestlock_result init_foreign(const struct guestlock_key *key, struct gl_sanlock_lease *out,
					  struct guestlock_error *err)
{
	const char *name = name_of(key);

	*out = (struct gl_sanlock_lease){.foreign = true};
	out->resource.num_disks = 1;
	out->disk.offset = key->offset;
	if (!set_name(out->resource.lockspace_name, key->lockspace ? key->lockspace : "") ||
	    !set_name(out->resource.name, name)) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_INVALID, 0, 0,
			"cannot lock lease \"%s\" of lockspace \"%s\" at %s: sanlock wants a name and a "
			"lockspace of 1 to %d bytes without blanks, colons and backslashes",
			name, key->lockspace ? key->lockspace : "", key->path, SANLK_NAME_LEN);
	}
	if (key->offset % GL_SANLOCK_ALIGNMENT != 0) {
		return guestlock_backend_fail(err, GUESTLOCK_RES_INVALID, 0, 0,
					      "cannot lock lease \"%s\" at %s: its offset %" PRIu64
					      " is no multiple of %d, as sanlock "
					      "wants it; check the offset",
					      name, key->path, key->offset, GL_SANLOCK_ALIGNMENT);
	}
	if (!set_path(out->disk.path, key->path)) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_INVALID, 0, 0,
			"cannot lock lease \"%s\" at %s: sanlock wants an absolute path of "
			"at most %d bytes without blanks, colons and backslashes",
			name, key->path, SANLK_PATH_LEN - 1);
	}
	return GUESTLOCK_RES_GRANTED;
}

enum guestlock_result gl_sanlock_lease_init(const struct gl_sanlock *sl, const struct guestlock_key *key,
					    struct gl_sanlock_lease *out, struct guestlock_error *err)
{
	if (key->type == GUESTLOCK_LEASE && key->path && key->path[0]) {
		return init_foreign(key, out, err);
	}
	if (!guestlock_key_valid(key->key)) {
		return guestlock_backend_fail(err, GUESTLOCK_RES_INVALID, 0, 0,
					      "cannot lock %s: it is no key; a key has 43 letters, digits, "
					      "\"-\" and \"_\"",
					      key->key);
	}
	gl_sanlock_lease_of_key(sl, key->key, out);
	return GUESTLOCK_RES_GRANTED;
}

/* Names and paths that sanlock takes have no colons, so that an identity can be read in one way only. */
static bool parse_identity(char *text, struct guestlock_key *key)
{
	const char *offset;
	char *end;

	if (strncmp(text, "lease:", strlen("lease:")) != 0) {
		return false;
	}
	text += strlen("lease:");
	key->type = GUESTLOCK_LEASE;
	key->lockspace = strsep(&text, ":");
	key->path = strsep(&text, ":");
	offset = strsep(&text, ":");
	if (!text || offset[0] == '\0') {
		return false;
	}
	key->offset = strtoull(offset, &end, 10);
	return *end == '\0';
}

void gl_sanlock_subject_of(const struct gl_sanlock *sl, const char *key, const struct gl_sanlock_note *note,
			   struct gl_sanlock_subject *out)
{
	struct guestlock_key named = {.identity = note->identity};
	struct guestlock_error ignored;

	memcpy(named.key, key, GUESTLOCK_KEY_SIZE - 1);
	out->key = named;
	snprintf(out->text, sizeof(out->text), "%s", note->identity);
	if (parse_identity(out->text, &named) &&
	    init_foreign(&named, &out->lease, &ignored) == GUESTLOCK_RES_GRANTED) {
		out->key = named;
	} else {
		gl_sanlock_lease_of_key(sl, key, &out->lease);
	}
}

/* ---- Its file ---- */

static uint32_t sizes_of(const struct gl_sanlock *sl)
{
	return sl->sector == 4096 ? SANLK_RES_ALIGN8M | SANLK_RES_SECTOR4K
				  : SANLK_RES_ALIGN1M | SANLK_RES_SECTOR512;
}

off_t gl_sanlock_size(const struct gl_sanlock *sl)
{
	return (off_t)(sl->sector == 4096 ? 8 : 1) << 20;
}

static int fill_lease(const struct gl_sanlock *sl, const char *path, const void *data)
{
	struct gl_sanlock_lease lease = *(const struct gl_sanlock_lease *)data;

	snprintf(lease.disk.path, sizeof(lease.disk.path), "%s", path);
	lease.resource.flags = sizes_of(sl);
	return sanlock_write_resource(&lease.resource, 0, 0, 0);
}

static bool counts(const struct gl_sanlock *sl, const struct gl_sanlock_line *line)
{
	return line->mode != GUESTLOCK_MODE_NONE &&
	       (line->host_id != sl->host_id || strcmp(line->owner.manager, sl->base.run_dir) != 0 ||
		guestlock_owner_life(&line->owner, sl->base.life_dir) != GUESTLOCK_LIFE_DEAD);
}

static int has_holder(const struct gl_sanlock *sl, const char *key, const struct gl_sanlock_note *note,
		      void *data)
{
	bool found = note->presence == GL_SANLOCK_DAMAGED;

	(void)key;
	(void)data;
	for (size_t i = 0; i < note->count && !found; i++) {
		found = counts(sl, &note->lines[i]);
	}
	return found;
}

/* Somebody may hold the lease whose file is gone: a new one could be had beside it. */
static bool may_be_held(const struct gl_sanlock *sl, const struct gl_sanlock_lease *lease)
{
	char key[SANLK_NAME_LEN + 1], *path;
	struct gl_sanlock_note note = {.count = 0};
	bool held;

	snprintf(key, sizeof(key), "%.*s", SANLK_NAME_LEN, lease->resource.name);
	path = gl_sanlock_path(sl, key, "note");
	held = !path || gl_sanlock_note_read(path, &note) < 0 || has_holder(sl, key, &note, NULL);
	gl_sanlock_note_free(&note);
	free(path);
	return held || gl_sanlock_holders_each(sl, key, "", has_holder, NULL) != 0;
}

/* Others may make it, take it, and remove it again at any moment. */
int gl_sanlock_lease_provision(const struct gl_sanlock *sl, const struct gl_sanlock_lease *lease,
			       struct gl_sanlock_file *out)
{
	int result = gl_sanlock_keep(lease->disk.path, out);

	for (int tries = 0; result == -ENOENT && !lease->foreign && tries < GL_SANLOCK_TRIES; tries++) {
		if (!may_be_held(sl, lease)) {
			result = gl_sanlock_create(sl, lease->disk.path, gl_sanlock_size(sl), fill_lease,
						   lease);
			if (result < 0) {
				return result;
			}
		}
		result = gl_sanlock_keep(lease->disk.path, out);
	}
	return result;
}

/* ---- What a process holds ---- */

/* Another process may have the number by now. One that is gone may have left the socket to a child. */
static bool is_reused(const struct guestlock_owner *owner)
{
	uint64_t start = owner->pid_start ? guestlock_process_start(owner->pid) : 0;

	return start != 0 && start != owner->pid_start;
}

bool gl_sanlock_is_running(const struct guestlock_owner *owner)
{
	return owner->pid > 0 && owner->pid_start != 0 &&
	       guestlock_process_start(owner->pid) == owner->pid_start;
}

int gl_sanlock_held(const struct guestlock_owner *owner, struct gl_sanlock_held *out)
{
	char *state = NULL;
	int count = 0, rv;

	*out = (struct gl_sanlock_held){.count = 0};
	if (owner->pid <= 0 || is_reused(owner)) {
		return 0;
	}
	rv = sanlock_inquire(-1, owner->pid, 0, &count, &state);
	if (rv == GL_SANLOCK_ESRCH) {
		return 0;
	}
	out->registered = rv == 0;
	if (rv == 0 && count > 0 && state) {
		rv = sanlock_state_to_args(state, &out->count, &out->resources);
	}
	free(state);
	return rv;
}

void gl_sanlock_held_free(struct gl_sanlock_held *held)
{
	for (int i = 0; i < held->count; i++) {
		free(held->resources[i]);
	}
	free(held->resources);
	*held = (struct gl_sanlock_held){.count = 0};
}

const struct sanlk_resource *gl_sanlock_held_find(const struct gl_sanlock_held *held,
						  const struct gl_sanlock_lease *lease)
{
	for (int i = 0; i < held->count; i++) {
		const struct sanlk_resource *resource = held->resources[i];

		if (strncmp(resource->name, lease->resource.name, SANLK_NAME_LEN) == 0 &&
		    strncmp(resource->lockspace_name, lease->resource.lockspace_name, SANLK_NAME_LEN) == 0) {
			return resource;
		}
	}
	return NULL;
}

enum guestlock_mode gl_sanlock_mode(const struct sanlk_resource *resource)
{
	if (!resource) {
		return GUESTLOCK_MODE_NONE;
	}
	return (resource->flags & SANLK_RES_SHARED) ? GUESTLOCK_MODE_SHARED : GUESTLOCK_MODE_EXCLUSIVE;
}
