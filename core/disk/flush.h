/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was written is on the storage, and not in this host's memory only. */
#ifndef GL_FLUSH_H
#define GL_FLUSH_H

#include <stddef.h>
#include <stdint.h>

/*
 * fdatasync(2) of each of these files or devices. What is not there under that name, or is of a kind that keeps
 * nothing back, is passed over. 0, or -1 with errno (ETIMEDOUT: not done by the deadline; it goes on in a process
 * of its own until the kernel is done) and *out_failed, the number of the first that is not flushed.
 */
int gl_flush(const char *const paths[], size_t count, int64_t deadline_ms, size_t *out_failed);

#endif
