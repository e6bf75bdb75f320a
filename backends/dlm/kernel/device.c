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
static void put_lock(union packet *packet, const struct gl_dlm_lock *lock, uint64_t token, unsigned flags)
{
	struct dlm_lock_params *params = &packet->request.i.lock;

	params->flags = flags;
	params->lkid = lock->lkid;
	params->xid = lock->xid;
	params->castparam = pointer_of(token);
	/* The kernel only passes them back, but without them it gives no answer. */
	params->castaddr = pointer_of(1);
	params->lksb = pointer_of(1);
	memcpy(params->lvb, lock->sent, sizeof(params->lvb));
}

static size_t make_packet(union packet *packet, const struct gl_dlm_lock *lock, uint64_t token)
{
	unsigned flags = DLM_LKF_PERSISTENT | DLM_LKF_NOQUEUE | (lock->without_block ? 0 : DLM_LKF_VALBLK);

	if (lock->wanted == GL_DLM_UNLOCK) {
		begin_packet(packet, DLM_USER_UNLOCK);
		/* Without VALBLK: it goes from NL, which writes nothing. */
		put_lock(packet, lock, token, 0);
		return sizeof(packet->request);
	}
	begin_packet(packet, DLM_USER_LOCK);
	put_lock(packet, lock, token, lock->lkid ? flags | DLM_LKF_CONVERT : flags);
	packet->request.i.lock.mode = (uint8_t)lock->wanted;
	return put_name(packet, lock->name);
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

/* Under the mutex. What is asked stands in the ledger before it is. */
static void start(struct gl_dlm_request *request)
{
	struct gl_dlm_lock *lock = request->lock;

	request->done = false;
	request->gone = false;
	request->status = 0;
	lock->wanted = request->mode;
	lock->without_block = request->without_block;
	lock->request = request;
	memcpy(lock->sent, request->bytes, GL_DLM_BLOCK);
	/* Nothing is under way, so nobody else writes it. */
	__atomic_store_n(&lock->flight,
			 __atomic_load_n(&lock->flight, __ATOMIC_RELAXED) + GL_DLM_ONE_REQUEST +
				 GL_DLM_SENDING,
			 __ATOMIC_RELEASE);
}

/* Unless it was answered meanwhile. */
static void note_sent(struct gl_dlm_lock *lock, uint64_t sending)
{
	__atomic_compare_exchange_n(&lock->flight, &sending, sending - GL_DLM_SENDING + GL_DLM_SENT, false,
				    __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

/*
 * A failed write. ENOENT and EINVAL of a lock that we know: somebody else took it away.
 * Nothing was sent, so nothing comes.
 */
static void note_failure(struct gl_dlm *dlm, uint64_t token, int error)
{
	struct gl_dlm_lock *lock = gl_dlm_table_asked(&dlm->table, token);
	bool gone;

	if (!lock) {
		return;
	}
	gone = lock->mode == GL_DLM_NO_MODE || error == ENOENT;
	gl_dlm_answer_request(dlm, lock, error, gone);
}

/*
 * Why it is not to be sent; 0: it is. While one request hung in the kernel the lockspace may have become another one. What
 * nobody waits for any more is not asked for; it is given back all the same.
 */
static int refusal_of(const struct gl_dlm *dlm, const struct gl_dlm_request *request)
{
	if (dlm->closing || request->round->opening != dlm->openings) {
		return ENOTCONN;
	}
	if (gl_dlm_in_flight(request->lock) || (request->lock->deaf && request->mode > DLM_LOCK_NL)) {
		return EBUSY;
	}
	return request->mode > request->lock->mode && gl_dlm_about_now_ms() >= request->round->deadline_ms
		       ? ETIMEDOUT
		       : 0;
}

static void send_one(struct gl_dlm *dlm, struct gl_dlm_request *request)
{
	struct gl_dlm_lock *lock = request->lock;
	union packet packet;
	uint64_t token, sending;
	ssize_t result;
	size_t size;
	bool deaf;
	int fd;

	pthread_mutex_lock(&dlm->mutex);
	request->status = refusal_of(dlm, request);
	if (request->status) {
		request->done = true;
		--request->round->left;
		pthread_mutex_unlock(&dlm->mutex);
		return;
	}
	start(request);
	sending = lock->flight;
	deaf = lock->deaf;
	fd = dlm->fd;
	token = gl_dlm_table_token(&dlm->table, lock);
	size = make_packet(&packet, lock, token);
	pthread_mutex_unlock(&dlm->mutex);

	result = send_packet(fd, &packet, size);
	if (result >= 0 && !deaf) {
		note_sent(lock, sending);
		return;
	}
	pthread_mutex_lock(&dlm->mutex);
	if (result >= 0) {
		gl_dlm_answer_deaf(dlm, token);
	} else {
		note_failure(dlm, token, (int)-result);
	}
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

/* Under the mutex, which is left meanwhile. */
static bool wait_for(struct gl_dlm *dlm, struct gl_dlm_round *round, struct gl_dlm_request *requests,
		     size_t count, int64_t deadline_ms)
{
	bool good;

	gl_dlm_round_wait(dlm, round, deadline_ms);
	good = round->left == 0;
	if (!good) {
		abandon(requests, count);
	}
	return good;
}

bool gl_dlm_ask(struct gl_dlm *dlm, struct gl_dlm_request *requests, size_t count, int64_t deadline_ms)
{
	struct gl_dlm_round round = {.left = count, .deadline_ms = deadline_ms};
	bool good;

	pthread_cond_init(&round.woken, &dlm->monotonic);
	pthread_mutex_lock(&dlm->mutex);
	round.opening = dlm->openings;
	pthread_mutex_unlock(&dlm->mutex);
	for (size_t i = 0; i < count; i++) {
		requests[i].round = &round;
	}
	for (size_t i = 0; i < count; i++) {
		send_one(dlm, &requests[i]);
	}
	pthread_mutex_lock(&dlm->mutex);
	good = wait_for(dlm, &round, requests, count, deadline_ms);
	pthread_mutex_unlock(&dlm->mutex);
	pthread_cond_destroy(&round.woken);
	return good;
}

bool gl_dlm_await(struct gl_dlm *dlm, struct gl_dlm_request *requests, size_t count, int64_t deadline_ms)
{
	struct gl_dlm_round round = {.left = count, .opening = dlm->openings};
	bool good;

	pthread_cond_init(&round.woken, &dlm->monotonic);
	for (size_t i = 0; i < count; i++) {
		requests[i].round = &round;
		requests[i].lock->request = &requests[i];
	}
	good = wait_for(dlm, &round, requests, count, deadline_ms);
	pthread_cond_destroy(&round.woken);
	return good;
}

int gl_dlm_look(struct gl_dlm *dlm, const struct gl_dlm_lock *lock)
{
	union packet packet;
	ssize_t result;
	size_t size;

	begin_packet(&packet, DLM_USER_LOCK);
	/* The kernel takes these over before it looks, so they are those of the request that it may find. */
	put_lock(&packet, lock, gl_dlm_table_token(&dlm->table, lock),
		 DLM_LKF_PERSISTENT | DLM_LKF_VALBLK | DLM_LKF_CONVERT | DLM_LKF_QUECVT);
	packet.request.i.lock.mode = DLM_LOCK_NL;
	size = put_name(&packet, lock->name);
	result = send_packet(dlm->fd, &packet, size);
	return result < 0 ? (int)-result : EPROTO;
}

int gl_dlm_adopt(struct gl_dlm *dlm, const struct gl_dlm_lock *lock, int mode, uint32_t *out_lkid)
{
	struct dlm_lock_params *params;
	union packet packet;
	ssize_t result;
	size_t size;

	begin_packet(&packet, DLM_USER_LOCK);
	params = &packet.request.i.lock;
	params->flags = DLM_LKF_PERSISTENT | DLM_LKF_VALBLK | DLM_LKF_ORPHAN;
	params->mode = (uint8_t)mode;
	params->xid = lock->xid;
	params->castaddr = pointer_of(1);
	params->lksb = pointer_of(1);
	size = put_name(&packet, lock->name);
	result = send_packet(dlm->fd, &packet, size);
	if (result <= 0) {
		return result < 0 ? (int)-result : EIO;
	}
	*out_lkid = (uint32_t)result;
	return 0;
}
