/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which nodes there are, from files of the kernel, and what they are called, as corosync has it. corosync may
 * hang, and its library with it: a thread of its own asks, at most one at a time, and nobody waits for it for
 * longer than a moment.
 */
#ifndef GL_DLM_NODES_H
#define GL_DLM_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

#define GL_DLM_VALUE_SIZE 32
#define GL_DLM_NODE_NAME 128            /* bytes of a node's name, longer ones are cut */

/* Where to look. Tests have a world of their own. */
struct gl_dlm_world {
	const char *root;               /* before every path: "" */
	const char *daemon;             /* the abstract sockets of dlm_controld and corosync */
	const char *corosync;
	int64_t patience_ms;            /* for dlm_controld */
};
extern const struct gl_dlm_world gl_dlm_this_world;

/*
 * The number of this node, as the kernel has it. 0 or -1 with errno: ENOENT while dlm_controld has not told
 * it.
 */
int gl_dlm_cluster_self(const struct gl_dlm_world *world, unsigned *out_node);

/*
 * The nodes that are members of the lockspace now, this one too, in ascending order. At most max, *out_count
 * of them. 0 or -1 with errno: ENOENT (no such lockspace on this host).
 */
int gl_dlm_cluster_members(const struct gl_dlm_world *world, const char *lockspace, unsigned *out_nodes,
			   size_t max, size_t *out_count);

/* A small file of the kernel, without the newline. 0 or -1 with errno. */
int gl_dlm_read_value(const char *path, char out[GL_DLM_VALUE_SIZE]);

/*
 * The name of a node: nodelist.node.X.name of corosync.conf, else its first address, else "node N". Asks
 * corosync at the first call, for a node that is not known, and when the answer is old; waits for that no
 * longer than 300 ms. false: it is only "node N". Takes a mutex: not to be called in the child of a threaded
 * process.
 */
bool gl_dlm_cluster_node_name(unsigned node, char *out, size_t size);

/*
 * Keeps the module in memory until the process ends: a thread that hangs in corosync's library may come
 * back when the module would have been unloaded.
 */
void gl_dlm_stay_loaded(void);

#pragma GCC visibility pop

#endif
