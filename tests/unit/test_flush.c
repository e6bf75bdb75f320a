/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Flushing files, also those that are not there, and those of a file system that hangs. */
#include "base/base.h"
#include "child.h"
#include "disk/flush.h"
#include "scratch.h"
#include "suites.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

static char path[PATH_MAX + 16];

static void setup(void)
{
	scratch_make();
	snprintf(path, sizeof(path), "%s/image", scratch_path);
	ck_assert_int_eq(guestlock_write_file(path, "x", 1, 0600), 0);
}

static int64_t soon(void)
{
	return guestlock_monotonic_ms() + 10000;
}

START_TEST(files_that_are_there_and_others)
{
	const char *const paths[] = {path, "/nowhere/at/all", "/dev/null", path};
	size_t failed = 7;

	ck_assert_int_eq(gl_flush(paths, 4, soon(), &failed), 0);
	ck_assert_int_eq(gl_flush(paths, 0, 0, &failed), 0);
	/* Nobody is left to be waited for. */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

START_TEST(one_that_may_not_be_opened)
{
	const char *const paths[] = {"/dev/null", path};
	size_t failed = 7;

	ck_assert_int_eq(chmod(path, 0), 0);
	scratch_become_nobody();
	ck_assert_int_eq(gl_flush(paths, 2, soon(), &failed), -1);
	ck_assert_int_eq(errno, EACCES);
	ck_assert_uint_eq(failed, 1);
}
END_TEST

/* A file system whose server never answers. */
START_TEST(one_that_hangs)
{
	char directory[PATH_MAX + 16], options[64], inside[PATH_MAX + 32];
	const char *const paths[] = {path, inside};
	int64_t start = guestlock_monotonic_ms();
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	size_t failed = 7;

	snprintf(directory, sizeof(directory), "%s/mount", scratch_path);
	snprintf(inside, sizeof(inside), "%s/image", directory);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	ck_assert_int_eq(mkdir(directory, 0700), 0);
	if (fd < 0 || mount("none", directory, "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
		SKIP("cannot mount such a file system here");
	}
	ck_assert_int_eq(gl_flush(paths, 2, start + 300, &failed), -1);
	ck_assert_int_eq(errno, ETIMEDOUT);
	ck_assert_uint_eq(failed, 1);
	ck_assert_int_ge(guestlock_monotonic_ms(), start + 300);
	ck_assert_int_eq(umount2(directory, MNT_DETACH), 0);
	close(fd);
}
END_TEST

Suite *flush_suite(void)
{
	Suite *suite = suite_create("flush");
	TCase *basic = tcase_create("basic");

	tcase_add_checked_fixture(basic, setup, scratch_remove);
	tcase_add_test(basic, files_that_are_there_and_others);
	tcase_add_test(basic, one_that_may_not_be_opened);
	tcase_add_test(basic, one_that_hangs);
	suite_add_tcase(suite, basic);
	return suite;
}
