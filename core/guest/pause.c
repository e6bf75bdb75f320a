/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pausing a guest, and the state strings that say what it held. */
#include "base/base.h"
#include "base/error.h"
#include "guest/guest.h"

#include <string.h>

static int state_of_record(const struct guestlock *gl, struct gl_record *record, char **out_text,
			   struct guestlock_error *err)
{
	struct gl_state state = {0};
	int status;

	gl_copy_cut(state.technology, sizeof(state.technology), gl_technology(gl));
	memcpy(state.uuid, record->uuid, sizeof(state.uuid));
	state.entries = calloc(record->n_resources + 1, sizeof(*state.entries));
	if (!state.entries) {
		return gl_fail_memory(err);
	}
	for (size_t i = 0; i < record->n_resources; i++) {
		const struct gl_holding *holding =
			gl_resource_holding(&record->resources[i], gl_technology(gl), false);
		struct gl_state_entry *entry = &state.entries[state.count];

		if (!holding || holding->state == GUESTLOCK_RESOURCE_NONE) {
			continue;
		}
		memcpy(entry->key, record->resources[i].key, sizeof(entry->key));
		entry->has_epoch = holding->has_epoch;
		entry->epoch = holding->epoch;
		state.count++;
	}
	status = gl_state_format(&state, out_text, err);
	gl_state_clear(&state);
	return status;
}

int guestlock_guest_pause(struct guestlock_guest *guest, unsigned flags, char **out_state,
			  struct guestlock_error *err)
{
	const struct gl_wish wish = {
		.event = GL_EVENT_PAUSE,
		.stopped = (flags & GUESTLOCK_EXTERNALLY_STOPPED) != 0,
		.flushed = (flags & GUESTLOCK_EXTERNALLY_FLUSHED) != 0,
	};
	struct gl_operation_run run;
	int status = gl_guest_begin(guest, &run, err);

	if (status < 0) {
		return status;
	}
	status = gl_run_wish(&run, &wish, err);
	if (run.record && run.life == GUESTLOCK_LIFE_DEAD) {
		gl_run_bury(&run);
	}
	if (status == GUESTLOCK_OK && out_state && run.record) {
		status = state_of_record(guest->gl, run.record, out_state, err);
	}
	gl_run_end(&run);
	return status;
}

int guestlock_guest_inquire(struct guestlock_guest *guest, char **out_state, struct guestlock_error *err)
{
	struct gl_record *record;
	int status = gl_guest_load(guest, &record, err);

	if (status < 0) {
		return status;
	}
	status = state_of_record(guest->gl, record, out_state, err);
	gl_record_free(record);
	return status;
}
