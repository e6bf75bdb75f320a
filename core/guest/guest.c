/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A handle gathers what its caller says until bind; after that it only says which life of which uuid is
 * meant.
 */
#include "guest/guest.h"

#include "base/base.h"
#include "base/error.h"
#include "monitor/monitor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 4095

int guestlock_guest_new(struct guestlock *gl, enum guestlock_new_mode mode,
			struct guestlock_guest **out_guest, struct guestlock_error *err)
{
	struct guestlock_guest *guest;

	if (mode != GUESTLOCK_NEW_START && mode != GUESTLOCK_NEW_ATTACH && mode != GUESTLOCK_NEW_MIGRATE) {
		return gl_fail(err, GUESTLOCK_INVALID, 0, "cannot make a guest handle: there is no mode %d",
			       (int)mode);
	}
	guest = calloc(1, sizeof(*guest));
	if (!guest) {
		return gl_fail_memory(err);
	}
	if (gl_set_string(&guest->name, "") < 0 || gl_set_string(&guest->id, "") < 0) {
		gl_guest_clear(guest);
		return gl_fail_memory(err);
	}
	guest->gl = gl;
	guest->mode = mode;
	guest->creator = getpid();
	guest->watch = -1;
	/* Before any fork: the child that binds, and who began it, mean the same life. */
	guest->life.instance = mode == GUESTLOCK_NEW_ATTACH ? 0 : guestlock_random64();
	*out_guest = guest;
	return GUESTLOCK_OK;
}

static int check_process(const struct guestlock_guest *guest, struct guestlock_error *err)
{
	if (guest->creator != getpid()) {
		return gl_fail(err, GUESTLOCK_FORKED, 0,
			       "this guest handle was made by process %ld, which this process was forked "
			       "from: make a new one here",
			       (long)guest->creator);
	}
	return GUESTLOCK_OK;
}

int guestlock_guest_set_life(struct guestlock_guest *guest, uint64_t instance, pid_t pid,
			     struct guestlock_error *err)
{
	int status = check_process(guest, err);

	if (status < 0) {
		return status;
	}
	if (guest->mode != GUESTLOCK_NEW_ATTACH || pid < 0) {
		return gl_fail(err, GUESTLOCK_INVALID, 0, "cannot say which life of guest %s is meant: %s",
			       guest->uuid,
			       pid < 0 ? "a pid is positive" : "a handle that begins one is for that one");
	}
	guest->life = (struct gl_life){.instance = instance, .pid = pid};
	return GUESTLOCK_OK;
}

int gl_guest_usable(struct guestlock_guest *guest, struct guestlock_error *err)
{
	int status = check_process(guest, err);

	if (status < 0) {
		return status;
	}
	if (guest->uuid[0]) {
		return GUESTLOCK_OK;
	}
	if (guest->mode == GUESTLOCK_NEW_ATTACH && guest->name[0]) {
		return guestlock_find(guest->gl, guest->name, guest->uuid, err);
	}
	return gl_fail(err, GUESTLOCK_INVALID, 0, "the guest has no uuid: set the parameter \"uuid\" first");
}

int gl_guest_begin(struct guestlock_guest *guest, struct gl_operation_run *run, struct guestlock_error *err)
{
	int status = gl_guest_usable(guest, err);

	if (status == GUESTLOCK_OK) {
		status = gl_run_begin(run, guest->gl, guest->uuid, &guest->life, gl_deadline(guest->gl), err);
	}
	if (status == GUESTLOCK_OK && (run->record || run->was_dead)) {
		guest->life.instance = run->owner.instance;
	}
	return status;
}

int gl_guest_load(struct guestlock_guest *guest, struct gl_record **out_record, struct guestlock_error *err)
{
	struct gl_record *record = NULL;
	int status = gl_guest_usable(guest, err);

	if (status == GUESTLOCK_OK) {
		status = gl_store_load(&guest->gl->store, guest->uuid, &record, err);
	}
	if (status < 0 || !record) {
		return status;
	}
	if (!gl_life_is(guest->gl, &guest->life, record)) {
		status = gl_life_replaced(record, err);
		gl_record_free(record);
		return status;
	}
	guest->life.instance = record->instance;
	*out_record = record;
	return GUESTLOCK_OK;
}

static int set_other_param(struct guestlock_guest *guest, const char *key, const char *value,
			   struct guestlock_error *err)
{
	struct gl_param *params;

	for (size_t i = 0; i < guest->n_params; i++) {
		if (strcmp(guest->params[i].key, key) == 0) {
			return gl_set_string(&guest->params[i].value, value) < 0 ? gl_fail_memory(err)
										 : GUESTLOCK_OK;
		}
	}
	params = reallocarray(guest->params, guest->n_params + 1, sizeof(*params));
	if (!params) {
		return gl_fail_memory(err);
	}
	guest->params = params;
	params[guest->n_params] = (struct gl_param){0};
	if (gl_set_string(&params[guest->n_params].key, key) < 0 ||
	    gl_set_string(&params[guest->n_params].value, value) < 0) {
		free(params[guest->n_params].key);
		return gl_fail_memory(err);
	}
	guest->n_params++;
	return GUESTLOCK_OK;
}

static int set_uuid(struct guestlock_guest *guest, const char *value, struct guestlock_error *err)
{
	char uuid[GUESTLOCK_UUID_STRING];

	if (!gl_uuid_parse(value, uuid)) {
		GL_AUTOFREE char *shown = gl_printable(value);

		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "\"%.80s\" is not a uuid: write it as 8-4-4-4-12 hexadecimal digits",
			       shown ? shown : "?");
	}
	memcpy(guest->uuid, uuid, sizeof(guest->uuid));
	return GUESTLOCK_OK;
}

int guestlock_guest_set_param(struct guestlock_guest *guest, const char *key, const char *value,
			      struct guestlock_error *err)
{
	int status = check_process(guest, err);

	if (status < 0) {
		return status;
	}
	if (guest->bound) {
		gl_fail(err, GUESTLOCK_REJECTED, 0,
			"cannot set parameter \"%.80s\": guest %s is bound already; parameters are set "
			"before that",
			key, guest->uuid);
		gl_error_about(err, guest->uuid, NULL);
		return GUESTLOCK_REJECTED;
	}
	if (!key[0] || strlen(key) > NAME_MAX_BYTES || strlen(value) > NAME_MAX_BYTES) {
		return gl_fail(err, GUESTLOCK_INVALID, 0,
			       "cannot set parameter \"%.80s\": a key has 1 to %d bytes and a value at most "
			       "%d; this one has %zu",
			       key, NAME_MAX_BYTES, NAME_MAX_BYTES, strlen(value));
	}
	if (strcmp(key, GUESTLOCK_PARAM_QMP) == 0 && !gl_monitor_path_valid(value)) {
		GL_AUTOFREE char *shown = gl_printable(value);

		return gl_fail(
			err, GUESTLOCK_INVALID, 0,
			"\"%.120s\" is not the path of a monitor's socket: it has to be absolute, and of "
			"107 bytes at most",
			shown ? shown : "?");
	}
	if (strcmp(key, "uuid") == 0) {
		return set_uuid(guest, value, err);
	}
	if (strcmp(key, "name") == 0 || strcmp(key, "id") == 0) {
		char **slot = key[0] == 'n' ? &guest->name : &guest->id;

		return gl_set_string(slot, value) < 0 ? gl_fail_memory(err) : GUESTLOCK_OK;
	}
	return set_other_param(guest, key, value, err);
}

static void named_clear(struct gl_named *named)
{
	free(named->name);
	free(named->lockspace);
	free(named->path);
}

int guestlock_guest_register_resource(struct guestlock_guest *guest,
				      const struct guestlock_resource *resource, struct guestlock_error *err)
{
	struct gl_named *named, added = {0};
	int status = check_process(guest, err);

	if (status == GUESTLOCK_OK) {
		status = gl_check_resource(resource, err);
	}
	if (status < 0) {
		return status;
	}
	if (guest->bound) {
		gl_fail(err, GUESTLOCK_REJECTED, 0,
			"cannot register \"%.200s\": guest %s is bound already; use "
			"guestlock_guest_acquire_resource()",
			resource->name, guest->uuid);
		gl_error_about(err, guest->uuid, resource->name);
		return GUESTLOCK_REJECTED;
	}
	named = gl_grow(guest->resources, guest->n_resources, sizeof(*named));
	if (!named) {
		return gl_fail_memory(err);
	}
	guest->resources = named;
	added.type = resource->type;
	added.flags = resource->flags;
	added.offset = resource->offset;
	if (gl_set_string(&added.name, resource->name) < 0 ||
	    gl_set_string(&added.lockspace, resource->lockspace) < 0 ||
	    gl_set_string(&added.path, resource->path) < 0) {
		named_clear(&added);
		return gl_fail_memory(err);
	}
	named[guest->n_resources++] = added;
	return GUESTLOCK_OK;
}

void guestlock_guest_detach(struct guestlock_guest *guest)
{
	guest->detached = true;
}

void guestlock_guest_set_session(struct guestlock_guest *guest)
{
	guest->session = true;
}

void guestlock_guest_unwatch(struct guestlock_guest *guest)
{
	if (guest->watch >= 0) {
		close(guest->watch);
		guest->watch = -1;
	}
}

void gl_guest_clear(struct guestlock_guest *guest)
{
	for (size_t i = 0; i < guest->n_params; i++) {
		free(guest->params[i].key);
		free(guest->params[i].value);
	}
	for (size_t i = 0; i < guest->n_resources; i++) {
		named_clear(&guest->resources[i]);
	}
	free(guest->params);
	free(guest->resources);
	free(guest->name);
	free(guest->id);
	gl_record_free(guest->as_started);
	guestlock_guest_unwatch(guest);
	free(guest);
}
