/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* With --keeper: its processes are killed, and nonsense is said to it. */
#include "pair.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define KILLS 30
#define NOBODY 65534

static void pids(const struct host *host, pid_t *out_guard, pid_t *out_worker)
{
	ck_assert(host_keeper(host, out_guard, out_worker));
}

/* ---- Killing ---- */

static void kill_one(const struct host *host, unsigned which)
{
	pid_t guard, worker;

	/* After both were killed, the next call starts it. */
	if (!host_keeper(host, &guard, &worker)) {
		return;
	}
	if (which != 1) {
		kill(worker, SIGKILL);
	}
	/* A worker whose guard was killed tells of none, until it is the guard itself. */
	if (which != 0 && guard > 0) {
		kill(guard, SIGKILL);
	}
}

/* _i: the worker, the guard, or both. What is held stays held, and the next call is answered. */
START_TEST(nothing_is_lost_by_a_kill)
{
	pid_t guard, worker, new_guard, new_worker;
	unsigned round;

	start_two("kill");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	for (round = 0; round < 5; round++) {
		pids(&host_a, &guard, &worker);
		kill_one(&host_a, (unsigned)_i);
		ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), BUSY);
		assert_all(&one, keys.key, 1, EXCLUSIVE);
		ck_assert_int_eq(take(&one, &keys.key[round + 1], EXCLUSIVE), GRANTED);
		pids(&host_a, &new_guard, &new_worker);
		ck_assert(new_worker != worker || _i == 1);
	}
	end_two();
}
END_TEST

struct killer {
	pthread_t thread;
	pthread_barrier_t over; /* the thread is there as long as calls are made: a call may fork */
	bool stop;
	unsigned rounds;
};

static void *kill_on(void *argument)
{
	struct killer *killer = argument;

	for (unsigned i = 0; i < KILLS && !__atomic_load_n(&killer->stop, __ATOMIC_ACQUIRE); i++) {
		/* A machine that needs longer to start a keeper gets longer. */
		bool slow = i >= KILLS / 2 && __atomic_load_n(&killer->rounds, __ATOMIC_ACQUIRE) < 2;

		kill_one(&host_a, i % 3);
		contract_sleep_us((20000 + (unsigned)(guestlock_random64() % 60000)) * (slow ? 20 : 1));
	}
	__atomic_store_n(&killer->stop, true, __ATOMIC_RELEASE);
	pthread_barrier_wait(&killer->over);
	return NULL;
}

/* Calls go on meanwhile: each is done, all of it, or says that it may be. */
START_TEST(calls_while_it_is_killed)
{
	struct killer killer = {.stop = false};
	struct ask ask;

	start_two("storm");
	ck_assert_int_eq(pthread_barrier_init(&killer.over, NULL, 2), 0);
	ck_assert_int_eq(pthread_create(&killer.thread, NULL, kill_on, &killer), 0);
	while (!__atomic_load_n(&killer.stop, __ATOMIC_ACQUIRE)) {
		enum guestlock_result result;

		ask_for(&ask, keys.key, 3, EXCLUSIVE);
		result = ask_acquire(&one, &ask);
		ck_assert(result == GRANTED || result == GUESTLOCK_RES_INFLIGHT);
		if (result == GRANTED) {
			ck_assert_int_eq(take(&two, &keys.key[2], EXCLUSIVE), BUSY);
		}
		ask_for(&ask, keys.key, 3, NONE);
		result = ask_release(&one, &ask);
		ck_assert(result == GRANTED || result == GUESTLOCK_RES_INFLIGHT);
		if (result == GRANTED) {
			ck_assert_int_eq(take(&two, &keys.key[2], EXCLUSIVE), GRANTED);
			ck_assert_int_eq(drop(&two, &keys.key[2], 0), GRANTED);
		}
		__atomic_add_fetch(&killer.rounds, 1, __ATOMIC_RELEASE);
	}
	pthread_barrier_wait(&killer.over);
	pthread_join(killer.thread, NULL);
	pthread_barrier_destroy(&killer.over);
	ck_assert_uint_gt(killer.rounds, 1);
	end_two();
}
END_TEST

/* ---- Saying nonsense ---- */

/* A connection to the keeper of host A, as anybody has it. */
static int dial(void)
{
	struct timeval patience = {.tv_sec = CONTRACT_WAIT_MS / 1000};
	struct sockaddr_un address;
	int dir, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(gl_keeper_address(host_a.run_dir, &address, &dir), 0);
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	if (dir >= 0) {
		close(dir);
	}
	return fd;
}

/* It hangs up on whoever sends this. */
static void refuse_bytes(const void *data, size_t size)
{
	char answer[64];
	int fd = dial();
	ssize_t got;

	ck_assert_int_eq(send(fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
	got = recv(fd, answer, sizeof(answer), 0);
	ck_assert(got == 0 || (got < 0 && errno == ECONNRESET));
	close(fd);
}

static void make_request(struct gl_wire *wire)
{
	struct gl_keeper_request request = {.call = GL_KEEPER_ABOUT};

	ck_assert_int_eq(gl_keeper_put_request(wire, &request), 0);
}

START_TEST(garbage_is_refused)
{
	GL_AUTOWIRE struct gl_wire wire = {.size = 0};
	pid_t guard, worker, still_guard, still_worker;
	unsigned char noise[5000] = {0};
	size_t i, size;

	pids(&host_a, &guard, &worker);
	for (size = 1; size < sizeof(noise); size = size * 3 + 1) {
		for (i = 0; i < size; i++) {
			noise[i] = (unsigned char)guestlock_random64();
		}
		refuse_bytes(noise, size);
	}
	make_request(&wire);
	refuse_bytes(wire.data, wire.size - 1);
	wire.data[GL_KEEPER_HEADER] = 200;
	refuse_bytes(wire.data, wire.size);
	wire.data[12] = 1;
	refuse_bytes(wire.data, GL_KEEPER_HEADER);
	/* It served others all the time. */
	pids(&host_a, &still_guard, &still_worker);
	ck_assert_int_eq(guard, still_guard);
	ck_assert_int_eq(worker, still_worker);
}
END_TEST

START_TEST(another_version_is_told)
{
	GL_AUTOWIRE struct gl_wire wire = {.size = 0};
	unsigned char *body = NULL;
	int fd = dial();
	struct pollfd answer = {.fd = fd, .events = POLLIN};
	size_t size;

	make_request(&wire);
	wire.data[4] = GL_KEEPER_PROTOCOL + 1;
	ck_assert_int_gt(send(fd, wire.data, wire.size, 0), 0);
	ck_assert_int_eq(poll(&answer, 1, CONTRACT_WAIT_MS), 1);
	/* Something that begins as all versions do, with its own number. */
	ck_assert_int_eq(gl_keeper_receive(fd, GL_KEEPER_ANSWER, &body, &size), 0);
	free(body);
	close(fd);
}
END_TEST

/* In the process of another user, to whom everything was opened. */
static void ask_as_nobody(void)
{
	struct gl_keeper_about about;
	struct guestlock_error ignored;
	struct sockaddr_un address;
	char byte;
	int dir, fd;

	if (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0 ||
	    gl_keeper_address(host_a.run_dir, &address, &dir) < 0) {
		_exit(10);
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		_exit(11);
	}
	if (recv(fd, &byte, 1, 0) > 0) {
		_exit(12);
	}
	memset(host_a.keeper->slots, 0xff, sizeof(host_a.keeper->slots));
	_exit(gl_keeper_ask_about(host_a.keeper, guestlock_monotonic_ms() + CONTRACT_WAIT_MS, &about,
				  &ignored) == 0
		      ? 13
		      : 0);
}

/* Whether others can come so far: what is above may be closed to them. */
static bool is_reachable_for_others(void)
{
	pid_t child = contract_fork();
	int status;

	if (child == 0) {
		_exit(setresuid(NOBODY, NOBODY, NOBODY) < 0 || access(contract.dir, X_OK) < 0);
	}
	return waitpid(child, &status, 0) == child && status == 0;
}

START_TEST(other_users_are_refused)
{
	char path[4096];
	pid_t child;
	int status;

	if (geteuid() != 0) {
		return;
	}
	snprintf(path, sizeof(path), "%s/" GL_KEEPER_SOCKET, host_a.run_dir);
	ck_assert_int_eq(chmod(contract.base, 0777), 0);
	ck_assert_int_eq(chmod(contract.dir, 0777), 0);
	ck_assert_int_eq(chmod(host_a.run_dir, 0755), 0);
	ck_assert_int_eq(chmod(path, 0777), 0);
	if (!is_reachable_for_others()) {
		return;
	}
	child = contract_fork();
	if (child == 0) {
		ask_as_nobody();
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	/* And the socket was closed to them in the first place. */
	kill_one(&host_a, 2);
	start_two("opened");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	end_two();

	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
}
END_TEST

/* ---- What others need not know ---- */

START_TEST(a_run_directory_with_a_long_path)
{
	struct guestlock_error err;
	struct host host;
	char name[160] = "host-";

	memset(name + 5, 'x', 140);
	name[145] = '\0';
	ck_assert_int_eq(host_make(&host, name, "auto", NULL, &err), GRANTED);
	ck_assert_msg(host_join(&host, &err) == GRANTED, "%s", err.message);
	host_free(&host);
}
END_TEST

struct user {
	struct guest guest;
	pthread_t thread;
	const struct guestlock_key *key; /* the same for all, if it can be shared */
	enum guestlock_mode mode;
};

/* The same handle in many threads at once, and in forked children of them. */
static void *use_it(void *argument)
{
	const struct user *user = argument;
	const struct guest *guest = &user->guest;

	for (unsigned i = 0; i < 20; i++) {
		pid_t child;
		int status;

		ck_assert_int_eq(take(guest, user->key, user->mode), GRANTED);
		child = contract_fork();
		if (child == 0) {
			_exit((int)look(guest, user->key, NULL));
		}
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_int_eq(status, GUESTLOCK_RES_HELD << 8);
		ck_assert_int_eq(drop(guest, user->key, 0), GRANTED);
	}
	return NULL;
}

START_TEST(threads_and_their_children)
{
	bool share = contract_can(GUESTLOCK_CAP_SHARED);
	struct user users[12];
	size_t i;

	keys_make(&keys, "threads");
	for (i = 0; i < 12; i++) {
		users[i].key = &keys.key[share ? 0 : i];
		users[i].mode = share ? SHARED : EXCLUSIVE;
		guest_pretend(&users[i].guest, &host_a, "thread");
	}
	for (i = 0; i < 12; i++) {
		ck_assert_int_eq(pthread_create(&users[i].thread, NULL, use_it, &users[i]), 0);
	}
	for (i = 0; i < 12; i++) {
		pthread_join(users[i].thread, NULL);
		guest_kill(&users[i].guest);
	}
}
END_TEST

void keeper_tests(Suite *suite)
{
	TCase *tcase = contract_case(suite, "keeper");

	tcase_add_loop_test(tcase, nothing_is_lost_by_a_kill, 0, 3);
	tcase_add_test(tcase, calls_while_it_is_killed);
	tcase_add_test(tcase, garbage_is_refused);
	tcase_add_test(tcase, another_version_is_told);
	tcase_add_test(tcase, other_users_are_refused);
	tcase_add_test(tcase, a_run_directory_with_a_long_path);
	tcase_add_test(tcase, threads_and_their_children);
}
