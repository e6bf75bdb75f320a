/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looks into /proc and stores nothing: what cannot be read there counts as not so. */
#include "guest.h"

#include <errno.h>
#include <guestlock/backend.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (1 << 20) /* bytes of a command line */

/* The text of a file in /proc, malloc'd. NULL: it cannot be read, or there is too much of it. */
static char *read_proc(const char *path, size_t *out_size)
{
	char *text;

	return guestlock_read_file(path, TEXT_MAX, &text, out_size) < 0 ? NULL : text;
}

bool gl_libvirt_guest_arrives(pid_t pid)
{
	char path[64], *text;
	size_t size;
	bool arrives = false;

	if (pid <= 0) {
		return true;
	}
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	text = read_proc(path, &size);
	if (!text || size == 0) {
		free(text);
		return true;
	}
	for (const char *word = text; word < text + size && !arrives; word += strlen(word) + 1) {
		arrives = strcmp(word, "-incoming") == 0 || strcmp(word, "--incoming") == 0;
	}
	free(text);
	return arrives;
}

/* A zombie has no command line any more. */
bool gl_libvirt_guest_is_there(pid_t pid)
{
	char path[64], *text;
	size_t size = 0;

	if (pid <= 0 || (kill(pid, 0) < 0 && errno == ESRCH)) {
		return false;
	}
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	text = read_proc(path, &size);
	size = text ? size : 1;
	free(text);
	return size > 0;
}

bool gl_libvirt_guest_is_over(int status)
{
	return status == GUESTLOCK_NOT_FOUND || status == GUESTLOCK_DEAD || status == GUESTLOCK_REPLACED;
}
