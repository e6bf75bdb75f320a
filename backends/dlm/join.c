/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Membership. Every member shares a lock on one resource whose block says how keys are made; the first one
 * writes it. Shared, not only of interest: so the block outlives any node.
 */
#include "dlm.h"

#include "calls/calls.h"
#include "cluster/cluster.h"
#include "kernel/dump.h"
#include "owners/owners.h"
#include "recovery/recovery.h"
#include "view/view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOIN_MS 20000

enum guestlock_result gl_dlm_probe(struct guestlock_backend *backend, struct guestlock_error *err)
{
	const struct gl_dlm *dlm = gl_dlm_of(backend);

	return gl_dlm_cluster_probe(&gl_dlm_this_world, dlm->lockspace, dlm->allow_no_fencing, err);
}

enum guestlock_join_state gl_dlm_status(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct gl_dlm *dlm = gl_dlm_of(backend);
	bool joined;

	pthread_mutex_lock(&dlm->mutex);
	joined = dlm->joined;
	pthread_mutex_unlock(&dlm->mutex);
	if (!joined) {
		guestlock_backend_fail(err, GUESTLOCK_RES_NOT_JOINED, 0, 0,
				       "this host has not joined the DLM lockspace %s", dlm->lockspace);
		return GUESTLOCK_JOIN_OUT;
	}
	return gl_dlm_cluster_status(&gl_dlm_this_world, dlm->lockspace, err);
}

/* ---- The format record ---- */

static void put_format(const struct gl_dlm *dlm, unsigned char out[GL_DLM_BLOCK])
{
	memset(out, 0, GL_DLM_BLOCK);
	snprintf((char *)out, GL_DLM_BLOCK, "guestlock 1 %s", dlm->base.identity_scheme);
}

static enum guestlock_result ask_format(struct gl_dlm *dlm, int mode, const unsigned char *bytes,
					struct guestlock_error *err)
{
	struct gl_dlm_request request = {.lock = dlm->format, .mode = mode};

	memcpy(request.bytes, bytes, GL_DLM_BLOCK);
	if (!gl_dlm_ask(dlm, &request, 1, guestlock_monotonic_ms() + JOIN_MS)) {
		dlm->format = NULL;
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_NOT_JOINED, 0, 0,
			"joining the DLM lockspace %s still: the cluster has not answered yet "
			"(dlm_tool ls)",
			dlm->lockspace);
	}
	dlm->format = request.lock;
	if (request.status == EAGAIN) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_AGAIN, EAGAIN, EAGAIN,
			"another host joins the DLM lockspace %s at this moment; try again", dlm->lockspace);
	}
	return request.status ? gl_dlm_fail(err, request.status, "join the DLM lockspace", dlm->lockspace)
			      : GUESTLOCK_RES_GRANTED;
}

static void drop_format(struct gl_dlm *dlm)
{
	const unsigned char none[GL_DLM_BLOCK] = {0};
	struct guestlock_error ignored;

	if (dlm->format &&
	    (dlm->format->mode == DLM_LOCK_NL ||
	     ask_format(dlm, DLM_LOCK_NL, dlm->format->bytes, &ignored) == GUESTLOCK_RES_GRANTED)) {
		ask_format(dlm, GL_DLM_UNLOCK, none, &ignored);
	}
}

static enum guestlock_result compare_format(struct gl_dlm *dlm, struct guestlock_error *err)
{
	unsigned char ours[GL_DLM_BLOCK];

	put_format(dlm, ours);
	if (memcmp(dlm->format->bytes, ours, GL_DLM_BLOCK) == 0) {
		return GUESTLOCK_RES_GRANTED;
	}
	guestlock_backend_fail(
		err, GUESTLOCK_RES_INVALID, 0, 0,
		"cannot join the DLM lockspace %s: its members name disks by \"%.32s\", this host by "
		"\"%.32s\"; set disk_identity alike on all hosts, and use the same version",
		dlm->lockspace, (const char *)dlm->format->bytes, (const char *)ours);
	drop_format(dlm);
	return GUESTLOCK_RES_INVALID;
}

/* Nobody has written it, or nobody of those who knew it is left: alone for a moment, we write it. */
static enum guestlock_result write_format(struct gl_dlm *dlm, struct guestlock_error *err)
{
	enum guestlock_result result = ask_format(dlm, DLM_LOCK_EX, dlm->format->bytes, err);
	unsigned char ours[GL_DLM_BLOCK];

	put_format(dlm, ours);
	if (result == GUESTLOCK_RES_GRANTED) {
		result = ask_format(dlm, DLM_LOCK_PR, ours, err);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		drop_format(dlm);
	}
	return result;
}

static enum guestlock_result check_format(struct gl_dlm *dlm, struct guestlock_error *err)
{
	const unsigned char none[GL_DLM_BLOCK] = {0};
	enum guestlock_result result;

	pthread_mutex_lock(&dlm->mutex);
	dlm->format = gl_dlm_table_find(&dlm->table, GL_DLM_FORMAT_NAME, gl_dlm_host_xid(dlm));
	if (!dlm->format) {
		dlm->format = gl_dlm_table_add(&dlm->table, GL_DLM_FORMAT_NAME, gl_dlm_host_xid(dlm));
	}
	pthread_mutex_unlock(&dlm->mutex);
	if (!dlm->format) {
		return gl_dlm_fail(err, ENOMEM, "join the DLM lockspace", dlm->lockspace);
	}
	result = ask_format(dlm, DLM_LOCK_PR, none, err);
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	if (dlm->format->lost || !dlm->format->content || dlm->format->bytes[0] == '\0') {
		return write_format(dlm, err);
	}
	return compare_format(dlm, err);
}

/* ---- Joining ---- */

/* The descriptor of a predecessor, if it gave us one and the lockspace is still there. */
static int take_kept(const struct gl_dlm *dlm, const struct guestlock_kept *kept)
{
	struct stat st;

	if (kept->count == 0 || !gl_dlm_lockspace_exists(dlm) || fstat(kept->fds[0], &st) < 0 ||
	    !S_ISCHR(st.st_mode)) {
		return -1;
	}
	return kept->fds[0];
}

static void close_lockspace(struct gl_dlm *dlm)
{
	bool unused;

	pthread_mutex_lock(&dlm->mutex);
	unused = gl_dlm_answers_end(dlm);
	if (dlm->fd >= 0) {
		close(dlm->fd);
	}
	dlm->fd = -1;
	if (dlm->runs_fd >= 0) {
		close(dlm->runs_fd);
	}
	dlm->runs_fd = -1;
	dlm->joined = false;
	dlm->format = NULL;
	if (unused) {
		gl_dlm_table_clear(&dlm->table);
	} else {
		/* A call hangs in the kernel. What it uses stays, should it come back. */
		gl_dlm_table_init(&dlm->table);
	}
	pthread_mutex_unlock(&dlm->mutex);
}

static enum guestlock_result start(struct gl_dlm *dlm, bool kept, struct guestlock_error *err)
{
	enum guestlock_result result = gl_dlm_recover(dlm, kept, err);
	int error;

	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	error = gl_dlm_answers_begin(dlm);
	if (error) {
		return gl_dlm_fail(err, error, "read the answers of the DLM lockspace", dlm->lockspace);
	}
	if (!dlm->unsettled) {
		gl_dlm_owners_sweep(dlm);
	}
	result = gl_dlm_prove(dlm, kept, err);
	return result == GUESTLOCK_RES_GRANTED ? check_format(dlm, err) : result;
}

static enum guestlock_result open_lockspace(struct gl_dlm *dlm, struct guestlock_kept *kept, bool *out_kept,
					    struct guestlock_error *err)
{
	enum guestlock_result result =
		gl_dlm_cluster_probe(&gl_dlm_this_world, dlm->lockspace, dlm->allow_no_fencing, err);
	struct guestlock_error state = {0};

	if (result == GUESTLOCK_RES_STOPPED &&
	    gl_dlm_cluster_status(&gl_dlm_this_world, dlm->lockspace, &state) == GUESTLOCK_JOIN_JOINING) {
		*err = state;
		return GUESTLOCK_RES_NOT_JOINED;
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	dlm->fd = take_kept(dlm, kept);
	*out_kept = dlm->fd >= 0;
	if (*out_kept) {
		return GUESTLOCK_RES_GRANTED;
	}
	kept->count = 0;
	result = gl_dlm_lockspace_open(dlm, &dlm->fd, err);
	if (result == GUESTLOCK_RES_GRANTED) {
		kept->fds[kept->count++] = dlm->fd;
	}
	return result;
}

static enum guestlock_result join(struct gl_dlm *dlm, struct guestlock_kept *kept,
				  struct guestlock_error *err)
{
	enum guestlock_result result;
	bool was_kept = false;

	result = open_lockspace(dlm, kept, &was_kept, err);
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	if (gl_dlm_cluster_self(&gl_dlm_this_world, &dlm->node) < 0) {
		dlm->node = 0;
	}
	result = start(dlm, was_kept, err);
	if (result != GUESTLOCK_RES_GRANTED) {
		kept->count = 0;
		close_lockspace(dlm);
		return result;
	}
	pthread_mutex_lock(&dlm->mutex);
	dlm->runs_fd = gl_dlm_cluster_open(dlm->lockspace);
	dlm->joined = true;
	dlm->joins++;
	pthread_mutex_unlock(&dlm->mutex);
	gl_dlm_remote_start(dlm);
	return GUESTLOCK_RES_GRANTED;
}

enum guestlock_result gl_dlm_join(struct guestlock_backend *backend, struct guestlock_kept *kept,
				  struct guestlock_error *err)
{
	struct gl_dlm *dlm = gl_dlm_of(backend);
	enum guestlock_result result = GUESTLOCK_RES_GRANTED;
	bool joined;

	if (pthread_mutex_trylock(&dlm->membership) != 0) {
		return guestlock_backend_fail(err, GUESTLOCK_RES_NOT_JOINED, 0, 0,
					      "joining the DLM lockspace %s still (dlm_tool ls)",
					      dlm->lockspace);
	}
	pthread_mutex_lock(&dlm->mutex);
	joined = dlm->joined;
	pthread_mutex_unlock(&dlm->mutex);
	if (joined && !gl_dlm_lockspace_exists(dlm)) {
		/* Somebody took it away, with every lock in it. */
		pthread_mutex_lock(&dlm->mutex);
		dlm->taken_away = dlm->lost != dlm->joins;
		pthread_mutex_unlock(&dlm->mutex);
		close_lockspace(dlm);
		kept->count = 0;
		joined = false;
	}
	if (!joined) {
		result = join(dlm, kept, err);
	}
	pthread_mutex_unlock(&dlm->membership);
	return result;
}

/* ---- Leaving ---- */

/* Whatever a guest of ours has keeps us here, unless it is dead. Interest of nobody is nothing. */
static bool keeps_us(const struct gl_dlm *dlm, const struct gl_dlm_row *row)
{
	struct gl_dlm_owner owner = {.text = NULL};
	bool counts = row->mode > DLM_LOCK_NL || gl_dlm_owner_read(dlm, row->xid, &owner) == 0;

	gl_dlm_owner_free(&owner);
	return counts && !gl_dlm_owner_is_dead(dlm, row->xid);
}

static enum guestlock_result give_up(struct gl_dlm *dlm, const struct gl_dlm_row *row,
				     struct guestlock_error *err)
{
	if (keeps_us(dlm, row)) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_BUSY, 0, 0,
			"cannot leave the DLM lockspace %s: a guest of this host has a lock or waits "
			"paused (%s); shut it down or migrate it first",
			dlm->lockspace, row->name);
	}
	return gl_dlm_release_xid(dlm, row->name, row->xid, err);
}

/* *out_others: locks of others of this node, which would go with the lockspace. */
static enum guestlock_result give_up_all(struct gl_dlm *dlm, bool *out_others, struct guestlock_error *err)
{
	enum guestlock_result result = GUESTLOCK_RES_GRANTED;
	struct gl_dlm_dump dump;

	*out_others = false;
	if (gl_dlm_dump_read(dlm, &dump) < 0) {
		return gl_dlm_fail(err, errno, "read the kernel's list of locks", dlm->dump_path);
	}
	for (size_t i = 0; i < dump.count && result == GUESTLOCK_RES_GRANTED; i++) {
		const struct gl_dlm_row *row = &dump.rows[i];

		if (!gl_dlm_is_ours(dlm, row->xid)) {
			*out_others = true;
		} else if (strcmp(row->name, GL_DLM_FORMAT_NAME) != 0) {
			result = give_up(dlm, row, err);
		}
	}
	gl_dlm_dump_free(&dump);
	return result;
}

static enum guestlock_result leave(struct gl_dlm *dlm, struct guestlock_error *err)
{
	enum guestlock_result result = gl_dlm_check_running(dlm, err);
	bool others;

	if (result == GUESTLOCK_RES_GRANTED) {
		result = gl_dlm_refresh(dlm, err);
	}
	if (result == GUESTLOCK_RES_GRANTED) {
		result = give_up_all(dlm, &others, err);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	gl_dlm_remote_stop(dlm);
	drop_format(dlm);
	close_lockspace(dlm);
	return others ? GUESTLOCK_RES_GRANTED : gl_dlm_lockspace_leave(dlm, err);
}

enum guestlock_result gl_dlm_leave(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct gl_dlm *dlm = gl_dlm_of(backend);
	enum guestlock_result result = GUESTLOCK_RES_GRANTED;
	bool joined;

	pthread_mutex_lock(&dlm->membership);
	pthread_mutex_lock(&dlm->mutex);
	joined = dlm->joined;
	pthread_mutex_unlock(&dlm->mutex);
	if (joined) {
		result = leave(dlm, err);
	}
	pthread_mutex_unlock(&dlm->membership);
	return result;
}

void gl_dlm_close(struct gl_dlm *dlm)
{
	gl_dlm_remote_stop(dlm);
	close_lockspace(dlm);
}
