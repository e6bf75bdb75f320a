/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What other keepers and dlm_controld send. An answer that can be read, written again, reads the same. */
#include "cluster/daemon.h"
#include "fuzz.h"
#include "peers/message.h"

#include <stdlib.h>
#include <string.h>

static void check_found(const struct gl_dlm_found *found)
{
	GL_FUZZ_ASSERT(strlen(found->key) == GUESTLOCK_KEY_SIZE - 1);
	GL_FUZZ_ASSERT(found->holder.uuid[0] == '\0' ||
		       strlen(found->holder.uuid) == GUESTLOCK_UUID_STRING - 1);
	GL_FUZZ_ASSERT(strlen(found->holder.name) < GUESTLOCK_HOLDER_TEXT);
	GL_FUZZ_ASSERT(strlen(found->holder.host) < GUESTLOCK_HOLDER_TEXT);
	GL_FUZZ_ASSERT(found->holder.mode <= GUESTLOCK_MODE_EXCLUSIVE && found->holder.pid >= 0);
}

static void check_answer(struct gl_dlm_message *message, const uint8_t *data, size_t size)
{
	unsigned flags = message->flags;
	struct gl_dlm_draft draft;
	struct gl_dlm_found found;
	int result;

	GL_FUZZ_ASSERT(gl_dlm_draft_begin(&draft, message, NULL) == 0);
	while ((result = gl_dlm_message_next(message, &found)) > 0) {
		char identity[GL_DLM_IDENTITY] = "";

		check_found(&found);
		GL_FUZZ_ASSERT(message->identity_size < sizeof(identity));
		memcpy(identity, message->identity, message->identity_size);
		GL_FUZZ_ASSERT(strlen(identity) == message->identity_size);
		GL_FUZZ_ASSERT(gl_dlm_draft_add(&draft, found.key, &found.holder, identity) == 0);
	}
	gl_dlm_draft_end(&draft, flags);
	GL_FUZZ_ASSERT(result < 0 || (draft.size == size && memcmp(draft.bytes, data, size) == 0));
	free(draft.bytes);
}

static void check_message(const uint8_t *data, size_t size)
{
	struct gl_dlm_message message;

	if (!gl_dlm_message_read(data, size, &message) || message.version != GL_DLM_PEERS_VERSION) {
		return;
	}
	if (message.type == GL_DLM_ANSWER) {
		check_answer(&message, data, size);
	} else if (message.type == GL_DLM_QUESTION) {
		GL_FUZZ_ASSERT(strlen(message.key) == (message.all ? 0 : GUESTLOCK_KEY_SIZE - 1));
	}
}

static void check_daemon(const uint8_t *data, size_t size)
{
	struct gl_dlm_daemon_lockspace lockspace;
	struct gl_dlm_daemon daemon;
	char *settings = NULL;
	unsigned value;

	if (gl_dlm_daemon_parse_status(data, size, &daemon) == 0) {
		GL_FUZZ_ASSERT(daemon.n_nodes <= GL_DLM_NODES_MAX);
	}
	if (gl_dlm_daemon_parse_lockspace(data, size, &lockspace) == 0) {
		GL_FUZZ_ASSERT(lockspace.wait <= GL_DLM_WAIT_NODES);
	}
	if (gl_dlm_daemon_parse_settings(data, size, &settings) == 0) {
		gl_dlm_daemon_setting(settings, "enable_fencing", &value);
		free(settings);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_message(data, size);
	check_daemon(data, size);
	return 0;
}
