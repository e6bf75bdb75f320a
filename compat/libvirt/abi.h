/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What libvirt and a lock manager plugin agree on, in our own words: libvirt installs no header for it. The
 * layout has been the same since libvirt 1.0.0, which calls it version 1.0.0 of the interface.
 *
 * Where each rule comes from: [L] the layout that libvirt compiles in, as its own plugins show it; [S] seen
 * in libvirt 9.0.0 with QEMU guests.
 *
 *  - libvirt loads LIBDIR/libvirt/lock-driver/NAME.so with RTLD_NOW | RTLD_LOCAL and looks for one object,
 *    virLockDriverImpl. If that fails, or init returns -1, the whole daemon ends. [S]
 *  - One object serves every driver of the daemon: init comes once for each of them, with its own
 *    configuration file, CONFDIR/DRIVER-NAME.conf, which need not exist. deinit comes as often; -1 from it
 *    keeps the object loaded. [L]
 *  - Each operation on a domain is: new, add_resource for everything it is about, one of acquire, release and
 *    inquire, free. No manager survives it. [S]
 *  - Calls are serialised for one domain and parallel for different ones. [S]
 *  - The first acquire of a domain comes in the process that is going to be the guest, after the fork and
 *    before the program is executed, with ACQUIRE_REGISTER_ONLY. There is one thread, and every descriptor of
 *    the daemon is closed. A mutex may be held by a thread that does not exist there. [S]
 *  - When a guest ends, whatever way, nothing is called. When the daemon starts and finds guests running,
 *    only init is. [S]
 *  - Strings that come out are freed by libvirt with free(). They go into XML as they are: nothing but
 *    [A-Za-z0-9._:,-] may be in them. [S]
 *  - Every function returns 0, or -1 and reports one error.
 */
#ifndef GL_LIBVIRT_ABI_H
#define GL_LIBVIRT_ABI_H

#include <stddef.h>

#define LIBVIRT_LOCK_VERSION_MAJOR 1U
#define LIBVIRT_LOCK_VERSION (LIBVIRT_LOCK_VERSION_MAJOR * 1000000U)

struct libvirt_lock_driver;

/* Allocated by libvirt; private_data is ours from new to free. */
struct libvirt_lock_manager {
	const struct libvirt_lock_driver *driver;
	void *private_data;
};

enum libvirt_param_type {
	LIBVIRT_PARAM_STRING = 0,
	LIBVIRT_PARAM_CONST_STRING = 1,
	LIBVIRT_PARAM_INT = 2,
	LIBVIRT_PARAM_LONG = 3,
	LIBVIRT_PARAM_UINT = 4,
	LIBVIRT_PARAM_ULONG = 5,
	LIBVIRT_PARAM_DOUBLE = 6,
	LIBVIRT_PARAM_UUID = 7,
};

/*
 * A domain has uuid (UUID), name (STRING), id and pid (UINT), uri (CONST_STRING; NULL for release and
 * inquire). A lease has path (STRING), offset (ULONG) and, if it is in one, lockspace (STRING). A disk has
 * none. [S]
 */
struct libvirt_param {
	int type; /* enum libvirt_param_type */
	const char *key;
	union {
		int i;
		long long l;
		unsigned u;
		unsigned long long ul;
		double d;
		char *s;
		const char *cs;
		unsigned char uuid[16];
	} value;
};

enum {
	LIBVIRT_DRIVER_USES_STATE = 1 << 0, /* state strings are kept and passed back */
};

enum {
	LIBVIRT_OBJECT_DOMAIN = 0,
};

enum {
	LIBVIRT_NEW_STARTED = 1 << 0, /* the domain is just being started */
};

enum {
	LIBVIRT_RESOURCE_DISK = 0,  /* name: an absolute path */
	LIBVIRT_RESOURCE_LEASE = 1, /* name: a key */
};

enum {
	LIBVIRT_RESOURCE_READONLY = 1 << 0,
	LIBVIRT_RESOURCE_SHARED = 1 << 1,
};

enum {
	LIBVIRT_ACQUIRE_REGISTER_ONLY = 1 << 0, /* take nothing yet: this process is going to be the guest */
	LIBVIRT_ACQUIRE_RESTRICT = 1 << 1,      /* and is not going to ask for anything itself */
};

/* on_lockfailure of the domain's XML. */
enum libvirt_failure_action {
	LIBVIRT_ACTION_DEFAULT = 0,
	LIBVIRT_ACTION_POWEROFF = 1,
	LIBVIRT_ACTION_RESTART = 2,
	LIBVIRT_ACTION_PAUSE = 3,
	LIBVIRT_ACTION_IGNORE = 4,
};

struct libvirt_lock_driver {
	unsigned version; /* of the interface: LIBVIRT_LOCK_VERSION */
	unsigned flags;   /* LIBVIRT_DRIVER_* */
	/* version is the one that the daemon has. */
	int (*init)(unsigned version, const char *config_file, unsigned flags);
	int (*deinit)(void);
	int (*create)(struct libvirt_lock_manager *manager, unsigned type, size_t n_params,
		      struct libvirt_param *params, unsigned flags);
	void (*destroy)(struct libvirt_lock_manager *manager);
	int (*add_resource)(struct libvirt_lock_manager *manager, unsigned type, const char *name,
			    size_t n_params, struct libvirt_param *params, unsigned flags);
	/* fd is NULL in the daemon. In the guest's process it takes a descriptor that the guest keeps, or -1.
	 */
	int (*acquire)(struct libvirt_lock_manager *manager, const char *state, unsigned flags, int action,
		       int *fd);
	/* state NULL: for good; else: until an acquire with what is written there. */
	int (*release)(struct libvirt_lock_manager *manager, char **state, unsigned flags);
	int (*inquire)(struct libvirt_lock_manager *manager, char **state, unsigned flags);
};

/*
 * Functions of libvirt that are not meant for others, though its library has them (9.0.0 does): looked up at
 * run time and done without where they are missing.
 */
typedef void libvirt_report_error_fn(int domain, int code, const char *file, const char *function,
				     size_t line, const char *format, ...)
	__attribute__((format(printf, 6, 7)));
typedef void libvirt_raise_error_fn(const char *file, const char *function, size_t line, int domain, int code,
				    int level, const char *str1, const char *str2, const char *str3, int int1,
				    int int2, const char *format, ...)
	__attribute__((format(printf, 12, 13)));

enum {
	LIBVIRT_LOG_DEBUG = 1,
	LIBVIRT_LOG_INFO = 2,
	LIBVIRT_LOG_WARN = 3,
	LIBVIRT_LOG_ERROR = 4,
};

/* Who logs: filters of the daemon's configuration match the name. The other members are libvirt's. */
struct libvirt_log_source {
	const char *name;
	unsigned priority, serial;
	unsigned reserved[8]; /* there was one more member in older versions */
};
typedef void libvirt_log_fn(struct libvirt_log_source *source, int priority, const char *file, int line,
			    const char *function, void *metadata, const char *format, ...)
	__attribute__((format(printf, 7, 8)));

/* From libvirt's public virterror.h. */
#define LIBVIRT_FROM_LOCKING 42
#define LIBVIRT_LEVEL_ERROR 2
enum {
	LIBVIRT_ERR_INTERNAL_ERROR = 1,
	LIBVIRT_ERR_NO_MEMORY = 2,
	LIBVIRT_ERR_INVALID_ARG = 8,
	LIBVIRT_ERR_OPERATION_FAILED = 9,
	LIBVIRT_ERR_SYSTEM_ERROR = 38,
	LIBVIRT_ERR_OPERATION_INVALID = 55,
	LIBVIRT_ERR_CONFIG_UNSUPPORTED = 67,
	LIBVIRT_ERR_OPERATION_TIMEOUT = 68,
	LIBVIRT_ERR_OPERATION_UNSUPPORTED = 84,
	LIBVIRT_ERR_RESOURCE_BUSY = 87,
	LIBVIRT_ERR_ACCESS_DENIED = 88,
};

#endif
