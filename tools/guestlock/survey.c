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
