/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the daemon lives: its death is told by nothing but the end of a registered connection. So this
 * process has one, which holds no lease.
 */
#include "sanlock_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* With the mutex. 0, or what the library returned. */
static int register_here(struct gl_sanlock *sl)
{
	int fd;

	if (sl->registered >= 0) {
		return 0;
	}
	fd = sanlock_register();
	if (fd < 0) {
		return fd;
	}
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	sl->registered = fd;
	/* Only now it can be told what its guests have lost. */
	if (sl->gone) {
		sl->gone = false;
		sl->back = true;
		if (sl->kick >= 0) {
			eventfd_write(sl->kick, 1);
		}
	}
	return 0;
}

/* With the mutex. */
static void poll_it(struct gl_sanlock *sl)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};

	if (sl->watch >= 0 && sl->registered >= 0) {
		epoll_ctl(sl->watch, EPOLL_CTL_ADD, sl->registered, &event);
	}
}

/* With the mutex. */
static void poll_kick(struct gl_sanlock *sl)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (sl->watch >= 0 && sl->kick >= 0) {
		epoll_ctl(sl->watch, EPOLL_CTL_ADD, sl->kick, &event);
	}
}

int gl_sanlock_watch_again(struct gl_sanlock *sl)
{
	int rv;

	pthread_mutex_lock(&sl->mutex);
	rv = register_here(sl);
	poll_it(sl);
	pthread_mutex_unlock(&sl->mutex);
	return rv;
}

int gl_sanlock_watch(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct gl_sanlock *sl = gl_sanlock_of(backend);
	int fd;

	pthread_mutex_lock(&sl->mutex);
	if (sl->watch < 0) {
		sl->watch = epoll_create1(EPOLL_CLOEXEC);
		sl->kick = eventfd(sl->back, EFD_CLOEXEC | EFD_NONBLOCK);
		poll_kick(sl);
	}
	if (sl->watch < 0) {
		gl_sanlock_fail(err, -errno, "watch", "the sanlock daemon");
	}
	poll_it(sl);
	fd = sl->watch;
	pthread_mutex_unlock(&sl->mutex);
	return fd;
}

static bool has_ended(int fd)
{
	struct pollfd polled = {.fd = fd, .events = POLLIN | POLLRDHUP};

	return poll(&polled, 1, 0) > 0 && (polled.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
}

int gl_sanlock_next_event(struct guestlock_backend *backend, struct guestlock_event *out_event)
{
	struct gl_sanlock *sl = gl_sanlock_of(backend);
	int found = 0;

	pthread_mutex_lock(&sl->mutex);
	if (sl->registered >= 0 && has_ended(sl->registered)) {
		close(sl->registered);
		sl->registered = -1;
		sl->gone = true;
		*out_event = (struct guestlock_event){.type = GUESTLOCK_EVENT_LOST};
		snprintf(out_event->message, sizeof(out_event->message),
			 "the sanlock daemon has ended: nothing renews the leases of this host's guests, and "
			 "its watchdog resets the host if there is one; end the guests, start sanlock, start "
			 "them anew");
		found = 1;
	} else if (sl->back) {
		eventfd_t ignored;

		if (sl->kick >= 0) {
			eventfd_read(sl->kick, &ignored);
		}
		sl->back = false;
		*out_event = (struct guestlock_event){.type = GUESTLOCK_EVENT_RUNNING};
		snprintf(out_event->message, sizeof(out_event->message),
			 "the sanlock daemon was started anew, and knows nothing of guests from before");
		found = 1;
	}
	pthread_mutex_unlock(&sl->mutex);
	return found;
}
