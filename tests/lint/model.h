/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Told to the static analyzer beside each file: it looks at one file at a time, and cannot know that these
 * return what they are given, which is never a success.
 */
#ifndef GL_LINT_MODEL_H
#define GL_LINT_MODEL_H

#include "base/error.h"

#define gl_fail(err, code, ...) (gl_fail(err, code, __VA_ARGS__), (code))
#define gl_fail_memory(err) (gl_fail_memory(err), GUESTLOCK_NO_MEMORY)
#define gl_status_of_errno(number) ((void)gl_status_of_errno(number), GUESTLOCK_IO)
#define guestlock_backend_fail(err, result, ...) (guestlock_backend_fail(err, result, __VA_ARGS__), (result))

#endif
