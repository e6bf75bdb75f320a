// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Commands in a virtual machine:
 *
 *     remote serve PORT                        there: takes one command with each connection
 *     remote call PORT SECONDS COMMAND         here: standard input, output and error are the command's, and
 * so is the exit status
 *
 * COMMAND is bash's. After SECONDS it is killed with its process group, as it is when its caller goes away,
 * and the status is 124; 125 says that the machine did not answer. What the command leaves in the background
 * stays.
 *
 * Both ends send frames: a letter, four bytes of length, and as many of content. The server greets first, so
 * that no command is waiting for a machine that stands still and is given up meanwhile.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	GREETING = 'g',
	COMMAND = 'c', /* seconds, a space, the command */
	INPUT = 'i',   /* empty: its end */
	OUTPUT = 'o',
	ERROR = 'e',
	STATUS = 's', /* in decimal */
	CONTENT_BYTES = 1 << 16,
	GRACE_MS = 10000, /* that the server has beyond the command's time */
	TIMED_OUT = 124,
	NO_ANSWER = 125,
};

struct frame {
	char type;
	uint32_t length;
	char content[CONTENT_BYTES + 1]; /* and a final NUL */
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* For poll(): what is left until then. */
static int until(int64_t deadline_ms)
{
	int64_t left = deadline_ms - now_ms();

	return left > 0 ? (int)left : 0;
}

/* ---- Frames ---- */

static bool send_all(int fd, const void *data, size_t size)
{
	const char *next = data;
	ssize_t done;

	while (size > 0) {
		done = send(fd, next, size, MSG_NOSIGNAL);
		if (done < 0 && errno == EINTR) {
			continue;
		}
		if (done <= 0) {
			return false;
		}
		next += done;
		size -= (size_t)done;
	}
	return true;
}

static bool send_frame(int fd, char type, const char *content, size_t length)
{
	uint32_t size = htonl((uint32_t)length);

	return send_all(fd, &type, 1) && send_all(fd, &size, sizeof(size)) && send_all(fd, content, length);
}

/* false: the other end is gone, or has not sent all of it by then. */
static bool receive_all(int fd, void *data, size_t size, int64_t deadline_ms)
{
	struct pollfd source = {.fd = fd, .events = POLLIN};
	char *next = data;
	ssize_t got;

	while (size > 0) {
		if (poll(&source, 1, until(deadline_ms)) <= 0) {
			return false;
		}
		got = recv(fd, next, size, 0);
		if (got <= 0) {
			return false;
		}
		next += got;
		size -= (size_t)got;
	}
	return true;
}

static bool receive_frame(int fd, struct frame *frame, int64_t deadline_ms)
{
	uint32_t size;

	if (!receive_all(fd, &frame->type, 1, deadline_ms) ||
	    !receive_all(fd, &size, sizeof(size), deadline_ms)) {
		return false;
	}
	frame->length = ntohl(size);
	if (frame->length > CONTENT_BYTES || !receive_all(fd, frame->content, frame->length, deadline_ms)) {
		return false;
	}
	frame->content[frame->length] = '\0';
	return true;
}

/* ---- The server ---- */

struct job {
	int peer, input, output, error, process;
	pid_t pid;
	int64_t deadline_ms;
	struct frame frame; /* of input, what of it is not written yet */
	size_t written;
	bool has_input;
};

static void run_command(const char *command, const int *input, const int *output, const int *error)
{
	setsid();
	signal(SIGPIPE, SIG_DFL);
	dup2(input[0], STDIN_FILENO);
	dup2(output[1], STDOUT_FILENO);
	dup2(error[1], STDERR_FILENO);
	execl("/bin/bash", "bash", "-c", command, (char *)NULL);
	_exit(127);
}

static bool start_job(struct job *job)
{
	int input[2], output[2], error[2];
	char *command;
	long seconds = strtol(job->frame.content, &command, 10);

	if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0 || pipe2(error, O_CLOEXEC) != 0) {
		return false;
	}
	job->deadline_ms = now_ms() + seconds * 1000;
	job->pid = fork();
	if (job->pid == 0) {
		run_command(command, input, output, error);
	}
	close(input[0]);
	close(output[1]);
	close(error[1]);
	job->input = input[1];
	job->output = output[0];
	job->error = error[0];
	fcntl(job->input, F_SETFL, O_NONBLOCK);
	fcntl(job->output, F_SETFL, O_NONBLOCK);
	fcntl(job->error, F_SETFL, O_NONBLOCK);
	job->process = job->pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, job->pid, 0);
	return job->process >= 0;
}

/* Passes on what is there. false: the caller is gone. The end closes it. */
static bool pass_output(struct job *job, int *source, char type)
{
	char content[CONTENT_BYTES];
	ssize_t got;

	while (*source >= 0) {
		got = read(*source, content, sizeof(content));
		if (got < 0 && errno == EAGAIN) {
			return true;
		}
		if (got <= 0) {
			close(*source);
			*source = -1;
			return true;
		}
		if (!send_frame(job->peer, type, content, (size_t)got)) {
			return false;
		}
	}
	return true;
}

/* A command that does not read all of its input is not an error. */
static void pass_input(struct job *job)
{
	ssize_t done = 0;

	if (job->input >= 0 && job->frame.length > job->written) {
		done = write(job->input, job->frame.content + job->written, job->frame.length - job->written);
		if (done < 0 && errno == EAGAIN) {
			return;
		}
		job->written += done > 0 ? (size_t)done : 0;
	}
	if (job->input >= 0 && (done < 0 || job->frame.length == 0)) {
		close(job->input);
		job->input = -1;
	}
	job->has_input = job->input >= 0 && job->frame.length > job->written;
}

static int status_of(pid_t pid)
{
	int status = 0;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Until the command ends, its time is over, or the caller is gone (-1). */
static int serve_job(struct job *job)
{
	enum {
		PEER,
		IN,
		OUT,
		ERR,
		PROCESS,
		SOURCES
	};
	struct pollfd sources[SOURCES];
	bool good = true;

	while (good) {
		sources[PEER] = (struct pollfd){.fd = job->has_input ? -1 : job->peer, .events = POLLIN};
		sources[IN] = (struct pollfd){.fd = job->has_input ? job->input : -1, .events = POLLOUT};
		sources[OUT] = (struct pollfd){.fd = job->output, .events = POLLIN};
		sources[ERR] = (struct pollfd){.fd = job->error, .events = POLLIN};
		sources[PROCESS] = (struct pollfd){.fd = job->process, .events = POLLIN};
		if (poll(sources, SOURCES, until(job->deadline_ms)) == 0) {
			return TIMED_OUT;
		}
		if (sources[PEER].revents != 0) {
			good = receive_frame(job->peer, &job->frame, now_ms() + GRACE_MS) &&
			       job->frame.type == INPUT;
			job->written = 0;
			job->has_input = good;
		}
		if (job->has_input) {
			pass_input(job);
		}
		good = good && pass_output(job, &job->output, OUTPUT) && pass_output(job, &job->error, ERROR);
		if (good && sources[PROCESS].revents != 0) {
			/* What it printed at its end; others may have its pipe for as long as they want. */
			good = pass_output(job, &job->output, OUTPUT) && pass_output(job, &job->error, ERROR);
			return good ? status_of(job->pid) : -1;
		}
	}
	return -1;
}

static void serve_connection(int peer)
{
	static struct job job;
	char text[16];
	int status;

	job.peer = peer;
	if (!send_frame(peer, GREETING, "", 0) || !receive_frame(peer, &job.frame, now_ms() + GRACE_MS) ||
	    job.frame.type != COMMAND || !start_job(&job)) {
		return;
	}
	status = serve_job(&job);
	if (status == -1 || status == TIMED_OUT) {
		kill(-job.pid, SIGKILL);
	}
	if (status != -1) {
		snprintf(text, sizeof(text), "%d", status);
		send_frame(peer, STATUS, text, strlen(text));
	}
}

static int listen_at(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 64) != 0) {
		perror("remote: cannot listen");
		return -1;
	}
	return fd;
}

/* May be the first process of a machine: it reaps whatever nobody else waits for. */
static int serve(uint16_t port)
{
	int listener = listen_at(port), peer;
	struct sockaddr_in address;
	socklen_t size;

	if (listener < 0) {
		return EXIT_FAILURE;
	}
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		size = sizeof(address);
		peer = accept4(listener, (struct sockaddr *)&address, &size, SOCK_CLOEXEC);
		if (peer < 0) {
			continue;
		}
		if (fork() == 0) {
			signal(SIGCHLD, SIG_DFL);
			serve_connection(peer);
			_exit(EXIT_SUCCESS);
		}
		close(peer);
	}
}

/* ---- The caller ---- */

static bool write_all(int fd, const char *data, size_t size)
{
	ssize_t done;

	while (size > 0) {
		done = write(fd, data, size);
		if (done <= 0) {
			return false;
		}
		data += done;
		size -= (size_t)done;
	}
	return true;
}

/* Reads some of the own input and sends it. false: it has ended. */
static bool forward_input(int peer)
{
	char content[CONTENT_BYTES];
	ssize_t got = read(STDIN_FILENO, content, sizeof(content));

	send_frame(peer, INPUT, content, got > 0 ? (size_t)got : 0);
	return got > 0;
}

static int no_answer(const char *what)
{
	fprintf(stderr, "remote: the machine %s\n", what);
	return NO_ANSWER;
}

static int follow(int peer, int64_t deadline_ms)
{
	static struct frame frame;
	struct pollfd sources[2] = {{.fd = peer, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};

	for (;;) {
		if (poll(sources, 2, until(deadline_ms)) <= 0) {
			return no_answer("stands still");
		}
		if (sources[1].revents != 0 && !forward_input(peer)) {
			sources[1].fd = -1;
		}
		if (sources[0].revents == 0) {
			continue;
		}
		if (!receive_frame(peer, &frame, deadline_ms)) {
			return no_answer("is gone");
		}
		if (frame.type == STATUS) {
			return (int)strtol(frame.content, NULL, 10);
		}
		write_all(frame.type == ERROR ? STDERR_FILENO : STDOUT_FILENO, frame.content, frame.length);
	}
}

static int call(uint16_t port, const char *seconds, const char *command)
{
	static struct frame frame;
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int64_t deadline_ms = now_ms() + strtol(seconds, NULL, 10) * 1000;
	int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int length;

	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	if (connect(peer, (struct sockaddr *)&address, sizeof(address)) != 0) {
		return no_answer("is not there");
	}
	if (!receive_frame(peer, &frame, deadline_ms) || frame.type != GREETING) {
		return no_answer("does not answer");
	}
	length = snprintf(frame.content, sizeof(frame.content), "%s %s", seconds, command);
	if (length >= (int)sizeof(frame.content)) {
		fprintf(stderr, "remote: this is too long for a command\n");
		return EXIT_FAILURE;
	}
	send_frame(peer, COMMAND, frame.content, (size_t)length);
	return follow(peer, now_ms() + strtol(seconds, NULL, 10) * 1000 + GRACE_MS);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(argv[1], "serve") == 0) {
		return serve((uint16_t)strtoul(argv[2], NULL, 10));
	}
	if (argc == 5 && strcmp(argv[1], "call") == 0) {
		return call((uint16_t)strtoul(argv[2], NULL, 10), argv[3], argv[4]);
	}
	fprintf(stderr, "usage: remote serve PORT | remote call PORT SECONDS COMMAND\n");
	return EXIT_FAILURE;
}
