/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading records. What makes it strict is one comparison at the end: what was read, written again, must be
 * the same text to the byte. The checks before it give better reasons.
 */
#include "base/base.h"
#include "base/error.h"
#include "record/fields.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define RESOURCE_SIZE 250 /* bytes of a resource in a text, more or less */

struct parser {
	const char *text, *file;
	size_t size;
	unsigned lines_before; /* in the file */
	unsigned line;         /* the one that is being read */
	int status;            /* the first error */
	struct guestlock_error *err;
	struct gl_record *record;
	const char *section;           /* NULL before the first, */
	const struct gl_field *fields; /* what may come in it, */
	size_t n_fields;               /* how many of these may not come any more, */
	void *object;                  /* and where it goes */
	char **string;                 /* the text that further pieces may follow, or NULL, */
	const char *string_key;
	size_t n_pieces, length;
	unsigned string_line; /* and the line of its last piece */
};

static int damage(struct parser *parser, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static int damage(struct parser *parser, unsigned line, const char *format, ...)
{
	char reason[512];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	parser->status = gl_fail(parser->err, GUESTLOCK_DAMAGED, 0,
				 "cannot trust record %s: line %u: %s; 'guestlock reap' sets it aside",
				 parser->file, parser->lines_before + line, reason);
	return parser->status;
}

static int no_memory(struct parser *parser)
{
	parser->status = gl_fail_memory(parser->err);
	return parser->status;
}

static unsigned line_of(const char *text, size_t offset)
{
	unsigned line = 1;

	for (const char *p = text; (p = memchr(p, '\n', offset - (size_t)(p - text))); p++) {
		line++;
	}
	return line;
}

/* The version of a text that begins as a record does, or 0. */
static uint64_t version_of(const struct parser *parser)
{
	static const char key[] = "version=";
	const char *line = parser->text + strlen(GL_RECORD_BEGINNING);
	const char *end = memchr(line, '\n', parser->size - strlen(GL_RECORD_BEGINNING));
	char digits[24] = "";
	uint64_t version = 0;

	if (!end || strncmp(line, key, strlen(key)) != 0 ||
	    (size_t)(end - line) >= strlen(key) + sizeof(digits)) {
		return 0;
	}
	line += strlen(key);
	memcpy(digits, line, (size_t)(end - line));
	/* A line with a NUL byte in it is damage, whatever it begins with. */
	return strlen(digits) == (size_t)(end - line) && gl_parse_u64(digits, 10, &version) ? version : 0;
}

/* Not to be set aside: whoever wrote it can still read it. */
static int newer(struct parser *parser, uint64_t version)
{
	parser->status =
		gl_fail(parser->err, GUESTLOCK_UNSUPPORTED, 0,
			"cannot read record %s: line %u: a newer guestlock wrote it, in version %" PRIu64
			" where this one knows version %zu only; use the newer one",
			parser->file, parser->lines_before + 2, version, gl_head.version);
	return parser->status;
}

/* The form of the whole: what wrote it, and is all of it there? */
static int check_frame(struct parser *parser)
{
	size_t beginning = strlen(GL_RECORD_BEGINNING), ending = strlen(GL_RECORD_ENDING);
	uint64_t version;

	if (parser->size == 0) {
		return damage(parser, 1, "the file is empty");
	}
	if (parser->size < beginning || memcmp(parser->text, GL_RECORD_BEGINNING, beginning) != 0) {
		return damage(parser, 1, "it does not begin as a record does");
	}
	version = version_of(parser);
	if (version > gl_head.version) {
		return newer(parser, version);
	}
	if (parser->size < ending ||
	    memcmp(parser->text + parser->size - ending, GL_RECORD_ENDING, ending) != 0) {
		return damage(parser, line_of(parser->text, parser->size - 1),
			      "it is cut off before its [end]");
	}
	return 0;
}

static int finish_string(struct parser *parser)
{
	char **string = parser->string;

	parser->string = NULL;
	if (string && guestlock_percent_decode(*string) < 0) {
		return damage(parser, parser->string_line, "%s is not percent-encoded", parser->string_key);
	}
	return 0;
}

static void start_string(struct parser *parser, const char *key, char **string, char *value)
{
	*string = value;
	parser->string = string;
	parser->string_key = key;
	parser->string_line = parser->line;
	parser->n_pieces = 1;
	parser->length = strlen(value);
}

/* Is this the next piece of the text that the lines before began? */
static bool continues_string(const struct parser *parser, const char *name)
{
	size_t length;
	uint64_t piece;

	if (!parser->string) {
		return false;
	}
	length = strlen(parser->string_key);
	return strncmp(name, parser->string_key, length) == 0 && name[length] == '.' &&
	       gl_parse_u64(name + length + 1, 10, &piece) && piece == parser->n_pieces;
}

/* Moves the piece up to the one before it. */
static void continue_string(struct parser *parser, const char *value)
{
	size_t size = strlen(value);

	memmove(*parser->string + parser->length, value, size + 1);
	parser->length += size;
	parser->n_pieces++;
	parser->string_line = parser->line;
}

/* Nothing may be missing of the fields that come before number upto. */
static int skip_fields(struct parser *parser, size_t upto)
{
	for (; parser->n_fields < upto; parser->n_fields++) {
		const struct gl_field *field = &parser->fields[parser->n_fields];

		if (!field->optional && !field->flagged) {
			return damage(parser, parser->line, "%s is missing before it in [%s]", field->key,
				      parser->section);
		}
	}
	return 0;
}

/* Number of the field with this key, at or after number from; the number of the end if there is none. */
static size_t find_field(const struct gl_field *fields, size_t from, const char *key)
{
	while (fields[from].key && strcmp(fields[from].key, key) != 0) {
		from++;
	}
	return from;
}

static int not_a_field(struct parser *parser, const char *key)
{
	if (parser->fields[find_field(parser->fields, 0, key)].key) {
		return damage(parser, parser->line, "%s is in [%s] twice or in the wrong place", key,
			      parser->section);
	}
	return damage(parser, parser->line, "there is no key %s in [%s]", key, parser->section);
}

static int take_value(struct parser *parser, const struct gl_field *field, char *value)
{
	char *member = (char *)parser->object + field->offset;

	if (field->flagged) {
		memcpy((char *)parser->object + field->flag, &(bool){true}, sizeof(bool));
	}
	if (field->kind->text) {
		start_string(parser, field->key, (char **)(void *)member, value);
	} else if (!field->kind->get(field->kind, member, value)) {
		return damage(parser, parser->line, "%s=%s is not %s", field->key, value, field->kind->what);
	}
	return 0;
}

static int take_pair(struct parser *parser, const char *key, char *value)
{
	size_t i;

	if (continues_string(parser, key)) {
		continue_string(parser, value);
		return 0;
	}
	if (finish_string(parser)) {
		return parser->status;
	}
	i = find_field(parser->fields, parser->n_fields, key);
	if (!parser->fields[i].key) {
		return not_a_field(parser, key);
	}
	if (skip_fields(parser, i)) {
		return parser->status;
	}
	parser->n_fields = i + 1;
	return take_value(parser, &parser->fields[i], value);
}

static int leave_section(struct parser *parser)
{
	if (finish_string(parser) || !parser->fields) {
		return parser->status;
	}
	return skip_fields(parser, find_field(parser->fields, parser->n_fields, ""));
}

/* Is section name followed by number? */
static bool is_numbered(const char *section, const char *name, size_t number)
{
	size_t length = strlen(name);
	uint64_t value;

	return strncmp(section, name, length) == 0 && gl_parse_u64(section + length, 10, &value) &&
	       value == number;
}

static bool is_holding(struct parser *parser, const char *section)
{
	struct gl_record *record = parser->record;
	struct gl_resource *resource;

	if (record->n_resources == 0) {
		return false;
	}
	resource = &record->resources[record->n_resources - 1];
	for (size_t i = 0; i < GL_HOLDINGS; i++) {
		if (is_numbered(section, "holding ", i) && resource->holdings[i].technology[0] == '\0') {
			parser->fields = gl_holding_fields;
			parser->object = &resource->holdings[i];
			return true;
		}
	}
	return false;
}

static struct gl_resource *add_resource(struct gl_record *record)
{
	struct gl_resource *added = gl_record_add_resource(record);

	if (added) {
		added->inside = true;
	}
	return added;
}

/* Chooses where the lines of a section go. */
static int enter_section(struct parser *parser, const char *section)
{
	struct gl_record *record = parser->record;

	if (leave_section(parser)) {
		return parser->status;
	}
	parser->section = section;
	parser->n_fields = 0;
	parser->object = record;
	if (is_numbered(section, "resource ", record->n_resources)) {
		parser->fields = gl_resource_fields;
		parser->object = add_resource(record);
	} else if (is_numbered(section, "param ", record->n_params)) {
		parser->fields = gl_param_fields;
		parser->object = gl_record_add_param(record);
	} else if (strcmp(section, "guestlock-record") == 0) {
		parser->fields = gl_head_fields;
	} else if (strcmp(section, "guest") == 0 && !record->name) {
		parser->fields = gl_guest_fields;
	} else if (strcmp(section, "end") == 0) {
		parser->fields = gl_end_fields;
	} else if (!is_holding(parser, section)) {
		return damage(parser, parser->line, "the section [%s] is unknown or in the wrong place",
			      section);
	}
	return parser->object ? 0 : no_memory(parser);
}

static int take_line(struct parser *parser, char *line, size_t length)
{
	char *value = strchr(line, '=');

	if (strlen(line) != length) {
		return damage(parser, parser->line, "there is a NUL byte in it");
	}
	if (line[0] == '[' && line[length - 1] == ']') {
		line[length - 1] = '\0';
		return enter_section(parser, line + 1);
	}
	if (!value) {
		return damage(parser, parser->line, "it is neither [section] nor key=value");
	}
	*value++ = '\0';
	return take_pair(parser, line, value);
}

/* check_frame() saw that there is a section first and a newline last. */
static int take_lines(struct parser *parser, char *text)
{
	char *end = text + parser->size;
	char *line, *newline;

	for (line = text; line < end; line = newline + 1) {
		newline = memchr(line, '\n', (size_t)(end - line));
		*newline = '\0';
		parser->line++;
		if (take_line(parser, line, (size_t)(newline - line))) {
			return parser->status;
		}
	}
	if (!parser->record->name) {
		return damage(parser, parser->line, "there is no [guest] before it");
	}
	return 0;
}

/* Is the text what would be written for the record it gave? Both end with a newline. */
static int compare(struct parser *parser)
{
	GL_AUTOFREE char *right = NULL;
	size_t size, i, start;

	parser->status = gl_record_serialize(parser->record, &right, &size, parser->err);
	if (parser->status) {
		return parser->status;
	}
	if (size == parser->size && memcmp(right, parser->text, size) == 0) {
		return 0;
	}
	for (i = 0; i < parser->size && parser->text[i] == right[i]; i++) {
	}
	for (start = i; start > 0 && right[start - 1] != '\n'; start--) {
	}
	return damage(parser, line_of(parser->text, i), "it is '%.*s' where guestlock writes '%.*s'",
		      (int)strcspn(parser->text + start, "\n"), parser->text + start,
		      (int)strcspn(right + start, "\n"), right + start);
}

/* A record with a copy of the text in it, which the lines are cut out of and the strings stay in. */
static struct gl_record *new_record(const char *text, size_t size)
{
	struct gl_record *record = malloc(sizeof(*record) + size);

	if (!record) {
		return NULL;
	}
	*record = (struct gl_record){.text_size = size};
	memcpy(record->text, text, size);
	if (gl_record_reserve(record, size / RESOURCE_SIZE + 1) < 0) {
		free(record);
		return NULL;
	}
	return record;
}

int gl_record_parse(unsigned lines_before, bool trusted, const char *text, size_t size, const char *file,
		    struct gl_record **out_record, struct guestlock_error *err)
{
	static const struct gl_field none[1] = {{.key = NULL}};
	struct parser parser = {.text = text,
				.size = size,
				.file = file,
				.err = err,
				.lines_before = lines_before,
				.fields = none};

	if (check_frame(&parser)) {
		return parser.status;
	}
	parser.record = new_record(text, size);
	if (!parser.record) {
		return no_memory(&parser);
	}
	if (take_lines(&parser, parser.record->text) || (!trusted && compare(&parser))) {
		gl_record_free(parser.record);
		return parser.status;
	}
	*out_record = parser.record;
	return GUESTLOCK_OK;
}
