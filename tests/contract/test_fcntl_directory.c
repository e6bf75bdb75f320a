/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Entries in files: the directory they are in. */
#include "fcntl_files.h"
#include "pair.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>

static enum guestlock_result join_again(struct host *host, struct guestlock_error *err)
{
	host_free(host);
	ck_assert_int_eq(host_make(host, "host-b", "auto", NULL, err), GRANTED);
	return host_join(host, err);
}

static void set_format(const char *text)
{
	ck_assert_int_eq(guestlock_write_file(fcntl_path("format", ""), text, strlen(text), 0600), 0);
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

START_TEST(places_where_it_cannot_be)
{
	static const struct {
		const char *option;
		enum guestlock_result result;
	} places[] = {
		{"lock_dir=/proc/guestlock/locks", GUESTLOCK_RES_CANNOT_CREATE},
		{"lock_dir=/dev/null", GUESTLOCK_RES_INVALID},
		{"lock_dir=/dev/null/locks", GUESTLOCK_RES_INVALID},
	};
	struct guestlock_error err;
	struct host other;
	size_t i;

	for (i = 0; i < GL_COUNT(places); i++) {
		ck_assert_int_eq(host_make(&other, "host-c", "auto", places[i].option, &err), GRANTED);
		ck_assert_int_eq(host_join(&other, &err), places[i].result);
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
	fcntl_damage(DAMAGE_EMPTY, &keys.key[1], &keys.key[0]);
	end_two();
	set_format(other_boot);
	ck_assert_int_eq(join_again(&host_b, &err), GRANTED);
	ck_assert_int_eq(host_b.warnings, 1);
	ck_assert_uint_eq(fcntl_count("keys"), 0);
	ck_assert_uint_eq(fcntl_count("life"), 0);
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

/*
 * Another boot id with living guests is a container's, and no restart. _i: a guest, one without a life
 * lock, or one whose only entry is the damaged one.
 */
START_TEST(no_restart_while_somebody_lives)
{
	struct guestlock_error err;

	keys_make(&keys, "no-restart");
	guest_start(&one, &host_a, "one", NULL, _i == 1 ? GUEST_ADOPTED : GUEST_PLAIN);
	ck_assert_int_eq(take(&one, &keys.key[0], EXCLUSIVE), GRANTED);
	ck_assert_int_eq(take(&one, &keys.key[1], EXCLUSIVE), GRANTED);
	if (_i == 2) {
		ck_assert_int_eq(drop(&one, &keys.key[0], 0), GRANTED);
	}
	fcntl_damage(DAMAGE_EMPTY, &keys.key[1], &keys.key[0]);
	set_format(other_boot);
	ck_assert_int_eq(join_again(&host_b, &err), GRANTED);
	guest_start(&two, &host_b, "two", NULL, GUEST_PLAIN);
	ck_assert_int_eq(take(&two, &keys.key[0], EXCLUSIVE), _i == 2 ? GRANTED : BUSY);
	ck_assert_int_eq(take(&two, &keys.key[1], EXCLUSIVE), UNKNOWN);
	set_format("guestl");
	ck_assert_int_eq(join_again(&host_b, &err), UNKNOWN);
	ck_assert_int_eq(unlink(fcntl_path("format", "")), 0);
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
	ck_assert_int_eq(rmdir(fcntl_path("keys", "")), 0);
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
	fd = open(fcntl_path("new/", "left-over"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(ops->unprovision(host_b.backend, 3600, &err), GRANTED);
	ck_assert_uint_eq(fcntl_count("keys"), 4);
	ck_assert_uint_eq(fcntl_count("new"), 1);
	ck_assert_int_eq(ops->unprovision(host_b.backend, 0, &err), GRANTED);
	ck_assert_uint_eq(fcntl_count("keys"), 3);
	ck_assert_uint_eq(fcntl_count("new"), 0);
	guest_kill(&one);
	ck_assert_int_eq(ops->unprovision(host_b.backend, 0, &err), GRANTED);
	ck_assert_uint_eq(fcntl_count("keys"), 0);
	guest_kill(&two);
}
END_TEST

/* What a living process is making is locked, however long it takes. */
START_TEST(files_that_are_being_made_stay)
{
	const struct guestlock_backend_ops *ops = contract.module->ops;
	struct guestlock_error err = {.message = ""};
	int fd;

	start_two("being-made");
	fd = open(fcntl_path("new/", "0123"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(guestlock_ofd_lock(fd, F_WRLCK), 0);
	ck_assert_int_eq(ops->unprovision(host_b.backend, 0, &err), GRANTED);
	ck_assert_uint_eq(fcntl_count("new"), 1);
	close(fd);
	ck_assert_int_eq(ops->unprovision(host_b.backend, 0, &err), GRANTED);
	ck_assert_uint_eq(fcntl_count("new"), 0);
	end_two();
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

void fcntl_directory_tests(Suite *suite)
{
	TCase *tcase = fcntl_case(suite, "fcntl-directory");

	if (!tcase) {
		return;
	}
	tcase_add_test(tcase, network_file_systems_are_refused);
	tcase_add_test(tcase, places_where_it_cannot_be);
	tcase_add_test(tcase, another_version_is_refused);
	tcase_add_test(tcase, a_restart_of_the_machine_clears);
	tcase_add_loop_test(tcase, no_restart_while_somebody_lives, 0, 3);
	tcase_add_test(tcase, a_missing_lock_directory);
	tcase_add_test(tcase, unused_entries_are_removed);
	tcase_add_test(tcase, files_that_are_being_made_stay);
	tcase_add_test(tcase, what_is_no_key);
}
