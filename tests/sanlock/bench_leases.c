/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What leases cost beside libsanlock's own calls, on the host that this runs on:
 *
 * - bench_leases batch COUNT ROUNDS DIRECTORY: COUNT leases are taken and given back, by the library for
 * leases in DIRECTORY, and through guestlock's keeper, in turn. "more" is what the latter takes longer in the
 * same round.
 * - bench_leases start GUESTS ROUNDS: as many guests take one lease each, one after another and all at once.
 *
 * One line for each: "bench NAME median_us=US", of a round.
 */
#include "bench/batch.h"
#include "bench/figures.h"

#include <errno.h>
#include <fcntl.h>
#include <sanlock.h>
#include <sanlock_admin.h>
#include <sanlock_resource.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCKSPACE "guestlock"
#define MOST 64
#define LEASE_SIZE (1 << 20)

struct raw {
	struct sanlk_resource resource;
	struct sanlk_disk disk;
};

static struct raw raw[MOST];
static size_t count;

__attribute__((noreturn)) static void fail(const char *what, int rv)
{
	fprintf(stderr, "bench: %s: %d (%s)\n", what, rv, strerror(rv < 0 ? -rv : errno));
	exit(1);
}

/* The keys of this process. */
static const char *group_of(const char *name)
{
	static char group[32];

	snprintf(group, sizeof(group), "%s %ld", name, (long)getpid());
	return group;
}

/* ---- libsanlock ---- */

static void make_raw(const char *directory)
{
	for (size_t i = 0; i < count; i++) {
		struct raw *lease = &raw[i];
		char name[GUESTLOCK_KEY_SIZE];
		int fd, rv;

		bench_name_key(group_of("raw"), i, name);
		lease->resource.num_disks = 1;
		memcpy(lease->resource.lockspace_name, LOCKSPACE, sizeof(LOCKSPACE));
		memcpy(lease->resource.name, name, sizeof(name));
		snprintf(lease->disk.path, sizeof(lease->disk.path), "%s/%s", directory, name);
		fd = open(lease->disk.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
		if (fd < 0 || posix_fallocate(fd, 0, LEASE_SIZE) != 0) {
			fail(lease->disk.path, 0);
		}
		close(fd);
		lease->resource.flags = SANLK_RES_ALIGN1M | SANLK_RES_SECTOR512;
		rv = sanlock_write_resource(&lease->resource, 0, 0, 0);
		if (rv < 0) {
			fail("sanlock_write_resource", rv);
		}
		lease->resource.flags = 0;
	}
}

/* In groups as large as they may be. */
static void call_raw(bool acquire)
{
	struct sanlk_resource *group[SANLK_MAX_RESOURCES];

	for (size_t done = 0, n; done < count; done += n) {
		int rv;

		for (n = 0; n < SANLK_MAX_RESOURCES && done + n < count; n++) {
			group[n] = &raw[done + n].resource;
		}
		rv = acquire ? sanlock_acquire(-1, getpid(), SANLK_ACQUIRE_OWNER_NOWAIT, (int)n, group, NULL)
			     : sanlock_release(-1, getpid(), 0, (int)n, group);
		if (rv < 0) {
			fail(acquire ? "sanlock_acquire" : "sanlock_release", rv);
		}
	}
}

/* ---- guestlock ---- */

static struct bench_batch batch;

/* This process is the guest. */
static void begin_guestlock(void)
{
	bench_open(&batch);
	bench_set_owner(&batch, getpid(), false);
	bench_set_keys(&batch, group_of("guestlock"), 0, count);
	bench_call(&batch, batch.gl->ops->bind, 0);
	/* The files of the leases are made now. */
	bench_call(&batch, batch.gl->ops->acquire, 0);
	bench_call(&batch, batch.gl->ops->release, 0);
}

/* ---- Figures ---- */

static void print(const char *name, double *values, size_t n)
{
	printf("bench %s median_us=%.0f\n", name, bench_median(values, n));
	free(values);
}

static double *room(size_t n)
{
	double *values = calloc(n, sizeof(*values));

	if (!values) {
		fail("calloc", 0);
	}
	return values;
}

static double raw_round(void)
{
	double begin = bench_now_us();

	call_raw(true);
	call_raw(false);
	return bench_now_us() - begin;
}

static double guestlock_round(void)
{
	double begin = bench_now_us();

	bench_call(&batch, batch.gl->ops->acquire, 0);
	bench_call(&batch, batch.gl->ops->release, 0);
	return bench_now_us() - begin;
}

/*
 * Who is first changes: what one leaves behind meets both. Storage is slow at one time and fast at another,
 * and both halves of a round meet the same: so the rounds' differences say what guestlock adds.
 */
static void run_batch(size_t rounds, const char *directory)
{
	double *theirs = room(rounds), *ours = room(rounds), *more = room(rounds);

	begin_guestlock();
	make_raw(directory);
	for (size_t i = 0; i < rounds; i++) {
		if (i % 2 == 0) {
			theirs[i] = raw_round();
		}
		ours[i] = guestlock_round();
		if (i % 2 != 0) {
			theirs[i] = raw_round();
		}
		more[i] = ours[i] - theirs[i];
	}
	for (size_t i = 0; i < count; i++) {
		unlink(raw[i].disk.path);
	}
	print("libsanlock", theirs, rounds);
	print("guestlock", ours, rounds);
	print("more", more, rounds);
	bench_close(&batch);
}

/* ---- Several guests ---- */

/* Each byte is a wish: one lease taken and given back, and a byte for an answer. */
__attribute__((noreturn)) static void be_guest(int fd)
{
	char byte = 'r';

	count = 1;
	begin_guestlock();
	do {
		if (write(fd, &byte, 1) != 1) {
			break;
		}
	} while (read(fd, &byte, 1) == 1 && (guestlock_round(), true));
	_exit(0);
}

static void tell(int fd)
{
	if (write(fd, "g", 1) != 1) {
		fail("write", 0);
	}
}

static void wait_for(int fd)
{
	char byte;

	if (read(fd, &byte, 1) != 1) {
		fail("a guest has ended", 0);
	}
}

static double guests_round(const int *fds, size_t guests, bool at_once)
{
	double begin = bench_now_us();

	for (size_t i = 0; i < guests; i++) {
		tell(fds[i]);
		if (!at_once) {
			wait_for(fds[i]);
		}
	}
	for (size_t i = 0; i < guests && at_once; i++) {
		wait_for(fds[i]);
	}
	return bench_now_us() - begin;
}

static void start(size_t guests, size_t rounds)
{
	double *single = room(rounds), *at_once = room(rounds);
	int fds[MOST];

	for (size_t i = 0; i < guests; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
			fail("socketpair", 0);
		}
		if (fork() == 0) {
			close(pair[0]);
			be_guest(pair[1]);
		}
		close(pair[1]);
		fds[i] = pair[0];
		wait_for(fds[i]);
	}
	for (size_t i = 0; i < rounds; i++) {
		single[i] = guests_round(fds, guests, false);
		at_once[i] = guests_round(fds, guests, true);
	}
	for (size_t i = 0; i < guests; i++) {
		close(fds[i]);
	}
	while (wait(NULL) > 0) {
	}
	print("one-by-one", single, rounds);
	print("at-once", at_once, rounds);
}

int main(int argc, char *argv[])
{
	size_t rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;

	count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	if (count == 0 || count > MOST || rounds == 0) {
		fprintf(stderr, "usage: bench_leases batch COUNT ROUNDS DIRECTORY | start GUESTS ROUNDS\n");
		return 2;
	}
	if (strcmp(argv[1], "batch") == 0 && argc > 4) {
		run_batch(rounds, argv[4]);
	} else if (strcmp(argv[1], "start") == 0) {
		start(count, rounds);
	}
	return 0;
}
