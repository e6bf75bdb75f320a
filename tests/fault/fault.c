/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A backend that wraps another and goes wrong as it is told. Environment, read when it is loaded:
 *
 *     GUESTLOCK_FAULT_INNER=FILE          the module that does the work
 *     GUESTLOCK_FAULT_WITHOUT=NAME,...    capabilities that are taken away
 *     GUESTLOCK_FAULT_WITH=NAME,...       capabilities that are claimed beyond those of the inner one
 *     GUESTLOCK_FAULT_SILENT=HOST         a survey names this host, which did not answer
 *     GUESTLOCK_FAULT_PLAN=FILE           what goes wrong, read at each call; missing or empty: nothing
 *     GUESTLOCK_FAULT_CALLS=FILE          gets a line OP PID for each call
 *     GUESTLOCK_FAULT_KEPT=FILE           this and FILE.second are opened and kept by a join, before what is planned
 *                                         for the join; FILE.opened gets a line PID for each time, FILE.again for
 *                                         each time that they were there already, FILE.wrong where they are not
 *                                         those files; leave lets go of them
 *
 * A line of the plan is OP WHAT [ARGUMENT] [COUNT], where OP is a function of the table. The first line of an
 * OP counts; with COUNT it is gone after so many calls, of whatever process. WHAT is one of
 *
 *     fail RESULT     it is not done, and the answer is RESULT
 *     drop            it is not done, and there is no answer
 *     lose            it is done, and there is no answer
 *     delay MS        it is done after that time; if the caller has given up by then, there is no answer
 *     hang MS         it is done after that time, whoever waits for it
 */
#include "plan.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAME "fault"

struct fault_backend {
	struct guestlock_backend base;
	struct guestlock_backend *inner;
	struct guestlock_kept *kept;
};

extern struct guestlock_module guestlock_backend_module;

static void *inner_handle;
/* As the inner one is loaded, but named like us: its options are in our section. */
static struct guestlock_module inner_module;

static struct guestlock_backend *inner_of(struct guestlock_backend *backend)
{
	return ((struct fault_backend *)backend)->inner;
}

/* Where the word of the run directory may be new, and several threads come at once. */
static struct guestlock_backend *begin_inner(struct guestlock_backend *backend)
{
	struct guestlock_backend *inner = inner_of(backend);
	const char *known = __atomic_load_n(&inner->run_id, __ATOMIC_ACQUIRE);

	if (!known[0]) {
		__atomic_compare_exchange_n(&inner->run_id, &known, backend->run_id, false, __ATOMIC_ACQ_REL,
					    __ATOMIC_ACQUIRE);
	}
	return inner;
}

static void pause_ms(int64_t ms)
{
	struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

	while (ms > 0 && nanosleep(&left, &left) < 0 && errno == EINTR) {
	}
}

/* ---- Calls without a batch ---- */

static enum guestlock_result say(const char *op, const char *about, enum guestlock_result result,
				 struct guestlock_error *err)
{
	return guestlock_backend_fail(err, result, result == GUESTLOCK_RES_IO ? EIO : 0, 0,
				      "cannot %s%s%s: the plan of faults says %s; change the plan", op,
				      about[0] ? " " : "", about, fault_result_name(result));
}

/* true: the call ends here, with *out_result. */
static bool ends(const struct planned *planned, const char *op, struct guestlock_error *err,
		 enum guestlock_result *out_result)
{
	switch (planned->what) {
	case FAIL:
		*out_result = say(op, "", planned->result, err);
		return true;
	case DROP:
	case LOSE:
		*out_result = say(op, "", GUESTLOCK_RES_INFLIGHT, err);
		return true;
	case NOT_UNDERSTOOD:
		*out_result = say(op, "", GUESTLOCK_RES_INVALID, err);
		return true;
	case DELAY:
	case HANG:
		pause_ms((int64_t)planned->delay_ms);
		return false;
	default:
		return false;
	}
}

#define END_AS_PLANNED(op, err)                                                                              \
	do {                                                                                                 \
		struct planned planned_ = fault_plan(op);                                                    \
		enum guestlock_result result_;                                                               \
		if (ends(&planned_, op, err, &result_)) {                                                    \
			return result_;                                                                      \
		}                                                                                            \
	} while (0)

static enum guestlock_result fault_init(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct fault_backend *fault = (struct fault_backend *)backend;
	enum guestlock_result result;

	fault->inner = calloc(1, inner_module.instance_size);
	if (!fault->inner) {
		return guestlock_backend_fail(err, GUESTLOCK_RES_INVALID, ENOMEM, 0,
					      "cannot wrap a backend: out of memory; try again");
	}
	*fault->inner = *backend;
	fault->inner->module = &inner_module;
	result = inner_module.ops->init(fault->inner, err);
	if (result != GUESTLOCK_RES_GRANTED) {
		free(fault->inner);
		fault->inner = NULL;
		return result;
	}
	backend->life_dir = fault->inner->life_dir;
	return result;
}

static void fault_finish(struct guestlock_backend *backend)
{
	struct fault_backend *fault = (struct fault_backend *)backend;

	inner_module.ops->finish(fault->inner);
	free(fault->inner);
	fault->inner = NULL;
	backend->life_dir = NULL;
}

static enum guestlock_result fault_probe(struct guestlock_backend *backend, struct guestlock_error *err)
{
	END_AS_PLANNED("probe", err);
	return inner_module.ops->probe(inner_of(backend), err);
}

static void note_pid(const char *file, const char *suffix)
{
	char path[4200];
	int fd;

	snprintf(path, sizeof(path), "%s.%s", file, suffix);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0) {
		dprintf(fd, "%ld\n", (long)getpid());
		close(fd);
	}
}

static void close_kept(struct guestlock_kept *kept, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		close(kept->fds[i]);
	}
	kept->count = 0;
}

static bool is_file(int fd, const char *path)
{
	struct stat there, here;

	return fstat(fd, &here) == 0 && stat(path, &there) == 0 && here.st_ino == there.st_ino;
}

/* As a backend does whose locks are behind descriptors. false: the guard has not got them. */
static bool keep(struct guestlock_kept *kept)
{
	const char *file = getenv("GUESTLOCK_FAULT_KEPT");
	char second[4200];

	if (!file) {
		return true;
	}
	snprintf(second, sizeof(second), "%s.second", file);
	note_pid(file, kept->count > 0 ? "again" : "opened");
	if (kept->count > 0) {
		if (kept->count != 2 || !is_file(kept->fds[0], file) || !is_file(kept->fds[1], second)) {
			note_pid(file, "wrong");
		}
		return true;
	}
	kept->fds[0] = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	kept->fds[1] = open(second, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	kept->count = 2;
	if (kept->fds[0] < 0 || kept->fds[1] < 0 || !kept->keep(kept)) {
		close_kept(kept, 2);
		return false;
	}
	return true;
}

static enum guestlock_result fault_join(struct guestlock_backend *backend, struct guestlock_kept *kept,
					struct guestlock_error *err)
{
	((struct fault_backend *)backend)->kept = kept;
	if (!keep(kept)) {
		return say("join", "", GUESTLOCK_RES_AGAIN, err);
	}
	END_AS_PLANNED("join", err);
	return inner_module.ops->join(begin_inner(backend), kept, err);
}

static enum guestlock_result fault_leave(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct guestlock_kept *kept = ((struct fault_backend *)backend)->kept;
	enum guestlock_result result;

	END_AS_PLANNED("leave", err);
	result = inner_module.ops->leave(begin_inner(backend), err);
	if (result == GUESTLOCK_RES_GRANTED && kept && kept->count > 0) {
		close_kept(kept, kept->count);
		if (!kept->keep(kept)) {
			return say("leave", "", GUESTLOCK_RES_AGAIN, err);
		}
	}
	return result;
}

static enum guestlock_join_state fault_status(struct guestlock_backend *backend, struct guestlock_error *err)
{
	struct planned planned = fault_plan("status");
	enum guestlock_result ignored;

	if (ends(&planned, "status", err, &ignored)) {
		return GUESTLOCK_JOIN_STOPPED;
	}
	return inner_module.ops->status(inner_of(backend), err);
}

static enum guestlock_result fault_enumerate(struct guestlock_backend *backend, guestlock_enumerate_fn *visit,
					     guestlock_unchanged_fn *unchanged, void *data,
					     struct guestlock_error *err)
{
	END_AS_PLANNED("enumerate", err);
	return inner_module.ops->enumerate(inner_of(backend), visit, unchanged, data, err);
}

static enum guestlock_result fault_survey(struct guestlock_backend *backend, const char *key,
					  int64_t deadline_ms, guestlock_enumerate_fn *visit,
					  guestlock_silent_fn *silent, void *data,
					  struct guestlock_error *err)
{
	const char *host = getenv("GUESTLOCK_FAULT_SILENT");

	END_AS_PLANNED("survey", err);
	if (host) {
		silent(data, host, "no answer in time");
	}
	return inner_module.ops->survey(inner_of(backend), key, deadline_ms, visit, silent, data, err);
}

static enum guestlock_result fault_release_orphan(struct guestlock_backend *backend, const char *key,
						  bool force, struct guestlock_error *err)
{
	END_AS_PLANNED("release_orphan", err);
	return inner_module.ops->release_orphan(inner_of(backend), key, force, err);
}

static enum guestlock_result fault_unprovision(struct guestlock_backend *backend, unsigned unused_s,
					       struct guestlock_error *err)
{
	END_AS_PLANNED("unprovision", err);
	return inner_module.ops->unprovision(inner_of(backend), unused_s, err);
}

static int fault_watch(struct guestlock_backend *backend, struct guestlock_error *err)
{
	return inner_module.ops->watch(inner_of(backend), err);
}

static int fault_next_event(struct guestlock_backend *backend, struct guestlock_event *out_event)
{
	return inner_module.ops->next_event(inner_of(backend), out_event);
}

/* As long as anything is planned for it. */
static bool fault_busy(struct guestlock_backend *backend)
{
	(void)backend;
	return fault_plan("busy").what != NOTHING;
}

/* ---- Calls with a batch ---- */

typedef enum guestlock_result batch_fn(struct guestlock_backend *backend, struct guestlock_batch *batch,
				       struct guestlock_error *err);

/* A disk, rather than the guest. */
static const char *subject_of(const struct guestlock_batch *batch)
{
	for (size_t i = 0; batch && i < batch->count; i++) {
		if (batch->items[i].key->type == GUESTLOCK_DISK) {
			return batch->items[i].key->identity;
		}
	}
	return batch && batch->count ? batch->items[0].key->identity : "";
}

static enum guestlock_result answer(struct guestlock_batch *batch, const char *op,
				    enum guestlock_result result, struct guestlock_error *err)
{
	if (batch) {
		guestlock_batch_answer(batch, result);
	}
	return say(op, subject_of(batch), result, err);
}

/* true: the caller waited for it. */
static bool wait_for(const struct guestlock_batch *batch, unsigned long delay_ms)
{
	int64_t left_ms = batch ? batch->deadline_ms - guestlock_monotonic_ms() : INT64_MAX;
	bool in_time = (int64_t)delay_ms < left_ms;

	pause_ms(in_time ? (int64_t)delay_ms : left_ms);
	return in_time;
}

static enum guestlock_result call(struct guestlock_backend *backend, const char *op, batch_fn *function,
				  struct guestlock_batch *batch, struct guestlock_error *err)
{
	struct planned planned = fault_plan(op);
	struct guestlock_error ignored = {0};

	switch (planned.what) {
	case FAIL:
		return answer(batch, op, planned.result, err);
	case NOT_UNDERSTOOD:
		return answer(batch, op, GUESTLOCK_RES_INVALID, err);
	case DROP:
		return answer(batch, op, GUESTLOCK_RES_INFLIGHT, err);
	case DELAY:
		if (wait_for(batch, planned.delay_ms)) {
			return function(inner_of(backend), batch, err);
		}
		break;
	case LOSE:
		break;
	case HANG:
		pause_ms((int64_t)planned.delay_ms);
		return function(inner_of(backend), batch, err);
	default:
		return function(inner_of(backend), batch, err);
	}
	function(inner_of(backend), batch, &ignored);
	for (size_t i = 0; batch && i < batch->count; i++) {
		free(batch->items[i].holders);
	}
	return answer(batch, op, GUESTLOCK_RES_INFLIGHT, err);
}

static enum guestlock_result fault_bind(struct guestlock_backend *backend, struct guestlock_batch *batch,
					struct guestlock_error *err)
{
	struct guestlock_kept kept = {.count = 0};

	/* It is the keeper that joined, and the inner one does not know of that. */
	if (backend->module->capabilities & GUESTLOCK_CAP_BIND_HERE) {
		inner_module.ops->join(begin_inner(backend), &kept, err);
	}
	return call(backend, "bind", inner_module.ops->bind, batch, err);
}

static enum guestlock_result fault_acquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
					   struct guestlock_error *err)
{
	return call(backend, "acquire", inner_module.ops->acquire, batch, err);
}

static enum guestlock_result fault_release(struct guestlock_backend *backend, struct guestlock_batch *batch,
					   struct guestlock_error *err)
{
	return call(backend, "release", inner_module.ops->release, batch, err);
}

static enum guestlock_result fault_convert(struct guestlock_backend *backend, struct guestlock_batch *batch,
					   struct guestlock_error *err)
{
	return call(backend, "convert", inner_module.ops->convert, batch, err);
}

static enum guestlock_result fault_inquire(struct guestlock_backend *backend, struct guestlock_batch *batch,
					   struct guestlock_error *err)
{
	return call(backend, "inquire", inner_module.ops->inquire, batch, err);
}

/* ---- Loading ---- */

static struct guestlock_backend_ops ops = {
	.init = fault_init,
	.finish = fault_finish,
	.probe = fault_probe,
	.join = fault_join,
	.leave = fault_leave,
	.status = fault_status,
	.bind = fault_bind,
	.acquire = fault_acquire,
	.release = fault_release,
	.convert = fault_convert,
	.inquire = fault_inquire,
	.enumerate = fault_enumerate,
	.survey = fault_survey,
	.release_orphan = fault_release_orphan,
	.unprovision = fault_unprovision,
	.watch = fault_watch,
	.next_event = fault_next_event,
	.busy = fault_busy,
};

/* Without an inner one there is no interface number, and nobody takes this for a backend. */
__attribute__((visibility("default"))) struct guestlock_module guestlock_backend_module = {
	.name = NAME,
	.description = "another backend, with faults",
	.instance_size = sizeof(struct fault_backend),
	.ops = &ops,
};

static bool is_named(const char *list, const char *name)
{
	size_t length = strlen(name);

	while (list && *list) {
		size_t word = strcspn(list, ",");

		if (word == length && strncmp(list, name, length) == 0) {
			return true;
		}
		list += word + (list[word] == ',');
	}
	return false;
}

static unsigned capabilities_of(const char *list)
{
	unsigned found = 0;
	const char *name;

	for (unsigned bit = 0; (name = guestlock_capability_name(bit)) != NULL; bit++) {
		found |= is_named(list, name) ? 1U << bit : 0;
	}
	return found;
}

/* A function that nothing claims must not be there. */
static void fit_functions(unsigned capabilities)
{
	if (!(capabilities & GUESTLOCK_CAP_HANDOVER)) {
		ops.convert = NULL;
	}
	if (!(capabilities & GUESTLOCK_CAP_UNPROVISION)) {
		ops.unprovision = NULL;
	}
	if (!(capabilities & GUESTLOCK_CAP_CLUSTER)) {
		ops.survey = NULL;
	}
	if (!(capabilities & GUESTLOCK_CAP_MAY_BLOCK)) {
		ops.busy = NULL;
	}
	if (!(capabilities & GUESTLOCK_CAP_WATCH)) {
		ops.watch = NULL;
		ops.next_event = NULL;
	}
}

__attribute__((constructor)) static void wrap(void)
{
	const char *file = getenv("GUESTLOCK_FAULT_INNER");
	const struct guestlock_module *inner;

	inner_handle = file ? dlopen(file, RTLD_NOW | RTLD_LOCAL) : NULL;
	inner = inner_handle ? dlsym(inner_handle, "guestlock_backend_module") : NULL;
	if (!inner) {
		return;
	}
	inner_module = *inner;
	inner_module.name = NAME;
	guestlock_backend_module.abi = inner->abi;
	guestlock_backend_module.limits = inner->limits;
	guestlock_backend_module.options = inner->options;
	guestlock_backend_module.capabilities =
		(inner->capabilities | capabilities_of(getenv("GUESTLOCK_FAULT_WITH"))) &
		~capabilities_of(getenv("GUESTLOCK_FAULT_WITHOUT"));
	fit_functions(guestlock_backend_module.capabilities);
}

__attribute__((destructor)) static void unwrap(void)
{
	if (inner_handle) {
		dlclose(inner_handle);
	}
}
