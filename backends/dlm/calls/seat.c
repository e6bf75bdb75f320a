/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handover is for two ends of one guest, but the DLM lets any number into its mode CW. So whoever joins the
 * one that has it takes the seat beside it, a resource of its own that is held exclusively; there is one. It
 * is given back when the lock is no handover any more.
 */
#include "calls/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A request for the seat of each slot that test wants; unlock: of those that there are. NULL: no memory. */
static struct gl_dlm_request *make_requests(struct gl_dlm_call *call,
					    bool (*test)(const struct gl_dlm_slot *), bool unlock)
{
	struct gl_dlm_request *requests = calloc(call->count + 1, sizeof(*requests));
	char name[DLM_RESNAME_MAXLEN + 1];

	pthread_mutex_lock(&call->dlm->mutex);
	for (size_t i = 0; requests && i < call->count; i++) {
		struct gl_dlm_lock *lock;

		requests[i].done = true;
		if (!test(&call->slots[i])) {
			continue;
		}
		gl_dlm_seat_name(call->slots[i].item->key->key, name);
		lock = gl_dlm_table_find(&call->dlm->table, name, call->xid);
		if (lock ? !unlock || gl_dlm_in_flight(lock) : unlock) {
			continue;
		}
		lock = lock ? lock : gl_dlm_table_add(&call->dlm->table, name, call->xid);
		requests[i].lock = lock;
		requests[i].mode = unlock ? GL_DLM_UNLOCK : DLM_LOCK_EX;
	}
	pthread_mutex_unlock(&call->dlm->mutex);
	return requests;
}

/* Those that are for a lock, all at once. */
static void ask_seats(struct gl_dlm_call *call, struct gl_dlm_request *requests)
{
	struct gl_dlm_request *wanted = calloc(call->count + 1, sizeof(*wanted));
	size_t count = 0, next = 0;

	for (size_t i = 0; i < call->count; i++) {
		if (requests[i].lock && wanted) {
			wanted[count++] = requests[i];
		} else if (requests[i].lock) {
			requests[i].status = ENOMEM;
		}
	}
	gl_dlm_ask(call->dlm, wanted, count, call->batch->deadline_ms);
	for (size_t i = 0; i < call->count && wanted; i++) {
		if (requests[i].lock) {
			requests[i] = wanted[next++];
			requests[i].lock = NULL;
		}
	}
	free(wanted);
}

struct gl_dlm_request *gl_dlm_seats_ask(struct gl_dlm_call *call, bool (*test)(const struct gl_dlm_slot *),
					bool unlock)
{
	struct gl_dlm_request *requests = make_requests(call, test, unlock);

	if (requests) {
		ask_seats(call, requests);
	}
	return requests;
}

static bool needs_none(const struct gl_dlm_slot *slot)
{
	return !slot->lock || slot->lock->mode != DLM_LOCK_CW;
}

void gl_dlm_seats_leave(struct gl_dlm_call *call)
{
	free(gl_dlm_seats_ask(call, needs_none, true));
}
