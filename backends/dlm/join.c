/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Membership. Every member shares a lock on one resource whose block says how keys are made; the first one
 * writes it. Shared, not only of interest: so the block outlives any node.
 */
#include "dlm.h"

#include "calls/calls.h"
#include "cluster/cluster.h"
#include "owners/owners.h"
#include "recovery/recovery.h"
#include "view/view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOIN_MS 20000
#define ORPHANS_MS 120000 /* by when what was under way at the end of a predecessor has come out */

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
	enum guestlock_result result;
	unsigned char ours[GL_DLM_BLOCK];

	put_format(dlm, ours);
	result = ask_format(dlm, DLM_LOCK_EX, ours, err);
	if (result == GUESTLOCK_RES_GRANTED) {
		result = ask_format(dlm, DLM_LOCK_PR, ours, err);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		drop_format(dlm);
	}
	return result;
}

/*
 * Whoever shares it has checked it when he began to, and while it is shared nobody changes it. Where it is not to be
 * read any more it is written again, if nobody else shares it at this moment.
 */
static enum guestlock_result keep_format(struct gl_dlm *dlm, struct guestlock_error *err)
{
	const struct gl_dlm_lock *format = dlm->format;
	struct guestlock_error ignored;
	unsigned char ours[GL_DLM_BLOCK];

	if (gl_dlm_in_flight(format) || !format->content) {
		return GUESTLOCK_RES_GRANTED;
	}
	if (!format->lost && format->bytes[0] != '\0') {
		return compare_format(dlm, err);
	}
	put_format(dlm, ours);
	if (ask_format(dlm, DLM_LOCK_EX, ours, &ignored) == GUESTLOCK_RES_GRANTED) {
		ask_format(dlm, DLM_LOCK_PR, ours, &ignored);
	}
	return GUESTLOCK_RES_GRANTED;
}

static enum guestlock_result check_format(struct gl_dlm *dlm, struct guestlock_error *err)
{
	enum guestlock_result result;

	gl_dlm_adopt_late(dlm, GL_DLM_FORMAT_NAME, gl_dlm_host_xid(dlm));
	pthread_mutex_lock(&dlm->mutex);
	dlm->format = gl_dlm_table_find(&dlm->table, GL_DLM_FORMAT_NAME, gl_dlm_host_xid(dlm));
	if (!dlm->format) {
		dlm->format = gl_dlm_table_add(&dlm->table, GL_DLM_FORMAT_NAME, gl_dlm_host_xid(dlm));
	}
	pthread_mutex_unlock(&dlm->mutex);
	if (!dlm->format) {
		return gl_dlm_fail(err, ENOMEM, "join the DLM lockspace", dlm->lockspace);
	}
	if (dlm->format->mode == DLM_LOCK_PR) {
		return keep_format(dlm, err);
	}
	result = ask_format(dlm, DLM_LOCK_PR, dlm->format->bytes, err);
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	if (dlm->format->lost || !dlm->format->content || dlm->format->bytes[0] == '\0') {
		return write_format(dlm, err);
	}
	result = compare_format(dlm, err);
	/* Others have written it, so the lockspace is guestlock's, whoever of this host made it. */
	dlm->table.ledger->created |= result == GUESTLOCK_RES_GRANTED;
	return result;
}

/* ---- The ledger ---- */

static enum guestlock_result fail_ledger(const struct gl_dlm *dlm, struct guestlock_error *err)
{
	return errno == EPROTO
		       ? guestlock_backend_fail(
				 err, GUESTLOCK_RES_NOT_JOINED, errno, errno,
				 "cannot read the locks of this host in %s: another version of guestlock wrote "
				 "it; end the guests of this host with that version, and leave the cluster "
				 "with it (guestlock leave)",
				 dlm->ledger_path)
		       : gl_dlm_fail(err, errno, "open the list of this host's locks", dlm->ledger_path);
}

/* kept: of a predecessor, -1: there is none. */
static enum guestlock_result open_ledger(struct gl_dlm *dlm, int kept, struct guestlock_error *err)
{
	int fd = kept >= 0 ? kept : open(dlm->ledger_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0) {
		return fail_ledger(dlm, err);
	}
	if (gl_dlm_ledger_open(&dlm->table, fd) < 0) {
		int saved_errno = errno;

		if (kept < 0) {
			close(fd);
		}
		errno = saved_errno;
		return fail_ledger(dlm, err);
	}
	return GUESTLOCK_RES_GRANTED;
}

/* ---- Joining ---- */

/*
 * gone: the lockspace is, and with it all locks; else they stay, and the ledger has them. What is kept stays open, as
 * requests may be under way.
 */
static void close_lockspace(struct gl_dlm *dlm, bool gone)
{
	bool unused;

	pthread_mutex_lock(&dlm->mutex);
	unused = gl_dlm_answers_end(dlm);
	dlm->fd = -1;
	if (dlm->runs_fd >= 0) {
		close(dlm->runs_fd);
	}
	dlm->runs_fd = -1;
	dlm->joined = false;
	dlm->format = NULL;
	if (gone && dlm->table.ledger) {
		unlink(dlm->ledger_path);
	}
	dlm->table.fd = -1;
	if (unused) {
		gl_dlm_table_close(&dlm->table);
	} else {
		/* A call hangs in the kernel. What it uses stays, should it come back. */
		gl_dlm_table_init(&dlm->table);
	}
	pthread_mutex_unlock(&dlm->mutex);
}

/* The locks that the ledger has are as they were; what was under way for them is found out. */
static enum guestlock_result go_on(struct gl_dlm *dlm, const struct guestlock_kept *kept,
				   struct guestlock_error *err)
{
	enum guestlock_result result = open_ledger(dlm, kept->fds[1], err);

	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	if (gl_dlm_table_load(&dlm->table, true) < 0) {
		gl_dlm_table_init(&dlm->table);
		return gl_dlm_fail(err, ENOMEM, "list the locks of", dlm->lockspace);
	}
	dlm->fd = kept->fds[0];
	gl_dlm_settle(dlm);
	return GUESTLOCK_RES_GRANTED;
}

/* Locks that the ledger has are orphans, if the lockspace was there before us. */
static enum guestlock_result begin_anew(struct gl_dlm *dlm, struct guestlock_error *err)
{
	bool existed = gl_dlm_lockspace_exists(dlm);
	enum guestlock_result result;
	int fd = -1;

	if (!gl_dlm_let_go(dlm)) {
		return gl_dlm_fail_keep(dlm, err);
	}
	result = open_ledger(dlm, -1, err);
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	if (!existed) {
		gl_dlm_table_clear(&dlm->table);
	}
	dlm->strangers = existed && dlm->table.ledger->made == 0;
	dlm->orphans_until_ms = guestlock_monotonic_ms() + ORPHANS_MS;
	result = gl_dlm_lockspace_open(dlm, &fd, err);
	if (result == GUESTLOCK_RES_GRANTED && gl_dlm_table_load(&dlm->table, false) < 0) {
		close(fd);
		result = gl_dlm_fail(err, ENOMEM, "list the locks of", dlm->lockspace);
	}
	if (result == GUESTLOCK_RES_GRANTED) {
		result = gl_dlm_keep(dlm, fd, err);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		gl_dlm_table_close(&dlm->table);
	}
	return result;
}

static enum guestlock_result open_lockspace(struct gl_dlm *dlm, struct guestlock_kept *kept,
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
	if (result != GUESTLOCK_RES_GRANTED || dlm->fd >= 0) {
		return result;
	}
	return gl_dlm_is_kept(dlm) ? go_on(dlm, kept, err) : begin_anew(dlm, err);
}

/* What one that failed has done is not done again: whatever it has opened stays open. */
static enum guestlock_result join(struct gl_dlm *dlm, struct guestlock_kept *kept,
				  struct guestlock_error *err)
{
	enum guestlock_result result = open_lockspace(dlm, kept, err);
	int error;

	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	if (gl_dlm_cluster_self(&gl_dlm_this_world, &dlm->node) < 0) {
		dlm->node = 0;
	}
	error = dlm->stop_fd < 0 ? gl_dlm_answers_begin(dlm) : 0;
	if (error) {
		return gl_dlm_fail(err, error, "read the answers of the DLM lockspace", dlm->lockspace);
	}
	result = gl_dlm_adopt_all(dlm, err);
	if (result == GUESTLOCK_RES_GRANTED) {
		result = check_format(dlm, err);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	if (!dlm->strangers) {
		gl_dlm_owners_sweep(dlm);
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
	if (dlm->fd >= 0 && !gl_dlm_lockspace_exists(dlm)) {
		/* Somebody took it away, with every lock in it. */
		pthread_mutex_lock(&dlm->mutex);
		dlm->taken_away = joined && dlm->lost != dlm->joins;
		pthread_mutex_unlock(&dlm->mutex);
		close_lockspace(dlm, true);
		gl_dlm_let_go(dlm);
		joined = false;
	}
	dlm->kept = kept;
	if (!joined) {
		result = join(dlm, kept, err);
	}
	pthread_mutex_unlock(&dlm->membership);
	return result;
}

/* ---- Leaving ---- */

/* Whatever a guest of ours has keeps us here, unless it is dead. Interest of nobody is nothing. */
static bool keeps_us(const struct gl_dlm *dlm, const struct gl_dlm_lock *lock)
{
	struct gl_dlm_owner owner = {.text = NULL};
	bool counts = lock->mode > DLM_LOCK_NL || gl_dlm_owner_read(dlm, lock->xid, &owner) == 0;

	gl_dlm_owner_free(&owner);
	return counts && !gl_dlm_owner_is_dead(dlm, lock->xid);
}

static enum guestlock_result give_up(struct gl_dlm *dlm, const struct gl_dlm_lock *lock,
				     struct guestlock_error *err)
{
	if (keeps_us(dlm, lock)) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_BUSY, 0, 0,
			"cannot leave the DLM lockspace %s: a guest of this host has a lock or waits "
			"paused (%s); shut it down or migrate it first",
			dlm->lockspace, lock->name);
	}
	return gl_dlm_release_xid(dlm, lock->name, lock->xid, err);
}

/* Locks of guests; malloc'd. */
static struct gl_dlm_lock *guest_locks(struct gl_dlm *dlm, size_t *out_count)
{
	struct gl_dlm_lock *locks;
	size_t count, kept = 0;

	pthread_mutex_lock(&dlm->mutex);
	locks = gl_dlm_table_copy(&dlm->table, NULL, &count);
	pthread_mutex_unlock(&dlm->mutex);
	for (size_t i = 0; locks && i < count; i++) {
		if (!locks[i].passing && strcmp(locks[i].name, GL_DLM_FORMAT_NAME) != 0) {
			locks[kept++] = locks[i];
		}
	}
	*out_count = kept;
	return locks;
}

static enum guestlock_result give_up_all(struct gl_dlm *dlm, struct guestlock_error *err)
{
	enum guestlock_result result = GUESTLOCK_RES_GRANTED;
	size_t count;
	struct gl_dlm_lock *locks = guest_locks(dlm, &count);

	if (!locks) {
		return gl_dlm_fail(err, ENOMEM, "list the locks of", dlm->lockspace);
	}
	for (size_t i = 0; i < count && result == GUESTLOCK_RES_GRANTED; i++) {
		result = give_up(dlm, &locks[i], err);
	}
	free(locks);
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	free(guest_locks(dlm, &count));
	return count == 0
		       ? result
		       : guestlock_backend_fail(
				 err, GUESTLOCK_RES_AGAIN, 0, 0,
				 "cannot leave the DLM lockspace %s: the cluster has not answered yet what was "
				 "asked for %zu locks (dlm_tool ls); try again",
				 dlm->lockspace, count);
}

static enum guestlock_result leave(struct gl_dlm *dlm, struct guestlock_error *err)
{
	enum guestlock_result result = gl_dlm_check_running(dlm, err);
	unsigned references;
	bool created;

	if (result == GUESTLOCK_RES_GRANTED) {
		gl_dlm_tidy(dlm);
		result = give_up_all(dlm, err);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	drop_format(dlm);
	references = dlm->table.ledger->references;
	created = dlm->table.ledger->created;
	/* What is open would keep the lockspace from going. */
	if (gl_dlm_busy(&dlm->base) || !gl_dlm_let_go(dlm)) {
		return gl_dlm_fail_keep(dlm, err);
	}
	gl_dlm_remote_stop(dlm);
	close_lockspace(dlm, true);
	return gl_dlm_lockspace_leave(dlm, references, created, err);
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
	close_lockspace(dlm, false);
}
