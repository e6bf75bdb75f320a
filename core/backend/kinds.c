/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backend/kinds.h"

#include "base/base.h"

#include <string.h>

/* Numbers and enumerations are members of 8, 4 or 1 bytes. */
static uint64_t load(const struct gl_field_kind *kind, const void *member)
{
	uint64_t wide;
	uint32_t narrow;

	if (kind->size == 1) {
		return *(const uint8_t *)member;
	}
	if (kind->size == sizeof(narrow)) {
		memcpy(&narrow, member, sizeof(narrow));
		return narrow;
	}
	memcpy(&wide, member, sizeof(wide));
	return wide;
}

static void store(const struct gl_field_kind *kind, void *member, uint64_t value)
{
	uint32_t narrow = (uint32_t)value;

	if (kind->size == 1) {
		*(uint8_t *)member = (uint8_t)value;
	} else if (kind->size == sizeof(narrow)) {
		memcpy(member, &narrow, sizeof(narrow));
	} else {
		memcpy(member, &value, sizeof(value));
	}
}

/* ---- Numbers ---- */

bool gl_kind_put_number(const struct gl_field_kind *kind, struct gl_text *text, const void *member)
{
	uint64_t value = load(kind, member);

	if (value > kind->max) {
		return false;
	}
	if (kind->base == 16) {
		gl_text_hex(text, value);
	} else {
		gl_text_decimal(text, value);
	}
	return true;
}

bool gl_kind_get_number(const struct gl_field_kind *kind, void *member, const char *value)
{
	uint64_t number;

	if (!gl_parse_u64(value, kind->base, &number) || number > kind->max) {
		return false;
	}
	store(kind, member, number);
	return true;
}

/* ---- Words ---- */

bool gl_kind_put_word(const struct gl_field_kind *kind, struct gl_text *text, const void *member)
{
	uint64_t value = load(kind, member);

	if (value > kind->max) {
		return false;
	}
	gl_text_string(text, kind->word((unsigned)value));
	return true;
}

bool gl_kind_get_word(const struct gl_field_kind *kind, void *member, const char *value)
{
	for (unsigned i = 0; i <= kind->max; i++) {
		if (strcmp(kind->word(i), value) == 0) {
			store(kind, member, i);
			return true;
		}
	}
	return false;
}

/* ---- Strings in arrays ---- */

bool gl_kind_put_array(const struct gl_field_kind *kind, struct gl_text *text, const void *member)
{
	const char *value = member;

	if (!memchr(value, '\0', kind->size) || !kind->valid(value)) {
		return false;
	}
	gl_text_string(text, value);
	return true;
}

bool gl_kind_get_array(const struct gl_field_kind *kind, void *member, const char *value)
{
	if (strlen(value) >= kind->size || !kind->valid(value)) {
		return false;
	}
	memcpy(member, value, strlen(value) + 1);
	return true;
}

/* ---- Kinds ---- */

static const char *mode_word(unsigned value)
{
	return guestlock_mode_name(value);
}

const struct gl_field_kind gl_kind_number = GL_KIND_NUMBER(uint64_t, UINT64_MAX, 10, "a number");
const struct gl_field_kind gl_kind_hex = GL_KIND_NUMBER(uint64_t, UINT64_MAX, 16, "a number of 16 digits");
const struct gl_field_kind gl_kind_time = GL_KIND_NUMBER(int64_t, INT64_MAX, 10, "a time");
const struct gl_field_kind gl_kind_pid = GL_KIND_NUMBER(pid_t, INT32_MAX, 10, "a process");
const struct gl_field_kind gl_kind_mode = GL_KIND_WORDS(GUESTLOCK_MODE_EXCLUSIVE, mode_word, "a mode");
const struct gl_field_kind gl_kind_uuid = GL_KIND_ARRAY(GUESTLOCK_UUID_STRING, gl_uuid_valid, "a uuid");
const struct gl_field_kind gl_kind_key = GL_KIND_ARRAY(GUESTLOCK_KEY_SIZE, guestlock_key_valid, "a key");
