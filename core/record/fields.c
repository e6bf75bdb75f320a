/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kinds of members that only records have; then the tables, in the order of the text. */
#include "record/fields.h"
#include "base/base.h"

#include <string.h>

/* Not stored: arrays are counted as they are read. A wrong number differs from what would be written. */
static bool get_count(const struct gl_field_kind *kind, void *member, const char *value)
{
	uint64_t number;

	(void)member;
	return gl_parse_u64(value, kind->base, &number);
}

static const struct gl_field_kind kind_count = {
	.size = sizeof(size_t),
	.what = "a number",
	.put = gl_kind_put_number,
	.get = get_count,
	.max = SIZE_MAX,
	.base = 10,
};

static const char *type_word(unsigned value)
{
	return value == GUESTLOCK_LEASE ? "lease" : "disk";
}

static const char *flags_word(unsigned value)
{
	static const char *const words[] = {
		[0] = "none",
		[GUESTLOCK_READONLY] = "readonly",
		[GUESTLOCK_SHARED] = "shared",
		[GUESTLOCK_READONLY | GUESTLOCK_SHARED] = "readonly,shared",
	};

	return words[value];
}

static const char *guest_state_word(unsigned value)
{
	return guestlock_guest_state_name(value);
}

static const char *resource_state_word(unsigned value)
{
	return guestlock_resource_state_name(value);
}

static const char *operation_word(unsigned value)
{
	return gl_operation_name(value);
}

static const struct gl_field_kind kind_type = GL_KIND_WORDS(GUESTLOCK_LEASE, type_word, "a type of resource");
static const struct gl_field_kind kind_flags =
	GL_KIND_WORDS(GUESTLOCK_READONLY | GUESTLOCK_SHARED, flags_word, "a list of flags");
static const struct gl_field_kind kind_guest_state =
	GL_KIND_WORDS(GL_GUEST_STATES - 1, guest_state_word, "a guest's state");
static const struct gl_field_kind kind_resource_state =
	GL_KIND_WORDS(GL_RESOURCE_STATES - 1, resource_state_word, "a resource's state");
static const struct gl_field_kind kind_operation =
	GL_KIND_WORDS(GL_OPERATIONS - 1, operation_word, "an operation");

static bool put_true(const struct gl_field_kind *kind, struct gl_text *text, const void *member)
{
	(void)kind;
	(void)member;
	gl_text_string(text, "yes");
	return true;
}

static bool get_true(const struct gl_field_kind *kind, void *member, const char *value)
{
	bool yes = true;

	memcpy(member, &yes, kind->size);
	return strcmp(value, "yes") == 0;
}

static const struct gl_field_kind kind_true = {
	.size = sizeof(bool),
	.what = "\"yes\"",
	.put = put_true,
	.get = get_true,
};

/* ---- The name of a backend ---- */

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool gl_technology_valid(const char *value)
{
	size_t i = 0;

	while (is_lower(value[i]) || (i > 0 && (is_digit(value[i]) || value[i] == '-'))) {
		i++;
	}
	return value[i] == '\0' && i > 0 && i < GL_TECHNOLOGY_SIZE;
}

static const struct gl_field_kind kind_technology =
	GL_KIND_ARRAY(GL_TECHNOLOGY_SIZE, gl_technology_valid, "the name of a backend");

/* ---- The tables ---- */

static const struct gl_field_kind kind_text = {
	.size = sizeof(char *), .what = "a percent-encoded text", .text = true};

const struct gl_head gl_head = {.version = 1};

const struct gl_field gl_head_fields[] = {
	{.key = "version", .kind = &kind_count, .offset = offsetof(struct gl_head, version)},
	{.key = NULL},
};

const struct gl_field gl_end_fields[] = {{.key = NULL}};

#define GUEST(member) .offset = offsetof(struct gl_record, member)
const struct gl_field gl_guest_fields[] = {
	{.key = "uuid", .kind = &gl_kind_uuid, GUEST(uuid)},
	{.key = "instance", .kind = &gl_kind_hex, GUEST(instance)},
	{.key = "name", .kind = &kind_text, GUEST(name)},
	{.key = "id", .kind = &kind_text, GUEST(id)},
	{.key = "state", .kind = &kind_guest_state, GUEST(state)},
	{.key = "operation", .kind = &kind_operation, GUEST(op), .optional = true},
	{.key = "since", .kind = &gl_kind_time, GUEST(since)},
	{.key = "pid", .kind = &gl_kind_pid, GUEST(process.pid)},
	{.key = "pid-start", .kind = &gl_kind_number, GUEST(process.start)},
	{.key = "pid-namespace", .kind = &gl_kind_number, GUEST(process.ns)},
	{.key = "boot", .kind = &gl_kind_uuid, GUEST(process.boot_id), .optional = true},
	{.key = "tether", .kind = &gl_kind_number, GUEST(tether_inode)},
	{.key = "watcher", .kind = &gl_kind_pid, GUEST(watcher.pid), .optional = true},
	{.key = "watcher-start", .kind = &gl_kind_number, GUEST(watcher.start), .optional = true},
	{.key = "watcher-namespace", .kind = &gl_kind_number, GUEST(watcher.ns), .optional = true},
	{.key = "adopted", .kind = &kind_true, GUEST(adopted), .optional = true},
	{.key = "migrate", .kind = &kind_true, GUEST(migrate), .optional = true},
	{.key = "was-paused", .kind = &kind_true, GUEST(was_paused), .optional = true},
	{.key = "handed-over", .kind = &kind_true, GUEST(handed_over), .optional = true},
	{.key = "stopped", .kind = &kind_true, GUEST(stopped), .optional = true},
	{.key = "halted", .kind = &kind_true, GUEST(halted), .optional = true},
	{.key = "stood", .kind = &kind_text, GUEST(stood), .optional = true},
	{.key = "frozen", .kind = &kind_text, GUEST(frozen), .optional = true},
	{.key = "params", .kind = &kind_count, GUEST(n_params)},
	{.key = "resources", .kind = &kind_count, GUEST(n_resources)},
	{.key = NULL},
};

#define PARAM(member) .offset = offsetof(struct gl_param, member)
const struct gl_field gl_param_fields[] = {
	{.key = "key", .kind = &kind_text, PARAM(key)},
	{.key = "value", .kind = &kind_text, PARAM(value)},
	{.key = NULL},
};

#define RESOURCE(member) .offset = offsetof(struct gl_resource, member)
#define WITH_FILE .flagged = true, .flag = offsetof(struct gl_resource, has_file)
const struct gl_field gl_resource_fields[] = {
	{.key = "type", .kind = &kind_type, RESOURCE(type)},
	{.key = "guest-lock", .kind = &kind_true, RESOURCE(guest_lock), .optional = true},
	{.key = "whole", .kind = &kind_true, RESOURCE(whole), .optional = true},
	{.key = "readers", .kind = &kind_true, RESOURCE(readers), .optional = true},
	{.key = "writers", .kind = &kind_true, RESOURCE(writers), .optional = true},
	{.key = "passing", .kind = &kind_true, RESOURCE(passing), .optional = true},
	{.key = "flags", .kind = &kind_flags, RESOURCE(flags)},
	{.key = "name", .kind = &kind_text, RESOURCE(name)},
	{.key = "lockspace", .kind = &kind_text, RESOURCE(lockspace), .optional = true},
	{.key = "path", .kind = &kind_text, RESOURCE(path), .optional = true},
	{.key = "offset", .kind = &gl_kind_number, RESOURCE(offset), .optional = true},
	{.key = "identity", .kind = &kind_text, RESOURCE(identity)},
	{.key = "key", .kind = &gl_kind_key, RESOURCE(key)},
	{.key = "device", .kind = &gl_kind_number, RESOURCE(device), WITH_FILE},
	{.key = "inode", .kind = &gl_kind_number, RESOURCE(inode), WITH_FILE},
	{.key = "born", .kind = &gl_kind_number, RESOURCE(born), .optional = true},
	{.key = "unhinted", .kind = &kind_true, RESOURCE(unhinted), .optional = true},
	{.key = NULL},
};

#define HOLDING(member) .offset = offsetof(struct gl_holding, member)
const struct gl_field gl_holding_fields[] = {
	{.key = "technology", .kind = &kind_technology, HOLDING(technology)},
	{.key = "state", .kind = &kind_resource_state, HOLDING(state)},
	{.key = "from", .kind = &kind_resource_state, HOLDING(from), .optional = true},
	{.key = "to", .kind = &kind_resource_state, HOLDING(to), .optional = true},
	{.key = "mode", .kind = &gl_kind_mode, HOLDING(mode)},
	{.key = "epoch",
	 .kind = &gl_kind_hex,
	 HOLDING(epoch),
	 .flagged = true,
	 .flag = offsetof(struct gl_holding, has_epoch)},
	{.key = NULL},
};

bool gl_field_present(const struct gl_field *field, const void *object)
{
	static const char zeros[sizeof(uint64_t)];
	const char *base = object;
	size_t size = field->kind->size;

	if (field->flagged) {
		return base[field->flag] != 0;
	}
	if (!field->optional) {
		return true;
	}
	if (size > sizeof(zeros)) {
		size = 1; /* an array, and its first byte is the NUL */
	}
	return memcmp(base + field->offset, zeros, size) != 0;
}
