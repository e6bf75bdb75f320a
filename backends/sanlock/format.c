/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What all hosts of a lease directory have in common: the format file, and the lockspace.
 *
 *   1. who finds no format makes the lockspace, unless it is there
 *   2. and then the format, which names that lockspace
 *
 * Killed in between, or two at once: the next one goes on, as what is there is never replaced. Where the format is, its
 * lockspace has to be. Another one in its place, or a copy, would be free for all: the daemons that have joined renew
 * their leases in the file that they have open, and whoever joins the new one sees none of them. So a lockspace has a
 * stamp, in its last sector, which is nobody's host id: a number that the format has too, and its own inode.
 */
#include "sanlock_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GL_SANLOCK_STAMPED "guestlock-lockspace "
#define GL_SANLOCK_STAMP 4096 /* bytes, from the end: what any storage can read at once */

/* ---- The lockspace ---- */

void gl_sanlock_describe(const struct gl_sanlock *sl, const char *path, struct sanlk_lockspace *out)
{
	*out = (struct sanlk_lockspace){.host_id = sl->host_id};
	memcpy(out->name, sl->lockspace, strlen(sl->lockspace));
	snprintf(out->host_id_disk.path, sizeof(out->host_id_disk.path), "%s", path);
}

/* 0: it cannot be told. For its times it is not asked: see gl_sanlock_identify(). */
static uint64_t inode_of(int fd)
{
	struct statx stx;

	return statx(fd, "", AT_EMPTY_PATH, STATX_INO, &stx) < 0 ? 0 : stx.stx_ino;
}

static bool parse_stamp(const char *text, uint64_t *out_number, uint64_t *out_inode)
{
	char *end;

	if (strncmp(text, GL_SANLOCK_STAMPED, strlen(GL_SANLOCK_STAMPED)) != 0) {
		return false;
	}
	*out_number = strtoull(text + strlen(GL_SANLOCK_STAMPED), &end, 16);
	if (*end != ' ') {
		return false;
	}
	*out_inode = strtoull(end, &end, 10);
	return *end == '\n';
}

/* The stamp of a lockspace; also of one that is a copy, or was made by others. 0 or a negative errno. */
static int read_stamp(const struct gl_sanlock *sl, uint64_t *out_number, bool *out_good)
{
	int fd = open(sl->lockspace_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	char text[GL_SANLOCK_STAMP];
	uint64_t inode = 0;
	int result = 0;
	ssize_t got;

	*out_good = false;
	if (fd < 0) {
		return -errno;
	}
	got = pread(fd, text, sizeof(text), gl_sanlock_size(sl) - GL_SANLOCK_STAMP);
	if (got < 0) {
		result = -errno;
	} else if (got == GL_SANLOCK_STAMP) {
		text[GL_SANLOCK_STAMP - 1] = '\0';
		*out_good = parse_stamp(text, out_number, &inode) && inode != 0 && inode == inode_of(fd);
	}
	close(fd);
	return result;
}

static int write_stamp(const struct gl_sanlock *sl, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	char text[GL_SANLOCK_STAMP] = "";
	int result = 0;

	if (fd < 0) {
		return -errno;
	}
	snprintf(text, sizeof(text), GL_SANLOCK_STAMPED "%016" PRIx64 " %" PRIu64 "\n", guestlock_random64(),
		 inode_of(fd));
	if (pwrite(fd, text, sizeof(text), gl_sanlock_size(sl) - GL_SANLOCK_STAMP) != (ssize_t)sizeof(text) ||
	    fsync(fd) < 0) {
		result = -errno;
	}
	close(fd);
	return result;
}

static int fill_lockspace(const struct gl_sanlock *sl, const char *path, const void *data)
{
	struct sanlk_lockspace lockspace;
	int rv;

	(void)data;
	gl_sanlock_describe(sl, path, &lockspace);
	lockspace.flags = sl->sector == 4096 ? SANLK_LSF_ALIGN8M | SANLK_LSF_SECTOR4K
					     : SANLK_LSF_ALIGN1M | SANLK_LSF_SECTOR512;
	rv = sanlock_write_lockspace(&lockspace, 0, 0, sl->io_timeout);
	return rv < 0 ? rv : write_stamp(sl, path);
}

static enum guestlock_result fail_lockspace(const struct gl_sanlock *sl, const char *what,
					    struct guestlock_error *err)
{
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_UNKNOWN, 0, 0,
		"cannot use the lease directory %s: its lockspace %s %s, and hosts may hold leases by the one "
		"that was there, which this host would not see; bring that very file back, or end all guests on all "
		"hosts, stop sanlock there, and remove everything in that directory",
		sl->dir, sl->lockspace_path, what);
}

/* number: of the format; 0: there is none yet, and in *number is which it is to be. */
static enum guestlock_result check_lockspace(const struct gl_sanlock *sl, uint64_t *number,
					     struct guestlock_error *err)
{
	uint64_t found = 0;
	bool good;
	int rv = read_stamp(sl, &found, &good);

	if (rv == -ENOENT && *number != 0) {
		return fail_lockspace(sl, "is gone", err);
	}
	if (rv < 0) {
		return gl_sanlock_fail(err, rv, "read the lockspace", sl->lockspace_path);
	}
	if (!good || found == 0 || (*number != 0 && found != *number)) {
		return fail_lockspace(sl, "is a copy, or another one than this directory was set up with",
				      err);
	}
	*number = found;
	return GUESTLOCK_RES_GRANTED;
}

/* ---- The format ---- */

#define GL_SANLOCK_FORMAT_MAX 4096 /* bytes */

static char *wanted_format(const struct gl_sanlock *sl, const struct gl_sanlock_daemon *daemon,
			   uint64_t number)
{
	char *text;

	return asprintf(&text,
			"guestlock-format 1\nscheme %s\nlockspace %s\nstamp %016" PRIx64 "\nsector %u\n"
			"io_timeout %u\nwatchdog_fire_timeout %u\nend\n",
			sl->base.identity_scheme, sl->lockspace, number, sl->sector, sl->io_timeout,
			daemon->fire_timeout) < 0
		       ? NULL
		       : text;
}

static int fill_text(const struct gl_sanlock *sl, const char *path, const void *data)
{
	const char *text = data;

	(void)sl;
	return guestlock_write_file(path, text, strlen(text), 0660) < 0 ? -errno : 0;
}

/* 0: it names none. */
static uint64_t number_in(const char *text)
{
	const char *at = strstr(text, "\nstamp ");

	return at ? strtoull(at + strlen("\nstamp "), NULL, 16) : 0;
}

static enum guestlock_result fail_format(const struct gl_sanlock *sl, const struct gl_sanlock_daemon *daemon,
					 char *text, struct guestlock_error *err)
{
	for (char *at = text; *at; at++) {
		*at = *at == '\n' ? ' ' : *at;
	}
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_INVALID, 0, 0,
		"cannot use the lease directory %s: it was set up as \"%s\", and here it is scheme %s, lockspace %s, "
		"sectors of %u bytes, io_timeout %u and, of the sanlock daemon, watchdog_fire_timeout %u; use the same "
		"version, disk_identity, lockspace, sector_size, io_timeout and watchdog_fire_timeout on all hosts, or "
		"another lease_dir",
		sl->dir, text, sl->base.identity_scheme, sl->lockspace, sl->sector, sl->io_timeout,
		daemon->fire_timeout);
}

static enum guestlock_result compare_format(const struct gl_sanlock *sl,
					    const struct gl_sanlock_daemon *daemon, char *text,
					    struct guestlock_error *err)
{
	uint64_t number = number_in(text);
	char *wanted = wanted_format(sl, daemon, number);
	enum guestlock_result result = GUESTLOCK_RES_GRANTED;

	if (!wanted) {
		return gl_sanlock_fail(err, -ENOMEM, "use", sl->dir);
	}
	if (number == 0 || strcmp(text, wanted) != 0) {
		result = fail_format(sl, daemon, text, err);
	}
	free(wanted);
	return result == GUESTLOCK_RES_GRANTED ? check_lockspace(sl, &number, err) : result;
}

static enum guestlock_result begin_format(const struct gl_sanlock *sl, const struct gl_sanlock_daemon *daemon,
					  struct guestlock_error *err)
{
	int rv = gl_sanlock_create(sl, sl->lockspace_path, gl_sanlock_size(sl), fill_lockspace, NULL);
	enum guestlock_result result;
	uint64_t number = 0;
	char *wanted;

	if (rv < 0) {
		return gl_sanlock_fail(err, rv, "set up the lockspace", sl->lockspace_path);
	}
	result = check_lockspace(sl, &number, err);
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	wanted = wanted_format(sl, daemon, number);
	rv = wanted ? gl_sanlock_create(sl, sl->format_path, 0, fill_text, wanted) : -ENOMEM;
	free(wanted);
	return rv < 0 ? gl_sanlock_fail(err, rv, "set up", sl->format_path) : GUESTLOCK_RES_GRANTED;
}

enum guestlock_result gl_sanlock_set_up(const struct gl_sanlock *sl, const struct gl_sanlock_daemon *daemon,
					bool joined, struct guestlock_error *err)
{
	enum guestlock_result result;
	char *text = NULL;
	size_t size;

	if (guestlock_read_file(sl->format_path, GL_SANLOCK_FORMAT_MAX, &text, &size) < 0 &&
	    errno == ENOENT) {
		/* It was there as this host joined. */
		result = joined ? fail_lockspace(sl, "lost its format file", err)
				: begin_format(sl, daemon, err);
		if (result != GUESTLOCK_RES_GRANTED) {
			return result;
		}
		errno = 0;
		guestlock_read_file(sl->format_path, GL_SANLOCK_FORMAT_MAX, &text, &size);
	}
	if (!text) {
		return gl_sanlock_fail(err, -errno, "read", sl->format_path);
	}
	result = compare_format(sl, daemon, text, err);
	free(text);
	return result;
}
