/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small world for the real engine (core/operation, core/guest): the records of two guests, their processes
 * and a backend, all in memory. What the engine does to it is compared with a play, line by line, and the
 * play has the answers: "ACT -> ANSWER", or an act alone, which succeeds. Acts are
 *
 *     save RECORD            "save" alone: the record as it is to be after all
 *     remove                 the record, after the life file; "remove record": that one alone
 *     hint LETTER            also unhint
 *     stop, continue         the guest's processes
 *     own                    the guest has a control group of its own; then "freeze" and "thaw"
 *     monitor                is it there: "hangs" or "denied" when not; then "status", which is "runs" or "stands",
 *                            and what it is told: "tell stop", "tell cont"
 *     pause                  before something is tried again; "-> over": the deadline has passed
 *     join                   the backend
 *     acquire ...            also convert, release, inquire
 *     attempt                of what waits while it is BUSY
 *
 * in the words of operation_words.h, with "db " before what is about that guest, and not about web. lock and
 * open are acts only where they fail.
 */
#ifndef GL_TEST_OPERATION_WORLD_H
#define GL_TEST_OPERATION_WORLD_H

#include "operation_words.h"

#define PLAY_LINES 12
#define AS_BEFORE "="

struct row {
	const char *name;
	/* What is asked of the engine: a status. err may be NULL. */
	int (*ask)(const struct row *row, struct guestlock_error *err);
	struct gl_wish wish;
	const char *state;              /* that the wish comes with: LETTER#EPOCH or LETTER; NULL: none */
	uint64_t meant;                 /* the instance; 0: whichever */
	int wait_ms;
	bool resume_check_off, not_joined;
	unsigned without;               /* GUESTLOCK_CAP_* */
	size_t most;                    /* items in a call, 0: any number */
	const char *before, *other;     /* records of web and db; NULL: none */
	const char *life, *other_life;  /* words, one for each look, the last one from then on; NULL: alive */
	const char *play[PLAY_LINES];
	int status;
	const char *after;              /* the record of web; NULL: none */
	const char *says, *logs;        /* words of the error, and of the log: there once */
};

extern struct guestlock world_library;

void world_begin(const struct row *row);
/* The play is over, nothing is locked, and the record is as it has to be. */
void world_end(void);

/* How often these words are in the log. */
unsigned world_logged(const char *words);

/* For gl_wait_while_busy(). */
int world_attempt(void *data, struct guestlock_error *err);

#endif
