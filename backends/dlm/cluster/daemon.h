/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Questions to dlm_controld, as `dlm_tool status`, `dump_config` and `ls` ask them: one connection to its
 * abstract socket, one request, an answer until it closes. The library of these programs waits for ever when
 * the daemon hangs; everything here ends at its deadline. What the daemon sends is checked before it is used.
 */
#ifndef GL_DLM_DAEMON_H
#define GL_DLM_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GL_DLM_DAEMON_SOCKET "dlmc_query_sock"
#define GL_DLM_NODES_MAX 128            /* as many as a process group has */

#pragma GCC visibility push(hidden)

struct gl_dlm_daemon_node {
	unsigned node;
	bool member;                    /* its dlm_controld runs */
	bool needs_fencing;
};

/* What `dlm_tool status` shows. */
struct gl_dlm_daemon {
	unsigned node;                  /* of this host */
	bool quorate;
	bool merged;                    /* a part of the cluster came back with locks of its own: it waits */
	size_t n_nodes;
	struct gl_dlm_daemon_node nodes[GL_DLM_NODES_MAX];
};

enum gl_dlm_wait {
	GL_DLM_WAIT_NOTHING = 0,
	GL_DLM_WAIT_RING,               /* corosync is forming a new membership */
	GL_DLM_WAIT_QUORUM,
	GL_DLM_WAIT_FENCING,
	GL_DLM_WAIT_FILE_SYSTEM,
	GL_DLM_WAIT_NODES,              /* messages of other nodes */
};

/* What `dlm_tool ls` shows of one lockspace. */
struct gl_dlm_daemon_lockspace {
	bool joining, leaving, stopped;
	enum gl_dlm_wait wait;
};

/*
 * Ask. 0, or an errno: ECONNREFUSED (it does not run), ETIMEDOUT (no answer by deadline_ms), EPROTO (not to
 * be understood), ENOENT (no such lockspace), ... socket is GL_DLM_DAEMON_SOCKET but in tests.
 */
int gl_dlm_daemon_status(const char *socket, int64_t deadline_ms, struct gl_dlm_daemon *out);
int gl_dlm_daemon_lockspace(const char *socket, const char *name, int64_t deadline_ms,
			    struct gl_dlm_daemon_lockspace *out);
/* Its settings, "NAME=VALUE ..." a line; *out_text is freed with free(). */
int gl_dlm_daemon_settings(const char *socket, int64_t deadline_ms, char **out_text);

/* The value of one of them. false: it is not there, or no number. */
bool gl_dlm_daemon_setting(const char *settings, const char *name, unsigned *out_value);

/*
 * Whether anybody listens at an abstract socket; padded: its name fills the whole address, as libqb does it.
 */
bool gl_dlm_socket_listens(const char *name, bool padded);

/* The answers as bytes. 0 or EPROTO, ENOENT. */
int gl_dlm_daemon_parse_status(const void *answer, size_t size, struct gl_dlm_daemon *out);
int gl_dlm_daemon_parse_lockspace(const void *answer, size_t size, struct gl_dlm_daemon_lockspace *out);
int gl_dlm_daemon_parse_settings(const void *answer, size_t size, char **out_text);

#pragma GCC visibility pop

#endif
