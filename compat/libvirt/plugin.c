/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one object that libvirt looks for. */
#include "instance.h"
#include "operation.h"
#include "request.h"

extern const struct libvirt_lock_driver virLockDriverImpl;

const struct libvirt_lock_driver virLockDriverImpl = {
	.version = LIBVIRT_LOCK_VERSION,
	.flags = LIBVIRT_DRIVER_USES_STATE,
	.init = gl_libvirt_instance_init,
	.deinit = gl_libvirt_instance_deinit,
	.create = gl_libvirt_request_create,
	.destroy = gl_libvirt_request_destroy,
	.add_resource = gl_libvirt_request_add_resource,
	.acquire = gl_libvirt_operation_acquire,
	.release = gl_libvirt_operation_release,
	.inquire = gl_libvirt_operation_inquire,
};
