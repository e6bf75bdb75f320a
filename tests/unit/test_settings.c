/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/base.h"
#include "config/priv.h"
#include "suites.h"
#include "temporary.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static char directory[PATH_MAX / 2];
static struct guestlock_error err;

static const struct guestlock_option module_options[] = {
	{"lock_dir", GUESTLOCK_OPTION_PATH, "@state_dir@/demo", false, "where the locks are"},
	{"socket", GUESTLOCK_OPTION_PATH, "@run_dir@/socket", false, "who answers"},
	{"lockspace", GUESTLOCK_OPTION_STRING, "guestlock", false, "its name"},
	{"host_id", GUESTLOCK_OPTION_UINT, NULL, true, "this host's number"},
	{"careless", GUESTLOCK_OPTION_BOOL, "no", false, "allow what is not safe"},
	{NULL, GUESTLOCK_OPTION_STRING, NULL, false, NULL},
};

static void setup(void)
{
	temporary_make(directory, sizeof(directory), "settings");
	memset(&err, 0, sizeof(err));
	unsetenv("GUESTLOCK_CONFIG");
}

static void teardown(void)
{
	if (geteuid() != getuid()) {
		/* Only then can the leak sanitizer look at the process again. */
		ck_assert_int_eq(seteuid(getuid()), 0);
		ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
	}
	temporary_remove(directory);
}

/* A file in the directory; its path stays valid for four more calls. */
static const char *file(const char *name, const char *text)
{
	static char paths[4][PATH_MAX];
	static unsigned turn;
	char *path = paths[turn++ % GL_COUNT(paths)];

	snprintf(path, PATH_MAX, "%s/%s", directory, name);
	if (text) {
		ck_assert_int_eq(guestlock_write_file(path, text, strlen(text), 0600), 0);
	}
	return path;
}

/* Loads with a configuration file of that text alone. */
static int load_text(const char *text, struct gl_settings **out)
{
	struct guestlock_options options = {.size = sizeof(options),
					    .config_file = file("guestlock.conf", text)};

	return gl_settings_load(&options, out, &err);
}

static struct gl_settings *must_load(const char *text)
{
	struct gl_settings *settings = NULL;
	int status = load_text(text, &settings);

	ck_assert_msg(status == 0, "%d: %s", status, err.message);
	return settings;
}

static const struct guestlock_setting *find(struct gl_settings *settings, const char *section,
					    const char *key)
{
	size_t count, i;
	const struct guestlock_setting *all = gl_settings_all(settings, &count);

	for (i = 0; i < count; i++) {
		if (strcmp(all[i].section, section) == 0 && strcmp(all[i].key, key) == 0) {
			return &all[i];
		}
	}
	ck_abort_msg("no setting %s.%s", section, key);
	return NULL;
}

static void check_value(struct gl_settings *settings, const char *key, const char *value, const char *origin)
{
	const struct guestlock_setting *setting = find(settings, "guestlock", key);

	ck_assert_str_eq(gl_settings_string(settings, "guestlock", key), value);
	ck_assert_str_eq(setting->value, value);
	ck_assert_str_eq(setting->origin, origin);
}

/* ---- Defaults ---- */

static const struct {
	const char *key, *value, *type;
} defaults[] = {
	{"lock_disks", "yes", "bool"},       {"lock_guest", "yes", "bool"},
	{"require_leases", "no", "bool"},    {"readonly_disks", "ignore", "choice"},
	{"disk_identity", "auto", "choice"}, {"allow_local_names", "no", "bool"},
	{"acquire_timeout", "30", "uint"},   {"resume_check", "strict", "choice"},
	{"keeper", "auto", "choice"},        {"log", "auto", "choice or path"},
	{"log_level", "info", "choice"},
};

START_TEST(default_values)
{
	struct gl_settings *settings = must_load("");
	size_t count, i;

	for (i = 0; i < GL_COUNT(defaults); i++) {
		check_value(settings, defaults[i].key, defaults[i].value, "default");
		ck_assert_str_eq(find(settings, "guestlock", defaults[i].key)->type, defaults[i].type);
		ck_assert_str_ne(find(settings, "guestlock", defaults[i].key)->help, "");
	}
	ck_assert_str_eq(find(settings, "guestlock", "backend")->origin, "default");
	ck_assert(gl_module_name_valid(gl_settings_string(settings, "guestlock", "backend")));
	gl_settings_all(settings, &count);
	ck_assert_uint_eq(count, GL_COUNT(defaults) + 3);
	ck_assert(gl_settings_bool(settings, "guestlock", "lock_disks"));
	ck_assert(!gl_settings_bool(settings, "guestlock", "require_leases"));
	ck_assert_uint_eq(gl_settings_uint(settings, "guestlock", "acquire_timeout"), 30);
	ck_assert_str_eq(gl_settings_string(settings, "guestlock", "nothing"), "");
	ck_assert_str_eq(gl_settings_string(settings, "nothing", "backend"), "");
	gl_settings_free(settings);
	gl_settings_free(NULL);
}
END_TEST

/* Becomes nobody until the end of the test, if it may. */
static void drop_root(void)
{
	if (geteuid() == 0) {
		ck_assert_int_eq(chmod(directory, 0777), 0);
		ck_assert_int_eq(seteuid(65534), 0);
	}
}

START_TEST(directories_of_root)
{
	struct gl_settings *settings;

	if (geteuid() != 0) {
		return;
	}
	setenv("XDG_RUNTIME_DIR", "/run/user/4711", 1);
	setenv("XDG_STATE_HOME", "/somewhere", 1);
	settings = must_load("");
	ck_assert_ptr_nonnull(strstr(gl_settings_string(settings, "guestlock", "run_dir"), "/guestlock"));
	ck_assert_ptr_null(strstr(gl_settings_string(settings, "guestlock", "run_dir"), "/run/user/"));
	ck_assert_ptr_nonnull(
		strstr(gl_settings_string(settings, "guestlock", "state_dir"), "/lib/guestlock"));
	gl_settings_free(settings);
}
END_TEST

START_TEST(directories_of_a_session)
{
	struct gl_settings *settings;

	drop_root();
	setenv("XDG_RUNTIME_DIR", "/run/user/4711/", 1);
	setenv("XDG_STATE_HOME", "/somewhere//state", 1);
	settings = must_load("");
	check_value(settings, "run_dir", "/run/user/4711/guestlock", "default");
	check_value(settings, "state_dir", "/somewhere/state/guestlock", "default");
	gl_settings_free(settings);
}
END_TEST

START_TEST(directories_without_a_session)
{
	char expected[PATH_MAX], session[64];
	struct gl_settings *settings;
	struct utsname system;
	struct stat st;

	drop_root();
	setenv("XDG_RUNTIME_DIR", "relative", 1);
	unsetenv("XDG_STATE_HOME");
	setenv("HOME", "/home/somebody", 1);
	settings = must_load("");
	check_value(settings, "state_dir", "/home/somebody/.local/state/guestlock", "default");
	uname(&system);
	snprintf(session, sizeof(session), "/run/user/%u", (unsigned)geteuid());
	snprintf(expected, sizeof(expected), "/home/somebody/.local/state/guestlock/run-%s", system.nodename);
	if (lstat(session, &st) == 0 && st.st_uid == geteuid()) {
		snprintf(expected, sizeof(expected), "%s/guestlock", session);
	}
	check_value(settings, "run_dir", expected, "default");
	gl_settings_free(settings);
}
END_TEST

START_TEST(run_dir_follows_state_dir)
{
	struct gl_settings *settings;
	char session[64];
	struct stat st;

	drop_root();
	unsetenv("XDG_RUNTIME_DIR");
	snprintf(session, sizeof(session), "/run/user/%u", (unsigned)geteuid());
	if (lstat(session, &st) == 0) {
		return;
	}
	settings = must_load("[guestlock]\nstate_dir = /a/b/\n");
	check_value(settings, "state_dir", "/a/b", file("guestlock.conf:2", NULL));
	ck_assert_int_eq(strncmp(gl_settings_string(settings, "guestlock", "run_dir"), "/a/b/run-", 9), 0);
	gl_settings_free(settings);
}
END_TEST

/* The shipped file: every setting stands there as "#key = default", and is right without the "#". */
START_TEST(shipped_file)
{
	const char *top = getenv("top_srcdir");
	struct gl_settings *settings, *plain;
	const struct guestlock_setting *all;
	char path[PATH_MAX], *text, *hash;
	size_t size, count, i;

	if (!top) {
		return;
	}
	snprintf(path, sizeof(path), "%s/conf/guestlock.conf", top);
	ck_assert_int_eq(guestlock_read_file(path, GL_CONFIG_MAX, &text, &size), 0);
	plain = must_load(text);
	for (hash = strstr(text, "\n#"); hash; hash = strstr(hash + 1, "\n#")) {
		if (hash[2] != ' ') {
			hash[1] = ' ';
		}
	}
	settings = must_load(text);
	all = gl_settings_all(settings, &count);
	for (i = 0; i < count; i++) {
		bool chosen_by_build = strcmp(all[i].key, "backend") == 0 || strcmp(all[i].type, "path") == 0;

		ck_assert_msg(strcmp(all[i].origin, "default") != 0, "%s is missing", all[i].key);
		ck_assert_str_eq(find(plain, "guestlock", all[i].key)->origin, "default");
		if (!chosen_by_build) {
			ck_assert_str_eq(all[i].value, find(plain, "guestlock", all[i].key)->value);
		}
	}
	gl_settings_free(settings);
	gl_settings_free(plain);
	free(text);
}
END_TEST

/* ---- Text ---- */

START_TEST(reads_every_form)
{
	struct gl_settings *settings =
		must_load("\xef\xbb\xbf# a comment\n"
			  "; another\n"
			  "\n"
			  "  [guestlock]   ; here\n"
			  "\tlock_disks=no ; not now\r\n"
			  "    lock_guest   =   no   \n"
			  "#" /* a comment may be long */
			  "0123456789012345678901234567890123456789012345678901234567890123456789"
			  "0123456789012345678901234567890123456789012345678901234567890123456789"
			  "0123456789012345678901234567890123456789012345678901234567890123456789\n"
			  "log = /var/log/guest lock.log\n"
			  "[not-installed]\n"
			  "whatever = x\n"
			  "[guestlock]\n"
			  "log_level = debug");

	check_value(settings, "lock_disks", "no", file("guestlock.conf:5", NULL));
	check_value(settings, "lock_guest", "no", file("guestlock.conf:6", NULL));
	check_value(settings, "log", "/var/log/guest lock.log", file("guestlock.conf:8", NULL));
	check_value(settings, "log_level", "debug", file("guestlock.conf:12", NULL));
	gl_settings_free(settings);
}
END_TEST

#define LINE_199                                                                                             \
	"log = "                                                                                             \
	"/89012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"      \
	"01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567" \
	"89"

START_TEST(longest_line)
{
	struct gl_settings *settings = must_load("[guestlock]\n  " LINE_199 "\r\n");

	ck_assert_uint_eq(strlen(LINE_199), 199);
	ck_assert_str_eq(gl_settings_string(settings, "guestlock", "log"), &LINE_199[6]);
	gl_settings_free(settings);
	settings = NULL;
	ck_assert_int_eq(load_text("[guestlock]\n\n" LINE_199 "0\n", &settings), GUESTLOCK_CONFIG);
	ck_assert_ptr_null(settings);
	ck_assert_ptr_nonnull(
		strstr(err.message, "guestlock.conf:3: line of 200 characters, but at most 199"));
}
END_TEST

/* What is refused, and what is said about it behind "DIRECTORY/guestlock.conf:". */
static const struct {
	const char *text, *message;
} refused[] = {
	{"[guestlock]\nlock_disk = yes\n",
	 "2: unknown setting \"lock_disk\" in [guestlock]; did you mean \"lock_disks\"?"},
	{"[guestlock]\nLog = auto\n", "2: unknown setting \"Log\" in [guestlock]; did you mean \"log\"?"},
	{"[guestlock]\ncolour = red\n",
	 "2: unknown setting \"colour\" in [guestlock]; it knows backend, state_dir, run_dir, lock_disks, "
	 "lock_guest, require_leases, readonly_disks, disk_identity, allow_local_names, acquire_timeout, resume_check, "
	 "keeper, log, log_level"},
	{"[guestlock]\nlock_disks = yes\n\nlock_disks = yes\n",
	 "4: lock_disks is set twice in [guestlock], first in line 2; remove one of them"},
	{"[guestlock]\nlock_disks = yes\n[guestlock]\nlock_disks = no\n",
	 "4: lock_disks is set twice in [guestlock], first in line 2; remove one of them"},
	{"[demo]\na = 1\na = 2\n", "3: a is set twice in [demo], first in line 2; remove one of them"},
	{"[guestlock]\nlock_disks = true\n",
	 "2: lock_disks = \"true\" is not possible; lock_disks must be yes or no"},
	{"[guestlock]\nlock_disks =\n", "2: lock_disks = \"\" is not possible; lock_disks must be yes or no"},
	{"[guestlock]\nlock_disks = yes # really\n",
	 "2: lock_disks = \"yes # really\" is not possible; lock_disks must be yes or no"},
	{"[guestlock]\nacquire_timeout = 0\n", "2: acquire_timeout = \"0\" is not possible; acquire_timeout "
					       "must be a whole number from 1 to 86400"},
	{"[guestlock]\nacquire_timeout = 30s\n", "2: acquire_timeout = \"30s\" is not possible; "
						 "acquire_timeout must be a whole number from 1 to 86400"},
	{"[guestlock]\nacquire_timeout = 86401\n", "2: acquire_timeout = \"86401\" is not possible; "
						   "acquire_timeout must be a whole number from 1 to 86400"},
	{"[guestlock]\nreadonly_disks = lock\n",
	 "2: readonly_disks = \"lock\" is not possible; readonly_disks must be ignore or shared"},
	{"[guestlock]\nlog_level = verbose\n",
	 "2: log_level = \"verbose\" is not possible; log_level must be error, warning, info or debug"},
	{"[guestlock]\nlog = journal\n",
	 "2: log = \"journal\" is not possible; log must be auto, stderr or syslog, or an absolute path"},
	{"[guestlock]\nrun_dir = run\n",
	 "2: run_dir = \"run\" is not possible; run_dir must be an absolute path, beginning with /"},
	{"[guestlock]\nrun_dir = \"/run/x\"\n",
	 "2: run_dir = \"\"/run/x\"\" is not possible; run_dir must be an absolute path, without quotes"},
	{"[guestlock]\nrun_dir =\n",
	 "2: run_dir = \"\" is not possible; run_dir must be an absolute path, beginning with /"},
	{"[guestlock]\nbackend = ../../evil\n", "2: backend = \"../../evil\" is not possible; backend must "
						"be a name of small letters, digits and hyphens"},
	{"lock_disks = yes\n", "1: setting \"lock_disks\" before any section; put [guestlock] above it"},
	{"[guestlock\n", "1: section without a closing bracket; write [NAME]"},
	{"[]\n", "1: \"\" cannot be a section; write [guestlock] or the name of a backend"},
	{"[Guestlock]\n", "1: \"Guestlock\" cannot be a section; write [guestlock] or the name of a backend"},
	{"[guest lock]\n",
	 "1: \"guest lock\" cannot be a section; write [guestlock] or the name of a backend"},
	{"[guestlok]\n", "1: unknown section [guestlok]; did you mean [guestlock]?"},
	{"[a12345678901234567890123456789012345678901234567890]\n",
	 "1: \"a1234567890123456789012345678901234567890123456789\" cannot be a section; write [guestlock] "
	 "or the name of a backend"},
	{"[guestlock] lock_disks = no\n", "1: text behind section [guestlock]; put it on a line of its own"},
	{"\n[guestlock]\nlock_disks\n",
	 "3: \"lock_disks\" is neither a section nor a setting; write [SECTION] or KEY = VALUE"},
	{"[guestlock]\nlock_disks: no\n",
	 "2: \"lock_disks: no\" is neither a section nor a setting; write [SECTION] or KEY = VALUE"},
	{"[guestlock]\n= no\n",
	 "2: \"= no\" is neither a section nor a setting; write [SECTION] or KEY = VALUE"},
	{"[guestlock]\nlock_disks ; = no\n",
	 "2: this line cannot be understood; write [SECTION] or KEY = VALUE"},
	{"[guestlock]\nlog = /a\n  /b\n",
	 "3: \"/b\" is neither a section nor a setting; write [SECTION] or KEY = VALUE"},
	{"[guestlock]\nlog = /a\x1b[1m\n", "2: control character 0x1b; remove it"},
};

START_TEST(refuses)
{
	struct gl_settings *settings = NULL;
	char expected[PATH_MAX];

	ck_assert_int_eq(load_text(refused[_i].text, &settings), GUESTLOCK_CONFIG);
	ck_assert_ptr_null(settings);
	snprintf(expected, sizeof(expected), "%s/guestlock.conf:%s", directory, refused[_i].message);
	ck_assert_str_eq(err.message, expected);
	ck_assert_int_eq(err.code, GUESTLOCK_CONFIG);
}
END_TEST

START_TEST(refuses_nul)
{
	static const char text[] = "[guestlock]\nlog = /a\0b\n";
	struct gl_settings *settings = gl_settings_new();

	ck_assert_int_eq(gl_settings_parse(settings, "x", text, sizeof(text) - 1, &err), GUESTLOCK_CONFIG);
	ck_assert_str_eq(err.message, "x:2: control character 0x00; remove it");
	gl_settings_free(settings);
}
END_TEST

/* ---- Files ---- */

START_TEST(missing_files)
{
	struct guestlock_options options = {.size = sizeof(options), .config_file = file("missing", NULL)};
	struct gl_settings *settings = NULL;
	char expected[PATH_MAX];

	snprintf(expected, sizeof(expected),
		 "cannot read configuration file %s/missing: No such file or directory; check its path",
		 directory);
	ck_assert_int_eq(gl_settings_load(&options, &settings, &err), GUESTLOCK_CONFIG);
	ck_assert_str_eq(err.message, expected);
	ck_assert_int_eq(err.sys_errno, ENOENT);
	options.extra_file = options.config_file;
	options.config_file = NULL;
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(gl_settings_load(&options, &settings, &err), GUESTLOCK_CONFIG);
	ck_assert_str_eq(err.message, expected);
	options.extra_file = NULL;
	setenv("GUESTLOCK_CONFIG", file("missing", NULL), 1);
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(gl_settings_load(&options, &settings, &err), GUESTLOCK_CONFIG);
	ck_assert_str_eq(err.message, expected);
	ck_assert_int_eq(gl_settings_load(&options, &settings, NULL), GUESTLOCK_CONFIG);
	ck_assert_ptr_null(settings);
}
END_TEST

START_TEST(odd_files)
{
	struct guestlock_options options = {.size = sizeof(options), .config_file = directory};
	struct gl_settings *settings = NULL;
	char *text;

	ck_assert_int_eq(gl_settings_load(&options, &settings, &err), GUESTLOCK_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.message, "Is a directory"));
	options.config_file = "/dev/null";
	ck_assert_int_eq(gl_settings_load(&options, &settings, &err), 0);
	gl_settings_free(settings);
	settings = NULL;

	text = malloc(GL_CONFIG_MAX + 2);
	memset(text, '\n', GL_CONFIG_MAX + 1);
	text[GL_CONFIG_MAX + 1] = '\0';
	ck_assert_int_eq(load_text(text, &settings), GUESTLOCK_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.message, "has more than 65536 bytes"));
	text[GL_CONFIG_MAX] = '\0';
	ck_assert_int_eq(load_text(text, &settings), 0);
	gl_settings_free(settings);
	settings = NULL;
	free(text);

	options.config_file = file("guestlock.conf", NULL);
	ck_assert_int_eq(chmod(options.config_file, 0), 0);
	drop_root();
	ck_assert_int_eq(gl_settings_load(&options, &settings, &err), GUESTLOCK_DENIED);
	ck_assert_ptr_nonnull(strstr(err.message, "Permission denied; make it readable"));
}
END_TEST

START_TEST(directory_in_order)
{
	struct gl_settings *settings = gl_settings_new();

	ck_assert_int_eq(gl_settings_read_directory(settings, file("missing", NULL), &err), 0);
	ck_assert_int_eq(gl_settings_read_directory(settings, directory, &err), 0);
	ck_assert_uint_eq(settings->n_entries, 0);
	ck_assert_int_eq(mkdir(file("conf.d", NULL), 0700), 0);
	file("guestlock.conf", "[guestlock]\nlog = /main\nlog_level = error\nlock_disks = no\n");
	file("conf.d/50-x.conf", "[guestlock]\nlog = /50\nlog_level = debug\n");
	file("conf.d/9.conf", "[guestlock]\nlog = /9\n");
	file("conf.d/Z.conf", "[guestlock]\nlog_level = warning\n");
	file("conf.d/z.conf~", "[guestlock]\nbroken\n");
	file("conf.d/.hidden.conf", "[guestlock]\nbroken\n");
	file("conf.d/.conf", "[guestlock]\nbroken\n");
	ck_assert_int_eq(gl_settings_read_directory(settings, directory, &err), 0);
	ck_assert_int_eq(gl_settings_declare_core(settings, &err), 0);
	check_value(settings, "log", "/9", file("conf.d/9.conf:2", NULL));
	check_value(settings, "log_level", "warning", file("conf.d/Z.conf:2", NULL));
	check_value(settings, "lock_disks", "no", file("guestlock.conf:4", NULL));
	gl_settings_free(settings);
}
END_TEST

START_TEST(directory_with_a_fault)
{
	struct gl_settings *settings = gl_settings_new();

	ck_assert_int_eq(mkdir(file("conf.d", NULL), 0700), 0);
	file("conf.d/1.conf", "[guestlock]\nlog = maybe\n");
	file("conf.d/2.conf", "[guestlock]\nlog = auto\n");
	ck_assert_int_eq(gl_settings_read_directory(settings, directory, &err), 0);
	ck_assert_int_eq(gl_settings_declare_core(settings, &err), GUESTLOCK_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.message, "conf.d/1.conf:2: log = \"maybe\" is not possible"));
	gl_settings_free(settings);
}
END_TEST

START_TEST(precedence)
{
	static const char *const overrides[] = {"guestlock.log_level=debug", "guestlock.log_level=error",
						"guestlock.lock_guest=no", NULL};
	struct guestlock_options options = {
		.size = sizeof(options),
		.extra_file =
			file("extra", "[guestlock]\nlog = /extra\nlock_guest = yes\nlog_level = info\n"),
		.overrides = overrides,
	};
	struct gl_settings *settings;

	ck_assert_int_eq(gl_settings_load(&options, &settings, &err), 0);
	check_value(settings, "log", "/extra", file("extra:2", NULL));
	check_value(settings, "log_level", "error", "override");
	check_value(settings, "lock_guest", "no", "override");
	gl_settings_free(settings);

	setenv("GUESTLOCK_CONFIG", file("environment", "[guestlock]\nlog = /environment\n"), 1);
	ck_assert_int_eq(gl_settings_load(&options, &settings, &err), 0);
	check_value(settings, "log", "/environment", file("environment:2", NULL));
	check_value(settings, "log_level", "error", "override");
	gl_settings_free(settings);

	options.config_file = file("config", "[guestlock]\nlog = /config\n");
	ck_assert_int_eq(gl_settings_load(&options, &settings, &err), 0);
	check_value(settings, "log", "/config", file("config:2", NULL));
	gl_settings_free(settings);

	/* A caller that was built before there were overrides and extra files. */
	options.size = offsetof(struct guestlock_options, extra_file);
	ck_assert_int_eq(gl_settings_load(&options, &settings, &err), 0);
	check_value(settings, "log", "/config", file("config:2", NULL));
	check_value(settings, "log_level", "info", "default");
	gl_settings_free(settings);
}
END_TEST

static const struct {
	const char *text, *message;
} bad_overrides[] = {
	{"lock_disks=no",
	 "override \"lock_disks=no\" cannot be understood; write SECTION.KEY=VALUE, for example "
	 "guestlock.lock_guest=no"},
	{"guestlock.lock_disks",
	 "override \"guestlock.lock_disks\" cannot be understood; write SECTION.KEY=VALUE, for example "
	 "guestlock.lock_guest=no"},
	{"",
	 "override \"\" cannot be understood; write SECTION.KEY=VALUE, for example guestlock.lock_guest=no"},
	{"Guest.lock_disks=no", "override \"Guest.lock_disks=no\": \"Guest\" cannot be a setting; write "
				"SECTION.KEY=VALUE, for example "
				"guestlock.lock_guest=no"},
	{"guestlock.=no",
	 "override \"guestlock.=no\": \"\" cannot be a setting; write SECTION.KEY=VALUE, for "
	 "example guestlock.lock_guest=no"},
	{"guestlock.lock_disks=maybe",
	 "override guestlock.lock_disks: lock_disks = \"maybe\" is not possible; "
	 "lock_disks must be yes or no"},
	{"guestlock.lock_dsks=no",
	 "override guestlock.lock_dsks: unknown setting \"lock_dsks\" in [guestlock]; did "
	 "you mean \"lock_disks\"?"},
};

START_TEST(override_faults)
{
	const char *const overrides[] = {bad_overrides[_i].text, NULL};
	struct guestlock_options options = {
		.size = sizeof(options), .config_file = "/dev/null", .overrides = overrides};
	struct gl_settings *settings = NULL;

	ck_assert_int_eq(gl_settings_load(&options, &settings, &err), GUESTLOCK_CONFIG);
	ck_assert_str_eq(err.message, bad_overrides[_i].message);
	ck_assert_ptr_null(settings);
}
END_TEST

START_TEST(override_values)
{
	static const char *const overrides[] = {"guestlock.log=/a=b.c", "demo.lockspace=", NULL};
	struct guestlock_options options = {.size = sizeof(options),
					    .config_file = file("c", "[demo]\nlockspace = x\n"),
					    .overrides = overrides};
	struct gl_settings *settings;

	ck_assert_int_eq(gl_settings_load(&options, &settings, &err), 0);
	check_value(settings, "log", "/a=b.c", "override");
	ck_assert_int_eq(gl_settings_declare(settings, "demo", module_options, &err), 0);
	ck_assert_str_eq(gl_settings_string(settings, "demo", "lockspace"), "");
	ck_assert_str_eq(find(settings, "demo", "lockspace")->origin, "override");
	gl_settings_free(settings);
}
END_TEST

/* ---- Modules ---- */

START_TEST(module_defaults)
{
	struct gl_settings *settings = must_load("[guestlock]\nstate_dir = /state/\nrun_dir = /run//x\n");
	size_t before, count;

	gl_settings_all(settings, &before);
	ck_assert_int_eq(gl_settings_declare(settings, "demo", module_options, &err), 0);
	ck_assert_int_eq(gl_settings_declare(settings, "demo", module_options, &err), 0);
	gl_settings_all(settings, &count);
	ck_assert_uint_eq(count, before + 5);
	ck_assert_str_eq(gl_settings_string(settings, "demo", "lock_dir"), "/state/demo");
	ck_assert_str_eq(gl_settings_string(settings, "demo", "socket"), "/run/x/socket");
	ck_assert_str_eq(gl_settings_string(settings, "demo", "lockspace"), "guestlock");
	ck_assert_str_eq(gl_settings_string(settings, "demo", "host_id"), "");
	ck_assert_uint_eq(gl_settings_uint(settings, "demo", "host_id"), 0);
	ck_assert(!gl_settings_bool(settings, "demo", "careless"));
	ck_assert_str_eq(find(settings, "demo", "host_id")->type, "uint");
	ck_assert_str_eq(find(settings, "demo", "lock_dir")->help, "where the locks are");
	gl_settings_free(settings);
}
END_TEST

START_TEST(module_values)
{
	struct gl_settings *settings = must_load("[demo]\nlock_dir = @state_dir@\nhost_id = 4294967295\n");

	ck_assert_int_eq(gl_settings_declare(settings, "demo", module_options, &err), GUESTLOCK_CONFIG);
	ck_assert_ptr_nonnull(
		strstr(err.message, "guestlock.conf:2: lock_dir = \"@state_dir@\" is not possible"));
	gl_settings_free(settings);
	settings = must_load("[demo]\nlock_dir = /l\nhost_id = 4294967295\ncareless = yes\n");
	ck_assert_int_eq(gl_settings_declare(settings, "demo", module_options, &err), 0);
	ck_assert_uint_eq(gl_settings_uint(settings, "demo", "host_id"), UINT32_MAX);
	ck_assert(gl_settings_bool(settings, "demo", "careless"));
	gl_settings_free(settings);
}
END_TEST

START_TEST(module_faults)
{
	struct gl_settings *settings =
		must_load("[demo]\nlockspace = x\nhost_id = 4294967296\n[other]\nx = y\n");
	size_t before, count;

	gl_settings_all(settings, &before);
	ck_assert_int_eq(gl_settings_declare(settings, "demo", module_options, &err), GUESTLOCK_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.message,
				     ":3: host_id = \"4294967296\" is not possible; host_id must be a "
				     "whole number from 0 to 4294967295"));
	ck_assert_int_eq(gl_settings_declare(settings, "other", module_options, &err), GUESTLOCK_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.message,
				     ":5: unknown setting \"x\" in [other]; it knows lock_dir, socket, "
				     "lockspace, host_id, careless"));
	gl_settings_all(settings, &count);
	ck_assert_uint_eq(count, before);
	ck_assert_int_eq(gl_settings_declare(settings, "other", module_options + 5, &err), GUESTLOCK_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.message, "it knows no settings"));
	gl_settings_free(settings);
}
END_TEST

START_TEST(edit_distance)
{
	ck_assert_uint_eq(gl_edit_distance("", ""), 0);
	ck_assert_uint_eq(gl_edit_distance("abc", ""), 3);
	ck_assert_uint_eq(gl_edit_distance("", "abc"), 3);
	ck_assert_uint_eq(gl_edit_distance("kitten", "sitting"), 3);
	ck_assert_uint_eq(gl_edit_distance("same", "same"), 0);
	ck_assert_uint_eq(gl_edit_distance("a12345678901234567890123456789012345678901234567890", "a"),
			  UINT_MAX);
}
END_TEST

Suite *settings_suite(void)
{
	Suite *suite = suite_create("settings");
	TCase *tests = tcase_create("settings");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, default_values);
	tcase_add_test(tests, directories_of_root);
	tcase_add_test(tests, directories_of_a_session);
	tcase_add_test(tests, directories_without_a_session);
	tcase_add_test(tests, run_dir_follows_state_dir);
	tcase_add_test(tests, shipped_file);
	tcase_add_test(tests, reads_every_form);
	tcase_add_test(tests, longest_line);
	tcase_add_loop_test(tests, refuses, 0, (int)GL_COUNT(refused));
	tcase_add_test(tests, refuses_nul);
	tcase_add_test(tests, missing_files);
	tcase_add_test(tests, odd_files);
	tcase_add_test(tests, directory_in_order);
	tcase_add_test(tests, directory_with_a_fault);
	tcase_add_test(tests, precedence);
	tcase_add_loop_test(tests, override_faults, 0, (int)GL_COUNT(bad_overrides));
	tcase_add_test(tests, override_values);
	tcase_add_test(tests, module_defaults);
	tcase_add_test(tests, module_values);
	tcase_add_test(tests, module_faults);
	tcase_add_test(tests, edit_distance);
	suite_add_tcase(suite, tests);
	return suite;
}
