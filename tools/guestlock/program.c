/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is there such a program? Asked before anything is locked. */
#include "cli.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* 0, or an exit status as of a shell. */
static int judge_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		return errno == ENOENT || errno == ENOTDIR ? CLI_NO_COMMAND : CLI_CANNOT_EXECUTE;
	}
	return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : CLI_CANNOT_EXECUTE;
}

/* An empty directory in PATH is the working directory. */
static int search_program(const char *name)
{
	const char *path = getenv("PATH");
	int result = CLI_NO_COMMAND;

	path = path ? path : "/bin:/usr/bin";
	while (result != 0) {
		size_t length = strcspn(path, ":");
		CLI_AUTOFREE char *file =
			cli_format("%.*s%s%s", (int)length, path, length > 0 ? "/" : "./", name);
		int status = access(file, F_OK) == 0 ? judge_program(file) : CLI_NO_COMMAND;

		result = status == CLI_NO_COMMAND ? result : status;
		if (path[length] == '\0') {
			break;
		}
		path += length + 1;
	}
	return result;
}

int cli_check_program(const char *name)
{
	int status = strchr(name, '/') ? judge_program(name) : *name ? search_program(name) : CLI_NO_COMMAND;

	if (status == CLI_NO_COMMAND) {
		cli_complain("cannot run %s: no such command; nothing was locked", name);
	} else if (status != 0) {
		cli_complain("cannot run %s: it cannot be executed; check what it is and its permissions. "
			     "Nothing was locked",
			     name);
	}
	return status;
}
