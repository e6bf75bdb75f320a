/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records in memory. Strings of one that was read lie in its text, those that were set since are
 * allocated: whoever frees or replaces one has to tell them apart.
 */
#include "record/record.h"
#include "base/base.h"
#include "record/fields.h"

#include <string.h>

struct gl_record *gl_record_new(const char *uuid)
{
	struct gl_record *record = calloc(1, sizeof(*record));

	if (!record) {
		return NULL;
	}
	gl_copy_cut(record->uuid, sizeof(record->uuid), uuid);
	if (gl_set_string(&record->name, "") || gl_set_string(&record->id, "")) {
		gl_record_free(record);
		return NULL;
	}
	return record;
}

static bool is_inside(const struct gl_record *record, const char *string)
{
	return (uintptr_t)string - (uintptr_t)record->text < record->text_size;
}

static void free_string(const struct gl_record *record, char *string)
{
	if (!is_inside(record, string)) {
		free(string);
	}
}

void gl_record_free(struct gl_record *record)
{
	if (!record) {
		return;
	}
	for (size_t i = 0; i < record->n_params; i++) {
		free_string(record, record->params[i].key);
		free_string(record, record->params[i].value);
	}
	for (size_t i = 0; i < record->n_resources; i++) {
		gl_resource_clear(&record->resources[i]);
	}
	free(record->params);
	free(record->resources);
	free_string(record, record->name);
	free_string(record, record->id);
	free_string(record, record->frozen);
	free_string(record, record->stood);
	free(record);
}

struct gl_param *gl_record_add_param(struct gl_record *record)
{
	struct gl_param *grown = gl_grow(record->params, record->n_params, sizeof(*grown));
	struct gl_param *added;

	if (!grown) {
		return NULL;
	}
	record->params = grown;
	added = &grown[record->n_params++];
	memset(added, 0, sizeof(*added));
	return added;
}

static int append_param(struct gl_record *record, const char *key, const char *value)
{
	struct gl_param *added = gl_record_add_param(record);

	if (!added) {
		return -1;
	}
	if (gl_set_string(&added->key, key) || gl_set_string(&added->value, value)) {
		free(added->key);
		record->n_params--;
		return -1;
	}
	return 0;
}

void gl_record_take_string(struct gl_record *record, char **member, char *string)
{
	free_string(record, *member);
	*member = string;
}

int gl_record_set_param(struct gl_record *record, const char *key, const char *value)
{
	for (size_t i = 0; i < record->n_params; i++) {
		char **slot = &record->params[i].value;

		if (strcmp(record->params[i].key, key) == 0) {
			*slot = is_inside(record, *slot) ? NULL : *slot;
			return gl_set_string(slot, value);
		}
	}
	return append_param(record, key, value);
}

int gl_record_reserve(struct gl_record *record, size_t room)
{
	struct gl_resource *grown = reallocarray(record->resources, room, sizeof(*grown));

	if (!grown) {
		return -1;
	}
	record->resources = grown;
	record->room = room;
	return 0;
}

struct gl_resource *gl_record_add_resource(struct gl_record *record)
{
	struct gl_resource *added;

	if (record->n_resources == record->room && gl_record_reserve(record, 2 * record->room + 1) < 0) {
		return NULL;
	}
	added = &record->resources[record->n_resources++];
	memset(added, 0, sizeof(*added));
	return added;
}

void gl_record_remove_resource(struct gl_record *record, size_t index)
{
	struct gl_resource *removed = &record->resources[index];

	gl_resource_clear(removed);
	record->n_resources--;
	memmove(removed, removed + 1, (record->n_resources - index) * sizeof(*removed));
}

struct gl_resource *gl_record_find_key(struct gl_record *record, const char *key)
{
	for (size_t i = 0; i < record->n_resources; i++) {
		if (strcmp(record->resources[i].key, key) == 0) {
			return &record->resources[i];
		}
	}
	return NULL;
}

void gl_resource_clear(struct gl_resource *resource)
{
	if (!resource->inside) {
		free(resource->name);
		free(resource->lockspace);
		free(resource->path);
		free(resource->identity);
	}
	memset(resource, 0, sizeof(*resource));
}

struct gl_holding *gl_resource_holding(struct gl_resource *resource, const char *technology, bool add)
{
	struct gl_holding *vacant = NULL;

	for (size_t i = GL_HOLDINGS; i-- > 0;) {
		struct gl_holding *holding = &resource->holdings[i];

		if (holding->technology[0] == '\0') {
			vacant = holding;
		} else if (strcmp(holding->technology, technology) == 0) {
			return holding;
		}
	}
	if (!add || !vacant) {
		return NULL;
	}
	memset(vacant, 0, sizeof(*vacant));
	gl_copy_cut(vacant->technology, sizeof(vacant->technology), technology);
	return vacant;
}
