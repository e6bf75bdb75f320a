/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers: each is one read, and may be for anybody. There is no thread for them: of those who wait one reads
 * for all, until it has what it waits for itself, and then another one does. So a round of one caller alone
 * costs no change of threads. What nobody waits for is read by whoever calls next.
 */
#include "kernel/kernel.h"

#include <errno.h>
#include <limits.h>
#include <linux/dlm_device.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define END_MS 5000
#define PAUSE_MS 20

/* What is read: an answer, and a value block behind it, in the ledger. The kernel writes the answer last. */
union answer {
	struct dlm_lock_result result;
	char bytes[sizeof(struct dlm_lock_result) + GL_DLM_BLOCK];
};

_Static_assert(sizeof(union answer) <= sizeof((struct gl_dlm_ledger){0}.answer),
	       "an answer has room in the ledger");

static uint64_t token_of(const void *pointer)
{
	uint64_t token = 0;

	memcpy(&token, &pointer, sizeof(pointer));
	return token;
}

void gl_dlm_answer_request(struct gl_dlm *dlm, struct gl_dlm_lock *lock, int status, bool gone)
{
	struct gl_dlm_request *request = lock->request;

	gl_dlm_land(lock);
	lock->request = NULL;
	if (request) {
		request->done = true;
		request->status = status;
		request->gone = gone;
		if (gone) {
			request->lock = NULL;
		}
		/*
		 * Whoever waits does so for all of a round: waking it for each would cost more than the
		 * answers do.
		 */
		if (--request->round->left == 0) {
			pthread_cond_signal(&request->round->woken);
		}
	}
	dlm->litter |= lock->passing && !request;
	if (gone) {
		gl_dlm_table_remove(&dlm->table, lock);
	}
}

/*
 * The lock has what it was asked for. block: what the kernel read, NULL where it did not. Whoever is killed in between
 * has it noted once more by the next process, so the mode, which the rest depends on, changes last.
 */
static void note_grant(struct gl_dlm_lock *lock, uint32_t lkid, const unsigned char *block, bool lost)
{
	lock->lkid = lkid;
	if (lock->wanted != lock->mode) {
		lock->since = lock->wanted == DLM_LOCK_NL ? 0 : (int64_t)time(NULL);
	}
	if (!lock->without_block && (block || lock->mode == DLM_LOCK_EX)) {
		memcpy(lock->bytes, block ? block : lock->sent, GL_DLM_BLOCK);
		lock->content = true;
		lock->lost = block && lost;
	}
	__atomic_store_n(&lock->mode, lock->wanted, __ATOMIC_RELEASE);
}

void gl_dlm_answer_deaf(struct gl_dlm *dlm, uint64_t token)
{
	struct gl_dlm_lock *lock = gl_dlm_table_asked(&dlm->table, token);

	if (lock && lock->wanted == DLM_LOCK_NL) {
		note_grant(lock, lock->lkid, NULL, false);
	}
	if (lock) {
		gl_dlm_answer_request(dlm, lock, 0, lock->wanted == GL_DLM_UNLOCK);
	}
}

/* What nobody asked for is not for us: of a request that was settled without it. */
static void take_answer(struct gl_dlm *dlm, const union answer *answer)
{
	const struct dlm_lock_result *result = &answer->result;
	struct gl_dlm_lock *lock = gl_dlm_table_asked(&dlm->table, token_of(result->user_astparam));
	int status = -result->lksb.sb_status;
	const unsigned char *block = NULL;

	if (!lock) {
		return;
	}
	if (result->lvb_offset && result->lvb_offset + (size_t)GL_DLM_BLOCK <= sizeof(*answer)) {
		block = (const unsigned char *)answer->bytes + result->lvb_offset;
	}
	if (status == DLM_EUNLOCK) {
		gl_dlm_answer_request(dlm, lock, 0, true);
		return;
	}
	if (status == 0) {
		note_grant(lock, result->lksb.sb_lkid, block,
			   (result->lksb.sb_flags & DLM_SBF_VALNOTVALID) != 0);
	}
	gl_dlm_answer_request(dlm, lock, status, status != 0 && lock->mode == GL_DLM_NO_MODE);
}

/* An answer in the ledger is taken, once. */
static bool take_read(struct gl_dlm *dlm)
{
	const union answer *answer = (const union answer *)dlm->table.ledger->answer;
	bool there = answer->result.user_astparam != NULL;

	if (there) {
		take_answer(dlm, answer);
	}
	memset(dlm->table.ledger->answer, 0, sizeof(*answer));
	return there;
}

/* ---- Reading ---- */

int64_t gl_dlm_about_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void sleep_until(int64_t deadline_ms, struct timespec *out)
{
	*out = (struct timespec){
		.tv_sec = (time_t)(deadline_ms / 1000),
		.tv_nsec = (long)(deadline_ms % 1000) * 1000000,
	};
}

/* Under the mutex, which is left meanwhile; by the one who reads. false: there is nothing now. */
static bool read_one(struct gl_dlm *dlm)
{
	void *answer = dlm->table.ledger->answer;
	int fd = dlm->fd;

	pthread_mutex_unlock(&dlm->mutex);
	if (read(fd, answer, sizeof(union answer)) < 0) {
		/* Nothing is there, then. */
	}
	pthread_mutex_lock(&dlm->mutex);
	return take_read(dlm);
}

/* The same. false: it is later than that. */
static bool wait_readable(struct gl_dlm *dlm, int64_t deadline_ms)
{
	struct pollfd polls[] = {
		{.fd = dlm->fd, .events = POLLIN},
		{.fd = dlm->stop_fd, .events = POLLIN},
	};
	int64_t left_ms = deadline_ms - gl_dlm_about_now_ms();

	if (left_ms <= 0) {
		return false;
	}
	pthread_mutex_unlock(&dlm->mutex);
	poll(polls, 2, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
	if (polls[0].revents & (POLLERR | POLLHUP | POLLNVAL)) {
		/* Nothing comes from there any more, nor does waiting take any time. */
		poll(NULL, 0, PAUSE_MS);
	}
	pthread_mutex_lock(&dlm->mutex);
	return true;
}

/* The one who read has what it wanted. */
static void hand_on(struct gl_dlm *dlm)
{
	struct gl_dlm_round *next = TAILQ_FIRST(&dlm->waiting);

	if (!dlm->reading && next) {
		pthread_cond_signal(&next->woken);
	}
	if (!dlm->reading && dlm->closing) {
		pthread_cond_broadcast(&dlm->idle);
	}
}

static bool is_done(const struct gl_dlm *dlm, const struct gl_dlm_round *round)
{
	return round->left == 0 || dlm->closing || round->opening != dlm->openings;
}

/* For all, until the round is done. */
static void lead(struct gl_dlm *dlm, const struct gl_dlm_round *round, int64_t deadline_ms)
{
	dlm->reading = true;
	while (!is_done(dlm, round) && (read_one(dlm) || wait_readable(dlm, deadline_ms))) {
	}
	dlm->reading = false;
}

void gl_dlm_round_wait(struct gl_dlm *dlm, struct gl_dlm_round *round, int64_t deadline_ms)
{
	struct timespec deadline;
	bool late = false;

	sleep_until(deadline_ms, &deadline);
	TAILQ_INSERT_TAIL(&dlm->waiting, round, next);
	while (!is_done(dlm, round) && !late) {
		if (dlm->reading) {
			late = pthread_cond_timedwait(&round->woken, &dlm->mutex, &deadline) == ETIMEDOUT;
		} else {
			lead(dlm, round, deadline_ms);
			late = true;
		}
	}
	TAILQ_REMOVE(&dlm->waiting, round, next);
	hand_on(dlm);
}

void gl_dlm_catch_up(struct gl_dlm *dlm)
{
	pthread_mutex_lock(&dlm->mutex);
	if (!dlm->reading && !dlm->closing && dlm->fd >= 0) {
		dlm->reading = true;
		/* What a predecessor read, and was killed with. */
		take_read(dlm);
		while (!dlm->closing && read_one(dlm)) {
		}
		dlm->reading = false;
		hand_on(dlm);
	}
	pthread_mutex_unlock(&dlm->mutex);
}

/* ---- Beginning and ending ---- */

int gl_dlm_answers_begin(struct gl_dlm *dlm)
{
	dlm->stop_fd = eventfd(0, EFD_CLOEXEC);
	return dlm->stop_fd < 0 ? errno : 0;
}

bool gl_dlm_enter(struct gl_dlm *dlm)
{
	bool fine;

	pthread_mutex_lock(&dlm->mutex);
	fine = dlm->joined && !dlm->closing;
	dlm->calls += fine;
	pthread_mutex_unlock(&dlm->mutex);
	return fine;
}

void gl_dlm_exit(struct gl_dlm *dlm)
{
	pthread_mutex_lock(&dlm->mutex);
	if (--dlm->calls == 0 && dlm->closing) {
		pthread_cond_broadcast(&dlm->idle);
	}
	pthread_mutex_unlock(&dlm->mutex);
}

bool gl_dlm_answers_end(struct gl_dlm *dlm)
{
	struct gl_dlm_round *round;
	struct timespec deadline;

	sleep_until(guestlock_monotonic_ms() + END_MS, &deadline);
	dlm->closing = true;
	if (dlm->stop_fd >= 0) {
		eventfd_write(dlm->stop_fd, 1);
	}
	TAILQ_FOREACH(round, &dlm->waiting, next)
	{
		pthread_cond_signal(&round->woken);
	}
	while (dlm->reading || !TAILQ_EMPTY(&dlm->waiting) || dlm->calls > 0) {
		if (pthread_cond_timedwait(&dlm->idle, &dlm->mutex, &deadline) == ETIMEDOUT) {
			break;
		}
	}
	if (dlm->stop_fd >= 0 && !dlm->reading) {
		close(dlm->stop_fd);
	}
	dlm->stop_fd = -1;
	dlm->closing = false;
	dlm->openings++;
	return dlm->calls == 0;
}
