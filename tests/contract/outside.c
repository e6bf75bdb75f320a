/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The installed program, for backends that are written elsewhere: of no module's files does it know
 * anything.
 */
#include "contract.h"

const char *const contract_default_module = NULL;

void contract_own_tests(Suite *suite)
{
	(void)suite;
}
