/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of the backend that need no cluster: value blocks, the ledger and its table, what is told of the lockspace.
 */
#include "dlm.h"
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

/* ---- The table ---- */

static int count_one(void *data, struct gl_dlm_lock *lock)
{
	size_t *seen = data;

	ck_assert_ptr_nonnull(lock);
	(*seen)++;
	return 0;
}

static void open_table(struct gl_dlm_table *table, int fd)
{
	gl_dlm_table_init(table);
	ck_assert_int_eq(gl_dlm_ledger_open(table, fd), 0);
	ck_assert_int_eq(gl_dlm_table_load(table, true), 0);
}

START_TEST(locks_are_found_again)
{
	struct gl_dlm_table table;
	struct gl_dlm_lock *first, *second;
	uint64_t token;
	size_t seen = 0;
	char name[16];

	open_table(&table, -1);
	first = gl_dlm_table_add(&table, "key", 1);
	second = gl_dlm_table_add(&table, "key", 2);
	/* More than there is room for at first. */
	for (int i = 0; i < 1500; i++) {
		snprintf(name, sizeof(name), "other %d", i);
		ck_assert_ptr_nonnull(gl_dlm_table_add(&table, name, 1));
	}
	ck_assert_ptr_eq(gl_dlm_table_find(&table, "key", 1), first);
	ck_assert_ptr_eq(gl_dlm_table_find(&table, "key", 2), second);
	ck_assert_ptr_null(gl_dlm_table_find(&table, "key", 3));
	ck_assert_ptr_null(gl_dlm_table_find(&table, "ke", 1));
	ck_assert(gl_dlm_table_has(&table, 1) && gl_dlm_table_has(&table, 2) && !gl_dlm_table_has(&table, 3));
	token = gl_dlm_table_token(&table, first);
	ck_assert_uint_ne(token, gl_dlm_table_token(&table, second));
	ck_assert_ptr_null(gl_dlm_table_asked(&table, token));
	first->flight += GL_DLM_SENT;
	ck_assert_ptr_eq(gl_dlm_table_asked(&table, token), first);
	gl_dlm_table_remove(&table, first);
	ck_assert_ptr_null(gl_dlm_table_asked(&table, token));
	ck_assert_ptr_null(gl_dlm_table_find(&table, "key", 1));
	ck_assert_ptr_eq(gl_dlm_table_locks(&table, "key"), second);
	gl_dlm_table_each(&table, count_one, &seen);
	ck_assert_uint_eq(seen, 1501);
	ck_assert_uint_eq(table.count, 1501);
	gl_dlm_table_remove(&table, second);
	ck_assert_ptr_null(gl_dlm_table_locks(&table, "key"));
	ck_assert(gl_dlm_table_has(&table, 1) && !gl_dlm_table_has(&table, 2));
	gl_dlm_table_clear(&table);
	ck_assert(!gl_dlm_table_has(&table, 1));
	ck_assert_uint_eq(table.count, 0);
	ck_assert_ptr_null(gl_dlm_table_find(&table, "other 7", 1));
	gl_dlm_table_close(&table);
}
END_TEST

START_TEST(a_name_that_is_too_long)
{
	static const char name[] = "12345678901234567890123456789012345678901234567890123456789012345";
	struct gl_dlm_table table;

	open_table(&table, -1);
	ck_assert_ptr_null(gl_dlm_table_add(&table, name, 1));
	ck_assert_ptr_null(gl_dlm_table_find(&table, name, 1));
	ck_assert_ptr_nonnull(gl_dlm_table_add(&table, name + 1, 1));
	gl_dlm_table_close(&table);
}
END_TEST

/* ---- The ledger ---- */

static int memory_file(void)
{
	int fd = memfd_create("ledger", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* What one process has written, another one finds: whatever the first had for itself means nothing. */
START_TEST(the_next_process_finds_it)
{
	struct gl_dlm_table table, next;
	struct gl_dlm_lock *held, *asked, *unasked, *found;
	struct gl_dlm_request request = {.mode = 0};
	uint64_t token;
	int fd = memory_file();

	open_table(&table, dup(fd));
	held = gl_dlm_table_add(&table, "held", 1);
	asked = gl_dlm_table_add(&table, "asked", 1);
	unasked = gl_dlm_table_add(&table, "unasked", 1);
	held->mode = DLM_LOCK_EX;
	held->lkid = 7;
	memset(held->bytes, 3, sizeof(held->bytes));
	held->content = held->used = true;
	held->request = &request;
	asked->wanted = DLM_LOCK_NL;
	asked->flight = 5 * GL_DLM_ONE_REQUEST + GL_DLM_SENT;
	token = gl_dlm_table_token(&table, asked);
	(void)unasked;

	open_table(&next, fd);
	ck_assert_uint_eq(next.count, 2);
	found = gl_dlm_table_find(&next, "held", 1);
	ck_assert_ptr_nonnull(found);
	ck_assert_int_eq(found->mode, DLM_LOCK_EX);
	ck_assert_uint_eq(found->lkid, 7);
	ck_assert_uint_eq(found->bytes[31], 3);
	ck_assert(found->content && !found->used && found->bound);
	ck_assert_ptr_null(found->request);
	ck_assert_ptr_eq(gl_dlm_table_asked(&next, token), gl_dlm_table_find(&next, "asked", 1));
	/* It was made, and never asked for: nobody has it. */
	ck_assert_ptr_null(gl_dlm_table_find(&next, "unasked", 1));
	gl_dlm_table_close(&next);
	gl_dlm_table_close(&table);
}
END_TEST

START_TEST(a_slot_that_is_used_again_has_other_tokens)
{
	struct gl_dlm_table table;
	struct gl_dlm_lock *lock;
	uint64_t token;

	open_table(&table, -1);
	lock = gl_dlm_table_add(&table, "a", 1);
	lock->flight += GL_DLM_ONE_REQUEST + GL_DLM_SENT;
	token = gl_dlm_table_token(&table, lock);
	gl_dlm_table_remove(&table, lock);
	ck_assert_ptr_eq(gl_dlm_table_add(&table, "b", 1), lock);
	lock->flight += GL_DLM_ONE_REQUEST + GL_DLM_SENT;
	ck_assert_ptr_null(gl_dlm_table_asked(&table, token));
	ck_assert_ptr_eq(gl_dlm_table_asked(&table, gl_dlm_table_token(&table, lock)), lock);
	gl_dlm_table_close(&table);
}
END_TEST

START_TEST(a_ledger_of_another_version_or_boot)
{
	struct gl_dlm_table table;
	int fd = memory_file();

	open_table(&table, dup(fd));
	gl_dlm_table_add(&table, "a", 1)->mode = DLM_LOCK_EX;
	table.ledger->version++;
	gl_dlm_table_close(&table);
	ck_assert_int_eq(gl_dlm_ledger_open(&table, fd), -1);
	ck_assert_int_eq(errno, EPROTO);
	ck_assert_int_eq(pwrite(fd, &(uint32_t){GL_DLM_LEDGER_VERSION}, sizeof(uint32_t),
				offsetof(struct gl_dlm_ledger, version)),
			 (ssize_t)sizeof(uint32_t));
	/* Of another boot: the locks went with that one. */
	ck_assert_int_eq(pwrite(fd, "x", 1, offsetof(struct gl_dlm_ledger, boot)), 1);
	open_table(&table, fd);
	ck_assert_uint_eq(table.count, 0);
	ck_assert_uint_eq(table.ledger->made, 0);
	gl_dlm_table_close(&table);
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
	tcase_add_test(tests, locks_are_found_again);
	tcase_add_test(tests, a_name_that_is_too_long);
	tcase_add_test(tests, the_next_process_finds_it);
	tcase_add_test(tests, a_slot_that_is_used_again_has_other_tokens);
	tcase_add_test(tests, a_ledger_of_another_version_or_boot);
	tcase_add_test(tests, stopped_and_running_are_told_once);
	tcase_add_test(tests, what_passes_by_is_not_told);
	tcase_add_test(tests, a_long_reason_is_cut);
	suite_add_tcase(suite, tests);
	return suite;
}
