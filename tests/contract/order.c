/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "contract.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static void obey(const struct order *order)
{
	struct ask ask;

	ask_for(&ask, order->keys, order->count, order->mode);
	ask.flags = order->flags;
	order->call(order->guest, &ask);
	_exit(0);
}

static bool has_ended(pid_t child, int *status)
{
	ck_assert_int_eq(waitpid(child, status, 0), child);
	return WIFEXITED(*status) || WIFSIGNALED(*status);
}

bool order_killed_at(const struct order *order, unsigned stop)
{
	pid_t child = fork();
	unsigned i;
	int status;

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0) {
			_exit(1);
		}
		obey(order);
	}
	ck_assert_msg(!has_ended(child, &status), "this test needs the right to trace its own children");
	for (i = 0; i < stop; i++) {
		ck_assert_int_eq(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
		if (has_ended(child, &status)) {
			ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
			return false;
		}
	}
	kill(child, SIGKILL);
	while (!has_ended(child, &status)) {
	}
	return true;
}

void order_killed_within(const struct order *order, unsigned most_us)
{
	unsigned delay_us = (unsigned)(guestlock_random64() % most_us);
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		obey(order);
	}
	contract_sleep_us(delay_us);
	kill(child, SIGKILL);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
}
