/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* migrate: both ends of a migration. */
#include "cli.h"

#include <guestlock/backend.h>
#include <string.h>

enum end {
	END_UNKNOWN,
	END_SOURCE,
	END_TARGET,
};

struct move {
	const char *step, *guest, *uri;
	bool in, out;
};

const struct cli_option cli_migrate_options[] = {
	{0, "to", "URI", "where the guest goes, for messages (prepare)", cli_take_text,
	 offsetof(struct move, uri)},
	{0, "in", NULL, "this is the target, whatever the record says (complete, cancel)", cli_take_flag,
	 offsetof(struct move, in)},
	{0, "out", NULL, "this is the source, whatever the record says (complete, cancel)", cli_take_flag,
	 offsetof(struct move, out)},
	{0},
};

static int prepare(struct cli *cli, struct guestlock_guest *guest, const struct move *move)
{
	struct guestlock_error err;
	int status = guestlock_guest_prepare_migrate(guest, move->uri, &err);

	return status == GUESTLOCK_OK ? EX_OK : cli_fail(cli, status, &err);
}

/* The end that this guest is, as far as its record tells. */
static enum end recorded_end(const struct guestlock_info *info)
{
	static const struct {
		const char *pending;
		enum end end;
	} operations[] = {
		{"prepare-migrate", END_SOURCE}, {"complete-out", END_SOURCE}, {"cancel-out", END_SOURCE},
		{"complete-in", END_TARGET},     {"cancel-in", END_TARGET},
	};

	for (size_t i = 0; i < CLI_COUNT(operations); i++) {
		if (strcmp(info->pending, operations[i].pending) == 0) {
			return operations[i].end;
		}
	}
	return info->state == GUESTLOCK_GUEST_MIGRATING_OUT  ? END_SOURCE
	       : info->state == GUESTLOCK_GUEST_MIGRATING_IN ? END_TARGET
							     : END_UNKNOWN;
}

/* In doubt it can: then the library says what is wrong. */
static bool can_hand_over(struct cli *cli)
{
	struct guestlock_backend_info *infos;
	struct guestlock_error ignored;
	bool can = true;
	size_t count;

	if (guestlock_backends(cli->gl, &infos, &count, &ignored) != GUESTLOCK_OK) {
		return true;
	}
	for (size_t i = 0; i < count; i++) {
		if (infos[i].selected) {
			can = (infos[i].capabilities & GUESTLOCK_CAP_HANDOVER) != 0;
		}
	}
	guestlock_backends_free(infos, count);
	return can;
}

static int find_end(struct cli *cli, struct guestlock_guest *guest, const struct move *move,
		    enum end *out_end)
{
	CLI_AUTOINFO struct guestlock_info *info = NULL;
	CLI_AUTOFREE char *words = NULL;
	struct guestlock_error err;
	int status;

	*out_end = move->in ? END_TARGET : move->out ? END_SOURCE : END_UNKNOWN;
	if (*out_end != END_UNKNOWN) {
		return 0;
	}
	status = guestlock_guest_info(guest, &info, &err);
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, &err);
	}
	*out_end = recorded_end(info);
	if (*out_end != END_UNKNOWN) {
		return 0;
	}
	words = cli_guest_words(info->name, info->uuid);
	if (!can_hand_over(cli)) {
		cli_complain(
			"cannot %s the migration of guest %s: backend %s has no handover; pause the guest at "
			"the source and resume it at the target instead",
			move->step, words, info->technology);
		return cli_exit_status(cli, GUESTLOCK_UNSUPPORTED);
	}
	cli_complain(
		"cannot %s the migration of guest %s: it is %s, not migrating; repeat a step that is done "
		"already with --in (the target) or --out (the source)",
		move->step, words, guestlock_guest_state_name(info->state));
	return cli_exit_status(cli, GUESTLOCK_REJECTED);
}

/* A source that has ended holds nothing any more and is not waited for: its record goes too. */
static int forget_dead_source(struct cli *cli, struct guestlock_guest *guest)
{
	CLI_AUTOINFO struct guestlock_info *info = NULL;
	struct guestlock_error err;
	int status = guestlock_guest_info(guest, &info, &err);

	if (status != GUESTLOCK_OK || info->life != GUESTLOCK_LIFE_DEAD) {
		return EX_OK;
	}
	status = guestlock_guest_shutdown(guest, 0, &err);
	return status == GUESTLOCK_OK ? EX_OK : cli_fail(cli, status, &err);
}

static int end_migration(struct cli *cli, struct guestlock_guest *guest, const struct move *move,
			 unsigned flags)
{
	struct guestlock_error err;
	enum end end;
	int status = find_end(cli, guest, move, &end);

	if (status != 0) {
		return status;
	}
	status = end == END_TARGET ? guestlock_guest_complete_migrate_in(guest, flags, &err)
				   : guestlock_guest_complete_migrate_out(guest, flags, &err);
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, &err);
	}
	return end == END_SOURCE && flags == 0 ? forget_dead_source(cli, guest) : EX_OK;
}

static int complete(struct cli *cli, struct guestlock_guest *guest, const struct move *move)
{
	return end_migration(cli, guest, move, 0);
}

static int cancel(struct cli *cli, struct guestlock_guest *guest, const struct move *move)
{
	return end_migration(cli, guest, move, GUESTLOCK_MIGRATE_CANCEL);
}

static int parse(struct cli *cli, int argc, char **argv, struct move *move)
{
	if (cli_parse(cli, argc, argv, move) != 0) {
		return EX_USAGE;
	}
	if (move->in && move->out) {
		return cli_usage(cli, "--in and --out exclude each other");
	}
	if (argc - optind != 2) {
		return cli_usage(cli, "migrate wants a step (prepare, complete or cancel) and a guest");
	}
	move->step = argv[optind];
	move->guest = argv[optind + 1];
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct cli *cli, struct guestlock_guest *guest, const struct move *move);
} steps[] = {
	{"prepare", prepare},
	{"complete", complete},
	{"cancel", cancel},
};

static int run_step(struct cli *cli, const struct move *move, size_t step)
{
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	int status = cli_open(cli);

	if (status == 0) {
		status = cli_attach_guest(cli, move->guest, &guest, NULL);
	}
	return status != 0 ? status : steps[step].run(cli, guest, move);
}

int cli_migrate(struct cli *cli, int argc, char **argv)
{
	struct move move = {0};

	if (parse(cli, argc, argv, &move) != 0) {
		return EX_USAGE;
	}
	for (size_t i = 0; i < CLI_COUNT(steps); i++) {
		if (strcmp(steps[i].name, move.step) == 0) {
			return run_step(cli, &move, i);
		}
	}
	return cli_usage(cli, "a migration has the steps prepare, complete and cancel, not \"%s\"",
			 move.step);
}
