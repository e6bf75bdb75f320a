/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tether and the life lock. A guest inherits one end of a unix stream socket pair whose queue holds the
 * descriptor of its life file, on which there is an open-file-description lock (for reading, as the descriptor is,
 * and asked for as if to write). That lock is held exactly until the last process with the socket is gone,
 * whatever it executed, forked or became. Nobody ever receives from the socket: what a guest may have put there
 * could hang the receiver.
 *
 * The life lock is that of the file's first byte. The second one is locked by who watches over the guest and
 * knows of processes of it that hold no tether: as long as it is, the guest has not ended.
 */
#ifndef GL_TETHER_H
#define GL_TETHER_H

#include "life/process.h"

/*
 * In the guest's own process: makes life_dir/UUID.INSTANCE, locks it, and opens the tether. *out_fd is
 * inheritable; *out_inode is the inode of the socket, by which its holders are found in /proc. If the
 * kernel refuses a descriptor in flight (ETOOMANYREFS), the life file's own descriptor is inherited
 * instead (then *out_inode is 0). life_dir is made if missing.
 */
int gl_tether_open(const struct guestlock_owner *owner, const char *life_dir, int *out_fd,
		   uint64_t *out_inode, struct guestlock_error *err);

/*
 * Watches over a guest that has a tether: a descriptor, which is not inherited, until whose closing it has not
 * ended. -1 with errno (ENOENT: it has, or has no life file).
 */
int gl_life_watch(const struct guestlock_owner *owner, const char *life_dir);

/* Removes the life file of a dead owner, or of one that was never let run. A missing file is fine. */
void gl_tether_remove(const struct guestlock_owner *owner, const char *life_dir);

/*
 * A process with an open-file-description lock on a file of that inode whose path ends with name (less than
 * GUESTLOCK_LIFE_NAME_SIZE bytes, without the first slash), as far as /proc shows it to this user. 0: not
 * known.
 */
pid_t gl_lock_holder(const char *name, ino_t inode);

#endif
