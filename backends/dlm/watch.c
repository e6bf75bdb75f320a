/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What changes without anybody asking: the lockspace stops, and runs again.
 *
 * Nobody tells of it. The kernel shows it in a file that cannot be waited for, and dlm_controld knows why: so
 * they are looked at once in a while, which is the reading of one small file for as long as all is well.
 *
 * Of a lockspace that stands still no lock is LOST, whatever it waits for, and not even when its daemon is
 * dead: the kernel keeps what it granted, and no other node gets it before this one was fenced, which ends
 * its guests too. Only when the whole lockspace was taken away from this node are its locks gone,
 * although the kernel shows it until we close it.
 */
#include "dlm.h"

#include "cluster/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define LOOK_S 1
/* How often in turn the same is seen before it is told. A recovery is over before that, most times. */
#define LOOKS_STOPPED 2
#define LOOKS_RECOVERING 10

static bool tell(struct guestlock_event *out, enum guestlock_event_type type, const char *message)
{
	*out = (struct guestlock_event){.type = type};
	snprintf(out->message, sizeof(out->message), "%s", message);
	return true;
}

bool gl_dlm_watch_step(struct gl_dlm_watch *watch, enum guestlock_join_state state, const char *reason,
		       struct guestlock_event *out_event)
{
	unsigned needed = state == GUESTLOCK_JOIN_JOINING ? LOOKS_RECOVERING : LOOKS_STOPPED;
	bool was_stopped = watch->told[0] != '\0';

	if (state == GUESTLOCK_JOIN_JOINED) {
		*watch = (struct gl_dlm_watch){.fd = watch->fd};
		return was_stopped && tell(out_event, GUESTLOCK_EVENT_RUNNING, "");
	}
	if (strncmp(watch->seen, reason, sizeof(watch->seen) - 1) != 0) {
		snprintf(watch->seen, sizeof(watch->seen), "%s", reason);
		watch->looks = 0;
	}
	if (++watch->looks != needed || strcmp(watch->told, watch->seen) == 0) {
		return false;
	}
	memcpy(watch->told, watch->seen, sizeof(watch->told));
	return tell(out_event, GUESTLOCK_EVENT_STOPPED, watch->told);
}

int gl_dlm_watch(struct guestlock_backend *backend, struct guestlock_error *err)
{
	const struct itimerspec each = {.it_interval = {.tv_sec = LOOK_S}, .it_value = {.tv_sec = LOOK_S}};
	struct gl_dlm *dlm = gl_dlm_of(backend);

	if (dlm->watch.fd >= 0) {
		return dlm->watch.fd;
	}
	dlm->watch.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (dlm->watch.fd < 0 || timerfd_settime(dlm->watch.fd, 0, &each, NULL) < 0) {
		gl_dlm_fail(err, errno, "watch the DLM lockspace", dlm->lockspace);
		gl_dlm_watch_end(dlm);
	}
	return dlm->watch.fd;
}

void gl_dlm_watch_end(struct gl_dlm *dlm)
{
	if (dlm->watch.fd >= 0) {
		close(dlm->watch.fd);
	}
	dlm->watch = (struct gl_dlm_watch){.fd = -1};
}

/* Which membership it is, 0: none. *out_taken: the one before was taken away, and nobody has been told. */
static uint64_t membership(struct gl_dlm *dlm, bool *out_taken)
{
	uint64_t number;

	pthread_mutex_lock(&dlm->mutex);
	number = dlm->joined ? dlm->joins : 0;
	*out_taken = dlm->taken_away;
	dlm->taken_away = false;
	pthread_mutex_unlock(&dlm->mutex);
	return number;
}

/* The lockspace is not there: true unless we have left it meanwhile. Each membership is lost once. */
static bool is_lost(struct gl_dlm *dlm, uint64_t number)
{
	bool lost;

	pthread_mutex_lock(&dlm->mutex);
	lost = dlm->joined && dlm->joins == number && dlm->lost != number;
	if (lost) {
		dlm->lost = number;
	}
	pthread_mutex_unlock(&dlm->mutex);
	return lost;
}

int gl_dlm_next_event(struct guestlock_backend *backend, struct guestlock_event *out_event)
{
	struct gl_dlm *dlm = gl_dlm_of(backend);
	struct guestlock_error reason = {.message = ""};
	enum guestlock_join_state state;
	uint64_t times, number;
	bool taken;

	if (read(dlm->watch.fd, &times, sizeof(times)) < 0) {
		return 0;
	}
	number = membership(dlm, &taken);
	if (number == 0 && !taken) {
		dlm->watch = (struct gl_dlm_watch){.fd = dlm->watch.fd};
		return 0;
	}
	state = taken ? GUESTLOCK_JOIN_OUT
		      : gl_dlm_cluster_status(&gl_dlm_this_world, dlm->lockspace, &reason);
	if (state != GUESTLOCK_JOIN_OUT && state != GUESTLOCK_JOIN_LOST) {
		return gl_dlm_watch_step(&dlm->watch, state, reason.message, out_event);
	}
	return (taken || is_lost(dlm, number)) &&
	       tell(out_event, GUESTLOCK_EVENT_LOST,
		    "its DLM lockspace was taken away with every lock in it; who ran \"dlm_tool leave\"?");
}
