/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract of lock backends (include/guestlock/backend.h), asked of a module. This tree's program is
 * contract/contract (inside.c); the one that is installed, for backends written elsewhere, backend-contract
 * (outside.c). usage() has the options.
 */
#include "contract.h"

#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define NOTHING_TESTED 2

struct contract contract = {.name = ""};

/* With --keeper: the module as it is, and what stands in for it, which lacks the same functions. */
static struct guestlock_module real_module, asking_module;
static struct guestlock_backend_ops asking_ops;

static const struct guestlock_module *put_behind_keeper(const struct guestlock_module *module)
{
	real_module = *module;
	asking_module = *module;
	asking_ops = gl_keeper_ops;
	asking_ops.convert = module->ops->convert ? asking_ops.convert : NULL;
	asking_ops.unprovision = module->ops->unprovision ? asking_ops.unprovision : NULL;
	asking_ops.survey = module->ops->survey ? asking_ops.survey : NULL;
	asking_ops.busy = module->ops->busy ? asking_ops.busy : NULL;
	asking_ops.watch = module->ops->watch ? asking_ops.watch : NULL;
	asking_ops.next_event = module->ops->next_event ? asking_ops.next_event : NULL;
	asking_module.ops = &asking_ops;
	return &asking_module;
}

/* ---- The command line ---- */

static void usage(FILE *out)
{
	fprintf(out,
		"usage: %s %s [OPTION]...\n"
		"\n"
		"Asks a lock backend whether it does what guestlock/backend.h promises: it plays two hosts "
		"with\n"
		"guests, some of which are killed. TAP on standard output.\n"
		"\n"
		"  --module FILE         the backend's module, NAME.so; or its NAME alone, which is looked "
		"for in\n"
		"                        GUESTLOCK_BACKEND_PATH and where modules are installed\n"
		"  --option KEY=VALUE    an option of its section, as in the configuration; may be repeated\n"
		"  --option-a KEY=VALUE, --option-b KEY=VALUE\n"
		"                        the same, for one of the two hosts\n"
		"  --host NAME           the name of both hosts, instead of host-a and host-b\n"
		"  --environment-a NAME=VALUE, --environment-b NAME=VALUE\n"
		"                        a variable that one host's instance, guests and keeper have\n"
		"  --keeper              a keeper makes the calls, for each host its own: the installed one, "
		"or\n"
		"                        that of the variable GUESTLOCK_KEEPER\n"
		"  --help\n"
		"\n"
		"It works in a directory of its own below TMPDIR, where @state_dir@ and @run_dir@ are in "
		"each test,\n"
		"and removes it at the end. What needs a capability that the backend does not have is not "
		"asked.\n"
		"The variable CK_RUN_CASE=PART runs one part: member, hold, batch, epoch, handover, life, "
		"look,\n"
		"race, kill or keeper.\n"
		"\n"
		"Exit status: 0 it keeps the contract; 1 it does not; 2 nothing was tested.\n",
		program_invocation_short_name, contract_default_module ? "[--module FILE]" : "--module FILE");
}

static bool add_setting(const char **settings, const char *option, const char *text)
{
	size_t i = 0;

	while (i < CONTRACT_SETTINGS - 1 && settings[i]) {
		i++;
	}
	if (!strchr(text, '=') || text[0] == '=') {
		fprintf(stderr, "--%s %s: wants KEY=VALUE\n", option, text);
		return false;
	}
	if (i == CONTRACT_SETTINGS - 1) {
		fprintf(stderr, "--%s %s: there may be %d of them\n", option, text, CONTRACT_SETTINGS - 1);
		return false;
	}
	settings[i] = text;
	return true;
}

static bool parse(int argc, char *argv[], const char **out_module, bool *out_help)
{
	static const struct option longs[] = {
		{"module", required_argument, NULL, 'm'},
		{"host", required_argument, NULL, 'h'},
		{"keeper", no_argument, NULL, 'k'},
		{"option", required_argument, NULL, 'o'},
		{"option-a", required_argument, NULL, 'a'},
		{"option-b", required_argument, NULL, 'b'},
		{"environment-a", required_argument, NULL, 'A'},
		{"environment-b", required_argument, NULL, 'B'},
		{"help", no_argument, NULL, 'H'},
		{NULL, 0, NULL, 0},
	};
	bool good = true;
	int option, at;

	while (good && (option = getopt_long(argc, argv, "", longs, &at)) >= 0) {
		switch (option) {
		case 'm':
			*out_module = optarg;
			break;
		case 'h':
			contract.host = optarg;
			break;
		case 'k':
			contract.behind = &real_module;
			break;
		case 'o':
			good = add_setting(contract.options, longs[at].name, optarg);
			break;
		case 'a':
			good = add_setting(contract.options_a, longs[at].name, optarg);
			break;
		case 'b':
			good = add_setting(contract.options_b, longs[at].name, optarg);
			break;
		case 'A':
			good = add_setting(contract.environment_a, longs[at].name, optarg);
			break;
		case 'B':
			good = add_setting(contract.environment_b, longs[at].name, optarg);
			break;
		case 'H':
			*out_help = true;
			return true;
		default:
			good = false;
		}
	}
	return good && optind == argc && *out_module;
}

/* ---- The run ---- */

static void print_capabilities(const char *words, bool wanted)
{
	const char *name;

	printf("# %s: %s:", contract.name, words);
	for (unsigned bit = 0; (name = guestlock_capability_name(bit)); bit++) {
		if (contract_can(1U << bit) == wanted) {
			printf(" %s", name);
		}
	}
	putchar('\n');
}

static int run(void)
{
	Suite *suite = suite_create("contract");
	SRunner *runner;
	int count, failed;

	member_tests(suite);
	hold_tests(suite);
	batch_tests(suite);
	epoch_tests(suite);
	handover_tests(suite);
	life_tests(suite);
	look_tests(suite);
	race_tests(suite);
	kill_tests(suite);
	if (contract.behind) {
		keeper_tests(suite);
	}
	contract_own_tests(suite);
	runner = srunner_create(suite);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	count = srunner_ntests_run(runner);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	printf("# %s%s: %d tests, %d failed\n", contract.name, contract.behind ? " behind the keeper" : "",
	       count, failed);
	return count == 0 ? NOTHING_TESTED : failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_in_directory(void)
{
	const char *tmp = getenv("TMPDIR");
	int status;

	if (asprintf(&contract.base, "%s/guestlock-contract-XXXXXX", tmp ? tmp : "/tmp") < 0 ||
	    !mkdtemp(contract.base)) {
		printf("Bail out! cannot make the directory %s: %m; set TMPDIR to one that can be written\n",
		       contract.base);
		return NOTHING_TESTED;
	}
	status = run();
	/* What failed tests have left is in there too. */
	contract_remove(contract.base);
	free(contract.base);
	return status;
}

int main(int argc, char *argv[])
{
	struct guestlock_error err = {.message = ""};
	struct gl_module module = {.handle = NULL};
	const char *wanted = contract_default_module;
	bool help = false;
	int status;

	if (!parse(argc, argv, &wanted, &help)) {
		usage(stderr);
		return NOTHING_TESTED;
	}
	if (help) {
		usage(stdout);
		return EXIT_SUCCESS;
	}
	if (contract_load(wanted, &module, &err) < 0) {
		printf("Bail out! %s\n", err.message);
		return NOTHING_TESTED;
	}
	print_capabilities("can", true);
	print_capabilities("cannot, and is not asked for it", false);
	fflush(stdout);
	contract.module = contract.behind ? put_behind_keeper(module.descriptor) : module.descriptor;
	setenv("CK_DEFAULT_TIMEOUT", "120", 0);
	status = run_in_directory();
	gl_module_unload(&module);
	return status;
}
