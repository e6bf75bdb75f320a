/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options: those of every command, those of one, and the help that comes from the same tables. */
#include "cli.h"

#include <limits.h>
#include <string.h>

#define TIMEOUT_MAX_S 86400 /* as acquire_timeout in the configuration */

enum {
	OPTION_JSON = CLI_LONG + 200,
	OPTION_NO_HEADINGS,
	OPTION_TIMEOUT,
};

static const struct cli_option common_options[] = {
	{'c', "config", "FILE", "read this configuration instead of the system's"},
	{OPTION_JSON, "json", NULL, "print JSON"},
	{OPTION_NO_HEADINGS, "no-headings", NULL, "print tables without their heading"},
	{'q', "quiet", NULL, "no messages but errors"},
	{OPTION_TIMEOUT, "timeout", "SECONDS", "wait at most so long for an answer of the backend"},
	{'E', "conflict-exit-code", "NUMBER", "exit status when somebody else holds a lock (1)"},
	{'h', "help", NULL, "print this"},
	{'V', "version", NULL, "print the version"},
	{0},
};

static void add_options(struct cli *cli, const struct cli_option *options, size_t *n_long, size_t *n_short)
{
	for (; options->name && *n_long < CLI_COUNT(cli->long_options) - 1; options++) {
		cli->long_options[(*n_long)++] = (struct option){
			.name = options->name,
			.has_arg = options->argument ? required_argument : no_argument,
			.val = options->value,
		};
		if (options->value < CLI_LONG && *n_short < sizeof(cli->short_options) - 3) {
			cli->short_options[(*n_short)++] = (char)options->value;
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
	add_options(cli, common_options, &n_long, &n_short);
	optind = 0;
	opterr = 0;
}

static int set_timeout(struct cli *cli, const char *text)
{
	uint64_t seconds;

	if (!cli_parse_number(text, TIMEOUT_MAX_S, &seconds) || seconds == 0) {
		return cli_usage(cli, "--timeout wants a whole number of seconds from 1 to %d, not \"%s\"",
				 TIMEOUT_MAX_S, text);
	}
	cli->timeout = text;
	return 0;
}

static int set_busy_status(struct cli *cli, const char *text)
{
	uint64_t status;

	if (!cli_parse_number(text, 255, &status)) {
		return cli_usage(cli, "-E wants an exit status from 0 to 255, not \"%s\"", text);
	}
	cli->busy_status = (int)status;
	return 0;
}

/* Does what an option of every command says. 0, or an exit status; *out_known: it is one of them. */
static int common_option(struct cli *cli, int option, bool *out_known)
{
	*out_known = true;
	switch (option) {
	case 'c':
		cli->config_file = optarg;
		return 0;
	case OPTION_JSON:
		cli->json = true;
		return 0;
	case OPTION_NO_HEADINGS:
		cli->no_headings = true;
		return 0;
	case 'q':
		cli->quiet = true;
		return 0;
	case OPTION_TIMEOUT:
		return set_timeout(cli, optarg);
	case 'E':
		return set_busy_status(cli, optarg);
	case 'h':
		cli_print_help(cli, cli->command);
		exit(cli_finish_output(EX_OK));
	case 'V':
		printf("guestlock %s\n", guestlock_version());
		exit(cli_finish_output(EX_OK));
	default:
		*out_known = false;
		return 0;
	}
}

static int option_mistake(const struct cli *cli, char *const *argv, int option)
{
	const char *word = optind > 0 ? argv[optind - 1] : "";

	if (option == ':') {
		return cli_usage(cli, "the option %s wants an argument", word);
	}
	if (optopt > 0 && optopt < CLI_LONG && strncmp(word, "--", 2) != 0) {
		return cli_usage(cli, "there is no option -%c", optopt);
	}
	if (optopt >= CLI_LONG || strchr(word, '=')) {
		return cli_usage(cli, "there is no option %s, or it takes no argument", word);
	}
	return cli_usage(cli, "there is no option %s, or it is short for several", word);
}

int cli_next_option(struct cli *cli, int argc, char **argv)
{
	int option;
	bool known;

	while ((option = getopt_long(argc, argv, cli->short_options, cli->long_options, NULL)) != -1) {
		if (option == '?' || option == ':') {
			option_mistake(cli, argv, option);
			return -1;
		}
		if (common_option(cli, option, &known) != 0) {
			return -1;
		}
		if (!known) {
			return option;
		}
	}
	return 0;
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
		CLI_AUTOFREE char *names =
			cli_format("  %c%c%s--%s%s%s", options->value < CLI_LONG ? '-' : ' ',
				   options->value < CLI_LONG ? options->value : ' ',
				   options->value < CLI_LONG ? ", " : "  ", options->name,
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

int cli_wait_option(const struct cli *cli, int *out_ms)
{
	return parse_seconds(optarg, out_ms)
		       ? 0
		       : cli_usage(cli, "--wait wants seconds, such as 2.5, not \"%s\"", optarg);
}
