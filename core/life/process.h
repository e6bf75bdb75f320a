/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes, told apart for good: a pid alone may be reused, and means nothing in another namespace. */
#ifndef GL_PROCESS_H
#define GL_PROCESS_H

#include <guestlock/backend.h>

struct gl_process {
	pid_t pid;
	uint64_t start; /* as of guestlock_process_start(); 0: not known */
	uint64_t ns;    /* inode of the pid namespace pid is valid in; 0: not known */
	char boot_id[GUESTLOCK_UUID_STRING]; /* "": not known */
};

enum gl_presence {
	GL_PRESENCE_GONE, /* ended; a zombie counts as ended, another start time as another process */
	GL_PRESENCE_HERE,
	GL_PRESENCE_FOREIGN, /* of another pid namespace, or of one that is not known: cannot be judged by pid */
};

/* What there is to know of a process of this pid namespace. 0 or -1 with errno (ESRCH: gone or a zombie). */
int gl_process_look(pid_t pid, struct gl_process *out_process);
/* Why a process that lives could not be looked at, and what to do. Static storage. */
const char *gl_process_why_hidden(int sys_errno);

/*
 * What a process has in common with those that it forks, so that these need not ask again. A child can be of
 * another pid namespace than its parent, and looks whether it is. Zeroed: nothing is known.
 */
struct gl_family {
	pid_t pid; /* who looked; 0: ns is not known */
	uint64_t ns;
	char boot_id[GUESTLOCK_UUID_STRING]; /* "": not known */
};
void gl_family_look(struct gl_family *out_family);

/* The same as gl_process_look() of the caller itself. */
int gl_process_look_here(const struct gl_family *family, struct gl_process *out_process);

/* A process of another boot is gone. What /proc does not show but kill(pid, 0) finds is here. */
enum gl_presence gl_process_presence(const struct gl_process *process);

/*
 * The same of a FOREIGN one, sought among all processes that /proc shows: HERE means that it lives, under another
 * number. GONE only for who sees every process of this machine, as root in its first pid namespace.
 */
enum gl_presence gl_process_abroad(const struct gl_process *process);

/* The inode of the own pid namespace; 0 when /proc is not there. */
uint64_t gl_pid_namespace(void);

/*
 * Why a process can be no guest, as the end of a sentence; NULL: it can. Pid 1 and threads of the kernel are never
 * stopped or killed, and who stops an ancestor of its own stops its shell.
 */
const char *gl_process_no_guest(pid_t pid);

/*
 * A descriptor of the process that has this pid and start time, and of no later one: -1 with errno, ESRCH when that
 * one is gone or a zombie, else the kernel gives none. start 0: whichever has the pid now.
 */
int gl_process_open(pid_t pid, uint64_t start);

/* The same for one signal. 0 also when it is gone; else -1 with errno. */
int gl_process_signal(pid_t pid, uint64_t start, int number);

/* A process that is to be stopped. */
struct gl_target {
	pid_t pid;
	uint64_t start; /* as of gl_process_open() */
	int pidfd;      /* for gl_process_stop() alone, as is the next */
	bool gone;
};

/*
 * All threads of all processes stopped (SIGSTOP sent, and seen that they are) by the deadline: 0; else -1 with errno
 * (ETIMEDOUT, EPERM, EDEADLK: the caller is among them) and *out_culprit, the one that is in the way, or 0; some
 * of them may be stopped then. Gone ones count as stopped.
 */
int gl_process_stop(struct gl_target *targets, size_t count, int64_t deadline_ms, pid_t *out_culprit);

/* Are all its threads stopped, frozen, or gone? What cannot be seen is not, nor what a tracer holds in the midst of something. */
bool gl_process_is_still(pid_t pid);

#endif
