/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fcntl_files.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char path[512];

const char *fcntl_path(const char *what, const char *name)
{
	snprintf(path, sizeof(path), "%s/state/fcntl/%s%s", contract.dir, what, name);
	return path;
}

const char *fcntl_entry(const struct guestlock_key *key)
{
	return fcntl_path("keys/", key->key);
}

char *fcntl_read(const struct guestlock_key *key, size_t *out_size)
{
	char *text;

	ck_assert_int_eq(guestlock_read_file(fcntl_entry(key), 1 << 20, &text, out_size), 0);
	/* What is behind the length that the first line tells is left from a longer content. */
	*out_size = strcspn(text, "\n") + 1 + strtoul(text + strlen("guestlock-entry 1 "), NULL, 10);
	return text;
}

void fcntl_write(const struct guestlock_key *key, const char *text, size_t size)
{
	ck_assert_int_eq(guestlock_write_file(fcntl_entry(key), text, size, 0600), 0);
}

size_t fcntl_count(const char *directory)
{
	char command[600];
	char line[32];
	FILE *pipe;

	snprintf(command, sizeof(command), "ls -A '%s' | wc -l", fcntl_path(directory, ""));
	pipe = popen(command, "re");
	ck_assert_ptr_nonnull(pipe);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), pipe));
	pclose(pipe);
	return strtoul(line, NULL, 10);
}

void fcntl_damage(enum damage what, const struct guestlock_key *key, const struct guestlock_key *other)
{
	size_t size, other_size;
	char *text = fcntl_read(key, &size), *others = fcntl_read(other, &other_size);

	ck_assert_int_eq(unlink(fcntl_entry(key)), 0);
	switch (what) {
	case DAMAGE_EMPTY:
		size = 0;
		break;
	case DAMAGE_SHORT:
		size -= 1;
		break;
	case DAMAGE_FLIPPED:
		text[size - 2] ^= 1;
		break;
	case DAMAGE_ZEROS:
		memset(text + size / 2, 0, size - size / 2);
		break;
	case DAMAGE_GARBAGE:
		memset(text, 'x', size);
		break;
	case DAMAGE_VERSION:
		text[strlen("guestlock-entry ")] = '2';
		break;
	case DAMAGE_SWAPPED:
		fcntl_write(key, others, other_size);
		break;
	case DAMAGE_DIRECTORY:
		ck_assert_int_eq(mkdir(fcntl_entry(key), 0700), 0);
		break;
	case DAMAGE_LINK:
		ck_assert_int_eq(symlink("/dev/null", fcntl_entry(key)), 0);
		break;
	case DAMAGE_FIFO:
		ck_assert_int_eq(mkfifo(fcntl_entry(key), 0600), 0);
		break;
	case DAMAGES:
		break;
	}
	if (what <= DAMAGE_VERSION) {
		fcntl_write(key, text, size);
	}
	free(text);
	free(others);
}

TCase *fcntl_case(Suite *suite, const char *name)
{
	return strcmp(contract.name, "fcntl") == 0 ? contract_case(suite, name) : NULL;
}
