/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attributes of block devices in sysfs. */
#ifndef GL_SYSFS_H
#define GL_SYSFS_H

#include <stdbool.h>
#include <sys/types.h>

/* The directory of a device, for the functions below: a descriptor, or -1 with errno. sysfs is "/sys". */
int gl_sysfs_open(const char *sysfs, dev_t number);

/*
 * An attribute, NUL-terminated: its length; 0 when the device has none or it is empty; -1 with errno when
 * that cannot be told (ENOBUFS: longer than size - 1).
 */
ssize_t gl_sysfs_read(int directory, const char *name, char *out, size_t size);

/* The same without the blanks at its end. */
ssize_t gl_sysfs_read_word(int directory, const char *name, char *out, size_t size);

/* The number of a device; 0: it has none. */
dev_t gl_sysfs_number(int directory);

/* The only device in the subdirectory `name`: its directory, or -1 with errno (ENOENT: none or several). */
int gl_sysfs_only(int directory, const char *name);

#endif
