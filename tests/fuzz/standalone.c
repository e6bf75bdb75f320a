/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a fuzz target over files, for a corpus without a fuzzer. */
#include "fuzz.h"

#ifdef GL_FUZZ_MAIN
#include <stdio.h>
#include <stdlib.h>

#define STANDALONE_MAX (16 * 1024 * 1024)

static int run_file(const char *path)
{
	FILE *stream = fopen(path, "re");
	uint8_t *data, *exact;
	size_t size;

	if (!stream) {
		perror(path);
		return -1;
	}
	data = malloc(STANDALONE_MAX);
	size = data ? fread(data, 1, STANDALONE_MAX, stream) : 0;
	fclose(stream);
	/* Shrunk, so that a sanitizer sees each byte that is read too far. */
	exact = data ? realloc(data, size ? size : 1) : NULL;
	if (!exact) {
		perror(path);
		free(data);
		return -1;
	}
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	return 0;
}

int main(int argc, char *argv[])
{
	int failed = 0;

	for (int i = 1; i < argc; i++) {
		failed += run_file(argv[i]) < 0;
	}
	printf("%d of %d inputs read\n", argc - 1 - failed, argc - 1);
	return failed || argc < 2 ? EXIT_FAILURE : EXIT_SUCCESS;
}
#endif
