/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The thread with the connection to corosync: joins the group, sends what waits, takes what comes. */
#include "peers/peers_priv.h"

#include <corosync/cpg.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define GL_DLM_PART_SIZE (32U * 1024U) /* bytes of a message after which the next one begins */
#define GL_DLM_PART_ENTRIES 1000U
#define GL_DLM_BUSY_PAUSE_MS 5
#define GL_DLM_JOIN_TRIES 1000
#define GL_DLM_RETRY_FIRST_MS 100
#define GL_DLM_RETRY_LAST_MS 2000
#define GL_DLM_BURST 16 /* messages after which is looked what came */

/* The connection; of the thread alone. */
struct gl_dlm_group {
	struct gl_dlm_peers *peers;
	cpg_handle_t handle;
	int fd;
};

/* ---- Answering ---- */

/* An answer being made. Everything that goes wrong makes it a refusal in the end. */
struct gl_dlm_answer {
	struct gl_dlm_peers *peers;
	struct gl_dlm_message head;
	struct gl_dlm_draft draft;
	bool failed;
};

static void begin_part(struct gl_dlm_answer *answer)
{
	answer->failed = gl_dlm_draft_begin(&answer->draft, &answer->head, NULL) < 0 || answer->failed;
}

static void end_part(struct gl_dlm_answer *answer, unsigned flags)
{
	struct gl_dlm_peers *peers = answer->peers;

	gl_dlm_draft_end(&answer->draft, flags);
	pthread_mutex_lock(&peers->mutex);
	if (gl_dlm_parcel_add(peers, &answer->draft, &answer->head, false) < 0) {
		answer->failed = true;
	}
	pthread_mutex_unlock(&peers->mutex);
	memset(&answer->draft, 0, sizeof(answer->draft));
	answer->head.part++;
}

void gl_dlm_peers_tell(struct gl_dlm_answer *answer, const char *key, const struct guestlock_holder *holder,
		       const char *identity)
{
	if (answer->failed || strlen(key) != GUESTLOCK_KEY_SIZE - 1) {
		return;
	}
	if (answer->draft.size >= GL_DLM_PART_SIZE || answer->draft.count >= GL_DLM_PART_ENTRIES) {
		end_part(answer, 0);
		if (!answer->failed) {
			begin_part(answer);
		}
	}
	if (!answer->failed && gl_dlm_draft_add(&answer->draft, key, holder, identity) < 0) {
		answer->failed = true;
	}
}

static void refuse(struct gl_dlm_peers *peers, uint32_t node, uint32_t pid, uint64_t question)
{
	const struct gl_dlm_message head = {
		.type = GL_DLM_REFUSAL,
		.to_node = node,
		.to_pid = pid,
		.question = question,
	};
	struct gl_dlm_draft draft;

	if (gl_dlm_draft_begin(&draft, &head, NULL) == 0) {
		gl_dlm_draft_end(&draft, 0);
		pthread_mutex_lock(&peers->mutex);
		gl_dlm_parcel_add(peers, &draft, &head, false);
		pthread_mutex_unlock(&peers->mutex);
	}
}

/* The answer function runs without the mutex, but not after stop. */
static bool enter_answer(struct gl_dlm_peers *peers)
{
	pthread_mutex_lock(&peers->mutex);
	peers->answering = !peers->stop;
	pthread_mutex_unlock(&peers->mutex);
	return peers->answering;
}

static void leave_answer(struct gl_dlm_peers *peers)
{
	pthread_mutex_lock(&peers->mutex);
	peers->answering = false;
	pthread_cond_broadcast(&peers->changed);
	pthread_mutex_unlock(&peers->mutex);
}

static void answer_question(struct gl_dlm_peers *peers, uint32_t node, uint32_t pid,
			    const struct gl_dlm_message *question)
{
	struct gl_dlm_answer answer = {
		.peers = peers,
		.head = {.type = GL_DLM_ANSWER,
			 .to_node = node,
			 .to_pid = pid,
			 .question = question->question},
	};

	begin_part(&answer);
	if (!answer.failed && enter_answer(peers)) {
		peers->answer(peers->data, question->all ? NULL : question->key, &answer);
		leave_answer(peers);
	}
	if (!answer.failed) {
		end_part(&answer, GL_DLM_LAST);
	}
	if (answer.failed) {
		free(answer.draft.bytes);
		pthread_mutex_lock(&peers->mutex);
		gl_dlm_parcels_drop(peers, node, pid, question->question);
		pthread_mutex_unlock(&peers->mutex);
		refuse(peers, node, pid, question->question);
	}
}

/* ---- What comes from the group ---- */

static struct gl_dlm_peers *peers_of(cpg_handle_t handle)
{
	void *context = NULL;

	return cpg_context_get(handle, &context) == CS_OK ? context : NULL;
}

static void take_message(struct gl_dlm_peers *peers, uint32_t node, uint32_t pid,
			 struct gl_dlm_message *message)
{
	bool own = node == peers->node && pid == peers->pid;

	if (message->type == GL_DLM_QUESTION && !own) {
		if (message->version == GL_DLM_PEERS_VERSION) {
			answer_question(peers, node, pid, message);
		} else {
			refuse(peers, node, pid, message->question);
		}
		return;
	}
	pthread_mutex_lock(&peers->mutex);
	if (message->type == GL_DLM_QUESTION) {
		gl_dlm_question_sent(peers, message->question);
	} else if (message->to_node == peers->node && message->to_pid == peers->pid) {
		if (message->type == GL_DLM_ANSWER && message->version == GL_DLM_PEERS_VERSION) {
			gl_dlm_question_answer(peers, node, pid, message);
		} else {
			gl_dlm_question_refused(peers, node, pid, message->question);
		}
	}
	pthread_mutex_unlock(&peers->mutex);
}

static void delivered(cpg_handle_t handle, const struct cpg_name *name, uint32_t node, uint32_t pid,
		      void *bytes, size_t size)
{
	struct gl_dlm_peers *peers = peers_of(handle);
	struct gl_dlm_message message;

	(void)name;
	if (peers && gl_dlm_message_read(bytes, size, &message)) {
		take_message(peers, node, pid, &message);
	}
}

static void members_changed(cpg_handle_t handle, const struct cpg_name *name,
			    const struct cpg_address *members, size_t n_members,
			    const struct cpg_address *left, size_t n_left, const struct cpg_address *joined,
			    size_t n_joined)
{
	struct gl_dlm_peers *peers = peers_of(handle);
	size_t i;

	(void)name;
	(void)joined;
	(void)n_joined;
	if (!peers) {
		return;
	}
	pthread_mutex_lock(&peers->mutex);
	peers->n_members = n_members < GL_DLM_PEERS_MAX ? n_members : GL_DLM_PEERS_MAX;
	for (i = 0; i < peers->n_members; i++) {
		peers->members[i].node = members[i].nodeid;
		peers->members[i].pid = members[i].pid;
		if (members[i].nodeid == peers->node && members[i].pid == peers->pid) {
			peers->state = GL_DLM_GROUP_JOINED;
		}
	}
	for (i = 0; i < n_left; i++) {
		gl_dlm_parcels_drop(peers, left[i].nodeid, left[i].pid, 0);
		gl_dlm_questions_left(peers, left[i].nodeid, left[i].pid);
	}
	pthread_cond_broadcast(&peers->changed);
	pthread_mutex_unlock(&peers->mutex);
}

/* ---- The connection ---- */

static bool is_stopping(struct gl_dlm_peers *peers)
{
	bool stop;

	pthread_mutex_lock(&peers->mutex);
	stop = peers->stop;
	pthread_mutex_unlock(&peers->mutex);
	return stop;
}

static bool join(struct gl_dlm_group *group)
{
	struct cpg_name name = {0};
	int tries;

	name.length = (uint32_t)strlen(group->peers->name);
	memcpy(name.value, group->peers->name, name.length);
	/* While corosync agrees on its members it takes nobody. */
	for (tries = 0; tries < GL_DLM_JOIN_TRIES && !is_stopping(group->peers); tries++) {
		cs_error_t result = cpg_join(group->handle, &name);

		if (result != CS_ERR_TRY_AGAIN) {
			return result == CS_OK;
		}
		poll(NULL, 0, GL_DLM_BUSY_PAUSE_MS);
	}
	return false;
}

/* Only read, but the library takes it so. */
static cpg_model_v1_data_t group_model = {
	.model = CPG_MODEL_V1,
	.cpg_deliver_fn = delivered,
	.cpg_confchg_fn = members_changed,
};

static bool connect_group(struct gl_dlm_group *group)
{
	unsigned node = 0;

	if (cpg_model_initialize(&group->handle, CPG_MODEL_V1, (cpg_model_data_t *)&group_model,
				 group->peers) != CS_OK) {
		return false;
	}
	if (cpg_local_get(group->handle, &node) == CS_OK && cpg_fd_get(group->handle, &group->fd) == CS_OK) {
		pthread_mutex_lock(&group->peers->mutex);
		group->peers->node = node;
		group->peers->pid = (uint32_t)getpid();
		pthread_mutex_unlock(&group->peers->mutex);
		if (join(group)) {
			return true;
		}
	}
	cpg_finalize(group->handle);
	return false;
}

static void set_outside(struct gl_dlm_peers *peers)
{
	pthread_mutex_lock(&peers->mutex);
	peers->state = GL_DLM_GROUP_OUT;
	peers->n_members = 0;
	gl_dlm_parcels_drop(peers, 0, 0, 0);
	gl_dlm_questions_end(peers);
	pthread_cond_broadcast(&peers->changed);
	pthread_mutex_unlock(&peers->mutex);
}

/* The first parcel, which only this thread removes. */
static struct gl_dlm_parcel *first_parcel(struct gl_dlm_peers *peers)
{
	struct gl_dlm_parcel *parcel;

	pthread_mutex_lock(&peers->mutex);
	parcel = peers->parcels;
	pthread_mutex_unlock(&peers->mutex);
	return parcel;
}

static void remove_first(struct gl_dlm_peers *peers)
{
	struct gl_dlm_parcel *parcel;

	pthread_mutex_lock(&peers->mutex);
	parcel = peers->parcels;
	peers->parcels = parcel->next;
	if (!parcel->next) {
		peers->last_parcel = &peers->parcels;
	}
	peers->waiting_bytes -= parcel->draft.size;
	pthread_mutex_unlock(&peers->mutex);
	free(parcel->draft.bytes);
	free(parcel);
}

/* Sends what waits, as far as corosync takes it. false: the connection is gone. */
static bool send_parcels(struct gl_dlm_group *group, bool *out_more)
{
	int burst;

	for (burst = 0; burst < GL_DLM_BURST; burst++) {
		struct gl_dlm_parcel *parcel = first_parcel(group->peers);
		struct iovec part;
		cs_error_t result;

		*out_more = parcel != NULL;
		if (!parcel) {
			return true;
		}
		part = (struct iovec){.iov_base = parcel->draft.bytes, .iov_len = parcel->draft.size};
		result = cpg_mcast_joined(group->handle, CPG_TYPE_AGREED, &part, 1);
		if (result == CS_ERR_TRY_AGAIN) {
			return true;
		}
		if (result != CS_OK) {
			return false;
		}
		remove_first(group->peers);
	}
	return true;
}

/* Nothing is lost by that: what is to be done is looked up anyway. */
static void forget_wishes(const struct gl_dlm_peers *peers)
{
	uint64_t wishes;

	while (read(peers->wake_fd, &wishes, sizeof(wishes)) < 0 && errno == EINTR) {
	}
}

/* Waits for the group or a wish. false: the connection is gone. */
static bool wait_group(const struct gl_dlm_group *group, bool more)
{
	struct pollfd waited[] = {
		{.fd = group->fd, .events = POLLIN},
		{.fd = group->peers->wake_fd, .events = POLLIN},
	};

	if (poll(waited, 2, more ? GL_DLM_BUSY_PAUSE_MS : -1) < 0) {
		return errno == EINTR;
	}
	forget_wishes(group->peers);
	if (waited[0].revents != 0) {
		cs_error_t result = cpg_dispatch(group->handle, CS_DISPATCH_ALL);

		return (result == CS_OK || result == CS_ERR_TRY_AGAIN) &&
		       (waited[0].revents & (POLLHUP | POLLERR | POLLNVAL)) == 0;
	}
	return true;
}

/* Until the connection is gone, or it is to stop. */
static void serve(struct gl_dlm_group *group)
{
	bool more = false;

	while (!is_stopping(group->peers) && wait_group(group, more) && send_parcels(group, &more)) {
	}
	cpg_finalize(group->handle);
}

static void pause_before_retry(struct gl_dlm_peers *peers, int *pause_ms)
{
	struct pollfd waited = {.fd = peers->wake_fd, .events = POLLIN};

	poll(&waited, 1, *pause_ms);
	forget_wishes(peers);
	*pause_ms = *pause_ms * 2 < GL_DLM_RETRY_LAST_MS ? *pause_ms * 2 : GL_DLM_RETRY_LAST_MS;
}

void *gl_dlm_group_run(void *data)
{
	struct gl_dlm_group group = {.peers = data};
	int pause_ms = GL_DLM_RETRY_FIRST_MS;

	while (!is_stopping(group.peers)) {
		if (connect_group(&group)) {
			pause_ms = GL_DLM_RETRY_FIRST_MS;
			serve(&group);
		}
		set_outside(group.peers);
		pause_before_retry(group.peers, &pause_ms);
	}
	pthread_mutex_lock(&group.peers->mutex);
	group.peers->ended = true;
	pthread_cond_broadcast(&group.peers->changed);
	pthread_mutex_unlock(&group.peers->mutex);
	gl_dlm_peers_unref(group.peers);
	return NULL;
}
