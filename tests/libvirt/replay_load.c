/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many clients at once over some domains, one call at a time for each of them, as a daemon makes them. */
#include "replay.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct load {
	const struct plugin *plugin;
	struct domain *domains;
	unsigned n_domains;
	time_t end;
	char directory[256];
};

struct client {
	pthread_t thread;
	struct load *load;
	unsigned seed, done, failed;
	char first[REPLAY_MESSAGE]; /* the first failure */
};

static void note(struct client *client, const char *what, const struct domain *domain,
		 const struct outcome *out)
{
	client->done++;
	if (out->result == 0) {
		return;
	}
	if (client->failed++ == 0) {
		snprintf(client->first, sizeof(client->first), "%s %s at %s: %.1500s", what, domain->name,
			 out->at, out->message);
	}
}

static void plug(struct client *client, struct domain *domain)
{
	struct resource extra;
	struct outcome out;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s-extra", client->load->directory, domain->name);
	close(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	if (!resource_parse(path, &extra)) {
		abort();
	}
	call_plugin(client->load->plugin, domain, &extra, 1, CALL_ACQUIRE, NULL, NULL, 0, &out);
	note(client, "attach", domain, &out);
	call_plugin(client->load->plugin, domain, &extra, 1, CALL_RELEASE, NULL, NULL, 0, &out);
	note(client, "detach", domain, &out);
	resource_clear(&extra);
}

/* One thing that may happen to a domain next. */
static void step(struct client *client, struct domain *domain)
{
	const struct plugin *plugin = client->load->plugin;
	struct outcome out;

	if (domain->pid == 0) {
		domain_start(plugin, domain, NULL, 0, &out);
		note(client, "start", domain, &out);
		return;
	}
	work_begin();
	switch (rand_r(&client->seed) % 6) {
	case 0:
		domain_kill(domain);
		free(domain->state);
		domain->state = NULL;
		break;
	case 1:
	case 2:
		if (!domain->state) {
			domain_suspend(plugin, domain, &out);
			note(client, "suspend", domain, &out);
			break;
		}
		domain_resume(plugin, domain, domain->state, &out);
		note(client, "resume", domain, &out);
		break;
	case 3:
		plug(client, domain);
		break;
	default:
		call_plugin(plugin, domain, domain->resources, domain->n_resources, CALL_INQUIRE, NULL, NULL,
			    0, &out);
		note(client, "inquire", domain, &out);
		break;
	}
	work_end();
}

static void *work(void *data)
{
	struct client *client = data;
	struct load *load = client->load;

	while (time(NULL) < load->end) {
		struct domain *domain = &load->domains[(unsigned)rand_r(&client->seed) % load->n_domains];

		if (pthread_mutex_trylock(&domain->busy) == 0) {
			step(client, domain);
			pthread_mutex_unlock(&domain->busy);
		}
	}
	return NULL;
}

/* Open descriptors and threads of this process. */
static unsigned count_entries(const char *path)
{
	DIR *directory = opendir(path);
	unsigned count = 0;

	if (!directory) {
		abort();
	}
	while (readdir(directory)) {
		count++;
	}
	closedir(directory);
	return count;
}

/* A thread that was joined may be listed for a moment more. */
static unsigned count_own(void)
{
	unsigned least = UINT_MAX;

	for (int i = 0; i < 50; i++) {
		unsigned now = count_entries("/proc/self/fd") + count_entries("/proc/self/task");

		least = now < least ? now : least;
		nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
	}
	return least;
}

/* What there is now, for whoever looks for what was left over. */
static void list_own(void)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		char path[300], target[300];
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
		length = readlink(path, target, sizeof(target) - 1);
		printf("open: %s %.*s\n", entry->d_name, length < 0 ? 0 : (int)length, target);
	}
	if (directory) {
		closedir(directory);
	}
	printf("threads: %u\n", count_entries("/proc/self/task"));
}

static void *nothing(void *data)
{
	return data;
}

/* With the first thread a sanitizer starts one of its own, which stays. */
static void run_one_thread(void)
{
	pthread_t first;

	if (pthread_create(&first, NULL, nothing, NULL) != 0) {
		abort();
	}
	pthread_join(first, NULL);
}

static void prepare(struct load *load, unsigned n_disks)
{
	for (unsigned i = 0; i < load->n_domains; i++) {
		char name[REPLAY_NAME], path[512];

		snprintf(name, sizeof(name), "load-%u", i);
		domain_make(&load->domains[i], name);
		for (unsigned k = 0; k < n_disks; k++) {
			snprintf(path, sizeof(path), "%s/%s-%u", load->directory, name, k);
			close(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
			if (!domain_add(&load->domains[i], path)) {
				abort();
			}
		}
	}
}

bool load_run(const struct plugin *plugin, unsigned clients, unsigned n_domains, unsigned n_disks,
	      unsigned seconds, const char *directory)
{
	struct load load = {.plugin = plugin, .n_domains = n_domains, .end = time(NULL) + (time_t)seconds};
	struct client *all = calloc(clients, sizeof(*all));
	unsigned done = 0, failed = 0, before, after;

	run_one_thread();
	before = count_own();
	load.domains = calloc(n_domains, sizeof(*load.domains));
	if (!all || !load.domains) {
		abort();
	}
	snprintf(load.directory, sizeof(load.directory), "%s", directory);
	prepare(&load, n_disks);
	for (unsigned i = 0; i < clients; i++) {
		all[i].load = &load;
		all[i].seed = i + 1;
		if (pthread_create(&all[i].thread, NULL, work, &all[i]) != 0) {
			abort();
		}
	}
	for (unsigned i = 0; i < clients; i++) {
		pthread_join(all[i].thread, NULL);
		done += all[i].done;
		failed += all[i].failed;
		if (all[i].failed > 0) {
			printf("threads: client %u: %s\n", i, all[i].first);
		}
	}
	for (unsigned i = 0; i < n_domains; i++) {
		domain_kill(&load.domains[i]);
		domain_clear(&load.domains[i]);
	}
	after = count_own();
	if (after != before) {
		list_own();
	}
	printf("threads: %s done=%u failed=%u leaked=%d\n",
	       failed || !done || after != before ? "failed" : "ok", done, failed, (int)after - (int)before);
	free(load.domains);
	free(all);
	return failed == 0 && done > 0 && after == before;
}
