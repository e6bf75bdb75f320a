/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What /proc and a status tell of a guest, where libvirt's calls alone do not say what they mean. */
#ifndef GL_LIBVIRT_GUEST_H
#define GL_LIBVIRT_GUEST_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * May the guest have memory from before: was it started to be restored, or to be migrated to? libvirt keeps
 * the state of a guest that ended while it was paused, and gives it to the next start, which has nothing to
 * do with it. true where /proc does not say.
 */
bool gl_libvirt_guest_arrives(pid_t pid);

/* Is there such a process, and more than a zombie? In doubt there is. */
bool gl_libvirt_guest_is_there(pid_t pid);

/* A guest that is not known, is dead, or lives as another process: nothing of it could be released. */
bool gl_libvirt_guest_is_over(int status);

#endif
