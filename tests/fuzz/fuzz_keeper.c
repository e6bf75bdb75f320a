/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A message to or from the keeper that is taken, put again, is the same to the last byte. */
#include "fuzz.h"

#include "keeper/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS 3

static void same(const struct gl_wire *wire, const uint8_t *data, size_t size)
{
	GL_FUZZ_ASSERT(wire->size - GL_KEEPER_HEADER == size);
	GL_FUZZ_ASSERT(memcmp(wire->data + GL_KEEPER_HEADER, data, size) == 0);
}

static void check_request(const uint8_t *data, size_t size)
{
	GL_AUTOWIRE struct gl_wire wire = {.size = 0};
	struct gl_keeper_request request;

	if (gl_keeper_get_request(data, size, &request) < 0) {
		GL_FUZZ_ASSERT(errno == EBADMSG);
		return;
	}
	GL_FUZZ_ASSERT(gl_keeper_put_request(&wire, &request) == 0);
	same(&wire, data, size);
	gl_keeper_request_free(&request);
}

static void check_answer(const uint8_t *data, size_t size, size_t count)
{
	GL_AUTOWIRE struct gl_wire wire = {.size = 0};
	struct guestlock_item items[ITEMS] = {{0}};
	struct gl_keeper_answer answer = {0};

	if (gl_keeper_get_answer(data, size, items, count, &answer) < 0) {
		GL_FUZZ_ASSERT(errno == EBADMSG);
	} else {
		GL_FUZZ_ASSERT(gl_keeper_put_answer(&wire, &answer) == 0);
		same(&wire, data, size);
		gl_keeper_answer_free(&answer);
	}
	for (size_t i = 0; i < ITEMS; i++) {
		free(items[i].holders);
	}
}

static void check_header(const uint8_t *data, size_t size)
{
	size_t body;
	bool beside;

	if (gl_keeper_get_header(data, size, GL_KEEPER_REQUEST, &body, &beside) == 0) {
		GL_FUZZ_ASSERT(body <= GL_KEEPER_BODY_MAX);
		GL_FUZZ_ASSERT(beside || size == body + GL_KEEPER_HEADER);
	}
}

/* The first byte says what it is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0) {
		return 0;
	}
	switch (data[0] % 8) {
	case 0:
		check_header(data + 1, size - 1);
		break;
	case 1:
	case 2:
	case 3:
		check_request(data + 1, size - 1);
		break;
	default:
		check_answer(data + 1, size - 1, data[0] % 8U - 4U);
	}
	return 0;
}
