/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/base.h"
#include "base/error.h"
#include "suites.h"
#include "temporary.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

static char directory[PATH_MAX / 2];

static void setup(void)
{
	temporary_make(directory, sizeof(directory), "util");
}

static void teardown(void)
{
	temporary_remove(directory);
}

static const char *in_directory(const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned turn;
	char *path = paths[turn++ % GL_COUNT(paths)];

	snprintf(path, PATH_MAX, "%s/%s", directory, name);
	return path;
}

/* How many entries the directory has whose names begin so. */
static int count_entries(const char *prefix)
{
	DIR *stream = opendir(directory);
	const struct dirent *entry;
	int count = 0;

	ck_assert_ptr_nonnull(stream);
	while ((entry = readdir(stream)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
			count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
		}
	}
	closedir(stream);
	return count;
}

/* ---- Errors ---- */

START_TEST(fail_fills_everything)
{
	struct guestlock_error err;

	memset(&err, 0x55, sizeof(err));
	errno = EINTR;
	ck_assert_int_eq(gl_fail(&err, GUESTLOCK_IO, ENOSPC, "cannot write %s: %m; clean up", "/a"),
			 GUESTLOCK_IO);
	ck_assert_int_eq(errno, EINTR);
	ck_assert_int_eq(err.code, GUESTLOCK_IO);
	ck_assert_int_eq(err.sys_errno, ENOSPC);
	ck_assert_int_eq(err.vendor, 0);
	ck_assert_str_eq(err.backend, "");
	ck_assert_str_eq(err.guest, "");
	ck_assert_str_eq(err.resource, "");
	ck_assert_str_eq(err.holder.uuid, "");
	ck_assert_str_eq(err.message, "cannot write /a: No space left on device; clean up");
}
END_TEST

START_TEST(fail_without_error)
{
	ck_assert_int_eq(gl_fail(NULL, GUESTLOCK_BUSY, 0, "x"), GUESTLOCK_BUSY);
	ck_assert_int_eq(gl_fail_memory(NULL), GUESTLOCK_NO_MEMORY);
	ck_assert_int_eq(guestlock_backend_fail(NULL, GUESTLOCK_RES_IO, 0, 0, "x"), GUESTLOCK_RES_IO);
	gl_error_about(NULL, "a", "b");
	gl_error_prefix(NULL, "x");
}
END_TEST

START_TEST(fail_may_quote_itself)
{
	struct guestlock_error err;

	gl_fail(&err, GUESTLOCK_IO, 0, "one");
	gl_fail(&err, GUESTLOCK_BUSY, 0, "two and %s", err.message);
	ck_assert_str_eq(err.message, "two and one");
}
END_TEST

START_TEST(fail_makes_one_line)
{
	struct guestlock_error err;

	gl_fail(&err, GUESTLOCK_IO, 0, "disk %s", "a\nb\xff\x1b[1m\xc3\xa4");
	ck_assert_str_eq(err.message, "disk a\\x0ab\\xff\\x1b[1m\xc3\xa4");
}
END_TEST

START_TEST(fail_keeps_both_ends)
{
	struct guestlock_error err;
	char path[4096];
	size_t length;

	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	gl_fail(&err, GUESTLOCK_NOT_FOUND, 0, "cannot lock disk %s: no such file; check the path", path);
	length = strlen(err.message);
	ck_assert_uint_eq(length, sizeof(err.message) - 1);
	ck_assert_int_eq(strncmp(err.message, "cannot lock disk pppp", 21), 0);
	ck_assert_ptr_nonnull(strstr(err.message, "ppp...ppp"));
	ck_assert_str_eq(err.message + length - 33, "ppp: no such file; check the path");
}
END_TEST

START_TEST(about_and_prefix)
{
	struct guestlock_error err;

	gl_fail(&err, GUESTLOCK_IO, EIO, "it broke");
	gl_error_about(&err, "c0ffee00-0000-4000-8000-000000000001", "/disk");
	gl_error_about(&err, NULL, NULL);
	gl_error_prefix(&err, "guest %d", 7);
	ck_assert_str_eq(err.guest, "c0ffee00-0000-4000-8000-000000000001");
	ck_assert_str_eq(err.resource, "/disk");
	ck_assert_str_eq(err.message, "guest 7: it broke");
	ck_assert_int_eq(err.sys_errno, EIO);
	gl_error_prefix(&err, "%s", err.message);
	ck_assert_str_eq(err.message, "guest 7: it broke: guest 7: it broke");
}
END_TEST

START_TEST(backend_fail_translates)
{
	struct guestlock_error err;

	ck_assert_int_eq(guestlock_backend_fail(&err, GUESTLOCK_RES_STOPPED, EAGAIN, -42, "no %s", "quorum"),
			 GUESTLOCK_RES_STOPPED);
	ck_assert_int_eq(err.code, GUESTLOCK_UNAVAILABLE);
	ck_assert_int_eq(err.sys_errno, EAGAIN);
	ck_assert_int_eq(err.vendor, -42);
	ck_assert_str_eq(err.message, "no quorum");
}
END_TEST

START_TEST(a_failed_inquiry_hands_out_no_memory)
{
	struct guestlock_item items[2] = {
		{.result = GUESTLOCK_RES_OTHER,
		 .holders = calloc(2, sizeof(struct guestlock_holder)),
		 .n_holders = 2},
		{.result = GUESTLOCK_RES_IO},
	};
	struct guestlock_batch batch = {.items = items, .count = 2};

	guestlock_batch_forget_holders(&batch);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_ptr_null(items[i].holders);
		ck_assert_uint_eq(items[i].n_holders, 0);
	}
	ck_assert_int_eq(items[0].result, GUESTLOCK_RES_OTHER);
	ck_assert_int_eq(items[1].result, GUESTLOCK_RES_IO);
}
END_TEST

START_TEST(an_owner_as_a_holder)
{
	char name[GUESTLOCK_HOLDER_TEXT + 10];
	struct guestlock_owner owner = {.uuid = "u", .instance = 5, .pid = 7, .name = name}, other = owner;
	struct guestlock_holder holder = {.host = "left"};

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	guestlock_owner_holder(&owner, GUESTLOCK_MODE_SHARED, 9, &holder);
	ck_assert_str_eq(holder.uuid, "u");
	ck_assert_uint_eq(holder.instance, 5);
	ck_assert_int_eq(holder.mode, GUESTLOCK_MODE_SHARED);
	ck_assert_int_eq(holder.pid, 7);
	ck_assert_int_eq(holder.since, 9);
	ck_assert_uint_eq(strlen(holder.name), GUESTLOCK_HOLDER_TEXT - 1);
	ck_assert_str_eq(holder.host, "");
	/* The rest of an owner does not tell it from others. */
	other.pid = 8;
	other.name = NULL;
	ck_assert(guestlock_owner_same(&owner, &other));
	other.instance = 6;
	ck_assert(!guestlock_owner_same(&owner, &other));
	other = owner;
	other.uuid[0] = 'v';
	ck_assert(!guestlock_owner_same(&owner, &other));
}
END_TEST

START_TEST(items_in_the_order_of_keys)
{
	const struct guestlock_key keys[] = {{.key = "b"}, {.key = "c"}, {.key = "a"}};
	struct guestlock_item items[] = {{.key = &keys[0]}, {.key = &keys[1]}, {.key = &keys[2]}};
	struct {
		struct guestlock_item *item;
		int more;
	} slots[] = {{&items[0], 0}, {&items[1], 1}, {&items[2], 2}};

	qsort(slots, GL_COUNT(slots), sizeof(slots[0]), guestlock_item_order);
	ck_assert_int_eq(slots[0].more, 2);
	ck_assert_int_eq(slots[1].more, 0);
	ck_assert_int_eq(slots[2].more, 1);
}
END_TEST

START_TEST(causes_of_codes)
{
	static const struct guestlock_cause causes[] = {
		{-1, GUESTLOCK_RES_BUSY, "taken", "wait"},
		{7, GUESTLOCK_RES_STOPPED, NULL, "start it"},
		{0, GUESTLOCK_RES_IO, NULL, "look"},
	};

	ck_assert_ptr_eq(guestlock_cause_of(causes, -1), &causes[0]);
	ck_assert_ptr_eq(guestlock_cause_of(causes, 7), &causes[1]);
	ck_assert_ptr_eq(guestlock_cause_of(causes, 8), &causes[2]);
	ck_assert_ptr_eq(guestlock_cause_of(causes, 0), &causes[2]);
}
END_TEST

START_TEST(batch_answer_tells_nothing_else)
{
	struct guestlock_holder holder = {.pid = 7};
	struct guestlock_item items[2] = {
		{.held_mode = GUESTLOCK_MODE_SHARED, .has_epoch = true, .epoch = 1, .holder = holder},
		{.mode = GUESTLOCK_MODE_EXCLUSIVE, .n_others = 1, .holders = &holder, .n_holders = 1},
	};
	struct guestlock_batch batch = {.items = items, .count = 2};

	guestlock_batch_answer(&batch, GUESTLOCK_RES_STOPPED);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(items[i].result, GUESTLOCK_RES_STOPPED);
		ck_assert_int_eq(items[i].held_mode, GUESTLOCK_MODE_NONE);
		ck_assert(!items[i].has_epoch && items[i].epoch == 0 && items[i].holder.pid == 0);
		ck_assert(items[i].n_others == 0 && !items[i].holders && items[i].n_holders == 0);
	}
	ck_assert_int_eq(items[1].mode, GUESTLOCK_MODE_EXCLUSIVE);
}
END_TEST

START_TEST(item_worsen_keeps_the_worst)
{
	struct guestlock_item busy = {0}, lost = {0};
	enum guestlock_result worst = GUESTLOCK_RES_GRANTED;

	ck_assert(!guestlock_item_worsen(&busy, GUESTLOCK_RES_GRANTED, &worst));
	ck_assert(guestlock_item_worsen(&busy, GUESTLOCK_RES_BUSY, &worst));
	ck_assert(!guestlock_item_worsen(&lost, GUESTLOCK_RES_BUSY, &worst));
	ck_assert(guestlock_item_worsen(&lost, GUESTLOCK_RES_INFLIGHT, &worst));
	ck_assert(!guestlock_item_worsen(&busy, GUESTLOCK_RES_IO, &worst));
	ck_assert(!guestlock_item_worsen(&lost, GUESTLOCK_RES_IO, &worst));
	ck_assert_int_eq(busy.result, GUESTLOCK_RES_IO);
	ck_assert_int_eq(lost.result, GUESTLOCK_RES_INFLIGHT);
	ck_assert_int_eq(worst, GUESTLOCK_RES_INFLIGHT);
}
END_TEST

static const struct {
	enum guestlock_result result;
	int status;
} result_rows[] = {
	{GUESTLOCK_RES_GRANTED, GUESTLOCK_OK},
	{GUESTLOCK_RES_BUSY, GUESTLOCK_BUSY},
	{GUESTLOCK_RES_STALE, GUESTLOCK_STALE},
	{GUESTLOCK_RES_UNPROVEN, GUESTLOCK_UNPROVEN},
	{GUESTLOCK_RES_AGAIN, GUESTLOCK_TIMEOUT},
	{GUESTLOCK_RES_INFLIGHT, GUESTLOCK_INDETERMINATE},
	{GUESTLOCK_RES_NOT_JOINED, GUESTLOCK_UNAVAILABLE},
	{GUESTLOCK_RES_STOPPED, GUESTLOCK_UNAVAILABLE},
	{GUESTLOCK_RES_UNSAFE, GUESTLOCK_UNSAFE},
	{GUESTLOCK_RES_NO_ORPHAN, GUESTLOCK_NOT_FOUND},
	{GUESTLOCK_RES_MODE_MISMATCH, GUESTLOCK_REJECTED},
	{GUESTLOCK_RES_DENIED, GUESTLOCK_DENIED},
	{GUESTLOCK_RES_IO, GUESTLOCK_IO},
	{GUESTLOCK_RES_CANNOT_CREATE, GUESTLOCK_CANNOT_CREATE},
	{GUESTLOCK_RES_INVALID, GUESTLOCK_INVALID},
	{GUESTLOCK_RES_UNKNOWN, GUESTLOCK_DAMAGED},
	{GUESTLOCK_RES_HELD, GUESTLOCK_OK},
	{GUESTLOCK_RES_ORPHAN, GUESTLOCK_OK},
	{GUESTLOCK_RES_OTHER, GUESTLOCK_BUSY},
	{GUESTLOCK_RES_FREE, GUESTLOCK_OK},
	{(enum guestlock_result)99, GUESTLOCK_FAILED},
};

START_TEST(status_of_result)
{
	ck_assert_int_eq(gl_status_of_result(result_rows[_i].result), result_rows[_i].status);
}
END_TEST

static const struct {
	int sys_errno, status;
} errno_rows[] = {
	{EACCES, GUESTLOCK_DENIED},
	{EPERM, GUESTLOCK_DENIED},
	{ENOENT, GUESTLOCK_NOT_FOUND},
	{ENOSPC, GUESTLOCK_CANNOT_CREATE},
	{EDQUOT, GUESTLOCK_CANNOT_CREATE},
	{EROFS, GUESTLOCK_CANNOT_CREATE},
	{ENOMEM, GUESTLOCK_NO_MEMORY},
	{EIO, GUESTLOCK_IO},
	{EBADF, GUESTLOCK_IO},
	{ENAMETOOLONG, GUESTLOCK_CANNOT_CREATE},
};

START_TEST(status_of_errno)
{
	ck_assert_int_eq(gl_status_of_errno(errno_rows[_i].sys_errno), errno_rows[_i].status);
}
END_TEST

START_TEST(status_texts)
{
	int status;

	for (status = GUESTLOCK_OK; status >= GUESTLOCK_NO_MEMORY; status--) {
		ck_assert_ptr_nonnull(guestlock_status_text(status));
		ck_assert_str_ne(guestlock_status_text(status), "");
		ck_assert_str_ne(guestlock_status_text(status), "unknown status");
	}
	ck_assert_str_eq(guestlock_status_text(GUESTLOCK_BUSY), "held by somebody else");
	ck_assert_str_eq(guestlock_status_text(GUESTLOCK_NO_MEMORY), "out of memory");
	ck_assert_str_eq(guestlock_status_text(1), "unknown status");
	ck_assert_str_eq(guestlock_status_text(GL_STATUS_LAST - 1), "unknown status");
	ck_assert_str_eq(guestlock_status_text(INT_MIN), "unknown status");
}
END_TEST

START_TEST(mode_names)
{
	ck_assert_str_eq(guestlock_mode_name(GUESTLOCK_MODE_NONE), "none");
	ck_assert_str_eq(guestlock_mode_name(GUESTLOCK_MODE_SHARED), "shared");
	ck_assert_str_eq(guestlock_mode_name(GUESTLOCK_MODE_HANDOVER), "handover");
	ck_assert_str_eq(guestlock_mode_name(GUESTLOCK_MODE_EXCLUSIVE), "exclusive");
	ck_assert_str_eq(guestlock_mode_name((enum guestlock_mode)77), "unknown");
}
END_TEST

START_TEST(version_has_three_numbers)
{
	const char *c;
	int dots = 0;

	for (c = guestlock_version(); *c != '\0'; c++) {
		ck_assert(*c == '.' || (*c >= '0' && *c <= '9'));
		dots += *c == '.';
	}
	ck_assert_int_eq(dots, 2);
}
END_TEST

/* ---- Text ---- */

START_TEST(set_string)
{
	char *slot = NULL;

	ck_assert_int_eq(gl_set_string(&slot, "one"), 0);
	ck_assert_str_eq(slot, "one");
	ck_assert_int_eq(gl_set_string(&slot, slot), 0);
	ck_assert_str_eq(slot, "one");
	ck_assert_int_eq(gl_set_string(&slot, NULL), 0);
	ck_assert_ptr_null(slot);
}
END_TEST

static const struct {
	const char *text, *canonical;
} uuid_rows[] = {
	{"c0ffee00-1234-4abc-8def-0123456789ab", "c0ffee00-1234-4abc-8def-0123456789ab"},
	{"C0FFEE00-1234-4ABC-8DEF-0123456789AB", "c0ffee00-1234-4abc-8def-0123456789ab"},
	{"", NULL},
	{"c0ffee00-1234-4abc-8def-0123456789a", NULL},
	{"c0ffee00-1234-4abc-8def-0123456789abc", NULL},
	{"c0ffee00123444abc48def40123456789abc", NULL},
	{"c0ffee0g-1234-4abc-8def-0123456789ab", NULL},
	{" c0ffee00-1234-4abc-8def-0123456789ab", NULL},
	{"{c0ffee00-1234-4abc-8def-0123456789a}", NULL},
	{"c0ffee00-1234-4abc-8def-0123456789a\n", NULL},
	{"c0ffee00/1234-4abc-8def-0123456789ab", NULL},
};

START_TEST(uuid_parse)
{
	char uuid[GUESTLOCK_UUID_STRING] = "untouched";
	bool valid = gl_uuid_parse(uuid_rows[_i].text, uuid);

	ck_assert_int_eq(valid, uuid_rows[_i].canonical != NULL);
	ck_assert_str_eq(uuid, uuid_rows[_i].canonical ? uuid_rows[_i].canonical : "untouched");
}
END_TEST

static const struct {
	const char *text;
	int base;
	bool valid;
	uint64_t value;
} number_rows[] = {
	{"0", 10, true, 0},
	{"007", 10, true, 7},
	{"18446744073709551615", 10, true, UINT64_MAX},
	{"18446744073709551616", 10, false, 0},
	{"99999999999999999999999", 10, false, 0},
	{"ffffffffffffffff", 16, true, UINT64_MAX},
	{"FFffFFffFFffFFff", 16, true, UINT64_MAX},
	{"10000000000000000", 16, false, 0},
	{"a", 10, false, 0},
	{"g", 16, false, 0},
	{"0x10", 16, false, 0},
	{"", 10, false, 0},
	{" 1", 10, false, 0},
	{"1 ", 10, false, 0},
	{"+1", 10, false, 0},
	{"-1", 10, false, 0},
};

START_TEST(parse_number)
{
	uint64_t value = 4711;

	ck_assert_int_eq(gl_parse_u64(number_rows[_i].text, number_rows[_i].base, &value),
			 number_rows[_i].valid);
	ck_assert_uint_eq(value, number_rows[_i].valid ? number_rows[_i].value : 4711);
}
END_TEST

static const struct {
	const char *text, *printed;
} printable_rows[] = {
	{"", ""},
	{"plain /a/b.qcow2", "plain /a/b.qcow2"},
	{"a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f"},
	{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
	{"\xff\xfe", "\\xff\\xfe"},
	{"\xc3", "\\xc3"},   /* ends too early */
	{"\xc3(", "\\xc3("}, /* no continuation */
	{"\xe2\x82", "\\xe2\\x82"},
	{"\xc0\xaf", "\\xc0\\xaf"}, /* longer than needed */
	{"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},
	{"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* half of a surrogate pair */
	{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
	{"\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"},
	{"\xc2\x9b"
	 "1m",
	 "\\xc2\\x9b"
	 "1m"}, /* a control sequence in one character */
	{"\xc2\xa0", "\xc2\xa0"},
};

START_TEST(printable)
{
	char *printed = gl_printable(printable_rows[_i].text);
	char buffer[64];

	ck_assert_str_eq(printed, printable_rows[_i].printed);
	free(printed);
	gl_printable_fit(buffer, sizeof(buffer), printable_rows[_i].text);
	ck_assert_str_eq(buffer, printable_rows[_i].printed);
}
END_TEST

START_TEST(printable_fit)
{
	char out[24];

	gl_printable_fit(out, sizeof(out), "abcdefghijklmnopqrstuvw");
	ck_assert_str_eq(out, "abcdefghijklmnopqrstuvw");
	gl_printable_fit(out, sizeof(out), "abcdefghijklmnopqrstuvwx");
	ck_assert_str_eq(out, "abcdefgh...mnopqrstuvwx");
	gl_printable_fit(out, sizeof(out), "abcdefg\xc3\xa4hijklmnopqrst\xc3\xa4uvwxyz1234");
	ck_assert_str_eq(out, "abcdefg...\xc3\xa4uvwxyz1234");
	gl_printable_fit(out, 8, "abcdefghij");
	ck_assert_str_eq(out, "abcdefg");
	gl_printable_fit(out, 1, "abc");
	ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(copy_cut)
{
	char out[6];

	gl_copy_cut(out, sizeof(out), "abcde");
	ck_assert_str_eq(out, "abcde");
	gl_copy_cut(out, sizeof(out), "abcdef");
	ck_assert_str_eq(out, "abcde");
	gl_copy_cut(out, sizeof(out), "abcd\xc3\xa4");
	ck_assert_str_eq(out, "abcd");
	gl_copy_cut(out, sizeof(out), "abc\xe2\x82\xac");
	ck_assert_str_eq(out, "abc");
	gl_copy_cut(out, sizeof(out), "abc\xc3\xa4");
	ck_assert_str_eq(out, "abc\xc3\xa4");
	gl_copy_cut(out, sizeof(out), "ab\xf0\x9f\x98\x80");
	ck_assert_str_eq(out, "ab");
	gl_copy_cut(out, sizeof(out), "\x80\x80\x80\x80\x80\x80\x80");
	ck_assert_str_eq(out, "\x80\x80\x80\x80\x80");
	gl_copy_cut(out, 1, "abc");
	ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(percent_all_bytes)
{
	char text[256], *encoded;
	size_t i;

	for (i = 1; i < sizeof(text); i++) {
		text[i - 1] = (char)i;
	}
	text[255] = '\0';
	encoded = guestlock_percent_encode(text);
	for (i = 0; encoded[i] != '\0'; i++) {
		ck_assert(encoded[i] > ' ' && encoded[i] < 0x7f);
	}
	ck_assert_int_eq(guestlock_percent_decode(encoded), 0);
	ck_assert_str_eq(encoded, text);
	free(encoded);
}
END_TEST

START_TEST(percent_encode)
{
	char *encoded = guestlock_percent_encode("/a b%\n\xff-._~:@+,=;#");

	ck_assert_str_eq(encoded, "/a%20b%25%0A%FF-._~:@+,=%3B%23");
	free(encoded);
	encoded = guestlock_percent_encode("");
	ck_assert_str_eq(encoded, "");
	free(encoded);
}
END_TEST

static const char *const malformed[] = {"%",   "a%2",  "%zz", "%2g", "%00", "a b",
					"a\n", "\xc3", "%%",  "%-1", "%+1"};

START_TEST(percent_malformed)
{
	char text[16];

	snprintf(text, sizeof(text), "%s", malformed[_i]);
	ck_assert_int_eq(guestlock_percent_decode(text), -1);
}
END_TEST

START_TEST(base64url)
{
	static const struct {
		const char *data, *text;
	} rows[] = {
		{"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
		{"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xbf", "-_-_"},
	};
	size_t i;

	for (i = 0; i < GL_COUNT(rows); i++) {
		size_t size = strlen(rows[i].data);
		size_t room = (size * 8 + 5) / 6 + 1;
		char *out = malloc(room + 1);

		out[room] = 'x';
		guestlock_base64url(rows[i].data, size, out);
		ck_assert_str_eq(out, rows[i].text);
		ck_assert_int_eq(out[room], 'x');
		free(out);
	}
}
END_TEST

START_TEST(digest)
{
	char key[GUESTLOCK_KEY_SIZE];

	/* SHA-256 of "" and "abc" as FIPS 180-4 has them, in base64url. */
	guestlock_digest("", 0, key);
	ck_assert_str_eq(key, "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
	guestlock_digest("abc", 3, key);
	ck_assert_str_eq(key, "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
	guestlock_digest("disk\0/a", 7, key);
	ck_assert_uint_eq(strlen(key), GUESTLOCK_KEY_SIZE - 1);
}
END_TEST

START_TEST(keys)
{
	static const char *const none[] = {
		"",
		"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuF",
		"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFUx",
		"47DEQpj8HBSa+_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
		"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuF=",
		"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuF\xe9",
		" 7DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
	};

	ck_assert(guestlock_key_valid("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"));
	for (size_t i = 0; i < GL_COUNT(none); i++) {
		ck_assert_msg(!guestlock_key_valid(none[i]), "%s", none[i]);
	}
}
END_TEST

START_TEST(random_and_clock)
{
	uint64_t one = guestlock_random64(), two = guestlock_random64();
	int64_t before = guestlock_monotonic_ms();
	struct timespec pause = {.tv_nsec = 20000000};

	ck_assert_uint_ne(one, 0);
	ck_assert_uint_ne(one, two);
	nanosleep(&pause, NULL);
	ck_assert_int_ge(guestlock_monotonic_ms() - before, 20);
	ck_assert_int_lt(guestlock_monotonic_ms() - before, 10000);
}
END_TEST

/* ---- Files ---- */

START_TEST(write_and_read)
{
	const char *path = in_directory("file");
	struct stat st;
	char *data;
	size_t size;

	umask(077);
	ck_assert_int_eq(guestlock_write_file(path, "one", 3, 0644), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0644);
	ck_assert_int_eq(guestlock_write_file(path, "a\0b", 3, 0600), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(guestlock_read_file(path, 3, &data, &size), 0);
	ck_assert_uint_eq(size, 3);
	ck_assert_mem_eq(data, "a\0b\0", 4);
	free(data);
	ck_assert_int_eq(count_entries(""), 1);
}
END_TEST

START_TEST(write_relative)
{
	struct stat st;

	ck_assert_int_eq(chdir(directory), 0);
	ck_assert_int_eq(guestlock_write_file("plain", "", 0, 0600), 0);
	ck_assert_int_eq(stat(in_directory("plain"), &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(write_failures_leave_nothing)
{
	char path[PATH_MAX + 64];

	ck_assert_int_eq(mkdir(in_directory("sub"), 0700), 0);
	ck_assert_int_eq(mkdir(in_directory("sub/full"), 0700), 0);
	ck_assert_int_eq(guestlock_write_file(in_directory("sub"), "x", 1, 0600), -1);
	ck_assert(errno == EISDIR || errno == ENOTEMPTY || errno == EEXIST);
	ck_assert_int_eq(guestlock_write_file(in_directory("missing/file"), "x", 1, 0600), -1);
	ck_assert_int_eq(errno, ENOENT);
	memset(path, 'p', sizeof(path));
	path[0] = '/';
	path[PATH_MAX - 10] = '/';
	path[sizeof(path) - 1] = '\0';
	ck_assert_int_eq(guestlock_write_file(path, "x", 1, 0600), -1);
	ck_assert_int_eq(errno, ENAMETOOLONG);
	ck_assert_int_eq(count_entries(".tmp-"), 0);
}
END_TEST

START_TEST(write_full)
{
	struct rlimit limit = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY};
	const char *path = in_directory("file");
	char big[8192] = "";
	char *data;
	size_t size;

	ck_assert_int_eq(guestlock_write_file(path, "old", 3, 0600), 0);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(guestlock_write_file(path, big, sizeof(big), 0600), -1);
	ck_assert_int_eq(errno, EFBIG);
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(count_entries(".tmp-"), 0);
	ck_assert_int_eq(guestlock_read_file(path, 10, &data, &size), 0);
	ck_assert_str_eq(data, "old");
	free(data);
}
END_TEST

static void *write_many(void *text)
{
	const char *path = text;
	size_t i;

	for (i = 0; i < 200; i++) {
		if (guestlock_write_file(path, i % 2 ? "aaaaaaaa" : "bbbbbbbb", 8, 0600) < 0) {
			return text;
		}
	}
	return NULL;
}

START_TEST(write_at_once)
{
	pthread_t threads[4];
	char path[PATH_MAX];
	void *failed;
	char *data;
	size_t i, size;

	snprintf(path, sizeof(path), "%s", in_directory("file"));
	ck_assert_int_eq(guestlock_write_file(path, "aaaaaaaa", 8, 0600), 0);
	for (i = 0; i < GL_COUNT(threads); i++) {
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_many, path), 0);
	}
	for (i = 0; i < 500; i++) {
		ck_assert_int_eq(guestlock_read_file(path, 8, &data, &size), 0);
		ck_assert(strcmp(data, "aaaaaaaa") == 0 || strcmp(data, "bbbbbbbb") == 0);
		free(data);
	}
	for (i = 0; i < GL_COUNT(threads); i++) {
		ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
		ck_assert_ptr_null(failed);
	}
	ck_assert_int_eq(count_entries(""), 1);
}
END_TEST

START_TEST(read_failures)
{
	char *data = NULL;
	size_t size = 7;

	ck_assert_int_eq(guestlock_read_file(in_directory("missing"), 10, &data, &size), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(guestlock_read_file(directory, 10, &data, &size), -1);
	ck_assert_int_eq(errno, EISDIR);
	ck_assert_int_eq(mkfifo(in_directory("fifo"), 0600), 0);
	ck_assert_int_eq(guestlock_read_file(in_directory("fifo"), 10, &data, &size), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(guestlock_write_file(in_directory("file"), "12345", 5, 0600), 0);
	ck_assert_int_eq(guestlock_read_file(in_directory("file"), 4, &data, &size), -1);
	ck_assert_int_eq(errno, EFBIG);
	ck_assert_int_eq(guestlock_read_file("/proc/self/mountinfo", 4, &data, &size), -1);
	ck_assert_int_eq(errno, EFBIG);
	ck_assert_ptr_null(data);
	ck_assert_uint_eq(size, 7);
}
END_TEST

START_TEST(read_sizes)
{
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 100000};
	char *in = malloc(100000), *data;
	size_t i, size;

	memset(in, 'x', 100000);
	for (i = 0; i < GL_COUNT(sizes); i++) {
		ck_assert_int_eq(guestlock_write_file(in_directory("file"), in, sizes[i], 0600), 0);
		ck_assert_int_eq(guestlock_read_file(in_directory("file"), sizes[i], &data, &size), 0);
		ck_assert_uint_eq(size, sizes[i]);
		ck_assert_uint_eq(strlen(data), sizes[i]);
		free(data);
	}
	free(in);
	/* Its size is said to be 0, and it comes in pieces. */
	ck_assert_int_eq(guestlock_read_file("/proc/kallsyms", 64 << 20, &data, &size), 0);
	ck_assert_uint_gt(size, 100000);
	free(data);
}
END_TEST

START_TEST(ofd_lock)
{
	int one = open(in_directory("lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int two = open(in_directory("lock"), O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(one, 0);
	ck_assert_int_ge(two, 0);
	ck_assert_int_eq(guestlock_ofd_lock(one, F_RDLCK), 0);
	ck_assert_int_eq(guestlock_ofd_lock(two, F_RDLCK), 0);
	ck_assert_int_eq(guestlock_ofd_lock(two, F_WRLCK), -1);
	ck_assert(errno == EAGAIN || errno == EACCES);
	ck_assert_int_eq(guestlock_ofd_lock(one, F_UNLCK), 0);
	ck_assert_int_eq(guestlock_ofd_lock(two, F_WRLCK), 0);
	ck_assert_int_eq(guestlock_ofd_lock(one, F_RDLCK), -1);
	close(two);
	ck_assert_int_eq(guestlock_ofd_lock(one, F_WRLCK), 0);
	close(one);
	ck_assert_int_eq(guestlock_ofd_lock(one, F_WRLCK), -1);
	ck_assert_int_eq(errno, EBADF);
}
END_TEST

START_TEST(make_directory)
{
	struct stat st;

	umask(022);
	ck_assert_int_eq(gl_make_directory(in_directory("a/b//c/"), 0700), 0);
	ck_assert_int_eq(stat(in_directory("a"), &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0755);
	ck_assert_int_eq(stat(in_directory("a/b"), &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0755);
	ck_assert_int_eq(stat(in_directory("a/b/c"), &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(gl_make_directory(in_directory("a/b/c"), 0755), 0);
	ck_assert_int_eq(gl_make_directory(directory, 0755), 0);
	ck_assert_int_eq(gl_make_directory("/", 0755), 0);
	ck_assert_int_eq(guestlock_write_file(in_directory("file"), "", 0, 0600), 0);
	ck_assert_int_eq(gl_make_directory(in_directory("file"), 0755), -1);
	ck_assert_int_eq(errno, ENOTDIR);
	ck_assert_int_eq(gl_make_directory(in_directory("file/x"), 0755), -1);
	ck_assert_int_eq(errno, ENOTDIR);
	ck_assert_int_eq(gl_make_directory("", 0755), -1);
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

static bool is_closed(int fd)
{
	return fcntl(fd, F_GETFD) < 0 && errno == EBADF;
}

START_TEST(auto_close)
{
	int copy;
	{
		GL_AUTOCLOSE int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		GL_AUTOCLOSE int none = -1;

		ck_assert_int_eq(none, -1);
		copy = fd;
		ck_assert(!is_closed(copy));
	}
	ck_assert(is_closed(copy));
}
END_TEST

/* The shortest of some pauses, as others may have the processor. */
static int64_t shortest_pause(unsigned attempt, int64_t max_ms, int64_t left_ms)
{
	int64_t shortest = INT64_MAX;

	for (int i = 0; i < 5; i++) {
		int64_t begun = guestlock_monotonic_ms(), took;

		ck_assert(gl_pause_before_retry(attempt, max_ms, begun + left_ms));
		took = guestlock_monotonic_ms() - begun;
		shortest = took < shortest ? took : shortest;
	}
	return shortest;
}

START_TEST(pauses_grow_and_shrink)
{
	/* Half of the longest at least, in milliseconds that have begun. */
	ck_assert_int_ge(shortest_pause(20, 200, 100000), 99);
	ck_assert_int_le(shortest_pause(0, 200, 100000), 50);
	/* Who has waited long tries often. */
	ck_assert_int_le(shortest_pause(20, 200, 320), 50);
	ck_assert(!gl_pause_before_retry(20, 200, guestlock_monotonic_ms()));
}
END_TEST

Suite *util_suite(void)
{
	Suite *suite = suite_create("util");
	TCase *errors = tcase_create("errors");
	TCase *text = tcase_create("text");
	TCase *files = tcase_create("files");

	tcase_add_test(errors, fail_fills_everything);
	tcase_add_test(errors, fail_without_error);
	tcase_add_test(errors, fail_may_quote_itself);
	tcase_add_test(errors, fail_makes_one_line);
	tcase_add_test(errors, fail_keeps_both_ends);
	tcase_add_test(errors, about_and_prefix);
	tcase_add_test(errors, backend_fail_translates);
	tcase_add_test(errors, batch_answer_tells_nothing_else);
	tcase_add_test(errors, an_owner_as_a_holder);
	tcase_add_test(errors, items_in_the_order_of_keys);
	tcase_add_test(errors, causes_of_codes);
	tcase_add_test(errors, a_failed_inquiry_hands_out_no_memory);
	tcase_add_test(errors, item_worsen_keeps_the_worst);
	tcase_add_loop_test(errors, status_of_result, 0, (int)GL_COUNT(result_rows));
	tcase_add_loop_test(errors, status_of_errno, 0, (int)GL_COUNT(errno_rows));
	tcase_add_test(errors, status_texts);
	tcase_add_test(errors, mode_names);
	tcase_add_test(errors, version_has_three_numbers);
	suite_add_tcase(suite, errors);

	tcase_add_test(text, set_string);
	tcase_add_loop_test(text, uuid_parse, 0, (int)GL_COUNT(uuid_rows));
	tcase_add_loop_test(text, parse_number, 0, (int)GL_COUNT(number_rows));
	tcase_add_loop_test(text, printable, 0, (int)GL_COUNT(printable_rows));
	tcase_add_test(text, printable_fit);
	tcase_add_test(text, copy_cut);
	tcase_add_test(text, percent_all_bytes);
	tcase_add_test(text, percent_encode);
	tcase_add_loop_test(text, percent_malformed, 0, (int)GL_COUNT(malformed));
	tcase_add_test(text, base64url);
	tcase_add_test(text, digest);
	tcase_add_test(text, keys);
	tcase_add_test(text, random_and_clock);
	suite_add_tcase(suite, text);

	tcase_add_checked_fixture(files, setup, teardown);
	tcase_add_test(files, write_and_read);
	tcase_add_test(files, write_relative);
	tcase_add_test(files, write_failures_leave_nothing);
	tcase_add_test(files, write_full);
	tcase_add_test(files, write_at_once);
	tcase_add_test(files, read_failures);
	tcase_add_test(files, read_sizes);
	tcase_add_test(files, ofd_lock);
	tcase_add_test(files, make_directory);
	tcase_add_test(files, auto_close);
	tcase_add_test(files, pauses_grow_and_shrink);
	suite_add_tcase(suite, files);
	return suite;
}
