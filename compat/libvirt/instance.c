/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A handle for each configuration file that init was called for. They stay until the last driver that
 * uses the plugin has gone.
 */
#include "instance.h"

#include "abi.h"
#include "report.h"

#include <guestlock/backend.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Grows at the front and is freed as a whole, so that readers need no mutex: they may be in a child that was
 * forked while another thread held it. The mutex is between init and deinit only.
 */
static struct gl_libvirt_instance *instances;
static unsigned users;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct gl_libvirt_instance *first(void)
{
	return __atomic_load_n(&instances, __ATOMIC_ACQUIRE);
}

static void destroy(struct gl_libvirt_instance *instance)
{
	if (!instance) {
		return;
	}
	guestlock_close(instance->gl);
	free(instance->config_file);
	free(instance->driver);
	free(instance);
}

/* CONFDIR/DRIVER-NAME.conf: DRIVER. */
static char *driver_of(const char *config_file)
{
	const char *slash = strrchr(config_file, '/');
	const char *name = slash ? slash + 1 : config_file;
	const char *dash = strrchr(name, '-');

	return strndup(name, dash ? (size_t)(dash - name) : strlen(name));
}

static struct gl_libvirt_instance *create(const char *config_file)
{
	struct gl_libvirt_instance *instance = calloc(1, sizeof(*instance));

	if (!instance) {
		return NULL;
	}
	instance->config_file = strdup(config_file);
	instance->driver = driver_of(config_file);
	if (!instance->config_file || !instance->driver) {
		destroy(instance);
		return NULL;
	}
	return instance;
}

/* Once, as it loads every module. */
static int learn_abilities(struct gl_libvirt_instance *instance, struct guestlock_error *err)
{
	struct guestlock_backend_info *infos;
	size_t count;
	int status = guestlock_backends(instance->gl, &infos, &count, err);

	if (status < 0) {
		return status;
	}
	for (size_t i = 0; i < count; i++) {
		if (infos[i].selected) {
			strncpy(instance->technology, infos[i].name, sizeof(instance->technology) - 1);
			instance->capabilities = infos[i].capabilities;
		}
	}
	guestlock_backends_free(infos, count);
	return GUESTLOCK_OK;
}

static int open_library(struct gl_libvirt_instance *instance, struct guestlock_error *err)
{
	struct guestlock_options options = {.size = sizeof(options), .log = gl_libvirt_report_log};
	int status;

	/* A file that is there and cannot be read is an error; one that is not there need not be. */
	if (instance->config_file[0] && access(instance->config_file, F_OK) == 0) {
		options.extra_file = instance->config_file;
	}
	status = guestlock_open(&instance->gl, &options, err);
	return status < 0 ? status : learn_abilities(instance, err);
}

/*
 * Recovery, and word of what is amiss. None of it is a reason to fail: that would end the daemon, and with it
 * the way to guests that run. Whoever is refused later is told why.
 */
static void recover(const struct gl_libvirt_instance *instance)
{
	struct guestlock_error err = {0};

	if (guestlock_probe(instance->gl, &err) < 0) {
		gl_libvirt_report_log(NULL, GUESTLOCK_LOG_WARNING, err.message);
	}
	err = (struct guestlock_error){0};
	if (guestlock_reap(instance->gl, NULL, &err) < 0) {
		gl_libvirt_report_log(NULL, GUESTLOCK_LOG_WARNING, err.message);
	}
}

static bool is_known(const char *config_file)
{
	for (const struct gl_libvirt_instance *instance = first(); instance; instance = instance->next) {
		if (strcmp(instance->config_file, config_file) == 0) {
			return true;
		}
	}
	return false;
}

static int add(const char *config_file)
{
	struct guestlock_error err = {0};
	struct gl_libvirt_instance *instance;

	if (is_known(config_file)) {
		return 0;
	}
	instance = create(config_file);
	if (!instance) {
		return gl_libvirt_report(GUESTLOCK_NO_MEMORY, "%s",
					 guestlock_status_text(GUESTLOCK_NO_MEMORY));
	}
	if (open_library(instance, &err) < 0) {
		destroy(instance);
		return gl_libvirt_report_error(&err);
	}
	recover(instance);
	instance->next = instances;
	__atomic_store_n(&instances, instance, __ATOMIC_RELEASE);
	return 0;
}

int gl_libvirt_instance_init(unsigned version, const char *config_file, unsigned flags)
{
	int result;

	gl_libvirt_report_init();
	if (version / 1000000U != LIBVIRT_LOCK_VERSION_MAJOR) {
		return gl_libvirt_report(
			GUESTLOCK_CONFIG,
			"cannot load guestlock: libvirt has version %u.%u.%u of the lock manager "
			"interface, and guestlock has %u; install a guestlock that goes with this "
			"libvirt",
			version / 1000000U, version / 1000U % 1000U, version % 1000U,
			LIBVIRT_LOCK_VERSION_MAJOR);
	}
	if (flags != 0) {
		return gl_libvirt_report(
			GUESTLOCK_CONFIG,
			"cannot load guestlock: libvirt asks for what guestlock does not know (flags 0x%x); "
			"install a guestlock that goes with this libvirt",
			flags);
	}
	pthread_mutex_lock(&mutex);
	result = add(config_file ? config_file : "");
	if (result == 0) {
		users++;
	}
	pthread_mutex_unlock(&mutex);
	return result;
}

int gl_libvirt_instance_deinit(void)
{
	pthread_mutex_lock(&mutex);
	if (users > 0) {
		users--;
	}
	while (users == 0 && instances) {
		struct gl_libvirt_instance *next = instances->next;

		destroy(instances);
		__atomic_store_n(&instances, next, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&mutex);
	return 0;
}

/* The driver that a uri belongs to, by the word before its "+" or ":". */
static bool is_of(const char *uri, const char *driver)
{
	static const char *const others[][2] = {{"xen", "libxl"}};
	size_t length = strcspn(uri, "+:");

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strlen(others[i][0]) == length && strncmp(others[i][0], uri, length) == 0) {
			return strcmp(driver, others[i][1]) == 0;
		}
	}
	return strlen(driver) == length && strncmp(driver, uri, length) == 0;
}

static bool knows(const struct gl_libvirt_instance *instance, const char *uuid)
{
	struct guestlock_info *info = NULL;
	struct guestlock_error ignored;
	int status = guestlock_get_info(instance->gl, uuid, &info, &ignored);

	guestlock_info_free(info);
	return status != GUESTLOCK_NOT_FOUND;
}

const struct gl_libvirt_instance *gl_libvirt_instance_find(const char *uri, const char *uuid)
{
	const struct gl_libvirt_instance *start = first();

	if (!start || !start->next) {
		return start;
	}
	for (const struct gl_libvirt_instance *instance = start; instance; instance = instance->next) {
		if (uri ? is_of(uri, instance->driver) : knows(instance, uuid)) {
			return instance;
		}
	}
	return start;
}

/* NULL: it can be done; else why not. */
static const char *why_not(const struct gl_libvirt_instance *instance, int action)
{
	bool acts = (instance->capabilities & GUESTLOCK_CAP_LOSS_ACTION) != 0;

	if (action == LIBVIRT_ACTION_DEFAULT || (action == LIBVIRT_ACTION_IGNORE && !acts)) {
		return NULL;
	}
	if (!acts) {
		return instance->capabilities & GUESTLOCK_CAP_WATCH
			       ? "cannot act on a guest that lost a lock"
			       : "never loses a lock while the guest runs, so that there is nothing to act "
				 "on";
	}
	if (action == LIBVIRT_ACTION_IGNORE) {
		return "does not let a guest run on that lost a lock";
	}
	return action == LIBVIRT_ACTION_RESTART
		       ? "can pause a guest that loses a lock or power it off, but not restart it"
		       : NULL;
}

const char *gl_libvirt_instance_action(const struct gl_libvirt_instance *instance, const char *uuid,
				       int action)
{
	static const char *const names[] = {
		[LIBVIRT_ACTION_DEFAULT] = "",        [LIBVIRT_ACTION_POWEROFF] = "poweroff",
		[LIBVIRT_ACTION_RESTART] = "restart", [LIBVIRT_ACTION_PAUSE] = "pause",
		[LIBVIRT_ACTION_IGNORE] = "ignore",
	};
	const char *why;

	if (action < 0 || action >= (int)(sizeof(names) / sizeof(names[0]))) {
		gl_libvirt_report(GUESTLOCK_UNSUPPORTED,
				  "guest %s: guestlock does not know on_lockfailure action %d", uuid, action);
		return NULL;
	}
	why = why_not(instance, action);
	if (!why) {
		return names[action];
	}
	gl_libvirt_report(
		GUESTLOCK_UNSUPPORTED,
		"guest %s wants on_lockfailure \"%s\", and backend %s %s: remove on_lockfailure from its "
		"XML, or set it to %s",
		uuid, names[action], instance->technology, why,
		instance->capabilities & GUESTLOCK_CAP_LOSS_ACTION ? "\"pause\" or \"poweroff\""
								   : "\"ignore\"");
	return NULL;
}
