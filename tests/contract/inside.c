/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program of this tree: it also looks at the files of the backend that is built by default. */
#include "contract.h"

const char *const contract_default_module = "fcntl";

void contract_own_tests(Suite *suite)
{
	/* These look into the process that calls the module. */
	if (!contract.behind) {
		fcntl_entry_tests(suite);
		fcntl_write_tests(suite);
		fcntl_directory_tests(suite);
	}
}
