/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <guestlock/guestlock.h>

const char *guestlock_version(void)
{
	return PACKAGE_VERSION;
}
