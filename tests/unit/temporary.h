/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A directory for one test. */
#ifndef GL_TEST_TEMPORARY_H
#define GL_TEST_TEMPORARY_H

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

/* Makes one under $TMPDIR or /tmp, named after its subject. */
static inline void temporary_make(char *out, size_t size, const char *subject)
{
	const char *base = getenv("TMPDIR");
	int length = snprintf(out, size, "%s/gl-%s-XXXXXX", base ? base : "/tmp", subject);

	ck_assert(length > 0 && (size_t)length < size);
	ck_assert_ptr_nonnull(mkdtemp(out));
}

static inline int temporary_visit(const char *path, const struct stat *st, int type, struct FTW *place)
{
	(void)st;
	(void)type;
	(void)place;
	return remove(path);
}

/* Removes it with all that is in it. */
static inline void temporary_remove(const char *path)
{
	ck_assert_int_eq(nftw(path, temporary_visit, 16, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
