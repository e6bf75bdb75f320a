/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What one call of libvirt names: a domain, and the resources it is about. */
#ifndef GL_LIBVIRT_CALL_H
#define GL_LIBVIRT_CALL_H

#include "abi.h"

#include <guestlock/guestlock.h>

struct gl_libvirt_request {
	char uuid[GUESTLOCK_UUID_STRING];
	char *name;
	char *uri; /* NULL: not said */
	char id[16];
	pid_t pid; /* 0: not said */
	struct guestlock_resource *resources;
	size_t n_resources;
};

/* new, free and add_resource of the interface (abi.h). */
int gl_libvirt_request_create(struct libvirt_lock_manager *manager, unsigned type, size_t n_params,
		   struct libvirt_param *params, unsigned flags);
void gl_libvirt_request_destroy(struct libvirt_lock_manager *manager);
/* The same resource again: the stronger mode counts. */
int gl_libvirt_request_add_resource(struct libvirt_lock_manager *manager, unsigned type, const char *name,
			 size_t n_params, struct libvirt_param *params, unsigned flags);

/* Do both name the same thing, whatever the flags are? */
bool gl_libvirt_same_resource(const struct guestlock_resource *a, const struct guestlock_resource *b);

#endif
