/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What guestlock costs beside the raw system calls it cannot do without. Everything is measured in one run
 * and given as medians and as ratios. What is compared is measured in turns, sample by sample, so that both
 * sides see the same machine. The floor: twice open an entry, lock it, read, write, unlock, close.
 *
 *     bench [DIRECTORY]      (default /dev/shm: records on tmpfs, as in /run)
 *
 * Ends with 1 when a ratio is above its bound.
 */
#include "base/base.h"
#include "figures.h"
#include "handle/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ROUNDS 2000
#define BATCH 17
#define HOST_ROUNDS 9 /* of what goes through all guests */

static char root[512];
static int failures;

__attribute__((noreturn)) static void give_up(const char *what, const struct guestlock_error *err)
{
	fprintf(stderr, "bench: %s: %s\n", what, err ? err->message : strerror(errno));
	exit(2);
}

static void row(const char *what, double us)
{
	printf("%-58s %12.1f us\n", what, us);
}

static void ratio(const char *what, double value, double bound)
{
	bool good = value <= bound;

	printf("  %-56s %12.2f  (bound %.2f)%s\n", what, value, bound, good ? "" : "  EXCEEDED");
	failures += !good;
}

static const char *path_of(const char *name, unsigned number)
{
	static char path[1024];

	snprintf(path, sizeof(path), "%s/%s-%u", root, name, number);
	return path;
}

static void touch(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0) {
		give_up(path, NULL);
	}
	close(fd);
}

/* ---- Samples in turns ---- */

typedef void sample_fn(void *data);

/* Medians of what one call of each function takes. */
static void in_turns(sample_fn *const functions[], void *const data[], size_t count, double out_us[])
{
	static double samples[4][ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		for (size_t k = 0; k < count; k++) {
			double start = bench_now_us();

			functions[k](data[k]);
			samples[k][i] = bench_now_us() - start;
		}
	}
	for (size_t k = 0; k < count; k++) {
		out_us[k] = bench_median(samples[k], ROUNDS);
	}
}

static void floor_once(const char *path)
{
	char data[512];
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || guestlock_ofd_lock(fd, F_WRLCK) < 0 || read(fd, data, sizeof(data)) < 0 ||
	    pwrite(fd, data, sizeof(data), 0) < 0 || guestlock_ofd_lock(fd, F_UNLCK) < 0 || close(fd) < 0) {
		give_up("floor", NULL);
	}
}

static void floor_twice(void *path)
{
	floor_once(path);
	floor_once(path);
}

static char *make_floor(void)
{
	char *path = strdup(path_of("floor", 0));
	char data[512] = {0};

	if (!path || guestlock_write_file(path, data, sizeof(data), 0600) < 0) {
		give_up("floor", NULL);
	}
	return path;
}

/* ---- Guests: this process is all of them ---- */

static struct guestlock *open_library(const char *host, const char *lock_guest)
{
	char run[640], state[640], guest[64];
	const char *overrides[] = {run, state, guest, "guestlock.log_level=error", NULL};
	struct guestlock_options options = {
		.size = sizeof(options), .config_file = "/dev/null", .overrides = overrides};
	struct guestlock_error err = {0};
	struct guestlock *gl;

	snprintf(run, sizeof(run), "guestlock.run_dir=%s/%s/run", root, host);
	snprintf(state, sizeof(state), "guestlock.state_dir=%s/%s/state", root, host);
	snprintf(guest, sizeof(guest), "guestlock.lock_guest=%s", lock_guest);
	if (guestlock_open(&gl, &options, &err) < 0) {
		give_up("open", &err);
	}
	return gl;
}

static struct guestlock_guest *make_guest(struct guestlock *gl, unsigned number, unsigned first_disk,
					  unsigned disks)
{
	struct guestlock_error err = {0};
	struct guestlock_guest *guest;
	char uuid[GUESTLOCK_UUID_STRING], name[32];

	snprintf(uuid, sizeof(uuid), "00000000-0000-4000-8000-%012x", number);
	snprintf(name, sizeof(name), "guest-%u", number);
	if (guestlock_guest_new(gl, GUESTLOCK_NEW_START, &guest, &err) < 0 ||
	    guestlock_guest_set_param(guest, "uuid", uuid, &err) < 0 ||
	    guestlock_guest_set_param(guest, "name", name, &err) < 0) {
		give_up("guest", &err);
	}
	for (unsigned i = 0; i < disks; i++) {
		struct guestlock_resource disk = {.name = path_of("disk", first_disk + i)};

		touch(disk.name);
		if (guestlock_guest_register_resource(guest, &disk, &err) < 0) {
			give_up(disk.name, &err);
		}
	}
	if (guestlock_guest_bind(guest, NULL, &err) < 0 ||
	    guestlock_guest_acquire(guest, NULL, 0, 0, &err) < 0) {
		give_up(name, &err);
	}
	return guest;
}

static void attach_detach(void *guest)
{
	static char path[1024];
	const struct guestlock_resource disk = {.name = path};
	struct guestlock_error err = {0};

	if (!path[0]) {
		snprintf(path, sizeof(path), "%s", path_of("plugged", 0));
		touch(path);
	}
	/* Locks alone: what the guest's processes have open is asked of /proc, which costs what that is. */
	if (guestlock_guest_acquire_resource(guest, &disk, 0, 0, &err) < 0 ||
	    guestlock_guest_release_resource(guest, &disk, GUESTLOCK_RELEASE_FORCE, &err) < 0) {
		give_up(path, &err);
	}
}

static void pause_resume(void *guest)
{
	struct guestlock_error err = {0};

	if (guestlock_guest_pause(guest, GUESTLOCK_EXTERNALLY_STOPPED | GUESTLOCK_EXTERNALLY_FLUSHED, NULL,
				  &err) < 0 ||
	    guestlock_guest_resume(guest, NULL, 0, &err) < 0) {
		give_up("pause and resume", &err);
	}
}

struct stored {
	struct gl_store *store;
	struct gl_guest_lock lock;
	struct gl_record *record;
};

/* The part of the records: as many writes as an attach and a detach make. */
static void write_records(void *data)
{
	struct stored *stored = data;
	struct guestlock_error err = {0};

	for (int k = 0; k < 4; k++) {
		if (gl_store_save(stored->store, &stored->lock, stored->record, &err) < 0) {
			give_up("record", &err);
		}
	}
}

/* ---- Everything of a host ---- */

static double read_and_parse_us(struct guestlock *gl)
{
	char(*uuids)[GUESTLOCK_UUID_STRING];
	struct guestlock_error err = {0};
	double start = bench_now_us();
	size_t count;

	if (gl_store_uuids(&gl->store, &uuids, &count, &err) < 0) {
		give_up("records", &err);
	}
	for (size_t i = 0; i < count; i++) {
		struct gl_record *record;

		if (gl_store_load(&gl->store, uuids[i], &record, &err) < 0) {
			give_up(uuids[i], &err);
		}
		gl_record_free(record);
	}
	free(uuids);
	return bench_now_us() - start;
}

static double list_us(struct guestlock *gl)
{
	struct guestlock_error err = {0};
	struct guestlock_info **infos;
	double start = bench_now_us();
	size_t count;

	if (guestlock_list(gl, &infos, &count, &err) < 0) {
		give_up("list", &err);
	}
	guestlock_list_free(infos, count);
	return bench_now_us() - start;
}

static double reap_us(struct guestlock *gl, size_t expected)
{
	struct guestlock_reap_result result;
	struct guestlock_error err = {0};
	double start = bench_now_us();

	if (guestlock_reap(gl, &result, &err) < 0) {
		give_up("reap", &err);
	}
	if (result.alive != expected || result.orphans || result.failed) {
		fprintf(stderr, "bench: recovery counted %zu guests instead of %zu\n", result.alive,
			expected);
		exit(2);
	}
	return bench_now_us() - start;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_root(void)
{
	nftw(root, remove_one, 64, FTW_DEPTH | FTW_PHYS);
}

static void single_guest(struct guestlock *gl, struct guestlock_guest *guest)
{
	struct guestlock_guest *large = make_guest(gl, 2, 100, BATCH);
	struct stored stored = {.store = &gl->store, .lock = GL_GUEST_LOCK_INIT};
	struct guestlock_error err = {0};
	char *floor = make_floor();
	double us[3];

	in_turns((sample_fn *[]){floor_twice, attach_detach}, (void *[]){floor, guest}, 2, us);
	row("floor: twice open, lock, read, write, unlock, close", us[0]);
	row("acquire + release of one disk (attach, detach)", us[1]);
	ratio("of the floor", us[1] / us[0], 10);
	in_turns((sample_fn *[]){pause_resume, pause_resume, attach_detach}, (void *[]){guest, large, guest},
		 3, us);
	row("release + acquire of a batch of 1 (pause, resume)", us[0]);
	row("release + acquire of a batch of 17", us[1]);
	row("  each further disk", (us[1] - us[0]) / (BATCH - 1));
	ratio("of one disk (attach, detach)", (us[1] - us[0]) / (BATCH - 1) / us[2], 1.0 / 3);
	if (gl_store_lock(&gl->store, "00000000-0000-4000-8000-000000000001", 0, &stored.lock, &err) < 0 ||
	    gl_store_open(&gl->store, &stored.lock, &stored.record, &err) < 0) {
		give_up("record", &err);
	}
	in_turns((sample_fn *[]){write_records}, (void *[]){&stored}, 1, us);
	row("writing a record four times, as an attach and a detach do", us[0]);
	gl_record_free(stored.record);
	gl_store_unlock(&gl->store, &stored.lock);
	guestlock_guest_free(large);
	free(floor);
}

/* Two hosts that differ in one respect; the same is done on both in turns. */
static void compare_hosts(const char *few, const char *many, unsigned guests_few, unsigned guests_many,
			  unsigned disks)
{
	struct guestlock *hosts[2];
	struct guestlock_guest *guest[2];
	double us[2];

	for (unsigned h = 0; h < 2; h++) {
		unsigned guests = h == 0 ? guests_few : guests_many;

		hosts[h] = open_library(h == 0 ? few : many, "no");
		guest[h] = make_guest(hosts[h], 1, 0, 1);
		for (unsigned i = 0; i < guests; i++) {
			guestlock_guest_free(make_guest(hosts[h], i + 10, 1000 + i * disks, disks));
		}
	}
	in_turns((sample_fn *[]){attach_detach, attach_detach}, (void *[]){guest[0], guest[1]}, 2, us);
	for (unsigned h = 0; h < 2; h++) {
		char what[128];

		snprintf(what, sizeof(what), "acquire + release on a host with %s", h == 0 ? few : many);
		row(what, us[h]);
		guestlock_guest_free(guest[h]);
		guestlock_close(hosts[h]);
	}
	ratio("of the smaller", us[1] / us[0], 1.3);
}

/* 10,000 guests of two disks in a run directory of their own. */
static void whole_host(void)
{
	struct guestlock *gl = open_library("10,000 guests", "yes");
	double parse[HOST_ROUNDS], list[HOST_ROUNDS], reap[HOST_ROUNDS], parse_us;

	for (unsigned i = 0; i < 10000; i++) {
		guestlock_guest_free(make_guest(gl, i + 1, 2 * i, 2));
	}
	for (int i = 0; i < HOST_ROUNDS; i++) {
		parse[i] = read_and_parse_us(gl);
		list[i] = list_us(gl);
		reap[i] = reap_us(gl, 10000);
	}
	parse_us = bench_median(parse, HOST_ROUNDS);
	row("reading and parsing 10,000 records of 2 disks", parse_us);
	row("list of 10,000 guests", bench_median(list, HOST_ROUNDS));
	ratio("of reading and parsing", list[HOST_ROUNDS / 2] / parse_us, 3);
	row("recovery of 10,000 finished records", bench_median(reap, HOST_ROUNDS));
	ratio("of reading and parsing", reap[HOST_ROUNDS / 2] / parse_us, 3);
	guestlock_close(gl);
}

static void few_and_many_locks(void)
{
	compare_hosts("400 locks", "40,000 locks", 1, 100, 400);
}

static void few_and_many_guests(void)
{
	compare_hosts("10 more guests", "10,000 more guests", 10, 10000, 2);
}

/* Each guest costs a descriptor, and there is a limit to those. */
static void in_process_of_its_own(void (*part)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		part();
		fflush(stdout);
		_exit(failures ? 1 : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) > 1) {
		give_up("a part of the benchmark failed", NULL);
	}
	failures += WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	struct rlimit files;
	struct guestlock_guest *guest;
	struct guestlock *gl;

	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(root, sizeof(root), "%s/guestlock-bench-XXXXXX", argc > 1 ? argv[1] : "/dev/shm");
	if (!mkdtemp(root) || getrlimit(RLIMIT_NOFILE, &files) < 0) {
		give_up(root, NULL);
	}
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	atexit(remove_root);
	gl = open_library("one guest", "no");
	guest = make_guest(gl, 1, 0, 1);
	single_guest(gl, guest);
	guestlock_guest_free(guest);
	guestlock_close(gl);
	in_process_of_its_own(few_and_many_locks);
	in_process_of_its_own(few_and_many_guests);
	in_process_of_its_own(whole_host);
	return failures ? 1 : 0;
}
