/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which nodes there are, and what they are called: for that a thread of its own asks corosync. */
#include "cluster/nodes.h"

#include "cluster/daemon.h"

#include <guestlock/backend.h>

#include <corosync/cmap.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GL_DLM_CONFIG "/sys/kernel/config/dlm/cluster"
#define GL_DLM_NODE_LIST "nodelist.node."
#define GL_DLM_NAMES_MAX 128
#define GL_DLM_NAMES_WAIT_MS 300
#define GL_DLM_NAMES_OLD_MS 60000
#define GL_DLM_NAMES_PAUSE_MS 5000 /* between two questions for nodes that are not known */

struct gl_dlm_name {
	unsigned node;
	char name[GL_DLM_NODE_NAME];
};

struct gl_dlm_names {
	size_t count;
	struct gl_dlm_name entries[GL_DLM_NAMES_MAX];
};

static pthread_mutex_t names_mutex = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static pthread_cond_t names_changed = PTHREAD_COND_INITIALIZER;
static struct gl_dlm_names names;
static bool names_asking;     /* a thread is at it */
static bool names_overdue;    /* ... and was waited for in vain */
static int64_t names_read_ms; /* when corosync was asked last; 0: never */

void gl_dlm_stay_loaded(void)
{
	Dl_info info;
	void *handle;

	if (dladdr(&names_mutex, &info) == 0 || !info.dli_fname) {
		return;
	}
	handle = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
	if (handle) {
		dlclose(handle);
	}
}

/* ---- Asking corosync ---- */

static bool read_text(cmap_handle_t cmap, unsigned position, const char *what, char out[GL_DLM_NODE_NAME])
{
	char key[CMAP_KEYNAME_MAXLEN + 1];
	char *text = NULL;

	snprintf(key, sizeof(key), GL_DLM_NODE_LIST "%u.%s", position, what);
	if (cmap_get_string(cmap, key, &text) != CS_OK || !text) {
		return false;
	}
	snprintf(out, GL_DLM_NODE_NAME, "%s", text);
	free(text);
	return out[0] != '\0';
}

static void read_node(cmap_handle_t cmap, unsigned position, uint32_t node, struct gl_dlm_names *out)
{
	struct gl_dlm_name *entry = &out->entries[out->count];

	entry->node = node;
	if (read_text(cmap, position, "name", entry->name) ||
	    read_text(cmap, position, "ring0_addr", entry->name)) {
		out->count++;
	}
}

/* Is it "nodelist.node.POSITION.nodeid"? */
static bool is_node_id(const char *key, unsigned *out_position)
{
	char *end;
	unsigned long position;

	if (strncmp(key, GL_DLM_NODE_LIST, strlen(GL_DLM_NODE_LIST)) != 0) {
		return false;
	}
	position = strtoul(key + strlen(GL_DLM_NODE_LIST), &end, 10);
	*out_position = (unsigned)position;
	return position <= UINT_MAX && strcmp(end, ".nodeid") == 0;
}

/* The list has gaps where nodes were removed while corosync ran. */
static void read_nodes(cmap_handle_t cmap, struct gl_dlm_names *out)
{
	cmap_iter_handle_t iterator;
	char key[CMAP_KEYNAME_MAXLEN + 1];

	if (cmap_iter_init(cmap, GL_DLM_NODE_LIST, &iterator) != CS_OK) {
		return;
	}
	while (out->count < GL_DLM_NAMES_MAX && cmap_iter_next(cmap, iterator, key, NULL, NULL) == CS_OK) {
		unsigned position;
		uint32_t node;

		if (is_node_id(key, &position) && cmap_get_uint32(cmap, key, &node) == CS_OK) {
			read_node(cmap, position, node, out);
		}
	}
	cmap_iter_finalize(cmap, iterator);
}

/* The thread: reads into memory of its own, which it frees. */
static void *ask_corosync(void *data)
{
	struct gl_dlm_names *found = data;
	cmap_handle_t cmap;

	if (cmap_initialize(&cmap) == CS_OK) {
		read_nodes(cmap, found);
		cmap_finalize(cmap);
	}
	pthread_mutex_lock(&names_mutex);
	if (found->count > 0) {
		names = *found;
	}
	names_read_ms = guestlock_monotonic_ms();
	names_asking = names_overdue = false;
	pthread_cond_broadcast(&names_changed);
	pthread_mutex_unlock(&names_mutex);
	free(found);
	return NULL;
}

/* ---- The names ---- */

/* All of these: called with the mutex held. */

static void start_asking(void)
{
	struct gl_dlm_names *found = calloc(1, sizeof(*found));
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, before;

	if (!found) {
		return;
	}
	gl_dlm_stay_loaded();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	names_asking = pthread_create(&thread, &attributes, ask_corosync, found) == 0;
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!names_asking) {
		free(found);
	}
}

static void wait_for_names(void)
{
	int64_t deadline_ms = guestlock_monotonic_ms() + GL_DLM_NAMES_WAIT_MS;
	struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ms / 1000),
		.tv_nsec = (long)(deadline_ms % 1000) * 1000000,
	};

	while (names_asking && !names_overdue) {
		if (pthread_cond_clockwait(&names_changed, &names_mutex, CLOCK_MONOTONIC, &deadline) ==
		    ETIMEDOUT) {
			names_overdue = names_asking;
		}
	}
}

static const struct gl_dlm_name *find_name(unsigned node)
{
	size_t i;

	for (i = 0; i < names.count; i++) {
		if (names.entries[i].node == node) {
			return &names.entries[i];
		}
	}
	return NULL;
}

/*
 * A name that is known and not very old needs nobody to be asked; an old one is good until there is a new
 * one.
 */
static const struct gl_dlm_name *known_name(unsigned node)
{
	const struct gl_dlm_name *entry = find_name(node);
	int64_t age_ms = guestlock_monotonic_ms() - names_read_ms;
	bool asked = names_read_ms != 0;

	if (entry && age_ms < GL_DLM_NAMES_OLD_MS) {
		return entry;
	}
	if (!names_asking && (!asked || age_ms >= GL_DLM_NAMES_PAUSE_MS)) {
		start_asking();
	}
	if (!entry) {
		wait_for_names();
		entry = find_name(node);
	}
	return entry;
}

bool gl_dlm_cluster_node_name(unsigned node, char *out, size_t size)
{
	const struct gl_dlm_name *entry;

	pthread_mutex_lock(&names_mutex);
	entry = known_name(node);
	if (entry) {
		snprintf(out, size, "%s", entry->name);
	} else {
		snprintf(out, size, "node %u", node);
	}
	pthread_mutex_unlock(&names_mutex);
	return entry != NULL;
}

/* ---- Files of the kernel ---- */

const struct gl_dlm_world gl_dlm_this_world = {
	.root = "",
	.daemon = GL_DLM_DAEMON_SOCKET,
	.corosync = "cmap",
	.patience_ms = 500,
};

int gl_dlm_read_value(const char *path, char out[GL_DLM_VALUE_SIZE])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;
	int saved_errno;

	if (fd < 0) {
		return -1;
	}
	got = read(fd, out, GL_DLM_VALUE_SIZE - 1);
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	if (got < 0) {
		return -1;
	}
	out[got] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return 0;
}

static bool number_of(const char *text, unsigned *out)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value > UINT32_MAX) {
		return false;
	}
	*out = (unsigned)value;
	return true;
}

static int by_number(const void *a, const void *b)
{
	const unsigned *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

/* The entries of a directory that are numbers, sorted. 0 or -1 with errno. */
static int list_numbers(const char *path, unsigned *out, size_t max, size_t *out_count)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	if (!directory) {
		return -1;
	}
	*out_count = 0;
	while (*out_count < max && (entry = readdir(directory))) {
		if (number_of(entry->d_name, &out[*out_count])) {
			++*out_count;
		}
	}
	closedir(directory);
	qsort(out, *out_count, sizeof(*out), by_number);
	return 0;
}

int gl_dlm_cluster_members(const struct gl_dlm_world *world, const char *lockspace, unsigned *out_nodes,
			   size_t max, size_t *out_count)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s/spaces/%s/nodes", world->root, GL_DLM_CONFIG, lockspace);
	return list_numbers(path, out_nodes, max, out_count);
}

int gl_dlm_cluster_self(const struct gl_dlm_world *world, unsigned *out_node)
{
	unsigned nodes[GL_DLM_NODES_MAX];
	char path[PATH_MAX], value[GL_DLM_VALUE_SIZE];
	size_t count, i;

	snprintf(path, sizeof(path), "%s%s/comms", world->root, GL_DLM_CONFIG);
	if (list_numbers(path, nodes, GL_DLM_NODES_MAX, &count) < 0) {
		return -1;
	}
	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s%s/comms/%u/local", world->root, GL_DLM_CONFIG, nodes[i]);
		if (gl_dlm_read_value(path, value) == 0 && strcmp(value, "1") == 0) {
			*out_node = nodes[i];
			return 0;
		}
	}
	errno = ENOENT;
	return -1;
}
