/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keepers ask one another who holds a key: the kernel names at best the node and the guest's uuid, and of
 * shared holders nothing. They meet in a closed process group of corosync, "guestlock:LOCKSPACE".
 *
 *  1. A question goes to the whole group. When it comes back to whoever asked, every member of that moment has
 *     it or will get it: these are the ones to wait for.
 *  2. Each answers to the asker, in as many parts as it takes; the last one says so.
 *  3. A member that leaves the group before its last part will not answer any more: corosync tells that.
 *
 * What comes is only for people: no lock depends on it.
 */
#ifndef GL_DLM_PEERS_H
#define GL_DLM_PEERS_H

#include <guestlock/backend.h>

#pragma GCC visibility push(hidden)

#define GL_DLM_PEERS_MAX 128            /* as many as a group has */
#define GL_DLM_IDENTITY 512             /* bytes of what a key is called, longer ones are cut */

struct gl_dlm_peers;
struct gl_dlm_answer;

/*
 * Gives what this node holds on key, or on all keys where that is NULL: calls gl_dlm_peers_tell() for each
 * holder; identity says what the key is, in words, NULL where that is not known. Runs in the thread of the
 * group: it must not wait for anything but a mutex that is held shortly, and not ask in its turn.
 */
typedef void gl_dlm_answer_fn(void *data, const char *key, struct gl_dlm_answer *answer);
void gl_dlm_peers_tell(struct gl_dlm_answer *answer, const char *key, const struct guestlock_holder *holder,
		       const char *identity);

/*
 * Starts the thread, which joins the group as soon as corosync runs, and again whenever it comes back. Does
 * not wait for that. GRANTED or IO. answer may be called until stop has returned. One for each process: in a
 * child after a fork it must not be used, and the child must close its descriptors.
 */
enum guestlock_result gl_dlm_peers_start(struct gl_dlm_peers **out, const char *lockspace,
					 gl_dlm_answer_fn *answer, void *data, struct guestlock_error *err);

/*
 * Leaves the group. Nobody may be asking. NULL is accepted. Should corosync hang, it is left to itself after
 * two seconds: answer is not called any more in that case either.
 */
void gl_dlm_peers_stop(struct gl_dlm_peers *peers);

enum gl_dlm_peer_state {
	GL_DLM_PEER_SILENT = 0,         /* no answer until the deadline */
	GL_DLM_PEER_ANSWERED,
	GL_DLM_PEER_GONE,               /* it, its node or the connection ended meanwhile */
	GL_DLM_PEER_REFUSED,            /* it speaks another version, or has too much to tell */
};

struct gl_dlm_peer {
	unsigned node;
	uint32_t pid;
	enum gl_dlm_peer_state state;
};

struct gl_dlm_found {
	unsigned node;
	char key[GUESTLOCK_KEY_SIZE];
	struct guestlock_holder holder;
	char *identity;                 /* of the key, NULL where it was not told */
};

struct gl_dlm_answers {
	struct gl_dlm_found *found;     /* also what came of a part that is missing the rest */
	size_t n_found;
	struct gl_dlm_peer peers[GL_DLM_PEERS_MAX];     /* all that were asked: everyone but this process */
	size_t n_peers;
};
void gl_dlm_answers_free(struct gl_dlm_answers *answers);

/*
 * Asks all other members who holds key (NULL: everything). May be called by several threads at once. *out is
 * set in any case. GRANTED: everyone answered (also when there is nobody else); UNKNOWN: err names who did
 * not, and out has what the others said; STOPPED: not in the group, so nobody was asked, or corosync ended
 * meanwhile. A node of the cluster where no keeper runs is in no list: gl_dlm_cluster_members() knows those.
 */
enum guestlock_result gl_dlm_peers_ask(struct gl_dlm_peers *peers, const char *key, int64_t deadline_ms,
				       struct gl_dlm_answers *out, struct guestlock_error *err);

#pragma GCC visibility pop

#endif
