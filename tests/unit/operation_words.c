/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "operation_words.h"

#include "base/base.h"
#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* From the words of the tables back to what they name. */
#define NAMED(function, type, count, name)                                                                   \
	static bool function(const char *word, type *out)                                                    \
	{                                                                                                    \
		for (unsigned i = 0; i < (count); i++) {                                                     \
			if (strcmp(name((type)i), word) == 0) {                                              \
				*out = (type)i;                                                              \
				return true;                                                                 \
			}                                                                                    \
		}                                                                                            \
		return false;                                                                                \
	}
NAMED(guest_state_of, enum guestlock_guest_state, GL_GUEST_STATES, guestlock_guest_state_name)
NAMED(resource_state_of, enum guestlock_resource_state, GL_RESOURCE_STATES, guestlock_resource_state_name)
NAMED(operation_of, enum gl_operation, GL_OPERATIONS, gl_operation_name)
NAMED(held_mode_of, enum guestlock_mode, GUESTLOCK_MODE_EXCLUSIVE + 1, guestlock_mode_name)

const char *words_about;

static const char *const results[GUESTLOCK_RES_FREE + 1] = {
	[GUESTLOCK_RES_GRANTED] = "granted", [GUESTLOCK_RES_BUSY] = "busy",
	[GUESTLOCK_RES_STALE] = "stale",     [GUESTLOCK_RES_UNPROVEN] = "unproven",
	[GUESTLOCK_RES_AGAIN] = "again",     [GUESTLOCK_RES_INFLIGHT] = "inflight",
	[GUESTLOCK_RES_NOT_JOINED] = "out",  [GUESTLOCK_RES_DENIED] = "denied",
	[GUESTLOCK_RES_IO] = "io",           [GUESTLOCK_RES_UNKNOWN] = "unknown",
	[GUESTLOCK_RES_DEAD] = "dead",       [GUESTLOCK_RES_HELD] = "held",
	[GUESTLOCK_RES_OTHER] = "other",     [GUESTLOCK_RES_FREE] = "free",
};

static const char *const statuses[-GL_STATUS_LAST + 1] = {
	[-GUESTLOCK_BUSY] = "busy",       [-GUESTLOCK_STALE] = "stale",
	[-GUESTLOCK_TIMEOUT] = "timeout", [-GUESTLOCK_UNAVAILABLE] = "unavailable",
	[-GUESTLOCK_DENIED] = "denied",   [-GUESTLOCK_IO] = "io",
	[-GUESTLOCK_DAMAGED] = "damaged", [-GUESTLOCK_ALIASED] = "aliased",
};

__attribute__((noreturn)) static void not_understood(const char *word)
{
	ck_abort_msg("%s: what is \"%s\"?", words_about, word);
}

static unsigned find(const char *const *names, size_t count, const char *word)
{
	for (size_t i = 0; i < count; i++) {
		if (names[i] && strcmp(names[i], word) == 0) {
			return (unsigned)i;
		}
	}
	not_understood(word);
}

/* The word that begins there, or behind the space there. */
static int word_at(const char *text, size_t size, const char **out_word)
{
	size_t skip = size > 0 && text[0] == ' ', end = skip;

	while (end < size && text[end] != ' ') {
		end++;
	}
	*out_word = end > skip ? text + skip : "nothing";
	return end > skip ? (int)(end - skip) : (int)strlen(*out_word);
}

void words_compare(const char *what, const char *expected, size_t size, const char *found)
{
	size_t at = 0, found_size = strlen(found);
	const char *right, *wrong;
	int right_size, wrong_size;

	while (at < size && expected[at] == found[at]) {
		at++;
	}
	if (at == size && at == found_size) {
		return;
	}
	/* From the beginning of the word, unless one of them has a word more. */
	while (at > 0 && expected[at - 1] != ' ' &&
	       !((at == size || expected[at] == ' ') && (at == found_size || found[at] == ' '))) {
		at--;
	}
	right_size = word_at(expected + at, size - at, &right);
	wrong_size = word_at(found + at, found_size - at, &wrong);
	ck_abort_msg("%s: %s: %.*s instead of %.*s (\"%s\" instead of \"%.*s\")", words_about, what,
		     wrong_size, wrong, right_size, right, found, (int)size, expected);
}

/* ---- Records ---- */

static bool *flag_of(struct gl_record *record, const char *word)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{"migrate", &record->migrate},         {"was-paused", &record->was_paused},
		{"handed-over", &record->handed_over}, {"stopped", &record->stopped},
		{"halted", &record->halted},           {"adopted", &record->adopted},
	};

	for (size_t i = 0; i < GL_COUNT(flags); i++) {
		if (strcmp(word, flags[i].name) == 0) {
			return flags[i].flag;
		}
	}
	not_understood(word);
}

static enum guestlock_mode mode_of(const struct gl_resource *resource)
{
	return resource->key[0] == 's' ? GUESTLOCK_MODE_SHARED : GUESTLOCK_MODE_EXCLUSIVE;
}

static bool read_epoch(const char *word, uint64_t *out_epoch)
{
	const char *at = strchr(word, '#');

	*out_epoch = at ? strtoull(at + 1, NULL, 10) : 0;
	return at != NULL;
}

static void read_holding(struct gl_resource *resource, const char *word)
{
	char state[16] = "", from[16] = "none", to[16] = "none";
	const char *slash = strchr(word, '/');
	struct gl_holding *holding = gl_resource_holding(resource, slash ? slash + 1 : TECHNOLOGY, true);

	if (sscanf(word, "%15[a-z](%15[a-z]-%15[a-z])", state, from, to) < 1 ||
	    !resource_state_of(state, &holding->state) || !resource_state_of(from, &holding->from) ||
	    !resource_state_of(to, &holding->to)) {
		not_understood(word);
	}
	holding->mode = holding->state ? mode_of(resource) : GUESTLOCK_MODE_NONE;
	holding->has_epoch = read_epoch(word, &holding->epoch);
}

static void read_resource(struct gl_record *record, const char *word)
{
	const char path[] = {'/', word[0], '\0'};
	struct gl_resource *resource = gl_record_add_resource(record);

	ck_assert(resource && gl_set_string(&resource->name, path) == 0 &&
		  gl_set_string(&resource->identity, path) == 0);
	memset(resource->key, word[0], GUESTLOCK_KEY_SIZE - 1);
	resource->type = word[0] == 'g' ? GUESTLOCK_LEASE : GUESTLOCK_DISK;
	resource->guest_lock = word[0] == 'g';
	resource->flags = word[0] == 's' ? GUESTLOCK_SHARED : 0;
	resource->has_file = word[0] == 'f';
	resource->inode = (unsigned char)word[0];
	resource->unhinted = strchr(word, '*') != NULL;
	read_holding(resource, word + 2);
}

static void read_word(struct gl_record *record, char *word)
{
	char *equals = strchr(word, '=');

	if (strcmp(word, "frozen") == 0) {
		gl_record_take_string(record, &record->frozen, strdup(WORDS_CGROUP));
	} else if (!equals) {
		*flag_of(record, word) = true;
	} else if (equals == word + 1) {
		read_resource(record, word);
	} else {
		*equals = '\0';
		ck_assert_int_eq(gl_record_set_param(record, word, equals + 1), 0);
	}
}

struct gl_record *words_read(const char *text, const char *uuid, uint64_t instance)
{
	GL_AUTOFREE char *copy = strdup(text);
	struct gl_record *record = gl_record_new(uuid);
	char *rest, *word = strtok_r(copy, " ", &rest), *slash = strchr(word, '/');

	ck_assert_ptr_nonnull(record);
	record->instance = instance;
	record->process.pid = 1;
	if (slash) {
		*slash = '\0';
	}
	if (!guest_state_of(word, &record->state) || (slash && !operation_of(slash + 1, &record->op))) {
		not_understood(text);
	}
	while ((word = strtok_r(NULL, " ", &rest))) {
		read_word(record, word);
	}
	return record;
}

static void put_resource(FILE *out, const struct gl_resource *resource)
{
	const struct gl_holding *holding = &resource->holdings[0];

	fprintf(out, " %c=%s", resource->key[0], guestlock_resource_state_name(holding->state));
	if (holding->from || holding->to || gl_holding_under_way(holding)) {
		fprintf(out, "(%s-%s)", guestlock_resource_state_name(holding->from),
			guestlock_resource_state_name(holding->to));
	}
	if (holding->has_epoch) {
		fprintf(out, "#%" PRIu64, holding->epoch);
	}
	if (strcmp(holding->technology, TECHNOLOGY) != 0) {
		fprintf(out, "/%s", holding->technology);
	}
	fputs(resource->unhinted ? "*" : "", out);
	fputs(holding->state && holding->mode != mode_of(resource) ? "!" : "", out);
}

char *words_of(const struct gl_record *record)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(out);
	fprintf(out, "%s%s%s%s%s%s%s%s%s%s", guestlock_guest_state_name(record->state), record->op ? "/" : "",
		gl_operation_name(record->op), record->migrate ? " migrate" : "",
		record->was_paused ? " was-paused" : "", record->handed_over ? " handed-over" : "",
		record->stopped ? " stopped" : "", record->halted ? " halted" : "",
		record->frozen ? " frozen" : "", record->adopted ? " adopted" : "");
	for (size_t i = 0; i < record->n_params; i++) {
		fprintf(out, " %s=%s", record->params[i].key, record->params[i].value);
	}
	for (size_t i = 0; i < record->n_resources; i++) {
		put_resource(out, &record->resources[i]);
	}
	ck_assert_int_eq(fclose(out), 0);
	return text;
}

/* ---- Calls ---- */

static void put_flags(FILE *out, unsigned flags)
{
	fputs(flags & GUESTLOCK_BATCH_PROBE ? " probe" : "", out);
	fputs(flags & GUESTLOCK_BATCH_PARK ? " park" : "", out);
	fputs(flags & GUESTLOCK_BATCH_UNDO ? " undo" : "", out);
	fputs(flags & GUESTLOCK_BATCH_TAKE_OVER ? " take-over" : "", out);
}

char *words_of_call(const char *name, bool modes, unsigned known, const struct guestlock_batch *batch)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(out);
	fputs(name, out);
	for (size_t i = 0; i < batch->count; i++) {
		const struct guestlock_item *item = &batch->items[i];

		fprintf(out, " %c", item->key->key[0]);
		if (modes) {
			fprintf(out, "=%s", guestlock_mode_name(item->mode));
		}
		if (item->check_epoch) {
			fprintf(out, "#%" PRIu64, item->expected_epoch);
		}
	}
	put_flags(out, batch->flags & known);
	if (batch->loss_action && batch->loss_action[0]) {
		fprintf(out, " on loss %s", batch->loss_action);
	}
	ck_assert_int_eq(fclose(out), 0);
	return text;
}

static struct guestlock_item *item_of(struct guestlock_batch *batch, const char *word)
{
	for (size_t i = 0; i < batch->count; i++) {
		if (batch->items[i].key->key[0] == word[0]) {
			return &batch->items[i];
		}
	}
	not_understood(word);
}

static void read_item(struct guestlock_batch *batch, const char *word, enum guestlock_result result)
{
	struct guestlock_item *item = item_of(batch, word);
	const char *equals = strchr(word, '='), *at = strchr(word, '@');
	char name[16] = "", mode[16] = "";

	item->result = result;
	if (sscanf(word + 1, ":%15[a-z]", name) == 1) {
		item->result = find(results, GL_COUNT(results), name);
	}
	if (equals && (sscanf(equals, "=%15[a-z]", mode) != 1 || !held_mode_of(mode, &item->held_mode))) {
		not_understood(word);
	}
	item->has_epoch = read_epoch(word, &item->epoch);
	if (at) {
		words_holder(at + 1, &item->holder);
	}
}

enum guestlock_result words_answer(const char *answer, struct guestlock_batch *batch,
				   struct guestlock_error *err)
{
	GL_AUTOFREE char *text = strdup(answer[0] ? answer : "granted");
	char *rest, *word = strtok_r(text, " ", &rest);
	enum guestlock_result result = find(results, GL_COUNT(results), word);

	guestlock_batch_answer(batch, rest[0] ? GUESTLOCK_RES_GRANTED : result);
	if (result != GUESTLOCK_RES_GRANTED && result < GUESTLOCK_RES_HELD) {
		guestlock_backend_fail(err, result, 0, 0, "the play says so: %s", answer);
	}
	while ((word = strtok_r(NULL, " ", &rest))) {
		read_item(batch, word, result);
	}
	return result;
}

/* ---- Other words ---- */

int words_status(const char *answer, struct guestlock_error *err)
{
	int status = answer[0] ? -(int)find(statuses, GL_COUNT(statuses), answer) : GUESTLOCK_OK;

	return status ? gl_fail(err, status, 0, "the play says so: %s", answer) : status;
}

enum guestlock_life words_life(const char *text)
{
	for (unsigned life = 0; life <= GUESTLOCK_LIFE_DEAD; life++) {
		const char *name = guestlock_life_name((enum guestlock_life)life);

		if (strncmp(text, name, strlen(name)) == 0 && strcspn(text, " ") == strlen(name)) {
			return (enum guestlock_life)life;
		}
	}
	not_understood(text);
}

void words_holder(const char *name, struct guestlock_holder *out)
{
	bool other_end = strcmp(name, "web") == 0, former = strcmp(name, "former-db") == 0,
	     reads = strcmp(name, "reading-db") == 0;

	if (!other_end && !former && !reads && strcmp(name, "db") != 0) {
		not_understood(name);
	}
	*out = (struct guestlock_holder){
		.instance = other_end ? WEB_INSTANCE + 1
			    : former  ? DB_INSTANCE - 1
				      : DB_INSTANCE,
		.mode = other_end ? GUESTLOCK_MODE_HANDOVER
			: reads   ? GUESTLOCK_MODE_SHARED
				  : GUESTLOCK_MODE_EXCLUSIVE,
	};
	gl_copy_cut(out->uuid, sizeof(out->uuid), other_end ? WEB : DB);
	gl_copy_cut(out->name, sizeof(out->name), other_end ? "web" : "db");
}
