/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check: can locks work here, do they protect, what is a path. */
#include "cli.h"

#include <errno.h>
#include <guestlock/backend.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const struct cli_option cli_check_options[] = {CLI_RESOURCE_OPTIONS(0), {0}};

static const struct cli_column check_columns[] = {
	{.name = "CHECK", .key = "check"},
	{.name = "RESULT", .key = "result", .is_state = true},
	{.name = "DETAIL", .key = "detail"},
};

/* What has been found. The status is that of the first problem. */
struct checks {
	struct cli *cli;
	struct cli_listing listing;
	int status;
};

/* Takes detail over. */
static void note(struct checks *checks, const char *check, const char *result, char *detail)
{
	cli_add_object(&checks->listing, (const char *[]){check, result, detail});
	free(detail);
}

static void problem(struct checks *checks, const char *check, int exit_status, char *detail)
{
	if (checks->status == EX_OK) {
		checks->status = exit_status;
	}
	note(checks, check, "problem", detail);
}

/* The files that settings come from: "FILE:LINE" without the line, each once. Other origins have no colon. */
static void check_configuration(struct checks *checks)
{
	size_t count;
	const struct guestlock_setting *settings = guestlock_settings(checks->cli->gl, &count);
	char *files = cli_need(strdup(""));

	for (size_t i = 0; i < count; i++) {
		const char *colon = strrchr(settings[i].origin, ':');
		CLI_AUTOFREE char *file = NULL;

		if (!colon) {
			continue;
		}
		file = cli_need(strndup(settings[i].origin, (size_t)(colon - settings[i].origin)));
		if (!strstr(files, file)) {
			cli_append(&files, "%s%s", *files ? ", " : "", file);
		}
	}
	note(checks, "configuration", "ok", cli_format("%s", *files ? files : "defaults only"));
	free(files);
}

static void check_backend(struct checks *checks)
{
	const char *name = cli_setting(checks->cli, "backend");
	struct guestlock_error err;
	int status = guestlock_probe(checks->cli->gl, &err);

	if (status == GUESTLOCK_OK) {
		note(checks, "backend", "ok", cli_format("%s works here and protects", name));
	} else {
		problem(checks, "backend", cli_exit_status(checks->cli, status),
			cli_format("%s: %s", name, err.message));
	}
}

static void check_run_dir(struct checks *checks)
{
	const char *path = cli_setting(checks->cli, "run_dir");
	char why[GUESTLOCK_WHY_NOT_SIZE];
	struct stat st;

	if (!guestlock_directory_is_ours(path, why)) {
		problem(checks, "run directory", EX_NOPERM, cli_format("%s: %s", path, why));
	} else if (stat(path, &st) != 0) {
		if (errno == ENOENT) {
			note(checks, "run directory", "ok",
			     cli_format("%s will be made by the first guest", path));
		} else {
			problem(checks, "run directory", EX_NOPERM,
				cli_format("%s: %s", path, strerror(errno)));
		}
	} else if (!S_ISDIR(st.st_mode)) {
		problem(checks, "run directory", EX_CANTCREAT, cli_format("%s is not a directory", path));
	} else if (access(path, R_OK | W_OK | X_OK) != 0) {
		problem(checks, "run directory", errno == EROFS ? EX_CANTCREAT : EX_NOPERM,
			cli_format("%s cannot be written: %s", path, strerror(errno)));
	} else {
		note(checks, "run directory", "ok", cli_format("%s", path));
	}
}

static char *keeper_pids(const struct guestlock_keeper_info *info)
{
	if (info->guard == 0) {
		return cli_format(
			"pid %d alone, as its guard was killed; another one comes as soon as nothing is "
			"under way",
			(int)info->worker);
	}
	return cli_format("pid %d and %d", (int)info->guard, (int)info->worker);
}

static void check_keeper(struct checks *checks)
{
	struct guestlock_keeper_info info;
	CLI_AUTOFREE char *pids = NULL;

	guestlock_get_keeper(checks->cli->gl, &info, NULL);
	if (!info.running) {
		if (info.used) {
			note(checks, "keeper", "ok", cli_format("does not run; the next guest starts it"));
		}
		return;
	}
	pids = keeper_pids(&info);
	/* One that has left, or was not needed yet, is fine. */
	if (info.message[0] && strcmp(info.state, "out") != 0) {
		problem(checks, "keeper", EX_UNAVAILABLE,
			cli_format("%s, version %s, backend %s is %s: %s", pids, info.version, info.backend,
				   info.state, info.message));
		return;
	}
	note(checks, "keeper", "ok",
	     cli_format("%s, version %s, backend %s is %s, %u calls under way%s", pids, info.version,
			info.backend, info.state, info.calls,
			info.used ? "" : "; guests need none with this backend"));
}

/* Is it a directory of the backend, where its locks are? */
static bool is_backend_path(const struct checks *checks, const struct guestlock_setting *setting)
{
	return strcmp(setting->section, cli_setting(checks->cli, "backend")) == 0 &&
	       strcmp(setting->type, "path") == 0;
}

/* Whether they can be used is for the backend to say. */
static void check_other_directories(struct checks *checks)
{
	size_t count;
	const struct guestlock_setting *settings = guestlock_settings(checks->cli->gl, &count);

	note(checks, "state directory", "ok", cli_format("%s", cli_setting(checks->cli, "state_dir")));
	for (size_t i = 0; i < count; i++) {
		if (is_backend_path(checks, &settings[i])) {
			note(checks, settings[i].key, "ok", cli_format("%s", settings[i].value));
		}
	}
}

/* " unless they use the same lock_dir", with whatever the backend calls its directories. */
static char *exception_words(const struct checks *checks)
{
	size_t count;
	const struct guestlock_setting *settings = guestlock_settings(checks->cli->gl, &count);
	char *words = cli_need(strdup(""));

	for (size_t i = 0; i < count; i++) {
		if (is_backend_path(checks, &settings[i])) {
			cli_append(&words, "%s%s", *words ? " and " : ", unless they use the same ",
				   settings[i].key);
		}
	}
	return words;
}

static void check_user(struct checks *checks)
{
	CLI_AUTOFREE char *exception = NULL;

	if (geteuid() == 0) {
		note(checks, "user", "ok",
		     cli_format("root: guests of other users and in other run directories are not listed"));
		return;
	}
	exception = exception_words(checks);
	note(checks, "user", "note",
	     cli_format("user %u, not root: has guests of its own in the directories above, separate from "
			"root's. Root's are not listed, and both can use one disk at the same time%s: let "
			"one user run all guests that could use the same disks",
			(unsigned)geteuid(), exception));
}

static char *holder_words(const struct guestlock_holder *holders, size_t count)
{
	char *words = cli_need(strdup(count > 0 ? "held by " : "held by nobody"));

	for (size_t i = 0; i < count; i++) {
		CLI_AUTOFREE char *guest =
			cli_guest_words(holders[i].name, *holders[i].uuid ? holders[i].uuid : "unknown");

		CLI_AUTOFREE char *mode = cli_mode_cell(&holders[i]);

		cli_append(&words, "%s%s on %s, %s", i > 0 ? "; " : "", guest,
			   *holders[i].host ? holders[i].host : "an unknown host", mode);
	}
	return words;
}

/* No lock keeps the host from what it does with a disk: that is said, and refuses nothing. */
static void check_host(struct checks *checks, const struct guestlock_resource *resource)
{
	CLI_AUTOFREE char *uses = NULL;
	char *rest = NULL;

	if (guestlock_host_uses(checks->cli->gl, resource, &uses, NULL) != GUESTLOCK_OK) {
		return;
	}
	for (char *line = strtok_r(uses, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		note(checks, resource->name, "note",
		     cli_format("%s; the host and a guest must not both write to it", line));
	}
}

/* Has the selected backend that capability? */
static bool can(struct checks *checks, const char *capability)
{
	struct guestlock_backend_info *infos;
	size_t count;
	bool found = false;
	const char *name;

	if (guestlock_backends(checks->cli->gl, &infos, &count, NULL) != GUESTLOCK_OK) {
		return false;
	}
	for (unsigned bit = 0; (name = guestlock_capability_name(bit)) != NULL; bit++) {
		for (size_t i = 0; i < count && strcmp(name, capability) == 0; i++) {
			found |= infos[i].selected && (infos[i].capabilities & 1U << bit);
		}
	}
	guestlock_backends_free(infos, count);
	return found;
}

/* What makes a disk the same on other hosts is for people to see to where it is a name. */
static void check_identity(struct checks *checks, const struct guestlock_resource *resource,
			   const char *identity)
{
	if (resource->type != GUESTLOCK_DISK || !can(checks, "hosts")) {
		return;
	}
	if (strncmp(identity, "file:", 5) == 0 || strstr(identity, ":file:")) {
		note(checks, resource->name, "note",
		     cli_format(
			     "other hosts know a file by its path: it must be mounted there, too, where it is "
			     "here"));
	} else if (strncmp(identity, "device:", 7) == 0 || strstr(identity, ":device:")) {
		note(checks, resource->name, "note",
		     cli_format(
			     "the kernel gives this device no identity but its name here, which may be that of "
			     "another disk on another host: guests get it only with allow_local_names = yes"));
	}
}

static void check_resource(struct checks *checks, const struct guestlock_resource *resource,
			   struct json_object *array)
{
	CLI_AUTOFREE struct guestlock_holder *holders = NULL;
	CLI_AUTOFREE char *identity = NULL, *words = NULL;
	struct json_object *object;
	char key[GUESTLOCK_KEY_SIZE];
	struct guestlock_error err;
	size_t count = 0;
	int status = guestlock_identify(checks->cli->gl, resource, &identity, key, &err);

	if (status == GUESTLOCK_OK) {
		status = guestlock_holders(checks->cli->gl, resource, &holders, &count, &err);
	}
	if (status != GUESTLOCK_OK) {
		problem(checks, resource->name, cli_exit_status(checks->cli, status),
			cli_format("%s", err.message));
		return;
	}
	words = holder_words(holders, count);
	note(checks, resource->name, "ok", cli_format("identity %s, key %s, %s", identity, key, words));
	check_identity(checks, resource, identity);
	check_host(checks, resource);
	object = cli_json_object();
	cli_json_text(object, "resource", resource->name);
	cli_json_text(object, "identity", identity);
	cli_json_text(object, "key", key);
	cli_json_add(object, "holders", cli_json_holders(checks->cli, holders, count));
	cli_json_append(array, object);
}

static int check_all(struct cli *cli, const struct cli_resources *list)
{
	struct checks checks = {
		.cli = cli,
		.listing = cli_begin_listing(cli, "checks", check_columns, CLI_COUNT(check_columns)),
	};
	struct json_object *resources = cli_json_array();

	check_configuration(&checks);
	check_backend(&checks);
	check_run_dir(&checks);
	check_keeper(&checks);
	check_other_directories(&checks);
	check_user(&checks);
	for (size_t i = 0; i < list->count; i++) {
		check_resource(&checks, &list->items[i], resources);
	}
	cli_json_add(checks.listing.top, "resources", resources);
	cli_json_bool(checks.listing.top, "ok", checks.status == EX_OK);
	cli_end_listing(&checks.listing);
	return checks.status;
}

int cli_check(struct cli *cli, int argc, char **argv)
{
	CLI_AUTORESOURCES struct cli_resources list = {0};
	int status = cli_resources_parse(cli, argc, argv, &list);

	status = status != 0 ? status : cli_open(cli);
	return status != 0 ? status : check_all(cli, &list);
}
