/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one object that libvirt looks for. */
#include "call.h"
#include "instance.h"
#include "operation.h"

extern const struct libvirt_lock_driver virLockDriverImpl;

const struct libvirt_lock_driver virLockDriverImpl = {
	.version = LIBVIRT_LOCK_VERSION,
	.flags = LIBVIRT_DRIVER_USES_STATE,
	.init = gl_instance_init,
	.deinit = gl_instance_deinit,
	.create = gl_call_create,
	.destroy = gl_call_destroy,
	.add_resource = gl_call_add_resource,
	.acquire = gl_operation_acquire,
	.release = gl_operation_release,
	.inquire = gl_operation_inquire,
};
