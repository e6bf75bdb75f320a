/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Identities of block devices, described by a made-up sysfs, and loop devices for real. */
#include "base/base.h"
#include "child.h"
#include "disk/disk.h"
#include "suites.h"
#include "temporary.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/blkpg.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define LUKS_ID "0123456789abcdef0123456789abcdef"
#define LVM_ID "VolumeGroup0VolumeGroup0VolumeG0LogicalVolumeLogicalVolumeLogicV"
#define NAA "600508b400105e210000900000490000"
#define NAA_DISK_KEY "cDU6R_EGMrdgN4uaEmejvK7ft1RzQJiFa8sg-cP3RFY"

static char top[512];
static char directory[600];
static char sysfs[640];

static void setup_base(void)
{
	char made[500];
	GL_AUTOFREE char *real = NULL;

	temporary_make(made, sizeof(made), "disk");
	real = realpath(made, NULL);
	ck_assert_ptr_nonnull(real);
	snprintf(top, sizeof(top), "%s", real);
	ck_assert_int_eq(chmod(top, 0711), 0);
}

static void setup(void)
{
	snprintf(directory, sizeof(directory), "%s/XXXXXX", top);
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(sysfs, sizeof(sysfs), "%s/sys", directory);
}

static void teardown_base(void)
{
	temporary_remove(top);
}

static const char *path_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *path_of(const char *format, ...)
{
	static char paths[8][PATH_MAX];
	static unsigned turn;
	char *path = paths[turn++ % GL_COUNT(paths)];
	va_list args;

	va_start(args, format);
	vsnprintf(path, PATH_MAX, format, args);
	va_end(args);
	return path;
}

static void write_bytes(const char *path, const void *data, size_t size)
{
	char parent[PATH_MAX];

	snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(path, '/') - path), path);
	ck_assert_int_eq(gl_make_directory(parent, 0755), 0);
	ck_assert_int_eq(guestlock_write_file(path, data, size, 0644), 0);
}

static void write_text(const char *path, const char *text)
{
	write_bytes(path, text, strlen(text));
}

/* A device of the made-up sysfs: number minor of major 8, in sysfs/block/PLACE. */
static void add_device(unsigned minor_number, const char *place)
{
	ck_assert_int_eq(gl_make_directory(path_of("%s/block/%s", sysfs, place), 0755), 0);
	ck_assert_int_eq(gl_make_directory(path_of("%s/dev/block", sysfs), 0755), 0);
	ck_assert_int_eq(
		symlink(path_of("../../block/%s", place), path_of("%s/dev/block/8:%u", sysfs, minor_number)),
		0);
}

static void add_attribute(const char *place, const char *name, const char *text)
{
	write_text(path_of("%s/block/%s/%s", sysfs, place, name), text);
}

/* Made-up loop devices have the files that they say. */
static int is_behind(dev_t number, const char *node, const char *path)
{
	(void)number;
	(void)node;
	(void)path;
	return 1;
}

static int identify(unsigned minor_number, enum gl_identity_scheme scheme, struct gl_disk *out_disk,
		    struct guestlock_error *err)
{
	struct gl_disk_walk walk = {.scheme = scheme,
				    .sysfs = sysfs,
				    .along = gl_disk_walk_path,
				    .is_behind = is_behind,
				    .err = err};

	return gl_disk_walk_device(&walk, makedev(8, minor_number), "/dev/given", out_disk);
}

static void expect_as(unsigned minor_number, enum gl_identity_scheme scheme, const char *text)
{
	struct guestlock_error error = {0};
	struct gl_disk disk = {.inode = 42};
	int status = identify(minor_number, scheme, &disk, &error);

	ck_assert_msg(status == GUESTLOCK_OK, "%s", error.message);
	ck_assert_str_eq(disk.text, text);
	ck_assert_uint_eq(disk.device, makedev(8, minor_number));
	ck_assert_uint_eq(disk.inode, 0);
	free(disk.text);
}

static void expect(unsigned minor_number, const char *text)
{
	expect_as(minor_number, GL_IDENTITY_AUTO, text);
}

static void expect_refusal(unsigned minor_number, int status, const char *words)
{
	struct guestlock_error error = {0};
	struct gl_disk disk;

	ck_assert_int_eq(identify(minor_number, GL_IDENTITY_AUTO, &disk, &error), status);
	ck_assert_int_eq(error.code, status);
	ck_assert_msg(strstr(error.message, words), "no '%s' in: %s", words, error.message);
	ck_assert_ptr_nonnull(strstr(error.message, "/dev/given"));
}

/* ---- One device ---- */

static const struct {
	const char *attribute, *value, *text;
} simple_devices[] = {
	{"dm/uuid", "mpath-3" NAA "\n", "wwid:3" NAA},
	{"dm/uuid", "mpath-nvme.8086-5051-51454d55-00000001\n", "wwid:nvme.8086-5051-51454d55-00000001"},
	{"dm/uuid", "part2-mpath-3" NAA "\n", "part2:wwid:3" NAA ""},
	{"dm/uuid", "part12-mpath-0QEMU_QEMU_HARDDISK_a\n", "part12:wwid:0QEMU_QEMU_HARDDISK_a"},
	{"dm/uuid", "LVM-" LVM_ID "\n", "lvm:" LVM_ID},
	{"dm/uuid", "LVM-" LVM_ID "-real\n", "lvm:" LVM_ID},
	{"dm/uuid", "LVM-" LVM_ID "-cow\n", "lvm:" LVM_ID},
	{"dm/uuid", "LVM-" LVM_ID "-tpool\n", "lvm:" LVM_ID},
	{"dm/uuid", "part1-LVM-" LVM_ID "\n", "part1:lvm:" LVM_ID ""},
	{"dm/uuid", "CRYPT-LUKS1-" LUKS_ID "-name\n", "luks:" LUKS_ID},
	{"dm/uuid", "CRYPT-LUKS2-" LUKS_ID "-other-name\n", "luks:" LUKS_ID},
	{"dm/uuid", "part3-CRYPT-LUKS2-" LUKS_ID "-name\n", "part3:luks:" LUKS_ID ""},
	/* uuids that are none of these */
	{"dm/uuid", "LVM-short\n", "device:/dev/given"},
	{"dm/uuid", "LVM-" LVM_ID "X\n", "device:/dev/given"},
	{"dm/uuid", "CRYPT-LUKS2-" LUKS_ID "0-name\n", "device:/dev/given"},
	{"dm/uuid", "CRYPT-PLAIN-name\n", "device:/dev/given"},
	{"dm/uuid", "mpath-\n", "device:/dev/given"},
	{"dm/uuid", "part-mpath-3" NAA "\n", "device:/dev/given"},
	{"dm/uuid", "partx-mpath-3" NAA "\n", "device:/dev/given"},
	{"dm/uuid", "part1mpath-3" NAA "\n", "device:/dev/given"},
	{"dm/uuid", "part99999999999999999999999-mpath-3" NAA "\n", "device:/dev/given"},
	{"dm/uuid", "part1-devnode_8:0_Wh5pYvM\n", "device:/dev/given"},
	{"dm/uuid", "\n", "device:/dev/given"},
	{"dm/name", "plain\n", "device:/dev/mapper/plain"},
	{"wwid", "eui.0025388b710116a1\n", "wwid:eui.0025388b710116a1"},
	{"wwid", "uuid.9c7f9a9c-9b1b-4e2a-8a1d-0c9d9b8e7f6a\n",
	 "wwid:uuid.9c7f9a9c-9b1b-4e2a-8a1d-0c9d9b8e7f6a"},
	{"wwid", "\n", "device:/dev/given"},
	{"device/wwid", "naa." NAA "\n", "wwid:3" NAA},
	{"device/wwid", "naa.600508B400105E210000900000490000\n", "wwid:3" NAA},
	{"device/wwid", "eui.00A0B80000000001\n", "wwid:200a0b80000000001"},
	{"device/wwid", "t10.ATA     QEMU HARDDISK                           QM00001             \n",
	 "wwid:1ATA_QEMU_HARDDISK_QM00001"},
	{"device/wwid", "t10.A/b?c\xff\n", "wwid:1A_b_c_"},
	{"device/wwid", "iqn.2003-01.org.example:disk1\n", "wwid:8iqn.2003-01.org.example:disk1"},
	{"device/wwid", "\n", "device:/dev/given"},
	/* a serial number is anything that the host of a virtual machine gives */
	{"serial", "0001\n", "virtio:0001"},
	{"uevent", "MAJOR=8\nMINOR=0\nDEVNAME=vdb\nDEVTYPE=disk\n", "device:/dev/vdb"},
	{"uevent", "DEVNAME=cciss/c0d0", "device:/dev/cciss/c0d0"},
	{"uevent", "XDEVNAME=vdb\n", "device:/dev/given"},
	{"uevent", "DEVNAME=\n", "device:/dev/given"},
	{"size", "0\n", "device:/dev/given"},
};

START_TEST(simple_device)
{
	add_device(16, "x");
	add_attribute("x", simple_devices[_i].attribute, simple_devices[_i].value);
	expect(16, simple_devices[_i].text);
}
END_TEST

/* A name by people is better than a number that differs between hosts. */
START_TEST(mapper_goes_by_name)
{
	add_device(16, "dm-3");
	add_attribute("dm-3", "dm/name", "data disk\n");
	add_attribute("dm-3", "dm/uuid", "CRYPT-PLAIN-data\n");
	add_attribute("dm-3", "uevent", "DEVNAME=dm-3\n");
	expect(16, "device:/dev/mapper/data disk");
}
END_TEST

START_TEST(scheme_path_uses_nodes)
{
	add_device(16, "dm-3");
	add_attribute("dm-3", "dm/name", "vg-lv\n");
	add_attribute("dm-3", "dm/uuid", "LVM-" LVM_ID "\n");
	add_device(17, "sda/sda1");
	add_attribute("sda/sda1", "partition", "1\n");
	add_attribute("sda/sda1", "uevent", "DEVNAME=sda1\n");
	add_attribute("sda", "device/wwid", "naa." NAA "\n");
	expect_as(16, GL_IDENTITY_PATH, "device:/dev/mapper/vg-lv");
	expect_as(17, GL_IDENTITY_PATH, "device:/dev/sda1");
	expect_as(99, GL_IDENTITY_PATH, "device:/dev/given");
	expect(17, "part1:wwid:3" NAA "");
}
END_TEST

START_TEST(refuses_the_undescribed)
{
	expect_refusal(16, GUESTLOCK_NOT_FOUND, "block device 8:16");
	add_device(16, "x");
	add_attribute("x", "partition", "one\n");
	expect_refusal(16, GUESTLOCK_IO, "attribute partition");
}
END_TEST

/* An identity that cannot be read must not turn into another one. */
START_TEST(refuses_the_unreadable)
{
	static const char *const attributes[] = {"partition", "dm/uuid",         "loop/backing_file",
						 "wwid",      "device/vpd_pg83", "device/wwid",
						 "dm/name",   "uevent"};

	add_device(16, "x");
	for (size_t i = 0; i < GL_COUNT(attributes); i++) {
		const char *path = path_of("%s/block/x/%s", sysfs, attributes[i]);

		/* Reading a directory fails with an error that attributes do not use. */
		ck_assert_int_eq(gl_make_directory(path, 0755), 0);
		expect_refusal(16, GUESTLOCK_IO, attributes[i]);
		ck_assert_int_eq(rmdir(path), 0);
	}
}
END_TEST

/* ---- Devices of devices ---- */

START_TEST(partitions_of_everything)
{
	add_device(1, "sda/sda1");
	add_attribute("sda/sda1", "partition", "1\n");
	add_attribute("sda", "device/wwid", "naa." NAA "\n");
	expect(1, "part1:wwid:3" NAA "");
	add_device(2, "nvme0n1/nvme0n1p15");
	add_attribute("nvme0n1/nvme0n1p15", "partition", "15\n");
	add_attribute("nvme0n1", "wwid", "eui.01\n");
	expect(2, "part15:wwid:eui.01");
	add_device(3, "vda/vda2");
	add_attribute("vda/vda2", "partition", "2\n");
	add_attribute("vda/vda2", "uevent", "DEVNAME=vda2\n");
	add_attribute("vda", "uevent", "DEVNAME=vda\n");
	expect(3, "part2:device:/dev/vda");
	add_attribute("vda", "serial", "4711\n");
	expect(3, "part2:virtio:4711");
	add_device(4, "md0/md0p1");
	add_attribute("md0/md0p1", "partition", "1\n");
	expect(4, "part1:device:/dev/given");
}
END_TEST

/* What kpartx makes on something that is known only by what is below. */
START_TEST(mapped_partition_of_a_disk)
{
	add_device(16, "dm-0");
	add_attribute("dm-0", "dm/uuid", "part2-devnode_8:1_Wh5pYvM\n");
	add_attribute("dm-0", "dm/name", "loop0p2\n");
	add_device(1, "sda");
	add_attribute("sda", "device/wwid", "naa." NAA "\n");
	expect(16, "device:/dev/mapper/loop0p2");
	ck_assert_int_eq(gl_make_directory(path_of("%s/block/dm-0/slaves", sysfs), 0755), 0);
	expect(16, "device:/dev/mapper/loop0p2");
	ck_assert_int_eq(symlink("../../sda", path_of("%s/block/dm-0/slaves/sda", sysfs)), 0);
	expect(16, "part2:wwid:3" NAA "");
	ck_assert_int_eq(symlink("../../sda", path_of("%s/block/dm-0/slaves/sdb", sysfs)), 0);
	expect(16, "device:/dev/mapper/loop0p2");
}
END_TEST

START_TEST(endless_devices_are_refused)
{
	char place[64];

	for (int i = 0; i < 20; i++) {
		snprintf(place + 2 * i, sizeof(place) - 2 * (size_t)i, "x/");
		add_attribute(place, "partition", "1\n");
	}
	add_device(16, place);
	expect_refusal(16, GUESTLOCK_INVALID, "more than 16");
}
END_TEST

/* ---- World wide names ---- */

/* A page with an EUI-64 name before the better NAA name. */
static const unsigned char page_of_sda[] = {
	0,    0x83, 0,    32,   1,    2,    0,    8,    0,    1,    2,    3,
	4,    5,    6,    7,    1,    3,    0,    16,   0x60, 0x05, 0x08, 0xb4,
	0x00, 0x10, 0x5e, 0x21, 0x00, 0x00, 0x90, 0x00, 0x00, 0x49, 0x00, 0x00,
};

/*
 * Two paths to one disk, by its page and by the kernel's text, its map, and hosts with and without
 * multipath.
 */
START_TEST(paths_and_map_are_one_disk)
{
	struct gl_disk disk;
	char bytes[128] = "disk";
	char key[GUESTLOCK_KEY_SIZE];

	add_device(0, "sda");
	write_bytes(path_of("%s/block/sda/device/vpd_pg83", sysfs), page_of_sda, sizeof(page_of_sda));
	add_attribute("sda", "device/vendor", "VENDOR  \n");
	add_attribute("sda", "device/model", "THE MODEL       \n");
	add_attribute("sda", "device/wwid", "eui.0123456789abcdef0123456789abcdef\n");
	add_device(16, "sdb");
	add_attribute("sdb", "device/wwid", "naa." NAA "\n");
	add_device(32, "dm-0");
	add_attribute("dm-0", "dm/uuid", "mpath-3" NAA "\n");
	add_attribute("dm-0", "dm/name", "mpatha\n");
	expect(0, "wwid:3" NAA);
	expect(16, "wwid:3" NAA);
	expect(32, "wwid:3" NAA);
	ck_assert_int_eq(identify(0, GL_IDENTITY_AUTO, &disk, NULL), GUESTLOCK_OK);
	snprintf(bytes + 5, sizeof(bytes) - 5, "%s", disk.text);
	guestlock_digest(bytes, 5 + strlen(disk.text), key);
	ck_assert_str_eq(key, NAA_DISK_KEY);
	free(disk.text);
}
END_TEST

/* What number has below it: the minors of major 8, in the order in which they are found. */
static void expect_below(unsigned number, const unsigned minors[], size_t expected)
{
	struct guestlock_error error = {0};
	struct gl_disk *disks = NULL;
	size_t count = 0;

	ck_assert_msg(gl_disk_below(makedev(8, number), sysfs, &disks, &count, &error) == GUESTLOCK_OK, "%s",
		      error.message);
	ck_assert_uint_eq(count, expected);
	for (size_t i = 0; i < count; i++) {
		bool found = false;

		for (size_t k = 0; k < expected; k++) {
			found |= disks[i].device == makedev(8, minors[k]);
		}
		ck_assert(found);
		ck_assert_uint_eq(disks[i].inode, 0);
	}
	free(disks);
}

static void add_below(const char *upper, const char *lower)
{
	ck_assert_int_eq(gl_make_directory(path_of("%s/block/%s/slaves", sysfs, upper), 0755), 0);
	ck_assert_int_eq(symlink(path_of("../../%s", lower),
				 path_of("%s/block/%s/slaves/%s", sysfs, upper, strrchr(lower, 'd'))),
			 0);
}

/* A logical volume, on an encrypted one, on an array of a partition and a disk that has two paths. */
START_TEST(what_is_below)
{
	static const char *const places[] = {"sda",    "sda/sda1", "sdb",     "sdc",
					     "dmpath", "md0",      "dmcrypt", "dmlv"};
	char text[16];

	for (unsigned i = 0; i < GL_COUNT(places); i++) {
		add_device(i, places[i]);
		snprintf(text, sizeof(text), "8:%u\n", i);
		add_attribute(places[i], "dev", text);
	}
	add_attribute("sda/sda1", "partition", "1\n");
	add_below("dmpath", "sdb");
	add_below("dmpath", "sdc");
	add_below("md0", "sda/sda1");
	add_below("md0", "dmpath");
	add_below("dmcrypt", "md0");
	add_below("dmlv", "dmcrypt");
	expect_below(7, (const unsigned[]){0, 1, 2, 3, 4, 5, 6}, 7);
	expect_below(5, (const unsigned[]){0, 1, 2, 3, 4}, 5);
	expect_below(1, (const unsigned[]){0}, 1);
	expect_below(0, NULL, 0);
}
END_TEST

START_TEST(what_is_below_cannot_be_told)
{
	struct guestlock_error error = {0};
	struct gl_disk *disks = NULL;
	size_t count;

	ck_assert_int_eq(gl_disk_below(makedev(8, 9), sysfs, &disks, &count, &error), GUESTLOCK_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(error.message, "8:9"));
	add_device(1, "sda");
	write_text(path_of("%s/block/sda/slaves", sysfs), "not a directory");
	ck_assert_int_ne(gl_disk_below(makedev(8, 1), sysfs, &disks, &count, &error), GUESTLOCK_OK);
	ck_assert_ptr_null(disks);
}
END_TEST

/* ---- Nodes, through the whole ---- */

/* Two nodes of one device in different places, and a key that is written down. */
START_TEST(nodes_are_looked_at)
{
	struct guestlock_resource resource = {.type = GUESTLOCK_DISK};
	struct gl_identity identity;

	add_device(16, "sda");
	add_attribute("sda", "device/wwid", "naa." NAA "\n");
	add_device(17, "vdb");
	add_attribute("vdb", "uevent", "DEVNAME=vdb\n");
	if (mknod(path_of("%s/node", directory), S_IFBLK | 0600, makedev(8, 16)) < 0) {
		SKIP("may not make device nodes");
	}
	ck_assert_int_eq(mknod(path_of("%s/one", directory), S_IFBLK | 0600, makedev(8, 17)), 0);
	ck_assert_int_eq(mknod(path_of("%s/two", directory), S_IFBLK | 0600, makedev(8, 17)), 0);
	resource.name = path_of("%s/node", directory);
	ck_assert_int_eq(gl_identify(&resource, GL_IDENTITY_AUTO, sysfs, &identity, NULL), GUESTLOCK_OK);
	ck_assert_str_eq(identity.text, "wwid:3" NAA);
	ck_assert_str_eq(identity.key, NAA_DISK_KEY);
	ck_assert(identity.has_file);
	ck_assert_uint_eq(identity.device, makedev(8, 16));
	ck_assert_uint_eq(identity.inode, 0);
	gl_identity_free(&identity);
	for (int i = 0; i < 2; i++) {
		resource.name = path_of("%s/%s", directory, i ? "one" : "two");
		ck_assert_int_eq(gl_identify(&resource, GL_IDENTITY_AUTO, sysfs, &identity, NULL),
				 GUESTLOCK_OK);
		ck_assert_str_eq(identity.text, "device:/dev/vdb");
		gl_identity_free(&identity);
	}
	resource.name = path_of("%s/node", directory);
	ck_assert_int_eq(gl_identify(&resource, GL_IDENTITY_PATH, "/nowhere", &identity, NULL), GUESTLOCK_OK);
	ck_assert_str_eq(identity.text, path_of("device:%s/node", directory));
	gl_identity_free(&identity);
	ck_assert_int_eq(gl_identify(&resource, GL_IDENTITY_AUTO, "/nowhere", &identity, NULL),
			 GUESTLOCK_NOT_FOUND);
}
END_TEST

/* ---- Loop devices ---- */

static void expect_loop(dev_t number, const char *text, uint64_t device, uint64_t inode)
{
	struct guestlock_error error = {0};
	struct gl_disk_walk walk = {
		.sysfs = sysfs, .along = gl_disk_walk_path, .is_behind = is_behind, .err = &error};
	struct gl_disk disk;
	int status = gl_disk_walk_device(&walk, number, "/dev/given", &disk);

	ck_assert_msg(status == GUESTLOCK_OK, "%s", error.message);
	ck_assert_str_eq(disk.text, text);
	ck_assert_uint_eq(disk.device, device);
	ck_assert_uint_eq(disk.inode, inode);
	free(disk.text);
}

static void attach_made_up(const char *path)
{
	add_attribute("loop0", "loop/backing_file", path_of("%s\n", path));
}

static const char *const backing_names[] = {"img", "new\nline", "line\n", "\xff", "a (deleted) b"};

START_TEST(loop_is_its_file)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", directory, backing_names[_i]);
	write_text(path, "");
	ck_assert_int_eq(stat(path, &st), 0);
	add_device(0, "loop0");
	add_device(1, "loop0/loop0p1");
	add_attribute("loop0/loop0p1", "partition", "1\n");
	attach_made_up(path);
	expect_loop(makedev(8, 0), path_of("file:%s", path), st.st_dev, st.st_ino);
	expect_loop(makedev(8, 1), path_of("part1:file:%s", path), makedev(8, 1), 0);
	ck_assert_int_eq(symlink(path, path_of("%s/link", directory)), 0);
	attach_made_up(path_of("%s/link", directory));
	expect_loop(makedev(8, 0), path_of("file:%s", path), st.st_dev, st.st_ino);
}
END_TEST

START_TEST(lost_files_are_refused)
{
	struct gl_disk_walk walk = {.sysfs = sysfs, .along = gl_disk_walk_path, .is_behind = is_behind};
	struct gl_disk disk;

	add_device(0, "loop0");
	write_text(path_of("%s/img (deleted)", directory), "");
	attach_made_up(path_of("%s/img (deleted)", directory));
	expect_refusal(0, GUESTLOCK_INVALID, "has no name that can be found; attach");
	attach_made_up("/ (deleted)");
	expect_refusal(0, GUESTLOCK_INVALID, "has no name that can be found");
	attach_made_up("img");
	expect_refusal(0, GUESTLOCK_INVALID, "has no name that can be found");
	attach_made_up(path_of("%s/missing", directory));
	expect_refusal(0, GUESTLOCK_NOT_FOUND, "missing: no such file");
	attach_made_up(directory);
	expect_refusal(0, GUESTLOCK_INVALID, "it is a directory");
	ck_assert_int_eq(symlink("../../block/loop1", path_of("%s/dev/block/7:1", sysfs)), 0);
	add_attribute("loop1", "size", "0\n");
	ck_assert_int_eq(gl_disk_walk_device(&walk, makedev(7, 1), "/dev/loop1", &disk), GUESTLOCK_INVALID);
}
END_TEST

static void make_image(const char *path)
{
	write_text(path, "");
	ck_assert_int_eq(truncate(path, 1024 * 1024), 0);
}

/* Partition 3 of a device, without a table, as not every kernel reads tables. */
static bool add_partition(const char *node)
{
	struct blkpg_partition partition = {.start = 4096, .length = 65536, .pno = 3};
	struct blkpg_ioctl_arg argument = {
		.op = BLKPG_ADD_PARTITION, .datalen = sizeof(partition), .data = &partition};
	GL_AUTOCLOSE int fd = open(node, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && ioctl(fd, BLKPG, &argument) == 0;
}

/* A real loop device over a file: its node. The kernel detaches it when the test closes it, or ends. */
static bool attach_real(const char *path, uint64_t offset, char out_node[64], int *out_fd)
{
	GL_AUTOCLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	GL_AUTOCLOSE int file = open(path, O_RDWR | O_CLOEXEC);
	struct loop_config config = {.fd = (unsigned)file};
	int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	int fd;

	if (number < 0 || file < 0) {
		return false;
	}
	snprintf(out_node, 64, "/dev/loop%d", number);
	fd = open(out_node, O_RDWR | O_CLOEXEC);
	config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN;
	config.info.lo_offset = offset;
	if (fd < 0 || ioctl(fd, LOOP_CONFIGURE, &config) < 0) {
		return false;
	}
	*out_fd = fd;
	return true;
}

static void expect_real(const char *node, const char *text, uint64_t device, uint64_t inode)
{
	struct guestlock_error error = {0};
	struct gl_disk disk;

	ck_assert_msg(gl_disk_identify(node, GL_IDENTITY_AUTO, "/sys", &disk, &error) == GUESTLOCK_OK, "%s",
		      error.message);
	ck_assert_str_eq(disk.text, text);
	ck_assert_uint_eq(disk.device, device);
	ck_assert_uint_eq(disk.inode, inode);
	free(disk.text);
}

START_TEST(real_loop)
{
	char path[PATH_MAX];
	char node[64];
	struct guestlock_error error = {0};
	struct gl_disk disk;
	struct stat st, part;
	int fd;

	snprintf(path, sizeof(path), "%s/a\nb", directory);
	make_image(path);
	ck_assert_int_eq(stat(path, &st), 0);
	if (!attach_real(path, 0, node, &fd)) {
		SKIP("no loop devices for this user");
	}
	expect_real(node, path_of("file:%s", path), st.st_dev, st.st_ino);
	if (add_partition(node) && stat(path_of("%sp3", node), &part) == 0) {
		expect_real(path_of("%sp3", node), path_of("part3:file:%s", path), part.st_rdev, 0);
	} else {
		dprintf(STDOUT_FILENO, "# skipped: no partitions on loop devices\n");
	}
	ck_assert_int_eq(rename(path, path_of("%s/renamed", directory)), 0);
	expect_real(node, path_of("file:%s/renamed", directory), st.st_dev, st.st_ino);
	ck_assert_int_eq(unlink(path_of("%s/renamed", directory)), 0);
	ck_assert_int_eq(gl_disk_identify(node, GL_IDENTITY_AUTO, "/sys", &disk, &error), GUESTLOCK_INVALID);
	ck_assert_ptr_nonnull(strstr(error.message, "renamed (deleted), has no name"));
	close(fd);
}
END_TEST

/* The path that it was attached by is that of another file now: it is the file that counts. */
START_TEST(another_file_under_its_path)
{
	char path[PATH_MAX], node[64];
	struct guestlock_error error = {0};
	struct gl_disk disk;
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/moved/img", directory);
	ck_assert_int_eq(mkdir(path_of("%s/moved", directory), 0700), 0);
	make_image(path);
	ck_assert_int_eq(stat(path, &st), 0);
	if (!attach_real(path, 0, node, &fd)) {
		SKIP("no loop devices for this user");
	}
	expect_real(node, path_of("file:%s", path), st.st_dev, st.st_ino);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", path_of("%s/moved", directory), "tmpfs", 0, NULL) < 0) {
		close(fd);
		SKIP("may not mount");
	}
	make_image(path);
	ck_assert_int_eq(gl_disk_identify(node, GL_IDENTITY_AUTO, "/sys", &disk, &error), GUESTLOCK_INVALID);
	ck_assert_ptr_nonnull(strstr(error.message, "is not the one that is"));
	if (add_partition(node)) {
		ck_assert_int_eq(
			gl_disk_identify(path_of("%sp3", node), GL_IDENTITY_AUTO, "/sys", &disk, &error),
			GUESTLOCK_INVALID);
	}
	close(fd);
}
END_TEST

/* An offset makes it no other file. */
START_TEST(real_loop_on_loop)
{
	char path[PATH_MAX];
	char lower[64], upper[64];
	struct stat st;
	int lower_fd, upper_fd;

	snprintf(path, sizeof(path), "%s/img", directory);
	make_image(path);
	ck_assert_int_eq(stat(path, &st), 0);
	if (!attach_real(path, 4096, lower, &lower_fd)) {
		SKIP("no loop devices for this user");
	}
	expect_real(lower, path_of("file:%s", path), st.st_dev, st.st_ino);
	ck_assert(attach_real(lower, 4096, upper, &upper_fd));
	ck_assert_str_ne(lower, upper);
	expect_real(upper, path_of("file:%s", path), st.st_dev, st.st_ino);
	close(upper_fd);
	close(lower_fd);
}
END_TEST

Suite *disk_suite(void)
{
	Suite *suite = suite_create("disk");
	TCase *devices = tcase_create("devices");
	TCase *loops = tcase_create("loops");

	tcase_add_unchecked_fixture(devices, setup_base, teardown_base);
	tcase_add_checked_fixture(devices, setup, NULL);
	tcase_add_loop_test(devices, simple_device, 0, GL_COUNT(simple_devices));
	tcase_add_test(devices, mapper_goes_by_name);
	tcase_add_test(devices, scheme_path_uses_nodes);
	tcase_add_test(devices, refuses_the_undescribed);
	tcase_add_test(devices, refuses_the_unreadable);
	tcase_add_test(devices, partitions_of_everything);
	tcase_add_test(devices, mapped_partition_of_a_disk);
	tcase_add_test(devices, endless_devices_are_refused);
	tcase_add_test(devices, paths_and_map_are_one_disk);
	tcase_add_test(devices, what_is_below);
	tcase_add_test(devices, what_is_below_cannot_be_told);
	tcase_add_test(devices, nodes_are_looked_at);
	suite_add_tcase(suite, devices);
	tcase_add_unchecked_fixture(loops, setup_base, teardown_base);
	tcase_add_checked_fixture(loops, setup, NULL);
	tcase_add_loop_test(loops, loop_is_its_file, 0, GL_COUNT(backing_names));
	tcase_add_test(loops, lost_files_are_refused);
	tcase_add_test(loops, real_loop);
	tcase_add_test(loops, another_file_under_its_path);
	tcase_add_test(loops, real_loop_on_loop);
	suite_add_tcase(suite, loops);
	return suite;
}
