/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest of words, a backend of words, and what the linker puts in the place of records, processes and
 * time.
 */
#include "operation_world.h"

#include "base/base.h"
#include "base/error.h"
#include "life/members.h"
#include "monitor/monitor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct {
	const struct row *row;
	size_t line; /* of the play, the next one */
	struct person {
		const char *prefix; /* of acts that are about it */
		const char *uuid;
		uint64_t instance;
		char *record; /* in words, or NULL */
		const char *life;
		bool locked, life_file;
	} people[2];
	char log[8192];
} world;

/* ---- The play ---- */

static const char *next_line(void)
{
	return world.line < PLAY_LINES ? world.row->play[world.line] : NULL;
}

static size_t length_of_act(const char *line)
{
	const char *arrow = strstr(line, " -> ");

	return arrow ? (size_t)(arrow - line) : strlen(line);
}

static bool is_next(const char *what)
{
	const char *line = next_line();

	return line && length_of_act(line) == strlen(what) && strncmp(line, what, strlen(what)) == 0;
}

/* What the next line answers, "" if nothing. */
static const char *next_answer(void)
{
	const char *arrow = strstr(next_line(), " -> ");

	world.line++;
	return arrow ? arrow + strlen(" -> ") : "";
}

static const char *act(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *act(const char *format, ...)
{
	GL_AUTOFREE char *text = NULL;
	char where[32];
	va_list args;

	va_start(args, format);
	ck_assert_int_ge(vasprintf(&text, format, args), 0);
	va_end(args);
	ck_assert_msg(next_line(), "%s: nothing more is to be done, but: \"%s\"", words_about, text);
	snprintf(where, sizeof(where), "line %zu of its play", world.line + 1);
	words_compare(where, next_line(), length_of_act(next_line()), text);
	return next_answer();
}

static const char *act_if_told(const char *what)
{
	return is_next(what) ? next_answer() : "";
}

static const char *record_after(void)
{
	const struct row *row = world.row;

	return row->after && strcmp(row->after, AS_BEFORE) == 0 ? row->before : row->after;
}

/* ---- People ---- */

static struct person *person_of(const char *uuid)
{
	struct person *person = &world.people[strcmp(uuid, DB) == 0];

	ck_assert_str_eq(person->uuid, uuid);
	return person;
}

static struct person *owner_of(const struct guestlock_owner *owner)
{
	struct person *person = person_of(owner->uuid);

	ck_assert_uint_eq(owner->instance, person->instance);
	return person;
}

static struct person *locked_person(const struct gl_guest_lock *lock)
{
	struct person *person = person_of(lock->uuid);

	ck_assert_msg(person->locked, "%s: the record is not locked", words_about);
	return person;
}

static void set_person(struct person *person, const char *record, const char *life)
{
	GL_AUTOFREE char *again = NULL;
	struct gl_record *read;

	person->life = life ? life : "alive";
	person->life_file = true;
	if (!record) {
		return;
	}
	person->record = strdup(record);
	read = words_read(record, person->uuid, person->instance);
	again = words_of(read);
	gl_record_free(read);
	words_compare("the record before, as it is read", record, strlen(record), again);
}

/* ---- The backend ---- */

static enum guestlock_result call(const char *name, bool modes, unsigned known, struct guestlock_batch *batch,
				  struct guestlock_error *err)
{
	GL_AUTOFREE char *text = words_of_call(name, modes, known, batch);

	return words_answer(act("%s%s", owner_of(batch->owner)->prefix, text), batch, err);
}

#define FAKE(name, modes, known)                                                                             \
	static enum guestlock_result fake_##name(struct guestlock_backend *backend,                          \
						 struct guestlock_batch *batch, struct guestlock_error *err) \
	{                                                                                                    \
		(void)backend;                                                                               \
		return call(#name, modes, known, batch, err);                                                \
	}
FAKE(acquire, true, GUESTLOCK_BATCH_PROBE)
FAKE(convert, true, GUESTLOCK_BATCH_TAKE_OVER)
FAKE(release, false, GUESTLOCK_BATCH_PARK | GUESTLOCK_BATCH_UNDO)
FAKE(inquire, false, 0)

static const struct guestlock_backend_ops fake_ops = {
	.acquire = fake_acquire,
	.release = fake_release,
	.convert = fake_convert,
	.inquire = fake_inquire,
};

static struct guestlock_module fake_module = {
	.abi = GUESTLOCK_BACKEND_ABI, .name = TECHNOLOGY, .ops = &fake_ops};

/* ---- The library ---- */

static void log_line(void *data, enum guestlock_log_level level, const char *message)
{
	size_t size = strlen(world.log);

	(void)data;
	(void)level;
	snprintf(world.log + size, sizeof(world.log) - size, "%s\n", message);
}

unsigned world_logged(const char *words)
{
	unsigned times = 0;

	for (const char *at = world.log; (at = strstr(at, words)); at++) {
		times++;
	}
	return times;
}

/* Not there: nothing that is not replaced below may find, or change, a file. */
static char run_dir[] = "/nonexistent/guestlock-operation", host_name[] = "host";
static struct guestlock_backend fake_backend = {.module = &fake_module, .life_dir = run_dir};
struct guestlock world_library = {
	.context = {.log = log_line, .log_level = GUESTLOCK_LOG_DEBUG},
	.module = {.descriptor = &fake_module},
	.ops = &fake_ops,
	.backend = &fake_backend,
	.store = {.run_dir = run_dir},
	.host = host_name,
	.acquire_timeout_ms = 1000,
};

void world_begin(const struct row *row)
{
	memset(&world, 0, sizeof(world));
	world.row = row;
	words_about = row->name;
	world.people[0] = (struct person){.prefix = "", .uuid = WEB, .instance = WEB_INSTANCE};
	world.people[1] = (struct person){.prefix = "db ", .uuid = DB, .instance = DB_INSTANCE};
	set_person(&world.people[0], row->before, row->life);
	set_person(&world.people[1], row->other, row->other_life);
	fake_module.limits.batch = row->most;
	fake_module.capabilities = (GUESTLOCK_CAP_SHARED | GUESTLOCK_CAP_HANDOVER | GUESTLOCK_CAP_HOTPLUG |
				    GUESTLOCK_CAP_EPOCH | GUESTLOCK_CAP_LOSS_ACTION) &
				   ~row->without;
	world_library.resume_strict = !row->resume_check_off;
	world_library.joined = !row->not_joined;
}

void world_end(void)
{
	const char *after = record_after() ? record_after() : "none", *found = world.people[0].record;

	ck_assert_msg(!next_line(), "%s: line %zu of its play was not done: \"%s\"", words_about,
		      world.line + 1, next_line());
	words_compare("the record after", after, strlen(after), found ? found : "none");
	for (size_t i = 0; i < GL_COUNT(world.people); i++) {
		ck_assert_msg(!world.people[i].locked, "%s: a record is still locked", words_about);
		free(world.people[i].record);
	}
}

int world_attempt(void *data, struct guestlock_error *err)
{
	static char name[] = "/d";
	const struct gl_resource disk = {.name = name};
	const char *answer = act("attempt"), *at = strchr(answer, '@');
	struct guestlock_holder holder;

	(void)data;
	if (!at) {
		return words_status(answer, err);
	}
	words_holder(at + 1, &holder);
	return gl_fail_busy(&world_library, &disk, &holder, err);
}

/*
 * ---- What the linker puts in the place of the real ones; parameters that nobody looks at are left out
 * ----
 */

/* The linker gives these names. NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
int __wrap_gl_ready(struct guestlock *gl, int64_t deadline_ms, struct guestlock_error *err);
int __wrap_gl_is_pinned(void);
int __wrap_gl_store_lock(const struct gl_store *store, const char *uuid, int64_t deadline_ms,
			 struct gl_guest_lock *out_lock, struct guestlock_error *err);
void __wrap_gl_store_unlock(const struct gl_store *store, const struct gl_guest_lock *lock);
int __wrap_gl_store_load(const struct gl_store *store, const char *uuid, struct gl_record **out_record,
			 struct guestlock_error *err);
int __wrap_gl_store_open(const struct gl_store *store, const struct gl_guest_lock *lock,
			 struct gl_record **out_record, struct guestlock_error *err);
int __wrap_gl_store_save(const struct gl_store *store, const struct gl_guest_lock *lock,
			 const struct gl_record *record, struct guestlock_error *err);
int __wrap_gl_store_remove(const struct gl_guest_lock *lock, struct guestlock_error *err);
int __wrap_gl_hint_add(const struct gl_store *store, enum gl_hint_kind kind, const char *name,
		       const struct gl_hint *hint, gl_hint_judge_fn *judge, void *data, int64_t deadline_ms,
		       struct guestlock_error *err);
void __wrap_gl_hint_remove(const struct gl_store *store, enum gl_hint_kind kind, const char *name,
			   const char *uuid, const char *value);
enum guestlock_life __wrap_guestlock_owner_life(const struct guestlock_owner *owner);
void __wrap_gl_tether_remove(const struct guestlock_owner *owner);
enum gl_presence __wrap_gl_process_presence(void);
int __wrap_gl_members_stop(const struct gl_membership *by, int64_t deadline_ms, size_t *out_count,
			   struct gl_culprit *out_culprit);
bool __wrap_gl_members_are_still(const struct gl_membership *by);
int __wrap_gl_members_continue(const struct gl_membership *by, struct gl_culprit *out_culprit);
int __wrap_gl_members_find(const struct gl_membership *by, pid_t **out_pids, size_t *out_count);
char *__wrap_gl_members_stood(void);
char *__wrap_gl_freezer_find(const struct gl_membership *by);
int __wrap_gl_freezer_freeze(const char *cgroup, int64_t deadline_ms);
int __wrap_gl_freezer_thaw(const char *cgroup);
bool __wrap_gl_thread_is_frozen(pid_t pid, pid_t tid);
int __wrap_gl_monitor_open(struct gl_monitor *monitor);
int __wrap_gl_monitor_runs(struct gl_monitor *monitor, bool *out_running);
int __wrap_gl_monitor_tell(struct gl_monitor *monitor, const char *command);
int __wrap_gl_flush(const char *const paths[], size_t count, int64_t deadline_ms, size_t *out_failed);
bool __wrap_gl_pause_before_retry(void);
int64_t __wrap_guestlock_monotonic_ms(void);

int __wrap_gl_ready(struct guestlock *gl, int64_t deadline_ms, struct guestlock_error *err)
{
	int status = gl->joined ? GUESTLOCK_OK : words_status(act("join"), err);

	(void)deadline_ms;
	gl->joined = status == GUESTLOCK_OK;
	return status;
}

int __wrap_gl_is_pinned(void)
{
	return GUESTLOCK_OK;
}

int __wrap_gl_store_lock(const struct gl_store *store, const char *uuid, int64_t deadline_ms,
			 struct gl_guest_lock *out_lock, struct guestlock_error *err)
{
	struct person *person = person_of(uuid);
	int status = words_status(act_if_told("lock"), err);

	(void)store;
	(void)deadline_ms;
	if (status == GUESTLOCK_OK) {
		ck_assert_msg(!person->locked, "%s: the record is locked twice", words_about);
		person->locked = true;
		memcpy(out_lock->uuid, uuid, sizeof(out_lock->uuid));
	}
	return status;
}

void __wrap_gl_store_unlock(const struct gl_store *store, const struct gl_guest_lock *lock)
{
	(void)store;
	locked_person(lock)->locked = false;
}

int __wrap_gl_store_load(const struct gl_store *store, const char *uuid, struct gl_record **out_record,
			 struct guestlock_error *err)
{
	const struct person *person = person_of(uuid);

	(void)store;
	if (!person->record) {
		return gl_fail(err, GUESTLOCK_NOT_FOUND, 0, "there is none");
	}
	*out_record = words_read(person->record, person->uuid, person->instance);
	return GUESTLOCK_OK;
}

int __wrap_gl_store_open(const struct gl_store *store, const struct gl_guest_lock *lock,
			 struct gl_record **out_record, struct guestlock_error *err)
{
	int status = words_status(act_if_told("open"), err);

	return status < 0 ? status : __wrap_gl_store_load(store, locked_person(lock)->uuid, out_record, NULL);
}

int __wrap_gl_store_save(const struct gl_store *store, const struct gl_guest_lock *lock,
			 const struct gl_record *record, struct guestlock_error *err)
{
	struct person *person = locked_person(lock);
	GL_AUTOFREE char *text = words_of(record);
	int status;

	(void)store;
	if (is_next("save") && record_after()) {
		words_compare("the last record that is saved", record_after(), strlen(record_after()), text);
		status = words_status(act("save"), err);
	} else {
		status = words_status(act("%ssave %s", person->prefix, text), err);
	}
	if (status == GUESTLOCK_OK) {
		ck_assert_int_eq(gl_set_string(&person->record, text), 0);
	}
	return status;
}

int __wrap_gl_store_remove(const struct gl_guest_lock *lock, struct guestlock_error *err)
{
	struct person *person = locked_person(lock);
	const char *what = person->life_file ? "remove record" : "remove";
	int status = words_status(act("%s%s", person->prefix, what), err);

	if (status == GUESTLOCK_OK) {
		gl_set_string(&person->record, NULL);
	}
	return status;
}

int __wrap_gl_hint_add(const struct gl_store *store, enum gl_hint_kind kind, const char *name,
		       const struct gl_hint *hint, gl_hint_judge_fn *judge, void *data, int64_t deadline_ms,
		       struct guestlock_error *err)
{
	(void)store;
	(void)name;
	(void)judge;
	(void)data;
	(void)deadline_ms;
	ck_assert_int_eq(kind, GL_HINT_FILE);
	return words_status(act("%shint %c", person_of(hint->uuid)->prefix, hint->value[0]), err);
}

/* Its name is the digest of DEVICE-INODE-BORN, and the inode is the letter. */
void __wrap_gl_hint_remove(const struct gl_store *store, enum gl_hint_kind kind, const char *name,
			   const char *uuid, const char *value)
{
	char text[24], digest[GUESTLOCK_KEY_SIZE] = "";
	int letter = 'a' - 1;

	(void)store;
	ck_assert_int_eq(kind, GL_HINT_FILE);
	while (strcmp(digest, name) != 0) {
		ck_assert_int_lt(letter++, 'z');
		guestlock_digest(text, (size_t)snprintf(text, sizeof(text), "0-%x-0", (unsigned)letter),
				 digest);
	}
	/* Keys begin with their letter. */
	ck_assert_int_eq(value[0], letter);
	act("%sunhint %c", person_of(uuid)->prefix, (char)letter);
}

enum guestlock_life __wrap_guestlock_owner_life(const struct guestlock_owner *owner)
{
	struct person *person = owner_of(owner);
	const char *word = person->life, *space = strchr(word, ' ');

	person->life = space ? space + 1 : word;
	return words_life(word);
}

void __wrap_gl_tether_remove(const struct guestlock_owner *owner)
{
	owner_of(owner)->life_file = false;
}

enum gl_presence __wrap_gl_process_presence(void)
{
	return GL_PRESENCE_GONE;
}

/* Nobody else stops anybody. */
char *__wrap_gl_members_stood(void)
{
	return NULL;
}

/* There are none when the next look at its life will find it dead. */
int __wrap_gl_members_stop(const struct gl_membership *by, int64_t deadline_ms, size_t *out_count,
			   struct gl_culprit *out_culprit)
{
	const char *answer = "";

	(void)deadline_ms;
	*out_count = words_life(owner_of(by->owner)->life) != GUESTLOCK_LIFE_DEAD;
	if (*out_count > 0) {
		answer = act("stop");
	}
	if (strcmp(answer, "denied") == 0) {
		*out_culprit = (struct gl_culprit){.pid = 7, .program = "writer"};
		errno = EPERM;
		return -1;
	}
	errno = ETIMEDOUT;
	return answer[0] ? -1 : 0;
}

/* Somebody continues it only where that is told. */
bool __wrap_gl_members_are_still(const struct gl_membership *by)
{
	(void)by;
	return act_if_told("look")[0] == '\0';
}

int __wrap_gl_flush(const char *const paths[], size_t count, int64_t deadline_ms, size_t *out_failed)
{
	const char *answer = count > 0 ? act("flush") : "";

	(void)paths;
	(void)deadline_ms;
	*out_failed = 0;
	errno = strcmp(answer, "full") == 0 ? ENOSPC : EIO;
	return answer[0] ? -1 : 0;
}

/* It has a control group of its own only where that is told. */
char *__wrap_gl_freezer_find(const struct gl_membership *by)
{
	(void)by;
	if (!is_next("own")) {
		return NULL;
	}
	act("own");
	return strdup(WORDS_CGROUP);
}

static int freezer_answer(const char *cgroup, const char *answer)
{
	ck_assert_str_eq(cgroup, WORDS_CGROUP);
	errno = strcmp(answer, "hangs") == 0 ? ETIMEDOUT : EACCES;
	return answer[0] ? -1 : 0;
}

int __wrap_gl_freezer_freeze(const char *cgroup, int64_t deadline_ms)
{
	(void)deadline_ms;
	return freezer_answer(cgroup, act("freeze"));
}

int __wrap_gl_freezer_thaw(const char *cgroup)
{
	return freezer_answer(cgroup, act("thaw"));
}

bool __wrap_gl_thread_is_frozen(pid_t pid, pid_t tid)
{
	(void)pid;
	(void)tid;
	return false;
}

static int monitor_answer(struct gl_monitor *monitor, const char *answer)
{
	snprintf(monitor->why, sizeof(monitor->why), "%s", answer);
	errno = strcmp(answer, "denied") == 0  ? EACCES
		: strcmp(answer, "hangs") == 0 ? ETIMEDOUT
					       : ECONNRESET;
	return answer[0] ? -1 : 0;
}

int __wrap_gl_monitor_open(struct gl_monitor *monitor)
{
	return monitor_answer(monitor, act("monitor"));
}

int __wrap_gl_monitor_runs(struct gl_monitor *monitor, bool *out_running)
{
	const char *answer = act("status");

	*out_running = strcmp(answer, "runs") == 0;
	return monitor_answer(monitor, *out_running || strcmp(answer, "stands") == 0 ? "" : answer);
}

int __wrap_gl_monitor_tell(struct gl_monitor *monitor, const char *command)
{
	return monitor_answer(monitor, strcmp(command, "stop") == 0 ? act("tell stop") : act("tell cont"));
}

/* Somebody of it lives: whose life is not known to be over. */
int __wrap_gl_members_find(const struct gl_membership *by, pid_t **out_pids, size_t *out_count)
{
	*out_pids = calloc(1, sizeof(**out_pids));
	if (!*out_pids) {
		return -1;
	}
	(*out_pids)[0] = by->owner->pid;
	*out_count = 1;
	return 0;
}

int __wrap_gl_members_continue(const struct gl_membership *by, struct gl_culprit *out_culprit)
{
	const char *answer = act("continue");

	(void)by;
	*out_culprit = (struct gl_culprit){.pid = 0};
	errno = strcmp(answer, "nobody") == 0 ? ESRCH : EPERM;
	return answer[0] ? -1 : 0;
}

bool __wrap_gl_pause_before_retry(void)
{
	return act("pause")[0] == '\0';
}

int64_t __wrap_guestlock_monotonic_ms(void)
{
	return 0;
}

/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
