/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt's own functions for errors and messages, where its library is loaded; else standard error.
 * They are looked up once, since the process that is going to be the guest must not.
 */
#include "report.h"

#include "abi.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

#define MESSAGE_BYTES 2048

/* What libvirt has, NULL where it has not. Written before any other thread comes to use it. */
static libvirt_report_error_fn *report_error;
static libvirt_raise_error_fn *raise_error;
static libvirt_log_fn *log_message;
static pid_t daemon_pid;

/* ISO C has no conversion from an object's pointer to a function's. */
static void look_up(const char *name, void *out_function)
{
	void *found = dlsym(RTLD_DEFAULT, name);

	memcpy(out_function, &found, sizeof(found));
}

void gl_libvirt_report_init(void)
{
	look_up("virReportErrorHelper", &report_error);
	look_up("virRaiseErrorFull", &raise_error);
	look_up("virLogMessage", &log_message);
	daemon_pid = getpid();
}

static int code_of(enum guestlock_status status)
{
	switch (status) {
	case GUESTLOCK_BUSY:
	case GUESTLOCK_ALIASED:
		return LIBVIRT_ERR_RESOURCE_BUSY;
	case GUESTLOCK_STALE:
	case GUESTLOCK_UNPROVEN:
	case GUESTLOCK_INDETERMINATE:
	case GUESTLOCK_UNAVAILABLE:
		return LIBVIRT_ERR_OPERATION_FAILED;
	case GUESTLOCK_TIMEOUT:
		return LIBVIRT_ERR_OPERATION_TIMEOUT;
	case GUESTLOCK_UNSAFE:
	case GUESTLOCK_CONFIG:
		return LIBVIRT_ERR_CONFIG_UNSUPPORTED;
	case GUESTLOCK_UNSUPPORTED:
		return LIBVIRT_ERR_OPERATION_UNSUPPORTED;
	case GUESTLOCK_DENIED:
		return LIBVIRT_ERR_ACCESS_DENIED;
	case GUESTLOCK_IO:
	case GUESTLOCK_CANNOT_CREATE:
		return LIBVIRT_ERR_SYSTEM_ERROR;
	case GUESTLOCK_INVALID:
	case GUESTLOCK_DAMAGED:
		return LIBVIRT_ERR_INVALID_ARG;
	case GUESTLOCK_REJECTED:
	case GUESTLOCK_NOT_FOUND:
	case GUESTLOCK_ALIVE:
	case GUESTLOCK_DEAD:
	case GUESTLOCK_REPLACED:
	case GUESTLOCK_UNTETHERED:
		return LIBVIRT_ERR_OPERATION_INVALID;
	case GUESTLOCK_NO_MEMORY:
		return LIBVIRT_ERR_NO_MEMORY;
	default:
		return LIBVIRT_ERR_INTERNAL_ERROR;
	}
}

static bool leads_nowhere(int fd)
{
	struct stat status;

	return fstat(fd, &status) < 0 || (S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3));
}

/*
 * Without libvirt's log: standard error, which is the guest's own log in the guest's process, or syslog in a
 * daemon that has none. syslog() takes a mutex, so never in a child.
 */
static void log_ourselves(enum guestlock_log_level level, const char *message)
{
	static const int priorities[] = {
		[GUESTLOCK_LOG_ERROR] = LOG_ERR,
		[GUESTLOCK_LOG_WARNING] = LOG_WARNING,
		[GUESTLOCK_LOG_INFO] = LOG_INFO,
		[GUESTLOCK_LOG_DEBUG] = LOG_DEBUG,
	};
	char line[MESSAGE_BYTES + 16];
	int length;

	if (daemon_pid == getpid() && leads_nowhere(STDERR_FILENO)) {
		syslog(LOG_DAEMON | priorities[level], "guestlock: %s", message);
		return;
	}
	length = snprintf(line, sizeof(line), "guestlock: %s\n", message);
	if (length >= (int)sizeof(line)) {
		length = (int)sizeof(line) - 1;
		line[length - 1] = '\n';
	}
	if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0) {
		/* There is nobody left to tell. */
	}
}

void gl_libvirt_report_log(void *data, enum guestlock_log_level level, const char *message)
{
	static const int priorities[] = {
		[GUESTLOCK_LOG_ERROR] = LIBVIRT_LOG_ERROR,
		[GUESTLOCK_LOG_WARNING] = LIBVIRT_LOG_WARN,
		[GUESTLOCK_LOG_INFO] = LIBVIRT_LOG_INFO,
		[GUESTLOCK_LOG_DEBUG] = LIBVIRT_LOG_DEBUG,
	};
	static struct libvirt_log_source source = {.name = "guestlock", .priority = LIBVIRT_LOG_ERROR};

	(void)data;
	if (log_message) {
		log_message(&source, priorities[level], "guestlock", 0, "guestlock", NULL, "%s", message);
	} else {
		log_ourselves(level, message);
	}
}

static int report_text(enum guestlock_status status, const char *text)
{
	int code = code_of(status);

	if (report_error) {
		report_error(LIBVIRT_FROM_LOCKING, code, "guestlock", "guestlock", 0, "%s", text);
	} else if (raise_error) {
		raise_error("guestlock", "guestlock", 0, LIBVIRT_FROM_LOCKING, code, LIBVIRT_LEVEL_ERROR,
			    guestlock_status_text(status), text, NULL, 0, 0, "%s", text);
	} else {
		gl_libvirt_report_log(NULL, GUESTLOCK_LOG_ERROR, text);
	}
	return -1;
}

int gl_libvirt_report_error(const struct guestlock_error *err)
{
	return report_text(err->code, err->message[0] ? err->message : guestlock_status_text(err->code));
}

int gl_libvirt_report(enum guestlock_status code, const char *format, ...)
{
	char text[MESSAGE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return report_text(code, text);
}
