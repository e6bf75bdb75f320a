/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text of an entry:
 *
 *     guestlock-entry 1 LENGTH CHECK
 *     key=KEY epoch=EPOCH identity=TEXT
 *     mode=M intent=M moved=0 before=EPOCH run=ID since=T uuid=U instance=N ...
 *
 * with one line for each owner, as guestlock_form_put() writes it: a shorter text is written over a longer one
 * without cutting the file.
 *
 * An owner counts as long as it lives. mode is what it holds, "none" while it is parked.
 * intent is what an acquire of several keys is about to give it: it keeps others out and moves no epoch.
 * Only when all intents stand are the lines of the grant written. Whoever is killed in between leaves
 * intents that inquire reports as orphans: the same acquire completes them, release drops them, the owner's
 * death voids them. moved and before tell release with BATCH_UNDO what the epoch was before this hold.
 */
#include "fcntl_priv.h"

#include <stdlib.h>
#include <string.h>

#define ENTRY(member) .offset = offsetof(struct gl_fcntl_entry, member)
static const struct guestlock_field entry_fields[] = {
	{.key = "key", .kind = GUESTLOCK_FIELD_KEY, ENTRY(key)},
	{.key = "epoch",
	 .kind = GUESTLOCK_FIELD_MAYBE_HEX,
	 ENTRY(epoch),
	 .flag = offsetof(struct gl_fcntl_entry, has_epoch)},
	{.key = "identity", .kind = GUESTLOCK_FIELD_TEXT, ENTRY(identity), .most = GL_FCNTL_IDENTITY},
	{.key = NULL},
};

#define LINE(member) .offset = offsetof(struct gl_fcntl_line, member)
static const struct guestlock_field line_fields[] = {
	{.key = "mode", .kind = GUESTLOCK_FIELD_MODE, LINE(mode)},
	{.key = "intent", .kind = GUESTLOCK_FIELD_MODE, LINE(intent)},
	{.key = "moved", .kind = GUESTLOCK_FIELD_BOOL, LINE(moved)},
	{.key = "before",
	 .kind = GUESTLOCK_FIELD_MAYBE_HEX,
	 LINE(before),
	 .flag = offsetof(struct gl_fcntl_line, has_before)},
	{.key = "run", .kind = GUESTLOCK_FIELD_TEXT, LINE(run_id)},
	{.key = "since", .kind = GUESTLOCK_FIELD_TIME, LINE(since)},
	{.key = "owner", .kind = GUESTLOCK_FIELD_OWNER, LINE(owner)},
	{.key = NULL},
};

static const struct guestlock_form form = {
	.magic = "guestlock-entry 1",
	.head = entry_fields,
	.line = line_fields,
	.line_size = sizeof(struct gl_fcntl_line),
};

size_t gl_fcntl_entry_announced(const char *text, size_t size)
{
	return guestlock_form_size(&form, text, size);
}

int gl_fcntl_entry_parse(struct gl_fcntl_entry *entry, const char *key)
{
	char *words = entry->text + entry->size + 1;
	void *lines;

	memcpy(words, entry->text, entry->size);
	words[entry->size] = '\0';
	free(entry->lines);
	entry->lines = NULL;
	if (guestlock_form_take(&form, words, entry->size, entry, &lines, &entry->count, &entry->damage) <
	    0) {
		return -1;
	}
	entry->lines = lines;
	if (!entry->damage && strcmp(entry->key, key) != 0) {
		entry->damage = "it belongs to another key";
	}
	entry->presence = entry->damage ? GL_FCNTL_DAMAGED : GL_FCNTL_READABLE;
	if (entry->damage) {
		entry->count = 0;
		entry->has_epoch = false;
	}
	return 0;
}

char *gl_fcntl_entry_format(struct gl_fcntl_entry *entry, const char *key, size_t *out_size)
{
	memcpy(entry->key, key, GUESTLOCK_KEY_SIZE);
	return guestlock_form_put(&form, entry, entry->lines, entry->count, out_size);
}

/* ---- Lines ---- */

struct gl_fcntl_line *gl_fcntl_entry_add(struct gl_fcntl_entry *entry)
{
	struct gl_fcntl_line *lines = reallocarray(entry->lines, entry->count + 1, sizeof(*lines));

	if (!lines) {
		return NULL;
	}
	entry->lines = lines;
	lines[entry->count] = (struct gl_fcntl_line){.judged = false};
	return &lines[entry->count++];
}

void gl_fcntl_entry_drop(struct gl_fcntl_entry *entry, size_t index)
{
	entry->count--;
	memmove(&entry->lines[index], &entry->lines[index + 1],
		(entry->count - index) * sizeof(*entry->lines));
}
