/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A path that /proc tells is below the root of a mount, which may be anywhere, or of a part of the tree alone. */
#include "life/cgroup.h"
#include "base/base.h"
#include "life/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#define STATUS_SIZE 8192 /* bytes; the line of version 2 comes last, after those of up to a dozen others */

int gl_cgroup_of(pid_t pid, pid_t tid, char out_path[PATH_MAX])
{
	GL_AUTOFREE char *text = malloc(STATUS_SIZE + PATH_MAX);
	char file[64];
	const char *line;

	if (tid) {
		snprintf(file, sizeof(file), "/proc/%d/task/%d/cgroup", (int)pid, (int)tid);
	} else {
		snprintf(file, sizeof(file), "/proc/%d/cgroup", (int)pid);
	}
	if (!text || gl_read_proc(file, text, STATUS_SIZE + PATH_MAX) < 0) {
		return -1;
	}
	line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (!line) {
		return -1;
	}
	line = strstr(line, "0::") + 3;
	snprintf(out_path, PATH_MAX, "%.*s", (int)strcspn(line, "\n"), line);
	return 0;
}

/* The kernel writes spaces and the like as "\040". */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && strspn(text + 1, "01234567") >= 3) {
			*to++ = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'));
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* Is this path in what a mount shows? Then what follows the mount's own path; else NULL. */
static const char *below(const char *path, const char *root)
{
	size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);

	return strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == '\0')
		       ? path + length
		       : NULL;
}

/* "ID PARENT DEVICE ROOT POINT OPTIONS... - TYPE SOURCE OPTIONS": by this mount, or -1 with errno. */
static int open_by(char *line, const char *path)
{
	char *fields[5], *rest = NULL, file[2 * PATH_MAX];
	bool ours = strstr(line, " - cgroup2 ") != NULL;
	const char *name;
	struct statfs fs;
	int directory;

	for (size_t i = 0; i < GL_COUNT(fields) && ours; i++) {
		fields[i] = strtok_r(i == 0 ? line : NULL, " ", &rest);
		ours = fields[i] != NULL;
	}
	errno = ENXIO;
	if (!ours) {
		return -1;
	}
	unescape(fields[3]);
	unescape(fields[4]);
	name = below(path, fields[3]);
	if (!name || snprintf(file, sizeof(file), "%s%s", fields[4], name) >= (int)sizeof(file)) {
		return -1;
	}
	directory = open(file, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory >= 0 && (fstatfs(directory, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)) {
		/* Something else is mounted over it. */
		close(directory);
		errno = ENXIO;
		return -1;
	}
	return directory;
}

int gl_cgroup_open(const char *path)
{
	GL_AUTOFREE char *line = NULL;
	size_t room = 0;
	int directory = -1, why = ENXIO;
	/* What is outside of our own namespace is told as "/../NAME". */
	FILE *mounts = strstr(path, "/..") ? NULL : fopen("/proc/self/mountinfo", "re");

	while (mounts && directory < 0 && getline(&line, &room, mounts) > 0) {
		directory = open_by(line, path);
		why = directory < 0 && errno != ENXIO ? errno : why;
	}
	if (mounts) {
		fclose(mounts);
	}
	errno = why;
	return directory;
}

int gl_cgroup_read(int directory, const char *name, char *out, size_t size)
{
	GL_AUTOCLOSE int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : gl_read_all(fd, out, size - 1, -1);

	if (length < 0) {
		return -1;
	}
	out[length] = '\0';
	return 0;
}

bool gl_cgroup_is_frozen(int directory)
{
	char events[256];

	return gl_cgroup_read(directory, "cgroup.events", events, sizeof(events)) == 0 &&
	       strstr(events, "frozen 1\n") != NULL;
}

bool gl_thread_is_frozen(pid_t pid, pid_t tid)
{
	char path[PATH_MAX];

	/* The root is never frozen. */
	if (gl_cgroup_of(pid, tid, path) < 0 || strcmp(path, "/") == 0) {
		return false;
	}
	GL_AUTOCLOSE int directory = gl_cgroup_open(path);

	return directory >= 0 && gl_cgroup_is_frozen(directory);
}
