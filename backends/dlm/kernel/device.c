/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's device protocol: a request is one write, its answer one read (answer.c). A write may hang in
 * the kernel for as long as the lockspace is stopped; no mutex is held then, and whoever writes does not
 * read.
 *
 * The token travels where the protocol has room for a pointer, so that an answer is understood, or at least
 * does no harm, in another process than the one that asked.
 */
#include "kernel/kernel.h"

#include <errno.h>
#include <linux/dlm_device.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What is written: a request with room for a name. */
union packet {
	struct dlm_write_request request;
	char bytes[sizeof(struct dlm_write_request) + DLM_RESNAME_MAXLEN + 1];
};

static void *pointer_of(uint64_t token)
{
	void *pointer;

	memcpy(&pointer, &token, sizeof(pointer));
	return pointer;
}

_Static_assert(sizeof(void *) == sizeof(uint64_t), "tokens travel where the protocol has pointers");

static void begin_packet(union packet *packet, uint8_t cmd)
{
	memset(packet, 0, sizeof(*packet));
	packet->request.version[0] = DLM_DEVICE_VERSION_MAJOR;
	packet->request.version[1] = DLM_DEVICE_VERSION_MINOR;
	packet->request.version[2] = DLM_DEVICE_VERSION_PATCH;
	packet->request.cmd = cmd;
	packet->request.is64bit = 1;
}

/* The bytes of the packet with that name in it. */
static size_t put_name(union packet *packet, const char *name)
{
	const size_t at = offsetof(struct dlm_write_request, i.lock.name);
	size_t size = strlen(name);

	packet->request.i.lock.namelen = (uint8_t)size;
	memcpy(packet->bytes + at, name, size);
	return sizeof(packet->request) + size;
}

/* What the kernel wants to know of any request. */
static void put_lock(union packet *packet, const struct gl_dlm_lock *lock, unsigned flags)
{
	struct dlm_lock_params *params = &packet->request.i.lock;

	params->flags = flags;
	params->lkid = lock->lkid;
	params->xid = lock->xid;
	params->castparam = pointer_of(lock->token);
	/* The kernel only passes them back, but without them it gives no answer. */
	params->castaddr = pointer_of(1);
	params->lksb = pointer_of(1);
	memcpy(params->lvb, lock->sent, sizeof(params->lvb));
}

static size_t make_packet(union packet *packet, const struct gl_dlm_lock *lock)
{
	unsigned flags = DLM_LKF_PERSISTENT | DLM_LKF_VALBLK | DLM_LKF_NOQUEUE;

	if (lock->wanted == GL_DLM_UNLOCK) {
		begin_packet(packet, DLM_USER_UNLOCK);
		/* Without VALBLK: it goes from NL, which writes nothing. */
		put_lock(packet, lock, 0);
		return sizeof(packet->request);
	}
	begin_packet(packet, DLM_USER_LOCK);
	put_lock(packet, lock, lock->lkid ? flags | DLM_LKF_CONVERT : flags);
	packet->request.i.lock.mode = (uint8_t)lock->wanted;
	return put_name(packet, lock->resource->name);
}

/* A result of 0 or more, or -errno. */
static ssize_t send_packet(int fd, const union packet *packet, size_t size)
{
	ssize_t result;

	do {
		result = write(fd, packet, size);
	} while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : result;
}

/* ---- Requests ---- */

/* Under the mutex. */
static void start(struct gl_dlm_request *request)
{
	struct gl_dlm_lock *lock = request->lock;

	request->done = false;
	request->gone = false;
	request->status = 0;
	lock->wanted = request->mode;
	lock->in_flight = true;
	lock->request = request;
	memcpy(lock->sent, request->bytes, GL_DLM_BLOCK);
}

/*
 * A failed write. ENOENT and EINVAL of a lock that we know: somebody else took it away.
 * Nothing was sent, so nothing comes.
 */
static void note_failure(struct gl_dlm *dlm, uint64_t token, int error)
{
	struct gl_dlm_lock *lock = gl_dlm_table_token(&dlm->table, token);
	bool gone;

	if (!lock || !lock->in_flight) {
		return;
	}
	gone = lock->mode == GL_DLM_NO_MODE || error == ENOENT;
	gl_dlm_answer_request(dlm, lock, error, gone);
}

static void send_one(struct gl_dlm *dlm, struct gl_dlm_request *request)
{
	union packet packet;
	uint64_t token;
	ssize_t result;
	size_t size;

	pthread_mutex_lock(&dlm->mutex);
	if (request->lock->in_flight || dlm->closing) {
		request->done = true;
		request->status = dlm->closing ? ENOTCONN : EBUSY;
		--request->round->left;
		pthread_mutex_unlock(&dlm->mutex);
		return;
	}
	start(request);
	dlm->unlocks += request->mode == GL_DLM_UNLOCK;
	token = request->lock->token;
	size = make_packet(&packet, request->lock);
	pthread_mutex_unlock(&dlm->mutex);

	result = send_packet(dlm->fd, &packet, size);
	if (result >= 0) {
		return;
	}
	pthread_mutex_lock(&dlm->mutex);
	note_failure(dlm, token, (int)-result);
	pthread_mutex_unlock(&dlm->mutex);
}

/* Nobody waits for the answers any more; the table learns them, and the locks belong to it alone. */
static void abandon(struct gl_dlm_request *requests, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!requests[i].done && requests[i].lock) {
			requests[i].lock->request = NULL;
			requests[i].lock->used = false;
			requests[i].lock = NULL;
		}
	}
}

bool gl_dlm_ask(struct gl_dlm *dlm, struct gl_dlm_request *requests, size_t count, int64_t deadline_ms)
{
	struct gl_dlm_round round = {.left = count};
	bool good;

	pthread_cond_init(&round.woken, &dlm->monotonic);
	for (size_t i = 0; i < count; i++) {
		requests[i].round = &round;
	}
	for (size_t i = 0; i < count; i++) {
		send_one(dlm, &requests[i]);
	}
	pthread_mutex_lock(&dlm->mutex);
	gl_dlm_round_wait(dlm, &round, deadline_ms);
	good = round.left == 0;
	if (!good) {
		abandon(requests, count);
	}
	pthread_mutex_unlock(&dlm->mutex);
	pthread_cond_destroy(&round.woken);
	return good;
}

int gl_dlm_tell(struct gl_dlm *dlm, const char *name, uint32_t lkid, uint64_t xid, int mode,
		const unsigned char bytes[GL_DLM_BLOCK])
{
	struct gl_dlm_resource resource;
	struct gl_dlm_lock lock = {.resource = &resource, .lkid = lkid, .xid = xid, .wanted = mode};
	union packet packet;
	ssize_t result;
	size_t size;

	snprintf(resource.name, sizeof(resource.name), "%s", name);
	memcpy(lock.sent, bytes, sizeof(lock.sent));
	size = make_packet(&packet, &lock);
	result = send_packet(dlm->fd, &packet, size);
	return result < 0 ? (int)-result : 0;
}

int gl_dlm_adopt(struct gl_dlm *dlm, const char *name, int mode, uint64_t xid, uint32_t *out_lkid)
{
	struct dlm_lock_params *params;
	union packet packet;
	ssize_t result;
	size_t size;

	begin_packet(&packet, DLM_USER_LOCK);
	params = &packet.request.i.lock;
	params->flags = DLM_LKF_PERSISTENT | DLM_LKF_VALBLK | DLM_LKF_ORPHAN;
	params->mode = (uint8_t)mode;
	params->xid = xid;
	params->castaddr = pointer_of(1);
	params->lksb = pointer_of(1);
	size = put_name(&packet, name);
	result = send_packet(dlm->fd, &packet, size);
	if (result <= 0) {
		return result < 0 ? (int)-result : EIO;
	}
	*out_lkid = (uint32_t)result;
	return 0;
}
