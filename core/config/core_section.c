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

static const char *const gl_readonly_choices[] = {"ignore", "shared", NULL};
static const char *const gl_identity_choices[] = {"auto", "path", NULL};
static const char *const gl_resume_choices[] = {"strict", "off", NULL};
static const char *const gl_keeper_choices[] = {"auto", "always", NULL};
static const char *const gl_log_choices[] = {"auto", "stderr", "syslog", NULL};
static const char *const gl_level_choices[] = {"error", "warning", "info", "debug", NULL};

/*
 * The defaults of the two directories depend on who runs this; state_dir comes first, as run_dir may lie in
 * it.
 */
enum {
	GL_CORE_STATE_DIR = 1,
	GL_CORE_RUN_DIR = 2
};

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
	{
		.name = "lock_disks",
		.kind = GL_KIND_BOOL,
		.default_value = "yes",
		.help = "lock every disk; no: only leases that are named",
	},
	{
		.name = "lock_guest",
		.kind = GL_KIND_BOOL,
		.default_value = "yes",
		.help = "lock each guest's uuid too, so that it never runs twice",
	},
	{
		.name = "require_leases",
		.kind = GL_KIND_BOOL,
		.default_value = "no",
		.help = "with lock_disks = no: refuse a guest with writable disks and no lease",
	},
	{
		.name = "readonly_disks",
		.kind = GL_KIND_CHOICE,
		.default_value = "ignore",
		.choices = gl_readonly_choices,
		.help = "readonly disks: ignore them, or lock them shared",
	},
	{
		.name = "disk_identity",
		.kind = GL_KIND_CHOICE,
		.default_value = "auto",
		.choices = gl_identity_choices,
		.help = "how a disk is named to other hosts: auto (device identity, else real path) or path",
	},
	{
		.name = "acquire_timeout",
		.kind = GL_KIND_UINT,
		.default_value = "30",
		.min = 1,
		.max = 86400,
		.help = "seconds that the backend has to answer",
	},
	{
		.name = "resume_check",
		.kind = GL_KIND_CHOICE,
		.default_value = "strict",
		.choices = gl_resume_choices,
		.help = "strict: do not resume unless it is proven that nobody else held the locks; off: "
			"unless known",
	},
	{
		.name = "keeper",
		.kind = GL_KIND_CHOICE,
		.default_value = "auto",
		.choices = gl_keeper_choices,
		.help = "auto: only a backend that may hang is run by the keeper; always: every one is",
	},
	{
		.name = "log",
		.kind = GL_KIND_CHOICE_OR_PATH,
		.default_value = "auto",
		.choices = gl_log_choices,
		.help = "where messages go: auto (journal, else stderr), stderr, syslog, or a file",
	},
	{
		.name = "log_level",
		.kind = GL_KIND_CHOICE,
		.default_value = "info",
		.choices = gl_level_choices,
		.help = "the least important messages to log: error, warning, info or debug",
	},
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

/* malloc'd; NULL: not known. */
static char *gl_default_state_dir(void)
{
	const char *state_home = gl_environment_path("XDG_STATE_HOME");
	GL_AUTOFREE char *home = NULL;
	char *path = NULL;
	int length;

	if (geteuid() == 0) {
		return strdup(GL_LOCALSTATEDIR "/lib/guestlock");
	}
	if (state_home) {
		length = asprintf(&path, "%s/guestlock", state_home);
	} else {
		home = gl_home_directory();
		if (!home) {
			return NULL;
		}
		length = asprintf(&path, "%s/.local/state/guestlock", home);
	}
	return length < 0 ? NULL : path;
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
	char *path = NULL;
	char *c;

	uname(&system);
	for (c = system.nodename; *c != '\0'; c++) {
		if (*c == '/') {
			*c = '_';
		}
	}
	return asprintf(&path, "@state_dir@/run-%s", system.nodename) < 0 ? NULL : path;
}

/* malloc'd; NULL: out of memory. */
static char *gl_default_run_dir(void)
{
	const char *runtime = gl_environment_path("XDG_RUNTIME_DIR");
	char session[64];
	char *path = NULL;

	if (geteuid() == 0) {
		return strdup(GL_RUNSTATEDIR "/guestlock");
	}
	if (!runtime && gl_session_directory(session, sizeof(session))) {
		runtime = session;
	}
	if (!runtime) {
		return gl_fallback_run_dir();
	}
	return asprintf(&path, "%s/guestlock", runtime) < 0 ? NULL : path;
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
