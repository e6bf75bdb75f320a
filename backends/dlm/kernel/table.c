/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The locks we have, which are in the ledger: by resource and xid, and by the token of what is asked of them. */
#include "kernel/table.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

struct gl_dlm_resource {
	char name[DLM_RESNAME_MAXLEN + 1];
	struct gl_dlm_lock *locks;
};

static int by_name(const void *a, const void *b)
{
	const struct gl_dlm_resource *left = a, *right = b;

	return strcmp(left->name, right->name);
}

/* How many locks somebody has. */
struct share {
	uint64_t xid;
	size_t count;
};

static int by_xid(const void *a, const void *b)
{
	const struct share *left = a, *right = b;

	return (left->xid > right->xid) - (left->xid < right->xid);
}

/* false: no memory. */
static bool add_share(struct gl_dlm_table *table, uint64_t xid)
{
	const struct share wanted = {.xid = xid};
	struct share *const *found = tfind(&wanted, &table->shares, by_xid);
	struct share *share = found ? *found : calloc(1, sizeof(*share));

	if (share && !found) {
		share->xid = xid;
		if (!tsearch(share, &table->shares, by_xid)) {
			free(share);
			return false;
		}
	}
	if (share) {
		share->count++;
	}
	return share != NULL;
}

static void drop_share(struct gl_dlm_table *table, uint64_t xid)
{
	const struct share wanted = {.xid = xid};
	struct share *const *found = tfind(&wanted, &table->shares, by_xid);
	struct share *share = found ? *found : NULL;

	if (share && --share->count == 0) {
		tdelete(share, &table->shares, by_xid);
		free(share);
	}
}

bool gl_dlm_table_has(const struct gl_dlm_table *table, uint64_t xid)
{
	const struct share wanted = {.xid = xid};

	return tfind(&wanted, &table->shares, by_xid) != NULL;
}

void gl_dlm_table_init(struct gl_dlm_table *table)
{
	*table = (struct gl_dlm_table){.fd = -1};
}

static struct gl_dlm_resource *find_resource(const struct gl_dlm_table *table, const char *name)
{
	struct gl_dlm_resource wanted = {.name = ""};
	struct gl_dlm_resource *const *node;

	if (strlen(name) > DLM_RESNAME_MAXLEN) {
		return NULL;
	}
	memcpy(wanted.name, name, strlen(name) + 1);
	node = tfind(&wanted, &table->resources, by_name);
	return node ? *node : NULL;
}

static struct gl_dlm_resource *add_resource(struct gl_dlm_table *table, const char *name)
{
	struct gl_dlm_resource *resource = find_resource(table, name);

	if (resource || strlen(name) > DLM_RESNAME_MAXLEN) {
		return resource;
	}
	resource = calloc(1, sizeof(*resource));
	if (!resource) {
		return NULL;
	}
	memcpy(resource->name, name, strlen(name) + 1);
	if (!tsearch(resource, &table->resources, by_name)) {
		free(resource);
		return NULL;
	}
	return resource;
}

static void drop_resource(struct gl_dlm_table *table, struct gl_dlm_resource *resource)
{
	if (!resource->locks) {
		tdelete(resource, &table->resources, by_name);
		free(resource);
	}
}

/* ---- Locks ---- */

/* Under its name and xid. false: no memory. */
static bool enter(struct gl_dlm_table *table, struct gl_dlm_lock *lock)
{
	struct gl_dlm_resource *resource = add_resource(table, lock->name);

	if (!resource) {
		return false;
	}
	if (!add_share(table, lock->xid)) {
		drop_resource(table, resource);
		return false;
	}
	lock->resource = resource;
	lock->next = resource->locks;
	resource->locks = lock;
	table->count++;
	return true;
}

static void leave(struct gl_dlm_table *table, struct gl_dlm_lock *lock)
{
	struct gl_dlm_lock **link = &lock->resource->locks;

	while (*link != lock) {
		link = &(*link)->next;
	}
	*link = lock->next;
	drop_share(table, lock->xid);
	drop_resource(table, lock->resource);
	table->count--;
}

static void free_slot(struct gl_dlm_table *table, struct gl_dlm_lock *slot)
{
	__atomic_store_n(&slot->made, 0, __ATOMIC_RELEASE);
	slot->next = table->free;
	table->free = slot;
}

struct gl_dlm_lock *gl_dlm_table_add(struct gl_dlm_table *table, const char *name, uint64_t xid)
{
	struct gl_dlm_lock *lock = strlen(name) > DLM_RESNAME_MAXLEN ? NULL : gl_dlm_ledger_slot(table);

	if (!lock) {
		return NULL;
	}
	/* The number of requests goes on, whatever the slot was before. */
	*lock = (struct gl_dlm_lock){
		.flight = lock->flight & ~(uint64_t)GL_DLM_FLIGHT,
		.xid = xid,
		.mode = GL_DLM_NO_MODE,
		.wanted = GL_DLM_NO_MODE,
		.bound = true,
	};
	memcpy(lock->name, name, strlen(name) + 1);
	if (!enter(table, lock)) {
		free_slot(table, lock);
		return NULL;
	}
	__atomic_store_n(&lock->made, ++table->ledger->made, __ATOMIC_RELEASE);
	return lock;
}

void gl_dlm_table_remove(struct gl_dlm_table *table, struct gl_dlm_lock *lock)
{
	leave(table, lock);
	free_slot(table, lock);
}

bool gl_dlm_table_disown(struct gl_dlm_table *table, struct gl_dlm_lock *lock, uint64_t xid)
{
	if (!add_share(table, xid)) {
		return false;
	}
	drop_share(table, lock->xid);
	lock->passing = true;
	lock->xid = xid;
	return true;
}

/* ---- All of them ---- */

/* What is in the ledger stays. */
static void forget(struct gl_dlm_table *table)
{
	tdestroy(table->shares, free);
	tdestroy(table->resources, free);
	table->shares = table->resources = NULL;
	table->count = 0;
}

int gl_dlm_table_load(struct gl_dlm_table *table, bool bound)
{
	size_t count;
	struct gl_dlm_lock *slots = gl_dlm_ledger_slots(table, &count);

	for (size_t i = 0; i < count; i++) {
		struct gl_dlm_lock *lock = &slots[i];

		lock->request = NULL;
		lock->used = false;
		lock->bound = bound;
		if (lock->made == 0) {
			continue;
		}
		lock->name[sizeof(lock->name) - 1] = '\0';
		if (lock->mode == GL_DLM_NO_MODE && !gl_dlm_in_flight(lock)) {
			/* Whoever made it was killed before it was asked for. */
			free_slot(table, lock);
		} else if (!enter(table, lock)) {
			forget(table);
			return -1;
		}
	}
	return 0;
}

void gl_dlm_table_close(struct gl_dlm_table *table)
{
	forget(table);
	gl_dlm_ledger_close(table);
	gl_dlm_table_init(table);
}

static int clear_one(void *data, struct gl_dlm_lock *lock)
{
	free_slot(data, lock);
	return 0;
}

void gl_dlm_table_clear(struct gl_dlm_table *table)
{
	gl_dlm_table_each(table, clear_one, table);
	forget(table);
	memset(table->ledger->answer, 0, sizeof(table->ledger->answer));
	table->ledger->references = 0;
	table->ledger->created = false;
}

void gl_dlm_table_each(const struct gl_dlm_table *table, gl_dlm_visit_fn *visit, void *data)
{
	size_t count;
	struct gl_dlm_lock *slots = gl_dlm_ledger_slots(table, &count);
	int result = 0;

	for (size_t i = 0; i < count && result == 0; i++) {
		if (slots[i].made != 0) {
			result = visit(data, &slots[i]);
		}
	}
}

/* ---- By name, and by token ---- */

struct gl_dlm_lock *gl_dlm_table_locks(const struct gl_dlm_table *table, const char *name)
{
	const struct gl_dlm_resource *resource = find_resource(table, name);

	return resource ? resource->locks : NULL;
}

struct gl_dlm_lock *gl_dlm_table_find(const struct gl_dlm_table *table, const char *name, uint64_t xid)
{
	struct gl_dlm_lock *lock = gl_dlm_table_locks(table, name);

	while (lock && lock->xid != xid) {
		lock = lock->next;
	}
	return lock;
}

static uint64_t token_of(size_t slot, uint64_t flight)
{
	return (uint64_t)(slot + 1) << 32 | (uint32_t)(flight / GL_DLM_ONE_REQUEST);
}

uint64_t gl_dlm_table_token(const struct gl_dlm_table *table, const struct gl_dlm_lock *lock)
{
	size_t count;

	return token_of((size_t)(lock - gl_dlm_ledger_slots(table, &count)),
			__atomic_load_n(&lock->flight, __ATOMIC_RELAXED));
}

struct gl_dlm_lock *gl_dlm_table_asked(const struct gl_dlm_table *table, uint64_t token)
{
	size_t count, slot = (size_t)(token >> 32);
	struct gl_dlm_lock *slots = gl_dlm_ledger_slots(table, &count), *lock = slots + slot - 1;

	return slot > 0 && slot <= count && lock->made != 0 && gl_dlm_in_flight(lock) &&
			       gl_dlm_table_token(table, lock) == token
		       ? lock
		       : NULL;
}

/* ---- Copies ---- */

static size_t copy_all(const struct gl_dlm_table *table, struct gl_dlm_lock *out)
{
	size_t n_slots, count = 0;
	const struct gl_dlm_lock *slots = gl_dlm_ledger_slots(table, &n_slots);

	for (size_t i = 0; i < n_slots; i++) {
		if (slots[i].made != 0) {
			out[count++] = slots[i];
		}
	}
	return count;
}

struct gl_dlm_lock *gl_dlm_table_copy(const struct gl_dlm_table *table, const char *name, size_t *out_count)
{
	struct gl_dlm_lock *copies = calloc(table->count + 1, sizeof(*copies));
	const struct gl_dlm_lock *lock = name ? gl_dlm_table_locks(table, name) : NULL;

	*out_count = 0;
	if (!copies) {
		return NULL;
	}
	if (!name) {
		*out_count = copy_all(table, copies);
	}
	for (; lock; lock = lock->next) {
		copies[(*out_count)++] = *lock;
	}
	return copies;
}
