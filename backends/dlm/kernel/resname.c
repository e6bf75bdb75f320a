/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the seats of keys are called. */
#include "kernel/kernel.h"

#include <string.h>

#define SUFFIX ".seat"

void gl_dlm_seat_name(const char *key, char out[DLM_RESNAME_MAXLEN + 1])
{
	size_t size = strnlen(key, GUESTLOCK_KEY_SIZE - 1);

	memcpy(out, key, size);
	memcpy(out + size, SUFFIX, sizeof(SUFFIX));
}

bool gl_dlm_seat_key(const char *name, char out_key[GUESTLOCK_KEY_SIZE])
{
	size_t size = strlen(name);

	if (size != GUESTLOCK_KEY_SIZE - 1 + strlen(SUFFIX) ||
	    strcmp(name + GUESTLOCK_KEY_SIZE - 1, SUFFIX) != 0) {
		return false;
	}
	memcpy(out_key, name, GUESTLOCK_KEY_SIZE - 1);
	out_key[GUESTLOCK_KEY_SIZE - 1] = '\0';
	return true;
}
