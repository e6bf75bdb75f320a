/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A record that can be read, written again, is the same text; one that cannot is refused with a line. */
#include "record/record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds) {
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guestlock_error err = {.code = GUESTLOCK_OK};
	struct gl_record *record = NULL;
	char *again = NULL;
	size_t again_size = 0;

	if (gl_record_parse(0, false, (const char *)data, size, "fuzz", &record, &err)) {
		require(err.code == GUESTLOCK_DAMAGED || (err.code == GUESTLOCK_UNSUPPORTED &&
							  strstr(err.message, "a newer guestlock wrote it")));
		require(strstr(err.message, "fuzz: line "));
		return 0;
	}
	require(gl_record_serialize(record, &again, &again_size, &err) == GUESTLOCK_OK);
	require(again_size == size && memcmp(again, data, size) == 0);
	free(again);
	gl_record_free(record);
	return 0;
}
