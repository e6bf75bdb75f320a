/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * World wide names of SCSI devices, spelled as multipath spells them in the uuids of its maps (one digit for
 * the kind, then the name), so that a map and each path below it are known by the same text.
 */
#ifndef GL_WWID_H
#define GL_WWID_H

#include <stdbool.h>
#include <stddef.h>

#define GL_WWID_SIZE 1024

/*
 * From page 0x83 of the vital product data (SPC-4, 7.8.6), where a device may give itself several names: the
 * one that udev's scsi_id and with it multipath takes. vendor and model are of its inquiry data. false: it
 * has none of these names, or the page is damaged.
 */
bool gl_wwid_of_page(const unsigned char *page, size_t size, const char *vendor, const char *model,
		     char out_wwid[GL_WWID_SIZE]);

/* From the text of the kernel's attribute "wwid": "naa.", "eui.", "t10." and a name. false: it is empty. */
bool gl_wwid_of_attribute(const char *text, char out_wwid[GL_WWID_SIZE]);

#endif
