/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Domains: what they use, and the process that each of them is. */
#include "replay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Resources ---- */

static char *copy(const char *text, size_t length)
{
	char *made = strndup(text, length);

	if (!made) {
		abort();
	}
	return made;
}

static bool take_part(struct resource *out, const char *part, size_t length)
{
	if (length == 2 && strncmp(part, "ro", 2) == 0) {
		out->flags |= LIBVIRT_RESOURCE_READONLY;
	} else if (length == 6 && strncmp(part, "shared", 6) == 0) {
		out->flags |= LIBVIRT_RESOURCE_SHARED;
	} else if (length > 10 && strncmp(part, "lockspace=", 10) == 0) {
		out->lockspace = copy(part + 10, length - 10);
	} else if (length > 5 && strncmp(part, "path=", 5) == 0) {
		out->path = copy(part + 5, length - 5);
	} else if (length > 7 && strncmp(part, "offset=", 7) == 0) {
		out->offset = strtoull(part + 7, NULL, 0);
	} else {
		return false;
	}
	return true;
}

bool resource_parse(const char *word, struct resource *out)
{
	size_t length;

	*out = (struct resource){.type = LIBVIRT_RESOURCE_DISK};
	if (strncmp(word, "lease:", 6) == 0) {
		out->type = LIBVIRT_RESOURCE_LEASE;
		word += 6;
	}
	length = strcspn(word, ",");
	out->name = copy(word, length);
	for (word += length; *word; word += length) {
		word++;
		length = strcspn(word, ",");
		if (!take_part(out, word, length)) {
			resource_clear(out);
			return false;
		}
	}
	return true;
}

void resource_clear(struct resource *resource)
{
	free(resource->name);
	free(resource->lockspace);
	free(resource->path);
	*resource = (struct resource){0};
}

bool domain_add(struct domain *domain, const char *word)
{
	domain->resources =
		reallocarray(domain->resources, domain->n_resources + 1, sizeof(*domain->resources));
	if (!domain->resources) {
		abort();
	}
	if (!resource_parse(word, &domain->resources[domain->n_resources])) {
		return false;
	}
	domain->n_resources++;
	return true;
}

void domain_remove(struct domain *domain, const char *word)
{
	struct resource gone;

	if (!resource_parse(word, &gone)) {
		return;
	}
	for (size_t i = 0; i < domain->n_resources; i++) {
		struct resource *resource = &domain->resources[i];

		if (resource->type == gone.type && strcmp(resource->name, gone.name) == 0) {
			resource_clear(resource);
			domain->n_resources--;
			memmove(resource, resource + 1, (domain->n_resources - i) * sizeof(*resource));
			break;
		}
	}
	resource_clear(&gone);
}

void domain_empty(struct domain *domain)
{
	for (size_t i = 0; i < domain->n_resources; i++) {
		resource_clear(&domain->resources[i]);
	}
	free(domain->resources);
	domain->resources = NULL;
	domain->n_resources = 0;
}

/* ---- Domains ---- */

/* The uuid comes from the name, so that it is the same in every run. */
void domain_make(struct domain *domain, const char *name)
{
	unsigned long long hash = 1469598103934665603ULL;

	*domain = (struct domain){.uri = "qemu:///system", .id = 1};
	snprintf(domain->name, sizeof(domain->name), "%s", name);
	for (size_t i = 0; i < sizeof(domain->uuid); i++) {
		for (const char *p = name; *p; p++) {
			hash = (hash ^ (unsigned char)*p) * 1099511628211ULL;
		}
		domain->uuid[i] = (unsigned char)(hash >> 32);
	}
	pthread_mutex_init(&domain->busy, NULL);
}

void domain_clear(struct domain *domain)
{
	domain_empty(domain);
	free(domain->state);
	domain->state = NULL;
	pthread_mutex_destroy(&domain->busy);
}

/* ---- Its process ---- */

/*
 * The allocator of a sanitizer is not made for a fork while another thread is in it: its child would wait for
 * ever. So with one, a fork waits until no other thread does anything. Without, it comes at any time.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static pthread_rwlock_t quiet = PTHREAD_RWLOCK_INITIALIZER;

void work_begin(void)
{
	if (SANITIZED) {
		pthread_rwlock_rdlock(&quiet);
	}
}

void work_end(void)
{
	if (SANITIZED) {
		pthread_rwlock_unlock(&quiet);
	}
}

static pid_t fork_quietly(void)
{
	pid_t pid;

	if (!SANITIZED) {
		return fork();
	}
	pthread_rwlock_wrlock(&quiet);
	pid = fork();
	if (pid != 0) {
		pthread_rwlock_unlock(&quiet);
	}
	return pid;
}

static void write_all(int fd, const void *data, size_t size)
{
	const char *from = data;

	while (size > 0) {
		ssize_t n = write(fd, from, size);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			_exit(126);
		}
		from += n;
		size -= (size_t)n;
	}
}

/* As after the fork in a daemon: every descriptor of it is closed. */
__attribute__((noreturn)) static void be_the_guest(const struct plugin *plugin, struct domain *domain,
						   int action, int report)
{
	struct outcome out;
	int fd = fcntl(report, F_DUPFD_CLOEXEC, 200);

	for (int other = 3; other < 1024; other++) {
		if (other != fd) {
			close(other);
		}
	}
	domain->pid = getpid();
	call_plugin(plugin, domain, domain->resources, domain->n_resources, CALL_REGISTER, NULL, NULL, action,
		    &out);
	write_all(fd, &out, sizeof(out));
	if (out.result < 0) {
		_exit(1);
	}
	for (int other = 3; other < 1024 && domain->closes; other++) {
		if (other != fd) {
			close(other);
		}
	}
	/* What stands on the command line of a QEMU that is restored or migrated to. */
	execlp("sleep", domain->arrives ? "-incoming" : "sleep", "3600", (char *)NULL);
	_exit(127);
}

static bool read_outcome(int fd, struct outcome *out)
{
	char *to = (char *)out;
	size_t left = sizeof(*out);

	while (left > 0) {
		ssize_t n = read(fd, to, left);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			return false;
		}
		to += n;
		left -= (size_t)n;
	}
	/* The end of the file: it has been executed, or is gone. */
	while (read(fd, &(char){0}, 1) < 0 && errno == EINTR) {
	}
	out->at = out->result < 0 ? "register" : "";
	return true;
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
	}
}

void domain_register(const struct plugin *plugin, struct domain *domain, int action, struct outcome *out)
{
	int fds[2];
	pid_t pid;

	memset(out, 0, sizeof(*out));
	out->result = -1;
	out->at = "fork";
	if (pipe2(fds, O_CLOEXEC) < 0) {
		return;
	}
	pid = fork_quietly();
	if (pid == 0) {
		be_the_guest(plugin, domain, action, fds[1]);
	}
	close(fds[1]);
	if (pid > 0 && !read_outcome(fds[0], out)) {
		out->result = -1;
		out->at = "child";
	}
	close(fds[0]);
	if (pid > 0 && out->result < 0) {
		reap(pid);
	} else if (pid > 0) {
		domain->pid = pid;
	}
}

void domain_kill(struct domain *domain)
{
	if (domain->pid > 0 && kill(domain->pid, SIGKILL) == 0) {
		reap(domain->pid);
	}
	domain->pid = 0;
}

void domain_start(const struct plugin *plugin, struct domain *domain, const char *state, int action,
		  struct outcome *out)
{
	domain_register(plugin, domain, action, out);
	if (out->result < 0) {
		return;
	}
	work_begin();
	call_plugin(plugin, domain, domain->resources, domain->n_resources, CALL_ACQUIRE, state, NULL, action,
		    out);
	work_end();
	if (out->result < 0) {
		domain_kill(domain);
	}
}

/* An event's thread comes first, then who asked for it; the state of the first is still there. */
void domain_suspend(const struct plugin *plugin, struct domain *domain, struct outcome *out)
{
	free(domain->state);
	domain->state = NULL;
	for (int i = 0; i < 2; i++) {
		char before[REPLAY_MESSAGE];

		snprintf(before, sizeof(before), "%s", domain->state ? domain->state : "");
		call_plugin(plugin, domain, domain->resources, domain->n_resources, CALL_PAUSE, NULL,
			    &domain->state, 0, out);
		if (out->result < 0) {
			return;
		}
		if (i == 1 && strcmp(before, out->state) != 0) {
			out->result = -1;
			out->at = "the second release, which gave another state";
		}
	}
}

void domain_resume(const struct plugin *plugin, struct domain *domain, const char *state, struct outcome *out)
{
	call_plugin(plugin, domain, domain->resources, domain->n_resources, CALL_ACQUIRE, state, NULL, 0,
		    out);
	if (out->result == 0) {
		free(domain->state);
		domain->state = NULL;
	}
}
