/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The caller's side of the keeper: a table of a backend's functions that sends each call to the process that
 * keeps the backend, and starts that process when nobody answers.
 *
 * It needs no thread, and takes no mutex: connections that are not in use wait in slots, which are emptied
 * and filled atomically, and a forked child leaves those of its parent alone.
 */
#ifndef GL_KEEPER_CLIENT_H
#define GL_KEEPER_CLIENT_H

#include "keeper/wire.h"
#include "config/settings.h"

#define GL_KEEPER_SLOTS 8       /* connections kept for the next calls; of more threads some connect anew */
#define GL_KEEPER_SOCKET "keeper"       /* in the run directory */
#define GL_KEEPER_LOCK "keeper.lock"    /* held by the keeper's processes as long as one of them lives */
#define GL_KEEPER_START_LOCK "keeper.start"     /* held by who starts it */

struct gl_keeper {
	struct gl_settings *settings;
	char *run_dir, *backend;
	char *program;                  /* NULL: nobody is started */
	char *text;                     /* the settings that both sides must agree on, a line each */
	char digest[GUESTLOCK_KEY_SIZE];        /* of text */
	int64_t timeout_ms;             /* of calls that bring no deadline */
	pid_t pid;                      /* whose connections are in the slots */
	int slots[GL_KEEPER_SLOTS];     /* -1: none */
};

/* The settings of the backend's section must have been declared. program: NULL for the installed one. */
int gl_keeper_new(struct gl_settings *settings, const char *backend, const char *run_dir,
		  struct gl_keeper **out_keeper, struct guestlock_error *err);
void gl_keeper_free(struct gl_keeper *keeper);

/*
 * What backend and keeper must agree on: "backend=NAME", the naming of disks, and what stands in the
 * backend's section, a line each; malloc'd, or NULL.
 */
char *gl_keeper_settings_text(struct gl_settings *settings, const char *backend);

/*
 * The table. init, finish and probe are the module's own; all else is asked of the keeper, through
 * backend->context->keeper, and answered by the batch's deadline: INFLIGHT (of inquire: UNKNOWN) with the
 * reason when the keeper has not answered by then.
 */
extern const struct guestlock_backend_ops gl_keeper_ops;

/* ---- Between the files of the caller's side ---- */

enum gl_keeper_outcome {
	GL_KEEPER_ANSWERED = 0,
	GL_KEEPER_NOT_ASKED,            /* nothing was sent: err says why */
	GL_KEEPER_LATE,                 /* sent, and no answer by the deadline */
	GL_KEEPER_LOST,                 /* sent, and the keeper was gone before it answered; err is filled */
};

/*
 * Sends what was put and waits for the answer, *out_body, malloc'd. Sends it again when the keeper is gone
 * meanwhile: every request means the same when it is made twice. start: a keeper is started if there is none.
 */
enum gl_keeper_outcome gl_keeper_exchange(struct gl_keeper *keeper, const struct gl_wire *request,
					  int64_t deadline_ms, bool start,
					  unsigned char **out_body, size_t *out_size,
					  enum guestlock_result *out_result, struct guestlock_error *err);

/*
 * A new connection: 0, or an errno: ENOENT, ECONNREFUSED (nobody is there), EAGAIN (too many ask), EACCES,
 * ...
 */
int gl_keeper_connect(const struct gl_keeper *keeper, int *out_fd);

/*
 * The address of the socket in run_dir; *out_dir (-1: none) must stay open as long as it is used. 0 or -1
 * with errno.
 */
struct sockaddr_un;
int gl_keeper_address(const char *run_dir, struct sockaddr_un *out_address, int *out_dir);

/* Starts it, once among all who try: GRANTED when somebody listens. */
enum guestlock_result gl_keeper_start(const struct gl_keeper *keeper, int64_t deadline_ms,
				      struct guestlock_error *err);

/*
 * About the keeper, if there is one: 0, or -1: nobody answers by deadline_ms. text (may be NULL) is why the
 * backend does not work, "" when it does.
 */
int gl_keeper_ask_about(struct gl_keeper *keeper, int64_t deadline_ms, struct gl_keeper_about *out_about,
			struct guestlock_error *out_error);

#endif
