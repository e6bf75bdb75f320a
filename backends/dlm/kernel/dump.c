/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel shows of a lockspace in debugfs. A line of SPACE_locks:
 *
 *     id nodeid remid pid xid exflags flags status grmode rqmode time nodeid length "name"
 *
 * and of SPACE_waiters, which has the requests that another node has not answered yet: id type nodeid name
 */
#include "kernel/dump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLAG_MASTER_COPY 0x10000 /* stands for a lock of another node */

/* The name is between the first and the last quotation mark. */
static bool take_name(const char *line, char out[DLM_RESNAME_MAXLEN + 1])
{
	const char *begin = strchr(line, '"');
	const char *end = strrchr(line, '"');
	size_t size;

	if (!begin || end == begin) {
		return false;
	}
	size = (size_t)(end - begin) - 1;
	if (size == 0 || size > DLM_RESNAME_MAXLEN) {
		return false;
	}
	memcpy(out, begin + 1, size);
	out[size] = '\0';
	return true;
}

/* A number and the blanks before it; moves *text behind it. false: there is none. */
static bool take_number(const char **text, int base, long long *out)
{
	char *end;

	/* An xid may be larger than the largest signed number: it wraps, and so does -1. */
	*out = (long long)strtoull(*text, &end, base);
	if (end == *text) {
		return false;
	}
	*text = end;
	return true;
}

bool gl_dlm_dump_line(const char *line, struct gl_dlm_row *out)
{
	enum {
		LKID,
		NODE,
		REMOTE,
		PID,
		XID,
		ASKED,
		FLAGS,
		SIGN,
		MODE,
		WANTED,
		FIELDS
	};
	static const int bases[FIELDS] = {16, 10, 16, 10, 10, 16, 16, 10, 10, 10};
	const char *text = line;
	long long fields[FIELDS];

	for (size_t i = 0; i < FIELDS; i++) {
		if (!take_number(&text, bases[i], &fields[i])) {
			return false;
		}
	}
	*out = (struct gl_dlm_row){
		.lkid = (uint32_t)fields[LKID],
		.xid = (uint64_t)fields[XID],
		.sign = (enum gl_dlm_sign)fields[SIGN],
		.mode = (int)fields[MODE],
		.wanted = (int)fields[WANTED],
	};
	return out->lkid != 0 && !(fields[FLAGS] & FLAG_MASTER_COPY) && take_name(text, out->name);
}

bool gl_dlm_waiter_line(const char *line, uint32_t *out_lkid)
{
	long long lkid;

	if (!take_number(&line, 16, &lkid)) {
		return false;
	}
	*out_lkid = (uint32_t)lkid;
	return true;
}

static int by_lkid(const void *a, const void *b)
{
	const struct gl_dlm_row *left = a, *right = b;

	return (left->lkid > right->lkid) - (left->lkid < right->lkid);
}

static int add_row(struct gl_dlm_dump *dump, const struct gl_dlm_row *row)
{
	/* Grows by doubling: at every power of two there is no room left. */
	if ((dump->count & (dump->count - 1)) == 0) {
		size_t room = dump->count ? dump->count * 2 : 1;
		struct gl_dlm_row *grown = reallocarray(dump->rows, room, sizeof(*grown));

		if (!grown) {
			return -1;
		}
		dump->rows = grown;
	}
	dump->rows[dump->count++] = *row;
	return 0;
}

typedef int line_fn(struct gl_dlm_dump *dump, const char *line);

static int take_lock(struct gl_dlm_dump *dump, const char *line)
{
	struct gl_dlm_row row;

	return gl_dlm_dump_line(line, &row) ? add_row(dump, &row) : 0;
}

static struct gl_dlm_row *find_row(const struct gl_dlm_dump *dump, uint32_t lkid)
{
	const struct gl_dlm_row wanted = {.lkid = lkid};

	return dump->count ? bsearch(&wanted, dump->rows, dump->count, sizeof(wanted), by_lkid) : NULL;
}

const struct gl_dlm_row *gl_dlm_dump_row(const struct gl_dlm_dump *dump, uint32_t lkid)
{
	return find_row(dump, lkid);
}

static int take_waiter(struct gl_dlm_dump *dump, const char *line)
{
	struct gl_dlm_row *row;
	uint32_t lkid;

	if (!gl_dlm_waiter_line(line, &lkid)) {
		return 0;
	}
	row = find_row(dump, lkid);
	if (row) {
		row->waited = true;
	} else {
		dump->waiters++;
	}
	return 0;
}

/* 0 or -1 with errno. */
static int each_line(const char *path, line_fn *take, struct gl_dlm_dump *dump)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	int result = 0, error;

	if (!file) {
		return -1;
	}
	while (result == 0 && getline(&line, &room, file) >= 0) {
		result = take(dump, line);
	}
	error = result < 0 ? ENOMEM : ferror(file) ? EIO : 0;
	free(line);
	fclose(file);
	errno = error;
	return error ? -1 : 0;
}

int gl_dlm_dump_read(const struct gl_dlm *dlm, struct gl_dlm_dump *out)
{
	int error;

	*out = (struct gl_dlm_dump){.count = 0};
	if (each_line(dlm->dump_path, take_lock, out) == 0) {
		if (out->count) {
			qsort(out->rows, out->count, sizeof(*out->rows), by_lkid);
		}
		if (each_line(dlm->waiters_path, take_waiter, out) == 0) {
			return 0;
		}
	}
	error = errno;
	gl_dlm_dump_free(out);
	errno = error;
	return -1;
}

void gl_dlm_dump_free(struct gl_dlm_dump *dump)
{
	free(dump->rows);
	*dump = (struct gl_dlm_dump){.count = 0};
}
