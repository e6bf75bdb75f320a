/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks and leases as they are written on the command line. */
#include "cli.h"

#include <string.h>
#include <unistd.h>

/* Cuts the first part off text, which is changed: a doubled comma becomes one, a single one ends the part. */
static char *next_part(char **text)
{
	char *part = *text, *from = *text, *to = *text;

	if (!part) {
		return NULL;
	}
	*text = NULL;
	while (*from) {
		if (*from == ',') {
			from++;
			if (*from != ',') {
				*text = from;
				break;
			}
		}
		*to++ = *from++;
	}
	*to = '\0';
	return part;
}

static struct guestlock_resource *new_item(struct cli_resources *list, char *text)
{
	size_t count = list->count + 1;

	list->items = cli_need(reallocarray(list->items, count, sizeof(list->items[0])));
	list->texts = cli_need(reallocarray(list->texts, count, sizeof(list->texts[0])));
	list->texts[list->count] = text;
	list->count = count;
	list->items[count - 1] = (struct guestlock_resource){.type = GUESTLOCK_DISK};
	return &list->items[count - 1];
}

/* What getcwd() cannot name stays relative, and is refused by the library. */
char *cli_absolute(const char *path)
{
	CLI_AUTOFREE char *directory = NULL;

	if (path[0] == '/' || path[0] == '\0') {
		return cli_need(strdup(path));
	}
	directory = getcwd(NULL, 0);
	if (!directory) {
		return cli_need(strdup(path));
	}
	return cli_format("%s/%s", strcmp(directory, "/") == 0 ? "" : directory, path);
}

/* shared and readonly; false: neither. */
static bool parse_flag(const char *part, unsigned *flags)
{
	if (strcmp(part, "shared") == 0) {
		*flags |= GUESTLOCK_SHARED;
		return true;
	}
	if (strcmp(part, "readonly") == 0) {
		*flags |= GUESTLOCK_READONLY;
		return true;
	}
	return false;
}

static void add_path(struct cli_resources *list, const char *path)
{
	char *text = cli_absolute(path);

	new_item(list, text)->name = text;
}

int cli_take_disk(const struct cli *cli, void *place, const char *text)
{
	struct cli_resources *list = place;
	CLI_AUTOFREE char *copy = cli_need(strdup(text));
	char *rest = copy, *path = next_part(&rest), *part;
	unsigned flags = 0;

	if (*path == '\0') {
		return cli_usage(cli, "--disk wants a path before its flags, not \"%s\"", text);
	}
	while ((part = next_part(&rest)) != NULL) {
		if (!parse_flag(part, &flags)) {
			return cli_usage(
				cli,
				"--disk knows \"shared\" and \"readonly\", not \"%s\" (a comma in a path "
				"is written twice)",
				part);
		}
	}
	if (flags == (GUESTLOCK_SHARED | GUESTLOCK_READONLY)) {
		return cli_usage(cli, "a disk is either \"shared\" or \"readonly\", not both");
	}
	add_path(list, path);
	list->items[list->count - 1].flags = flags;
	return 0;
}

/* One "name=value" of a lease; a flag. false: unknown or wrong. */
static bool parse_lease_part(char *part, struct guestlock_resource *lease)
{
	char *value = strchr(part, '=');

	if (!value) {
		return parse_flag(part, &lease->flags);
	}
	*value++ = '\0';
	if (strcmp(part, "lockspace") == 0) {
		lease->lockspace = value;
		return true;
	}
	if (strcmp(part, "path") == 0) {
		lease->path = value;
		return true;
	}
	return strcmp(part, "offset") == 0 && cli_parse_number(value, UINT64_MAX, &lease->offset);
}

int cli_take_lease(const struct cli *cli, void *place, const char *text)
{
	char *copy = cli_need(strdup(text)), *rest = copy, *part;
	struct guestlock_resource *lease = new_item(place, copy);

	lease->type = GUESTLOCK_LEASE;
	lease->name = next_part(&rest);
	if (*lease->name == '\0') {
		return cli_usage(cli, "--lease wants the lease's key first, not \"%s\"", text);
	}
	while ((part = next_part(&rest)) != NULL) {
		if (!parse_lease_part(part, lease)) {
			return cli_usage(
				cli,
				"--lease knows lockspace=NAME, path=PATH, offset=BYTES, \"shared\" and "
				"\"readonly\": \"%s\" has something else",
				text);
		}
	}
	return 0;
}

int cli_resources_parse(struct cli *cli, int argc, char **argv, struct cli_resources *list)
{
	int status = cli_parse(cli, argc, argv, list);

	for (; status == 0 && optind < argc; optind++) {
		add_path(list, argv[optind]);
	}
	return status;
}

void cli_warn_of_host(struct cli *cli, const struct cli_resources *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct guestlock_resource *resource = &list->items[i];
		CLI_AUTOFREE char *uses = NULL;
		char *rest = NULL;

		/* What cannot be looked at is told when it is locked. */
		if (resource->type != GUESTLOCK_DISK || (resource->flags & GUESTLOCK_READONLY) ||
		    guestlock_host_uses(cli->gl, resource, &uses, NULL) != GUESTLOCK_OK) {
			continue;
		}
		for (char *line = strtok_r(uses, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
			cli_log(cli, GUESTLOCK_LOG_WARNING,
				"disk %s: %s; the host and a guest must not both write to it", resource->name,
				line);
		}
	}
}

void cli_resources_clear(struct cli_resources *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->texts[i]);
	}
	free(list->texts);
	free(list->items);
	*list = (struct cli_resources){0};
}
