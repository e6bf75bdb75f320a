/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pair.h"

struct keys keys;
struct guest one, two;

void start_two(const char *group)
{
	keys_make(&keys, group);
	guest_start(&one, &host_a, "one", NULL, GUEST_PLAIN);
	guest_start(&two, &host_b, "two", NULL, GUEST_PLAIN);
}

void end_two(void)
{
	guest_kill(&one);
	guest_kill(&two);
}
