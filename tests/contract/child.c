/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "contract.h"

#include <stdarg.h>
#include <stdio.h>

#define WRONG 99 /* what a child ends with: no result of a call */

static bool is_child;

pid_t contract_fork(void)
{
	pid_t child = fork();

	if (child == 0) {
		is_child = true;
	}
	contract_expect(child >= 0);
	return child;
}

void contract_fail(const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (is_child) {
		_exit(WRONG);
	}
	ck_abort_msg("%s", text);
}
