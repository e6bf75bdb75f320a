/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "suites.h"

#include "base/base.h"
#include "record/store.h"
#include "scratch.h"

#include <dirent.h>
#include <sys/stat.h>

#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define OTHER "11111111-2222-4333-8444-555555555555"

static struct guestlock_error err;
static char run_dir[PATH_MAX + 32];
static struct gl_store store = {.run_dir = run_dir};

static void setup_empty(void)
{
	memset(&err, 0, sizeof(err));
	scratch_make();
	snprintf(run_dir, sizeof(run_dir), "%s/run", scratch_path);
}

static void setup(void)
{
	setup_empty();
	ck_assert_int_eq(gl_store_prepare(&store, &err), GUESTLOCK_OK);
}

/* A path below the run directory; it stays valid for four more calls. */
static const char *in_run(const char *name)
{
	static char paths[4][PATH_MAX + 300];
	static unsigned turn;
	char *path = paths[turn++ % GL_COUNT(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", run_dir, name);
	return path;
}

static void check_ok(int status)
{
	ck_assert_msg(status == GUESTLOCK_OK, "%d: %s", status, err.message);
}

static void check_failed(int status, int expected, const char *words, const char *more_words)
{
	ck_assert_int_eq(status, expected);
	ck_assert_int_eq(err.code, expected);
	ck_assert_msg(strstr(err.message, words), "no \"%s\" in \"%s\"", words, err.message);
	ck_assert_msg(strstr(err.message, more_words), "no \"%s\" in \"%s\"", more_words, err.message);
}

static void write_file(const char *path, const char *text)
{
	ck_assert_int_eq(guestlock_write_file(path, text, strlen(text), 0600), 0);
}

static size_t count_files(const char *path)
{
	DIR *directory = opendir(path);
	size_t count = 0;

	ck_assert_ptr_nonnull(directory);
	for (struct dirent *entry; (entry = readdir(directory));) {
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	}
	closedir(directory);
	return count;
}

/* ---- Directories ---- */

static const char *const directories[] = {
	"", "guests", "damaged", "hints", "hints/file", "hints/name",
};

START_TEST(test_prepare)
{
	umask(_i == 0 ? 0 : 022);
	check_ok(gl_store_prepare(&store, &err));
	check_ok(gl_store_prepare(&store, &err));
	for (size_t i = 0; i < GL_COUNT(directories); i++) {
		struct stat st;

		ck_assert_int_eq(stat(in_run(directories[i]), &st), 0);
		ck_assert_uint_eq(st.st_mode, S_IFDIR | 0700);
	}
}
END_TEST

START_TEST(test_prepare_deep)
{
	snprintf(run_dir, sizeof(run_dir), "%s/a/b/c", scratch_path);
	check_ok(gl_store_prepare(&store, &err));
	ck_assert_int_eq(access(in_run("hints/name"), F_OK), 0);
}
END_TEST

START_TEST(test_prepare_below_a_file)
{
	char file[PATH_MAX + 8];

	snprintf(file, sizeof(file), "%s/f", scratch_path);
	write_file(file, "");
	snprintf(run_dir, sizeof(run_dir), "%s/f/run", scratch_path);
	check_failed(gl_store_prepare(&store, &err), GUESTLOCK_CANNOT_CREATE, run_dir, "Not a directory");
	snprintf(run_dir, sizeof(run_dir), "%s/f", scratch_path);
	check_failed(gl_store_prepare(&store, &err), GUESTLOCK_CANNOT_CREATE, run_dir, "Not a directory");
}
END_TEST

START_TEST(test_prepare_denied)
{
	if (geteuid() != 0) {
		ck_assert_int_eq(chmod(scratch_path, 0500), 0);
	}
	scratch_become_nobody();
	check_failed(gl_store_prepare(&store, &err), GUESTLOCK_DENIED, run_dir, "Permission denied");
	if (geteuid() == getuid()) {
		ck_assert_int_eq(chmod(scratch_path, 0700), 0);
	}
}
END_TEST

START_TEST(test_prepare_read_only)
{
	char path[PATH_MAX];

	if (!scratch_mount("size=64k", path)) {
		return;
	}
	scratch_make_read_only(path);
	snprintf(run_dir, sizeof(run_dir), "%s/run", path);
	check_failed(gl_store_prepare(&store, &err), GUESTLOCK_CANNOT_CREATE, run_dir,
		     "Read-only file system");
}
END_TEST

START_TEST(test_prepare_full)
{
	char path[PATH_MAX];

	if (!scratch_mount("nr_inodes=4", path)) {
		return;
	}
	snprintf(run_dir, sizeof(run_dir), "%s/run", path);
	check_failed(gl_store_prepare(&store, &err), GUESTLOCK_CANNOT_CREATE, run_dir, "No space left");
}
END_TEST

static struct gl_record *new_record(const char *uuid, const char *name)
{
	struct gl_record *record = gl_record_new(uuid);

	ck_assert_ptr_nonnull(record);
	ck_assert_int_eq(gl_set_string(&record->name, name), 0);
	return record;
}

/* Under the lock. */
static int save_record(const struct gl_record *record, struct guestlock_error *out_err)
{
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	int status = gl_store_lock(&store, record->uuid, 0, &lock, out_err);

	if (status == GUESTLOCK_OK) {
		status = gl_store_save(&store, &lock, record, out_err);
		gl_store_unlock(&store, &lock);
	}
	return status;
}

static int remove_record(const char *uuid)
{
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	int status = gl_store_lock(&store, uuid, 0, &lock, &err);

	if (status == GUESTLOCK_OK) {
		status = gl_store_remove(&lock, &err);
		gl_store_unlock(&store, &lock);
	}
	return status;
}

static void save(const char *uuid, const char *name)
{
	struct gl_record *record = new_record(uuid, name);

	check_ok(save_record(record, &err));
	gl_record_free(record);
}

static void check_loads(const char *uuid, const char *name)
{
	struct gl_record *record = NULL;

	check_ok(gl_store_load(&store, uuid, &record, &err));
	ck_assert_str_eq(record->uuid, uuid);
	ck_assert_str_eq(record->name, name);
	gl_record_free(record);
}

static void check_load_fails(int status, const char *words, const char *more_words)
{
	struct gl_record *record = NULL;

	memset(&err, 0, sizeof(err));
	check_failed(gl_store_load(&store, UUID, &record, &err), status, words, more_words);
	ck_assert_ptr_null(record);
	ck_assert_str_eq(err.guest, UUID);
}

/* ---- The lock ---- */

struct holder {
	int held, release; /* set by the child, by the test */
	int for_ms;        /* 0: until release */
};

static int hold(void *data)
{
	struct holder *holder = data;
	volatile int *release = &holder->release;
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;

	if (gl_store_lock(&store, UUID, guestlock_monotonic_ms() + 5000, &lock, NULL)) {
		return 1;
	}
	holder->held = 1;
	for (int ms = 0; ms < 20000 && !*release && (holder->for_ms == 0 || ms < holder->for_ms); ms++) {
		usleep(1000);
	}
	gl_store_unlock(&store, &lock);
	return 0;
}

START_TEST(test_lock)
{
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT, other = GL_GUEST_LOCK_INIT;

	/* Also long after the deadline. */
	check_ok(gl_store_lock(&store, UUID, 0, &lock, &err));
	ck_assert_int_ge(lock.fd, 0);
	ck_assert_str_eq(lock.uuid, UUID);
	ck_assert_uint_eq(lock.size, 0);
	ck_assert_int_eq(fcntl(lock.fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(access(in_run("guests/" UUID), F_OK), 0);
	gl_store_unlock(&store, &lock);
	ck_assert_int_eq(lock.fd, -1);
	ck_assert_uint_eq(count_files(in_run("guests")), 0);
	gl_store_unlock(&store, &lock);

	save(UUID, "name");
	check_ok(gl_store_lock(&store, UUID, 0, &lock, &err));
	ck_assert_uint_gt(lock.size, 0);
	gl_store_unlock(&store, &lock);
	check_loads(UUID, "name");
	check_ok(gl_store_lock(&store, UUID, 0, &lock, &err));
	check_ok(gl_store_remove(&lock, &err));
	/* Others wait still. */
	ck_assert_int_eq(gl_store_lock(&store, UUID, 0, &other, &err), GUESTLOCK_TIMEOUT);
	check_load_fails(GUESTLOCK_NOT_FOUND, UUID, "no guest");
	gl_store_unlock(&store, &lock);
	ck_assert_uint_eq(count_files(in_run("guests")), 0);
}
END_TEST

/* The record of the same guest below another run directory. */
static int hold_elsewhere(void *data)
{
	struct holder *holder = data;
	volatile int *release = &holder->release;
	int fd;

	if (mkdir(in_run("elsewhere"), 0700) < 0 || mkdir(in_run("elsewhere/guests"), 0700) < 0) {
		return 1;
	}
	fd = open(in_run("elsewhere/guests/" UUID), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || guestlock_ofd_lock(fd, F_WRLCK) < 0) {
		return 1;
	}
	holder->held = 1;
	for (int ms = 0; ms < 20000 && !*release; ms++) {
		usleep(1000);
	}
	close(fd);
	return 0;
}

START_TEST(test_lock_timeout)
{
	struct holder *holder = scratch_share(sizeof(*holder)), *other = scratch_share(sizeof(*other));
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	pid_t other_pid = scratch_spawn(hold_elsewhere, other), pid;
	int64_t begun;
	char who[32];

	/* It has the lower pid. */
	scratch_await(&other->held);
	pid = scratch_spawn(hold, holder);
	scratch_await(&holder->held);
	begun = guestlock_monotonic_ms();
	snprintf(who, sizeof(who), "process %d ", (int)pid);
	check_failed(gl_store_lock(&store, UUID, begun + 300, &lock, &err), GUESTLOCK_TIMEOUT, who, UUID);
	ck_assert_int_ge(guestlock_monotonic_ms() - begun, 299);
	ck_assert_int_lt(guestlock_monotonic_ms() - begun, 3000);
	ck_assert_int_eq(lock.fd, -1);
	ck_assert_str_eq(err.guest, UUID);

	/* Not a moment is waited for a deadline that has passed, and not for another guest. */
	begun = guestlock_monotonic_ms();
	ck_assert_int_eq(gl_store_lock(&store, UUID, begun, &lock, NULL), GUESTLOCK_TIMEOUT);
	check_ok(gl_store_lock(&store, OTHER, begun, &lock, &err));
	gl_store_unlock(&store, &lock);
	ck_assert_int_lt(guestlock_monotonic_ms() - begun, 2000);
	holder->release = 1;
	scratch_wait(pid);
	other->release = 1;
	scratch_wait(other_pid);
}
END_TEST

START_TEST(test_lock_waits)
{
	struct holder *holder = scratch_share(sizeof(*holder));
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	int64_t begun = guestlock_monotonic_ms();
	pid_t pid;

	holder->for_ms = 200;
	pid = scratch_spawn(hold, holder);
	scratch_await(&holder->held);
	check_ok(gl_store_lock(&store, UUID, begun + 20000, &lock, &err));
	ck_assert_int_lt(guestlock_monotonic_ms() - begun, 10000);
	gl_store_unlock(&store, &lock);
	scratch_wait(pid);
}
END_TEST

START_TEST(test_lock_killed_holder)
{
	struct holder *holder = scratch_share(sizeof(*holder));
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	pid_t pid = scratch_spawn(hold, holder);

	scratch_await(&holder->held);
	scratch_kill(pid);
	check_ok(gl_store_lock(&store, UUID, 0, &lock, &err));
	gl_store_unlock(&store, &lock);
}
END_TEST

static int linger(void *data)
{
	const volatile int *stop = data;

	for (int i = 0; i < 20000 && !*stop; i++) {
		usleep(1000);
	}
	return 0;
}

/* A child that was forked meanwhile has a copy of the descriptor: it must not keep the lock. */
START_TEST(test_lock_copied_by_fork)
{
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	int *stop = scratch_share(sizeof(*stop));
	pid_t pid;

	check_ok(gl_store_lock(&store, UUID, 0, &lock, &err));
	pid = scratch_spawn(linger, stop);
	gl_store_unlock(&store, &lock);
	check_ok(gl_store_lock(&store, UUID, 0, &lock, &err));
	gl_store_unlock(&store, &lock);
	*stop = 1;
	scratch_wait(pid);
}
END_TEST

START_TEST(test_lock_without_directory)
{
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;

	ck_assert_int_eq(rmdir(in_run("guests")), 0);
	check_ok(gl_store_lock(&store, UUID, 0, &lock, &err));
	gl_store_unlock(&store, &lock);
}
END_TEST

START_TEST(test_lock_bad_name)
{
	static const char *const names[] = {"", ".", "..", "../x", "/x", "a/b", ".hidden"};
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;

	ck_assert_int_eq(gl_store_lock(&store, names[_i], 0, &lock, &err), GUESTLOCK_INVALID);
	ck_assert_int_eq(lock.fd, -1);
}
END_TEST

/* What was put where the record should be is not followed, and does not hang. */
START_TEST(test_lock_no_file)
{
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	const char *path = in_run("guests/" UUID);

	ck_assert_int_eq(mkdir(path, 0700), 0);
	check_failed(gl_store_lock(&store, UUID, 0, &lock, &err), GUESTLOCK_DAMAGED, path, "no regular file");
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(symlink("/nowhere", path), 0);
	check_failed(gl_store_lock(&store, UUID, 0, &lock, &err), GUESTLOCK_DAMAGED, path, "no regular file");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	check_failed(gl_store_lock(&store, UUID, 0, &lock, &err), GUESTLOCK_DAMAGED, path, "no regular file");
	ck_assert_int_eq(lock.fd, -1);
}
END_TEST

START_TEST(test_lock_denied)
{
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;

	if (geteuid() != 0) {
		ck_assert_int_eq(chmod(in_run("guests"), 0500), 0);
	}
	scratch_become_nobody();
	check_failed(gl_store_lock(&store, UUID, 0, &lock, &err), GUESTLOCK_DENIED, run_dir,
		     "Permission denied");
}
END_TEST

START_TEST(test_lock_read_only)
{
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	char path[PATH_MAX];

	if (!scratch_mount("size=64k", path)) {
		return;
	}
	snprintf(run_dir, sizeof(run_dir), "%s/run", path);
	check_ok(gl_store_prepare(&store, &err));
	check_ok(gl_store_lock(&store, OTHER, 0, &lock, &err));
	gl_store_unlock(&store, &lock);
	scratch_make_read_only(path);
	check_ok(gl_store_prepare(&store, &err));
	check_failed(gl_store_lock(&store, UUID, 0, &lock, &err), GUESTLOCK_CANNOT_CREATE, run_dir,
		     "Read-only");
	check_failed(gl_store_lock(&store, OTHER, 0, &lock, &err), GUESTLOCK_CANNOT_CREATE, run_dir,
		     "Read-only");
}
END_TEST

#define CONTENDERS 6
#define ROUNDS 300

struct arena {
	int inside, entered, intruders;
};

static int contend(void *data)
{
	struct arena *arena = data;
	unsigned seed = (unsigned)getpid();

	for (int i = 0; i < ROUNDS; i++) {
		struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;

		if (gl_store_lock(&store, UUID, guestlock_monotonic_ms() + 30000, &lock, NULL)) {
			return 1;
		}
		if (__atomic_add_fetch(&arena->inside, 1, __ATOMIC_SEQ_CST) != 1) {
			__atomic_add_fetch(&arena->intruders, 1, __ATOMIC_SEQ_CST);
		}
		arena->entered++;
		if (rand_r(&seed) % 4 == 0) {
			usleep((useconds_t)(rand_r(&seed) % 100));
		}
		__atomic_sub_fetch(&arena->inside, 1, __ATOMIC_SEQ_CST);
		if (lock.size == 0 && rand_r(&seed) % 2 == 0) {
			lock.size = write(lock.fd, "x", 1) == 1;
		} else if (lock.size > 0 && gl_store_remove(&lock, NULL)) {
			return 1;
		}
		gl_store_unlock(&store, &lock);
	}
	return 0;
}

/* The file is removed again and again while others wait for its lock: never are two inside. */
START_TEST(test_lock_removed_while_waited_for)
{
	struct arena *arena = scratch_share(sizeof(*arena));
	pid_t pids[CONTENDERS];

	for (int i = 0; i < CONTENDERS; i++) {
		pids[i] = scratch_spawn(contend, arena);
	}
	for (int i = 0; i < CONTENDERS; i++) {
		scratch_wait(pids[i]);
	}
	ck_assert_int_eq(arena->intruders, 0);
	ck_assert_int_eq(arena->entered, CONTENDERS * ROUNDS);
	ck_assert_uint_le(count_files(in_run("guests")), 1);
}
END_TEST

/* ---- Records ---- */

START_TEST(test_save_and_load)
{
	struct stat st;

	umask(0);
	save(UUID, "first");
	check_loads(UUID, "first");
	save(UUID, "second");
	save(OTHER, "other");
	check_loads(UUID, "second");
	check_loads(OTHER, "other");
	ck_assert_int_eq(stat(in_run("guests/" UUID), &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
	ck_assert_uint_eq(count_files(in_run("guests")), 2);
}
END_TEST

START_TEST(test_save_without_directory)
{
	ck_assert_int_eq(rmdir(in_run("guests")), 0);
	save(UUID, "name");
	check_loads(UUID, "name");
}
END_TEST

START_TEST(test_load_missing)
{
	check_load_fails(GUESTLOCK_NOT_FOUND, UUID, "no guest");
	ck_assert_int_eq(rmdir(in_run("guests")), 0);
	check_load_fails(GUESTLOCK_NOT_FOUND, UUID, "no guest");
}
END_TEST

START_TEST(test_load_damaged)
{
	const char *path = in_run("guests/" UUID);

	write_file(path, "");
	check_load_fails(GUESTLOCK_NOT_FOUND, UUID, "no guest");
	write_file(path, "guestlock-file 1 x\n[guestlock-record]\nversion=1\n[guest]\nx\n[end]\n");
	check_load_fails(GUESTLOCK_DAMAGED, path, "line 5: ");
	write_file(path, "guestlock-file 1 x\n[guestlock-record]\nversion=7\n");
	check_load_fails(GUESTLOCK_UNSUPPORTED, path, "newer");
	write_file(path, "x");
	check_load_fails(GUESTLOCK_DAMAGED, path, "line 1: ");
	save(OTHER, "other");
	ck_assert_int_eq(rename(in_run("guests/" OTHER), path), 0);
	check_load_fails(GUESTLOCK_DAMAGED, path, "another guest, " OTHER);
}
END_TEST

START_TEST(test_load_no_file)
{
	const char *path = in_run("guests/" UUID);

	ck_assert_int_eq(mkdir(path, 0700), 0);
	check_load_fails(GUESTLOCK_DAMAGED, path, "no regular file");
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	check_load_fails(GUESTLOCK_DAMAGED, path, "no regular file");
	ck_assert_int_eq(unlink(path), 0);
	write_file(path, "");
	ck_assert_int_eq(truncate(path, GL_RECORD_MAX + 1), 0);
	check_load_fails(GUESTLOCK_DAMAGED, path, "too large");
}
END_TEST

START_TEST(test_load_denied)
{
	save(UUID, "name");
	ck_assert_int_eq(chmod(in_run("guests/" UUID), 0), 0);
	scratch_become_nobody();
	check_load_fails(GUESTLOCK_DENIED, in_run("guests/" UUID), "Permission denied");
}
END_TEST

/* Whatever stops the writing, the old record stands and nothing is left beside it. */
static void check_save_fails(int status, const char *words)
{
	struct gl_record *record = new_record(UUID, "new");
	size_t before = count_files(in_run("guests"));
	char long_name[8192];

	memset(long_name, 'x', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';
	ck_assert_int_eq(gl_set_string(&record->name, long_name), 0);
	memset(&err, 0, sizeof(err));
	check_failed(save_record(record, &err), status, in_run("guests/" UUID), words);
	ck_assert_str_eq(err.guest, UUID);
	gl_record_free(record);
	check_loads(UUID, "old");
	ck_assert_uint_eq(count_files(in_run("guests")), before);
}

static void fill(const char *directory)
{
	static const char block[4096];
	char path[PATH_MAX + 8];
	int fd;

	snprintf(path, sizeof(path), "%s/fill", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	while (write(fd, block, sizeof(block)) > 0) {
	}
	ck_assert_int_eq(errno, ENOSPC);
	close(fd);
}

START_TEST(test_save_full)
{
	char path[PATH_MAX];

	if (!scratch_mount("size=64k", path)) {
		return;
	}
	snprintf(run_dir, sizeof(run_dir), "%s/run", path);
	check_ok(gl_store_prepare(&store, &err));
	save(UUID, "old");
	fill(path);
	check_save_fails(GUESTLOCK_CANNOT_CREATE, "No space left on device");
}
END_TEST

START_TEST(test_save_read_only)
{
	char path[PATH_MAX];

	if (!scratch_mount("size=64k", path)) {
		return;
	}
	snprintf(run_dir, sizeof(run_dir), "%s/run", path);
	check_ok(gl_store_prepare(&store, &err));
	save(UUID, "old");
	scratch_make_read_only(path);
	check_save_fails(GUESTLOCK_CANNOT_CREATE, "Read-only file system");
	check_failed(remove_record(UUID), GUESTLOCK_CANNOT_CREATE, run_dir, "Read-only file system");
	check_loads(UUID, "old");
}
END_TEST

/* The content is as good as any, but it is not what the check says. */
START_TEST(test_load_changed)
{
	const char *path = in_run("guests/" UUID);
	char *text = NULL;
	size_t size;

	save(UUID, "name");
	ck_assert_int_eq(guestlock_read_file(path, 4096, &text, &size), 0);
	*strstr(text, "name=name") = 'N';
	write_file(path, text);
	check_load_fails(GUESTLOCK_DAMAGED, path, "there is no key Name");
	*strstr(text, "Name=name") = 'n';
	strstr(text, "name=name")[8] = 'a';
	write_file(path, text);
	check_load_fails(GUESTLOCK_DAMAGED, path, "changed by something else than guestlock");
	free(text);
}
END_TEST

static int save_limited(void *data)
{
	return scratch_limit_files(1000) || save_record(data, NULL) != GUESTLOCK_IO;
}

START_TEST(test_save_stopped_in_the_midst)
{
	struct gl_record *record = new_record(UUID, "new");

	save(UUID, "old");
	for (unsigned i = 0; i < 100; i++) {
		char key[16];

		snprintf(key, sizeof(key), "key%u", i);
		ck_assert_int_eq(gl_record_set_param(record, key, "value"), 0);
	}
	scratch_wait(scratch_spawn(save_limited, record));
	gl_record_free(record);
	check_loads(UUID, "old");
	ck_assert_uint_eq(count_files(in_run("guests")), 1);
}
END_TEST

struct growth {
	struct gl_record *record;
	rlim_t limit;
};

static int save_grown(void *data)
{
	struct growth *growth = data;

	return scratch_limit_files(growth->limit) || save_record(growth->record, NULL) == GUESTLOCK_OK;
}

/* A record that was saved before and has grown since. */
START_TEST(test_save_grown_stopped_in_the_midst)
{
	for (rlim_t limit = 400; limit < 1200; limit += 100) {
		static struct growth growth;

		growth = (struct growth){.record = new_record(UUID, "old"), .limit = limit};
		check_ok(save_record(growth.record, &err));
		for (unsigned i = 0; i < 40; i++) {
			char key[16];

			snprintf(key, sizeof(key), "key%u", i);
			ck_assert_int_eq(gl_record_set_param(growth.record, key, "value"), 0);
		}
		scratch_wait(scratch_spawn(save_grown, &growth));
		check_loads(UUID, "old");
		ck_assert_uint_eq(count_files(in_run("guests")), 1);
		gl_record_free(growth.record);
		check_ok(remove_record(UUID));
	}
}
END_TEST

/* Longer and shorter, below and above a page: what was saved last is what is loaded. */
START_TEST(test_save_again)
{
	static const unsigned lengths[] = {10, 100, 3000, 20, 3900, 4096, 10000, 3000, 10, 9000, 10};
	struct gl_record *record = new_record(UUID, "");
	char name[10001];

	for (size_t i = 0; i < GL_COUNT(lengths); i++) {
		memset(name, 'a' + (int)i, lengths[i]);
		name[lengths[i]] = '\0';
		ck_assert_int_eq(gl_set_string(&record->name, name), 0);
		check_ok(save_record(record, &err));
		check_loads(UUID, name);
	}
	gl_record_free(record);
	ck_assert_uint_eq(count_files(in_run("guests")), 1);
}
END_TEST

/* A record that is not fit to be written does not touch the file. */
START_TEST(test_save_unwritable)
{
	struct gl_record *record = new_record(UUID, "new");

	save(UUID, "old");
	record->process.pid = -1;
	ck_assert_int_eq(save_record(record, &err), GUESTLOCK_FAILED);
	check_loads(UUID, "old");
	memcpy(record->uuid, "../", 4);
	ck_assert_int_eq(save_record(record, &err), GUESTLOCK_INVALID);
	gl_record_free(record);
}
END_TEST

static int rewrite(void *data)
{
	struct gl_record *record = gl_record_new(UUID);
	char name[6000];
	(void)data;

	for (int i = 0; i < 500; i++) {
		memset(name, 'x', sizeof(name));
		name[i % 10 == 0 ? 5000 : i % 2 ? 5 : 2500] = '\0';
		if (!record || gl_set_string(&record->name, name) || save_record(record, NULL)) {
			return 1;
		}
	}
	gl_record_free(record);
	return 0;
}

/* Readers take no lock and see one record or the other. */
START_TEST(test_load_while_saved)
{
	int status = 0;
	pid_t pid;

	save(UUID, "xxxxx");
	pid = scratch_spawn(rewrite, NULL);
	do {
		struct gl_record *record = NULL;

		check_ok(gl_store_load(&store, UUID, &record, &err));
		ck_assert(strlen(record->name) == 5 || strlen(record->name) == 2500 ||
			  strlen(record->name) == 5000);
		gl_record_free(record);
	} while (waitpid(pid, &status, WNOHANG) == 0);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(test_remove)
{
	save(UUID, "name");
	check_ok(remove_record(UUID));
	check_ok(remove_record(UUID));
	ck_assert_uint_eq(count_files(in_run("guests")), 0);
}
END_TEST

START_TEST(test_set_aside)
{
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	char *paths[2] = {NULL, NULL};

	for (int i = 0; i < 2; i++) {
		char *text = NULL;
		size_t size;

		write_file(in_run("guests/" UUID), i == 0 ? "one" : "two");
		check_ok(gl_store_lock(&store, UUID, 0, &lock, &err));
		check_ok(gl_store_set_aside(&store, UUID, &lock, &paths[i], &err));
		/* What comes after it is not taken away. */
		write_file(in_run("guests/" UUID), "next");
		gl_store_unlock(&store, &lock);
		ck_assert_ptr_eq(strstr(paths[i], in_run("damaged/" UUID ".")), paths[i]);
		ck_assert_int_eq(guestlock_read_file(paths[i], 100, &text, &size), 0);
		ck_assert_str_eq(text, i == 0 ? "one" : "two");
		free(text);
		ck_assert_int_eq(unlink(in_run("guests/" UUID)), 0);
	}
	ck_assert_str_ne(paths[0], paths[1]);
	ck_assert_uint_eq(count_files(in_run("damaged")), 2);
	free(paths[0]);
	free(paths[1]);
}
END_TEST

/* Who waits for the lock of a record that is set aside does not get that one. */
START_TEST(test_set_aside_while_waited_for)
{
	struct holder *holder = scratch_share(sizeof(*holder));
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	struct gl_record *record = NULL;
	GL_AUTOFREE char *path = NULL;
	pid_t pid;

	write_file(in_run("guests/" UUID), "damaged");
	check_ok(gl_store_lock(&store, UUID, 0, &lock, &err));
	holder->for_ms = 100;
	pid = scratch_spawn(hold, holder);
	usleep(50000);
	ck_assert_int_eq(holder->held, 0);
	check_ok(gl_store_set_aside(&store, UUID, &lock, &path, &err));
	gl_store_unlock(&store, &lock);
	scratch_await(&holder->held);
	ck_assert_int_eq(gl_store_lock(&store, UUID, 0, &lock, &err), GUESTLOCK_TIMEOUT);
	check_ok(gl_store_lock(&store, UUID, guestlock_monotonic_ms() + 20000, &lock, &err));
	ck_assert_int_eq(gl_store_open(&store, &lock, &record, &err), GUESTLOCK_NOT_FOUND);
	gl_store_unlock(&store, &lock);
	scratch_wait(pid);
}
END_TEST

/* Also where the file that was set aside has another name, in a copy of the directory by links. */
START_TEST(test_removed_with_another_name)
{
	struct holder *holder = scratch_share(sizeof(*holder));
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	struct stat named, locked;
	pid_t pid;

	check_ok(gl_store_lock(&store, UUID, 0, &lock, &err));
	ck_assert_int_eq(link(in_run("guests/" UUID), in_run("copy")), 0);
	holder->for_ms = 100;
	pid = scratch_spawn(hold, holder);
	usleep(50000);
	ck_assert_int_eq(holder->held, 0);
	gl_store_unlock(&store, &lock);
	scratch_await(&holder->held);
	/* Had it the other file, this one would be free. */
	ck_assert_int_eq(gl_store_lock(&store, UUID, 0, &lock, &err), GUESTLOCK_TIMEOUT);
	check_ok(gl_store_lock(&store, UUID, guestlock_monotonic_ms() + 20000, &lock, &err));
	ck_assert_int_eq(stat(in_run("guests/" UUID), &named), 0);
	ck_assert_int_eq(fstat(lock.fd, &locked), 0);
	ck_assert_uint_eq(named.st_ino, locked.st_ino);
	gl_store_unlock(&store, &lock);
	scratch_wait(pid);
}
END_TEST

/* Somebody removes a record in the midst of an operation, and the guest is started anew: that record stays. */
START_TEST(test_unlock_of_what_was_removed)
{
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;

	check_ok(gl_store_lock(&store, UUID, 0, &lock, &err));
	ck_assert_int_eq(unlink(in_run("guests/" UUID)), 0);
	save(UUID, "new life");
	gl_store_unlock(&store, &lock);
	check_loads(UUID, "new life");
	check_ok(gl_store_lock(&store, UUID, 0, &lock, &err));
	ck_assert_int_eq(unlink(in_run("guests/" UUID)), 0);
	check_ok(gl_store_remove(&lock, &err));
	save(UUID, "newer life");
	gl_store_unlock(&store, &lock);
	check_loads(UUID, "newer life");
}
END_TEST

/* What is no file cannot be locked. */
START_TEST(test_set_aside_no_file)
{
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;
	GL_AUTOFREE char *path = NULL;

	check_failed(gl_store_set_aside(&store, UUID, &lock, &path, &err), GUESTLOCK_CANNOT_CREATE, UUID,
		     "No such file");
	ck_assert_int_eq(mkdir(in_run("guests/" UUID), 0700), 0);
	check_ok(gl_store_set_aside(&store, UUID, &lock, &path, &err));
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_uint_eq(count_files(in_run("guests")), 0);
}
END_TEST

/* The empty file of somebody who was killed goes; a record, and what is locked, stays. */
START_TEST(test_tidy)
{
	struct gl_guest_lock lock = GL_GUEST_LOCK_INIT;

	gl_store_tidy(&store, UUID);
	write_file(in_run("guests/" UUID), "");
	save(OTHER, "other");
	check_ok(gl_store_lock(&store, UUID, 0, &lock, &err));
	gl_store_tidy(&store, UUID);
	ck_assert_int_eq(access(in_run("guests/" UUID), F_OK), 0);
	close(lock.fd);
	gl_store_tidy(&store, UUID);
	gl_store_tidy(&store, OTHER);
	ck_assert_int_ne(access(in_run("guests/" UUID), F_OK), 0);
	check_loads(OTHER, "other");
}
END_TEST

START_TEST(test_uuids_none)
{
	char(*uuids)[GUESTLOCK_UUID_STRING];
	size_t count = 1;

	check_ok(gl_store_uuids(&store, &uuids, &count, &err));
	ck_assert_uint_eq(count, 0);
	free(uuids);
	ck_assert_int_eq(rmdir(in_run("guests")), 0);
	count = 1;
	check_ok(gl_store_uuids(&store, &uuids, &count, &err));
	ck_assert_uint_eq(count, 0);
	free(uuids);
}
END_TEST

START_TEST(test_uuids_others)
{
	char(*uuids)[GUESTLOCK_UUID_STRING];
	size_t count;

	save(UUID, "name");
	write_file(in_run("guests/.tmp-0123456789abcdef"), "");
	write_file(in_run("guests/C7A5FDBD-EDAF-9455-926A-D65C16DB1800"), "");
	write_file(in_run("guests/" UUID ".1"), "");
	write_file(in_run("guests/x"), "");
	check_ok(gl_store_uuids(&store, &uuids, &count, &err));
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(uuids[0], UUID);
	free(uuids);
}
END_TEST

static int compare_uuids(const void *a, const void *b)
{
	return strcmp(a, b);
}

START_TEST(test_uuids_many)
{
	char(*uuids)[GUESTLOCK_UUID_STRING];
	size_t count;

	for (unsigned i = 0; i < 1000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "guests/%08x-2222-4333-8444-555555555555", i);
		write_file(in_run(name), "");
	}
	check_ok(gl_store_uuids(&store, &uuids, &count, &err));
	ck_assert_uint_eq(count, 1000);
	qsort(uuids, count, sizeof(*uuids), compare_uuids);
	for (unsigned i = 0; i < 1000; i++) {
		char uuid[64];

		snprintf(uuid, sizeof(uuid), "%08x-2222-4333-8444-555555555555", i);
		ck_assert_str_eq(uuids[i], uuid);
	}
	free(uuids);
}
END_TEST

START_TEST(test_uuids_denied)
{
	char(*uuids)[GUESTLOCK_UUID_STRING];
	size_t count;

	if (geteuid() != 0) {
		ck_assert_int_eq(chmod(in_run("guests"), 0), 0);
	}
	scratch_become_nobody();
	check_failed(gl_store_uuids(&store, &uuids, &count, &err), GUESTLOCK_DENIED, run_dir,
		     "Permission denied");
	if (geteuid() == getuid()) {
		ck_assert_int_eq(chmod(in_run("guests"), 0700), 0);
	}
}
END_TEST

Suite *store_suite(void)
{
	Suite *suite = suite_create("store");
	TCase *directory = tcase_create("directories");
	TCase *lock = tcase_create("lock");
	TCase *record = tcase_create("records");

	tcase_add_checked_fixture(directory, setup_empty, scratch_remove);
	tcase_add_loop_test(directory, test_prepare, 0, 2);
	tcase_add_test(directory, test_prepare_deep);
	tcase_add_test(directory, test_prepare_below_a_file);
	tcase_add_test(directory, test_prepare_denied);
	tcase_add_test(directory, test_prepare_read_only);
	tcase_add_test(directory, test_prepare_full);
	suite_add_tcase(suite, directory);

	tcase_add_checked_fixture(lock, setup, scratch_remove);
	tcase_add_test(lock, test_lock);
	tcase_add_test(lock, test_lock_timeout);
	tcase_add_test(lock, test_lock_waits);
	tcase_add_test(lock, test_lock_killed_holder);
	tcase_add_test(lock, test_lock_copied_by_fork);
	tcase_add_test(lock, test_lock_without_directory);
	tcase_add_loop_test(lock, test_lock_bad_name, 0, 7);
	tcase_add_test(lock, test_lock_no_file);
	tcase_add_test(lock, test_lock_denied);
	tcase_add_test(lock, test_lock_read_only);
	tcase_add_test(lock, test_lock_removed_while_waited_for);
	tcase_set_timeout(lock, 120);
	suite_add_tcase(suite, lock);

	tcase_add_checked_fixture(record, setup, scratch_remove);
	tcase_add_test(record, test_save_and_load);
	tcase_add_test(record, test_save_without_directory);
	tcase_add_test(record, test_load_missing);
	tcase_add_test(record, test_load_damaged);
	tcase_add_test(record, test_load_no_file);
	tcase_add_test(record, test_load_denied);
	tcase_add_test(record, test_save_full);
	tcase_add_test(record, test_save_read_only);
	tcase_add_test(record, test_save_stopped_in_the_midst);
	tcase_add_test(record, test_load_changed);
	tcase_add_test(record, test_save_grown_stopped_in_the_midst);
	tcase_add_test(record, test_save_again);
	tcase_add_test(record, test_save_unwritable);
	tcase_add_test(record, test_load_while_saved);
	tcase_add_test(record, test_remove);
	tcase_add_test(record, test_set_aside);
	tcase_add_test(record, test_set_aside_while_waited_for);
	tcase_add_test(record, test_removed_with_another_name);
	tcase_add_test(record, test_unlock_of_what_was_removed);
	tcase_add_test(record, test_set_aside_no_file);
	tcase_add_test(record, test_tidy);
	tcase_add_test(record, test_uuids_none);
	tcase_add_test(record, test_uuids_others);
	tcase_add_test(record, test_uuids_many);
	tcase_add_test(record, test_uuids_denied);
	suite_add_tcase(suite, record);
	return suite;
}
