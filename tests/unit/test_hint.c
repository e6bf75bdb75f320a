/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "suites.h"

#include "base/base.h"
#include "record/store.h"
#include "scratch.h"

#define UUID_A "aaaaaaaa-edaf-9455-926a-d65c16db1809"
#define UUID_B "bbbbbbbb-edaf-9455-926a-d65c16db1809"
#define UUID_C "cccccccc-edaf-9455-926a-d65c16db1809"
#define KEY "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static struct guestlock_error err;
static char run_dir[PATH_MAX + 32];
static struct gl_store store = {.run_dir = run_dir};

static void setup(void)
{
	memset(&err, 0, sizeof(err));
	scratch_make();
	snprintf(run_dir, sizeof(run_dir), "%s/run", scratch_path);
	ck_assert_int_eq(gl_store_prepare(&store, &err), GUESTLOCK_OK);
}

static const char *path_of(const char *name)
{
	static char path[PATH_MAX];
	char *made = NULL;

	ck_assert_int_eq(gl_hint_path(&store, GL_HINT_FILE, name, &made, &err), GUESTLOCK_OK);
	snprintf(path, sizeof(path), "%s", made);
	free(made);
	return path;
}

static int64_t soon(void)
{
	return guestlock_monotonic_ms() + 10000;
}

static struct gl_hint hint_of(const char *uuid, const char *value)
{
	struct gl_hint hint = {.uuid = ""};

	gl_copy_cut(hint.uuid, sizeof(hint.uuid), uuid);
	gl_copy_cut(hint.value, sizeof(hint.value), value);
	return hint;
}

static int add(const char *name, const char *uuid, const char *value)
{
	struct gl_hint hint = hint_of(uuid, value);

	return gl_hint_add(&store, GL_HINT_FILE, name, &hint, NULL, NULL, soon(), &err);
}

static void check_add(const char *name, const char *uuid, const char *value)
{
	int status = add(name, uuid, value);

	ck_assert_msg(status == GUESTLOCK_OK, "%d: %s", status, err.message);
}

/* expected: "UUID VALUE,UUID VALUE," in order. */
static void check_hints(const char *name, const char *expected)
{
	struct gl_hint *hints = NULL;
	char found[2048] = "";
	size_t count;

	ck_assert_int_eq(gl_hint_read(&store, GL_HINT_FILE, name, &hints, &count, &err), GUESTLOCK_OK);
	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(found);

		snprintf(found + used, sizeof(found) - used, "%s %s,", hints[i].uuid, hints[i].value);
	}
	ck_assert_str_eq(found, expected);
	free(hints);
}

static void write_text(const char *name, const char *text, size_t size)
{
	ck_assert_int_eq(guestlock_write_file(path_of(name), text, size, 0600), 0);
}

/* Without the empty lines where more was. */
static char *read_text(const char *name, size_t *out_size)
{
	char *text = NULL;

	ck_assert_int_eq(guestlock_read_file(path_of(name), 1 << 20, &text, out_size), 0);
	while (*out_size > 1 && memcmp(text + *out_size - 2, "\n\n", 2) == 0) {
		text[--*out_size] = '\0';
	}
	return text;
}

struct court {
	const char *drop, *refuse; /* uuids */
	char heard[512];
};

static int judge(void *data, const struct gl_hint *other, struct guestlock_error *error)
{
	struct court *court = data;
	size_t used = strlen(court->heard);

	snprintf(court->heard + used, sizeof(court->heard) - used, "%.1s%s,", other->uuid, other->value);
	if (court->refuse && strcmp(other->uuid, court->refuse) == 0) {
		ck_assert_ptr_eq(error, &err);
		error->code = GUESTLOCK_ALIASED;
		return GUESTLOCK_ALIASED;
	}
	return court->drop && strcmp(other->uuid, court->drop) == 0;
}

/* ---- Adding, reading, removing ---- */

START_TEST(test_add_and_remove)
{
	check_hints(KEY, "");
	check_add(KEY, UUID_A, "");
	check_hints(KEY, UUID_A " ,");
	check_add(KEY, UUID_B, "value");
	check_add(KEY, UUID_A, "");
	check_add(KEY, UUID_B, "value");
	check_hints(KEY, UUID_A " ," UUID_B " value,");
	check_add(KEY, UUID_B, "other");
	check_add("x", UUID_C, KEY);
	check_hints(KEY, UUID_A " ," UUID_B " value," UUID_B " other,");
	gl_hint_remove(&store, GL_HINT_FILE, KEY, UUID_B, "third", soon());
	check_hints(KEY, UUID_A " ," UUID_B " value," UUID_B " other,");
	gl_hint_remove(&store, GL_HINT_FILE, KEY, UUID_B, "value", soon());
	check_hints(KEY, UUID_A " ," UUID_B " other,");
	check_add(KEY, UUID_B, "value");
	gl_hint_remove(&store, GL_HINT_FILE, KEY, UUID_B, NULL, soon());
	check_hints(KEY, UUID_A " ,");
	gl_hint_remove(&store, GL_HINT_FILE, KEY, UUID_B, NULL, soon());
	check_hints(KEY, UUID_A " ,");
	gl_hint_remove(&store, GL_HINT_FILE, KEY, UUID_A, NULL, soon());
	check_hints(KEY, "");
	gl_hint_remove(&store, GL_HINT_FILE, KEY, UUID_A, NULL, soon());
	check_hints(KEY, "");
	check_hints("x", UUID_C " " KEY ",");
}
END_TEST

/* Names that share a file do not see each other. */
START_TEST(test_neighbours)
{
	char first[PATH_MAX], other[16];
	struct court court = {.drop = NULL};
	struct gl_hint hint = hint_of(UUID_A, "2");
	unsigned i = 0;

	gl_copy_cut(first, sizeof(first), path_of("x"));
	do {
		snprintf(other, sizeof(other), "y%u", i++);
	} while (strcmp(path_of(other), first) != 0);
	check_add("x", UUID_A, "1");
	ck_assert_int_eq(gl_hint_add(&store, GL_HINT_FILE, other, &hint, judge, &court, soon(), &err),
			 GUESTLOCK_OK);
	ck_assert_str_eq(court.heard, "");
	check_add(other, UUID_B, "3");
	check_hints("x", UUID_A " 1,");
	check_hints(other, UUID_A " 2," UUID_B " 3,");
	gl_hint_remove(&store, GL_HINT_FILE, other, UUID_A, NULL, soon());
	check_hints("x", UUID_A " 1,");
	check_hints(other, UUID_B " 3,");
}
END_TEST

START_TEST(test_kinds)
{
	static const char *const parts[] = {"file", "name"};
	struct gl_hint hint = hint_of(UUID_A, "");
	struct gl_hint *hints;
	size_t count;
	char path[PATH_MAX + 64];

	ck_assert_int_eq(gl_hint_add(&store, (enum gl_hint_kind)_i, "n", &hint, NULL, NULL, 0, &err),
			 GUESTLOCK_OK);
	snprintf(path, sizeof(path), "%s/hints/%s/%.2s", run_dir, parts[_i], strrchr(path_of("n"), '/') + 1);
	ck_assert_int_eq(access(path, F_OK), 0);
	for (int kind = 0; kind < 2; kind++) {
		ck_assert_int_eq(gl_hint_read(&store, (enum gl_hint_kind)kind, "n", &hints, &count, &err),
				 GUESTLOCK_OK);
		ck_assert_uint_eq(count, kind == _i);
		free(hints);
	}
}
END_TEST

/* What older versions wrote must stay readable. */
START_TEST(test_text)
{
	static const char expected[] =
		"guestlock-hints 3 00000172 ZVcun7UJ\n" KEY " " UUID_A " 0\n" KEY " " UUID_B " 0 value\n";
	size_t size;
	char *text;

	check_add(KEY, UUID_A, "");
	check_add(KEY, UUID_B, "value");
	text = read_text(KEY, &size);
	ck_assert_str_eq(text, expected);
	free(text);
}
END_TEST

/* Each of its members tells one hint from another, and all of them are read as they were written. */
START_TEST(test_members)
{
	const struct gl_hint hints[] = {
		{.uuid = UUID_A, .instance = 1, .value = "value"},
		{.uuid = UUID_A, .instance = 2, .value = "value"},
		{.uuid = UUID_A, .instance = UINT64_MAX, .value = "value", .part = true},
		{.uuid = UUID_A, .instance = 4, .value = "value", .process = {.pid = INT32_MAX}},
		{.uuid = UUID_A,
		 .instance = 5,
		 .value = "value",
		 .part = true,
		 .adopted = true,
		 .process = {.pid = 1, .start = UINT64_MAX, .ns = UINT64_MAX, .boot_id = UUID_B}},
	};
	const struct gl_hint wrong = {.uuid = UUID_A, .instance = 1, .part = true};
	struct gl_hint *read = NULL;
	size_t count;

	for (size_t i = 0; i < 2 * GL_COUNT(hints); i++) {
		ck_assert_int_eq(gl_hint_add(&store, GL_HINT_FILE, KEY, &hints[i % GL_COUNT(hints)], NULL,
					     NULL, soon(), &err),
				 GUESTLOCK_OK);
	}
	ck_assert_int_eq(gl_hint_add(&store, GL_HINT_FILE, KEY, &wrong, NULL, NULL, soon(), &err),
			 GUESTLOCK_INVALID);
	ck_assert_int_eq(gl_hint_read(&store, GL_HINT_FILE, KEY, &read, &count, &err), GUESTLOCK_OK);
	ck_assert_uint_eq(count, GL_COUNT(hints));
	for (size_t i = 0; i < count; i++) {
		ck_assert_str_eq(read[i].uuid, hints[i].uuid);
		ck_assert_uint_eq(read[i].instance, hints[i].instance);
		ck_assert_str_eq(read[i].value, hints[i].value);
		ck_assert_int_eq(read[i].part, hints[i].part);
		ck_assert_int_eq(read[i].adopted, hints[i].adopted);
		ck_assert_int_eq(read[i].process.pid, hints[i].process.pid);
		ck_assert_uint_eq(read[i].process.start, hints[i].process.start);
		ck_assert_uint_eq(read[i].process.ns, hints[i].process.ns);
		ck_assert_str_eq(read[i].process.boot_id, hints[i].process.boot_id);
	}
	free(read);
}
END_TEST

/* Those of files are where everybody is who shares the life locks; those of names are not. */
START_TEST(test_shared)
{
	char shared[] = "/tmp/guestlock-hints.XXXXXX", directory[64];
	struct gl_store elsewhere = {.run_dir = run_dir, .files_dir = directory};
	struct gl_hint hint = hint_of(UUID_A, "value"), *read = NULL;
	char *path = NULL;
	size_t count;

	ck_assert_ptr_nonnull(mkdtemp(shared));
	snprintf(directory, sizeof(directory), "%s/life/.files", shared);
	ck_assert_int_eq(gl_hint_add(&elsewhere, GL_HINT_FILE, KEY, &hint, NULL, NULL, soon(), &err),
			 GUESTLOCK_OK);
	ck_assert_int_eq(gl_hint_read(&elsewhere, GL_HINT_FILE, KEY, &read, &count, &err), GUESTLOCK_OK);
	ck_assert_uint_eq(count, 1);
	free(read);
	check_hints(KEY, "");
	ck_assert_int_eq(gl_hint_path(&elsewhere, GL_HINT_FILE, KEY, &path, &err), GUESTLOCK_OK);
	ck_assert_int_eq(strncmp(path, directory, strlen(directory)), 0);
	ck_assert_int_eq(unlink(path), 0);
	free(path);
	ck_assert_int_eq(gl_hint_path(&elsewhere, GL_HINT_NAME, KEY, &path, &err), GUESTLOCK_OK);
	ck_assert_int_eq(strncmp(path, run_dir, strlen(run_dir)), 0);
	free(path);
	ck_assert_int_eq(rmdir(directory), 0);
	*strrchr(directory, '/') = '\0';
	ck_assert_int_eq(rmdir(directory), 0);
	ck_assert_int_eq(rmdir(shared), 0);
}
END_TEST

START_TEST(test_invalid)
{
	static const char *const names[] = {"", " ", "a b", "a\n", "\xff", (KEY "A")};
	struct gl_hint hint = hint_of(UUID_A, "");

	for (size_t i = 0; i < GL_COUNT(names); i++) {
		ck_assert_int_eq(add(names[i], UUID_A, ""), GUESTLOCK_INVALID);
		gl_hint_remove(&store, GL_HINT_FILE, names[i], UUID_A, NULL, 0);
	}
	ck_assert_int_eq(add(KEY, "AAAAAAAA-edaf-9455-926a-d65c16db1809", ""), GUESTLOCK_INVALID);
	ck_assert_int_eq(add(KEY, "", ""), GUESTLOCK_INVALID);
	ck_assert_int_eq(add(KEY, UUID_A, "a b"), GUESTLOCK_INVALID);
	ck_assert_int_eq(add(KEY, UUID_A, "a\n"), GUESTLOCK_INVALID);
	ck_assert_int_eq(add(KEY, UUID_A, "\xff"), GUESTLOCK_INVALID);
	memset(hint.value, 'x', sizeof(hint.value));
	ck_assert_int_eq(gl_hint_add(&store, GL_HINT_FILE, KEY, &hint, NULL, NULL, 0, &err),
			 GUESTLOCK_INVALID);
	check_hints(KEY, "");
}
END_TEST

START_TEST(test_without_directory)
{
	char command[PATH_MAX + 64];

	snprintf(command, sizeof(command), "rm -r '%s/hints'", run_dir);
	ck_assert_int_eq(system(command), 0);
	check_hints(KEY, "");
	gl_hint_remove(&store, GL_HINT_FILE, KEY, UUID_A, NULL, 0);
	check_add(KEY, UUID_A, "");
	check_hints(KEY, UUID_A " ,");
}
END_TEST

/* More than a page: the file is replaced, and shrinks again. */
START_TEST(test_many)
{
	struct gl_hint *hints;
	size_t count, size;

	for (unsigned i = 0; i < 100; i++) {
		char uuid[64];

		snprintf(uuid, sizeof(uuid), "%08x-edaf-9455-926a-d65c16db1809", i);
		check_add(KEY, uuid, KEY);
	}
	ck_assert_int_eq(gl_hint_read(&store, GL_HINT_FILE, KEY, &hints, &count, &err), GUESTLOCK_OK);
	ck_assert_uint_eq(count, 100);
	for (unsigned i = 0; i < 100; i++) {
		ck_assert_uint_eq(strtoul(hints[i].uuid, NULL, 16), i);
		ck_assert_str_eq(hints[i].value, KEY);
		if (i != 7) {
			gl_hint_remove(&store, GL_HINT_FILE, KEY, hints[i].uuid, NULL, soon());
		}
	}
	free(hints);
	check_hints(KEY, "00000007-edaf-9455-926a-d65c16db1809 " KEY ",");
	free(read_text(KEY, &size));
	ck_assert_uint_le(size, 4096);
	gl_hint_remove(&store, GL_HINT_FILE, KEY, "00000007-edaf-9455-926a-d65c16db1809", NULL, soon());
	check_hints(KEY, "");
}
END_TEST

/* ---- The judge ---- */

static int add_judged(const char *uuid, const char *value, struct court *court)
{
	struct gl_hint hint = hint_of(uuid, value);

	court->heard[0] = '\0';
	return gl_hint_add(&store, GL_HINT_FILE, KEY, &hint, judge, court, soon(), &err);
}

START_TEST(test_judge)
{
	struct court court = {.drop = NULL};

	ck_assert_int_eq(add_judged(UUID_A, "1", &court), GUESTLOCK_OK);
	ck_assert_str_eq(court.heard, "");
	ck_assert_int_eq(add_judged(UUID_B, "2", &court), GUESTLOCK_OK);
	ck_assert_str_eq(court.heard, "a1,");
	ck_assert_int_eq(add_judged(UUID_B, "3", &court), GUESTLOCK_OK);
	ck_assert_str_eq(court.heard, "a1,b2,");
	ck_assert_int_eq(add_judged(UUID_B, "2", &court), GUESTLOCK_OK);
	ck_assert_str_eq(court.heard, "a1,b3,");
	check_hints(KEY, UUID_A " 1," UUID_B " 2," UUID_B " 3,");

	court.drop = UUID_B;
	ck_assert_int_eq(add_judged(UUID_C, "4", &court), GUESTLOCK_OK);
	ck_assert_str_eq(court.heard, "a1,b2,b3,");
	check_hints(KEY, UUID_A " 1," UUID_C " 4,");

	/* The new one is there already, and another is dropped. */
	court.drop = UUID_A;
	ck_assert_int_eq(add_judged(UUID_C, "4", &court), GUESTLOCK_OK);
	check_hints(KEY, UUID_C " 4,");
}
END_TEST

START_TEST(test_judge_refuses)
{
	struct court court = {.drop = UUID_A, .refuse = UUID_B};

	check_add(KEY, UUID_A, "1");
	check_add(KEY, UUID_B, "2");
	ck_assert_int_eq(add_judged(UUID_C, "3", &court), GUESTLOCK_ALIASED);
	ck_assert_int_eq(err.code, GUESTLOCK_ALIASED);
	ck_assert_str_eq(court.heard, "a1,b2,");
	check_hints(KEY, UUID_A " 1," UUID_B " 2,");
	/* The lock is free again. */
	check_add(KEY, UUID_C, "3");
}
END_TEST

/* ---- Damage ---- */

START_TEST(test_empty_file)
{
	struct court court = {.drop = NULL};

	/* Somebody was killed before he wrote to the file that he had made. */
	write_text(KEY, "", 0);
	check_hints(KEY, "");
	ck_assert_int_eq(add_judged(UUID_A, "1", &court), GUESTLOCK_OK);
	ck_assert_str_eq(court.heard, "");
	check_hints(KEY, UUID_A " 1,");
	write_text(KEY, "", 0);
	gl_hint_remove(&store, GL_HINT_FILE, KEY, UUID_A, NULL, soon());
	check_hints(KEY, "");
}
END_TEST

/* Cut anywhere: the lines that are whole still count, and the next change makes the file whole. */
START_TEST(test_torn)
{
	size_t size;
	char *text;

	check_add(KEY, UUID_A, "1");
	check_add(KEY, UUID_B, "2");
	text = read_text(KEY, &size);
	for (size_t length = 1; length < size; length += 3) {
		size_t line_a =
			strlen("guestlock-hints 1 00000078 12345678\n") + strlen(KEY " " UUID_A " 1\n");

		write_text(KEY, text, length);
		check_hints(KEY, length >= line_a ? UUID_A " 1," : "");
		check_add(KEY, UUID_C, "3");
		check_hints(KEY, length >= line_a ? UUID_A " 1," UUID_C " 3," : UUID_C " 3,");
	}
	free(text);
}
END_TEST

START_TEST(test_garbage)
{
	static const char garbage[] =
		"guestlock-hints 3 99999999 AAAAAAAA\n\0\n" KEY " " UUID_A " 0 1\nx\n" KEY " " UUID_B
		" 0 2 3\n" KEY " " UUID_B " 0 2 part 3\n" KEY " " UUID_C " 0 \n" KEY "  " UUID_C " 0\n" KEY
		"A " UUID_C " 0\n" KEY " " UUID_B " 0 2\n" UUID_C "\n" KEY " " UUID_C "\n" KEY " " UUID_C
		" 0 part part part\n" KEY " " UUID_C " g\n" KEY " " UUID_C " 0\n";

	write_text(KEY, garbage, sizeof(garbage) - 1);
	check_hints(KEY, UUID_A " 1," UUID_B " 2," UUID_C " ,");
	/* Also when the new one is among them, the file is made whole. */
	check_add(KEY, UUID_B, "2");
	check_hints(KEY, UUID_A " 1," UUID_B " 2," UUID_C " ,");
	write_text(KEY, garbage, sizeof(garbage) - 1);
	gl_hint_remove(&store, GL_HINT_FILE, KEY, "00000000-edaf-9455-926a-d65c16db1809", NULL, soon());
	check_add(KEY, UUID_A, "1");
	check_hints(KEY, UUID_A " 1," UUID_B " 2," UUID_C " ,");
	write_text(KEY, "nothing", 7);
	check_hints(KEY, "");
	gl_hint_remove(&store, GL_HINT_FILE, KEY, UUID_A, NULL, soon());
	check_hints(KEY, "");
}
END_TEST

/* A reader in the midst of a change sees whole lines of both contents: only the check tells. */
START_TEST(test_check)
{
	size_t size, again_size;
	char *text, *again;

	check_add(KEY, UUID_A, "1");
	check_add(KEY, UUID_B, "2");
	text = read_text(KEY, &size);
	text[size - 2] = '3';
	write_text(KEY, text, size);
	check_hints(KEY, UUID_A " 1," UUID_B " 3,");
	/* It is there already: only the damage makes this a change. */
	check_add(KEY, UUID_A, "1");
	again = read_text(KEY, &again_size);
	ck_assert_uint_eq(again_size, size);
	ck_assert_str_eq(strchr(again, '\n'), strchr(text, '\n'));
	ck_assert_str_ne(again, text);
	free(again);
	free(text);
}
END_TEST

static ino_t inode_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(stat(path_of(name), &st), 0);
	return st.st_ino;
}

/*
 * In place as long as one write does it all; more must not be seen half written, so the file is another
 * one.
 */
START_TEST(test_replaced_when_large)
{
	ino_t inode = 0;

	for (unsigned i = 0; i < 60; i++) {
		char uuid[64];
		struct stat st;

		snprintf(uuid, sizeof(uuid), "%08x-edaf-9455-926a-d65c16db1809", i);
		check_add(KEY, uuid, KEY);
		ck_assert_int_eq(stat(path_of(KEY), &st), 0);
		if (i > 0) {
			ck_assert_int_eq(st.st_ino != inode, st.st_size > 4096);
		}
		inode = inode_of(KEY);
	}
}
END_TEST

/* What is left of a longer content behind a shorter one means nothing. */
START_TEST(test_rest_of_longer_content)
{
	check_add(KEY, UUID_A, "1");
	check_add(KEY, UUID_B, "2");
	check_add(KEY, UUID_C, "3");
	gl_hint_remove(&store, GL_HINT_FILE, KEY, UUID_A, NULL, soon());
	check_hints(KEY, UUID_B " 2," UUID_C " 3,");
	gl_hint_remove(&store, GL_HINT_FILE, KEY, UUID_C, NULL, soon());
	check_hints(KEY, UUID_B " 2,");
	check_add(KEY, UUID_B, "2");
	check_hints(KEY, UUID_B " 2,");
}
END_TEST

/* ---- What stands in the way ---- */

static void check_add_fails(const char *name, int status, const char *words)
{
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(add(name, UUID_C, ""), status);
	ck_assert_int_eq(err.code, status);
	ck_assert_msg(strstr(err.message, path_of(name)), "no path in \"%s\"", err.message);
	ck_assert_msg(strstr(err.message, words), "no \"%s\" in \"%s\"", words, err.message);
}

START_TEST(test_denied)
{
	struct gl_hint *hints;
	size_t count;
	char directory[PATH_MAX + 64];

	check_add(KEY, UUID_A, "1");
	snprintf(directory, sizeof(directory), "%s/hints/file", run_dir);
	if (geteuid() != 0) {
		ck_assert_int_eq(chmod(directory, 0), 0);
	}
	scratch_become_nobody();
	check_add_fails(KEY, GUESTLOCK_DENIED, "Permission denied");
	ck_assert_int_eq(gl_hint_read(&store, GL_HINT_FILE, KEY, &hints, &count, &err), GUESTLOCK_DENIED);
	if (geteuid() == getuid()) {
		ck_assert_int_eq(chmod(directory, 0700), 0);
	}
}
END_TEST

START_TEST(test_read_only)
{
	char path[PATH_MAX];

	if (!scratch_mount("size=64k", path)) {
		return;
	}
	snprintf(run_dir, sizeof(run_dir), "%s/run", path);
	ck_assert_int_eq(gl_store_prepare(&store, &err), GUESTLOCK_OK);
	check_add(KEY, UUID_A, "1");
	scratch_make_read_only(path);
	check_add_fails(KEY, GUESTLOCK_CANNOT_CREATE, "Read-only file system");
	check_add_fails("new", GUESTLOCK_CANNOT_CREATE, "Read-only file system");
	check_hints(KEY, UUID_A " 1,");
	gl_hint_remove(&store, GL_HINT_FILE, KEY, UUID_A, NULL, 0);
	check_hints(KEY, UUID_A " 1,");
}
END_TEST

/* No room for content: what was held stays, and no empty file is left. */
START_TEST(test_full)
{
	static const char block[4096];
	char path[PATH_MAX], name[PATH_MAX + 8];
	int fd;

	if (!scratch_mount("size=64k", path)) {
		return;
	}
	snprintf(run_dir, sizeof(run_dir), "%s/run", path);
	ck_assert_int_eq(gl_store_prepare(&store, &err), GUESTLOCK_OK);
	check_add(KEY, UUID_A, "1");
	snprintf(name, sizeof(name), "%s/fill", path);
	fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, block, sizeof(block)) > 0) {
	}
	close(fd);
	check_add_fails("new", GUESTLOCK_CANNOT_CREATE, "No space left on device");
	ck_assert_int_lt(access(path_of("new"), F_OK), 0);
	/* There is room in the page that the file has. */
	check_add(KEY, UUID_B, "2");
	check_hints(KEY, UUID_A " 1," UUID_B " 2,");
}
END_TEST

static int add_limited(void *data)
{
	struct gl_hint hint = hint_of(UUID_C, "");
	(void)data;

	return scratch_limit_files(140) ||
	       gl_hint_add(&store, GL_HINT_FILE, KEY, &hint, NULL, NULL, soon(), NULL) == GUESTLOCK_OK;
}

/* A write that cannot be finished loses no hint that was there. */
START_TEST(test_short_write)
{
	check_add(KEY, UUID_A, "1");
	check_add(KEY, UUID_B, "2");
	scratch_wait(scratch_spawn(add_limited, NULL));
	check_hints(KEY, UUID_A " 1," UUID_B " 2,");
	check_add(KEY, UUID_C, "3");
	check_hints(KEY, UUID_A " 1," UUID_B " 2," UUID_C " 3,");
}
END_TEST

/* ---- Several processes ---- */

static int hold_for_ever(void *data)
{
	int fd = open(path_of(KEY), O_RDWR | O_CLOEXEC);

	if (fd < 0 || guestlock_ofd_lock(fd, F_WRLCK) < 0) {
		return 1;
	}
	*(int *)data = 1;
	pause();
	return 0;
}

START_TEST(test_timeout)
{
	int *held = scratch_share(sizeof(*held));
	struct gl_hint hint = hint_of(UUID_B, "2");
	int64_t begun;
	pid_t pid;

	check_add(KEY, UUID_A, "1");
	pid = scratch_spawn(hold_for_ever, held);
	scratch_await(held);
	begun = guestlock_monotonic_ms();
	ck_assert_int_eq(gl_hint_add(&store, GL_HINT_FILE, KEY, &hint, NULL, NULL, begun + 200, &err),
			 GUESTLOCK_TIMEOUT);
	ck_assert_int_ge(guestlock_monotonic_ms() - begun, 199);
	ck_assert_int_lt(guestlock_monotonic_ms() - begun, 3000);
	ck_assert_ptr_nonnull(strstr(err.message, path_of(KEY)));
	begun = guestlock_monotonic_ms();
	gl_hint_remove(&store, GL_HINT_FILE, KEY, UUID_A, NULL, begun + 200);
	ck_assert_int_lt(guestlock_monotonic_ms() - begun, 3000);
	/* Reading takes no lock. */
	check_hints(KEY, UUID_A " 1,");
	scratch_kill(pid);
	check_add(KEY, UUID_B, "2");
	check_hints(KEY, UUID_A " 1," UUID_B " 2,");
}
END_TEST

#define WRITERS 8
#define ROUNDS 200

/* Each adds its hints for ROUNDS values, and takes every second one away again through another uuid. */
static int write_hints(void *data)
{
	int number = *(int *)data;

	for (int i = 0; i < ROUNDS; i++) {
		char name[16], kept[40], passing[40];
		struct gl_hint hint;

		snprintf(name, sizeof(name), "n%d", i % 5);
		snprintf(kept, sizeof(kept), "%08x-0000-4000-8000-00000000000%d", i, number);
		snprintf(passing, sizeof(passing), "%08x-1111-4000-8000-00000000000%d", i, number);
		hint = hint_of(passing, "");
		if (gl_hint_add(&store, GL_HINT_FILE, name, &hint, NULL, NULL, soon() + 50000, NULL)) {
			return 1;
		}
		hint = hint_of(kept, KEY);
		if (i % 4 == 0 &&
		    gl_hint_add(&store, GL_HINT_FILE, name, &hint, NULL, NULL, soon() + 50000, NULL)) {
			return 2;
		}
		gl_hint_remove(&store, GL_HINT_FILE, name, passing, NULL, soon() + 50000);
	}
	return 0;
}

static size_t check_kept(const char *name, const struct gl_hint *hints, size_t count)
{
	bool seen[WRITERS][ROUNDS] = {{false}};

	for (size_t i = 0; i < count; i++) {
		unsigned round = (unsigned)strtoul(hints[i].uuid, NULL, 16);
		unsigned writer = (unsigned)(hints[i].uuid[35] - '0');

		ck_assert_uint_lt(round, ROUNDS);
		ck_assert_uint_lt(writer, WRITERS);
		ck_assert_int_eq(strncmp(hints[i].uuid + 8, "-0000-", 6), 0);
		ck_assert_uint_eq(round % 4, 0);
		ck_assert_uint_eq(round % 5, (unsigned)(name[1] - '0'));
		ck_assert_str_eq(hints[i].value, KEY);
		ck_assert(!seen[writer][round]);
		seen[writer][round] = true;
	}
	return count;
}

/* Above a page and below it, with files that come and go. */
START_TEST(test_concurrent)
{
	int numbers[WRITERS];
	pid_t pids[WRITERS];
	size_t total = 0;

	for (int i = 0; i < WRITERS; i++) {
		numbers[i] = i;
		pids[i] = scratch_spawn(write_hints, &numbers[i]);
	}
	for (int i = 0; i < WRITERS; i++) {
		scratch_wait(pids[i]);
	}
	for (int i = 0; i < 5; i++) {
		char name[16];
		struct gl_hint *hints;
		size_t count;

		snprintf(name, sizeof(name), "n%d", i);
		ck_assert_int_eq(gl_hint_read(&store, GL_HINT_FILE, name, &hints, &count, &err),
				 GUESTLOCK_OK);
		total += check_kept(name, hints, count);
		free(hints);
	}
	ck_assert_uint_eq(total, WRITERS * ROUNDS / 4);
}
END_TEST

static int come_and_go(void *data)
{
	char uuid[40];

	snprintf(uuid, sizeof(uuid), "0000000%d-0000-4000-8000-000000000000", *(int *)data);
	for (int i = 0; i < ROUNDS; i++) {
		struct gl_hint hint = hint_of(uuid, "");
		struct gl_hint *hints;
		size_t count, found = 0;

		if (gl_hint_add(&store, GL_HINT_FILE, KEY, &hint, NULL, NULL, soon() + 50000, NULL) ||
		    gl_hint_read(&store, GL_HINT_FILE, KEY, &hints, &count, NULL)) {
			return 1;
		}
		for (size_t j = 0; j < count; j++) {
			found += strcmp(hints[j].uuid, uuid) == 0;
		}
		free(hints);
		if (found != 1) {
			return 2;
		}
		gl_hint_remove(&store, GL_HINT_FILE, KEY, uuid, NULL, soon() + 50000);
	}
	return 0;
}

/* The last hint goes while others are about to add theirs: none is lost. */
START_TEST(test_last_one_leaves)
{
	int numbers[WRITERS];
	pid_t pids[WRITERS];

	for (int i = 0; i < WRITERS; i++) {
		numbers[i] = i;
		pids[i] = scratch_spawn(come_and_go, &numbers[i]);
	}
	for (int i = 0; i < WRITERS; i++) {
		scratch_wait(pids[i]);
	}
	check_hints(KEY, "");
}
END_TEST

static int change_for_ever(void *data)
{
	(void)data;
	for (;;) {
		if (add(KEY, UUID_B, "")) {
			return 1;
		}
		gl_hint_remove(&store, GL_HINT_FILE, KEY, UUID_B, NULL, soon());
	}
}

/* Killed at any time, a writer leaves the lock free and the hints of others in place. */
START_TEST(test_killed_writer)
{
	check_add(KEY, UUID_A, "1");
	for (int i = 0; i < 50; i++) {
		pid_t pid = scratch_spawn(change_for_ever, NULL);
		struct gl_hint *hints;
		size_t count;

		usleep((useconds_t)(1000 + i * 37));
		scratch_kill(pid);
		ck_assert_int_eq(gl_hint_read(&store, GL_HINT_FILE, KEY, &hints, &count, &err), GUESTLOCK_OK);
		ck_assert_uint_ge(count, 1);
		ck_assert_str_eq(hints[0].uuid, UUID_A);
		ck_assert_str_eq(hints[0].value, "1");
		free(hints);
		gl_hint_remove(&store, GL_HINT_FILE, KEY, UUID_B, NULL, soon());
		check_hints(KEY, UUID_A " 1,");
	}
}
END_TEST

Suite *hint_suite(void)
{
	Suite *suite = suite_create("hint");
	TCase *basic = tcase_create("basic");
	TCase *damage = tcase_create("damage");
	TCase *obstacle = tcase_create("obstacles");
	TCase *processes = tcase_create("processes");

	tcase_add_checked_fixture(basic, setup, scratch_remove);
	tcase_add_test(basic, test_add_and_remove);
	tcase_add_test(basic, test_neighbours);
	tcase_add_loop_test(basic, test_kinds, 0, 2);
	tcase_add_test(basic, test_text);
	tcase_add_test(basic, test_members);
	tcase_add_test(basic, test_shared);
	tcase_add_test(basic, test_invalid);
	tcase_add_test(basic, test_without_directory);
	tcase_add_test(basic, test_many);
	tcase_add_test(basic, test_judge);
	tcase_add_test(basic, test_judge_refuses);
	suite_add_tcase(suite, basic);

	tcase_add_checked_fixture(damage, setup, scratch_remove);
	tcase_add_test(damage, test_empty_file);
	tcase_add_test(damage, test_torn);
	tcase_add_test(damage, test_garbage);
	tcase_add_test(damage, test_check);
	tcase_add_test(damage, test_replaced_when_large);
	tcase_add_test(damage, test_rest_of_longer_content);
	suite_add_tcase(suite, damage);

	tcase_add_checked_fixture(obstacle, setup, scratch_remove);
	tcase_add_test(obstacle, test_denied);
	tcase_add_test(obstacle, test_read_only);
	tcase_add_test(obstacle, test_full);
	tcase_add_test(obstacle, test_short_write);
	suite_add_tcase(suite, obstacle);

	tcase_add_checked_fixture(processes, setup, scratch_remove);
	tcase_add_test(processes, test_timeout);
	tcase_add_test(processes, test_concurrent);
	tcase_add_test(processes, test_last_one_leaves);
	tcase_add_test(processes, test_killed_writer);
	tcase_set_timeout(processes, 120);
	suite_add_tcase(suite, processes);
	return suite;
}
