/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Membership. The daemon joins the lockspace by itself, which takes seconds, or minutes when the host id was used by
 * a host that died. A thread waits for that, as only the call that waits is told why it failed.
 */
#include "sanlock_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GL_SANLOCK_NAME_MAX 4096 /* bytes of a file with a host's name */

/* ---- The thread that joins ---- */

struct gl_sanlock_adding {
	pthread_mutex_t mutex;
	unsigned users;
	bool done;
	int rv;
	struct sanlk_lockspace lockspace;
	unsigned io_timeout;
	int64_t since_ms;
};

static void drop(struct gl_sanlock_adding *adding)
{
	bool last;

	pthread_mutex_lock(&adding->mutex);
	last = --adding->users == 0;
	pthread_mutex_unlock(&adding->mutex);
	if (last) {
		pthread_mutex_destroy(&adding->mutex);
		free(adding);
	}
}

static void *add(void *argument)
{
	struct gl_sanlock_adding *adding = argument;
	int rv;
	sigset_t set;

	sigfillset(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	rv = sanlock_add_lockspace_timeout(&adding->lockspace, 0, adding->io_timeout);
	pthread_mutex_lock(&adding->mutex);
	adding->rv = rv;
	adding->done = true;
	pthread_mutex_unlock(&adding->mutex);
	drop(adding);
	return NULL;
}

static int start_adding(struct gl_sanlock *sl)
{
	struct gl_sanlock_adding *adding = calloc(1, sizeof(*adding));
	pthread_attr_t attributes;
	pthread_t thread;
	int failure;

	if (!adding) {
		return -ENOMEM;
	}
	adding->users = 2;
	adding->io_timeout = sl->io_timeout;
	adding->since_ms = guestlock_monotonic_ms();
	gl_sanlock_describe(sl, sl->lockspace_path, &adding->lockspace);
	pthread_mutex_init(&adding->mutex, NULL);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	failure = pthread_create(&thread, &attributes, add, adding);
	pthread_attr_destroy(&attributes);
	if (failure) {
		pthread_mutex_destroy(&adding->mutex);
		free(adding);
		return -failure;
	}
	sl->adding = adding;
	return 0;
}

/* With the instance's mutex. */
static void forget_adding(struct gl_sanlock *sl)
{
	if (sl->adding) {
		drop(sl->adding);
		sl->adding = NULL;
	}
}

static bool has_joined(struct gl_sanlock *sl)
{
	bool result;

	pthread_mutex_lock(&sl->mutex);
	result = sl->joined && sl->registered >= 0;
	pthread_mutex_unlock(&sl->mutex);
	return result;
}

static bool is_adding(struct gl_sanlock *sl)
{
	bool result;

	pthread_mutex_lock(&sl->mutex);
	result = sl->adding != NULL;
	pthread_mutex_unlock(&sl->mutex);
	return result;
}

void gl_sanlock_adding_leave(struct gl_sanlock *sl)
{
	forget_adding(sl);
}

/* ---- join ---- */

static int inquire_lockspace(const struct gl_sanlock *sl)
{
	struct sanlk_lockspace lockspace;

	gl_sanlock_describe(sl, sl->lockspace_path, &lockspace);
	return sanlock_inq_lockspace(&lockspace, 0);
}

static enum guestlock_result fail_joining(const struct gl_sanlock *sl, struct guestlock_error *err)
{
	int64_t since_ms = sl->adding ? guestlock_monotonic_ms() - sl->adding->since_ms : 0;

	return guestlock_backend_fail(
		err, GUESTLOCK_RES_NOT_JOINED, 0, -EINPROGRESS,
		"sanlock is joining lockspace %s with host id %u (for %lld s now); that takes about %u s, "
		"and up to %u s when a host with this id died: wait, or look at sanlock client status",
		sl->lockspace, sl->host_id, (long long)since_ms / 1000, 3 * sl->io_timeout,
		14 * sl->io_timeout + sl->fire_timeout + 20);
}

static enum guestlock_result fail_added(const struct gl_sanlock *sl, int rv, struct guestlock_error *err)
{
	char name[SANLK_NAME_LEN + 256], *user = NULL;
	size_t size;

	snprintf(name, sizeof(name), "lockspace %s with host id %u", sl->lockspace, sl->host_id);
	/* Whoever has the id wrote its name there. */
	if (rv == SANLK_HOSTID_BUSY &&
	    guestlock_read_file(sl->host_path, GL_SANLOCK_NAME_MAX, &user, &size) == 0) {
		snprintf(name, sizeof(name), "lockspace %s with host id %u (that of host %.*s)",
			 sl->lockspace, sl->host_id,
			 (int)strcspn(user, "\n") > 160 ? 160 : (int)strcspn(user, "\n"), user);
	}
	free(user);
	return gl_sanlock_fail(err, rv, "join", name);
}

/* Nobody has joined it, or is about to. With the mutex. */
static enum guestlock_result go_on(struct gl_sanlock *sl, struct guestlock_error *err)
{
	struct gl_sanlock_adding *adding = sl->adding;
	bool done = false;
	int rv = 0;

	if (adding) {
		pthread_mutex_lock(&adding->mutex);
		done = adding->done;
		rv = adding->rv;
		pthread_mutex_unlock(&adding->mutex);
	}
	if (done) {
		forget_adding(sl);
		if (rv < 0 && rv != -EEXIST && rv != -EINPROGRESS) {
			/* Told once; whoever asks again tries again. */
			return fail_added(sl, rv, err);
		}
	} else if (!adding) {
		rv = start_adding(sl);
		if (rv < 0) {
			return fail_added(sl, rv, err);
		}
	}
	return fail_joining(sl, err);
}

static int say_name(const struct gl_sanlock *sl)
{
	char *text = NULL;
	size_t size;
	char name[256];
	int result = 0;

	snprintf(name, sizeof(name), "%s\n", sl->base.host);
	if (guestlock_read_file(sl->host_path, GL_SANLOCK_NAME_MAX, &text, &size) < 0 ||
	    strcmp(text, name) != 0) {
		result = guestlock_write_file(sl->host_path, name, strlen(name), 0664);
	}
	free(text);
	return result;
}

/* rv: what the daemon says of the lockspace. */
static enum guestlock_result join_locked(struct gl_sanlock *sl, int rv, struct guestlock_error *err)
{
	if (rv == 0) {
		forget_adding(sl);
		if (!sl->joined && say_name(sl) < 0) {
			guestlock_backend_log(&sl->base, GUESTLOCK_LOG_WARNING,
					      "cannot write %s: %m; others see this host as a number",
					      sl->host_path);
		}
		sl->joined = true;
		return GUESTLOCK_RES_GRANTED;
	}
	sl->joined = false;
	if (rv == -EINPROGRESS) {
		return fail_joining(sl, err);
	}
	if (rv != -ENOENT) {
		return fail_added(sl, rv, err);
	}
	/*
	 * To join is to be another one than before: whatever this host had is free at once. As long as a guest lives
	 * that has had something, it does not; who looks at its guests finds out what they have lost.
	 */
	return sl->forgotten.guest.pid > 0 ? GUESTLOCK_RES_GRANTED : go_on(sl, err);
}

/* rv: what the daemon says of the lockspace. Only before it joins somebody can be forgotten. */
static int look_for_forgotten(struct gl_sanlock *sl, int rv)
{
	struct gl_sanlock_forgotten forgotten = {.pid_start = 0};
	int result = rv == -ENOENT && !is_adding(sl) ? gl_sanlock_find_forgotten(sl, &forgotten) : 0;

	pthread_mutex_lock(&sl->mutex);
	sl->forgotten = forgotten;
	pthread_mutex_unlock(&sl->mutex);
	return result;
}

/* ---- join and leave ---- */

enum guestlock_result gl_sanlock_join(struct guestlock_backend *backend, struct guestlock_kept *kept,
				      struct guestlock_error *err)
{
	struct gl_sanlock *sl = gl_sanlock_of(backend);
	struct gl_sanlock_daemon daemon;
	enum guestlock_result result = gl_sanlock_daemon_check(sl, &daemon, err);
	int rv = 0, looked;

	(void)kept;
	if (result == GUESTLOCK_RES_GRANTED) {
		rv = inquire_lockspace(sl);
		/* A member needs none of what follows, and its storage may be away. */
		if (rv == 0 && has_joined(sl)) {
			return GUESTLOCK_RES_GRANTED;
		}
		result = gl_sanlock_check(sl, err);
	}
	if (result == GUESTLOCK_RES_GRANTED) {
		result = gl_sanlock_set_up(sl, &daemon, rv == 0 || rv == -EINPROGRESS, err);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	looked = look_for_forgotten(sl, rv);
	if (looked < 0) {
		return gl_sanlock_fail(err, looked, "list the leases in", sl->dir);
	}
	pthread_mutex_lock(&sl->mutex);
	sl->fire_timeout = daemon.fire_timeout;
	result = join_locked(sl, rv, err);
	pthread_mutex_unlock(&sl->mutex);
	/* A daemon that came back has to be watched anew. */
	if (result == GUESTLOCK_RES_GRANTED && (rv = gl_sanlock_watch_again(sl)) < 0) {
		return fail_added(sl, rv, err);
	}
	return result;
}

enum guestlock_result gl_sanlock_leave(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct gl_sanlock *sl = gl_sanlock_of(backend);
	struct sanlk_lockspace lockspace;
	struct gl_sanlock_daemon daemon;
	enum guestlock_result result = gl_sanlock_ask_daemon(sl, &daemon, err);
	int rv;

	/* Without a daemon the host is a member for others until they count it as dead. */
	if (result == GUESTLOCK_RES_GRANTED) {
		result = gl_sanlock_in_use(sl, err);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	gl_sanlock_describe(sl, sl->lockspace_path, &lockspace);
	rv = sanlock_rem_lockspace(&lockspace, SANLK_REM_UNUSED);
	if (rv == -EBUSY) {
		return guestlock_backend_fail(err, GUESTLOCK_RES_BUSY, 0, rv,
					      "cannot leave lockspace %s: processes of this host hold leases "
					      "of it; look at sanlock client status, and end those guests "
					      "first",
					      sl->lockspace);
	}
	if (rv < 0 && rv != -ENOENT && rv != -EINPROGRESS) {
		return gl_sanlock_fail(err, rv, "leave lockspace", sl->lockspace);
	}
	pthread_mutex_lock(&sl->mutex);
	sl->joined = false;
	forget_adding(sl);
	pthread_mutex_unlock(&sl->mutex);
	return GUESTLOCK_RES_GRANTED;
}

/* ---- status ---- */

enum guestlock_join_state gl_sanlock_status(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct gl_sanlock *sl = gl_sanlock_of(backend);
	struct gl_sanlock_daemon daemon;
	bool joined;
	int rv;

	pthread_mutex_lock(&sl->mutex);
	joined = sl->joined;
	pthread_mutex_unlock(&sl->mutex);
	if (gl_sanlock_daemon_check(sl, &daemon, err) != GUESTLOCK_RES_GRANTED) {
		return joined ? GUESTLOCK_JOIN_LOST : GUESTLOCK_JOIN_OUT;
	}
	rv = inquire_lockspace(sl);
	if (rv == 0 && joined) {
		return GUESTLOCK_JOIN_JOINED;
	}
	if (gl_sanlock_waits(sl)) {
		gl_sanlock_check_joined(sl, true, err);
		return GUESTLOCK_JOIN_STOPPED;
	}
	if (rv == -EINPROGRESS) {
		pthread_mutex_lock(&sl->mutex);
		fail_joining(sl, err);
		pthread_mutex_unlock(&sl->mutex);
		return GUESTLOCK_JOIN_JOINING;
	}
	guestlock_backend_fail(
		err, GUESTLOCK_RES_NOT_JOINED, 0, rv,
		joined ? "sanlock has left lockspace %s (storage lost, or somebody removed it): "
			 "leases of it are lost; look at its log"
		       : "lockspace %s was not joined; the first guest joins it",
		sl->lockspace);
	return joined ? GUESTLOCK_JOIN_LOST : GUESTLOCK_JOIN_OUT;
}
