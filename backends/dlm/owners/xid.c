/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who a lock belongs to, in the 64 bits that the kernel keeps with it: bits of digests of who asks. */
#include "owners/owners.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OWNER_BITS 48

/* The first bits of a digest's text, of six each. */
static uint64_t bits_of(const char *digest, unsigned characters)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint64_t bits = 0;

	for (unsigned i = 0; i < characters; i++) {
		const char *at = strchr(alphabet, digest[i]);

		bits = bits << 6 | (uint64_t)(at ? at - alphabet : 0);
	}
	return bits;
}

static uint64_t hash(const char *text, unsigned characters)
{
	char digest[GUESTLOCK_KEY_SIZE];

	guestlock_digest(text, strlen(text), digest);
	return bits_of(digest, characters);
}

uint64_t gl_dlm_manager_bits(const char *run_dir)
{
	uint64_t bits = hash(run_dir, 3) >> 2;

	/* 0 is of all who ask for locks without an xid. */
	return (bits ? bits : 1) << OWNER_BITS;
}

uint64_t gl_dlm_xid(const struct gl_dlm *dlm, const struct guestlock_owner *owner)
{
	char text[GUESTLOCK_UUID_STRING + 24];

	snprintf(text, sizeof(text), "%s.%016" PRIx64, owner->uuid, owner->instance);
	return dlm->manager | hash(text, OWNER_BITS / 6);
}

uint64_t gl_dlm_host_xid(const struct gl_dlm *dlm)
{
	return dlm->manager;
}

uint64_t gl_dlm_nobody_xid(const struct gl_dlm *dlm)
{
	return dlm->manager | guestlock_random64() >> 16;
}

bool gl_dlm_is_ours(const struct gl_dlm *dlm, uint64_t xid)
{
	return (xid >> OWNER_BITS << OWNER_BITS) == dlm->manager;
}
