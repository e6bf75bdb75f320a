/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who holds a resource, in words. */
#include "operation/call.h"

#include "handle/owner.h"

#include "base/base.h"
#include "base/error.h"

#include <stdio.h>

char *gl_resource_words(const struct gl_resource *resource)
{
	GL_AUTOFREE char *name = gl_printable(resource->name ? resource->name : "");
	char *words = NULL;
	const char *what = resource->guest_lock               ? "guest"
			   : resource->whole                  ? "whole disk"
			   : gl_is_side(resource)             ? "disk"
			   : resource->type == GUESTLOCK_DISK ? "disk"
							      : "lease";

	if (!name || asprintf(&words, "%s %s", what, name) < 0) {
		return NULL;
	}
	return words;
}

/*
 * In UTC, and by hand: the C library's functions take a lock, and this may be the forked child of a threaded
 * process. Years begin in March here, so that the day that comes and goes is their last one.
 */
static void put_since(int64_t since, char *out, size_t size)
{
	long long days = since / 86400 + 719468, seconds = since % 86400;
	long long era = days / 146097, day = days % 146097;
	long long year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	long long month;

	day -= 365 * year + year / 4 - year / 100;
	month = (5 * day + 2) / 153;
	day -= (153 * month + 2) / 5;
	month = month < 10 ? month + 3 : month - 9;
	year += 400 * era + (month <= 2);
	snprintf(out, size, ", since %04lld-%02lld-%02lld %02lld:%02lld:%02lld UTC", year, month, day + 1,
		 seconds / 3600, seconds / 60 % 60, seconds % 60);
}

void gl_pid_words(const struct guestlock *gl, const struct gl_record *record, char out[GL_PID_WORDS])
{
	pid_t pid = record->process.pid, living;

	if (gl_other_namespace(gl, record->process.ns)) {
		snprintf(out, GL_PID_WORDS, "pid %ld of another pid namespace", (long)pid);
		return;
	}
	living = gl_record_living(gl, record, true);
	if (living == 0 || living == pid) {
		snprintf(out, GL_PID_WORDS, "pid %ld", (long)pid);
	} else {
		snprintf(out, GL_PID_WORDS, "pid %ld (its first process, %ld, has ended)", (long)living,
			 (long)pid);
	}
}

/* What the record of the holder tells, if there is one here; else what the backend knows. */
static void holder_pid(const struct guestlock *gl, const struct guestlock_holder *holder,
		       char out[GL_PID_WORDS])
{
	struct gl_record *record = NULL;
	bool here = strcmp(holder->host, gl->host) == 0 &&
		    gl_store_load(&gl->store, holder->uuid, &record, NULL) == GUESTLOCK_OK &&
		    record->instance == holder->instance;

	if (here) {
		gl_pid_words(gl, record, out);
	} else {
		snprintf(out, GL_PID_WORDS, "pid %ld%s", (long)holder->pid,
			 holder->pid_ns ? " of another pid namespace" : "");
	}
	gl_record_free(record);
}

/* "guest NAME (UUID) on HOST, pid N, since DATE", as much of it as is known. */
static void holder_text(const struct guestlock *gl, const struct guestlock_holder *holder, char *out,
			size_t size)
{
	GL_AUTOFREE char *name = gl_printable(holder->name);
	char since[48] = "", pid[GL_PID_WORDS] = "";

	if (!holder->uuid[0]) {
		snprintf(out, size, "somebody%s%s whom the backend cannot name",
			 holder->host[0] ? " on " : "", holder->host);
		return;
	}
	if (holder->since > 0) {
		put_since(holder->since, since, sizeof(since));
	}
	if (holder->pid) {
		holder_pid(gl, holder, pid);
	}
	snprintf(out, size, "guest %s%s%s%s%s%s%s%s%s", name ? name : "", holder->name[0] ? " (" : "",
		 holder->uuid, holder->name[0] ? ")" : "", holder->host[0] ? " on " : "", holder->host,
		 pid[0] ? ", " : "", pid, since);
}

/* How they have it who are in the way: of a side that was to be passed, on that side. */
static const char *mode_words(const struct gl_resource *resource, const struct guestlock_holder *holder)
{
	if (!resource->passing || holder->mode != GUESTLOCK_MODE_SHARED) {
		return holder->mode ? guestlock_mode_name(holder->mode) : "";
	}
	return resource->readers ? "shared, to read only: nobody writes beside it"
				 : "shared, to write: nobody only reads beside it";
}

int gl_fail_busy(const struct guestlock *gl, const struct gl_resource *resource,
		 const struct guestlock_holder *holder, struct guestlock_error *err)
{
	GL_AUTOFREE char *words = gl_resource_words(resource);
	const char *mode = mode_words(resource, holder);
	struct guestlock_holder seen = *holder;
	char who[3 * GUESTLOCK_HOLDER_TEXT + GL_PID_WORDS];

	gl_holder_from_here(gl, &seen);
	holder_text(gl, &seen, who, sizeof(who));
	gl_fail(err, GUESTLOCK_BUSY, 0,
		"cannot lock %s: it is held%s%s%s by %s; end that guest, or wait until it has ended",
		words ? words : "a resource", mode[0] ? " (" : "", mode, mode[0] ? ")" : "", who);
	gl_error_about(err, NULL, resource->name);
	if (err) {
		err->holder = seen;
		gl_copy_cut(err->backend, sizeof(err->backend), gl_technology(gl));
	}
	return GUESTLOCK_BUSY;
}
