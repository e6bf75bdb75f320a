/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the cluster is like, in plain words: from files of the kernel, and from dlm_controld within half a
 * second. Nothing is taken, and the lockspace is not touched: whoever opens it while it is stopped may never
 * come back.
 */
#ifndef GL_DLM_CLUSTER_H
#define GL_DLM_CLUSTER_H

#include "cluster/nodes.h"

#include <guestlock/backend.h>

#pragma GCC visibility push(hidden)

/*
 * world is &gl_dlm_this_world but in tests.
 *
 * Can locks be taken on this host, and do they protect? GRANTED; STOPPED (the kernel, corosync, dlm_controld
 * or the majority is missing, or the lockspace waits), DENIED (rights), UNSAFE (fencing is off and
 * allow_no_fencing is not set). Needs no name of a node and no mutex: may be called anywhere.
 */
enum guestlock_result gl_dlm_cluster_probe(const struct gl_dlm_world *world, const char *lockspace,
					   bool allow_no_fencing, struct guestlock_error *err);

/*
 * OUT: this host is no member of the lockspace. JOINING: it is becoming one, or the lockspace recovers from a
 * change of its members; that takes seconds. JOINED: it runs; that costs the reading of one file. STOPPED:
 * for as long as what err says is in the way. err is filled unless it is JOINED.
 */
enum guestlock_join_state gl_dlm_cluster_status(const struct gl_dlm_world *world, const char *lockspace,
						struct guestlock_error *err);

/*
 * The same for whoever asks often: a descriptor, -1 if there is none, and whether the lockspace runs, by one
 * read of it. false: it does not, or it is not the one any more that was opened; gl_dlm_cluster_status()
 * tells.
 */
int gl_dlm_cluster_open(const char *lockspace);
bool gl_dlm_cluster_runs(int fd);

#pragma GCC visibility pop

#endif
