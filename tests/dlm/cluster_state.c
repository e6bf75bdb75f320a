/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cluster_state LOCKSPACE [unsafe]: what the backend for clusters makes of the host it runs on, a line each:
 *
 *     probe RESULT MS MESSAGE        with "unsafe" as if allow_no_fencing was set
 *     status STATE MS MESSAGE
 *     self NODE NAME
 *     members NODE NAME, ...
 */
#include "cluster/cluster.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *name_of(const char *const names[], size_t count, size_t number)
{
	return number < count && names[number] ? names[number] : "other";
}

static void show_probe(const char *lockspace, bool unsafe)
{
	static const char *const names[] = {
		[GUESTLOCK_RES_GRANTED] = "granted",
		[GUESTLOCK_RES_STOPPED] = "stopped",
		[GUESTLOCK_RES_UNSAFE] = "unsafe",
		[GUESTLOCK_RES_DENIED] = "denied",
	};
	struct guestlock_error err = {.message = ""};
	int64_t begin_ms = guestlock_monotonic_ms();
	enum guestlock_result result = gl_dlm_cluster_probe(&gl_dlm_this_world, lockspace, unsafe, &err);

	printf("probe %s %lld %s\n", name_of(names, COUNT(names), result),
	       (long long)(guestlock_monotonic_ms() - begin_ms), err.message);
}

static void show_status(const char *lockspace)
{
	static const char *const names[] = {
		[GUESTLOCK_JOIN_OUT] = "out",
		[GUESTLOCK_JOIN_JOINING] = "joining",
		[GUESTLOCK_JOIN_JOINED] = "joined",
		[GUESTLOCK_JOIN_STOPPED] = "stopped",
	};
	struct guestlock_error err = {.message = ""};
	int64_t begin_ms = guestlock_monotonic_ms();
	enum guestlock_join_state state = gl_dlm_cluster_status(&gl_dlm_this_world, lockspace, &err);

	printf("status %s %lld %s\n", name_of(names, COUNT(names), state),
	       (long long)(guestlock_monotonic_ms() - begin_ms), err.message);
}

static void show_nodes(const char *lockspace)
{
	char name[GL_DLM_NODE_NAME];
	unsigned nodes[16], self;
	size_t count = 0, i;

	if (gl_dlm_cluster_self(&gl_dlm_this_world, &self) == 0) {
		gl_dlm_cluster_node_name(self, name, sizeof(name));
		printf("self %u %s\n", self, name);
	}
	if (gl_dlm_cluster_members(&gl_dlm_this_world, lockspace, nodes, COUNT(nodes), &count) < 0) {
		return;
	}
	printf("members");
	for (i = 0; i < count; i++) {
		gl_dlm_cluster_node_name(nodes[i], name, sizeof(name));
		printf("%s %u %s", i > 0 ? "," : "", nodes[i], name);
	}
	printf("\n");
}

/* A slow machine gets its time here, so that names are known below if they can be. */
static void wait_for_names(void)
{
	int64_t deadline_ms = guestlock_monotonic_ms() + 3000;
	char name[GL_DLM_NODE_NAME];
	unsigned self;

	if (gl_dlm_cluster_self(&gl_dlm_this_world, &self) < 0) {
		return;
	}
	while (!gl_dlm_cluster_node_name(self, name, sizeof(name)) &&
	       guestlock_monotonic_ms() < deadline_ms) {
		poll(NULL, 0, 50);
	}
}

int main(int argc, char *argv[])
{
	if (argc < 2) {
		return 64;
	}
	wait_for_names();
	show_probe(argv[1], argc > 2 && strcmp(argv[2], "unsafe") == 0);
	show_status(argv[1]);
	show_nodes(argv[1]);
	return 0;
}
