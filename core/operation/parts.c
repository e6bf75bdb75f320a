/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A partition and its whole disk. For other hosts a guest that has a partition has the whole disk shared: as a resource
 * that is there for that alone, or as one that the guest was given itself. Either way it is held as long as a partition
 * of it is, whatever is detached first.
 */
#include "base/error.h"
#include "operation/operation.h"

#include <string.h>

bool gl_locks_wholes(const struct guestlock *gl)
{
	return gl_can(gl, GUESTLOCK_CAP_HOSTS) && gl_can(gl, GUESTLOCK_CAP_SHARED);
}

static bool is_part_of(const char *part, const char *whole)
{
	while (part && strcmp(part, whole) != 0) {
		part = gl_identity_whole(part);
	}
	return part != NULL;
}

/* Has the guest a partition of it, but for that one? */
static bool is_needed(const struct gl_operation_run *run, const struct gl_resource *whole,
		      const struct gl_resource *but)
{
	const struct gl_record *record = run->record;

	if (!gl_locks_wholes(run->gl) || whole->type != GUESTLOCK_DISK) {
		return false;
	}
	for (size_t i = 0; i < record->n_resources; i++) {
		const struct gl_resource *other = &record->resources[i];

		if (other != whole && other != but && !other->whole && other->type == GUESTLOCK_DISK &&
		    is_part_of(other->identity, whole->identity)) {
			return true;
		}
	}
	return false;
}

static struct gl_resource *meant_by(const struct gl_operation_run *run, const struct gl_wish *wish)
{
	return wish->only_key && run->record ? gl_record_find_key(run->record, wish->only_key) : NULL;
}

/* NULL: the guest has it not any more. */
static struct gl_resource *disk_of(const struct gl_operation_run *run, const struct gl_resource *side)
{
	const char *identity = strchr(side->identity, ':') + 1;

	for (size_t i = 0; i < run->record->n_resources; i++) {
		struct gl_resource *disk = &run->record->resources[i];

		if (disk->type == GUESTLOCK_DISK && strcmp(disk->identity, identity) == 0) {
			return disk;
		}
	}
	return NULL;
}

bool gl_run_is_concerned(const struct gl_operation_run *run, const struct gl_wish *wish,
			 const struct gl_resource *resource)
{
	const struct gl_resource *meant = meant_by(run, wish);

	if (!wish->only_key) {
		return true;
	}
	if (gl_is_side(resource)) {
		const struct gl_resource *disk = disk_of(run, resource);

		return disk && gl_run_is_concerned(run, wish, disk);
	}
	if (wish->event == GL_EVENT_DETACH && is_needed(run, resource, meant)) {
		return false;
	}
	return resource == meant ||
	       (meant && resource->whole && is_part_of(meant->identity, resource->identity));
}

bool gl_run_keep_whole(const struct gl_operation_run *run, const struct gl_wish *wish,
		       struct gl_resource *out_was)
{
	struct gl_resource *meant = meant_by(run, wish);

	if (wish->event != GL_EVENT_DETACH || !meant || meant->whole || !is_needed(run, meant, NULL)) {
		return false;
	}
	*out_was = *meant;
	meant->whole = true;
	meant->flags = GUESTLOCK_SHARED;
	meant->has_file = false;
	meant->device = meant->inode = meant->born = 0;
	return true;
}

/* Its key is in the record that is written: others that find the hint find it borne out. */
int gl_run_hint_held(struct gl_operation_run *run, const struct gl_wish *wish, struct guestlock_error *err)
{
	struct gl_resource *meant = wish->event == GL_EVENT_ATTACH ? meant_by(run, wish) : NULL;
	struct gl_holding *holding = meant && meant->unhinted ? gl_run_holding(run, meant) : NULL;
	int status;

	if (!holding || holding->state != GUESTLOCK_RESOURCE_HELD) {
		return GUESTLOCK_OK;
	}
	status = wish->probe ? gl_probe_file(run, meant, err) : gl_hint_file(run, meant, err);
	meant->unhinted = status < 0;
	return status;
}
