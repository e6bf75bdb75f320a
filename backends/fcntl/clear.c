/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After a restart of the machine all owners are dead, and a power failure may have damaged entries or
 * brought back old epochs: nothing in an entry is worth keeping, and an epoch that might be an old one proves
 * nothing. So the first who joins removes them all, before anybody of this boot can have written one. A boot
 * id that differs is the sign of a restart, as containers with one of their own know none (guestlock_boot_id);
 * a living owner is proof of the contrary all the same: somebody may have edited the file.
 */
#include "fcntl_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Calls visit for every file in a directory until it returns non-zero; that, 0, or -1 with errno. */
static int for_each_file(const char *path, int (*visit)(int directory, const char *name, unsigned age_s),
			 unsigned age_s)
{
	DIR *directory = opendir(path);
	struct dirent *found;
	int result = 0;

	if (!directory) {
		return -1;
	}
	while (result == 0 && (found = readdir(directory))) {
		if (found->d_name[0] != '.') {
			result = visit(dirfd(directory), found->d_name, age_s);
		}
	}
	closedir(directory);
	return result;
}

/* What cannot be asked counts as held. */
static int is_locked(int directory, const char *name, unsigned age_s)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	bool held;

	(void)age_s;
	if (fd < 0) {
		return errno != ENOENT;
	}
	held = fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
	close(fd);
	return held;
}

/* Whoever has just made that file and not locked it yet fails, and is not bound without a life lock. */
static int remove_life(int directory, const char *name, unsigned age_s)
{
	int fd = openat(directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);

	(void)age_s;
	if (fd < 0) {
		return 0;
	}
	if (guestlock_ofd_lock(fd, F_WRLCK) == 0) {
		unlinkat(directory, name, 0);
	}
	close(fd);
	return 0;
}

/* Whoever makes a file has it locked. */
static int remove_new(int directory, const char *name, unsigned age_s)
{
	struct stat st;

	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_mtime <= time(NULL) - (time_t)age_s && !is_locked(directory, name, age_s)) {
		unlinkat(directory, name, 0);
	}
	return 0;
}

void gl_fcntl_clear_new(const struct gl_fcntl *fc, unsigned age_s)
{
	for_each_file(fc->new_dir, remove_new, age_s);
}

static int is_entry(const struct gl_fcntl *fc, int directory, const char *key, void *data)
{
	(void)fc;
	(void)key;
	(void)directory;
	(void)data;
	return 1;
}

/* What cannot be asked counts as alive. A damaged entry says nothing. */
static bool is_in_use(const struct gl_fcntl *fc, struct gl_fcntl_entry *entry)
{
	size_t i = 0;

	while (i < entry->count && gl_fcntl_line_life(fc, &entry->lines[i]) == GUESTLOCK_LIFE_DEAD) {
		i++;
	}
	return i < entry->count;
}

static int has_living(const struct gl_fcntl *fc, int directory, const char *key, void *data)
{
	const bool *damaged = data;
	struct gl_fcntl_entry entry = GL_FCNTL_ENTRY_INIT;
	int result = gl_fcntl_entry_peek(fc, directory, key, &entry) < 0 || is_in_use(fc, &entry) ||
		     (entry.presence == GL_FCNTL_DAMAGED && !*damaged);

	gl_fcntl_entry_close(&entry);
	return result;
}

static int remove_entry(const struct gl_fcntl *fc, int directory, const char *key, void *data)
{
	struct gl_fcntl_entry entry = GL_FCNTL_ENTRY_INIT;
	int result = gl_fcntl_entry_open(fc, directory, key, &entry);

	(void)data;
	if (result == 0 && entry.presence == GL_FCNTL_DAMAGED) {
		guestlock_backend_log(
			&fc->base, GUESTLOCK_LOG_WARNING,
			"the lock entry %s/%s of before the restart was damaged (%s) and is removed: no "
			"guest of that time is alive",
			fc->keys_dir, key, entry.damage);
	}
	if (result == 0 && entry.presence != GL_FCNTL_ABSENT && !is_in_use(fc, &entry)) {
		result = gl_fcntl_entry_remove(fc, key);
	}
	gl_fcntl_entry_close(&entry);
	return result;
}

int gl_fcntl_clear(const struct gl_fcntl *fc, bool damaged, enum gl_fcntl_cleared *out_cleared)
{
	int found = gl_fcntl_scan(fc, is_entry, NULL);

	*out_cleared = GL_FCNTL_CLEARED;
	if (found <= 0) {
		return found;
	}
	found = for_each_file(fc->life_dir, is_locked, 0);
	if (found == 0) {
		found = gl_fcntl_scan(fc, has_living, &damaged);
	}
	if (found < 0) {
		return -1;
	}
	if (found > 0) {
		*out_cleared = GL_FCNTL_ALIVE;
		return 0;
	}
	if (gl_fcntl_scan(fc, remove_entry, NULL) < 0) {
		return -1;
	}
	for_each_file(fc->life_dir, remove_life, 0);
	gl_fcntl_clear_new(fc, 0);
	return 0;
}
