/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A state string that can be read, written again, is the same. */
#include "record/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds) {
		abort();
	}
}

static void check(const char *text)
{
	struct guestlock_error err = {.code = GUESTLOCK_OK};
	struct gl_state state;
	char *again = NULL;

	if (gl_state_parse(text, &state, &err)) {
		require(err.code == GUESTLOCK_DAMAGED && err.message[0] != '\0');
		return;
	}
	require(gl_state_format(&state, &again, &err) == GUESTLOCK_OK);
	require(strcmp(again, text) == 0);
	for (size_t i = 0; i < state.count; i++) {
		require(gl_state_find(&state, state.entries[i].key) == &state.entries[i]);
	}
	free(again);
	gl_state_clear(&state);
}

/* Once as it is, and once with the check that belongs to it, which no fuzzer could guess. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 10);
	char digest[GUESTLOCK_KEY_SIZE];

	require(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	check(text);
	guestlock_digest(text, strlen(text), digest);
	snprintf(text + strlen(text), 10, ":%.8s", digest);
	check(text);
	free(text);
	return 0;
}
