/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/base.h"
#include "base/error.h"
#include "child.h"
#include "life/members.h"
#include "life/procfs.h"
#include "life/tether.h"
#include "suites.h"
#include "temporary.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define UUID "c0ffee00-1111-2222-3333-444444444444"
#define INSTANCE 0x1234
#define LIFE_NAME UUID ".0000000000001234"
#define OTHER_BOOT "01234567-89ab-cdef-0123-456789abcdef"

static char top[512]; /* of all tests of a case: it goes also after a failure */
static char directory[600];
static char life_dir[640];
static char life_path[768];

static void setup_base(void)
{
	temporary_make(top, sizeof(top), "tether");
	ck_assert_int_eq(chmod(top, 0711), 0);
}

static void setup(void)
{
	snprintf(directory, sizeof(directory), "%s/XXXXXX", top);
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(life_dir, sizeof(life_dir), "%s/run/life", directory);
	snprintf(life_path, sizeof(life_path), "%s/%s", life_dir, LIFE_NAME);
}

static void teardown_base(void)
{
	temporary_remove(top);
}

static struct guestlock_owner owner_of(pid_t pid)
{
	struct guestlock_owner owner = {.uuid = UUID, .instance = INSTANCE, .name = "guest", .pid = pid};
	struct gl_process process;

	ck_assert_int_eq(gl_process_look(pid, &process), 0);
	owner.pid_start = process.start;
	owner.pid_ns = process.ns;
	memcpy(owner.boot_id, process.boot_id, sizeof(owner.boot_id));
	return owner;
}

static enum guestlock_life life_of(const struct guestlock_owner *owner)
{
	return guestlock_owner_life(owner, life_dir);
}

/* ---- A guest: a process with a tether ---- */

struct guest {
	struct guestlock_owner owner;
	uint64_t inode;
	pid_t others[2]; /* processes that it started, 0: none */
};

struct report {
	struct guestlock_owner owner;
	uint64_t inode;
	int status;
	int fd;
	pid_t others[2];
};

/* What a guest does once it has its tether: fills report.others, and returns whether to go on as a guest. */
typedef void guest_fn(struct report *report);

static void as_guest(int output, guest_fn *start, guest_fn *go_on)
{
	struct report report = {.owner = owner_of(getpid()), .fd = -1};
	struct guestlock_error error = {0};

	report.status = gl_tether_open(&report.owner, life_dir, &report.fd, &report.inode, &error);
	if (report.status != GUESTLOCK_OK) {
		dprintf(STDERR_FILENO, "%s\n", error.message);
	}
	if (start) {
		start(&report);
	}
	CHILD_ASSERT(write(output, &report, sizeof(report)) == sizeof(report));
	close(output);
	if (go_on) {
		go_on(&report);
	}
	for (;;) {
		pause();
	}
}

/* start is called before, go_on after the test knows of the guest; both may be NULL. */
static struct guest start_guest(guest_fn *start, guest_fn *go_on)
{
	struct guest guest = {.inode = 0};
	struct report report;
	int ends[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	pid = child_fork();
	if (pid == 0) {
		close(ends[0]);
		as_guest(ends[1], start, go_on);
	}
	close(ends[1]);
	ck_assert_int_eq(read(ends[0], &report, sizeof(report)), sizeof(report));
	close(ends[0]);
	ck_assert_int_eq(report.status, GUESTLOCK_OK);
	guest.owner = report.owner;
	guest.inode = report.inode;
	memcpy(guest.others, report.others, sizeof(guest.others));
	return guest;
}

static const struct gl_membership *by(const struct guestlock_owner *owner, uint64_t inode)
{
	static const struct gl_process nobody;
	static struct gl_membership membership;

	membership = (struct gl_membership){.owner = owner, .tether_inode = inode, .watcher = &nobody};
	return &membership;
}

static void wait_for_life(const struct guestlock_owner *owner, enum guestlock_life life)
{
	int64_t deadline = guestlock_monotonic_ms() + 10000;

	while (life_of(owner) != life) {
		ck_assert_int_lt(guestlock_monotonic_ms(), deadline);
		child_sleep_ms(1);
	}
}

static int count_descriptors(void)
{
	DIR *fds = opendir("/proc/self/fd");
	uint64_t fd;
	int count = -1;

	ck_assert_ptr_nonnull(fds);
	while (gl_next_number(fds, &fd)) {
		count++;
	}
	closedir(fds);
	return count;
}

static int count_entries(const char *path)
{
	DIR *entries = opendir(path);
	int count = -2;

	if (!entries) {
		return 0;
	}
	while (readdir(entries)) {
		count++;
	}
	closedir(entries);
	return count;
}

/* ---- Opening ---- */

START_TEST(life_name)
{
	struct guestlock_owner owner = {.uuid = UUID, .instance = INSTANCE};
	char name[GUESTLOCK_LIFE_NAME_SIZE];

	guestlock_life_name_of(&owner, name);
	ck_assert_str_eq(name, LIFE_NAME);
	owner.instance = UINT64_MAX;
	guestlock_life_name_of(&owner, name);
	ck_assert_str_eq(name, UUID ".ffffffffffffffff");
}
END_TEST

START_TEST(opens_one_descriptor)
{
	struct guestlock_owner owner = owner_of(getpid());
	int before = count_descriptors();
	struct stat st;
	uint64_t inode = 0;
	int fd = -1;

	ck_assert_int_eq(gl_make_directory(life_dir, 0700), 0);
	umask(0777);
	ck_assert_int_eq(gl_tether_open(&owner, life_dir, &fd, &inode, NULL), GUESTLOCK_OK);
	umask(022);
	ck_assert_int_eq(count_descriptors(), before + 1);
	ck_assert_int_ge(fd, 3);
	ck_assert_int_eq(fcntl(fd, F_GETFD), 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert(S_ISSOCK(st.st_mode));
	ck_assert_uint_eq(st.st_ino, inode);
	ck_assert_int_eq(stat(life_path, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
	ck_assert_int_eq(life_of(&owner), GUESTLOCK_LIFE_ALIVE);
	close(fd);
	ck_assert_int_eq(life_of(&owner), GUESTLOCK_LIFE_UNTETHERED);
}
END_TEST

START_TEST(makes_private_directory)
{
	struct guest guest = start_guest(NULL, NULL);
	struct stat st;

	ck_assert_int_eq(stat(life_dir, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	child_kill(guest.owner.pid);
}
END_TEST

/* A guest's program takes 0, 1 and 2 for its own. */
START_TEST(leaves_standard_descriptors)
{
	pid_t pid = child_fork();

	if (pid == 0) {
		struct guestlock_owner owner = owner_of(getpid());
		uint64_t inode;
		int fd;

		close(0);
		close(1);
		close(2);
		if (gl_tether_open(&owner, life_dir, &fd, &inode, NULL) != GUESTLOCK_OK || fd < 3) {
			_exit(1);
		}
		for (int i = 0; i < 3; i++) {
			if (fcntl(i, F_GETFD) != -1) {
				_exit(2);
			}
		}
		_exit(life_of(&owner) == GUESTLOCK_LIFE_ALIVE ? 0 : 3);
	}
	child_expect_success(pid);
}
END_TEST

START_TEST(never_takes_a_used_name)
{
	struct guest guest = start_guest(NULL, NULL);
	struct guestlock_owner owner = owner_of(getpid());
	struct guestlock_error error = {0};
	int before = count_descriptors();
	uint64_t inode = 7;
	int fd = 8;

	ck_assert_int_eq(gl_tether_open(&owner, life_dir, &fd, &inode, &error), GUESTLOCK_CANNOT_CREATE);
	ck_assert_int_eq(error.code, GUESTLOCK_CANNOT_CREATE);
	ck_assert_int_eq(error.sys_errno, EEXIST);
	ck_assert_ptr_nonnull(strstr(error.message, life_path));
	ck_assert_int_eq(fd, 8);
	ck_assert_uint_eq(inode, 7);
	ck_assert_int_eq(count_descriptors(), before);
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_ALIVE);
	child_kill(guest.owner.pid);
}
END_TEST

START_TEST(needs_a_directory)
{
	struct guestlock_owner owner = owner_of(getpid());
	struct guestlock_error error = {0};
	char path[640];
	char longest[PATH_MAX + 1];
	uint64_t inode;
	int fd;

	snprintf(path, sizeof(path), "%s/file", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(gl_tether_open(&owner, path, &fd, &inode, &error), GUESTLOCK_CANNOT_CREATE);
	ck_assert_int_eq(error.sys_errno, ENOTDIR);
	ck_assert_int_eq(gl_tether_open(&owner, "/proc/no/where", &fd, &inode, &error),
			 GUESTLOCK_CANNOT_CREATE);
	memset(longest, 'd', sizeof(longest) - 1);
	longest[0] = '/';
	longest[PATH_MAX] = '\0';
	ck_assert_int_eq(gl_tether_open(&owner, longest, &fd, &inode, &error), GUESTLOCK_CANNOT_CREATE);
	ck_assert_int_eq(error.sys_errno, ENAMETOOLONG);
	ck_assert_int_eq(guestlock_owner_life(&owner, longest), GUESTLOCK_LIFE_UNKNOWN);
}
END_TEST

static void become_nobody(void)
{
	CHILD_ASSERT(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

/* A directory that this user may not write to, and files in it that it may not open. */
START_TEST(needs_permission)
{
	struct guest guest;
	pid_t pid;

	if (getuid() != 0) {
		SKIP("needs root");
	}
	guest = start_guest(NULL, NULL);
	pid = child_fork();
	if (pid == 0) {
		struct guestlock_owner owner;
		struct guestlock_error error = {0};
		uint64_t inode;
		int fd;

		become_nobody();
		owner = owner_of(getpid());
		CHILD_ASSERT(gl_tether_open(&owner, life_dir, &fd, &inode, &error) == GUESTLOCK_DENIED);
		CHILD_ASSERT(error.sys_errno == EACCES);
		CHILD_ASSERT(life_of(&guest.owner) == GUESTLOCK_LIFE_UNKNOWN);
		_exit(0);
	}
	child_expect_success(pid);
	ck_assert_int_eq(count_entries(life_dir), 1);
	child_kill(guest.owner.pid);
}
END_TEST

/* Whatever fails for want of descriptors: nothing is left, neither file nor descriptor. */
START_TEST(leaves_nothing_behind)
{
	const char *preload = getenv("LD_PRELOAD");
	pid_t pid;

	if (preload && strstr(preload, "vgpreload")) {
		SKIP("valgrind opens files before it counts descriptors");
	}
	pid = child_fork();
	if (pid == 0) {
		struct guestlock_owner owner = owner_of(getpid());
		struct rlimit limit;
		int before = count_descriptors();
		int failures = 0;
		uint64_t inode;
		int fd;

		CHILD_ASSERT(gl_make_directory(life_dir, 0700) == 0);
		CHILD_ASSERT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
		for (rlim_t most = 0; most < 64; most++) {
			struct guestlock_error error = {0};

			limit.rlim_cur = most;
			CHILD_ASSERT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
			if (gl_tether_open(&owner, life_dir, &fd, &inode, &error) == GUESTLOCK_OK) {
				break;
			}
			CHILD_ASSERT(error.sys_errno == EMFILE && error.code == GUESTLOCK_IO);
			failures++;
			limit.rlim_cur = 64;
			CHILD_ASSERT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
			CHILD_ASSERT(count_descriptors() == before);
			CHILD_ASSERT(count_entries(life_dir) == 0);
		}
		CHILD_ASSERT(failures >= 4);
		CHILD_ASSERT(life_of(&owner) == GUESTLOCK_LIFE_ALIVE);
		_exit(0);
	}
	child_expect_success(pid);
}
END_TEST

/* ---- Life and death ---- */

START_TEST(lives_until_killed)
{
	struct guest guest = start_guest(NULL, NULL);

	ck_assert_uint_ne(guest.inode, 0);
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_ALIVE);
	ck_assert_int_eq(kill(guest.owner.pid, SIGKILL), 0);
	child_wait_end(guest.owner.pid);
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_DEAD);
	child_reap(guest.owner.pid);
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_DEAD);
}
END_TEST

static void fork_idle(struct report *report)
{
	report->others[0] = child_idle();
}

static void end(struct report *report)
{
	(void)report;
	_exit(0);
}

START_TEST(lives_on_in_its_child)
{
	struct guest guest = start_guest(fork_idle, end);

	ck_assert_int_eq(child_reap(guest.owner.pid), 0);
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_ALIVE);
	ck_assert_int_eq(kill(guest.others[0], SIGKILL), 0);
	wait_for_life(&guest.owner, GUESTLOCK_LIFE_DEAD);
}
END_TEST

static void execute_sleep(struct report *report)
{
	(void)report;
	execlp("sleep", "sleep", "30", NULL);
	_exit(127);
}

static void wait_for_command(pid_t pid, const char *command)
{
	int64_t deadline = guestlock_monotonic_ms() + 10000;
	char path[64];
	char text[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	do {
		ck_assert_int_gt(gl_read_proc(path, text, sizeof(text)), 0);
		ck_assert_int_lt(guestlock_monotonic_ms(), deadline);
		child_sleep_ms(1);
	} while (strncmp(text, command, strlen(command)) != 0);
}

START_TEST(lives_through_exec)
{
	struct guest guest = start_guest(NULL, execute_sleep);

	wait_for_command(guest.owner.pid, "sleep");
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_ALIVE);
	child_kill(guest.owner.pid);
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_DEAD);
}
END_TEST

/* Away from its parent and its session, into another program. */
static void daemonize(struct report *report)
{
	pid_t middle = fork();
	int ends[2];

	CHILD_ASSERT(middle >= 0 && pipe(ends) == 0);
	if (middle == 0) {
		middle = child_fork();
		if (middle == 0) {
			setsid();
			execute_sleep(NULL);
		}
		_exit(0);
	}
	(void)report;
	_exit(0);
}

START_TEST(lives_on_as_a_daemon)
{
	struct guest guest = start_guest(NULL, daemonize);
	pid_t *pids;
	size_t count;

	child_reap(guest.owner.pid);
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_ALIVE);
	child_sleep_ms(50);
	ck_assert_int_eq(gl_members_find(by(&guest.owner, guest.inode), &pids, &count), 0);
	ck_assert_uint_eq(count, 1);
	wait_for_command(pids[0], "sleep");
	ck_assert_int_eq(kill(pids[0], SIGKILL), 0);
	free(pids);
	wait_for_life(&guest.owner, GUESTLOCK_LIFE_DEAD);
}
END_TEST

static void close_tether(struct report *report)
{
	close(report->fd);
}

START_TEST(closed_tether_is_noticed)
{
	struct guest guest = start_guest(close_tether, NULL);

	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_UNTETHERED);
	child_kill(guest.owner.pid);
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_DEAD);
}
END_TEST

/* Who reads from it takes the life lock out of the queue, and keeps it or lets it go. */
static void empty_tether(struct report *report)
{
	char byte;

	CHILD_ASSERT(recv(report->fd, &byte, 1, 0) == 1);
}

START_TEST(emptied_tether_is_noticed)
{
	struct guest guest = start_guest(empty_tether, NULL);

	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_UNTETHERED);
	child_kill(guest.owner.pid);
}
END_TEST

static void shut_tether_down(struct report *report)
{
	CHILD_ASSERT(shutdown(report->fd, SHUT_RDWR) == 0);
}

START_TEST(shut_tether_holds)
{
	struct guest guest = start_guest(shut_tether_down, NULL);

	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_ALIVE);
	child_kill(guest.owner.pid);
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_DEAD);
}
END_TEST

/* The kernel collects sockets that only sit in each other's queues: not this one. */
START_TEST(survives_collection)
{
	struct guest guest = start_guest(NULL, NULL);

	for (int i = 0; i < 50; i++) {
		char space[CMSG_SPACE(sizeof(int))] = {0};
		char byte = 0;
		struct iovec data = {.iov_base = &byte, .iov_len = 1};
		struct msghdr message = {.msg_iov = &data,
					 .msg_iovlen = 1,
					 .msg_control = space,
					 .msg_controllen = sizeof(space)};
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		int ends[2];

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &ends[1], sizeof(int));
		ck_assert_int_eq(sendmsg(ends[0], &message, 0), 1);
		close(ends[0]);
		close(ends[1]);
	}
	child_sleep_ms(50);
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_ALIVE);
	child_kill(guest.owner.pid);
}
END_TEST

/* Root outside of all containers knows that there is no such pid namespace. */
static bool sees_all(void)
{
	return getuid() == 0 && gl_pid_namespace() == 0xEFFFFFFC;
}

START_TEST(adopted_lives_by_its_pid)
{
	pid_t pid = child_idle();
	struct guestlock_owner owner = owner_of(pid);
	struct guestlock_owner other;

	owner.adopted = true;
	ck_assert_int_eq(life_of(&owner), GUESTLOCK_LIFE_ADOPTED);
	other = owner;
	other.pid_start++;
	ck_assert_int_eq(life_of(&other), GUESTLOCK_LIFE_DEAD);
	other = owner;
	memcpy(other.boot_id, OTHER_BOOT, sizeof(OTHER_BOOT));
	ck_assert_int_eq(life_of(&other), GUESTLOCK_LIFE_ADOPTED);
	other.pid_start++;
	ck_assert_int_eq(life_of(&other), GUESTLOCK_LIFE_DEAD);
	other = owner;
	other.pid_ns = UINT32_MAX;
	ck_assert_int_eq(life_of(&other), sees_all() ? GUESTLOCK_LIFE_DEAD : GUESTLOCK_LIFE_UNKNOWN);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	child_wait_end(pid);
	ck_assert_int_eq(life_of(&owner), GUESTLOCK_LIFE_DEAD);
	child_reap(pid);
	ck_assert_int_eq(life_of(&owner), GUESTLOCK_LIFE_DEAD);
}
END_TEST

/* How the same process is judged by who knows it as something else. */
static const struct {
	bool foreign_boot, foreign_ns, reused;
	enum guestlock_life untethered;
} judgements[] = {
	{false, false, false, GUESTLOCK_LIFE_UNTETHERED}, {true, false, false, GUESTLOCK_LIFE_UNTETHERED},
	{false, true, false, GUESTLOCK_LIFE_DEAD},        {false, false, true, GUESTLOCK_LIFE_DEAD},
	{true, true, true, GUESTLOCK_LIFE_DEAD},
};

START_TEST(judges)
{
	struct guest guest = start_guest(_i % 2 ? close_tether : NULL, NULL);
	struct guestlock_owner owner = guest.owner;

	if (judgements[_i / 2].foreign_boot) {
		memcpy(owner.boot_id, OTHER_BOOT, sizeof(OTHER_BOOT));
	}
	if (judgements[_i / 2].foreign_ns) {
		owner.pid_ns++;
	}
	if (judgements[_i / 2].reused) {
		owner.pid_start--;
	}
	ck_assert_int_eq(life_of(&owner), _i % 2 ? judgements[_i / 2].untethered : GUESTLOCK_LIFE_ALIVE);
	child_kill(guest.owner.pid);
	ck_assert_int_eq(life_of(&owner), GUESTLOCK_LIFE_DEAD);
}
END_TEST

START_TEST(missing_file_is_free)
{
	struct guest guest = start_guest(NULL, NULL);

	ck_assert_int_eq(unlink(life_path), 0);
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_UNTETHERED);
	child_kill(guest.owner.pid);
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_DEAD);
	ck_assert_int_eq(guestlock_owner_life(&guest.owner, "/nowhere/at/all"), GUESTLOCK_LIFE_DEAD);
}
END_TEST

START_TEST(unreadable_is_unknown)
{
	pid_t pid = child_idle();
	struct guestlock_owner owner = owner_of(pid);

	ck_assert_int_eq(gl_make_directory(life_dir, 0700), 0);
	ck_assert_int_eq(symlink("/dev/null", life_path), 0);
	ck_assert_int_eq(life_of(&owner), GUESTLOCK_LIFE_UNKNOWN);
	child_kill(pid);
	ck_assert_int_eq(life_of(&owner), GUESTLOCK_LIFE_UNKNOWN);
}
END_TEST

/* Somebody who probes must not look like a holder to somebody else who probes. */
START_TEST(probing_takes_nothing)
{
	struct guest guest = start_guest(close_tether, NULL);
	int fd = open(life_path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_UNTETHERED);
	}
	close(fd);
	fd = open(life_path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(guestlock_ofd_lock(fd, F_WRLCK), 0);
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_ALIVE);
	close(fd);
	child_kill(guest.owner.pid);
}
END_TEST

/* As long as somebody watches over it, a guest has not ended. */
START_TEST(watched_over)
{
	struct guest guest = start_guest(NULL, NULL);
	int fd = gl_life_watch(&guest.owner, life_dir);

	ck_assert_int_ge(fd, 3);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_ALIVE);
	child_kill(guest.owner.pid);
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_UNTETHERED);
	close(fd);
	wait_for_life(&guest.owner, GUESTLOCK_LIFE_DEAD);
	gl_tether_remove(&guest.owner, life_dir);
	ck_assert_int_eq(gl_life_watch(&guest.owner, life_dir), -1);
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

/* Takes the life file out of its tether, as a hostile guest can. */
static void take_life_file(struct report *report)
{
	char space[CMSG_SPACE(sizeof(int))] = {0}, byte;
	struct iovec data = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	int fd;

	CHILD_ASSERT(recvmsg(report->fd, &message, 0) == 1);
	CHILD_ASSERT(CMSG_FIRSTHDR(&message) != NULL);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	CHILD_ASSERT(write(fd, "x", 1) == -1 && errno == EBADF);
	report->others[0] = 1;
}

START_TEST(a_guest_cannot_write_its_life_file)
{
	struct guest guest = start_guest(take_life_file, NULL);

	ck_assert_int_eq(guest.others[0], 1);
	child_kill(guest.owner.pid);
}
END_TEST

START_TEST(removes)
{
	struct guest guest = start_guest(NULL, NULL);

	child_kill(guest.owner.pid);
	ck_assert_int_eq(access(life_path, F_OK), 0);
	gl_tether_remove(&guest.owner, life_dir);
	ck_assert_int_eq(access(life_path, F_OK), -1);
	gl_tether_remove(&guest.owner, life_dir);
	ck_assert_int_eq(count_entries(life_dir), 0);
}
END_TEST

/* ---- Who holds it ---- */

static void fork_two(struct report *report)
{
	report->others[0] = child_idle();
	report->others[1] = child_fork();
	if (report->others[1] == 0) {
		execute_sleep(NULL);
	}
}

static bool is_listed(const pid_t *pids, size_t count, pid_t pid)
{
	for (size_t i = 0; i < count; i++) {
		if (pids[i] == pid) {
			return true;
		}
	}
	return false;
}

START_TEST(finds_all_holders)
{
	struct guest guest = start_guest(fork_two, NULL);
	struct gl_target targets[3];
	pid_t *pids;
	size_t count;

	ck_assert_int_eq(gl_members_find(by(&guest.owner, guest.inode), &pids, &count), 0);
	ck_assert_uint_eq(count, 3);
	ck_assert(is_listed(pids, count, guest.owner.pid));
	ck_assert(is_listed(pids, count, guest.others[0]));
	ck_assert(is_listed(pids, count, guest.others[1]));
	for (size_t i = 0; i < count; i++) {
		targets[i] = (struct gl_target){.pid = pids[i]};
	}
	ck_assert_msg(gl_process_stop(targets, count, guestlock_monotonic_ms() + 10000, &(pid_t){0}) == 0,
		      "%s", strerror(errno));
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_ALIVE);
	child_continue(pids, count);
	for (size_t i = 0; i < count; i++) {
		ck_assert_int_eq(kill(pids[i], SIGKILL), 0);
	}
	free(pids);
	wait_for_life(&guest.owner, GUESTLOCK_LIFE_DEAD);
	ck_assert_int_eq(gl_members_find(by(&guest.owner, guest.inode), &pids, &count), 0);
	ck_assert_uint_eq(count, 0);
	free(pids);
}
END_TEST

static void *idle_thread(void *data)
{
	for (;;) {
		pause();
	}
	return data;
}

static void lose_first_thread(struct report *report)
{
	pthread_t thread;

	(void)report;
	CHILD_ASSERT(pthread_create(&thread, NULL, idle_thread, NULL) == 0);
	pthread_exit(NULL);
}

START_TEST(finds_headless_holder)
{
	struct guest guest = start_guest(NULL, lose_first_thread);
	struct gl_stat stat;
	pid_t *pids;
	size_t count;

	do {
		ck_assert_int_eq(gl_stat_read(guest.owner.pid, 0, &stat), 0);
	} while (stat.state != 'Z');
	ck_assert_int_eq(life_of(&guest.owner), GUESTLOCK_LIFE_ALIVE);
	ck_assert_int_eq(gl_members_find(by(&guest.owner, guest.inode), &pids, &count), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_int_eq(pids[0], guest.owner.pid);
	free(pids);
	child_kill(guest.owner.pid);
}
END_TEST

/* ---- Without descriptors in flight ---- */

/* Sends descriptors until the kernel lets this user have no more in flight. */
static bool use_up_flight(void)
{
	struct rlimit limit;
	char space[CMSG_SPACE(16 * sizeof(int))] = {0};
	char byte = 0;
	struct iovec data = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int ends[2];

	CHILD_ASSERT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = 64;
	CHILD_ASSERT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHILD_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(16 * sizeof(int));
	for (size_t i = 0; i < 16; i++) {
		int fd = STDERR_FILENO;

		memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof(int));
	}
	for (int i = 0; i < 64; i++) {
		if (sendmsg(ends[0], &message, MSG_DONTWAIT) < 0) {
			return errno == ETOOMANYREFS;
		}
	}
	return false;
}

static void without_flight(void)
{
	struct guestlock_owner owner, stranger;
	uint64_t inode = 1;
	pid_t *pids;
	size_t count;
	int before, fd, probe;

	if (getuid() == 0) {
		become_nobody();
	}
	owner = owner_of(getpid());
	/* Nobody is registered: who holds the file is found by that alone. */
	stranger = owner;
	stranger.pid = 0;
	if (!use_up_flight()) {
		_exit(77);
	}
	before = count_descriptors();
	CHILD_ASSERT(gl_tether_open(&owner, life_dir, &fd, &inode, NULL) == GUESTLOCK_OK);
	CHILD_ASSERT(inode == 0 && fd >= 3 && fcntl(fd, F_GETFD) == 0);
	CHILD_ASSERT(count_descriptors() == before + 1);
	CHILD_ASSERT(life_of(&owner) == GUESTLOCK_LIFE_ALIVE);
	CHILD_ASSERT(gl_members_find(by(&stranger, 0), &pids, &count) == 0);
	CHILD_ASSERT(count == 1 && pids[0] == getpid());
	free(pids);
	CHILD_ASSERT(unlink(life_path) == 0);
	CHILD_ASSERT(gl_members_find(by(&stranger, 0), &pids, &count) == 0 && count == 1);
	free(pids);
	CHILD_ASSERT(close(fd) == 0);
	CHILD_ASSERT(life_of(&owner) == GUESTLOCK_LIFE_UNTETHERED);
	probe = open(life_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHILD_ASSERT(probe >= 0);
	CHILD_ASSERT(gl_members_find(by(&stranger, 0), &pids, &count) == 0 && count == 0);
	free(pids);
	_exit(0);
}

START_TEST(inherits_the_file_instead)
{
	pid_t pid;
	int status;

	ck_assert_int_eq(gl_make_directory(life_dir, 0777), 0);
	ck_assert_int_eq(chmod(directory, 0755), 0);
	ck_assert_int_eq(chmod(life_dir, 0777), 0);
	pid = child_fork();
	if (pid == 0) {
		without_flight();
	}
	status = child_reap(pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		SKIP("this user may have any number of descriptors in flight");
	}
	ck_assert_int_eq(status, 0);
}
END_TEST

static TCase *new_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_add_unchecked_fixture(tcase, setup_base, teardown_base);
	tcase_add_checked_fixture(tcase, setup, NULL);
	suite_add_tcase(suite, tcase);
	return tcase;
}

Suite *tether_suite(void)
{
	Suite *suite = suite_create("tether");
	TCase *opening = new_case(suite, "open");
	TCase *life = new_case(suite, "life");
	TCase *holders = new_case(suite, "holders");

	tcase_add_test(opening, life_name);
	tcase_add_test(opening, opens_one_descriptor);
	tcase_add_test(opening, makes_private_directory);
	tcase_add_test(opening, leaves_standard_descriptors);
	tcase_add_test(opening, never_takes_a_used_name);
	tcase_add_test(opening, needs_a_directory);
	tcase_add_test(opening, needs_permission);
	tcase_add_test(opening, leaves_nothing_behind);
	tcase_add_test(life, lives_until_killed);
	tcase_add_test(life, lives_on_in_its_child);
	tcase_add_test(life, lives_through_exec);
	tcase_add_test(life, lives_on_as_a_daemon);
	tcase_add_test(life, closed_tether_is_noticed);
	tcase_add_test(life, emptied_tether_is_noticed);
	tcase_add_test(life, shut_tether_holds);
	tcase_add_test(life, survives_collection);
	tcase_add_test(life, adopted_lives_by_its_pid);
	tcase_add_loop_test(life, judges, 0, 2 * GL_COUNT(judgements));
	tcase_add_test(life, missing_file_is_free);
	tcase_add_test(life, unreadable_is_unknown);
	tcase_add_test(life, probing_takes_nothing);
	tcase_add_test(life, removes);
	tcase_add_test(life, watched_over);
	tcase_add_test(life, a_guest_cannot_write_its_life_file);
	tcase_add_test(holders, finds_all_holders);
	tcase_add_test(holders, finds_headless_holder);
	tcase_add_test(holders, inherits_the_file_instead);
	return suite;
}
