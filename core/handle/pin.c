/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the records of a run directory depend on: the backend, and where the life locks are. Under another of
 * either, living guests would look dead and their disks free. So run_dir/backend says what they are, and a
 * configuration that differs is refused as long as there are records. A handle may live longer than what the file
 * says: so it is looked at in each operation.
 */
#include "base/base.h"
#include "base/error.h"
#include "handle/owner.h"
#include "record/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define LONGEST_PAUSE_MS 10
#define PIN_MAX (4 * 4096) /* a name, and a path with three characters for each byte */

/* "BACKEND LIFE_DIR", the directory percent-encoded. */
static char *pin_text(const struct guestlock *gl)
{
	GL_AUTOFREE char *life_dir = guestlock_percent_encode(gl_life_dir(gl));
	char *text;

	return life_dir && asprintf(&text, "%s %s", gl_technology(gl), life_dir) >= 0 ? text : NULL;
}

static int refuse(const struct guestlock *gl, const char *path, const char *there,
		  struct guestlock_error *err)
{
	GL_AUTOFREE char *shown = gl_printable(there);

	return gl_fail(
		err, GUESTLOCK_CONFIG, 0,
		"the guests of %s were started with another backend or lock directory (%s says: %s) than is "
		"configured here (%s %s): put the old configuration back until they have ended and guestlock "
		"reap has run, or start this program again if its configuration was changed meanwhile; if all "
		"of them are long gone, remove %s",
		gl->store.run_dir, path, shown ? shown : "?", gl_technology(gl), gl_life_dir(gl), path);
}

static int has_records(const struct guestlock *gl, bool *out_any, struct guestlock_error *err)
{
	char(*uuids)[GUESTLOCK_UUID_STRING] = NULL;
	size_t count = 0;
	int status = gl_store_uuids(&gl->store, &uuids, &count, err);

	/* Those that are empty are none. */
	for (size_t i = 0; status == GUESTLOCK_OK && i < count; i++) {
		gl_store_tidy(&gl->store, uuids[i]);
	}
	if (count > 0) {
		free(uuids);
		uuids = NULL;
		status = gl_store_uuids(&gl->store, &uuids, &count, err);
	}
	free(uuids);
	*out_any = status == GUESTLOCK_OK && count > 0;
	return status;
}

/* What is in the file that is open, up to the end of its first line: malloc'd. NULL with errno. */
static char *read_line(int fd)
{
	GL_AUTOFREE char *text = calloc(1, PIN_MAX + 1);
	char *line = NULL;

	if (text && gl_read_all(fd, text, PIN_MAX, 0) >= 0) {
		text[strcspn(text, "\n")] = '\0';
		line = strdup(text);
	}
	return line;
}

/*
 * Who changes the pin has it locked, from before he looks for records until it is changed. Whoever is in here with
 * the lock of a record has made that record's file before: one of the two sees the other.
 */
static int open_pin(const char *path, int64_t deadline_ms)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);

	for (unsigned attempt = 0; fd >= 0 && guestlock_ofd_lock(fd, F_RDLCK) < 0; attempt++) {
		int failure = errno;

		if (failure != EAGAIN && failure != EACCES && failure != EINTR) {
			close(fd);
			errno = failure;
			return -1;
		}
		if (!gl_pause_before_retry(attempt, LONGEST_PAUSE_MS, deadline_ms)) {
			close(fd);
			errno = ETIMEDOUT;
			return -1;
		}
	}
	return fd;
}

/* Does it say what is configured here? What it says otherwise is in *out_there. -1 with errno. */
static int compare(const char *path, const char *text, int64_t deadline_ms, char **out_there)
{
	int fd = open_pin(path, deadline_ms);
	int saved_errno;

	if (fd < 0) {
		return -1;
	}
	*out_there = read_line(fd);
	saved_errno = errno;
	gl_rundir_close_locked(fd);
	errno = saved_errno;
	return !*out_there ? -1 : strcmp(*out_there, text) == 0;
}

static int cannot_read(const char *path, struct guestlock_error *err)
{
	return gl_fail(err, gl_status_of_errno(errno), errno,
		       "cannot read %s, which says what the guests were started with: %m", path);
}

/*
 * In place, so that the lock stays that of the file. One that is killed in the midst of it leaves a line that fits
 * nobody, and no records.
 */
static int write_line(int fd, const char *text)
{
	GL_AUTOFREE char *line = NULL;

	if (asprintf(&line, "%s\n", text) < 0) {
		line = NULL;
		return -1;
	}
	return lseek(fd, 0, SEEK_SET) < 0 || gl_write_all(fd, line, strlen(line)) < 0 ||
			       ftruncate(fd, (off_t)strlen(line)) < 0
		       ? -1
		       : 0;
}

/* With the pin locked. */
static int change(const struct guestlock *gl, int fd, const char *path, const char *text,
		  struct guestlock_error *err)
{
	GL_AUTOFREE char *there = read_line(fd);
	bool any = false;
	int status;

	if (!there) {
		return cannot_read(path, err);
	}
	if (strcmp(there, text) == 0) {
		return GUESTLOCK_OK;
	}
	status = has_records(gl, &any, err);
	if (status < 0) {
		return status;
	}
	if (there[0] && any) {
		return refuse(gl, path, there, err);
	}
	return write_line(fd, text) < 0
		       ? gl_fail(err, gl_status_of_errno(errno), errno,
				 "cannot write %s: %m; mend the run directory, then try again", path)
		       : GUESTLOCK_OK;
}

int gl_check_pin(const struct guestlock *gl, int64_t deadline_ms, struct guestlock_error *err)
{
	GL_AUTOFREE char *path = NULL, *there = NULL;
	GL_AUTOFREE char *text = pin_text(gl);
	int fd, same, status;
	size_t size;

	if (!text || asprintf(&path, "%s/backend", gl->store.run_dir) < 0) {
		return gl_fail_memory(err);
	}
	same = compare(path, text, deadline_ms, &there);
	if (same > 0) {
		return GUESTLOCK_OK;
	}
	if (same < 0 && errno != ENOENT) {
		return cannot_read(path, err);
	}
	if (gl_rundir_open_locked(&gl->store, path, true, deadline_ms, &fd, &size) < 0) {
		return gl_fail(err, gl_status_of_errno(errno), errno,
			       "cannot write %s: %m; mend the run directory, then try again", path);
	}
	status = change(gl, fd, path, text, err);
	gl_rundir_close_locked(fd);
	return status;
}

/*
 * The usual answer, with no lock taken: it says what we want, and nobody is changing it. Who begins to change it
 * after that finds our record's file.
 */
static bool is_as_wanted(const char *path, const char *text)
{
	GL_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	size_t length = strlen(text);
	char there[512];

	return fd >= 0 && length < sizeof(there) && fcntl(fd, F_OFD_GETLK, &lock) == 0 &&
	       lock.l_type == F_UNLCK && pread(fd, there, sizeof(there), 0) == (ssize_t)length + 1 &&
	       there[length] == '\n' && memcmp(there, text, length) == 0;
}

int gl_is_pinned(const struct guestlock *gl, int64_t deadline_ms, struct guestlock_error *err)
{
	GL_AUTOFREE char *path = NULL, *there = NULL;
	GL_AUTOFREE char *text = pin_text(gl);
	int same;

	if (!text || asprintf(&path, "%s/backend", gl->store.run_dir) < 0) {
		return gl_fail_memory(err);
	}
	if (is_as_wanted(path, text)) {
		return GUESTLOCK_OK;
	}
	same = compare(path, text, deadline_ms, &there);
	if (same < 0 && errno != ENOENT) {
		return cannot_read(path, err);
	}
	return same > 0 ? GUESTLOCK_OK : refuse(gl, path, there ? there : "", err);
}
