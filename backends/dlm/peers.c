/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nodes.h"
#include "peers_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GL_DLM_WAITING_MAX (64U * 1024U * 1024U) /* bytes of messages that corosync did not take yet */
#define GL_DLM_FOUND_MAX (1U << 20)
#define GL_DLM_STOP_MS 2000
#define GL_DLM_SILENT_TEXT 512

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

void gl_dlm_answers_free(struct gl_dlm_answers *answers)
{
	size_t i;

	for (i = 0; i < answers->n_found; i++) {
		free(answers->found[i].identity);
	}
	free(answers->found);
	answers->found = NULL;
	answers->n_found = 0;
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

/* ---- Asking ---- */

/* Until the deadline. false: it has passed. */
static bool wait_changed(struct gl_dlm_peers *peers, int64_t deadline_ms)
{
	struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ms / 1000),
		.tv_nsec = (long)(deadline_ms % 1000) * 1000000,
	};

	return pthread_cond_timedwait(&peers->changed, &peers->mutex, &deadline) != ETIMEDOUT;
}

static enum guestlock_result fail_outside(struct guestlock_error *err)
{
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_STOPPED, 0, 0,
		"cannot ask the other hosts: there is no connection to corosync; it is tried "
		"again by itself, see that corosync runs: systemctl status corosync");
}

/* Names those that did not answer. Called without the mutex: names are asked for. */
static enum guestlock_result judge(const struct gl_dlm_question *question, struct guestlock_error *err)
{
	static const char *const reasons[] = {
		[GL_DLM_PEER_SILENT] = "no answer in time",
		[GL_DLM_PEER_GONE] = "it ended meanwhile",
		[GL_DLM_PEER_REFUSED] = "its answer is of no use: another version",
	};
	const struct gl_dlm_answers *answers = question->answers;
	char text[GL_DLM_SILENT_TEXT] = "";
	size_t used = 0, i;

	for (i = 0; i < answers->n_peers && used < sizeof(text); i++) {
		char name[GL_DLM_NODE_NAME];
		int added;

		if (answers->peers[i].state == GL_DLM_PEER_ANSWERED) {
			continue;
		}
		gl_dlm_cluster_node_name(answers->peers[i].node, name, sizeof(name));
		added = snprintf(text + used, sizeof(text) - used, "%s%s (%s)", used > 0 ? ", " : "", name,
				 reasons[answers->peers[i].state]);
		used += added > 0 ? (size_t)added : 0;
	}
	if (used == 0 && !question->broken) {
		return GUESTLOCK_RES_GRANTED;
	}
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_UNKNOWN, 0, 0,
		"not every host told what it holds: %s; look at the keeper there: guestlock list",
		used > 0 ? text : "there was no memory for the answers");
}

static int send_question(struct gl_dlm_peers *peers, const struct gl_dlm_question *question, const char *key)
{
	const struct gl_dlm_message head = {.type = GL_DLM_QUESTION, .question = question->id};
	struct gl_dlm_draft draft;

	if (gl_dlm_draft_begin(&draft, &head, key) < 0) {
		return -1;
	}
	gl_dlm_draft_end(&draft, 0);
	return gl_dlm_parcel_add(peers, &draft, &head, true);
}

/* With the mutex held: until all have answered, or the deadline. false: it could not be asked. */
static bool carry_out(struct gl_dlm_peers *peers, struct gl_dlm_question *question, const char *key,
		      int64_t deadline_ms)
{
	struct gl_dlm_question **at;

	while (peers->state == GL_DLM_GROUP_STARTING && wait_changed(peers, deadline_ms)) {
	}
	if (peers->state != GL_DLM_GROUP_JOINED) {
		return false;
	}
	if (peers->n_members <= 1) {
		question->sent = true;
		return true;
	}
	question->next = peers->questions;
	peers->questions = question;
	if (send_question(peers, question, key) == 0) {
		while (!question->done && wait_changed(peers, deadline_ms)) {
		}
	} else {
		question->broken = true;
	}
	for (at = &peers->questions; *at != question; at = &(*at)->next) {
	}
	*at = question->next;
	return question->sent || question->broken;
}

enum guestlock_result gl_dlm_peers_ask(struct gl_dlm_peers *peers, const char *key, int64_t deadline_ms,
				       struct gl_dlm_answers *out, struct guestlock_error *err)
{
	struct gl_dlm_question question = {.answers = out};
	bool asked, joined;

	memset(out, 0, sizeof(*out));
	if (key && strlen(key) != GUESTLOCK_KEY_SIZE - 1) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_INVALID, 0, 0,
			"cannot ask the other hosts for \"%s\": a key has %d characters", key,
			GUESTLOCK_KEY_SIZE - 1);
	}
	question.id = guestlock_random64();
	pthread_mutex_lock(&peers->mutex);
	asked = carry_out(peers, &question, key, deadline_ms);
	joined = peers->state == GL_DLM_GROUP_JOINED;
	pthread_mutex_unlock(&peers->mutex);
	if (!asked && joined) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_STOPPED, 0, 0,
			"cannot ask the other hosts: corosync did not pass the question on in time; "
			"look at: corosync-cfgtool -s");
	}
	if (!asked || question.cut) {
		return fail_outside(err);
	}
	return judge(&question, err);
}

/* ---- Starting and stopping ---- */

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

static int start_thread(struct gl_dlm_peers *peers)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;
	int result;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	result = pthread_create(&thread, &attributes, gl_dlm_group_run, peers);
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result;
}

static struct gl_dlm_peers *new_peers(const char *lockspace, gl_dlm_answer_fn *answer, void *data)
{
	struct gl_dlm_peers *peers = calloc(1, sizeof(*peers));
	pthread_condattr_t attributes;

	if (!peers) {
		return NULL;
	}
	peers->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (peers->wake_fd < 0) {
		free(peers);
		return NULL;
	}
	snprintf(peers->name, sizeof(peers->name), "guestlock:%s", lockspace);
	peers->answer = answer;
	peers->data = data;
	peers->references = 1;
	peers->last_parcel = &peers->parcels;
	pthread_mutex_init(&peers->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&peers->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	return peers;
}

enum guestlock_result gl_dlm_peers_start(struct gl_dlm_peers **out, const char *lockspace,
					 gl_dlm_answer_fn *answer, void *data, struct guestlock_error *err)
{
	struct gl_dlm_peers *peers = new_peers(lockspace, answer, data);
	int result = peers ? 0 : errno;

	if (peers) {
		gl_dlm_stay_loaded();
		peers->references++;
		result = start_thread(peers);
		if (result != 0) {
			peers->references--;
			gl_dlm_peers_unref(peers);
		}
	}
	if (result != 0) {
		errno = result;
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_IO, result, 0,
			"cannot start the connection to the other hosts: %m; raise the limits of "
			"open files and processes");
	}
	*out = peers;
	return GUESTLOCK_RES_GRANTED;
}

void gl_dlm_peers_stop(struct gl_dlm_peers *peers)
{
	static const uint64_t one = 1;
	int64_t deadline_ms = guestlock_monotonic_ms() + GL_DLM_STOP_MS;

	if (!peers) {
		return;
	}
	pthread_mutex_lock(&peers->mutex);
	peers->stop = true;
	if (write(peers->wake_fd, &one, sizeof(one)) < 0) {
		/* As above. */
	}
	while ((!peers->ended && wait_changed(peers, deadline_ms)) || peers->answering) {
		if (peers->answering) {
			pthread_cond_wait(&peers->changed, &peers->mutex);
		}
	}
	pthread_mutex_unlock(&peers->mutex);
	gl_dlm_peers_unref(peers);
}
