/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest's start and end cost: register in a child, acquire and release in the daemon. Each plugin in
 * turn, so that what else the machine does meets all of them. The fork itself is not counted.
 */
#include "replay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

struct answer {
	double us;
	int result;
	char message[256];
};

/* Registers, tells how long it took, and lives on until it is killed. */
__attribute__((noreturn)) static void be_the_guest(const struct plugin *plugin, struct domain *domain,
						   int report)
{
	struct answer answer = {0};
	struct outcome out;
	double begin;

	domain->pid = getpid();
	begin = now_us();
	call_plugin(plugin, domain, domain->resources, domain->n_resources, CALL_REGISTER, NULL, NULL, 0,
		    &out);
	answer.us = now_us() - begin;
	answer.result = out.result;
	snprintf(answer.message, sizeof(answer.message), "%s: %.200s", out.at, out.message);
	if (write(report, &answer, sizeof(answer)) != sizeof(answer)) {
		_exit(1);
	}
	for (;;) {
		pause();
	}
}

static bool fail(const struct plugin *plugin, const char *message)
{
	fprintf(stderr, "replay: bench: %s: %s\n", plugin->name, message);
	return false;
}

/* What one round took, in microseconds. */
struct round {
	double all, registered, acquired, released;
};

static bool call(const struct plugin *plugin, struct domain *domain, enum call what, double *us)
{
	struct outcome out;
	char *state = NULL;
	double begin = now_us();

	call_plugin(plugin, domain, domain->resources, domain->n_resources, what, NULL, &state, 0, &out);
	*us = now_us() - begin;
	free(state);
	return out.result == 0 || fail(plugin, out.message[0] ? out.message : out.at);
}

static bool one(const struct plugin *plugin, struct domain *domain, struct round *round)
{
	struct answer answer = {.result = -1, .message = "the child is gone"};
	struct outcome ignored;
	char *state = NULL;
	bool good;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		return fail(plugin, strerror(errno));
	}
	pid = fork();
	if (pid == 0) {
		be_the_guest(plugin, domain, fds[1]);
	}
	close(fds[1]);
	good = pid > 0 && read(fds[0], &answer, sizeof(answer)) == sizeof(answer) && answer.result == 0;
	close(fds[0]);
	domain->pid = pid;
	if (good) {
		round->registered = answer.us;
		good = call(plugin, domain, CALL_ACQUIRE, &round->acquired) &&
		       call(plugin, domain, CALL_PAUSE, &round->released);
		round->all = round->registered + round->acquired + round->released;
	} else {
		fail(plugin, answer.message);
	}
	domain_kill(domain);
	/* What the dead one left is not part of it, whenever it is that a plugin looks after that. */
	call_plugin(plugin, domain, domain->resources, domain->n_resources, CALL_PAUSE, NULL, &state, 0,
		    &ignored);
	free(state);
	return good;
}

static int by_value(const void *a, const void *b)
{
	const double *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

/* Of the member at that offset. */
static double median(const struct round *rounds, unsigned count, size_t offset)
{
	double *values = calloc(count, sizeof(*values)), result;

	if (!values) {
		abort();
	}
	for (unsigned i = 0; i < count; i++) {
		memcpy(&values[i], (const char *)&rounds[i] + offset, sizeof(values[i]));
	}
	qsort(values, count, sizeof(*values), by_value);
	result = values[count / 2];
	free(values);
	return result;
}

static void print(const struct plugin *plugin, unsigned n_disks, const struct round *rounds, unsigned count)
{
	printf("bench %s disks=%u rounds=%u median_us=%.1f register=%.1f acquire=%.1f release=%.1f\n",
	       plugin->name, n_disks, count, median(rounds, count, offsetof(struct round, all)),
	       median(rounds, count, offsetof(struct round, registered)),
	       median(rounds, count, offsetof(struct round, acquired)),
	       median(rounds, count, offsetof(struct round, released)));
}

static void prepare(struct domain *domain, unsigned n_disks, const char *directory)
{
	char path[512];

	domain_make(domain, "bench");
	for (unsigned i = 0; i < n_disks; i++) {
		snprintf(path, sizeof(path), "%s/bench-%u.img", directory, i);
		close(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
		if (!domain_add(domain, path)) {
			abort();
		}
	}
}

bool bench_run(const struct plugin *plugins, size_t n_plugins, unsigned n_disks, unsigned rounds,
	       const char *directory)
{
	struct round *all = calloc(n_plugins * rounds, sizeof(*all));
	struct domain domain;
	bool good = all && rounds > 0;

	prepare(&domain, n_disks, directory);
	for (unsigned round = 0; round < rounds && good; round++) {
		for (size_t i = 0; i < n_plugins && good; i++) {
			good = one(&plugins[i], &domain, &all[i * rounds + round]);
		}
	}
	for (size_t i = 0; i < n_plugins && good; i++) {
		print(&plugins[i], n_disks, &all[i * rounds], rounds);
	}
	domain_clear(&domain);
	free(all);
	return good;
}
