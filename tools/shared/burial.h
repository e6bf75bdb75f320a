/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The locks of a guest that died are released, or of all of them, perhaps in another thread; and what that
 * has in common with following.
 */
#ifndef BURIAL_H
#define BURIAL_H

#include "follow.h"

/* Freed by whichever of the follower and the thread is done with it last. */
struct burial {
	const struct follow *follow;
	char uuid[GUESTLOCK_UUID_STRING]; /* "": everything */
	uint64_t instance;
	char *words;                      /* the guest's, for messages */
	unsigned owners;                  /* the follower and the thread; changed atomically */
	bool done, failed;                /* written before owners is changed */
};

/* One life of a guest; NULL: everything is reaped. */
struct burial *burial_begin(const struct follow *follow, const struct guestlock_info *info);
bool burial_is_done(const struct burial *burial);
/* NULL is accepted. */
void burial_release(struct burial *burial);

/* Ends the program if memory is NULL. */
void *follow_need(void *memory);
/* "NAME (UUID)", malloc'd. */
char *follow_words(const struct guestlock_info *info);
void follow_say(const struct follow *follow, enum guestlock_log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A handle of that life of a guest, to be freed whatever comes of it: *out_handle is NULL before. */
int follow_attach(const struct follow *follow, const char *uuid, uint64_t instance,
		  struct guestlock_guest **out_handle);

#endif
