/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "contract.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MAX_OVERRIDES (2 * CONTRACT_SETTINGS + 8)

struct host host_a, host_b;

void contract_sleep_us(unsigned us)
{
	struct timespec pause = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};

	nanosleep(&pause, NULL);
}

static void count_warning(void *data, enum guestlock_log_level level, const char *message)
{
	struct host *host = data;

	ck_assert_ptr_nonnull(message);
	ck_assert_ptr_null(strchr(message, '\n'));
	if (level <= GUESTLOCK_LOG_WARNING) {
		__atomic_add_fetch(&host->warnings, 1, __ATOMIC_RELAXED);
	}
}

static char *format(const char *text, const char *a, const char *b) __attribute__((format_arg(1)));
static char *format(const char *text, const char *a, const char *b)
{
	char *out;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	ck_assert_int_gt(asprintf(&out, text, a, b), 0);
#pragma GCC diagnostic pop
	return out;
}

static size_t add_overrides(char **overrides, size_t count, const char *const *options)
{
	size_t i;

	for (i = 0; i < CONTRACT_SETTINGS && options[i]; i++) {
		overrides[count++] = format("%s.%s", contract.name, options[i]);
	}
	return count;
}

static void load_settings(struct host *host, const char *scheme, const char *const *own, const char *extra)
{
	const char *const extras[CONTRACT_SETTINGS] = {extra};
	char *overrides[MAX_OVERRIDES] = {NULL};
	char *config = format("%s/%s", contract.dir, "empty.conf");
	struct guestlock_options options = {.size = sizeof(options), .config_file = config};
	struct guestlock_error err = {0};
	size_t count = 0, i;
	int fd = open(config, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
	overrides[count++] = format("guestlock.%s=%s", "backend", contract.name);
	overrides[count++] = format("guestlock.%s=%s", "run_dir", host->run_dir);
	overrides[count++] = format("guestlock.%s=%s", "disk_identity", scheme);
	overrides[count++] = format("guestlock.state_dir=%s/%s", contract.dir, "state");
	count = add_overrides(overrides, count, contract.options);
	count = add_overrides(overrides, count, own);
	count = add_overrides(overrides, count, extras);
	options.overrides = (const char *const *)overrides;
	ck_assert_msg(gl_settings_load(&options, &host->settings, &err) == 0, "%s", err.message);
	ck_assert_msg(gl_settings_declare(host->settings, contract.name, contract.module->options, &err) == 0,
		      "%s", err.message);
	for (i = 0; i < count; i++) {
		free(overrides[i]);
	}
	free(config);
}

/* Its functions are asked of a keeper of this host, which starts when the first is. */
static void put_behind_keeper(struct host *host)
{
	struct guestlock_error err = {.message = ""};

	if (contract.behind) {
		ck_assert_msg(
			gl_keeper_new(host->settings, contract.name, host->run_dir, &host->keeper, &err) == 0,
			"%s", err.message);
		host->context.keeper = host->keeper;
	}
}

bool host_keeper(const struct host *host, pid_t *out_guard, pid_t *out_worker)
{
	struct guestlock_error ignored;
	struct gl_keeper_about about;

	if (!host->keeper || gl_keeper_ask_about(host->keeper, guestlock_monotonic_ms() + CONTRACT_WAIT_MS,
						 &about, &ignored) < 0) {
		return false;
	}
	*out_guard = about.guard;
	*out_worker = about.worker;
	return true;
}

/* Ends it, and waits until both of its processes are gone: then the lock is free. */
static void end_keeper(struct host *host)
{
	char *lock = format("%s/%s", host->run_dir, GL_KEEPER_LOCK);
	int64_t deadline_ms = guestlock_monotonic_ms() + CONTRACT_WAIT_MS;
	pid_t guard, worker;
	int fd;

	if (host_keeper(host, &guard, &worker)) {
		kill(worker, SIGTERM);
		fd = open(lock, O_RDWR | O_CLOEXEC);
		while (guestlock_ofd_lock(fd, F_WRLCK) < 0) {
			ck_assert_int_lt(guestlock_monotonic_ms(), deadline_ms);
			contract_sleep_us(5000);
			/* It may have been killed before it had told the guard. */
			if (host_keeper(host, &guard, &worker)) {
				kill(worker, SIGTERM);
			}
		}
		close(fd);
	}
	gl_keeper_free(host->keeper);
	free(lock);
}

void host_enter(const struct host *host)
{
	for (size_t i = 0; i < CONTRACT_SETTINGS && host->environment[i]; i++) {
		const char *value = strchr(host->environment[i], '=');
		char *name = strndup(host->environment[i], (size_t)(value - host->environment[i]));

		contract_expect(name && setenv(name, value + 1, 1) == 0);
		free(name);
	}
}

/* There is no guard: what is kept is kept by this process alone. */
static bool keep_here(struct guestlock_kept *kept)
{
	(void)kept;
	return true;
}

enum guestlock_result host_make(struct host *host, const char *name, const char *scheme, const char *extra,
				struct guestlock_error *err)
{
	bool is_b = strcmp(name, "host-b") == 0;
	const char *const *own = is_b ? contract.options_b : contract.options_a;

	*host = (struct host){.name = strdup(contract.host ? contract.host : name),
			      .run_dir = format("%s/run %s", contract.dir, name),
			      .environment = is_b ? contract.environment_b : contract.environment_a};
	host_enter(host);
	ck_assert_int_eq(gl_make_directory(host->run_dir, 0700), 0);
	load_settings(host, scheme, own, extra);
	host->context = (struct guestlock_backend_context){
		.settings = host->settings,
		.log = count_warning,
		.log_data = host,
		.log_level = GUESTLOCK_LOG_DEBUG,
	};
	host->backend = calloc(1, contract.module->instance_size);
	ck_assert_ptr_nonnull(host->backend);
	host->backend->module = contract.behind ? contract.behind : contract.module;
	host->backend->context = &host->context;
	put_behind_keeper(host);
	host->backend->run_dir = host->run_dir;
	host->backend->run_id = host->run_dir;
	host->backend->host = host->name;
	host->backend->identity_scheme = scheme;
	host->kept = (struct guestlock_kept){.keep = keep_here};
	*err = (struct guestlock_error){0};
	enum guestlock_result result = contract.module->ops->init(host->backend, err);

	if (result == GUESTLOCK_RES_GRANTED) {
		host->life_dir = host->backend->life_dir ? strdup(host->backend->life_dir)
							 : format("%s/%s", host->run_dir, "life");
		host->backend->life_dir = host->life_dir;
	}
	return result;
}

enum guestlock_result host_join(struct host *host, struct guestlock_error *err)
{
	int64_t deadline_ms = guestlock_monotonic_ms() + CONTRACT_WAIT_MS;

	for (;;) {
		enum guestlock_result result;

		*err = (struct guestlock_error){0};
		result = contract.module->ops->join(host->backend, &host->kept, err);
		ck_assert_int_eq(result == GUESTLOCK_RES_GRANTED, err->message[0] == '\0');
		if ((result != GUESTLOCK_RES_NOT_JOINED && result != GUESTLOCK_RES_AGAIN) ||
		    guestlock_monotonic_ms() > deadline_ms) {
			return result;
		}
		contract_sleep_us(1000);
	}
}

struct dead {
	char keys[CONTRACT_KEYS][GUESTLOCK_KEY_SIZE];
	size_t count;
	const struct host *host;
};

static int note_dead(void *data, const struct guestlock_lock *lock)
{
	struct dead *dead = data;

	if (lock->readable &&
	    guestlock_owner_life(&lock->owner, dead->host->life_dir) == GUESTLOCK_LIFE_DEAD) {
		memcpy(dead->keys[dead->count++], lock->key.key, GUESTLOCK_KEY_SIZE);
	}
	return dead->count == CONTRACT_KEYS;
}

void host_reap(const struct host *host)
{
	const struct guestlock_backend_ops *ops = contract.module->ops;
	struct guestlock_error ignored;
	struct dead dead = {.host = host};

	if (contract_can(GUESTLOCK_CAP_MAY_BLOCK) && host->backend &&
	    ops->enumerate(host->backend, note_dead, NULL, &dead, &ignored) == GUESTLOCK_RES_GRANTED) {
		for (size_t i = 0; i < dead.count; i++) {
			ops->release_orphan(host->backend, dead.keys[i], false, &ignored);
		}
	}
}

void host_free(struct host *host)
{
	end_keeper(host);
	contract.module->ops->finish(host->backend);
	free(host->backend);
	gl_settings_free(host->settings);
	free(host->life_dir);
	free(host->run_dir);
	free(host->name);
	*host = (struct host){0};
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void contract_remove(const char *directory)
{
	nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void start_host(struct host *host, const char *name)
{
	struct guestlock_error err;

	ck_assert_msg(host_make(host, name, "auto", NULL, &err) == GUESTLOCK_RES_GRANTED, "%s", err.message);
	ck_assert_msg(host_join(host, &err) == GUESTLOCK_RES_GRANTED, "%s", err.message);
}

void contract_setup(void)
{
	contract.dir = format("%s/%s", contract.base, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(contract.dir));
	start_host(&host_a, "host-a");
	start_host(&host_b, "host-b");
}

void contract_teardown(void)
{
	host_free(&host_a);
	host_free(&host_b);
	contract_remove(contract.dir);
	free(contract.dir);
	contract.dir = NULL;
}

TCase *contract_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, contract_setup, contract_teardown);
	suite_add_tcase(suite, tcase);
	return tcase;
}

void keys_make(struct keys *keys, const char *group)
{
	size_t i;

	for (i = 0; i < CONTRACT_KEYS; i++) {
		char *identity = keys->identity[i];

		snprintf(identity, sizeof(keys->identity[i]), "file:/%.40s/%zu", group, i);
		keys->key[i] = (struct guestlock_key){.type = GUESTLOCK_DISK, .identity = identity};
		/* Different in each run: a technology may remember. */
		char *text = format("%s %s", identity, contract.dir);

		guestlock_digest(text, strlen(text), keys->key[i].key);
		free(text);
	}
}
