/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The run directory is claimed: there is one keeper for each. Its lock is held through one open file that
 * guard and worker share, so it is free exactly when both are gone. Whoever gets it makes the socket and
 * is the guard.
 */
#include "keeper.h"

#include "base/base.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#define WAIT_MS 15000 /* for one that is just ending: longer than that takes */
#define STEP_MS 10

/* Whoever started it on demand reads it; everybody else reads standard error. */
static int complain(const struct options *options, const char *message)
{
	log_say(GUESTLOCK_LOG_ERROR, "%s", message);
	if (options->on_demand && write(FD_REPORT, message, strlen(message)) < 0) {
		log_say(GUESTLOCK_LOG_DEBUG, "nobody waits for that");
	}
	return EXIT_FAILURE;
}

int claim_library(const struct options *options, struct guestlock **out_gl, struct guestlock_error *err)
{
	struct guestlock_options known = {
		.size = sizeof(known),
		.config_file = options->config_file,
		.overrides = options->overrides,
		.log = log_write,
	};
	int status = guestlock_open(out_gl, &known, err);

	if (status == GUESTLOCK_OK) {
		log_configure((*out_gl)->settings);
	}
	return status;
}

/* A keeper that runs already: true, and what it tells about itself. */
static bool somebody_is_there(const struct guestlock *gl, struct gl_keeper_about *out_about)
{
	struct guestlock_error ignored;
	struct gl_keeper *keeper;
	bool there;

	if (gl_keeper_new(gl->settings, gl_technology(gl), gl->store.run_dir, &keeper, NULL) < 0) {
		return false;
	}
	there = gl_keeper_ask_about(keeper, guestlock_monotonic_ms() + 2000, out_about, &ignored) == 0;
	gl_keeper_free(keeper);
	return there;
}

/* 0: the lock is ours; 1: somebody is there; -1 with errno. */
static int take_lock(const struct guestlock *gl, int fd, struct gl_keeper_about *out_about)
{
	int64_t until = guestlock_monotonic_ms() + WAIT_MS;
	const struct timespec step = {.tv_nsec = STEP_MS * 1000000};

	while (guestlock_ofd_lock(fd, F_WRLCK) < 0) {
		if (errno != EAGAIN && errno != EACCES) {
			return -1;
		}
		/* A worker without a guard is about to be one. */
		if (somebody_is_there(gl, out_about) && out_about->guard > 0) {
			return 1;
		}
		if (guestlock_monotonic_ms() >= until) {
			errno = ETIMEDOUT;
			return -1;
		}
		nanosleep(&step, NULL);
	}
	return 0;
}

/* The lock is ours, so nobody listens there any more. */
static int listen_there(const char *run_dir, int directory)
{
	struct sockaddr_un address;
	GL_AUTOCLOSE int dir = -1;
	int fd;

	if (gl_keeper_address(run_dir, &address, &dir) < 0) {
		return -1;
	}
	unlinkat(directory, GL_KEEPER_SOCKET, 0);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return -1;
	}
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    fchmodat(directory, GL_KEEPER_SOCKET, 0600, 0) < 0 || listen(fd, SOMAXCONN) < 0) {
		int saved_errno = errno;

		close(fd);
		errno = saved_errno;
		return -1;
	}
	return fd;
}

/* The service manager started us while a keeper runs: that one is its service. */
static int hand_over(const struct options *options, const struct gl_keeper_about *about)
{
	if (notify_wanted()) {
		notify("READY=1\nMAINPID=%ld\nSTATUS=A keeper ran already\n", (long)about->guard);
		return EXIT_SUCCESS;
	}
	if (options->on_demand) {
		return EXIT_SUCCESS;
	}
	log_say(GUESTLOCK_LOG_ERROR, "a keeper runs there already: pid %ld; end that one first",
		(long)about->guard);
	return EXIT_FAILURE;
}

static int take_place(const struct options *options, const struct guestlock *gl, struct pair *pair)
{
	const char *run_dir = gl->store.run_dir;
	struct gl_keeper_about about;
	char why[1024] = "";
	int taken = -1;

	pair->directory = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (pair->directory >= 0) {
		pair->lock = openat(pair->directory, GL_KEEPER_LOCK,
				    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	if (pair->lock >= 0) {
		taken = take_lock(gl, pair->lock, &about);
	}
	if (taken > 0) {
		return hand_over(options, &about);
	}
	if (taken == 0) {
		pair->listener = listen_there(run_dir, pair->directory);
	}
	if (taken < 0 || pair->listener < 0) {
		snprintf(why, sizeof(why), "cannot be the keeper of %s: %s; %s", run_dir, strerror(errno),
			 errno == ETIMEDOUT
				 ? "another one has its lock and does not answer: end that one first"
				 : "check that directory");
		return complain(options, why);
	}
	return BE_GUARD;
}

void claim_inherit(struct pair *pair, const struct options *options)
{
	*pair = (struct pair){.listener = -1, .lock = -1, .directory = -1, .channel = -1};
	if (options->on_demand) {
		/* That of whoever needed us, if any: we are not its service. */
		unsetenv("NOTIFY_SOCKET");
		unsetenv("JOURNAL_STREAM");
		fcntl(FD_REPORT, F_SETFD, FD_CLOEXEC);
		closefrom(FD_REPORT + 1);
	} else {
		closefrom(notify_inherit(&pair->kept));
	}
}

int claim_run(struct pair *pair, const struct options *options)
{
	struct guestlock_error err = {0};
	struct guestlock *gl = NULL;
	int status;

	if (claim_library(options, &gl, &err) < 0 || gl_store_prepare(&gl->store, &err) < 0) {
		guestlock_close(gl);
		return complain(options, err.message);
	}
	status = take_place(options, gl, pair);
	guestlock_close(gl);
	if (status == BE_GUARD && options->on_demand) {
		/* That says that somebody listens. */
		close(FD_REPORT);
	}
	return status;
}
