/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What killed processes leave beside records and locks: temporary files, and life files of guests that never
 * got a record. Nobody looks at them; they only take room. What is younger than an hour may be in use.
 */
#include "context.h"
#include "util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define GRACE_S 3600

/* May this one go? Its file is old enough. */
typedef bool judge_fn(const struct guestlock *gl, int dir_fd, const char *name);

static bool is_temporary(const struct guestlock *gl, int dir_fd, const char *name)
{
	(void)gl;
	(void)dir_fd;
	return strncmp(name, ".tmp-", 5) == 0;
}

/* UUID.INSTANCE: free, and no record of that life. */
static bool is_abandoned_life(const struct guestlock *gl, int dir_fd, const char *name)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char uuid[GUESTLOCK_UUID_STRING] = "";
	struct gl_record *record = NULL;
	struct guestlock_error ignored;
	uint64_t instance = 0;
	bool known, held;
	int fd;

	gl_copy_cut(uuid, sizeof(uuid), name);
	if (strlen(name) < sizeof(uuid) || name[sizeof(uuid) - 1] != '.' || !gl_uuid_parse(uuid, uuid) ||
	    !gl_parse_u64(name + sizeof(uuid), 16, &instance)) {
		return false;
	}
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0) {
		return false;
	}
	held = fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
	close(fd);
	if (held) {
		return false;
	}
	known = gl_store_load(&gl->store, uuid, &record, &ignored) != GUESTLOCK_NOT_FOUND;
	known = known && (!record || record->instance == instance);
	gl_record_free(record);
	return !known;
}

static void sweep(const struct guestlock *gl, const char *path, judge_fn *judge)
{
	DIR *directory = opendir(path);
	time_t before = time(NULL) - GRACE_S;
	struct dirent *entry;
	struct stat st;

	if (!directory) {
		return;
	}
	while ((entry = readdir(directory))) {
		int fd = dirfd(directory);

		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		    st.st_mtime < before && judge(gl, fd, entry->d_name) &&
		    unlinkat(fd, entry->d_name, 0) == 0) {
			gl_log(gl, GUESTLOCK_LOG_DEBUG, "removed %s/%s, which a killed process left", path,
			       entry->d_name);
		}
	}
	closedir(directory);
}

void gl_sweep(const struct guestlock *gl)
{
	static const char *const parts[] = {"guests", "hints/file", "hints/name"};

	for (size_t i = 0; i < GL_COUNT(parts); i++) {
		GL_AUTOFREE char *path = NULL;

		if (asprintf(&path, "%s/%s", gl->store.run_dir, parts[i]) >= 0) {
			sweep(gl, path, is_temporary);
		}
	}
	sweep(gl, gl_life_dir(gl), is_abandoned_life);
}
