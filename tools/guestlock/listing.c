/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A listing: a table, or with --json the same as JSON. */
#include "cli.h"

#include <string.h>

static const char *state_colour(const char *state)
{
	static const struct {
		const char *state, *colour;
	} colours[] = {
		{"running", "green"},
		{"alive", "green"},
		{"held", "green"},
		{"ok", "green"},
		{"paused", "yellow"},
		{"parked", "yellow"},
		{"migrating-out", "yellow"},
		{"migrating-in", "yellow"},
		{"handover", "yellow"},
		{"note", "yellow"},
		{"adopted", "yellow"},
		{"unknown", "red"},
		{"untethered", "red"},
		{"lost", "red"},
		{"dead", "red"},
		{"damaged", "red"},
		{"problem", "red"},
	};

	for (size_t i = 0; i < CLI_COUNT(colours); i++) {
		if (strcmp(colours[i].state, state) == 0) {
			return colours[i].colour;
		}
	}
	return NULL;
}

static void add_column(struct libscols_table *table, const struct cli_column *column)
{
	struct libscols_column *added =
		cli_need(scols_table_new_column(table, column->name, 0, column->right ? SCOLS_FL_RIGHT : 0));

	/* Cells are escaped already; libsmartcols would escape the backslashes again. */
	if (scols_column_set_safechars(added, "\\") != 0) {
		cli_out_of_memory();
	}
}

struct cli_listing cli_begin_listing(const struct cli *cli, const char *key, const struct cli_column *columns,
				     size_t count)
{
	const struct cli_listing listing = {
		.cli = cli,
		.columns = columns,
		.count = count,
		.table = cli_need(scols_new_table()),
		.top = cli_json_object(),
		.array = cli_json_array(),
	};

	cli_json_add(listing.top, key, listing.array);
	scols_table_enable_noheadings(listing.table, cli->no_headings);
	scols_table_enable_colors(listing.table, cli_colour());
	for (size_t i = 0; i < count; i++) {
		if (columns[i].name) {
			add_column(listing.table, &columns[i]);
		}
	}
	return listing;
}

void cli_add_row(const struct cli_listing *listing, const char *const *cells)
{
	struct libscols_line *line = cli_need(scols_table_new_line(listing->table, NULL));
	size_t at = 0;

	for (size_t i = 0; i < listing->count; i++) {
		char *text;
		const char *colour;

		if (!listing->columns[i].name) {
			continue;
		}
		text = cli_printable(cells[i] && *cells[i] ? cells[i] : "-");
		colour = listing->columns[i].is_state ? state_colour(text) : NULL;
		if (scols_line_refer_data(line, at, text) != 0 ||
		    (colour && scols_cell_set_color(scols_line_get_cell(line, at), colour) != 0)) {
			cli_out_of_memory();
		}
		at++;
	}
}

struct json_object *cli_add_object(const struct cli_listing *listing, const char *const *cells)
{
	struct json_object *object = cli_json_object();

	cli_add_row(listing, cells);
	for (size_t i = 0; i < listing->count; i++) {
		if (listing->columns[i].key) {
			cli_json_text(object, listing->columns[i].key, cells[i]);
		}
	}
	cli_json_append(listing->array, object);
	return object;
}

void cli_end_listing(const struct cli_listing *listing)
{
	if (listing->cli->json) {
		cli_json_print(listing->top);
	} else {
		json_object_put(listing->top);
		scols_print_table(listing->table);
	}
	scols_unref_table(listing->table);
}
