/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The uuid of the guest that a text names. */
#include "base/base.h"
#include "base/error.h"
#include "guest/guest.h"

#include <limits.h>
#include <string.h>

bool gl_is_unreadable(int status)
{
	return status == GUESTLOCK_DAMAGED || status == GUESTLOCK_UNSUPPORTED;
}

/* A hint counts if the record has that name. */
static bool has_name(struct guestlock *gl, const char *uuid, const char *name)
{
	struct gl_record *record = NULL;
	struct guestlock_error ignored;
	bool same;

	if (gl_store_load(&gl->store, uuid, &record, &ignored) < 0) {
		return false;
	}
	same = strcmp(record->name, name) == 0;
	gl_record_free(record);
	return same;
}

static int find_by_name(struct guestlock *gl, const char *name, char out_uuid[GUESTLOCK_UUID_STRING],
			struct guestlock_error *err)
{
	GL_AUTOFREE struct gl_hint *hints = NULL;
	GL_AUTOFREE char *shown = gl_printable(name);
	char digest[GUESTLOCK_KEY_SIZE];
	size_t count = 0, matches = 0;
	int status;

	guestlock_digest(name, strlen(name), digest);
	status = gl_hint_read(&gl->store, GL_HINT_NAME, digest, &hints, &count, err);
	if (status < 0) {
		return status;
	}
	for (size_t i = 0; i < count; i++) {
		if (!has_name(gl, hints[i].uuid, name)) {
			continue;
		}
		if (matches++ == 0) {
			memcpy(out_uuid, hints[i].uuid, GUESTLOCK_UUID_STRING);
		} else {
			return gl_fail(
				err, GUESTLOCK_INVALID, 0,
				"more than one guest is named %s (%s and %s are two): say which by its uuid",
				shown ? shown : "so", out_uuid, hints[i].uuid);
		}
	}
	if (matches == 0) {
		char other[PATH_MAX] = "";
		bool elsewhere = gl_store_beside(&gl->store, other);

		return gl_fail(
			err, GUESTLOCK_NOT_FOUND, 0,
			"there is no guest named %s on this host (run directory %s); guestlock list "
			"shows those there are%s%s%s",
			shown ? shown : "so", gl->store.run_dir, elsewhere ? ". There are guests in " : "",
			other,
			elsewhere
				? ", as of before this host was renamed: guestlock -o guestlock.run_dir=... "
				  "reaches them"
				: "");
	}
	return GUESTLOCK_OK;
}

int guestlock_find(struct guestlock *gl, const char *text, char out_uuid[GUESTLOCK_UUID_STRING],
		   struct guestlock_error *err)
{
	char found[GUESTLOCK_UUID_STRING];
	struct gl_record *record = NULL;
	int status;

	if (!gl_uuid_parse(text, found)) {
		status = find_by_name(gl, text, found, err);
	} else {
		status = gl_store_load(&gl->store, found, &record, err);
		gl_record_free(record);
		/* A damaged record has a guest all the same. */
		status = gl_is_unreadable(status) ? GUESTLOCK_OK : status;
	}
	if (status == GUESTLOCK_OK) {
		memcpy(out_uuid, found, sizeof(found));
	}
	return status;
}
