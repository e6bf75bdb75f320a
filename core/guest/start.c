/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting a guest:
 *
 *     parent                               child
 *     fork                                 bind; report the outcome
 *     read the outcome                     wait for the go
 *     acquire all locks
 *     go                                   execute the program; report only a failure of that
 *     read: end of file means executed
 *
 * The parent waits for neither for longer than the child has to get there. If the parent dies before the go, the
 * kernel ends the child: it has never been a guest. What it was granted is released when it is found dead.
 */
#include "base/base.h"
#include "base/error.h"
#include "guest/guest.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define CHILD_MARGIN_MS 2000 /* beyond acquire_timeout, until it is not waited for any more */
#define END_WAIT_MS 2000     /* for the end of a child that was killed */

static bool send_all(int fd, const void *data, size_t size)
{
	const char *from = data;

	while (size > 0) {
		ssize_t n = send(fd, from, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			return false;
		}
		from += n;
		size -= (size_t)n;
	}
	return true;
}

/*
 * What the child tells: the outcome of bind, and later, if it comes to that, why the program was not
 * executed.
 */
struct report {
	int status;
	struct guestlock_error error;
};

static void report(int fd, int status, const struct guestlock_error *error)
{
	struct report r = {.status = status, .error = *error};

	send_all(fd, &r, sizeof(r));
}

__attribute__((noreturn)) static void be_the_guest(struct guestlock_guest *guest, int fd, char *const argv[])
{
	struct guestlock_error err = {0};
	char go;
	int status = gl_bind(guest, false, NULL, &err);

	report(fd, status, &err);
	if (status < 0 || gl_read_all(fd, &go, 1, -1) != 1) {
		_exit(125);
	}
	prctl(PR_SET_PDEATHSIG, 0);
	if (guest->session) {
		/* It is the child of a fork, and leads nothing yet: this cannot fail. */
		setsid();
	}
	execvp(argv[0], argv);
	GL_AUTOFREE char *program = gl_printable(argv[0]);

	status = errno == ENOENT || errno == ENOTDIR ? GUESTLOCK_NOT_FOUND : GUESTLOCK_DENIED;
	gl_fail(&err, status, errno, "cannot execute %s as guest %s: %m; check the command",
		program ? program : "?", guest->uuid);
	report(fd, status, &err);
	_exit(127);
}

/*
 * While one start makes its sockets no other one forks: a child that is no guest yet would keep its end open, and
 * who waits for the program to be executed would wait for that child, too.
 */
static pthread_mutex_t forking = PTHREAD_MUTEX_INITIALIZER;

/* As fork(), with *out_fd an end of a socket in both. */
static pid_t fork_with_socket(int *out_fd)
{
	pid_t pid = -1;
	int fds[2], saved_errno;

	pthread_mutex_lock(&forking);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0) {
		pid = fork();
		saved_errno = errno;
		*out_fd = fds[pid == 0];
		close(fds[pid != 0]);
		if (pid < 0) {
			close(*out_fd);
		}
		errno = saved_errno;
	}
	if (pid != 0) {
		pthread_mutex_unlock(&forking);
	}
	return pid;
}

/*
 * Children of other starts have copies of the manager's end, so end of file does not tell that it has died. What is
 * sent then is for a child that is no guest yet.
 */
static void die_with_manager(pid_t manager)
{
	/* 0: it is in another pid namespace than its child. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || (getppid() != manager && getppid() != 0)) {
		_exit(125);
	}
}

/* ---- What the child tells, by a deadline ---- */

/* Bytes until size, end of file or the deadline: how many came, -1 with errno. */
static ssize_t receive(int fd, void *out, size_t size, int64_t deadline_ms)
{
	size_t used = 0;

	while (used < size) {
		int64_t left = deadline_ms - guestlock_monotonic_ms();
		struct pollfd polled = {.fd = fd, .events = POLLIN};
		int ready = poll(&polled, 1, left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left);
		ssize_t n;

		if (ready < 0 && errno == EINTR) {
			continue;
		}
		if (ready <= 0) {
			errno = ready == 0 ? ETIMEDOUT : errno;
			return -1;
		}
		n = read(fd, (char *)out + used, size - used);
		if (n < 0 && errno != EINTR) {
			return -1;
		}
		if (n == 0) {
			break;
		}
		used += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)used;
}

static int child_failed(const struct guestlock_guest *guest, pid_t pid, const struct report *r, ssize_t got,
			struct guestlock_error *err)
{
	if (got == sizeof(*r)) {
		gl_error_pass(err, &r->error);
		return r->status;
	}
	if (got < 0 && errno == ETIMEDOUT) {
		return gl_fail(
			err, GUESTLOCK_TIMEOUT, ETIMEDOUT,
			"cannot start guest %s: its process (pid %ld) did not come as far as its "
			"program in time, and is killed; it may have waited for storage that does not "
			"answer: look at its disks, its program, the lock directory and the run directory",
			guest->uuid, (long)pid);
	}
	return gl_fail(err, GUESTLOCK_FAILED, 0,
		       "cannot start guest %s: its process ended before it was bound", guest->uuid);
}

/* The child has its own deadline, of which it tells why it passed. */
static int64_t deadline_of_child(const struct guestlock_guest *guest)
{
	return gl_deadline(guest->gl) + CHILD_MARGIN_MS;
}

/* End of file when the program was executed, since the descriptor closes there. */
static int wait_for_exec(const struct guestlock_guest *guest, pid_t pid, int fd, struct guestlock_error *err)
{
	struct report r;
	ssize_t got = receive(fd, &r, sizeof(r), deadline_of_child(guest));

	/* What is closed with something in it was executed, too. */
	return got == 0 || (got < 0 && errno != ETIMEDOUT) ? GUESTLOCK_OK
							   : child_failed(guest, pid, &r, got, err);
}

/*
 * Kills the child and waits for its end: true. What waits for its storage does not end before that answers, and
 * never runs a program.
 */
static bool end_child(struct guestlock_guest *guest, pid_t pid)
{
	int64_t deadline_ms = guestlock_monotonic_ms() + END_WAIT_MS;
	pid_t ended;

	kill(pid, SIGKILL);
	for (unsigned attempt = 0;; attempt++) {
		ended = waitpid(pid, NULL, WNOHANG);
		/* Somebody's handler of SIGCHLD may have waited for it. */
		if (ended == pid || (ended < 0 && errno != EINTR)) {
			return true;
		}
		if (!gl_pause_before_retry(attempt, 20, deadline_ms)) {
			guest->left = pid;
			return false;
		}
	}
}

/*
 * What one that does not end was granted is released when it is found dead. What the backend cannot read was said,
 * and would only be said once more: who mends it settles this, too.
 */
static void give_up(struct guestlock_guest *guest, pid_t pid, const struct guestlock_error *why)
{
	bool unreadable = why && why->code == GUESTLOCK_DAMAGED && why->backend[0];
	struct guestlock_error ignored;

	if (end_child(guest, pid) && !unreadable) {
		guestlock_guest_shutdown(guest, GUESTLOCK_SHUTDOWN_FORCE, &ignored);
	}
	guest->bound = false;
}

static int lead(struct guestlock_guest *guest, int fd, pid_t pid, const char *state, int wait_ms,
		struct guestlock_error *err)
{
	struct report r;
	ssize_t got = receive(fd, &r, sizeof(r), deadline_of_child(guest));
	int status;

	if (got != sizeof(r) || r.status < 0) {
		status = child_failed(guest, pid, &r, got, err);
		end_child(guest, pid);
		return status;
	}
	guest->bound = true;
	status = guestlock_guest_acquire(guest, state, 0, wait_ms, err);
	if (status == GUESTLOCK_OK && !send_all(fd, "", 1)) {
		status = gl_fail(err, GUESTLOCK_FAILED, errno,
				 "cannot start guest %s: its process ended before it was let run",
				 guest->uuid);
	}
	if (status == GUESTLOCK_OK) {
		status = wait_for_exec(guest, pid, fd, err);
	}
	if (status < 0) {
		give_up(guest, pid, err);
	}
	return status;
}

/* By which it is found when it is to be killed and its record is not there any more. */
static void note_started(struct guestlock_guest *guest, pid_t pid)
{
	guest->started = pid;
	gl_record_free(guest->as_started);
	guest->as_started = NULL;
	if (gl_guest_load(guest, &guest->as_started, NULL) == GUESTLOCK_OK) {
		return;
	}
	guest->as_started = gl_record_new(guest->uuid);
	if (guest->as_started) {
		guest->as_started->instance = guest->life.instance;
		gl_process_look(pid, &guest->as_started->process);
	}
}

int guestlock_guest_start(struct guestlock_guest *guest, char *const argv[], const char *state, int wait_ms,
			  pid_t *out_pid, struct guestlock_error *err)
{
	int fd, status = gl_guest_usable(guest, err);
	pid_t pid, manager = getpid();

	if (status < 0) {
		return status;
	}
	if (guest->bound || !argv[0]) {
		return gl_fail(err, GUESTLOCK_INVALID, 0, "cannot start guest %s: %s", guest->uuid,
			       guest->bound ? "it was bound through this handle already"
					    : "there is no command");
	}
	/* Each attempt begins a life of its own. */
	guest->life.instance = guestlock_random64();
	pid = fork_with_socket(&fd);
	if (pid == 0) {
		die_with_manager(manager);
		be_the_guest(guest, fd, argv);
	}
	if (pid < 0) {
		status = gl_fail(err, GUESTLOCK_FAILED, errno,
				 "cannot start guest %s: no process or no socket for it (%m)", guest->uuid);
	} else {
		status = lead(guest, fd, pid, state, wait_ms, err);
		close(fd);
	}
	if (status == GUESTLOCK_OK) {
		note_started(guest, pid);
		*out_pid = pid;
	} else {
		gl_error_about(err, guest->uuid, NULL);
	}
	return status;
}
