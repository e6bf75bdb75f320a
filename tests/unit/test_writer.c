/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who has a file open for writing. */
#include "base/base.h"
#include "child.h"
#include "life/writer.h"
#include "scratch.h"
#include "suites.h"

#include <pthread.h>
#include <sys/syscall.h>

static char path[PATH_MAX + 16], other[PATH_MAX + 16];
static const char *const names[] = {"/nowhere/at/all", path};
static struct gl_file file;

static void setup(void)
{
	struct stat st;

	scratch_make();
	snprintf(path, sizeof(path), "%s/image", scratch_path);
	snprintf(other, sizeof(other), "%s/image2", scratch_path);
	ck_assert_int_eq(guestlock_write_file(path, "x", 1, 0600), 0);
	ck_assert_int_eq(guestlock_write_file(other, "x", 1, 0600), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	file = (struct gl_file){.names = names, .n_names = 2, .device = st.st_dev, .inode = st.st_ino};
}

static void teardown(void)
{
	scratch_remove();
}

/* Does a process that has opened that count as one that writes the file? */
static bool writes(const char *name, int flags)
{
	int fd = open(name, flags | O_CLOEXEC);
	bool result;

	ck_assert_int_ge(fd, 0);
	result = gl_process_writes(getpid(), &file);
	close(fd);
	return result;
}

START_TEST(how_it_is_open)
{
	ck_assert(!gl_process_writes(getpid(), &file));
	ck_assert(!writes(path, O_RDONLY));
	ck_assert(!writes(path, O_PATH));
	ck_assert(!writes(other, O_RDWR));
	ck_assert(writes(path, O_RDWR));
	ck_assert(writes(path, O_WRONLY | O_APPEND));
	ck_assert(!gl_process_writes(getpid(), &file));
	ck_assert(!gl_process_writes(0x3fffffff, &file));
}
END_TEST

START_TEST(by_its_name_alone)
{
	int fd;

	file.inode = 0;
	ck_assert(writes(path, O_RDWR));
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert(gl_process_writes(getpid(), &file));
	close(fd);
}
END_TEST

START_TEST(by_its_inode_alone)
{
	char info[200] = "";
	int fd = open("/proc/self/fdinfo/0", O_RDONLY | O_CLOEXEC);

	ck_assert_int_gt(gl_read_all(fd, info, sizeof(info) - 1, -1), 0);
	close(fd);
	if (!strstr(info, "\nino:")) {
		SKIP("this kernel does not tell the inodes of descriptors");
	}
	file.n_names = 1;
	ck_assert(writes(path, O_RDWR));
	/* Another file system has the same number. */
	file.device++;
	ck_assert(!writes(path, O_RDWR));
}
END_TEST

static void *stay(void *data)
{
	(void)data;
	child_sleep_ms(CHILD_SECONDS * 1000);
	return NULL;
}

START_TEST(a_process_whose_first_thread_has_ended)
{
	int64_t deadline = guestlock_monotonic_ms() + 10000;
	pid_t pid = child_fork();

	if (pid == 0) {
		int fd = open(path, O_RDWR | O_CLOEXEC);
		pthread_t thread;

		CHILD_ASSERT(fd >= 0);
		CHILD_ASSERT(pthread_create(&thread, NULL, stay, NULL) == 0);
		syscall(SYS_exit, 0);
	}
	while (!gl_process_writes(pid, &file)) {
		ck_assert_int_lt(guestlock_monotonic_ms(), deadline);
		child_sleep_ms(1);
	}
	child_sleep_ms(50);
	ck_assert(gl_process_writes(pid, &file));
	child_kill(pid);
}
END_TEST

Suite *writer_suite(void)
{
	Suite *suite = suite_create("writer");
	TCase *tests = tcase_create("writer");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, how_it_is_open);
	tcase_add_test(tests, by_its_name_alone);
	tcase_add_test(tests, by_its_inode_alone);
	tcase_add_test(tests, a_process_whose_first_thread_has_ended);
	suite_add_tcase(suite, tests);
	return suite;
}
