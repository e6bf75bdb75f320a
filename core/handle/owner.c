/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a record to the owner that the backend knows, and to the life of a guest. */
#include "handle/owner.h"

#include "base/base.h"
#include "base/error.h"

#include <string.h>

const char *gl_life_dir(const struct guestlock *gl)
{
	return gl->backend->life_dir;
}

void gl_record_owner(const struct guestlock *gl, const struct gl_record *record, struct guestlock_owner *out)
{
	*out = (struct guestlock_owner){
		.instance = record->instance,
		.name = record->name,
		.pid = record->process.pid,
		.pid_start = record->process.start,
		.pid_ns = record->process.ns,
		.adopted = record->adopted,
		.host = gl->host,
		.manager = gl->store.run_dir,
	};
	memcpy(out->uuid, record->uuid, sizeof(out->uuid));
	memcpy(out->boot_id, record->process.boot_id, sizeof(out->boot_id));
}

enum guestlock_life gl_record_life(const struct guestlock *gl, const struct gl_record *record)
{
	struct guestlock_owner owner;

	gl_record_owner(gl, record, &owner);
	return guestlock_owner_life(&owner, gl_life_dir(gl));
}

uint64_t gl_other_namespace(const struct guestlock *gl, uint64_t ns)
{
	return gl->family.ns && ns != gl->family.ns ? ns : 0;
}

/* On another host the same number is another namespace. */
void gl_holder_from_here(const struct guestlock *gl, struct guestlock_holder *holder)
{
	bool far = gl_can(gl, GUESTLOCK_CAP_HOSTS) && strcmp(holder->host, gl->host) != 0;

	holder->pid_ns = far ? 0 : gl_other_namespace(gl, holder->pid_ns);
}

pid_t gl_record_living(const struct guestlock *gl, const struct gl_record *record, bool search)
{
	GL_AUTOFREE pid_t *pids = NULL;
	struct guestlock_owner owner;
	struct gl_membership by;
	size_t count = 0;

	if (!gl_other_namespace(gl, record->process.ns) &&
	    gl_process_presence(&record->process) != GL_PRESENCE_GONE) {
		return record->process.pid;
	}
	if (!search) {
		return 0;
	}
	gl_record_owner(gl, record, &owner);
	by = gl_record_membership(&owner, record);
	return gl_members_find(&by, &pids, &count) == 0 && count > 0 ? pids[0] : 0;
}

bool gl_life_is(const struct guestlock *gl, const struct gl_life *life, const struct gl_record *record)
{
	const struct gl_process *process = &record->process;

	if (life->instance && life->instance != record->instance) {
		return false;
	}
	return !life->pid || !process->ns || process->ns != gl->family.ns || life->pid == process->pid;
}

int gl_life_replaced(const struct gl_record *record, struct guestlock_error *err)
{
	GL_AUTOFREE char *name = gl_printable(record->name);

	gl_fail(err, GUESTLOCK_REPLACED, 0,
		"guest %s was started anew meanwhile (%s, pid %ld, %s): its former life was meant, and the "
		"new one is left as it is; look at it with guestlock show, and try again if you mean that "
		"one",
		record->uuid, name ? name : "", (long)record->process.pid,
		guestlock_guest_state_name(record->state));
	gl_error_about(err, record->uuid, NULL);
	return GUESTLOCK_REPLACED;
}

struct gl_membership gl_record_membership(const struct guestlock_owner *owner, const struct gl_record *record)
{
	return (struct gl_membership){
		.owner = owner,
		.tether_inode = record->tether_inode,
		.watcher = &record->watcher,
		.stood = record->stood,
	};
}
