/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * acquire, release and inquire of the interface (abi.h), told to the library. The record of the guest decides
 * what a call means, since libvirt does not say:
 *
 *  acquire     with REGISTER_ONLY      bind: this process is going to be the guest
 *              guest not known         adopt: it is older than this plugin
 *              bound                   acquire, of what the call lists; or attach, see below
 *              running                 attach of what the call lists and the guest has not
 *              paused                  resume, of what the call lists; or attach
 *  release     with a place for state  pause
 *              without                 detach of what the call lists
 *  inquire                             inquire
 *
 * A start and a resume list everything that the guest uses, and then the list is the truth: libvirt never
 * tells that an aborted block commit does not need the base any more. An attach lists one resource.
 */
#ifndef GL_LIBVIRT_OPERATION_H
#define GL_LIBVIRT_OPERATION_H

#include "abi.h"

int gl_libvirt_operation_acquire(struct libvirt_lock_manager *manager, const char *state, unsigned flags,
				 int action, int *fd);
int gl_libvirt_operation_release(struct libvirt_lock_manager *manager, char **state, unsigned flags);
int gl_libvirt_operation_inquire(struct libvirt_lock_manager *manager, char **state, unsigned flags);

#endif
