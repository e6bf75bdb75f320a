/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asking the keepers of other nodes, and the beginning and the end of the thread that carries it. */
#include "cluster/nodes.h"
#include "peers/peers_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GL_DLM_STOP_MS 2000
#define GL_DLM_SILENT_TEXT 512

/* ---- Asking ---- */

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
static enum guestlock_result judge_question(const struct gl_dlm_question *question,
					    struct guestlock_error *err)
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
	return judge_question(&question, err);
}

/* ---- Starting and stopping ---- */

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
		/* The counter is full: the thread is being woken already. */
	}
	while ((!peers->ended && wait_changed(peers, deadline_ms)) || peers->answering) {
		if (peers->answering) {
			pthread_cond_wait(&peers->changed, &peers->mutex);
		}
	}
	pthread_mutex_unlock(&peers->mutex);
	gl_dlm_peers_unref(peers);
}
