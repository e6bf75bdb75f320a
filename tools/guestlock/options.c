/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options: those of every command, those of one, and the help that comes from the same tables. */
#include "cli.h"

#include <limits.h>
#include <string.h>

#define TIMEOUT_MAX_S 86400 /* as acquire_timeout in the configuration */

#define LONG 256 /* what getopt calls the first option, if it has no letter */

int cli_take_flag(const struct cli *cli, void *place, const char *text)
{
	(void)cli;
	(void)text;
	*(bool *)place = true;
	return 0;
}

int cli_take_text(const struct cli *cli, void *place, const char *text)
{
	(void)cli;
	*(const char **)place = text;
	return 0;
}

/* Into *place, which is the command's itself. */
static int take_setting(const struct cli *cli, void *place, const char *text)
{
	struct cli *all = place;

	(void)cli;
	all->settings = cli_need(reallocarray(all->settings, all->n_settings + 1, sizeof(*all->settings)));
	all->settings[all->n_settings++] = text;
	return 0;
}

static int take_timeout(const struct cli *cli, void *place, const char *text)
{
	uint64_t seconds;

	if (!cli_parse_number(text, TIMEOUT_MAX_S, &seconds) || seconds == 0) {
		return cli_usage(cli, "--timeout wants a whole number of seconds from 1 to %d, not \"%s\"",
				 TIMEOUT_MAX_S, text);
	}
	return cli_take_text(cli, place, text);
}

static int take_busy_status(const struct cli *cli, void *place, const char *text)
{
	uint64_t status;

	if (!cli_parse_number(text, 255, &status)) {
		return cli_usage(cli, "-E wants an exit status from 0 to 255, not \"%s\"", text);
	}
	*(int *)place = (int)status;
	return 0;
}

static int take_help(const struct cli *cli, void *place, const char *text)
{
	(void)place;
	(void)text;
	cli_print_help(cli, cli->command);
	exit(cli_finish_output(EX_OK));
}

static int take_version(const struct cli *cli, void *place, const char *text)
{
	(void)cli;
	(void)place;
	(void)text;
	printf("guestlock %s\n", guestlock_version());
	exit(cli_finish_output(EX_OK));
}

static const struct cli_option common_options[] = {
	{'c', "config", "FILE", "read this configuration instead of the system's", cli_take_text,
	 offsetof(struct cli, config_file)},
	{'o', "option", "SECTION.KEY=VALUE", "a setting that counts more than the configuration's",
	 take_setting, 0},
	{0, "json", NULL, "print JSON", cli_take_flag, offsetof(struct cli, json)},
	{0, "no-headings", NULL, "print tables without their heading", cli_take_flag,
	 offsetof(struct cli, no_headings)},
	{'q', "quiet", NULL, "no messages but errors", cli_take_flag, offsetof(struct cli, quiet)},
	{0, "timeout", "SECONDS", "wait at most so long for an answer of the backend", take_timeout,
	 offsetof(struct cli, timeout)},
	{'E', "conflict-exit-code", "NUMBER", "exit status when somebody else holds a lock (1)",
	 take_busy_status, offsetof(struct cli, busy_status)},
	{'h', "help", NULL, "print this", take_help, 0},
	{'V', "version", NULL, "print the version", take_version, 0},
	{0},
};

static void add_options(struct cli *cli, const struct cli_option *options, size_t *n_long, size_t *n_short)
{
	for (; options->name && *n_long < CLI_COUNT(cli->long_options) - 1; options++) {
		cli->options[*n_long] = options;
		cli->long_options[*n_long] = (struct option){
			.name = options->name,
			.has_arg = options->argument ? required_argument : no_argument,
			.val = options->letter ? options->letter : LONG + (int)*n_long,
		};
		++*n_long;
		if (options->letter && *n_short < sizeof(cli->short_options) - 3) {
			cli->short_options[(*n_short)++] = options->letter;
			if (options->argument) {
				cli->short_options[(*n_short)++] = ':';
			}
		}
	}
}

void cli_begin_options(struct cli *cli, const struct cli_command *command)
{
	size_t n_long = 0, n_short = 0;

	memset(cli->long_options, 0, sizeof(cli->long_options));
	memset(cli->short_options, 0, sizeof(cli->short_options));
	cli->command = command;
	if (command->passes_on) {
		cli->short_options[n_short++] = '+';
	}
	cli->short_options[n_short++] = ':';
	add_options(cli, command->options, &n_long, &n_short);
	cli->n_own = n_long;
	add_options(cli, common_options, &n_long, &n_short);
	optind = 0;
	opterr = 0;
}

static int option_mistake(const struct cli *cli, char *const *argv, int option)
{
	const char *word = optind > 0 ? argv[optind - 1] : "";

	if (option == ':') {
		return cli_usage(cli, "the option %s wants an argument", word);
	}
	if (optopt > 0 && optopt < LONG && strncmp(word, "--", 2) != 0) {
		return cli_usage(cli, "there is no option -%c", optopt);
	}
	if (optopt >= LONG || strchr(word, '=')) {
		return cli_usage(cli, "there is no option %s, or it takes no argument", word);
	}
	return cli_usage(cli, "there is no option %s, or it is short for several", word);
}

int cli_parse(struct cli *cli, int argc, char **argv, void *out)
{
	int option, status = 0;

	while (status == 0 &&
	       (option = getopt_long(argc, argv, cli->short_options, cli->long_options, NULL)) != -1) {
		size_t i = 0;

		if (option == '?' || option == ':') {
			return option_mistake(cli, argv, option);
		}
		while (cli->long_options[i].val != option) {
			i++;
		}
		status = cli->options[i]->take(
			cli, (char *)(i < cli->n_own ? out : cli) + cli->options[i]->offset, optarg);
	}
	return status;
}

void cli_complain_usage(const struct cli *cli, const char *format, ...)
{
	CLI_AUTOFREE char *text = NULL;
	va_list args;

	va_start(args, format);
	text = cli_vformat(format, args);
	va_end(args);
	cli_complain("%s; 'guestlock %s%s--help' tells more", text,
		     cli->command->name ? cli->command->name : "", cli->command->name ? " " : "");
}

int cli_one_argument(const struct cli *cli, int argc, char **argv, const char *what, const char **out)
{
	if (optind >= argc) {
		return cli_usage(cli, "%s wants %s", cli->command->name, what);
	}
	if (argc - optind > 1) {
		return cli_usage(cli, "%s wants %s and nothing else, but there is also \"%s\"",
				 cli->command->name, what, argv[optind + 1]);
	}
	*out = argv[optind];
	return 0;
}

int cli_no_arguments(const struct cli *cli, int argc, char **argv)
{
	if (optind < argc) {
		return cli_usage(cli, "%s takes options only, not \"%s\"", cli->command->name, argv[optind]);
	}
	return 0;
}

static void print_options(const struct cli_option *options)
{
	for (; options->name; options++) {
		CLI_AUTOFREE char *names = cli_format(
			"  %c%c%s--%s%s%s", options->letter ? '-' : ' ',
			options->letter ? options->letter : ' ', options->letter ? ", " : "  ", options->name,
			options->argument ? " " : "", options->argument ? options->argument : "");

		if (strlen(names) < 34) {
			printf("%-34s %s\n", names, options->help);
		} else {
			printf("%s\n%-34s %s\n", names, "", options->help);
		}
	}
}

void cli_print_help(const struct cli *cli, const struct cli_command *command)
{
	if (!command->name) {
		cli->print_overview(stdout);
	} else {
		printf("Usage: guestlock %s%s%s\n\n%s\n", command->name, command->synopsis[0] ? " " : "",
		       command->synopsis, command->help);
	}
	if (command->options->name) {
		printf("\nOptions:\n");
		print_options(command->options);
	}
	printf("\nOptions of every command:\n");
	print_options(common_options);
}

bool cli_parse_number(const char *text, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (*text == '\0') {
		return false;
	}
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value)) {
			return false;
		}
	}
	*out = value;
	return value <= max;
}

/* Digits after the point beyond milliseconds are dropped, but checked. */
static bool parse_fraction(const char *text, uint64_t *out_ms)
{
	uint64_t unit = 100;

	*out_ms = 0;
	if (*text == '\0') {
		return false;
	}
	for (; *text; text++, unit /= 10) {
		if (*text < '0' || *text > '9') {
			return false;
		}
		*out_ms += (uint64_t)(*text - '0') * unit;
	}
	return true;
}

static bool parse_seconds(const char *text, int *out_ms)
{
	CLI_AUTOFREE char *copy = cli_need(strdup(text));
	char *point = strchr(copy, '.');
	uint64_t seconds = 0, ms = 0;

	if (point) {
		*point = '\0';
		if (!parse_fraction(point + 1, &ms)) {
			return false;
		}
	}
	if (!(point && *copy == '\0') && !cli_parse_number(copy, UINT64_MAX, &seconds)) {
		return false;
	}
	if (seconds >= INT_MAX / 1000) {
		*out_ms = INT_MAX;
	} else {
		*out_ms = (int)(seconds * 1000 + ms);
	}
	return true;
}

int cli_take_wait(const struct cli *cli, void *place, const char *text)
{
	return parse_seconds(text, place)
		       ? 0
		       : cli_usage(cli, "--wait wants seconds, such as 2.5, not \"%s\"", text);
}
