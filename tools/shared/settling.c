/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "settling.h"

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

/* "NAME (UUID)", malloc'd. */
char *follow_words(const struct guestlock_info *info)
{
	char *words = NULL;
	int length = info->name && *info->name ? asprintf(&words, "%s (%s)", info->name, info->uuid)
					       : asprintf(&words, "%s", info->uuid);

	return follow_need(length < 0 ? NULL : words);
}

void settling_release(struct settling *settling)
{
	if (settling && __atomic_sub_fetch(&settling->owners, 1, __ATOMIC_ACQ_REL) == 0) {
		free(settling->words);
		free(settling);
	}
}

bool settling_is_done(const struct settling *settling)
{
	return __atomic_load_n(&settling->done, __ATOMIC_ACQUIRE);
}

static bool shut_down(const struct settling *settling)
{
	struct guestlock_guest *handle = NULL;
	int status = guestlock_guest_new(settling->follow->gl, GUESTLOCK_NEW_ATTACH, &handle, NULL);

	if (status == GUESTLOCK_OK) {
		status = guestlock_guest_set_param(handle, "uuid", settling->uuid, NULL);
	}
	if (status == GUESTLOCK_OK) {
		status = guestlock_guest_set_life(handle, settling->instance, 0, NULL);
	}
	if (status == GUESTLOCK_OK) {
		status = guestlock_guest_shutdown(handle, 0, NULL);
	}
	guestlock_guest_free(handle);
	if (status == GUESTLOCK_OK) {
		follow_say(settling->follow, GUESTLOCK_LOG_INFO, "guest %s is dead: its locks are released",
			   settling->words);
	}
	/* Who started it anew has released what was left of this life. */
	return status == GUESTLOCK_OK || status == GUESTLOCK_REPLACED;
}

static bool reap_all(const struct settling *settling)
{
	struct guestlock_error err;

	if (guestlock_reap(settling->follow->gl, NULL, &err) == GUESTLOCK_OK) {
		return true;
	}
	follow_say(settling->follow, GUESTLOCK_LOG_ERROR, "%s", err.message);
	return false;
}

static void work(void *argument)
{
	struct settling *settling = argument;

	settling->failed = settling->uuid[0] ? !shut_down(settling) : !reap_all(settling);
	__atomic_store_n(&settling->done, true, __ATOMIC_RELEASE);
	settling_release(settling);
}

struct settling *settling_begin(const struct follow *follow, const struct guestlock_info *info)
{
	struct settling *settling = follow_need(calloc(1, sizeof(*settling)));

	settling->follow = follow;
	settling->owners = 2;
	if (info) {
		settling->words = follow_words(info);
		settling->instance = info->instance;
		memcpy(settling->uuid, info->uuid, sizeof(settling->uuid));
	}
	if (!follow->start || !follow->start(follow->start_data, work, settling)) {
		work(settling);
	}
	return settling;
}
