/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A descriptor tells its name, its flags, and the inode and the mount of its file. */
#include "life/writer.h"

#include "base/base.h"
#include "life/procfs.h"
#include "life/scan.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#define FDINFO_SIZE 1024 /* bytes; what is looked for comes first */
#define CHILDREN_SIZE 16384

/* The number that follows a word in the text of fdinfo; -1: it is not told. */
static int64_t number_after(const char *text, const char *word, int base)
{
	const char *at = strstr(text, word);

	return at ? (int64_t)strtoull(at + strlen(word), NULL, base) : -1;
}

static bool is_for_writing(const char *info)
{
	int64_t flags = number_after(info, "flags:", 8);

	return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && !(flags & O_PATH);
}

/* "MOUNT PARENT MAJOR:MINOR ..." */
static bool is_line_of(const char *line, int64_t mount, uint64_t device)
{
	unsigned major;
	char *at;

	if (strtoll(line, &at, 10) != mount) {
		return false;
	}
	strtoll(at, &at, 10);
	major = (unsigned)strtoul(at, &at, 10);
	return *at == ':' && makedev(major, (unsigned)strtoul(at + 1, NULL, 10)) == device;
}

/* Is the mount of that number, where a process sees it, of that device? */
static bool is_mount_of(const char *owner_dir, int64_t mount, uint64_t device)
{
	GL_AUTOFREE char *line = NULL;
	size_t room = 0;
	bool found = false;
	char path[96];
	FILE *mounts;

	snprintf(path, sizeof(path), "%s/mountinfo", owner_dir);
	mounts = fopen(path, "re");
	while (mounts && !found && getline(&line, &room, mounts) > 0) {
		found = is_line_of(line, mount, device);
	}
	if (mounts) {
		fclose(mounts);
	}
	return found;
}

/* By its name, also when that was removed. */
static bool has_name(const char *target, const struct gl_file *file)
{
	for (size_t i = 0; i < file->n_names; i++) {
		size_t length = strlen(file->names[i]);

		if (strncmp(target, file->names[i], length) == 0 &&
		    (target[length] == '\0' || strcmp(target + length, " (deleted)") == 0)) {
			return true;
		}
	}
	return false;
}

static bool is_inode(const char *owner_dir, const char *info, const struct gl_file *file)
{
	return file->inode != 0 && number_after(info, "ino:", 10) == (int64_t)file->inode &&
	       is_mount_of(owner_dir, number_after(info, "mnt_id:", 10), file->device);
}

static bool descriptor_writes(const char *owner_dir, int directory, uint64_t fd, const void *data)
{
	const struct gl_file *file = data;
	char path[96], number[24], target[PATH_MAX], info[FDINFO_SIZE];
	ssize_t length;

	snprintf(number, sizeof(number), "%" PRIu64, fd);
	length = readlinkat(directory, number, target, sizeof(target) - 1);
	if (length < 0 || target[0] != '/') {
		return false;
	}
	target[length] = '\0';
	snprintf(path, sizeof(path), "%s/fdinfo/%s", owner_dir, number);
	return gl_read_proc(path, info, sizeof(info)) > 0 && is_for_writing(info) &&
	       (has_name(target, file) || is_inode(owner_dir, info, file));
}

bool gl_process_writes(pid_t pid, const struct gl_file *file)
{
	return gl_any_descriptor(pid, descriptor_writes, file);
}

/* ---- A process with what it has started ---- */

#define DEEPEST 64 /* generations; more are no program's family */

static bool child_writes(const char *children, const struct gl_file *file, unsigned depth, pid_t *out_writer)
{
	char *end;

	for (pid_t child; (child = (pid_t)strtol(children, &end, 10)) > 0 && end != children;
	     children = end) {
		if (gl_process_writes(child, file)) {
			*out_writer = child;
			return true;
		}
		if (depth < DEEPEST && gl_descendant_writes(child, file, depth + 1, out_writer)) {
			return true;
		}
	}
	return false;
}

bool gl_descendant_writes(pid_t pid, const struct gl_file *file, unsigned depth, pid_t *out_writer)
{
	GL_AUTOFREE char *children = malloc(CHILDREN_SIZE);
	char path[80];
	bool found = false;
	uint64_t tid;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = children ? opendir(path) : NULL;
	while (tasks && !found && gl_next_number(tasks, &tid)) {
		snprintf(path, sizeof(path), "/proc/%d/task/%" PRIu64 "/children", (int)pid, tid);
		found = gl_read_proc(path, children, CHILDREN_SIZE) > 0 &&
			child_writes(children, file, depth, out_writer);
	}
	if (tasks) {
		closedir(tasks);
	}
	return found;
}
