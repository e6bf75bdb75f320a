/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "suites.h"

#include "base/base.h"
#include "record/state.h"

#include <stdio.h>
#include <string.h>

#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define KEY_B "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB_"
#define KEY_C "a-BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
#define BODY "gl1:fcntl:" UUID ":" KEY_A ".00000000000000ff," KEY_B ".-"

static struct guestlock_error err;
static struct gl_state state;

static void setup(void)
{
	memset(&err, 0, sizeof(err));
	memset(&state, 0, sizeof(state));
}

static void teardown(void)
{
	gl_state_clear(&state);
}

static char *format(const struct gl_state *from)
{
	char *text = NULL;

	ck_assert_msg(gl_state_format(from, &text, &err) == GUESTLOCK_OK, "%s", err.message);
	return text;
}

/* A text with the check that belongs to it; in a buffer that is used again. */
static const char *checked(const char *body)
{
	static char text[8192];
	char digest[GUESTLOCK_KEY_SIZE];

	guestlock_digest(body, strlen(body), digest);
	snprintf(text, sizeof(text), "%s:%.8s", body, digest);
	return text;
}

static void check_damaged(const char *text, const char *reason)
{
	ck_assert_int_eq(gl_state_parse(text, &state, &err), GUESTLOCK_DAMAGED);
	ck_assert_int_eq(err.code, GUESTLOCK_DAMAGED);
	ck_assert_msg(strstr(err.message, reason), "no \"%s\" in \"%s\"", reason, err.message);
	ck_assert_ptr_null(state.entries);
	ck_assert_uint_eq(state.count, 0);
	ck_assert_int_eq(gl_state_parse(text, &state, NULL), GUESTLOCK_DAMAGED);
}

/* ---- Writing and reading ---- */

/* What is saved by one version must be read by all later ones. */
START_TEST(test_text)
{
	struct gl_state_entry entries[] = {
		{.key = KEY_B},
		{.key = KEY_A, .has_epoch = true, .epoch = 255},
	};
	struct gl_state from = {.technology = "fcntl", .uuid = UUID, .entries = entries, .count = 2};
	char *text = format(&from);

	ck_assert_str_eq(text, BODY ":wWW2I37v");
	ck_assert_str_eq(text, checked(BODY));
	ck_assert_str_eq(entries[0].key, KEY_B);
	ck_assert_int_eq(gl_state_parse(text, &state, &err), GUESTLOCK_OK);
	ck_assert_str_eq(state.technology, "fcntl");
	ck_assert_str_eq(state.uuid, UUID);
	ck_assert_uint_eq(state.count, 2);
	ck_assert_str_eq(state.entries[0].key, KEY_A);
	ck_assert(state.entries[0].has_epoch);
	ck_assert_uint_eq(state.entries[0].epoch, 255);
	ck_assert_str_eq(state.entries[1].key, KEY_B);
	ck_assert(!state.entries[1].has_epoch);
	ck_assert_uint_eq(state.entries[1].epoch, 0);
	free(text);
}
END_TEST

START_TEST(test_no_entries)
{
	struct gl_state from = {.technology = "a-1", .uuid = UUID};
	char *text = format(&from);

	ck_assert_int_eq(strncmp(text, "gl1:a-1:" UUID "::", strlen(text) - 8), 0);
	ck_assert_int_eq(gl_state_parse(text, &state, &err), GUESTLOCK_OK);
	ck_assert_uint_eq(state.count, 0);
	ck_assert_str_eq(state.technology, "a-1");
	ck_assert_ptr_null(gl_state_find(&state, KEY_A));
	free(text);
}
END_TEST

#define MANY 20000

static struct gl_state_entry *many_entries(void)
{
	struct gl_state_entry *entries = calloc(MANY, sizeof(*entries));

	ck_assert_ptr_nonnull(entries);
	for (size_t i = 0; i < MANY; i++) {
		guestlock_digest(&i, sizeof(i), entries[i].key);
		entries[i].has_epoch = i % 3 != 0;
		entries[i].epoch = entries[i].has_epoch ? UINT64_MAX - i : 0;
	}
	return entries;
}

/* Sorted, found again, in [A-Za-z0-9._:,-], and in a time that is not quadratic (hundreds of seconds). */
START_TEST(test_many)
{
	struct gl_state_entry *entries = many_entries();
	struct gl_state from = {.technology = "dlm", .uuid = UUID, .entries = entries, .count = MANY};
	int64_t begun = guestlock_monotonic_ms();
	char *text = format(&from);

	ck_assert_uint_eq(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:,-"),
			  strlen(text));
	ck_assert_int_eq(gl_state_parse(text, &state, &err), GUESTLOCK_OK);
	ck_assert_uint_eq(state.count, MANY);
	for (size_t i = 0; i < MANY; i++) {
		const struct gl_state_entry *entry = gl_state_find(&state, entries[i].key);

		ck_assert_ptr_nonnull(entry);
		ck_assert_str_eq(entry->key, entries[i].key);
		ck_assert_int_eq(entry->has_epoch, entries[i].has_epoch);
		ck_assert_uint_eq(entry->epoch, entries[i].epoch);
		ck_assert(i == 0 || strcmp(state.entries[i - 1].key, state.entries[i].key) < 0);
	}
	ck_assert_ptr_null(gl_state_find(&state, KEY_A));
	ck_assert_ptr_null(gl_state_find(&state, KEY_A "A"));
	ck_assert_ptr_null(gl_state_find(&state, ""));
	ck_assert_int_lt(guestlock_monotonic_ms() - begun, 20000);
	free(entries);
	free(text);
}
END_TEST

START_TEST(test_unwritable)
{
	struct gl_state_entry entries[] = {{.key = KEY_A}, {.key = KEY_B}};
	struct gl_state from = {.technology = "fcntl", .uuid = UUID, .entries = entries, .count = 2};
	char *text = NULL;

	switch (_i) {
	case 0:
		from.technology[0] = '\0';
		break;
	case 1:
		from.technology[0] = ':';
		break;
	case 2:
		from.uuid[0] = 'C';
		break;
	case 3:
		entries[0].key[3] = '.';
		break;
	case 4:
		entries[0].key[42] = '\0';
		break;
	default:
		memcpy(entries[0].key, entries[1].key, sizeof(entries[0].key));
		break;
	}
	ck_assert_int_eq(gl_state_format(&from, &text, &err), GUESTLOCK_FAILED);
	ck_assert_ptr_null(text);
}
END_TEST

/* ---- What is no state ---- */

static const struct {
	const char *text, *reason;
} foreign[] = {
	{"", "it is empty"},
	{"sanlock", "another lock manager"},
	{"<resource/>", "another lock manager"},
	{"g", "another lock manager"},
	{"gl", "another lock manager"},
	{"gl:", "another lock manager"},
	{"gl1", "another lock manager"},
	{"glx1:", "another lock manager"},
	{"GL1:fcntl", "another lock manager"},
	{" gl1:fcntl", "another lock manager"},
	{"gl123456789012345678901:", "another lock manager"},
	{"gl0:fcntl", "no version of guestlock"},
	{"gl01:fcntl", "no version of guestlock"},
	{"gl2:something/else", "a newer guestlock saved it, in version 2"},
	{"gl10:", "a newer guestlock saved it, in version 10"},
	{"gl1:", "its check does not fit"},
	{"gl1:x", "its check does not fit"},
	{BODY, "its check does not fit"},
	{BODY ":", "its check does not fit"},
	{BODY ":wWW2I37", "its check does not fit"},
	{BODY ":wWW2I37vx", "its check does not fit"},
	{BODY ":wWW2I37w", "its check does not fit"},
	{BODY ":wWW2I37v\n", "its check does not fit"},
	{BODY ":wWW2I37v:", "its check does not fit"},
};

START_TEST(test_foreign)
{
	check_damaged(foreign[_i].text, foreign[_i].reason);
}
END_TEST

/* With a check that fits: what only another program can have written. */
static const char *const malformed[] = {
	"gl1",
	"gl1:",
	"gl1:fcntl",
	"gl1:fcntl:" UUID,
	"gl1:fcntl:" UUID ":x",
	"gl1::" UUID ":",
	"gl1:Fcntl:" UUID ":",
	"gl1:1fcntl:" UUID ":",
	"gl1:fcn.tl:" UUID ":",
	"gl1:a23456789012345678901234567890123:" UUID ":",
	"gl1:fcntl:" UUID "0:",
	"gl1:fcntl:C7a5fdbd-edaf-9455-926a-d65c16db1809:",
	"gl1:fcntl::",
	"gl1:fcntl:" UUID "::",
	"gl1:fcntl:" UUID ":,",
	"gl1:fcntl:" UUID ":" KEY_A,
	"gl1:fcntl:" UUID ":" KEY_A ".",
	"gl1:fcntl:" UUID ":" KEY_A ".-,",
	"gl1:fcntl:" UUID ":," KEY_A ".-",
	"gl1:fcntl:" UUID ":" KEY_A ".--",
	"gl1:fcntl:" UUID ":" KEY_A ".0",
	"gl1:fcntl:" UUID ":" KEY_A ".00000000000000f",
	"gl1:fcntl:" UUID ":" KEY_A ".00000000000000FF",
	"gl1:fcntl:" UUID ":" KEY_A ".00000000000000fg",
	"gl1:fcntl:" UUID ":" KEY_A ".00000000000000fff",
	"gl1:fcntl:" UUID ":" KEY_A ".00000000000000ff:",
	"gl1:fcntl:" UUID ":" KEY_A "A.-",
	"gl1:fcntl:" UUID ":" KEY_A ".-." KEY_B ".-",
	"gl1:fcntl:" UUID ":" KEY_A ".-" KEY_B ".-",
	"gl1:fcntl:" UUID ":" KEY_A ".-,," KEY_B ".-",
	"gl1:fcntl:" UUID ":" KEY_B ".-," KEY_A ".-",
	"gl1:fcntl:" UUID ":" KEY_A ".-," KEY_A ".-",
	"gl1:fcntl:" UUID ":+" KEY_A ".-",
};

START_TEST(test_malformed)
{
	const char *text = checked(malformed[_i]);

	check_damaged(text, "not in the form");
}
END_TEST

/* Any byte changed or lost is noticed. */
START_TEST(test_every_byte)
{
	char text[sizeof(BODY) + 16];
	size_t size;

	gl_copy_cut(text, sizeof(text), checked(BODY));
	size = strlen(text);
	for (size_t i = 0; i < size; i++) {
		char shorter[sizeof(text)];

		text[i] = (char)(text[i] ^ 1);
		ck_assert_int_eq(gl_state_parse(text, &state, &err), GUESTLOCK_DAMAGED);
		text[i] = (char)(text[i] ^ 1);
		memcpy(shorter, text, i);
		memcpy(shorter + i, text + i + 1, size - i);
		ck_assert_int_eq(gl_state_parse(shorter, &state, &err), GUESTLOCK_DAMAGED);
		shorter[i] = '\0';
		ck_assert_int_eq(gl_state_parse(shorter, &state, &err), GUESTLOCK_DAMAGED);
	}
	ck_assert_int_eq(gl_state_parse(text, &state, &err), GUESTLOCK_OK);
}
END_TEST

Suite *state_suite(void)
{
	Suite *suite = suite_create("state");
	TCase *text = tcase_create("text");
	TCase *damage = tcase_create("damage");

	tcase_add_checked_fixture(text, setup, teardown);
	tcase_add_test(text, test_text);
	tcase_add_test(text, test_no_entries);
	tcase_add_test(text, test_many);
	tcase_add_loop_test(text, test_unwritable, 0, 6);
	suite_add_tcase(suite, text);

	tcase_add_checked_fixture(damage, setup, teardown);
	tcase_add_loop_test(damage, test_foreign, 0, GL_COUNT(foreign));
	tcase_add_loop_test(damage, test_malformed, 0, GL_COUNT(malformed));
	tcase_add_test(damage, test_every_byte);
	suite_add_tcase(suite, damage);
	return suite;
}
