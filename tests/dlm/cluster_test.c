/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the backend for clusters makes of a world that is made up. The real one is in the virtual machines of
 * cluster_state.bats.
 */
#include "world.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Probe ---- */

static enum guestlock_result probe(bool allow_no_fencing, struct guestlock_error *err)
{
	memset(err, 0, sizeof(*err));
	return gl_dlm_cluster_probe(&world, SPACE, allow_no_fencing, err);
}

static void expect_probe(enum guestlock_result result, const char *words)
{
	struct guestlock_error err;

	ck_assert_int_eq(probe(false, &err), result);
	if (words) {
		ck_assert_msg(strstr(err.message, words), "%s", err.message);
	} else {
		ck_assert_str_eq(err.message, "");
	}
}

START_TEST(probe_all_well)
{
	all_well();
	daemon_begin();
	expect_probe(GUESTLOCK_RES_GRANTED, NULL);
	put_file("/sys/kernel/dlm/" SPACE "/recover_status", "ff\\n");
	expect_probe(GUESTLOCK_RES_GRANTED, NULL);
}
END_TEST

START_TEST(probe_without_kernel)
{
	remove_file("/sys/kernel/dlm");
	expect_probe(GUESTLOCK_RES_STOPPED, "modprobe dlm");
}
END_TEST

START_TEST(probe_without_device)
{
	remove_file("/dev/misc/dlm-control");
	expect_probe(GUESTLOCK_RES_STOPPED, "there is no /dev/misc/dlm-control");
	put_file("/dev/dlm-control", "");
	expect_probe(GUESTLOCK_RES_STOPPED, "udev rules of libdlm");
}
END_TEST

START_TEST(probe_without_right)
{
	char path[PATH_MAX + 32];

	if (geteuid() != 0) {
		return;
	}
	snprintf(path, sizeof(path), "%s/dev/misc/dlm-control", world_root);
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_assert_int_eq(chmod(world_root, 0755), 0);
	ck_assert_int_eq(setresuid(65534, 65534, 0), 0);
	expect_probe(GUESTLOCK_RES_DENIED, "run as root");
	ck_assert_int_eq(setresuid(0, 0, 0), 0);
}
END_TEST

START_TEST(probe_without_daemons)
{
	expect_probe(GUESTLOCK_RES_STOPPED, "corosync does not run");
	corosync_begin();
	expect_probe(GUESTLOCK_RES_STOPPED, "dlm_controld does not run");
}
END_TEST

START_TEST(probe_without_quorum)
{
	all_well();
	told.quorate = 0;
	daemon_begin();
	expect_probe(GUESTLOCK_RES_STOPPED, "no quorum");
}
END_TEST

START_TEST(probe_while_it_starts)
{
	all_well();
	daemon_begin();
	remove_file("/sys/kernel/config/dlm/cluster/comms/2");
	expect_probe(GUESTLOCK_RES_STOPPED, "still starting");
	remove_file("/sys/kernel/config/dlm/cluster");
	expect_probe(GUESTLOCK_RES_STOPPED, "still starting");
}
END_TEST

static const struct {
	const char *settings;
	bool safe;
	const char *words;
} fencings[] = {
	{"enable_fencing=1\n", true, NULL},
	{"enable_fencing=0\n", false, "enable_fencing=0"},
	{"enable_fencing=0 (cli option)\nenable_startup_fencing=1\n", false, "enable_fencing=0"},
	{"xenable_fencing=1\nenable_fencing_more=1\n", false, "does not tell"},
	{"enable_fencing=yes\n", false, "does not tell"},
	{"enable_fencing=\n", false, "does not tell"},
	{"", false, "does not tell"},
	{"enable_fencing=1\nenable_startup_fencing=0\nenable_quorum_lockspace=1\n", true, NULL},
	{"enable_fencing=1\nenable_startup_fencing=1\nenable_quorum_lockspace=0\n", true, NULL},
	{"enable_fencing=1\nenable_startup_fencing=0\nenable_quorum_lockspace=0\n", false,
	 "enable_startup_fencing=0"},
};

START_TEST(probe_fencing)
{
	struct guestlock_error err;

	all_well();
	told.settings = fencings[_i].settings;
	daemon_begin();
	if (fencings[_i].safe) {
		expect_probe(GUESTLOCK_RES_GRANTED, NULL);
		return;
	}
	expect_probe(GUESTLOCK_RES_UNSAFE, fencings[_i].words);
	expect_probe(GUESTLOCK_RES_UNSAFE, "allow_no_fencing = yes in section [dlm]");
	ck_assert_int_eq(probe(true, &err), GUESTLOCK_RES_GRANTED);
	ck_assert_str_eq(err.message, "");
}
END_TEST

/*
 * Fencing that is off is told before what mends by itself: nobody should wait for a cluster that is of no
 * use.
 */
START_TEST(probe_unsafe_first)
{
	all_well();
	told.quorate = 0;
	told.settings = "enable_fencing=0\n";
	daemon_begin();
	expect_probe(GUESTLOCK_RES_UNSAFE, "enable_fencing=0");
}
END_TEST

START_TEST(probe_bad_daemon)
{
	static const struct {
		enum mood mood;
		const char *words;
		bool waits;
	} cases[] = {
		{MOOD_SILENT, "did not answer within 300 ms", true},
		{MOOD_SLOW, "did not answer within 300 ms", true},
		{MOOD_SHORT, "no answer that can be understood", false},
		{MOOD_STRANGE, "no answer that can be understood", false},
	};
	int64_t begin_ms, taken_ms;

	all_well();
	told.mood = cases[_i].mood;
	daemon_begin();
	begin_ms = guestlock_monotonic_ms();
	expect_probe(GUESTLOCK_RES_STOPPED, cases[_i].words);
	taken_ms = guestlock_monotonic_ms() - begin_ms;
	ck_assert_int_le(taken_ms, cases[_i].waits ? 3 * PATIENCE_MS : PATIENCE_MS);
	ck_assert(!cases[_i].waits || taken_ms >= PATIENCE_MS);
}
END_TEST

/* Stopped as a whole: the kernel takes connections until the queue is full. */
START_TEST(probe_stopped_daemon)
{
	int64_t begin_ms = guestlock_monotonic_ms();

	all_well();
	daemon_begin();
	ck_assert_int_eq(kill(daemon_pid, SIGSTOP), 0);
	for (int i = 0; i < 12; i++) {
		expect_probe(GUESTLOCK_RES_STOPPED, "did not answer within 300 ms");
	}
	ck_assert_int_le(guestlock_monotonic_ms() - begin_ms, 12 * 2 * PATIENCE_MS);
}
END_TEST

/* ---- Status ---- */

static void expect_status(enum guestlock_join_state state, const char *words)
{
	struct guestlock_error err = {.message = ""};

	ck_assert_int_eq(gl_dlm_cluster_status(&world, SPACE, &err), state);
	if (words) {
		ck_assert_msg(strstr(err.message, words), "%s", err.message);
		ck_assert_msg(strstr(err.message, "lockspace " SPACE), "%s", err.message);
	} else {
		ck_assert_str_eq(err.message, "");
	}
}

START_TEST(status_joined)
{
	static const char *const values[] = {"ff\\n", "ff", "55\\n", "40"};

	put_file("/sys/kernel/dlm/" SPACE "/recover_status", values[_i]);
	expect_status(GUESTLOCK_JOIN_JOINED, NULL);
}
END_TEST

START_TEST(status_out)
{
	expect_status(GUESTLOCK_JOIN_OUT, "has not joined it");
	put_file("/sys/kernel/dlm/" SPACE "x/recover_status", "ff\\n");
	expect_status(GUESTLOCK_JOIN_OUT, "has not joined it");
}
END_TEST

static const struct {
	const char *value;
	unsigned flags, condition, messages, quorate, merged, unfenced[2];
	bool unknown;
	enum guestlock_join_state state;
	const char *words;
} stops[] = {
	{"0\\n", 4, 0, 0, 1, 0, {0, 0}, false, GUESTLOCK_JOIN_JOINING, "recovers"},
	{"3f\\n", 0, 0, 0, 1, 0, {0, 0}, false, GUESTLOCK_JOIN_JOINING, "recovers"},
	{"ff0\\n", 0, 0, 0, 1, 0, {0, 0}, false, GUESTLOCK_JOIN_JOINING, "recovers"},
	{"\\n", 0, 0, 0, 1, 0, {0, 0}, false, GUESTLOCK_JOIN_JOINING, "recovers"},
	{"0\\n", 4, 2, 1, 1, 0, {0, 0}, false, GUESTLOCK_JOIN_JOINING, "waiting for other hosts"},
	{"0\\n", 4, 1, 0, 1, 0, {0, 0}, false, GUESTLOCK_JOIN_JOINING, "recovers"},
	{"0\\n", 4, 2, 0, 0, 0, {0, 0}, false, GUESTLOCK_JOIN_STOPPED, "waits for quorum"},
	{"0\\n", 4, 0, 0, 0, 0, {0, 0}, false, GUESTLOCK_JOIN_STOPPED, "waits for quorum"},
	{"0\\n", 4, 3, 0, 1, 0, {3, 0}, false, GUESTLOCK_JOIN_STOPPED, "until node 3 is fenced"},
	{"0\\n", 4, 3, 0, 1, 0, {3, 17}, false, GUESTLOCK_JOIN_STOPPED, "until nodes 3, 17 are fenced"},
	{"0\\n", 4, 3, 0, 1, 0, {0, 0}, false, GUESTLOCK_JOIN_STOPPED, "a node to be fenced"},
	{"0\\n", 5, 3, 0, 1, 0, {3, 0}, false, GUESTLOCK_JOIN_STOPPED, "dlm_tool fence_ack"},
	{"0\\n", 5, 5, 1, 1, 0, {0, 0}, false, GUESTLOCK_JOIN_JOINING, "is being joined"},
	{"0\\n", 4, 0, 0, 1, 1, {0, 0}, false, GUESTLOCK_JOIN_STOPPED, "have met again"},
	{"0\\n", 4, 0, 0, 1, 0, {0, 0}, true, GUESTLOCK_JOIN_STOPPED, "started anew"},
};

START_TEST(status_stopped)
{
	all_well();
	told.quorate = stops[_i].quorate;
	told.merged = stops[_i].merged;
	told.unfenced[0] = stops[_i].unfenced[0];
	told.unfenced[1] = stops[_i].unfenced[1];
	told.flags = stops[_i].flags;
	told.wait_condition = stops[_i].condition;
	told.wait_messages = stops[_i].messages;
	told.unknown = stops[_i].unknown;
	daemon_begin();
	put_file("/sys/kernel/dlm/" SPACE "/recover_status", stops[_i].value);
	put_file("/sys/class/misc/dlm_" SPACE "/dev", "10:120\\n");
	expect_status(stops[_i].state, stops[_i].words);
	if (stops[_i].state == GUESTLOCK_JOIN_STOPPED) {
		expect_probe(GUESTLOCK_RES_STOPPED, told.quorate != 0 ? "lockspace " SPACE : "no quorum");
	}
}
END_TEST

/* The kernel still has it, and nobody can open it any more. */
START_TEST(status_taken_away)
{
	all_well();
	told.unknown = true;
	daemon_begin();
	put_file("/sys/kernel/dlm/" SPACE "/recover_status", "0\\n");
	expect_status(GUESTLOCK_JOIN_LOST, "was taken away from this host with every lock");
}
END_TEST

START_TEST(status_without_daemons)
{
	put_file("/sys/kernel/dlm/" SPACE "/recover_status", "0\\n");
	expect_status(GUESTLOCK_JOIN_STOPPED, "corosync ended on this host");
	expect_probe(GUESTLOCK_RES_STOPPED, "stopped for good: corosync ended");
	corosync_begin();
	expect_status(GUESTLOCK_JOIN_STOPPED, "dlm_controld ended on this host");
	expect_probe(GUESTLOCK_RES_STOPPED, "stopped for good: dlm_controld ended");
	told.mood = MOOD_SILENT;
	daemon_begin();
	expect_status(GUESTLOCK_JOIN_STOPPED, "does not tell why");
}
END_TEST

/* ---- Nodes ---- */

START_TEST(nodes_self)
{
	unsigned node = 0;

	ck_assert_int_eq(gl_dlm_cluster_self(&world, &node), 0);
	ck_assert_uint_eq(node, 2);
	remove_file("/sys/kernel/config/dlm/cluster/comms/2");
	ck_assert_int_eq(gl_dlm_cluster_self(&world, &node), -1);
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(nodes_members)
{
	unsigned nodes[3];
	size_t count = 0;

	ck_assert_int_eq(gl_dlm_cluster_members(&world, SPACE, nodes, 3, &count), -1);
	ck_assert_int_eq(errno, ENOENT);
	put_file("/sys/kernel/config/dlm/cluster/spaces/" SPACE "/nodes/30/nodeid", "30\\n");
	put_file("/sys/kernel/config/dlm/cluster/spaces/" SPACE "/nodes/2/nodeid", "2\\n");
	put_file("/sys/kernel/config/dlm/cluster/spaces/" SPACE "/nodes/x2/nodeid", "2\\n");
	ck_assert_int_eq(gl_dlm_cluster_members(&world, SPACE, nodes, 3, &count), 0);
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_eq(nodes[0], 2);
	ck_assert_uint_eq(nodes[1], 30);
	ck_assert_int_eq(gl_dlm_cluster_members(&world, SPACE, nodes, 1, &count), 0);
	ck_assert_uint_eq(count, 1);
}
END_TEST

/* Without corosync the number is the name, at once. */
START_TEST(nodes_names)
{
	char name[GL_DLM_NODE_NAME], small[5];

	gl_dlm_cluster_node_name(4000000000U, name, sizeof(name));
	ck_assert_str_eq(name, "node 4000000000");
	gl_dlm_cluster_node_name(7, small, sizeof(small));
	ck_assert_str_eq(small, "node");
}
END_TEST

static TCase *world_case(const char *name)
{
	TCase *tests = tcase_create(name);

	tcase_add_checked_fixture(tests, world_setup, world_teardown);
	tcase_set_timeout(tests, 120);
	return tests;
}

static Suite *cluster_suite(void)
{
	Suite *suite = suite_create("cluster");
	TCase *tests = world_case("probe");

	tcase_add_test(tests, probe_all_well);
	tcase_add_test(tests, probe_without_kernel);
	tcase_add_test(tests, probe_without_device);
	tcase_add_test(tests, probe_without_right);
	tcase_add_test(tests, probe_without_daemons);
	tcase_add_test(tests, probe_without_quorum);
	tcase_add_test(tests, probe_while_it_starts);
	tcase_add_loop_test(tests, probe_fencing, 0, COUNT(fencings));
	tcase_add_test(tests, probe_unsafe_first);
	tcase_add_loop_test(tests, probe_bad_daemon, 0, 4);
	tcase_add_test(tests, probe_stopped_daemon);
	suite_add_tcase(suite, tests);
	tests = world_case("status");
	tcase_add_loop_test(tests, status_joined, 0, 4);
	tcase_add_test(tests, status_out);
	tcase_add_loop_test(tests, status_stopped, 0, COUNT(stops));
	tcase_add_test(tests, status_taken_away);
	tcase_add_test(tests, status_without_daemons);
	suite_add_tcase(suite, tests);
	tests = world_case("nodes");
	tcase_add_test(tests, nodes_self);
	tcase_add_test(tests, nodes_members);
	tcase_add_test(tests, nodes_names);
	suite_add_tcase(suite, tests);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(cluster_suite());
	int run, failed;

	srunner_add_suite(runner, words_suite());
	srunner_add_suite(runner, parts_suite());
	srunner_add_suite(runner, answer_suite());
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	run = srunner_ntests_run(runner);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return run > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
