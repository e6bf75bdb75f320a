/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The version as configure has it, in a file that nothing else is compiled anew for. */
#include "config.h"

#include <guestlock/guestlock.h>

const char *guestlock_version(void)
{
	return PACKAGE_VERSION;
}
