/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* config: every setting, its value and where it comes from; or a file of the defaults, to be edited. */
#include "cli.h"

#include <string.h>

const struct cli_option cli_config_options[] = {
	{0, "defaults", NULL, "print a configuration file of the defaults, as comments", cli_take_flag, 0},
	{0},
};

static const struct cli_column setting_columns[] = {
	{.name = "SECTION", .key = "section"},
	{.name = "KEY", .key = "key"},
	{.name = "VALUE", .key = "value"},
	{.key = "type"},
	{.key = "help"},
	{.name = "ORIGIN", .key = "origin"},
};

static void print_settings(const struct cli *cli, const struct guestlock_setting *settings, size_t count)
{
	const struct cli_listing listing =
		cli_begin_listing(cli, "settings", setting_columns, CLI_COUNT(setting_columns));

	for (size_t i = 0; i < count; i++) {
		const struct guestlock_setting *s = &settings[i];
		const char *cells[] = {s->section, s->key, s->value, s->type, s->help, s->origin};

		cli_add_object(&listing, cells);
	}
	cli_end_listing(&listing);
}

/* A file that changes nothing, to be edited. */
static void print_defaults(const struct guestlock_setting *settings, size_t count)
{
	const char *section = "";

	for (size_t i = 0; i < count; i++) {
		const struct guestlock_setting *s = &settings[i];

		if (strcmp(section, s->section) != 0) {
			printf("%s[%s]\n", *section ? "\n" : "", s->section);
			section = s->section;
		}
		printf("# %s (%s)\n#%s = %s\n", s->help, s->type, s->key, s->value);
	}
}

int cli_config(struct cli *cli, int argc, char **argv)
{
	const struct guestlock_setting *settings;
	bool defaults = false;
	size_t count;
	int status;

	if (cli_parse(cli, argc, argv, &defaults) != 0 || cli_no_arguments(cli, argc, argv) != 0) {
		return EX_USAGE;
	}
	if (defaults) {
		cli->config_file = "/dev/null";
		cli->timeout = NULL;
	}
	status = cli_open(cli);
	if (status != 0) {
		return status;
	}
	settings = guestlock_settings(cli->gl, &count);
	if (defaults) {
		print_defaults(settings, count);
	} else {
		print_settings(cli, settings, count);
	}
	return EX_OK;
}
