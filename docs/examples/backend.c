/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A whole backend, "minimal": what each one has to do, and nothing else. It is built with
 *
 *     cc -O2 -Wall -Wextra -fPIC -shared -o minimal.so backend.c $(pkg-config --cflags --libs guestlock)
 *
 * The locks of a machine are the rows of a table, which is a file. A row counts exactly as long as the guest
 * that it names lives. So nobody has to be there to keep a lock, and the death of a manager takes none away.
 *
 * Whoever changes the table has a lock for as long as the call, and replaces the file. So a batch is written
 * whole or not at all, even if the caller is killed, and whoever only reads needs no lock.
 */
#include <guestlock/backend.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define TABLE_MAX (1 << 28) /* bytes */

/* What one guest has of one key. */
struct row {
	char key[GUESTLOCK_KEY_SIZE];     /* "": it is gone */
	char manager[GUESTLOCK_KEY_SIZE]; /* digest of the run directory */
	struct guestlock_holder who;      /* mode NONE: it is paused */
	uint64_t pid_start, pid_ns;
	char boot_id[GUESTLOCK_UUID_STRING];
};

/* The file. It is only read where it was written, and by this version. */
struct table {
	char format[64];
	struct row rows[];
};

/* The instance. No lock needs it: each process has its own, and may be killed at any instant. */
struct minimal {
	struct guestlock_backend base; /* always the first */
	const char *dir;
	char *path;
	char format[64], manager[GUESTLOCK_KEY_SIZE];
	atomic_bool joined;
};

/* One call. There may be several at once, in threads and in forked children. */
struct call {
	struct minimal *mine;
	struct guestlock_error *err;
	enum guestlock_result result;
	int fd; /* of the directory, locked; -1: nothing is changed */
	struct table *table;
	size_t count; /* of its rows */
};

/* What was tried, what stood in the way, what to do next. */
static void fail(struct call *call, enum guestlock_result result, const char *what, const char *why)
{
	call->result = guestlock_backend_fail(call->err, result, 0, 0, "cannot use the locks in %s: %s %s",
					      call->mine->dir, what, why);
}

/* The one place where errno becomes a result. */
static void fail_errno(struct call *call)
{
	enum guestlock_result result = errno == EAGAIN   ? GUESTLOCK_RES_AGAIN
				       : errno == ENOENT ? GUESTLOCK_RES_NOT_JOINED
				       : errno == EACCES ? GUESTLOCK_RES_DENIED
				       : errno == ENOSPC ? GUESTLOCK_RES_CANNOT_CREATE
							 : GUESTLOCK_RES_IO;

	call->result = guestlock_backend_fail(call->err, result, errno, 0,
					      "cannot use the locks in %s: %m; try again, or set lock_dir",
					      call->mine->dir);
}

/* ---- Rows ---- */

static struct guestlock_owner owner_of(const struct call *call, const struct row *row)
{
	struct guestlock_owner owner = {.instance = row->who.instance,
					.name = row->who.name,
					.host = row->who.host,
					.manager = call->mine->base.run_dir,
					.pid = row->who.pid,
					.pid_start = row->pid_start,
					.pid_ns = row->pid_ns};

	memcpy(owner.uuid, row->who.uuid, sizeof(owner.uuid));
	memcpy(owner.boot_id, row->boot_id, sizeof(owner.boot_id));
	return owner;
}

/* Who may live lives. */
static bool is_dead(const struct call *call, const struct row *row)
{
	const struct guestlock_owner owner = owner_of(call, row);

	return guestlock_owner_life(&owner, call->mine->base.life_dir) == GUESTLOCK_LIFE_DEAD;
}

static bool is_held(const struct row *row)
{
	return row && row->who.mode != GUESTLOCK_MODE_NONE;
}

static bool is_ours(const struct call *call, const struct row *row)
{
	return strcmp(row->manager, call->mine->manager) == 0;
}

/* The owner's row of a key, and who else holds it. Another instance of the same uuid is somebody else. */
static struct row *find(const struct call *call, const char *key, const struct guestlock_owner *owner,
			const struct row **out_other)
{
	struct row *own = NULL;

	*out_other = NULL;
	for (size_t i = 0; i < call->count; i++) {
		struct row *row = &call->table->rows[i];

		if (strcmp(row->key, key) != 0) {
			continue;
		}
		if (owner && row->who.instance == owner->instance &&
		    strcmp(row->who.uuid, owner->uuid) == 0) {
			own = row;
		} else if (is_held(row) && !is_dead(call, row)) {
			*out_other = row;
		}
	}
	return own;
}

/* Another one, or NULL. */
static struct row *add(struct call *call)
{
	struct table *grown = realloc(call->table, sizeof(*grown) + (call->count + 1) * sizeof(struct row));

	if (!grown) {
		fail_errno(call);
		return NULL;
	}
	call->table = grown;
	return &grown->rows[call->count++];
}

static void fill(struct row *row, const char *manager, const char *key, const struct guestlock_owner *owner)
{
	*row = (struct row){.pid_start = owner->pid_start, .pid_ns = owner->pid_ns};
	memcpy(row->key, key, sizeof(row->key));
	memcpy(row->manager, manager, sizeof(row->manager));
	memcpy(row->boot_id, owner->boot_id, sizeof(row->boot_id));
	memcpy(row->who.uuid, owner->uuid, sizeof(row->who.uuid));
	snprintf(row->who.name, sizeof(row->who.name), "%s", owner->name);
	snprintf(row->who.host, sizeof(row->who.host), "%s", owner->host);
	row->who.instance = owner->instance;
	row->who.mode = GUESTLOCK_MODE_EXCLUSIVE;
	row->who.pid = owner->pid;
	row->who.since = time(NULL);
}

/* ---- The table ---- */

static void load(struct call *call)
{
	const struct minimal *mine = call->mine;
	char *text = NULL;
	size_t size;

	if (guestlock_read_file(mine->path, TABLE_MAX, &text, &size) < 0) {
		fail_errno(call);
		return;
	}
	call->table = (void *)text;
	if (size < sizeof(struct table) || (size - sizeof(struct table)) % sizeof(struct row) != 0) {
		/* What cannot be read is never taken for free. */
		fail(call, GUESTLOCK_RES_UNKNOWN, "the table", "is damaged; end all guests, and remove it");
	} else if (memcmp(text, mine->format, sizeof(mine->format)) != 0) {
		fail(call, GUESTLOCK_RES_INVALID, "others have", "another version or disk_identity");
	} else {
		call->count = (size - sizeof(struct table)) / sizeof(struct row);
	}
}

/* A kill leaves the old table or the new one, and perhaps a .tmp-* beside it, which nobody reads. */
static void save(struct call *call)
{
	struct row *rows = call->table->rows;
	size_t kept = 0;

	for (int i = 0; i < 4 && call->count > 0; i++) {
		/* What the dead have left goes bit by bit: there may be much of it. */
		struct row *row = &rows[guestlock_random64() % call->count];

		row->key[0] = is_dead(call, row) ? '\0' : row->key[0];
	}
	for (size_t i = 0; i < call->count; i++) {
		if (rows[i].key[0] != '\0') {
			rows[kept++] = rows[i];
		}
	}
	if (guestlock_write_file(call->mine->path, call->table,
				 sizeof(struct table) + kept * sizeof(struct row), 0600) < 0) {
		fail_errno(call);
	}
}

/* With change, nobody else changes the table until end(). Who comes second is asked again by the core. */
static struct call begin(struct guestlock_backend *backend, bool change, struct guestlock_error *err)
{
	struct call call = {.mine = (struct minimal *)backend, .err = err, .fd = -1};

	if (!call.mine->joined) {
		fail(&call, GUESTLOCK_RES_NOT_JOINED, "this host", "has left; join again");
		return call;
	}
	if (change) {
		call.fd = open(call.mine->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (call.fd < 0 || flock(call.fd, LOCK_EX | LOCK_NB) < 0) {
			fail_errno(&call);
			return call;
		}
	}
	load(&call);
	return call;
}

static enum guestlock_result end(struct call *call)
{
	if (call->fd >= 0) {
		/* close() alone does not unlock what a child has too that another thread has forked. */
		flock(call->fd, LOCK_UN);
		close(call->fd);
	}
	free(call->table);
	return call->result;
}

/* ---- What is asked for a guest ---- */

static void take(struct call *call, const struct guestlock_owner *owner, struct guestlock_item *item)
{
	const struct row *other;
	struct row *row = find(call, item->key->key, owner, &other);

	if (other) {
		item->result = GUESTLOCK_RES_BUSY;
		item->holder = other->who;
		fail(call, GUESTLOCK_RES_BUSY, other->who.uuid, "has one of them; end that guest first");
	} else if (!is_held(row)) {
		row = row ? row : add(call);
		if (row) {
			fill(row, call->mine->manager, item->key->key, owner);
		}
	}
}

/* All or nothing: what is refused is not saved. For want of SHARED and HANDOVER, all is exclusive. */
static enum guestlock_result acquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
				     struct guestlock_error *err)
{
	bool change = !(batch->flags & GUESTLOCK_BATCH_PROBE);
	struct call call = begin(backend, change, err);
	bool begun = call.result == GUESTLOCK_RES_GRANTED;

	guestlock_batch_answer(batch, call.result);
	for (size_t i = 0; begun && i < batch->count; i++) {
		take(&call, batch->owner, &batch->items[i]);
	}
	if (change && call.result == GUESTLOCK_RES_GRANTED) {
		save(&call);
	}
	if (call.result != GUESTLOCK_RES_BUSY) {
		guestlock_batch_answer(batch, call.result);
	}
	return end(&call);
}

static enum guestlock_result release(struct guestlock_backend *backend, struct guestlock_batch *batch,
				     struct guestlock_error *err)
{
	struct call call = begin(backend, true, err);

	for (size_t i = 0; i < batch->count; i++) {
		const struct row *other;
		struct row *own = find(&call, batch->items[i].key->key, batch->owner, &other);

		if (own && batch->flags & GUESTLOCK_BATCH_PARK) {
			own->who.mode = GUESTLOCK_MODE_NONE;
		} else if (own) {
			own->key[0] = '\0';
		}
	}
	if (call.result == GUESTLOCK_RES_GRANTED) {
		save(&call);
	}
	guestlock_batch_answer(batch, call.result);
	return end(&call);
}

static void look(struct call *call, const struct guestlock_batch *batch, struct guestlock_item *item)
{
	const struct row *other, *own = find(call, item->key->key, batch->owner, &other);
	const struct row *holder = is_held(own) ? own : other;

	item->result = !holder         ? GUESTLOCK_RES_FREE
		       : holder == own ? GUESTLOCK_RES_HELD
				       : GUESTLOCK_RES_OTHER;
	item->held_mode = is_held(own) ? own->who.mode : GUESTLOCK_MODE_NONE;
	if (other) {
		item->holder = other->who;
		item->n_others = 1;
	}
	if (holder && batch->flags & GUESTLOCK_BATCH_ALL_HOLDERS) {
		item->holders = malloc(sizeof(*item->holders));
		if (!item->holders) {
			item->result = GUESTLOCK_RES_UNKNOWN;
			fail(call, GUESTLOCK_RES_UNKNOWN, "there", "is no memory; free some");
			return;
		}
		*item->holders = holder->who;
		item->n_holders = 1;
	}
}

/* Asks the table, and changes nothing. */
static enum guestlock_result inquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
				     struct guestlock_error *err)
{
	struct call call = begin(backend, false, err);
	bool begun = call.result == GUESTLOCK_RES_GRANTED;

	guestlock_batch_answer(batch, call.result);
	for (size_t i = 0; begun && i < batch->count; i++) {
		look(&call, batch, &batch->items[i]);
	}
	return end(&call);
}

/* The core has taken the life lock by now, and nothing else ties the guest's process to its locks. */
static enum guestlock_result bind(struct guestlock_backend *backend, struct guestlock_batch *batch,
				  struct guestlock_error *err)
{
	struct call call = begin(backend, false, err);

	guestlock_batch_answer(batch, call.result);
	return end(&call);
}

/* ---- What is asked of this host ---- */

static enum guestlock_result enumerate(struct guestlock_backend *backend, guestlock_enumerate_fn *visit,
				       guestlock_unchanged_fn *unchanged, void *data,
				       struct guestlock_error *err)
{
	struct call call = begin(backend, false, err);
	bool stop = false;

	(void)unchanged; /* the answer would save nothing */
	for (size_t i = 0; i < call.count && !stop; i++) {
		const struct row *row = &call.table->rows[i];
		struct guestlock_lock lock = {.owner = owner_of(&call, row),
					      .key = {.identity = ""},
					      .mode = row->who.mode,
					      .since = row->who.since,
					      .readable = true};

		memcpy(lock.key.key, row->key, sizeof(lock.key.key));
		stop = is_ours(&call, row) && visit(data, &lock) != 0;
	}
	return end(&call);
}

static enum guestlock_result release_orphan(struct guestlock_backend *backend, const char *key, bool force,
					    struct guestlock_error *err)
{
	struct call call = begin(backend, true, err);
	bool freed = false, alive = false;

	for (size_t i = 0; i < call.count; i++) {
		struct row *row = &call.table->rows[i];
		bool meant = strcmp(row->key, key) == 0, dead = meant && is_dead(&call, row);

		if (meant && is_ours(&call, row) && (force || dead)) {
			row->key[0] = '\0';
			freed = true;
		}
		alive |= meant && !dead;
	}
	if (call.result == GUESTLOCK_RES_GRANTED && freed) {
		save(&call);
	} else if (call.result == GUESTLOCK_RES_GRANTED) {
		fail(&call, alive ? GUESTLOCK_RES_BUSY : GUESTLOCK_RES_NO_ORPHAN, key,
		     alive ? "is of a guest that lives" : "is of no guest of this host");
	}
	return end(&call);
}

/* Would it protect? On tmpfs it does: no other host sees that, and it ends with the boot. */
static enum guestlock_result probe(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct call call = {.mine = (struct minimal *)backend, .err = err, .fd = -1};
	struct statfs fs = {.f_type = TMPFS_MAGIC}; /* until join has made it, and asks again */

	if (statfs(call.mine->dir, &fs) < 0 && errno != ENOENT) {
		fail_errno(&call);
	} else if (fs.f_type != TMPFS_MAGIC) {
		fail(&call, GUESTLOCK_RES_UNSAFE, "that", "is not on tmpfs; set lock_dir to what is");
	}
	return end(&call);
}

/* The first who joins makes the table, and the others compare. */
static enum guestlock_result join(struct guestlock_backend *backend, struct guestlock_kept *kept,
				  struct guestlock_error *err)
{
	struct minimal *mine = (struct minimal *)backend;
	struct call call = {.mine = mine, .err = err, .fd = -1};

	(void)kept; /* no descriptor outlives a call */
	if (mkdir(mine->dir, 0700) < 0 && errno != EEXIST) {
		fail(&call, GUESTLOCK_RES_CANNOT_CREATE, "that", "cannot be made; set lock_dir to another");
		return end(&call);
	}
	call.result = probe(backend, err);
	if (call.result != GUESTLOCK_RES_GRANTED) {
		return end(&call);
	}
	mine->joined = true;
	call = begin(backend, false, err);
	if (call.result == GUESTLOCK_RES_NOT_JOINED) {
		*err = (struct guestlock_error){0};
		call = begin(backend, true, err);
	}
	if (call.result == GUESTLOCK_RES_NOT_JOINED && call.fd >= 0) {
		/* The directory is locked, and there still is no table in it. */
		*err = (struct guestlock_error){0};
		call.result = GUESTLOCK_RES_GRANTED;
		call.table = calloc(1, sizeof(*call.table));
		if (call.table) {
			memcpy(call.table->format, mine->format, sizeof(mine->format));
			save(&call);
		} else {
			fail_errno(&call);
		}
	}
	mine->joined = call.result == GUESTLOCK_RES_GRANTED || call.result == GUESTLOCK_RES_AGAIN;
	return end(&call);
}

/* This process need not have joined: it is the host that leaves. */
static enum guestlock_result leave(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct call call = {.mine = (struct minimal *)backend, .err = err, .fd = -1};

	load(&call);
	for (size_t i = 0; i < call.count; i++) {
		const struct row *row = &call.table->rows[i];

		if (is_ours(&call, row) && !is_dead(&call, row)) {
			fail(&call, GUESTLOCK_RES_BUSY, row->who.uuid, "lives; end that guest first");
		}
	}
	if (call.result == GUESTLOCK_RES_NOT_JOINED) {
		*err = (struct guestlock_error){0};
		call.result = GUESTLOCK_RES_GRANTED;
	}
	if (call.result == GUESTLOCK_RES_GRANTED) {
		call.mine->joined = false;
	}
	return end(&call);
}

static enum guestlock_join_state status(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct call call = begin(backend, false, err);

	return end(&call) == GUESTLOCK_RES_GRANTED ? GUESTLOCK_JOIN_JOINED : GUESTLOCK_JOIN_OUT;
}

/* ---- The module ---- */

static enum guestlock_result init(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct minimal *mine = (struct minimal *)backend;

	mine->dir = guestlock_option_string(backend, "lock_dir");
	mine->path = malloc(strlen(mine->dir) + sizeof("/table"));
	if (!mine->path) {
		return guestlock_backend_fail(err, GUESTLOCK_RES_INVALID, ENOMEM, 0,
					      "out of memory; free some");
	}
	stpcpy(stpcpy(mine->path, mine->dir), "/table");
	snprintf(mine->format, sizeof(mine->format), "minimal 1 %zu %s", sizeof(struct row),
		 backend->identity_scheme);
	guestlock_digest(backend->run_dir, strlen(backend->run_dir), mine->manager);
	backend->life_dir = mine->dir; /* life locks are where all see them who see the table */
	return GUESTLOCK_RES_GRANTED;
}

static void finish(struct guestlock_backend *backend)
{
	free(((struct minimal *)backend)->path);
}

static const struct guestlock_option options[] = {
	{.name = "lock_dir",
	 .type = GUESTLOCK_OPTION_PATH,
	 .default_value = "/run/guestlock-minimal",
	 .help = "directory of the locks, one for all managers of this machine"},
	{.name = NULL},
};

static const struct guestlock_backend_ops ops = {
	.init = init,
	.finish = finish,
	.probe = probe,
	.join = join,
	.leave = leave,
	.status = status,
	.bind = bind,
	.acquire = acquire,
	.release = release,
	.inquire = inquire,
	.enumerate = enumerate,
	.release_orphan = release_orphan,
};

const struct guestlock_module guestlock_backend_module = {
	.abi = GUESTLOCK_BACKEND_ABI,
	.name = "minimal",
	.description = "locks of one machine, in a table",
	.capabilities = GUESTLOCK_CAP_HOTPLUG,
	.instance_size = sizeof(struct minimal),
	.options = options,
	.ops = &ops,
};
