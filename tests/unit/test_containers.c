/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What containers see otherwise: boot ids, start times, pids. */
#include "base/base.h"
#include "child.h"
#include "life/process.h"
#include "namespaces.h"
#include "suites.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#define OTHER_BOOT "01234567-89ab-cdef-0123-456789abcdef"

static int64_t soon(int64_t ms)
{
	return guestlock_monotonic_ms() + ms;
}

static void wait_for_ever(void)
{
	for (;;) {
		pause();
	}
}

/* In a child of its own, which is told about the caller's child `pid`; needs root. */
static void in_child(void (*look)(const struct gl_process *process), const struct gl_process *process)
{
	pid_t pid = child_fork();

	if (pid == 0) {
		look(process);
		_exit(0);
	}
	child_expect_success(pid);
}

static void see_another_boot_id(const struct gl_process *process)
{
	char path[] = "/tmp/guestlock-boot.XXXXXX", boot_id[GUESTLOCK_UUID_STRING];
	struct gl_process seen;
	int fd = mkstemp(path);

	CHILD_ASSERT(fd >= 0 && write(fd, OTHER_BOOT "\n", 37) == 37 && close(fd) == 0);
	CHILD_ASSERT(unshare(CLONE_NEWNS) == 0);
	CHILD_ASSERT(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0);
	CHILD_ASSERT(mount(path, "/proc/sys/kernel/random/boot_id", "none", MS_BIND, NULL) == 0);
	CHILD_ASSERT(unlink(path) == 0);
	guestlock_boot_id(boot_id);
	CHILD_ASSERT(boot_id[0] == '\0');
	CHILD_ASSERT(gl_process_look(process->pid, &seen) == 0 && seen.boot_id[0] == '\0');
	CHILD_ASSERT(gl_process_presence(process) == GL_PRESENCE_HERE);
	seen = *process;
	seen.ns++;
	CHILD_ASSERT(gl_process_presence(&seen) == GL_PRESENCE_FOREIGN);
}

/* Another file of the kernel's in its place is no better. */
static void see_a_random_boot_id(const struct gl_process *process)
{
	char boot_id[GUESTLOCK_UUID_STRING];

	CHILD_ASSERT(unshare(CLONE_NEWNS) == 0);
	CHILD_ASSERT(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0);
	CHILD_ASSERT(mount("/proc/sys/kernel/random/uuid", "/proc/sys/kernel/random/boot_id", "none", MS_BIND,
			   NULL) == 0);
	guestlock_boot_id(boot_id);
	CHILD_ASSERT(boot_id[0] == '\0');
	CHILD_ASSERT(gl_process_presence(process) == GL_PRESENCE_HERE);
}

START_TEST(a_container_has_no_boot_id_of_its_own)
{
	struct gl_process process;
	pid_t pid;

	if (getuid() != 0) {
		SKIP("needs root");
	}
	pid = child_idle();
	ck_assert_int_eq(gl_process_look(pid, &process), 0);
	in_child(see_another_boot_id, &process);
	in_child(see_a_random_boot_id, &process);
	child_kill(pid);
}
END_TEST

static const struct {
	const char *offsets;
	bool whole; /* in ticks: start times can be told */
} time_namespaces[] = {
	{"boottime 100000 0", true},
	{"boottime 0 30000000", true},
	{"boottime -7 20000000", true},
	{"boottime 3 123456789", false},
};

static void look_from_time_namespace(const struct gl_process *process, bool whole)
{
	struct gl_process seen, other = *process;

	CHILD_ASSERT(gl_process_look(process->pid, &seen) == 0);
	CHILD_ASSERT(seen.start == (whole ? process->start : 0));
	CHILD_ASSERT(gl_process_presence(process) == GL_PRESENCE_HERE);
	other.start++;
	CHILD_ASSERT(gl_process_presence(&other) == (whole ? GL_PRESENCE_GONE : GL_PRESENCE_HERE));
	_exit(0);
}

START_TEST(sees_start_times_of_the_host)
{
	struct gl_process process;
	pid_t pid, idle, inner;
	int status;

	if (getuid() != 0) {
		SKIP("needs root");
	}
	idle = child_idle();
	ck_assert_int_eq(gl_process_look(idle, &process), 0);
	pid = child_fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWTIME) < 0) {
			_exit(77);
		}
		CHILD_ASSERT(namespaces_write("/proc/self/timens_offsets", time_namespaces[_i].offsets));
		/* This one is in the old namespace, and /proc tells it of the new one. */
		CHILD_ASSERT(gl_process_presence(&process) == GL_PRESENCE_HERE);
		inner = fork();
		CHILD_ASSERT(inner >= 0);
		if (inner == 0) {
			look_from_time_namespace(&process, time_namespaces[_i].whole);
		}
		CHILD_ASSERT(waitpid(inner, &status, 0) == inner && WIFEXITED(status));
		_exit(WEXITSTATUS(status));
	}
	status = child_reap(pid);
	child_kill(idle);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		SKIP("no time namespaces here");
	}
	ck_assert_int_eq(status, 0);
}
END_TEST

/* A process of a pid namespace below, as it knows itself; what it writes is read from there. */
static pid_t start_below(int report[2], struct gl_process *out_inner)
{
	pid_t pid;

	ck_assert_int_eq(pipe2(report, O_CLOEXEC), 0);
	pid = child_fork();
	if (pid == 0) {
		struct gl_process process;

		if (!unshare_pids()) {
			_exit(77);
		}
		if (fork() == 0) {
			CHILD_ASSERT(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
			CHILD_ASSERT(gl_process_look(getpid(), &process) == 0);
			CHILD_ASSERT(write(report[1], &process, sizeof(process)) == sizeof(process));
			wait_for_ever();
		}
		wait_for_ever();
	}
	close(report[1]);
	if (read(report[0], out_inner, sizeof(*out_inner)) != sizeof(*out_inner)) {
		child_reap(pid);
		return 0;
	}
	return pid;
}

START_TEST(finds_processes_of_namespaces_below)
{
	/* As it is in a container, of which others are no part. */
	bool sees_all = getuid() == 0 && gl_pid_namespace() == 0xEFFFFFFC;
	struct gl_process process, other;
	int report[2];
	pid_t pid = start_below(report, &process);

	if (pid == 0) {
		SKIP("no namespaces for this user");
	}
	ck_assert_int_eq(process.pid, 1);
	ck_assert_int_eq(gl_process_presence(&process), GL_PRESENCE_FOREIGN);
	if (getuid() == 0) {
		ck_assert_int_eq(gl_process_abroad(&process), GL_PRESENCE_HERE);
	}
	other = process;
	other.start++;
	ck_assert_int_eq(gl_process_abroad(&other), sees_all ? GL_PRESENCE_GONE : GL_PRESENCE_FOREIGN);
	other = process;
	other.pid++;
	ck_assert_int_eq(gl_process_abroad(&other), sees_all ? GL_PRESENCE_GONE : GL_PRESENCE_FOREIGN);
	child_kill(pid);
	/* End of file: the other one has ended, too. */
	ck_assert_int_eq(read(report[0], &other, 1), 0);
	close(report[0]);
	for (int64_t deadline = soon(10000); gl_process_abroad(&process) == GL_PRESENCE_HERE;) {
		ck_assert_int_lt(guestlock_monotonic_ms(), deadline);
	}
	ck_assert_int_eq(gl_process_abroad(&process), sees_all ? GL_PRESENCE_GONE : GL_PRESENCE_FOREIGN);
}
END_TEST

static void seek_from_within(const struct gl_process *process)
{
	pid_t inner;

	CHILD_ASSERT(unshare_pids());
	inner = fork();
	if (inner == 0) {
		CHILD_ASSERT(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0);
		CHILD_ASSERT(gl_process_abroad(process) == GL_PRESENCE_FOREIGN);
		CHILD_ASSERT(mount("proc", "/proc", "proc", 0, NULL) == 0);
		CHILD_ASSERT(gl_process_abroad(process) == GL_PRESENCE_FOREIGN);
		_exit(0);
	}
	child_expect_success(inner);
}

/* Who does not see everybody finds nobody gone. */
START_TEST(a_container_finds_nobody_gone)
{
	struct gl_process process;
	pid_t pid;

	if (getuid() != 0) {
		SKIP("needs root");
	}
	pid = child_idle();
	ck_assert_int_eq(gl_process_look(pid, &process), 0);
	in_child(seek_from_within, &process);
	child_kill(pid);
	in_child(seek_from_within, &process);
}
END_TEST

Suite *containers_suite(void)
{
	Suite *suite = suite_create("containers");
	TCase *tcase = tcase_create("containers");

	tcase_add_test(tcase, a_container_has_no_boot_id_of_its_own);
	tcase_add_loop_test(tcase, sees_start_times_of_the_host, 0, GL_COUNT(time_namespaces));
	tcase_add_test(tcase, finds_processes_of_namespaces_below);
	tcase_add_test(tcase, a_container_finds_nobody_gone);
	suite_add_tcase(suite, tcase);
	return suite;
}
