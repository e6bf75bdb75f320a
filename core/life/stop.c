/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stopping processes for certain. */
#include "base/base.h"
#include "life/cgroup.h"
#include "life/process.h"
#include "life/procfs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

#define UNTIE_EACH 4           /* looks that were in vain */
#define GL_LONGEST_PAUSE_MS 16 /* between two looks at processes that were told to stop */
#define GL_UNTIED_MS 250 /* at most for one that goes on for a moment: it may have to wait for a processor */

static int gl_target_open(struct gl_target *target)
{
	if (target->pid <= 0) {
		errno = EINVAL;
		return -1;
	}
	if (target->pid == getpid()) {
		errno = EDEADLK;
		return -1;
	}
	target->pidfd = gl_process_open(target->pid, target->start);
	if (target->pidfd < 0 && errno == ESRCH) {
		target->gone = true;
	}
	return 0;
}

/* 0 also when it has ended, which is noted; else -1 with errno. */
static int gl_target_signal(struct gl_target *target, int number)
{
	int result;

	if (target->gone) {
		return 0;
	}
	result = target->pidfd >= 0 ? pidfd_send_signal(target->pidfd, number, NULL, 0)
				    : kill(target->pid, number);
	if (result < 0 && errno == ESRCH) {
		target->gone = true;
		return 0;
	}
	return result;
}

/* Have all threads of this process taken part in a stop? The kernel tells it also of one that is traced. */
static bool gl_process_has_stopped(pid_t pid)
{
	struct gl_stat stat;

	return gl_stat_read(pid, 0, &stat) == 0 &&
	       (stat.code == SIGSTOP || stat.code == SIGTSTP || stat.code == SIGTTIN || stat.code == SIGTTOU);
}

/*
 * Can this thread not go on by itself? One in an uninterruptible wait can, and stops only afterwards. One that is
 * held by a tracer goes on when that lets it, maybe in the midst of a write, unless it has taken part in a stop. One
 * that is frozen sleeps.
 */
static bool gl_thread_is_still(pid_t pid, pid_t tid)
{
	struct gl_stat stat;

	if (gl_stat_read(pid, tid, &stat) < 0) {
		return errno == ENOENT || errno == ESRCH;
	}
	return strchr("TZXx", stat.state) != NULL || (stat.state == 't' && gl_process_has_stopped(pid)) ||
	       (stat.state == 'S' && gl_thread_is_frozen(pid, tid));
}

bool gl_process_is_still(pid_t pid)
{
	char path[32];
	bool still = true;
	uint64_t tid;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	if (!tasks) {
		return false;
	}
	while (still && gl_next_number(tasks, &tid)) {
		still = gl_thread_is_still(pid, (pid_t)tid);
	}
	still = still && errno == 0;
	closedir(tasks);
	return still;
}

static bool gl_target_is_still(const struct gl_target *target)
{
	return target->gone || gl_process_is_still(target->pid);
}

/*
 * One look at all of them: 1 all are stopped, 0 not yet, -1 with errno. All are told again: a SIGSTOP is lost when
 * one thread has taken it while another one executes a program, and one that is stopped already keeps this one for
 * a tracer that would have it go on. One too many does no harm, SIGCONT takes it back.
 */
static int gl_targets_still(struct gl_target *targets, size_t count)
{
	int result = 1;
	size_t i;

	for (i = 0; i < count; i++) {
		bool still = gl_target_is_still(&targets[i]);

		if (gl_target_signal(&targets[i], SIGSTOP) < 0) {
			return -1;
		}
		if (!still && !targets[i].gone) {
			result = 0;
		}
	}
	return result;
}

/*
 * A parent that waits after vfork() does not stop before its child executes or ends, which one that was stopped
 * does not: it goes on for a moment.
 */
static void gl_targets_untie(struct gl_target *targets, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct gl_stat stat;

		if (targets[i].gone || gl_stat_read(targets[i].pid, 0, &stat) < 0 || stat.state != 'T') {
			continue;
		}
		for (size_t k = 0; k < count; k++) {
			if ((pid_t)stat.parent == targets[k].pid && !gl_target_is_still(&targets[k])) {
				gl_target_signal(&targets[i], SIGCONT);
			}
		}
	}
}

static int gl_targets_wait(struct gl_target *targets, size_t count, int64_t deadline_ms)
{
	for (unsigned attempt = 0;; attempt++) {
		int result = gl_targets_still(targets, count);

		if (result != 0) {
			return result < 0 ? -1 : 0;
		}
		bool untie = attempt % UNTIE_EACH == UNTIE_EACH - 1;

		if (untie) {
			gl_targets_untie(targets, count);
		}
		if (!gl_pause_before_retry(attempt, untie ? GL_UNTIED_MS : GL_LONGEST_PAUSE_MS,
					   deadline_ms)) {
			errno = ETIMEDOUT;
			return -1;
		}
	}
}

static int gl_targets_stop(struct gl_target *targets, size_t count, int64_t deadline_ms)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (gl_target_open(&targets[i]) < 0) {
			return -1;
		}
	}
	for (i = 0; i < count; i++) {
		if (gl_target_signal(&targets[i], SIGSTOP) < 0) {
			return -1;
		}
	}
	return gl_targets_wait(targets, count, deadline_ms);
}

/* The first that is in the way: that may not be signalled, where that was the reason, or that runs. */
static pid_t gl_targets_culprit(struct gl_target *targets, size_t count, int why)
{
	for (size_t i = 0; i < count; i++) {
		if (why == EPERM ? gl_target_signal(&targets[i], 0) < 0 : !gl_target_is_still(&targets[i])) {
			return targets[i].pid;
		}
	}
	return 0;
}

int gl_process_stop(struct gl_target *targets, size_t count, int64_t deadline_ms, pid_t *out_culprit)
{
	int result, saved_errno;
	size_t i;

	for (i = 0; i < count; i++) {
		targets[i].pidfd = -1;
		targets[i].gone = false;
	}
	result = gl_targets_stop(targets, count, deadline_ms);
	saved_errno = errno;
	*out_culprit = result == 0              ? 0
		       : saved_errno == EDEADLK ? getpid()
						: gl_targets_culprit(targets, count, saved_errno);
	for (i = 0; i < count; i++) {
		if (targets[i].pidfd >= 0) {
			close(targets[i].pidfd);
		}
	}
	errno = saved_errno;
	return result;
}
