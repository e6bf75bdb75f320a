/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who stands behind a lock: the xid that is kept with it, and what is noted of its owner beside it, on disk.
 */
#ifndef GL_DLM_OWNERS_H
#define GL_DLM_OWNERS_H

#include "kernel/kernel.h"

#pragma GCC visibility push(hidden)

/* ---- Whose a lock is: xid.c ---- */

uint64_t gl_dlm_manager_bits(const char *run_dir);
uint64_t gl_dlm_xid(const struct gl_dlm *dlm, const struct guestlock_owner *owner);
bool gl_dlm_is_ours(const struct gl_dlm *dlm, uint64_t xid);
/* The xid of locks of the host itself. */
uint64_t gl_dlm_host_xid(const struct gl_dlm *dlm);
/* A new one of ours, of no owner: of locks that are there for a moment only. */
uint64_t gl_dlm_nobody_xid(const struct gl_dlm *dlm);

/* ---- Owners: owner.c ---- */

/* An owner as it was noted; strings belong to it. */
struct gl_dlm_owner {
	struct guestlock_owner owner;
	int64_t noted;                  /* when, in seconds since 1970 */
	char *text;
};
/* Notes who stands behind an xid, unless that is noted. 0 or -1 with errno. */
int gl_dlm_owner_note(const struct gl_dlm *dlm, const struct guestlock_owner *owner);
/* 0, or -1 with errno: ENOENT not noted, EBADMSG damaged. */
int gl_dlm_owner_read(const struct gl_dlm *dlm, uint64_t xid, struct gl_dlm_owner *out);
void gl_dlm_owner_free(struct gl_dlm_owner *owner);
void gl_dlm_owner_forget(const struct gl_dlm *dlm, uint64_t xid);
bool gl_dlm_owner_has_locks(struct gl_dlm *dlm, uint64_t xid);
/* Forgets those of whom the table has no lock. Before anybody else uses it. */
void gl_dlm_owners_sweep(struct gl_dlm *dlm);
/* Dead for certain: noted, and its life lock and process are gone. */
bool gl_dlm_owner_is_dead(const struct gl_dlm *dlm, uint64_t xid);

/* ---- What keys are called: identities.c ---- */

/*
 * Notes the identities of keys of the batch that its owner has no lock on yet. For people: it need not
 * succeed.
 */
void gl_dlm_names_note(struct gl_dlm *dlm, const struct guestlock_batch *batch);
void gl_dlm_names_forget(const struct gl_dlm *dlm, uint64_t xid);

/* What was read last. Most locks that follow one another are one owner's. */
struct gl_dlm_names {
	bool read;
	uint64_t xid;
	char *text;
};
/*
 * The identity of a key, as noted for an owner; malloc'd, or NULL: not known. names is zero before the first
 * call.
 */
char *gl_dlm_names_find(const struct gl_dlm *dlm, uint64_t xid, const char *key, struct gl_dlm_names *names);
void gl_dlm_names_free(struct gl_dlm_names *names);

#pragma GCC visibility pop

#endif
