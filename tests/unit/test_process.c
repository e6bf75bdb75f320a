/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/base.h"
#include "child.h"
#include "life/process.h"
#include "life/procfs.h"
#include "namespaces.h"
#include "suites.h"

#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#define WORKERS 4
#define EXECUTIONS 300 /* of which some in a hundred are met */
#define THREADS 12
#define OTHER_BOOT "01234567-89ab-cdef-0123-456789abcdef"

static int64_t soon(int64_t ms)
{
	return guestlock_monotonic_ms() + ms;
}

static char state_of(pid_t pid)
{
	struct gl_stat stat = {0};

	ck_assert_int_eq(gl_stat_read(pid, 0, &stat), 0);
	return stat.state;
}

static void wait_for_state(pid_t pid, char state)
{
	int64_t deadline = soon(10000);

	while (state_of(pid) != state) {
		ck_assert_int_lt(guestlock_monotonic_ms(), deadline);
		child_sleep_ms(1);
	}
}

/* ---- Looking ---- */

START_TEST(looks_at_itself)
{
	struct gl_process process;
	struct timespec now;
	struct stat st;
	double started;
	char boot_id[64];

	ck_assert_int_eq(gl_process_look(getpid(), &process), 0);
	ck_assert_int_eq(process.pid, getpid());
	ck_assert_int_eq(stat("/proc/self/ns/pid", &st), 0);
	ck_assert_uint_eq(process.ns, st.st_ino);
	ck_assert_int_eq(gl_read_proc("/proc/sys/kernel/random/boot_id", boot_id, sizeof(boot_id)), 37);
	boot_id[36] = '\0';
	ck_assert_str_eq(process.boot_id, boot_id);
	ck_assert_int_eq(clock_gettime(CLOCK_BOOTTIME, &now), 0);
	started = (double)process.start / (double)sysconf(_SC_CLK_TCK);
	ck_assert_double_le(started, (double)now.tv_sec + 1);
	ck_assert_double_ge(started, (double)now.tv_sec - 120);
	ck_assert_int_eq(gl_process_presence(&process), GL_PRESENCE_HERE);
}
END_TEST

static bool same_process(const struct gl_process *a, const struct gl_process *b)
{
	return a->pid == b->pid && a->start == b->start && a->ns == b->ns &&
	       strcmp(a->boot_id, b->boot_id) == 0;
}

/* What the family knows is not asked again, and what it does not know is. */
START_TEST(looks_like_its_family)
{
	static const struct gl_family nobody;
	struct gl_family family, other;
	struct gl_process process, known;
	pid_t pid;

	gl_family_look(&family);
	ck_assert_int_eq(family.pid, getpid());
	ck_assert_uint_eq(family.ns, gl_pid_namespace());
	pid = child_fork();
	if (pid == 0) {
		CHILD_ASSERT(gl_process_look(getpid(), &process) == 0);
		CHILD_ASSERT(gl_process_look_here(&family, &known) == 0);
		CHILD_ASSERT(same_process(&known, &process));
		CHILD_ASSERT(gl_process_look_here(&nobody, &known) == 0);
		CHILD_ASSERT(same_process(&known, &process));
		other = family;
		other.ns++;
		CHILD_ASSERT(gl_process_look_here(&other, &known) == 0 && known.ns == other.ns);
		other.pid = INT32_MAX;
		CHILD_ASSERT(gl_process_look_here(&other, &known) == 0 && known.ns == process.ns);
		_exit(0);
	}
	ck_assert_int_eq(child_reap(pid), 0);
}
END_TEST

#define TAIL " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 7 0 4242 0\n"

static const struct {
	const char *text;
	bool good;
	char state;
} stat_texts[] = {
	{"12 (bash) S" TAIL, true, 'S'},
	{"12 (a b) R" TAIL, true, 'R'},
	{"12 (a) Z 1 2) T" TAIL, true, 'T'},
	{"12 ()) D" TAIL, true, 'D'},
	{"12 (a\n) S) t" TAIL, true, 't'},
	{"", false, 0},
	{"12 bash S" TAIL, false, 0},
	{"12 (bash)", false, 0},
	{"12 (bash) ", false, 0},
	{"12 (bash) S", false, 0},
	{"12 (bash) SS" TAIL, false, 0},
	{"12 (bash) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 7 0", false, 0},
	{"12 (bash) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 7 0 42", false, 0},
	{"12 (bash) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 7 0 4x 0", false, 0},
	{"12 (bash) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 7 0 -1 0", false, 0},
	{"12 (bash) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 7 0 99999999999999999999 0", false, 0},
};

START_TEST(parses_stat)
{
	struct gl_stat stat = {.state = '?', .threads = 1, .start = 2};
	bool good = gl_stat_parse(stat_texts[_i].text, &stat);

	ck_assert_int_eq(good, stat_texts[_i].good);
	if (good) {
		ck_assert_int_eq(stat.state, stat_texts[_i].state);
		ck_assert_uint_eq(stat.threads, 7);
		ck_assert_uint_eq(stat.start, 4242);
	} else {
		ck_assert_int_eq(stat.state, '?');
		ck_assert_uint_eq(stat.start, 2);
	}
}
END_TEST

START_TEST(sees_through_names)
{
	struct gl_process process;
	pid_t pid = child_fork();

	if (pid == 0) {
		prctl(PR_SET_NAME, ") Z 1 2\n(");
		kill(getpid(), SIGSTOP);
		_exit(0);
	}
	wait_for_state(pid, 'T');
	ck_assert_int_eq(gl_process_look(pid, &process), 0);
	ck_assert_int_eq(gl_process_presence(&process), GL_PRESENCE_HERE);
	child_kill(pid);
	ck_assert_int_eq(gl_process_presence(&process), GL_PRESENCE_GONE);
}
END_TEST

START_TEST(zombie_is_gone)
{
	struct gl_process process, after;
	pid_t pid = child_idle();

	ck_assert_int_eq(gl_process_look(pid, &process), 0);
	ck_assert_int_eq(gl_process_presence(&process), GL_PRESENCE_HERE);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	child_wait_end(pid);
	ck_assert_int_eq(kill(pid, 0), 0);
	ck_assert_int_eq(gl_process_presence(&process), GL_PRESENCE_GONE);
	ck_assert_int_eq(gl_process_look(pid, &after), -1);
	ck_assert_int_eq(errno, ESRCH);
	child_reap(pid);
	ck_assert_int_eq(gl_process_presence(&process), GL_PRESENCE_GONE);
	ck_assert_int_eq(gl_process_look(pid, &after), -1);
	ck_assert_int_eq(errno, ESRCH);
}
END_TEST

static void *wait_for_ever(void *data)
{
	for (;;) {
		pause();
	}
	return data;
}

/* A process whose first thread has ended while another goes on. */
static pid_t child_headless(void)
{
	pid_t pid = child_fork();

	if (pid == 0) {
		pthread_t thread;

		CHILD_ASSERT(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
		pthread_exit(NULL);
	}
	wait_for_state(pid, 'Z');
	return pid;
}

START_TEST(headless_is_here)
{
	struct gl_process process;
	pid_t pid = child_headless();

	ck_assert_int_eq(gl_process_look(pid, &process), 0);
	ck_assert_int_eq(gl_process_presence(&process), GL_PRESENCE_HERE);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	child_wait_end(pid);
	ck_assert_int_eq(gl_process_presence(&process), GL_PRESENCE_GONE);
	child_reap(pid);
}
END_TEST

START_TEST(knows_reused_pid)
{
	struct gl_process process;

	ck_assert_int_eq(gl_process_look(getpid(), &process), 0);
	process.start++;
	ck_assert_int_eq(gl_process_presence(&process), GL_PRESENCE_GONE);
	process.start = 0;
	ck_assert_int_eq(gl_process_presence(&process), GL_PRESENCE_HERE);
}
END_TEST

START_TEST(knows_other_boot_and_namespace)
{
	struct gl_process process, other;

	ck_assert_int_eq(gl_process_look(getpid(), &process), 0);
	other = process;
	memcpy(other.boot_id, OTHER_BOOT, sizeof(OTHER_BOOT));
	/* Number, start time and namespace are those of a process that is there: it is that one. */
	ck_assert_int_eq(gl_process_presence(&other), GL_PRESENCE_HERE);
	other.start = 0;
	ck_assert_int_eq(gl_process_presence(&other), GL_PRESENCE_GONE);
	other.start = process.start + 1;
	ck_assert_int_eq(gl_process_presence(&other), GL_PRESENCE_GONE);
	other.ns++;
	ck_assert_int_eq(gl_process_presence(&other), GL_PRESENCE_GONE);
	other = process;
	other.ns++;
	ck_assert_int_eq(gl_process_presence(&other), GL_PRESENCE_FOREIGN);
}
END_TEST

/* What is not known must not make a living process look dead. */
START_TEST(judges_the_unknown)
{
	struct gl_process process, other;
	pid_t pid = child_idle();

	ck_assert_int_eq(gl_process_look(pid, &process), 0);
	other = process;
	other.boot_id[0] = '\0';
	other.ns = 0;
	ck_assert_int_eq(gl_process_presence(&other), GL_PRESENCE_HERE);
	child_kill(pid);
	ck_assert_int_eq(gl_process_presence(&other), GL_PRESENCE_FOREIGN);
	/* Of a namespace all processes are gone that are not in it, whichever boot it was. */
	other.ns = process.ns;
	ck_assert_int_eq(gl_process_presence(&other), GL_PRESENCE_GONE);
	ck_assert_int_eq(gl_process_presence(&process), GL_PRESENCE_GONE);
	process.pid = 0;
	ck_assert_int_eq(gl_process_presence(&process), GL_PRESENCE_FOREIGN);
}
END_TEST

START_TEST(refuses_no_pid)
{
	struct gl_process process;

	ck_assert_int_eq(gl_process_look(0, &process), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(gl_process_look(-1, &process), -1);
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* A process of another namespace than the family's finds that out. */
static void look_here_from_within(const struct gl_family *family)
{
	struct gl_process process, known;
	/* As if the parent had this number here too. */
	struct gl_family twin = *family;

	twin.pid = getpid();
	CHILD_ASSERT(gl_process_look(getpid(), &process) == 0 && process.ns != family->ns);
	CHILD_ASSERT(gl_process_look_here(family, &known) == 0);
	CHILD_ASSERT(same_process(&known, &process));
	if (!gl_proc_is_ours()) {
		CHILD_ASSERT(gl_process_look_here(&twin, &known) == 0);
		CHILD_ASSERT(same_process(&known, &process));
	}
}

/* Where /proc still shows the pids of the namespace outside, in doubt a process is here. */
static void look_under_foreign_proc(const struct gl_process *outside)
{
	struct gl_process process;
	pid_t other;

	CHILD_ASSERT(!gl_proc_is_ours());
	CHILD_ASSERT(gl_process_presence(outside) == GL_PRESENCE_FOREIGN);
	CHILD_ASSERT(gl_process_look(1, &process) == 0);
	CHILD_ASSERT(process.pid == 1 && process.ns != outside->ns && process.start >= outside->start);
	process.start++;
	CHILD_ASSERT(gl_process_presence(&process) == GL_PRESENCE_HERE);
	other = fork();
	if (other == 0) {
		wait_for_ever(NULL);
	}
	CHILD_ASSERT(other > 1 && gl_process_look(other, &process) == -1 && errno == EACCES);
	CHILD_ASSERT(kill(other, SIGKILL) == 0 && waitpid(other, NULL, 0) == other);
	process.pid = other;
	CHILD_ASSERT(gl_process_presence(&process) == GL_PRESENCE_GONE);
}

static void look_from_within(const struct gl_process *outside, const struct gl_family *family)
{
	struct gl_process process;

	CHILD_ASSERT(getpid() == 1);
	look_here_from_within(family);
	look_under_foreign_proc(outside);
	CHILD_ASSERT(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0);
	if (mount("proc", "/proc", "proc", 0, NULL) == 0) {
		look_here_from_within(family);
		CHILD_ASSERT(gl_process_look(1, &process) == 0);
		CHILD_ASSERT(gl_process_presence(&process) == GL_PRESENCE_HERE);
		process.start++;
		CHILD_ASSERT(gl_process_presence(&process) == GL_PRESENCE_GONE);
	}
	_exit(0);
}

START_TEST(works_in_namespaces)
{
	struct gl_process outside;
	struct gl_family family;
	pid_t pid, inner;
	int status;

	gl_family_look(&family);
	ck_assert_int_eq(gl_process_look(getpid(), &outside), 0);
	pid = child_fork();
	if (pid == 0) {
		if (!unshare_pids()) {
			_exit(77);
		}
		inner = fork();
		CHILD_ASSERT(inner >= 0);
		if (inner == 0) {
			look_from_within(&outside, &family);
		}
		CHILD_ASSERT(waitpid(inner, &status, 0) == inner);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	}
	status = child_reap(pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		SKIP("no namespaces for this user");
	}
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(hidden_is_here)
{
	struct gl_process process, after;
	pid_t hidden, pid;

	if (getuid() != 0) {
		SKIP("needs root");
	}
	hidden = child_idle();
	ck_assert_int_eq(gl_process_look(hidden, &process), 0);
	pid = child_fork();
	if (pid == 0) {
		CHILD_ASSERT(unshare(CLONE_NEWNS) == 0);
		CHILD_ASSERT(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0);
		CHILD_ASSERT(mount("proc", "/proc", "proc", 0, "hidepid=2") == 0);
		CHILD_ASSERT(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
		CHILD_ASSERT(gl_process_look(hidden, &after) == -1 && errno == EACCES);
		CHILD_ASSERT(gl_process_presence(&process) == GL_PRESENCE_HERE);
		_exit(0);
	}
	child_expect_success(pid);
	child_kill(hidden);
}
END_TEST

/* ---- Stopping ---- */

/* Counts, in memory that the test sees. */
struct counters {
	_Atomic uint64_t count[WORKERS];
	_Atomic int started;
};

static struct counters *shared_counters(void)
{
	struct counters *counters =
		mmap(NULL, sizeof(*counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(counters, MAP_FAILED);
	return counters;
}

struct worker {
	struct counters *counters;
	unsigned number;
};

static void *count_for_ever(void *data)
{
	const struct worker *worker = data;

	atomic_fetch_add(&worker->counters->started, 1);
	for (;;) {
		atomic_fetch_add(&worker->counters->count[worker->number], 1);
		sched_yield();
	}
	return NULL;
}

static void wait_for_start(struct counters *counters, int number)
{
	int64_t deadline = soon(10000);

	while (atomic_load(&counters->started) < number) {
		ck_assert_int_lt(guestlock_monotonic_ms(), deadline);
		child_sleep_ms(1);
	}
}

static void copy_counts(struct counters *counters, uint64_t out_counts[WORKERS])
{
	for (unsigned i = 0; i < WORKERS; i++) {
		out_counts[i] = atomic_load(&counters->count[i]);
	}
}

/* Whether each counter stands still, or each moves on, for a while. */
static void expect_counting(struct counters *counters, bool counting)
{
	uint64_t before[WORKERS], now[WORKERS];
	int64_t deadline = soon(10000);
	bool all;

	copy_counts(counters, before);
	child_sleep_ms(30);
	do {
		copy_counts(counters, now);
		all = true;
		for (unsigned i = 0; i < WORKERS; i++) {
			all = all && (now[i] != before[i]) == counting;
		}
	} while (!all && counting && guestlock_monotonic_ms() < deadline);
	ck_assert(all);
}

static pid_t culprit;

/* Whoever has these pids now. */
static int stop_pids(const pid_t *pids, size_t count, int64_t deadline_ms)
{
	struct gl_target targets[WORKERS];

	CHILD_ASSERT(count <= GL_COUNT(targets));
	for (size_t i = 0; i < count; i++) {
		targets[i] = (struct gl_target){.pid = pids[i]};
	}
	return gl_process_stop(targets, count, deadline_ms, &culprit);
}

START_TEST(stops_and_continues_processes)
{
	struct counters *counters = shared_counters();
	pid_t pids[WORKERS];

	for (unsigned i = 0; i < WORKERS; i++) {
		pids[i] = child_fork();
		if (pids[i] == 0) {
			count_for_ever(&(struct worker){counters, i});
		}
	}
	wait_for_start(counters, WORKERS);
	expect_counting(counters, true);
	ck_assert_int_eq(stop_pids(pids, WORKERS, soon(10000)), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		ck_assert_int_eq(state_of(pids[i]), 'T');
	}
	expect_counting(counters, false);
	ck_assert_int_eq(stop_pids(pids, WORKERS, soon(10000)), 0);
	child_continue(pids, WORKERS);
	expect_counting(counters, true);
	for (unsigned i = 0; i < WORKERS; i++) {
		child_kill(pids[i]);
	}
}
END_TEST

START_TEST(stops_every_thread)
{
	struct counters *counters = shared_counters();
	pid_t pid = child_fork();

	if (pid == 0) {
		struct worker workers[WORKERS];
		pthread_t thread;

		for (unsigned i = 0; i < WORKERS; i++) {
			workers[i] = (struct worker){counters, i};
			CHILD_ASSERT(pthread_create(&thread, NULL, count_for_ever, &workers[i]) == 0);
		}
		wait_for_ever(NULL);
	}
	wait_for_start(counters, WORKERS);
	expect_counting(counters, true);
	ck_assert_int_eq(stop_pids(&pid, 1, soon(10000)), 0);
	expect_counting(counters, false);
	child_continue(&pid, 1);
	expect_counting(counters, true);
	child_kill(pid);
}
END_TEST

static void *read_for_ever(void *data)
{
	char byte;

	return read(*(const int *)data, &byte, 1) < 0 ? data : NULL;
}

/* A process of several threads that executes a program just after it has said so. */
static pid_t start_executing(int *out_said)
{
	int said[2], nothing[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(said, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(nothing, O_CLOEXEC), 0);
	pid = child_fork();
	if (pid == 0) {
		pthread_t thread;

		for (unsigned i = 0; i < THREADS; i++) {
			CHILD_ASSERT(pthread_create(&thread, NULL, read_for_ever, nothing) == 0);
		}
		CHILD_ASSERT(write(said[1], "x", 1) == 1);
		execlp("sleep", "sleep", "30", NULL);
		_exit(127);
	}
	close(said[1]);
	close(nothing[0]);
	close(nothing[1]);
	*out_said = said[0];
	return pid;
}

/* A SIGSTOP that a thread takes while another one executes is lost. */
START_TEST(stops_what_executes)
{
	for (unsigned i = 0; i < EXECUTIONS; i++) {
		int said;
		pid_t pid = start_executing(&said);
		char byte;

		ck_assert_int_eq(read(said, &byte, 1), 1);
		child_sleep_us(i % 20 * 10);
		ck_assert_msg(stop_pids(&pid, 1, soon(10000)) == 0, "%s", strerror(errno));
		ck_assert_int_eq(state_of(pid), 'T');
		child_continue(&pid, 1);
		close(said);
		child_kill(pid);
	}
}
END_TEST

START_TEST(gone_counts_as_stopped)
{
	pid_t pids[3] = {child_idle(), child_idle(), child_idle()};

	child_kill(pids[0]);
	ck_assert_int_eq(kill(pids[1], SIGKILL), 0);
	child_wait_end(pids[1]);
	ck_assert_int_eq(stop_pids(pids, 3, soon(10000)), 0);
	ck_assert_int_eq(state_of(pids[1]), 'Z');
	ck_assert_int_eq(state_of(pids[2]), 'T');
	child_continue(&pids[2], 1);
	wait_for_state(pids[2], 'S');
	child_reap(pids[1]);
	child_kill(pids[2]);
}
END_TEST

/* A pid that was given out again is another process. */
START_TEST(a_later_process_of_that_pid_is_not_meant)
{
	pid_t pid = child_idle();
	struct gl_process process;
	struct gl_target target = {.pid = pid};

	ck_assert_int_eq(gl_process_look(pid, &process), 0);
	target.start = process.start - 1;
	ck_assert_int_eq(gl_process_stop(&target, 1, soon(10000), &culprit), 0);
	ck_assert_int_ne(state_of(pid), 'T');
	ck_assert_int_eq(gl_process_signal(pid, process.start - 1, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	ck_assert_int_eq(gl_process_open(pid, process.start - 1), -1);
	ck_assert_int_eq(errno, ESRCH);
	ck_assert_int_eq(gl_process_signal(pid, process.start, SIGKILL), 0);
	child_wait_end(pid);
	/* A zombie is gone. */
	ck_assert_int_eq(gl_process_open(pid, process.start), -1);
	ck_assert_int_eq(errno, ESRCH);
	child_reap(pid);
	ck_assert_int_eq(gl_process_signal(pid, process.start, SIGKILL), 0);
}
END_TEST

START_TEST(stops_nothing_at_all)
{
	ck_assert_int_eq(stop_pids(NULL, 0, soon(0)), 0);
}
END_TEST

START_TEST(does_not_stop_itself)
{
	pid_t pids[2] = {child_idle(), getpid()};

	ck_assert_int_eq(stop_pids(pids, 2, soon(10000)), -1);
	ck_assert_int_eq(errno, EDEADLK);
	ck_assert_int_ne(state_of(pids[0]), 'T');
	child_kill(pids[0]);
}
END_TEST

static const pid_t wrong_pids[] = {0, -1, -2};

/* Signals to 0 and below reach whole groups. */
START_TEST(refuses_groups)
{
	pid_t pids[2] = {child_idle(), wrong_pids[_i]};

	ck_assert_int_eq(stop_pids(pids, 2, soon(10000)), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_ne(state_of(pids[0]), 'T');
	child_kill(pids[0]);
}
END_TEST

START_TEST(says_what_may_not_be_signalled)
{
	pid_t pid = child_fork();

	if (pid == 0) {
		pid_t pids[2] = {0, getppid()};

		if (getuid() == 0) {
			CHILD_ASSERT(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
		} else {
			pids[1] = 1;
		}
		pids[0] = child_idle();
		CHILD_ASSERT(stop_pids(pids, 2, soon(10000)) == -1 && errno == EPERM);
		CHILD_ASSERT(culprit == pids[1]);
		_exit(kill(pids[0], SIGKILL));
	}
	child_expect_success(pid);
}
END_TEST

/* A process that waits for a child as after vfork() does so uninterruptibly: it does not stop. */
static pid_t child_unstoppable(void)
{
	pid_t pid = child_fork();

	if (pid == 0) {
		if (syscall(SYS_clone, CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, NULL) == 0) {
			wait_for_ever(NULL);
		}
		_exit(0);
	}
	wait_for_state(pid, 'D');
	return pid;
}

START_TEST(gives_up_at_the_deadline)
{
	pid_t pids[3] = {child_idle(), child_idle(), child_unstoppable()};
	int64_t start;

	ck_assert_int_eq(stop_pids(&pids[1], 1, soon(10000)), 0);
	start = guestlock_monotonic_ms();
	ck_assert_int_eq(stop_pids(pids, 3, start + 200), -1);
	ck_assert_int_eq(errno, ETIMEDOUT);
	ck_assert_int_eq(culprit, pids[2]);
	ck_assert_int_ge(guestlock_monotonic_ms(), start + 200);
	ck_assert_int_lt(guestlock_monotonic_ms(), start + 5000);
	ck_assert_int_eq(state_of(pids[1]), 'T');
	for (unsigned i = 0; i < 3; i++) {
		child_kill(pids[i]);
	}
}
END_TEST

/* What is missing is said, not that /proc tells nothing. */
START_TEST(without_a_descriptor)
{
	struct gl_process process;
	struct rlimit limit, none;
	int result, failure;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	result = gl_process_look_here(&(struct gl_family){0}, &process);
	failure = errno;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_lt(result, 0);
	ck_assert_int_eq(failure, EMFILE);
	ck_assert_ptr_nonnull(strstr(gl_process_why_hidden(failure), "ulimit -n"));
	ck_assert_ptr_nonnull(strstr(gl_process_why_hidden(EACCES), "mount /proc"));
}
END_TEST

Suite *process_suite(void)
{
	Suite *suite = suite_create("process");
	TCase *look = tcase_create("look");
	TCase *stop = tcase_create("stop");
	TCase *executing = tcase_create("executing");

	tcase_add_test(look, without_a_descriptor);
	tcase_add_test(look, looks_at_itself);
	tcase_add_test(look, looks_like_its_family);
	tcase_add_loop_test(look, parses_stat, 0, GL_COUNT(stat_texts));
	tcase_add_test(look, sees_through_names);
	tcase_add_test(look, zombie_is_gone);
	tcase_add_test(look, headless_is_here);
	tcase_add_test(look, knows_reused_pid);
	tcase_add_test(look, knows_other_boot_and_namespace);
	tcase_add_test(look, judges_the_unknown);
	tcase_add_test(look, refuses_no_pid);
	tcase_add_test(look, works_in_namespaces);
	tcase_add_test(look, hidden_is_here);
	suite_add_tcase(suite, look);
	tcase_add_test(stop, stops_and_continues_processes);
	tcase_add_test(stop, stops_every_thread);
	tcase_add_test(stop, gone_counts_as_stopped);
	tcase_add_test(stop, a_later_process_of_that_pid_is_not_meant);
	tcase_add_test(stop, stops_nothing_at_all);
	tcase_add_test(stop, does_not_stop_itself);
	tcase_add_loop_test(stop, refuses_groups, 0, GL_COUNT(wrong_pids));
	tcase_add_test(stop, says_what_may_not_be_signalled);
	tcase_add_test(stop, gives_up_at_the_deadline);
	suite_add_tcase(suite, stop);
	tcase_add_test(executing, stops_what_executes);
	tcase_set_timeout(executing, 240);
	suite_add_tcase(suite, executing);
	return suite;
}
