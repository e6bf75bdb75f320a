/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests with files and processes: a directory of their own, children, small file systems. */
#ifndef GL_TEST_SCRATCH_H
#define GL_TEST_SCRATCH_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRATCH_NOBODY 65534

static char scratch_path[PATH_MAX];

static inline void scratch_make(void)
{
	const char *base = getenv("TMPDIR");

	snprintf(scratch_path, sizeof(scratch_path), "%s/gl-unit-XXXXXX", base ? base : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(scratch_path));
}

/* Also what scratch_mount() and scratch_become_nobody() did. */
static inline void scratch_remove(void)
{
	char command[PATH_MAX + 16];

	if (geteuid() != getuid()) {
		ck_assert_int_eq(seteuid(getuid()), 0);
		/* Only then can the leak sanitizer look at the process again. */
		ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
	}
	snprintf(command, sizeof(command), "%s/mnt", scratch_path);
	umount2(command, MNT_DETACH);
	snprintf(command, sizeof(command), "rm -rf '%s'", scratch_path);
	ck_assert_int_eq(system(command), 0);
}

/* A user who may not write in the scratch directory, but may look; its owner who took his right away
 * otherwise. */
static inline void scratch_become_nobody(void)
{
	if (geteuid() == 0) {
		ck_assert_int_eq(chmod(scratch_path, 0755), 0);
		ck_assert_int_eq(seteuid(SCRATCH_NOBODY), 0);
	}
}

static inline bool scratch_write_proc(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0) {
		close(fd);
	}
	return done;
}

/* Root may have its own mounts; others where they may have their own user namespace, in which they are root.
 */
static inline bool scratch_own_mounts(void)
{
	char users[32], groups[32];

	snprintf(users, sizeof(users), "0 %d 1", (int)geteuid());
	snprintf(groups, sizeof(groups), "0 %d 1", (int)getegid());
	if (unshare(CLONE_NEWNS) < 0 && (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
					 !scratch_write_proc("/proc/self/setgroups", "deny") ||
					 !scratch_write_proc("/proc/self/uid_map", users) ||
					 !scratch_write_proc("/proc/self/gid_map", groups))) {
		return false;
	}
	return mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0;
}

/* Mounts a tmpfs with these options, seen by this process alone, at mnt in the directory. false: not allowed
 * here. */
static inline bool scratch_mount(const char *options, char out_path[PATH_MAX])
{
	int length = snprintf(out_path, PATH_MAX, "%s/mnt", scratch_path);

	ck_assert_int_lt(length, PATH_MAX);
	ck_assert_int_eq(mkdir(out_path, 0700), 0);
	if (!scratch_own_mounts() || mount("tmpfs", out_path, "tmpfs", 0, options) < 0) {
		fprintf(stderr, "# no tmpfs can be mounted here (%s): a part of the test is skipped\n",
			strerror(errno));
		return false;
	}
	return true;
}

static inline void scratch_make_read_only(const char *path)
{
	ck_assert_int_eq(mount("none", path, "none", MS_REMOUNT | MS_RDONLY, NULL), 0);
}

/* Zeroed memory that children share. */
static inline void *scratch_share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(memory, MAP_FAILED);
	return memory;
}

/* Runs run(data) in a child; it ends with what that returns. */
static inline pid_t scratch_spawn(int (*run)(void *), void *data)
{
	pid_t pid = fork();

	/* No assertion in the child: it would write among the messages of the test itself. */
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(run(data));
	}
	ck_assert_int_gt(pid, 0);
	return pid;
}

static inline void scratch_wait(pid_t pid)
{
	int status = 0;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child ended with status %#x",
		      (unsigned)status);
}

static inline void scratch_kill(pid_t pid)
{
	int status = 0;

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
}

/* For children: no file can grow beyond size bytes; writing beyond fails half way. */
static inline int scratch_limit_files(rlim_t size)
{
	struct rlimit limit = {.rlim_cur = size, .rlim_max = size};

	return signal(SIGXFSZ, SIG_IGN) == SIG_ERR ? -1 : setrlimit(RLIMIT_FSIZE, &limit);
}

/* Waits up to ten seconds until *flag is set by a child. */
static inline void scratch_await(const volatile int *flag)
{
	for (int i = 0; i < 10000 && !*flag; i++) {
		usleep(1000);
	}
	ck_assert_int_ne(*flag, 0);
}

#endif
