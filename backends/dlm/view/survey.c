/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is held, here and on the other nodes, in words. */
#include "view/view.h"

#include "cluster/cluster.h"
#include "peers/peers.h"

#include <string.h>

#define PATIENCE_KEY_MS 1000
#define PATIENCE_ALL_MS 3000
/* What the way back to the caller takes. */
#define MARGIN_MS 100

struct survey {
	struct gl_dlm *dlm;
	guestlock_enumerate_fn *visit;
	guestlock_silent_fn *silent;
	void *data;
	bool enough; /* visit wants no more */
};

static void pass_on(void *data, const char *key, const struct guestlock_holder *holder, const char *identity)
{
	struct survey *survey = data;
	struct guestlock_lock lock = {
		.owner =
			{
				.instance = holder->instance,
				.name = holder->name,
				.pid = holder->pid,
				.host = holder->host,
				.manager = "",
			},
		.key = {.identity = identity ? identity : ""},
		.mode = holder->mode,
		.readable = true,
		.since = holder->since,
	};

	memcpy(lock.owner.uuid, holder->uuid, sizeof(lock.owner.uuid));
	memcpy(lock.key.key, key, sizeof(lock.key.key));
	survey->enough = survey->enough || survey->visit(survey->data, &lock) != 0;
}

static void pass_on_others(struct survey *survey, const struct gl_dlm_answers *answers)
{
	for (size_t i = 0; i < answers->n_found; i++) {
		const struct gl_dlm_found *found = &answers->found[i];
		struct guestlock_holder holder = found->holder;

		if (holder.mode == GUESTLOCK_MODE_NONE) {
			continue;
		}
		if (!holder.host[0]) {
			gl_dlm_cluster_node_name(found->node, holder.host, sizeof(holder.host));
		}
		pass_on(survey, found->key, &holder, found->identity);
	}
}

/*
 * Why a member of the lockspace did not tell; NULL: it did. On this node the caller has told; but there may
 * be another keeper, of another run directory.
 */
static const char *why_silent(const struct gl_dlm_answers *answers, unsigned node, bool is_self, bool asked)
{
	static const char *const reasons[] = {
		[GL_DLM_PEER_SILENT] = "no answer in time",
		[GL_DLM_PEER_ANSWERED] = NULL,
		[GL_DLM_PEER_GONE] = "its keeper ended meanwhile",
		[GL_DLM_PEER_REFUSED] = "its answer is of no use: another version",
	};
	const char *reason = asked ? "no keeper runs there" : "no connection to corosync";
	bool answered = is_self;

	for (size_t i = 0; i < answers->n_peers; i++) {
		const struct gl_dlm_peer *peer = &answers->peers[i];

		if (peer->node == node && peer->state != GL_DLM_PEER_ANSWERED) {
			return reasons[peer->state];
		}
		answered = answered || peer->node == node;
	}
	return answered ? NULL : reason;
}

static void name_silent(const struct survey *survey, const struct gl_dlm_answers *answers, bool asked)
{
	unsigned nodes[GL_DLM_PEERS_MAX];
	size_t count = 0;

	if (gl_dlm_cluster_members(&gl_dlm_this_world, survey->dlm->lockspace, nodes, GL_DLM_PEERS_MAX,
				   &count) < 0) {
		count = 0;
	}
	for (size_t i = 0; i < count; i++) {
		bool is_self = nodes[i] == survey->dlm->node;
		const char *reason = why_silent(answers, nodes[i], is_self, asked);

		if (reason) {
			char name[GL_DLM_NODE_NAME];

			gl_dlm_cluster_node_name(nodes[i], name, sizeof(name));
			survey->silent(survey->data, name, reason);
		}
	}
}

static bool ask_others(struct survey *survey, const char *key, int64_t deadline_ms,
		       struct gl_dlm_answers *out)
{
	int64_t until_ms = guestlock_monotonic_ms() + (key ? PATIENCE_KEY_MS : PATIENCE_ALL_MS);
	struct guestlock_error ignored;

	*out = (struct gl_dlm_answers){.found = NULL};
	if (deadline_ms - MARGIN_MS < until_ms) {
		until_ms = deadline_ms - MARGIN_MS;
	}
	return survey->dlm->peers &&
	       gl_dlm_peers_ask(survey->dlm->peers, key, until_ms, out, &ignored) != GUESTLOCK_RES_STOPPED;
}

enum guestlock_result gl_dlm_survey(struct guestlock_backend *backend, const char *key, int64_t deadline_ms,
				    guestlock_enumerate_fn *visit, guestlock_silent_fn *silent, void *data,
				    struct guestlock_error *err)
{
	struct survey survey = {.dlm = gl_dlm_of(backend), .visit = visit, .silent = silent, .data = data};
	struct gl_dlm_answers answers;
	bool asked, joined;

	pthread_mutex_lock(&survey.dlm->mutex);
	joined = survey.dlm->joined;
	pthread_mutex_unlock(&survey.dlm->mutex);
	if (!joined) {
		return gl_dlm_check_running(survey.dlm, err);
	}
	/*
	 * Nothing is asked of the kernel: this works while the lockspace waits, when there is most to look
	 * at.
	 */
	gl_dlm_tell_held(survey.dlm, key, pass_on, &survey);
	asked = ask_others(&survey, key, deadline_ms, &answers);
	pass_on_others(&survey, &answers);
	name_silent(&survey, &answers, asked);
	gl_dlm_answers_free(&answers);
	return GUESTLOCK_RES_GRANTED;
}
