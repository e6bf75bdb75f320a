/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the guestlock command share. It uses the public face of the library and nothing else
 * of it. Functions that return an exit status have printed their error; 0 is success.
 */
#ifndef CLI_H
#define CLI_H

#include "shared/log.h"

#include <guestlock/guestlock.h>

#include <getopt.h>
#include <json.h>
#include <libsmartcols.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#define CLI_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CLI_BUSY 1 /* exit status for "somebody else holds it", unless -E says otherwise */
#define CLI_CANNOT_EXECUTE 126          /* as shells do */
#define CLI_NO_COMMAND 127

static inline void cli_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cli_cleanup_guest(struct guestlock_guest **guest)
{
	guestlock_guest_free(*guest);
}

static inline void cli_cleanup_info(struct guestlock_info **info)
{
	guestlock_info_free(*info);
}

static inline void cli_cleanup_survey(struct guestlock_survey **survey)
{
	guestlock_survey_free(*survey);
}

#define CLI_AUTOFREE __attribute__((cleanup(cli_cleanup_free)))
#define CLI_AUTOGUEST __attribute__((cleanup(cli_cleanup_guest)))
#define CLI_AUTOINFO __attribute__((cleanup(cli_cleanup_info)))
#define CLI_AUTOSURVEY __attribute__((cleanup(cli_cleanup_survey)))

/* ---- Commands and options ---- */

struct cli;

/*
 * An option of a command; a row with name NULL ends the table. take() puts text, which is its argument or
 * NULL, to its place, offset bytes into what cli_parse() fills. Returns 0 or EX_USAGE.
 */
struct cli_option {
	char letter;                    /* 0: it has none */
	const char *name;
	const char *argument;           /* what to call its argument in the help, NULL: it has none */
	const char *help;
	int (*take)(const struct cli *cli, void *place, const char *text);
	size_t offset;
};

/* The place is a bool; a const char *; an int, for seconds with an optional fraction (capped at INT_MAX ms). */
int cli_take_flag(const struct cli *cli, void *place, const char *text);
int cli_take_text(const struct cli *cli, void *place, const char *text);
int cli_take_wait(const struct cli *cli, void *place, const char *text);
#define CLI_WAIT_OPTION(offset)                                                                              \
	{ 0, "wait", "SECONDS", "wait so long for locks that others hold (0)", cli_take_wait, offset }

struct cli_command {
	const char *name;
	const char *synopsis;           /* what follows the name */
	const char *help;               /* one line */
	const struct cli_option *options;
	bool passes_on; /* the first word that is no option begins somebody else's command line */
	int (*run)(struct cli *cli, int argc, char **argv);
};

/* One run of the command. */
struct cli {
	const struct cli_command *command;
	void (*print_overview)(FILE *out);      /* of all commands; options know no table of them */
	struct guestlock *gl;
	/* options that every command has */
	const char *config_file;
	const char **settings;          /* SECTION.KEY=VALUE, of n_settings; malloc'd */
	size_t n_settings;
	const char *timeout;            /* seconds, digits only; NULL: as configured */
	bool json, no_headings, quiet;
	int busy_status;
	struct log_target log;          /* of messages */
	int64_t searched_ms;            /* these three: pids.c */
	bool foreign_pids, ended_pids;
	/* for getopt, and whose they are: those of the command come first */
	struct option long_options[32];
	const struct cli_option *options[32];
	size_t n_own;
	char short_options[80];
};

/* Takes all options, those of the command into *out (NULL: it has none). 0 or EX_USAGE. */
int cli_parse(struct cli *cli, int argc, char **argv, void *out);
/* Prepares cli_parse() for a command; main's own call has a command without a name. */
void cli_begin_options(struct cli *cli, const struct cli_command *command);

/* "guestlock: text" and a hint at --help to stderr. The value is EX_USAGE. */
void cli_complain_usage(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define cli_usage(...) (cli_complain_usage(__VA_ARGS__), EX_USAGE)

/* The one word after the options. Returns 0 or EX_USAGE. */
int cli_one_argument(const struct cli *cli, int argc, char **argv, const char *what, const char **out);
int cli_no_arguments(const struct cli *cli, int argc, char **argv);

/* To standard output: all about a command, or the overview of all when it has no name; and the options. */
void cli_print_help(const struct cli *cli, const struct cli_command *command);

/* Digits only, up to max. */
bool cli_parse_number(const char *text, uint64_t max, uint64_t *out);

/* ---- Resources on the command line ---- */

struct cli_resources {
	struct guestlock_resource *items;
	char **texts;                   /* what the items point into */
	size_t count;
};

void cli_resources_clear(struct cli_resources *list);

/* Warns of what the host itself does with those that are written to: no lock keeps it from that. */
void cli_warn_of_host(struct cli *cli, const struct cli_resources *list);
#define CLI_AUTORESOURCES __attribute__((cleanup(cli_resources_clear)))

/* An absolute path, of one that may begin at the working directory; malloc'd. */
char *cli_absolute(const char *path);

/* Options for them. A doubled comma stands for one. A relative path gets the working directory. */
int cli_take_disk(const struct cli *cli, void *place, const char *text);
int cli_take_lease(const struct cli *cli, void *place, const char *text);
#define CLI_RESOURCE_OPTIONS(offset)                                                                         \
	{ 0, "disk", "PATH[,shared|,readonly]", "a disk: an image or a block device", cli_take_disk, offset }, \
	{ 0, "lease", "KEY[,lockspace=L][,path=P][,offset=O][,shared|,readonly]", "a lease of your own",     \
	  cli_take_lease, offset }
/* A command line of nothing but them and paths. 0 or EX_USAGE. */
int cli_resources_parse(struct cli *cli, int argc, char **argv, struct cli_resources *list);

/* A program as execvp() finds it: 0, or the exit status of a shell, with the reason said. */
int cli_check_program(const char *name);

/* ---- The library ---- */

/* Opens the library, and directs messages as configured. Returns an exit status. */
int cli_open(struct cli *cli);
/* Which exit status a status of the library gets. */
int cli_exit_status(const struct cli *cli, int status);
/* Prints the error and returns its exit status. */
int cli_fail(const struct cli *cli, int status, const struct guestlock_error *err);
/* A message as the library's own: wherever messages go, if the configured level admits it. */
void cli_log(struct cli *cli, enum guestlock_log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The value of a setting of [guestlock], "" when there is no such setting. */
const char *cli_setting(const struct cli *cli, const char *key);

/*
 * Handle and (unless NULL) uuid of the guest that text (a name or a uuid) names: of the life that it has
 * now.
 */
int cli_attach_guest(const struct cli *cli, const char *text, struct guestlock_guest **out_guest,
		     char out_uuid[GUESTLOCK_UUID_STRING]);

/* The one word after the options names a guest: opens the library, and finds it. Returns an exit status. */
int cli_open_guest(struct cli *cli, int argc, char **argv, struct guestlock_guest **out_guest,
		   char out_uuid[GUESTLOCK_UUID_STRING]);

/* What the command line says about a new guest. */
struct cli_guest {
	const char *uuid, *name, *id;   /* NULL: not given */
	char made_up[GUESTLOCK_UUID_STRING];    /* the uuid that it got for want of one, or "" */
	const char *qmp;                /* a socket; NULL: not given */
	const char **params;            /* "KEY=VALUE" */
	size_t n_params;
	struct cli_resources resources;
};

/* Options for the first three. */
#define CLI_GUEST_OPTIONS(offset, uuid_help)                                                                 \
	{ 0, "name", "NAME", "the guest's name", cli_take_text, offset + offsetof(struct cli_guest, name) }, \
	{ 0, "uuid", "UUID", uuid_help, cli_take_text, offset + offsetof(struct cli_guest, uuid) },          \
	{ 0, "id", "ID", "what else identifies it", cli_take_text, offset + offsetof(struct cli_guest, id) }

/* A handle of it, described and with its resources. */
int cli_new_guest(struct cli *cli, struct cli_guest *from, enum guestlock_new_mode mode,
		  struct guestlock_guest **out_guest);

/* "NAME (UUID)" or the uuid alone; malloc'd. */
char *cli_guest_words(const char *name, const char *uuid);

/* ---- Output ---- */

/* Memory that must be there: the command ends (EX_OSERR) without it. Locks do not depend on the command. */
void *cli_need(void *memory);
void cli_out_of_memory(void) __attribute__((noreturn));
char *cli_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *cli_vformat(const char *format, va_list args) __attribute__((format(printf, 1, 0)));
/* Puts more at the end of *text, which is malloc'd before and afterwards. */
void cli_append(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* text without control characters and invalid UTF-8: such bytes become \xNN. malloc'd. */
char *cli_printable(const char *text);
/* The same with control characters left as they are. */
char *cli_valid(const char *text);
/* A line to stderr, made printable; with "guestlock: " before it. */
void cli_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Flushes standard output. Returns status, or EX_IOERR if status is 0 and not everything was written. */
int cli_finish_output(int status);

struct cli_column {
	const char *name;               /* NULL: it is a member of JSON objects only */
	const char *key;                /* of the text in JSON, NULL: it is none */
	bool right;
	bool is_state;                  /* coloured by what it says */
};

/* What is printed as a table, or with --json as an object that has an array in it. */
struct cli_listing {
	const struct cli *cli;
	const struct cli_column *columns;
	size_t count;
	struct libscols_table *table;
	struct json_object *top, *array;
};

/* key is that of the array. */
struct cli_listing cli_begin_listing(const struct cli *cli, const char *key, const struct cli_column *columns,
				     size_t count);
/* A row of the table. A cell that is NULL or "" is printed as "-". */
void cli_add_row(const struct cli_listing *listing, const char *const *cells);
/* The same, and an object of those cells that have a key, to which the caller may add. */
struct json_object *cli_add_object(const struct cli_listing *listing, const char *const *cells);
/* Prints the one that is wanted, and frees both. */
void cli_end_listing(const struct cli_listing *listing);

/* Is colour wanted on standard output? */
bool cli_colour(void);

/* A point in time as one word, "" for 0; malloc'd. */
char *cli_time(int64_t when);
char *cli_hex(uint64_t value);

/* ---- Pids of guests: pids.c ---- */

struct cli_pid {
	pid_t pid;      /* that was bound */
	uint64_t ns;    /* the pid namespace that pid is of, where it is another one; 0 */
	pid_t living;   /* as guestlock_living_pid() tells it */
};
/* In a long listing not all of them are searched for. */
struct cli_pid cli_look_pid(struct cli *cli, const char *uuid, uint64_t instance, pid_t pid, uint64_t ns);
/* One word, with marks where it is not what it looks like; NULL: none is known; malloc'd. */
char *cli_pid_cell(struct cli *cli, const struct cli_pid *pid);
/* What the marks mean that were used: a message for each kind. */
void cli_explain_pids(struct cli *cli);

/* Members of a JSON object. NULL becomes null; text is valid UTF-8 afterwards. */
struct json_object *cli_json_object(void);
struct json_object *cli_json_array(void);
void cli_json_add(struct json_object *object, const char *key, struct json_object *value);
void cli_json_append(struct json_object *array, struct json_object *value);
void cli_json_text(struct json_object *object, const char *key, const char *text);
void cli_json_number(struct json_object *object, const char *key, int64_t value);
void cli_json_bool(struct json_object *object, const char *key, bool value);
/* 64 bits as 16 hexadecimal digits, for JSON's numbers lose precision. */
void cli_json_hex(struct json_object *object, const char *key, uint64_t value);
/* Mode, and whether it only reads: null where that is not known. */
void cli_json_use(struct json_object *object, const struct guestlock_holder *holder);
/* Three members. */
void cli_json_pid(struct json_object *object, const struct cli_pid *pid);
/* Prints and frees. */
void cli_json_print(struct json_object *object);

/* "disk", "lease", or "guest" for the lock of the guest itself. */
const char *cli_resource_type(const struct guestlock_resource_info *resource);

/* The mode of a holder, and how it uses what it shares, as one word: "exclusive", "shared,reading", ... Malloc'd. */
char *cli_mode_cell(const struct guestlock_holder *holder);

/* A guest, holders as JSON. */
struct json_object *cli_json_guest(const struct guestlock_info *info, const struct cli_pid *pid);
struct json_object *cli_json_holders(struct cli *cli, const struct guestlock_holder *holders, size_t count);

/* ---- All hosts: survey.c ---- */

/* Opens the library and asks all hosts; those that do not answer are named in messages. */
int cli_survey(struct cli *cli, struct guestlock_survey **out_survey);
void cli_name_silent(struct cli *cli, const struct guestlock_survey *survey);
/* The same as JSON; survey may be NULL: nobody. */
struct json_object *cli_json_silent(const struct guestlock_survey *survey);
/* Where the locks of the guest end that has lock number first. */
size_t cli_next_guest(const struct guestlock_survey *survey, size_t first);
/* Whether it is the lock of a guest itself, which only repeats the guest. */
bool cli_is_guest_lock(const struct guestlock_survey_lock *lock);

/* ---- The commands, in the files by their names ---- */

#define CLI_COMMAND(name)                                                                                    \
	extern const struct cli_option cli_##name##_options[];                                               \
	int cli_##name(struct cli *cli, int argc, char **argv)

CLI_COMMAND(run);
CLI_COMMAND(list);
CLI_COMMAND(show);
CLI_COMMAND(holders);
CLI_COMMAND(attach);
CLI_COMMAND(detach);
CLI_COMMAND(pause);
CLI_COMMAND(resume);
CLI_COMMAND(inquire);
CLI_COMMAND(migrate);
CLI_COMMAND(release);
CLI_COMMAND(adopt);
CLI_COMMAND(reap);
CLI_COMMAND(unprovision);
CLI_COMMAND(check);
CLI_COMMAND(backends);
CLI_COMMAND(config);
CLI_COMMAND(explain);
CLI_COMMAND(graph);
CLI_COMMAND(leave);

#endif
