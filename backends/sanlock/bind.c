/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registration: a connection to the daemon which the guest's program inherits, so that the daemon knows when
 * the guest is gone, and whom to end when its leases are lost. A daemon that is full or stopped never
 * answers, and the library waits for ever: so a thread asks, and is left behind when the deadline has passed.
 * Then the guest's process ends, and the thread with it.
 */
#include "sanlock_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct registration {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool done, abandoned;
	int sock;         /* or what the library returned */
	const char *step; /* that failed */
	int rv;
	char program[SANLK_HELPER_PATH_LEN], arguments[SANLK_HELPER_ARGS_LEN];
};

static void free_registration(struct registration *registration)
{
	pthread_cond_destroy(&registration->changed);
	pthread_mutex_destroy(&registration->mutex);
	free(registration);
}

/* ---- In the thread ---- */

/*
 * After the last of these the connection is of no use to whoever has it: a guest cannot give its leases
 * back.
 */
static void fix(struct registration *registration)
{
	if (registration->program[0] != '\0') {
		registration->step = "set the program for lost leases of";
		registration->rv = sanlock_killpath(registration->sock, 0, registration->program,
						    registration->arguments);
	}
	if (registration->rv >= 0) {
		registration->step = "restrict";
		registration->rv = sanlock_restrict(registration->sock, SANLK_RESTRICT_ALL);
	}
	if (registration->rv < 0) {
		close(registration->sock);
	}
}

static void *register_here(void *argument)
{
	struct registration *registration = argument;
	bool abandoned;
	sigset_t set;

	/* The library writes to a connection that may be closed. */
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	registration->step = "register";
	registration->sock = registration->rv = sanlock_register();
	if (registration->rv >= 0) {
		fix(registration);
	}
	pthread_mutex_lock(&registration->mutex);
	registration->done = true;
	abandoned = registration->abandoned;
	pthread_cond_signal(&registration->changed);
	pthread_mutex_unlock(&registration->mutex);
	if (abandoned) {
		free_registration(registration);
	}
	return NULL;
}

/* ---- Around it ---- */

static struct registration *new_registration(void)
{
	struct registration *registration = calloc(1, sizeof(*registration));
	pthread_condattr_t monotonic;

	if (!registration) {
		return NULL;
	}
	registration->sock = -1;
	pthread_mutex_init(&registration->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&registration->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return registration;
}

/* From the call of the program on the daemon waits so long, and kills the guest then. */
static enum guestlock_result check_grace(const struct gl_sanlock *sl, const struct guestlock_batch *batch,
					 struct gl_sanlock_daemon *out_daemon, struct guestlock_error *err)
{
	enum guestlock_result result = gl_sanlock_ask_daemon(sl, out_daemon, err);

	if (result != GUESTLOCK_RES_GRANTED ||
	    (out_daemon->told && out_daemon->grace >= GUESTLOCK_LOSS_SECONDS)) {
		return result;
	}
	return guestlock_backend_fail(
		err, GUESTLOCK_RES_INVALID, 0, 0,
		"cannot have guest %s act on lost leases (%s): the sanlock daemon kills it %u s after they are lost, and "
		"%u s are needed; set kill_grace_seconds = 40 in /etc/sanlock/sanlock.conf (or -g 40 on its command "
		"line, and watchdog_fire_timeout = 60) and start sanlock anew, or leave that action out",
		batch->owner->uuid, batch->loss_action, out_daemon->grace, GUESTLOCK_LOSS_SECONDS);
}

/* What the daemon cuts off silently is refused here. */
static enum guestlock_result set_program(const struct gl_sanlock *sl, const struct guestlock_batch *batch,
					 struct registration *registration, struct guestlock_error *err)
{
	struct gl_sanlock_daemon daemon;
	enum guestlock_result result;
	int length;

	if (!batch->loss_action || batch->loss_action[0] == '\0') {
		return GUESTLOCK_RES_GRANTED;
	}
	result = check_grace(sl, batch, &daemon, err);
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	length = snprintf(registration->arguments, sizeof(registration->arguments),
			  "%s %s %016" PRIx64 " %s %u", sl->base.run_dir, batch->owner->uuid,
			  batch->owner->instance, batch->loss_action, daemon.grace);
	if (length < 0 || (size_t)length >= sizeof(registration->arguments) ||
	    strcspn(sl->base.run_dir, " \t\n\\\"") != strlen(sl->base.run_dir)) {
		return guestlock_backend_fail(
			err, GUESTLOCK_RES_INVALID, 0, 0,
			"cannot have guest %s act on lost leases (%s): sanlock takes %d bytes of arguments "
			"without blanks in them, and the run directory %s does not fit; set run_dir to a "
			"shorter one",
			batch->owner->uuid, batch->loss_action, SANLK_HELPER_ARGS_LEN - 1, sl->base.run_dir);
	}
	length = snprintf(registration->program, sizeof(registration->program), "%s",
			  sl->base.loss_program ? sl->base.loss_program : "");
	if (length <= 0 || (size_t)length >= sizeof(registration->program) ||
	    access(registration->program, X_OK) < 0) {
		return guestlock_backend_fail(err, GUESTLOCK_RES_INVALID, 0, 0,
					      "cannot have guest %s act on lost leases (%s): the program for "
					      "it, %s, cannot be run, or "
					      "its path has more than %d bytes; install guestlock completely",
					      batch->owner->uuid, batch->loss_action,
					      sl->base.loss_program ? sl->base.loss_program : "?",
					      SANLK_HELPER_PATH_LEN - 1);
	}
	return GUESTLOCK_RES_GRANTED;
}

/* false: the deadline has passed. */
static bool wait_for(struct registration *registration, int64_t deadline_ms)
{
	struct timespec until = {
		.tv_sec = (time_t)(deadline_ms / 1000),
		.tv_nsec = (long)(deadline_ms % 1000) * 1000000,
	};
	int result = 0;
	bool done;

	pthread_mutex_lock(&registration->mutex);
	while (!registration->done && result == 0) {
		result = pthread_cond_timedwait(&registration->changed, &registration->mutex, &until);
	}
	done = registration->done;
	registration->abandoned = !done;
	pthread_mutex_unlock(&registration->mutex);
	return done;
}

static enum guestlock_result run(struct registration *registration, pthread_t thread, int64_t deadline_ms,
				 struct guestlock_error *err)
{
	enum guestlock_result result = GUESTLOCK_RES_GRANTED;

	if (!wait_for(registration, deadline_ms)) {
		pthread_detach(thread);
		return gl_sanlock_fail(err, -ETIMEDOUT, "register", "the guest's process");
	}
	pthread_join(thread, NULL);
	if (registration->rv < 0) {
		int rv = registration->rv == -ENOENT ? -ECONNREFUSED : registration->rv;

		result = gl_sanlock_fail(err, rv, registration->step, "the guest's process");
	} else if (fcntl(registration->sock, F_SETFD, 0) < 0) {
		result = gl_sanlock_fail(err, -errno, "keep open the connection of", "the guest's process");
	}
	free_registration(registration);
	return result;
}

static enum guestlock_result bind_here(const struct gl_sanlock *sl, const struct guestlock_batch *batch,
				       struct guestlock_error *err)
{
	struct registration *registration = new_registration();
	enum guestlock_result result;
	pthread_t thread;
	int failure;

	if (!registration) {
		return gl_sanlock_fail(err, -ENOMEM, "register", "the guest's process");
	}
	result = set_program(sl, batch, registration, err);
	failure = result == GUESTLOCK_RES_GRANTED ? pthread_create(&thread, NULL, register_here, registration)
						  : 0;
	if (failure) {
		result = gl_sanlock_fail(err, -failure, "register", "the guest's process");
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		free_registration(registration);
		return result;
	}
	return run(registration, thread, batch->deadline_ms, err);
}

enum guestlock_result gl_sanlock_bind(struct guestlock_backend *backend, struct guestlock_batch *batch,
				      struct guestlock_error *err)
{
	struct gl_sanlock *sl = gl_sanlock_of(backend);
	enum guestlock_result result = GUESTLOCK_RES_GRANTED;

	/* Once for a process, even one that was forked from another that is bound. */
	if (sl->bound != getpid()) {
		result = bind_here(sl, batch, err);
		sl->bound = result == GUESTLOCK_RES_GRANTED ? getpid() : 0;
	}
	for (size_t i = 0; i < batch->count; i++) {
		batch->items[i].result = result;
	}
	return result;
}
