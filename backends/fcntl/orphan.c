/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Entries that are in the way, and entries that nobody needs. */
#include "fcntl_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Somebody alive who keeps the line or the entry where it is. */
static struct gl_fcntl_line *find_living(const struct gl_fcntl *fc, struct gl_fcntl_entry *entry, bool ours)
{
	size_t i;

	for (i = 0; i < entry->count; i++) {
		struct gl_fcntl_line *line = &entry->lines[i];

		if (gl_fcntl_is_ours(fc, line) == ours &&
		    gl_fcntl_line_life(fc, line) != GUESTLOCK_LIFE_DEAD) {
			return line;
		}
	}
	return NULL;
}

static struct gl_fcntl_line *find_user(const struct gl_fcntl *fc, struct gl_fcntl_entry *entry)
{
	struct gl_fcntl_line *line = find_living(fc, entry, true);

	return line ? line : find_living(fc, entry, false);
}

/* The dead, whoever had them, or also all of this manager. */
static size_t drop_lines(const struct gl_fcntl *fc, struct gl_fcntl_entry *entry, bool all)
{
	size_t dropped = 0;
	size_t i = 0;

	while (i < entry->count) {
		struct gl_fcntl_line *line = &entry->lines[i];

		if ((all && gl_fcntl_is_ours(fc, line)) ||
		    gl_fcntl_line_life(fc, line) == GUESTLOCK_LIFE_DEAD) {
			gl_fcntl_entry_drop(entry, i);
			dropped++;
		} else {
			i++;
		}
	}
	return dropped;
}

/* Nothing of it was to be released: who is in the way, if anybody. */
static enum guestlock_result fail_nothing(const struct gl_fcntl *fc, const char *key,
					  struct gl_fcntl_entry *entry, struct guestlock_error *err)
{
	const struct gl_fcntl_line *user = find_user(fc, entry);
	struct guestlock_holder holder;

	if (user) {
		gl_fcntl_fill_holder(user, &holder);
		return gl_fcntl_fail_busy(err, "release", entry->identity, key, &holder);
	}
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_NO_ORPHAN, 0, 0,
		"cannot release %s: nobody of this host holds it; there is nothing to do", key);
}

static enum guestlock_result release_lines(const struct gl_fcntl *fc, const char *key, bool force,
					   struct gl_fcntl_entry *entry, struct guestlock_error *err)
{
	enum guestlock_result result;

	if (drop_lines(fc, entry, force) == 0) {
		return fail_nothing(fc, key, entry, err);
	}
	if (gl_fcntl_entry_write(fc, key, entry) == 0) {
		return GUESTLOCK_RES_GRANTED;
	}
	result = gl_fcntl_fail(err, errno, "release", key);
	return gl_fcntl_entry_restore(fc, key, entry) < 0 ? GUESTLOCK_RES_INFLIGHT : result;
}

static enum guestlock_result release_damaged(const struct gl_fcntl *fc, const char *key, bool force,
					     const struct gl_fcntl_entry *entry, struct guestlock_error *err)
{
	if (!force) {
		return gl_fcntl_fail_damaged(fc, err, "release", "", key, entry->damage);
	}
	if (gl_fcntl_entry_remove(fc, key) < 0) {
		return gl_fcntl_fail(err, errno, "remove the damaged lock entry of", key);
	}
	guestlock_backend_log(&fc->base, GUESTLOCK_LOG_WARNING,
			      "the damaged lock entry %s/%s (%s) was removed", fc->keys_dir, key,
			      entry->damage);
	return GUESTLOCK_RES_GRANTED;
}

enum guestlock_result gl_fcntl_release_orphan(struct guestlock_backend *backend, const char *key, bool force,
					      struct guestlock_error *err)
{
	const struct gl_fcntl *fc = gl_fcntl_of(backend);
	struct gl_fcntl_entry entry = GL_FCNTL_ENTRY_INIT;
	enum guestlock_result result = gl_fcntl_check_joined(fc, err);

	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	if (gl_fcntl_entry_open(fc, -1, key, &entry) < 0) {
		result = gl_fcntl_fail(err, errno, "release", key);
	} else if (entry.presence == GL_FCNTL_DAMAGED) {
		result = release_damaged(fc, key, force, &entry, err);
	} else {
		result = release_lines(fc, key, force, &entry, err);
	}
	gl_fcntl_entry_close(&entry);
	return result;
}

/* ---- unprovision ---- */

/* What is damaged, used, or busy at the moment stays. */
static int remove_if_old(const struct gl_fcntl *fc, int directory, const char *key, void *data)
{
	const time_t *oldest = data;
	struct gl_fcntl_entry entry = GL_FCNTL_ENTRY_INIT;
	struct stat st;

	(void)directory;
	if (gl_fcntl_entry_open(fc, -1, key, &entry) == 0 && entry.presence == GL_FCNTL_READABLE &&
	    fstat(entry.fd, &st) == 0 && st.st_mtime <= *oldest && !find_user(fc, &entry)) {
		/* Under the entry's lock: whoever waits for it finds that the file has no name any more. */
		gl_fcntl_entry_remove(fc, key);
	}
	gl_fcntl_entry_close(&entry);
	return 0;
}

enum guestlock_result gl_fcntl_unprovision(struct guestlock_backend *backend, unsigned unused_s,
					   struct guestlock_error *err)
{
	const struct gl_fcntl *fc = gl_fcntl_of(backend);
	time_t oldest = time(NULL) - (time_t)unused_s;
	enum guestlock_result result = gl_fcntl_check_joined(fc, err);

	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	if (gl_fcntl_scan(fc, remove_if_old, &oldest) < 0) {
		return gl_fcntl_fail(err, errno, "read the lock entries in", fc->keys_dir);
	}
	gl_fcntl_clear_new(fc, unused_s);
	return GUESTLOCK_RES_GRANTED;
}
