/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One program in three roles: who is called by a person or on demand claims the run directory, and becomes
 * the guard; guard and worker start each other with a first argument that says what they are.
 */
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
	OPTION_GUARD,
	OPTION_WORKER,
};

static const struct option longs[] = {
	{"config", required_argument, NULL, 'c'},
	{"option", required_argument, NULL, 'o'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{"on-demand", no_argument, NULL, OPTION_ON_DEMAND},
	{"guard", required_argument, NULL, OPTION_GUARD},
	{"worker", required_argument, NULL, OPTION_WORKER},
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

/* What this process is, from its first argument. */
struct role {
	char *guard, *worker;
	struct options options;
	size_t n_overrides;
};

static int add_override(struct role *role, const char *text)
{
	const char **grown = reallocarray(role->options.overrides, role->n_overrides + 2,
					  sizeof(*role->options.overrides));

	if (!grown) {
		return -1;
	}
	grown[role->n_overrides++] = text;
	grown[role->n_overrides] = NULL;
	role->options.overrides = grown;
	return 0;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct role *role)
{
	int option;

	while ((option = getopt_long(argc, argv, "+c:o:hV", longs, NULL)) != -1) {
		switch (option) {
		case 'c':
			role->options.config_file = optarg;
			break;
		case 'o':
			if (add_override(role, optarg) < 0) {
				return EX_OSERR;
			}
			break;
		case 'h':
			print_help();
			return EX_OK;
		case 'V':
			printf("guestlock-keeper %s\n", guestlock_version());
			return EX_OK;
		case OPTION_ON_DEMAND:
			role->options.on_demand = true;
			break;
		case OPTION_GUARD:
			role->guard = optarg;
			break;
		case OPTION_WORKER:
			role->worker = optarg;
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

static void prepare_process(const struct options *options)
{
	fill_standard_descriptors(O_RDWR, O_RDWR);
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	if (chdir("/") < 0) {
		log_say(GUESTLOCK_LOG_DEBUG, "cannot go to /: %m");
	}
	if (options->on_demand) {
		/* That of whoever needed us, if any: we are not its service. */
		unsetenv("NOTIFY_SOCKET");
		unsetenv("JOURNAL_STREAM");
	}
	log_begin(options->on_demand);
}

/* "2" or "2:why". */
static size_t count_of(char *text, const char **out_how)
{
	char *colon = strchr(text, ':');

	*out_how = colon ? colon + 1 : NULL;
	return strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
	struct role role = {.guard = NULL};
	int status = parse(argc, argv, &role);
	struct pair pair;
	const char *how;

	if (status < 0) {
		prepare_process(&role.options);
		if (!role.guard && !role.worker) {
			status = claim_run(&role.options, argv);
		} else {
			/* The first argument was for this process only. */
			argv[1] = argv[0];
			pair_receive(&pair, argv + 1, count_of(role.guard ? role.guard : role.worker, &how));
			status = role.guard ? guard_run(&pair) : worker_run(&pair, &role.options, how);
		}
	}
	free(role.options.overrides);
	return status;
}
