/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One owner's batch, asked of the configured backend by its table of functions: what those cost, without
 * records. Whatever fails ends the process, with the reason on standard error.
 */
#ifndef GL_BENCH_BATCH_H
#define GL_BENCH_BATCH_H

#include "handle/handle.h"

struct bench_batch {
	struct guestlock *gl;
	struct guestlock_owner owner;
	struct guestlock_key *keys;
	struct guestlock_item *items;
	size_t count;
};

/* The library, ready to call the backend. */
void bench_open(struct bench_batch *batch);
void bench_close(struct bench_batch *batch);
/* The owner has that number and lives as long as this process. adopted: it is not bound. */
void bench_set_owner(struct bench_batch *batch, long number, bool adopted);
/* So many keys of a group from that one on, all of them exclusive. */
void bench_set_keys(struct bench_batch *batch, const char *group, size_t first, size_t count);
void bench_name_key(const char *group, size_t i, char out[GUESTLOCK_KEY_SIZE]);

typedef enum guestlock_result bench_call_fn(struct guestlock_backend *backend, struct guestlock_batch *batch,
					    struct guestlock_error *err);
void bench_call(struct bench_batch *batch, bench_call_fn *function, unsigned flags);

#endif
