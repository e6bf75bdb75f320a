/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel shows of this node's locks. */
#ifndef GL_DLM_DUMP_H
#define GL_DLM_DUMP_H

#include "kernel/kernel.h"

#pragma GCC visibility push(hidden)

enum gl_dlm_sign {
	GL_DLM_SIGN_WAITING = 1,
	GL_DLM_SIGN_GRANTED,
	GL_DLM_SIGN_CONVERTING,
};

/* One lock of this node's processes. */
struct gl_dlm_row {
	uint32_t lkid;
	uint64_t xid;
	enum gl_dlm_sign sign;
	int mode, wanted;
	bool waited;                    /* an answer of another node is still to come */
	char name[DLM_RESNAME_MAXLEN + 1];
};
struct gl_dlm_dump {
	struct gl_dlm_row *rows;
	size_t count;
	size_t waiters;                 /* requests of this node that no row shows yet */
};

/* Reads both files; *out is freed by gl_dlm_dump_free(). 0 or -1 with errno. */
int gl_dlm_dump_read(const struct gl_dlm *dlm, struct gl_dlm_dump *out);
void gl_dlm_dump_free(struct gl_dlm_dump *dump);
/* The row of that lock, or NULL. */
const struct gl_dlm_row *gl_dlm_dump_row(const struct gl_dlm_dump *dump, uint32_t lkid);
/* One line of either file; false: it shows none of this node's locks, or cannot be understood. */
bool gl_dlm_dump_line(const char *line, struct gl_dlm_row *out);
bool gl_dlm_waiter_line(const char *line, uint32_t *out_lkid);

#pragma GCC visibility pop

#endif
