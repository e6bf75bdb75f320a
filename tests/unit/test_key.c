/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/base.h"
#include "child.h"
#include "disk/key.h"
#include "suites.h"
#include "temporary.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define UUID "c0ffee00-1111-2222-3333-444444444444"

static char top[512];       /* of all tests of a case: it goes also after a failure */
static char directory[600]; /* of one test; a real path */

static void setup_base(void)
{
	char made[500];
	GL_AUTOFREE char *real = NULL;

	temporary_make(made, sizeof(made), "key");
	real = realpath(made, NULL);
	ck_assert_ptr_nonnull(real);
	snprintf(top, sizeof(top), "%s", real);
	ck_assert_int_eq(chmod(top, 0711), 0);
}

static void setup(void)
{
	snprintf(directory, sizeof(directory), "%s/XXXXXX", top);
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chdir(directory), 0);
}

static void teardown_base(void)
{
	temporary_remove(top);
}

/* A path in the directory of the test. */
static const char *in_directory(const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned turn;
	char *path = paths[turn++ % GL_COUNT(paths)];

	snprintf(path, PATH_MAX, "%s/%s", directory, name);
	return path;
}

static void make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

/* The identity of a disk that has one. To be freed. */
static struct gl_identity disk(const char *path)
{
	struct guestlock_resource resource = {.type = GUESTLOCK_DISK, .name = path};
	struct guestlock_error error = {0};
	struct gl_identity identity;
	int status = gl_identify(&resource, GL_IDENTITY_AUTO, "/sys", &identity, &error);

	ck_assert_msg(status == GUESTLOCK_OK, "%s", error.message);
	ck_assert_uint_eq(strlen(identity.key), GUESTLOCK_KEY_SIZE - 1);
	return identity;
}

/* spelled is that file and no other: text, key, device and inode. */
static void expect_file(const char *spelled, const char *real)
{
	struct gl_identity identity = disk(spelled);
	char bytes[5 + 5 + PATH_MAX] = "disk";
	char key[GUESTLOCK_KEY_SIZE];
	struct stat st;

	snprintf(bytes + 5, sizeof(bytes) - 5, "file:%s", real);
	guestlock_digest(bytes, 5 + strlen(bytes + 5), key);
	ck_assert_int_eq(stat(real, &st), 0);
	ck_assert_str_eq(identity.text, bytes + 5);
	ck_assert_str_eq(identity.key, key);
	ck_assert(identity.has_file);
	ck_assert_uint_eq(identity.device, st.st_dev);
	ck_assert_uint_eq(identity.inode, st.st_ino);
	gl_identity_free(&identity);
	ck_assert_ptr_null(identity.text);
}

/* ---- Files ---- */

START_TEST(file_is_its_real_path)
{
	char spelled[PATH_MAX];

	make_file(in_directory("img"));
	ck_assert_int_eq(mkdir(in_directory("sub"), 0700), 0);
	expect_file(in_directory("img"), in_directory("img"));
	expect_file(in_directory("./img"), in_directory("img"));
	expect_file(in_directory("sub/../img"), in_directory("img"));
	expect_file(in_directory("sub/./..//img"), in_directory("img"));
	snprintf(spelled, sizeof(spelled), "/..//%s/img", directory);
	expect_file(spelled, in_directory("img"));
}
END_TEST

START_TEST(links_lead_to_the_file)
{
	ck_assert_int_eq(mkdir(in_directory("real"), 0700), 0);
	make_file(in_directory("real/img"));
	ck_assert_int_eq(symlink("real/img", in_directory("link")), 0);
	ck_assert_int_eq(symlink("link", in_directory("second")), 0);
	ck_assert_int_eq(symlink(in_directory("real"), in_directory("middle")), 0);
	expect_file(in_directory("link"), in_directory("real/img"));
	expect_file(in_directory("second"), in_directory("real/img"));
	expect_file(in_directory("middle/img"), in_directory("real/img"));
	expect_file(in_directory("middle/../link"), in_directory("real/img"));
}
END_TEST

/* Names that look like steps of a path and are none, and bytes that are no text. */
static const char *const odd_names[] = {
	"...", "..img",        ".img",         "img.",         "a b", "new\nline",
	"\n",  "\xff\xfe\x80", "\xc3\xa4.img", "a\tb\x1b[31m", "%00",
};

START_TEST(any_bytes_are_a_name)
{
	const char *path = in_directory(odd_names[_i]);

	make_file(path);
	expect_file(path, path);
}
END_TEST

/* Makes a file whose path has that many bytes. */
static void make_long_path(char *path, size_t size)
{
	size_t used = strlen(directory);

	memcpy(path, directory, used);
	while (size - used > 201) {
		path[used++] = '/';
		memset(path + used, 'd', 99);
		used += 99;
		path[used] = '\0';
		ck_assert_int_eq(mkdir(path, 0700), 0);
	}
	path[used++] = '/';
	memset(path + used, 'f', size - used);
	path[size] = '\0';
	make_file(path);
}

static const size_t long_sizes[] = {4000, PATH_MAX - 1};

START_TEST(long_paths_are_known)
{
	char path[PATH_MAX + 8];
	char spelled[PATH_MAX + 8];

	make_long_path(path, long_sizes[_i]);
	ck_assert_uint_eq(strlen(path), long_sizes[_i]);
	expect_file(path, path);
	snprintf(spelled, sizeof(spelled), "%s/l", directory);
	ck_assert_int_eq(symlink(path, spelled), 0);
	expect_file(spelled, path);
}
END_TEST

START_TEST(hard_link_is_another_path_to_it)
{
	struct gl_identity one, other;

	make_file(in_directory("img"));
	ck_assert_int_eq(link(in_directory("img"), in_directory("same")), 0);
	one = disk(in_directory("img"));
	other = disk(in_directory("same"));
	ck_assert_str_ne(one.text, other.text);
	ck_assert_str_ne(one.key, other.key);
	ck_assert_uint_eq(one.device, other.device);
	ck_assert_uint_eq(one.inode, other.inode);
	gl_identity_free(&one);
	gl_identity_free(&other);
}
END_TEST

START_TEST(bind_mount_is_another_path_to_it)
{
	struct gl_identity one, other;

	if (unshare(CLONE_NEWNS) < 0) {
		SKIP("may not mount");
	}
	ck_assert_int_eq(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL), 0);
	make_file(in_directory("img"));
	make_file(in_directory("target"));
	ck_assert_int_eq(mount(in_directory("img"), in_directory("target"), "none", MS_BIND, NULL), 0);
	one = disk(in_directory("img"));
	other = disk(in_directory("target"));
	ck_assert_int_eq(umount(in_directory("target")), 0);
	ck_assert_str_ne(one.key, other.key);
	ck_assert_uint_eq(one.device, other.device);
	ck_assert_uint_eq(one.inode, other.inode);
	gl_identity_free(&one);
	gl_identity_free(&other);
}
END_TEST

/* ---- What is no disk ---- */

static void expect_refusal(const char *path, int status, const char *words)
{
	struct guestlock_resource resource = {.type = GUESTLOCK_DISK, .name = path};
	struct guestlock_error error = {0};
	struct gl_identity identity = {.inode = 42};

	ck_assert_int_eq(gl_identify(&resource, GL_IDENTITY_AUTO, "/sys", &identity, &error), status);
	ck_assert_int_eq(error.code, status);
	ck_assert_msg(strstr(error.message, words), "no '%s' in: %s", words, error.message);
	ck_assert_ptr_nonnull(strstr(error.message, "; "));
	ck_assert_uint_eq(identity.inode, 42);
	if (path && strlen(path) < sizeof(error.resource)) {
		ck_assert_str_eq(error.resource, path);
	}
	ck_assert_int_eq(gl_identify(&resource, GL_IDENTITY_PATH, "/sys", &identity, NULL), status);
}

START_TEST(refuses_what_is_missing)
{
	make_file(in_directory("img"));
	ck_assert_int_eq(symlink("nothing", in_directory("dangling")), 0);
	expect_refusal(in_directory("nothing"), GUESTLOCK_NOT_FOUND, "no such file; check the path");
	expect_refusal(in_directory("nothing/img"), GUESTLOCK_NOT_FOUND, "no such file");
	expect_refusal(in_directory("dangling"), GUESTLOCK_NOT_FOUND,
		       "symbolic link to something that does not exist");
	expect_refusal(in_directory("img/img"), GUESTLOCK_NOT_FOUND, "a part of the path is not a directory");
	expect_refusal(in_directory("img/"), GUESTLOCK_NOT_FOUND, "a part of the path is not a directory");
	expect_refusal(in_directory("new\nline"), GUESTLOCK_NOT_FOUND, "new\\x0aline: no such file");
}
END_TEST

START_TEST(refuses_other_kinds)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	ck_assert_int_eq(mkfifo(in_directory("fifo"), 0600), 0);
	expect_refusal(directory, GUESTLOCK_INVALID, "it is a directory; name an image file");
	expect_refusal("/", GUESTLOCK_INVALID, "it is a directory");
	expect_refusal(in_directory("."), GUESTLOCK_INVALID, "it is a directory");
	expect_refusal("/dev/null", GUESTLOCK_INVALID, "it is a character device");
	expect_refusal(in_directory("fifo"), GUESTLOCK_INVALID, "it is a named pipe");
	expect_refusal(in_directory("socket"), GUESTLOCK_INVALID, "it is a socket");
}
END_TEST

START_TEST(refuses_bad_paths)
{
	char path[PATH_MAX + 1];
	char part[300];

	make_file(in_directory("img"));
	ck_assert_int_eq(symlink("circle", in_directory("circle")), 0);
	memset(path, 'a', PATH_MAX);
	path[0] = '/';
	path[PATH_MAX] = '\0';
	memset(part, 'a', sizeof(part) - 1);
	part[sizeof(part) - 1] = '\0';
	expect_refusal("", GUESTLOCK_INVALID, "empty");
	expect_refusal("img", GUESTLOCK_INVALID, "relative; give an absolute path");
	expect_refusal("./img", GUESTLOCK_INVALID, "relative");
	expect_refusal(path, GUESTLOCK_INVALID, "too long; use a shorter path");
	expect_refusal(in_directory(part), GUESTLOCK_INVALID, "too long");
	expect_refusal(in_directory("circle"), GUESTLOCK_INVALID, "circle");
	expect_refusal(NULL, GUESTLOCK_INVALID, "no name");
}
END_TEST

START_TEST(refuses_hidden_directories)
{
	pid_t pid;

	ck_assert_int_eq(chmod(directory, 0755), 0);
	ck_assert_int_eq(mkdir(in_directory("closed"), 0700), 0);
	make_file(in_directory("closed/img"));
	if (getuid() != 0) {
		ck_assert_int_eq(chmod(in_directory("closed"), 0), 0);
	}
	pid = child_fork();
	if (pid == 0) {
		struct guestlock_resource resource = {.name = in_directory("closed/img")};
		struct guestlock_error error = {0};
		struct gl_identity identity;

		if (getuid() == 0) {
			CHILD_ASSERT(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
		}
		CHILD_ASSERT(gl_identify(&resource, GL_IDENTITY_AUTO, "/sys", &identity, &error) ==
			     GUESTLOCK_DENIED);
		CHILD_ASSERT(error.sys_errno == EACCES &&
			     strstr(error.message, "may not be searched; check"));
		_exit(0);
	}
	child_expect_success(pid);
	ck_assert_int_eq(chmod(in_directory("closed"), 0700), 0);
}
END_TEST

START_TEST(refuses_other_types)
{
	struct guestlock_resource resource = {.type = (enum guestlock_resource_type)7, .name = "name"};
	struct guestlock_error error = {0};
	struct gl_identity identity;

	ck_assert_int_eq(gl_identify(&resource, GL_IDENTITY_AUTO, "/sys", &identity, &error),
			 GUESTLOCK_INVALID);
	ck_assert_ptr_nonnull(strstr(error.message, "7 is not a type"));
}
END_TEST

/* ---- Leases and guests ---- */

static struct gl_identity lease(const char *lockspace, const char *path, uint64_t offset, const char *key)
{
	struct guestlock_resource resource = {
		.type = GUESTLOCK_LEASE, .name = key, .lockspace = lockspace, .path = path, .offset = offset};
	struct gl_identity identity;

	ck_assert_int_eq(gl_identify(&resource, GL_IDENTITY_AUTO, "/sys", &identity, NULL), GUESTLOCK_OK);
	ck_assert(!identity.has_file);
	return identity;
}

/* The bytes that are digested are a format: hosts of every version must agree on these keys. */
START_TEST(lease_keys)
{
	struct gl_identity full = lease("ls", "/srv/leases", 1048576, "k1");
	struct gl_identity bare = lease(NULL, NULL, 0, "k1");
	struct gl_identity empty = lease("", "", 0, "k1");

	ck_assert_str_eq(full.text, "lease:ls:/srv/leases:1048576:k1");
	ck_assert_str_eq(full.key, "Lr7Kxl15zhGYqOKjpyn4WUOCZ43fGlgk5EFvyoagyUg");
	ck_assert_str_eq(bare.text, "lease:::0:k1");
	ck_assert_str_eq(bare.key, "2t1iOFrjRmLaWwxJjO6lnYr_AgpgFcLWhfl5vGxFqj8");
	ck_assert_str_eq(empty.key, bare.key);
	gl_identity_free(&full);
	gl_identity_free(&bare);
	gl_identity_free(&empty);
}
END_TEST

/* Leases of which no two are the same, some with the same text. */
START_TEST(leases_differ)
{
	struct gl_identity leases[] = {
		lease("a", "b:c", 0, "d"), lease("a:b", "c", 0, "d"), lease("a", "b", 0, "c:0:d"),
		lease("a", NULL, 0, "b"),  lease(NULL, "a", 0, "b"),  lease("a", "b", 1, "c"),
		lease("a", "b", 11, "c"),  lease("a", "b", 1, "1c"),  lease("a", "b", UINT64_MAX, "c"),
	};

	for (size_t i = 0; i < GL_COUNT(leases); i++) {
		for (size_t j = 0; j < i; j++) {
			ck_assert_str_ne(leases[i].key, leases[j].key);
		}
	}
	for (size_t i = 0; i < GL_COUNT(leases); i++) {
		gl_identity_free(&leases[i]);
	}
}
END_TEST

START_TEST(refuses_empty_lease)
{
	struct guestlock_resource resource = {.type = GUESTLOCK_LEASE, .name = "", .lockspace = "a"};
	struct guestlock_error error = {0};
	struct gl_identity identity;

	ck_assert_int_eq(gl_identify(&resource, GL_IDENTITY_AUTO, "/sys", &identity, &error),
			 GUESTLOCK_INVALID);
	ck_assert_ptr_nonnull(strstr(error.message, "its key is empty"));
}
END_TEST

START_TEST(guest_keys)
{
	struct gl_identity small, large;
	struct guestlock_error error = {0};

	ck_assert_int_eq(gl_identify_guest(UUID, &small, NULL), GUESTLOCK_OK);
	ck_assert_int_eq(gl_identify_guest("C0FFEE00-1111-2222-3333-444444444444", &large, NULL),
			 GUESTLOCK_OK);
	ck_assert_str_eq(small.text, "guest:" UUID);
	ck_assert_str_eq(small.key, "9Zyjt0CDrBoGZP4lzZucBKNG19BckWAQd1kz_BneYWs");
	ck_assert(!small.has_file);
	ck_assert_str_eq(large.text, small.text);
	ck_assert_str_eq(large.key, small.key);
	gl_identity_free(&small);
	gl_identity_free(&large);
	ck_assert_int_eq(gl_identify_guest("guest", &small, &error), GUESTLOCK_INVALID);
	ck_assert_ptr_nonnull(strstr(error.message, "guest: that is not a uuid"));
}
END_TEST

Suite *key_suite(void)
{
	Suite *suite = suite_create("key");
	TCase *files = tcase_create("files");
	TCase *others = tcase_create("others");

	tcase_add_unchecked_fixture(files, setup_base, teardown_base);
	tcase_add_checked_fixture(files, setup, NULL);
	tcase_add_test(files, file_is_its_real_path);
	tcase_add_test(files, links_lead_to_the_file);
	tcase_add_loop_test(files, any_bytes_are_a_name, 0, GL_COUNT(odd_names));
	tcase_add_loop_test(files, long_paths_are_known, 0, GL_COUNT(long_sizes));
	tcase_add_test(files, hard_link_is_another_path_to_it);
	tcase_add_test(files, bind_mount_is_another_path_to_it);
	tcase_add_test(files, refuses_what_is_missing);
	tcase_add_test(files, refuses_other_kinds);
	tcase_add_test(files, refuses_bad_paths);
	tcase_add_test(files, refuses_hidden_directories);
	suite_add_tcase(suite, files);
	tcase_add_test(others, refuses_other_types);
	tcase_add_test(others, lease_keys);
	tcase_add_test(others, leases_differ);
	tcase_add_test(others, refuses_empty_lease);
	tcase_add_test(others, guest_keys);
	suite_add_tcase(suite, others);
	return suite;
}
