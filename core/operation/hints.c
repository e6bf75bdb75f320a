/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hints as operations use them: who has a file or device, and who has a part of it or something that is made of it.
 * The hint of a file names the key that it is locked by: the same file under another key is a hard link, a bind
 * mount or a renamed one, and would be locked twice. A device has a hint at each device or file below it, too: who
 * wants one of these as a whole finds it there, and who comes later with another part finds the whole one's.
 *
 * A hint counts only as far as the record of its guest bears it out, or, of a guest of another run directory, until that
 * guest is known to be dead. The record is written before the hint, and a hint before the others are looked at, so that of
 * two guests which come at once at least one sees the other.
 */
#include "base/base.h"
#include "base/error.h"
#include "disk/disk.h"
#include "operation/operation.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What a hint is entered for, and what is asked of those that are there. */
struct judgement {
	struct gl_operation_run *run;
	const struct gl_resource *resource;
	bool part; /* the resource is a part of what the hint is at, or made of it */
};

static void file_name(const struct gl_disk *disk, char out_name[GUESTLOCK_KEY_SIZE])
{
	char text[3 * GL_HEX_SIZE];
	int length = snprintf(text, sizeof(text), "%" PRIx64 "-%" PRIx64 "-%" PRIx64, disk->device,
			      disk->inode, disk->born);

	guestlock_digest(text, (size_t)length, out_name);
}

/* ---- What others have ---- */

/* How what they have stands to ours. */
static const char *relation_words(const struct judgement *judgement, const struct gl_hint *other)
{
	return judgement->part ? "it is a part of, or made of,"
	       : other->part   ? "a part of it, or what is made of it, is in use as"
			       : "the same file is in use as";
}

/* A guest of another run directory; seen: it is known to live. */
static void stranger_words(const struct gl_hint *other, bool elsewhere, bool seen, char *out, size_t size)
{
	char pid[64] = "";

	if (other->process.pid > 0) {
		snprintf(pid, sizeof(pid), " (pid %ld%s)", (long)other->process.pid,
			 elsewhere ? " of another pid namespace" : "");
	}
	snprintf(out, size,
		 "that guest%s is of another run directory%s; end it there, or wait until it has ended", pid,
		 seen ? "" : ", and it is not seen from here whether it lives");
}

static int in_use(const struct judgement *judgement, const struct gl_hint *other,
		  const struct gl_record *record, const struct gl_resource *theirs, bool seen,
		  struct guestlock_error *err)
{
	GL_AUTOFREE char *mine = gl_printable(judgement->resource->name);
	GL_AUTOFREE char *path = theirs ? gl_printable(theirs->name) : NULL;
	GL_AUTOFREE char *name = record ? gl_printable(record->name) : NULL;
	const struct gl_process *process = record ? &record->process : &other->process;
	uint64_t elsewhere = gl_other_namespace(judgement->run->gl, process->ns);
	bool own = strcmp(other->uuid, judgement->run->lock.uuid) == 0;
	int status = own ? GUESTLOCK_ALIASED : GUESTLOCK_BUSY;
	char stranger[256];

	stranger_words(other, elsewhere != 0, seen, stranger, sizeof(stranger));
	gl_fail(err, status, 0, "cannot lock disk %s: %s %s%s by guest %s%s%s%s; %s", mine ? mine : "?",
		relation_words(judgement, other), theirs && path ? path : "something",
		judgement->part ? ", which is in use" : "", name && name[0] ? name : "",
		name && name[0] ? " (" : "", other->uuid, name && name[0] ? ")" : "",
		own      ? "name it once"
		: record ? "end that guest, or wait until it has ended"
			 : stranger);
	gl_error_about(err, judgement->run->lock.uuid, judgement->resource->name);
	if (err && !own) {
		memcpy(err->holder.uuid, other->uuid, sizeof(err->holder.uuid));
		err->holder.instance = other->instance;
		gl_copy_cut(err->holder.name, sizeof(err->holder.name), record ? record->name : "");
		err->holder.pid = process->pid;
		err->holder.pid_ns = elsewhere;
		err->holder.since = record ? record->since : 0;
	}
	return status;
}

/* Who shares with others shares parts, too; but one file under two keys is never shared. */
static bool go_together(const struct judgement *judgement, const struct gl_hint *other,
			const struct gl_resource *theirs)
{
	const struct guestlock *gl = judgement->run->gl;

	return (judgement->part || other->part) &&
	       gl_resource_mode(gl, judgement->resource) == GUESTLOCK_MODE_SHARED &&
	       gl_resource_mode(gl, theirs) == GUESTLOCK_MODE_SHARED &&
	       !gl_sides_differ(gl, judgement->resource, theirs);
}

/* Does its record say that this guest uses the key, and does it live? */
static int judge_record(const struct judgement *judgement, const struct gl_hint *other,
			struct gl_record *record, struct guestlock_error *err)
{
	const struct gl_resource *theirs = gl_record_find_key(record, other->value);

	if (!theirs || gl_record_life(judgement->run->gl, record) == GUESTLOCK_LIFE_DEAD) {
		return 1;
	}
	return go_together(judgement, other, theirs) ? 0
						     : in_use(judgement, other, record, theirs, true, err);
}

/* A guest without a record here, known by its life lock and by its process. */
static int judge_stranger(const struct judgement *judgement, const struct gl_hint *other,
			  struct guestlock_error *err)
{
	struct guestlock_owner owner = {
		.instance = other->instance,
		.pid = other->process.pid,
		.pid_start = other->process.start,
		.pid_ns = other->process.ns,
		.adopted = other->adopted,
	};
	enum guestlock_life life;

	memcpy(owner.uuid, other->uuid, sizeof(owner.uuid));
	memcpy(owner.boot_id, other->process.boot_id, sizeof(owner.boot_id));
	life = guestlock_owner_life(&owner, gl_life_dir(judgement->run->gl));
	return life == GUESTLOCK_LIFE_DEAD
		       ? 1
		       : in_use(judgement, other, NULL, NULL, life != GUESTLOCK_LIFE_UNKNOWN, err);
}

static int judge_hint(void *data, const struct gl_hint *other, struct guestlock_error *err)
{
	const struct judgement *judgement = data;
	struct gl_operation_run *run = judgement->run;
	struct gl_record *record = NULL;
	int status;

	if (strcmp(other->value, judgement->resource->key) == 0 || (judgement->part && other->part)) {
		return 0;
	}
	if (strcmp(other->uuid, run->lock.uuid) == 0) {
		const struct gl_resource *mine = other->instance == run->record->instance
							 ? gl_record_find_key(run->record, other->value)
							 : NULL;

		if (!mine) {
			return 1;
		}
		return judgement->part || other->part
			       ? 0
			       : in_use(judgement, other, run->record, mine, true, err);
	}
	status = gl_store_load(&run->gl->store, other->uuid, &record, err);
	if (status < 0 && status != GUESTLOCK_NOT_FOUND) {
		return status;
	}
	status = record && record->instance == other->instance ? judge_record(judgement, other, record, err)
							       : judge_stranger(judgement, other, err);
	gl_record_free(record);
	return status;
}

/* ---- For all that a resource consists of ---- */

typedef int visit_fn(const struct judgement *judgement, const char *name, struct guestlock_error *err);

/* The file or device itself, and what a device is a part of or made of. */
static int for_each_file(struct gl_operation_run *run, const struct gl_resource *resource, visit_fn *visit,
			 struct guestlock_error *err)
{
	struct judgement judgement = {.run = run, .resource = resource};
	const struct gl_disk self = {
		.device = resource->device, .inode = resource->inode, .born = resource->born};
	GL_AUTOFREE struct gl_disk *below = NULL;
	char name[GUESTLOCK_KEY_SIZE];
	size_t count = 0;
	int status;

	if (!resource->has_file) {
		return GUESTLOCK_OK;
	}
	file_name(&self, name);
	status = visit(&judgement, name, err);
	if (status == GUESTLOCK_OK && resource->inode == 0) {
		struct guestlock_error cause = {0};

		status = gl_disk_below(resource->device, "/sys", &below, &count, &cause);
		/* Where devices are known by their nodes, sysfs need not be there. */
		if (status == GUESTLOCK_NOT_FOUND && run->gl->identity_scheme == GL_IDENTITY_PATH) {
			status = GUESTLOCK_OK;
		} else if (status < 0) {
			gl_error_pass(err, &cause);
		}
	}
	judgement.part = true;
	for (size_t i = 0; i < count && status == GUESTLOCK_OK; i++) {
		file_name(&below[i], name);
		status = visit(&judgement, name, err);
	}
	return status;
}

static int enter(const struct judgement *judgement, const char *name, struct guestlock_error *err)
{
	struct gl_operation_run *run = judgement->run;
	struct judgement data = *judgement;
	struct gl_hint hint = {
		.instance = run->record->instance,
		.part = judgement->part,
		.adopted = run->record->adopted,
		.process = run->record->process,
	};

	memcpy(hint.uuid, run->lock.uuid, sizeof(hint.uuid));
	memcpy(hint.value, judgement->resource->key, sizeof(hint.value));
	return gl_hint_add(&run->gl->store, GL_HINT_FILE, name, &hint, judge_hint, &data, run->deadline_ms,
			   err);
}

int gl_hint_file(struct gl_operation_run *run, const struct gl_resource *resource,
		 struct guestlock_error *err)
{
	return for_each_file(run, resource, enter, err);
}

static int look(const struct judgement *judgement, const char *name, struct guestlock_error *err)
{
	struct judgement data = *judgement;
	GL_AUTOFREE struct gl_hint *hints = NULL;
	size_t count = 0;
	int status = gl_hint_read(&judgement->run->gl->store, GL_HINT_FILE, name, &hints, &count, err);

	for (size_t i = 0; i < count && status == GUESTLOCK_OK; i++) {
		int verdict = judge_hint(&data, &hints[i], err);

		status = verdict < 0 ? verdict : GUESTLOCK_OK;
	}
	return status;
}

int gl_probe_file(struct gl_operation_run *run, const struct gl_resource *resource,
		  struct guestlock_error *err)
{
	return for_each_file(run, resource, look, err);
}

static int leave(const struct judgement *judgement, const char *name, struct guestlock_error *err)
{
	struct gl_operation_run *run = judgement->run;

	(void)err;
	/* Another part of this may be the guest's, too. */
	gl_hint_remove(&run->gl->store, GL_HINT_FILE, name, run->lock.uuid, judgement->resource->key,
		       run->deadline_ms);
	return GUESTLOCK_OK;
}

/* What cannot be found any more stays, and counts no longer than its guest has that key. */
void gl_unhint_file(struct gl_operation_run *run, const struct gl_resource *resource)
{
	struct guestlock_error ignored;

	for_each_file(run, resource, leave, &ignored);
}

int gl_hint_name(struct gl_operation_run *run, struct guestlock_error *err)
{
	struct gl_hint hint = {.instance = run->record->instance};
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
		gl_hint_remove(&run->gl->store, GL_HINT_NAME, name, run->lock.uuid, "", run->deadline_ms);
	}
}
