/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Told to cppcheck, which reads no headers of the system: macros that would otherwise be no C. */
#define LIST_HEAD(name, type)                                                                                \
	struct name {                                                                                        \
		struct type *lh_first;                                                                       \
	}
#define LIST_ENTRY(type)                                                                                     \
	struct {                                                                                             \
		struct type *le_next, **le_prev;                                                             \
	}
