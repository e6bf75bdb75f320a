/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is to go wrong, as the file in GUESTLOCK_FAULT_PLAN says (fault.c has its format). */
#ifndef FAULT_PLAN_H
#define FAULT_PLAN_H

#include <guestlock/backend.h>

enum what {
	NOTHING,
	FAIL,
	DROP,
	LOSE,
	DELAY,
	HANG,
	NOT_UNDERSTOOD,
};

struct planned {
	enum what what;
	enum guestlock_result result;
	unsigned long delay_ms;
};

/* As the plan spells a result that can be planned. */
const char *fault_result_name(enum guestlock_result result);

/* What goes wrong in this call of the function op. One process at a time looks, so that a count is right. */
struct planned fault_plan(const char *op);

#endif
