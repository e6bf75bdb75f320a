/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * State strings are taken as a whole or not at all: whatever is not what would be written is refused
 * with a reason.
 */
#include "record/state.h"
#include "base/base.h"
#include "base/error.h"
#include "base/text.h"
#include "record/fields.h"

#include <string.h>

#define PREFIX "gl1:"
#define CHECK_SIZE 8
#define KEY_LENGTH (GUESTLOCK_KEY_SIZE - 1)
#define EPOCH_LENGTH 16

/* ---- Writing ---- */

static int compare_entries(const void *a, const void *b)
{
	const struct gl_state_entry *left = a, *right = b;

	return strcmp(left->key, right->key);
}

static bool is_valid(const struct gl_state *state, const struct gl_state_entry *entries)
{
	for (size_t i = 0; i < state->count; i++) {
		if (!guestlock_key_valid(entries[i].key) ||
		    (i > 0 && strcmp(entries[i - 1].key, entries[i].key) == 0)) {
			return false;
		}
	}
	return gl_technology_valid(state->technology) && gl_uuid_valid(state->uuid);
}

static void put_check(struct gl_text *out)
{
	char digest[GUESTLOCK_KEY_SIZE];

	guestlock_digest(out->data ? out->data : "", out->size, digest);
	gl_text_string(out, ":");
	gl_text_add(out, digest, CHECK_SIZE);
}

static void put_state(struct gl_text *out, const struct gl_state *state, const struct gl_state_entry *entries)
{
	gl_text_string(out, PREFIX);
	gl_text_string(out, state->technology);
	gl_text_string(out, ":");
	gl_text_string(out, state->uuid);
	for (size_t i = 0; i < state->count; i++) {
		gl_text_string(out, i == 0 ? ":" : ",");
		gl_text_string(out, entries[i].key);
		gl_text_string(out, ".");
		if (entries[i].has_epoch) {
			gl_text_hex(out, entries[i].epoch);
		} else {
			gl_text_string(out, "-");
		}
	}
	if (state->count == 0) {
		gl_text_string(out, ":");
	}
	put_check(out);
}

int gl_state_format(const struct gl_state *state, char **out_text, struct guestlock_error *err)
{
	GL_AUTOTEXT struct gl_text out = GL_TEXT_INIT;
	GL_AUTOFREE struct gl_state_entry *sorted = calloc(state->count + 1, sizeof(*sorted));
	char *text;

	if (!sorted) {
		return gl_fail_memory(err);
	}
	if (state->count > 0) {
		memcpy(sorted, state->entries, state->count * sizeof(*sorted));
		qsort(sorted, state->count, sizeof(*sorted), compare_entries);
	}
	if (!is_valid(state, sorted)) {
		return gl_fail(err, GUESTLOCK_FAILED, 0,
			       "cannot write the state of guest %.*s: a key is no key or is there twice; "
			       "this is a fault of guestlock, please report it",
			       GUESTLOCK_UUID_STRING - 1, state->uuid);
	}
	put_state(&out, state, sorted);
	text = gl_text_take(&out, NULL);
	if (!text) {
		return gl_fail_memory(err);
	}
	*out_text = text;
	return GUESTLOCK_OK;
}

/* ---- Reading ---- */

#define ADVICE "use the state that was saved with this guest, or start the guest without a state"

static int damage(struct guestlock_error *err, const char *reason)
{
	return gl_fail(err, GUESTLOCK_DAMAGED, 0, "cannot use the saved state: %s; " ADVICE, reason);
}

/* What a text is that does not begin as ours do. */
static int fail_foreign(const char *text, struct guestlock_error *err)
{
	char digits[20] = "";
	size_t length = strncmp(text, "gl", 2) == 0 ? strspn(text + 2, "0123456789") : 0;
	uint64_t version;

	if (text[0] == '\0') {
		return damage(err, "it is empty");
	}
	if (length == 0 || length >= sizeof(digits) || text[2 + length] != ':') {
		return damage(err, "it was saved by another lock manager");
	}
	memcpy(digits, text + 2, length);
	if (gl_parse_u64(digits, 10, &version) && version > 1) {
		return gl_fail(
			err, GUESTLOCK_DAMAGED, 0,
			"cannot use the saved state: a newer guestlock saved it, in version %s where this "
			"one knows version 1 only; use the newer one",
			digits);
	}
	return damage(err, "it begins with no version of guestlock that there ever was");
}

/* The length without the check and its colon, or 0 if the check is wrong. */
static size_t checked_length(const char *text)
{
	const char *colon = strrchr(text, ':');
	char digest[GUESTLOCK_KEY_SIZE];

	guestlock_digest(text, (size_t)(colon - text), digest);
	if (strlen(colon + 1) != CHECK_SIZE || strncmp(colon + 1, digest, CHECK_SIZE) != 0) {
		return 0;
	}
	return (size_t)(colon - text);
}

/* Copies what comes before the next colon, and moves behind that. false: no colon, or no room. */
static bool take_word(const char **text, char *out, size_t size)
{
	size_t length = strcspn(*text, ":");

	if ((*text)[length] != ':' || length >= size) {
		return false;
	}
	memcpy(out, *text, length);
	out[length] = '\0';
	*text += length + 1;
	return true;
}

/* Reads KEY.EPOCH and moves behind it. */
static bool take_entry(const char **text, struct gl_state_entry *out)
{
	char digits[EPOCH_LENGTH + 1] = "";
	const char *epoch;

	if (strnlen(*text, KEY_LENGTH + 2) < KEY_LENGTH + 2 || (*text)[KEY_LENGTH] != '.') {
		return false;
	}
	memcpy(out->key, *text, KEY_LENGTH);
	out->key[KEY_LENGTH] = '\0';
	epoch = *text + KEY_LENGTH + 1;
	out->has_epoch = *epoch != '-';
	out->epoch = 0;
	*text = epoch + 1;
	if (out->has_epoch) {
		memcpy(digits, epoch, strnlen(epoch, EPOCH_LENGTH));
		*text = epoch + EPOCH_LENGTH;
	}
	return guestlock_key_valid(out->key) &&
	       (!out->has_epoch || (strspn(digits, "0123456789abcdef") == EPOCH_LENGTH &&
				    gl_parse_u64(digits, 16, &out->epoch)));
}

/* Reads all entries, which end where end is. 0, 1: malformed, or -1: out of memory. */
static int take_entries(const char *text, const char *end, struct gl_state *out)
{
	size_t room = 1;

	for (const char *p = text; (p = memchr(p, ',', (size_t)(end - p))); p++) {
		room++;
	}
	out->entries = calloc(room, sizeof(*out->entries));
	if (!out->entries) {
		return -1;
	}
	while (text < end) {
		struct gl_state_entry *entry = &out->entries[out->count];

		if (out->count > 0 && *text++ != ',') {
			return 1;
		}
		if (out->count == room || !take_entry(&text, entry) ||
		    (out->count > 0 && compare_entries(entry - 1, entry) >= 0)) {
			return 1;
		}
		out->count++;
	}
	return text == end ? 0 : 1;
}

static int take_state(const char *text, const char *end, struct gl_state *out)
{
	if (!take_word(&text, out->technology, sizeof(out->technology)) ||
	    !gl_technology_valid(out->technology) || !take_word(&text, out->uuid, sizeof(out->uuid)) ||
	    !gl_uuid_valid(out->uuid) || text > end) {
		return 1;
	}
	return take_entries(text, end, out);
}

int gl_state_parse(const char *text, struct gl_state *out_state, struct guestlock_error *err)
{
	struct gl_state state = {.entries = NULL};
	size_t length;
	int result;

	if (strncmp(text, PREFIX, strlen(PREFIX)) != 0) {
		return fail_foreign(text, err);
	}
	length = checked_length(text);
	if (length == 0) {
		return damage(err, "its check does not fit, so it is not as it was saved");
	}
	result = take_state(text + strlen(PREFIX), text + length, &state);
	if (result) {
		gl_state_clear(&state);
		return result < 0 ? gl_fail_memory(err)
				  : damage(err, "it is not in the form in which guestlock saves states");
	}
	*out_state = state;
	return GUESTLOCK_OK;
}

const struct gl_state_entry *gl_state_find(const struct gl_state *state, const char *key)
{
	struct gl_state_entry wanted = {.has_epoch = false};

	if (state->count == 0 || strlen(key) >= sizeof(wanted.key)) {
		return NULL;
	}
	memcpy(wanted.key, key, strlen(key));
	return bsearch(&wanted, state->entries, state->count, sizeof(wanted), compare_entries);
}

void gl_state_clear(struct gl_state *state)
{
	free(state->entries);
	memset(state, 0, sizeof(*state));
}
