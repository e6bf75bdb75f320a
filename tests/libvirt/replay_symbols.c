/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What libvirt's library has for plugins to report errors, and for its callers to read them: for tests on
 * machines without it. Log messages go to standard error.
 */
#include "abi.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static __thread struct {
	int code, domain;
	char message[2048];
} last;

/* The words that libvirt puts before the text, of those codes that matter here. */
static const char *words_of(int code)
{
	switch (code) {
	case LIBVIRT_ERR_INTERNAL_ERROR:
		return "internal error";
	case LIBVIRT_ERR_CONFIG_UNSUPPORTED:
		return "unsupported configuration";
	case LIBVIRT_ERR_RESOURCE_BUSY:
		return "resource busy";
	default:
		return "error";
	}
}

__attribute__((format(printf, 3, 0))) static void set(int domain, int code, const char *format, va_list args)
{
	int length = snprintf(last.message, sizeof(last.message), "%s: ", words_of(code));

	last.domain = domain;
	last.code = code;
	vsnprintf(last.message + length, sizeof(last.message) - (size_t)length, format, args);
}

libvirt_report_error_fn virReportErrorHelper;
__attribute__((format(printf, 6, 7))) void virReportErrorHelper(int domain, int code, const char *file,
								const char *function, size_t line,
								const char *format, ...)
{
	va_list args;

	(void)file;
	(void)function;
	(void)line;
	va_start(args, format);
	set(domain, code, format, args);
	va_end(args);
}

libvirt_log_fn virLogMessage;
__attribute__((format(printf, 7, 8))) void virLogMessage(struct libvirt_log_source *source, int priority,
							 const char *file, int line, const char *function,
							 void *metadata, const char *format, ...)
{
	char text[2048];
	va_list args;

	(void)file;
	(void)line;
	(void)function;
	(void)metadata;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "log %s %d: %s\n", source->name, priority, text);
}

const char *virGetLastErrorMessage(void);
const char *virGetLastErrorMessage(void)
{
	return last.message[0] ? last.message : "no error";
}

int virGetLastErrorCode(void);
int virGetLastErrorCode(void)
{
	return last.code;
}

int virGetLastErrorDomain(void);
int virGetLastErrorDomain(void)
{
	return last.domain;
}

void virResetLastError(void);
void virResetLastError(void)
{
	memset(&last, 0, sizeof(last));
}
