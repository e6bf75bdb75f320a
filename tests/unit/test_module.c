/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backend/module.h"
#include "base/base.h"
#include "suites.h"
#include "temporary.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[PATH_MAX / 4];
static struct guestlock_error err;

static void setup(void)
{
	temporary_make(directory, sizeof(directory), "module");
	memset(&err, 0, sizeof(err));
}

static void teardown(void)
{
	temporary_remove(directory);
}

/* ---- A descriptor that is right, to be made wrong ---- */

static enum guestlock_result do_err(struct guestlock_backend *backend, struct guestlock_error *e)
{
	(void)backend;
	(void)e;
	return GUESTLOCK_RES_GRANTED;
}

static void do_finish(struct guestlock_backend *backend)
{
	(void)backend;
}

static enum guestlock_result do_join(struct guestlock_backend *backend, struct guestlock_kept *kept,
				     struct guestlock_error *e)
{
	(void)kept;
	return do_err(backend, e);
}

static enum guestlock_join_state do_status(struct guestlock_backend *backend, struct guestlock_error *e)
{
	(void)backend;
	(void)e;
	return GUESTLOCK_JOIN_JOINED;
}

static enum guestlock_result do_batch(struct guestlock_backend *backend, struct guestlock_batch *batch,
				      struct guestlock_error *e)
{
	(void)batch;
	return do_err(backend, e);
}

static enum guestlock_result do_enumerate(struct guestlock_backend *backend, guestlock_enumerate_fn *visit,
					  guestlock_unchanged_fn *unchanged, void *data,
					  struct guestlock_error *e)
{
	(void)visit;
	(void)unchanged;
	(void)data;
	return do_err(backend, e);
}

static enum guestlock_result do_orphan(struct guestlock_backend *backend, const char *key, bool force,
				       struct guestlock_error *e)
{
	(void)key;
	(void)force;
	return do_err(backend, e);
}

static enum guestlock_result do_unprovision(struct guestlock_backend *backend, unsigned unused_s,
					    struct guestlock_error *e)
{
	(void)unused_s;
	return do_err(backend, e);
}

static enum guestlock_result do_survey(struct guestlock_backend *backend, const char *key,
				       int64_t deadline_ms, guestlock_enumerate_fn *visit,
				       guestlock_silent_fn *silent, void *data, struct guestlock_error *e)
{
	(void)key;
	(void)deadline_ms;
	(void)visit;
	(void)silent;
	(void)data;
	return do_err(backend, e);
}

static int do_watch(struct guestlock_backend *backend, struct guestlock_error *e)
{
	(void)backend;
	(void)e;
	return -1;
}

static int do_next_event(struct guestlock_backend *backend, struct guestlock_event *out_event)
{
	(void)backend;
	(void)out_event;
	return 0;
}

static bool do_busy(struct guestlock_backend *backend)
{
	(void)backend;
	return false;
}

static struct guestlock_option options[4];
static struct guestlock_backend_ops ops;
static struct guestlock_module module;

static void make_right(void)
{
	ops = (struct guestlock_backend_ops){
		.init = do_err,
		.finish = do_finish,
		.probe = do_err,
		.join = do_join,
		.leave = do_err,
		.status = do_status,
		.bind = do_batch,
		.acquire = do_batch,
		.release = do_batch,
		.inquire = do_batch,
		.enumerate = do_enumerate,
		.release_orphan = do_orphan,
	};
	memset(options, 0, sizeof(options));
	options[0] =
		(struct guestlock_option){"dir", GUESTLOCK_OPTION_PATH, "@state_dir@/demo", false, "where"};
	options[1] = (struct guestlock_option){"host_id", GUESTLOCK_OPTION_UINT, NULL, true, "who"};
	module = (struct guestlock_module){
		.abi = GUESTLOCK_BACKEND_ABI,
		.name = "demo",
		.description = "locks nothing",
		.instance_size = sizeof(struct guestlock_backend),
		.options = options,
		.ops = &ops,
	};
	memset(&err, 0, sizeof(err));
}

static void make_complete(void)
{
	make_right();
	module.capabilities = GUESTLOCK_CAP_HANDOVER | GUESTLOCK_CAP_UNPROVISION | GUESTLOCK_CAP_WATCH |
			      GUESTLOCK_CAP_SHARED | GUESTLOCK_CAP_LOSS_ACTION | GUESTLOCK_CAP_CLUSTER |
			      GUESTLOCK_CAP_BIND_HERE | GUESTLOCK_CAP_HOSTS | GUESTLOCK_CAP_MAY_BLOCK;
	ops.convert = do_batch;
	ops.survey = do_survey;
	ops.unprovision = do_unprovision;
	ops.watch = do_watch;
	ops.next_event = do_next_event;
	ops.busy = do_busy;
}

static void check_wrong(const char *message)
{
	char expected[600];

	ck_assert_int_eq(gl_module_check(&module, "demo", &err), GUESTLOCK_INVALID);
	snprintf(expected, sizeof(expected), "%s; install a corrected one", message);
	ck_assert_str_eq(err.message, expected);
	ck_assert_int_eq(err.code, GUESTLOCK_INVALID);
	ck_assert_int_eq(gl_module_check(&module, "demo", NULL), GUESTLOCK_INVALID);
	make_right();
}

START_TEST(right)
{
	make_right();
	ck_assert_int_eq(gl_module_check(&module, "demo", &err), 0);
	ck_assert_str_eq(err.message, "");
	make_complete();
	ck_assert_int_eq(gl_module_check(&module, "demo", &err), 0);
	module.limits.key_size = 43;
	ck_assert_int_eq(gl_module_check(&module, "demo", &err), 0);
	options[0].name = NULL;
	ck_assert_int_eq(gl_module_check(&module, "demo", &err), 0);
}
END_TEST

START_TEST(wrong_identity)
{
	make_right();
	module.abi = GUESTLOCK_BACKEND_ABI + 1;
	module.name = (const char *)16; /* of another shape: must not be looked at */
	ck_assert_int_eq(gl_module_check(&module, "demo", &err), GUESTLOCK_INVALID);
	ck_assert_str_eq(err.message,
			 "the module is made for interface 2 but this is interface 1; install the one "
			 "that belongs to this version");
	make_right();
	module.name = "Demo";
	check_wrong("the module calls itself \"Demo\", not \"demo\" like its file");
	module.name = NULL;
	check_wrong("the module calls itself \"\", not \"demo\" like its file");
	module.description = NULL;
	check_wrong("the module has no description of one line");
	module.description = "";
	check_wrong("the module has no description of one line");
	module.description = "two\nlines";
	check_wrong("the module has no description of one line");
	module.capabilities = GUESTLOCK_CAP_HOSTS << 1;
	check_wrong("the module claims capabilities 0x2000, of which some are not known");
	module.capabilities = GUESTLOCK_CAP_BIND_HERE | GUESTLOCK_CAP_ADOPT;
	check_wrong(
		"the module claims capabilities adopt and bind-here, but who is adopted cannot bind itself");
	module.ops = NULL;
	check_wrong("the module has no table of functions");
	module.name = "guestlock";
	ck_assert_int_eq(gl_module_check(&module, "guestlock", &err), GUESTLOCK_INVALID);
	ck_assert_str_eq(err.message,
			 "\"guestlock\" cannot be the name of a backend; install a corrected one");
}
END_TEST

START_TEST(wrong_sizes)
{
	char message[128];

	make_right();
	module.instance_size--;
	snprintf(message, sizeof(message), "the module's instance has %zu bytes but needs at least %zu",
		 sizeof(struct guestlock_backend) - 1, sizeof(struct guestlock_backend));
	check_wrong(message);
	module.limits.key_size = 42;
	check_wrong("the module locks keys of 42 bytes, but keys have 43");
}
END_TEST

/* Every function that is always needed, one after the other. */
static const struct {
	const char *name;
	size_t offset;
} needed[] = {
#define NEEDED(member)                                                                                       \
	{                                                                                                    \
#member, offsetof(struct guestlock_backend_ops, member)                                      \
	}
	NEEDED(init),    NEEDED(finish),  NEEDED(probe),     NEEDED(join),
	NEEDED(leave),   NEEDED(status),  NEEDED(bind),      NEEDED(acquire),
	NEEDED(release), NEEDED(inquire), NEEDED(enumerate), NEEDED(release_orphan),
};

START_TEST(needed_functions)
{
	char message[128];

	make_right();
	memset((char *)&ops + needed[_i].offset, 0, sizeof(ops.init));
	snprintf(message, sizeof(message), "the module has no function %s, which every backend needs",
		 needed[_i].name);
	check_wrong(message);
}
END_TEST

/* Every function that goes with a capability: without the function, and without the bit. */
static const struct {
	const char *name, *capability;
	size_t offset;
} paired[] = {
#define PAIRED(member, capability)                                                                           \
	{                                                                                                    \
#member, capability, offsetof(struct guestlock_backend_ops, member)                          \
	}
	PAIRED(convert, "handover"), PAIRED(survey, "cluster"),   PAIRED(unprovision, "unprovision"),
	PAIRED(watch, "watch"),      PAIRED(next_event, "watch"), PAIRED(busy, "may-block"),
};

START_TEST(paired_functions)
{
	struct guestlock_backend_ops complete;
	char message[128];

	make_complete();
	complete = ops;
	memset((char *)&ops + paired[_i].offset, 0, sizeof(ops.init));
	snprintf(message, sizeof(message), "the module claims capability %s but has no function %s",
		 paired[_i].capability, paired[_i].name);
	check_wrong(message);

	memcpy((char *)&ops + paired[_i].offset, (const char *)&complete + paired[_i].offset,
	       sizeof(ops.init));
	snprintf(message, sizeof(message), "the module does not claim capability %s but has a function %s",
		 paired[_i].capability, paired[_i].name);
	check_wrong(message);
}
END_TEST

START_TEST(wrong_options)
{
	make_right();
	module.options = NULL;
	check_wrong("the module has no table of options");
	options[0].name = "Dir";
	check_wrong("\"Dir\" cannot be the name of an option");
	options[1].name = "dir";
	check_wrong("option dir is there twice");
	options[0].type = (enum guestlock_option_type)4;
	check_wrong("option dir has unknown type 4");
	options[0].type = (enum guestlock_option_type) - 1;
	check_wrong("option dir has unknown type -1");
	options[0].help = NULL;
	check_wrong("option dir has no help text");
	options[0].help = "";
	check_wrong("option dir has no help text");
	options[1].default_value = "1";
	check_wrong("option host_id is required and has a default");
	options[0].default_value = NULL;
	check_wrong("option dir is not required and has no default");
	options[0].default_value = "@home@/x";
	check_wrong("option dir has default \"@home@/x\" but must be an absolute path, beginning with /");
	options[1].required = false;
	options[1].default_value = "many";
	check_wrong("option host_id has default \"many\" but must be a whole number from 0 to 4294967295");
	options[0].type = GUESTLOCK_OPTION_BOOL;
	options[0].default_value = "true";
	check_wrong("option dir has default \"true\" but must be yes or no");
}
END_TEST

START_TEST(right_options)
{
	static const char *const paths[] = {"/a", "@run_dir@/a", "@state_dir@/a", ""};
	size_t i;

	for (i = 0; i < GL_COUNT(paths); i++) {
		make_right();
		options[0].default_value = paths[i];
		ck_assert_int_eq(gl_module_check(&module, "demo", &err), 0);
	}
}
END_TEST

/* ---- Finding and loading ---- */

static void put_file(const char *name, const char *text)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	ck_assert_int_eq(guestlock_write_file(path, text, strlen(text), 0644), 0);
}

static void check_load(const char *name, int status, const char *message)
{
	struct gl_module loaded = {.file = directory};

	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(gl_module_load(name, &loaded, &err), status);
	ck_assert_str_eq(err.message, message);
	ck_assert_ptr_eq(loaded.file, directory);
}

START_TEST(bogus_files)
{
	char message[3 * PATH_MAX];

	setenv("GUESTLOCK_BACKEND_PATH", directory, 1);
	put_file("empty.so", "");
	put_file("bogus.so",
		 "this is no ELF file, and it is long enough for the loader to look at it closely......");
	snprintf(message, sizeof(message),
		 "cannot load backend \"empty\" from %s/empty.so: file too short; install it again",
		 directory);
	check_load("empty", GUESTLOCK_INVALID, message);
	snprintf(message, sizeof(message),
		 "cannot load backend \"bogus\" from %s/bogus.so: invalid ELF header; install it again",
		 directory);
	check_load("bogus", GUESTLOCK_INVALID, message);
}
END_TEST

/* Any shared library will do that is no module. */
START_TEST(foreign_library)
{
	static const char *const libraries[] = {"/lib/x86_64-linux-gnu/libm.so.6",
						"/lib/aarch64-linux-gnu/libm.so.6", "/lib64/libm.so.6",
						"/usr/lib/libm.so.6"};
	char link[PATH_MAX], message[3 * PATH_MAX];
	size_t i;

	setenv("GUESTLOCK_BACKEND_PATH", directory, 1);
	snprintf(link, sizeof(link), "%s/foreign.so", directory);
	for (i = 0; i < GL_COUNT(libraries) && access(libraries[i], R_OK) < 0; i++) {
	}
	if (i == GL_COUNT(libraries)) {
		return;
	}
	ck_assert_int_eq(symlink(libraries[i], link), 0);
	snprintf(message, sizeof(message),
		 "cannot load backend \"foreign\" from %s: it has no guestlock_backend_module and so is no "
		 "backend; remove it",
		 link);
	check_load("foreign", GUESTLOCK_INVALID, message);
}
END_TEST

START_TEST(not_found)
{
	char path[PATH_MAX], message[3 * PATH_MAX];

	snprintf(path, sizeof(path), ":%s/missing::%s:", directory, directory);
	setenv("GUESTLOCK_BACKEND_PATH", path, 1);
	put_file("zebra-1.so", "");
	put_file("ape.so", "");
	put_file("ape.la", "");
	put_file("Bad.so", "");
	put_file(".so", "");
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(gl_module_load("lion", &(struct gl_module){0}, &err), GUESTLOCK_NOT_FOUND);
	snprintf(message, sizeof(message), "cannot load backend \"lion\": no lion.so in %s/missing, %s, ",
		 directory, directory);
	ck_assert_int_eq(strncmp(err.message, message, strlen(message)), 0);
	ck_assert_ptr_nonnull(strstr(err.message, "; install it, or choose one that is there ("));
	ck_assert_ptr_nonnull(strstr(err.message, "ape"));
	ck_assert_ptr_nonnull(strstr(err.message, "zebra-1"));
	ck_assert_ptr_null(strstr(err.message, "Bad"));
	ck_assert_int_eq(err.sys_errno, ENOENT);
}
END_TEST

START_TEST(names)
{
	char path[PATH_MAX];
	char **found;
	size_t count, i;
	bool ape = false, zebra = false;

	snprintf(path, sizeof(path), "%s:%s/missing:%s", directory, directory, directory);
	setenv("GUESTLOCK_BACKEND_PATH", path, 1);
	put_file("zebra-1.so", "");
	put_file("ape.so", "");
	ck_assert_int_eq(gl_module_names(&found, &count, &err), 0);
	for (i = 0; i < count; i++) {
		ck_assert(i == 0 || strcmp(found[i - 1], found[i]) < 0);
		ape = ape || strcmp(found[i], "ape") == 0;
		zebra = zebra || strcmp(found[i], "zebra-1") == 0;
	}
	ck_assert(ape && zebra);
	gl_module_names_free(found, count);
	gl_module_names_free(NULL, 0);
}
END_TEST

static const char *const bad_names[] = {
	"",   "..", "../evil", "/etc/evil", "a/b", "A",
	"1a", "-a", "a_b",     "a.b",       "a\n", "a12345678901234567890123456789012345678901234567890"};

START_TEST(name_checked)
{
	setenv("GUESTLOCK_BACKEND_PATH", directory, 1);
	ck_assert_int_eq(gl_module_load(bad_names[_i], &(struct gl_module){0}, &err), GUESTLOCK_INVALID);
	ck_assert_ptr_nonnull(strstr(err.message, "cannot be the name of a backend; use small letters"));
}
END_TEST

START_TEST(unreadable)
{
	char path[PATH_MAX];

	if (geteuid() == 0) {
		return;
	}
	setenv("GUESTLOCK_BACKEND_PATH", directory, 1);
	put_file("ape.so", "");
	snprintf(path, sizeof(path), "%s/ape.so", directory);
	ck_assert_int_eq(chmod(path, 0), 0);
	ck_assert_int_eq(gl_module_load("ape", &(struct gl_module){0}, &err), GUESTLOCK_DENIED);
	ck_assert_ptr_nonnull(strstr(err.message, "Permission denied; make the file readable"));
}
END_TEST

START_TEST(unload_nothing)
{
	struct gl_module nothing = {0};

	gl_module_unload(&nothing);
	ck_assert_ptr_null(nothing.handle);
}
END_TEST

START_TEST(capability_names)
{
	static const char *const expected[] = {
		"shared",      "handover", "hotplug",     "guest-only", "adopt",     "epoch", "may-block",
		"unprovision", "watch",    "loss-action", "cluster",    "bind-here", "hosts"};
	unsigned bit;

	for (bit = 0; bit < GL_COUNT(expected); bit++) {
		ck_assert_str_eq(guestlock_capability_name(bit), expected[bit]);
	}
	ck_assert_uint_eq(1U << (bit - 1), GUESTLOCK_CAP_HOSTS);
	ck_assert_ptr_null(guestlock_capability_name(bit));
	ck_assert_ptr_null(guestlock_capability_name(UINT_MAX));
}
END_TEST

/* ---- What a backend may ask ---- */

struct heard {
	unsigned count;
	enum guestlock_log_level level;
	char message[2048];
};

static void hear(void *data, enum guestlock_log_level level, const char *message)
{
	struct heard *heard = data;

	heard->count++;
	heard->level = level;
	snprintf(heard->message, sizeof(heard->message), "%s", message);
}

START_TEST(backend_log)
{
	struct heard heard = {0};
	struct guestlock_backend_context context = {
		.log = hear, .log_data = &heard, .log_level = GUESTLOCK_LOG_INFO};
	struct guestlock_backend backend = {.module = &module, .context = &context};

	make_right();
	guestlock_backend_log(&backend, GUESTLOCK_LOG_INFO, "%s is\n%d", "this", 1);
	ck_assert_uint_eq(heard.count, 1);
	ck_assert_int_eq(heard.level, GUESTLOCK_LOG_INFO);
	ck_assert_str_eq(heard.message, "this is\\x0a1");
	guestlock_backend_log(&backend, GUESTLOCK_LOG_DEBUG, "not heard");
	ck_assert_uint_eq(heard.count, 1);
	guestlock_backend_log(&backend, GUESTLOCK_LOG_ERROR, "heard");
	ck_assert_uint_eq(heard.count, 2);
	context.log = NULL;
	guestlock_backend_log(&backend, GUESTLOCK_LOG_ERROR, "nobody there");
}
END_TEST

START_TEST(backend_options)
{
	static const char *const overrides[] = {"demo.host_id=7", "guestlock.state_dir=/s", NULL};
	struct guestlock_options given = {
		.size = sizeof(given), .config_file = "/dev/null", .overrides = overrides};
	struct guestlock_backend_context context = {0};
	struct guestlock_backend backend = {.module = &module, .context = &context};
	struct gl_settings *settings;

	make_right();
	options[2] = (struct guestlock_option){"safe", GUESTLOCK_OPTION_BOOL, "yes", false, "really"};
	ck_assert_int_eq(gl_settings_load(&given, &settings, &err), 0);
	ck_assert_int_eq(gl_settings_declare(settings, "demo", options, &err), 0);
	context.settings = settings;
	ck_assert_str_eq(guestlock_option_string(&backend, "dir"), "/s/demo");
	ck_assert_uint_eq(guestlock_option_uint(&backend, "host_id"), 7);
	ck_assert(guestlock_option_bool(&backend, "safe"));
	ck_assert_str_eq(guestlock_option_string(&backend, "unheard-of"), "");
	gl_settings_free(settings);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("module");
	TCase *check = tcase_create("check");
	TCase *load = tcase_create("load");
	TCase *context = tcase_create("context");

	tcase_add_test(check, right);
	tcase_add_test(check, wrong_identity);
	tcase_add_test(check, wrong_sizes);
	tcase_add_loop_test(check, needed_functions, 0, (int)GL_COUNT(needed));
	tcase_add_loop_test(check, paired_functions, 0, (int)GL_COUNT(paired));
	tcase_add_test(check, wrong_options);
	tcase_add_test(check, right_options);
	tcase_add_test(check, capability_names);
	suite_add_tcase(suite, check);

	tcase_add_checked_fixture(load, setup, teardown);
	tcase_add_test(load, bogus_files);
	tcase_add_test(load, foreign_library);
	tcase_add_test(load, not_found);
	tcase_add_test(load, names);
	tcase_add_loop_test(load, name_checked, 0, (int)GL_COUNT(bad_names));
	tcase_add_test(load, unreadable);
	tcase_add_test(load, unload_nothing);
	suite_add_tcase(suite, load);

	tcase_add_test(context, backend_log);
	tcase_add_test(context, backend_options);
	suite_add_tcase(suite, context);
	return suite;
}
