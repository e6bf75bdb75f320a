/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What this host itself does with a disk: file systems that are mounted from it, swap, loop devices, devices that are
 * made of it. The kernel tells of these; nobody is asked who might hang, as a server of files would.
 */
#include "base/base.h"
#include "base/error.h"
#include "base/text.h"
#include "disk/disk.h"
#include "disk/sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct look {
	const struct gl_disk *disk;
	const char *sysfs;
	struct gl_text *words;
};

/* A line each: "it is VERB AT". */
static void say(const struct look *look, const char *verb, const char *at)
{
	GL_AUTOFREE char *printable = gl_printable(at);

	gl_text_string(look->words, "it is ");
	gl_text_string(look->words, verb);
	gl_text_string(look->words, printable ? printable : "?");
	gl_text_string(look->words, "\n");
}

static bool is_same(const struct gl_disk *a, const struct gl_disk *b)
{
	return a->device == b->device && a->inode == b->inode;
}

/* Is that file or device the disk, or is it a part of it, or made of it? */
static bool leads_to_disk(const struct look *look, const char *path)
{
	GL_AUTOFREE struct gl_disk *below = NULL;
	struct guestlock_error ignored;
	struct gl_disk there;
	size_t count = 0;

	if (gl_disk_look(path, &there) < 0) {
		return false;
	}
	if (is_same(&there, look->disk)) {
		return true;
	}
	if (there.inode != 0 ||
	    gl_disk_below(there.device, look->sysfs, &below, &count, &ignored) != GUESTLOCK_OK) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (is_same(&below[i], look->disk)) {
			return true;
		}
	}
	return false;
}

/* A table of mount(8), or of swapon(8), whose first word is a file or device, too. */
static void look_at_table(const struct look *look, const char *table, const char *verb)
{
	FILE *mounts = setmntent(table, "re");
	struct mntent entry;
	char line[2 * PATH_MAX];

	if (!mounts) {
		return;
	}
	while (getmntent_r(mounts, &entry, line, sizeof(line))) {
		bool device = strncmp(entry.mnt_fsname, "/dev/", 5) == 0;

		/* Other names are those of servers and of file systems; a swap file is looked at by itself. */
		if ((device || strcmp(entry.mnt_dir, "file") == 0) && leads_to_disk(look, entry.mnt_fsname)) {
			say(look, verb, device && entry.mnt_dir[0] == '/' ? entry.mnt_dir : entry.mnt_fsname);
		}
	}
	endmntent(mounts);
}

/* Devices that are made of this one. */
static void look_at_holders(const struct look *look)
{
	GL_AUTOCLOSE int device = gl_sysfs_open(look->sysfs, look->disk->device);
	int fd = device < 0 ? -1 : openat(device, "holders", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *holders = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (holders && (entry = readdir(holders))) {
		if (entry->d_name[0] != '.') {
			say(look, "a part of /dev/", entry->d_name);
		}
	}
	if (holders) {
		closedir(holders);
	} else if (fd >= 0) {
		close(fd);
	}
}

static bool is_loop_of_disk(const struct look *look, const char *name)
{
	char path[PATH_MAX + 1];
	char attribute[NAME_MAX + sizeof("/block//loop/backing_file")];
	struct gl_disk there;
	ssize_t length;
	GL_AUTOCLOSE int directory = open(look->sysfs, O_PATH | O_DIRECTORY | O_CLOEXEC);

	snprintf(attribute, sizeof(attribute), "block/%s/loop/backing_file", name);
	length = directory < 0 ? -1 : gl_sysfs_read(directory, attribute, path, sizeof(path));
	if (length <= 0) {
		return false;
	}
	path[length - (path[length - 1] == '\n')] = '\0';
	return gl_disk_look(path, &there) == 0 && is_same(&there, look->disk);
}

static bool look_at_loops(const struct look *look)
{
	char path[PATH_MAX];
	DIR *devices;
	struct dirent *entry;
	bool any = false;

	snprintf(path, sizeof(path), "%s/block", look->sysfs);
	devices = opendir(path);
	if (!devices) {
		return false;
	}
	while ((entry = readdir(devices))) {
		if (strncmp(entry->d_name, "loop", 4) == 0 && is_loop_of_disk(look, entry->d_name)) {
			say(look, "attached to loop device /dev/", entry->d_name);
			any = true;
		}
	}
	closedir(devices);
	return any;
}

int gl_disk_uses(const struct gl_disk *disk, const char *sysfs, char **out_words, struct guestlock_error *err)
{
	GL_AUTOTEXT struct gl_text words = GL_TEXT_INIT;
	const struct look look = {.disk = disk, .sysfs = sysfs, .words = &words};
	bool device = disk->inode == 0;

	gl_text_string(&words, "");
	/* A file cannot be mounted but through a loop device. */
	if (look_at_loops(&look) || device) {
		look_at_table(&look, "/proc/self/mounts", "mounted at ");
	}
	look_at_table(&look, "/proc/swaps", "used as swap by this host, as ");
	if (device) {
		look_at_holders(&look);
	}
	*out_words = gl_text_take(&words, NULL);
	return *out_words ? GUESTLOCK_OK : gl_fail_memory(err);
}
