/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One handle of the library for each configuration file that libvirt's drivers come with. */
#ifndef GL_LIBVIRT_INSTANCE_H
#define GL_LIBVIRT_INSTANCE_H

#include <guestlock/guestlock.h>

struct gl_libvirt_instance {
	struct gl_libvirt_instance *next;
	char *config_file; /* "" where libvirt gave none */
	char *driver;      /* the driver whose file it is: "qemu", "libxl", ... */
	struct guestlock *gl;
	char technology[32]; /* the configured backend, and its GUESTLOCK_CAP_* */
	unsigned capabilities;
};

/* init and deinit of the interface (abi.h). Any number of times; the last deinit frees everything. */
int gl_libvirt_instance_init(unsigned version, const char *config_file, unsigned flags);
int gl_libvirt_instance_deinit(void);

/*
 * The instance that is asked about a guest: the one of the uri's driver, or, where uri is NULL, the one that
 * knows the guest. NULL before init. The answer stays valid until the last deinit. Takes no mutex.
 */
const struct gl_libvirt_instance *gl_libvirt_instance_find(const char *uri, const char *uuid);

/*
 * What is to happen when a lock is lost (enum libvirt_failure_action), in libvirt's word, "" for the default.
 * NULL, and an error is reported, where it could not be done.
 */
const char *gl_libvirt_instance_action(const struct gl_libvirt_instance *instance, const char *uuid,
				       int action);

#endif
