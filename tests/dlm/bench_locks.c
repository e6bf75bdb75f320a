/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What locks cost, through guestlock's keeper and without it. "bench":
 *
 *     hold COUNT          on another node: has all of them in mind, says "ready" and stays
 *     run COUNT ROUNDS    here: the same requests by libdlm, all under way at once; by libdlm,
 *                         one after the other, without a thread and as dlm_ls_lock_wait() does
 *                         it; and through the keeper, in turn
 *     take COUNT          takes locks of guests with 10 each, through the keeper, says "ready"
 *                         and stays
 *     restart             after the keeper was killed: until it tells what is held, as
 *                         "bench restart locks=COUNT us=US"
 *     orphans COUNT       until the kernel alone has handed out and confirmed the locks of a
 *                         process that has ended, as "bench orphans locks=COUNT us=US"
 *
 * Each round of run takes locks that are known to the master, writes their blocks, and gives them
 * back. One line for each: "bench NAME acquire=US release=US", medians.
 */
#include "bench/batch.h"
#include "bench/figures.h"

#include <errno.h>
#include <libdlm.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCKSPACE "guestlock"
#define MOST 10240
#define OWN 10 /* locks of a guest */
#define FLAGS (LKF_PERSISTENT | LKF_VALBLK)

static dlm_lshandle_t lockspace;
static size_t count;

struct held {
	struct dlm_lksb lksb;
	char block[DLM_LVB_LEN];
	char name[GUESTLOCK_KEY_SIZE];
};
static struct held held[MOST];
static size_t pending;

__attribute__((noreturn)) static void fail(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- libdlm ---- */

static void answered(void *data)
{
	const struct held *lock = data;

	if (lock->lksb.sb_status != 0) {
		errno = lock->lksb.sb_status;
		fail(lock->name);
	}
	pending--;
}

static void ask(struct held *lock, unsigned mode, unsigned flags)
{
	uint64_t xid = 1;

	lock->lksb.sb_lvbptr = lock->block;
	pending++;
	if (dlm_ls_lockx(lockspace, mode, &lock->lksb, flags | FLAGS, lock->name,
			 (unsigned)strlen(lock->name), 0, answered, lock, NULL, &xid, NULL) < 0) {
		fail("dlm_ls_lockx");
	}
}

static void wait_all(void)
{
	struct pollfd poll_fd = {.fd = dlm_ls_get_fd(lockspace), .events = POLLIN};

	while (pending > 0) {
		if (poll(&poll_fd, 1, 20000) != 1) {
			fail("no answer");
		}
		dlm_dispatch(poll_fd.fd);
	}
}

static void ask_all(unsigned mode, unsigned flags, bool one_by_one)
{
	for (size_t i = 0; i < count; i++) {
		ask(&held[i], mode, flags);
		if (one_by_one) {
			wait_all();
		}
	}
	wait_all();
}

static void open_all(const char *group)
{
	for (size_t i = 0; i < count; i++) {
		held[i] = (struct held){.lksb = {.sb_status = 0}};
		bench_name_key(group, i, held[i].name);
	}
	ask_all(LKM_NLMODE, 0, false);
}

struct round {
	double acquire, release;
};

/* As guestlock does it: grant and write; lower and ask again. */
static void round_of_libdlm(bool one_by_one, struct round *out)
{
	double begin = bench_now_us();

	ask_all(LKM_EXMODE, LKF_CONVERT | LKF_NOQUEUE, one_by_one);
	ask_all(LKM_EXMODE, LKF_CONVERT | LKF_NOQUEUE, one_by_one);
	out->acquire = bench_now_us() - begin;
	begin = bench_now_us();
	ask_all(LKM_NLMODE, LKF_CONVERT | LKF_NOQUEUE, one_by_one);
	ask_all(LKM_NLMODE, LKF_CONVERT | LKF_NOQUEUE, one_by_one);
	out->release = bench_now_us() - begin;
}

/*
 * The same by the calls that wait themselves, which want a thread that reads, and so a descriptor of their
 * own.
 */
static dlm_lshandle_t waiting;
static struct held waited[MOST];

static void wait_each(unsigned mode, unsigned flags)
{
	for (size_t i = 0; i < count; i++) {
		struct held *lock = &waited[i];

		lock->lksb.sb_lvbptr = lock->block;
		if (dlm_ls_lock_wait(waiting, mode, &lock->lksb, flags | FLAGS, lock->name,
				     (unsigned)strlen(lock->name), 0, NULL, NULL, NULL) < 0 ||
		    lock->lksb.sb_status != 0) {
			fail("dlm_ls_lock_wait");
		}
	}
}

static void open_waiting(const char *group)
{
	waiting = dlm_open_lockspace(LOCKSPACE);
	if (!waiting || dlm_ls_pthread_init(waiting) < 0) {
		fail("dlm_ls_pthread_init");
	}
	for (size_t i = 0; i < count; i++) {
		bench_name_key(group, i, waited[i].name);
	}
	wait_each(LKM_NLMODE, 0);
}

static void round_of_waiting(struct round *out)
{
	double begin = bench_now_us();

	wait_each(LKM_EXMODE, LKF_CONVERT | LKF_NOQUEUE);
	wait_each(LKM_EXMODE, LKF_CONVERT | LKF_NOQUEUE);
	out->acquire = bench_now_us() - begin;
	begin = bench_now_us();
	wait_each(LKM_NLMODE, LKF_CONVERT | LKF_NOQUEUE);
	wait_each(LKM_NLMODE, LKF_CONVERT | LKF_NOQUEUE);
	out->release = bench_now_us() - begin;
}

/* ---- guestlock ---- */

static struct bench_batch batch;

static void begin_guestlock(void)
{
	bench_open(&batch);
	bench_set_owner(&batch, 0xbe, true);
	bench_set_keys(&batch, "guestlock", 0, count);
	bench_call(&batch, batch.gl->ops->bind, 0);
}

static void round_of_guestlock(struct round *out)
{
	double begin = bench_now_us();

	bench_call(&batch, batch.gl->ops->acquire, 0);
	out->acquire = bench_now_us() - begin;
	begin = bench_now_us();
	bench_call(&batch, batch.gl->ops->release, GUESTLOCK_BATCH_PARK);
	out->release = bench_now_us() - begin;
}

/* ---- Starting again ---- */

static void take(void)
{
	bench_open(&batch);
	for (size_t guest = 0; guest < count / OWN; guest++) {
		bench_set_owner(&batch, (long)guest, true);
		bench_set_keys(&batch, "restart", guest * OWN, OWN);
		bench_call(&batch, batch.gl->ops->acquire, 0);
	}
	puts("ready");
	fflush(stdout);
	pause();
}

static int count_lock(void *data, const struct guestlock_lock *lock)
{
	size_t *seen = data;

	*seen += lock->mode == GUESTLOCK_MODE_EXCLUSIVE && lock->readable;
	return 0;
}

/* Whoever asks anything that needs the lockspace waits until the keeper has its locks back. */
static void restart(void)
{
	struct guestlock_error err = {.message = ""};
	double begin = bench_now_us();
	size_t seen = 0;

	do {
		seen = 0;
		if (batch.gl) {
			bench_close(&batch);
		}
		bench_open(&batch);
	} while (batch.gl->ops->enumerate(batch.gl->backend, count_lock, NULL, &seen, &err) !=
			 GUESTLOCK_RES_GRANTED &&
		 bench_now_us() - begin < 120e6);
	printf("bench restart locks=%zu us=%.0f\n", seen, bench_now_us() - begin);
	bench_close(&batch);
}

/* In a process of its own, which ends. */
static void leave_orphans(void)
{
	lockspace = dlm_create_lockspace("orphans", 0600);
	if (!lockspace) {
		fail("dlm_create_lockspace");
	}
	for (size_t i = 0; i < count; i++) {
		held[i] = (struct held){.lksb = {.sb_status = 0}};
		bench_name_key("orphan", i, held[i].name);
	}
	ask_all(LKM_EXMODE, LKF_NOQUEUE, false);
	_exit(0);
}

static void adopt(void)
{
	double begin;
	int status;

	if (fork() == 0) {
		leave_orphans();
	}
	if (wait(&status) < 0 || status != 0) {
		fail("the child");
	}
	lockspace = dlm_open_lockspace("orphans");
	if (!lockspace) {
		fail("dlm_open_lockspace");
	}
	begin = bench_now_us();
	for (size_t i = 0; i < count; i++) {
		held[i] = (struct held){.lksb = {.sb_status = 0}};
		bench_name_key("orphan", i, held[i].name);
		/* No answer comes for these. */
		ask(&held[i], LKM_EXMODE, LKF_ORPHAN);
		pending--;
	}
	ask_all(LKM_EXMODE, LKF_CONVERT | LKF_NOQUEUE, false);
	printf("bench orphans locks=%zu us=%.0f\n", count, bench_now_us() - begin);
	dlm_release_lockspace("orphans", lockspace, 1);
}

/* ---- The whole ---- */

static void print(const char *name, const struct round *rounds, size_t n)
{
	double *acquire = calloc(n, sizeof(*acquire)), *release = calloc(n, sizeof(*release));

	for (size_t i = 0; i < n && acquire && release; i++) {
		acquire[i] = rounds[i].acquire;
		release[i] = rounds[i].release;
	}
	if (acquire && release) {
		printf("bench %s acquire=%.0f release=%.0f\n", name, bench_median(acquire, n),
		       bench_median(release, n));
	}
	free(acquire);
	free(release);
}

static void hold(void)
{
	lockspace = dlm_create_lockspace(LOCKSPACE, 0600);
	if (!lockspace) {
		fail("dlm_create_lockspace");
	}
	open_all("raw");
	open_all("guestlock");
	puts("ready");
	fflush(stdout);
	pause();
}

static void run(size_t n)
{
	struct round *rounds[4];

	begin_guestlock();
	lockspace = dlm_open_lockspace(LOCKSPACE);
	for (size_t i = 0; i < 4; i++) {
		rounds[i] = calloc(n, sizeof(*rounds[i]));
		if (!lockspace || !rounds[i]) {
			fail("dlm_open_lockspace");
		}
	}
	open_all("raw");
	open_waiting("raw");
	for (size_t i = 0; i < n; i++) {
		round_of_libdlm(false, &rounds[0][i]);
		round_of_guestlock(&rounds[1][i]);
		round_of_libdlm(true, &rounds[2][i]);
		round_of_waiting(&rounds[3][i]);
	}
	print("libdlm", rounds[0], n);
	print("guestlock", rounds[1], n);
	print("one-by-one", rounds[2], n);
	print("lock-wait", rounds[3], n);
	bench_call(&batch, batch.gl->ops->release, 0);
	bench_close(&batch);
	for (size_t i = 0; i < 4; i++) {
		free(rounds[i]);
	}
}

int main(int argc, char *argv[])
{
	if (argc == 2 && strcmp(argv[1], "restart") == 0) {
		restart();
		return 0;
	}
	count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	if (count == 0 || count > MOST) {
		fprintf(stderr,
			"usage: bench hold|take|orphans COUNT | bench run COUNT ROUNDS | bench restart\n");
		return 2;
	}
	if (strcmp(argv[1], "hold") == 0) {
		hold();
	} else if (strcmp(argv[1], "take") == 0) {
		take();
	} else if (strcmp(argv[1], "orphans") == 0) {
		adopt();
	} else if (argc > 3) {
		run(strtoul(argv[3], NULL, 10));
	}
	return 0;
}
