/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pid is the same process only with its start time and pid namespace. What cannot be told is no proof that it is
 * gone.
 */
#include "life/process.h"
#include "base/base.h"
#include "life/procfs.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

uint64_t gl_pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}

static bool gl_pid_exists(pid_t pid)
{
	return kill(pid, 0) == 0 || errno != ESRCH;
}

void gl_family_look(struct gl_family *out_family)
{
	struct gl_family family = {.ns = gl_pid_namespace()};
	struct gl_stat stat;

	guestlock_boot_id(family.boot_id);
	/* Only where /proc has the same numbers as we do can a child compare them. */
	if (family.ns && gl_stat_read(0, 0, &stat) == 0 && stat.pid == (uint64_t)getpid()) {
		family.pid = getpid();
	}
	*out_family = family;
}

/*
 * Of the namespace of whoever looked: the caller is that process, or its child, and the parent of a process
 * of a deeper namespace has no pid there. The numbers of /proc, which are those of the family, tell apart a
 * deeper namespace where another process happens to have the parent's pid.
 */
static bool gl_is_of_family(const struct gl_family *family, const struct gl_stat *stat)
{
	pid_t parent = getppid();

	if (family->pid == 0 || stat->pid != (uint64_t)getpid()) {
		return false;
	}
	return getpid() == family->pid || (parent == family->pid && stat->parent == (uint64_t)parent);
}

/* With errno of why it could not be read: what we lack ourselves says nothing of /proc. */
static int gl_fail_hidden(pid_t pid)
{
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
		return -1;
	}
	errno = gl_pid_exists(pid) ? EACCES : ESRCH;
	return -1;
}

int gl_process_look_here(const struct gl_family *family, struct gl_process *out_process)
{
	struct gl_process process = {.pid = getpid()};
	struct gl_stat stat = {0};

	/* Of the caller itself /proc tells also where the pids it shows are those of another namespace. */
	if (gl_stat_read(0, 0, &stat) < 0) {
		return gl_fail_hidden(process.pid);
	}
	process.start = stat.start;
	process.ns = gl_is_of_family(family, &stat) ? family->ns : gl_pid_namespace();
	if (family->boot_id[0]) {
		memcpy(process.boot_id, family->boot_id, sizeof(process.boot_id));
	} else {
		guestlock_boot_id(process.boot_id);
	}
	*out_process = process;
	return 0;
}

int gl_process_look(pid_t pid, struct gl_process *out_process)
{
	struct gl_process process = {.pid = pid};
	struct gl_stat stat = {0};

	errno = 0;
	if (pid <= 0) {
		errno = EINVAL;
		return -1;
	}
	if (pid == getpid()) {
		return gl_process_look_here(&(struct gl_family){0}, out_process);
	}
	if (!gl_proc_is_ours() || gl_stat_read(pid, 0, &stat) < 0) {
		return gl_fail_hidden(pid);
	}
	if (gl_stat_ended(&stat)) {
		errno = ESRCH;
		return -1;
	}
	process.start = stat.start;
	process.ns = gl_pid_namespace();
	guestlock_boot_id(process.boot_id);
	*out_process = process;
	return 0;
}

/* Is the process which has this pid now the one that had it then? In doubt it is. */
static bool gl_pid_is_still(pid_t pid, uint64_t start)
{
	struct gl_stat stat;

	if (gl_stat_read(pid, 0, &stat) < 0 || !gl_proc_is_ours()) {
		return gl_pid_exists(pid);
	}
	return !gl_stat_ended(&stat) && (start == 0 || stat.start == 0 || stat.start == start);
}

/* The descriptor comes first: whoever has the pid afterwards is the one that it is of, or that one is gone. */
int gl_process_open(pid_t pid, uint64_t start)
{
	int pidfd = pidfd_open(pid, 0), saved_errno = errno;

	if ((pidfd < 0 && saved_errno == ESRCH) || gl_pid_is_still(pid, start)) {
		errno = saved_errno;
		return pidfd;
	}
	if (pidfd >= 0) {
		close(pidfd);
	}
	errno = ESRCH;
	return -1;
}

int gl_process_signal(pid_t pid, uint64_t start, int number)
{
	GL_AUTOCLOSE int pidfd = gl_process_open(pid, start);
	int result = pidfd >= 0       ? pidfd_send_signal(pidfd, number, NULL, 0)
		     : errno == ESRCH ? -1
				      : kill(pid, number);

	return result < 0 && errno != ESRCH ? -1 : 0;
}

const char *gl_process_why_hidden(int sys_errno)
{
	switch (sys_errno) {
	case EMFILE:
		return "this process has no descriptor left; close some, or raise its limit of open files (ulimit -n)";
	case ENFILE:
		return "the system has no file left to open; raise fs.file-max";
	case ENOMEM:
		return "out of memory; free some and try again";
	default:
		return "/proc does not tell about this process; mount /proc, of this pid namespace";
	}
}

/*
 * Another boot: what of then was a process is none any more. The clock would not show it, as it can be set, but the
 * kernel's own boot id does, which no container can change for itself (guestlock_boot_id).
 */
static bool gl_is_of_other_boot(const struct gl_process *process)
{
	char boot_id[GUESTLOCK_UUID_STRING];

	guestlock_boot_id(boot_id);
	return boot_id[0] != '\0' && process->boot_id[0] != '\0' && strcmp(boot_id, process->boot_id) != 0;
}

enum gl_presence gl_process_presence(const struct gl_process *process)
{
	uint64_t ns = gl_pid_namespace();
	bool same_ns = ns != 0 && ns == process->ns, here;

	if (process->pid <= 0) {
		return GL_PRESENCE_FOREIGN;
	}
	here = (ns == 0 || process->ns == 0 || same_ns) && gl_pid_is_still(process->pid, process->start);
	/* Pid and start time in one namespace are the process itself, whatever the boot id reads. */
	if (here && same_ns && process->start != 0) {
		return GL_PRESENCE_HERE;
	}
	if (gl_is_of_other_boot(process)) {
		return GL_PRESENCE_GONE;
	}
	if (here) {
		return GL_PRESENCE_HERE;
	}
	/* Where the namespace is not known (no /proc), another process than ours may be meant. */
	return same_ns ? GL_PRESENCE_GONE : GL_PRESENCE_FOREIGN;
}

/* Those above the caller, as long as /proc tells. */
static bool is_ancestor(pid_t pid)
{
	struct gl_stat stat;
	pid_t above = getppid();

	while (above > 1 && above != pid && gl_stat_read(above, 0, &stat) == 0) {
		above = (pid_t)stat.parent;
	}
	return above == pid;
}

const char *gl_process_no_guest(pid_t pid)
{
	struct gl_stat stat;

	if (pid == 1) {
		return "it is the first process of this system, or of its container";
	}
	if (gl_stat_read(pid, 0, &stat) == 0 && (stat.flags & GL_STAT_KTHREAD)) {
		return "it is a thread of the kernel";
	}
	return is_ancestor(pid) ? "it is what started this command, and would be stopped with it" : NULL;
}
