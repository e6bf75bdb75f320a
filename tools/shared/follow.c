/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Follows the guests of a run directory. A pidfd tells when a guest's registered process has ended; the guest
 * may live on, as its tether tells, so it is polled from then on. New guests show up in the run directory, as
 * inotify tells, or who looks there where that is used up. What neither tells (guests of other pid namespaces,
 * operations left unfinished) is found by a sweep over everything.
 */
#include "burial.h"
#include "descriptors.h"

#include <errno.h>
#include <guestlock/backend.h>
#include <search.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <unistd.h>

#define TICK_MS 250    /* between two looks at a polled guest */
#define YOUNG_MS 5000  /* a new guest is polled so long: programs that drop the tether do so early */
#define PAUSED_MS 1000 /* between two looks at whether a paused guest is stopped still */
#define SWEEP_MS 30000
#define LIST_MS 1000 /* between two looks at who there is, where inotify does not tell */
#define RETRY_MS 500 /* until one that could not be buried is tried again; then twice as long */

struct watched {
	char uuid[GUESTLOCK_UUID_STRING]; /* first: the tree compares it */
	uint64_t instance;
	int pidfd; /* -1: there is none, or its process has ended */
	int64_t young_until_ms;
	int64_t not_before_ms; /* it could not be buried: the next attempt */
	int64_t retry_ms;      /* for how long that was put off */
	bool alone;            /* no pidfd will tell: polled until it is dead */
	bool polled, untethered;
	int64_t next_paused_ms; /* of one that is paused: when it is looked at again */
	struct burial *burial;  /* under way, or just done */
	LIST_ENTRY(watched) next;
};

struct follower {
	const struct follow *follow;
	int epoll, inotify, stop_fd;
	int guests; /* inotify's number for the directory, -1: not there yet */
	char *directory;
	void *tree;
	LIST_HEAD(watched_list, watched) polled;
	int64_t next_tick_ms, next_sweep_ms, next_list_ms;
	rlim_t most; /* descriptors below this number may be pidfds */
	bool said_most, said_blind;
	struct burial *sweeping; /* everything, once at a time */
	bool stop;
};

static int compare_uuids(const void *a, const void *b)
{
	return strcmp(a, b);
}

static struct watched *find(const struct follower *follower, const char *uuid)
{
	void *const *node = tfind(uuid, &follower->tree, compare_uuids);

	return node ? *node : NULL;
}

static void start_polling(struct follower *follower, struct watched *guest)
{
	if (!guest->polled) {
		LIST_INSERT_HEAD(&follower->polled, guest, next);
		guest->polled = true;
	}
}

static void stop_polling(struct watched *guest)
{
	if (guest->polled) {
		LIST_REMOVE(guest, next);
		guest->polled = false;
	}
}

static void close_pidfd(struct watched *guest)
{
	if (guest->pidfd >= 0) {
		close(guest->pidfd);
		guest->pidfd = -1;
	}
}

static void forget(struct follower *follower, struct watched *guest)
{
	stop_polling(guest);
	close_pidfd(guest);
	burial_release(guest->burial);
	tdelete(guest->uuid, &follower->tree, compare_uuids);
	free(guest);
}

/*
 * A pidfd that cannot be had (the process is gone, too many descriptors) makes it a polled guest. Half of all
 * descriptors are left to who reads records and asks the backend.
 */
static void open_pidfd(struct follower *follower, struct watched *guest, pid_t pid)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = guest};

	guest->pidfd = pidfd_open(pid, 0);
	if (guest->pidfd >= 0 && (rlim_t)guest->pidfd >= follower->most) {
		close_pidfd(guest);
		if (!follower->said_most) {
			follow_say(
				follower->follow, GUESTLOCK_LOG_INFO,
				"there are more guests than half of the descriptors that this process may have "
				"(%ju): those beyond are looked at four times a second instead",
				(uintmax_t)follower->most);
			follower->said_most = true;
		}
	}
	if (guest->pidfd >= 0 && epoll_ctl(follower->epoll, EPOLL_CTL_ADD, guest->pidfd, &event) != 0) {
		close_pidfd(guest);
	}
	guest->alone = guest->pidfd < 0;
}

/* A guest as it is now: new, or in a new life. */
static void watch(struct follower *follower, struct watched *guest, const struct guestlock_info *info)
{
	close_pidfd(guest);
	guest->instance = info->instance;
	guest->untethered = false;
	guest->not_before_ms = guest->retry_ms = 0;
	guest->young_until_ms = guestlock_monotonic_ms() + YOUNG_MS;
	open_pidfd(follower, guest, info->pid);
	start_polling(follower, guest);
}

static void notice(struct follower *follower, const struct guestlock_info *info)
{
	struct watched *guest = find(follower, info->uuid);

	if (info->damage) {
		return;
	}
	if (guest && guest->instance == info->instance) {
		if (info->state == GUESTLOCK_GUEST_PAUSED) {
			start_polling(follower, guest);
		}
		return;
	}
	if (!guest) {
		guest = follow_need(calloc(1, sizeof(*guest)));
		memcpy(guest->uuid, info->uuid, sizeof(guest->uuid));
		guest->pidfd = -1;
		follow_need(tsearch(guest, &follower->tree, compare_uuids));
	}
	watch(follower, guest, info);
}

/* Its record was written: it is new, or may be paused now. */
static void notice_name(struct follower *follower, const char *name)
{
	struct watched *guest = find(follower, name);
	struct guestlock_info *info = NULL;

	if (guest) {
		start_polling(follower, guest);
	} else if (strlen(name) == GUESTLOCK_UUID_STRING - 1 &&
		   guestlock_get_info(follower->follow->gl, name, &info, NULL) == GUESTLOCK_OK) {
		notice(follower, info);
	}
	guestlock_info_free(info);
}

/* ---- Burying ---- */

/* true: it is gone. A failure is tried again, ever more rarely; the sweep says so if it fails, too. */
static bool end_burial(struct follower *follower, struct watched *guest)
{
	bool failed = guest->burial->failed;
	char uuid[GUESTLOCK_UUID_STRING];

	burial_release(guest->burial);
	guest->burial = NULL;
	if (!failed) {
		memcpy(uuid, guest->uuid, sizeof(uuid));
		forget(follower, guest);
		/* It may have been started anew meanwhile. */
		notice_name(follower, uuid);
		return true;
	}
	guest->alone = true;
	guest->retry_ms = guest->retry_ms == 0 ? RETRY_MS : 2 * guest->retry_ms;
	guest->retry_ms = guest->retry_ms < SWEEP_MS ? guest->retry_ms : SWEEP_MS;
	guest->not_before_ms = guestlock_monotonic_ms() + guest->retry_ms;
	return false;
}

static void bury(struct follower *follower, struct watched *guest, const struct guestlock_info *info)
{
	guest->burial = burial_begin(follower->follow, info);
	if (burial_is_done(guest->burial)) {
		end_burial(follower, guest);
		return;
	}
	start_polling(follower, guest);
}

static void warn_untethered(const struct follower *follower, struct watched *guest,
			    const struct guestlock_info *info)
{
	char *words;

	if (guest->untethered) {
		return;
	}
	words = follow_words(info);
	guest->untethered = true;
	follow_say(follower->follow, GUESTLOCK_LOG_WARNING,
		   "guest %s has lost its tether: its locks end with its process %d, and it gets no new ones",
		   words, (int)info->pid);
	free(words);
}

/*
 * Whoever settles a paused guest stops it again if somebody continued it, and says so. And one that a pause which
 * failed could not continue goes on.
 */
static void keep_paused(const struct follower *follower, struct watched *guest)
{
	struct guestlock_guest *handle = NULL;

	if (guestlock_monotonic_ms() < guest->next_paused_ms) {
		return;
	}
	guest->next_paused_ms = guestlock_monotonic_ms() + PAUSED_MS;
	if (follow_attach(follower->follow, guest->uuid, guest->instance, &handle) == GUESTLOCK_OK) {
		guestlock_guest_settle(handle, NULL);
	}
	guestlock_guest_free(handle);
}

/* Whether it is dead, and what to do then; it may be forgotten afterwards. */
static void judge_guest(struct follower *follower, struct watched *guest, const struct guestlock_info *info)
{
	if (info->instance != guest->instance) {
		watch(follower, guest, info);
	}
	if (info->life == GUESTLOCK_LIFE_DEAD) {
		bury(follower, guest, info);
		return;
	}
	if (info->life == GUESTLOCK_LIFE_UNTETHERED) {
		warn_untethered(follower, guest, info);
	}
	if (info->state == GUESTLOCK_GUEST_PAUSED || info->stopped) {
		keep_paused(follower, guest);
	} else if (!guest->alone && guestlock_monotonic_ms() >= guest->young_until_ms) {
		stop_polling(guest);
	}
}

static void look_at(struct follower *follower, struct watched *guest)
{
	struct guestlock_info *info = NULL;
	int status;

	if (guest->burial && (!burial_is_done(guest->burial) || end_burial(follower, guest))) {
		return;
	}
	status = guestlock_get_info(follower->follow->gl, guest->uuid, &info, NULL);
	if (status == GUESTLOCK_OK) {
		judge_guest(follower, guest, info);
	} else if (status == GUESTLOCK_NOT_FOUND || status == GUESTLOCK_DAMAGED) {
		forget(follower, guest);
	}
	guestlock_info_free(info);
}

static void look_at_polled(struct follower *follower)
{
	struct watched *guest = LIST_FIRST(&follower->polled);

	while (guest) {
		struct watched *next = LIST_NEXT(guest, next);

		if (guestlock_monotonic_ms() >= guest->not_before_ms) {
			look_at(follower, guest);
		}
		guest = next;
	}
	follower->next_tick_ms = guestlock_monotonic_ms() + TICK_MS;
}

static int add_source(struct follower *follower, int fd, void *source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};

	return fd < 0 ? -1 : epoll_ctl(follower->epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Its users may have used up what the kernel gives them: then we look ourselves. */
static void say_blind(struct follower *follower, int failure)
{
	if (follower->said_blind) {
		return;
	}
	follower->said_blind = true;
	follow_say(follower->follow, GUESTLOCK_LOG_WARNING,
		   "new guests are looked for once a second, as inotify cannot be used: %s%s",
		   strerror(failure),
		   failure == EMFILE   ? "; fs.inotify.max_user_instances says how many a user may have, "
					 "unless ulimit -n is used up"
		   : failure == ENOSPC ? "; fs.inotify.max_user_watches says how many a user may have"
				       : "");
}

static void open_inotify(struct follower *follower)
{
	int failure;

	follower->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (follower->inotify < 0) {
		say_blind(follower, errno);
	} else if (add_source(follower, follower->inotify, &follower->inotify) != 0) {
		failure = errno;
		close(follower->inotify);
		follower->inotify = -1;
		say_blind(follower, failure);
	}
}

/*
 * The directory appears with the first guest. A record is written into a file that is empty at first, and
 * closed at the end of the operation.
 */
static void watch_directory(struct follower *follower)
{
	if (follower->inotify < 0) {
		open_inotify(follower);
	}
	if (follower->inotify < 0 || follower->guests >= 0) {
		return;
	}
	follower->guests = inotify_add_watch(follower->inotify, follower->directory,
					     IN_MOVED_TO | IN_CREATE | IN_CLOSE_WRITE | IN_ONLYDIR);
	if (follower->guests < 0 && errno != ENOENT) {
		say_blind(follower, errno);
	}
}

static void notice_all(struct follower *follower)
{
	struct guestlock_info **infos;
	struct guestlock_error err;
	size_t count;

	watch_directory(follower);
	if (guestlock_list(follower->follow->gl, &infos, &count, &err) != GUESTLOCK_OK) {
		follow_say(follower->follow, GUESTLOCK_LOG_ERROR, "%s", err.message);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		notice(follower, infos[i]);
	}
	guestlock_list_free(infos, count);
	follower->next_list_ms = guestlock_monotonic_ms() + LIST_MS;
}

static void sweep(struct follower *follower)
{
	if (follower->sweeping && !burial_is_done(follower->sweeping)) {
		follower->next_sweep_ms = guestlock_monotonic_ms() + TICK_MS;
		return;
	}
	burial_release(follower->sweeping);
	follower->sweeping = burial_begin(follower->follow, NULL);
	notice_all(follower);
	follower->next_sweep_ms = guestlock_monotonic_ms() + SWEEP_MS;
}

static void read_inotify(struct follower *follower)
{
	char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t length = read(follower->inotify, buffer, sizeof(buffer));

	for (ssize_t at = 0; at < length;) {
		const struct inotify_event *event = (const void *)(buffer + at);

		if (event->mask & IN_Q_OVERFLOW) {
			notice_all(follower);
		} else if (event->mask & IN_IGNORED) {
			follower->guests = -1;
		} else if (event->len > 0) {
			notice_name(follower, event->name);
		}
		at += (ssize_t)(sizeof(*event) + event->len);
	}
}

/* Its process has ended; whether it is dead, its tether tells. */
static void process_ended(struct follower *follower, struct watched *guest)
{
	close_pidfd(guest);
	guest->alone = true;
	start_polling(follower, guest);
	look_at(follower, guest);
}

/* One event at a time: dealing with it may free what another one points to. */
static void wait_for_event(struct follower *follower)
{
	int64_t now = guestlock_monotonic_ms(), until = follower->next_sweep_ms;
	struct epoll_event event;

	if ((follower->guests < 0 || !LIST_EMPTY(&follower->polled)) && follower->next_tick_ms < until) {
		until = follower->next_tick_ms;
	}
	if (epoll_wait(follower->epoll, &event, 1, until > now ? (int)(until - now) : 0) <= 0) {
		return;
	}
	if (event.data.ptr == &follower->stop_fd) {
		follower->stop = true;
	} else if (event.data.ptr == &follower->inotify) {
		read_inotify(follower);
	} else {
		process_ended(follower, event.data.ptr);
	}
}

static void tick(struct follower *follower)
{
	if (guestlock_monotonic_ms() >= follower->next_tick_ms) {
		if (follower->guests < 0) {
			watch_directory(follower);
			if (follower->guests >= 0 || guestlock_monotonic_ms() >= follower->next_list_ms) {
				notice_all(follower);
			}
		}
		look_at_polled(follower);
	}
	if (guestlock_monotonic_ms() >= follower->next_sweep_ms) {
		sweep(follower);
	}
}

static int open_sources(struct follower *follower)
{
	struct rlimit limit;

	/* Each guest takes a descriptor. Beyond half of what there is they are polled. */
	raise_descriptor_limit();
	follower->most = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur / 2 : RLIM_INFINITY;
	follower->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (follower->epoll < 0 || add_source(follower, follower->stop_fd, &follower->stop_fd) != 0) {
		return errno;
	}
	open_inotify(follower);
	return 0;
}

static void forget_all(struct follower *follower)
{
	while (follower->tree) {
		forget(follower, *(struct watched **)follower->tree);
	}
	burial_release(follower->sweeping);
	free(follower->directory);
}

int follow_guests(const struct follow *follow)
{
	struct follower follower = {
		.follow = follow,
		.epoll = -1,
		.inotify = -1,
		.stop_fd = follow->stop,
		.guests = -1,
	};
	int status;

	follow_need(asprintf(&follower.directory, "%s/guests", follow->run_dir) < 0 ? NULL
										    : follower.directory);
	status = open_sources(&follower);
	while (status == 0 && !follower.stop) {
		tick(&follower);
		wait_for_event(&follower);
	}
	forget_all(&follower);
	close(follower.epoll);
	if (follower.inotify >= 0) {
		close(follower.inotify);
	}
	return status;
}
