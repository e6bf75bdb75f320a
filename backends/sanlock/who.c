/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who holds a lease: the hosts as sanlock has them, the guests as the notes name them. */
#include "sanlock_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So long a lease without a note may be about to get one; after that nobody is known to have it. */
#define GL_SANLOCK_PASSING_MS 1000

/* ---- Hosts ---- */

/* Has it left, died or joined anew since it took the lease? What is known of it may be older than that. */
static bool is_past(const struct sanlk_host *host, const struct sanlk_host *owner)
{
	uint32_t state = host->flags & SANLK_HOST_MASK;

	return host->generation > owner->generation ||
	       (host->generation == owner->generation &&
		(state == SANLK_HOST_FREE || state == SANLK_HOST_DEAD));
}

/*
 * Does that host keep others out? The daemon looks at other hosts as it renews: for some seconds after it has joined it
 * knows of nobody, and of one that joined meanwhile what was before. 1, 0, or GL_SANLOCK_UNHEARD.
 */
static int is_in_the_way(const char *lockspace, const struct sanlk_host *owner)
{
	struct sanlk_host *host = NULL;
	int count = 0, result = 1;

	if (sanlock_get_hosts(lockspace, owner->host_id, &host, &count, 0) == 0) {
		result = count == 0 ? GL_SANLOCK_UNHEARD : !is_past(host, owner);
	}
	free(host);
	return result;
}

int gl_sanlock_owners(const struct gl_sanlock_lease *lease, struct gl_sanlock_owners *out)
{
	struct gl_sanlock_lease copy = *lease;
	char lockspace[SANLK_NAME_LEN + 1];
	struct sanlk_host *hosts = NULL;
	int count = 0, rv;

	*out = (struct gl_sanlock_owners){.count = 0};
	snprintf(lockspace, sizeof(lockspace), "%.*s", SANLK_NAME_LEN, lease->resource.lockspace_name);
	copy.resource.flags = 0;
	rv = sanlock_read_resource_owners(&copy.resource, 0, &hosts, &count);
	if (rv < 0) {
		return rv;
	}
	out->lver = copy.resource.lver;
	out->shared = (copy.resource.flags & SANLK_RES_SHARED) != 0;
	for (int i = 0; i < count && out->count < GL_SANLOCK_HOSTS && rv >= 0; i++) {
		int in_the_way =
			gl_sanlock_has_left(lease, &hosts[i]) ? 0 : is_in_the_way(lockspace, &hosts[i]);

		if (in_the_way > 0) {
			out->ids[out->count++] = hosts[i].host_id;
		}
		rv = in_the_way < 0 ? in_the_way : 0;
	}
	free(hosts);
	return rv;
}

/* ---- Guests ---- */

struct naming {
	const struct gl_sanlock *sl;
	const struct gl_sanlock_lease *lease;
	bool elsewhere; /* of another lockspace, in which hosts have other ids, than the notes and host.ID
			   have */
	const struct guestlock_owner *owner;
	struct guestlock_holder *holders;
	size_t count;
	bool failed;
};

static struct guestlock_holder *add(struct naming *naming)
{
	struct guestlock_holder *grown =
		reallocarray(naming->holders, naming->count + 1, sizeof(*naming->holders));

	if (!grown) {
		naming->failed = true;
		return NULL;
	}
	naming->holders = grown;
	grown[naming->count] = (struct guestlock_holder){.pid = 0};
	return &grown[naming->count++];
}

static void add_line(struct naming *naming, const struct gl_sanlock_line *line)
{
	struct guestlock_holder *holder = add(naming);

	if (holder) {
		guestlock_owner_holder(&line->owner, line->mode, line->since, holder);
	}
}

/* Somebody of that host whom no note names. */
static void add_host(struct naming *naming, uint64_t id, enum guestlock_mode mode)
{
	struct guestlock_holder *holder = add(naming);
	char *path, *name = NULL;
	size_t size;

	if (!holder) {
		return;
	}
	holder->mode = mode;
	if (naming->elsewhere) {
		snprintf(holder->host, sizeof(holder->host), "host id %llu of lockspace %.*s",
			 (unsigned long long)id, SANLK_NAME_LEN, naming->lease->resource.lockspace_name);
		return;
	}
	snprintf(holder->host, sizeof(holder->host), "host id %llu", (unsigned long long)id);
	if (asprintf(&path, "%s/host.%llu", naming->sl->dir, (unsigned long long)id) < 0) {
		return;
	}
	if (guestlock_read_file(path, GL_SANLOCK_NOTE_MAX, &name, &size) == 0) {
		name[strcspn(name, "\n")] = '\0';
		snprintf(holder->host, sizeof(holder->host), "%.*s", (int)sizeof(holder->host) - 1, name);
	}
	free(name);
	free(path);
}

static void name_exclusive(struct naming *naming, const struct guestlock_key *key, uint64_t id, uint64_t lver)
{
	char *path = gl_sanlock_path(naming->sl, key->key, "note");
	size_t before = naming->count;
	struct gl_sanlock_note note = {.count = 0};

	if (path && gl_sanlock_note_read(path, &note) == 0 && note.lver == lver) {
		for (size_t i = 0; i < note.count; i++) {
			if (note.lines[i].mode == GUESTLOCK_MODE_EXCLUSIVE &&
			    (naming->elsewhere || note.lines[i].host_id == id)) {
				add_line(naming, &note.lines[i]);
			}
		}
	}
	if (naming->count == before) {
		add_host(naming, id, GUESTLOCK_MODE_EXCLUSIVE);
	}
	if (path) {
		gl_sanlock_note_free(&note);
	}
	free(path);
}

/* A dead guest of this manager may be named yet. */
static bool counts(const struct naming *naming, const struct gl_sanlock_line *line)
{
	if (line->mode != GUESTLOCK_MODE_SHARED ||
	    (naming->owner && guestlock_owner_same(naming->owner, &line->owner))) {
		return false;
	}
	return strcmp(line->owner.manager, naming->sl->base.run_dir) != 0 ||
	       guestlock_owner_life(&line->owner, naming->sl->base.life_dir) != GUESTLOCK_LIFE_DEAD;
}

static int name_sharing(const struct gl_sanlock *sl, const char *key, const struct gl_sanlock_note *note,
			void *data)
{
	struct naming *naming = data;

	(void)sl;
	(void)key;
	for (size_t i = 0; i < note->count; i++) {
		if (counts(naming, &note->lines[i])) {
			add_line(naming, &note->lines[i]);
		}
	}
	return 0;
}

static void name_shared(struct naming *naming, const struct guestlock_key *key, uint64_t id,
			enum guestlock_mode own)
{
	size_t before = naming->count;
	char prefix[24];

	snprintf(prefix, sizeof(prefix), "%llu-", (unsigned long long)id);
	gl_sanlock_holders_each(naming->sl, key->key, prefix, name_sharing, naming);
	if (naming->count == before && (id != naming->sl->host_id || own == GUESTLOCK_MODE_NONE)) {
		add_host(naming, id, GUESTLOCK_MODE_SHARED);
	}
}

/* This host's in the lease's lockspace; 0: not known. */
static uint64_t own_id(const struct gl_sanlock_lease *lease)
{
	struct sanlk_lockspace *spaces = NULL;
	uint64_t id = 0;
	int count = 0;

	if (sanlock_get_lockspaces(&spaces, &count, 0) < 0) {
		return 0;
	}
	for (int i = 0; i < count && id == 0; i++) {
		if (strncmp(spaces[i].name, lease->resource.lockspace_name, SANLK_NAME_LEN) == 0) {
			id = spaces[i].host_id;
		}
	}
	free(spaces);
	return id;
}

/* As name_shared(), of all hosts, as no note tells which of these ids its host has. */
static void name_shared_elsewhere(struct naming *naming, const struct guestlock_key *key,
				  const struct gl_sanlock_owners *owners, enum guestlock_mode own)
{
	size_t before = naming->count;
	uint64_t here;

	gl_sanlock_holders_each(naming->sl, key->key, "", name_sharing, naming);
	if (naming->count > before) {
		return;
	}
	here = own == GUESTLOCK_MODE_NONE ? 0 : own_id(naming->lease);
	for (size_t i = 0; i < owners->count; i++) {
		if (owners->ids[i] != here) {
			add_host(naming, owners->ids[i], GUESTLOCK_MODE_SHARED);
		}
	}
}

static void name_owners(struct naming *naming, const struct guestlock_key *key,
			const struct gl_sanlock_owners *owners, enum guestlock_mode own)
{
	if (owners->shared && naming->elsewhere) {
		name_shared_elsewhere(naming, key, owners, own);
		return;
	}
	for (size_t i = 0; i < owners->count; i++) {
		if (owners->shared) {
			name_shared(naming, key, owners->ids[i], own);
		} else if (own != GUESTLOCK_MODE_EXCLUSIVE) {
			name_exclusive(naming, key, owners->ids[i], owners->lver);
		}
	}
}

int gl_sanlock_holders(const struct gl_sanlock *sl, const struct guestlock_key *key,
		       const struct gl_sanlock_lease *lease, const struct guestlock_owner *owner,
		       enum guestlock_mode own, struct guestlock_holder **out, size_t *out_count,
		       uint64_t *out_lver)
{
	struct naming naming = {
		.sl = sl,
		.lease = lease,
		.elsewhere = strncmp(lease->resource.lockspace_name, sl->lockspace, SANLK_NAME_LEN) != 0,
		.owner = owner,
	};
	struct gl_sanlock_owners *owners = calloc(1, sizeof(*owners));
	int rv = owners ? gl_sanlock_owners(lease, owners) : -ENOMEM;

	*out = NULL;
	*out_count = 0;
	if (rv == 0) {
		name_owners(&naming, key, owners, own);
		*out_lver = owners->lver;
	}
	free(owners);
	if (naming.failed) {
		free(naming.holders);
		return -ENOMEM;
	}
	*out = naming.holders;
	*out_count = naming.count;
	return rv;
}

/* ---- For a moment ---- */

bool gl_sanlock_is_passing(struct gl_sanlock *sl, const struct gl_sanlock_slot *slot, uint64_t lver,
			   const struct guestlock_holder *holder)
{
	const char *key = slot->item->key->key;
	struct gl_sanlock_file file = {.inode = 0};
	int64_t now_ms = guestlock_monotonic_ms();
	bool result = true;

	if (holder->mode != GUESTLOCK_MODE_EXCLUSIVE || holder->uuid[0] != '\0') {
		return false;
	}
	gl_sanlock_identify(slot->lease.disk.path, &file);
	pthread_mutex_lock(&sl->mutex);
	if (sl->passing.lver == lver && sl->passing.inode == file.inode &&
	    strcmp(sl->passing.key, key) == 0) {
		result = now_ms - sl->passing.since_ms < GL_SANLOCK_PASSING_MS;
	} else {
		sl->passing.lver = lver;
		sl->passing.inode = file.inode;
		sl->passing.since_ms = now_ms;
		memcpy(sl->passing.key, key, GUESTLOCK_KEY_SIZE);
	}
	pthread_mutex_unlock(&sl->mutex);
	return result;
}
