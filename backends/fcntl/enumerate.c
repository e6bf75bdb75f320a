/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What goes over all entries, of this host or of everybody. */
#include "fcntl_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct enumeration {
	guestlock_enumerate_fn *visit;
	guestlock_unchanged_fn *unchanged;
	void *data;
	bool everybody; /* survey: what anybody holds, and nothing else */
	enum guestlock_result result;
	struct guestlock_error *err;
};

static int report_line(const struct enumeration *all, const struct gl_fcntl_line *line,
		       struct guestlock_lock *lock)
{
	lock->owner = line->owner;
	lock->mode = gl_fcntl_line_weight(line);
	lock->since = line->since;
	lock->readable = true;
	return all->visit(all->data, lock) != 0;
}

static bool is_wanted(const struct gl_fcntl *fc, const struct enumeration *all, struct gl_fcntl_line *line)
{
	if (!all->everybody) {
		return gl_fcntl_is_ours(fc, line);
	}
	return gl_fcntl_line_weight(line) != GUESTLOCK_MODE_NONE &&
	       gl_fcntl_line_life(fc, line) != GUESTLOCK_LIFE_DEAD;
}

/* Who holds it cannot be told, but that the list lacks it can. */
static int report_damage(const struct gl_fcntl *fc, const char *key, const struct gl_fcntl_entry *entry,
			 const struct guestlock_lock *lock, struct enumeration *all)
{
	struct guestlock_error why = {.message = ""};

	if (!all->everybody) {
		return all->visit(all->data, lock) != 0;
	}
	gl_fcntl_fail_damaged(fc, &why, "list the holders of", "", key, entry->damage);
	guestlock_backend_log(&fc->base, GUESTLOCK_LOG_WARNING, "%s", why.message);
	return 0;
}

static int report_entry(const struct gl_fcntl *fc, const char *key, struct gl_fcntl_entry *entry,
			struct enumeration *all)
{
	struct guestlock_lock lock = {
		.owner = {.name = "", .host = "", .manager = ""},
		.key = {.identity = entry->identity},
	};
	int result = 0;
	size_t i;

	memcpy(lock.key.key, key, GUESTLOCK_KEY_SIZE);
	if (entry->presence == GL_FCNTL_DAMAGED) {
		return report_damage(fc, key, entry, &lock, all);
	}
	for (i = 0; i < entry->count && result == 0; i++) {
		if (is_wanted(fc, all, &entry->lines[i])) {
			result = report_line(all, &entry->lines[i], &lock);
		}
	}
	return result;
}

/* Of a file that is not ours to judge: it has changed. */
static bool is_unchanged(const struct enumeration *all, int directory, const char *key)
{
	struct stat st;

	return all->unchanged && fstatat(directory, key, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) &&
	       all->unchanged(all->data, key, (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
}

/* An entry that cannot be read now does not keep the others from being reported. */
static int visit_entry(const struct gl_fcntl *fc, int directory, const char *key, void *data)
{
	struct gl_fcntl_entry entry = GL_FCNTL_ENTRY_INIT;
	struct enumeration *all = data;
	int result = 0;

	if (is_unchanged(all, directory, key)) {
		return 0;
	}
	if (gl_fcntl_entry_peek(fc, directory, key, &entry) == 0) {
		result = report_entry(fc, key, &entry, all);
	} else if (errno == ENOMEM) {
		result = -1;
	} else {
		all->result = gl_fcntl_fail(all->err, errno, "read the lock entry of", key);
	}
	gl_fcntl_entry_close(&entry);
	return result;
}

/* Of one key, or of all. */
static enum guestlock_result visit_entries(const struct gl_fcntl *fc, const char *key,
					   struct enumeration *all)
{
	int result = 0;

	all->result = gl_fcntl_check_joined(fc, all->err);
	if (all->result == GUESTLOCK_RES_GRANTED) {
		result = key ? visit_entry(fc, -1, key, all) : gl_fcntl_scan(fc, visit_entry, all);
	}
	if (result < 0) {
		all->result = gl_fcntl_fail(all->err, errno, "read the lock entries in", fc->keys_dir);
	}
	return all->result;
}

enum guestlock_result gl_fcntl_enumerate(struct guestlock_backend *backend, guestlock_enumerate_fn *visit,
					 guestlock_unchanged_fn *unchanged, void *data,
					 struct guestlock_error *err)
{
	const struct gl_fcntl *fc = gl_fcntl_of(backend);
	struct enumeration all = {
		.visit = visit,
		/* A server's clock need not be ours. */
		.unchanged = fc->allow_network ? NULL : unchanged,
		.data = data,
		.err = err,
	};

	return visit_entries(fc, NULL, &all);
}

enum guestlock_result gl_fcntl_survey(struct guestlock_backend *backend, const char *key, int64_t deadline_ms,
				      guestlock_enumerate_fn *visit, guestlock_silent_fn *silent, void *data,
				      struct guestlock_error *err)
{
	struct enumeration all = {.visit = visit, .data = data, .everybody = true, .err = err};

	(void)deadline_ms; /* nobody is waited for: */
	(void)silent;      /* what other hosts hold stands in the same directory */
	return visit_entries(gl_fcntl_of(backend), key, &all);
}

/* ---- leave ---- */

struct search {
	struct guestlock_holder holder;
	char key[GUESTLOCK_KEY_SIZE];
	int sys_errno;
};

/* 1: a living owner of this host is in that entry, or it cannot be known. */
static int find_living(const struct gl_fcntl *fc, int directory, const char *key, void *data)
{
	struct search *search = data;
	struct gl_fcntl_entry entry = GL_FCNTL_ENTRY_INIT;
	int result = gl_fcntl_entry_peek(fc, directory, key, &entry) < 0;
	size_t i;

	search->sys_errno = result ? errno : 0;
	for (i = 0; i < entry.count && result == 0; i++) {
		struct gl_fcntl_line *line = &entry.lines[i];

		if (gl_fcntl_is_ours(fc, line) && gl_fcntl_line_life(fc, line) != GUESTLOCK_LIFE_DEAD) {
			gl_fcntl_fill_holder(line, &search->holder);
			result = 1;
		}
	}
	if (result != 0) {
		memcpy(search->key, key, GUESTLOCK_KEY_SIZE);
	}
	gl_fcntl_entry_close(&entry);
	return result;
}

enum guestlock_result gl_fcntl_leave(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct gl_fcntl *fc = gl_fcntl_of(backend);
	struct search search = {.sys_errno = 0};
	int found;

	found = gl_fcntl_scan(fc, find_living, &search);
	if (found < 0 && errno == ENOENT) {
		atomic_store(&fc->joined, false);
		return GUESTLOCK_RES_GRANTED;
	}
	if (found < 0) {
		return gl_fcntl_fail(err, errno, "read the lock entries in", fc->keys_dir);
	}
	if (found > 0 && search.sys_errno != 0) {
		return gl_fcntl_fail(err, search.sys_errno, "read the lock entry of", search.key);
	}
	if (found > 0) {
		guestlock_backend_fail(
			err, GUESTLOCK_RES_BUSY, 0, 0,
			"cannot leave the lock directory %s: guest %s (%s, pid %d) of this host is alive "
			"and registered there; shut it down first",
			fc->lock_dir, search.holder.name, search.holder.uuid, (int)search.holder.pid);
		err->holder = search.holder;
		return GUESTLOCK_RES_BUSY;
	}
	atomic_store(&fc->joined, false);
	return GUESTLOCK_RES_GRANTED;
}
