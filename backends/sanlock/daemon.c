/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether what there is protects: the daemon, its watchdog, the storage. The daemon is waited for some seconds at most.
 */
#include "sanlock_priv.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

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

/*
 * What the daemon runs with only its status tells, which libsanlock does not ask for: a header, and then, from a
 * daemon that answers, the header again, the record of the daemon itself, and its words "name=value". More records
 * follow, and are not read.
 */
#define GL_SANLOCK_MAGIC 0x04282010U
#define GL_SANLOCK_PROTOCOL 1U
#define GL_SANLOCK_STATUS 5U
#define GL_SANLOCK_RECORD 80       /* bytes of one */
#define GL_SANLOCK_RECORD_WORDS 72 /* where its number of bytes that follow stands */
#define GL_SANLOCK_WAIT_S 2 /* at most for each step, of a daemon that has nothing to wait for itself */

/* Versions before 3.9 do not tell, as nobody can set it. */
#define GL_SANLOCK_FIRE_TIMEOUT 60

struct header {
	uint32_t magic, version, command, flags, length, sequence, data[2];
};

/* A negative errno. Of many who come at once some wait. */
static int reach(const char *path)
{
	const struct timeval patience = {.tv_sec = GL_SANLOCK_WAIT_S};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, result;

	if (strlen(path) >= sizeof(address.sun_path)) {
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return -errno;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
		return fd;
	}
	result = errno == EAGAIN ? -ETIMEDOUT : -errno;
	close(fd);
	return result == -ENOENT || result == -ENOTDIR ? -ECONNREFUSED : result;
}

/* 0, or a negative errno; EPROTO: that is less. */
static int receive(int fd, void *data, size_t size)
{
	ssize_t got = recv(fd, data, size, MSG_WAITALL);

	if (got == (ssize_t)size) {
		return 0;
	}
	return got >= 0 ? -EPROTO : errno == EAGAIN ? -ETIMEDOUT : -errno;
}

/* Its words, with NUL. 0 or a negative errno; EPROTO: it speaks in another way. */
static int ask_status(int fd, char *words, size_t size)
{
	struct header header = {
		.magic = GL_SANLOCK_MAGIC,
		.version = GL_SANLOCK_PROTOCOL,
		.command = GL_SANLOCK_STATUS,
		.length = sizeof(header),
	};
	char record[GL_SANLOCK_RECORD];
	uint32_t length;
	int rv;

	if (send(fd, &header, sizeof(header), MSG_NOSIGNAL) != (ssize_t)sizeof(header)) {
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	}
	rv = receive(fd, &header, sizeof(header));
	if (rv == 0 && (header.magic != GL_SANLOCK_MAGIC || header.command != GL_SANLOCK_STATUS)) {
		rv = -EPROTO;
	}
	rv = rv < 0 ? rv : receive(fd, record, sizeof(record));
	if (rv < 0) {
		return rv;
	}
	memcpy(&length, record + GL_SANLOCK_RECORD_WORDS, sizeof(length));
	if (length >= size) {
		return -EPROTO;
	}
	words[length] = '\0';
	return receive(fd, words, length);
}

/* false: it does not tell. */
static bool find_number(const char *words, const char *name, unsigned *out)
{
	size_t length = strlen(name);

	for (const char *at = words; *at; at += strspn(at, " ")) {
		if (strncmp(at, name, length) == 0 && at[length] == '=') {
			char *end;
			unsigned long number = strtoul(at + length + 1, &end, 10);

			*out = (unsigned)number;
			return end != at + length + 1 && number <= UINT16_MAX && (*end == ' ' || !*end);
		}
		at += strcspn(at, " ");
	}
	return false;
}

enum guestlock_result gl_sanlock_ask_daemon(const struct gl_sanlock *sl, struct gl_sanlock_daemon *out,
					    struct guestlock_error *err)
{
	char words[4096] = "";
	int fd = reach(sl->daemon_path), rv = fd < 0 ? fd : ask_status(fd, words, sizeof(words));

	*out = (struct gl_sanlock_daemon){.fire_timeout = GL_SANLOCK_FIRE_TIMEOUT};
	if (fd >= 0) {
		close(fd);
	}
	if (rv < 0 && rv != -EPROTO) {
		return gl_sanlock_fail(err, rv, "reach sanlock at", sl->daemon_path);
	}
	out->told = rv == 0 && find_number(words, "use_watchdog", &out->watchdog) &&
		    find_number(words, "kill_grace_seconds", &out->grace);
	find_number(words, "watchdog_fire_timeout", &out->fire_timeout);
	return GUESTLOCK_RES_GRANTED;
}

enum guestlock_result gl_sanlock_daemon_check(const struct gl_sanlock *sl, struct gl_sanlock_daemon *out,
					      struct guestlock_error *err)
{
	enum guestlock_result result = gl_sanlock_ask_daemon(sl, out, err);

	if (result != GUESTLOCK_RES_GRANTED || sl->allow_no_watchdog || (out->told && out->watchdog)) {
		return result;
	}
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_UNSAFE, 0, 0,
		out->told
			? "cannot rely on the sanlock daemon: it runs without a watchdog, so that guests write on "
			  "when it dies while others get their leases; set use_watchdog = 1 in "
			  "/etc/sanlock/sanlock.conf (and no -w 0 on its command line), start wdmd, and start "
			  "sanlock anew, or set [sanlock] allow_no_watchdog = yes to do without that protection"
			: "cannot rely on the sanlock daemon: it does not tell whether it has a watchdog, as "
			  "sanlock client status -D does; use a version that does, or set [sanlock] "
			  "allow_no_watchdog = yes to do without that protection");
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

enum guestlock_result gl_sanlock_check(const struct gl_sanlock *sl, struct guestlock_error *err)
{
	enum guestlock_result result = check_required(sl, err);

	return result == GUESTLOCK_RES_GRANTED ? check_storage(sl, err) : result;
}

enum guestlock_result gl_sanlock_probe(struct guestlock_backend *backend, struct guestlock_error *err)
{
	const struct gl_sanlock *sl = gl_sanlock_of(backend);
	enum guestlock_result result = gl_sanlock_check(sl, err);
	struct gl_sanlock_daemon daemon;

	return result == GUESTLOCK_RES_GRANTED ? gl_sanlock_daemon_check(sl, &daemon, err) : result;
}
