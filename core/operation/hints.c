/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hints as operations use them. The hint of a file names the key that it is locked by: the same file under
 * another key is a hard link or a bind mount, and would be locked twice. A hint counts only as far as the
 * record of its guest bears it out; that record is written before the hint, so that of two guests which
 * enter the same file at once the second one sees the first.
 */
#include "base/base.h"
#include "base/error.h"
#include "operation/operation.h"

#include <string.h>

#define FILE_NAME_SIZE (2 * GL_HEX_SIZE) /* DEVICE-INODE */

static void file_name(const struct gl_resource *resource, char out[FILE_NAME_SIZE])
{
	char device[GL_HEX_SIZE], inode[GL_HEX_SIZE];

	gl_hex(device, resource->device, 1);
	gl_hex(inode, resource->inode, 1);
	stpcpy(stpcpy(stpcpy(out, device), "-"), inode);
}

struct judgement {
	struct gl_operation_run *run;
	const struct gl_resource *resource;
};

static int aliased(const struct judgement *judgement, const struct gl_record *other,
		   const struct gl_resource *theirs, struct guestlock_error *err)
{
	GL_AUTOFREE char *mine = gl_printable(judgement->resource->name);
	GL_AUTOFREE char *path = gl_printable(theirs->name);
	GL_AUTOFREE char *name = gl_printable(other->name);

	gl_fail(err, GUESTLOCK_ALIASED, 0,
		"cannot lock disk %s: the same file is in use as %s by guest %s (%s), where it is locked "
		"under that path; name it by that path, or end that guest first",
		mine ? mine : "?", path ? path : "?", name ? name : "", other->uuid);
	gl_error_about(err, judgement->run->lock.uuid, judgement->resource->name);
	return GUESTLOCK_ALIASED;
}

/* Does the record of a hint's guest say that it uses this key, and does that guest live? */
static int judge_record(const struct judgement *judgement, struct gl_record *other, const char *key,
			struct guestlock_error *err)
{
	const struct gl_resource *theirs = gl_record_find_key(other, key);

	if (!theirs || gl_record_life(judgement->run->gl, other) == GUESTLOCK_LIFE_DEAD) {
		return 1;
	}
	return aliased(judgement, other, theirs, err);
}

static int judge_hint(void *data, const struct gl_hint *other, struct guestlock_error *err)
{
	const struct judgement *judgement = data;
	struct gl_operation_run *run = judgement->run;
	struct gl_record *record = NULL;
	int status;

	if (strcmp(other->value, judgement->resource->key) == 0) {
		return 0;
	}
	if (strcmp(other->uuid, run->lock.uuid) == 0) {
		const struct gl_resource *mine = gl_record_find_key(run->record, other->value);

		return mine ? aliased(judgement, run->record, mine, err) : 1;
	}
	status = gl_store_load(&run->gl->store, other->uuid, &record, err);
	if (status == GUESTLOCK_NOT_FOUND) {
		return 1;
	}
	if (status < 0) {
		return status;
	}
	status = judge_record(judgement, record, other->value, err);
	gl_record_free(record);
	return status;
}

int gl_hint_file(struct gl_operation_run *run, const struct gl_resource *resource,
		 struct guestlock_error *err)
{
	struct judgement judgement = {.run = run, .resource = resource};
	struct gl_hint hint = {0};
	char name[FILE_NAME_SIZE];

	if (!resource->has_file) {
		return GUESTLOCK_OK;
	}
	file_name(resource, name);
	memcpy(hint.uuid, run->lock.uuid, sizeof(hint.uuid));
	memcpy(hint.value, resource->key, sizeof(hint.value));
	return gl_hint_add(&run->gl->store, GL_HINT_FILE, name, &hint, judge_hint, &judgement,
			   run->deadline_ms, err);
}

void gl_unhint_file(struct gl_operation_run *run, const struct gl_resource *resource)
{
	char name[FILE_NAME_SIZE];

	if (resource->has_file) {
		file_name(resource, name);
		gl_hint_remove(&run->gl->store, GL_HINT_FILE, name, run->lock.uuid, run->deadline_ms);
	}
}

int gl_hint_name(struct gl_operation_run *run, struct guestlock_error *err)
{
	struct gl_hint hint = {0};
	char name[GUESTLOCK_KEY_SIZE];

	if (!run->record->name[0]) {
		return GUESTLOCK_OK;
	}
	guestlock_digest(run->record->name, strlen(run->record->name), name);
	memcpy(hint.uuid, run->lock.uuid, sizeof(hint.uuid));
	return gl_hint_add(&run->gl->store, GL_HINT_NAME, name, &hint, NULL, NULL, run->deadline_ms, err);
}

void gl_unhint_name(struct gl_operation_run *run)
{
	char name[GUESTLOCK_KEY_SIZE];

	if (run->record->name[0]) {
		guestlock_digest(run->record->name, strlen(run->record->name), name);
		gl_hint_remove(&run->gl->store, GL_HINT_NAME, name, run->lock.uuid, run->deadline_ms);
	}
}
