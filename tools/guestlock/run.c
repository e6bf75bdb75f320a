/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* run: starts a guest once its locks are held, and stays beside it until it ends. */
#include "cli.h"
#include "signals.h"

#include <errno.h>
#include <guestlock/backend.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The first pause between two attempts to start, and the longest. */
#define RETRY_FIRST_MS 20
#define RETRY_LAST_MS 250
/*
 * How long after the command's end the last process of the guest may take to vanish before it is said to
 * stay.
 */
#define VANISH_MS 200
/* How long the processes that the command leaves may take to close what they inherited. */
#define SETTLE_MS 300

struct run {
	struct cli_guest guest;
	bool incoming;
	int wait_ms;
	const char *state; /* as acquire checks it, or NULL */
	char **argv;
};

static void run_clear(struct run *run)
{
	free(run->guest.params);
	cli_resources_clear(&run->guest.resources);
}

static int take_param(const struct cli *cli, void *place, const char *text)
{
	const char *equals = strchr(text, '=');
	struct cli_guest *guest = place;

	if (!equals || equals == text) {
		return cli_usage(cli, "--param wants KEY=VALUE, not \"%s\"", text);
	}
	guest->params = cli_need(reallocarray(guest->params, guest->n_params + 1, sizeof(guest->params[0])));
	guest->params[guest->n_params++] = text;
	return 0;
}

/* The parameter that libvirt's <on_lockfailure> sets, too. */
static int take_loss_action(const struct cli *cli, void *place, const char *action)
{
	if (strcmp(action, "pause") == 0) {
		return take_param(cli, place, "on_lockfailure=pause");
	}
	if (strcmp(action, "poweroff") == 0) {
		return take_param(cli, place, "on_lockfailure=poweroff");
	}
	return cli_usage(cli, "--on-lock-loss wants pause or poweroff, not \"%s\"", action);
}

const struct cli_option cli_run_options[] = {
	CLI_GUEST_OPTIONS(offsetof(struct run, guest), "the guest's uuid; made up if missing"),
	{0, "param", "KEY=VALUE", "something to keep in the guest's record", take_param,
	 offsetof(struct run, guest)},
	{0, "qmp", "SOCKET", "a monitor of its QEMU, by which pause stops it", cli_take_text,
	 offsetof(struct run, guest.qmp)},
	CLI_RESOURCE_OPTIONS(offsetof(struct run, guest.resources)),
	CLI_WAIT_OPTION(offsetof(struct run, wait_ms)),
	{0, "incoming", NULL, "the guest arrives by migration from another host", cli_take_flag,
	 offsetof(struct run, incoming)},
	{0, "state", "STATE", "what pause printed of it, here or on another host", cli_take_text,
	 offsetof(struct run, state)},
	{0, "on-lock-loss", "ACTION", "pause or poweroff it before a lock of it is lost while it runs",
	 take_loss_action, offsetof(struct run, guest)},
	{0},
};

static int parse(struct cli *cli, int argc, char **argv, struct run *run)
{
	if (cli_parse(cli, argc, argv, run) != 0) {
		return EX_USAGE;
	}
	if (optind >= argc) {
		return cli_usage(cli, "run wants the command that is the guest");
	}
	run->argv = argv + optind;
	return 0;
}

/* ---- What is likely a mistake ---- */

/* Is that one of our options, as in "--disk" or "--disk=PATH"? */
static bool is_own_option(const char *word)
{
	size_t length = strcspn(word, "=");

	for (const struct cli_option *option = cli_run_options; option->name; option++) {
		if (length == strlen(option->name) + 2 && strncmp(word, "--", 2) == 0 &&
		    strncmp(word + 2, option->name, length - 2) == 0) {
			return true;
		}
	}
	return false;
}

/* Who wrote "--" knows whose the options behind it are. */
static void warn_of_mistakes(struct cli *cli, const struct run *run)
{
	bool divided = strcmp(run->argv[-1], "--") == 0;

	for (char **word = run->argv + 1; *word && !divided; word++) {
		if (is_own_option(*word)) {
			cli_log(cli, GUESTLOCK_LOG_WARNING,
				"%s stands behind the command and is the command's; what is for guestlock goes before "
				"it. To say so, write -- before the command",
				*word);
			break;
		}
	}
	if (run->guest.resources.count == 0) {
		cli_log(cli, GUESTLOCK_LOG_WARNING,
			"no disk is named (--disk PATH) and no lease: none is protected from other guests");
	}
}

/* ---- Start ---- */

/*
 * A program in the foreground of a terminal may want to read from it. Any other one is better off in a session of
 * its own, where nobody's end and no shell continues what was paused.
 */
static bool has_terminal(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (isatty(fd) && tcgetpgrp(fd) == getpgrp()) {
			return true;
		}
	}
	return false;
}

/*
 * Two guests of one name cannot be told apart by it. Who says a uuid knows which one is which. OK or BUSY; a guest
 * that began a moment ago may be overlooked.
 */
static int check_name(const struct cli *cli, const struct run *run, struct guestlock_error *err)
{
	CLI_AUTOINFO struct guestlock_info *info = NULL;
	char uuid[GUESTLOCK_UUID_STRING];
	CLI_AUTOFREE char *name = NULL;

	if (!run->guest.made_up[0] || !run->guest.name || !*run->guest.name ||
	    guestlock_find(cli->gl, run->guest.name, uuid, NULL) != GUESTLOCK_OK ||
	    guestlock_get_info(cli->gl, uuid, &info, NULL) != GUESTLOCK_OK || info->damage ||
	    info->life == GUESTLOCK_LIFE_DEAD) {
		return GUESTLOCK_OK;
	}
	name = cli_printable(run->guest.name);
	*err = (struct guestlock_error){.code = GUESTLOCK_BUSY};
	memcpy(err->holder.uuid, uuid, sizeof(uuid));
	snprintf(
		err->message, sizeof(err->message),
		"cannot start guest %.200s: a guest of that name lives here already (%s, pid %d, %s); end it first, give "
		"the new one another name, or a --uuid if both are to have that name",
		name, uuid, (int)info->pid, guestlock_guest_state_name(info->state));
	return GUESTLOCK_BUSY;
}

/*
 * The waiting is done here, and not inside of one call, so that a signal can end it with nothing left
 * behind: between two attempts there is no process and no record of the guest.
 */
static int start(struct cli *cli, struct run *run, struct guestlock_guest **out_guest, pid_t *out_pid,
		 struct guestlock_error *err)
{
	int64_t deadline = guestlock_monotonic_ms() + run->wait_ms;
	char waiting_for[GUESTLOCK_UUID_STRING] = "-";
	int pause_ms = RETRY_FIRST_MS;
	int status;

	for (;;) {
		status =
			cli_new_guest(cli, &run->guest,
				      run->incoming ? GUESTLOCK_NEW_MIGRATE : GUESTLOCK_NEW_START, out_guest);
		if (status != 0) {
			return status;
		}
		if (!has_terminal()) {
			guestlock_guest_set_session(*out_guest);
		}
		status = check_name(cli, run, err);
		if (status == GUESTLOCK_OK) {
			status = guestlock_guest_start(*out_guest, run->argv, run->state, 0, out_pid, err);
		}
		if (status != GUESTLOCK_BUSY || guestlock_monotonic_ms() >= deadline ||
		    cli_early_signal() != 0) {
			return status;
		}
		guestlock_guest_free(*out_guest);
		*out_guest = NULL;
		if (strcmp(waiting_for, err->holder.uuid) != 0) {
			snprintf(waiting_for, sizeof(waiting_for), "%s", err->holder.uuid);
			cli_log(cli, GUESTLOCK_LOG_INFO, "waiting up to %.1f s: %s",
				(double)(deadline - guestlock_monotonic_ms()) / 1000, err->message);
		}
		poll(NULL, 0, pause_ms);
		pause_ms = pause_ms * 2 < RETRY_LAST_MS ? pause_ms * 2 : RETRY_LAST_MS;
	}
}

/*
 * The program was there when it was looked for, but the kernel would not execute it (another machine's, a
 * missing interpreter): the exit status is a shell's. What else may be missing or denied is a resource,
 * which the error names, or a matter of rights.
 */
static int start_failure(const struct cli *cli, int status, const struct guestlock_error *err)
{
	int result;

	if (status > 0) {
		return status;
	}
	result = cli_fail(cli, status, err);
	if (err->resource[0] != '\0' || err->sys_errno == 0) {
		return result;
	}
	if (status == GUESTLOCK_NOT_FOUND) {
		return CLI_NO_COMMAND;
	}
	return status == GUESTLOCK_DENIED && err->sys_errno != EACCES && err->sys_errno != EPERM
		       ? CLI_CANNOT_EXECUTE
		       : result;
}

/* ---- Beside the guest ---- */

struct vigil {
	struct cli *cli;
	struct guestlock_guest *guest;
	const char *name, *uuid;
	int64_t next_check_ms;
	int check_ms;
	bool warned, said;
};

#define LOOK_MS 1000 /* between two looks at the record: may it run now? */

/* Programs close the tether early, or when they reload: ever more rarely is often enough. */
#define TETHER_CHECK_FIRST_MS 250
#define TETHER_CHECK_LAST_MS 30000

static void check_tether(struct vigil *vigil, const struct guestlock_info *info)
{
	CLI_AUTOFREE char *words = NULL;

	if (vigil->warned || guestlock_monotonic_ms() < vigil->next_check_ms) {
		return;
	}
	vigil->check_ms =
		vigil->check_ms * 2 < TETHER_CHECK_LAST_MS ? vigil->check_ms * 2 : TETHER_CHECK_LAST_MS;
	vigil->next_check_ms = guestlock_monotonic_ms() + vigil->check_ms;
	if (info->life == GUESTLOCK_LIFE_UNTETHERED) {
		words = cli_guest_words(vigil->name, vigil->uuid);
		cli_log(vigil->cli, GUESTLOCK_LOG_WARNING,
			"guest %s has lost its tether: its program, or a security module, closed the "
			"descriptor that it inherited. It keeps its locks until process %d and all that it leaves "
			"have ended, and gets no new ones; start it so that it keeps inherited descriptors",
			words, (int)info->pid);
		vigil->warned = true;
	}
}

/*
 * One that is paused must not run, and one that is stopped without being paused has to go on: whoever looks at it, as
 * settling does, sees to both.
 */
static int look_after(void *data)
{
	struct vigil *vigil = data;
	CLI_AUTOINFO struct guestlock_info *info = NULL;

	if (guestlock_guest_info(vigil->guest, &info, NULL) == GUESTLOCK_OK) {
		check_tether(vigil, info);
		if (info->state == GUESTLOCK_GUEST_PAUSED || info->stopped) {
			guestlock_guest_settle(vigil->guest, NULL);
		}
	}
	return vigil->check_ms < LOOK_MS && !vigil->warned ? vigil->check_ms : LOOK_MS;
}

/* A guest that was paused has no locks: only resume may continue it. */
static bool may_continue(void *data)
{
	struct vigil *vigil = data;
	CLI_AUTOINFO struct guestlock_info *info = NULL;

	return guestlock_guest_info(vigil->guest, &info, NULL) == GUESTLOCK_OK &&
	       info->state == GUESTLOCK_GUEST_RUNNING;
}

/*
 * Is the guest as a whole dead, or about to be? Processes vanish a moment after the command was waited for.
 * Another life of its uuid is not ours.
 */
static bool wait_until_dead(const struct vigil *vigil)
{
	for (int waited = 0;; waited += 10) {
		CLI_AUTOINFO struct guestlock_info *info = NULL;

		if (guestlock_guest_info(vigil->guest, &info, NULL) != GUESTLOCK_OK ||
		    info->life == GUESTLOCK_LIFE_DEAD) {
			return true;
		}
		if (waited >= VANISH_MS) {
			return false;
		}
		poll(NULL, 0, 10);
	}
}

/* Only those matter that do not hold the tether. They are named once. */
static bool may_leave(void *data)
{
	struct vigil *vigil = data;
	CLI_AUTOFREE char *words = cli_guest_words(vigil->name, vigil->uuid);
	CLI_AUTOFREE char *rest = NULL;
	CLI_AUTOFREE pid_t *pids = NULL;
	size_t count = 0;

	if (guestlock_guest_untethered(vigil->guest, &pids, &count, NULL) != GUESTLOCK_OK || count == 0) {
		return true;
	}
	if (!vigil->said) {
		rest = cli_process_words(pids, count);
		cli_log(vigil->cli, GUESTLOCK_LOG_WARNING,
			"the command of guest %s has ended, but processes that it started live on and have closed "
			"the descriptor that they inherited: %s. Nobody else gets its disks until they have ended, "
			"as long as this command is not ended before",
			words, rest ? rest : "?");
		vigil->said = true;
	}
	return false;
}

/*
 * What the command left behind is ours now. Who holds the tether keeps the locks by that; for all others we wait.
 * Most daemons close what they inherited a moment after their parent has ended.
 */
static void wait_for_the_rest(const struct cli_supervision *supervision)
{
	for (int waited = 0; cli_any_children() && waited < SETTLE_MS; waited += 10) {
		poll(NULL, 0, 10);
	}
	cli_supervise_children(supervision, may_leave);
}

static void say_who_lives_on(struct vigil *vigil, const char *words)
{
	CLI_AUTOFREE pid_t *pids = NULL;
	CLI_AUTOFREE char *rest = NULL;
	size_t count = 0;

	if (guestlock_guest_processes(vigil->guest, &pids, &count, NULL) == GUESTLOCK_OK && count > 0) {
		rest = cli_process_words(pids, count);
	}
	cli_log(vigil->cli, GUESTLOCK_LOG_INFO,
		"the command of guest %s has ended, but processes of it live on%s%s%s: its locks stay until the last "
		"of them is gone",
		words, rest ? " (" : "", rest ? rest : "", rest ? ")" : "");
}

static void settle_guest(struct vigil *vigil, const struct cli_supervision *supervision)
{
	CLI_AUTOFREE char *words = cli_guest_words(vigil->name, vigil->uuid);
	struct guestlock_error err;
	int status;

	wait_for_the_rest(supervision);
	guestlock_guest_unwatch(vigil->guest);
	if (!wait_until_dead(vigil)) {
		say_who_lives_on(vigil, words);
		return;
	}
	status = guestlock_guest_shutdown(vigil->guest, 0, &err);
	if (status != GUESTLOCK_OK && status != GUESTLOCK_REPLACED) {
		cli_log(vigil->cli, GUESTLOCK_LOG_WARNING,
			"guest %s has ended, but what it held is still recorded; 'guestlock reap' settles "
			"it: %s",
			words, err.message);
	}
}

static int exit_status_of(int wait_status)
{
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/* One that has ended already needs nobody. */
static void watch(struct cli *cli, struct guestlock_guest *guest)
{
	struct guestlock_error err;
	int status;

	/* What the guest's program leaves behind becomes a child of ours; not so a keeper, which is there by now. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	status = guestlock_guest_watch(guest, &err);

	if (status != GUESTLOCK_OK && status != GUESTLOCK_DEAD && status != GUESTLOCK_NOT_FOUND &&
	    status != GUESTLOCK_REPLACED) {
		cli_log(cli, GUESTLOCK_LOG_WARNING, "%s; processes that its command leaves are not protected",
			err.message);
	}
}

static int start_and_stay(struct cli *cli, struct run *run)
{
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	struct guestlock_error err = {0};
	pid_t pid;
	int status;

	cli_keep_signals();
	cli_warn_of_host(cli, &run->guest.resources);
	status = start(cli, run, &guest, &pid, &err);
	if (status != GUESTLOCK_OK) {
		cli_die_of_early_signal();
		return start_failure(cli, status, &err);
	}
	guestlock_guest_detach(guest);
	watch(cli, guest);

	struct vigil vigil = {
		.cli = cli,
		.guest = guest,
		.name = run->guest.name,
		.uuid = run->guest.uuid,
		.check_ms = TETHER_CHECK_FIRST_MS / 2,
		.next_check_ms = guestlock_monotonic_ms() + TETHER_CHECK_FIRST_MS,
	};
	struct cli_supervision supervision = {
		.pid = pid,
		.idle = look_after,
		.may_continue = may_continue,
		.data = &vigil,
	};
	if (run->guest.made_up[0]) {
		cli_log(cli, GUESTLOCK_LOG_INFO, "the guest's uuid is %s", run->guest.made_up);
	}
	status = cli_supervise(&supervision);
	settle_guest(&vigil, &supervision);
	return exit_status_of(status);
}

int cli_run(struct cli *cli, int argc, char **argv)
{
	__attribute__((cleanup(run_clear))) struct run run = {.wait_ms = 0};
	int status = parse(cli, argc, argv, &run);

	if (status == 0) {
		status = cli_check_program(run.argv[0]);
	}
	if (status == 0) {
		status = cli_open(cli);
	}
	if (status == 0) {
		warn_of_mistakes(cli, &run);
	}
	return status != 0 ? status : start_and_stay(cli, &run);
}
