/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program: its options, and what a process of it is like. */
#include "keeper.h"

#include "base/base.h"
#include "shared/descriptors.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

enum {
	OPTION_ON_DEMAND = 256,
};

static const struct option longs[] = {
	{"config", required_argument, NULL, 'c'},
	{"option", required_argument, NULL, 'o'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{"on-demand", no_argument, NULL, OPTION_ON_DEMAND},
	{0},
};

static void print_help(void)
{
	puts("Usage: guestlock-keeper [OPTION]...\n\n"
	     "Calls the backend for all others, and releases the locks of guests that die. Others start it "
	     "when they\n"
	     "need it; run it as a service, so that it is there before. SIGTERM ends it; locks stay.\n\n"
	     "Options:\n"
	     "  -c, --config FILE                read this configuration instead of the system's\n"
	     "  -o, --option SECTION.KEY=VALUE   a setting that counts more than the files\n"
	     "  -h, --help                       print this\n"
	     "  -V, --version                    print the version");
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct options *options)
{
	size_t count = 0;
	int option;

	while ((option = getopt_long(argc, argv, "+c:o:hV", longs, NULL)) != -1) {
		switch (option) {
		case 'c':
			options->config_file = optarg;
			break;
		case 'o':
			options->overrides[count++] = optarg;
			break;
		case 'h':
			print_help();
			return EX_OK;
		case 'V':
			printf("guestlock-keeper %s\n", guestlock_version());
			return EX_OK;
		case OPTION_ON_DEMAND:
			options->on_demand = true;
			break;
		default:
			return EX_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "guestlock-keeper: takes options only, not \"%s\"\n", argv[optind]);
		return EX_USAGE;
	}
	return -1;
}

static void prepare_process(const struct options *options, struct pair *pair)
{
	fill_standard_descriptors(O_RDWR, O_RDWR);
	claim_inherit(pair, options);
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	log_begin(options->on_demand);
	if (chdir("/") < 0) {
		log_say(GUESTLOCK_LOG_DEBUG, "cannot go to /: %m");
	}
}

int main(int argc, char **argv)
{
	struct options options = {.overrides = calloc((size_t)argc + 1, sizeof(*options.overrides))};
	int status = options.overrides ? parse(argc, argv, &options) : EX_OSERR;
	struct pair pair;

	if (status < 0) {
		prepare_process(&options, &pair);
		status = claim_run(&pair, &options);
	}
	while (status < 0) {
		status = status == BE_GUARD ? guard_run(&pair) : worker_run(&pair, &options);
	}
	free(options.overrides);
	return status;
}
