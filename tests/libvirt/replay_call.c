/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One call of a plugin, as a daemon makes it. */
#include "replay.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * What tells of the last error in this thread: of libvirt's public interface, present with its symbols
 * only.
 */
static const char *(*last_message)(void);
static int (*last_code)(void), (*last_domain)(void);
static void (*reset_last)(void);

static void look_up(void *library, const char *name, void *out_function)
{
	void *found = dlsym(library, name);

	memcpy(out_function, &found, sizeof(found));
}

bool symbols_load(const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	int (*initialize)(void);

	if (!library) {
		fprintf(stderr, "replay: %s\n", dlerror());
		return false;
	}
	look_up(library, "virGetLastErrorMessage", &last_message);
	look_up(library, "virGetLastErrorCode", &last_code);
	look_up(library, "virGetLastErrorDomain", &last_domain);
	look_up(library, "virResetLastError", &reset_last);
	look_up(library, "virInitialize", &initialize);
	return !initialize || initialize() == 0;
}

bool plugin_load(struct plugin *plugin, const char *path)
{
	plugin->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!plugin->handle) {
		fprintf(stderr, "replay: %s\n", dlerror());
		return false;
	}
	plugin->driver = dlsym(plugin->handle, "virLockDriverImpl");
	if (!plugin->driver) {
		fprintf(stderr, "replay: %s\n", dlerror());
		dlclose(plugin->handle);
		return false;
	}
	return true;
}

bool plugin_is_gone(const void *address)
{
	Dl_info info;

	return dladdr(address, &info) == 0;
}

bool plugin_unload(struct plugin *plugin)
{
	const void *address = plugin->driver;

	dlclose(plugin->handle);
	return plugin_is_gone(address);
}

static void begin(struct outcome *out)
{
	memset(out, 0, sizeof(*out));
	out->at = "";
	if (reset_last) {
		reset_last();
	}
}

static void judge(struct outcome *out, int result, const char *at)
{
	out->result = result;
	if (result == 0) {
		return;
	}
	out->at = at;
	if (last_message && last_code && last_domain) {
		out->code = last_code();
		out->domain = last_domain();
		snprintf(out->message, sizeof(out->message), "%s", last_message());
	}
}

void plugin_init(const struct plugin *plugin, const char *config, unsigned version, struct outcome *out)
{
	begin(out);
	judge(out, plugin->driver->init(version, config, 0), "init");
}

void plugin_deinit(const struct plugin *plugin, struct outcome *out)
{
	begin(out);
	judge(out, plugin->driver->deinit(), "deinit");
}

static int create(const struct plugin *plugin, const struct domain *domain, bool with_uri,
		  struct libvirt_lock_manager *manager, unsigned flags)
{
	char name[REPLAY_NAME], uri[REPLAY_NAME];
	struct libvirt_param params[] = {
		{.type = LIBVIRT_PARAM_UUID, .key = "uuid"},
		{.type = LIBVIRT_PARAM_STRING, .key = "name", .value.s = name},
		{.type = LIBVIRT_PARAM_UINT, .key = "id", .value.u = domain->id},
		{.type = LIBVIRT_PARAM_UINT, .key = "pid", .value.u = (unsigned)domain->pid},
		{.type = LIBVIRT_PARAM_CONST_STRING, .key = "uri", .value.cs = with_uri ? uri : NULL},
	};

	snprintf(name, sizeof(name), "%s", domain->name);
	snprintf(uri, sizeof(uri), "%s", domain->uri);
	memcpy(params[0].value.uuid, domain->uuid, sizeof(domain->uuid));
	/* An uninitialised place, as far as the plugin knows. */
	memset(manager, 0xa5, sizeof(*manager));
	manager->driver = plugin->driver;
	return plugin->driver->create(manager, LIBVIRT_OBJECT_DOMAIN, sizeof(params) / sizeof(params[0]),
				      params, flags);
}

static int add(const struct plugin *plugin, struct libvirt_lock_manager *manager,
	       const struct resource *resource)
{
	struct libvirt_param params[] = {
		{.type = LIBVIRT_PARAM_STRING, .key = "path", .value.s = resource->path},
		{.type = LIBVIRT_PARAM_ULONG, .key = "offset", .value.ul = resource->offset},
		{.type = LIBVIRT_PARAM_STRING, .key = "lockspace", .value.s = resource->lockspace},
	};
	size_t count = resource->type != LIBVIRT_RESOURCE_LEASE ? 0 : resource->lockspace ? 3 : 2;

	return plugin->driver->add_resource(manager, resource->type, resource->name, count,
					    count ? params : NULL, resource->flags);
}

static void take_state(struct outcome *out, const char *state)
{
	out->has_state = state != NULL;
	snprintf(out->state, sizeof(out->state), "%s", state ? state : "");
}

static void operate(struct libvirt_lock_manager *manager, enum call what, const char *state, char **kept,
		    int action, struct outcome *out)
{
	const struct libvirt_lock_driver *driver = manager->driver;
	char *given = NULL;
	int fd = -1;

	switch (what) {
	case CALL_REGISTER:
		judge(out,
		      driver->acquire(manager, NULL, LIBVIRT_ACQUIRE_REGISTER_ONLY | LIBVIRT_ACQUIRE_RESTRICT,
				      action, &fd),
		      "register");
		break;
	case CALL_ACQUIRE:
		judge(out, driver->acquire(manager, state, 0, action, NULL), "acquire");
		break;
	case CALL_PAUSE:
		judge(out, driver->release(manager, kept, 0), "release");
		take_state(out, *kept);
		break;
	case CALL_RELEASE:
		judge(out, driver->release(manager, NULL, 0), "release");
		break;
	case CALL_INQUIRE:
		judge(out, driver->inquire(manager, &given, 0), "inquire");
		take_state(out, given);
		free(given);
		break;
	}
}

void call_plugin(const struct plugin *plugin, const struct domain *domain, const struct resource *resources,
		 size_t n_resources, enum call what, const char *state, char **kept, int action,
		 struct outcome *out)
{
	bool acquires = what == CALL_REGISTER || what == CALL_ACQUIRE;
	struct libvirt_lock_manager manager;

	begin(out);
	judge(out,
	      create(plugin, domain, acquires, &manager, what == CALL_REGISTER ? LIBVIRT_NEW_STARTED : 0),
	      "new");
	if (out->result < 0) {
		return;
	}
	for (size_t i = 0; i < n_resources && out->result == 0; i++) {
		judge(out, add(plugin, &manager, &resources[i]), "add_resource");
	}
	if (out->result == 0) {
		operate(&manager, what, state, kept, action, out);
	}
	plugin->driver->destroy(&manager);
}
