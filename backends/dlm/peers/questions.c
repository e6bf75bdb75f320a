/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What those who ask and the thread of the group have in common: messages on their way out, and the questions
 * that answers are for. Whoever is the last to let go of it frees it.
 */
#include "peers/peers_priv.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GL_DLM_WAITING_MAX (64U * 1024U * 1024U) /* bytes of messages that corosync did not take yet */
#define GL_DLM_FOUND_MAX (1U << 20)

/* ---- Messages on their way out ---- */

int gl_dlm_parcel_add(struct gl_dlm_peers *peers, struct gl_dlm_draft *draft,
		      const struct gl_dlm_message *head, bool wake)
{
	static const uint64_t one = 1;
	struct gl_dlm_parcel *parcel = calloc(1, sizeof(*parcel));

	if (!parcel || peers->waiting_bytes + draft->size > GL_DLM_WAITING_MAX) {
		free(parcel);
		free(draft->bytes);
		return -1;
	}
	parcel->draft = *draft;
	parcel->head = *head;
	*peers->last_parcel = parcel;
	peers->last_parcel = &parcel->next;
	peers->waiting_bytes += draft->size;
	if (wake && write(peers->wake_fd, &one, sizeof(one)) < 0) {
		/* The counter is full: the thread is being woken already. */
	}
	return 0;
}

void gl_dlm_parcels_drop(struct gl_dlm_peers *peers, uint32_t to_node, uint32_t to_pid, uint64_t question)
{
	struct gl_dlm_parcel **at = &peers->parcels;

	while (*at) {
		struct gl_dlm_parcel *parcel = *at;

		if (to_node != 0 && (parcel->head.to_node != to_node || parcel->head.to_pid != to_pid ||
				     (question != 0 && parcel->head.question != question))) {
			at = &parcel->next;
			continue;
		}
		*at = parcel->next;
		peers->waiting_bytes -= parcel->draft.size;
		free(parcel->draft.bytes);
		free(parcel);
	}
	peers->last_parcel = at;
}

/* ---- What happens to questions ---- */

static struct gl_dlm_question *find_question(struct gl_dlm_peers *peers, uint64_t id)
{
	struct gl_dlm_question *question = peers->questions;

	while (question && question->id != id) {
		question = question->next;
	}
	return question;
}

static void set_done(struct gl_dlm_peers *peers, struct gl_dlm_question *question)
{
	question->done = true;
	pthread_cond_broadcast(&peers->changed);
}

static void settle_peer(struct gl_dlm_peers *peers, struct gl_dlm_question *question, size_t i,
			enum gl_dlm_peer_state state)
{
	question->answers->peers[i].state = state;
	question->waiting--;
	if (question->waiting == 0) {
		set_done(peers, question);
	}
}

/* The peer that is still waited for, or n_peers. */
static size_t find_waiting(const struct gl_dlm_question *question, uint32_t node, uint32_t pid)
{
	const struct gl_dlm_answers *answers = question->answers;
	size_t i;

	for (i = 0; i < answers->n_peers; i++) {
		if (answers->peers[i].node == node && answers->peers[i].pid == pid &&
		    answers->peers[i].state == GL_DLM_PEER_SILENT) {
			return i;
		}
	}
	return answers->n_peers;
}

void gl_dlm_question_sent(struct gl_dlm_peers *peers, uint64_t id)
{
	struct gl_dlm_question *question = find_question(peers, id);
	struct gl_dlm_answers *answers;
	size_t i;

	if (!question || question->sent) {
		return;
	}
	answers = question->answers;
	question->sent = true;
	for (i = 0; i < peers->n_members; i++) {
		if (peers->members[i].node != peers->node || peers->members[i].pid != peers->pid) {
			answers->peers[answers->n_peers] = peers->members[i];
			answers->peers[answers->n_peers].state = GL_DLM_PEER_SILENT;
			answers->n_peers++;
		}
	}
	question->waiting = answers->n_peers;
	if (question->waiting == 0) {
		set_done(peers, question);
	}
}

static int add_found(struct gl_dlm_question *question, const struct gl_dlm_found *found)
{
	struct gl_dlm_answers *answers = question->answers;

	if (answers->n_found == question->room) {
		size_t room = question->room * 2 + 16;
		struct gl_dlm_found *grown = NULL;

		if (room <= GL_DLM_FOUND_MAX) {
			grown = realloc(answers->found, room * sizeof(*grown));
		}
		if (!grown) {
			return -1;
		}
		answers->found = grown;
		question->room = room;
	}
	answers->found[answers->n_found++] = *found;
	return 0;
}

/* 0, or -1: malformed, or no memory. */
static int take_entries(struct gl_dlm_question *question, uint32_t node, struct gl_dlm_message *message)
{
	struct gl_dlm_found found;
	int result;

	while ((result = gl_dlm_message_next(message, &found)) > 0) {
		found.node = node;
		if (message->identity_size > 0) {
			found.identity = strndup(message->identity, message->identity_size);
		}
		if (add_found(question, &found) < 0) {
			free(found.identity);
			question->broken = true;
			return -1;
		}
	}
	return result;
}

void gl_dlm_question_answer(struct gl_dlm_peers *peers, uint32_t node, uint32_t pid,
			    struct gl_dlm_message *message)
{
	struct gl_dlm_question *question = find_question(peers, message->question);
	size_t i;

	if (!question || !question->sent) {
		return;
	}
	i = find_waiting(question, node, pid);
	if (i == question->answers->n_peers) {
		return;
	}
	if (message->part != question->parts[i] || take_entries(question, node, message) < 0) {
		settle_peer(peers, question, i, GL_DLM_PEER_REFUSED);
		return;
	}
	question->parts[i]++;
	if ((message->flags & GL_DLM_LAST) != 0) {
		settle_peer(peers, question, i, GL_DLM_PEER_ANSWERED);
	}
}

void gl_dlm_question_refused(struct gl_dlm_peers *peers, uint32_t node, uint32_t pid, uint64_t id)
{
	struct gl_dlm_question *question = find_question(peers, id);
	size_t i;

	if (question && question->sent) {
		i = find_waiting(question, node, pid);
		if (i < question->answers->n_peers) {
			settle_peer(peers, question, i, GL_DLM_PEER_REFUSED);
		}
	}
}

void gl_dlm_questions_left(struct gl_dlm_peers *peers, uint32_t node, uint32_t pid)
{
	struct gl_dlm_question *question;

	for (question = peers->questions; question; question = question->next) {
		size_t i = find_waiting(question, node, pid);

		if (i < question->answers->n_peers) {
			settle_peer(peers, question, i, GL_DLM_PEER_GONE);
		}
	}
}

void gl_dlm_questions_end(struct gl_dlm_peers *peers)
{
	struct gl_dlm_question *question;
	size_t i;

	for (question = peers->questions; question; question = question->next) {
		question->cut = question->cut || !question->done;
		for (i = 0; i < question->answers->n_peers; i++) {
			if (question->answers->peers[i].state == GL_DLM_PEER_SILENT) {
				question->answers->peers[i].state = GL_DLM_PEER_GONE;
			}
		}
		question->waiting = 0;
		set_done(peers, question);
	}
}

/* ---- The end ---- */

void gl_dlm_peers_unref(struct gl_dlm_peers *peers)
{
	bool last;

	pthread_mutex_lock(&peers->mutex);
	last = --peers->references == 0;
	pthread_mutex_unlock(&peers->mutex);
	if (!last) {
		return;
	}
	gl_dlm_parcels_drop(peers, 0, 0, 0);
	pthread_cond_destroy(&peers->changed);
	pthread_mutex_destroy(&peers->mutex);
	close(peers->wake_fd);
	free(peers);
}
