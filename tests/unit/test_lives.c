/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which life of a uuid a handle is for: through the library, with the fcntl backend and real processes. */
#include "base/base.h"
#include "child.h"
#include "guest/guest.h"
#include "life/procfs.h"
#include "suites.h"
#include "temporary.h"

#include <fcntl.h>
#include <pthread.h>

#define UUID "11fe0000-1111-4222-8333-444444444444"

static char top[512];
static char disks[3][640];
static struct guestlock *gl;

static void setup_base(void)
{
	temporary_make(top, sizeof(top), "lives");
	for (size_t i = 0; i < GL_COUNT(disks); i++) {
		int fd;

		snprintf(disks[i], sizeof(disks[i]), "%s/%zu.img", top, i);
		fd = open(disks[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		ck_assert_int_ge(fd, 0);
		close(fd);
	}
}

static void teardown_base(void)
{
	temporary_remove(top);
}

/* With a lock directory of that name. Whoever wants messages gets all of them, and has little patience. */
static struct guestlock *open_with(const char *lock_dir, guestlock_log_fn *log)
{
	char run_dir[600], state_dir[600], where[600];
	const char *overrides[] = {run_dir,
				   state_dir,
				   where,
				   log ? "guestlock.log_level=debug" : NULL,
				   "guestlock.acquire_timeout=1",
				   NULL};
	const struct guestlock_options options = {
		.size = sizeof(options), .config_file = "/dev/null", .overrides = overrides, .log = log};
	struct guestlock_error err = {0};
	struct guestlock *opened = NULL;

	snprintf(run_dir, sizeof(run_dir), "guestlock.run_dir=%s/run", top);
	snprintf(state_dir, sizeof(state_dir), "guestlock.state_dir=%s/state", top);
	snprintf(where, sizeof(where), "fcntl.lock_dir=%s/%s", top, lock_dir);
	ck_assert_msg(guestlock_open(&opened, &options, &err) == GUESTLOCK_OK, "%s", err.message);
	return opened;
}

static void setup(void)
{
	gl = open_with("lock", NULL);
}

static void teardown(void)
{
	guestlock_close(gl);
}

#define ok(call)                                                                                             \
	do {                                                                                                 \
		struct guestlock_error failure = {0};                                                        \
		int status_ = call;                                                                          \
		ck_assert_msg(status_ == GUESTLOCK_OK, "%s: %d, %s", #call, status_, failure.message);       \
	} while (0)

static struct guestlock_resource disk(size_t number)
{
	return (struct guestlock_resource){.type = GUESTLOCK_DISK, .name = disks[number]};
}

static struct guestlock_guest *handle(enum guestlock_new_mode mode)
{
	struct guestlock_guest *guest = NULL;

	ok(guestlock_guest_new(gl, mode, &guest, &failure));
	ok(guestlock_guest_set_param(guest, "uuid", UUID, &failure));
	return guest;
}

/* A guest that sleeps, with one disk; *out_pid ends with the test at the latest. */
static struct guestlock_guest *begin(size_t number, pid_t *out_pid)
{
	static char program[] = "sleep", seconds[] = "40";
	char *argv[] = {program, seconds, NULL};
	struct guestlock_guest *guest = handle(GUESTLOCK_NEW_START);
	const struct guestlock_resource resource = disk(number);

	ok(guestlock_guest_register_resource(guest, &resource, &failure));
	ok(guestlock_guest_start(guest, argv, NULL, 0, out_pid, &failure));
	return guest;
}

/* The guest that runs now is that process, and holds its disk and no other. */
static void runs(pid_t pid, size_t number)
{
	struct guestlock_info *info = NULL;

	ok(guestlock_get_info(gl, UUID, &info, &failure));
	ck_assert_int_eq(info->pid, pid);
	ck_assert_int_eq(info->life, GUESTLOCK_LIFE_ALIVE);
	ck_assert_int_eq(info->state, GUESTLOCK_GUEST_RUNNING);
	ck_assert_str_eq(info->pending, "");
	for (size_t i = 0; i < info->n_resources; i++) {
		ck_assert_int_eq(info->resources[i].state, GUESTLOCK_RESOURCE_HELD);
		ck_assert(info->resources[i].type != GUESTLOCK_DISK ||
			  strcmp(info->resources[i].name, disks[number]) == 0 ||
			  strcmp(info->resources[i].name, UUID) == 0);
	}
	guestlock_info_free(info);
}

/* ---- Another configuration ---- */

static void is_of_another_configuration(int status, const struct guestlock_error *err)
{
	ck_assert_int_eq(status, GUESTLOCK_CONFIG);
	ck_assert_ptr_nonnull(strstr(err->message, "/run/backend says"));
	ck_assert_ptr_nonnull(strstr(err->message, "/other/life"));
	ck_assert_ptr_nonnull(strstr(err->message, "start this program again"));
}

START_TEST(a_handle_that_outlives_its_configuration_locks_nothing)
{
	static char program[] = "sleep", seconds[] = "40";
	char *argv[] = {program, seconds, NULL};
	struct guestlock *before = gl, *after;
	struct guestlock_reap_result reaped = {0};
	struct guestlock_guest *guest, *refused;
	const struct guestlock_resource resource = disk(0);
	struct guestlock_error err = {0};
	struct guestlock_info *info = NULL;
	pid_t pid;

	guest = begin(0, &pid);
	guestlock_guest_free(guest);
	after = gl = open_with("other", NULL);
	guest = begin(0, &pid);
	gl = before;
	refused = NULL;
	ok(guestlock_guest_new(gl, GUESTLOCK_NEW_START, &refused, &failure));
	ok(guestlock_guest_set_param(refused, "uuid", "22fe0000-1111-4222-8333-444444444444", &failure));
	ok(guestlock_guest_register_resource(refused, &resource, &failure));
	is_of_another_configuration(guestlock_guest_start(refused, argv, NULL, 0, &pid, &err), &err);
	guestlock_guest_free(refused);
	is_of_another_configuration(guestlock_reap(gl, &reaped, &err), &err);
	ok(guestlock_get_info(after, UUID, &info, &failure));
	ck_assert_int_eq(info->life, GUESTLOCK_LIFE_ALIVE);
	guestlock_info_free(info);
	guestlock_guest_free(guest);
	/* Nobody is left who needs the other one. */
	guest = begin(0, &pid);
	guestlock_guest_free(guest);
	guestlock_close(after);
}
END_TEST

/* ---- Its starter ends it ---- */

static void wait_until_gone(pid_t pid);

/* A shell with two processes, one of which is nobody's child once the shell is gone. */
static struct guestlock_guest *begin_two(pid_t out_pids[2])
{
	char script[700], file[600], text[16] = "";
	static char program[] = "sh", option[] = "-c";
	char *argv[] = {program, option, script, NULL};
	struct guestlock_guest *guest = handle(GUESTLOCK_NEW_START);
	const struct guestlock_resource resource = disk(0);

	snprintf(file, sizeof(file), "%s/second", top);
	snprintf(script, sizeof(script), "sleep 40 & echo $! >%s; wait", file);
	unlink(file);
	ok(guestlock_guest_register_resource(guest, &resource, &failure));
	ok(guestlock_guest_start(guest, argv, NULL, 0, &out_pids[0], &failure));
	for (int tries = 0; !strchr(text, '\n'); tries++) {
		int fd = open(file, O_RDONLY | O_CLOEXEC);

		ck_assert_int_lt(tries, 1000);
		if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0) {
			child_sleep_ms(10);
		}
		close(fd);
	}
	out_pids[1] = (pid_t)strtol(text, NULL, 10);
	return guest;
}

static void both_end(struct guestlock_guest *guest, const pid_t pids[2])
{
	guestlock_guest_free(guest);
	ck_assert(kill(pids[0], 0) < 0 || waitpid(pids[0], NULL, WNOHANG) == pids[0]);
	wait_until_gone(pids[1]);
}

START_TEST(a_guest_without_its_record_is_killed_all_the_same)
{
	struct guestlock_guest *guest, *other;
	char path[700];
	pid_t pids[2];
	int fd;

	guest = begin_two(pids);
	other = handle(GUESTLOCK_NEW_ATTACH);
	ok(guestlock_guest_shutdown(other, GUESTLOCK_SHUTDOWN_FORCE, &failure));
	guestlock_guest_free(other);
	both_end(guest, pids);

	guest = begin_two(pids);
	snprintf(path, sizeof(path), "%s/run/guests/" UUID, top);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	ck_assert_int_eq(write(fd, "damaged\n", 8), 8);
	close(fd);
	both_end(guest, pids);
	unlink(path);
}
END_TEST

/* ---- A start that does not come to an end ---- */

static pid_t starter;

static void hang_in_child(void *data, enum guestlock_log_level level, const char *message)
{
	(void)data;
	(void)level;
	(void)message;
	while (getpid() != starter) {
		pause();
	}
}

START_TEST(a_child_that_hangs_ends_the_start)
{
	static char program[] = "sleep", seconds[] = "40";
	char *argv[] = {program, seconds, NULL};
	struct guestlock *before = gl;
	struct guestlock_guest *guest;
	struct guestlock_error err = {0};
	int64_t since = guestlock_monotonic_ms();
	pid_t pid = 0;

	starter = getpid();
	gl = open_with("lock", hang_in_child);
	guest = handle(GUESTLOCK_NEW_START);
	const struct guestlock_resource resource = disk(0);

	ok(guestlock_guest_register_resource(guest, &resource, &failure));
	ck_assert_int_eq(guestlock_guest_start(guest, argv, NULL, 0, &pid, &err), GUESTLOCK_TIMEOUT);
	ck_assert_int_lt(guestlock_monotonic_ms() - since, 15000);
	ck_assert_ptr_nonnull(strstr(err.message, "storage that does not answer"));
	ck_assert(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
	guestlock_guest_free(guest);
	guestlock_close(gl);
	gl = before;
	guest = begin(0, &pid);
	runs(pid, 0);
	guestlock_guest_free(guest);
}
END_TEST

/* ---- Its supervisor ---- */

/* Runs what supervises a guest, the command and all, and waits until the guest runs. */
static pid_t supervise(char *const given[], struct guestlock_info **out_info)
{
	static char program[] = "sleep", seconds[] = "40";
	char *argv[64], *command = getenv("GUESTLOCK");
	size_t count = 0;
	pid_t pid;

	for (; given[count]; count++) {
		ck_assert_uint_lt(count, GL_COUNT(argv) - 3);
		argv[count] = given[count];
	}
	ck_assert_str_eq(argv[count - 1], "--");
	argv[0] = command;
	argv[count] = program;
	argv[count + 1] = seconds;
	argv[count + 2] = NULL;
	pid = child_fork();
	if (pid == 0) {
		execv(command, argv);
		_exit(1);
	}
	for (int tries = 0; guestlock_get_info(gl, UUID, out_info, NULL) != GUESTLOCK_OK ||
			    (*out_info)->state != GUESTLOCK_GUEST_RUNNING;
	     tries++) {
		guestlock_info_free(*out_info);
		*out_info = NULL;
		ck_assert_int_lt(tries, 1000);
		child_sleep_ms(10);
	}
	return pid;
}

START_TEST(the_supervisor_has_the_configuration_of_the_handle)
{
	static char program[] = "sleep", seconds[] = "40";
	char *argv[] = {program, seconds, NULL}, **given = NULL;
	const struct guestlock_resource resource = disk(0);
	struct guestlock_guest *guest, *other = NULL;
	struct guestlock_info *info = NULL;
	struct guestlock_error err = {0};
	pid_t supervisor, pid;

	if (!getenv("GUESTLOCK")) {
		SKIP("GUESTLOCK does not say where the command is");
	}
	guest = handle(GUESTLOCK_NEW_START);
	ok(guestlock_guest_register_resource(guest, &resource, &failure));
	ok(guestlock_guest_supervisor_argv(guest, &given, &failure));
	guestlock_guest_free(guest);
	supervisor = supervise(given, &info);
	free(given);
	ok(guestlock_guest_new(gl, GUESTLOCK_NEW_START, &other, &failure));
	ok(guestlock_guest_set_param(other, "uuid", "22fe0000-1111-4222-8333-444444444444", &failure));
	ok(guestlock_guest_register_resource(other, &resource, &failure));
	ck_assert_int_eq(guestlock_guest_start(other, argv, NULL, 0, &pid, &err), GUESTLOCK_BUSY);
	ck_assert_str_eq(err.holder.uuid, UUID);
	guestlock_guest_free(other);
	kill(info->pid, SIGKILL);
	guestlock_info_free(info);
	ck_assert_int_eq(waitpid(supervisor, NULL, 0), supervisor);
}
END_TEST

/* ---- Everything that a handle can be asked for ---- */

static int do_acquire(struct guestlock_guest *guest, struct guestlock_error *err)
{
	return guestlock_guest_acquire(guest, NULL, 0, 0, err);
}

static int do_resume(struct guestlock_guest *guest, struct guestlock_error *err)
{
	return guestlock_guest_resume(guest, NULL, 0, err);
}

static int do_pause(struct guestlock_guest *guest, struct guestlock_error *err)
{
	char *state = NULL;
	int status = guestlock_guest_pause(guest, 0, &state, err);

	free(state);
	return status;
}

static int do_inquire(struct guestlock_guest *guest, struct guestlock_error *err)
{
	char *state = NULL;
	int status = guestlock_guest_inquire(guest, &state, err);

	free(state);
	return status;
}

static int do_attach(struct guestlock_guest *guest, struct guestlock_error *err)
{
	const struct guestlock_resource resource = disk(2);

	return guestlock_guest_acquire_resource(guest, &resource, 0, 0, err);
}

static int do_detach(struct guestlock_guest *guest, struct guestlock_error *err)
{
	const struct guestlock_resource resource = disk(1);

	return guestlock_guest_release_resource(guest, &resource, 0, err);
}

static int do_prepare(struct guestlock_guest *guest, struct guestlock_error *err)
{
	return guestlock_guest_prepare_migrate(guest, NULL, err);
}

static int do_complete_in(struct guestlock_guest *guest, struct guestlock_error *err)
{
	return guestlock_guest_complete_migrate_in(guest, 0, err);
}

static int do_cancel_in(struct guestlock_guest *guest, struct guestlock_error *err)
{
	return guestlock_guest_complete_migrate_in(guest, GUESTLOCK_MIGRATE_CANCEL, err);
}

static int do_complete_out(struct guestlock_guest *guest, struct guestlock_error *err)
{
	return guestlock_guest_complete_migrate_out(guest, 0, err);
}

static int do_cancel_out(struct guestlock_guest *guest, struct guestlock_error *err)
{
	return guestlock_guest_complete_migrate_out(guest, GUESTLOCK_MIGRATE_CANCEL, err);
}

static int do_shutdown(struct guestlock_guest *guest, struct guestlock_error *err)
{
	return guestlock_guest_shutdown(guest, GUESTLOCK_SHUTDOWN_FORCE, err);
}

static int do_child(struct guestlock_guest *guest, struct guestlock_error *err)
{
	pid_t pid;

	return guestlock_guest_child(guest, &pid, err);
}

static int do_info(struct guestlock_guest *guest, struct guestlock_error *err)
{
	struct guestlock_info *info = NULL;
	int status = guestlock_guest_info(guest, &info, err);

	guestlock_info_free(info);
	return status;
}

static const struct {
	const char *name;
	int (*call)(struct guestlock_guest *guest, struct guestlock_error *err);
} calls[] = {
	{"acquire", do_acquire},
	{"resume", do_resume},
	{"pause", do_pause},
	{"inquire", do_inquire},
	{"acquire_resource", do_attach},
	{"release_resource", do_detach},
	{"prepare_migrate", do_prepare},
	{"complete_migrate_in", do_complete_in},
	{"complete_migrate_in, cancel", do_cancel_in},
	{"complete_migrate_out", do_complete_out},
	{"complete_migrate_out, cancel", do_cancel_out},
	{"settle", guestlock_guest_settle},
	{"child", do_child},
	{"info", do_info},
	{"shutdown, force", do_shutdown},
};

static void all_are_refused(struct guestlock_guest *guest, pid_t pid, size_t number)
{
	for (size_t i = 0; i < GL_COUNT(calls); i++) {
		struct guestlock_error err = {0};
		int status = calls[i].call(guest, &err);

		ck_assert_msg(status == GUESTLOCK_REPLACED, "%s: %d, %s", calls[i].name, status, err.message);
		ck_assert_int_eq(err.code, GUESTLOCK_REPLACED);
		ck_assert_str_eq(err.guest, UUID);
		ck_assert_ptr_nonnull(strstr(err.message, "was started anew meanwhile"));
		runs(pid, number);
	}
}

/* A life that ends, and the next one under the same uuid. */
static void two_lives(struct guestlock_guest **out_first, struct guestlock_guest **out_second, pid_t *out_pid)
{
	pid_t first;

	*out_first = begin(0, &first);
	child_kill(first);
	*out_second = begin(1, out_pid);
}

START_TEST(who_started_a_life_does_nothing_to_the_next)
{
	struct guestlock_guest *first, *second;
	pid_t pid;

	two_lives(&first, &second, &pid);
	all_are_refused(first, pid, 1);
	guestlock_guest_free(first);
	runs(pid, 1);
	guestlock_guest_free(second);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), -1);
}
END_TEST

START_TEST(who_attached_does_nothing_to_the_next)
{
	struct guestlock_guest *attached = handle(GUESTLOCK_NEW_ATTACH), *other, *first, *second;
	pid_t pid;

	first = begin(0, &pid);
	ok(do_child(attached, &failure));
	child_kill(pid);
	second = begin(1, &pid);
	all_are_refused(attached, pid, 1);
	guestlock_guest_free(attached);
	/* Who comes now means the one that there is. */
	other = handle(GUESTLOCK_NEW_ATTACH);
	ok(do_info(other, &failure));
	ok(do_acquire(other, &failure));
	guestlock_guest_free(other);
	runs(pid, 1);
	guestlock_guest_free(first);
	guestlock_guest_free(second);
}
END_TEST

START_TEST(the_one_that_is_meant)
{
	struct guestlock_guest *attached = handle(GUESTLOCK_NEW_ATTACH), *guest;
	struct guestlock_info *info = NULL;
	struct guestlock_error err = {0};
	pid_t pid;

	guest = begin(1, &pid);
	ok(guestlock_get_info(gl, UUID, &info, &failure));
	ok(guestlock_guest_set_life(attached, info->instance ^ 1, 0, &failure));
	all_are_refused(attached, pid, 1);
	ok(guestlock_guest_set_life(attached, 0, getpid(), &failure));
	all_are_refused(attached, pid, 1);
	ok(guestlock_guest_set_life(attached, info->instance, getpid(), &failure));
	all_are_refused(attached, pid, 1);
	ok(guestlock_guest_set_life(attached, info->instance, pid, &failure));
	ok(do_acquire(attached, &failure));
	ck_assert_int_eq(guestlock_guest_set_life(attached, 0, -1, &err), GUESTLOCK_INVALID);
	ck_assert_int_eq(guestlock_guest_set_life(guest, info->instance, 0, &err), GUESTLOCK_INVALID);
	guestlock_info_free(info);
	guestlock_guest_free(attached);
	guestlock_guest_free(guest);
}
END_TEST

START_TEST(who_adopted_does_nothing_to_the_next)
{
	struct guestlock_guest *adopter = handle(GUESTLOCK_NEW_START), *second;
	const struct guestlock_resource resource = disk(0);
	pid_t pid = child_idle();

	ok(guestlock_guest_register_resource(adopter, &resource, &failure));
	ok(guestlock_guest_adopt(adopter, pid, 0, &failure));
	child_kill(pid);
	second = begin(1, &pid);
	all_are_refused(adopter, pid, 1);
	guestlock_guest_free(adopter);
	guestlock_guest_free(second);
}
END_TEST

/* The child binds with the handle that its parent made, and waits for the go. */
static pid_t bind_in_child(struct guestlock_guest *guest, int *out_said)
{
	int said[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(said, O_CLOEXEC), 0);
	pid = child_fork();
	if (pid == 0) {
		CHILD_ASSERT(guestlock_guest_bind(guest, NULL, NULL) == GUESTLOCK_OK);
		CHILD_ASSERT(write(said[1], "b", 1) == 1);
		for (;;) {
			pause();
		}
	}
	close(said[1]);
	*out_said = said[0];
	return pid;
}

START_TEST(who_let_a_child_bind_is_for_that_life)
{
	struct guestlock_guest *first = handle(GUESTLOCK_NEW_START), *second;
	const struct guestlock_resource resource = disk(0);
	char byte;
	pid_t pid;
	int said;

	ok(guestlock_guest_register_resource(first, &resource, &failure));
	pid = bind_in_child(first, &said);
	ck_assert_int_eq(read(said, &byte, 1), 1);
	close(said);
	ok(do_acquire(first, &failure));
	runs(pid, 0);
	child_kill(pid);
	second = begin(1, &pid);
	all_are_refused(first, pid, 1);
	guestlock_guest_free(first);
	guestlock_guest_free(second);
}
END_TEST

/* A start that is refused, and what it gives up, is no life of the guest that runs. */
START_TEST(a_refused_start_leaves_the_one_that_runs)
{
	static char program[] = "true";
	char *argv[] = {program, NULL};
	struct guestlock_guest *guest, *refused = handle(GUESTLOCK_NEW_START);
	struct guestlock_error err = {0};
	pid_t pid, ignored;

	guest = begin(1, &pid);
	ck_assert_int_eq(guestlock_guest_start(refused, argv, NULL, 0, &ignored, &err), GUESTLOCK_BUSY);
	ck_assert_int_eq(do_shutdown(refused, &err), GUESTLOCK_REPLACED);
	guestlock_guest_free(refused);
	runs(pid, 1);
	guestlock_guest_free(guest);
}
END_TEST

/* A life of which nothing is left: that is no other one's. */
START_TEST(a_life_that_is_over)
{
	struct guestlock_guest *guest;
	struct guestlock_error err = {0};
	pid_t pid;

	guest = begin(0, &pid);
	child_kill(pid);
	ok(do_shutdown(guest, &failure));
	ok(do_shutdown(guest, &failure));
	ck_assert_int_eq(do_acquire(guest, &err), GUESTLOCK_NOT_FOUND);
	ck_assert_int_eq(do_child(guest, &err), GUESTLOCK_NOT_FOUND);
	guestlock_guest_free(guest);
}
END_TEST

/* As by release --orphan: backends are told "" of what has no words. */
START_TEST(a_lock_of_which_only_the_key_is_known)
{
	struct gl_resource resource = {.type = GUESTLOCK_LEASE, .key = "k"};
	struct gl_batch batch;

	ck_assert_int_eq(gl_batch_init(&batch, 1), 0);
	gl_batch_add(&batch, &resource, GUESTLOCK_MODE_NONE);
	ck_assert_str_eq(batch.keys[0].identity, "");
	ck_assert_ptr_eq(batch.items[0].key, &batch.keys[0]);
	gl_batch_free(&batch);
}
END_TEST

/* A probe refuses what an acquire would, without a trace. */
START_TEST(a_probe_sees_another_name)
{
	static char program[] = "sleep", seconds[] = "40";
	char *argv[] = {program, seconds, NULL};
	char name[660];
	pid_t pid, other_pid;
	struct guestlock_guest *guest = begin(0, &pid), *other = NULL;
	const struct guestlock_resource linked = {.type = GUESTLOCK_DISK, .name = name};
	struct guestlock_error err = {0};

	snprintf(name, sizeof(name), "%s.link", disks[0]);
	ck_assert_int_eq(link(disks[0], name), 0);
	ok(guestlock_guest_new(gl, GUESTLOCK_NEW_START, &other, &failure));
	ok(guestlock_guest_set_param(other, "uuid", "11fe0000-1111-4222-8333-555555555555", &failure));
	ok(guestlock_guest_start(other, argv, NULL, 0, &other_pid, &failure));
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(
			guestlock_guest_acquire_resource(other, &linked, GUESTLOCK_ACQUIRE_PROBE, 0, &err),
			GUESTLOCK_BUSY);
		ck_assert_str_eq(err.holder.uuid, UUID);
		ck_assert_int_eq(err.holder.pid, pid);
		ck_assert_ptr_nonnull(strstr(err.message, disks[0]));
	}
	guestlock_guest_free(guest);
	ok(guestlock_guest_acquire_resource(other, &linked, GUESTLOCK_ACQUIRE_PROBE, 0, &failure));
	/* It has taken nothing, and is in nobody's way. */
	guest = begin(0, &pid);
	guestlock_guest_free(guest);
	guestlock_guest_free(other);
	ck_assert_int_eq(unlink(name), 0);
}
END_TEST

/* ---- Several starts at once, in one process ---- */

#define STARTS 16

static char waiting[STARTS][GUESTLOCK_UUID_STRING];
static pthread_barrier_t at_once;

static void *wait_for_busy_disk(void *data)
{
	static char program[] = "sleep", seconds[] = "40";
	char *argv[] = {program, seconds, NULL};
	const struct guestlock_resource resource = disk(0);
	struct guestlock_guest *guest = NULL;
	pid_t pid;

	CHILD_ASSERT(guestlock_guest_new(gl, GUESTLOCK_NEW_START, &guest, NULL) == GUESTLOCK_OK);
	CHILD_ASSERT(guestlock_guest_set_param(guest, "uuid", data, NULL) == GUESTLOCK_OK);
	CHILD_ASSERT(guestlock_guest_register_resource(guest, &resource, NULL) == GUESTLOCK_OK);
	pthread_barrier_wait(&at_once);
	guestlock_guest_start(guest, argv, NULL, 30000, &pid, NULL);
	return NULL;
}

/* The pid of one that is bound and waits. */
static pid_t pid_of_waiting(size_t number)
{
	int64_t deadline = guestlock_monotonic_ms() + 10000;
	struct guestlock_info *info = NULL;
	pid_t pid;

	while (guestlock_get_info(gl, waiting[number], &info, NULL) != GUESTLOCK_OK) {
		ck_assert_int_lt(guestlock_monotonic_ms(), deadline);
		child_sleep_ms(5);
	}
	ck_assert_int_eq(info->state, GUESTLOCK_GUEST_BOUND);
	pid = info->pid;
	guestlock_info_free(info);
	return pid;
}

static void wait_until_gone(pid_t pid)
{
	int64_t deadline = guestlock_monotonic_ms() + 5000;
	struct gl_stat stat;

	while (gl_stat_read(pid, 0, &stat) == 0 && !gl_stat_ended(&stat)) {
		ck_assert_int_lt(guestlock_monotonic_ms(), deadline);
		child_sleep_ms(5);
	}
}

/*
 * Children that were forked at once have copies of what tells one another that their manager lives. Sanitizers have
 * an allocator that such children cannot use: one that is forked while another thread allocates waits for ever.
 */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FORKS_FREELY 0
#endif
#endif
#ifndef FORKS_FREELY
#define FORKS_FREELY 1
#endif

START_TEST(a_killed_manager_leaves_no_guest_that_waits)
{
	pid_t pid, pids[STARTS], manager;
	struct guestlock_guest *guest = begin(0, &pid);

	for (size_t i = 0; i < STARTS; i++) {
		snprintf(waiting[i], sizeof(waiting[i]), "11fe0000-1111-4222-8333-%012zx", i + 1);
	}
	manager = child_fork();
	if (manager == 0) {
		pthread_t thread;

		CHILD_ASSERT(pthread_barrier_init(&at_once, NULL, STARTS) == 0);
		for (size_t i = 0; i < STARTS; i++) {
			CHILD_ASSERT(pthread_create(&thread, NULL, wait_for_busy_disk, waiting[i]) == 0);
		}
		for (;;) {
			pause();
		}
	}
	for (size_t i = 0; i < STARTS; i++) {
		pids[i] = pid_of_waiting(i);
	}
	child_kill(manager);
	for (size_t i = 0; i < STARTS; i++) {
		wait_until_gone(pids[i]);
	}
	guestlock_guest_free(guest);
}
END_TEST

Suite *lives_suite(void)
{
	Suite *suite = suite_create("lives");
	TCase *tcase = tcase_create("lives");

	tcase_add_unchecked_fixture(tcase, setup_base, teardown_base);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, who_started_a_life_does_nothing_to_the_next);
	tcase_add_test(tcase, a_handle_that_outlives_its_configuration_locks_nothing);
	tcase_add_test(tcase, the_supervisor_has_the_configuration_of_the_handle);
	tcase_add_test(tcase, a_guest_without_its_record_is_killed_all_the_same);
	tcase_add_test(tcase, a_child_that_hangs_ends_the_start);
	tcase_add_test(tcase, who_attached_does_nothing_to_the_next);
	tcase_add_test(tcase, the_one_that_is_meant);
	tcase_add_test(tcase, who_adopted_does_nothing_to_the_next);
	tcase_add_test(tcase, who_let_a_child_bind_is_for_that_life);
	tcase_add_test(tcase, a_refused_start_leaves_the_one_that_runs);
	tcase_add_test(tcase, a_life_that_is_over);
	tcase_add_test(tcase, a_lock_of_which_only_the_key_is_known);
	tcase_add_test(tcase, a_probe_sees_another_name);
	if (FORKS_FREELY) {
		tcase_add_test(tcase, a_killed_manager_leaves_no_guest_that_waits);
	}
	suite_add_tcase(suite, tcase);
	return suite;
}
