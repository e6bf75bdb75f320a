/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is connected. The thread that has a connection reads from it and answers without the lock, which is
 * held while the list of all changes, and while a connection is given to whichever thread its next request
 * wakes.
 */
#include "server_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The lock is held since another thread may want to close it before we are back from here. */
void connection_rearm(struct server *server, struct connection *connection)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = connection};

	pthread_mutex_lock(&server->lock);
	epoll_ctl(server->epoll, EPOLL_CTL_MOD, connection->fd, &event);
	pthread_mutex_unlock(&server->lock);
}

static void connection_rearm_listener(struct server *server)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = server};

	epoll_ctl(server->epoll, EPOLL_CTL_MOD, server->listener, &event);
}

void connection_close(struct server *server, struct connection *connection)
{
	pthread_mutex_lock(&server->lock);
	LIST_REMOVE(connection, next);
	pthread_mutex_unlock(&server->lock);
	close(connection->fd);
	free(connection);
}

/* Root, or who runs the keeper; nobody else, whatever the permissions of the socket are. */
static bool is_allowed(int fd, pid_t *out_pid)
{
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
		return false;
	}
	if (peer.uid != 0 && peer.uid != geteuid()) {
		log_say(GUESTLOCK_LOG_WARNING,
			"refused process %ld of user %ld: only root and user %ld are served", (long)peer.pid,
			(long)peer.uid, (long)geteuid());
		return false;
	}
	*out_pid = peer.pid;
	return true;
}

static void connect_one(struct server *server, int fd)
{
	struct connection *connection;
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};
	pid_t peer;

	if (!is_allowed(fd, &peer) || !(connection = malloc(sizeof(*connection)))) {
		close(fd);
		return;
	}
	*connection = (struct connection){.fd = fd, .peer = peer};
	event.data.ptr = connection;
	pthread_mutex_lock(&server->lock);
	LIST_INSERT_HEAD(&server->connections, connection, next);
	pthread_mutex_unlock(&server->lock);
	if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		connection_close(server, connection);
	}
}

void connection_accept(struct server *server)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	int fd;

	while ((fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		connect_one(server, fd);
	}
	if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		/* Out of descriptors or memory: they wait in the queue until there are some. */
		nanosleep(&pause, NULL);
	}
	connection_rearm_listener(server);
}

bool connection_is_gone(const struct connection *connection)
{
	struct pollfd polled = {.fd = connection->fd, .events = POLLRDHUP};

	return poll(&polled, 1, 0) > 0 && (polled.revents & (POLLRDHUP | POLLHUP | POLLERR));
}
