/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command and the library: opening it, its messages, its errors as exit statuses. */
#include "cli.h"

#include <string.h>
#include <unistd.h>

/* The one place where a status of the library becomes an exit status. BUSY is what -E sets. */
static const int exit_statuses[] = {
	[-GUESTLOCK_OK] = EX_OK,
	[-GUESTLOCK_FAILED] = EX_SOFTWARE,
	[-GUESTLOCK_BUSY] = CLI_BUSY,
	[-GUESTLOCK_STALE] = EX_DATAERR,
	[-GUESTLOCK_UNPROVEN] = EX_DATAERR,
	[-GUESTLOCK_INDETERMINATE] = EX_TEMPFAIL,
	[-GUESTLOCK_TIMEOUT] = EX_TEMPFAIL,
	[-GUESTLOCK_UNAVAILABLE] = EX_UNAVAILABLE,
	[-GUESTLOCK_UNSAFE] = EX_UNAVAILABLE,
	[-GUESTLOCK_UNSUPPORTED] = EX_UNAVAILABLE,
	[-GUESTLOCK_DENIED] = EX_NOPERM,
	[-GUESTLOCK_IO] = EX_IOERR,
	[-GUESTLOCK_CANNOT_CREATE] = EX_CANTCREAT,
	[-GUESTLOCK_DAMAGED] = EX_DATAERR,
	[-GUESTLOCK_INVALID] = EX_USAGE,
	[-GUESTLOCK_CONFIG] = EX_CONFIG,
	[-GUESTLOCK_NOT_FOUND] = EX_NOINPUT,
	[-GUESTLOCK_REJECTED] = EX_DATAERR,
	[-GUESTLOCK_ALIVE] = EX_NOPERM,
	[-GUESTLOCK_DEAD] = EX_NOINPUT,
	[-GUESTLOCK_UNTETHERED] = EX_UNAVAILABLE,
	[-GUESTLOCK_ALIASED] = EX_DATAERR,
	[-GUESTLOCK_FORKED] = EX_SOFTWARE,
	[-GUESTLOCK_NO_MEMORY] = EX_OSERR,
	[-GUESTLOCK_REPLACED] = EX_NOINPUT,
};

int cli_exit_status(const struct cli *cli, int status)
{
	if (status == GUESTLOCK_BUSY) {
		return cli->busy_status;
	}
	if (status > 0 || -status >= (int)CLI_COUNT(exit_statuses)) {
		return EX_SOFTWARE;
	}
	return exit_statuses[-status];
}

int cli_fail(const struct cli *cli, int status, const struct guestlock_error *err)
{
	if (err && err->message[0]) {
		cli_complain("%s", err->message);
	} else {
		cli_complain("%s", guestlock_status_text(status));
	}
	return cli_exit_status(cli, status);
}

/* Called by the library from any thread: reads the structure only. */
static void log_message(void *data, enum guestlock_log_level level, const char *message)
{
	const struct cli *cli = data;
	CLI_AUTOFREE char *printable = cli_printable(message);

	if (cli->log.kind != LOG_TO_STDERR || !cli->quiet || level == GUESTLOCK_LOG_ERROR) {
		log_target_write(&cli->log, level, printable);
	}
}

void cli_log(struct cli *cli, enum guestlock_log_level level, const char *format, ...)
{
	CLI_AUTOFREE char *text = NULL;
	va_list args;

	va_start(args, format);
	text = cli_vformat(format, args);
	va_end(args);
	log_message(cli, level, text);
}

const char *cli_setting(const struct cli *cli, const char *key)
{
	size_t count;
	const struct guestlock_setting *settings = guestlock_settings(cli->gl, &count);

	for (size_t i = 0; i < count; i++) {
		if (strcmp(settings[i].section, "guestlock") == 0 && strcmp(settings[i].key, key) == 0) {
			return settings[i].value;
		}
	}
	return "";
}

/* Until here messages went to standard error. */
static int direct_messages(struct cli *cli)
{
	const char *where = cli_setting(cli, "log");
	int failure = log_target_choose(&cli->log, where);

	cli->log.least = log_level_named(cli_setting(cli, "log_level"));
	if (failure) {
		cli_complain("cannot write to the log file %s: %s; check the setting \"log\"", where,
			     strerror(failure));
	}
	return failure ? EX_CANTCREAT : 0;
}

/*
 * What is not found, or is wrong, is nothing that stands on the command line: the configuration or the
 * backend.
 */
static int open_exit_status(const struct cli *cli, int status)
{
	const char *file = cli->config_file ? cli->config_file : getenv("GUESTLOCK_CONFIG");

	if (status == GUESTLOCK_NOT_FOUND || status == GUESTLOCK_INVALID) {
		return file && access(file, R_OK) != 0 ? EX_CONFIG : EX_UNAVAILABLE;
	}
	return cli_exit_status(cli, status);
}

int cli_open(struct cli *cli)
{
	CLI_AUTOFREE char *timeout = NULL;
	CLI_AUTOFREE const char **overrides = cli_need(calloc(cli->n_settings + 2, sizeof(*overrides)));
	struct guestlock_options options = {
		.size = sizeof(options),
		.config_file = cli->config_file,
		.overrides = overrides,
		.log = log_message,
		.log_data = cli,
	};
	struct guestlock_error err;
	int status;

	if (cli->n_settings > 0) {
		memcpy(overrides, cli->settings, cli->n_settings * sizeof(*overrides));
	}
	if (cli->timeout) {
		timeout = cli_format("guestlock.acquire_timeout=%s", cli->timeout);
		overrides[cli->n_settings] = timeout;
	}
	status = guestlock_open(&cli->gl, &options, &err);
	if (status != GUESTLOCK_OK) {
		cli_fail(cli, status, &err);
		return open_exit_status(cli, status);
	}
	return direct_messages(cli);
}

int cli_attach_guest(const struct cli *cli, const char *text, struct guestlock_guest **out_guest,
		     char out_uuid[GUESTLOCK_UUID_STRING])
{
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	CLI_AUTOINFO struct guestlock_info *info = NULL;
	struct guestlock_error err;
	int status = guestlock_guest_new(cli->gl, GUESTLOCK_NEW_ATTACH, &guest, &err);

	if (status == GUESTLOCK_OK && guestlock_guest_set_param(guest, "uuid", text, NULL) != GUESTLOCK_OK) {
		status = guestlock_guest_set_param(guest, "name", text, &err);
	}
	if (status == GUESTLOCK_OK) {
		status = guestlock_guest_info(guest, &info, &err);
	}
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, &err);
	}
	if (out_uuid) {
		memcpy(out_uuid, info->uuid, GUESTLOCK_UUID_STRING);
	}
	*out_guest = guest;
	guest = NULL;
	return 0;
}

int cli_open_guest(struct cli *cli, int argc, char **argv, struct guestlock_guest **out_guest,
		   char out_uuid[GUESTLOCK_UUID_STRING])
{
	const char *text;
	int status;

	if (cli_one_argument(cli, argc, argv, "a guest", &text) != 0) {
		return EX_USAGE;
	}
	status = cli_open(cli);
	return status != 0 ? status : cli_attach_guest(cli, text, out_guest, out_uuid);
}

char *cli_guest_words(const char *name, const char *uuid)
{
	return name && *name ? cli_format("%s (%s)", name, uuid) : cli_format("%s", uuid);
}
