/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The members of a record as the text spells them: one table for each structure, in the order of the text,
 * which writing and reading share. Each row is one line "key=value", and for long texts several.
 */
#ifndef GL_FIELDS_H
#define GL_FIELDS_H

#include "backend/kinds.h"
#include "record/record.h"

struct gl_field {
	const char *key; /* NULL: the end of the table */
	const struct gl_field_kind *kind;
	size_t offset;
	bool optional; /* zero (a string: NULL, an array: "") is written by leaving the line out */
	bool flagged;  /* there is a value if the bool at offset `flag` says so */
	size_t flag;
};

#define GL_RECORD_BEGINNING "[guestlock-record]\n"
#define GL_RECORD_ENDING "\n[end]\n"

/* What comes first in the text. Another version is another meaning of the rest. */
struct gl_head {
	size_t version;
};
extern const struct gl_head gl_head;
extern const struct gl_field gl_head_fields[];     /* of struct gl_head; reading it stores nothing */
extern const struct gl_field gl_end_fields[];      /* none */
extern const struct gl_field gl_guest_fields[];    /* of struct gl_record */
extern const struct gl_field gl_param_fields[];    /* of struct gl_param */
extern const struct gl_field gl_resource_fields[]; /* of struct gl_resource */
extern const struct gl_field gl_holding_fields[];  /* of struct gl_holding */

/* Is there a line for this member of object? */
bool gl_field_present(const struct gl_field *field, const void *object);

bool gl_technology_valid(const char *value);

/* A new last parameter, zeroed, or NULL: out of memory. */
struct gl_param *gl_record_add_param(struct gl_record *record);

#endif
