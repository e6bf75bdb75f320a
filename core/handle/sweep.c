/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What killed processes leave beside records and locks: temporary files, and life files of guests that never
 * got a record. Nobody looks at them; they only take room. What is younger than an hour may be in use.
 */
#include "base/base.h"
#include "handle/owner.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define GRACE_S 3600 /* what is younger may belong to somebody who is making it */

struct sweeper {
	const struct guestlock *gl;
	gl_life_known_fn *known;
	void *data;
};

/* By its name: may this one go? */
typedef bool judge_fn(const struct sweeper *sweeper, const char *name);

static bool is_temporary(const struct sweeper *sweeper, const char *name)
{
	(void)sweeper;
	return strncmp(name, ".tmp-", 5) == 0;
}

/* UUID.INSTANCE, of which there is no record. */
static bool is_unknown_life(const struct sweeper *sweeper, const char *name)
{
	char uuid[GUESTLOCK_UUID_STRING] = "";
	uint64_t instance = 0;

	gl_copy_cut(uuid, sizeof(uuid), name);
	return strlen(name) > sizeof(uuid) && name[sizeof(uuid) - 1] == '.' && gl_uuid_parse(uuid, uuid) &&
	       gl_parse_u64(name + sizeof(uuid), 16, &instance) &&
	       !sweeper->known(sweeper->data, uuid, instance);
}

/* Nobody has it locked: a temporary file never is, a life file as long as its guest lives. */
static bool is_free(int dir_fd, const char *name)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	GL_AUTOCLOSE int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}

static bool is_old(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       st.st_mtime < time(NULL) - GRACE_S;
}

static void sweep(const struct sweeper *sweeper, const char *path, judge_fn *judge)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	if (!directory) {
		return;
	}
	while ((entry = readdir(directory))) {
		const char *name = entry->d_name;
		int fd = dirfd(directory);

		if (judge(sweeper, name) && is_old(fd, name) && is_free(fd, name) &&
		    unlinkat(fd, name, 0) == 0) {
			gl_log(sweeper->gl, GUESTLOCK_LOG_DEBUG, "removed %s/%s, which a killed process left",
			       path, name);
		}
	}
	closedir(directory);
}

void gl_sweep(const struct guestlock *gl, gl_life_known_fn *known, void *data)
{
	const struct sweeper sweeper = {.gl = gl, .known = known, .data = data};
	static const char *const parts[] = {"guests", "hints/file", "hints/name"};

	for (size_t i = 0; i < GL_COUNT(parts); i++) {
		GL_AUTOFREE char *path = NULL;

		if (asprintf(&path, "%s/%s", gl->store.run_dir, parts[i]) >= 0) {
			sweep(&sweeper, path, is_temporary);
		}
	}
	if (gl->store.files_dir) {
		sweep(&sweeper, gl->store.files_dir, is_temporary);
	}
	sweep(&sweeper, gl_life_dir(gl), is_unknown_life);
}
