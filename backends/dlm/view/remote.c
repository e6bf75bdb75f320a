/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the keepers of other nodes say about a key, and what this one tells them. For people: no lock
 * depends on it.
 */
#include "view/view.h"

#include "cluster/cluster.h"
#include "peers/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 1000

/* ---- Answering ---- */

static void tell(void *data, const char *key, const struct guestlock_holder *holder, const char *identity)
{
	gl_dlm_peers_tell(data, key, holder, identity);
}

static void answer(void *data, const char *key, struct gl_dlm_answer *answer)
{
	gl_dlm_tell_held(data, key, tell, answer);
}

void gl_dlm_remote_start(struct gl_dlm *dlm)
{
	struct guestlock_error err = {.message = ""};

	if (!dlm->peers &&
	    gl_dlm_peers_start(&dlm->peers, dlm->lockspace, answer, dlm, &err) != GUESTLOCK_RES_GRANTED) {
		dlm->peers = NULL;
		guestlock_backend_log(&dlm->base, GUESTLOCK_LOG_WARNING,
				      "guests of other hosts cannot be named: %s", err.message);
	}
}

void gl_dlm_remote_stop(struct gl_dlm *dlm)
{
	gl_dlm_peers_stop(dlm->peers);
	dlm->peers = NULL;
}

/* ---- Asking ---- */

static bool ask_keepers(struct gl_dlm *dlm, const char *key, int64_t deadline_ms, struct gl_dlm_answers *out)
{
	int64_t soon_ms = guestlock_monotonic_ms() + PATIENCE_MS;
	struct guestlock_error ignored;

	*out = (struct gl_dlm_answers){.found = NULL};
	if (!dlm->peers) {
		return false;
	}
	return gl_dlm_peers_ask(dlm->peers, key, soon_ms < deadline_ms ? soon_ms : deadline_ms, out,
				&ignored) == GUESTLOCK_RES_GRANTED;
}

/* A keeper knows its host's name less well than the cluster does. */
static void take_found(const struct gl_dlm_found *found, struct guestlock_holder *out)
{
	*out = found->holder;
	if (!out->host[0]) {
		gl_dlm_cluster_node_name(found->node, out->host, sizeof(out->host));
	}
}

void gl_dlm_name_holder(struct gl_dlm *dlm, const char *key, int64_t deadline_ms,
			struct guestlock_holder *holder)
{
	struct gl_dlm_answers answers;

	ask_keepers(dlm, key, deadline_ms, &answers);
	for (size_t i = 0; i < answers.n_found; i++) {
		const struct guestlock_holder *found = &answers.found[i].holder;

		if (found->mode != GUESTLOCK_MODE_NONE &&
		    (!holder->uuid[0] || strcmp(found->uuid, holder->uuid) == 0)) {
			take_found(&answers.found[i], holder);
			break;
		}
	}
	gl_dlm_answers_free(&answers);
}

size_t gl_dlm_remote_holders(struct gl_dlm *dlm, const char *key, int64_t deadline_ms,
			     struct guestlock_holder **out_holders)
{
	struct gl_dlm_answers answers;
	size_t count = 0;

	ask_keepers(dlm, key, deadline_ms, &answers);
	*out_holders = calloc(answers.n_found + 1, sizeof(**out_holders));
	for (size_t i = 0; i < answers.n_found && *out_holders; i++) {
		if (answers.found[i].holder.mode != GUESTLOCK_MODE_NONE) {
			take_found(&answers.found[i], &(*out_holders)[count++]);
		}
	}
	gl_dlm_answers_free(&answers);
	return count;
}
