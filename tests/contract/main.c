/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract of lock backends (include/guestlock/backend.h), tested against a module:
 *
 *     contract [--module NAME|FILE] [--host NAME] [--option KEY=VALUE]... [--option-a ...] [--option-b ...]
 *              [--environment-a NAME=VALUE]... [--environment-b ...] [--keeper]
 *
 * --keeper: every call is made by a keeper, one for each host, which GUESTLOCK_KEEPER names.
 * --host is the name of both hosts, for a technology that has its own names for them.
 * --option sets an option of the module on both hosts, --option-a and -b on one of them. Options that name
 * directories have defaults below the test's own. --environment-a and -b set variables that a host's instance
 * is made with, its guests are bound with, and where its keeper is found (GUESTLOCK_KEEPER). TAP on standard
 * output. Check's environment works: CK_RUN_CASE, CK_FORK=no, ...
 */
#include "contract.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

struct contract contract = {.name = "fcntl"};

/* With --keeper: the module as it is, and what stands in for it, which lacks the same functions. */
static struct guestlock_module real_module, asking_module;
static struct guestlock_backend_ops asking_ops;

static const struct guestlock_module *put_behind_keeper(const struct guestlock_module *module)
{
	real_module = *module;
	asking_module = *module;
	asking_ops = gl_keeper_ops;
	asking_ops.convert = module->ops->convert ? asking_ops.convert : NULL;
	asking_ops.host_acquire = module->ops->host_acquire ? asking_ops.host_acquire : NULL;
	asking_ops.host_release = module->ops->host_release ? asking_ops.host_release : NULL;
	asking_ops.provision = module->ops->provision ? asking_ops.provision : NULL;
	asking_ops.unprovision = module->ops->unprovision ? asking_ops.unprovision : NULL;
	asking_ops.survey = module->ops->survey ? asking_ops.survey : NULL;
	asking_ops.watch = module->ops->watch ? asking_ops.watch : NULL;
	asking_ops.next_event = module->ops->next_event ? asking_ops.next_event : NULL;
	asking_module.ops = &asking_ops;
	return &asking_module;
}

static bool add_option(const char **options, const char *option)
{
	size_t i = 0;

	while (i < CONTRACT_SETTINGS - 1 && options[i]) {
		i++;
	}
	if (i == CONTRACT_SETTINGS - 1 || !strchr(option, '=')) {
		return false;
	}
	options[i] = option;
	return true;
}

/* A file gives the name, and the directory to load it from. */
static bool choose_module(char *text)
{
	char *slash = strrchr(text, '/');
	char *dot;

	if (!slash) {
		contract.name = text;
		return true;
	}
	dot = strrchr(slash, '.');
	if (!dot) {
		return false;
	}
	*dot = '\0';
	*slash = '\0';
	contract.name = slash + 1;
	return setenv("GUESTLOCK_BACKEND_PATH", slash == text ? "/" : text, 1) == 0;
}

static bool parse(int argc, char *argv[])
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
		{NULL, 0, NULL, 0},
	};
	bool good = true;
	int option;

	while (good && (option = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (option) {
		case 'm':
			good = choose_module(optarg);
			break;
		case 'h':
			contract.host = optarg;
			break;
		case 'k':
			contract.behind = &real_module;
			break;
		case 'o':
			good = add_option(contract.options, optarg);
			break;
		case 'a':
			good = add_option(contract.options_a, optarg);
			break;
		case 'b':
			good = add_option(contract.options_b, optarg);
			break;
		case 'A':
			good = add_option(contract.environment_a, optarg);
			break;
		case 'B':
			good = add_option(contract.environment_b, optarg);
			break;
		default:
			good = false;
		}
	}
	return good && optind == argc;
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
	host_lock_tests(suite);
	race_tests(suite);
	kill_tests(suite);
	if (contract.behind) {
		keeper_tests(suite);
	} else {
		/* These look into the process that calls the module. */
		fcntl_entry_tests(suite);
		fcntl_write_tests(suite);
		fcntl_directory_tests(suite);
	}
	runner = srunner_create(suite);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	count = srunner_ntests_run(runner);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	printf("# %s%s: %d tests, %d failed\n", contract.name, contract.behind ? " behind the keeper" : "",
	       count, failed);
	return count > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char *argv[])
{
	struct guestlock_error err = {.message = ""};
	struct gl_module module = {.handle = NULL};
	int status;

	if (!parse(argc, argv)) {
		fprintf(stderr, "usage: contract [--module NAME|FILE] [--host NAME] [--option[-a|-b] "
				"KEY=VALUE]... [--environment-a|-b NAME=VALUE]... [--keeper]\n");
		return EXIT_FAILURE;
	}
	if (gl_module_load(contract.name, &module, &err) < 0) {
		printf("Bail out! %s\n", err.message);
		return EXIT_FAILURE;
	}
	contract.module = contract.behind ? put_behind_keeper(module.descriptor) : module.descriptor;
	setenv("CK_DEFAULT_TIMEOUT", "120", 0);
	status = run();
	gl_module_unload(&module);
	return status;
}
