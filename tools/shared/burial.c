/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Releasing what one dead guest held, or everything that can be: the follower begins it, another thread may
 * do it, and neither waits for the other.
 */
#include "burial.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *follow_need(void *memory)
{
	if (!memory) {
		fputs("guestlock: out of memory\n", stderr);
		_exit(EXIT_FAILURE);
	}
	return memory;
}

void follow_say(const struct follow *follow, enum guestlock_log_level level, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0) {
		text = NULL;
	}
	va_end(args);
	follow->log(follow->log_data, level, follow_need(text));
	free(text);
}

char *follow_words(const struct guestlock_info *info)
{
	char *words = NULL;
	int length = info->name && *info->name ? asprintf(&words, "%s (%s)", info->name, info->uuid)
					       : asprintf(&words, "%s", info->uuid);

	return follow_need(length < 0 ? NULL : words);
}

void burial_release(struct burial *burial)
{
	if (burial && __atomic_sub_fetch(&burial->owners, 1, __ATOMIC_ACQ_REL) == 0) {
		free(burial->words);
		free(burial);
	}
}

bool burial_is_done(const struct burial *burial)
{
	return __atomic_load_n(&burial->done, __ATOMIC_ACQUIRE);
}

int follow_attach(const struct follow *follow, const char *uuid, uint64_t instance,
		  struct guestlock_guest **out_handle)
{
	int status = guestlock_guest_new(follow->gl, GUESTLOCK_NEW_ATTACH, out_handle, NULL);

	if (status == GUESTLOCK_OK) {
		status = guestlock_guest_set_param(*out_handle, "uuid", uuid, NULL);
	}
	if (status == GUESTLOCK_OK) {
		status = guestlock_guest_set_life(*out_handle, instance, 0, NULL);
	}
	return status;
}

static bool shut_down(const struct burial *burial)
{
	struct guestlock_guest *handle = NULL;
	int status = follow_attach(burial->follow, burial->uuid, burial->instance, &handle);

	if (status == GUESTLOCK_OK) {
		status = guestlock_guest_shutdown(handle, 0, NULL);
	}
	guestlock_guest_free(handle);
	if (status == GUESTLOCK_OK) {
		follow_say(burial->follow, GUESTLOCK_LOG_INFO, "guest %s is dead: its locks are released",
			   burial->words);
	}
	/* Who started it anew has released what was left of this life. */
	return status == GUESTLOCK_OK || status == GUESTLOCK_REPLACED;
}

static bool reap_all(const struct burial *burial)
{
	struct guestlock_error err;

	if (guestlock_reap(burial->follow->gl, NULL, &err) == GUESTLOCK_OK) {
		return true;
	}
	follow_say(burial->follow, GUESTLOCK_LOG_ERROR, "%s", err.message);
	return false;
}

static void work(void *argument)
{
	struct burial *burial = argument;

	burial->failed = burial->uuid[0] ? !shut_down(burial) : !reap_all(burial);
	__atomic_store_n(&burial->done, true, __ATOMIC_RELEASE);
	burial_release(burial);
}

struct burial *burial_begin(const struct follow *follow, const struct guestlock_info *info)
{
	struct burial *burial = follow_need(calloc(1, sizeof(*burial)));

	burial->follow = follow;
	burial->owners = 2;
	if (info) {
		burial->words = follow_words(info);
		burial->instance = info->instance;
		memcpy(burial->uuid, info->uuid, sizeof(burial->uuid));
	}
	if (!follow->start || !follow->start(follow->start_data, work, burial)) {
		work(burial);
	}
	return burial;
}
