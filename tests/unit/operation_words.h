/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records, calls to the backend and its answers, in the words of the rows of test_operation.c.
 *
 * A record is
 *
 *     STATE[/PENDING] [migrate] [was-paused] [handed-over] [stopped] [halted] [frozen] [adopted] [PARAMETER=VALUE] RESOURCE...
 *
 * and a resource LETTER=STATE[(FROM-TO)][#EPOCH][/TECHNOLOGY][*], where * says that the hint of its file may
 * be missing, and ! that the mode is not what it should be. d and e are disks, f is one that is a file, s is
 * a shared one, g the lock of the guest itself.
 *
 * A call is
 *
 *     acquire LETTER=MODE[#EPOCH]... [probe] [on loss ACTION]
 *     convert LETTER=MODE... [take-over]
 *     release LETTER... [park] [undo]
 *     inquire LETTER...
 *
 * and its answer RESULT [LETTER[:RESULT][=MODE][#EPOCH][@GUEST]]...: what is named without a result has that
 * of the call, and of what is not named nothing is known but that it is GRANTED; if nothing is named, all
 * have that of the call. @GUEST is who is in the way: db, former-db, or web, which is the other end of its
 * migration.
 */
#ifndef GL_TEST_OPERATION_WORDS_H
#define GL_TEST_OPERATION_WORDS_H

#include "operation/operation.h"

#include <check.h>

#define WORDS_CGROUP "44:/web" /* of a record that is frozen */

#define WEB "11111111-1111-4111-8111-111111111111"
#define DB "22222222-2222-4222-8222-222222222222"
#define WEB_INSTANCE 7
#define DB_INSTANCE 9
#define TECHNOLOGY "fake"

/* The row's name, for what is said of it. */
extern const char *words_about;

/* Ends the test unless both are the same; size: of expected. what: "the record after". */
void words_compare(const char *what, const char *expected, size_t size, const char *found);

struct gl_record *words_read(const char *text, const char *uuid, uint64_t instance);
/* free() */
char *words_of(const struct gl_record *record);
/* known: the flags that say something to that call. free() */
char *words_of_call(const char *name, bool modes, unsigned known, const struct guestlock_batch *batch);
enum guestlock_result words_answer(const char *answer, struct guestlock_batch *batch,
				   struct guestlock_error *err);

/* "": OK. Fills err. */
int words_status(const char *answer, struct guestlock_error *err);
/* The first word. */
enum guestlock_life words_life(const char *text);
void words_holder(const char *name, struct guestlock_holder *out);

#endif
