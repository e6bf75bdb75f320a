/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a call lists, held against what the record of the guest has. Looks at both and changes nothing. */
#ifndef GL_LIBVIRT_LIST_H
#define GL_LIBVIRT_LIST_H

#include "request.h"

/* Could libvirt list it? The lock of the guest itself is in the record too, and libvirt does not know it. */
bool gl_libvirt_list_is_listable(const struct guestlock_resource_info *known);

/* How one names what is in a record. Points into known. */
struct guestlock_resource gl_libvirt_list_name(const struct guestlock_resource_info *known);

/* What the call lists of the same name, and what the record has of it: NULL for nothing. */
const struct guestlock_resource *gl_libvirt_list_find(const struct gl_libvirt_request *request,
					      const struct guestlock_resource_info *known);
const struct guestlock_resource_info *gl_libvirt_list_known(const struct guestlock_info *info,
						    const struct guestlock_resource *listed);

/* Does the record have it, to be used in the same way, and in that state? */
bool gl_libvirt_list_known_as(const struct guestlock_info *info, const struct guestlock_resource *listed,
		      enum guestlock_resource_state state);

/*
 * An acquire for a bound guest: does it let the guest run, or is it an attach to one that was started paused?
 */
bool gl_libvirt_list_means_start(const struct gl_libvirt_request *request, const struct guestlock_info *info,
				 const char *state);

/* An acquire for a paused guest: is it a resume, or an attach? */
bool gl_libvirt_list_means_resume(const struct gl_libvirt_request *request, const struct guestlock_info *info,
				  const char *state);

#endif
