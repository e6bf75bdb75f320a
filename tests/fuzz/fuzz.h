/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Each fuzz_*.c has one target. Link it with -fsanitize=fuzzer (clang), with afl's driver, or, compiled with
 * -DGL_FUZZ_MAIN, with standalone.c, which gives it the files named on the command line.
 */
#ifndef GL_FUZZ_H
#define GL_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must be true of every input; the fuzzer keeps the input for which it is not. */
#define GL_FUZZ_ASSERT(condition)                                                                            \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			__builtin_trap();                                                                    \
		}                                                                                            \
	} while (0)

#endif
