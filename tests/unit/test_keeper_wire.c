/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "suites.h"

#include "base/base.h"
#include "keeper/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define OTHER "00000000-0000-4000-8000-000000000001"
#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define KEY_B "a-BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB_"
#define MANY 400

static struct gl_wire wire;
static int ends[2];

static void setup(void)
{
	memset(&wire, 0, sizeof(wire));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

static void teardown(void)
{
	gl_wire_free(&wire);
	close(ends[0]);
	close(ends[1]);
}

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++) {
		count += fcntl(fd, F_GETFD) >= 0;
	}
	return count;
}

/* ---- What is sent ---- */

static const struct guestlock_key key_a = {.key = KEY_A, .identity = "file:/a\tb\xff", .offset = 0};
static const struct guestlock_key key_b = {
	.key = KEY_B,
	.identity = "",
	.type = GUESTLOCK_LEASE,
	.lockspace = "",
	.path = "/dev/x",
	.offset = UINT64_MAX,
};
static struct guestlock_item asked[] = {
	{.key = &key_a, .mode = GUESTLOCK_MODE_EXCLUSIVE, .check_epoch = true, .expected_epoch = 1ULL << 63},
	{.key = &key_b, .mode = GUESTLOCK_MODE_SHARED},
};

static const struct gl_keeper_request full_request = {
	.call = GL_KEEPER_ACQUIRE,
	.settings = KEY_B,
	.deadline_ms = INT64_MAX,
	.has_owner = true,
	.owner =
		{
			.uuid = UUID,
			.instance = 77,
			.name = "web \n1",
			.pid = 4194304,
			.pid_start = 5,
			.pid_ns = 6,
			.boot_id = OTHER,
			.adopted = true,
			.host = "a",
			.manager = "/run/x",
		},
	.batch = {.items = asked, .count = 2, .flags = GUESTLOCK_BATCH_PARK | GUESTLOCK_BATCH_PROBE},
	.unused_s = 9,
	.force = true,
	.name = "some.name",
};

static void check_request(const struct gl_keeper_request *got)
{
	const struct gl_keeper_request *put = &full_request;

	ck_assert_int_eq(got->call, put->call);
	ck_assert_str_eq(got->settings, put->settings);
	ck_assert_int_eq(got->deadline_ms, put->deadline_ms);
	ck_assert_int_eq(got->batch.deadline_ms, put->deadline_ms);
	ck_assert_uint_eq(got->batch.flags, put->batch.flags);
	ck_assert_uint_eq(got->unused_s, 9);
	ck_assert(got->force && got->has_owner && got->owner.adopted);
	ck_assert_str_eq(got->name, "some.name");
	ck_assert_str_eq(got->owner.uuid, UUID);
	ck_assert_uint_eq(got->owner.instance, 77);
	ck_assert_str_eq(got->owner.name, "web \n1");
	ck_assert_int_eq(got->owner.pid, 4194304);
	ck_assert_uint_eq(got->owner.pid_start, 5);
	ck_assert_uint_eq(got->owner.pid_ns, 6);
	ck_assert_str_eq(got->owner.boot_id, OTHER);
	ck_assert_str_eq(got->owner.host, "a");
	ck_assert_str_eq(got->owner.manager, "/run/x");
	ck_assert_uint_eq(got->batch.count, 2);
	ck_assert_str_eq(got->batch.items[0].key->key, KEY_A);
	ck_assert_str_eq(got->batch.items[0].key->identity, "file:/a\tb\xff");
	ck_assert_ptr_null(got->batch.items[0].key->lockspace);
	ck_assert_ptr_null(got->batch.items[0].key->path);
	ck_assert(got->batch.items[0].check_epoch && !got->batch.items[1].check_epoch);
	ck_assert_uint_eq(got->batch.items[0].expected_epoch, 1ULL << 63);
	ck_assert_int_eq(got->batch.items[1].mode, GUESTLOCK_MODE_SHARED);
	ck_assert_int_eq(got->batch.items[1].key->type, GUESTLOCK_LEASE);
	ck_assert_str_eq(got->batch.items[1].key->lockspace, "");
	ck_assert_str_eq(got->batch.items[1].key->path, "/dev/x");
	ck_assert_uint_eq(got->batch.items[1].key->offset, UINT64_MAX);
}

static const unsigned char *body(void)
{
	return wire.data + GL_KEEPER_HEADER;
}

static size_t body_size(void)
{
	return wire.size - GL_KEEPER_HEADER;
}

START_TEST(test_request)
{
	struct gl_keeper_request got;

	ck_assert_int_eq(gl_keeper_put_request(&wire, &full_request), 0);
	ck_assert_int_eq(gl_keeper_get_request(body(), body_size(), &got), 0);
	check_request(&got);
	gl_keeper_request_free(&got);
}
END_TEST

static struct guestlock_holder two_holders[] = {
	{.uuid = UUID,
	 .instance = 1,
	 .mode = GUESTLOCK_MODE_SHARED,
	 .name = "n",
	 .host = "h",
	 .pid = 2,
	 .since = -3,
	 .pid_ns = 4},
	{.uuid = ""},
};

static struct gl_keeper_silent silent_hosts[] = {
	{.host = "far", .reason = ""},
	{.host = "", .reason = "no keeper runs there"},
};

static void fill_answer(struct gl_keeper_answer *answer, struct guestlock_item items[2],
			struct guestlock_lock *lock)
{
	memset(items, 0, 2 * sizeof(*items));
	items[0].result = GUESTLOCK_RES_BUSY;
	items[0].holder = two_holders[0];
	items[1].result = GUESTLOCK_RES_HELD;
	items[1].held_mode = GUESTLOCK_MODE_SHARED;
	items[1].has_epoch = true;
	items[1].epoch = 1ULL << 40;
	items[1].n_others = 2;
	items[1].holders = two_holders;
	items[1].n_holders = 2;
	*lock = (struct guestlock_lock){
		.owner = full_request.owner,
		.key = key_b,
		.mode = GUESTLOCK_MODE_EXCLUSIVE,
		.readable = true,
		.since = 12345,
	};
	*answer = (struct gl_keeper_answer){
		.result = GUESTLOCK_RES_BUSY,
		.state = GUESTLOCK_JOIN_STOPPED,
		.has_error = true,
		.error = {.code = GUESTLOCK_BUSY,
			  .sys_errno = EAGAIN,
			  .vendor = -7,
			  .backend = "b",
			  .guest = UUID},
		.items = items,
		.count = 2,
		.locks = lock,
		.n_locks = 1,
		.silent = silent_hosts,
		.n_silent = 2,
		.about =
			{.guard = 5, .worker = 6, .since = 7, .running = 8, .waiting = 9, .version = "1.2.3"},
		.settings = "a=b\n",
	};
	gl_copy_cut(answer->error.message, sizeof(answer->error.message), "cannot: because; do");
	answer->error.holder = two_holders[0];
}

START_TEST(test_answer)
{
	struct guestlock_item items[2],
		got_items[2] = {{.key = &key_a, .expected_epoch = 5}, {.key = &key_b}};
	struct gl_keeper_answer answer, got = {.result = GUESTLOCK_RES_GRANTED};
	struct guestlock_lock lock;

	fill_answer(&answer, items, &lock);
	ck_assert_int_eq(gl_keeper_put_answer(&wire, &answer), 0);
	ck_assert_int_eq(gl_keeper_get_answer(body(), body_size(), got_items, 2, &got), 0);
	ck_assert_int_eq(got.result, GUESTLOCK_RES_BUSY);
	ck_assert_int_eq(got.state, GUESTLOCK_JOIN_STOPPED);
	ck_assert_int_eq(got.error.code, answer.error.code);
	ck_assert_int_eq(got.error.sys_errno, answer.error.sys_errno);
	ck_assert_str_eq(got.error.message, answer.error.message);
	ck_assert_str_eq(got.error.resource, answer.error.resource);
	ck_assert_str_eq(got.error.holder.uuid, answer.error.holder.uuid);
	ck_assert_int_eq(got.error.holder.pid, answer.error.holder.pid);
	ck_assert_str_eq(got.settings, "a=b\n");
	ck_assert_int_eq(got_items[0].result, GUESTLOCK_RES_BUSY);
	ck_assert_str_eq(got_items[0].holder.uuid, UUID);
	ck_assert_int_eq(got_items[0].holder.since, -3);
	/* What the caller asked stays. */
	ck_assert_ptr_eq(got_items[0].key, &key_a);
	ck_assert_uint_eq(got_items[0].expected_epoch, 5);
	ck_assert_uint_eq(got_items[1].epoch, 1ULL << 40);
	ck_assert_uint_eq(got_items[1].n_others, 2);
	ck_assert_uint_eq(got_items[1].n_holders, 2);
	ck_assert_str_eq(got_items[1].holders[0].name, "n");
	ck_assert_str_eq(got_items[1].holders[1].uuid, "");
	ck_assert_uint_eq(got.n_locks, 1);
	ck_assert_str_eq(got.locks[0].key.path, "/dev/x");
	ck_assert_str_eq(got.locks[0].owner.name, "web \n1");
	ck_assert_int_eq(got.locks[0].since, 12345);
	ck_assert_uint_eq(got.n_silent, 2);
	ck_assert_str_eq(got.silent[0].host, "far");
	ck_assert_str_eq(got.silent[1].reason, "no keeper runs there");
	ck_assert_int_eq(got.about.guard, 5);
	ck_assert_int_eq(got.about.worker, 6);
	ck_assert_str_eq(got.about.version, "1.2.3");
	gl_keeper_answer_free(&got);
	free(got_items[1].holders);
}
END_TEST

/* ---- The bytes ---- */

static void check_bytes(size_t size, const char *digest)
{
	char got[GUESTLOCK_KEY_SIZE];

	guestlock_digest(wire.data, wire.size, got);
	ck_assert_uint_eq(wire.size, size);
	ck_assert_str_eq(got, digest);
}

/* A message is the same to the last byte in every version of the protocol: another one has another number. */
START_TEST(test_bytes)
{
	struct guestlock_item items[2];
	struct gl_keeper_answer answer;
	struct guestlock_lock lock;

	ck_assert_int_eq(gl_keeper_put_request(&wire, &full_request), 0);
	check_bytes(422, "ZQk_y4g5sftHg1BS_A9_P2FRk7NS9J1aGDIiEnTZjP8");
	fill_answer(&answer, items, &lock);
	items[0].held_mode = GUESTLOCK_MODE_HANDOVER;
	items[0].n_others = 3;
	items[0].holder.since = INT64_MIN;
	lock.owner.instance = UINT64_MAX;
	answer.error.code = GUESTLOCK_REPLACED;
	gl_copy_cut(answer.error.resource, sizeof(answer.error.resource), "disk \xc3\xa9");
	answer.about.state = GUESTLOCK_JOIN_JOINED;
	gl_copy_cut(answer.about.backend, sizeof(answer.about.backend), "technology");
	ck_assert_int_eq(gl_keeper_put_answer(&wire, &answer), 0);
	check_bytes(871, "piwfVtqmq_WfCgu9woViSYkIBM2BNR3jMW3h0lpbM-g");
}
END_TEST

/* ---- What is refused ---- */

START_TEST(test_cut_requests)
{
	struct gl_keeper_request got;

	ck_assert_int_eq(gl_keeper_put_request(&wire, &full_request), 0);
	for (size_t size = 0; size < body_size(); size++) {
		ck_assert_int_eq(gl_keeper_get_request(body(), size, &got), -1);
		ck_assert_int_eq(errno, EBADMSG);
	}
	/* One byte more, whatever stands behind. */
	ck_assert_int_eq(gl_keeper_get_request(body(), body_size() + 1, &got), -1);
}
END_TEST

START_TEST(test_cut_answers)
{
	struct guestlock_item items[2], got_items[2] = {{.key = NULL}};
	struct gl_keeper_answer answer, got = {.result = GUESTLOCK_RES_GRANTED};
	struct guestlock_lock lock;

	fill_answer(&answer, items, &lock);
	ck_assert_int_eq(gl_keeper_put_answer(&wire, &answer), 0);
	for (size_t size = 0; size < body_size(); size++) {
		ck_assert_int_eq(gl_keeper_get_answer(body(), size, got_items, 2, &got), -1);
	}
	/* About another number of items than asked. */
	ck_assert_int_eq(gl_keeper_get_answer(body(), body_size(), got_items, 1, &got), -1);
	free(got_items[0].holders);
	free(got_items[1].holders);
}
END_TEST

static void refuse(const struct gl_keeper_request *request)
{
	struct gl_keeper_request got;

	ck_assert_int_eq(gl_keeper_put_request(&wire, request), 0);
	errno = 0;
	ck_assert_int_eq(gl_keeper_get_request(body(), body_size(), &got), -1);
	ck_assert_int_eq(errno, EBADMSG);
}

START_TEST(test_nonsense)
{
	struct guestlock_key key = key_a;
	struct guestlock_item item = {.key = &key};
	struct gl_keeper_request request = full_request;

	request.call = GL_KEEPER_CALLS;
	refuse(&request);
	request = full_request;
	request.has_owner = false;
	refuse(&request);
	request = full_request;
	request.owner.uuid[3] = 'A';
	refuse(&request);
	request = full_request;
	request.owner.instance = 0;
	refuse(&request);
	request = full_request;
	request.owner.pid = -1;
	refuse(&request);
	request = full_request;
	request.batch.flags = 1U << 20;
	refuse(&request);
	request = full_request;
	request.batch.items = &item;
	request.batch.count = 1;
	key.key[0] = '/';
	refuse(&request);
	key = key_a;
	key.key[40] = '\0';
	refuse(&request);
	key = key_a;
	item.mode = GUESTLOCK_MODE_EXCLUSIVE + 1;
	refuse(&request);
}
END_TEST

START_TEST(test_headers)
{
	size_t size;
	bool beside;

	ck_assert_int_eq(gl_keeper_put_request(&wire, &full_request), 0);
	ck_assert_int_eq(gl_keeper_get_header(wire.data, wire.size, GL_KEEPER_REQUEST, &size, &beside), 0);
	ck_assert_uint_eq(size, body_size());
	ck_assert(!beside);
	ck_assert_int_eq(gl_keeper_get_header(wire.data, wire.size, GL_KEEPER_ANSWER, &size, &beside), -1);
	ck_assert_int_eq(gl_keeper_get_header(wire.data, wire.size - 1, GL_KEEPER_REQUEST, &size, &beside),
			 -1);
	ck_assert_int_eq(gl_keeper_get_header(wire.data, 15, GL_KEEPER_REQUEST, &size, &beside), -1);
	ck_assert_int_eq(errno, EBADMSG);
	wire.data[4]++;
	ck_assert_int_eq(gl_keeper_get_header(wire.data, wire.size, GL_KEEPER_REQUEST, &size, &beside), -1);
	ck_assert_int_eq(errno, EPROTONOSUPPORT);
	wire.data[0]++;
	ck_assert_int_eq(gl_keeper_get_header(wire.data, wire.size, GL_KEEPER_REQUEST, &size, &beside), -1);
	ck_assert_int_eq(errno, EBADMSG);
}
END_TEST

/* ---- On the way ---- */

START_TEST(test_sockets)
{
	struct gl_keeper_request got;
	unsigned char *data = NULL;
	size_t size;

	ck_assert_int_eq(gl_keeper_receive(ends[1], GL_KEEPER_REQUEST, &data, &size), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(gl_keeper_put_request(&wire, &full_request), 0);
	ck_assert_int_eq(gl_keeper_send(ends[0], &wire), 0);
	ck_assert_int_eq(gl_keeper_receive(ends[1], GL_KEEPER_REQUEST, &data, &size), 0);
	ck_assert_int_eq(gl_keeper_get_request(data, size, &got), 0);
	check_request(&got);
	gl_keeper_request_free(&got);
	free(data);
	close(ends[0]);
	ends[0] = -1;
	ck_assert_int_eq(gl_keeper_receive(ends[1], GL_KEEPER_REQUEST, &data, &size), -1);
	ck_assert_int_eq(errno, ENOTCONN);
	ck_assert_int_eq(gl_keeper_send(ends[1], &wire), -1);
	ck_assert_int_eq(errno, EPIPE);
}
END_TEST

/* Paths of 4000 bytes, so that it does not fit into a message. */
START_TEST(test_large)
{
	char *long_name = malloc(4001);
	struct guestlock_key *keys = calloc(MANY, sizeof(*keys));
	struct guestlock_item *items = calloc(MANY, sizeof(*items));
	struct gl_keeper_request request = full_request, got;
	int before = open_descriptors();
	unsigned char *data = NULL;
	size_t size;

	memset(long_name, 'x', 4000);
	long_name[4000] = '\0';
	for (size_t i = 0; i < MANY; i++) {
		keys[i] = key_a;
		keys[i].identity = long_name;
		items[i].key = &keys[i];
	}
	request.batch.items = items;
	request.batch.count = MANY;
	ck_assert_int_eq(gl_keeper_put_request(&wire, &request), 0);
	ck_assert_uint_gt(wire.size, MANY * 4000);
	ck_assert_int_eq(gl_keeper_send(ends[0], &wire), 0);
	ck_assert_int_eq(gl_keeper_receive(ends[1], GL_KEEPER_REQUEST, &data, &size), 0);
	ck_assert_int_eq(gl_keeper_get_request(data, size, &got), 0);
	ck_assert_uint_eq(got.batch.count, MANY);
	ck_assert_str_eq(got.batch.items[MANY - 1].key->identity, long_name);
	ck_assert_int_eq(open_descriptors(), before);
	gl_keeper_request_free(&got);
	free(data);
	free(long_name);
	free(keys);
	free(items);
}
END_TEST

static void send_with(const void *data, size_t size, int fd, size_t copies)
{
	char control[CMSG_SPACE(8 * sizeof(int))] = "";
	struct iovec part = {.iov_base = memcpy(malloc(size), data, size), .iov_len = size};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(copies * sizeof(int)),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(copies * sizeof(int));
	for (size_t i = 0; i < copies; i++) {
		memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof(int));
	}
	ck_assert_int_eq(sendmsg(ends[0], &message, 0), (ssize_t)size);
	free(part.iov_base);
}

/* A body that its sender could change while it is read, or that is shorter than said. */
START_TEST(test_bodies_that_are_not_sealed)
{
	unsigned char header[GL_KEEPER_HEADER] = {0x55, 0x47, 0x4c, 0x4b, GL_KEEPER_PROTOCOL, 0, 1, 0, 100,
						  0,    0,    0,    1};
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int before = open_descriptors();
	unsigned char *data = NULL;
	size_t size;

	ck_assert_int_eq(ftruncate(fd, 100), 0);
	send_with(header, sizeof(header), fd, 1);
	ck_assert_int_eq(gl_keeper_receive(ends[1], GL_KEEPER_REQUEST, &data, &size), -1);
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
	send_with(header, sizeof(header), fd, 1);
	ck_assert_int_eq(gl_keeper_receive(ends[1], GL_KEEPER_REQUEST, &data, &size), 0);
	ck_assert_uint_eq(size, 100);
	free(data);
	header[8] = 101;
	send_with(header, sizeof(header), fd, 1);
	ck_assert_int_eq(gl_keeper_receive(ends[1], GL_KEEPER_REQUEST, &data, &size), -1);
	ck_assert_int_eq(open_descriptors(), before);
	close(fd);
}
END_TEST

START_TEST(test_descriptors_nobody_wants)
{
	int before = open_descriptors();
	unsigned char *data = NULL;
	size_t size;

	ck_assert_int_eq(gl_keeper_put_request(&wire, &full_request), 0);
	send_with(wire.data, wire.size, STDERR_FILENO, 8);
	ck_assert_int_eq(gl_keeper_receive(ends[1], GL_KEEPER_REQUEST, &data, &size), 0);
	free(data);
	ck_assert_int_eq(open_descriptors(), before);
	send_with("garbage", 7, STDERR_FILENO, 5);
	ck_assert_int_eq(gl_keeper_receive(ends[1], GL_KEEPER_REQUEST, &data, &size), -1);
	ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

Suite *keeper_wire_suite(void)
{
	Suite *suite = suite_create("keeper_wire");
	TCase *words = tcase_create("words");
	TCase *way = tcase_create("way");

	tcase_add_checked_fixture(words, setup, teardown);
	tcase_add_test(words, test_request);
	tcase_add_test(words, test_answer);
	tcase_add_test(words, test_bytes);
	tcase_add_test(words, test_cut_requests);
	tcase_add_test(words, test_cut_answers);
	tcase_add_test(words, test_nonsense);
	tcase_add_test(words, test_headers);
	suite_add_tcase(suite, words);

	tcase_add_checked_fixture(way, setup, teardown);
	tcase_add_test(way, test_sockets);
	tcase_add_test(way, test_large);
	tcase_add_test(way, test_bodies_that_are_not_sealed);
	tcase_add_test(way, test_descriptors_nobody_wants);
	suite_add_tcase(suite, way);
	return suite;
}
