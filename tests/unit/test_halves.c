/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records of more than a page: each change goes into the other half of the file. */
#include "suites.h"

#include "base/base.h"
#include "record/store.h"
#include "scratch.h"

#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define LONG 5000

static struct guestlock_error err;
static char run_dir[PATH_MAX + 32], path[PATH_MAX + 96];
static struct gl_store store = {.run_dir = run_dir};

static void setup(void)
{
	memset(&err, 0, sizeof(err));
	scratch_make();
	snprintf(run_dir, sizeof(run_dir), "%s/run", scratch_path);
	snprintf(path, sizeof(path), "%s/guests/%s", run_dir, UUID);
	ck_assert_int_eq(gl_store_prepare(&store, &err), GUESTLOCK_OK);
}

/* As an operation does: locks, reads what there is, writes. The name is letter, length times. */
static int change(int letter, size_t length)
{
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	struct gl_record *old = NULL, *record = gl_record_new(UUID);
	char name[4 * LONG + 1];
	int status = gl_store_lock(&store, UUID, guestlock_monotonic_ms() + 10000, &lock, NULL);

	memset(name, letter, length);
	name[length] = '\0';
	if (status || !record || gl_set_string(&record->name, name)) {
		return GUESTLOCK_FAILED;
	}
	status = gl_store_open(&store, &lock, &old, &err);
	if (status == GUESTLOCK_OK || status == GUESTLOCK_NOT_FOUND) {
		status = gl_store_save(&store, &lock, record, &err);
	}
	gl_store_unlock(&store, &lock);
	gl_record_free(old);
	gl_record_free(record);
	return status;
}

static void check_name(int letter, size_t length)
{
	struct gl_record *record = NULL;

	ck_assert_msg(gl_store_load(&store, UUID, &record, &err) == GUESTLOCK_OK, "%s", err.message);
	ck_assert_uint_eq(strlen(record->name), length);
	ck_assert_uint_eq(strspn(record->name, (char[]){(char)letter, '\0'}), length);
	gl_record_free(record);
}

static void check_change(int letter, size_t length)
{
	ck_assert_msg(change(letter, length) == GUESTLOCK_OK, "%s", err.message);
	check_name(letter, length);
}

static ino_t inode(void)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_ino;
}

static char *contents(size_t *out_size)
{
	char *text = NULL;

	ck_assert_int_eq(guestlock_read_file(path, 1 << 20, &text, out_size), 0);
	return text;
}

static void put_contents(const char *text, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, text, size, 0), (ssize_t)size);
	close(fd);
}

START_TEST(test_same_file)
{
	ino_t first;

	check_change('a', 10);
	check_change('b', LONG);
	first = inode();
	for (int letter = 'c'; letter <= 'z'; letter++) {
		check_change(letter, letter % 3 == 0 ? 10 : LONG + (size_t)letter);
		ck_assert_uint_eq(inode(), first);
	}
}
END_TEST

/* What does not fit into a half gets a file with larger ones. */
START_TEST(test_grows)
{
	ino_t before;

	check_change('a', LONG);
	before = inode();
	check_change('b', 3 * LONG);
	ck_assert_uint_ne(inode(), before);
	before = inode();
	check_change('c', LONG);
	check_change('d', 3 * LONG);
	ck_assert_uint_eq(inode(), before);
}
END_TEST

/*
 * Stopped after any number of bytes, a change leaves the old record or the new one, and the next one goes
 * on from it.
 */
START_TEST(test_torn)
{
	char *old, *new;
	size_t size, new_size, at, used;

	check_change('a', LONG);
	for (int turn = 0; turn < _i; turn++) {
		check_change('b' + turn, LONG);
	}
	old = contents(&size);
	check_change('o', LONG + 7);
	new = contents(&new_size);
	ck_assert_uint_eq(new_size, size);
	/* The second change of a file is in its second half. */
	at = _i % 2 ? 0 : size / 2;
	for (used = size / 2; new[at + used - 1] == old[at + used - 1]; used--) {
	}
	for (size_t done = 0; done <= used; done += done < 100 || used - done < 30 ? 1 : 97) {
		put_contents(old, size);
		memcpy(old + at, new + at, done);
		put_contents(old, size);
		if (done < used) {
			check_name('a' + _i, LONG);
		} else {
			check_name('o', LONG + 7);
		}
	}
	memset(old + at + 100, 'x', 200);
	put_contents(old, size);
	check_name('a' + _i, LONG);
	check_change('n', LONG);
	free(old);
	free(new);
}
END_TEST

static void check_damaged(const char *text, size_t size)
{
	struct gl_record *record = NULL;

	put_contents(text, size);
	ck_assert_int_eq(gl_store_load(&store, UUID, &record, &err), GUESTLOCK_DAMAGED);
	ck_assert_ptr_nonnull(strstr(err.message, path));
	/* And nobody writes over it. */
	ck_assert_int_eq(change('z', LONG), GUESTLOCK_DAMAGED);
}

START_TEST(test_damaged)
{
	char *text, *turn;
	size_t size;

	check_change('a', LONG);
	text = contents(&size);
	turn = strstr(text, "turn ");
	ck_assert_ptr_nonnull(turn);
	turn[20]++;
	check_damaged(text, size);
	turn[20]--;
	memcpy(text + size / 2, text, size / 2);
	text[1000] = 'b';
	/* The turn of a first half in the second. */
	check_damaged(text, size);
	text[1000] = 'a';
	put_contents(text, size);
	check_name('a', LONG);
	text[1000] = 'b';
	text[size / 2 + 1000] = 'b';
	check_damaged(text, size);
	free(text);
}
END_TEST

/* Without having read what its turn is, a writer takes no half for the older one. */
START_TEST(test_not_read)
{
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	struct gl_record *record = gl_record_new(UUID);
	ino_t before;

	check_change('a', LONG);
	check_change('b', LONG);
	check_change('c', LONG);
	before = inode();
	ck_assert_int_eq(gl_set_string(&record->name, "n"), 0);
	ck_assert_int_eq(gl_store_lock(&store, UUID, 0, &lock, &err), GUESTLOCK_OK);
	ck_assert_int_eq(gl_store_save(&store, &lock, record, &err), GUESTLOCK_OK);
	gl_store_unlock(&store, &lock);
	ck_assert_uint_ne(inode(), before);
	gl_record_free(record);
	check_name('n', 1);
}
END_TEST

static int change_for_ever(void *data)
{
	(void)data;
	for (unsigned i = 0;; i++) {
		if (change('a' + (int)(i % 26), LONG + i % 100)) {
			return 1;
		}
	}
}

static void check_whole(void)
{
	struct gl_record *record = NULL;
	size_t length;

	ck_assert_msg(gl_store_load(&store, UUID, &record, &err) == GUESTLOCK_OK, "%s", err.message);
	length = strlen(record->name);
	ck_assert(length >= LONG && length < LONG + 100);
	ck_assert_uint_eq(strspn(record->name, (char[]){record->name[0], '\0'}), length);
	gl_record_free(record);
}

/* Read while it is written, and after its writer was killed. */
START_TEST(test_killed)
{
	check_change('a', LONG);
	for (int i = 0; i < 50; i++) {
		pid_t pid = scratch_spawn(change_for_ever, NULL);

		for (int k = 0; k < i; k++) {
			check_whole();
		}
		usleep((useconds_t)(1000 + i * 37));
		scratch_kill(pid);
		check_whole();
	}
}
END_TEST

Suite *halves_suite(void)
{
	Suite *suite = suite_create("halves");
	TCase *basic = tcase_create("basic");

	tcase_add_checked_fixture(basic, setup, scratch_remove);
	tcase_add_test(basic, test_same_file);
	tcase_add_test(basic, test_grows);
	tcase_add_loop_test(basic, test_torn, 0, 3);
	tcase_add_test(basic, test_damaged);
	tcase_add_test(basic, test_not_read);
	tcase_add_test(basic, test_killed);
	tcase_set_timeout(basic, 120);
	suite_add_tcase(suite, basic);
	return suite;
}
