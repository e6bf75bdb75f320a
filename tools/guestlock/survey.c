/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the guests of all hosts hold, and the hosts that do not say. */
#include "cli.h"

#include <string.h>

int cli_survey(struct cli *cli, struct guestlock_survey **out_survey)
{
	struct guestlock_error err;
	int status = cli_open(cli);

	if (status != 0) {
		return status;
	}
	status = guestlock_survey(cli->gl, NULL, out_survey, &err);
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, &err);
	}
	cli_name_silent(cli, *out_survey);
	return EX_OK;
}

void cli_name_silent(struct cli *cli, const struct guestlock_survey *survey)
{
	for (size_t i = 0; i < survey->n_silent; i++) {
		cli_log(cli, GUESTLOCK_LOG_WARNING,
			"host %s did not tell what its guests hold (%s): they are not shown",
			survey->silent[i].host, survey->silent[i].reason);
	}
}

struct json_object *cli_json_silent(const struct guestlock_survey *survey)
{
	struct json_object *array = cli_json_array();

	for (size_t i = 0; survey && i < survey->n_silent; i++) {
		struct json_object *object = cli_json_object();

		cli_json_text(object, "host", survey->silent[i].host);
		cli_json_text(object, "reason", survey->silent[i].reason);
		cli_json_append(array, object);
	}
	return array;
}

size_t cli_next_guest(const struct guestlock_survey *survey, size_t first)
{
	const struct guestlock_holder *guest = &survey->locks[first].holder;
	size_t i = first + 1;

	while (i < survey->n_locks && survey->locks[i].holder.instance == guest->instance &&
	       strcmp(survey->locks[i].holder.uuid, guest->uuid) == 0 &&
	       strcmp(survey->locks[i].holder.host, guest->host) == 0) {
		i++;
	}
	return i;
}

bool cli_is_guest_lock(const struct guestlock_survey_lock *lock)
{
	return strncmp(lock->identity, "guest:", strlen("guest:")) == 0;
}

/* ---- list ---- */

static const struct cli_column columns[] = {
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
		char *longer;

		if (cli_is_guest_lock(lock)) {
			continue;
		}
		longer = cli_format("%s%s%s %s", words, *words ? ", " : "",
				    guestlock_mode_name(lock->holder.mode), words_of(lock));
		free(words);
		words = longer;
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

static void add_row(struct libscols_table *table, const struct guestlock_survey *survey, size_t first,
		    size_t end)
{
	const struct guestlock_holder *guest = &survey->locks[first].holder;
	CLI_AUTOFREE char *pid = guest->pid > 0 ? cli_format("%d", (int)guest->pid) : NULL;
	CLI_AUTOFREE char *since = cli_time(since_of(survey, first, end));
	CLI_AUTOFREE char *locks = lock_words(survey, first, end);
	const char *cells[] = {guest->host, guest->name, guest->uuid, pid, since, locks};

	cli_table_row(table, columns, cells, CLI_COUNT(cells));
}

static struct json_object *json_guest(const struct guestlock_survey *survey, size_t first, size_t end)
{
	const struct guestlock_holder *guest = &survey->locks[first].holder;
	struct json_object *object = cli_json_object(), *locks = cli_json_array();

	cli_json_text(object, "host", guest->host);
	cli_json_text(object, "uuid", guest->uuid);
	cli_json_text(object, "name", guest->name);
	cli_json_hex(object, "instance", guest->instance);
	cli_json_number(object, "pid", guest->pid);
	cli_json_number(object, "since", since_of(survey, first, end));
	for (size_t i = first; i < end; i++) {
		struct json_object *lock = cli_json_object();

		cli_json_text(lock, "identity", survey->locks[i].identity);
		cli_json_text(lock, "key", survey->locks[i].key);
		cli_json_text(lock, "mode", guestlock_mode_name(survey->locks[i].holder.mode));
		cli_json_number(lock, "since", survey->locks[i].holder.since);
		cli_json_append(locks, lock);
	}
	cli_json_add(object, "locks", locks);
	return object;
}

int cli_list_cluster(struct cli *cli)
{
	CLI_AUTOSURVEY struct guestlock_survey *survey = NULL;
	struct libscols_table *table;
	struct json_object *top, *guests;
	size_t end;
	int status = cli_survey(cli, &survey);

	if (status != 0) {
		return status;
	}
	table = cli_table(cli, columns, CLI_COUNT(columns));
	top = cli_json_object();
	guests = cli_json_array();
	for (size_t i = 0; i < survey->n_locks; i = end) {
		end = cli_next_guest(survey, i);
		add_row(table, survey, i, end);
		cli_json_append(guests, json_guest(survey, i, end));
	}
	cli_json_add(top, "guests", guests);
	cli_json_add(top, "silent", cli_json_silent(survey));
	cli_print_either(cli, table, top);
	return EX_OK;
}
