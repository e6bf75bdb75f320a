/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libvirt says before a call, parameter by parameter and resource by resource, kept until it acts. */
#include "request.h"

#include "report.h"

#include <stdlib.h>
#include <string.h>

static int no_memory(void)
{
	return gl_libvirt_report(GUESTLOCK_NO_MEMORY, "%s", guestlock_status_text(GUESTLOCK_NO_MEMORY));
}

static const char *string_of(const struct libvirt_param *param)
{
	return param->type == LIBVIRT_PARAM_STRING         ? param->value.s
	       : param->type == LIBVIRT_PARAM_CONST_STRING ? param->value.cs
							   : NULL;
}

static uint64_t number_of(const struct libvirt_param *param)
{
	switch (param->type) {
	case LIBVIRT_PARAM_INT:
		return param->value.i > 0 ? (uint64_t)param->value.i : 0;
	case LIBVIRT_PARAM_LONG:
		return param->value.l > 0 ? (uint64_t)param->value.l : 0;
	case LIBVIRT_PARAM_UINT:
		return param->value.u;
	case LIBVIRT_PARAM_ULONG:
		return param->value.ul;
	default:
		return 0;
	}
}

/* NULL stays NULL. */
static int copy(char **out, const char *text)
{
	free(*out);
	*out = text ? strdup(text) : NULL;
	return text && !*out ? -1 : 0;
}

/* Not with printf: the child that is going to be the guest would read in code for this one number. */
static void take_id(struct gl_libvirt_request *request, const struct libvirt_param *param)
{
	unsigned number = (unsigned)number_of(param), rest = number;
	size_t size = 1;

	while (rest >= 10) {
		rest /= 10;
		size++;
	}
	request->id[size] = '\0';
	while (size > 0) {
		request->id[--size] = (char)('0' + number % 10);
		number /= 10;
	}
}

static void take_uuid(struct gl_libvirt_request *request, const struct libvirt_param *param)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = param->value.uuid;
	char *out = request->uuid;

	if (param->type != LIBVIRT_PARAM_UUID) {
		return;
	}
	for (size_t i = 0; i < sizeof(param->value.uuid); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10) {
			*out++ = '-';
		}
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}

/* What a later libvirt may add is passed over. */
static int take_param(struct gl_libvirt_request *request, const struct libvirt_param *param)
{
	if (strcmp(param->key, "uuid") == 0) {
		take_uuid(request, param);
	} else if (strcmp(param->key, "name") == 0) {
		return copy(&request->name, string_of(param));
	} else if (strcmp(param->key, "uri") == 0) {
		return copy(&request->uri, string_of(param));
	} else if (strcmp(param->key, "id") == 0) {
		take_id(request, param);
	} else if (strcmp(param->key, "pid") == 0) {
		request->pid = (pid_t)number_of(param);
	}
	return 0;
}

/* Strings of resources are constant for those who use them, and ours. */
static void free_text(const char *text)
{
	char *owned;

	memcpy(&owned, &text, sizeof(owned));
	free(owned);
}

static void destroy(struct gl_libvirt_request *request)
{
	for (size_t i = 0; i < request->n_resources; i++) {
		struct guestlock_resource *resource = &request->resources[i];

		free_text(resource->name);
		free_text(resource->lockspace);
		free_text(resource->path);
	}
	free(request->resources);
	free(request->name);
	free(request->uri);
	free(request);
}

int gl_libvirt_request_create(struct libvirt_lock_manager *manager, unsigned type, size_t n_params,
			      struct libvirt_param *params, unsigned flags)
{
	struct gl_libvirt_request *request;

	manager->private_data = NULL;
	if (type != LIBVIRT_OBJECT_DOMAIN || (flags & ~(unsigned)LIBVIRT_NEW_STARTED) != 0) {
		return gl_libvirt_report(
			GUESTLOCK_UNSUPPORTED,
			"cannot lock for what libvirt asks (type %u, flags 0x%x): guestlock knows "
			"domains only",
			type, flags);
	}
	request = calloc(1, sizeof(*request));
	if (!request) {
		return no_memory();
	}
	for (size_t i = 0; i < n_params; i++) {
		if (take_param(request, &params[i]) < 0) {
			destroy(request);
			return no_memory();
		}
	}
	if (!request->uuid[0]) {
		destroy(request);
		return gl_libvirt_report(GUESTLOCK_INVALID,
					 "cannot lock for a domain without a uuid: libvirt did not say it");
	}
	manager->private_data = request;
	return 0;
}

void gl_libvirt_request_destroy(struct libvirt_lock_manager *manager)
{
	if (manager && manager->private_data) {
		destroy(manager->private_data);
		manager->private_data = NULL;
	}
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

bool gl_libvirt_same_resource(const struct guestlock_resource *a, const struct guestlock_resource *b)
{
	if (a->type != b->type || strcmp(a->name, b->name) != 0) {
		return false;
	}
	return a->type == GUESTLOCK_DISK ||
	       (a->offset == b->offset && same_text(a->lockspace, b->lockspace) &&
		same_text(a->path, b->path));
}

/* Points into what libvirt gave. */
static struct guestlock_resource resource_of(unsigned type, const char *name, size_t n_params,
					     const struct libvirt_param *params, unsigned flags)
{
	struct guestlock_resource resource = {
		.type = type == LIBVIRT_RESOURCE_LEASE ? GUESTLOCK_LEASE : GUESTLOCK_DISK,
		.flags = (flags & LIBVIRT_RESOURCE_READONLY ? GUESTLOCK_READONLY : 0U) |
			 (flags & LIBVIRT_RESOURCE_SHARED ? GUESTLOCK_SHARED : 0U),
		.name = name,
	};

	for (size_t i = 0; i < n_params && type == LIBVIRT_RESOURCE_LEASE; i++) {
		if (strcmp(params[i].key, "lockspace") == 0) {
			resource.lockspace = string_of(&params[i]);
		} else if (strcmp(params[i].key, "path") == 0) {
			resource.path = string_of(&params[i]);
		} else if (strcmp(params[i].key, "offset") == 0) {
			resource.offset = number_of(&params[i]);
		}
	}
	return resource;
}

/* Room for one more: there is as much as the next power of two. */
static void *grow(void *array, size_t count, size_t size)
{
	return count & (count - 1) ? array : reallocarray(array, count ? 2 * count : 1, size);
}

static int append(struct gl_libvirt_request *request, const struct guestlock_resource *resource)
{
	struct guestlock_resource *grown = grow(request->resources, request->n_resources, sizeof(*grown));
	char *name = NULL, *lockspace = NULL, *path = NULL;

	if (!grown) {
		return -1;
	}
	request->resources = grown;
	if (copy(&name, resource->name) < 0 || copy(&lockspace, resource->lockspace) < 0 ||
	    copy(&path, resource->path) < 0) {
		free(name);
		free(lockspace);
		free(path);
		return -1;
	}
	grown[request->n_resources] = *resource;
	grown[request->n_resources].name = name;
	grown[request->n_resources].lockspace = lockspace;
	grown[request->n_resources].path = path;
	request->n_resources++;
	return 0;
}

int gl_libvirt_request_add_resource(struct libvirt_lock_manager *manager, unsigned type, const char *name,
				    size_t n_params, struct libvirt_param *params, unsigned flags)
{
	struct gl_libvirt_request *request = manager->private_data;
	struct guestlock_resource resource;

	if (type != LIBVIRT_RESOURCE_DISK && type != LIBVIRT_RESOURCE_LEASE) {
		return gl_libvirt_report(
			GUESTLOCK_UNSUPPORTED,
			"cannot lock \"%s\" for guest %s: guestlock knows disks and leases, and "
			"this is of type %u",
			name, request->uuid, type);
	}
	if ((flags & ~(unsigned)(LIBVIRT_RESOURCE_READONLY | LIBVIRT_RESOURCE_SHARED)) != 0) {
		return gl_libvirt_report(
			GUESTLOCK_UNSUPPORTED,
			"cannot lock \"%s\" for guest %s: libvirt wants it in a way that guestlock "
			"does not know (flags 0x%x)",
			name, request->uuid, flags);
	}
	resource = resource_of(type, name, n_params, params, flags);
	for (size_t i = 0; i < request->n_resources; i++) {
		if (gl_libvirt_same_resource(&request->resources[i], &resource)) {
			/* The stronger mode is the one with fewer flags. */
			request->resources[i].flags &= resource.flags;
			return 0;
		}
	}
	return append(request, &resource) < 0 ? no_memory() : 0;
}
