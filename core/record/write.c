/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing records. */
#include "base/base.h"
#include "base/error.h"
#include "record/fields.h"

#include <string.h>

#define GUEST_ROOM 512 /* bytes of a guest and of a resource, if they have no long names */
#define RESOURCE_ROOM 320
#define PIECE 150 /* characters of a text in one line, so that any reader of INI files takes it */

/* "key=" or, for the later pieces of a text, "key.1=", "key.2=", ... */
static void put_key(struct gl_text *out, const char *key, size_t piece)
{
	gl_text_string(out, key);
	if (piece > 0) {
		gl_text_string(out, ".");
		gl_text_decimal(out, piece);
	}
	gl_text_string(out, "=");
}

static void put_pieces(struct gl_text *out, const char *key, const char *encoded, size_t size)
{
	size_t from = 0;

	do {
		size_t piece = size - from < PIECE ? size - from : PIECE;

		put_key(out, key, from / PIECE);
		gl_text_add(out, encoded + from, piece);
		gl_text_add(out, "\n", 1);
		from += piece;
	} while (from < size);
}

static bool put_string(struct gl_text *out, const char *key, const char *value)
{
	GL_AUTOFREE char *encoded = NULL;
	size_t plain;

	if (!value) {
		return false;
	}
	plain = gl_percent_plain(value);
	if (value[plain] == '\0') {
		put_pieces(out, key, value, plain);
		return true;
	}
	encoded = guestlock_percent_encode(value);
	if (!encoded) {
		out->failed = true;
		return true;
	}
	put_pieces(out, key, encoded, strlen(encoded));
	return true;
}

static bool put_field(struct gl_text *out, const struct gl_field *field, const void *object)
{
	const char *member = (const char *)object + field->offset;
	char *string;
	bool done;

	if (!gl_field_present(field, object)) {
		return true;
	}
	if (field->kind->text) {
		memcpy(&string, member, sizeof(string));
		return put_string(out, field->key, string);
	}
	put_key(out, field->key, 0);
	done = field->kind->put(field->kind, out, member);
	gl_text_string(out, "\n");
	return done;
}

/* The key of the first member that has no text form, or NULL. */
static const char *put_fields(struct gl_text *out, const struct gl_field *fields, const void *object)
{
	for (; fields->key; fields++) {
		if (!put_field(out, fields, object)) {
			return fields->key;
		}
	}
	return NULL;
}

static void put_section(struct gl_text *out, const char *name, size_t number)
{
	gl_text_string(out, "[");
	gl_text_string(out, name);
	gl_text_string(out, " ");
	gl_text_decimal(out, number);
	gl_text_string(out, "]\n");
}

static const char *put_resource(struct gl_text *out, const struct gl_resource *resource, size_t number)
{
	const char *bad;

	put_section(out, "resource", number);
	bad = put_fields(out, gl_resource_fields, resource);
	for (size_t i = 0; i < GL_HOLDINGS && !bad; i++) {
		if (resource->holdings[i].technology[0] != '\0') {
			put_section(out, "holding", i);
			bad = put_fields(out, gl_holding_fields, &resource->holdings[i]);
		}
	}
	return bad;
}

static const char *put_record(struct gl_text *out, const struct gl_record *record)
{
	const char *bad;

	gl_text_string(out, GL_RECORD_BEGINNING);
	put_fields(out, gl_head_fields, &gl_head);
	gl_text_string(out, "[guest]\n");
	bad = put_fields(out, gl_guest_fields, record);
	for (size_t i = 0; i < record->n_params && !bad; i++) {
		put_section(out, "param", i);
		bad = put_fields(out, gl_param_fields, &record->params[i]);
	}
	for (size_t i = 0; i < record->n_resources && !bad; i++) {
		bad = put_resource(out, &record->resources[i], i);
	}
	gl_text_string(out, &GL_RECORD_ENDING[1]);
	return bad;
}

int gl_record_put(struct gl_text *out, const struct gl_record *record, struct guestlock_error *err)
{
	const char *bad;

	/* Usually enough, so that the text does not move. */
	gl_text_reserve(out, GUEST_ROOM + record->n_resources * RESOURCE_ROOM);
	bad = put_record(out, record);
	if (bad) {
		return gl_fail(
			err, GUESTLOCK_FAILED, 0,
			"cannot write the record of guest %.*s: its %s has a value that no record can have; "
			"this is a fault of guestlock, please report it",
			GUESTLOCK_UUID_STRING - 1, record->uuid, bad);
	}
	return out->failed ? gl_fail_memory(err) : GUESTLOCK_OK;
}

int gl_record_serialize(const struct gl_record *record, char **out_text, size_t *out_size,
			struct guestlock_error *err)
{
	GL_AUTOTEXT struct gl_text out = GL_TEXT_INIT;
	int status = gl_record_put(&out, record, err);
	char *text;

	if (status) {
		return status;
	}
	text = gl_text_take(&out, out_size);
	if (!text) {
		return gl_fail_memory(err);
	}
	*out_text = text;
	return GUESTLOCK_OK;
}
