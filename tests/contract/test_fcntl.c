/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the contract leaves to a backend, for the one whose locks are entries in files. */
#include "contract.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define EXCLUSIVE GUESTLOCK_MODE_EXCLUSIVE
#define SHARED GUESTLOCK_MODE_SHARED
#define NONE GUESTLOCK_MODE_NONE
#define GRANTED GUESTLOCK_RES_GRANTED
#define BUSY GUESTLOCK_RES_BUSY
#define UNKNOWN GUESTLOCK_RES_UNKNOWN
#define N 5
#define MANY 40 /* owners that do not fit a page */

static struct keys keys;
static struct guest one, two;
static char path[512];

static void start_two(const char *group)
{
	keys_make(&keys, group);
	guest_start(&one, &host_a, "one", NULL, GUEST_PLAIN);
	guest_start(&two, &host_b, "two", NULL, GUEST_PLAIN);
}

static void end_two(void)
{
	guest_kill(&one);
	guest_kill(&two);
}

/* The path of something in the lock directory. */
static const char *at(const char *what, const char *name)
{
	snprintf(path, sizeof(path), "%s/state/fcntl/%s%s", contract.dir, what, name);
	return path;
}

static const char *entry_of(const struct guestlock_key *key)
{
	return at("keys/", key->key);
}

static char *read_entry(const struct guestlock_key *key, size_t *size)
{
	char *text;

	ck_assert_int_eq(guestlock_read_file(entry_of(key), 1 << 20, &text, size), 0);
	/* What is behind the size that it tells is left from a longer content. */
	*size = strtoul(text + strlen("guestlock-entry 1 "), NULL, 10);
	return text;
}

static void write_entry(const struct guestlock_key *key, const char *text, size_t size)
{
	ck_assert_int_eq(guestlock_write_file(entry_of(key), text, size, 0600), 0);
}

static size_t count_files(const char *what)
{
	char command[600];
	char line[32];
	FILE *pipe;

	snprintf(command, sizeof(command), "ls -A '%s' | wc -l", at(what, ""));
	pipe = popen(command, "re");
	ck_assert_ptr_nonnull(pipe);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), pipe));
	pclose(pipe);
	return strtoul(line, NULL, 10);
}

/* ---- Holders ---- */

START_TEST(everything_about_the_holder)
{
	const struct guestlock_holder *holder;
	int64_t before = (int64_t)time(NULL);
	struct ask ask;

	start_two("holder");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ask_for(&ask, keys.key, 1, SHARED);
	ck_assert_int_eq(ask_acquire(&two, &ask), BUSY);
	holder = &ask.items[0].holder;
	ck_assert_str_eq(holder->uuid, one.owner.uuid);
	ck_assert_uint_eq(holder->instance, one.owner.instance);
	ck_assert_str_eq(holder->name, "one");
	ck_assert_str_eq(holder->host, "host-a");
	ck_assert_int_eq(holder->pid, one.owner.pid);
	ck_assert_int_eq(holder->mode, EXCLUSIVE);
	ck_assert_int_ge(holder->since, before);
	ck_assert_int_le(holder->since, (int64_t)time(NULL));
	ck_assert_ptr_nonnull(strstr(ask.err.message, "one"));
	ck_assert_ptr_nonnull(strstr(ask.err.message, one.owner.uuid));
	ck_assert_str_eq(ask.err.holder.uuid, one.owner.uuid);
	end_two();
}
END_TEST

START_TEST(private_files)
{
	struct stat st;

	start_two("private");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	ck_assert_int_eq(stat(entry_of(keys.key), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(stat(at("", ""), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(stat(at("keys", ""), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_uint_eq(count_files("new"), 0);
	end_two();
}
END_TEST

/* ---- Damage ---- */

enum damage {
	DAMAGE_EMPTY,
	DAMAGE_SHORT,
	DAMAGE_FLIPPED,
	DAMAGE_ZEROS,
	DAMAGE_GARBAGE,
	DAMAGE_VERSION,
	DAMAGE_SWAPPED,
	DAMAGE_DIRECTORY,
	DAMAGE_LINK,
	DAMAGE_FIFO,
	DAMAGES,
};

static void damage(enum damage what, const struct guestlock_key *key, const struct guestlock_key *other)
{
	size_t size, other_size;
	char *text = read_entry(key, &size), *others = read_entry(other, &other_size);

	ck_assert_int_eq(unlink(entry_of(key)), 0);
	switch (what) {
	case DAMAGE_EMPTY:
		size = 0;
		break;
	case DAMAGE_SHORT:
		size -= 1;
		break;
	case DAMAGE_FLIPPED:
		text[size - 2] ^= 1;
		break;
	case DAMAGE_ZEROS:
		memset(text + size / 2, 0, size - size / 2);
		break;
	case DAMAGE_GARBAGE:
		memset(text, 'x', size);
		break;
	case DAMAGE_VERSION:
		text[strlen("guestlock-entry ")] = '2';
		break;
	case DAMAGE_SWAPPED:
		write_entry(key, others, other_size);
		break;
	case DAMAGE_DIRECTORY:
		ck_assert_int_eq(mkdir(entry_of(key), 0700), 0);
		break;
	case DAMAGE_LINK:
		ck_assert_int_eq(symlink("/dev/null", entry_of(key)), 0);
		break;
	case DAMAGE_FIFO:
		ck_assert_int_eq(mkfifo(entry_of(key), 0600), 0);
		break;
	case DAMAGES:
		break;
	}
	if (what <= DAMAGE_VERSION) {
		write_entry(key, text, size);
	}
	free(text);
	free(others);
}

static int note_damaged(void *data, const struct guestlock_lock *lock)
{
	const char **key = data;

	if (!lock->readable) {
		ck_assert_str_eq(lock->key.key, *key);
		*key = NULL;
	}
	return 0;
}

/* _i: enum damage. Never taken for free, whoever asks and whatever for; what to do is said, and works. */
START_TEST(damaged_is_never_free)
{
	const struct guestlock_backend_ops *ops = contract.module->ops;
	struct guestlock_error err = {.message = ""};
	const char *damaged = keys.key[1].key;
	struct ask ask;

	start_two("damaged");
	ask_for(&ask, keys.key, 3, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	ck_assert_int_eq(ask_release(&one, &ask), GRANTED);
	damage((enum damage)_i, &keys.key[1], &keys.key[0]);
	ck_assert_int_eq(ask_acquire(&two, &ask), UNKNOWN);
	ck_assert_int_eq(ask.items[1].result, UNKNOWN);
	ck_assert_ptr_nonnull(strstr(ask.err.message, entry_of(&keys.key[1])));
	ck_assert_ptr_nonnull(strstr(ask.err.message, "guestlock release --orphan"));
	assert_none(&two, &keys.key[0], 1);
	assert_none(&two, &keys.key[2], 1);
	ck_assert_int_eq(take(&one, &keys.key[1], SHARED), UNKNOWN);
	ck_assert_int_eq(probe(&one, &keys.key[1], SHARED), UNKNOWN);
	ck_assert_int_eq(change(&one, &keys.key[1], SHARED), UNKNOWN);
	ck_assert_int_eq(drop(&one, &keys.key[1], 0), UNKNOWN);
	ck_assert_int_eq(look(&one, &keys.key[1], NULL), UNKNOWN);
	ask_for(&ask, keys.key, 3, NONE);
	ck_assert_int_eq(ask_bind(&one, &ask), UNKNOWN);
	ck_assert_int_eq(ask_inquire(&one, &ask), UNKNOWN);
	ck_assert_int_eq(ask.items[0].result, GUESTLOCK_RES_FREE);
	ck_assert_int_eq(ops->enumerate(host_b.backend, note_damaged, &damaged, &err), GRANTED);
	ck_assert_ptr_null(damaged);
	ck_assert_int_eq(ops->unprovision(host_a.backend, NULL, 0, &err), GRANTED);
	ck_assert_int_eq(look(&one, &keys.key[1], NULL), UNKNOWN);
	ck_assert_int_eq(ops->release_orphan(host_a.backend, keys.key[1].key, false, &err), UNKNOWN);
	if (_i == DAMAGE_DIRECTORY) {
		ck_assert_int_eq(rmdir(entry_of(&keys.key[1])), 0);
	} else {
		err = (struct guestlock_error){.message = ""};
		ck_assert_int_eq(ops->release_orphan(host_b.backend, keys.key[1].key, true, &err), GRANTED);
		ck_assert_int_eq(host_b.warnings, 1);
	}
	ask_for(&ask, keys.key, 3, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&two, &ask), GRANTED);
	end_two();
}
END_TEST

/* Every byte matters: an entry with one of them changed or with its end cut off is damaged. */
START_TEST(every_byte_is_checked)
{
	size_t size, i;
	char *text;

	start_two("bytes");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	text = read_entry(keys.key, &size);
	for (i = 0; i < size; i++) {
		text[i] ^= 4;
		write_entry(keys.key, text, size);
		ck_assert_int_eq(look(&two, keys.key, NULL), UNKNOWN);
		text[i] ^= 4;
		write_entry(keys.key, text, i);
		ck_assert_int_eq(look(&two, keys.key, NULL), UNKNOWN);
	}
	write_entry(keys.key, text, size);
	ck_assert_int_eq(look(&two, keys.key, NULL), GUESTLOCK_RES_OTHER);
	free(text);
	end_two();
}
END_TEST

START_TEST(not_readable_is_not_free)
{
	start_two("unreadable");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	if (geteuid() != 0) {
		ck_assert_int_eq(chmod(entry_of(keys.key), 0), 0);
		ck_assert_int_eq(look(&two, keys.key, NULL), GUESTLOCK_RES_DENIED);
		ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), GUESTLOCK_RES_DENIED);
	}
	end_two();
}
END_TEST

/* Somebody else has the entry's lock, and does not let go: nothing is waited for. */
START_TEST(a_contended_entry)
{
	struct guestlock_error err = {.message = ""};
	struct guestlock_item item = {.key = keys.key, .mode = EXCLUSIVE};
	struct guestlock_batch batch = {.items = &item, .count = 1};
	int fd;

	start_two("contended");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	fd = open(entry_of(keys.key), O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(guestlock_ofd_lock(fd, F_WRLCK), 0);
	batch.owner = &two.owner;
	ck_assert_int_eq(contract.module->ops->acquire(host_b.backend, &batch, &err), GUESTLOCK_RES_AGAIN);
	ck_assert_int_eq(item.result, GUESTLOCK_RES_AGAIN);
	/* Asking does not need the lock. */
	ck_assert_int_eq(look(&two, keys.key, NULL), GUESTLOCK_RES_OTHER);
	close(fd);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), BUSY);
	end_two();
}
END_TEST

/* ---- Long entries ---- */

START_TEST(more_owners_than_fit_a_page)
{
	static struct guest many[MANY];
	struct stat st;
	struct ask ask;
	size_t i;

	start_two("many");
	for (i = 0; i < MANY; i++) {
		guest_pretend(&many[i], i % 2 == 0 ? &host_a : &host_b,
			      "one of many guests of this base image");
		ck_assert_int_eq(take(&many[i], keys.key, SHARED), GRANTED);
	}
	ck_assert_int_eq(stat(entry_of(keys.key), &st), 0);
	ck_assert_int_gt(st.st_size, 4096);
	ask_for(&ask, keys.key, 1, NONE);
	ask.flags = GUESTLOCK_BATCH_ALL_HOLDERS;
	ck_assert_int_eq(ask_nobody(&host_a, &ask), GRANTED);
	ck_assert_uint_eq(ask.items[0].n_holders, MANY);
	ask_free(&ask);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), BUSY);
	for (i = 0; i < MANY; i++) {
		ck_assert_int_eq(drop(&many[i], keys.key, 0), GRANTED);
		ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), i + 1 < MANY ? BUSY : GRANTED);
		guest_kill(&many[i]);
	}
	assert_all(&two, keys.key, 1, EXCLUSIVE);
	ck_assert_uint_eq(count_files("new"), 0);
	end_two();
}
END_TEST

START_TEST(the_dead_do_not_pile_up)
{
	struct guest dead;
	size_t size, i;

	start_two("pile");
	for (i = 0; i < 2 * MANY; i++) {
		guest_start(&dead, &host_a, "soon dead", NULL, GUEST_PLAIN);
		ck_assert_int_eq(take(&dead, keys.key, SHARED), GRANTED);
		guest_kill(&dead);
	}
	free(read_entry(keys.key, &size));
	ck_assert_uint_lt(size, 4096);
	ck_assert_int_eq(take_soon(&two, keys.key, EXCLUSIVE), GRANTED);
	end_two();
}
END_TEST

/* ---- Kills: whatever is killed, no key is free once one is granted ---- */

START_TEST(intents_first)
{
	const struct order order = {
		.call = ask_acquire, .guest = &one, .keys = keys.key, .count = N, .mode = EXCLUSIVE};
	unsigned stop, orphans = 0, mixed = 0;
	bool killed = true;
	struct ask ask;
	size_t i;

	start_two("intents");
	for (stop = 1; killed && stop < ORDER_STOPS; stop++) {
		unsigned held = 0, intents = 0;

		killed = order_killed_at(&order, stop);
		ask_for(&ask, keys.key, N, NONE);
		ck_assert_int_eq(ask_inquire(&one, &ask), GRANTED);
		for (i = 0; i < N; i++) {
			held += ask.items[i].result == GUESTLOCK_RES_HELD;
			intents += ask.items[i].result == GUESTLOCK_RES_ORPHAN;
		}
		ck_assert(held == 0 || held + intents == N);
		orphans += intents > 0;
		mixed += held > 0 && intents > 0;
		ck_assert_int_eq(ask_release(&one, &ask), GRANTED);
	}
	ck_assert(!killed);
	ck_assert_uint_gt(orphans, N);
	ck_assert_uint_gt(mixed, 1);
	end_two();
}
END_TEST

/* ---- Writing fails ---- */

static void assert_untouched(const uint64_t *epochs)
{
	size_t i;

	assert_none(&one, keys.key, N);
	for (i = 0; i < N; i++) {
		ck_assert_uint_eq(epoch_of(&two, &keys.key[i]), epochs[i]);
		ck_assert_int_eq(probe(&two, &keys.key[i], EXCLUSIVE), GRANTED);
	}
}

static void know_keys(uint64_t *epochs)
{
	struct ask ask;
	size_t i;

	ask_for(&ask, keys.key, N, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&two, &ask), GRANTED);
	for (i = 0; i < N; i++) {
		epochs[i] = ask.items[i].epoch;
	}
	ck_assert_int_eq(ask_release(&two, &ask), GRANTED);
}

/* _i: 0 fails at once, else after some bytes. At each write of the two rounds. */
START_TEST(a_write_that_fails_takes_nothing)
{
	uint64_t epochs[N];
	struct ask ask;
	int after;

	start_two("write-fails");
	know_keys(epochs);
	for (after = 0; after < 2 * N; after++) {
		fault = (struct fault){.pwrite_errno = _i == 1 ? ENOSPC : EIO,
				       .pwrite_after = after,
				       .pwrite_failures = 1,
				       .pwrite_bytes = _i == 0 ? 0 : 100};
		ask_for(&ask, keys.key, N, EXCLUSIVE);
		ck_assert_int_eq(ask_acquire(&one, &ask),
				 _i == 1 ? GUESTLOCK_RES_CANNOT_CREATE : GUESTLOCK_RES_IO);
		ck_assert_int_eq(fault.pwrite_failures, 0);
		fault = (struct fault){.fs_type = 0};
		assert_untouched(epochs);
	}
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	end_two();
}
END_TEST

START_TEST(a_release_that_fails_keeps_it)
{
	start_two("release-fails");
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GRANTED);
	fault = (struct fault){.pwrite_errno = EIO, .pwrite_failures = 1, .pwrite_bytes = 60};
	ck_assert_int_eq(drop(&one, keys.key, 0), GUESTLOCK_RES_IO);
	fault = (struct fault){.fs_type = 0};
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	ck_assert_int_eq(take(&two, keys.key, EXCLUSIVE), BUSY);
	fault = (struct fault){.pwrite_errno = EIO, .pwrite_failures = 1};
	ck_assert_int_eq(change(&one, keys.key, SHARED), GUESTLOCK_RES_IO);
	fault = (struct fault){.fs_type = 0};
	assert_all(&one, keys.key, 1, EXCLUSIVE);
	end_two();
}
END_TEST

/* Nothing can be written any more in the midst: then nobody is told that it is free. */
START_TEST(what_cannot_be_undone_is_uncertain)
{
	uint64_t epochs[N];
	struct ask ask;
	unsigned unknown = 0;
	size_t i;

	start_two("undo-fails");
	know_keys(epochs);
	fault = (struct fault){
		.pwrite_errno = EIO, .pwrite_after = N + 1, .pwrite_failures = 1000, .pwrite_bytes = 100};
	ask_for(&ask, keys.key, N, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GUESTLOCK_RES_INFLIGHT);
	fault = (struct fault){.fs_type = 0};
	for (i = 0; i < N; i++) {
		unknown += look(&one, &keys.key[i], NULL) == UNKNOWN;
		ck_assert_int_ne(look(&two, &keys.key[i], NULL), GUESTLOCK_RES_FREE);
		ck_assert_int_ne(take(&two, &keys.key[i], EXCLUSIVE), GRANTED);
	}
	/* The one that was torn. */
	ck_assert_uint_eq(unknown, 1);
	end_two();
}
END_TEST

/* ---- The lock directory ---- */

static enum guestlock_result join_again(struct host *host, struct guestlock_error *err)
{
	host_free(host);
	ck_assert_int_eq(host_make(host, "host-b", "auto", NULL, err), GRANTED);
	return host_join(host, err);
}

static void set_format(const char *text)
{
	ck_assert_int_eq(guestlock_write_file(at("format", ""), text, strlen(text), 0600), 0);
}

START_TEST(network_file_systems_are_refused)
{
	static const uint32_t types[] = {NFS_SUPER_MAGIC,   CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC,
					 CEPH_SUPER_MAGIC,  FUSE_SUPER_MAGIC, V9FS_MAGIC,
					 OCFS2_SUPER_MAGIC, 0x01161970};
	struct guestlock_error err;
	struct host other;
	size_t i;

	for (i = 0; i < GL_COUNT(types); i++) {
		fault = (struct fault){.fs_type = types[i]};
		ck_assert_int_eq(host_make(&other, "host-c", "auto", NULL, &err), GRANTED);
		ck_assert_int_eq(contract.module->ops->probe(other.backend, &err), GUESTLOCK_RES_UNSAFE);
		ck_assert_ptr_nonnull(strstr(err.message, "allow_network_filesystem"));
		ck_assert_int_eq(host_join(&other, &err), GUESTLOCK_RES_UNSAFE);
		host_free(&other);
		ck_assert_int_eq(host_make(&other, "host-c", "auto", "allow_network_filesystem=yes", &err),
				 GRANTED);
		ck_assert_int_eq(contract.module->ops->probe(other.backend, &err), GRANTED);
		ck_assert_int_eq(host_join(&other, &err), GRANTED);
		host_free(&other);
	}
}
END_TEST

START_TEST(another_version_is_refused)
{
	struct guestlock_error err;

	set_format("guestlock-format 2\nsomething else\n");
	ck_assert_int_eq(join_again(&host_b, &err), GUESTLOCK_RES_INVALID);
	ck_assert_ptr_nonnull(strstr(err.message, "guestlock-format 2"));
	ck_assert_int_eq(contract.module->ops->probe(host_b.backend, &err), GUESTLOCK_RES_INVALID);
	/* Whoever was there before notices too. */
	ck_assert_int_eq(host_join(&host_a, &err), GUESTLOCK_RES_INVALID);
}
END_TEST

static const char other_boot[] =
	"guestlock-format 1\nscheme auto\nboot 01234567-89ab-4def-8123-456789abcdef\n";

START_TEST(a_restart_of_the_machine_clears)
{
	struct guestlock_error err;
	struct ask ask;

	start_two("restart");
	ask_for(&ask, keys.key, 3, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	damage(DAMAGE_EMPTY, &keys.key[1], &keys.key[0]);
	end_two();
	set_format(other_boot);
	ck_assert_int_eq(join_again(&host_b, &err), GRANTED);
	ck_assert_int_eq(host_b.warnings, 1);
	ck_assert_uint_eq(count_files("keys"), 0);
	ck_assert_uint_eq(count_files("life"), 0);
	guest_start(&two, &host_b, "two", NULL, GUEST_PLAIN);
	ask.items[0].check_epoch = true;
	ck_assert_int_eq(ask_acquire(&two, &ask), GUESTLOCK_RES_UNPROVEN);
	ask.items[0].check_epoch = false;
	ck_assert_int_eq(ask_acquire(&two, &ask), GRANTED);
	ck_assert_int_eq(host_join(&host_a, &err), GRANTED);
	assert_all(&two, keys.key, 3, EXCLUSIVE);
	guest_kill(&two);
}
END_TEST

/* Another boot id with living guests is a container's, and no restart. _i: who is alive. */
START_TEST(no_restart_while_somebody_lives)
{
	struct guestlock_error err;

	keys_make(&keys, "no-restart");
	guest_start(&one, &host_a, "one", NULL, _i == 0 ? GUEST_PLAIN : GUEST_ADOPTED);
	ck_assert_int_eq(take(&one, &keys.key[0], EXCLUSIVE), GRANTED);
	ck_assert_int_eq(take(&one, &keys.key[1], EXCLUSIVE), GRANTED);
	damage(DAMAGE_EMPTY, &keys.key[1], &keys.key[0]);
	set_format(other_boot);
	ck_assert_int_eq(join_again(&host_b, &err), GRANTED);
	guest_start(&two, &host_b, "two", NULL, GUEST_PLAIN);
	ck_assert_int_eq(take(&two, &keys.key[0], EXCLUSIVE), BUSY);
	ck_assert_int_eq(take(&two, &keys.key[1], EXCLUSIVE), UNKNOWN);
	set_format("guestl");
	ck_assert_int_eq(join_again(&host_b, &err), UNKNOWN);
	ck_assert_int_eq(unlink(at("format", "")), 0);
	ck_assert_int_eq(join_again(&host_b, &err), UNKNOWN);
	guest_kill(&two);
	guest_kill(&one);
	ck_assert_int_eq(join_again(&host_b, &err), GRANTED);
}
END_TEST

START_TEST(a_missing_lock_directory)
{
	struct guestlock_error err;

	start_two("missing");
	ck_assert_int_eq(rmdir(at("keys", "")), 0);
	ck_assert_int_eq(look(&one, keys.key, NULL), GUESTLOCK_RES_NOT_JOINED);
	ck_assert_int_eq(take(&one, keys.key, EXCLUSIVE), GUESTLOCK_RES_NOT_JOINED);
	ck_assert_int_eq(contract.module->ops->status(host_a.backend, &err), GUESTLOCK_JOIN_LOST);
	end_two();
}
END_TEST

START_TEST(unused_entries_are_removed)
{
	const struct guestlock_backend_ops *ops = contract.module->ops;
	struct guestlock_error err = {.message = ""};
	struct ask ask;
	int fd;

	start_two("unused");
	ask_for(&ask, keys.key, 4, EXCLUSIVE);
	ck_assert_int_eq(ask_acquire(&one, &ask), GRANTED);
	ck_assert_int_eq(drop(&one, &keys.key[1], 0), GRANTED);
	ck_assert_int_eq(drop(&one, &keys.key[2], GUESTLOCK_BATCH_PARK), GRANTED);
	fd = open(at("new/", "left-over"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(ops->unprovision(host_b.backend, NULL, 3600, &err), GRANTED);
	ck_assert_uint_eq(count_files("keys"), 4);
	ck_assert_uint_eq(count_files("new"), 1);
	ck_assert_int_eq(ops->unprovision(host_b.backend, NULL, 0, &err), GRANTED);
	ck_assert_uint_eq(count_files("keys"), 3);
	ck_assert_uint_eq(count_files("new"), 0);
	guest_kill(&one);
	ck_assert_int_eq(ops->unprovision(host_b.backend, NULL, 0, &err), GRANTED);
	ck_assert_uint_eq(count_files("keys"), 0);
	guest_kill(&two);
}
END_TEST

START_TEST(what_is_no_key)
{
	static const char *const wrong[] = {"", "short", "../../../../../../../../../../../../etc/passwd",
					    "0123456789012345678901234567890123456789012345", ".."};
	struct guestlock_error err;
	size_t i;

	for (i = 0; i < GL_COUNT(wrong); i++) {
		ck_assert_int_eq(contract.module->ops->release_orphan(host_a.backend, wrong[i], true, &err),
				 GUESTLOCK_RES_INVALID);
	}
}
END_TEST

void fcntl_tests(Suite *suite)
{
	TCase *tcase;

	if (strcmp(contract.name, "fcntl") != 0) {
		return;
	}
	tcase = contract_case(suite, "fcntl");
	tcase_add_test(tcase, everything_about_the_holder);
	tcase_add_test(tcase, private_files);
	tcase_add_loop_test(tcase, damaged_is_never_free, 0, DAMAGES);
	tcase_add_test(tcase, every_byte_is_checked);
	tcase_add_test(tcase, not_readable_is_not_free);
	tcase_add_test(tcase, a_contended_entry);
	tcase_add_test(tcase, more_owners_than_fit_a_page);
	tcase_add_test(tcase, the_dead_do_not_pile_up);
	tcase_add_test(tcase, intents_first);
	tcase_add_loop_test(tcase, a_write_that_fails_takes_nothing, 0, 3);
	tcase_add_test(tcase, a_release_that_fails_keeps_it);
	tcase_add_test(tcase, what_cannot_be_undone_is_uncertain);
	tcase_add_test(tcase, network_file_systems_are_refused);
	tcase_add_test(tcase, another_version_is_refused);
	tcase_add_test(tcase, a_restart_of_the_machine_clears);
	tcase_add_loop_test(tcase, no_restart_while_somebody_lives, 0, 2);
	tcase_add_test(tcase, a_missing_lock_directory);
	tcase_add_test(tcase, unused_entries_are_removed);
	tcase_add_test(tcase, what_is_no_key);
}
