/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads a script and makes the calls that are in it. */
#include "replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST_PLUGINS 4
#define MOST_DOMAINS 64

static const char help[] =
	"usage: replay [FILE]      reads commands, one a line, from FILE or standard input\n"
	"\n"
	"  symbols FILE                      load a library with libvirt's functions for errors and "
	"messages\n"
	"  plugin NAME FILE                  load a lock manager plugin; the commands below are about it\n"
	"  use NAME                          another of those loaded\n"
	"  init CONFIG|- [VERSION]           initialise it; - for no configuration file\n"
	"  deinit, unload                    the last of its calls; dlclose\n"
	"  domain NAME [uri=U] [id=N] [pid=N] [RESOURCE]...\n"
	"                                    a domain, and all that it uses; again: another list\n"
	"  start NAME [state=S] [action=N]   a child registers and becomes the guest, then acquire\n"
	"  register NAME [action=N] [incoming=yes] [tether=closed]\n"
	"                                    the child alone: started paused, or to be migrated to\n"
	"  suspend NAME                      release, twice, with a place for the state\n"
	"  pause NAME                        the same once\n"
	"  resume NAME [state=S|none]        acquire of everything; else with the state of the last release\n"
	"  acquire NAME [state=S] [action=N] [RESOURCE]...   of these only\n"
	"  release NAME [RESOURCE]...        of these only, for good\n"
	"  attach, detach NAME RESOURCE...   the same, and the domain's list follows\n"
	"  inquire NAME\n"
	"  kill NAME                         SIGKILL, and wait for the end\n"
	"  sleep MILLISECONDS\n"
	"  run COMMAND                       a shell command\n"
	"  quit                              as at the end of the script\n"
	"  threads CLIENTS DOMAINS DISKS SECONDS DIRECTORY\n"
	"  bench ROUNDS DISKS DIRECTORY PLUGIN...\n"
	"\n"
	"A RESOURCE is PATH[,ro][,shared] or lease:KEY[,lockspace=L][,path=P][,offset=O]; \"all\" is "
	"everything of\n"
	"the domain. Each command prints one line: what it was, then \"ok\" or \"failed\" and what came of "
	"it.\n";

static struct plugin plugins[MOST_PLUGINS], *plugin;
static size_t n_plugins;
static struct domain domains[MOST_DOMAINS];
static size_t n_domains;

struct words {
	char *word[REPLAY_WORDS];
	size_t count;
};

static void complain(const char *what, const char *about)
{
	fprintf(stderr, "replay: %s: %s\n", what, about);
	exit(2);
}

static struct plugin *find_plugin(const char *name)
{
	for (size_t i = 0; i < n_plugins; i++) {
		if (strcmp(plugins[i].name, name) == 0 && plugins[i].handle) {
			return &plugins[i];
		}
	}
	complain("no such plugin", name);
	return NULL;
}

static struct domain *find_domain(const char *name)
{
	for (size_t i = 0; i < n_domains; i++) {
		if (strcmp(domains[i].name, name) == 0) {
			return &domains[i];
		}
	}
	return NULL;
}

static struct domain *need_domain(const struct words *words)
{
	struct domain *domain = words->count > 1 ? find_domain(words->word[1]) : NULL;

	if (!domain) {
		complain("no such domain", words->count > 1 ? words->word[1] : "");
	}
	return domain;
}

/* The value of KEY=VALUE among the words, or NULL. */
static const char *option(const struct words *words, const char *key)
{
	size_t length = strlen(key);

	for (size_t i = 2; i < words->count; i++) {
		if (strncmp(words->word[i], key, length) == 0 && words->word[i][length] == '=') {
			return words->word[i] + length + 1;
		}
	}
	return NULL;
}

static int number(const char *text)
{
	return text ? (int)strtol(text, NULL, 10) : 0;
}

static bool is_option(const char *word)
{
	static const char *const keys[] = {
		"state=", "action=", "uri=", "id=", "pid=", "incoming=", "tether="};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strncmp(word, keys[i], strlen(keys[i])) == 0) {
			return true;
		}
	}
	return false;
}

static void print(const struct words *words, const struct outcome *out, const struct domain *domain)
{
	printf("%s%s%s: %s", words->word[0], words->count > 1 ? " " : "",
	       words->count > 1 ? words->word[1] : "", out->result == 0 ? "ok" : "failed");
	if (out->result < 0) {
		printf(" at=%s", out->at);
	}
	if (out->has_state) {
		printf(" state=%s", out->state);
	}
	if (domain && domain->pid && out->result == 0) {
		printf(" pid=%d", (int)domain->pid);
	}
	if (out->code) {
		printf(" domain=%d code=%d message=%s", out->domain, out->code, out->message);
	}
	printf("\n");
	fflush(stdout);
}

/* ---- Commands ---- */

static bool resources_of(const struct words *words, const struct domain *domain, struct domain *out)
{
	*out = (struct domain){0};
	for (size_t i = 2; i < words->count; i++) {
		if (strcmp(words->word[i], "all") == 0) {
			free(out->resources);
			out->resources = domain->resources;
			out->n_resources = domain->n_resources;
			return true;
		}
		if (!is_option(words->word[i]) && !domain_add(out, words->word[i])) {
			complain("not a resource", words->word[i]);
		}
	}
	return false;
}

static void some(const struct words *words, enum call what)
{
	struct domain *domain = need_domain(words);
	const char *state = option(words, "state");
	struct domain list;
	struct outcome out;
	bool all = resources_of(words, domain, &list);

	call_plugin(plugin, domain, list.resources, list.n_resources, what, state, NULL,
		    number(option(words, "action")), &out);
	if (!all) {
		domain_empty(&list);
	}
	print(words, &out, NULL);
	for (size_t i = 2; i < words->count && out.result == 0; i++) {
		if (strcmp(words->word[0], "attach") == 0) {
			domain_add(domain, words->word[i]);
		} else if (strcmp(words->word[0], "detach") == 0) {
			domain_remove(domain, words->word[i]);
		}
	}
}

static void make_domain(const struct words *words)
{
	struct domain *domain = words->count > 1 ? find_domain(words->word[1]) : NULL;
	const char *uri = option(words, "uri");

	if (!domain) {
		if (n_domains == MOST_DOMAINS || words->count < 2) {
			complain("no room for a domain", "");
		}
		domain = &domains[n_domains++];
		domain_make(domain, words->word[1]);
	}
	domain_empty(domain);
	if (uri) {
		snprintf(domain->uri, sizeof(domain->uri), "%s", uri);
	}
	if (option(words, "id")) {
		domain->id = (unsigned)number(option(words, "id"));
	}
	if (option(words, "pid")) {
		domain->pid = number(option(words, "pid"));
	}
	for (size_t i = 2; i < words->count; i++) {
		if (!is_option(words->word[i]) && !domain_add(domain, words->word[i])) {
			complain("not a resource", words->word[i]);
		}
	}
}

static void load(const struct words *words)
{
	if (words->count != 3 || n_plugins == MOST_PLUGINS) {
		complain("plugin NAME FILE", "");
	}
	plugin = &plugins[n_plugins];
	snprintf(plugin->name, sizeof(plugin->name), "%s", words->word[1]);
	if (!plugin_load(plugin, words->word[2])) {
		exit(2);
	}
	n_plugins++;
}

static void unload(const struct words *words)
{
	struct outcome out = {.at = "dlclose"};

	out.result = plugin_unload(plugin) ? 0 : -1;
	plugin->handle = NULL;
	plugin->name[0] = 0;
	print(words, &out, NULL);
}

static void sleep_ms(int ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};

	while (nanosleep(&time, &time) < 0 && errno == EINTR) {
	}
}

static void bench(const struct words *words)
{
	struct plugin turns[MOST_PLUGINS];
	size_t count = 0;

	for (size_t i = 4; i < words->count && count < MOST_PLUGINS; i++) {
		turns[count++] = *find_plugin(words->word[i]);
	}
	if (count == 0 || !bench_run(turns, count, (unsigned)number(words->word[2]),
				     (unsigned)number(words->word[1]), words->word[3])) {
		complain("bench", "failed");
	}
}

static void threads(const struct words *words)
{
	if (words->count != 6) {
		complain("threads CLIENTS DOMAINS DISKS SECONDS DIRECTORY", "");
	}
	if (!load_run(plugin, (unsigned)number(words->word[1]), (unsigned)number(words->word[2]),
		      (unsigned)number(words->word[3]), (unsigned)number(words->word[4]), words->word[5])) {
		complain("threads", "something failed");
	}
}

/* About the process or the plugin as a whole. false: it is not one of these. */
static bool about_all(const struct words *words)
{
	const char *command = words->word[0], *first = words->count > 1 ? words->word[1] : "";
	struct outcome out = {.at = ""};

	if (strcmp(command, "symbols") == 0) {
		if (!symbols_load(first)) {
			exit(2);
		}
		print(words, &out, NULL);
	} else if (strcmp(command, "plugin") == 0) {
		load(words);
		print(words, &out, NULL);
	} else if (strcmp(command, "use") == 0) {
		plugin = find_plugin(first);
		print(words, &out, NULL);
	} else if (strcmp(command, "sleep") == 0) {
		sleep_ms(number(first));
		print(words, &out, NULL);
	} else if (strcmp(command, "domain") == 0) {
		make_domain(words);
		print(words, &out, NULL);
	} else if (!plugin) {
		complain("no plugin is loaded", command);
	} else if (strcmp(command, "init") == 0) {
		plugin_init(plugin, strcmp(first, "-") == 0 ? NULL : first,
			    words->count > 2 ? (unsigned)number(words->word[2]) : LIBVIRT_LOCK_VERSION, &out);
		print(words, &out, NULL);
	} else if (strcmp(command, "deinit") == 0) {
		plugin_deinit(plugin, &out);
		print(words, &out, NULL);
	} else if (strcmp(command, "unload") == 0) {
		unload(words);
	} else if (strcmp(command, "threads") == 0) {
		threads(words);
	} else if (strcmp(command, "bench") == 0) {
		bench(words);
	} else {
		return false;
	}
	return true;
}

/* About a domain. false: not known. */
static bool about_domain(const struct words *words)
{
	const char *command = words->word[0], *state = option(words, "state");
	struct domain *domain = need_domain(words);
	struct outcome out = {.at = ""};
	int action = number(option(words, "action"));

	if (strcmp(command, "start") == 0) {
		domain_start(plugin, domain, state, action, &out);
	} else if (strcmp(command, "register") == 0) {
		domain->arrives = option(words, "incoming") != NULL;
		domain->closes = option(words, "tether") != NULL;
		domain_register(plugin, domain, action, &out);
	} else if (strcmp(command, "suspend") == 0) {
		domain_suspend(plugin, domain, &out);
	} else if (strcmp(command, "pause") == 0) {
		free(domain->state);
		domain->state = NULL;
		call_plugin(plugin, domain, domain->resources, domain->n_resources, CALL_PAUSE, NULL,
			    &domain->state, 0, &out);
	} else if (strcmp(command, "resume") == 0) {
		state = !state ? domain->state : strcmp(state, "none") == 0 ? NULL : state;
		domain_resume(plugin, domain, state, &out);
	} else if (strcmp(command, "inquire") == 0) {
		call_plugin(plugin, domain, domain->resources, domain->n_resources, CALL_INQUIRE, NULL, NULL,
			    0, &out);
	} else if (strcmp(command, "kill") == 0) {
		domain_kill(domain);
	} else {
		return false;
	}
	print(words, &out, domain);
	return true;
}

static void obey(const struct words *words)
{
	const char *command = words->word[0];

	if (about_all(words)) {
		return;
	}
	if (strcmp(command, "acquire") == 0 || strcmp(command, "attach") == 0) {
		some(words, CALL_ACQUIRE);
	} else if (strcmp(command, "release") == 0 || strcmp(command, "detach") == 0) {
		some(words, CALL_RELEASE);
	} else if (!about_domain(words)) {
		complain("unknown command", command);
	}
}

static void split(char *line, struct words *out)
{
	char *rest = line;

	out->count = 0;
	while (out->count < REPLAY_WORDS) {
		rest += strspn(rest, " \t\n");
		if (!*rest) {
			break;
		}
		out->word[out->count++] = rest;
		rest += strcspn(rest, " \t\n");
		if (*rest) {
			*rest++ = 0;
		}
	}
}

static void forget(void)
{
	for (size_t i = 0; i < n_domains; i++) {
		domain_clear(&domains[i]);
	}
}

int main(int argc, char **argv)
{
	FILE *script = stdin;
	struct words words;
	char *line = NULL;
	size_t size = 0;

	if (argc > 2 || (argc == 2 && strcmp(argv[1], "-h") == 0)) {
		fputs(help, argc > 2 ? stderr : stdout);
		return argc > 2 ? 2 : 0;
	}
	if (argc == 2) {
		script = fopen(argv[1], "re");
		if (!script) {
			complain("cannot read", argv[1]);
		}
	}
	while (getline(&line, &size, script) >= 0) {
		if (strncmp(line, "run ", 4) == 0) {
			fflush(stdout);
			printf("run: %d\n",
			       system(line + 4)); /* NOLINT(cert-env33-c): that is what it is for */
			continue;
		}
		split(line, &words);
		if (words.count == 1 && strcmp(words.word[0], "quit") == 0) {
			break;
		}
		if (words.count > 0 && words.word[0][0] != '#') {
			obey(&words);
		}
	}
	free(line);
	if (script != stdin) {
		fclose(script);
	}
	forget();
	return 0;
}
