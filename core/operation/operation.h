/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One operation on one guest, from its lock to its outcome:
 *
 *   1. take the lock of the guest's record; read it; find out whether the guest lives;
 *   2. settle what a killed process left; release everything if the guest is dead (begin.c);
 *   3. step the lifecycle table with the wish; write the intent: state, pending operation, keys;
 *   4. enter the hints of files, ask the backend;
 *   5. step the tables with what it answered; write the outcome; leave the lock.
 *
 * A kill after 3 is settled by whoever comes next: the pending operation is found under the lock.
 */
#ifndef GL_OPERATION_H
#define GL_OPERATION_H

#include "operation/call.h"
#include "handle/owner.h"
#include "record/state.h"

struct gl_operation_run {
	struct guestlock *gl;
	struct gl_guest_lock lock;
	struct gl_record *record;     /* NULL: there is none */
	struct guestlock_owner owner; /* of the record */
	enum guestlock_life life;
	bool was_dead; /* it was dead when we came, and has been released since */
	int64_t deadline_ms;
};

/*
 * Steps 1 and 2. life NULL: whichever there is. Else REPLACED when the record is of another life that is not
 * found dead, and nothing of that one is touched. On failure nothing is held and nothing needs to be ended.
 */
int gl_run_begin(struct gl_operation_run *run, struct guestlock *gl, const char *uuid,
		 const struct gl_life *life, int64_t deadline_ms, struct guestlock_error *err);
void gl_run_end(struct gl_operation_run *run);

/*
 * Releases what a guest that was found dead left, and its record. What cannot be released now stays recorded.
 */
void gl_run_bury(struct gl_operation_run *run);

/* What a wish is about, beside the event. Zeroed: all resources, nothing to check. */
struct gl_wish {
	enum gl_event event;
	const char *only_key;         /* ATTACH, DETACH: the one disk or lease; NULL: all */
	const struct gl_state *state; /* epochs to be checked; NULL: the record's own, of parked resources */
	bool force;
	bool stopped;   /* the caller has stopped the guest, and keeps it so */
	bool flushed;   /* and has seen to it that what it wrote is on the storage */
	bool unchecked; /* whatever the epochs are: the guest runs already */
	bool probe;     /* judge, take nothing, leave everything as it was */
};

/* Steps 3 to 5. */
int gl_run_wish(struct gl_operation_run *run, const struct gl_wish *wish, struct guestlock_error *err);

/* The event's row decides about state and operation, and the record is written (or removed). */
int gl_run_outcome(struct gl_operation_run *run, enum gl_event event, struct guestlock_error *err);

/*
 * The resources under way: inquires and then finishes or undoes them (finish_taken: what turns out to be
 * taken as wanted counts as done, because the caller still waits for it). *out_event is DONE, REFUSED or
 * UNSURE; err is filled with REFUSED and UNSURE.
 */
void gl_run_resolve(struct gl_operation_run *run, bool finish_taken, enum gl_event *out_event,
			     struct guestlock_error *err);

/* What a conversion of that operation is for, in batch flags. */
unsigned gl_convert_flags(enum gl_operation op);

/* Not done, or not known to be. */
bool gl_holding_under_way(const struct gl_holding *holding);

/* Applies an event to one resource of the record: the only place that changes its state. */
void gl_run_step_resource(struct gl_operation_run *run, struct gl_resource *resource,
			  enum gl_resource_event event);

/* Is a resource one of those that the wish is about: the one that is meant, or for a partition its whole disk? */
bool gl_run_is_concerned(const struct gl_operation_run *run, const struct gl_wish *wish,
			 const struct gl_resource *resource);
/*
 * Of a detach: a whole disk of which partitions stay is kept for these alone from here on. true: *out_was is what it was
 * (its strings are not copied), whose hint is to go when the record is written. It is held in the mode that it has until
 * it is taken anew: not every backend has a way from exclusive to shared that does not lead past unlocked.
 */
bool gl_run_keep_whole(const struct gl_operation_run *run, const struct gl_wish *wish,
		       struct gl_resource *out_was);
/* Of an attach: a whole disk that was held for its partitions, and is the guest's own from here on, gets its hint. */
int gl_run_hint_held(struct gl_operation_run *run, const struct gl_wish *wish, struct guestlock_error *err);

/*
 * Those who only read a disk and those who write it together keep each other out (sides.c, with the protocol). Of what
 * is going to be taken, what belongs to it is added to the record. Of a batch that was granted, what was only to be
 * passed is given back: GRANTED or INFLIGHT.
 */
int gl_run_add_sides(struct gl_operation_run *run, const struct gl_wish *wish, unsigned actions,
		     struct guestlock_error *err);
enum guestlock_result gl_run_leave_sides(struct gl_operation_run *run, const struct gl_batch *batch,
					 struct guestlock_error *err);
/* Was nothing in the way but somebody who passes, too? Then it is tried again, after a pause, until that deadline. */
bool gl_run_is_passed(const struct gl_batch *batch, unsigned attempt, int64_t deadline_ms);
int64_t gl_run_passing_deadline(const struct gl_operation_run *run);

/* The row of the table that decides about an event now; the error of a row that rejects. */
const struct gl_row *gl_run_row(const struct gl_operation_run *run, enum gl_event event, bool force);
int gl_run_reject(const struct gl_operation_run *run, const struct gl_row *row, struct guestlock_error *err);

/*
 * Stops every process of the guest, and sees to it that they are stopped (stopping.c). On failure they go on.
 * DEAD when there is none any more: run->life says so, and it is to be buried.
 */
int gl_run_stop(struct gl_operation_run *run, struct guestlock_error *err);
/*
 * Of a guest whose monitor is known: has it to be told first, so that what is under way gets to the disks (halting.c)?
 * _halt() does so, with the operation's deadline, and _unhalt() is the way back, also after a failure of the first:
 * TIMEOUT, DENIED, UNAVAILABLE.
 */
bool gl_run_has_to_halt(const struct gl_operation_run *run);
int gl_run_halt(struct gl_operation_run *run, struct guestlock_error *err);
int gl_run_unhalt(struct gl_operation_run *run, struct guestlock_error *err);
/* Of a guest whose record is going to be removed: what we froze is thawed, and stays stopped if it lives. */
void gl_run_thaw(struct gl_operation_run *run);
/* Is there no process of the guest any more? */
bool gl_run_is_empty(const struct gl_operation_run *run);
/*
 * A guest that we paused has no locks, and anybody's SIGCONT continues it: a shell's fg, the kernel where its
 * process group is orphaned, systemd as it stops a unit. Who looks stops it again, and says so. If somebody else had its
 * disks meanwhile it is LOST, and stays stopped.
 */
void gl_run_keep_stopped(struct gl_operation_run *run);
/*
 * Of a guest that runs: what the backend does not hold although the record claims it is taken again. 1: done; 0: there was
 * nothing; -1: it cannot be, the guest is LOST now, and is acted upon as it was told to be.
 */
int gl_run_take_vanished(struct gl_operation_run *run);
bool gl_is_claimed(struct gl_resource *resource, const char *technology);
/*
 * Waits until what a stopped guest wrote to the disks that it holds exclusively is on the storage, where other
 * hosts read it. TIMEOUT, or what kept it from getting there.
 */
int gl_run_flush(struct gl_operation_run *run, struct guestlock_error *err);
/* Continues a guest that was stopped so, if it holds everything and nothing is pending. */
void gl_run_continue(struct gl_operation_run *run);

/* Writes the record. */
int gl_run_save(struct gl_operation_run *run, struct guestlock_error *err);

/* The record is of another process now: so is the owner. */
void gl_run_refresh_owner(struct gl_operation_run *run);

/* Removes everything of the guest but its locks: hints, life file, record. */
int gl_run_remove(struct gl_operation_run *run, struct guestlock_error *err);

/*
 * Hints of files: added before a key is acquired, removed last. BUSY: another guest has the same file by another key,
 * or something that this one is a part of or made of, or the other way round; ALIASED: this guest has that file by
 * another key. The second only looks.
 */
int gl_hint_file(struct gl_operation_run *run, const struct gl_resource *resource,
		 struct guestlock_error *err);
int gl_probe_file(struct gl_operation_run *run, const struct gl_resource *resource,
		  struct guestlock_error *err);
void gl_unhint_file(struct gl_operation_run *run, const struct gl_resource *resource);
/* The hint of the guest's name. */
int gl_hint_name(struct gl_operation_run *run, struct guestlock_error *err);
void gl_unhint_name(struct gl_operation_run *run);

/*
 * Runs attempt() until it is not BUSY any more or wait_ms is over, naming the holder in a message (wait.c). A
 * holder of this host that is dead or was left unfinished is settled first, even without waiting.
 */
typedef int gl_attempt_fn(void *data, struct guestlock_error *err);
int gl_wait_while_busy(struct guestlock *gl, const char *uuid, int wait_ms, gl_attempt_fn *attempt,
		       void *data, struct guestlock_error *err);

/* How the technology in use holds a resource of the record. NULL: out of memory. */
static inline struct gl_holding *gl_run_holding(const struct gl_operation_run *run,
						struct gl_resource *resource)
{
	return gl_resource_holding(resource, gl_technology(run->gl), true);
}

/* Does who has a partition have its whole disk, too? */
bool gl_locks_wholes(const struct guestlock *gl);

/* The mode in which a resource is held when it is held in full: exclusive or shared. */
enum guestlock_mode gl_resource_mode(const struct guestlock *gl, const struct gl_resource *resource);
/* Is it a disk that is shared, where those who only read are told apart; is it one of these; and is just one of two? */
bool gl_has_sides(const struct guestlock *gl, const struct gl_resource *resource);
bool gl_is_reader(const struct gl_resource *disk);
bool gl_sides_differ(const struct guestlock *gl, const struct gl_resource *a, const struct gl_resource *b);

#endif
