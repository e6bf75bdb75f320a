/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guestlock command: one table of commands, from which the overview comes too; each has a file by its
 * name.
 */
#include "cli.h"
#include "shared/descriptors.h"

#include <fcntl.h>
#include <locale.h>
#include <string.h>

static int help(struct cli *cli, int argc, char **argv);
static const struct cli_option no_options[] = {{0}};

#define COMMAND(word, text, what)                                                                            \
	{                                                                                                    \
		.name = #word, .synopsis = (text), .help = (what), .options = cli_##word##_options,          \
		.run = cli_##word                                                                            \
	}

static const struct cli_command commands[] = {
	{.name = "run",
	 .synopsis = "[OPTION]... [--] COMMAND [ARGUMENT]...",
	 .help = "start a guest once all its locks are held",
	 .options = cli_run_options,
	 .passes_on = true,
	 .run = cli_run},
	COMMAND(list, "", "show the guests of this host"),
	COMMAND(show, "GUEST", "show everything about one guest"),
	COMMAND(holders, "PATH | --disk PATH | --lease KEY...", "show who holds a disk or a lease"),
	COMMAND(attach, "GUEST --disk PATH...", "lock more disks, before they are plugged"),
	COMMAND(detach, "GUEST --disk PATH...", "unlock disks, after they were unplugged"),
	COMMAND(pause, "GUEST", "stop a guest and release its locks; prints its state"),
	COMMAND(resume, "GUEST", "take the locks again if nobody wrote meanwhile, and continue"),
	COMMAND(inquire, "GUEST", "print a guest's state without changing anything"),
	COMMAND(migrate, "prepare|complete|cancel GUEST", "hand the locks over to another host"),
	COMMAND(release, "GUEST | --orphan KEY", "release everything a guest that ended still holds"),
	COMMAND(adopt, "PID --disk PATH...", "lock disks for a process that runs already"),
	COMMAND(reap, "", "release what dead guests hold, settle what was left unfinished"),
	COMMAND(unprovision, "--unused", "remove what is kept of resources that nobody uses any more"),
	COMMAND(leave, "", "take this host out of the cluster, once no guest holds anything"),
	COMMAND(check, "[PATH]...", "tell whether locks work and protect here, and what a path is"),
	COMMAND(backends, "", "show the lock technologies that are installed"),
	COMMAND(config, "", "show every setting and where it comes from"),
	COMMAND(explain, "[STATE]", "explain what can happen to a guest, and when"),
	COMMAND(graph, "", "draw the guests and what they hold, for Graphviz"),
	{.name = "help",
	 .synopsis = "[COMMAND]",
	 .help = "print this, or what a command does",
	 .options = no_options,
	 .run = help},
};

static const struct cli_command self = {.options = no_options, .passes_on = true};

static const struct cli_command *find_command(const char *name)
{
	for (size_t i = 0; i < CLI_COUNT(commands); i++) {
		if (strcmp(commands[i].name, name) == 0) {
			return &commands[i];
		}
	}
	return NULL;
}

static void print_overview(FILE *out)
{
	fputs("Usage: guestlock [OPTION]... COMMAND [ARGUMENT]...\n\n"
	      "No disk is ever written by two guests at once.\n\n",
	      out);
	for (size_t i = 0; i < CLI_COUNT(commands); i++) {
		fprintf(out, "  %-11s %s\n", commands[i].name, commands[i].help);
	}
	fputs("\n'guestlock help COMMAND' explains a command; guestlock(1) has the rest.\n", out);
}

static int unknown_command(const struct cli *cli, const char *name)
{
	return cli_usage(cli, "there is no command \"%s\"", name);
}

static int help(struct cli *cli, int argc, char **argv)
{
	const struct cli_command *command = &self;

	if (cli_parse(cli, argc, argv, NULL) != 0) {
		return EX_USAGE;
	}
	if (argc - optind > 1) {
		return cli_usage(cli, "help takes one command at most");
	}
	if (argc > optind) {
		command = find_command(argv[optind]);
		if (!command) {
			return unknown_command(cli, argv[optind]);
		}
	}
	cli_begin_options(cli, command);
	cli_print_help(cli, command);
	return EX_OK;
}

static int run_command(struct cli *cli, int argc, char **argv)
{
	const struct cli_command *command;
	int status;

	if (argc == 0) {
		print_overview(stderr);
		return EX_USAGE;
	}
	command = find_command(argv[0]);
	if (!command) {
		return unknown_command(cli, argv[0]);
	}
	cli_begin_options(cli, command);
	status = command->run(cli, argc, argv);
	guestlock_close(cli->gl);
	return status;
}

int main(int argc, char **argv)
{
	struct cli cli = {
		.print_overview = print_overview,
		.busy_status = CLI_BUSY,
		.log = {.program = "guestlock", .least = GUESTLOCK_LOG_DEBUG},
	};

	/* What stands in for a closed one fails when it is used, and guests do not inherit it. */
	fill_standard_descriptors(O_WRONLY | O_CLOEXEC, O_RDONLY | O_CLOEXEC);
	setlocale(LC_CTYPE, "");
	cli_begin_options(&cli, &self);
	if (cli_parse(&cli, argc, argv, NULL) != 0) {
		return EX_USAGE;
	}
	int status = run_command(&cli, argc - optind, argv + optind);

	free(cli.settings);
	return cli_finish_output(status);
}
