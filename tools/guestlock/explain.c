/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* explain: the lifecycle table, as the library has it. */
#include "cli.h"

#include <string.h>

const struct cli_option cli_explain_options[] = {{0}};

static const struct cli_column transition_columns[] = {
	{.name = "STATE", .key = "state"},
	{.name = "PENDING", .key = "pending"},
	{.name = "EVENT", .key = "event"},
	{.name = "IF", .key = "if"},
	{.name = "VERDICT", .key = "verdict"},
	{.name = "NEXT", .key = "next"},
	{.name = "NEXT-PENDING", .key = "next_pending"},
	{.name = "ACTION", .key = "action"},
	{.name = "WHY", .key = "why"},
};

static const struct {
	const char *state, *words;
} meanings[] = {
	{"none", "There is no such guest."},
	{"bound", "The guest's process exists and is tied to its locks, but it holds none and must not run."},
	{"running", "The guest holds its locks and may write."},
	{"paused", "The guest is stopped. Its locks are released; their epochs are kept, so that resume can "
		   "tell whether anybody wrote meanwhile."},
	{"migrating-out", "The guest's locks can be taken over by the same guest on another host."},
	{"migrating-in", "The guest takes its locks over from another host."},
	{"lost",
	 "The backend lost a lock of the guest, or it ran while it was paused and another guest had its disks: it "
	 "must not run."},
	{"dead", "The guest has ended. What it held is to be released; reap does it."},
};

static void add_transition(const struct cli_listing *listing, const struct guestlock_transition *row)
{
	const char *cells[] = {
		row->state, row->pending,      row->event,   row->guard, row->verdict,
		row->next,  row->next_pending, row->actions, row->note,
	};

	cli_add_object(listing, cells);
}

/* Rows for any state apply to each; NULL: all rows. */
static bool applies(const struct guestlock_transition *row, const char *state)
{
	return !state || strcmp(row->state, state) == 0 || strcmp(row->state, "*") == 0;
}

static const char *meaning_of(const char *state)
{
	for (size_t i = 0; i < CLI_COUNT(meanings); i++) {
		if (strcmp(meanings[i].state, state) == 0) {
			return meanings[i].words;
		}
	}
	return NULL;
}

static void print_meanings(const char *state)
{
	if (state) {
		printf("%s: %s\n\n", state, meaning_of(state));
		return;
	}
	for (size_t i = 0; i < CLI_COUNT(meanings); i++) {
		printf("%s: %s\n", meanings[i].state, meanings[i].words);
	}
	putchar('\n');
}

static void print_explanation(const struct cli *cli, const char *state)
{
	const struct cli_listing listing =
		cli_begin_listing(cli, "transitions", transition_columns, CLI_COUNT(transition_columns));
	size_t count;
	const struct guestlock_transition *rows = guestlock_lifecycle(&count);

	for (size_t i = 0; i < count; i++) {
		if (applies(&rows[i], state)) {
			add_transition(&listing, &rows[i]);
		}
	}
	if (!cli->json) {
		print_meanings(state);
	}
	cli_end_listing(&listing);
	if (!cli->json) {
		puts("\nThe first row that fits decides. * stands for any, = for the same as before.");
	}
}

int cli_explain(struct cli *cli, int argc, char **argv)
{
	const char *state = NULL;

	if (cli_parse(cli, argc, argv, NULL) != 0 ||
	    (optind < argc && cli_one_argument(cli, argc, argv, "one state", &state) != 0)) {
		return EX_USAGE;
	}
	if (state && !meaning_of(state)) {
		return cli_usage(
			cli,
			"a guest is none, bound, running, paused, migrating-out, migrating-in, lost or "
			"dead, not \"%s\"",
			state);
	}
	print_explanation(cli, state);
	return EX_OK;
}
