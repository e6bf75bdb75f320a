/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who belongs to a guest, with processes that behave as those of guests do, and as those of hostile ones. */
#include "base/base.h"
#include "child.h"
#include "life/members.h"
#include "life/procfs.h"
#include "suites.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define UUID "c0ffee00-1111-2222-3333-444444444444"

/* What the processes of one test share. */
struct shared {
	_Atomic uint64_t writes;      /* by whoever is a writer */
	_Atomic bool over;            /* chains end */
	_Atomic int pids[4];          /* whom the test asks about */
	struct guestlock_owner owner; /* of the guest, for the test after it */
	uint64_t inode;
};

static struct shared *shared;
static int tether = -1; /* an end of a socket; the guest's processes keep it, we do not */
static uint64_t inode;

static void share(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(shared != MAP_FAILED);
}

static struct guestlock_owner owner_of(pid_t pid)
{
	struct guestlock_owner owner = {.uuid = UUID, .instance = 1, .name = "guest", .pid = pid};
	struct gl_process process;

	ck_assert_int_eq(gl_process_look(pid, &process), 0);
	owner.pid_start = process.start;
	owner.pid_ns = process.ns;
	return owner;
}

static struct gl_process watcher; /* pid 0: nobody */

static const struct gl_membership *by(const struct guestlock_owner *owner)
{
	static struct gl_membership membership;

	membership = (struct gl_membership){.owner = owner, .tether_inode = inode, .watcher = &watcher};
	return &membership;
}

/* Of the test before, when that failed: what was stopped ends by no alarm. */
static void end_what_is_left(void)
{
	inode = shared->inode;
	if (shared->owner.pid) {
		gl_members_kill(by(&shared->owner));
	}
}

static void setup(void)
{
	int ends[2];
	struct stat st;

	end_what_is_left();
	memset(shared, 0, sizeof(*shared));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	tether = ends[0];
	/* What a chain leaves is ours to wait for, and not that of whoever is pid 1 here. */
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	ck_assert_int_eq(fstat(tether, &st), 0);
	inode = shared->inode = st.st_ino;
}

static void say_pid(unsigned slot)
{
	atomic_store(&shared->pids[slot], getpid());
}

static pid_t pid_said(unsigned slot)
{
	int64_t deadline = guestlock_monotonic_ms() + 10000;

	while (atomic_load(&shared->pids[slot]) == 0) {
		ck_assert_int_lt(guestlock_monotonic_ms(), deadline);
		child_sleep_ms(1);
	}
	return atomic_load(&shared->pids[slot]);
}

__attribute__((noreturn)) static void write_for_ever(void)
{
	for (;;) {
		atomic_fetch_add(&shared->writes, 1);
		sched_yield();
	}
}

/* The guest's first process, in a session of its own, as the command starts it. */
static pid_t fork_guest(void (*main)(void))
{
	pid_t pid = child_fork();

	if (pid == 0) {
		setsid();
		main();
		for (;;) {
			pause();
		}
	}
	return pid;
}

/* The test itself does not keep the tether. */
static struct guestlock_owner start_guest(void (*main)(void))
{
	pid_t pid = fork_guest(main);

	close(tether);
	return shared->owner = owner_of(pid);
}

static void expect_no_writes(void)
{
	uint64_t before = atomic_load(&shared->writes);

	child_sleep_ms(50);
	ck_assert_uint_eq(atomic_load(&shared->writes), before);
}

static void expect_stopped(const struct guestlock_owner *owner)
{
	struct gl_culprit culprit;
	size_t count;

	ck_assert_msg(gl_members_stop(by(owner), guestlock_monotonic_ms() + 20000, &count, &culprit) == 0,
		      "%s: pid %d", strerror(errno), (int)culprit.pid);
	ck_assert_uint_gt(count, 0);
	expect_no_writes();
}

static void expect_writes(void)
{
	uint64_t before = atomic_load(&shared->writes);
	int64_t deadline = guestlock_monotonic_ms() + 10000;

	while (atomic_load(&shared->writes) == before) {
		ck_assert_int_lt(guestlock_monotonic_ms(), deadline);
		child_sleep_ms(1);
	}
}

static size_t count_members(const struct guestlock_owner *owner)
{
	GL_AUTOFREE pid_t *pids = NULL;
	size_t count;

	ck_assert_int_eq(gl_members_find(by(owner), &pids, &count), 0);
	return count;
}

static void end_guest(const struct guestlock_owner *owner)
{
	ck_assert_int_eq(gl_members_kill(by(owner)), 0);
	child_reap(owner->pid);
	shared->owner.pid = 0;
}

/* Who was sent SIGKILL is there for an instant more. */
static void wait_for_the_last(const struct guestlock_owner *owner)
{
	int64_t deadline = guestlock_monotonic_ms() + 10000;

	while (count_members(owner) > 0) {
		ck_assert_int_lt(guestlock_monotonic_ms(), deadline);
		child_sleep_ms(1);
	}
}

/* Those orphans that have ended; the guest's first process is waited for by name. */
static void reap_orphans(const struct guestlock_owner *owner)
{
	siginfo_t info = {.si_pid = 0};

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0 &&
	       info.si_pid != owner->pid) {
		child_reap(info.si_pid);
		info.si_pid = 0;
	}
}

/* As Python's subprocess does, and most of what starts a program in the background. */
static void start_untethered(void)
{
	if (child_fork() == 0) {
		close(tether);
		if (child_fork() == 0) {
			setsid();
			write_for_ever();
		}
		for (;;) {
			pause();
		}
	}
}

START_TEST(descendants_without_the_tether)
{
	struct guestlock_owner owner = start_guest(start_untethered);
	struct gl_culprit culprit;

	expect_writes();
	expect_stopped(&owner);
	ck_assert_int_eq(gl_members_continue(by(&owner), &culprit), 0);
	expect_writes();
	end_guest(&owner);
}
END_TEST

/* What closed everything is an orphan when its parent ends, and only who watches over the guest leads to it. */
static void start_orphan(void)
{
	if (child_fork() == 0) {
		close(tether);
		if (child_fork() == 0) {
			say_pid(0);
			setsid();
			write_for_ever();
		}
		_exit(0);
	}
}

START_TEST(orphans_of_who_is_watched_over)
{
	struct guestlock_owner owner;
	struct gl_culprit culprit;

	owner = start_guest(start_orphan);
	expect_writes();
	ck_assert(!gl_members_are_still(by(&owner)));
	ck_assert_int_eq(gl_process_look(getpid(), &watcher), 0);
	expect_stopped(&owner);
	ck_assert(gl_members_are_still(by(&owner)));
	ck_assert_int_eq(kill(pid_said(0), SIGCONT), 0);
	expect_writes();
	ck_assert(!gl_members_are_still(by(&owner)));
	ck_assert_int_eq(gl_members_continue(by(&owner), &culprit), 0);
	end_guest(&owner);
}
END_TEST

/* Each writer lives for an instant, and has made the next one by then. */
static void fork_on(bool in_sessions)
{
	int64_t end = guestlock_monotonic_ms() + CHILD_SECONDS * 1000;

	while (!atomic_load(&shared->over) && guestlock_monotonic_ms() < end) {
		pid_t pid;

		if (in_sessions) {
			setsid();
		}
		atomic_fetch_add(&shared->writes, 1);
		child_sleep_us(300);
		pid = fork();
		if (pid > 0 || (pid < 0 && errno != EAGAIN)) {
			break;
		}
	}
	_exit(0);
}

static void start_chain(void)
{
	signal(SIGCHLD, SIG_IGN);
	if (child_fork() == 0) {
		fork_on(false);
	}
}

START_TEST(a_chain_of_short_lives)
{
	struct guestlock_owner owner = start_guest(start_chain);

	for (unsigned i = 0; i < 20; i++) {
		struct gl_culprit culprit;

		expect_writes();
		expect_stopped(&owner);
		reap_orphans(&owner);
		ck_assert_int_eq(gl_members_continue(by(&owner), &culprit), 0);
	}
	expect_writes();
	end_guest(&owner);
	wait_for_the_last(&owner);
	expect_no_writes();
}
END_TEST

/* A shell waits in vfork() for its child to execute, again and again; both are of one group. */
static void start_shell(void)
{
	execlp("sh", "sh", "-c", "while :; do /bin/true; done", NULL);
	_exit(127);
}

START_TEST(a_parent_that_waits_in_vfork)
{
	struct guestlock_owner owner = start_guest(start_shell);

	for (unsigned i = 0; i < 30; i++) {
		struct gl_culprit culprit;

		child_sleep_us(i * 97);
		expect_stopped(&owner);
		ck_assert_int_eq(gl_members_continue(by(&owner), &culprit), 0);
		reap_orphans(&owner);
	}
	end_guest(&owner);
}
END_TEST

static void start_chain_of_sessions(void)
{
	signal(SIGCHLD, SIG_IGN);
	if (child_fork() == 0) {
		fork_on(true);
	}
}

/* No signal reaches all of these at once. Either nobody writes, or it is said that somebody may. */
START_TEST(a_chain_of_sessions)
{
	struct guestlock_owner owner = start_guest(start_chain_of_sessions);

	for (unsigned i = 0; i < 5; i++) {
		struct gl_culprit culprit;
		size_t count;

		expect_writes();
		if (gl_members_stop(by(&owner), guestlock_monotonic_ms() + 500, &count, &culprit) == 0) {
			expect_no_writes();
		} else {
			ck_assert_int_eq(errno, ETIMEDOUT);
		}
		reap_orphans(&owner);
		ck_assert_int_eq(gl_members_continue(by(&owner), &culprit), 0);
	}
	atomic_store(&shared->over, true);
	end_guest(&owner);
}
END_TEST

static void become_nobody(void)
{
	CHILD_ASSERT(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

/* One who got the tether from a guest of another user, as a daemon that keeps what it is sent. */
static pid_t start_receiver(void)
{
	pid_t pid = child_fork();

	if (pid == 0) {
		/* Not of the guest: of the test itself. */
		for (;;) {
			pause();
		}
	}
	return pid;
}

/* A guest, and one that is younger and got its tether. */
static struct guestlock_owner start_guest_beside(void (*main)(void), pid_t *out_receiver)
{
	pid_t pid = fork_guest(main);
	struct guestlock_owner owner = shared->owner = owner_of(pid);

	*out_receiver = start_receiver();
	close(tether);
	return owner;
}

/* Who was there before the guest is none of its processes, whatever it was sent. */
START_TEST(who_is_older_is_no_member)
{
	pid_t receiver = start_receiver();
	struct guestlock_owner owner;
	struct gl_stat stat;

	child_sleep_ms(30); /* some ticks of the clock by which processes are told apart */
	owner = start_guest(start_untethered);
	expect_writes();
	expect_stopped(&owner);
	ck_assert_int_eq(gl_stat_read(receiver, 0, &stat), 0);
	ck_assert_int_ne(stat.state, 'T');
	end_guest(&owner);
	ck_assert_int_eq(waitpid(receiver, NULL, WNOHANG), 0);
	child_kill(receiver);
}
END_TEST

START_TEST(who_was_sent_the_tether_is_not_signalled)
{
	struct guestlock_owner owner;
	struct gl_culprit culprit;
	struct gl_stat stat;
	pid_t receiver;
	size_t count;

	if (getuid() != 0) {
		SKIP("needs root");
	}
	owner = start_guest_beside(become_nobody, &receiver);
	/* Until it is nobody. */
	while (count_members(&owner) > 1) {
		child_sleep_ms(1);
	}
	ck_assert_int_eq(gl_members_stop(by(&owner), guestlock_monotonic_ms() + 10000, &count, &culprit), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(culprit.pid, receiver);
	ck_assert_str_ne(culprit.program, "");
	ck_assert_int_eq(gl_stat_read(receiver, 0, &stat), 0);
	ck_assert_int_ne(stat.state, 'T');
	end_guest(&owner);
	ck_assert_int_eq(kill(receiver, 0), 0);
	ck_assert_int_eq(waitpid(receiver, NULL, WNOHANG), 0);
	/* Nobody is left who could say whose tether it is; the receiver alone is of one user. */
	child_kill(receiver);
}
END_TEST

/* Two users have the tether, and the registered process is gone: neither is taken for the guest. */
START_TEST(whose_it_is_when_the_first_is_gone)
{
	struct guestlock_owner owner;
	pid_t pid, receiver, *pids = NULL;
	size_t count;

	if (getuid() != 0) {
		SKIP("needs root");
	}
	owner = start_guest_beside(become_nobody, &receiver);
	pid = owner.pid;
	owner.pid = 0;
	do {
		free(pids);
		ck_assert_int_eq(gl_members_find(by(&owner), &pids, &count), 0);
	} while (count > 0);
	free(pids);
	ck_assert_int_eq(gl_members_kill(by(&owner)), 0);
	ck_assert_int_eq(kill(receiver, 0), 0);
	child_kill(pid);
	shared->owner.pid = 0;
	ck_assert_int_eq(gl_members_find(by(&owner), &pids, &count), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_int_eq(pids[0], receiver);
	free(pids);
	child_kill(receiver);
}
END_TEST

START_TEST(nobody_at_all)
{
	struct guestlock_owner owner = start_guest(start_chain);
	struct gl_culprit culprit;
	size_t count = 1;

	expect_writes();
	end_guest(&owner);
	wait_for_the_last(&owner);
	ck_assert_int_eq(gl_members_stop(by(&owner), guestlock_monotonic_ms() + 10000, &count, &culprit), 0);
	ck_assert_uint_eq(count, 0);
	ck_assert(gl_members_continue(by(&owner), &culprit) < 0 && errno == ESRCH);
}
END_TEST

/* The one that asks is a descendant of the guest. */
static void stop_own_guest(void)
{
	if (child_fork() == 0) {
		struct guestlock_owner owner = owner_of(getppid());
		struct gl_culprit culprit;
		size_t count;

		CHILD_ASSERT(gl_members_stop(by(&owner), guestlock_monotonic_ms() + 5000, &count, &culprit) <
			     0);
		CHILD_ASSERT(errno == EDEADLK);
		say_pid(0);
		_exit(0);
	}
}

START_TEST(the_caller_is_among_them)
{
	struct guestlock_owner owner = start_guest(stop_own_guest);

	pid_said(0);
	end_guest(&owner);
}
END_TEST

Suite *members_suite(void)
{
	Suite *suite = suite_create("members");
	TCase *basic = tcase_create("basic");

	tcase_add_unchecked_fixture(basic, share, end_what_is_left);
	tcase_add_checked_fixture(basic, setup, NULL);
	tcase_set_timeout(basic, 60);
	tcase_add_test(basic, descendants_without_the_tether);
	tcase_add_test(basic, orphans_of_who_is_watched_over);
	tcase_add_test(basic, a_chain_of_short_lives);
	tcase_add_test(basic, a_chain_of_sessions);
	tcase_add_test(basic, a_parent_that_waits_in_vfork);
	tcase_add_test(basic, who_is_older_is_no_member);
	tcase_add_test(basic, who_was_sent_the_tether_is_not_signalled);
	tcase_add_test(basic, whose_it_is_when_the_first_is_gone);
	tcase_add_test(basic, nobody_at_all);
	tcase_add_test(basic, the_caller_is_among_them);
	suite_add_tcase(suite, basic);
	return suite;
}
