/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs the suites of suites.h, or those named on the command line, and prints TAP. Check's own environment
 * works: CK_FORK=no for a debugger, CK_RUN_CASE, CK_INCLUDE_TAGS, CK_TIMEOUT_MULTIPLIER. A selection that
 * matches nothing is a failure.
 */
#include "suites.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Suite *suite_fn(void);

static const struct {
	const char *name;
	suite_fn *make;
} suites[] = {
#include "unit/suites.inc"
};

#define N_SUITES (sizeof(suites) / sizeof(suites[0]))

static bool named(const char *suite, int argc, char *argv[])
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], suite) == 0) {
			return true;
		}
	}
	return argc < 2;
}

static bool all_known(int argc, char *argv[])
{
	for (int i = 1; i < argc; i++) {
		bool known = false;

		for (size_t s = 0; s < N_SUITES; s++) {
			known = known || strcmp(suites[s].name, argv[i]) == 0;
		}
		if (!known) {
			printf("Bail out! no suite %s\n", argv[i]);
			return false;
		}
	}
	return true;
}

int main(int argc, char *argv[])
{
	SRunner *runner;
	int run, failed;

	if (!all_known(argc, argv)) {
		return EXIT_FAILURE;
	}
	setenv("CK_DEFAULT_TIMEOUT", "60", 0);
	runner = srunner_create(NULL);
	for (size_t i = 0; i < N_SUITES; i++) {
		if (named(suites[i].name, argc, argv)) {
			srunner_add_suite(runner, suites[i].make());
		}
	}
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	run = srunner_ntests_run(runner);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	if (run == 0) {
		printf("Bail out! no test was run\n");
	}
	return run > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
