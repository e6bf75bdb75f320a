/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of the backend that need no cluster: value blocks, the kernel's list of locks, the table, notes
 * of owners.
 */
#include "dlm.h"
#include "kernel/dump.h"
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UUID "6e6f6e65-0000-4000-8000-00000000000d"

/* ---- Value blocks ---- */

START_TEST(a_block_comes_back)
{
	const struct gl_dlm_block block = {
		.valid = true,
		.flags = GL_DLM_HAS_EPOCH | GL_DLM_HANDOVER,
		.node = 0x01020304,
		.epoch = 0x0102030405060708,
		.uuid = UUID,
	};
	unsigned char bytes[GL_DLM_BLOCK];
	struct gl_dlm_block got;

	gl_dlm_block_write(&block, bytes);
	/* Another host of another byte order reads the same. */
	ck_assert_uint_eq(bytes[4], 4);
	ck_assert_uint_eq(bytes[8], 8);
	ck_assert_uint_eq(bytes[16], 0x6e);
	ck_assert_uint_eq(bytes[31], 0x0d);
	gl_dlm_block_read(bytes, &got);
	ck_assert(got.valid);
	ck_assert_uint_eq(got.flags, block.flags);
	ck_assert_uint_eq(got.node, block.node);
	ck_assert_uint_eq(got.epoch, block.epoch);
	ck_assert_str_eq(got.uuid, UUID);
}
END_TEST

START_TEST(a_foreign_block_says_nothing)
{
	unsigned char bytes[GL_DLM_BLOCK] = {0};
	struct gl_dlm_block got;

	gl_dlm_block_read(bytes, &got);
	ck_assert(!got.valid);
	gl_dlm_block_write(&(struct gl_dlm_block){.epoch = 1}, bytes);
	bytes[1]++; /* a later version */
	gl_dlm_block_read(bytes, &got);
	ck_assert(!got.valid);
}
END_TEST

/* ---- The kernel's list ---- */

static const struct {
	const char *line;
	bool good;
	struct gl_dlm_row row;
} lines[] = {
	{"2f 0 0 570 18446744073709551615 88 1 2 5 -1 1234 0 43 "
	 "\"Ee98sa0cVLaV38ON-cdoo42M7bcCfqBFivHCmOJWfzo\"\n",
	 true,
	 {.lkid = 0x2f, .xid = UINT64_MAX, .sign = GL_DLM_SIGN_GRANTED, .mode = 5, .wanted = -1}},
	{"3 2 a 0 7 8 3 3 0 5 0 2 3 \"k\"y\"\n",
	 true,
	 {.lkid = 3, .xid = 7, .sign = GL_DLM_SIGN_CONVERTING, .mode = 0, .wanted = 5}},
	/* A copy of another node's lock. */
	{"4 2 a 0 7 8 10001 2 5 -1 0 2 1 \"k\"\n", false, {0}},
	{"id nodeid remid pid xid exflags flags sts grmode rqmode time_us r_nodeid r_len r_name\n",
	 false,
	 {0}},
	{"5 2 a 0 7 8 1 2 5\n", false, {0}},
	{"5 2 a 0 7 8 1 2 5 -1 0 2 0 \"\"\n", false, {0}},
	{"5 2 a 0 7 8 1 2 5 -1 0 2 1 k\n", false, {0}},
	{"0 2 a 0 7 8 1 2 5 -1 0 2 1 \"k\"\n", false, {0}},
	{"5 2 a 0 7 8 1 2 5 -1 0 2 65 "
	 "\"12345678901234567890123456789012345678901234567890123456789012345\"\n",
	 false,
	 {0}},
	{"", false, {0}},
};

START_TEST(a_line_of_the_list)
{
	struct gl_dlm_row row;

	ck_assert_int_eq(gl_dlm_dump_line(lines[_i].line, &row), lines[_i].good);
	if (lines[_i].good) {
		ck_assert_uint_eq(row.lkid, lines[_i].row.lkid);
		ck_assert_uint_eq(row.xid, lines[_i].row.xid);
		ck_assert_int_eq(row.sign, lines[_i].row.sign);
		ck_assert_int_eq(row.mode, lines[_i].row.mode);
		ck_assert_int_eq(row.wanted, lines[_i].row.wanted);
	}
}
END_TEST

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

START_TEST(what_is_waited_for)
{
	char dir[] = "/tmp/guestlock-parts.XXXXXX", locks[64], waiters[64];
	struct gl_dlm dlm = {.dump_path = locks, .waiters_path = waiters};
	struct gl_dlm_dump dump;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(locks, sizeof(locks), "%s/locks", dir);
	snprintf(waiters, sizeof(waiters), "%s/waiters", dir);
	put(locks, "id nodeid\n9 2 a 0 7 8 1 2 5 -1 0 2 1 \"b\"\n3 2 a 0 7 8 1 2 0 5 0 2 1 \"a\"\n");
	ck_assert_int_eq(gl_dlm_dump_read(&dlm, &dump), -1);
	ck_assert_int_eq(errno, ENOENT);
	/* One of them is known, the other is a lock that is only asked for. */
	put(waiters, "3 2 2 a\n77 1 2 c\n");
	ck_assert_int_eq(gl_dlm_dump_read(&dlm, &dump), 0);
	ck_assert_uint_eq(dump.count, 2);
	ck_assert_uint_eq(dump.waiters, 1);
	ck_assert_uint_eq(dump.rows[0].lkid, 3);
	ck_assert(dump.rows[0].waited);
	ck_assert(!dump.rows[1].waited);
	ck_assert_ptr_eq(gl_dlm_dump_row(&dump, 9), &dump.rows[1]);
	ck_assert_ptr_null(gl_dlm_dump_row(&dump, 4));
	gl_dlm_dump_free(&dump);
	unlink(locks);
	unlink(waiters);
	rmdir(dir);
}
END_TEST

/* ---- The table ---- */

static int count_one(void *data, struct gl_dlm_lock *lock)
{
	size_t *seen = data;

	ck_assert_ptr_nonnull(lock);
	(*seen)++;
	return 0;
}

START_TEST(locks_are_found_again)
{
	struct gl_dlm_table table;
	struct gl_dlm_lock *first, *second;
	uint64_t token;
	size_t seen = 0;
	char name[16];

	gl_dlm_table_init(&table);
	first = gl_dlm_table_add(&table, "key", 1);
	second = gl_dlm_table_add(&table, "key", 2);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "other %d", i);
		ck_assert_ptr_nonnull(gl_dlm_table_add(&table, name, 1));
	}
	ck_assert_uint_ne(first->token, second->token);
	ck_assert_ptr_eq(gl_dlm_table_find(&table, "key", 1), first);
	ck_assert_ptr_eq(gl_dlm_table_find(&table, "key", 2), second);
	ck_assert_ptr_null(gl_dlm_table_find(&table, "key", 3));
	ck_assert_ptr_null(gl_dlm_table_find(&table, "ke", 1));
	ck_assert_ptr_eq(gl_dlm_table_token(&table, second->token), second);
	ck_assert(gl_dlm_table_has(&table, 1) && gl_dlm_table_has(&table, 2) && !gl_dlm_table_has(&table, 3));
	token = first->token;
	gl_dlm_table_remove(&table, first);
	ck_assert_ptr_null(gl_dlm_table_token(&table, token));
	ck_assert_ptr_null(gl_dlm_table_find(&table, "key", 1));
	ck_assert_ptr_eq(gl_dlm_table_locks(&table, "key"), second);
	gl_dlm_table_each(&table, count_one, &seen);
	ck_assert_uint_eq(seen, 501);
	ck_assert_uint_eq(table.count, 501);
	gl_dlm_table_remove(&table, second);
	ck_assert_ptr_null(gl_dlm_table_locks(&table, "key"));
	ck_assert(gl_dlm_table_has(&table, 1) && !gl_dlm_table_has(&table, 2));
	gl_dlm_table_clear(&table);
	ck_assert(!gl_dlm_table_has(&table, 1));
	ck_assert_uint_eq(table.count, 0);
	/* What a predecessor was answered is never taken for an answer to us. */
	ck_assert_uint_ne(gl_dlm_table_add(&table, "key", 1)->token, token);
	gl_dlm_table_clear(&table);
}
END_TEST

START_TEST(a_name_that_is_too_long)
{
	static const char name[] = "12345678901234567890123456789012345678901234567890123456789012345";
	struct gl_dlm_table table;

	gl_dlm_table_init(&table);
	ck_assert_ptr_null(gl_dlm_table_add(&table, name, 1));
	ck_assert_ptr_null(gl_dlm_table_find(&table, name, 1));
	ck_assert_ptr_nonnull(gl_dlm_table_add(&table, name + 1, 1));
	gl_dlm_table_clear(&table);
}
END_TEST

/* ---- What is told of the lockspace ---- */

#define FENCING "waits until node 2 is fenced"
#define QUORUM "waits for quorum"
#define RECOVERS "recovers"

/* So many looks find it in that state; how often something is told, of that type and with that reason. */
static int look(struct gl_dlm_watch *watch, int times, enum guestlock_join_state state, const char *reason,
		enum guestlock_event_type type)
{
	struct guestlock_event event;
	int count = 0;

	for (int i = 0; i < times; i++) {
		if (gl_dlm_watch_step(watch, state, reason, &event)) {
			ck_assert_int_eq(event.type, type);
			ck_assert_str_eq(event.uuid, "");
			ck_assert_str_eq(event.message, reason);
			count++;
		}
	}
	return count;
}

#define STOPPED(times, reason) look(&watch, times, GUESTLOCK_JOIN_STOPPED, reason, GUESTLOCK_EVENT_STOPPED)
#define RECOVERING(times) look(&watch, times, GUESTLOCK_JOIN_JOINING, RECOVERS, GUESTLOCK_EVENT_STOPPED)
#define RUNNING(times) look(&watch, times, GUESTLOCK_JOIN_JOINED, "", GUESTLOCK_EVENT_RUNNING)

START_TEST(stopped_and_running_are_told_once)
{
	struct gl_dlm_watch watch = {.fd = 7};

	ck_assert_int_eq(RUNNING(3), 0);
	/* The reason is known a moment after it stopped. */
	ck_assert_int_eq(RECOVERING(1), 0);
	ck_assert_int_eq(STOPPED(1, FENCING), 0);
	ck_assert_int_eq(STOPPED(100, FENCING), 1);
	ck_assert_int_eq(STOPPED(100, QUORUM), 1);
	ck_assert_int_eq(RUNNING(3), 1);
	ck_assert_int_eq(STOPPED(2, QUORUM), 1);
	ck_assert_int_eq(RUNNING(1), 1);
	ck_assert_int_eq(watch.fd, 7);
}
END_TEST

START_TEST(what_passes_by_is_not_told)
{
	struct gl_dlm_watch watch = {.fd = -1};

	ck_assert_int_eq(STOPPED(1, QUORUM), 0);
	ck_assert_int_eq(RUNNING(1), 0);
	ck_assert_int_eq(RECOVERING(5), 0);
	ck_assert_int_eq(RUNNING(1), 0);
	/* Between two reasons it is not told twice, and a recovery that does not end is. */
	ck_assert_int_eq(STOPPED(5, FENCING), 1);
	ck_assert_int_eq(RECOVERING(3), 0);
	ck_assert_int_eq(STOPPED(5, FENCING), 0);
	ck_assert_int_eq(RECOVERING(30), 1);
	ck_assert_int_eq(RUNNING(1), 1);
}
END_TEST

START_TEST(a_long_reason_is_cut)
{
	struct gl_dlm_watch watch = {.fd = -1};
	struct guestlock_event event;
	char reason[1024];

	memset(reason, 'x', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	ck_assert(!gl_dlm_watch_step(&watch, GUESTLOCK_JOIN_STOPPED, reason, &event));
	ck_assert(gl_dlm_watch_step(&watch, GUESTLOCK_JOIN_STOPPED, reason, &event));
	ck_assert_uint_eq(strlen(event.message), sizeof(event.message) - 1);
	ck_assert(!gl_dlm_watch_step(&watch, GUESTLOCK_JOIN_STOPPED, reason, &event));
}
END_TEST

Suite *parts_suite(void)
{
	Suite *suite = suite_create("parts");
	TCase *tests = tcase_create("parts");

	tcase_add_test(tests, a_block_comes_back);
	tcase_add_test(tests, a_foreign_block_says_nothing);
	tcase_add_loop_test(tests, a_line_of_the_list, 0, COUNT(lines));
	tcase_add_test(tests, what_is_waited_for);
	tcase_add_test(tests, locks_are_found_again);
	tcase_add_test(tests, a_name_that_is_too_long);
	tcase_add_test(tests, stopped_and_running_are_told_once);
	tcase_add_test(tests, what_passes_by_is_not_told);
	tcase_add_test(tests, a_long_reason_is_cut);
	suite_add_tcase(suite, tests);
	return suite;
}
