/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Membership. The lockspace is made by the first host that comes; the daemon joins it by itself, which takes
 * seconds, or minutes when the host id was used by a host that died. A thread waits for that, as only the
 * call that waits is told why it failed.
 */
#include "sanlock_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The format of the lease directory ---- */

#define GL_SANLOCK_FORMAT_MAX 4096   /* bytes of the format file, and of one with a host's name */
#define GL_SANLOCK_COMPARED_MS 30000 /* no oftener is sanlock asked which hosts there are */

static char *wanted_format(const struct gl_sanlock *sl)
{
	char *text;

	return asprintf(&text, "guestlock-format 1\nscheme %s\nlockspace %s\nsector %u\nend\n",
			sl->base.identity_scheme, sl->lockspace, sl->sector) < 0
		       ? NULL
		       : text;
}

static int fill_text(const struct gl_sanlock *sl, const char *path, const void *data)
{
	const char *text = data;

	(void)sl;
	return guestlock_write_file(path, text, strlen(text), 0660) < 0 ? -errno : 0;
}

static enum guestlock_result compare_format(const struct gl_sanlock *sl, const char *wanted,
					    struct guestlock_error *err)
{
	char *text = NULL;
	size_t size;
	enum guestlock_result result = GUESTLOCK_RES_GRANTED;

	if (guestlock_read_file(sl->format_path, GL_SANLOCK_FORMAT_MAX, &text, &size) < 0) {
		return gl_sanlock_fail(err, -errno, "read", sl->format_path);
	}
	if (strcmp(text, wanted) != 0) {
		for (char *at = text; *at; at++) {
			*at = *at == '\n' ? ' ' : *at;
		}
		result = guestlock_backend_fail(err, GUESTLOCK_RES_INVALID, 0, 0,
						"cannot use the lease directory %s: it was set up as \"%s\", "
						"and here it is scheme %s, "
						"lockspace %s and sectors of %u bytes; use the same version, "
						"disk_identity, lockspace "
						"and sector_size on all hosts, or another lease_dir",
						sl->dir, text, sl->base.identity_scheme, sl->lockspace,
						sl->sector);
	}
	free(text);
	return result;
}

static enum guestlock_result check_format(const struct gl_sanlock *sl, struct guestlock_error *err)
{
	char *wanted = wanted_format(sl);
	struct gl_sanlock_file file;
	enum guestlock_result result;
	int rv;

	if (!wanted) {
		return gl_sanlock_fail(err, -ENOMEM, "use", sl->dir);
	}
	rv = gl_sanlock_identify(sl->format_path, &file);
	if (rv == -ENOENT) {
		rv = gl_sanlock_create(sl, sl->format_path, 0, fill_text, wanted);
	}
	result = rv < 0 ? gl_sanlock_fail(err, rv, "set up", sl->format_path)
			: compare_format(sl, wanted, err);
	free(wanted);
	return result;
}

/* ---- The lockspace ---- */

static void describe(const struct gl_sanlock *sl, const char *path, struct sanlk_lockspace *out)
{
	*out = (struct sanlk_lockspace){.host_id = sl->host_id};
	memcpy(out->name, sl->lockspace, strlen(sl->lockspace));
	snprintf(out->host_id_disk.path, sizeof(out->host_id_disk.path), "%s", path);
}

static int fill_lockspace(const struct gl_sanlock *sl, const char *path, const void *data)
{
	struct sanlk_lockspace lockspace;

	(void)data;
	describe(sl, path, &lockspace);
	lockspace.flags = sl->sector == 4096 ? SANLK_LSF_ALIGN8M | SANLK_LSF_SECTOR4K
					     : SANLK_LSF_ALIGN1M | SANLK_LSF_SECTOR512;
	return sanlock_write_lockspace(&lockspace, 0, 0, sl->io_timeout);
}

static enum guestlock_result make_lockspace(const struct gl_sanlock *sl, struct guestlock_error *err)
{
	struct gl_sanlock_file file;
	int rv = gl_sanlock_identify(sl->lockspace_path, &file);

	if (rv == -ENOENT) {
		rv = gl_sanlock_create(sl, sl->lockspace_path, gl_sanlock_size(sl), fill_lockspace, NULL);
	}
	return rv < 0 ? gl_sanlock_fail(err, rv, "set up the lockspace", sl->lockspace_path)
		      : GUESTLOCK_RES_GRANTED;
}

/* ---- The thread that joins ---- */

struct gl_sanlock_adding {
	pthread_mutex_t mutex;
	unsigned users;
	bool done;
	int rv;
	struct sanlk_lockspace lockspace;
	unsigned io_timeout;
	int64_t since_ms;
};

static void drop(struct gl_sanlock_adding *adding)
{
	bool last;

	pthread_mutex_lock(&adding->mutex);
	last = --adding->users == 0;
	pthread_mutex_unlock(&adding->mutex);
	if (last) {
		pthread_mutex_destroy(&adding->mutex);
		free(adding);
	}
}

static void *add(void *argument)
{
	struct gl_sanlock_adding *adding = argument;
	int rv;
	sigset_t set;

	sigfillset(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	rv = sanlock_add_lockspace_timeout(&adding->lockspace, 0, adding->io_timeout);
	pthread_mutex_lock(&adding->mutex);
	adding->rv = rv;
	adding->done = true;
	pthread_mutex_unlock(&adding->mutex);
	drop(adding);
	return NULL;
}

static int start_adding(struct gl_sanlock *sl)
{
	struct gl_sanlock_adding *adding = calloc(1, sizeof(*adding));
	pthread_attr_t attributes;
	pthread_t thread;
	int failure;

	if (!adding) {
		return -ENOMEM;
	}
	adding->users = 2;
	adding->io_timeout = sl->io_timeout;
	adding->since_ms = guestlock_monotonic_ms();
	describe(sl, sl->lockspace_path, &adding->lockspace);
	pthread_mutex_init(&adding->mutex, NULL);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	failure = pthread_create(&thread, &attributes, add, adding);
	pthread_attr_destroy(&attributes);
	if (failure) {
		pthread_mutex_destroy(&adding->mutex);
		free(adding);
		return -failure;
	}
	sl->adding = adding;
	return 0;
}

/* With the instance's mutex. */
static void forget_adding(struct gl_sanlock *sl)
{
	if (sl->adding) {
		drop(sl->adding);
		sl->adding = NULL;
	}
}

void gl_sanlock_adding_leave(struct gl_sanlock *sl)
{
	forget_adding(sl);
}

/* ---- join ---- */

static int inquire_lockspace(const struct gl_sanlock *sl)
{
	struct sanlk_lockspace lockspace;

	describe(sl, sl->lockspace_path, &lockspace);
	return sanlock_inq_lockspace(&lockspace, 0);
}

static enum guestlock_result fail_joining(const struct gl_sanlock *sl, struct guestlock_error *err)
{
	int64_t since_ms = sl->adding ? guestlock_monotonic_ms() - sl->adding->since_ms : 0;

	return guestlock_backend_fail(
		err, GUESTLOCK_RES_NOT_JOINED, 0, -EINPROGRESS,
		"sanlock is joining lockspace %s with host id %u (for %lld s now); that takes about %u s, "
		"and up to %u s when a host with this id died: wait, or look at sanlock client status",
		sl->lockspace, sl->host_id, (long long)since_ms / 1000, 3 * sl->io_timeout,
		14 * sl->io_timeout + 80);
}

static enum guestlock_result fail_added(const struct gl_sanlock *sl, int rv, struct guestlock_error *err)
{
	char name[SANLK_NAME_LEN + 256], *user = NULL;
	size_t size;

	snprintf(name, sizeof(name), "lockspace %s with host id %u", sl->lockspace, sl->host_id);
	/* Whoever has the id wrote its name there. */
	if (rv == SANLK_HOSTID_BUSY &&
	    guestlock_read_file(sl->host_path, GL_SANLOCK_FORMAT_MAX, &user, &size) == 0) {
		snprintf(name, sizeof(name), "lockspace %s with host id %u (that of host %.*s)",
			 sl->lockspace, sl->host_id,
			 (int)strcspn(user, "\n") > 160 ? 160 : (int)strcspn(user, "\n"), user);
	}
	free(user);
	return gl_sanlock_fail(err, rv, "join", name);
}

/* Nobody has joined it, or is about to. With the mutex. */
static enum guestlock_result go_on(struct gl_sanlock *sl, struct guestlock_error *err)
{
	struct gl_sanlock_adding *adding = sl->adding;
	bool done = false;
	int rv = 0;

	if (adding) {
		pthread_mutex_lock(&adding->mutex);
		done = adding->done;
		rv = adding->rv;
		pthread_mutex_unlock(&adding->mutex);
	}
	if (done) {
		forget_adding(sl);
		if (rv < 0 && rv != -EEXIST && rv != -EINPROGRESS) {
			/* Told once; whoever asks again tries again. */
			return fail_added(sl, rv, err);
		}
	} else if (!adding) {
		rv = start_adding(sl);
		if (rv < 0) {
			return fail_added(sl, rv, err);
		}
	}
	return fail_joining(sl, err);
}

static int say_name(const struct gl_sanlock *sl)
{
	char *text = NULL;
	size_t size;
	char name[256];
	int result = 0;

	snprintf(name, sizeof(name), "%s\n", sl->base.host);
	if (guestlock_read_file(sl->host_path, GL_SANLOCK_FORMAT_MAX, &text, &size) < 0 ||
	    strcmp(text, name) != 0) {
		result = guestlock_write_file(sl->host_path, name, strlen(name), 0664);
	}
	free(text);
	return result;
}

/* rv: what the daemon says of the lockspace. */
static enum guestlock_result join_locked(struct gl_sanlock *sl, int rv, struct guestlock_error *err)
{
	if (rv == 0) {
		forget_adding(sl);
		if (!sl->joined && say_name(sl) < 0) {
			guestlock_backend_log(&sl->base, GUESTLOCK_LOG_WARNING,
					      "cannot write %s: %m; others see this host as a number",
					      sl->host_path);
		}
		sl->joined = true;
		return GUESTLOCK_RES_GRANTED;
	}
	sl->joined = false;
	if (rv == -EINPROGRESS) {
		return fail_joining(sl, err);
	}
	return rv == -ENOENT ? go_on(sl, err) : fail_added(sl, rv, err);
}

/* ---- What hosts should have in common, and need not ---- */

/* Every host goes by the time that is noted in the place of the other one: no lock is at stake. */
static void warn_of(struct gl_sanlock *sl, const struct sanlk_host *host)
{
	bool own = host->host_id == sl->host_id;

	guestlock_backend_log(
		&sl->base, GUESTLOCK_LOG_WARNING,
		"io_timeout is %u here, and sanlock has joined lockspace %s with %u on %s (host id %llu): "
		"that host counts as dead %u s after it was last heard of, not %u s; set the same on all "
		"hosts, then run guestlock leave on that one while it has no guests",
		sl->io_timeout, sl->lockspace, host->io_timeout, own ? "this host" : "another host",
		(unsigned long long)host->host_id, 8 * host->io_timeout + 60, 8 * sl->io_timeout + 60);
}

/* Once in a while, as hosts come and go. */
static bool is_time_to_compare(struct gl_sanlock *sl)
{
	int64_t now_ms = guestlock_monotonic_ms();
	bool result;

	pthread_mutex_lock(&sl->mutex);
	result = sl->compared_ms == 0 || now_ms - sl->compared_ms >= GL_SANLOCK_COMPARED_MS;
	if (result) {
		sl->compared_ms = now_ms;
	}
	pthread_mutex_unlock(&sl->mutex);
	return result;
}

static const struct sanlk_host *find_other(const struct gl_sanlock *sl, const struct sanlk_host *hosts,
					   int count)
{
	for (int i = 0; i < count; i++) {
		uint32_t state = hosts[i].flags & SANLK_HOST_MASK;

		if (hosts[i].io_timeout != 0 && hosts[i].io_timeout != sl->io_timeout &&
		    state != SANLK_HOST_FREE && state != SANLK_HOST_DEAD) {
			return &hosts[i];
		}
	}
	return NULL;
}

static void compare_timeouts(struct gl_sanlock *sl)
{
	const struct sanlk_host *other = NULL;
	struct sanlk_host *hosts = NULL;
	bool known, again;
	int count = 0;

	if (!is_time_to_compare(sl)) {
		return;
	}
	known = sanlock_get_hosts(sl->lockspace, 0, &hosts, &count, 0) == 0;
	if (known) {
		other = find_other(sl, hosts, count);
	}
	pthread_mutex_lock(&sl->mutex);
	again = other && sl->told_of == other->host_id;
	if (known) {
		sl->told_of = other ? other->host_id : 0;
	} else {
		/* It has just joined, and does not know of others yet. */
		sl->compared_ms = 0;
	}
	pthread_mutex_unlock(&sl->mutex);
	if (other && !again) {
		warn_of(sl, other);
	}
	free(hosts);
}

enum guestlock_result gl_sanlock_join(struct guestlock_backend *backend, struct guestlock_kept *kept,
				      struct guestlock_error *err)
{
	struct gl_sanlock *sl = gl_sanlock_of(backend);
	enum guestlock_result result = gl_sanlock_probe(backend, err);
	int rv;

	(void)kept;
	if (result == GUESTLOCK_RES_GRANTED) {
		result = check_format(sl, err);
	}
	if (result == GUESTLOCK_RES_GRANTED) {
		result = make_lockspace(sl, err);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	rv = inquire_lockspace(sl);
	pthread_mutex_lock(&sl->mutex);
	result = join_locked(sl, rv, err);
	pthread_mutex_unlock(&sl->mutex);
	/* A daemon that came back has to be watched anew. */
	if (result == GUESTLOCK_RES_GRANTED && (rv = gl_sanlock_watch_again(sl)) < 0) {
		return fail_added(sl, rv, err);
	}
	if (result == GUESTLOCK_RES_GRANTED) {
		compare_timeouts(sl);
	}
	return result;
}

enum guestlock_result gl_sanlock_leave(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct gl_sanlock *sl = gl_sanlock_of(backend);
	struct sanlk_lockspace lockspace;
	enum guestlock_result result = gl_sanlock_daemon_check(sl, err);
	int rv;

	/* Without a daemon the host is a member for others until they count it as dead. */
	if (result == GUESTLOCK_RES_GRANTED || result == GUESTLOCK_RES_UNSAFE) {
		*err = (struct guestlock_error){.code = GUESTLOCK_OK};
		result = gl_sanlock_in_use(sl, err);
	}
	if (result != GUESTLOCK_RES_GRANTED) {
		return result;
	}
	describe(sl, sl->lockspace_path, &lockspace);
	rv = sanlock_rem_lockspace(&lockspace, SANLK_REM_UNUSED);
	if (rv == -EBUSY) {
		return guestlock_backend_fail(err, GUESTLOCK_RES_BUSY, 0, rv,
					      "cannot leave lockspace %s: processes of this host hold leases "
					      "of it; look at sanlock client status, and end those guests "
					      "first",
					      sl->lockspace);
	}
	if (rv < 0 && rv != -ENOENT && rv != -EINPROGRESS) {
		return gl_sanlock_fail(err, rv, "leave lockspace", sl->lockspace);
	}
	pthread_mutex_lock(&sl->mutex);
	sl->joined = false;
	forget_adding(sl);
	pthread_mutex_unlock(&sl->mutex);
	return GUESTLOCK_RES_GRANTED;
}

/* ---- status ---- */

enum guestlock_join_state gl_sanlock_status(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct gl_sanlock *sl = gl_sanlock_of(backend);
	bool joined;
	int rv;

	pthread_mutex_lock(&sl->mutex);
	joined = sl->joined;
	pthread_mutex_unlock(&sl->mutex);
	if (gl_sanlock_daemon_check(sl, err) != GUESTLOCK_RES_GRANTED) {
		return joined ? GUESTLOCK_JOIN_LOST : GUESTLOCK_JOIN_OUT;
	}
	rv = inquire_lockspace(sl);
	if (rv == 0 && joined) {
		return GUESTLOCK_JOIN_JOINED;
	}
	if (rv == -EINPROGRESS) {
		pthread_mutex_lock(&sl->mutex);
		fail_joining(sl, err);
		pthread_mutex_unlock(&sl->mutex);
		return GUESTLOCK_JOIN_JOINING;
	}
	guestlock_backend_fail(
		err, GUESTLOCK_RES_NOT_JOINED, 0, rv,
		joined ? "sanlock has left lockspace %s (storage lost, or somebody removed it): "
			 "leases of it are lost; look at its log"
		       : "lockspace %s was not joined; the first guest joins it",
		sl->lockspace);
	return joined ? GUESTLOCK_JOIN_LOST : GUESTLOCK_JOIN_OUT;
}
