/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Times, and what is told of many of them. */
#ifndef GL_BENCH_FIGURES_H
#define GL_BENCH_FIGURES_H

#include <stddef.h>

/* Microseconds of a clock that nobody sets. */
double bench_now_us(void);
/* Sorts them. count is not 0. */
double bench_median(double *samples, size_t count);

#endif
