/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known: guests from their records, holders from the backend. */
#include "base/base.h"
#include "base/error.h"
#include "guest/guest.h"

#include <string.h>

void guestlock_info_free(struct guestlock_info *info)
{
	if (!info) {
		return;
	}
	for (size_t i = 0; i < info->n_resources; i++) {
		free(info->resources[i].name);
		free(info->resources[i].lockspace);
		free(info->resources[i].path);
		free(info->resources[i].identity);
	}
	for (size_t i = 0; i < info->n_params; i++) {
		free(info->params[i].key);
		free(info->params[i].value);
	}
	free(info->resources);
	free(info->params);
	free(info->name);
	free(info->id);
	free(info->technology);
	free(info->damage);
	free(info);
}

static const struct gl_holding *any_holding(const struct gl_resource *resource)
{
	for (size_t k = 0; k < GL_HOLDINGS; k++) {
		if (resource->holdings[k].technology[0]) {
			return &resource->holdings[k];
		}
	}
	return NULL;
}

static enum guestlock_mode mode_now(const struct gl_holding *holding)
{
	switch (holding->state) {
	case GUESTLOCK_RESOURCE_HELD:
		return holding->mode;
	case GUESTLOCK_RESOURCE_HANDOVER:
		return GUESTLOCK_MODE_HANDOVER;
	default:
		return GUESTLOCK_MODE_NONE;
	}
}

static int copy_resource(struct guestlock_resource_info *out, const struct gl_resource *from)
{
	const struct gl_holding *holding = any_holding(from);

	out->type = from->type;
	out->flags = from->flags;
	out->offset = from->offset;
	memcpy(out->key, from->key, sizeof(out->key));
	if (holding) {
		out->state = holding->state;
		out->mode = mode_now(holding);
		out->has_epoch = holding->has_epoch;
		out->epoch = holding->epoch;
	}
	return gl_set_string(&out->name, from->name) < 0 ||
			       gl_set_string(&out->lockspace, from->lockspace) < 0 ||
			       gl_set_string(&out->path, from->path) < 0 ||
			       gl_set_string(&out->identity, from->identity) < 0
		       ? -1
		       : 0;
}

static int copy_param(struct guestlock_param *out, const struct gl_param *from)
{
	return gl_set_string(&out->key, from->key) < 0 || gl_set_string(&out->value, from->value) < 0 ? -1
												      : 0;
}

static int copy_record(struct guestlock *gl, const struct gl_record *record, struct guestlock_info *info)
{
	const struct gl_holding *holding = record->n_resources ? any_holding(&record->resources[0]) : NULL;

	info->resources = calloc(record->n_resources + 1, sizeof(*info->resources));
	info->params = calloc(record->n_params + 1, sizeof(*info->params));
	if (!info->resources || !info->params ||
	    gl_set_string(&info->technology, holding ? holding->technology : gl_technology(gl)) < 0 ||
	    gl_set_string(&info->name, record->name) < 0 || gl_set_string(&info->id, record->id) < 0) {
		return -1;
	}
	info->instance = record->instance;
	info->pid = record->process.pid;
	info->pid_ns = gl_other_namespace(gl, record->process.ns);
	info->state = record->state;
	info->pending = gl_operation_name(record->op);
	info->stopped = record->stopped;
	info->since = record->since;
	for (size_t i = 0; i < record->n_resources; i++) {
		/* A side is told by the flags of its disk. */
		if (!gl_is_side(&record->resources[i]) &&
		    copy_resource(&info->resources[info->n_resources++], &record->resources[i]) < 0) {
			return -1;
		}
	}
	for (size_t i = 0; i < record->n_params; i++) {
		if (copy_param(&info->params[info->n_params++], &record->params[i]) < 0) {
			return -1;
		}
	}
	return 0;
}

static int fill_damaged(struct guestlock_info *info, const char *why)
{
	info->pending = "";
	return gl_set_string(&info->damage, why) < 0 || gl_set_string(&info->name, "") < 0 ||
			       gl_set_string(&info->id, "") < 0 || gl_set_string(&info->technology, "") < 0
		       ? -1
		       : 0;
}

/* Of a record, which is freed. */
static int info_of(struct guestlock *gl, struct gl_record *record, struct guestlock_info **out_info,
		   struct guestlock_error *err)
{
	struct guestlock_info *info = calloc(1, sizeof(*info));
	int failed = -1;

	if (info) {
		gl_copy_cut(info->uuid, sizeof(info->uuid), record->uuid);
		info->life = gl_record_life(gl, record);
		failed = copy_record(gl, record, info);
	}
	gl_record_free(record);
	if (failed < 0) {
		guestlock_info_free(info);
		return gl_fail_memory(err);
	}
	*out_info = info;
	return GUESTLOCK_OK;
}

static int damaged_info(const char *uuid, const char *damage, struct guestlock_info **out_info,
			struct guestlock_error *err)
{
	struct guestlock_info *info = calloc(1, sizeof(*info));

	if (!info || fill_damaged(info, damage) < 0) {
		guestlock_info_free(info);
		return gl_fail_memory(err);
	}
	gl_copy_cut(info->uuid, sizeof(info->uuid), uuid);
	*out_info = info;
	return GUESTLOCK_OK;
}

/* A record that cannot be read is an info with damage set if damage_counts, else an error. */
static int make_info(struct guestlock *gl, const char *uuid, bool damage_counts,
		     struct guestlock_info **out_info, struct guestlock_error *err)
{
	struct guestlock_error cause = {0};
	struct gl_record *record = NULL;
	int status = gl_store_load(&gl->store, uuid, &record, &cause);

	if (status == GUESTLOCK_OK) {
		return info_of(gl, record, out_info, err);
	}
	if (damage_counts && gl_is_unreadable(status)) {
		return damaged_info(uuid, cause.message, out_info, err);
	}
	gl_error_pass(err, &cause);
	return status;
}

int guestlock_get_info(struct guestlock *gl, const char *uuid, struct guestlock_info **out_info,
		       struct guestlock_error *err)
{
	char canonical[GUESTLOCK_UUID_STRING];

	if (!gl_uuid_parse(uuid, canonical)) {
		return gl_fail(err, GUESTLOCK_INVALID, 0, "\"%.80s\" is not a uuid", uuid);
	}
	return make_info(gl, canonical, false, out_info, err);
}

pid_t guestlock_living_pid(struct guestlock *gl, const char *uuid, uint64_t instance, bool search)
{
	struct gl_record *record = NULL;
	pid_t pid = -1;

	if (gl_store_load(&gl->store, uuid, &record, NULL) == GUESTLOCK_OK &&
	    (!instance || instance == record->instance)) {
		pid = gl_record_living(gl, record, search);
	}
	gl_record_free(record);
	return pid;
}

int guestlock_guest_info(struct guestlock_guest *guest, struct guestlock_info **out_info,
			 struct guestlock_error *err)
{
	struct gl_record *record;
	int status = gl_guest_load(guest, &record, err);

	return status < 0 ? status : info_of(guest->gl, record, out_info, err);
}

static int by_name_and_uuid(const void *a, const void *b)
{
	const struct guestlock_info *const *left = a, *const *right = b;
	int order = strcmp((*left)->name, (*right)->name);

	return order ? order : strcmp((*left)->uuid, (*right)->uuid);
}

void guestlock_list_free(struct guestlock_info **infos, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		guestlock_info_free(infos[i]);
	}
	free(infos);
}

int guestlock_list(struct guestlock *gl, struct guestlock_info ***out_infos, size_t *out_count,
		   struct guestlock_error *err)
{
	char(*uuids)[GUESTLOCK_UUID_STRING] = NULL;
	struct guestlock_info **infos;
	size_t n_uuids, count = 0;
	int status = gl_store_uuids(&gl->store, &uuids, &n_uuids, err);

	if (status < 0) {
		return status;
	}
	infos = calloc(n_uuids + 1, sizeof(struct guestlock_info *));
	if (!infos) {
		status = gl_fail_memory(err);
	}
	for (size_t i = 0; i < n_uuids && status == GUESTLOCK_OK; i++) {
		status = make_info(gl, uuids[i], true, &infos[count], err);
		if (status == GUESTLOCK_OK) {
			count++;
		} else if (status == GUESTLOCK_NOT_FOUND) {
			/* It ended while we were reading. */
			status = GUESTLOCK_OK;
		}
	}
	free(uuids);
	if (status < 0) {
		if (infos) {
			guestlock_list_free(infos, count);
		}
		return status;
	}
	qsort(infos, count, sizeof(struct guestlock_info *), by_name_and_uuid);
	*out_infos = infos;
	*out_count = count;
	return GUESTLOCK_OK;
}
