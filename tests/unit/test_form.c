/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "suites.h"

#include "base/base.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define BOOT "ff1c1cce-2fa8-4ee3-81e3-12dd2e564a03"
#define KEY "a-BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"

struct page {
	int before; /* of no row */
	char key[GUESTLOCK_KEY_SIZE];
	bool has_epoch;
	uint64_t epoch;
	const char *identity;
};

struct line {
	struct guestlock_owner owner;
	enum guestlock_mode mode;
	unsigned number;
	int64_t since;
	int after;
};

#define PAGE(member) .offset = offsetof(struct page, member)
#define LINE(member) .offset = offsetof(struct line, member)
static const struct guestlock_field page_fields[] = {
	{.key = "key", .kind = GUESTLOCK_FIELD_KEY, PAGE(key)},
	{.key = "epoch",
	 .kind = GUESTLOCK_FIELD_MAYBE_HEX,
	 PAGE(epoch),
	 .flag = offsetof(struct page, has_epoch)},
	{.key = "identity", .kind = GUESTLOCK_FIELD_TEXT, PAGE(identity), .most = 10},
	{.key = NULL},
};
static const struct guestlock_field line_fields[] = {
	{.key = "mode", .kind = GUESTLOCK_FIELD_MODE, LINE(mode)},
	{.key = "number", .kind = GUESTLOCK_FIELD_UNSIGNED, LINE(number)},
	{.key = "since", .kind = GUESTLOCK_FIELD_TIME, LINE(since)},
	{.key = "owner", .kind = GUESTLOCK_FIELD_OWNER, LINE(owner)},
	{.key = NULL},
};
static const struct guestlock_form form = {
	.magic = "guestlock-page 1",
	.head = page_fields,
	.line = line_fields,
	.line_size = sizeof(struct line),
};

static struct page page;
static struct line *lines;
static size_t count;
static const char *damage;

static const struct page written = {.key = KEY, .has_epoch = true, .epoch = 0xff, .identity = "file:/a b"};
static const struct line two[] = {
	{
		.owner = {.uuid = UUID,
			  .instance = 1,
			  .name = "w\xc3\xa9"
				  "b\n",
			  .pid = 23557,
			  .pid_start = 3,
			  .pid_ns = 4026531836,
			  .boot_id = BOOT,
			  .host = "h",
			  .manager = "/run/guestlock"},
		.mode = GUESTLOCK_MODE_SHARED,
		.number = UINT32_MAX,
		.since = 1795303082,
	},
	{.owner = {.uuid = UUID, .instance = UINT64_MAX, .adopted = true}},
};

#define HEAD "key=" KEY " epoch=00000000000000ff identity=file:/a%20b\n"
#define FIRST                                                                                                \
	"mode=shared number=4294967295 since=1795303082 uuid=" UUID                                          \
	" instance=0000000000000001 pid=23557 start=3 ns=4026531836 boot=" BOOT                              \
	" adopted=0 host=h manager=/run/guestlock name=w%C3%A9b%0A\n"
#define SECOND                                                                                               \
	"mode=none number=0 since=0 uuid=" UUID                                                              \
	" instance=ffffffffffffffff pid=0 start=0 ns=0 boot= adopted=1 host= manager= name=\n"

static void teardown(void)
{
	free(lines);
	lines = NULL;
}

static int take(char *text, size_t size)
{
	void *taken;
	int result;

	free(lines);
	page = (struct page){.before = 7, .epoch = 9, .has_epoch = true};
	result = guestlock_form_take(&form, text, size, &page, &taken, &count, &damage);
	lines = taken;
	return result;
}

/* A body under the first line that belongs to it; malloc'd. */
static char *framed(const char *body, size_t length, size_t *out_size)
{
	char digest[GUESTLOCK_KEY_SIZE], first[128], *text;
	size_t frame;

	guestlock_digest(body, length, digest);
	frame = (size_t)snprintf(first, sizeof(first), "%s %08zu %.8s\n", form.magic, length, digest);
	*out_size = frame + length;
	text = calloc(1, *out_size + 1);
	ck_assert_ptr_nonnull(text);
	memcpy(text, first, frame);
	memcpy(text + frame, body, length);
	return text;
}

static void check_damaged(char *text, size_t size, const char *reason)
{
	ck_assert_int_eq(take(text, size), 0);
	ck_assert_msg(damage && strstr(damage, reason), "\"%s\", not \"%s\"", damage ? damage : "good",
		      reason);
	ck_assert_ptr_null(lines);
	ck_assert_uint_eq(count, 0);
	ck_assert_int_eq(page.before, 7);
	ck_assert_str_eq(page.key, "");
	ck_assert(!page.has_epoch);
	ck_assert_uint_eq(page.epoch, 0);
	ck_assert_str_eq(page.identity, "");
}

START_TEST(what_is_written)
{
	size_t size, expected_size;
	GL_AUTOFREE char *expected = framed(HEAD FIRST SECOND, strlen(HEAD FIRST SECOND), &expected_size);
	GL_AUTOFREE char *text = guestlock_form_put(&form, &written, two, 2, &size);

	ck_assert_ptr_nonnull(text);
	ck_assert_str_eq(text, expected);
	ck_assert_uint_eq(size, expected_size);
	ck_assert_uint_eq(guestlock_form_size(&form, text, size), size);
	ck_assert_uint_eq(guestlock_form_size(&form, text, strcspn(text, "\n") + 1), size);
	ck_assert_uint_eq(guestlock_form_size(&form, text, strcspn(text, "\n")), 0);
}
END_TEST

START_TEST(what_was_written_is_read)
{
	size_t size;
	GL_AUTOFREE char *text = guestlock_form_put(&form, &written, two, 2, &size);
	GL_AUTOFREE char *longer = NULL;

	ck_assert_ptr_nonnull(text);
	/* What is behind it is of no matter, and left alone. */
	ck_assert_int_gt(asprintf(&longer, "%s\nrest of a longer one", text), 0);
	ck_assert_int_eq(take(longer, strlen(longer)), 0);
	ck_assert_ptr_null(damage);
	ck_assert_str_eq(longer + size, "\nrest of a longer one");
	ck_assert_int_eq(page.before, 7);
	ck_assert_str_eq(page.key, KEY);
	ck_assert(page.has_epoch);
	ck_assert_uint_eq(page.epoch, 0xff);
	ck_assert_str_eq(page.identity, written.identity);
	ck_assert_uint_eq(count, 2);
	ck_assert_int_eq(lines[0].mode, GUESTLOCK_MODE_SHARED);
	ck_assert_uint_eq(lines[0].number, UINT32_MAX);
	ck_assert_int_eq(lines[0].since, 1795303082);
	ck_assert_int_eq(lines[0].after, 0);
	ck_assert_str_eq(lines[0].owner.uuid, UUID);
	ck_assert_uint_eq(lines[0].owner.instance, 1);
	ck_assert_int_eq(lines[0].owner.pid, 23557);
	ck_assert_uint_eq(lines[0].owner.pid_start, 3);
	ck_assert_uint_eq(lines[0].owner.pid_ns, 4026531836);
	ck_assert_str_eq(lines[0].owner.boot_id, BOOT);
	ck_assert(!lines[0].owner.adopted);
	ck_assert_str_eq(lines[0].owner.host, "h");
	ck_assert_str_eq(lines[0].owner.manager, "/run/guestlock");
	ck_assert_str_eq(lines[0].owner.name, two[0].owner.name);
	ck_assert_uint_eq(lines[1].owner.instance, UINT64_MAX);
	ck_assert(lines[1].owner.adopted);
	ck_assert_str_eq(lines[1].owner.name, "");
	/* There is room for one more. */
	lines[2] = two[0];
}
END_TEST

START_TEST(no_epoch_and_nobody)
{
	const struct page empty = {.key = KEY, .epoch = 5};
	size_t size;
	GL_AUTOFREE char *text = guestlock_form_put(&form, &empty, NULL, 0, &size);

	ck_assert_ptr_nonnull(text);
	ck_assert_ptr_nonnull(strstr(text, " epoch=- identity=\n"));
	ck_assert_int_eq(take(text, size), 0);
	ck_assert_ptr_null(damage);
	ck_assert(!page.has_epoch);
	ck_assert_uint_eq(count, 0);
	ck_assert_ptr_nonnull(lines);
	lines[0] = two[0];
}
END_TEST

START_TEST(long_texts_are_cut)
{
	char name[GUESTLOCK_HOLDER_TEXT + 50];
	struct page named = {.key = KEY, .identity = "123456789\xc3\xa9"};
	struct line line = {.owner = {.uuid = UUID, .name = name, .host = name, .manager = name}};
	GL_AUTOFREE char *text = NULL;
	size_t size;

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	text = guestlock_form_put(&form, &named, &line, 1, &size);
	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(take(text, size), 0);
	ck_assert_ptr_null(damage);
	ck_assert_str_eq(page.identity, "123456789");
	ck_assert_uint_eq(strlen(lines[0].owner.name), GUESTLOCK_HOLDER_TEXT - 1);
	ck_assert_uint_eq(strlen(lines[0].owner.host), GUESTLOCK_HOLDER_TEXT - 1);
	ck_assert_str_eq(lines[0].owner.manager, name);
}
END_TEST

START_TEST(values_of_no_kind)
{
	const struct page good = {.key = KEY}, bad = {.key = "short"};
	const struct line wrong[] = {
		{.mode = GUESTLOCK_MODE_EXCLUSIVE + 1},
		{.since = -1},
		{.owner = {.pid = -1}},
		{.owner = {.uuid = "no uuid"}},
		{.owner = {.boot_id = "C7A5FDBD-EDAF-9455-926A-D65C16DB1809"}},
	};
	size_t size;

	errno = 0;
	ck_assert_ptr_null(guestlock_form_put(&form, &bad, NULL, 0, &size));
	ck_assert_int_eq(errno, EINVAL);
	for (size_t i = 0; i < GL_COUNT(wrong); i++) {
		errno = 0;
		ck_assert_ptr_null(guestlock_form_put(&form, &good, &wrong[i], 1, &size));
		ck_assert_int_eq(errno, EINVAL);
	}
}
END_TEST

/* One byte changed, or the end cut off: whichever it is. */
START_TEST(every_byte_counts)
{
	size_t size;
	GL_AUTOFREE char *text = guestlock_form_put(&form, &written, two, 2, &size);

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < size; i++) {
		GL_AUTOFREE char *changed = strdup(text), *cut = strndup(text, i);

		ck_assert(changed && cut);
		changed[i] ^= 4;
		check_damaged(changed, size, "it");
		check_damaged(cut, i, "it");
	}
}
END_TEST

static const struct {
	const char *text, *reason;
} foreign[] = {
	{"", "it is empty"},
	{"guestlock-page 2 00000000 47DEQpj8\n", "of another version"},
	{"guestlock-page 1 0000000x 47DEQpj8\n", "malformed"},
	{"something else", "does not begin as it should"},
	{"guestlock-page 1 00000001 47DEQpj8\n", "cut short"},
	{"guestlock-page 1 00000000 47DEQpj9\n", "checksum"},
	{"guestlock-page 1 00000000 47DEQpj8\n", "a line of it is malformed"},
};

START_TEST(what_is_none_of_it)
{
	GL_AUTOFREE char *text = strdup(foreign[_i].text);

	ck_assert_ptr_nonnull(text);
	check_damaged(text, strlen(text), foreign[_i].reason);
}
END_TEST

/* Under a first line that is right. */
static const char *const malformed[] = {
	"\n",
	"key=" KEY " epoch=- identity=",
	"key=" KEY " epoch=-\n",
	"key=" KEY " epoch=- identity=a \n",
	"key=" KEY " epoch=- identity=a more=1\n",
	"key=" KEY "  epoch=- identity=a\n",
	"epoch=- key=" KEY " identity=a\n",
	"key=x epoch=- identity=a\n",
	"key=" KEY " epoch= identity=a\n",
	"key=" KEY " epoch=0x1 identity=a\n",
	"key=" KEY " epoch=- identity=%0\n",
	"key=" KEY " epoch=- identity=\t\n",
	"key=" KEY " epoch=- identity:a\n",
	HEAD "\n",
	HEAD HEAD,
	HEAD "mode=strong number=0 since=0\n",
	HEAD "mode=none number=4294967296 since=0\n",
	HEAD "mode=none number=-1 since=0\n",
	HEAD "mode=none number=0 since=9223372036854775808\n",
	HEAD "mode=none number=0 since=0 uuid=" UUID " instance=1\n",
	HEAD SECOND "x",
};

START_TEST(lines_that_are_malformed)
{
	size_t size;
	GL_AUTOFREE char *text = framed(malformed[_i], strlen(malformed[_i]), &size);

	check_damaged(text, size, "a line of it is malformed");
}
END_TEST

START_TEST(a_nul_byte)
{
	static const char body[] = "key=" KEY " epoch=- identity=a\0b\n";
	size_t size;
	GL_AUTOFREE char *text = framed(body, sizeof(body) - 1, &size);

	check_damaged(text, size, "a line of it is malformed");
}
END_TEST

START_TEST(a_head_alone)
{
	const struct guestlock_form alone = {.magic = "guestlock-page 1", .head = page_fields};
	size_t size;
	GL_AUTOFREE char *text = guestlock_form_put(&alone, &written, NULL, 0, &size);
	GL_AUTOFREE char *more = guestlock_form_put(&form, &written, two, 1, &size);
	void *none;

	ck_assert(text && more);
	ck_assert_int_eq(guestlock_form_take(&alone, text, strlen(text), &page, &none, &count, &damage), 0);
	ck_assert_ptr_null(damage);
	ck_assert_ptr_null(none);
	ck_assert_str_eq(page.identity, written.identity);
	ck_assert_int_eq(guestlock_form_take(&alone, more, size, &page, &none, &count, &damage), 0);
	ck_assert_ptr_nonnull(damage);
}
END_TEST

Suite *form_suite(void)
{
	Suite *suite = suite_create("form");
	TCase *tcase = tcase_create("form");

	tcase_add_checked_fixture(tcase, NULL, teardown);
	tcase_add_test(tcase, what_is_written);
	tcase_add_test(tcase, what_was_written_is_read);
	tcase_add_test(tcase, no_epoch_and_nobody);
	tcase_add_test(tcase, long_texts_are_cut);
	tcase_add_test(tcase, values_of_no_kind);
	tcase_add_test(tcase, every_byte_counts);
	tcase_add_loop_test(tcase, what_is_none_of_it, 0, (int)GL_COUNT(foreign));
	tcase_add_loop_test(tcase, lines_that_are_malformed, 0, (int)GL_COUNT(malformed));
	tcase_add_test(tcase, a_nul_byte);
	tcase_add_test(tcase, a_head_alone);
	suite_add_tcase(suite, tcase);
	return suite;
}
