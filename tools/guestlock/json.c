/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON output. Numbers that may exceed 2^53 are written as strings. */
#include "cli.h"

#include <string.h>

struct json_object *cli_json_object(void)
{
	return cli_need(json_object_new_object());
}

struct json_object *cli_json_array(void)
{
	return cli_need(json_object_new_array());
}

void cli_json_add(struct json_object *object, const char *key, struct json_object *value)
{
	if (json_object_object_add(object, key, value) != 0) {
		cli_out_of_memory();
	}
}

void cli_json_append(struct json_object *array, struct json_object *value)
{
	if (json_object_array_add(array, value) != 0) {
		cli_out_of_memory();
	}
}

void cli_json_text(struct json_object *object, const char *key, const char *text)
{
	CLI_AUTOFREE char *valid = text ? cli_valid(text) : NULL;

	cli_json_add(object, key, text ? cli_need(json_object_new_string(valid)) : NULL);
}

void cli_json_number(struct json_object *object, const char *key, int64_t value)
{
	cli_json_add(object, key, cli_need(json_object_new_int64(value)));
}

void cli_json_bool(struct json_object *object, const char *key, bool value)
{
	cli_json_add(object, key, cli_need(json_object_new_boolean(value)));
}

void cli_json_hex(struct json_object *object, const char *key, uint64_t value)
{
	CLI_AUTOFREE char *text = cli_hex(value);

	cli_json_text(object, key, text);
}

void cli_json_print(struct json_object *object)
{
	const char *text = json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);

	if (!text) {
		cli_out_of_memory();
	}
	puts(text);
	json_object_put(object);
}

static void add_pid(struct json_object *object, const char *key, int64_t value)
{
	if (value > 0) {
		cli_json_number(object, key, value);
	} else {
		cli_json_add(object, key, NULL);
	}
}

void cli_json_pid(struct json_object *object, const struct cli_pid *pid)
{
	cli_json_number(object, "pid", pid->pid);
	add_pid(object, "pid_namespace", (int64_t)pid->ns);
	add_pid(object, "living_pid", pid->living);
}

void cli_json_use(struct json_object *object, const struct guestlock_holder *holder)
{
	cli_json_text(object, "mode", guestlock_mode_name(holder->mode));
	cli_json_add(object, "readonly",
		     holder->flags ? cli_need(json_object_new_boolean(holder->flags & GUESTLOCK_READONLY))
				   : NULL);
}

const char *cli_resource_type(const struct guestlock_resource_info *resource)
{
	static const char guest[] = "guest:";

	if (resource->type == GUESTLOCK_DISK) {
		return "disk";
	}
	return strncmp(resource->identity, guest, sizeof(guest) - 1) == 0 ? "guest" : "lease";
}

static struct json_object *json_resource(const struct guestlock_resource_info *resource)
{
	struct json_object *object = cli_json_object();

	const char *type = cli_resource_type(resource);

	cli_json_text(object, "type", type);
	cli_json_text(object, "name", resource->name);
	if (strcmp(type, "lease") == 0) {
		cli_json_text(object, "lockspace", resource->lockspace);
		cli_json_text(object, "path", resource->path);
		cli_json_add(object, "offset", cli_need(json_object_new_uint64(resource->offset)));
	}
	cli_json_bool(object, "readonly", resource->flags & GUESTLOCK_READONLY);
	cli_json_bool(object, "shared", resource->flags & GUESTLOCK_SHARED);
	cli_json_text(object, "mode", guestlock_mode_name(resource->mode));
	cli_json_text(object, "state", guestlock_resource_state_name(resource->state));
	if (resource->has_epoch) {
		cli_json_hex(object, "epoch", resource->epoch);
	} else {
		cli_json_add(object, "epoch", NULL);
	}
	cli_json_text(object, "identity", resource->identity);
	cli_json_text(object, "key", resource->key);
	return object;
}

struct json_object *cli_json_guest(const struct guestlock_info *info, const struct cli_pid *pid)
{
	struct json_object *object = cli_json_object(), *resources, *params;

	cli_json_text(object, "uuid", info->uuid);
	cli_json_text(object, "damage", info->damage);
	if (info->damage) {
		return object;
	}
	resources = cli_json_array();
	params = cli_json_object();
	for (size_t i = 0; i < info->n_resources; i++) {
		cli_json_append(resources, json_resource(&info->resources[i]));
	}
	for (size_t i = 0; i < info->n_params; i++) {
		CLI_AUTOFREE char *key = cli_valid(info->params[i].key);

		cli_json_text(params, key, info->params[i].value);
	}
	cli_json_text(object, "name", info->name);
	cli_json_text(object, "id", info->id);
	cli_json_hex(object, "instance", info->instance);
	cli_json_pid(object, pid);
	cli_json_text(object, "state", guestlock_guest_state_name(info->state));
	cli_json_text(object, "pending", info->pending);
	cli_json_text(object, "life", guestlock_life_name(info->life));
	cli_json_text(object, "technology", info->technology);
	cli_json_number(object, "since", info->since);
	cli_json_add(object, "params", params);
	cli_json_add(object, "resources", resources);
	return object;
}

struct json_object *cli_json_holders(struct cli *cli, const struct guestlock_holder *holders, size_t count)
{
	struct json_object *array = cli_json_array();

	for (size_t i = 0; i < count; i++) {
		struct json_object *object = cli_json_object();
		const struct cli_pid pid = cli_look_pid(cli, holders[i].uuid, holders[i].instance,
							holders[i].pid, holders[i].pid_ns);

		cli_json_text(object, "uuid", holders[i].uuid);
		cli_json_text(object, "name", holders[i].name);
		cli_json_text(object, "host", holders[i].host);
		cli_json_hex(object, "instance", holders[i].instance);
		cli_json_use(object, &holders[i]);
		cli_json_pid(object, &pid);
		cli_json_number(object, "since", holders[i].since);
		cli_json_append(array, object);
	}
	return array;
}
