/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a path to the file or device that is written in the end. Devices are asked in device.c, which may
 * lead to a path again: a loop device has a file behind it.
 */
#include "disk/disk.h"
#include "base/base.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define GL_PATH_LONGEST (PATH_MAX - 1)
#define LOOKED_AT (STATX_TYPE | STATX_INO | STATX_BTIME)

/* Why a path does not lead to a disk. */
struct gl_path_fault {
	int sys_errno;
	int code;
	const char *cause, *advice;
};

static const struct gl_path_fault gl_path_faults[] = {
	{ENOENT, GUESTLOCK_NOT_FOUND, "no such file", "check the path, or create the image first"},
	{ENOTDIR, GUESTLOCK_NOT_FOUND, "a part of the path is not a directory", "check the path"},
	{EACCES, GUESTLOCK_DENIED, "a directory of the path may not be searched",
	 "check the permissions of its directories"},
	{ELOOP, GUESTLOCK_INVALID, "its symbolic links are too many, or lead in a circle",
	 "check where they lead"},
	{ENAMETOOLONG, GUESTLOCK_INVALID, "the path or a part of it is too long", "use a shorter path"},
};
static const struct gl_path_fault gl_dangling_link = {
	ENOENT, GUESTLOCK_NOT_FOUND, "it is a symbolic link to something that does not exist",
	"check where it leads, or create the image first"};

static const struct gl_kind_fault {
	mode_t type;
	const char *name;
} gl_kind_faults[] = {
	{S_IFDIR, "a directory"},
	{S_IFCHR, "a character device"},
	{S_IFIFO, "a named pipe"},
	{S_IFSOCK, "a socket"},
};

static const struct gl_path_fault *gl_find_path_fault(const char *path, int sys_errno)
{
	struct stat st;
	size_t i;

	if (sys_errno == ENOENT && lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
		return &gl_dangling_link;
	}
	for (i = 0; i < GL_COUNT(gl_path_faults); i++) {
		if (gl_path_faults[i].sys_errno == sys_errno) {
			return &gl_path_faults[i];
		}
	}
	return NULL;
}

static int gl_fail_path(struct guestlock_error *err, const char *path, int sys_errno)
{
	const struct gl_path_fault *fault = gl_find_path_fault(path, sys_errno);

	if (sys_errno == ENOMEM) {
		return gl_fail_memory(err);
	}
	if (!fault) {
		return gl_fail(err, GUESTLOCK_IO, sys_errno,
			       "cannot identify disk %s: %m; check the storage it is on", path);
	}
	return gl_fail(err, fault->code, sys_errno, "cannot identify disk %s: %s; %s", path, fault->cause,
		       fault->advice);
}

static int gl_fail_kind(struct guestlock_error *err, const char *path, mode_t mode)
{
	const char *name = "neither a file nor a device";
	size_t i;

	for (i = 0; i < GL_COUNT(gl_kind_faults); i++) {
		if ((mode & S_IFMT) == gl_kind_faults[i].type) {
			name = gl_kind_faults[i].name;
		}
	}
	return gl_fail(err, GUESTLOCK_INVALID, 0,
		       "cannot identify disk %s: it is %s; name an image file or a block device", path, name);
}

static int gl_check_path(const char *path, struct guestlock_error *err)
{
	if (path[0] == '\0') {
		return gl_fail(
			err, GUESTLOCK_INVALID, 0,
			"cannot identify a disk: its path is empty; name an image file or a block device");
	}
	if (path[0] != '/') {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "cannot identify disk %s: the path is relative; give an absolute path", path);
	}
	if (strlen(path) > GL_PATH_LONGEST) {
		return gl_fail_path(err, path, ENAMETOOLONG);
	}
	return GUESTLOCK_OK;
}

/* Written without "//", "/./", "/../" and a slash at its end. */
static bool gl_is_normal(const char *path)
{
	const char *slash;

	for (slash = path; slash; slash = strchr(slash + 1, '/')) {
		const char *name = slash + 1;

		name += name[0] == '.' ? 1 : 0;
		name += name != slash + 1 && name[0] == '.' ? 1 : 0;
		if (name[0] == '\0' || name[0] == '/') {
			return false;
		}
	}
	return true;
}

/*
 * The usual path has no symbolic link in it. The kernel tells so in one call, where realpath needs one for
 * each of its directories. false: it has one, or there is something else about it.
 */
static bool gl_is_real(const char *path, struct statx *out_st)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
	GL_AUTOCLOSE int fd = -1;

	if (!gl_is_normal(path)) {
		return false;
	}
	fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	return fd >= 0 && statx(fd, "", AT_EMPTY_PATH, LOOKED_AT, out_st) == 0;
}

/*
 * The real path, path itself or *out_made, and what is there; NULL with errno. *out_made is freed in any
 * case.
 */
static const char *gl_find_real(const char *path, struct statx *out_st, char **out_made)
{
	if (gl_is_real(path, out_st)) {
		return path;
	}
	*out_made = realpath(path, NULL);
	return *out_made && statx(AT_FDCWD, *out_made, 0, LOOKED_AT, out_st) == 0 ? *out_made : NULL;
}

static struct gl_disk what_is_there(const struct statx *st)
{
	struct gl_disk disk = {.text = NULL};

	if (S_ISBLK(st->stx_mode)) {
		disk.device = makedev(st->stx_rdev_major, st->stx_rdev_minor);
		return disk;
	}
	disk.device = makedev(st->stx_dev_major, st->stx_dev_minor);
	disk.inode = st->stx_ino;
	if (st->stx_mask & STATX_BTIME) {
		disk.born = (uint64_t)st->stx_btime.tv_sec * 1000000000 + st->stx_btime.tv_nsec;
	}
	return disk;
}

int gl_disk_look(const char *path, struct gl_disk *out_disk)
{
	struct statx st;

	if (statx(AT_FDCWD, path, 0, LOOKED_AT, &st) < 0) {
		return -1;
	}
	*out_disk = what_is_there(&st);
	return 0;
}

int gl_disk_walk_path(struct gl_disk_walk *walk, const char *path, struct gl_disk *out_disk)
{
	struct statx st;
	GL_AUTOFREE char *made = NULL;
	const char *real = gl_find_real(path, &st, &made);

	if (!real) {
		return gl_fail_path(walk->err, path, errno);
	}
	if (S_ISBLK(st.stx_mode)) {
		return gl_disk_walk_device(walk, what_is_there(&st).device, real, out_disk);
	}
	if (!S_ISREG(st.stx_mode)) {
		return gl_fail_kind(walk->err, path, st.stx_mode);
	}
	*out_disk = what_is_there(&st);
	out_disk->text = gl_concat((const char *[]){"file:", real}, 2);
	return out_disk->text ? GUESTLOCK_OK : gl_fail_memory(walk->err);
}

int gl_disk_identify(const char *path, enum gl_identity_scheme scheme, const char *sysfs,
		     struct gl_disk *out_disk, struct guestlock_error *err)
{
	struct gl_disk_walk walk = {.scheme = scheme,
				    .sysfs = sysfs,
				    .along = gl_disk_walk_path,
				    .is_behind = gl_disk_is_behind,
				    .err = err};
	int status = gl_check_path(path, err);

	return status == GUESTLOCK_OK ? gl_disk_walk_path(&walk, path, out_disk) : status;
}
