/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lock directory: whether it protects, how it is set up, and who may use it together. */
#include "fcntl_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define GL_FCNTL_FORMAT_FIRST "guestlock-format 1\n"
#define GL_FCNTL_NO_BOOT "-"
#define GL_FCNTL_FILE_MAX 4096 /* bytes of the format file */

/*
 * File systems that several machines can use at once: a lock there either is not seen by the others, or is
 * taken away from a machine that nobody stops from writing on.
 */
static const struct {
	uint32_t magic;
	const char *name;
} networks[] = {
	{NFS_SUPER_MAGIC, "NFS"},
	{SMB_SUPER_MAGIC, "SMB"},
	{CIFS_SUPER_MAGIC, "CIFS"},
	{SMB2_SUPER_MAGIC, "SMB"},
	{NCP_SUPER_MAGIC, "NCP"},
	{AFS_SUPER_MAGIC, "AFS"},
	{AFS_FS_MAGIC, "AFS"},
	{CODA_SUPER_MAGIC, "Coda"},
	{CEPH_SUPER_MAGIC, "Ceph"},
	{V9FS_MAGIC, "9p"},
	{FUSE_SUPER_MAGIC, "FUSE (GlusterFS, sshfs, virtiofs, ...)"},
	{OCFS2_SUPER_MAGIC, "OCFS2"},
	{0x01161970, "GFS2"},
	{0x0bd00bd0, "Lustre"},
	{0x47504653, "GPFS"},
	{0x19830326, "BeeGFS"},
	{0x20030528, "OrangeFS"},
	{0xaad7aaea, "PanFS"},
	{0xa501fcf5, "VxFS"},
	{0x61636673, "ACFS"},
	{0xbeefdead, "StorNext"},
	{0x013111a8, "IBRIX"},
	{0x786f4256, "VirtualBox shared folder"},
	{0xbacbacbc, "VMware shared folder"},
	{0x7c7c6673, "Parallels shared folder"},
};

#define GL_FCNTL_NETWORKS (sizeof(networks) / sizeof(networks[0]))

/* *out_name is NULL for a local file system. */
static int network_of(const char *path, const char **out_name)
{
	struct statfs fs;
	size_t i;

	*out_name = NULL;
	if (statfs(path, &fs) < 0) {
		return -1;
	}
	for (i = 0; i < GL_FCNTL_NETWORKS; i++) {
		if (networks[i].magic == (uint32_t)fs.f_type) {
			*out_name = networks[i].name;
		}
	}
	return 0;
}

/* The part of path that exists. */
static void existing_part(const char *path, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s", path);
	while (access(out, F_OK) < 0 && errno == ENOENT) {
		char *slash = strrchr(out, '/');

		if (!slash || slash == out) {
			snprintf(out, PATH_MAX, "/");
			return;
		}
		*slash = '\0';
	}
}

static enum guestlock_result check_network(const struct gl_fcntl *fc, const char *path, bool *out_network,
					   struct guestlock_error *err)
{
	const char *name;

	if (network_of(path, &name) < 0) {
		return gl_fcntl_fail(err, errno, "look at the file system of", path);
	}
	*out_network = name != NULL;
	if (!name || fc->allow_network) {
		return GUESTLOCK_RES_GRANTED;
	}
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_UNSAFE, 0, 0,
		"cannot use the lock directory %s: it is on a network or cluster file system, %s, "
		"where a lock does not keep another host from writing; set lock_dir to a local "
		"directory, or allow_network_filesystem = yes to do without that protection",
		fc->lock_dir, name);
}

/* ---- The format file ---- */

enum format_state {
	FORMAT_RIGHT,
	FORMAT_MISSING,
	FORMAT_DAMAGED,
	FORMAT_FOREIGN, /* another version or scheme */
	FORMAT_OTHER_BOOT,
	FORMAT_UNKNOWN_BOOT, /* set up where the boot is not known, unlike here */
};

struct format {
	enum format_state state;
	char text[GL_FCNTL_FORMAT_SIZE];   /* of the file */
	char wanted[GL_FCNTL_FORMAT_SIZE]; /* what it should be */
	char boot[GUESTLOCK_UUID_STRING];  /* "": not known, or of no use as other machines write there too */
};

/* One word after label at *at. */
static bool take_field(const char **at, const char *label, char *out, size_t size)
{
	size_t length;

	if (strncmp(*at, label, strlen(label)) != 0) {
		return false;
	}
	*at += strlen(label);
	length = strcspn(*at, "\n");
	if ((*at)[length] != '\n' || length >= size) {
		return false;
	}
	memcpy(out, *at, length);
	out[length] = '\0';
	*at += length + 1;
	return true;
}

static enum format_state judge_format(const struct gl_fcntl *fc, const struct format *format,
				      const char *text)
{
	char scheme[GL_FCNTL_FORMAT_SIZE], boot[GL_FCNTL_FORMAT_SIZE], version[GL_FCNTL_FORMAT_SIZE];
	const char *at = text;

	if (!take_field(&at, "guestlock-format ", version, sizeof(version))) {
		return FORMAT_DAMAGED;
	}
	if (strcmp(version, "1") != 0) {
		return FORMAT_FOREIGN;
	}
	if (!take_field(&at, "scheme ", scheme, sizeof(scheme)) ||
	    !take_field(&at, "boot ", boot, sizeof(boot)) || *at != '\0') {
		return FORMAT_DAMAGED;
	}
	if (strcmp(scheme, fc->base.identity_scheme) != 0) {
		return FORMAT_FOREIGN;
	}
	if (format->boot[0] == '\0' || strcmp(boot, format->boot) == 0) {
		return FORMAT_RIGHT;
	}
	return strcmp(boot, GL_FCNTL_NO_BOOT) == 0 ? FORMAT_UNKNOWN_BOOT : FORMAT_OTHER_BOOT;
}

/* 0 or -1 with errno. A file that is not there or cannot be understood is no failure. */
static int read_format(const struct gl_fcntl *fc, struct format *format)
{
	char *text = NULL;
	size_t size;

	if (guestlock_read_file(fc->format_path, GL_FCNTL_FILE_MAX, &text, &size) < 0) {
		format->state = errno == EFBIG ? FORMAT_DAMAGED : FORMAT_MISSING;
		return errno == EFBIG || errno == ENOENT ? 0 : -1;
	}
	format->state = size < sizeof(format->text) ? judge_format(fc, format, text) : FORMAT_DAMAGED;
	snprintf(format->text, sizeof(format->text), "%s", text);
	free(text);
	return 0;
}

static enum guestlock_result fail_foreign(const struct gl_fcntl *fc, const struct format *format,
					  struct guestlock_error *err)
{
	char theirs[GL_FCNTL_FORMAT_SIZE];
	size_t i;

	snprintf(theirs, sizeof(theirs), "%s", format->text);
	for (i = 0; theirs[i] != '\0'; i++) {
		theirs[i] = theirs[i] == '\n' ? ' ' : theirs[i];
	}
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_INVALID, 0, 0,
		"cannot use the lock directory %s: it was set up as \"%s\" and this configuration "
		"wants version 1 and scheme %s; use the same version and disk_identity everywhere, "
		"or remove the directory when no guest is running",
		fc->lock_dir, theirs, fc->base.identity_scheme);
}

static enum guestlock_result fail_unreadable(const struct gl_fcntl *fc, const struct format *format,
					     struct guestlock_error *err)
{
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_UNKNOWN, 0, 0,
		"cannot use the lock directory %s: its file format %s while guests are alive, so it "
		"cannot be known how they name their disks; shut these guests down first",
		fc->lock_dir, format->state == FORMAT_MISSING ? "is missing" : "is damaged");
}

/* ---- Setting up ---- */

static int make_directory(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0) {
		return 0;
	}
	if (errno != EEXIST || stat(path, &st) < 0) {
		return -1;
	}
	if (!S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return -1;
	}
	return 0;
}

static int make_parents(const char *path)
{
	char parent[PATH_MAX];
	size_t i;

	if (snprintf(parent, sizeof(parent), "%s", path) >= (int)sizeof(parent)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (i = 1; parent[i] != '\0'; i++) {
		if (parent[i] != '/') {
			continue;
		}
		parent[i] = '\0';
		if (make_directory(parent, 0755) < 0) {
			return -1;
		}
		parent[i] = '/';
	}
	return 0;
}

/* A missing part of the path cannot be made: that does not mend itself. */
static enum guestlock_result fail_make(struct guestlock_error *err, const char *path)
{
	if (errno != ENOENT) {
		return gl_fcntl_fail(err, errno, "make the directory", path);
	}
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_CANNOT_CREATE, ENOENT, 0,
		"cannot make the directory %s: %m; set lock_dir to a directory on a file system that "
		"can be written",
		path);
}

static enum guestlock_result check_directory(const char *path, struct guestlock_error *err)
{
	char why[GUESTLOCK_WHY_NOT_SIZE];

	return guestlock_directory_is_ours(path, why)
		       ? GUESTLOCK_RES_GRANTED
		       : guestlock_backend_fail(err, GUESTLOCK_RES_DENIED, 0, 0,
						"cannot use the lock directory %s: %s", path, why);
}

static enum guestlock_result make_directories(const struct gl_fcntl *fc, struct guestlock_error *err)
{
	const char *const directories[] = {fc->lock_dir, fc->keys_dir, fc->life_dir, fc->new_dir};
	size_t i;

	if (make_directory(fc->lock_dir, 0700) < 0 && (errno != ENOENT || make_parents(fc->lock_dir) < 0)) {
		return fail_make(err, fc->lock_dir);
	}
	for (i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
		if (make_directory(directories[i], 0700) < 0) {
			return fail_make(err, directories[i]);
		}
		if (check_directory(directories[i], err) != GUESTLOCK_RES_GRANTED) {
			return GUESTLOCK_RES_DENIED;
		}
	}
	return GUESTLOCK_RES_GRANTED;
}

/* Alone: nobody else is between the look at the format file and its writing. */
static enum guestlock_result set_up(const struct gl_fcntl *fc, struct format *format,
				    struct guestlock_error *err)
{
	enum gl_fcntl_cleared cleared;

	if (read_format(fc, format) < 0) {
		return gl_fcntl_fail(err, errno, "read", fc->format_path);
	}
	if (format->state == FORMAT_RIGHT) {
		return GUESTLOCK_RES_GRANTED;
	}
	if (format->state == FORMAT_FOREIGN) {
		return fail_foreign(fc, format, err);
	}
	if (gl_fcntl_clear(fc, format->state != FORMAT_UNKNOWN_BOOT, &cleared) < 0) {
		return gl_fcntl_fail(err, errno, "remove what an earlier boot left in", fc->lock_dir);
	}
	if (cleared == GL_FCNTL_ALIVE) {
		return format->state == FORMAT_OTHER_BOOT || format->state == FORMAT_UNKNOWN_BOOT
			       ? GUESTLOCK_RES_GRANTED
			       : fail_unreadable(fc, format, err);
	}
	if (guestlock_write_file(fc->format_path, format->wanted, strlen(format->wanted), 0600) < 0) {
		return gl_fcntl_fail(err, errno, "write", fc->format_path);
	}
	memcpy(format->text, format->wanted, sizeof(format->text));
	return GUESTLOCK_RES_GRANTED;
}

static enum guestlock_result set_up_alone(const struct gl_fcntl *fc, struct format *format,
					  struct guestlock_error *err)
{
	int fd = open(fc->setup_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	enum guestlock_result result;

	if (fd < 0) {
		return gl_fcntl_fail(err, errno, "open", fc->setup_path);
	}
	if (guestlock_ofd_lock(fd, F_WRLCK) == 0) {
		result = set_up(fc, format, err);
		guestlock_ofd_lock(fd, F_UNLCK);
	} else if (errno == EAGAIN || errno == EACCES) {
		result = guestlock_backend_fail(
			err, GUESTLOCK_RES_NOT_JOINED, 0, 0,
			"cannot use the lock directory %s yet: somebody else is setting it up at "
			"this moment; try again",
			fc->lock_dir);
	} else {
		result = gl_fcntl_fail(err, errno, "lock", fc->setup_path);
	}
	close(fd);
	return result;
}

/* What is right once stays so in this boot: later joins need only compare. */
static void note_format(struct gl_fcntl *fc, const struct format *format)
{
	int empty = 0;

	if (atomic_compare_exchange_strong(&fc->noted, &empty, 1)) {
		memcpy(fc->format, format->text, sizeof(fc->format));
		atomic_store(&fc->noted, 2);
	}
}

static bool is_as_noted(const struct gl_fcntl *fc)
{
	char text[GL_FCNTL_FORMAT_SIZE];
	ssize_t got;
	int fd;

	if (atomic_load(&fc->noted) != 2) {
		return false;
	}
	fd = open(fc->format_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0) {
		return false;
	}
	got = read(fd, text, sizeof(text));
	close(fd);
	return got >= 0 && (size_t)got == strlen(fc->format) && memcmp(text, fc->format, (size_t)got) == 0;
}

static enum guestlock_result describe_format(const struct gl_fcntl *fc, const char *path,
					     struct format *format, struct guestlock_error *err)
{
	bool network = false;
	enum guestlock_result result = check_network(fc, path, &network, err);

	if (result == GUESTLOCK_RES_GRANTED && !network) {
		guestlock_boot_id(format->boot);
	}
	snprintf(format->wanted, sizeof(format->wanted), GL_FCNTL_FORMAT_FIRST "scheme %s\nboot %s\n",
		 fc->base.identity_scheme, format->boot[0] != '\0' ? format->boot : GL_FCNTL_NO_BOOT);
	return result;
}

static enum guestlock_result join_slowly(struct gl_fcntl *fc, struct guestlock_error *err)
{
	struct format format = {.state = FORMAT_MISSING};
	enum guestlock_result result;
	char path[PATH_MAX];

	existing_part(fc->lock_dir, path);
	result = describe_format(fc, path, &format, err);
	if (result == GUESTLOCK_RES_GRANTED) {
		result = make_directories(fc, err);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	if (read_format(fc, &format) < 0) {
		return gl_fcntl_fail(err, errno, "read", fc->format_path);
	}
	if (format.state == FORMAT_FOREIGN) {
		return fail_foreign(fc, &format, err);
	}
	if (format.state != FORMAT_RIGHT) {
		result = set_up_alone(fc, &format, err);
	}
	if (result == GUESTLOCK_RES_GRANTED) {
		note_format(fc, &format);
	}
	return result;
}

enum guestlock_result gl_fcntl_join(struct guestlock_backend *backend, struct guestlock_kept *kept,
				    struct guestlock_error *err)
{
	struct gl_fcntl *fc = gl_fcntl_of(backend);
	enum guestlock_result result = GUESTLOCK_RES_GRANTED;

	(void)kept;
	if (!is_as_noted(fc)) {
		result = join_slowly(fc, err);
	}
	if (result == GUESTLOCK_RES_GRANTED) {
		atomic_store(&fc->joined, true);
	} else if (result != GUESTLOCK_RES_NOT_JOINED && result != GUESTLOCK_RES_AGAIN) {
		atomic_store(&fc->joined, false);
	}
	return result;
}

enum guestlock_join_state gl_fcntl_status(struct guestlock_backend *backend, struct guestlock_error *err)
{
	const struct gl_fcntl *fc = gl_fcntl_of(backend);

	if (gl_fcntl_check_joined(fc, err) != GUESTLOCK_RES_GRANTED) {
		return GUESTLOCK_JOIN_OUT;
	}
	if (access(fc->keys_dir, F_OK) < 0) {
		gl_fcntl_fail(err, errno, "use the directory", fc->keys_dir);
		return GUESTLOCK_JOIN_LOST;
	}
	return GUESTLOCK_JOIN_JOINED;
}

/* ---- probe ---- */

enum guestlock_result gl_fcntl_probe(struct guestlock_backend *backend, struct guestlock_error *err)
{
	const struct gl_fcntl *fc = gl_fcntl_of(backend);
	struct format format = {.state = FORMAT_MISSING};
	enum guestlock_result result;
	char path[PATH_MAX];

	existing_part(fc->lock_dir, path);
	result = describe_format(fc, path, &format, err);
	if (result == GUESTLOCK_RES_GRANTED) {
		result = check_directory(fc->lock_dir, err);
	}
	if (result == GUESTLOCK_RES_GRANTED) {
		result = check_directory(fc->keys_dir, err);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	if (faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) < 0) {
		return gl_fcntl_fail(err, errno, "use", path);
	}
	if (read_format(fc, &format) < 0) {
		return gl_fcntl_fail(err, errno, "read", fc->format_path);
	}
	return format.state == FORMAT_FOREIGN ? fail_foreign(fc, &format, err) : GUESTLOCK_RES_GRANTED;
}
