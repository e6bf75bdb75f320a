/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who has a key: locks of this node by the table and the notes of owners, others by the value block. */
#include "view/view.h"

#include "cluster/cluster.h"
#include "owners/owners.h"

#include <stdio.h>
#include <string.h>

/* What goes with what, as the DLM has it. */
static const bool fits[DLM_LOCK_EX + 1][DLM_LOCK_EX + 1] = {
	[DLM_LOCK_NL] = {true, true, true, true, true, true},
	[DLM_LOCK_CR] = {true, true, true, true, true, false},
	[DLM_LOCK_CW] = {true, true, true, false, false, false},
	[DLM_LOCK_PR] = {true, true, false, true, false, false},
	[DLM_LOCK_PW] = {true, true, false, false, false, false},
	[DLM_LOCK_EX] = {true, false, false, false, false, false},
};

bool gl_dlm_modes_fit(int a, int b)
{
	return a < 0 || b < 0 || a > DLM_LOCK_EX || b > DLM_LOCK_EX || fits[a][b];
}

void gl_dlm_fill_holder(struct gl_dlm *dlm, const struct gl_dlm_lock *lock, struct guestlock_holder *out)
{
	struct gl_dlm_owner owner;

	if (gl_dlm_owner_read(dlm, lock->xid, &owner) < 0) {
		owner = (struct gl_dlm_owner){.owner = {.host = dlm->base.host}};
	}
	/* Another worker took it: not long after the guest was noted. */
	guestlock_owner_holder(&owner.owner, gl_dlm_mode_of(lock->mode),
			       lock->since ? lock->since : owner.noted, out);
	gl_dlm_owner_free(&owner);
}

bool gl_dlm_local_holder(struct gl_dlm *dlm, const char *name, uint64_t xid, int mode,
			 struct guestlock_holder *out, uint64_t *out_xid, bool *out_changing)
{
	const struct gl_dlm_lock *lock;
	struct gl_dlm_lock copy;
	bool found = false;

	pthread_mutex_lock(&dlm->mutex);
	lock = gl_dlm_table_locks(&dlm->table, name);
	for (; lock && !found; lock = lock->next) {
		if (lock->xid != xid && !gl_dlm_modes_fit(lock->mode, mode)) {
			copy = *lock;
			found = true;
		}
	}
	pthread_mutex_unlock(&dlm->mutex);
	if (found) {
		gl_dlm_fill_holder(dlm, &copy, out);
		*out_xid = copy.xid;
		*out_changing = copy.used;
	}
	return found;
}

bool gl_dlm_block_holder(const struct gl_dlm *dlm, const struct gl_dlm_block *block,
			 struct guestlock_holder *out)
{
	if (!block->valid || (block->flags & GL_DLM_RELEASED)) {
		return false;
	}
	*out = (struct guestlock_holder){
		.mode = block->flags & GL_DLM_HANDOVER ? GUESTLOCK_MODE_HANDOVER : GUESTLOCK_MODE_EXCLUSIVE,
	};
	memcpy(out->uuid, block->uuid, sizeof(out->uuid));
	if (block->node == dlm->node) {
		snprintf(out->host, sizeof(out->host), "%s", dlm->base.host);
	} else {
		gl_dlm_cluster_node_name(block->node, out->host, sizeof(out->host));
	}
	return true;
}
