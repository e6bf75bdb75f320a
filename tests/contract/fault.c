/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program's own statfs and pwrite come before the C library's, also for modules. */
#include "contract.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

struct fault fault;

typedef int statfs_fn(const char *, struct statfs *);
typedef ssize_t pwrite_fn(int, const void *, size_t, off_t);

static void find(const char *name, void *out_function)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (!found) {
		_exit(1);
	}
	memcpy(out_function, &found, sizeof(found));
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the C library's are reserved words */
int statfs(const char *path, struct statfs *out)
{
	statfs_fn *real;
	int result;

	find("statfs64", &real);
	result = real(path, out);
	if (result == 0 && fault.fs_type != 0) {
		out->f_type = (__fsword_t)fault.fs_type;
	}
	return result;
}

static void note_write(int fd)
{
	struct stat st;

	if (fault.n_pwrites < FAULT_WRITES && fstat(fd, &st) == 0) {
		fault.pwrite_inodes[fault.n_pwrites++] = st.st_ino;
	}
}

static bool fails_now(void)
{
	if (fault.pwrite_errno == 0 || fault.pwrite_failures == 0) {
		return false;
	}
	if (fault.pwrite_after > 0) {
		fault.pwrite_after--;
		return false;
	}
	fault.pwrite_failures--;
	return true;
}

/* Not for threads, as long as there is a fault. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
	pwrite_fn *real;

	find("pwrite64", &real);
	if (fault.noting) {
		note_write(fd);
	}
	if (fault.pwrite_bytes > 0 && fault.pwrite_after == 0) {
		size = size < fault.pwrite_bytes ? size : fault.pwrite_bytes;
		fault.pwrite_bytes = 0;
	} else if (fails_now()) {
		errno = fault.pwrite_errno;
		return -1;
	}
	return real(fd, data, size, offset);
}
