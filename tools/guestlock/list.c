/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * list: the guests of this host, from their records; or those of all hosts, from what the backend knows of
 * their locks.
 */
#include "cli.h"

#include <string.h>

const struct cli_option cli_list_options[] = {
	{0, "cluster", NULL, "show what the guests of all hosts hold", cli_take_flag, 0},
	{0},
};

/* ---- This host ---- */

static const struct cli_column list_columns[] = {
	{.name = "NAME"},
	{.name = "UUID"},
	{.name = "PID", .right = true},
	{.name = "STATE", .is_state = true},
	{.name = "LIFE", .is_state = true},
	{.name = "DISKS", .right = true},
	{.name = "SINCE"},
};

static size_t count_disks(const struct guestlock_info *info)
{
	size_t count = 0;

	for (size_t i = 0; i < info->n_resources; i++) {
		count += info->resources[i].type == GUESTLOCK_DISK;
	}
	return count;
}

static void list_row(const struct cli_listing *listing, const struct guestlock_info *info, const char *pid)
{
	CLI_AUTOFREE char *disks = cli_format("%zu", count_disks(info));
	CLI_AUTOFREE char *since = cli_time(info->since);
	const char *cells[] = {
		info->name,
		info->uuid,
		pid,
		guestlock_guest_state_name(info->state),
		guestlock_life_name(info->life),
		disks,
		since,
	};
	const char *damaged[CLI_COUNT(cells)] = {NULL, info->uuid, NULL, "damaged", NULL, NULL, NULL};

	cli_add_row(listing, info->damage ? damaged : cells);
}

static void list_guests(struct cli *cli, struct guestlock_info *const *infos, size_t count)
{
	const struct cli_listing listing =
		cli_begin_listing(cli, "guests", list_columns, CLI_COUNT(list_columns));

	for (size_t i = 0; i < count; i++) {
		const struct cli_pid pid = cli_look_pid(cli, infos[i]->uuid, infos[i]->instance,
							infos[i]->pid, infos[i]->pid_ns);
		CLI_AUTOFREE char *cell = cli_pid_cell(cli, &pid);

		list_row(&listing, infos[i], cell);
		cli_json_append(listing.array, cli_json_guest(infos[i], &pid));
	}
	cli_end_listing(&listing);
	cli_explain_pids(cli);
	for (size_t i = 0; !cli->json && i < count; i++) {
		if (infos[i]->damage) {
			cli_log(cli, GUESTLOCK_LOG_WARNING, "the record of guest %s is damaged: %s",
				infos[i]->uuid, infos[i]->damage);
		}
	}
}

/* ---- All hosts ---- */

static const struct cli_column cluster_columns[] = {
	{.name = "HOST"},  {.name = "NAME"},  {.name = "UUID"}, {.name = "PID", .right = true},
	{.name = "SINCE"}, {.name = "LOCKS"},
};

static const char *words_of(const struct guestlock_survey_lock *lock)
{
	return *lock->identity ? lock->identity : lock->key;
}

/* "exclusive file:/a, shared lease:...": of one guest, without the lock of the guest itself. */
static char *lock_words(const struct guestlock_survey *survey, size_t first, size_t end)
{
	char *words = cli_format("%s", "");

	for (size_t i = first; i < end; i++) {
		const struct guestlock_survey_lock *lock = &survey->locks[i];

		if (!cli_is_guest_lock(lock)) {
			CLI_AUTOFREE char *mode = cli_mode_cell(&lock->holder);

			cli_append(&words, "%s%s %s", *words ? ", " : "", mode, words_of(lock));
		}
	}
	return words;
}

/* The first of its locks; 0: not known of any. */
static int64_t since_of(const struct guestlock_survey *survey, size_t first, size_t end)
{
	int64_t since = 0;

	for (size_t i = first; i < end; i++) {
		int64_t one = survey->locks[i].holder.since;

		since = one && (!since || one < since) ? one : since;
	}
	return since;
}

static void cluster_row(const struct cli_listing *listing, const struct guestlock_survey *survey,
			size_t first, size_t end, const char *pid)
{
	const struct guestlock_holder *guest = &survey->locks[first].holder;
	CLI_AUTOFREE char *since = cli_time(since_of(survey, first, end));
	CLI_AUTOFREE char *locks = lock_words(survey, first, end);
	const char *cells[] = {guest->host, guest->name, guest->uuid, pid, since, locks};

	cli_add_row(listing, cells);
}

static struct json_object *cluster_json(const struct guestlock_survey *survey, size_t first, size_t end,
					const struct cli_pid *pid)
{
	const struct guestlock_holder *guest = &survey->locks[first].holder;
	struct json_object *object = cli_json_object(), *locks = cli_json_array();

	cli_json_text(object, "host", guest->host);
	cli_json_text(object, "uuid", guest->uuid);
	cli_json_text(object, "name", guest->name);
	cli_json_hex(object, "instance", guest->instance);
	cli_json_pid(object, pid);
	cli_json_number(object, "since", since_of(survey, first, end));
	for (size_t i = first; i < end; i++) {
		struct json_object *lock = cli_json_object();

		cli_json_text(lock, "identity", survey->locks[i].identity);
		cli_json_text(lock, "key", survey->locks[i].key);
		cli_json_use(lock, &survey->locks[i].holder);
		cli_json_number(lock, "since", survey->locks[i].holder.since);
		cli_json_append(locks, lock);
	}
	cli_json_add(object, "locks", locks);
	return object;
}

static int list_cluster(struct cli *cli)
{
	CLI_AUTOSURVEY struct guestlock_survey *survey = NULL;
	struct cli_listing listing;
	size_t end;
	int status = cli_survey(cli, &survey);

	if (status != 0) {
		return status;
	}
	listing = cli_begin_listing(cli, "guests", cluster_columns, CLI_COUNT(cluster_columns));
	for (size_t i = 0; i < survey->n_locks; i = end) {
		const struct guestlock_holder *guest = &survey->locks[i].holder;
		const struct cli_pid pid =
			cli_look_pid(cli, guest->uuid, guest->instance, guest->pid, guest->pid_ns);
		CLI_AUTOFREE char *cell = cli_pid_cell(cli, &pid);

		end = cli_next_guest(survey, i);
		cluster_row(&listing, survey, i, end, cell);
		cli_json_append(listing.array, cluster_json(survey, i, end, &pid));
	}
	cli_json_add(listing.top, "silent", cli_json_silent(survey));
	cli_end_listing(&listing);
	cli_explain_pids(cli);
	return EX_OK;
}

/* ---- The command ---- */

int cli_list(struct cli *cli, int argc, char **argv)
{
	struct guestlock_info **infos;
	struct guestlock_error err;
	bool cluster = false;
	size_t count;
	int status;

	if (cli_parse(cli, argc, argv, &cluster) != 0 || cli_no_arguments(cli, argc, argv) != 0) {
		return EX_USAGE;
	}
	if (cluster) {
		return list_cluster(cli);
	}
	status = cli_open(cli);
	if (status != 0) {
		return status;
	}
	status = guestlock_list(cli->gl, &infos, &count, &err);
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, &err);
	}
	list_guests(cli, infos, count);
	guestlock_list_free(infos, count);
	return EX_OK;
}
