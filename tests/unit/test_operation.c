/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One operation on one guest, from its lock to its outcome: the engine as it is, above a world of words
 * (operation_world.h). A row is what there is before, what is asked, what the engine has to do in which order
 * and what it gets for an answer, and what there is after it.
 */
#include "base/base.h"
#include "guest/guest.h"
#include "operation_world.h"

#include <stdio.h>
#include <string.h>

#define DEADLINE_MS 1000
#define KEY_E "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
#define KEY_F "fffffffffffffffffffffffffffffffffffffffffff"

/* ---- What can be asked ---- */

static int begin(const struct row *row, struct gl_operation_run *run, struct guestlock_error *err)
{
	const struct gl_life life = {.instance = row->meant};

	return gl_run_begin(run, &world_library, WEB, row->meant ? &life : NULL, DEADLINE_MS, err);
}

static int ask_begin(const struct row *row, struct guestlock_error *err)
{
	struct gl_operation_run run;
	int status = begin(row, &run, err);

	if (status == GUESTLOCK_OK) {
		gl_run_end(&run);
	}
	return status;
}

static int ask_wish(const struct row *row, struct guestlock_error *err)
{
	struct gl_state_entry entry = {.epoch = 0};
	struct gl_state state = {.entries = &entry, .count = 1};
	struct gl_wish wish = row->wish;
	struct gl_operation_run run;
	int status = begin(row, &run, err);

	if (status < 0) {
		return status;
	}
	if (row->state) {
		memset(entry.key, row->state[0], GUESTLOCK_KEY_SIZE - 1);
		entry.has_epoch = row->state[1] == '#';
		entry.epoch = entry.has_epoch ? strtoull(row->state + 2, NULL, 10) : 0;
		wish.state = &state;
	}
	status = gl_run_wish(&run, &wish, err);
	gl_run_end(&run);
	return status;
}

/* Without its beginning, which would settle what is pending. */
static int ask_outcome(const struct row *row, struct guestlock_error *err)
{
	struct gl_operation_run run = {
		.gl = &world_library, .lock = GL_GUEST_LOCK_INIT, .life = GUESTLOCK_LIFE_ALIVE};
	int status = gl_store_lock(&world_library.store, WEB, DEADLINE_MS, &run.lock, err);

	ck_assert_int_eq(status, GUESTLOCK_OK);
	ck_assert_int_eq(gl_store_open(&world_library.store, &run.lock, &run.record, err), GUESTLOCK_OK);
	gl_run_refresh_owner(&run);
	status = gl_run_outcome(&run, row->wish.event, err);
	gl_run_end(&run);
	return status;
}

static struct guestlock_guest *handle(void)
{
	struct guestlock_guest *guest;

	ck_assert_int_eq(guestlock_guest_new(&world_library, GUESTLOCK_NEW_ATTACH, &guest, NULL),
			 GUESTLOCK_OK);
	ck_assert_int_eq(guestlock_guest_set_param(guest, "uuid", WEB, NULL), GUESTLOCK_OK);
	return guest;
}

static int ask_pause(const struct row *row, struct guestlock_error *err)
{
	struct guestlock_guest *guest = handle();
	int status = guestlock_guest_pause(guest, 0, NULL, err);

	(void)row;
	guestlock_guest_free(guest);
	return status;
}

static int ask_resume(const struct row *row, struct guestlock_error *err)
{
	struct guestlock_guest *guest = handle();
	int status = guestlock_guest_resume(guest, NULL, row->wait_ms, err);

	guestlock_guest_free(guest);
	return status;
}

static int ask_prepare(const struct row *row, struct guestlock_error *err)
{
	struct guestlock_guest *guest = handle();
	int status = guestlock_guest_prepare_migrate(guest, NULL, err);

	(void)row;
	guestlock_guest_free(guest);
	return status;
}

static int ask_cancel(const struct row *row, struct guestlock_error *err)
{
	struct guestlock_guest *guest = handle();
	int status = guestlock_guest_complete_migrate_out(guest, GUESTLOCK_MIGRATE_CANCEL, err);

	(void)row;
	guestlock_guest_free(guest);
	return status;
}

static int ask_wait(const struct row *row, struct guestlock_error *err)
{
	return gl_wait_while_busy(&world_library, WEB, row->wait_ms, world_attempt, NULL, err);
}

#define BEGIN .ask = ask_begin
#define WISH(...) .ask = ask_wish, .wish = {.event = GL_EVENT_##__VA_ARGS__}
#define OUTCOME(e) .ask = ask_outcome, .wish = {.event = GL_EVENT_##e}
#define PAUSE .ask = ask_pause
#define RESUME .ask = ask_resume
#define PREPARE .ask = ask_prepare
#define CANCEL .ask = ask_cancel
#define WAIT(ms) .ask = ask_wait, .wait_ms = (ms)
#define PLAY(...) .play = {__VA_ARGS__}

/* ---- The beginning ---- */

static const struct row beginning[] = {
	{"there is no record", BEGIN},
	{"a guest that lives is left as it is", BEGIN, .before = "running d=held#5", .after = AS_BEFORE},
	{"whose life cannot be told, lives", BEGIN, .before = "running d=held#5", .life = "unknown",
	 .after = AS_BEFORE},
	{"one without its tether is left as it is", BEGIN, .before = "running d=held#5", .life = "untethered",
	 .after = AS_BEFORE, .logs = "has lost its tether"},
	{"a dead guest is buried", BEGIN, .before = "running d=held#5 f=held#6", .life = "dead",
	 PLAY("save dead/shutdown d=dropping(held-none)#5 f=dropping(held-none)#6", "release d f", "unhint f",
	      "remove")},
	{"one that had no tether leaves no life file", BEGIN, .before = "running adopted d=held",
	 .life = "dead",
	 PLAY("save dead/shutdown adopted d=dropping(held-none)", "release d", "remove record")},
	{"one that died under an operation is buried, not settled", BEGIN,
	 .before = "bound/acquire d=intent(none-held) e=none", .life = "dead",
	 PLAY("save dead/shutdown d=dropping(none-none) e=dropping(none-none)", "release d e", "remove")},
	{"what the dead hold stays recorded while it is not released", BEGIN, .before = "running d=held#5",
	 .life = "dead", PLAY("save dead/shutdown d=dropping(held-none)#5", "release d -> io", "save"),
	 .after = "dead d=held#5", .logs = "are not all released yet"},
	{"half released, the dead are asked about and released again", BEGIN,
	 .before = "running d=held e=held", .life = "dead",
	 PLAY("save dead/shutdown d=dropping(held-none) e=dropping(held-none)", "release d e -> io e",
	      "inquire d e -> held d:free e=exclusive", "release d e", "remove")},
	{"half released and no more: unsure", BEGIN, .before = "running d=held e=held", .life = "dead",
	 PLAY("save dead/shutdown d=dropping(held-none) e=dropping(held-none)", "release d e -> io e",
	      "inquire d e -> held d:free e=exclusive", "release d e -> io", "save"),
	 .after = "dead/shutdown d=unknown(held-none) e=unknown(held-none)"},
	{"another life is not touched", BEGIN, .meant = 1, .before = "running/attach d=intent(none-held)",
	 .status = GUESTLOCK_REPLACED, .after = AS_BEFORE, .says = "was started anew"},
	{"another life that is dead is buried", WISH(ACQUIRE), .meant = 1, .before = "running d=held",
	 .life = "dead", PLAY("save dead/shutdown d=dropping(held-none)", "release d", "remove"),
	 .status = GUESTLOCK_NOT_FOUND},
	{"another life that is dead and cannot be buried", BEGIN, .meant = 1, .before = "running d=held",
	 .life = "dead", PLAY("save dead/shutdown d=dropping(held-none)", "release d -> io", "save"),
	 .status = GUESTLOCK_REPLACED, .after = "dead d=held"},
	{"locks of another technology are refused", BEGIN, .before = "running d=held/dlm", .life = "dead",
	 .status = GUESTLOCK_CONFIG, .after = AS_BEFORE, .says = "backend dlm"},
	{"a lock that is not free in time", BEGIN, .before = "running d=held", PLAY("lock -> timeout"),
	 .status = GUESTLOCK_TIMEOUT, .after = AS_BEFORE},
	{"a record that cannot be read", BEGIN, .before = "running d=held", PLAY("open -> damaged"),
	 .status = GUESTLOCK_DAMAGED, .after = AS_BEFORE},
	{"the backend is joined before anything else", BEGIN, .not_joined = true, .before = "running d=held",
	 PLAY("join -> unavailable"), .status = GUESTLOCK_UNAVAILABLE, .after = AS_BEFORE},
	{"a stopped guest that holds everything is continued", BEGIN, .before = "running stopped d=held#5",
	 PLAY("continue", "save"), .after = "running d=held#5"},
	{"a paused guest that somebody continued is stopped again", BEGIN,
	 .before = "paused stopped d=parked#5", PLAY("look -> runs", "stop", "acquire d=exclusive#5 probe"),
	 .after = AS_BEFORE, .logs = "ran without its locks"},
	{"it is lost where somebody had its disk", BEGIN, .before = "paused stopped d=parked#5 e=parked#6",
	 PLAY("look -> runs", "stop", "acquire d=exclusive#5 e=exclusive#6 probe -> stale", "save"),
	 .after = "lost stopped d=parked#5 e=parked#6", .logs = "and lost"},
	{"or has it now", BEGIN, .before = "paused stopped d=parked#5",
	 PLAY("look -> runs", "stop", "acquire d=exclusive#5 probe -> busy d@db", "save"),
	 .after = "lost stopped d=parked#5", .logs = "and lost"},
	{"not where somebody reads it", BEGIN, .before = "paused stopped d=parked#5",
	 PLAY("look -> runs", "stop", "acquire d=exclusive#5 probe -> busy d@reading-db"), .after = AS_BEFORE,
	 .logs = "ran without its locks"},
	{"nor where nobody can tell", BEGIN, .before = "paused stopped d=parked#5",
	 PLAY("look -> runs", "stop", "acquire d=exclusive#5 probe -> io"), .after = AS_BEFORE,
	 .logs = "ran without its locks"},
	{"it is where it lives on at the other end of a migration", BEGIN,
	 .before = "paused handed-over stopped d=parked", PLAY("look -> runs", "stop", "save"),
	 .after = "lost handed-over stopped d=parked", .logs = "and lost"},
	{"one that is lost and stopped is stopped again, too", BEGIN, .before = "lost stopped d=parked#5",
	 PLAY("look -> runs", "stop"), .after = AS_BEFORE, .logs = "ran without its locks"},
	{"and if it cannot be, that is said", BEGIN, .before = "paused stopped d=parked#5",
	 PLAY("look -> runs", "stop -> denied"), .after = AS_BEFORE, .logs = "runs without its locks"},
	{"a stopped guest that holds nothing is not", BEGIN, .before = "paused stopped d=parked#5",
	 .after = AS_BEFORE},
};

/* ---- What a killed process left: one row for each operation, and how each can go on ---- */

static const struct row unfinished[] = {
	{"acquire at the start is undone", BEGIN,
	 .before = "bound/acquire d=intent(none-held) e=intent(none-held)",
	 PLAY("inquire d e -> held d=exclusive#1 e:free", "release d e park undo", "save"),
	 .after = "bound d=none e=none", .logs = "(acquire) was undone"},
	{"acquire of a guest that runs is undone", BEGIN,
	 .before = "running/acquire d=held#5 e=intent(none-held)",
	 PLAY("inquire e -> held e=exclusive#1", "release e undo", "save"), .after = "running d=held#5"},
	{"attach is undone", BEGIN, .before = "running/attach d=held#5 f=intent(none-held)",
	 PLAY("inquire f -> free", "release f undo", "unhint f", "save"), .after = "running d=held#5"},
	{"attach before the start is undone, and the rest waits on", BEGIN,
	 .before = "bound/attach d=none e=intent(none-held)",
	 PLAY("inquire e -> free", "release e undo", "save"), .after = "bound d=none"},
	{"attach that had not even begun", BEGIN, .before = "running/attach d=held#5", PLAY("save"),
	 .after = "running d=held#5"},
	{"detach is finished", BEGIN, .before = "running/detach d=held#5 e=dropping(held-none)#6",
	 PLAY("inquire e -> held e=exclusive#6", "release e", "save"), .after = "running d=held#5",
	 .logs = "(detach) was finished"},
	{"pause is finished", BEGIN, .before = "running/pause stopped d=dropping(held-parked)#5",
	 PLAY("inquire d -> free d#5", "release d park", "save"), .after = "paused stopped d=parked#5"},
	{"resume is undone", BEGIN, .before = "paused/resume stopped d=intent(parked-held)#5",
	 PLAY("inquire d -> held d=exclusive#6", "release d park undo", "save"),
	 .after = "paused stopped d=parked#5"},
	{"prepare is undone", BEGIN, .before = "running/prepare-migrate d=intent(held-handover)#5 s=held",
	 PLAY("inquire d -> held d=handover#5", "convert d=exclusive -> granted d#5", "save"),
	 .after = "running d=held#5 s=held"},
	{"prepare is finished if the target is there", BEGIN,
	 .before = "running/prepare-migrate d=intent(held-handover)#5",
	 PLAY("inquire d -> held d=handover#5", "convert d=exclusive -> busy d@web",
	      "convert d=handover -> granted d#5", "save"),
	 .after = "migrating-out d=handover#5"},
	{"prepare is not finished if somebody else is there", BEGIN,
	 .before = "running/prepare-migrate d=intent(held-handover)#5",
	 PLAY("inquire d -> held d=handover#5", "convert d=exclusive -> busy d@db", "save"),
	 .after = "running/prepare-migrate d=unknown(held-handover)#5"},
	{"prepare of a paused guest is undone", BEGIN,
	 .before = "paused/prepare-migrate was-paused d=intent(parked-handover)#5",
	 PLAY("inquire d -> free d#5", "release d park undo", "save"), .after = "paused d=parked#5"},
	{"complete-in is finished: the epoch moves", BEGIN,
	 .before = "migrating-in/complete-in migrate d=intent(handover-held)#5",
	 PLAY("inquire d -> held d=handover#5", "convert d=exclusive take-over -> granted d#6", "save"),
	 .after = "running migrate d=held#6"},
	{"complete-in waits for its source: it runs", BEGIN,
	 .before = "migrating-in/complete-in migrate d=intent(handover-held)#5",
	 PLAY("inquire d -> held d=handover#5", "convert d=exclusive take-over -> busy d@web", "save"),
	 .after = "running/complete-in migrate d=handover#5"},
	{"complete-in is refused if somebody else is in the way", BEGIN,
	 .before = "migrating-in/complete-in migrate d=intent(handover-held)#5",
	 PLAY("inquire d -> held d=handover#5", "convert d=exclusive take-over -> busy d@db", "save"),
	 .after = "migrating-in migrate d=handover#5"},
	{"complete-in that is pending is tried again: the epoch moves", BEGIN,
	 .before = "running/complete-in migrate d=handover#5",
	 PLAY("save running/complete-in migrate d=intent(handover-held)#5",
	      "convert d=exclusive take-over -> granted d#6", "save"),
	 .after = "running migrate d=held#6"},
	{"complete-in that is pending stays so", BEGIN, .before = "running/complete-in migrate d=handover#5",
	 PLAY("save running/complete-in migrate d=intent(handover-held)#5",
	      "convert d=exclusive take-over -> busy d@web", "save"),
	 .after = AS_BEFORE},
	{"cancel-in is finished", BEGIN,
	 .before = "migrating-in/cancel-in migrate d=dropping(handover-none)#5",
	 PLAY("inquire d -> free d#5", "release d", "save"), .after = "bound migrate d=none#5"},
	{"complete-out is finished: the epoch is forgotten", BEGIN,
	 .before = "migrating-out/complete-out d=dropping(handover-parked)#5",
	 PLAY("inquire d -> held d=handover#5", "release d park", "save"),
	 .after = "paused handed-over d=parked"},
	{"cancel-out is finished: no epoch moves", BEGIN,
	 .before = "migrating-out/cancel-out d=intent(handover-held)#5",
	 PLAY("inquire d -> held d=handover#5", "convert d=exclusive -> granted d#5", "save"),
	 .after = "running d=held#5"},
	{"cancel-out that the backend refuses is as before", BEGIN,
	 .before = "migrating-out/cancel-out d=intent(handover-held)#5",
	 PLAY("inquire d -> held d=handover#5", "convert d=exclusive -> io", "save"),
	 .after = "migrating-out d=handover#5"},
	{"shutdown is finished", BEGIN, .before = "running/shutdown d=dropping(held-none)#5",
	 PLAY("inquire d -> held d=exclusive#5", "release d", "remove")},

	{"no answer yet: asked again", BEGIN, .before = "running/detach d=dropping(held-none)",
	 PLAY("inquire d -> inflight", "pause", "inquire d -> held d=exclusive", "release d", "save"),
	 .after = "running"},
	{"no answer in time: unsure", BEGIN, .before = "running/pause stopped d=dropping(held-parked)#5",
	 PLAY("inquire d -> inflight", "pause -> over", "save"),
	 .after = "running/pause stopped d=unknown(held-parked)#5", .logs = "is not settled"},
	{"damage is not asked about twice: unsure", BEGIN, .before = "bound/acquire d=intent(none-held)",
	 PLAY("inquire d -> unknown", "save"), .after = "bound/acquire d=unknown(none-held)"},
	{"what was unsure is settled when it can be", BEGIN, .before = "running/detach d=unknown(held-none)",
	 PLAY("inquire d -> free", "release d", "save"), .after = "running"},
	{"a release that is not finished: unsure", BEGIN, .before = "running/detach d=dropping(held-none)#5",
	 PLAY("inquire d -> held d=exclusive#5", "release d -> io", "save"),
	 .after = "running/detach d=unknown(held-none)#5"},
	{"a conversion without an answer: unsure", BEGIN,
	 .before = "migrating-out/cancel-out d=intent(handover-held)#5",
	 PLAY("inquire d -> held d=handover#5", "convert d=exclusive -> inflight", "save"),
	 .after = "migrating-out/cancel-out d=unknown(handover-held)#5"},
	{"an undoing that fails: unsure", BEGIN, .before = "bound/acquire d=intent(none-held)",
	 PLAY("inquire d -> held d=exclusive#1", "release d park undo -> io", "save"),
	 .after = "bound/acquire d=unknown(none-held)"},
	{"nothing is begun above what is unsure", WISH(ACQUIRE),
	 .before = "bound/acquire d=intent(none-held)",
	 PLAY("inquire d -> inflight", "pause -> over", "save"), .status = GUESTLOCK_INDETERMINATE,
	 .after = "bound/acquire d=unknown(none-held)"},
	{"but shutdown, which is the way out", WISH(SHUTDOWN, .force = true),
	 .before = "bound/acquire d=unknown(none-held)",
	 PLAY("inquire d -> inflight", "pause -> over", "save bound/acquire d=unknown(none-held)",
	      "save bound/shutdown d=dropping(none-none)", "release d", "remove")},
	{"a shutdown that is refused above what is unsure: unsure", WISH(SHUTDOWN, .force = true),
	 .before = "bound/acquire d=unknown(none-held)",
	 PLAY("inquire d -> inflight", "pause -> over", "save bound/acquire d=unknown(none-held)",
	      "save bound/shutdown d=dropping(none-none)", "release d -> denied", "inquire d -> inflight",
	      "pause -> over", "save"),
	 .status = GUESTLOCK_INDETERMINATE, .after = "bound/shutdown d=unknown(none-none)"},
};

/* ---- Wishes: intent, backend, outcome ---- */

static const struct row wishes[] = {
	{"the intent is written before the backend is asked", WISH(ACQUIRE), .before = "bound d=none e=none",
	 PLAY("save bound/acquire d=intent(none-held) e=intent(none-held)",
	      "acquire d=exclusive e=exclusive -> granted d#1 e#2", "save"),
	 .after = "running d=held#1 e=held#2"},
	{"an intent that cannot be written: the backend is not asked", WISH(ACQUIRE),
	 .before = "bound d=none", PLAY("save bound/acquire d=intent(none-held) -> io"),
	 .status = GUESTLOCK_IO, .after = AS_BEFORE},
	{"an outcome that cannot be written: the intent stands", WISH(ACQUIRE), .before = "bound d=none",
	 PLAY("save bound/acquire d=intent(none-held)", "acquire d=exclusive -> granted d#1",
	      "save running d=held#1 -> io"),
	 .status = GUESTLOCK_IO, .after = "bound/acquire d=intent(none-held)"},
	{"a hint is entered before the lock is taken", WISH(ACQUIRE), .before = "bound f=none*",
	 PLAY("save bound/acquire f=intent(none-held)*", "hint f", "acquire f=exclusive -> granted f#1",
	      "save"),
	 .after = "running f=held#1"},
	{"the same file under another name", WISH(ATTACH, .only_key = KEY_F),
	 .before = "running d=held f=none*",
	 PLAY("save running/attach d=held f=intent(none-held)*", "hint f -> aliased", "unhint f", "save"),
	 .status = GUESTLOCK_ALIASED, .after = "running d=held"},
	{"refused at the start: still bound", WISH(ACQUIRE), .before = "bound d=none e=none",
	 PLAY("save bound/acquire d=intent(none-held) e=intent(none-held)",
	      "acquire d=exclusive e=exclusive -> busy e@db", "save"),
	 .status = GUESTLOCK_BUSY, .after = AS_BEFORE,
	 .says = "cannot lock disk /e: it is held (exclusive) by guest db"},
	{"of two in the way the disk is named", WISH(ACQUIRE), .before = "bound g=none d=none",
	 PLAY("save bound/acquire g=intent(none-held) d=intent(none-held)",
	      "acquire g=exclusive d=exclusive -> busy g@web d@db", "save"),
	 .status = GUESTLOCK_BUSY, .after = AS_BEFORE, .says = "cannot lock disk /d"},
	{"what is held is not taken again", WISH(ACQUIRE), .before = "running d=held#5 e=none",
	 PLAY("save running/acquire d=held#5 e=intent(none-held)", "acquire e=exclusive -> granted e#1",
	      "save"),
	 .after = "running d=held#5 e=held#1"},
	{"nothing to take: the backend is not asked", WISH(ACQUIRE), .before = "running d=held#5",
	 PLAY("save"), .after = AS_BEFORE},
	{"attach takes one", WISH(ATTACH, .only_key = KEY_E), .before = "bound d=none e=none",
	 PLAY("save bound/attach d=none e=intent(none-held)", "acquire e=exclusive -> granted e#1", "save"),
	 .after = "bound d=none e=held#1"},
	{"refused, attach leaves what there was", WISH(ATTACH, .only_key = KEY_E),
	 .before = "running d=held e=none",
	 PLAY("save running/attach d=held e=intent(none-held)", "acquire e=exclusive -> busy e@db", "save"),
	 .status = GUESTLOCK_BUSY, .after = "running d=held"},
	{"detach releases one, and its hint goes last", WISH(DETACH, .only_key = KEY_F),
	 .before = "running d=held f=held#6",
	 PLAY("save running/detach d=held f=dropping(held-none)#6", "release f", "unhint f", "save"),
	 .after = "running d=held"},
	{"two calls take all, or the first is undone", WISH(ACQUIRE), .most = 1,
	 .before = "bound d=none e=none",
	 PLAY("save bound/acquire d=intent(none-held) e=intent(none-held)",
	      "acquire d=exclusive -> granted d#1", "acquire e=exclusive -> busy e@db", "release d park undo",
	      "save"),
	 .status = GUESTLOCK_BUSY, .after = AS_BEFORE},
	{"the first cannot be undone: unsure, then settled", WISH(ACQUIRE), .most = 1,
	 .before = "bound d=none e=none",
	 PLAY("save bound/acquire d=intent(none-held) e=intent(none-held)",
	      "acquire d=exclusive -> granted d#1", "acquire e=exclusive -> busy e@db",
	      "release d park undo -> io", "inquire d -> held d=exclusive#1", "inquire e -> other e@db",
	      "release d park undo", "release e park undo", "save"),
	 .status = GUESTLOCK_TIMEOUT, .after = AS_BEFORE},
	{"a momentary obstacle", WISH(ACQUIRE), .before = "bound d=none",
	 PLAY("save bound/acquire d=intent(none-held)", "acquire d=exclusive -> again", "pause",
	      "acquire d=exclusive -> granted d#1", "save"),
	 .after = "running d=held#1"},
	{"an obstacle until the deadline", WISH(ACQUIRE), .before = "bound d=none",
	 PLAY("save bound/acquire d=intent(none-held)", "acquire d=exclusive -> again", "pause -> over",
	      "save"),
	 .status = GUESTLOCK_TIMEOUT, .after = AS_BEFORE, .says = "the deadline passed before"},
	{"a host that left joins again", WISH(ACQUIRE), .before = "bound d=none",
	 PLAY("save bound/acquire d=intent(none-held)", "acquire d=exclusive -> out", "join",
	      "acquire d=exclusive -> granted d#1", "save"),
	 .after = "running d=held#1"},
	{"no answer, but done", WISH(ACQUIRE), .before = "bound d=none s=none",
	 PLAY("save bound/acquire d=intent(none-held) s=intent(none-held)",
	      "acquire d=exclusive s=shared -> inflight", "inquire d s -> held d=exclusive#1 s=shared#2",
	      "save"),
	 .after = "running d=held#1 s=held#2"},
	{"no answer, and half done", WISH(ACQUIRE), .before = "bound d=none e=none",
	 PLAY("save bound/acquire d=intent(none-held) e=intent(none-held)",
	      "acquire d=exclusive e=exclusive -> inflight", "inquire d e -> free d:held=exclusive#1 e",
	      "release d e park undo", "save"),
	 .status = GUESTLOCK_TIMEOUT, .after = AS_BEFORE, .says = "was given back"},
	{"no answer, and in another mode", WISH(ACQUIRE), .before = "bound d=none",
	 PLAY("save bound/acquire d=intent(none-held)", "acquire d=exclusive -> inflight",
	      "inquire d -> held d=shared#1", "release d park undo", "save"),
	 .status = GUESTLOCK_TIMEOUT, .after = AS_BEFORE},
	{"no answer, and taken without an epoch", WISH(ACQUIRE), .before = "bound d=none",
	 PLAY("save bound/acquire d=intent(none-held)", "acquire d=exclusive -> inflight",
	      "inquire d -> held d=exclusive", "release d park undo", "save"),
	 .status = GUESTLOCK_TIMEOUT, .after = AS_BEFORE},
	{"no answer at all: unsure", WISH(ACQUIRE), .before = "bound d=none",
	 PLAY("save bound/acquire d=intent(none-held)", "acquire d=exclusive -> inflight",
	      "inquire d -> inflight", "pause -> over", "save"),
	 .status = GUESTLOCK_INDETERMINATE, .after = "bound/acquire d=unknown(none-held)"},
	{"a pause keeps the epochs that it is told", WISH(PAUSE), .before = "bound d=held s=held#3",
	 PLAY("save bound/pause d=dropping(held-parked) s=dropping(held-parked)#3",
	      "release d s park -> granted d#5 s#3", "save"),
	 .after = "bound d=parked#5 s=parked#3"},
	{"half released, a pause goes on", WISH(PAUSE), .before = "bound d=held#5 e=held#6",
	 PLAY("save bound/pause d=dropping(held-parked)#5 e=dropping(held-parked)#6",
	      "release d e park -> io e", "inquire d e -> held d:free#5 e=exclusive#6", "release d e park",
	      "save"),
	 .after = "bound d=parked#5 e=parked#6"},
	{"nothing released: a pause that is refused", WISH(PAUSE), .before = "bound d=held#5",
	 PLAY("save bound/pause d=dropping(held-parked)#5", "release d park -> denied", "save"),
	 .status = GUESTLOCK_DENIED, .after = AS_BEFORE},
	{"the backend does not know the process, which lives", WISH(ACQUIRE), .before = "bound d=none",
	 PLAY("save bound/acquire d=intent(none-held)", "acquire d=exclusive -> dead", "save"),
	 .status = GUESTLOCK_UNTETHERED, .after = AS_BEFORE},
	{"the backend does not know the process, which died", WISH(ACQUIRE), .before = "bound d=none",
	 .life = "alive dead",
	 PLAY("save bound/acquire d=intent(none-held)", "acquire d=exclusive -> dead", "save"),
	 .status = GUESTLOCK_DEAD, .after = AS_BEFORE},
	{"without its tether a guest takes nothing", WISH(ATTACH, .only_key = KEY_E), .life = "untethered",
	 .before = "running d=held e=none", .status = GUESTLOCK_UNTETHERED, .after = AS_BEFORE,
	 .says = "gets no new lock"},
	{"without its tether it still releases", WISH(DETACH, .only_key = KEY_E), .life = "untethered",
	 .before = "running d=held e=held",
	 PLAY("save running/detach d=held e=dropping(held-none)", "release e", "save"),
	 .after = "running d=held"},
	{"a dead guest gets nothing", WISH(ACQUIRE), .before = "bound d=none", .life = "dead",
	 PLAY("save dead/shutdown d=dropping(none-none)", "release d", "remove"), .status = GUESTLOCK_DEAD},
	{"a wish that the table rejects", WISH(DETACH, .only_key = KEY_E),
	 .before = "migrating-out d=handover", .status = GUESTLOCK_REJECTED, .after = AS_BEFORE,
	 .says = "complete or cancel it first"},
	{"a wish that is fulfilled already", WISH(PREPARE), .before = "migrating-out d=handover",
	 .after = AS_BEFORE},
	{"shutdown of what lives", WISH(SHUTDOWN), .before = "running d=held", .status = GUESTLOCK_ALIVE,
	 .after = AS_BEFORE},
	{"shutdown of what lives, by force", WISH(SHUTDOWN, .force = true), .before = "running d=held e=none",
	 PLAY("save running/shutdown d=dropping(held-none) e=dropping(none-none)", "release d e", "remove")},
	{"what is to be done on loss goes with the locks", WISH(ACQUIRE),
	 .before = "bound on_lockfailure=pause d=none",
	 PLAY("save bound/acquire on_lockfailure=pause d=intent(none-held)",
	      "acquire d=exclusive on loss pause -> granted d#1", "save"),
	 .after = "running on_lockfailure=pause d=held#1"},

	/* Nothing but a judgement. */
	{"a probe takes and writes nothing", WISH(ACQUIRE, .probe = true), .before = "bound d=none f=none*",
	 PLAY("acquire d=exclusive f=exclusive probe"), .after = AS_BEFORE},
	{"a probe says who is in the way", WISH(ATTACH, .only_key = KEY_E, .probe = true),
	 .before = "running d=held e=none", PLAY("acquire e=exclusive probe -> busy e@db"),
	 .status = GUESTLOCK_BUSY, .after = AS_BEFORE, .says = "by guest db"},

	/* Epochs. */
	{"a resume checks the epochs, and needs no new hint", WISH(RESUME),
	 .before = "paused d=parked#5 f=parked#6",
	 PLAY("save paused/resume d=intent(parked-held)#5 f=intent(parked-held)#6",
	      "acquire d=exclusive#5 f=exclusive#6 -> granted d#6 f#7", "save"),
	 .after = "running d=held#6 f=held#7"},
	{"somebody wrote meanwhile", WISH(RESUME), .before = "paused d=parked#5",
	 PLAY("save paused/resume d=intent(parked-held)#5", "acquire d=exclusive#5 -> stale", "save"),
	 .status = GUESTLOCK_STALE, .after = AS_BEFORE},
	{"nobody can tell: strict", WISH(RESUME), .before = "paused d=parked#5",
	 PLAY("save paused/resume d=intent(parked-held)#5", "acquire d=exclusive#5 -> unproven", "save"),
	 .status = GUESTLOCK_UNPROVEN, .after = AS_BEFORE, .says = "wrote disk /d meanwhile"},
	{"nobody can tell: off, of just those", WISH(RESUME), .resume_check_off = true,
	 .before = "paused d=parked#5 e=parked#6",
	 PLAY("save paused/resume d=intent(parked-held)#5 e=intent(parked-held)#6",
	      "acquire d=exclusive#5 e=exclusive#6 -> unproven e",
	      "acquire d=exclusive#5 e=exclusive -> granted d#6 e#1", "save"),
	 .after = "running d=held#6 e=held#1", .logs = "nobody wrote disk /e"},
	{"an epoch that was given up: strict", WISH(RESUME), .before = "paused handed-over d=parked",
	 .status = GUESTLOCK_UNPROVEN, .after = AS_BEFORE, .says = "its epoch is not known"},
	{"an epoch that was given up: off", WISH(RESUME), .resume_check_off = true,
	 .before = "paused handed-over d=parked",
	 PLAY("save paused/resume handed-over d=intent(parked-held)", "acquire d=exclusive -> granted d#9",
	      "save"),
	 .after = "running d=held#9"},
	{"a backend without epochs: strict", WISH(RESUME), .without = GUESTLOCK_CAP_EPOCH,
	 .before = "paused d=parked", .status = GUESTLOCK_UNPROVEN, .after = AS_BEFORE},
	{"the state that is given counts, not the record's", WISH(ACQUIRE), .state = "d#4",
	 .before = "bound d=none e=none",
	 PLAY("save bound/acquire d=intent(none-held) e=intent(none-held)",
	      "acquire d=exclusive#4 e=exclusive -> granted d#5 e#1", "save"),
	 .after = "running d=held#5 e=held#1"},
	{"a state without an epoch: strict", WISH(ACQUIRE), .state = "d", .before = "bound d=none",
	 .status = GUESTLOCK_UNPROVEN, .after = AS_BEFORE},
	{"a guest that runs already is not checked", WISH(ACQUIRE, .unchecked = true),
	 .before = "lost d=parked#5",
	 PLAY("save lost/acquire d=intent(parked-held)#5", "acquire d=exclusive -> granted d#9", "save"),
	 .after = "running d=held#9"},

	/* Both ends of a migration. */
	{"the source hands over what is exclusive", WISH(PREPARE),
	 .before = "running g=held d=held#5 s=held#6",
	 PLAY("save running/prepare-migrate g=intent(held-handover) d=intent(held-handover)#5 s=held#6",
	      "convert g=handover d=handover -> granted g d#5", "save"),
	 .after = "migrating-out g=handover d=handover#5 s=held#6"},
	{"the target takes for handover what is exclusive", WISH(ACQUIRE),
	 .before = "bound migrate d=none s=none",
	 PLAY("save bound/acquire migrate d=intent(none-handover) s=intent(none-held)",
	      "acquire d=handover s=shared -> granted d#5 s#6", "save"),
	 .after = "migrating-in migrate d=handover#5 s=held#6"},
	{"the target completes: the epoch moves", WISH(COMPLETE_IN),
	 .before = "migrating-in migrate d=handover#5",
	 PLAY("save migrating-in/complete-in migrate d=intent(handover-held)#5",
	      "convert d=exclusive take-over -> granted d#6", "save"),
	 .after = "running migrate d=held#6"},
	{"the target completes first", WISH(COMPLETE_IN), .before = "migrating-in migrate d=handover#5",
	 PLAY("save migrating-in/complete-in migrate d=intent(handover-held)#5",
	      "convert d=exclusive take-over -> busy d@web", "save"),
	 .after = "running/complete-in migrate d=handover#5"},
	{"the target completes, and somebody else is there", WISH(COMPLETE_IN),
	 .before = "migrating-in migrate d=handover#5",
	 PLAY("save migrating-in/complete-in migrate d=intent(handover-held)#5",
	      "convert d=exclusive take-over -> busy d@db", "save"),
	 .status = GUESTLOCK_BUSY, .after = AS_BEFORE},
	{"the source gives up", WISH(COMPLETE_OUT), .before = "migrating-out d=handover#5",
	 PLAY("save migrating-out/complete-out d=dropping(handover-parked)#5",
	      "release d park -> granted d#5", "save"),
	 .after = "paused handed-over d=parked"},
	{"the source takes back", CANCEL, .before = "migrating-out d=handover#5",
	 PLAY("save migrating-out/cancel-out d=intent(handover-held)#5", "convert d=exclusive -> granted d#5",
	      "save"),
	 .after = "running d=held#5"},
	{"a paused source takes back, and is paused", CANCEL,
	 .before = "migrating-out was-paused d=handover#5",
	 PLAY("save migrating-out/cancel-out was-paused d=intent(handover-held)#5",
	      "convert d=exclusive -> granted d#5", "save paused d=held#5",
	      "save paused/pause d=dropping(held-parked)#5", "release d park", "save"),
	 .after = "paused d=parked#5"},
	{"a paused guest is handed over if nobody wrote", PREPARE, .before = "paused d=parked#5 e=held#6",
	 PLAY("save paused/prepare-migrate was-paused d=intent(parked-handover)#5 e=held#6",
	      "acquire d=handover#5 -> granted d#5", "save migrating-out was-paused d=handover#5 e=held#6",
	      "save migrating-out/prepare-migrate was-paused d=handover#5 e=intent(held-handover)#6",
	      "convert e=handover -> granted e#6", "save"),
	 .after = "migrating-out was-paused d=handover#5 e=handover#6"},
	{"a paused guest is not handed over if somebody wrote", PREPARE, .before = "paused d=parked#5",
	 PLAY("save paused/prepare-migrate was-paused d=intent(parked-handover)#5",
	      "acquire d=handover#5 -> stale", "save"),
	 .status = GUESTLOCK_STALE, .after = "paused d=parked#5"},

	/* Stopping and continuing. */
	{"a pause stops the guest before it releases", PAUSE, .before = "running d=held#5",
	 PLAY("save running stopped d=held#5", "stop", "flush",
	      "save running/pause stopped d=dropping(held-parked)#5", "release d park", "save"),
	 .after = "paused stopped d=parked#5"},
	{"a guest that cannot be stopped keeps its locks", PAUSE, .before = "running d=held#5",
	 PLAY("save running stopped d=held#5", "stop -> denied", "continue", "save"),
	 .status = GUESTLOCK_DENIED, .after = AS_BEFORE, .says = "could be stopped (pid 7, writer)"},
	{"one that cannot be continued stays known as stopped", PAUSE, .before = "running d=held#5",
	 PLAY("save running stopped d=held#5", "stop -> denied", "continue -> denied"),
	 .status = GUESTLOCK_DENIED, .after = "running stopped d=held#5", .logs = "could not be continued"},
	{"one of which nobody is seen from here stays known as stopped", PAUSE, .before = "running d=held#5",
	 PLAY("save running stopped d=held#5", "stop -> denied", "continue -> nobody"),
	 .status = GUESTLOCK_DENIED, .after = "running stopped d=held#5", .logs = "seen from here"},
	{"what cannot be written keeps the locks, and the guest goes on", PAUSE,
	 .before = "running d=held#5 e=held#6",
	 PLAY("save running stopped d=held#5 e=held#6", "stop", "flush -> full", "continue", "save"),
	 .status = GUESTLOCK_CANNOT_CREATE, .after = AS_BEFORE, .says = "is not all on the storage"},
	{"a guest that lost a lock is stopped, too", PAUSE, .before = "lost d=held#5",
	 PLAY("save lost stopped d=held#5", "stop", "flush",
	      "save lost/pause stopped d=dropping(held-parked)#5", "release d park", "save"),
	 .after = "paused stopped d=parked#5"},
	{"a guest with a control group of its own is frozen, which is noted first", PAUSE,
	 .before = "running d=held#5",
	 PLAY("save running stopped d=held#5", "stop", "own", "save running stopped frozen d=held#5",
	      "freeze", "flush", "save running/pause stopped frozen d=dropping(held-parked)#5",
	      "release d park", "save"),
	 .after = "paused stopped frozen d=parked#5"},
	{"one that does not freeze is stopped alone", PAUSE, .before = "running d=held#5",
	 PLAY("save running stopped d=held#5", "stop", "own", "save running stopped frozen d=held#5",
	      "freeze -> hangs", "thaw", "flush", "save running/pause stopped d=dropping(held-parked)#5",
	      "release d park", "save"),
	 .after = "paused stopped d=parked#5"},
	{"one that cannot be noted is not frozen", PAUSE, .before = "running d=held#5",
	 PLAY("save running stopped d=held#5", "stop", "own", "save running stopped frozen d=held#5 -> io",
	      "thaw", "flush", "save running/pause stopped d=dropping(held-parked)#5", "release d park",
	      "save"),
	 .after = "paused stopped d=parked#5"},
	{"what a killed pause froze is thawed, and then continued", BEGIN,
	 .before = "running stopped frozen d=held#5", PLAY("thaw", "continue", "save"),
	 .after = "running d=held#5"},
	{"what cannot be thawed is tried again by who looks next", BEGIN,
	 .before = "running stopped frozen d=held#5", PLAY("thaw -> denied"), .after = AS_BEFORE,
	 .logs = "could not be thawed"},
	{"a dead guest leaves nothing frozen", BEGIN, .before = "paused stopped frozen d=parked#5",
	 .life = "dead",
	 PLAY("thaw", "save dead/shutdown stopped d=dropping(parked-none)#5", "release d", "remove")},
	{"a guest with a monitor is told to stop, and then it is stopped", PAUSE,
	 .before = "running qmp=/m d=held#5",
	 PLAY("monitor", "status -> runs", "save running stopped halted qmp=/m d=held#5", "tell stop",
	      "status -> stands", "stop", "flush",
	      "save running/pause stopped halted qmp=/m d=dropping(held-parked)#5", "release d park", "save"),
	 .after = "paused stopped halted qmp=/m d=parked#5"},
	{"one whose processors stand still already is left so", PAUSE, .before = "running qmp=/m d=held#5",
	 PLAY("monitor", "status -> stands", "save running stopped qmp=/m d=held#5", "stop", "flush",
	      "save running/pause stopped qmp=/m d=dropping(held-parked)#5", "release d park", "save"),
	 .after = "paused stopped qmp=/m d=parked#5"},
	{"a monitor that hangs keeps the locks", PAUSE, .before = "running qmp=/m d=held#5",
	 PLAY("monitor -> hangs"), .status = GUESTLOCK_TIMEOUT, .after = AS_BEFORE,
	 .says = "its monitor /m hangs; its locks are kept"},
	{"one that may not be asked", PAUSE, .before = "running qmp=/m d=held#5", PLAY("monitor -> denied"),
	 .status = GUESTLOCK_DENIED, .after = AS_BEFORE, .says = "its monitor /m denied"},
	{"one that hangs as it is told: the guest goes on", PAUSE, .before = "running qmp=/m d=held#5",
	 PLAY("monitor", "status -> runs", "save running stopped halted qmp=/m d=held#5",
	      "tell stop -> hangs", "continue", "monitor", "tell cont", "save"),
	 .status = GUESTLOCK_TIMEOUT, .after = AS_BEFORE, .says = "its monitor /m hangs"},
	{"one that says that it is done, and is not", PAUSE, .before = "running qmp=/m d=held#5",
	 PLAY("monitor", "status -> runs", "save running stopped halted qmp=/m d=held#5", "tell stop",
	      "status -> runs", "continue", "monitor", "tell cont", "save"),
	 .status = GUESTLOCK_UNAVAILABLE, .after = AS_BEFORE, .says = "and then that it runs"},
	{"one that does not have it go on: whoever looks tries again", PAUSE,
	 .before = "running qmp=/m d=held#5",
	 PLAY("monitor", "status -> runs", "save running stopped halted qmp=/m d=held#5",
	      "tell stop -> hangs", "continue", "monitor -> hangs"),
	 .status = GUESTLOCK_TIMEOUT, .after = "running stopped halted qmp=/m d=held#5",
	 .logs = "could not be continued: its monitor /m hangs"},
	{"and it goes on then", BEGIN, .before = "running stopped halted qmp=/m d=held#5",
	 PLAY("continue", "monitor", "tell cont", "save"), .after = "running qmp=/m d=held#5"},
	{"what cannot be written: also its processors go on", PAUSE, .before = "running qmp=/m d=held#5",
	 PLAY("monitor", "status -> runs", "save running stopped halted qmp=/m d=held#5", "tell stop",
	      "status -> stands", "stop", "flush -> full", "continue", "monitor", "tell cont", "save"),
	 .status = GUESTLOCK_CANNOT_CREATE, .after = AS_BEFORE},
	{"a process that cannot be stopped: also its processors go on", PAUSE,
	 .before = "running qmp=/m d=held#5",
	 PLAY("monitor", "status -> runs", "save running stopped halted qmp=/m d=held#5", "tell stop",
	      "status -> stands", "stop -> denied", "continue", "monitor", "tell cont", "save"),
	 .status = GUESTLOCK_DENIED, .after = AS_BEFORE},
	{"one that lost a lock has no time to write", PAUSE, .before = "lost qmp=/m d=held#5",
	 PLAY("save lost stopped qmp=/m d=held#5", "stop", "flush",
	      "save lost/pause stopped qmp=/m d=dropping(held-parked)#5", "release d park", "save"),
	 .after = "paused stopped qmp=/m d=parked#5"},
	{"a monitor whose guest is stopped is not asked again", PAUSE,
	 .before = "paused stopped halted qmp=/m d=parked#5 e=held#6",
	 PLAY("stop", "flush", "save paused/pause stopped halted qmp=/m d=parked#5 e=dropping(held-parked)#6",
	      "release e park", "save"),
	 .after = "paused stopped halted qmp=/m d=parked#5 e=parked#6"},
	{"one that was stopped by others is, when that is not said again", PAUSE,
	 .before = "paused qmp=/m d=parked#5 e=held#6",
	 PLAY("monitor", "status -> stands", "save paused stopped qmp=/m d=parked#5 e=held#6", "stop",
	      "flush", "save paused/pause stopped qmp=/m d=parked#5 e=dropping(held-parked)#6",
	      "release e park", "save"),
	 .after = "paused stopped qmp=/m d=parked#5 e=parked#6"},
	{"a resume tells the monitor as the last", RESUME,
	 .before = "paused stopped halted qmp=/m d=parked#5",
	 PLAY("save paused/resume stopped halted qmp=/m d=intent(parked-held)#5",
	      "acquire d=exclusive#5 -> granted d#6", "save running stopped halted qmp=/m d=held#6",
	      "continue", "monitor", "tell cont", "save"),
	 .after = "running qmp=/m d=held#6"},
	{"a paused guest is looked at again", PAUSE, .before = "paused stopped d=parked#5 e=held#6",
	 PLAY("stop", "flush", "save paused/pause stopped d=parked#5 e=dropping(held-parked)#6",
	      "release e park", "save"),
	 .after = "paused stopped d=parked#5 e=parked#6"},
	{"a guest without its tether is not paused", PAUSE, .before = "running d=held#5",
	 .life = "untethered", .status = GUESTLOCK_UNTETHERED, .after = AS_BEFORE,
	 .says = "say that it is stopped"},
	{"but one that is paused is resumed", RESUME, .before = "paused d=parked#5", .life = "untethered",
	 PLAY("save paused/resume d=intent(parked-held)#5", "acquire d=exclusive#5 -> granted d#6", "save"),
	 .after = "running d=held#6"},
	{"and gets nothing new", WISH(ATTACH), .before = "paused d=parked#5 e=none", .life = "untethered",
	 .status = GUESTLOCK_UNTETHERED, .after = AS_BEFORE},
	{"a pause that is refused continues the guest", PAUSE, .before = "running d=held#5",
	 PLAY("save running stopped d=held#5", "stop", "flush",
	      "save running/pause stopped d=dropping(held-parked)#5", "release d park -> denied",
	      "save running stopped d=held#5", "continue", "save"),
	 .status = GUESTLOCK_DENIED, .after = AS_BEFORE},
	{"a guest that is dead when it is to be stopped", PAUSE, .before = "running d=held#5",
	 .life = "alive dead",
	 PLAY("save running stopped d=held#5", "save dead/shutdown stopped d=dropping(held-none)#5",
	      "release d", "remove"),
	 .status = GUESTLOCK_DEAD},
	{"a resume continues the guest when it holds everything", RESUME,
	 .before = "paused stopped d=parked#5",
	 PLAY("save paused/resume stopped d=intent(parked-held)#5", "acquire d=exclusive#5 -> granted d#6",
	      "save running stopped d=held#6", "continue", "save"),
	 .after = "running d=held#6"},
};

/* ---- Outcomes: what the table's row does to the record ---- */

static const struct row outcomes[] = {
	{"done at the start: it runs", OUTCOME(DONE), .before = "bound/acquire d=held#1", PLAY("save"),
	 .after = "running d=held#1"},
	{"done at the target: it arrives", OUTCOME(DONE), .before = "bound/acquire migrate d=handover",
	 PLAY("save"), .after = "migrating-in migrate d=handover"},
	{"refused at the start: what is not held waits", OUTCOME(REFUSED), .before = "bound/acquire d=none",
	 PLAY("save"), .after = "bound d=none"},
	{"refused while it runs: what is not held goes", OUTCOME(REFUSED),
	 .before = "running/acquire d=held f=none", PLAY("unhint f", "save"), .after = "running d=held"},
	{"unsure: nothing changes", OUTCOME(UNSURE),
	 .before = "running/pause stopped d=unknown(held-parked) e=none", PLAY("save"), .after = AS_BEFORE},
	{"a pause before the start: still bound", OUTCOME(DONE), .before = "bound/pause d=parked#1 e=none",
	 PLAY("save"), .after = "bound d=parked#1 e=none"},
	{"a pause while it was lost: paused", OUTCOME(DONE), .before = "lost/pause d=parked#1", PLAY("save"),
	 .after = "paused d=parked#1"},
	{"a resume forgets that it was handed over", OUTCOME(DONE),
	 .before = "paused/resume handed-over d=held#1", PLAY("save"), .after = "running d=held#1"},
	{"a refused resume does not", OUTCOME(REFUSED), .before = "paused/resume handed-over d=parked",
	 PLAY("save"), .after = "paused handed-over d=parked"},
	{"prepared: that it was paused is remembered", OUTCOME(DONE),
	 .before = "paused/prepare-migrate was-paused d=handover#5", PLAY("save"),
	 .after = "migrating-out was-paused d=handover#5"},
	{"cancelled: paused as before", OUTCOME(DONE),
	 .before = "migrating-out/cancel-out was-paused d=held#5", PLAY("save"), .after = "paused d=held#5"},
	{"the target gave everything back: bound again", OUTCOME(DONE),
	 .before = "migrating-in/cancel-in migrate d=none", PLAY("save"), .after = "bound migrate d=none"},
	{"shut down: the record goes", OUTCOME(DONE), .before = "running/shutdown d=none f=none",
	 PLAY("unhint f", "remove")},
	{"a record that cannot be removed stays", OUTCOME(DONE), .before = "running/shutdown d=none",
	 PLAY("remove -> io"), .status = GUESTLOCK_IO, .after = AS_BEFORE},
	{"nothing is pending", OUTCOME(DONE), .before = "running d=held", .status = GUESTLOCK_FAILED,
	 .after = AS_BEFORE, .says = "no operation is pending"},
};

/* ---- Waiting for who is in the way ---- */

static const struct row waiting[] = {
	{"nobody is in the way", WAIT(1000), PLAY("attempt")},
	{"another error is told at once", WAIT(1000), PLAY("attempt -> stale"), .status = GUESTLOCK_STALE},
	{"a holder that is dead is settled first, even without waiting", WAIT(0), .other = "running d=held#5",
	 .other_life = "dead",
	 PLAY("attempt -> busy @db", "db save dead/shutdown d=dropping(held-none)#5", "db release d",
	      "db remove", "attempt")},
	{"what a holder left unfinished is settled", WAIT(0), .other = "bound/acquire d=intent(none-held)",
	 PLAY("attempt -> busy @db", "db inquire d -> held d=exclusive#1", "db release d park undo",
	      "db save bound d=none", "attempt")},
	{"a dead holder is settled once, then waited for, and named", WAIT(1500), .other = "running d=held#5",
	 .other_life = "dead",
	 PLAY("attempt -> busy @db", "db save dead/shutdown d=dropping(held-none)#5", "db release d -> io",
	      "db save dead d=held#5", "attempt -> busy @db", "pause", "attempt -> busy @db", "pause",
	      "attempt"),
	 .logs = "waits up to 1.500 s: cannot lock disk /d: it is held (exclusive) by guest db (" DB ")"},
	{"a holder that lives is waited for until the time is up", WAIT(1000), .other = "running d=held#5",
	 PLAY("attempt -> busy @db", "pause", "attempt -> busy @db", "pause -> over"),
	 .status = GUESTLOCK_BUSY, .says = "by guest db", .logs = "waits up to"},
	{"the former life of the holder is not the one of the record", WAIT(0), .other = "running d=held#5",
	 .other_life = "dead", PLAY("attempt -> busy @former-db", "pause -> over"), .status = GUESTLOCK_BUSY},
	{"a holder of another host is left to it", WAIT(0), PLAY("attempt -> busy @db", "pause -> over"),
	 .status = GUESTLOCK_BUSY, .says = "by guest db"},
	{"a holder that nobody knows", WAIT(0), PLAY("attempt -> busy", "pause -> over"),
	 .status = GUESTLOCK_BUSY},
};

/* ---- Running them ---- */

static void check_error(const struct row *row, const struct guestlock_error *err)
{
	ck_assert_msg((int)err->code == row->status, "%s: the error is \"%s\" instead of \"%s\" (%s)",
		      row->name, guestlock_status_text((int)err->code), guestlock_status_text(row->status),
		      err->message);
	ck_assert_msg((row->status == GUESTLOCK_OK) == (err->message[0] == '\0'), "%s: the message is \"%s\"",
		      row->name, err->message);
	ck_assert_msg(strstr(err->message, row->says ? row->says : ""), "%s: no \"%s\" in the message \"%s\"",
		      row->name, row->says, err->message);
}

static void run_row(const struct row *row)
{
	struct guestlock_error err = {0};

	/* The second time as for a caller who does not want to know why. */
	for (int times = 0; times < 2; times++) {
		int status;

		world_begin(row);
		status = row->ask(row, times == 0 ? &err : NULL);
		ck_assert_msg(status == row->status, "%s: the status is \"%s\" instead of \"%s\" (%s)",
			      row->name, guestlock_status_text(status), guestlock_status_text(row->status),
			      err.message);
		world_end();
		ck_assert_msg(!row->logs || world_logged(row->logs) == 1, "%s: \"%s\" is %u times in the log",
			      row->name, row->logs, world_logged(row->logs));
	}
	check_error(row, &err);
}

START_TEST(beginning_goes_by_its_row)
{
	run_row(&beginning[_i]);
}
END_TEST

START_TEST(unfinished_goes_by_its_row)
{
	run_row(&unfinished[_i]);
}
END_TEST

START_TEST(wishes_go_by_their_row)
{
	run_row(&wishes[_i]);
}
END_TEST

START_TEST(outcomes_go_by_their_row)
{
	run_row(&outcomes[_i]);
}
END_TEST

START_TEST(waiting_goes_by_its_row)
{
	run_row(&waiting[_i]);
}
END_TEST

static Suite *operation_suite(void)
{
	Suite *suite = suite_create("operation");
	TCase *tcase = tcase_create("rows");

	tcase_add_loop_test(tcase, beginning_goes_by_its_row, 0, GL_COUNT(beginning));
	tcase_add_loop_test(tcase, unfinished_goes_by_its_row, 0, GL_COUNT(unfinished));
	tcase_add_loop_test(tcase, wishes_go_by_their_row, 0, GL_COUNT(wishes));
	tcase_add_loop_test(tcase, outcomes_go_by_their_row, 0, GL_COUNT(outcomes));
	tcase_add_loop_test(tcase, waiting_goes_by_its_row, 0, GL_COUNT(waiting));
	suite_add_tcase(suite, tcase);
	return suite;
}

/* A program of its own: what the linker replaces here, the other suites need as it is. */
int main(void)
{
	SRunner *runner = srunner_create(operation_suite());
	int run, failed;

	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	run = srunner_ntests_run(runner);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return run > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
