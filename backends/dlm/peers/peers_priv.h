/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peers.c has whoever asks, group.c the thread with the connection to corosync, and questions.c what they
 * have in common. The mutex is never held while corosync's library or the answer function runs.
 */
#ifndef GL_DLM_PEERS_PRIV_H
#define GL_DLM_PEERS_PRIV_H

#include "peers/message.h"

#include <pthread.h>

#pragma GCC visibility push(hidden)

/* A message on its way out. Added at the end by anybody, sent and removed by the thread. */
struct gl_dlm_parcel {
	struct gl_dlm_parcel *next;
	struct gl_dlm_draft draft;
	struct gl_dlm_message head;
};

/* Belongs to whoever asks, and lives as long as the call. */
struct gl_dlm_question {
	struct gl_dlm_question *next;
	uint64_t id;
	bool sent;                      /* it came back from the group: answers->peers are who has it */
	bool done;                      /* nobody is waited for any more */
	bool cut;                       /* the connection ended before it was */
	bool broken;                    /* out of memory: answers are missing */
	size_t waiting;                 /* peers that did not answer yet */
	size_t room;                    /* of answers->found */
	uint32_t parts[GL_DLM_PEERS_MAX];       /* how many have come of each */
	struct gl_dlm_answers *answers;
};

enum gl_dlm_group_state {
	GL_DLM_GROUP_STARTING = 0,      /* the first attempt is under way */
	GL_DLM_GROUP_JOINED,
	GL_DLM_GROUP_OUT,
};

struct gl_dlm_peers {
	char name[128];                 /* of the group */
	gl_dlm_answer_fn *answer;
	void *data;
	int wake_fd;                    /* an eventfd: there is something to send, or it is to stop */

	pthread_mutex_t mutex;          /* of what follows */
	pthread_cond_t changed;
	unsigned references;            /* of whoever started it, and of the thread */
	bool stop, ended;
	bool answering;                 /* the answer function runs */
	enum gl_dlm_group_state state;
	struct gl_dlm_peer members[GL_DLM_PEERS_MAX];   /* of the group, this process too */
	size_t n_members;
	struct gl_dlm_question *questions;
	struct gl_dlm_parcel *parcels, **last_parcel;
	size_t waiting_bytes;           /* of parcels */
	uint32_t node, pid;             /* of this process */
};

/* The thread, given the peers. It drops its reference at the end. */
void *gl_dlm_group_run(void *data);
void gl_dlm_peers_unref(struct gl_dlm_peers *peers);

/* All that follow are called with the mutex held. */

/*
 * Takes the draft over. wake says whether the thread has to be told. 0 or -1: no memory, or too much waits
 * already.
 */
int gl_dlm_parcel_add(struct gl_dlm_peers *peers, struct gl_dlm_draft *draft,
		      const struct gl_dlm_message *head, bool wake);
/* Removes those for one process about one question (0: any), or all of them (to_node 0). */
void gl_dlm_parcels_drop(struct gl_dlm_peers *peers, uint32_t to_node, uint32_t to_pid, uint64_t question);

/*
 * What happened to questions: one came back, an answer or refusal came, a member left, the connection ended.
 */
void gl_dlm_question_sent(struct gl_dlm_peers *peers, uint64_t id);
void gl_dlm_question_answer(struct gl_dlm_peers *peers, uint32_t node, uint32_t pid,
			    struct gl_dlm_message *message);
void gl_dlm_question_refused(struct gl_dlm_peers *peers, uint32_t node, uint32_t pid, uint64_t id);
void gl_dlm_questions_left(struct gl_dlm_peers *peers, uint32_t node, uint32_t pid);
void gl_dlm_questions_end(struct gl_dlm_peers *peers);

#pragma GCC visibility pop

#endif
