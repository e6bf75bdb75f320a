/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests of one owner run one after the other. A lane is there for as long as a request of its owner is
 * under way; who enters one or leaves it holds the lock meanwhile, and nobody while the request runs.
 */
#include "server_priv.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool name_lane(const struct gl_keeper_request *request, char *out, size_t size)
{
	if (request->has_owner) {
		snprintf(out, size, "%s.%llx", request->owner.uuid,
			 (unsigned long long)request->owner.instance);
	}
	return request->has_owner;
}

bool lane_enter(struct server *server, struct job *job, bool *out_failed)
{
	struct lane wanted = {.name = ""};
	struct lane *lane, **found;
	bool turn = true;

	*out_failed = false;
	if (!name_lane(&job->request, wanted.name, sizeof(wanted.name))) {
		return true;
	}
	pthread_mutex_lock(&server->lock);
	found = (struct lane **)tfind(&wanted, &server->lanes, compare_names);
	if (found) {
		job->lane = *found;
		STAILQ_INSERT_TAIL(&job->lane->waiting, job, next);
		server->waiting++;
		turn = false;
	} else {
		lane = malloc(sizeof(*lane));
		if (lane) {
			*lane = wanted;
			STAILQ_INIT(&lane->waiting);
			job->lane = lane;
		}
		if (!lane || !tsearch(lane, &server->lanes, compare_names)) {
			free(lane);
			job->lane = NULL;
			*out_failed = true;
			turn = false;
		}
	}
	pthread_mutex_unlock(&server->lock);
	return turn;
}

struct job *lane_leave(struct server *server, struct lane *lane)
{
	struct job *next;

	if (!lane) {
		return NULL;
	}
	pthread_mutex_lock(&server->lock);
	next = STAILQ_FIRST(&lane->waiting);
	if (next) {
		STAILQ_REMOVE_HEAD(&lane->waiting, next);
		server->waiting--;
	} else {
		tdelete(lane, &server->lanes, compare_names);
		free(lane);
	}
	pthread_mutex_unlock(&server->lock);
	return next;
}
