/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The locks we have: by resource and xid, and by the token that names them in requests. */
#include "kernel/table.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
	const struct gl_dlm_resource *left = a, *right = b;

	return strcmp(left->name, right->name);
}

static int by_token(const void *a, const void *b)
{
	const struct gl_dlm_lock *left = a, *right = b;

	return (left->token > right->token) - (left->token < right->token);
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
	/* Far from those of a predecessor, whose answers may still come. */
	*table = (struct gl_dlm_table){.next_token = guestlock_random64()};
}

static void free_resource(void *node)
{
	struct gl_dlm_resource *resource = node;

	while (resource->locks) {
		struct gl_dlm_lock *lock = resource->locks;

		resource->locks = lock->next;
		free(lock);
	}
	free(resource);
}

static void free_nothing(void *node)
{
	(void)node;
}

void gl_dlm_table_clear(struct gl_dlm_table *table)
{
	tdestroy(table->shares, free);
	tdestroy(table->tokens, free_nothing);
	tdestroy(table->resources, free_resource);
	*table = (struct gl_dlm_table){.next_token = table->next_token};
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

static bool index_lock(struct gl_dlm_table *table, struct gl_dlm_lock *lock)
{
	if (!tsearch(lock, &table->tokens, by_token)) {
		return false;
	}
	if (!add_share(table, lock->xid)) {
		tdelete(lock, &table->tokens, by_token);
		return false;
	}
	return true;
}

struct gl_dlm_lock *gl_dlm_table_add(struct gl_dlm_table *table, const char *name, uint64_t xid)
{
	struct gl_dlm_resource *resource = add_resource(table, name);
	struct gl_dlm_lock *lock = calloc(1, sizeof(*lock));

	if (resource && lock) {
		*lock = (struct gl_dlm_lock){
			.resource = resource,
			.xid = xid,
			.token = table->next_token ? table->next_token : 1,
			.mode = GL_DLM_NO_MODE,
			.wanted = GL_DLM_NO_MODE,
		};
		if (index_lock(table, lock)) {
			table->next_token = lock->token + 1;
			lock->next = resource->locks;
			resource->locks = lock;
			table->count++;
			return lock;
		}
	}
	free(lock);
	if (resource) {
		drop_resource(table, resource);
	}
	return NULL;
}

void gl_dlm_table_remove(struct gl_dlm_table *table, struct gl_dlm_lock *lock)
{
	struct gl_dlm_resource *resource = lock->resource;
	struct gl_dlm_lock **link = &resource->locks;

	while (*link != lock) {
		link = &(*link)->next;
	}
	*link = lock->next;
	tdelete(lock, &table->tokens, by_token);
	drop_share(table, lock->xid);
	table->count--;
	free(lock);
	drop_resource(table, resource);
}

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

struct gl_dlm_lock *gl_dlm_table_token(const struct gl_dlm_table *table, uint64_t token)
{
	const struct gl_dlm_lock wanted = {.token = token};
	struct gl_dlm_lock *const *node = tfind(&wanted, &table->tokens, by_token);

	return node ? *node : NULL;
}

struct each {
	gl_dlm_visit_fn *visit;
	void *data;
	int result;
};

static void visit_node(const void *node, VISIT which, void *data)
{
	struct gl_dlm_lock *const *lock = node;
	struct each *each = data;

	if ((which == postorder || which == leaf) && each->result == 0) {
		each->result = each->visit(each->data, *lock);
	}
}

void gl_dlm_table_each(const struct gl_dlm_table *table, gl_dlm_visit_fn *visit, void *data)
{
	struct each each = {.visit = visit, .data = data};

	twalk_r(table->tokens, visit_node, &each);
}
