/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What dlm_controld and other keepers send, as bytes: whole, cut and damaged. */
#include "peers/message.h"
#include "world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Answers of dlm_controld as bytes ---- */

/* Cut anywhere it is an error or an earlier end, never more than there is (the sanitizers look). */
START_TEST(answers_cut)
{
	unsigned char bytes[8192];
	struct gl_dlm_daemon_lockspace lockspace;
	struct gl_dlm_daemon daemon;
	char *text;
	size_t whole, size;

	all_well();
	told.unfenced[0] = 3;
	whole = make_status(bytes);
	ck_assert_int_eq(gl_dlm_daemon_parse_status(bytes, whole, &daemon), 0);
	ck_assert_uint_eq(daemon.node, 2);
	ck_assert_uint_eq(daemon.n_nodes, 2);
	ck_assert(daemon.nodes[0].member && !daemon.nodes[0].needs_fencing && daemon.nodes[0].node == 2);
	ck_assert(!daemon.nodes[1].member && daemon.nodes[1].needs_fencing && daemon.nodes[1].node == 3);
	for (size = 0; size < whole; size++) {
		unsigned char *copy = malloc(size + 1);
		int result;

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, bytes, size);
		result = gl_dlm_daemon_parse_status(copy, size, &daemon);
		ck_assert(result == EPROTO || daemon.node == 2);
		free(copy);
	}
	whole = make_lockspace(bytes);
	for (size = 0; size < 96 + 72; size++) {
		ck_assert_int_eq(gl_dlm_daemon_parse_lockspace(bytes, size, &lockspace), EPROTO);
	}
	ck_assert_int_eq(gl_dlm_daemon_parse_lockspace(bytes, whole, &lockspace), 0);
	ck_assert_int_eq(gl_dlm_daemon_parse_settings(bytes, 95, &text), EPROTO);
}
END_TEST

START_TEST(answers_many_nodes)
{
	static unsigned char bytes[65536];
	struct gl_dlm_daemon daemon;
	size_t size;

	all_well();
	size = make_status(bytes);
	for (unsigned node = 1; node <= 500; node++) {
		size += add_part(bytes + size, 2, node, "member=1 need_fencing=0 ");
	}
	ck_assert_int_eq(gl_dlm_daemon_parse_status(bytes, size, &daemon), 0);
	ck_assert_uint_eq(daemon.n_nodes, GL_DLM_NODES_MAX);
}
END_TEST

/* ---- Messages of keepers ---- */

#define KEY "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM-_09"

static const struct guestlock_holder holder_full = {
	.uuid = "3d6a31a6-1f6b-4ad5-9cc1-0123456789ab",
	.instance = 0xfedcba9876543210U,
	.mode = GUESTLOCK_MODE_EXCLUSIVE,
	.name = "a name with \xff bytes",
	.host = "host",
	.pid = 0x7fffffff,
	.since = 1700000000,
};

static void draft_answer(struct gl_dlm_draft *draft)
{
	const struct gl_dlm_message head = {
		.type = GL_DLM_ANSWER,
		.to_node = 5,
		.to_pid = 6,
		.part = 7,
		.question = 0x0123456789abcdefU,
	};
	const struct guestlock_holder nobody = {.uuid = ""};

	ck_assert_int_eq(gl_dlm_draft_begin(draft, &head, NULL), 0);
	ck_assert_int_eq(gl_dlm_draft_add(draft, KEY, &holder_full, "file:/a b/\xff"), 0);
	ck_assert_int_eq(gl_dlm_draft_add(draft, KEY, &nobody, NULL), 0);
	gl_dlm_draft_end(draft, GL_DLM_LAST);
}

START_TEST(message_answer)
{
	struct gl_dlm_message message;
	struct gl_dlm_draft draft;
	struct gl_dlm_found found;

	draft_answer(&draft);
	ck_assert(gl_dlm_message_read(draft.bytes, draft.size, &message));
	ck_assert(message.type == GL_DLM_ANSWER && message.to_node == 5 && message.to_pid == 6 &&
		  message.part == 7);
	ck_assert(message.question == 0x0123456789abcdefU && message.flags == GL_DLM_LAST);
	ck_assert_int_eq(gl_dlm_message_next(&message, &found), 1);
	ck_assert_str_eq(found.key, KEY);
	ck_assert_str_eq(found.holder.uuid, holder_full.uuid);
	ck_assert_str_eq(found.holder.name, holder_full.name);
	ck_assert_str_eq(found.holder.host, holder_full.host);
	ck_assert(found.holder.instance == holder_full.instance && found.holder.mode == holder_full.mode);
	ck_assert(found.holder.pid == holder_full.pid && found.holder.since == holder_full.since);
	ck_assert_uint_eq(message.identity_size, strlen("file:/a b/\xff"));
	ck_assert_mem_eq(message.identity, "file:/a b/\xff", message.identity_size);
	ck_assert_int_eq(gl_dlm_message_next(&message, &found), 1);
	ck_assert_str_eq(found.holder.uuid, "");
	ck_assert_str_eq(found.holder.name, "");
	ck_assert_uint_eq(message.identity_size, 0);
	ck_assert_int_eq(gl_dlm_message_next(&message, &found), 0);
	free(draft.bytes);
}
END_TEST

START_TEST(message_question)
{
	static const char *const keys[] = {KEY, NULL};
	const struct gl_dlm_message head = {.type = GL_DLM_QUESTION, .question = 9};
	struct gl_dlm_message message;
	struct gl_dlm_draft draft;

	ck_assert_int_eq(gl_dlm_draft_begin(&draft, &head, keys[_i]), 0);
	gl_dlm_draft_end(&draft, 0);
	ck_assert(gl_dlm_message_read(draft.bytes, draft.size, &message));
	ck_assert(message.type == GL_DLM_QUESTION && message.question == 9 && message.all == !keys[_i]);
	ck_assert_str_eq(message.key, keys[_i] ? keys[_i] : "");
	ck_assert(!gl_dlm_message_read(draft.bytes, draft.size - 1, &message));
	free(draft.bytes);
}
END_TEST

/* The most that an identity can be, one byte more, and more than there is. */
START_TEST(message_long_identity)
{
	const struct gl_dlm_message head = {.type = GL_DLM_ANSWER};
	const struct guestlock_holder nobody = {.uuid = ""};
	const size_t at = 36 + 43 + 36 + 23;
	char identity[GL_DLM_IDENTITY + 20] = "";
	struct gl_dlm_message message;
	struct gl_dlm_draft draft;
	struct gl_dlm_found found;

	memset(identity, 'i', sizeof(identity) - 1);
	ck_assert_int_eq(gl_dlm_draft_begin(&draft, &head, NULL), 0);
	ck_assert_int_eq(gl_dlm_draft_add(&draft, KEY, &nobody, identity), 0);
	gl_dlm_draft_end(&draft, GL_DLM_LAST);
	ck_assert(gl_dlm_message_read(draft.bytes, draft.size, &message));
	ck_assert_int_eq(gl_dlm_message_next(&message, &found), 1);
	ck_assert_uint_eq(message.identity_size, GL_DLM_IDENTITY - 1);
	ck_assert_int_eq(gl_dlm_message_next(&message, &found), 0);
	ck_assert(gl_dlm_message_read(draft.bytes, draft.size - 1, &message));
	ck_assert_int_eq(gl_dlm_message_next(&message, &found), -1);
	ck_assert_int_eq(draft.bytes[at] | draft.bytes[at + 1] << 8, GL_DLM_IDENTITY - 1);
	draft.bytes[at] = 0;
	draft.bytes[at + 1] = GL_DLM_IDENTITY >> 8;
	ck_assert(gl_dlm_message_read(draft.bytes, draft.size, &message));
	ck_assert_int_eq(gl_dlm_message_next(&message, &found), -1);
	draft.bytes[at + 1] = 0;
	ck_assert(gl_dlm_message_read(draft.bytes, draft.size, &message));
	ck_assert_int_eq(gl_dlm_message_next(&message, &found), 1);
	ck_assert_int_eq(gl_dlm_message_next(&message, &found), -1);
	free(draft.bytes);
}
END_TEST

/* The most that names can be, and one byte more. */
START_TEST(message_long_names)
{
	const struct gl_dlm_message head = {.type = GL_DLM_ANSWER};
	struct guestlock_holder holder = holder_full;
	struct gl_dlm_message message;
	struct gl_dlm_draft draft;
	struct gl_dlm_found found;
	size_t name_size = 36 + 43 + 36 + 21;

	memset(holder.name, 'n', sizeof(holder.name));
	memset(holder.host, 'h', sizeof(holder.host));
	ck_assert_int_eq(gl_dlm_draft_begin(&draft, &head, NULL), 0);
	ck_assert_int_eq(gl_dlm_draft_add(&draft, KEY, &holder, NULL), 0);
	gl_dlm_draft_end(&draft, GL_DLM_LAST);
	ck_assert(gl_dlm_message_read(draft.bytes, draft.size, &message));
	ck_assert_int_eq(gl_dlm_message_next(&message, &found), 1);
	ck_assert_uint_eq(strlen(found.holder.name), GUESTLOCK_HOLDER_TEXT - 1);
	ck_assert_uint_eq(strlen(found.holder.host), GUESTLOCK_HOLDER_TEXT - 1);
	ck_assert_uint_eq(draft.bytes[name_size], GUESTLOCK_HOLDER_TEXT - 1);
	draft.bytes[name_size]++;
	draft.bytes[name_size + 1]--;
	ck_assert(gl_dlm_message_read(draft.bytes, draft.size, &message));
	ck_assert_int_eq(gl_dlm_message_next(&message, &found), -1);
	free(draft.bytes);
}
END_TEST

static const struct {
	size_t at;
	unsigned char byte;
} damages[] = {
	{0, 'x'},   /* magic */
	{10, 9},    /* type */
	{34, 3},    /* one entry more than there are */
	{34, 1},    /* one less */
	{35, 0xff}, /* very many */
	{36, '/'},  /* key */
	{36, 0},
	{36 + 43, 'G'}, /* uuid */
	{36 + 43 + 8, '0'},
	{36 + 43 + 36 + 19, 0x80}, /* pid below zero */
	{36 + 43 + 36 + 20, 4},    /* mode */
	{36 + 43 + 36 + 21, 0xff}, /* size of the name */
	{36 + 43 + 36 + 22, 0xff}, /* ... of the host */
	{36 + 43 + 36 + 23, 0},    /* a NUL in the name */
};

START_TEST(message_damaged)
{
	struct gl_dlm_message message;
	struct gl_dlm_draft draft;
	struct gl_dlm_found found;
	int result = 1;

	draft_answer(&draft);
	draft.bytes[damages[_i].at] = damages[_i].byte;
	if (gl_dlm_message_read(draft.bytes, draft.size, &message)) {
		while ((result = gl_dlm_message_next(&message, &found)) > 0) {
		}
		ck_assert_int_eq(result, -1);
	}
	free(draft.bytes);
}
END_TEST

START_TEST(message_cut)
{
	struct gl_dlm_message message;
	struct gl_dlm_draft draft;
	struct gl_dlm_found found;

	draft_answer(&draft);
	for (size_t size = 0; size < draft.size; size++) {
		unsigned char *copy = malloc(size + 1);
		int result = -1;

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, draft.bytes, size);
		if (gl_dlm_message_read(copy, size, &message)) {
			while ((result = gl_dlm_message_next(&message, &found)) > 0) {
			}
		}
		ck_assert_int_eq(result, -1);
		free(copy);
	}
	free(draft.bytes);
}
END_TEST

/* Of another version the head alone counts: enough to refuse a question. */
START_TEST(message_newer)
{
	struct gl_dlm_message message;
	struct gl_dlm_draft draft;

	draft_answer(&draft);
	draft.bytes[8] = 2;
	draft.bytes[40] = 0;
	ck_assert(gl_dlm_message_read(draft.bytes, draft.size, &message));
	ck_assert_uint_eq(message.version, 2);
	ck_assert(message.type == GL_DLM_ANSWER && message.question == 0x0123456789abcdefU);
	ck_assert_ptr_null(message.rest);
	free(draft.bytes);
}
END_TEST

Suite *words_suite(void)
{
	Suite *suite = suite_create("words");
	TCase *tests = tcase_create("answers");

	tcase_add_test(tests, answers_cut);
	tcase_add_test(tests, answers_many_nodes);
	suite_add_tcase(suite, tests);
	tests = tcase_create("messages");
	tcase_add_test(tests, message_answer);
	tcase_add_loop_test(tests, message_question, 0, 2);
	tcase_add_test(tests, message_long_names);
	tcase_add_test(tests, message_long_identity);
	tcase_add_loop_test(tests, message_damaged, 0, COUNT(damages));
	tcase_add_test(tests, message_cut);
	tcase_add_test(tests, message_newer);
	suite_add_tcase(suite, tests);
	return suite;
}
