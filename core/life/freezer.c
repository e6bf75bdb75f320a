/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A control group stands in a record with its number, as another one may have been made under its path since:
 * "NUMBER:PATH".
 */
#include "life/freezer.h"
#include "base/base.h"
#include "life/census.h"
#include "life/cgroup.h"
#include "life/procfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SWITCH "cgroup.freeze"
#define DEEPEST 16          /* control groups in one another */
#define LONGEST_PAUSE_MS 16 /* between two looks whether all of it is frozen */

/* ---- Whose it is ---- */

struct members {
	pid_t *pids;
	size_t count;
};

static bool is_member(const struct members *members, pid_t pid)
{
	for (size_t i = 0; i < members->count; i++) {
		if (members->pids[i] == pid) {
			return true;
		}
	}
	return false;
}

/* Those of other pid namespaces than ours are told as 0. */
static bool has_members_only(int directory, bool top, const struct members *members)
{
	int fd = openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	GL_AUTOFREE char *line = NULL;
	size_t room = 0;
	bool only = true;
	uint64_t pid;

	if (!file) {
		if (fd >= 0) {
			close(fd);
		}
		return false;
	}
	while (only && getline(&line, &room, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		only = gl_parse_u64(line, 10, &pid) && pid > 0 &&
		       (is_member(members, (pid_t)pid) || gl_is_ending((pid_t)pid));
	}
	/* One of threads: the processes that these are of are told above it. */
	only = only && (!ferror(file) || (!top && errno == EOPNOTSUPP));
	fclose(file);
	return only;
}

static bool is_own(int directory, unsigned depth, const struct members *members)
{
	int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = copy < 0 ? NULL : fdopendir(copy);
	bool own = entries && depth < DEEPEST && has_members_only(directory, depth == 0, members);
	const struct dirent *entry;

	while (own && (entry = readdir(entries))) {
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
			GL_AUTOCLOSE int below =
				openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			own = below < 0 ? errno == ENOENT : is_own(below, depth + 1, members);
		}
	}
	if (entries) {
		closedir(entries);
	} else if (copy >= 0) {
		close(copy);
	}
	return own;
}

static bool is_switched_on(int directory)
{
	char text[8];

	return gl_cgroup_read(directory, SWITCH, text, sizeof(text)) == 0 && text[0] == '1';
}

static char *name_of(int directory, const char *path)
{
	struct stat st;
	char *name;

	return fstat(directory, &st) == 0 && asprintf(&name, "%ju:%s", (uintmax_t)st.st_ino, path) >= 0
		       ? name
		       : NULL;
}

char *gl_freezer_find(const struct gl_membership *by)
{
	const struct guestlock_owner *owner = by->owner;
	struct members members = {.count = 0};
	char path[PATH_MAX];

	if (owner->pid <= 0 || owner->pid_ns != gl_pid_namespace() || gl_is_ending(owner->pid) ||
	    gl_cgroup_of(owner->pid, 0, path) < 0 || strcmp(path, "/") == 0) {
		return NULL;
	}
	GL_AUTOCLOSE int directory = gl_cgroup_open(path);

	if (directory < 0 || faccessat(directory, SWITCH, W_OK, AT_EACCESS) < 0 ||
	    is_switched_on(directory) || gl_members_find(by, &members.pids, &members.count) < 0) {
		return NULL;
	}
	char *name = is_member(&members, owner->pid) && is_own(directory, 0, &members)
			     ? name_of(directory, path)
			     : NULL;

	free(members.pids);
	return name;
}

/* ---- Its switch ---- */

/* That very one; -1 with errno. */
static int open_named(const char *cgroup)
{
	const char *path = strchr(cgroup, ':');
	int directory = path ? gl_cgroup_open(path + 1) : -1;
	struct stat st;

	if (directory >= 0 && (fstat(directory, &st) < 0 || st.st_ino != strtoull(cgroup, NULL, 10))) {
		close(directory);
		errno = ENOENT;
		return -1;
	}
	return directory;
}

static int turn(int directory, const char *value)
{
	GL_AUTOCLOSE int fd = openat(directory, SWITCH, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, value, 1) == 1 ? 0 : -1;
}

int gl_freezer_freeze(const char *cgroup, int64_t deadline_ms)
{
	GL_AUTOCLOSE int directory = open_named(cgroup);

	if (directory < 0 || turn(directory, "1") < 0) {
		return -1;
	}
	for (unsigned attempt = 0; !gl_cgroup_is_frozen(directory); attempt++) {
		if (!gl_pause_before_retry(attempt, LONGEST_PAUSE_MS, deadline_ms)) {
			turn(directory, "0");
			errno = ETIMEDOUT;
			return -1;
		}
	}
	return 0;
}

int gl_freezer_thaw(const char *cgroup)
{
	GL_AUTOCLOSE int directory = open_named(cgroup);

	if (directory >= 0 && turn(directory, "0") == 0) {
		return 0;
	}
	return errno == ENOENT || errno == ENODEV ? 0 : -1;
}
