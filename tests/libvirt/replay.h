/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host of lock manager plugins without libvirt: it loads any of them and makes the calls that a daemon
 * makes. "replay -h" tells what can be written in a script.
 */
#ifndef REPLAY_H
#define REPLAY_H

#include "abi.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#define REPLAY_NAME 64
#define REPLAY_MESSAGE 2048
#define REPLAY_WORDS 256

/* ---- Plugins (replay_call.c) ---- */

struct plugin {
	char name[REPLAY_NAME];
	void *handle;
	const struct libvirt_lock_driver *driver;
};

struct resource {
	unsigned type, flags;
	char *name, *lockspace, *path;
	unsigned long long offset;
};

struct domain {
	char name[REPLAY_NAME], uri[REPLAY_NAME];
	unsigned char uuid[16];
	unsigned id;
	pid_t pid;
	struct resource *resources;
	size_t n_resources;
	bool arrives;         /* is started to be restored or migrated to */
	bool closes;          /* its program closes what it inherits */
	char *state;          /* of the last release that gave one */
	pthread_mutex_t busy; /* as a daemon does: one call at a time */
};

/* What came of a call. */
struct outcome {
	int result;                 /* 0 or -1 */
	const char *at;             /* where it failed, "" */
	char state[REPLAY_MESSAGE]; /* given out, "" */
	bool has_state;
	int code, domain; /* of libvirt's error, where it can be asked */
	char message[REPLAY_MESSAGE];
};

/* What is called with all the resources of a domain, or with other ones. */
enum call {
	CALL_REGISTER,
	CALL_ACQUIRE,
	CALL_PAUSE,   /* release with a place for the state, where the last one may be still */
	CALL_RELEASE, /* release without */
	CALL_INQUIRE,
};

/* Makes libvirt's functions available to plugins: a library that has them. */
bool symbols_load(const char *path);

bool plugin_load(struct plugin *plugin, const char *path);
bool plugin_unload(struct plugin *plugin);
/* Does an address still belong to a loaded object? */
bool plugin_is_gone(const void *address);
void plugin_init(const struct plugin *plugin, const char *config, unsigned version, struct outcome *out);
void plugin_deinit(const struct plugin *plugin, struct outcome *out);

/* new, add_resource, the operation, free. state: for ACQUIRE, may be NULL; for PAUSE *kept, a string or NULL.
 */
void call_plugin(const struct plugin *plugin, const struct domain *domain, const struct resource *resources,
		 size_t n_resources, enum call what, const char *state, char **kept, int action,
		 struct outcome *out);

/* ---- Domains (replay_domain.c) ---- */

/* PATH[,ro][,shared] or lease:KEY[,lockspace=L][,path=P][,offset=O] */
bool resource_parse(const char *word, struct resource *out);
void resource_clear(struct resource *resource);
bool domain_add(struct domain *domain, const char *word);
void domain_remove(struct domain *domain, const char *word);
void domain_empty(struct domain *domain);

void domain_make(struct domain *domain, const char *name);
void domain_clear(struct domain *domain);

/* Forks a child that registers and then becomes the guest; its pid is in the domain if that succeeds. */
void domain_register(const struct plugin *plugin, struct domain *domain, int action, struct outcome *out);
/* Around what a thread does while others may fork, but for its own start of a domain. */
void work_begin(void);
void work_end(void);
/* Kills it and waits for its end. */
void domain_kill(struct domain *domain);

void domain_start(const struct plugin *plugin, struct domain *domain, const char *state, int action,
		  struct outcome *out);
void domain_suspend(const struct plugin *plugin, struct domain *domain, struct outcome *out);
void domain_resume(const struct plugin *plugin, struct domain *domain, const char *state,
		   struct outcome *out);

/* ---- Many at once, and what it costs (replay_load.c, replay_bench.c) ---- */

/* clients threads, each for a while with one of n_domains domains. Prints what came of it; false: something
 * failed. */
bool load_run(const struct plugin *plugin, unsigned clients, unsigned n_domains, unsigned n_disks,
	      unsigned seconds, const char *directory);

/* Medians of register + acquire + release with each plugin in turn. Prints them. */
bool bench_run(const struct plugin *plugins, size_t n_plugins, unsigned n_disks, unsigned rounds,
	       const char *directory);

#endif
