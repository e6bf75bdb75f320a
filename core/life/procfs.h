/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading /proc. It may be missing, hide the processes of others, or belong to another pid namespace. */
#ifndef GL_PROCFS_H
#define GL_PROCFS_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Flags of a process, as the kernel has them (PF_..., in no header for programs). */
#define GL_STAT_EXITING 0x4
#define GL_STAT_KTHREAD 0x200000

/* What is used of /proc/PID/stat. */
struct gl_stat {
	uint64_t pid;     /* field 1 and 4, as /proc numbers processes; 0: not told */
	uint64_t parent;
	uint64_t group;   /* field 5, of processes; 0: not told */
	char state;       /* field 3 */
	uint64_t flags;   /* field 9, GL_STAT_...; 0: not told */
	uint64_t threads; /* field 20 */
	uint64_t start;   /* field 22, as a process outside of all time namespaces is shown it; 0: not told */
	uint64_t code;    /* field 52, of processes: the signal that has stopped all of its threads; 0: not told */
};

/* Of a process (tid 0), of one of its threads, or of the caller (pid 0). 0 or -1 with errno: it is gone, or
 * hidden from us. */
int gl_stat_read(pid_t pid, pid_t tid, struct gl_stat *out_stat);

/* The text of such a file. false: it is not of that form. */
bool gl_stat_parse(const char *text, struct gl_stat *out_stat);

/* A process that has ended and was not waited for yet. */
bool gl_stat_ended(const struct gl_stat *stat);

/* Are the numbers in /proc the pids of our own namespace? */
bool gl_proc_is_ours(void);

/* The next entry of a directory that is a number; false: no more (errno 0), or an error (errno). */
bool gl_next_number(DIR *directory, uint64_t *out_number);

/* The start of a file as text, cut after size - 1 bytes: its length, or -1 with errno. */
ssize_t gl_read_proc(const char *path, char *out, size_t size);

#endif
