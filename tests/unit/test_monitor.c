/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is understood of JSON, and monitors that behave as QEMU's does, or as hostile ones do. */
#include "base/base.h"
#include "child.h"
#include "monitor/monitor.h"
#include "scratch.h"
#include "suites.h"

#include <sys/socket.h>
#include <sys/un.h>

static bool is_valid(const char *text)
{
	return gl_json_valid(text, strlen(text));
}

static const char *const good[] = {
	"{}", " [ ] ", "{\"a\": [1, -0.5e+7, true, false, null, \"\\u00e4\\n\"], \"b\":{}}\r\n",
	"0",  "\"\"",  "[[[[]]]]",
};

static const char *const bad[] = {
	"",         "{",
	"}",        "{\"a\"}",
	"{\"a\":}", "{\"a\":1,}",
	"{a:1}",    "[1,]",
	"[1 2]",    "01",
	"-",        "1.",
	"1e",       "\"",
	"\"\\x\"",  "\"\\u12g4\"",
	"\"\n\"",   "tru",
	"nulll",    "{} {}",
	"[}",       "{\"a\":1 \"b\":2}",
	"\"\\",
};

START_TEST(what_is_json)
{
	ck_assert(is_valid(good[_i]));
}
END_TEST

START_TEST(what_is_not)
{
	ck_assert(!is_valid(bad[_i]));
}
END_TEST

START_TEST(json_that_is_nested_too_deeply)
{
	char text[20001];

	memset(text, '[', 10000);
	memset(text + 10000, ']', 10000);
	text[20000] = '\0';
	ck_assert(!is_valid(text));
}
END_TEST

static struct gl_json json(const char *text)
{
	ck_assert(is_valid(text));
	return (struct gl_json){.text = text, .size = strlen(text)};
}

START_TEST(members_of_an_object)
{
	const struct gl_json object =
		json(" { \"return\" : {\"running\": false}, \"id\":7, \"ret\": \"}\", \"id\": 8 } ");
	struct gl_json value, inner;

	ck_assert(gl_json_member(object, "return", &value));
	ck_assert(gl_json_member(value, "running", &inner));
	ck_assert(gl_json_is(inner, "false"));
	ck_assert(gl_json_member(object, "ret", &value));
	ck_assert(gl_json_is(value, "\"}\""));
	/* The first one counts. */
	ck_assert(gl_json_member(object, "id", &value));
	ck_assert(gl_json_is(value, "7"));
	ck_assert(!gl_json_member(object, "running", &value));
	ck_assert(!gl_json_member(object, "i", &value));
	ck_assert(!gl_json_member(json("[\"id\", 7]"), "id", &value));
	ck_assert(!gl_json_member(json("{}"), "", &value));
}
END_TEST

/* ---- The other end ---- */

#define GREETING "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}, \"capabilities\": [\"oob\"]}}\r\n"
#define EVENT "{\"event\": \"RESET\", \"data\": {\"guest\": \"}{\\\"\"}, \"id\": 1}\r\n"
#define OTHERS "{\"return\": {\"running\": true}, \"id\": \"others\"}\n"
#define DONE "{\"return\": {}, \"id\": %u}\r\n"
#define STATUS "{\"return\": {\"status\": \"x\", \"singlestep\": false, \"running\": %s}, \"id\": %u}\r\n"

static char path[108];
static int listener = -1;

static void setup(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	scratch_make();
	ck_assert_int_lt(snprintf(path, sizeof(path), "%s/m", scratch_path), (int)sizeof(path));
	memcpy(address.sun_path, path, strlen(path) + 1);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
}

static void teardown(void)
{
	close(listener);
	scratch_remove();
}

static void say(int fd, const char *text)
{
	CHILD_ASSERT(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

/* Reads one command, and checks it. */
static void hear(int fd, const char *command, unsigned id)
{
	char expected[100], got[100] = "";
	size_t size = 0;

	snprintf(expected, sizeof(expected), "{\"execute\":\"%s\",\"id\":%u}\r\n", command, id);
	while (size < strlen(expected)) {
		ssize_t more = read(fd, got + size, strlen(expected) - size);

		CHILD_ASSERT(more > 0);
		size += (size_t)more;
	}
	CHILD_ASSERT(memcmp(got, expected, size) == 0);
}

static void answer(int fd, const char *command, unsigned id)
{
	char text[200];

	hear(fd, command, id);
	snprintf(text, sizeof(text), DONE, id);
	say(fd, text);
}

static void tell_status(int fd, bool running, unsigned id)
{
	char text[200];

	hear(fd, "query-status", id);
	snprintf(text, sizeof(text), STATUS, running ? "true" : "false", id);
	say(fd, text);
}

/* talk() has the connection; what it leaves open stays so until the test ends it. */
static pid_t serve(void (*talk)(int fd))
{
	pid_t pid = child_fork();

	if (pid == 0) {
		int fd = accept(listener, NULL, NULL);

		CHILD_ASSERT(fd >= 0);
		talk(fd);
		close(fd);
		_exit(0);
	}
	return pid;
}

static struct gl_monitor monitor;

static int open_for(int64_t ms)
{
	return gl_monitor_open(&monitor, path, guestlock_monotonic_ms() + ms);
}

static void ends_well(pid_t pid)
{
	gl_monitor_close(&monitor);
	ck_assert_int_eq(child_reap(pid), 0);
}

/* It failed so, and says so. */
static void fails_with(int result, int why, const char *words)
{
	int got = errno;

	ck_assert_int_eq(result, -1);
	ck_assert_msg(got == why, "%s: %s", strerror(got), monitor.why);
	ck_assert_msg(strstr(monitor.why, words) != NULL, "%s", monitor.why);
	gl_monitor_close(&monitor);
}

static void talk_as_qemu(int fd)
{
	say(fd, GREETING);
	answer(fd, "qmp_capabilities", 1);
	tell_status(fd, true, 2);
	say(fd, EVENT OTHERS EVENT);
	answer(fd, "stop", 3);
	say(fd, EVENT);
	tell_status(fd, false, 4);
}

START_TEST(one_that_stops)
{
	pid_t pid = serve(talk_as_qemu);
	bool running = false;

	ck_assert_int_eq(open_for(10000), 0);
	ck_assert_int_eq(gl_monitor_runs(&monitor, &running), 0);
	ck_assert(running);
	ck_assert_int_eq(gl_monitor_tell(&monitor, "stop"), 0);
	ck_assert_int_eq(gl_monitor_runs(&monitor, &running), 0);
	ck_assert(!running);
	ends_well(pid);
}
END_TEST

/* Byte by byte, and over several lines, as with pretty=on. */
static void talk_slowly(int fd)
{
	static const char text[] = "\r\n{\n    \"QMP\": {\n    }\n}\n";
	static const char done[] = "{\"id\":1,\n\"return\":\n{}}";

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		CHILD_ASSERT(send(fd, text + i, 1, MSG_NOSIGNAL) == 1);
		child_sleep_ms(1);
	}
	hear(fd, "qmp_capabilities", 1);
	for (size_t i = 0; i < sizeof(done) - 1; i++) {
		CHILD_ASSERT(send(fd, done + i, 1, MSG_NOSIGNAL) == 1);
		child_sleep_ms(1);
	}
}

START_TEST(one_that_is_slow)
{
	pid_t pid = serve(talk_slowly);

	ck_assert_int_eq(open_for(10000), 0);
	ends_well(pid);
}
END_TEST

static void talk_not(int fd)
{
	(void)fd;
	pause();
}

static void talk_after_greeting(int fd)
{
	say(fd, GREETING);
	pause();
}

/* The deadline counts although there is something to read all the time. */
static void talk_without_end(int fd)
{
	say(fd, GREETING);
	for (;;) {
		if (send(fd, EVENT, strlen(EVENT), MSG_NOSIGNAL) <= 0) {
			pause();
		}
	}
}

START_TEST(one_that_gives_no_answer)
{
	static void (*const talks[])(int fd) = {talk_not, talk_after_greeting, talk_without_end};
	pid_t pid = serve(talks[_i]);
	int64_t start = guestlock_monotonic_ms();

	fails_with(open_for(200), ETIMEDOUT, "did not answer in time");
	ck_assert_int_lt(guestlock_monotonic_ms() - start, 5000);
	child_kill(pid);
}
END_TEST

/* Others are waiting for it, and it takes none of them. */
START_TEST(one_that_accepts_nobody)
{
	struct gl_monitor others[8];
	int64_t start = guestlock_monotonic_ms();

	for (size_t i = 0; i < GL_COUNT(others); i++) {
		ck_assert_int_eq(gl_monitor_open(&others[i], path, start + 50), -1);
	}
	fails_with(open_for(200), ETIMEDOUT, "did not answer in time");
	ck_assert_int_lt(guestlock_monotonic_ms() - start, 5000);
	for (size_t i = 0; i < GL_COUNT(others); i++) {
		gl_monitor_close(&others[i]);
	}
}
END_TEST

static void talk_huge(int fd)
{
	char text[4096];

	memset(text, '[', sizeof(text));
	say(fd, "{\"QMP\": ");
	while (send(fd, text, sizeof(text), MSG_NOSIGNAL) > 0) {
	}
}

static void talk_foreign(int fd)
{
	say(fd, "SSH-2.0-OpenSSH_9.2p1\r\n");
	pause();
}

static void talk_without_version(int fd)
{
	say(fd, "{\"greeting\": 1}");
	pause();
}

static void talk_broken(int fd)
{
	say(fd, "{\"QMP\": nothing}");
	pause();
}

static void talk_no_more(int fd)
{
	say(fd, GREETING);
	hear(fd, "qmp_capabilities", 1);
}

static void talk_refusing(int fd)
{
	say(fd, GREETING);
	hear(fd, "qmp_capabilities", 1);
	say(fd, "{\"id\": 1, \"error\": {\"class\": \"GenericError\", \"desc\": \"no, not now\"}}");
	pause();
}

START_TEST(one_that_is_none)
{
	static const struct {
		void (*talk)(int fd);
		int why;
		const char *words;
	} cases[] = {
		{talk_huge, EMSGSIZE, "more at once"},    {talk_foreign, EPROTO, "does not speak QMP"},
		{talk_without_version, EPROTO, "QMP"},    {talk_broken, EPROTO, "does not speak QMP"},
		{talk_no_more, ECONNRESET, "closed the"}, {talk_refusing, EREMOTEIO, "\"no, not now\""},
	};
	pid_t pid = serve(cases[_i].talk);

	fails_with(open_for(10000), cases[_i].why, cases[_i].words);
	child_kill(pid);
}
END_TEST

static void talk_without_status(int fd)
{
	say(fd, GREETING);
	answer(fd, "qmp_capabilities", 1);
	hear(fd, "query-status", 2);
	say(fd, "{\"return\": {\"running\": \"no\"}, \"id\": 2}");
	pause();
}

START_TEST(one_that_does_not_say_whether_it_runs)
{
	pid_t pid = serve(talk_without_status);
	bool running = true;

	ck_assert_int_eq(open_for(10000), 0);
	fails_with(gl_monitor_runs(&monitor, &running), EPROTO, "does not speak QMP");
	child_kill(pid);
}
END_TEST

START_TEST(one_that_is_not_there)
{
	char file[PATH_MAX + 8];

	close(listener);
	listener = -1;
	fails_with(open_for(10000), ECONNREFUSED, "cannot be reached");
	ck_assert_int_eq(unlink(path), 0);
	fails_with(open_for(10000), ENOENT, "cannot be reached");
	snprintf(file, sizeof(file), "%s/f", scratch_path);
	ck_assert_int_eq(guestlock_write_file(file, "x", 1, 0600), 0);
	fails_with(gl_monitor_open(&monitor, file, guestlock_monotonic_ms() + 10000), ECONNREFUSED,
		   "reached");
	memset(file, 'x', 200);
	file[0] = '/';
	file[200] = '\0';
	fails_with(gl_monitor_open(&monitor, file, 0), EINVAL, "path");
}
END_TEST

Suite *monitor_suite(void)
{
	Suite *suite = suite_create("monitor");
	TCase *words = tcase_create("json"), *talks = tcase_create("talks");

	tcase_add_loop_test(words, what_is_json, 0, (int)GL_COUNT(good));
	tcase_add_loop_test(words, what_is_not, 0, (int)GL_COUNT(bad));
	tcase_add_test(words, json_that_is_nested_too_deeply);
	tcase_add_test(words, members_of_an_object);
	suite_add_tcase(suite, words);
	tcase_add_checked_fixture(talks, setup, teardown);
	tcase_set_timeout(talks, 60);
	tcase_add_test(talks, one_that_stops);
	tcase_add_test(talks, one_that_is_slow);
	tcase_add_loop_test(talks, one_that_gives_no_answer, 0, 3);
	tcase_add_test(talks, one_that_accepts_nobody);
	tcase_add_loop_test(talks, one_that_is_none, 0, 6);
	tcase_add_test(talks, one_that_does_not_say_whether_it_runs);
	tcase_add_test(talks, one_that_is_not_there);
	suite_add_tcase(suite, talks);
	return suite;
}
