/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who has a file open for writing, as /proc tells: nothing of the file itself is asked, which may hang. */
#ifndef GL_WRITER_H
#define GL_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct gl_file {
	const char *const *names; /* absolute, without symbolic links; any of them */
	size_t n_names;
	uint64_t device, inode; /* by which it is known under other names, too; inode 0: not known */
};

/* Has the process this file open for writing? false where /proc does not say. What it has mapped only is not seen. */
bool gl_process_writes(pid_t pid, const struct gl_file *file);

/*
 * Does one of its children, or of theirs, as far as /proc tells? depth: 0. What has lost its parent is not among them,
 * unless the process is a child subreaper.
 */
bool gl_descendant_writes(pid_t pid, const struct gl_file *file, unsigned depth, pid_t *out_writer);

#endif
