/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The descriptors that a process begins with, and how many it may have. */
#ifndef DESCRIPTORS_H
#define DESCRIPTORS_H

/*
 * A standard descriptor that is closed becomes /dev/null, opened with these flags, before something else
 * gets its number. The program ends (EX_OSERR) where that fails.
 */
void fill_standard_descriptors(int input_flags, int output_flags);
/*
 * Tells of SIGTERM and SIGINT, which are blocked from here on, in threads that are begun later as well. -1 with
 * errno.
 */
int open_end_signals(void);
/* As many descriptors as the process is allowed at all. */
void raise_descriptor_limit(void);

#endif
