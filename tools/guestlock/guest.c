/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A new guest from what the command line says about it. */
#include "cli.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* A random uuid (RFC 4122, version 4). */
static int make_up_uuid(char out_uuid[GUESTLOCK_UUID_STRING])
{
	unsigned char bytes[16];
	size_t at = 0;

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
		cli_complain("cannot make up a uuid: %s; name one with --uuid", strerror(errno));
		return EX_OSERR;
	}
	bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
	bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10) {
			out_uuid[at++] = '-';
		}
		at += (size_t)snprintf(out_uuid + at, GUESTLOCK_UUID_STRING - at, "%02x", bytes[i]);
	}
	return 0;
}

static int set_param(const struct cli *cli, struct guestlock_guest *guest, const char *key, const char *value)
{
	struct guestlock_error err;
	int status = value ? guestlock_guest_set_param(guest, key, value, &err) : GUESTLOCK_OK;

	return status == GUESTLOCK_OK ? 0 : cli_fail(cli, status, &err);
}

/* --param K=V */
static int set_other_param(const struct cli *cli, struct guestlock_guest *guest, const char *text)
{
	const char *equals = strchr(text, '=');
	CLI_AUTOFREE char *key = cli_need(strndup(text, (size_t)(equals - text)));

	return set_param(cli, guest, key, equals + 1);
}

static int describe(const struct cli *cli, const struct cli_guest *from, struct guestlock_guest *guest)
{
	int status = set_param(cli, guest, "uuid", from->uuid);

	if (status == 0) {
		status = set_param(cli, guest, "name", from->name);
	}
	if (status == 0) {
		status = set_param(cli, guest, "id", from->id);
	}
	if (status == 0 && from->qmp) {
		CLI_AUTOFREE char *path = cli_absolute(from->qmp);

		status = set_param(cli, guest, GUESTLOCK_PARAM_QMP, path);
	}
	for (size_t i = 0; status == 0 && i < from->n_params; i++) {
		status = set_other_param(cli, guest, from->params[i]);
	}
	for (size_t i = 0; status == 0 && i < from->resources.count; i++) {
		struct guestlock_error err;

		status = guestlock_guest_register_resource(guest, &from->resources.items[i], &err);
		if (status != GUESTLOCK_OK) {
			return cli_fail(cli, status, &err);
		}
	}
	return status;
}

int cli_new_guest(struct cli *cli, struct cli_guest *from, enum guestlock_new_mode mode,
		  struct guestlock_guest **out_guest)
{
	CLI_AUTOGUEST struct guestlock_guest *guest = NULL;
	struct guestlock_error err;
	int status;

	if (!from->uuid) {
		status = make_up_uuid(from->made_up);
		if (status != 0) {
			return status;
		}
		from->uuid = from->made_up;
	}
	status = guestlock_guest_new(cli->gl, mode, &guest, &err);
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, &err);
	}
	status = describe(cli, from, guest);
	if (status == 0) {
		*out_guest = guest;
		guest = NULL;
	}
	return status;
}
