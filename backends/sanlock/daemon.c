/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether what there is protects: the daemon, its watchdog, the storage. Nothing here waits for the daemon.
 */
#include "sanlock_priv.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#define GL_SANLOCK_TEXT_MAX 65536 /* bytes of a file in /proc of the daemon */

/* ---- The storage ---- */

/* File systems that one host has for itself. What is not known may be shared. */
static const struct {
	uint32_t magic;
	const char *name;
} locals[] = {
	{EXT4_SUPER_MAGIC, "ext4"},   {XFS_SUPER_MAGIC, "XFS"},
	{BTRFS_SUPER_MAGIC, "Btrfs"}, {TMPFS_MAGIC, "tmpfs"},
	{RAMFS_MAGIC, "ramfs"},       {OVERLAYFS_SUPER_MAGIC, "overlay"},
	{F2FS_SUPER_MAGIC, "F2FS"},   {REISERFS_SUPER_MAGIC, "ReiserFS"},
	{MSDOS_SUPER_MAGIC, "FAT"},   {SQUASHFS_MAGIC, "SquashFS"},
	{0x2fc12fc1, "ZFS"},          {0x3153464a, "JFS"},
	{0xca451a4e, "bcachefs"},
};

static const char *local_name(uint32_t magic)
{
	for (size_t i = 0; i < sizeof(locals) / sizeof(locals[0]); i++) {
		if (locals[i].magic == magic) {
			return locals[i].name;
		}
	}
	return NULL;
}

static enum guestlock_result check_storage(const struct gl_sanlock *sl, struct guestlock_error *err)
{
	const char *local;
	struct statfs fs;

	if (statfs(sl->dir, &fs) < 0) {
		return guestlock_backend_fail(
			err, errno == ENOENT ? GUESTLOCK_RES_STOPPED : gl_sanlock_result(-errno), errno,
			-errno,
			"cannot use the lease directory %s: %m; mount the shared storage, and make the "
			"directory there",
			sl->dir);
	}
	local = local_name((uint32_t)fs.f_type);
	if (!local || sl->allow_local) {
		return GUESTLOCK_RES_GRANTED;
	}
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_UNSAFE, 0, 0,
		"cannot use the lease directory %s: it is on a file system of this host alone, %s, where a "
		"lease keeps no other host from writing; set [sanlock] lease_dir to a directory on storage "
		"that all hosts share, or allow_local_leases = yes to do without that protection",
		sl->dir, local);
}

/* ---- The daemon ---- */

/* A connection that is made at once or not at all; or a negative errno. */
static int connect_at_once(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, result = 0;

	if (strlen(path) >= sizeof(address.sun_path)) {
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return -errno;
	}
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		result = -errno;
		close(fd);
	}
	return result < 0 ? result : fd;
}

static enum guestlock_result find_daemon(const struct gl_sanlock *sl, pid_t *out_pid,
					 struct guestlock_error *err)
{
	struct ucred peer = {.pid = 0};
	socklen_t size = sizeof(peer);
	int fd = connect_at_once(sl->daemon_path);

	if (fd == -EAGAIN) {
		return gl_sanlock_fail(err, -ETIMEDOUT, "reach sanlock at", sl->daemon_path);
	}
	if (fd < 0) {
		return gl_sanlock_fail(err, fd == -ENOENT || fd == -ENOTDIR ? -ECONNREFUSED : fd,
				       "reach sanlock at", sl->daemon_path);
	}
	/* Whoever listens: the daemon. */
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	close(fd);
	*out_pid = peer.pid;
	return GUESTLOCK_RES_GRANTED;
}

/* A file of /proc/PID, NUL-terminated and malloc'd; NULL: it cannot be read. */
static char *read_proc(pid_t pid, const char *name, size_t *out_size)
{
	char path[64], *text = NULL;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	return guestlock_read_file(path, GL_SANLOCK_TEXT_MAX, &text, out_size) < 0 ? NULL : text;
}

/* What "-w" says on the command line: 0 or 1; -1: nothing. */
static int watchdog_argument(pid_t daemon)
{
	size_t size = 0;
	char *text = read_proc(daemon, "cmdline", &size);
	int found = -1;

	for (const char *word = text; word && word < text + size; word += strlen(word) + 1) {
		const char *value = word + 2;

		if (strncmp(word, "-w", 2) != 0) {
			continue;
		}
		if (*value == '\0' && word + 3 < text + size) {
			value = word + 3;
		}
		found = strcmp(value, "0") != 0;
	}
	free(text);
	return found;
}

/* What its configuration says, the file as the daemon sees it. */
static int watchdog_setting(pid_t daemon)
{
	size_t size = 0;
	char *text = read_proc(daemon, "root/etc/sanlock/sanlock.conf", &size), *rest = text, *line;
	static const char name[] = "use_watchdog";
	int found = -1;

	while ((line = strsep(&rest, "\n")) != NULL) {
		line += strspn(line, " \t");
		if (strncmp(line, name, sizeof(name) - 1) == 0) {
			line += sizeof(name) - 1;
			found = strtol(line + strspn(line, " \t="), NULL, 10) != 0;
		}
	}
	free(text);
	return found;
}

/* As its command line says, which counts more, or its configuration. */
static bool has_watchdog(pid_t daemon)
{
	int told = watchdog_argument(daemon);

	if (told < 0) {
		told = watchdog_setting(daemon);
	}
	return told != 0;
}

enum guestlock_result gl_sanlock_daemon_check(const struct gl_sanlock *sl, struct guestlock_error *err)
{
	pid_t daemon = 0;
	enum guestlock_result result = find_daemon(sl, &daemon, err);

	if (result != GUESTLOCK_RES_GRANTED || sl->allow_no_watchdog || has_watchdog(daemon)) {
		return result;
	}
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_UNSAFE, 0, 0,
		"cannot rely on the sanlock daemon (pid %ld): it runs without a watchdog, so that guests "
		"write on when it dies while others get their leases; set use_watchdog = 1 in "
		"/etc/sanlock/sanlock.conf, start wdmd, and start sanlock anew, or set [sanlock] "
		"allow_no_watchdog = yes to do without that protection",
		(long)daemon);
}

/* ---- probe ---- */

static enum guestlock_result check_required(const struct gl_sanlock *sl, struct guestlock_error *err)
{
	if (sl->host_id == 0) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_INVALID, 0, 0,
			"cannot use sanlock: this host has no id; set [sanlock] host_id to "
			"a number from 1 to %d, on each host another one",
			GL_SANLOCK_HOSTS);
	}
	if (sl->dir[0] == '\0') {
		return guestlock_backend_fail(err, GUESTLOCK_RES_INVALID, 0, 0,
					      "cannot use sanlock: it has no place for leases; set [sanlock] "
					      "lease_dir to a directory on storage that all hosts share");
	}
	return GUESTLOCK_RES_GRANTED;
}

enum guestlock_result gl_sanlock_probe(struct guestlock_backend *backend, struct guestlock_error *err)
{
	const struct gl_sanlock *sl = gl_sanlock_of(backend);
	enum guestlock_result result = check_required(sl, err);

	if (result == GUESTLOCK_RES_GRANTED) {
		result = check_storage(sl, err);
	}
	return result == GUESTLOCK_RES_GRANTED ? gl_sanlock_daemon_check(sl, err) : result;
}
