/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What it costs to ask the keeper: an empty request through it, beside a message of that size there and back
 * between two processes that do nothing else, over the same kind of socket. In turns, in one run; medians.
 * All of them run on one processor: whether who is woken runs on another one is for the scheduler to say, and
 * waking one that is idle can take longer than everything else here.
 *
 *     keeper [DIRECTORY]      (default /dev/shm)
 *
 * Ends with 1 when the ratio is above its bound.
 */
#include "base/base.h"
#include "figures.h"
#include "handle/handle.h"

#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define ROUNDS 3000
#define SIZE 300 /* bytes of such a request, about */
#define BOUND 3.0

static char root[512];

__attribute__((noreturn)) static void give_up(const char *what, const struct guestlock_error *err)
{
	fprintf(stderr, "bench: %s: %s\n", what, err ? err->message : "failed");
	exit(2);
}

/* ---- The two ---- */

/* From here on, with all that is started. */
static void stay_on_one_processor(void)
{
	cpu_set_t allowed, one;
	size_t processor = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0) {
		give_up("sched_getaffinity", NULL);
	}
	while (!CPU_ISSET(processor, &allowed)) {
		processor++;
	}
	CPU_ZERO(&one);
	CPU_SET(processor, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0) {
		give_up("sched_setaffinity", NULL);
	}
}

static pid_t start_echo(int *out_fd)
{
	char buffer[SIZE];
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0 || (pid = fork()) < 0) {
		give_up("echo", NULL);
	}
	if (pid == 0) {
		close(ends[0]);
		while (recv(ends[1], buffer, sizeof(buffer), 0) > 0 &&
		       send(ends[1], buffer, sizeof(buffer), 0) > 0) {
		}
		_exit(0);
	}
	close(ends[1]);
	*out_fd = ends[0];
	return pid;
}

static double echo_us(int fd)
{
	char buffer[SIZE] = "";
	double start = bench_now_us();

	if (send(fd, buffer, sizeof(buffer), 0) != SIZE || recv(fd, buffer, sizeof(buffer), 0) != SIZE) {
		give_up("echo", NULL);
	}
	return bench_now_us() - start;
}

static double keeper_us(struct guestlock *gl, const struct guestlock_owner *owner)
{
	struct guestlock_item none[1] = {{.key = NULL}};
	struct guestlock_batch batch = {
		.owner = owner,
		.items = none,
		.deadline_ms = guestlock_monotonic_ms() + 5000,
	};
	struct guestlock_error err = {.message = ""};
	double start = bench_now_us();

	if (gl->ops->bind(gl->backend, &batch, &err) != GUESTLOCK_RES_GRANTED) {
		give_up("keeper", &err);
	}
	return bench_now_us() - start;
}

/* ---- All of it ---- */

static struct guestlock *open_library(void)
{
	char run_dir[600], state_dir[600];
	const char *overrides[] = {run_dir, state_dir, "guestlock.keeper=always", NULL};
	struct guestlock_options options = {
		.size = sizeof(options),
		.config_file = "/dev/null",
		.overrides = overrides,
	};
	struct guestlock_error err;
	struct guestlock *gl;

	snprintf(run_dir, sizeof(run_dir), "guestlock.run_dir=%s/run", root);
	snprintf(state_dir, sizeof(state_dir), "guestlock.state_dir=%s/state", root);
	if (guestlock_open(&gl, &options, &err) < 0 ||
	    gl_ready(gl, guestlock_monotonic_ms() + 10000, &err) < 0) {
		give_up("open", &err);
	}
	return gl;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void end_keeper(struct guestlock *gl)
{
	struct guestlock_keeper_info info;

	guestlock_get_keeper(gl, &info, NULL);
	for (int i = 0; info.running && i < 1000; i++) {
		const struct timespec pause = {.tv_nsec = 10000000};

		kill(info.worker, SIGTERM);
		nanosleep(&pause, NULL);
		guestlock_get_keeper(gl, &info, NULL);
	}
	guestlock_close(gl);
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv)
{
	static double bare[ROUNDS], asked[ROUNDS];
	struct guestlock_owner owner = {
		.uuid = "c7a5fdbd-edaf-9455-926a-d65c16db1809",
		.instance = 1,
		.name = "bench",
		.host = "host",
		.manager = root,
	};
	struct guestlock *gl;
	double bare_us, asked_us, ratio;
	pid_t echo;
	int fd;

	snprintf(root, sizeof(root), "%s/guestlock-bench.XXXXXX", argc > 1 ? argv[1] : "/dev/shm");
	if (!mkdtemp(root)) {
		give_up(root, NULL);
	}
	stay_on_one_processor();
	echo = start_echo(&fd);
	gl = open_library();
	for (size_t i = 0; i < ROUNDS; i++) {
		bare[i] = echo_us(fd);
		asked[i] = keeper_us(gl, &owner);
	}
	close(fd);
	waitpid(echo, NULL, 0);
	end_keeper(gl);
	bare_us = bench_median(bare, ROUNDS);
	asked_us = bench_median(asked, ROUNDS);
	ratio = asked_us / bare_us;
	printf("%-58s %12.1f us\n", "a message there and back", bare_us);
	printf("%-58s %12.1f us\n", "an empty request to the keeper", asked_us);
	printf("%-58s %12.2f    (at most %.1f)%s\n", "  ratio", ratio, BOUND,
	       ratio > BOUND ? " TOO MUCH" : "");
	return ratio > BOUND;
}
