/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads of /proc that need no memory: they are made in the guest's process before it is one. */
#include "life/procfs.h"
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define GL_BOOT_ID "/proc/sys/kernel/random/boot_id"
#define GL_SHIFT_UNKNOWN INT64_MIN
#define GL_SECOND_NS 1000000000LL

/* /proc/PID/stat: 52 numbers, and a name of up to 64 bytes in which there may be anything. */
#define GL_STAT_SIZE 2048
#define GL_STAT_STATE 3
#define GL_STAT_PARENT 4
#define GL_STAT_GROUP 5
#define GL_STAT_FLAGS 9
#define GL_STAT_THREADS 20
#define GL_STAT_START 22
#define GL_STAT_CODE 52

/* once: the kernel gives it in one piece, and need not be asked for more. */
static ssize_t gl_read(const char *path, bool once, char *out, size_t size)
{
	GL_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t length;

	if (fd < 0) {
		return -1;
	}
	do {
		length = once ? read(fd, out, size - 1) : gl_read_all(fd, out, size - 1, -1);
	} while (length < 0 && errno == EINTR);
	if (length >= 0) {
		out[length] = '\0';
	}
	return length;
}

ssize_t gl_read_proc(const char *path, char *out, size_t size)
{
	return gl_read(path, false, out, size);
}

/* The number that is `skip` words after text. */
static bool gl_stat_number(const char *text, unsigned skip, uint64_t *out_value)
{
	uint64_t value = 0;

	for (; skip > 0; skip--) {
		text = strchr(text, ' ');
		if (!text) {
			return false;
		}
		text++;
	}
	if (*text < '0' || *text > '9') {
		return false;
	}
	for (; *text >= '0' && *text <= '9'; text++) {
		if (__builtin_mul_overflow(value, 10U, &value) ||
		    __builtin_add_overflow(value, (unsigned)(*text - '0'), &value)) {
			return false;
		}
	}
	if (*text != ' ' && *text != '\n') {
		return false;
	}
	*out_value = value;
	return true;
}

/* The name is in parentheses and may hold parentheses, spaces and newlines itself: the last one ends it. */
bool gl_stat_parse(const char *text, struct gl_stat *out_stat)
{
	const char *rest = strrchr(text, ')');
	struct gl_stat stat;

	if (!rest || rest[1] != ' ' || rest[2] == '\0' || rest[3] != ' ') {
		return false;
	}
	rest += 2;
	stat.state = rest[0];
	stat.pid = stat.parent = stat.group = stat.flags = stat.code = 0;
	gl_stat_number(text, 0, &stat.pid);
	gl_stat_number(rest, GL_STAT_PARENT - GL_STAT_STATE, &stat.parent);
	gl_stat_number(rest, GL_STAT_GROUP - GL_STAT_STATE, &stat.group);
	gl_stat_number(rest, GL_STAT_FLAGS - GL_STAT_STATE, &stat.flags);
	gl_stat_number(rest, GL_STAT_CODE - GL_STAT_STATE, &stat.code);
	if (!gl_stat_number(rest, GL_STAT_THREADS - GL_STAT_STATE, &stat.threads) ||
	    !gl_stat_number(rest, GL_STAT_START - GL_STAT_STATE, &stat.start)) {
		return false;
	}
	*out_stat = stat;
	return true;
}

/* ---- Time namespaces ---- */

static bool gl_inode_of(const char *path, ino_t *out_inode)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		return false;
	}
	*out_inode = st.st_ino;
	return true;
}

/*
 * "boottime SECONDS NANOSECONDS" of the time namespace of our children. What is no whole number of ticks moves
 * start times that were rounded down by one more or less, which cannot be undone.
 */
static int64_t gl_shift_of(const char *text)
{
	const char *line = strstr(text, "boottime");
	int64_t ticks = sysconf(_SC_CLK_TCK), seconds, nanoseconds, shift;
	char *rest, *end;

	if (!line) {
		return GL_SHIFT_UNKNOWN;
	}
	errno = 0;
	seconds = strtoll(line + strlen("boottime"), &rest, 10);
	nanoseconds = strtoll(rest, &end, 10);
	if (errno != 0 || end == rest || nanoseconds % (GL_SECOND_NS / ticks) != 0 ||
	    __builtin_mul_overflow(seconds, ticks, &shift)) {
		return GL_SHIFT_UNKNOWN;
	}
	return shift + nanoseconds / (GL_SECOND_NS / ticks);
}

/* false: there is no telling at this moment. */
static bool gl_read_shift(int64_t *out_shift)
{
	char text[256];
	ino_t own, of_children, pids;

	if (!gl_inode_of("/proc/self/ns/time", &own)) {
		/* A kernel without time namespaces. */
		*out_shift = 0;
		return errno == ENOENT && gl_inode_of("/proc/self/ns/pid", &pids);
	}
	if (!gl_inode_of("/proc/self/ns/time_for_children", &of_children)) {
		return false;
	}
	*out_shift = GL_SHIFT_UNKNOWN;
	if (own == of_children && gl_read_proc("/proc/self/timens_offsets", text, sizeof(text)) > 0) {
		*out_shift = gl_shift_of(text);
	}
	return true;
}

/*
 * By how many ticks the start times that /proc shows us are later than the host's: it gives them in the time
 * namespace of the reader. A process gets another one by fork or exec, so each pid asks once.
 */
static int64_t gl_start_shift(void)
{
	static _Atomic pid_t asked;
	static _Atomic int64_t known;
	pid_t self = getpid();
	int64_t shift;

	if (atomic_load(&asked) == self) {
		return atomic_load(&known);
	}
	if (!gl_read_shift(&shift)) {
		return GL_SHIFT_UNKNOWN;
	}
	atomic_store(&known, shift);
	atomic_store(&asked, self);
	return shift;
}

/* Of the host, so that all who look at a process see the same. 0: it cannot be told. */
static uint64_t gl_start_of_host(uint64_t shown)
{
	int64_t shift = gl_start_shift();

	return shift == GL_SHIFT_UNKNOWN ? 0 : shown - (uint64_t)shift;
}

int gl_stat_read(pid_t pid, pid_t tid, struct gl_stat *out_stat)
{
	char path[64];
	char text[GL_STAT_SIZE];

	if (pid == 0) {
		snprintf(path, sizeof(path), "/proc/self/stat");
	} else if (tid) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)pid, (int)tid);
	} else {
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	}
	if (gl_read(path, true, text, sizeof(text)) < 0) {
		return -1;
	}
	if (!gl_stat_parse(text, out_stat)) {
		errno = EINVAL;
		return -1;
	}
	out_stat->start = gl_start_of_host(out_stat->start);
	return 0;
}

/* A process of which only the first thread has ended looks like a zombie too, but the others still write. */
bool gl_stat_ended(const struct gl_stat *stat)
{
	return stat->state == 'X' || stat->state == 'x' || (stat->state == 'Z' && stat->threads <= 1);
}

bool gl_proc_is_ours(void)
{
	char text[32];
	ssize_t length = readlink("/proc/self", text, sizeof(text) - 1);
	uint64_t pid;

	if (length < 0) {
		return false;
	}
	text[length] = '\0';
	return gl_parse_u64(text, 10, &pid) && pid == (uint64_t)getpid();
}

/*
 * A container can be given a boot id of its own: a file mounted over the kernel's. That one says nothing about
 * the machine.
 */
static bool gl_is_of_kernel(int fd)
{
	struct statfs fs;
	struct statx file;

	return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC &&
	       statx(fd, "", AT_EMPTY_PATH, 0, &file) == 0 && !(file.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

void guestlock_boot_id(char out_boot_id[GUESTLOCK_UUID_STRING])
{
	GL_AUTOCLOSE int fd = open(GL_BOOT_ID, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char text[GUESTLOCK_UUID_STRING];

	out_boot_id[0] = '\0';
	if (fd >= 0 && gl_is_of_kernel(fd) &&
	    gl_read_all(fd, text, sizeof(text) - 1, -1) == (ssize_t)sizeof(text) - 1) {
		text[sizeof(text) - 1] = '\0';
		gl_uuid_parse(text, out_boot_id);
	}
}

uint64_t guestlock_process_start(pid_t pid)
{
	struct gl_stat stat;

	return pid > 0 && gl_stat_read(pid, 0, &stat) == 0 ? stat.start : 0;
}

bool gl_next_number(DIR *directory, uint64_t *out_number)
{
	struct dirent *entry;

	do {
		errno = 0;
		entry = readdir(directory);
	} while (entry && !gl_parse_u64(entry->d_name, 10, out_number));
	return entry != NULL;
}
