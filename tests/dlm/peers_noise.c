/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peers_noise LOCKSPACE COUNT: sends COUNT messages that are none, to the keepers of a lockspace: random
 * bytes, questions and answers with a byte changed or cut off, and those of another version.
 */
#include "peers/message.h"

#include <corosync/cpg.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void ignore_message(cpg_handle_t handle, const struct cpg_name *name, uint32_t node, uint32_t pid,
			   void *bytes, size_t size)
{
	(void)handle, (void)name, (void)node, (void)pid, (void)bytes, (void)size;
}

static void ignore_members(cpg_handle_t handle, const struct cpg_name *name,
			   const struct cpg_address *members, size_t n_members,
			   const struct cpg_address *left, size_t n_left, const struct cpg_address *joined,
			   size_t n_joined)
{
	(void)handle, (void)name, (void)members, (void)n_members, (void)left, (void)n_left, (void)joined,
		(void)n_joined;
}

/* The same in each run. */
static unsigned next_random(void)
{
	static uint64_t state = 1;

	state = state * 6364136223846793005U + 1442695040888963407U;
	return (unsigned)(state >> 33);
}

static void make(struct gl_dlm_draft *draft, unsigned kind)
{
	const struct gl_dlm_message head = {
		.type = kind % 3 == 0 ? GL_DLM_QUESTION : GL_DLM_ANSWER,
		.question = kind,
	};
	const struct guestlock_holder holder = {.name = "noise", .host = "noise"};
	const char *key = "noise______________________________________";

	if (gl_dlm_draft_begin(draft, &head, kind % 3 == 0 ? key : NULL) < 0 ||
	    (kind % 3 != 0 && gl_dlm_draft_add(draft, key, &holder, "noise") < 0)) {
		abort();
	}
	gl_dlm_draft_end(draft, GL_DLM_LAST);
	switch (kind % 4) {
	case 0:
		draft->bytes[next_random() % draft->size] ^= 0x55;
		break;
	case 1:
		draft->size = 1 + next_random() % draft->size;
		break;
	case 2:
		draft->bytes[8] = 9; /* the version */
		break;
	default:
		for (size_t i = 0; i < draft->size; i++) {
			draft->bytes[i] = (unsigned char)next_random();
		}
	}
}

static int send_one(cpg_handle_t group, unsigned kind)
{
	struct gl_dlm_draft draft;
	struct iovec part;
	cs_error_t result;

	make(&draft, kind);
	part = (struct iovec){draft.bytes, draft.size};
	while ((result = cpg_mcast_joined(group, CPG_TYPE_AGREED, &part, 1)) == CS_ERR_TRY_AGAIN) {
		cpg_dispatch(group, CS_DISPATCH_ALL);
		poll(NULL, 0, 5);
	}
	free(draft.bytes);
	cpg_dispatch(group, CS_DISPATCH_ALL);
	return result == CS_OK ? 0 : -1;
}

int main(int argc, char *argv[])
{
	cpg_callbacks_t callbacks = {ignore_message, ignore_members};
	struct cpg_name name = {0};
	cpg_handle_t group;

	if (argc != 3) {
		return 64;
	}
	name.length = (uint32_t)snprintf(name.value, sizeof(name.value), "guestlock:%s", argv[1]);
	if (cpg_initialize(&group, &callbacks) != CS_OK || cpg_join(group, &name) != CS_OK) {
		return 1;
	}
	for (unsigned kind = 0; kind < (unsigned)strtoul(argv[2], NULL, 10); kind++) {
		if (send_one(group, kind) < 0) {
			return 1;
		}
	}
	cpg_finalize(group);
	return 0;
}
