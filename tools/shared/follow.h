/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Releasing the locks of guests as they die: for reap --follow, and for the keeper. */
#ifndef FOLLOW_H
#define FOLLOW_H

#include <guestlock/guestlock.h>

struct follow {
	struct guestlock *gl;
	const char *run_dir;
	int stop;                       /* ends it when it can be read */
	guestlock_log_fn *log;          /* of what it did itself; gl has its own messages */
	void *log_data;
	/*
	 * Runs work(argument) in another thread, so that one guest whose locks cannot be released now holds
	 * nobody else up. false: it cannot, and work is called here. NULL: everything is done here.
	 */
	bool (*start)(void *data, void (*work)(void *argument), void *argument);
	void *start_data;
};

/* Returns when it is told to stop: 0, or an errno: it could not begin. */
int follow_guests(const struct follow *follow);

#endif
