/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "batch.h"

#include "life/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 60000

__attribute__((noreturn)) static void give_up(const char *why)
{
	fprintf(stderr, "bench: %s\n", why);
	exit(1);
}

void bench_open(struct bench_batch *batch)
{
	const struct guestlock_options options = {.size = sizeof(options)};
	struct guestlock_error err = {.message = ""};

	*batch = (struct bench_batch){.count = 0};
	if (guestlock_open(&batch->gl, &options, &err) < 0 ||
	    gl_ready(batch->gl, guestlock_monotonic_ms() + PATIENCE_MS, &err) < 0) {
		give_up(err.message);
	}
}

void bench_close(struct bench_batch *batch)
{
	guestlock_close(batch->gl);
	free(batch->keys);
	free(batch->items);
	*batch = (struct bench_batch){.count = 0};
}

void bench_set_owner(struct bench_batch *batch, long number, bool adopted)
{
	struct guestlock_owner *owner = &batch->owner;
	struct gl_process self;

	if (gl_process_look(getpid(), &self) < 0) {
		give_up(strerror(errno));
	}
	*owner = (struct guestlock_owner){
		.instance = guestlock_random64(),
		.name = "bench",
		.pid = self.pid,
		.pid_start = self.start,
		.pid_ns = self.ns,
		.adopted = adopted,
		.host = batch->gl->host,
		.manager = batch->gl->store.run_dir,
	};
	snprintf(owner->uuid, sizeof(owner->uuid), "6e6f6e65-0000-4000-8000-%012lx", number);
	memcpy(owner->boot_id, self.boot_id, sizeof(owner->boot_id));
}

void bench_name_key(const char *group, size_t i, char out[GUESTLOCK_KEY_SIZE])
{
	char text[64];

	guestlock_digest(text, (size_t)snprintf(text, sizeof(text), "%s %zu", group, i), out);
}

void bench_set_keys(struct bench_batch *batch, const char *group, size_t first, size_t count)
{
	free(batch->keys);
	free(batch->items);
	batch->keys = calloc(count, sizeof(*batch->keys));
	batch->items = calloc(count, sizeof(*batch->items));
	batch->count = count;
	if (!batch->keys || !batch->items) {
		give_up(strerror(ENOMEM));
	}
	for (size_t i = 0; i < count; i++) {
		batch->keys[i] = (struct guestlock_key){.identity = "file:/bench"};
		bench_name_key(group, first + i, batch->keys[i].key);
		batch->items[i] =
			(struct guestlock_item){.key = &batch->keys[i], .mode = GUESTLOCK_MODE_EXCLUSIVE};
	}
}

void bench_call(struct bench_batch *batch, bench_call_fn *function, unsigned flags)
{
	struct guestlock_batch asked = {
		.owner = &batch->owner,
		.items = batch->items,
		.count = batch->count,
		.flags = flags,
		.deadline_ms = guestlock_monotonic_ms() + PATIENCE_MS,
	};
	struct guestlock_error err = {.message = ""};

	if (function(batch->gl->backend, &asked, &err) != GUESTLOCK_RES_GRANTED) {
		give_up(err.message);
	}
}
