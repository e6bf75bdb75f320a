/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "contract.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

/* In the other process. */
static void obey(const struct order *order)
{
	struct ask ask;

	ask_for(&ask, order->keys, order->count, order->mode);
	ask.flags = order->flags;
	_exit((int)order->call(order->guest, &ask));
}

static bool has_ended(pid_t child, int *status)
{
	ck_assert_int_eq(waitpid(child, status, 0), child);
	return WIFEXITED(*status) || WIFSIGNALED(*status);
}

bool order_begin(struct order *order, unsigned stop)
{
	pid_t child = contract_fork();
	unsigned i;
	int status;

	order->child = child;
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0) {
			_exit(1);
		}
		obey(order);
	}
	ck_assert_msg(!has_ended(child, &status), "this test needs the right to trace its own children");
	ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_EXITKILL), 0);
	for (i = 0; i < stop; i++) {
		ck_assert_int_eq(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
		if (has_ended(child, &status)) {
			ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == GUESTLOCK_RES_GRANTED);
			order->child = 0;
			return false;
		}
	}
	return true;
}

enum guestlock_result order_end(struct order *order)
{
	int status;

	ck_assert_int_eq(ptrace(PTRACE_DETACH, order->child, NULL, NULL), 0);
	ck_assert(has_ended(order->child, &status));
	ck_assert(WIFEXITED(status));
	return (enum guestlock_result)WEXITSTATUS(status);
}

bool order_killed_at(struct order *order, unsigned stop)
{
	int status;

	if (!order_begin(order, stop)) {
		return false;
	}
	kill(order->child, SIGKILL);
	while (!has_ended(order->child, &status)) {
	}
	return true;
}

void order_killed_within(struct order *order, unsigned most_us)
{
	unsigned delay_us = (unsigned)(guestlock_random64() % most_us);

	order->child = contract_fork();
	if (order->child == 0) {
		obey(order);
	}
	contract_sleep_us(delay_us);
	kill(order->child, SIGKILL);
	ck_assert_int_eq(waitpid(order->child, NULL, 0), order->child);
}
