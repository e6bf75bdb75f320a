/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract of lock backends (include/guestlock/backend.h), tested against a module:
 *
 *     contract [--module NAME|FILE] [--option KEY=VALUE]... [--option-a ...] [--option-b ...]
 *
 * --option sets an option of the module on both hosts, --option-a and -b on one of them. Options that name
 * directories have defaults below the test's own. TAP on standard output. Check's environment works:
 * CK_RUN_CASE, CK_FORK=no, ...
 */
#include "contract.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

struct contract contract = {.name = "fcntl"};

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
		{"option", required_argument, NULL, 'o'},
		{"option-a", required_argument, NULL, 'a'},
		{"option-b", required_argument, NULL, 'b'},
		{NULL, 0, NULL, 0},
	};
	bool good = true;
	int option;

	while (good && (option = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (option) {
		case 'm':
			good = choose_module(optarg);
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
	race_tests(suite);
	kill_tests(suite);
	fcntl_entry_tests(suite);
	fcntl_write_tests(suite);
	fcntl_directory_tests(suite);
	runner = srunner_create(suite);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	count = srunner_ntests_run(runner);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	printf("# %s: %d tests, %d failed\n", contract.name, count, failed);
	return count > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char *argv[])
{
	struct guestlock_error err = {.message = ""};
	struct gl_module module = {.handle = NULL};
	int status;

	if (!parse(argc, argv)) {
		fprintf(stderr, "usage: contract [--module NAME|FILE] [--option[-a|-b] KEY=VALUE]...\n");
		return EXIT_FAILURE;
	}
	if (gl_module_load(contract.name, &module, &err) < 0) {
		printf("Bail out! %s\n", err.message);
		return EXIT_FAILURE;
	}
	contract.module = module.descriptor;
	setenv("CK_DEFAULT_TIMEOUT", "120", 0);
	status = run();
	gl_module_unload(&module);
	return status;
}
