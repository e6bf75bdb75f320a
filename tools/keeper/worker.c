/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker: it answers requests, releases the locks of guests that die, and watches the backend. It is a caller of
 * its own, through its own socket, for whatever it does by itself: so that goes through the same order, the same
 * deadlines, and hangs in a thread that nobody waits for.
 */
#include "worker.h"

#include "base/base.h"
#include "shared/descriptors.h"
#include "shared/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>

#define LOOK_MS 5000  /* between two looks at what tells nobody when it changes */
#define ALONE_MS 200  /* the same without a guard */
#define DRAIN_MS 200  /* between two looks whether it can end */
#define LONG_MS 10000 /* that is long for an end, and said */
#define THREADS_MS 200

/* What the main thread has beside what requests need. */
struct keeper {
	struct worker worker;
	struct pair *pair;
	struct stat listens; /* the socket as it was made */
	int signals, stop, watched;
	int64_t looked_ms;    /* at the socket */
	struct follow follow; /* what the follower starts may look at it when the follower has ended */
	pthread_t follower;
	bool alone; /* the guard is gone */
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
	if (open_events(keeper) < 0 || open_library(worker, options) < 0) {
		return -1;
	}
	/* Where it was removed it is another one from the beginning, and we are about to end. */
	fstatat(keeper->pair->directory, GL_KEEPER_SOCKET, &keeper->listens, AT_SYMLINK_NOFOLLOW);
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->changed, NULL);
	worker->pair = keeper->pair;
	worker->guard = getppid();
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

static void tell_status(struct keeper *keeper)
{
	struct worker *worker = &keeper->worker;
	bool joined;

	pthread_mutex_lock(&worker->lock);
	joined = worker->joined;
	pthread_mutex_unlock(&worker->lock);
	notify("STATUS=Backend %s: %s%s\n", gl_technology(worker->gl), joined ? "joined" : "not joined",
	       keeper->alone ? "; the guard is gone" : "");
}

static void lose_guard(struct keeper *keeper)
{
	struct worker *worker = &keeper->worker;

	keeper->alone = true;
	pthread_mutex_lock(&worker->lock);
	worker->guard = 0;
	pthread_mutex_unlock(&worker->lock);
	log_say(GUESTLOCK_LOG_WARNING,
		"the guard has ended: working on without it, and taking its place as soon as "
		"nothing is under way");
	tell_status(keeper);
}

/* Then this process can be the guard, and another one the worker. */
static bool can_be_guard(struct keeper *keeper)
{
	unsigned running, waiting;

	server_count(keeper->worker.server, &running, &waiting);
	return keeper->alone && running + waiting == 0 && member_is_idle(&keeper->worker, false);
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
		/* What comes there is for who joins or leaves; that it is closed is told unasked. */
		{.fd = keeper->alone ? -1 : keeper->pair->channel},
		{.fd = keeper->worker.news, .events = POLLIN},
		{.fd = keeper->watched, .events = POLLIN},
	};
	int ready = poll(polled, GL_COUNT(polled), keeper->alone ? ALONE_MS : LOOK_MS);

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
	if (polled[1].revents) {
		lose_guard(keeper);
	}
}

/* ---- Ending ---- */

/*
 * Until nothing is under way. What a technology was asked for by a process that is gone can do harm, so it takes as long
 * as it takes.
 */
static void wait_until_idle(struct worker *worker)
{
	const struct timespec step = {.tv_nsec = DRAIN_MS * 1000000};
	int64_t long_ms = guestlock_monotonic_ms() + LONG_MS;

	while (!server_drain(worker->server, DRAIN_MS) || !member_is_idle(worker, true)) {
		if (guestlock_monotonic_ms() >= long_ms) {
			log_say(GUESTLOCK_LOG_WARNING,
				"backend %s has not answered everything yet: ending as soon as it has",
				gl_technology(worker->gl));
			notify("STATUS=Ending: backend %s has not answered everything yet\n",
			       gl_technology(worker->gl));
			long_ms = INT64_MAX;
		}
		nanosleep(&step, NULL);
	}
}

/* Those of the server have only their last steps to go; whoever is going to fork is to be alone. */
static void wait_for_threads(void)
{
	const struct timespec step = {.tv_nsec = 1000000};
	struct stat tasks;

	/* The links of that directory are two, and one for each thread. */
	for (int i = 0; i < THREADS_MS && stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > 3; i++) {
		nanosleep(&step, NULL);
	}
}

static void tell_ending(const struct keeper *keeper)
{
	log_say(GUESTLOCK_LOG_INFO, "ending: locks stay as they are");
	notify("STOPPING=1\n");
	pair_tell_end(keeper->pair);
}

/* Nothing new is begun, and what is under way is brought to an end. Locks stay. */
static void end_keeper(struct keeper *keeper)
{
	struct worker *worker = &keeper->worker;

	eventfd_write(keeper->stop, 1);
	/* Nobody starts anything then but callers, who are refused. */
	pthread_join(keeper->follower, NULL);
	wait_until_idle(worker);
	server_stop(worker->server);
	guestlock_close(worker->gl);
	free(worker->settings);
	close(keeper->signals);
	close(keeper->stop);
	close(worker->news);
}

int worker_run(struct pair *pair, const struct options *options)
{
	struct keeper keeper = {.pair = pair, .watched = -1};

	prctl(PR_SET_NAME, "keeper-worker");
	if (begin_keeper(&keeper, options) < 0) {
		log_say(GUESTLOCK_LOG_ERROR, "the keeper cannot work: %m");
		return 1;
	}
	log_say(pair->how[0] ? GUESTLOCK_LOG_WARNING : GUESTLOCK_LOG_INFO,
		"keeper of %s, with backend %s%s%s", keeper.worker.gl->store.run_dir,
		gl_technology(keeper.worker.gl), pair->how[0] ? "; the worker before " : "", pair->how);
	notify("READY=1\n");
	while (!keeper.ending && !can_be_guard(&keeper)) {
		look_around(&keeper);
	}
	if (keeper.ending) {
		tell_ending(&keeper);
	}
	end_keeper(&keeper);
	wait_for_threads();
	snprintf(pair->how, sizeof(pair->how), "took the place of the guard");
	return keeper.ending ? 0 : BE_GUARD;
}
