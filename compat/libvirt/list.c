/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt's names of resources beside the record's: which of them mean the same, and which are in one
 * only.
 */
#include "list.h"

#include <string.h>

bool gl_libvirt_list_is_listable(const struct guestlock_resource_info *known)
{
	return known->type != GUESTLOCK_LEASE || strncmp(known->identity, "guest:", 6) != 0;
}

struct guestlock_resource gl_libvirt_list_name(const struct guestlock_resource_info *known)
{
	return (struct guestlock_resource){
		.type = known->type,
		.flags = known->flags,
		.name = known->name,
		.lockspace = known->lockspace,
		.path = known->path,
		.offset = known->offset,
	};
}

const struct guestlock_resource *gl_libvirt_list_find(const struct gl_libvirt_request *request,
						      const struct guestlock_resource_info *known)
{
	const struct guestlock_resource name = gl_libvirt_list_name(known);

	for (size_t i = 0; i < request->n_resources; i++) {
		if (gl_libvirt_same_resource(&request->resources[i], &name)) {
			return &request->resources[i];
		}
	}
	return NULL;
}

const struct guestlock_resource_info *gl_libvirt_list_known(const struct guestlock_info *info,
							    const struct guestlock_resource *listed)
{
	for (size_t i = 0; i < info->n_resources; i++) {
		const struct guestlock_resource name = gl_libvirt_list_name(&info->resources[i]);

		if (gl_libvirt_list_is_listable(&info->resources[i]) &&
		    gl_libvirt_same_resource(&name, listed)) {
			return &info->resources[i];
		}
	}
	return NULL;
}

bool gl_libvirt_list_known_as(const struct guestlock_info *info, const struct guestlock_resource *listed,
			      enum guestlock_resource_state state)
{
	const struct guestlock_resource_info *known = gl_libvirt_list_known(info, listed);

	return known && known->flags == listed->flags && known->state == state;
}

static bool has_none(const struct guestlock_info *info)
{
	for (size_t i = 0; i < info->n_resources; i++) {
		if (gl_libvirt_list_is_listable(&info->resources[i])) {
			return false;
		}
	}
	return true;
}

/* A start lists everything. An attach lists one resource, which the guest does not have yet. */
bool gl_libvirt_list_means_start(const struct gl_libvirt_request *request, const struct guestlock_info *info,
				 const char *state)
{
	return state || request->n_resources > 1 || has_none(info) ||
	       (request->n_resources == 1 && gl_libvirt_list_known(info, &request->resources[0]));
}

/*
 * A resume comes with the state of its pause, unless libvirt has lost it. Without: it lists everything, and
 * what it lists is parked.
 */
bool gl_libvirt_list_means_resume(const struct gl_libvirt_request *request, const struct guestlock_info *info,
				  const char *state)
{
	return state || request->n_resources > 1 ||
	       (request->n_resources == 1 &&
		gl_libvirt_list_known_as(info, &request->resources[0], GUESTLOCK_RESOURCE_PARKED));
}
