/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making the tether: the life file first, locked before anybody can look for it; then the socket that
 * holds it. And what the lock and the process together say about the life of a guest.
 */
#include "life/tether.h"
#include "base/base.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Below are standard input, output and error, which the guest's program takes for its own. */
#define GL_FIRST_INHERITABLE 3

enum gl_life_lock {
	GL_LIFE_LOCK_HELD,
	GL_LIFE_LOCK_FREE,
	GL_LIFE_LOCK_UNREADABLE,
	GL_LIFE_LOCK_NEVER, /* adopted: there never was one */
};

/*
 * Presence of a foreign process says nothing: then the life lock alone decides. One that gave its tether away and is
 * seen from a container beside its own cannot be told from one that ended with its container, and the disks of
 * those have to come free.
 */
static const enum guestlock_life gl_lives[][GL_PRESENCE_FOREIGN + 1] = {
	[GL_LIFE_LOCK_HELD] =
		{
			[GL_PRESENCE_GONE] = GUESTLOCK_LIFE_ALIVE,
			[GL_PRESENCE_HERE] = GUESTLOCK_LIFE_ALIVE,
			[GL_PRESENCE_FOREIGN] = GUESTLOCK_LIFE_ALIVE,
		},
	[GL_LIFE_LOCK_FREE] =
		{
			[GL_PRESENCE_GONE] = GUESTLOCK_LIFE_DEAD,
			[GL_PRESENCE_HERE] = GUESTLOCK_LIFE_UNTETHERED,
			[GL_PRESENCE_FOREIGN] = GUESTLOCK_LIFE_DEAD,
		},
	[GL_LIFE_LOCK_UNREADABLE] =
		{
			[GL_PRESENCE_GONE] = GUESTLOCK_LIFE_UNKNOWN,
			[GL_PRESENCE_HERE] = GUESTLOCK_LIFE_UNKNOWN,
			[GL_PRESENCE_FOREIGN] = GUESTLOCK_LIFE_UNKNOWN,
		},
	[GL_LIFE_LOCK_NEVER] =
		{
			[GL_PRESENCE_GONE] = GUESTLOCK_LIFE_DEAD,
			[GL_PRESENCE_HERE] = GUESTLOCK_LIFE_ADOPTED,
			[GL_PRESENCE_FOREIGN] = GUESTLOCK_LIFE_UNKNOWN,
		},
};

void guestlock_life_name_of(const struct guestlock_owner *owner, char out_name[GUESTLOCK_LIFE_NAME_SIZE])
{
	char instance[GL_HEX_SIZE];

	gl_hex(instance, owner->instance, 16);
	stpcpy(stpcpy(stpcpy(out_name, owner->uuid), "."), instance);
}

/* malloc'd, or NULL with errno. */
static char *gl_life_path(const struct guestlock_owner *owner, const char *life_dir)
{
	char name[GUESTLOCK_LIFE_NAME_SIZE];

	guestlock_life_name_of(owner, name);
	return gl_concat((const char *[]){life_dir, "/", name}, 3);
}

/* The bytes of a life file, each with a lock of its own. */
enum {
	GL_BYTE_TETHER,
	GL_BYTE_WATCH,
};

/* F_OFD_SETLK or F_OFD_GETLK. 0 and *type, or -1 with errno. */
static int gl_life_byte(int fd, int command, int byte, short *type)
{
	struct flock lock = {.l_type = *type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
	int result = fcntl(fd, command, &lock);

	*type = lock.l_type;
	return result;
}

/*
 * Asks only: taking the lock for an instant would let another prober believe that the guest lives. *out_watched:
 * somebody watches over it, which is asked only where its own lock is free.
 */
static enum gl_life_lock gl_life_probe(const struct guestlock_owner *owner, const char *life_dir,
				       bool *out_watched)
{
	GL_AUTOFREE char *path = NULL;
	short type = F_WRLCK;
	GL_AUTOCLOSE int fd = -1;

	*out_watched = false;

	if (owner->adopted) {
		return GL_LIFE_LOCK_NEVER;
	}
	path = gl_life_path(owner, life_dir);
	if (!path) {
		return GL_LIFE_LOCK_UNREADABLE;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		return errno == ENOENT ? GL_LIFE_LOCK_FREE : GL_LIFE_LOCK_UNREADABLE;
	}
	if (gl_life_byte(fd, F_OFD_GETLK, GL_BYTE_TETHER, &type) < 0) {
		return GL_LIFE_LOCK_UNREADABLE;
	}
	if (type != F_UNLCK) {
		return GL_LIFE_LOCK_HELD;
	}
	type = F_WRLCK;
	if (gl_life_byte(fd, F_OFD_GETLK, GL_BYTE_WATCH, &type) < 0) {
		return GL_LIFE_LOCK_UNREADABLE;
	}
	*out_watched = type != F_UNLCK;
	return GL_LIFE_LOCK_FREE;
}

enum guestlock_life guestlock_owner_life(const struct guestlock_owner *owner, const char *life_dir)
{
	bool watched;
	enum gl_life_lock lock = gl_life_probe(owner, life_dir, &watched);
	struct gl_process process = {.pid = owner->pid, .start = owner->pid_start, .ns = owner->pid_ns};
	enum gl_presence presence;

	if (lock == GL_LIFE_LOCK_HELD || lock == GL_LIFE_LOCK_UNREADABLE) {
		return gl_lives[lock][GL_PRESENCE_FOREIGN];
	}
	if (watched) {
		return GUESTLOCK_LIFE_UNTETHERED;
	}
	memcpy(process.boot_id, owner->boot_id, sizeof(process.boot_id));
	presence = gl_process_presence(&process);
	if (presence == GL_PRESENCE_FOREIGN) {
		presence = gl_process_abroad(&process);
	}
	return gl_lives[lock][presence];
}

static int gl_tether_fail(struct guestlock_error *err, int sys_errno, const char *what, const char *path)
{
	static const struct {
		int sys_errno;
		const char *advice;
	} advices[] = {
		{ENOSPC, "free space there"},
		{EDQUOT, "free space there"},
		{EROFS, "make that file system writable"},
		{EACCES, "check who may write there"},
		{EPERM, "check who may write there"},
		{EEXIST, "bind the guest again, which gives it a new name"},
		{ESTALE, "somebody removed it: keep others out of that directory and start the guest again"},
		{EMFILE, "close some of its descriptors or raise its limit of open files"},
		{ENFILE, "close files on this host or raise fs.file-max"},
		{ENAMETOOLONG, "use a directory with a shorter path"},
		{ENOLCK, "use a directory on a file system that has locks"},
		{EOPNOTSUPP, "use a directory on a file system that has locks"},
	};
	const char *advice = "check that directory";
	int code = sys_errno == ENOENT ? GUESTLOCK_CANNOT_CREATE : gl_status_of_errno(sys_errno);
	size_t i;

	for (i = 0; i < GL_COUNT(advices); i++) {
		if (advices[i].sys_errno == sys_errno) {
			advice = advices[i].advice;
		}
	}
	return gl_fail(err, code, sys_errno, "cannot %s %s: %m; %s", what, path, advice);
}

/*
 * A life file of this name must not be there yet: whoever made it believes the name to be his. The descriptor is
 * for reading only, as the guest can take it from its tether: it could fill the file system of the life locks.
 */
static int gl_life_create(const char *path, const char *life_dir)
{
	const int flags = O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
	int fd = open(path, flags, 0600);

	if (fd < 0 && errno == ENOENT && gl_make_directory(life_dir, 0700) == 0) {
		fd = open(path, flags, 0600);
	}
	return fd;
}

/*
 * Locked before anybody is told of this owner, so nobody can have found the life lock free and judged it
 * dead; somebody who empties the directory can have removed the file, though, and the lock would be on a
 * file without a name. The mode does not depend on the umask: whoever probes must be able to open it.
 */
static int gl_life_lock(int fd, const char *path)
{
	short type = F_RDLCK;
	struct stat st;
	int named;

	if (gl_life_byte(fd, F_OFD_SETLK, GL_BYTE_TETHER, &type) < 0 || fstat(fd, &st) < 0 ||
	    ((st.st_mode & 07777) != 0600 && fchmod(fd, 0600) < 0)) {
		return -1;
	}
	named = gl_leads_to(path, fd);
	errno = named == 0 ? ESTALE : errno;
	return named > 0 ? 0 : -1;
}

static int gl_inheritable_copy(int fd)
{
	return fcntl(fd, F_DUPFD, GL_FIRST_INHERITABLE);
}

/* A descriptor that is not closed with its variable. */
static int kept_open(int *fd)
{
	int kept = *fd;

	*fd = -1;
	return kept;
}

/*
 * The inheritable descriptor that keeps the life lock, once the caller has closed its own; or -1 with
 * errno.
 */
static int gl_tether_tie(int life, uint64_t *out_inode)
{
	GL_AUTOCLOSE int near = -1;
	GL_AUTOCLOSE int far = -1;
	struct stat st;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		return -1;
	}
	near = ends[0];
	far = ends[1];
	/* Into the queue of the socket at the other end. */
	if (gl_send_descriptors(near, "", 1, &life, 1, 0) < 0) {
		*out_inode = 0;
		return errno == ETOOMANYREFS ? gl_inheritable_copy(life) : -1;
	}
	if (fstat(far, &st) < 0) {
		return -1;
	}
	*out_inode = (uint64_t)st.st_ino;
	if (far < GL_FIRST_INHERITABLE) {
		return gl_inheritable_copy(far);
	}
	if (fcntl(far, F_SETFD, 0) < 0) {
		return -1;
	}
	return kept_open(&far);
}

int gl_tether_open(const struct guestlock_owner *owner, const char *life_dir, int *out_fd,
		   uint64_t *out_inode, struct guestlock_error *err)
{
	GL_AUTOCLOSE int life = -1;
	GL_AUTOFREE char *path = gl_life_path(owner, life_dir);
	uint64_t inode;
	int fd, cause;

	if (!path) {
		return gl_tether_fail(err, errno, "make a life lock in", life_dir);
	}
	life = gl_life_create(path, life_dir);
	if (life < 0) {
		return gl_tether_fail(err, errno, "make the life lock", path);
	}
	if (gl_life_lock(life, path) < 0) {
		cause = errno;
		unlink(path);
		return gl_tether_fail(err, cause, "take the life lock", path);
	}
	fd = gl_tether_tie(life, &inode);
	if (fd < 0) {
		cause = errno;
		unlink(path);
		return gl_tether_fail(err, cause, "tie the guest to its life lock", path);
	}
	*out_fd = fd;
	*out_inode = inode;
	return GUESTLOCK_OK;
}

int gl_life_watch(const struct guestlock_owner *owner, const char *life_dir)
{
	GL_AUTOFREE char *path = gl_life_path(owner, life_dir);
	GL_AUTOCLOSE int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY) : -1;
	short type = F_RDLCK;
	int named;

	if (fd < 0 || gl_life_byte(fd, F_OFD_SETLK, GL_BYTE_WATCH, &type) < 0) {
		return -1;
	}
	named = gl_leads_to(path, fd);
	errno = named == 0 ? ENOENT : errno;
	return named > 0 ? kept_open(&fd) : -1;
}

void gl_tether_remove(const struct guestlock_owner *owner, const char *life_dir)
{
	GL_AUTOFREE char *path = gl_life_path(owner, life_dir);

	if (path) {
		unlink(path);
	}
}
