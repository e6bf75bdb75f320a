/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the records of a run directory depend on: the backend, and where the life locks are. Under another of
 * either, living guests would look dead and their disks free. So run_dir/backend says what they are, and a
 * configuration that differs is refused as long as there are records.
 */
#include "base/base.h"
#include "base/error.h"
#include "handle/owner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PIN_MAX (4 * 4096) /* a name, and a path with three characters for each byte */

/* "BACKEND LIFE_DIR\n", the directory percent-encoded. */
static char *pin_text(const struct guestlock *gl)
{
	GL_AUTOFREE char *life_dir = guestlock_percent_encode(gl_life_dir(gl));
	char *text;

	return life_dir && asprintf(&text, "%s %s\n", gl_technology(gl), life_dir) >= 0 ? text : NULL;
}

static int refuse(const struct guestlock *gl, const char *path, char *there, struct guestlock_error *err)
{
	GL_AUTOFREE char *shown = NULL;

	there[strcspn(there, "\n")] = '\0';
	shown = gl_printable(there);
	return gl_fail(
		err, GUESTLOCK_CONFIG, 0,
		"the guests of %s were started with another backend or lock directory (%s says: %s) than is "
		"configured now (%s %s): put the old configuration back until they have ended and guestlock "
		"reap has run; if all of them are long gone, remove %s",
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

int gl_check_pin(const struct guestlock *gl, struct guestlock_error *err)
{
	GL_AUTOFREE char *path = NULL, *there = NULL;
	GL_AUTOFREE char *text = pin_text(gl);
	size_t size;
	bool any;
	int status;

	if (!text || asprintf(&path, "%s/backend", gl->store.run_dir) < 0) {
		return gl_fail_memory(err);
	}
	if (guestlock_read_file(path, PIN_MAX, &there, &size) < 0 && errno != ENOENT) {
		return gl_fail(err, gl_status_of_errno(errno), errno,
			       "cannot read %s, which says what the guests were started with: %m", path);
	}
	if (there && strcmp(there, text) == 0) {
		return GUESTLOCK_OK;
	}
	status = has_records(gl, &any, err);
	if (status < 0) {
		return status;
	}
	if (there && any) {
		return refuse(gl, path, there, err);
	}
	if (guestlock_write_file(path, text, strlen(text), 0600) < 0) {
		return gl_fail(err, gl_status_of_errno(errno), errno,
			       "cannot write %s: %m; mend the run directory, then try again", path);
	}
	return GUESTLOCK_OK;
}
