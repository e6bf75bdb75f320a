/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker: it answers requests, releases the locks of guests that die, watches the backend, and starts
 * another guard when that has ended. It is a caller of its own, through its own socket, for whatever it does
 * by itself: so that goes through the same order, the same deadlines, and hangs in a thread that nobody waits
 * for.
 */
#include "worker.h"

#include "base/base.h"
#include "base/error.h"
#include "shared/descriptors.h"
#include "shared/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define DRAIN_MS 10000
#define LOOK_MS 5000 /* between two looks at what tells nobody when it changes */

/* What the main thread has beside what requests need. */
struct keeper {
	struct worker worker;
	struct pair *pair;
	struct stat listens; /* the socket as it was made */
	int signals, stop, watched;
	int64_t looked_ms;    /* at the socket */
	struct follow follow; /* what the follower starts may look at it when the follower has ended */
	pthread_t follower;
	bool ending;
};

/* ---- Beginning ---- */

static int open_library(struct worker *worker, const struct options *options)
{
	struct guestlock_error err;

	if (claim_library(options, &worker->gl, &err) < 0) {
		log_say(GUESTLOCK_LOG_ERROR, "%s", err.message);
		return -1;
	}
	worker->settings = gl_keeper_settings_text(worker->gl->settings, gl_technology(worker->gl));
	if (!worker->settings) {
		return -1;
	}
	guestlock_digest(worker->settings, strlen(worker->settings), worker->digest);
	if (gl_take_run_id(worker->gl, gl_deadline(worker->gl), &err) < 0) {
		log_say(GUESTLOCK_LOG_ERROR, "%s", err.message);
		return -1;
	}
	if (worker->gl->context.keeper) {
		/* That is us. */
		gl_set_string(&worker->gl->context.keeper->program, NULL);
	}
	return 0;
}

/* The guard's pid, from /proc, as a pidfd shows it: only for people. */
static pid_t pid_of(int pidfd)
{
	GL_AUTOFREE char *text = NULL;
	char path[64];
	const char *line;
	size_t size;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	if (guestlock_read_file(path, 4096, &text, &size) < 0) {
		return 0;
	}
	line = strstr(text, "\nPid:\t");
	return line ? (pid_t)strtol(line + 6, NULL, 10) : 0;
}

static int open_events(struct keeper *keeper)
{
	keeper->signals = open_end_signals();
	keeper->stop = eventfd(0, EFD_CLOEXEC);
	keeper->worker.news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return keeper->signals < 0 || keeper->stop < 0 || keeper->worker.news < 0 ? -1 : 0;
}

static void *follow(void *argument)
{
	const struct follow *follow = argument;
	int failure = follow_guests(follow);

	if (failure) {
		log_say(GUESTLOCK_LOG_ERROR,
			"cannot follow the guests, so that the locks of dead ones are released later: %s",
			strerror(failure));
	}
	return NULL;
}

static int begin_keeper(struct keeper *keeper, const struct options *options)
{
	const struct server_ops ops = {
		.data = &keeper->worker,
		.answer = worker_answer,
		.refuse = worker_refuse,
		.clear = worker_clear,
	};
	struct worker *worker = &keeper->worker;

	raise_descriptor_limit();
	if (open_events(keeper) < 0 || open_library(worker, options) < 0 ||
	    fstatat(keeper->pair->directory, GL_KEEPER_SOCKET, &keeper->listens, AT_SYMLINK_NOFOLLOW) < 0) {
		return -1;
	}
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->changed, NULL);
	worker->pair = keeper->pair;
	worker->guard = pid_of(keeper->pair->partner);
	worker->since = time(NULL);
	worker->server = server_new(keeper->pair->listener, &ops);
	if (!worker->server || server_start(worker->server) < 0) {
		return -1;
	}
	keeper->follow = (struct follow){
		.gl = worker->gl,
		.run_dir = worker->gl->store.run_dir,
		.stop = keeper->stop,
		.log = log_write,
		.start = server_run,
		.start_data = worker->server,
	};
	return pthread_create(&keeper->follower, NULL, follow, &keeper->follow) == 0 ? 0 : -1;
}

/* ---- Going on ---- */

static void start_guard(struct keeper *keeper)
{
	struct worker *worker = &keeper->worker;
	pid_t pid;

	/* It may have been our child. */
	while (waitpid(-1, NULL, WNOHANG) > 0) {
	}
	pthread_mutex_lock(&worker->lock);
	pid = pair_start(keeper->pair, "guard", NULL);
	if (pid > 0) {
		worker->guard = pid;
	}
	pthread_mutex_unlock(&worker->lock);
	if (pid < 0) {
		log_say(GUESTLOCK_LOG_ERROR, "the guard has ended and no other can be started: %m");
		return;
	}
	log_say(GUESTLOCK_LOG_WARNING, "the guard has ended; process %ld goes on in its place", (long)pid);
	notify("MAINPID=%ld\n", (long)pid);
}

static void tell_status(struct keeper *keeper)
{
	struct worker *worker = &keeper->worker;
	bool joined;

	pthread_mutex_lock(&worker->lock);
	joined = worker->joined;
	pthread_mutex_unlock(&worker->lock);
	notify("STATUS=Backend %s: %s\n", gl_technology(worker->gl), joined ? "joined" : "not joined");
}

/* Somebody has joined or left. */
static void take_news(struct keeper *keeper)
{
	struct worker *worker = &keeper->worker;
	struct guestlock_error err = {0};
	eventfd_t ignored;

	eventfd_read(worker->news, &ignored);
	tell_status(keeper);
	if (keeper->watched < 0 && gl_can(worker->gl, GUESTLOCK_CAP_WATCH)) {
		keeper->watched = worker_ops(worker)->watch(worker->gl->backend, &err);
		if (keeper->watched < 0) {
			log_say(GUESTLOCK_LOG_WARNING, "the backend cannot be watched: %s", err.message);
		}
	}
}

static void reap(void *argument)
{
	const struct worker *worker = argument;
	struct guestlock_error err;

	if (guestlock_reap(worker->gl, NULL, &err) < 0) {
		log_say(GUESTLOCK_LOG_ERROR, "%s", err.message);
	}
}

static void take_events(struct keeper *keeper)
{
	static const struct {
		enum guestlock_log_level level;
		const char *words;
	} kinds[] = {
		[GUESTLOCK_EVENT_LOST] = {GUESTLOCK_LOG_ERROR, "has lost a lock"},
		[GUESTLOCK_EVENT_EXPIRING] = {GUESTLOCK_LOG_WARNING, "is going to lose its locks"},
		[GUESTLOCK_EVENT_RENEWED] = {GUESTLOCK_LOG_INFO, "keeps its locks"},
		[GUESTLOCK_EVENT_STOPPED] = {GUESTLOCK_LOG_WARNING, "gets no answers for now"},
		[GUESTLOCK_EVENT_RUNNING] = {GUESTLOCK_LOG_INFO, "gets answers again"},
	};
	struct worker *worker = &keeper->worker;
	struct guestlock_event event;

	while (worker_ops(worker)->next_event(worker->gl->backend, &event) > 0) {
		if ((size_t)event.type >= GL_COUNT(kinds)) {
			continue;
		}
		log_say(kinds[event.type].level, "%s%s %s%s%s", event.uuid[0] ? "guest " : "this host",
			event.uuid, kinds[event.type].words, event.message[0] ? ": " : "", event.message);
		notify("STATUS=Backend %s: %s\n", gl_technology(worker->gl),
		       event.message[0] ? event.message : kinds[event.type].words);
		if (event.type == GUESTLOCK_EVENT_LOST) {
			/* Perhaps this host is no member any more. */
			__atomic_store_n(&worker->gl->joined, false, __ATOMIC_RELEASE);
		}
		if (event.type == GUESTLOCK_EVENT_LOST || event.type == GUESTLOCK_EVENT_RUNNING) {
			/* It takes again what can be had, and says which guest must not run. */
			server_run(worker->server, reap, worker);
		}
	}
}

/* A keeper that nobody can reach is none. Another one starts where this one was, on demand. */
static bool is_reachable(struct keeper *keeper)
{
	int64_t now_ms = guestlock_monotonic_ms();
	struct stat st;

	if (now_ms < keeper->looked_ms + LOOK_MS) {
		return true;
	}
	keeper->looked_ms = now_ms;
	if (fstatat(keeper->pair->directory, GL_KEEPER_SOCKET, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_ino == keeper->listens.st_ino && st.st_dev == keeper->listens.st_dev) {
		return true;
	}
	log_say(GUESTLOCK_LOG_WARNING, "the socket " GL_KEEPER_SOCKET " of %s was removed: ending",
		keeper->worker.gl->store.run_dir);
	return false;
}

static void take_signal(struct keeper *keeper)
{
	struct signalfd_siginfo signal;

	if (read(keeper->signals, &signal, sizeof(signal)) > 0) {
		keeper->ending = true;
	}
}

static void look_around(struct keeper *keeper)
{
	struct pollfd polled[] = {
		{.fd = keeper->signals, .events = POLLIN},
		{.fd = keeper->pair->partner, .events = POLLIN},
		{.fd = keeper->worker.news, .events = POLLIN},
		{.fd = keeper->watched, .events = POLLIN},
	};
	int ready = poll(polled, GL_COUNT(polled), LOOK_MS);

	/* Also where something is always going on. */
	keeper->ending |= !is_reachable(keeper);
	if (ready <= 0) {
		return;
	}
	if (polled[0].revents) {
		take_signal(keeper);
	}
	if (polled[2].revents) {
		take_news(keeper);
	}
	if (polled[3].revents) {
		take_events(keeper);
	}
	if (polled[1].revents && !keeper->ending) {
		start_guard(keeper);
	}
}

/* ---- Ending ---- */

/* Nothing new is begun, and what is under way is brought to an end, if it ends. Locks stay. */
static int end_keeper(struct keeper *keeper)
{
	struct worker *worker = &keeper->worker;

	log_say(GUESTLOCK_LOG_INFO, "ending: locks stay as they are");
	notify("STOPPING=1\n");
	pair_tell_end(keeper->pair);
	eventfd_write(keeper->stop, 1);
	/* Nobody starts anything then but callers, who are refused. */
	pthread_join(keeper->follower, NULL);
	if (!server_drain(worker->server, DRAIN_MS)) {
		log_say(GUESTLOCK_LOG_WARNING,
			"calls to backend %s are still under way: not waiting for them",
			gl_technology(worker->gl));
		_exit(0);
	}
	server_stop(worker->server);
	guestlock_close(worker->gl);
	free(worker->settings);
	return 0;
}

int worker_run(struct pair *pair, const struct options *options, const char *how)
{
	struct keeper keeper = {.pair = pair, .watched = -1};

	if (begin_keeper(&keeper, options) < 0) {
		log_say(GUESTLOCK_LOG_ERROR, "the keeper cannot work: %m");
		return 1;
	}
	log_say(how ? GUESTLOCK_LOG_WARNING : GUESTLOCK_LOG_INFO, "keeper of %s, with backend %s%s%s",
		keeper.worker.gl->store.run_dir, gl_technology(keeper.worker.gl),
		how ? "; the worker before: " : "", how ? how : "");
	notify("READY=1\nMAINPID=%ld\n", (long)keeper.worker.guard);
	while (!keeper.ending) {
		look_around(&keeper);
	}
	return end_keeper(&keeper);
}
