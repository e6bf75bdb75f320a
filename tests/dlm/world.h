/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A made-up world: a directory in place of /sys and /dev, a process in place of dlm_controld. */
#ifndef GL_TEST_DLM_WORLD_H
#define GL_TEST_DLM_WORLD_H

#include "cluster/cluster.h"
#include "cluster/daemon.h"

#include <check.h>
#include <stddef.h>
#include <sys/types.h>

#define SPACE "guests"
#define PATIENCE_MS 300
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

enum mood {
	MOOD_GOOD = 0,
	MOOD_SILENT,            /* takes the question and never answers */
	MOOD_SLOW,              /* begins an answer and does not end it */
	MOOD_SHORT,             /* closes in the middle of its answer */
	MOOD_STRANGE,           /* answers something else */
};

/* What the made-up dlm_controld tells. */
struct told {
	enum mood mood;
	unsigned quorate, merged;
	unsigned unfenced[2];   /* nodes that wait to be fenced */
	const char *settings;   /* NULL: fencing is on */
	bool unknown;           /* the lockspace is */
	unsigned flags, wait_condition, wait_messages;
};

extern struct gl_dlm_world world;
extern char world_root[];
extern struct told told;
extern pid_t daemon_pid;

/*
 * A fixture: a host on which everything is right but that no daemon runs, and which is not in the lockspace.
 */
void world_setup(void);
void world_teardown(void);
/* text is as printf(1) wants it. */
void put_file(const char *path, const char *text);
void remove_file(const char *path);

/* told says that all is well. */
void all_well(void);
/* It runs from now on, and tells what told says at this moment. */
void daemon_begin(void);
void corosync_begin(void);

/* The answers of dlm_controld; their size. */
size_t make_status(unsigned char *at);
size_t make_lockspace(unsigned char *at);
size_t add_part(unsigned char *at, uint32_t type, uint32_t node, const char *words);

Suite *words_suite(void);
Suite *parts_suite(void);
Suite *answer_suite(void);

#endif
