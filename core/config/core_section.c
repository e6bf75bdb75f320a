/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The section [guestlock]. */
#include "config.h"

#include "base/base.h"
#include "base/error.h"
#include "config/priv.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

/*
 * The defaults of the two directories depend on who runs this; state_dir comes first, as run_dir may lie in
 * it.
 */
enum {
	GL_CORE_STATE_DIR = 1,
	GL_CORE_RUN_DIR = 2
};

#define GL_SWITCH(word, value, text)                                                                         \
	{                                                                                                    \
		.name = (word), .kind = GL_KIND_BOOL, .default_value = (value), .help = (text)               \
	}

/* What there is to choose from comes last. */
#define GL_CHOICE(word, of_kind, value, text, ...)                                                           \
	{                                                                                                    \
		.name = (word), .kind = (of_kind), .default_value = (value), .help = (text),                 \
		.choices = (const char *const[])                                                             \
		{                                                                                            \
			__VA_ARGS__, NULL                                                                    \
		}                                                                                            \
	}

static const struct gl_option gl_core_options[] = {
	{
		.name = "backend",
		.kind = GL_KIND_NAME,
		.default_value = GL_DEFAULT_BACKEND,
		.help = "which backend locks: the name of any installed module",
	},
	[GL_CORE_STATE_DIR] =
		{
			.name = "state_dir",
			.kind = GL_KIND_PATH,
			.help = "directory of what survives a reboot",
		},
	[GL_CORE_RUN_DIR] =
		{
			.name = "run_dir",
			.kind = GL_KIND_PATH,
			.help = "directory of the records of running guests",
		},
	GL_SWITCH("lock_disks", "yes", "lock every disk; no: only leases that are named"),
	GL_SWITCH("lock_guest", "yes", "lock each guest's uuid too, so that it never runs twice"),
	GL_SWITCH("require_leases", "no",
		  "with lock_disks = no: refuse a guest with writable disks and no lease"),
	GL_CHOICE("readonly_disks", GL_KIND_CHOICE, "ignore",
		  "readonly disks: ignore them, or lock them shared", "ignore", "shared"),
	GL_CHOICE("disk_identity", GL_KIND_CHOICE, "auto",
		  "how a disk is named to other hosts: auto (device identity, else real path) or path",
		  "auto", "path"),
	GL_SWITCH("allow_local_names", "no",
		  "lock disks that have no identity but their name on this host, with a backend that other "
		  "hosts share, too"),
	{
		.name = "acquire_timeout",
		.kind = GL_KIND_UINT,
		.default_value = "30",
		.min = 1,
		.max = 86400,
		.help = "seconds that the backend has to answer",
	},
	GL_CHOICE("resume_check", GL_KIND_CHOICE, "strict",
		  "strict: do not resume unless it is proven that nobody else held the locks; off: unless "
		  "known",
		  "strict", "off"),
	GL_CHOICE("keeper", GL_KIND_CHOICE, "auto",
		  "auto: only a backend that may hang is run by the keeper; always: every one is", "auto",
		  "always"),
	GL_CHOICE("log", GL_KIND_CHOICE_OR_PATH, "auto",
		  "where messages go: auto (journal, else stderr), stderr, syslog, or a file", "auto",
		  "stderr", "syslog"),
	GL_CHOICE("log_level", GL_KIND_CHOICE, "info",
		  "the least important messages to log: error, warning, info or debug", "error", "warning",
		  "info", "debug"),
};

/* An environment variable that names an absolute path, as the XDG specification wants, or NULL. */
static const char *gl_environment_path(const char *name)
{
	const char *value = secure_getenv(name);

	return value && value[0] == '/' ? value : NULL;
}

/* malloc'd; NULL: the home directory is not known. */
static char *gl_home_directory(void)
{
	const char *home = gl_environment_path("HOME");
	struct passwd entry, *found = NULL;
	char buffer[4096];

	if (home) {
		return strdup(home);
	}
	if (getpwuid_r(geteuid(), &entry, buffer, sizeof(buffer), &found) != 0 || !found ||
	    entry.pw_dir[0] != '/') {
		return NULL;
	}
	return strdup(entry.pw_dir);
}

static char *gl_join(const char *directory, const char *rest)
{
	return gl_concat((const char *const[]){directory, rest}, 2);
}

/* malloc'd; NULL: not known. */
static char *gl_default_state_dir(void)
{
	const char *state_home = gl_environment_path("XDG_STATE_HOME");
	GL_AUTOFREE char *home = NULL;

	if (geteuid() == 0) {
		return strdup(GL_LOCALSTATEDIR "/lib/guestlock");
	}
	if (state_home) {
		return gl_join(state_home, "/guestlock");
	}
	home = gl_home_directory();
	return home ? gl_join(home, "/.local/state/guestlock") : NULL;
}

/* The directory that a login session makes; used also where the variable is missing, as in cron. */
static bool gl_session_directory(char *out, size_t size)
{
	struct stat st;

	snprintf(out, size, "/run/user/%u", (unsigned)geteuid());
	return lstat(out, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

/*
 * Without a session's directory, not in /tmp: there anybody could make it first, and old files are cleaned
 * away. A home may be shared by hosts, whose records must not meet, so the host is in the name.
 */
static char *gl_fallback_run_dir(void)
{
	struct utsname system = {0};
	char *c;

	uname(&system);
	for (c = system.nodename; *c != '\0'; c++) {
		if (*c == '/') {
			*c = '_';
		}
	}
	return gl_join("@state_dir@/run-", system.nodename);
}

/* malloc'd; NULL: out of memory. */
static char *gl_default_run_dir(void)
{
	const char *runtime = gl_environment_path("XDG_RUNTIME_DIR");
	char session[64];

	if (geteuid() == 0) {
		return strdup(GL_RUNSTATEDIR "/guestlock");
	}
	if (!runtime && gl_session_directory(session, sizeof(session))) {
		runtime = session;
	}
	return runtime ? gl_join(runtime, "/guestlock") : gl_fallback_run_dir();
}

int gl_settings_declare_core(struct gl_settings *settings, struct guestlock_error *err)
{
	GL_AUTOFREE char *state_dir = gl_default_state_dir();
	GL_AUTOFREE char *run_dir = gl_default_run_dir();
	struct gl_option options[GL_COUNT(gl_core_options)];
	int status;

	if (!run_dir) {
		return gl_fail_memory(err);
	}
	memcpy(options, gl_core_options, sizeof(options));
	options[GL_CORE_STATE_DIR].default_value = state_dir;
	options[GL_CORE_RUN_DIR].default_value = run_dir;
	status = gl_settings_declare_options(settings, GL_CORE_SECTION, options, GL_COUNT(options), err);
	if (status == 0 && gl_settings_string(settings, GL_CORE_SECTION, "state_dir")[0] == '\0') {
		return gl_fail(
			err, GUESTLOCK_CONFIG, 0,
			"cannot choose a state directory: no home directory is known; set state_dir in [%s]",
			GL_CORE_SECTION);
	}
	return status;
}
