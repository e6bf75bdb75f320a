/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest is losing its locks: within the time that the technology leaves, it is paused, or killed, by
 * libvirt if that started it, and by ourselves if that does not help. What hangs is given up.
 */
#include "base/base.h"
#include "base/error.h"
#include "guest/guest.h"
#include "lost.h"
#include "operation/loss.h"
#include "shared/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <syslog.h>

/* What we are called before happens after so many seconds: whatever hangs, it must not be this program. */
#define SECONDS_MAX 3600
#define LEAVE_S 5      /* for who comes after us, who does worse */
#define LEAVE_TRY_S 12 /* for killing what could not be paused, and for that one */
#define VIRSH_MS 10000 /* at most, and at most half of what there is */
#define RETRY_MS 500
#define KILL_WAIT_MS 5000

/* ---- The guest ---- */

struct loss {
	const char *run_dir, *action;
	char uuid[GUESTLOCK_UUID_STRING];
	struct gl_life life; /* that is losing its locks; a later one has its own */
	bool pause;          /* else it is killed */
	struct guestlock *gl;
	bool dead;
	char *uri; /* "": libvirt does not know it */
	int64_t begun_ms;
	int64_t try_ms; /* from then on */
};

static bool is_over(const struct guestlock_info *info, const struct loss *loss)
{
	return info->instance != loss->life.instance || info->life == GUESTLOCK_LIFE_DEAD ||
	       (loss->pause && info->state == GUESTLOCK_GUEST_PAUSED && !info->pending[0]);
}

/* Is there nothing left to lose? A guest without a record has no locks of ours. */
static bool is_done(struct loss *loss)
{
	struct guestlock_info *info = NULL;
	struct guestlock_error err = {0};
	int status = guestlock_get_info(loss->gl, loss->uuid, &info, &err);
	bool done = status == GUESTLOCK_OK ? is_over(info, loss) : status == GUESTLOCK_NOT_FOUND;

	loss->dead = status == GUESTLOCK_NOT_FOUND || (done && info->life == GUESTLOCK_LIFE_DEAD) ||
		     (done && info->instance != loss->life.instance);
	guestlock_info_free(info);
	return done;
}

static bool wait_until_done(struct loss *loss, int64_t deadline_ms)
{
	for (unsigned attempt = 0; !is_done(loss); attempt++) {
		if (!gl_pause_before_retry(attempt, 50, deadline_ms)) {
			return false;
		}
	}
	return true;
}

static int pause_once(const struct loss *loss, bool stopped, struct guestlock_error *err)
{
	struct guestlock_guest *guest = NULL;
	int status = guestlock_guest_new(loss->gl, GUESTLOCK_NEW_ATTACH, &guest, err);

	if (status == GUESTLOCK_OK) {
		status = guestlock_guest_set_param(guest, "uuid", loss->uuid, err);
	}
	if (status == GUESTLOCK_OK) {
		status = guestlock_guest_set_life(guest, loss->life.instance, 0, err);
	}
	if (status == GUESTLOCK_OK) {
		/* libvirt has QEMU flush its disks when it stops. */
		status = guestlock_guest_pause(
			guest, stopped ? GUESTLOCK_EXTERNALLY_STOPPED | GUESTLOCK_EXTERNALLY_FLUSHED : 0,
			NULL, err);
	}
	guestlock_guest_free(guest);
	return status;
}

/*
 * Another operation may be in its last seconds, and the backend too: not once, but as long as there is
 * time.
 */
static bool pause_guest(struct loss *loss, bool stopped)
{
	int64_t deadline_ms = loss->begun_ms + loss->try_ms;
	char last[sizeof(((struct guestlock_error *)0)->message)] = "";

	for (;;) {
		struct guestlock_error err = {0};

		if (pause_once(loss, stopped, &err) == GUESTLOCK_OK || is_done(loss)) {
			return true;
		}
		if (strcmp(last, err.message) != 0) {
			gl_copy_cut(last, sizeof(last), err.message);
			lost_say(GUESTLOCK_LOG_WARNING, "guest %s is not paused yet: %s", loss->uuid,
				 err.message);
		}
		if (guestlock_monotonic_ms() + RETRY_MS >= deadline_ms) {
			return false;
		}
		poll(NULL, 0, RETRY_MS);
	}
}

static bool act_by_ourselves(struct loss *loss, bool stopped)
{
	return loss->pause ? pause_guest(loss, stopped)
			   : gl_guest_kill(loss->gl, loss->uuid, &loss->life, NULL,
					   guestlock_monotonic_ms() + KILL_WAIT_MS);
}

/* Through libvirt, so that it knows; and if that does not lead to anything, past it. */
static bool act(struct loss *loss)
{
	bool told;

	if (!loss->uri[0]) {
		return act_by_ourselves(loss, false);
	}
	told = lost_virsh(loss->uri, loss->pause ? "suspend" : "destroy", loss->uuid,
			  loss->try_ms / 2 < VIRSH_MS ? (int)(loss->try_ms / 2) : VIRSH_MS);
	if (told && wait_until_done(loss, guestlock_monotonic_ms() + 2000)) {
		return true;
	}
	lost_say(GUESTLOCK_LOG_WARNING, "libvirt has not done it: guest %s is %s without it", loss->uuid,
		 loss->pause ? "paused" : "killed");
	return act_by_ourselves(loss, told && loss->pause);
}

/* What is known of it, and how that came about. */
static int open_guest(struct loss *loss, struct guestlock_error *err)
{
	GL_AUTOFREE char *run_dir = strdup(loss->run_dir);
	const struct gl_store store = {.run_dir = run_dir};
	struct gl_record *record = NULL;
	int status = run_dir ? gl_store_load(&store, loss->uuid, &record, err) : gl_fail_memory(err);

	if (status < 0) {
		return status;
	}
	status = gl_set_string(&loss->uri, gl_record_param(record, "uri")) == 0
			 ? gl_loss_open(loss->run_dir, record, lost_log, &loss->gl, err)
			 : gl_fail_memory(err);
	gl_record_free(record);
	return status;
}

static int run(struct loss *loss)
{
	struct guestlock_error err = {0};
	bool done;

	if (open_guest(loss, &err) < 0) {
		lost_say(GUESTLOCK_LOG_ERROR, "guest %s is losing its locks, and nothing can be done: %s",
			 loss->uuid, err.message);
		return EXIT_FAILURE;
	}
	done = is_done(loss);
	if (!done) {
		lost_say(GUESTLOCK_LOG_WARNING, "guest %s is losing its locks: %s", loss->uuid, loss->action);
		done = act(loss);
	}
	if (done) {
		lost_say(GUESTLOCK_LOG_WARNING, "guest %s %s", loss->uuid,
			 loss->dead && loss->pause ? "is dead"
			 : loss->pause ? "is paused and its locks are released; resume it when they can be "
					 "taken again"
				       : "is powered off");
	} else {
		lost_say(GUESTLOCK_LOG_ERROR, "guest %s could not be %s; it will be killed", loss->uuid,
			 loss->pause ? "paused" : "powered off");
	}
	guestlock_close(loss->gl);
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- The process ---- */

/*
 * Whoever called us is no program of ours: nothing of it must get into a keeper that we start, or stand in
 * our way.
 */
static void prepare_process(unsigned seconds)
{
	sigset_t none;

	close_range(STDERR_FILENO + 1, ~0U, 0);
	fill_standard_descriptors(O_RDWR, O_RDWR);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGALRM, SIG_DFL);
	alarm(seconds - LEAVE_S);
	umask(077);
	if (chdir("/") < 0) {
		lost_say(GUESTLOCK_LOG_DEBUG, "cannot go to /: %s", strerror(errno));
	}
	/* The guest's record says which one. */
	unsetenv("GUESTLOCK_CONFIG");
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 0);
	openlog("guestlock-lost", LOG_PID, LOG_DAEMON);
}

static int usage(FILE *stream, int status)
{
	fputs("Usage: guestlock-lost RUN_DIR UUID INSTANCE pause|poweroff SECONDS\n\n"
	      "Called by a lock technology when a guest is about to lose its locks. Pauses the guest and "
	      "releases its\n"
	      "locks, or kills it, within SECONDS.\n",
	      stream);
	return status;
}

int main(int argc, char **argv)
{
	struct loss loss = {.begun_ms = guestlock_monotonic_ms()};
	uint64_t seconds = 0;
	int status;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		return usage(stdout, EX_OK);
	}
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("guestlock-lost %s\n", guestlock_version());
		return EX_OK;
	}
	if (argc != 6 || argv[1][0] != '/' || !gl_uuid_parse(argv[2], loss.uuid) ||
	    !gl_parse_u64(argv[3], 16, &loss.life.instance) || loss.life.instance == 0 ||
	    (strcmp(argv[4], "pause") != 0 && strcmp(argv[4], "poweroff") != 0) ||
	    !gl_parse_u64(argv[5], 10, &seconds) || seconds < GUESTLOCK_LOSS_SECONDS ||
	    seconds > SECONDS_MAX) {
		return usage(stderr, EX_USAGE);
	}
	loss.run_dir = argv[1];
	loss.action = argv[4];
	loss.pause = strcmp(argv[4], "pause") == 0;
	loss.try_ms = ((int64_t)seconds - LEAVE_TRY_S) * 1000;
	prepare_process((unsigned)seconds);
	status = run(&loss);
	free(loss.uri);
	return status;
}
