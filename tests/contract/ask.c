/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "contract.h"

#include <string.h>

typedef enum guestlock_result call_fn(struct guestlock_backend *, struct guestlock_batch *,
				      struct guestlock_error *);

void ask_for(struct ask *ask, const struct guestlock_key *keys, size_t count, enum guestlock_mode mode)
{
	size_t i;

	memset(ask, 0, sizeof(*ask));
	contract_expect(count <= CONTRACT_KEYS);
	ask->count = count;
	for (i = 0; i < count; i++) {
		ask->items[i].key = &keys[i];
		ask->items[i].mode = mode;
	}
}

void ask_free(struct ask *ask)
{
	size_t i;

	for (i = 0; i < ask->count; i++) {
		free(ask->items[i].holders);
		ask->items[i].holders = NULL;
	}
}

static void check_item(const struct guestlock_item *item)
{
	if (item->result == GUESTLOCK_RES_BUSY || item->result == GUESTLOCK_RES_OTHER) {
		contract_expect(strlen(item->holder.uuid) < GUESTLOCK_UUID_STRING);
		contract_expect(item->holder.mode != GUESTLOCK_MODE_NONE);
	}
}

/* An answer of inquire that each item has one is a success, whatever the answers are. */
static void check_answer(const struct ask *ask, enum guestlock_result result)
{
	bool found = result == GUESTLOCK_RES_GRANTED || ask->count == 0;
	size_t i;

	for (i = 0; i < ask->count; i++) {
		check_item(&ask->items[i]);
		found = found || ask->items[i].result == result;
	}
	if (!found) {
		contract_fail("the result %d is that of no item: %s", (int)result, ask->err.message);
	}
	if ((result == GUESTLOCK_RES_GRANTED) != (ask->err.code == 0) || ask->err.code > 0) {
		contract_fail("the result %d, and the error %d: %s", (int)result, ask->err.code,
			      ask->err.message);
	}
	if (ask->err.code == 0 ? ask->err.message[0] != '\0'
			       : strlen(ask->err.message) <= 20 || strchr(ask->err.message, '\n')) {
		contract_fail("the result %d, and the message: %s", (int)result, ask->err.message);
	}
}

static enum guestlock_result call_once(call_fn *function, struct guestlock_backend *backend,
				       const struct guestlock_owner *owner, struct ask *ask)
{
	struct guestlock_batch batch = {
		.owner = owner,
		.items = ask->items,
		.count = ask->count,
		.flags = ask->flags,
		.deadline_ms = guestlock_monotonic_ms() + CONTRACT_WAIT_MS,
	};
	enum guestlock_result result;

	memset(&ask->err, 0, sizeof(ask->err));
	result = function(backend, &batch, &ask->err);
	check_answer(ask, result);
	return result;
}

static enum guestlock_result call(call_fn *function, struct guestlock_backend *backend,
				  const struct guestlock_owner *owner, struct ask *ask)
{
	int64_t deadline_ms = guestlock_monotonic_ms() + CONTRACT_WAIT_MS;
	unsigned pause_us = 20;
	enum guestlock_result result;

	while ((result = call_once(function, backend, owner, ask)) == GUESTLOCK_RES_AGAIN &&
	       guestlock_monotonic_ms() < deadline_ms) {
		contract_sleep_us(pause_us + (unsigned)(guestlock_random64() % pause_us));
		pause_us = pause_us < 2000 ? pause_us * 2 : pause_us;
	}
	return result;
}

enum guestlock_result ask_acquire_once(const struct guest *guest, struct ask *ask)
{
	return call_once(contract.module->ops->acquire, guest->host->backend, &guest->owner, ask);
}

enum guestlock_result ask_bind(const struct guest *guest, struct ask *ask)
{
	if (contract_can(GUESTLOCK_CAP_BIND_HERE)) {
		return GUESTLOCK_RES_GRANTED;
	}
	return call(contract.module->ops->bind, guest->host->backend, &guest->owner, ask);
}

enum guestlock_result ask_acquire(const struct guest *guest, struct ask *ask)
{
	return call(contract.module->ops->acquire, guest->host->backend, &guest->owner, ask);
}

enum guestlock_result ask_acquire_soon(const struct guest *guest, struct ask *ask)
{
	int64_t deadline_ms = guestlock_monotonic_ms() + CONTRACT_FREED_MS;
	enum guestlock_result result;

	while ((result = ask_acquire(guest, ask)) == GUESTLOCK_RES_BUSY &&
	       guestlock_monotonic_ms() < deadline_ms) {
		contract_sleep_us(5000);
		host_reap(&host_a);
		host_reap(&host_b);
	}
	return result;
}

enum guestlock_result ask_release(const struct guest *guest, struct ask *ask)
{
	return call(contract.module->ops->release, guest->host->backend, &guest->owner, ask);
}

enum guestlock_result ask_convert(const struct guest *guest, struct ask *ask)
{
	return call(contract.module->ops->convert, guest->host->backend, &guest->owner, ask);
}

enum guestlock_result ask_inquire(const struct guest *guest, struct ask *ask)
{
	return call(contract.module->ops->inquire, guest->host->backend, &guest->owner, ask);
}

enum guestlock_result ask_nobody(struct host *host, struct ask *ask)
{
	return call(contract.module->ops->inquire, host->backend, NULL, ask);
}

enum guestlock_result take(const struct guest *guest, const struct guestlock_key *key,
			   enum guestlock_mode mode)
{
	struct ask ask;

	ask_for(&ask, key, 1, mode);
	return ask_acquire(guest, &ask);
}

enum guestlock_result take_soon(const struct guest *guest, const struct guestlock_key *key,
				enum guestlock_mode mode)
{
	struct ask ask;

	ask_for(&ask, key, 1, mode);
	return ask_acquire_soon(guest, &ask);
}

enum guestlock_result probe(const struct guest *guest, const struct guestlock_key *key,
			    enum guestlock_mode mode)
{
	struct ask ask;

	ask_for(&ask, key, 1, mode);
	ask.flags = GUESTLOCK_BATCH_PROBE;
	return ask_acquire(guest, &ask);
}

enum guestlock_result drop(const struct guest *guest, const struct guestlock_key *key, unsigned flags)
{
	struct ask ask;

	ask_for(&ask, key, 1, GUESTLOCK_MODE_NONE);
	ask.flags = flags;
	return ask_release(guest, &ask);
}

enum guestlock_result change(const struct guest *guest, const struct guestlock_key *key,
			     enum guestlock_mode mode)
{
	struct ask ask;

	ask_for(&ask, key, 1, mode);
	return ask_convert(guest, &ask);
}

enum guestlock_result look(const struct guest *guest, const struct guestlock_key *key,
			   enum guestlock_mode *mode)
{
	struct ask ask;

	ask_for(&ask, key, 1, GUESTLOCK_MODE_NONE);
	ask_inquire(guest, &ask);
	if (mode) {
		*mode = ask.items[0].held_mode;
	}
	return ask.items[0].result;
}

uint64_t epoch_of(const struct guest *guest, const struct guestlock_key *key)
{
	struct ask ask;

	ask_for(&ask, key, 1, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_inquire(guest, &ask), GUESTLOCK_RES_GRANTED);
	ck_assert(ask.items[0].has_epoch);
	return ask.items[0].epoch;
}

void assert_none(const struct guest *guest, const struct guestlock_key *keys, size_t count)
{
	struct ask ask;
	size_t i;

	ask_for(&ask, keys, count, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_inquire(guest, &ask), GUESTLOCK_RES_GRANTED);
	for (i = 0; i < count; i++) {
		ck_assert_int_ne(ask.items[i].result, GUESTLOCK_RES_HELD);
		ck_assert_int_ne(ask.items[i].result, GUESTLOCK_RES_ORPHAN);
		ck_assert_int_eq(ask.items[i].held_mode, GUESTLOCK_MODE_NONE);
	}
}

void assert_all(const struct guest *guest, const struct guestlock_key *keys, size_t count,
		enum guestlock_mode mode)
{
	struct ask ask;
	size_t i;

	ask_for(&ask, keys, count, GUESTLOCK_MODE_NONE);
	ck_assert_int_eq(ask_inquire(guest, &ask), GUESTLOCK_RES_GRANTED);
	for (i = 0; i < count; i++) {
		ck_assert_int_eq(ask.items[i].result, GUESTLOCK_RES_HELD);
		ck_assert_int_eq(ask.items[i].held_mode, mode);
	}
}

void assert_holder(const struct guestlock_holder *holder, const struct guest *guest)
{
	const struct guestlock_owner *owner = &guest->owner;

	if (holder->uuid[0] != '\0') {
		ck_assert_str_eq(holder->uuid, owner->uuid);
	}
	if (holder->instance != 0) {
		ck_assert_uint_eq(holder->instance, owner->instance);
	}
	if (holder->name[0] != '\0') {
		ck_assert_str_eq(holder->name, owner->name);
	}
	if (holder->host[0] != '\0') {
		ck_assert_str_eq(holder->host, owner->host);
	}
	if (holder->pid != 0) {
		ck_assert_int_eq(holder->pid, owner->pid);
	}
}
