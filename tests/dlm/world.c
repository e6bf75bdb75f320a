/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "world.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

char world_root[PATH_MAX];
static char daemon_name[64], corosync_name[64];
struct gl_dlm_world world;
struct told told;
pid_t daemon_pid;
static int corosync_fd = -1;

/* ---- The made-up world ---- */

void put_file(const char *path, const char *text)
{
	char full[4 * PATH_MAX];

	snprintf(full, sizeof(full), "mkdir -p \"$(dirname '%s%s')\" && printf '%s' >'%s%s'", world_root,
		 path, text, world_root, path);
	ck_assert_int_eq(system(full), 0);
}

void remove_file(const char *path)
{
	char full[4 * PATH_MAX];

	snprintf(full, sizeof(full), "rm -r '%s%s'", world_root, path);
	ck_assert_int_eq(system(full), 0);
}

/* A host on which everything is right, and which is not in the lockspace. */
void world_setup(void)
{
	snprintf(world_root, sizeof(world_root), "/tmp/gl-cluster-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(world_root));
	snprintf(daemon_name, sizeof(daemon_name), "gl-test-daemon-%d", (int)getpid());
	snprintf(corosync_name, sizeof(corosync_name), "gl-test-corosync-%d", (int)getpid());
	world = (struct gl_dlm_world){world_root, daemon_name, corosync_name, PATIENCE_MS};
	put_file("/sys/kernel/dlm/.keep", "");
	put_file("/dev/misc/dlm-control", "");
	put_file("/sys/kernel/config/dlm/cluster/comms/1/local", "0\\n");
	put_file("/sys/kernel/config/dlm/cluster/comms/2/local", "1\\n");
	put_file("/sys/kernel/config/dlm/cluster/comms/30/local", "0\\n");
}

static void daemon_end(void)
{
	if (daemon_pid > 0) {
		kill(daemon_pid, SIGKILL);
		waitpid(daemon_pid, NULL, 0);
		daemon_pid = 0;
	}
}

void world_teardown(void)
{
	char command[PATH_MAX + 16];

	daemon_end();
	if (corosync_fd >= 0) {
		close(corosync_fd);
		corosync_fd = -1;
	}
	snprintf(command, sizeof(command), "rm -rf '%s'", world_root);
	ck_assert_int_eq(system(command), 0);
}

static int listen_at(const char *name, bool padded)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t size = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path + 1, name, strlen(name));
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, padded ? sizeof(address) : (socklen_t)size),
			 0);
	ck_assert_int_eq(listen(fd, 5), 0);
	return fd;
}

void corosync_begin(void)
{
	corosync_fd = listen_at(corosync_name, true);
}

/* ---- The made-up dlm_controld ---- */

size_t add_part(unsigned char *at, uint32_t type, uint32_t node, const char *words)
{
	uint32_t head[7] = {type, 0, node, 0, 0, (uint32_t)strlen(words) + 1, 0};

	memcpy(at, head, sizeof(head));
	memcpy(at + sizeof(head), words, head[5]);
	return sizeof(head) + head[5];
}

size_t make_status(unsigned char *at)
{
	char words[256];
	size_t size;

	snprintf(words, sizeof(words), "member_count=2 quorate=%u fence_pid=0 stateful_merge_wait=%u ",
		 told.quorate, told.merged);
	size = add_part(at, 1, 2, words);
	size += add_part(at + size, 2, 2, "member=1 killed=0 left_reason=none need_fencing=0 ");
	for (int i = 0; i < 2; i++) {
		if (told.unfenced[i] != 0) {
			size += add_part(at + size, 2, told.unfenced[i],
					 "member=0 killed=0 left_reason=nodedown need_fencing=1 ");
		}
	}
	return size + add_part(at + size, 3, 1, "member=0 need_fencing=1 ");
}

static size_t make_head(unsigned char *at, uint32_t size, int result)
{
	uint32_t head[24] = {0xD13CD13CU, 0x00010001U, 0, 0, size, (uint32_t)result};

	memcpy(at, head, sizeof(head));
	return sizeof(head);
}

size_t make_lockspace(unsigned char *at)
{
	uint32_t words[18] = {[12] = told.wait_condition, [13] = told.wait_messages, [16] = told.flags};
	size_t head;

	memset(at, 0, 96 + 140);
	head = make_head(at, 96 + 140, told.unknown ? -ENOENT : 0);
	memcpy(at + head, words, sizeof(words));
	return head + 140;
}

static size_t make_settings(unsigned char *at)
{
	const char *text = told.settings ? told.settings
					 : "daemon_debug=0\nenable_fencing=1\nenable_startup_fencing=1\n"
					   "enable_quorum_lockspace=1\nfence_all=(null)\n";
	size_t head = make_head(at, (uint32_t)(96 + strlen(text)), 0);

	memcpy(at + head, text, strlen(text) + 1);
	return head + strlen(text);
}

static void answer(int fd)
{
	static unsigned char bytes[8192];
	uint32_t question[24];
	size_t size = 0;

	if (recv(fd, question, sizeof(question), MSG_WAITALL) != sizeof(question) ||
	    question[0] != 0xD13CD13CU || question[4] != sizeof(question)) {
		return;
	}
	if (question[2] == 13) {
		size = make_status(bytes);
	} else if (question[2] == 14) {
		size = make_settings(bytes);
	} else if (question[2] == 3 && strcmp((const char *)&question[8], SPACE) == 0) {
		size = make_lockspace(bytes);
	}
	if (told.mood == MOOD_STRANGE) {
		memset(bytes, 'x', size);
	}
	if (told.mood == MOOD_SILENT ||
	    write(fd, bytes, told.mood == MOOD_GOOD || told.mood == MOOD_STRANGE ? size : size / 2) < 0 ||
	    told.mood == MOOD_SLOW) {
		pause();
	}
}

void daemon_begin(void)
{
	int fd = listen_at(daemon_name, false);

	daemon_pid = fork();
	ck_assert_int_ge(daemon_pid, 0);
	if (daemon_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			int connection = accept(fd, NULL, NULL);

			if (connection < 0) {
				_exit(1);
			}
			answer(connection);
			close(connection);
		}
	}
	close(fd);
}

void all_well(void)
{
	memset(&told, 0, sizeof(told));
	told.quorate = 1;
}
