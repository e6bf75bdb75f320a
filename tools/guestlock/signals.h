/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals of `guestlock run`: none is lost, and the guest inherits nothing of their treatment. */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * From here on a signal that would end the command is remembered instead, until cli_supervise() passes it
 * on or cli_die_of_early_signal() obeys it. The second of the same kind ends the command at once. The mask
 * stays as it is, and a child made meanwhile treats signals as if this had not been called.
 */
void cli_keep_signals(void);
/* The number of one that is remembered, 0: none. */
int cli_early_signal(void);
/* Ends the command by the signal that is remembered, if there is one. */
void cli_die_of_early_signal(void);

struct cli_supervision {
	pid_t pid;                              /* a child that executed the guest's program */
	int (*idle)(void *data); /* called at once, and again after the milliseconds that it returns */
	bool (*may_continue)(void *data);       /* may SIGCONT be passed on? */
	void *data;
};

/* Passes signals on until the child ends; its status as of waitpid(). Signals stay blocked afterwards. */
int cli_supervise(const struct cli_supervision *supervision);

/* Is there any child? Those that have ended are waited for. */
bool cli_any_children(void);
/* "pid 12 (sleep), pid 13 (qemu)", for free(); NULL: none of them is there. */
char *cli_process_words(const pid_t *pids, size_t count);
/* After cli_supervise(): the same for all children, until there is none any more or may_leave() says so. */
void cli_supervise_children(const struct cli_supervision *supervision, bool (*may_leave)(void *data));

#endif
