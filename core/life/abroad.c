/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes of other pid namespaces. Those of the namespaces below its own a process sees in /proc, with numbers of
 * its own; so who is in the first one sees all, and what he does not find is gone.
 */
#include "base/base.h"
#include "life/process.h"
#include "life/procfs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define GL_FIRST_PID_NAMESPACE 0xEFFFFFFCU /* its inode; the kernel calls it PROC_PID_INIT_INO */
#define GL_KTHREADD 2                      /* there, the parent of the kernel's threads */
#define GL_STATUS_SIZE 8192                /* of /proc/PID/status; a long list of groups can make it more */

/* false with errno. */
static bool gl_namespace_of(pid_t pid, uint64_t *out_ns)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
	if (stat(path, &st) < 0) {
		return false;
	}
	*out_ns = (uint64_t)st.st_ino;
	return true;
}

/*
 * What hides processes from others (hidepid, a user namespace, rights that were given up) hides those of the kernel
 * first, whose rights nobody exceeds.
 */
static bool gl_sees_all(void)
{
	uint64_t ns;

	return gl_pid_namespace() == GL_FIRST_PID_NAMESPACE && gl_namespace_of(GL_KTHREADD, &ns) &&
	       ns == GL_FIRST_PID_NAMESPACE;
}

/* Its pid in its own namespace, the last of "NSpid:"; 0: not told. */
static pid_t gl_inner_pid(pid_t pid)
{
	char path[64];
	char text[GL_STATUS_SIZE];
	char *line, *last;
	uint64_t inner;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	line = gl_read_proc(path, text, sizeof(text)) > 0 ? strstr(text, "\nNSpid:") : NULL;
	if (!line) {
		return 0;
	}
	line++;
	line[strcspn(line, "\n")] = '\0';
	last = strrchr(line, '\t');
	return last && gl_parse_u64(last + 1, 10, &inner) ? (pid_t)inner : 0;
}

/* FOREIGN: that cannot be told. */
static enum gl_presence gl_is_it(pid_t pid, const struct gl_process *process)
{
	struct gl_stat stat;
	pid_t inner;
	uint64_t ns;

	if (gl_stat_read(pid, 0, &stat) < 0) {
		return errno == ENOENT || errno == ESRCH ? GL_PRESENCE_GONE : GL_PRESENCE_FOREIGN;
	}
	if (gl_stat_ended(&stat) || (stat.start && process->start && stat.start != process->start)) {
		return GL_PRESENCE_GONE;
	}
	if (!gl_namespace_of(pid, &ns)) {
		return errno == ENOENT || errno == ESRCH ? GL_PRESENCE_GONE : GL_PRESENCE_FOREIGN;
	}
	if (ns != process->ns) {
		return GL_PRESENCE_GONE;
	}
	inner = gl_inner_pid(pid);
	return inner == process->pid ? GL_PRESENCE_HERE : inner == 0 ? GL_PRESENCE_FOREIGN : GL_PRESENCE_GONE;
}

enum gl_presence gl_process_abroad(const struct gl_process *process)
{
	enum gl_presence found = GL_PRESENCE_GONE;
	uint64_t pid;
	DIR *proc;

	if (process->pid <= 0 || process->ns == 0 || !gl_proc_is_ours()) {
		return GL_PRESENCE_FOREIGN;
	}
	proc = opendir("/proc");
	if (!proc) {
		return GL_PRESENCE_FOREIGN;
	}
	while (found != GL_PRESENCE_HERE && gl_next_number(proc, &pid)) {
		enum gl_presence this = gl_is_it((pid_t)pid, process);

		found = this == GL_PRESENCE_GONE ? found : this;
	}
	if (found == GL_PRESENCE_GONE && (errno != 0 || !gl_sees_all())) {
		found = GL_PRESENCE_FOREIGN;
	}
	closedir(proc);
	return found;
}
