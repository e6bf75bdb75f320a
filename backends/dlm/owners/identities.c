/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the keys of an owner are called, for people: beside the owner's file another one, "XID.keys", to which
 * a line is added when an owner first has to do with a key. A line that is missing or damaged means that the
 * key itself is shown. A key that is called something else later has two lines, and the last one counts.
 */
#include "owners/owners.h"

#include "peers/peers.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_LENGTH (GUESTLOCK_KEY_SIZE - 1)
#define NAMES_MAX 1048576 /* bytes of a file; an owner that plugs that much begins anew */

static char *path_of(const struct gl_dlm *dlm, uint64_t xid)
{
	char *path;

	return asprintf(&path, "%s/%016" PRIx64 ".keys", dlm->owners_dir, xid) < 0 ? NULL : path;
}

/* ---- Writing ---- */

static void put_line(FILE *lines, const struct guestlock_key *key)
{
	char cut[GL_DLM_IDENTITY];
	char *word;

	snprintf(cut, sizeof(cut), "%s", key->identity ? key->identity : "");
	word = guestlock_percent_encode(cut);
	if (word && word[0]) {
		fprintf(lines, "%s %s\n", key->key, word);
	}
	free(word);
}

/* The lines of keys on which there is no lock of the owner yet; malloc'd, or NULL. */
static char *new_lines(struct gl_dlm *dlm, uint64_t xid, const struct guestlock_batch *batch,
		       size_t *out_size)
{
	char *text = NULL;
	FILE *lines = NULL;

	for (size_t i = 0; i < batch->count; i++) {
		bool known;

		pthread_mutex_lock(&dlm->mutex);
		known = gl_dlm_table_find(&dlm->table, batch->items[i].key->key, xid) != NULL;
		pthread_mutex_unlock(&dlm->mutex);
		if (known) {
			continue;
		}
		lines = lines ? lines : open_memstream(&text, out_size);
		if (!lines) {
			return NULL;
		}
		put_line(lines, batch->items[i].key);
	}
	if (lines && fclose(lines) != 0) {
		free(text);
		text = NULL;
	}
	return text;
}

/* In one piece, so that a reader sees whole lines but for the last. */
static void append(const char *path, const char *text, size_t size)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0) {
		return;
	}
	if (fstat(fd, &st) < 0 || (size_t)st.st_size + size > NAMES_MAX) {
		if (ftruncate(fd, 0) < 0) {
			close(fd);
			return;
		}
	}
	if (write(fd, text, size) < 0) {
		/* The keys are shown then. */
	}
	close(fd);
}

void gl_dlm_names_note(struct gl_dlm *dlm, const struct guestlock_batch *batch)
{
	uint64_t xid = gl_dlm_xid(dlm, batch->owner);
	size_t size = 0;
	char *text = new_lines(dlm, xid, batch, &size);
	char *path = text && size > 0 && size <= NAMES_MAX ? path_of(dlm, xid) : NULL;

	if (path) {
		append(path, text, size);
	}
	free(path);
	free(text);
}

void gl_dlm_names_forget(const struct gl_dlm *dlm, uint64_t xid)
{
	char *path = path_of(dlm, xid);

	if (path) {
		unlink(path);
	}
	free(path);
}

/* ---- Reading ---- */

static void read_names(const struct gl_dlm *dlm, uint64_t xid, struct gl_dlm_names *names)
{
	char *path = path_of(dlm, xid);
	size_t size;

	free(names->text);
	names->text = NULL;
	if (path && guestlock_read_file(path, NAMES_MAX, &names->text, &size) < 0) {
		names->text = NULL;
	}
	names->xid = xid;
	names->read = true;
	free(path);
}

/* The word of the last line for key, or NULL. */
static const char *find_word(const char *text, const char *key, size_t *out_size)
{
	const char *word = NULL, *end;

	for (; text && (end = strchr(text, '\n')) != NULL; text = end + 1) {
		if (strncmp(text, key, KEY_LENGTH) == 0 && text[KEY_LENGTH] == ' ') {
			word = text + KEY_LENGTH + 1;
			*out_size = (size_t)(end - word);
		}
	}
	return word;
}

char *gl_dlm_names_find(const struct gl_dlm *dlm, uint64_t xid, const char *key, struct gl_dlm_names *names)
{
	const char *word;
	char *identity;
	size_t size = 0;

	if (!names->read || names->xid != xid) {
		read_names(dlm, xid, names);
	}
	word = find_word(names->text, key, &size);
	identity = word ? strndup(word, size) : NULL;
	if (identity && guestlock_percent_decode(identity) < 0) {
		free(identity);
		return NULL;
	}
	return identity;
}

void gl_dlm_names_free(struct gl_dlm_names *names)
{
	free(names->text);
	*names = (struct gl_dlm_names){.text = NULL};
}
