/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configuration files. inih splits the lines; what it would pass over in silence (long lines, continued
 * values, words behind a section's bracket, control characters) is refused before a line reaches it.
 */
#include "base/base.h"
#include "base/error.h"
#include "config/priv.h"

#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct gl_parser {
	struct gl_settings *settings;
	const char *file;
	const char *next, *end; /* what is left of the text */
	unsigned line;
	size_t source;
	int status; /* of the first error: nothing is read after it */
	struct guestlock_error *err;
};

static int gl_fail_line(struct gl_parser *parser, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static int gl_fail_line(struct gl_parser *parser, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	parser->status =
		gl_fail(parser->err, GUESTLOCK_CONFIG, 0, "%s:%u: %s", parser->file, parser->line, text);
	return parser->status;
}

static bool gl_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Only a tab is harmless among the control bytes; terminals obey the others. */
static int gl_check_bytes(struct gl_parser *parser, const char *text, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)text[i];

		if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
			return gl_fail_line(parser, "control character 0x%02x; remove it", byte);
		}
	}
	return 0;
}

/* "[name]", then nothing but a comment; inih cuts long names and drops what follows. */
static int gl_check_section(struct gl_parser *parser, const char *text, size_t length)
{
	const char *bracket = memchr(text, ']', length);
	char name[GL_OPTION_NAME_MAX + 2];
	size_t after;

	if (!bracket) {
		return gl_fail_line(parser, "section without a closing bracket; write [NAME]");
	}
	snprintf(name, sizeof(name), "%.*s", (int)(bracket - text) - 1, text + 1);
	if (!gl_module_name_valid(name)) {
		return gl_fail_line(parser, "\"%s\" cannot be a section; write [%s] or the name of a backend",
				    name, GL_CORE_SECTION);
	}
	if (strcmp(name, GL_CORE_SECTION) != 0 && gl_edit_distance(name, GL_CORE_SECTION) <= 2) {
		return gl_fail_line(parser, "unknown section [%s]; did you mean [%s]?", name,
				    GL_CORE_SECTION);
	}
	after = (size_t)(bracket - text) + 1;
	while (after < length && gl_is_blank(text[after])) {
		after++;
	}
	if (after < length && text[after] != ';' && text[after] != '#') {
		return gl_fail_line(parser, "text behind section [%s]; put it on a line of its own", name);
	}
	return 0;
}

static int gl_check_line(struct gl_parser *parser, const char *text, size_t length, size_t max)
{
	const char *equals = memchr(text, '=', length);
	const char *colon = memchr(text, ':', length);

	if (length > max) {
		return gl_fail_line(parser,
				    "line of %zu characters, but at most %zu can be read; shorten it (a "
				    "symbolic link makes a path short)",
				    length, max);
	}
	if (gl_check_bytes(parser, text, length) < 0) {
		return parser->status;
	}
	if (text[0] == '[') {
		return gl_check_section(parser, text, length);
	}
	if (!equals || equals == text || (colon && colon < equals)) {
		return gl_fail_line(
			parser, "\"%.*s\" is neither a section nor a setting; write [SECTION] or KEY = VALUE",
			length > 60 ? 60 : (int)length, text);
	}
	return 0;
}

/* Cuts the next line off the text, without blanks at either end: an indented line continues nothing. */
static const char *gl_cut_line(struct gl_parser *parser, size_t *out_length)
{
	const char *start = parser->next;
	const char *end = memchr(start, '\n', (size_t)(parser->end - start));

	parser->next = end ? end + 1 : parser->end;
	end = end ? end : parser->end;
	parser->line++;
	if (parser->line == 1 && end - start >= 3 && memcmp(start, "\xef\xbb\xbf", 3) == 0) {
		start += 3;
	}
	while (start < end && gl_is_blank(*start)) {
		start++;
	}
	while (end > start && gl_is_blank(end[-1])) {
		end--;
	}
	*out_length = (size_t)(end - start);
	return start;
}

/* An ini_reader: one whole line a call, so that inih and the parser count alike. */
static char *gl_read_line(char *out, int size, void *data)
{
	struct gl_parser *parser = data;
	const char *text;
	size_t length;

	if (parser->status < 0 || parser->next == parser->end) {
		return NULL;
	}
	text = gl_cut_line(parser, &length);
	if (length == 0 || text[0] == ';' || text[0] == '#') {
		out[0] = '\0';
		return out;
	}
	if (gl_check_line(parser, text, length, (size_t)size - 1) < 0) {
		return NULL;
	}
	memcpy(out, text, length);
	out[length] = '\0';
	return out;
}

/* An ini_handler: 0 is an error. */
static int gl_take_setting(void *data, const char *section, const char *name, const char *value)
{
	struct gl_parser *parser = data;

	if (section[0] == '\0') {
		gl_fail_line(parser, "setting \"%s\" before any section; put [%s] above it", name,
			     GL_CORE_SECTION);
		return 0;
	}
	parser->status = gl_settings_add(parser->settings, section, name, value, parser->file, parser->source,
					 parser->line, parser->err);
	return parser->status == 0;
}

int gl_settings_parse(struct gl_settings *settings, const char *file, const char *text, size_t size,
		      struct guestlock_error *err)
{
	struct gl_parser parser = {
		.settings = settings,
		.file = file,
		.next = text,
		.end = text + size,
		.source = ++settings->n_sources,
		.err = err,
	};
	int line = ini_parse_stream(gl_read_line, &parser, gl_take_setting, &parser);

	if (parser.status == 0 && line != 0) {
		parser.line = line > 0 ? (unsigned)line : parser.line;
		gl_fail_line(&parser, "this line cannot be understood; write [SECTION] or KEY = VALUE");
	}
	return parser.status;
}

static int gl_fail_read(const char *file, int sys_errno, struct guestlock_error *err)
{
	int status = gl_status_of_errno(sys_errno);

	if (status != GUESTLOCK_DENIED && status != GUESTLOCK_NO_MEMORY && status != GUESTLOCK_IO) {
		status = GUESTLOCK_CONFIG;
	}
	return gl_fail(err, status, sys_errno, "cannot read configuration file %s: %s; %s", file,
		       strerror(sys_errno),
		       status == GUESTLOCK_DENIED ? "make it readable for this user, or name another"
						  : "check its path");
}

/* Not guestlock_read_file(): /dev/null and pipes are fine here. */
int gl_settings_read_file(struct gl_settings *settings, const char *file, bool required,
			  struct guestlock_error *err)
{
	GL_AUTOFREE char *text = malloc(GL_CONFIG_MAX + 1);
	FILE *stream;
	size_t size;
	int failure;

	if (!text) {
		return gl_fail_memory(err);
	}
	stream = fopen(file, "re");
	if (!stream) {
		return errno == ENOENT && !required ? 0 : gl_fail_read(file, errno, err);
	}
	errno = 0;
	size = fread(text, 1, GL_CONFIG_MAX + 1, stream);
	failure = ferror(stream) ? (errno ? errno : EIO) : 0;
	fclose(stream);
	if (failure) {
		return gl_fail_read(file, failure, err);
	}
	if (size > GL_CONFIG_MAX) {
		return gl_fail(err, GUESTLOCK_CONFIG, EFBIG,
			       "configuration file %s has more than %d bytes; check that it is one", file,
			       GL_CONFIG_MAX);
	}
	return gl_settings_parse(settings, file, text, size, err);
}

static int gl_is_drop_in(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

/* By bytes: the order must not depend on anybody's locale. */
static int gl_by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int gl_read_drop_in(struct gl_settings *settings, const char *directory, const char *name,
			   struct guestlock_error *err)
{
	GL_AUTOFREE char *file = NULL;

	if (asprintf(&file, "%s/%s", directory, name) < 0) {
		file = NULL;
		return gl_fail_memory(err);
	}
	return gl_settings_read_file(settings, file, false, err);
}

static int gl_read_drop_ins(struct gl_settings *settings, const char *directory, struct guestlock_error *err)
{
	struct dirent **names = NULL;
	int count = scandir(directory, &names, gl_is_drop_in, gl_by_name);
	int status = 0;
	int i;

	if (count < 0) {
		return errno == ENOENT ? 0 : gl_fail_read(directory, errno, err);
	}
	for (i = 0; i < count; i++) {
		if (status == 0) {
			status = gl_read_drop_in(settings, directory, names[i]->d_name, err);
		}
		free(names[i]);
	}
	free(names);
	return status;
}

int gl_settings_read_directory(struct gl_settings *settings, const char *directory,
			       struct guestlock_error *err)
{
	GL_AUTOFREE char *drop_ins = NULL;
	int status = gl_read_drop_in(settings, directory, "guestlock.conf", err);

	if (status < 0) {
		return status;
	}
	if (asprintf(&drop_ins, "%s/conf.d", directory) < 0) {
		drop_ins = NULL;
		return gl_fail_memory(err);
	}
	return gl_read_drop_ins(settings, drop_ins, err);
}
