/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Standard output: text that is safe to print, and the check that all of it was written. */
#include "cli.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void cli_out_of_memory(void)
{
	fputs("guestlock: out of memory\n", stderr);
	_exit(EX_OSERR);
}

void *cli_need(void *memory)
{
	if (!memory) {
		cli_out_of_memory();
	}
	return memory;
}

char *cli_vformat(const char *format, va_list args)
{
	char *text = NULL;

	return cli_need(vasprintf(&text, format, args) < 0 ? NULL : text);
}

char *cli_format(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = cli_vformat(format, args);
	va_end(args);
	return text;
}

char *cli_mode_cell(const struct guestlock_holder *holder)
{
	const char *use = holder->flags & GUESTLOCK_READONLY ? ",reading"
			  : holder->flags & GUESTLOCK_SHARED ? ",writing"
							     : "";

	return cli_format("%s%s", guestlock_mode_name(holder->mode), use);
}

void cli_append(char **text, const char *format, ...)
{
	CLI_AUTOFREE char *before = *text, *more;
	va_list args;

	va_start(args, format);
	more = cli_vformat(format, args);
	va_end(args);
	*text = cli_format("%s%s", before, more);
}

/*
 * The bytes of the well-formed UTF-8 character at text, 0 if there is none. Stops at the final NUL by
 * itself.
 */
static size_t character_length(const unsigned char *text)
{
	size_t length, i;

	if (text[0] < 0x80) {
		return 1;
	}
	if (text[0] < 0xc2 || text[0] > 0xf4) {
		return 0;
	}
	length = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
	for (i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80) {
			return 0;
		}
	}
	/* Longer than needed, surrogates, beyond Unicode. */
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
	    (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f)) {
		return 0;
	}
	return length;
}

static bool is_control(const unsigned char *text)
{
	return text[0] < 0x20 || text[0] == 0x7f || (text[0] == 0xc2 && text[1] < 0xa0);
}

/* What is not UTF-8 becomes \xNN, and with controls these too. */
static char *escape(const char *text, bool controls)
{
	const unsigned char *from = (const unsigned char *)text;
	char *copy = cli_need(malloc(strlen(text) * 4 + 1)), *to = copy;

	while (*from) {
		size_t length = character_length(from);
		bool plain = length > 0 && !(controls && is_control(from));

		for (size_t i = 0; i < (length > 0 ? length : 1); i++, from++) {
			if (plain) {
				*to++ = (char)*from;
			} else {
				to += snprintf(to, 5, "\\x%02x", *from);
			}
		}
	}
	*to = '\0';
	return copy;
}

char *cli_printable(const char *text)
{
	return escape(text, true);
}

char *cli_valid(const char *text)
{
	return escape(text, false);
}

void cli_complain(const char *format, ...)
{
	CLI_AUTOFREE char *text = NULL, *printable = NULL;
	va_list args;

	va_start(args, format);
	text = cli_vformat(format, args);
	va_end(args);
	printable = cli_printable(text);
	fprintf(stderr, "guestlock: %s\n", printable);
}

int cli_finish_output(int status)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout)) {
		return status;
	}
	cli_complain("cannot write to standard output: %s; the output is not complete",
		     errno ? strerror(errno) : "an earlier write failed");
	return status == 0 ? EX_IOERR : status;
}

bool cli_colour(void)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
}

char *cli_time(int64_t when)
{
	time_t time = (time_t)when;
	char text[64];
	struct tm tm;

	if (when == 0 || !localtime_r(&time, &tm) ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S%z", &tm) == 0) {
		return cli_need(strdup(""));
	}
	return cli_need(strdup(text));
}

char *cli_hex(uint64_t value)
{
	return cli_format("%016llx", (unsigned long long)value);
}
