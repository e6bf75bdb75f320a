/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The value block of a resource, 32 bytes, little-endian:
 *
 *     0  magic   1  version   2  flags   3  0   4  node (4)   8  epoch (8)   16  uuid (16)
 */
#include "kernel/table.h"

#include <ctype.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>

#define MAGIC 0x47
#define VERSION 1
#define UUID_BYTES 16

/* The 16 bytes of a uuid in its usual form; missing ones are 0. */
static void uuid_to_bytes(const char *uuid, unsigned char out[UUID_BYTES])
{
	size_t n = 0;

	memset(out, 0, UUID_BYTES);
	for (const char *c = uuid; *c && n < (size_t)2 * UUID_BYTES; c++) {
		if (isxdigit((unsigned char)*c)) {
			unsigned value = (unsigned)(*c <= '9' ? *c - '0' : (*c | 0x20) - 'a' + 10);

			out[n / 2] = (unsigned char)(out[n / 2] | (n % 2 ? value : value << 4));
			n++;
		}
	}
}

/* By hand: each call reads several blocks for each lock, and snprintf takes longer than all the rest. */
static void uuid_of_bytes(const unsigned char b[UUID_BYTES], char out[GUESTLOCK_UUID_STRING])
{
	static const char digits[] = "0123456789abcdef";
	char *to = out;

	for (size_t i = 0; i < UUID_BYTES; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10) {
			*to++ = '-';
		}
		*to++ = digits[b[i] >> 4];
		*to++ = digits[b[i] & 15];
	}
	*to = '\0';
}

void gl_dlm_block_read(const unsigned char bytes[GL_DLM_BLOCK], struct gl_dlm_block *out)
{
	uint32_t node;
	uint64_t epoch;

	*out = (struct gl_dlm_block){.valid = bytes[0] == MAGIC && bytes[1] == VERSION};
	if (!out->valid) {
		return;
	}
	memcpy(&node, bytes + 4, sizeof(node));
	memcpy(&epoch, bytes + 8, sizeof(epoch));
	out->flags = bytes[2];
	out->node = le32toh(node);
	out->epoch = le64toh(epoch);
	uuid_of_bytes(bytes + 16, out->uuid);
}

void gl_dlm_block_write(const struct gl_dlm_block *block, unsigned char out[GL_DLM_BLOCK])
{
	uint32_t node = htole32(block->node);
	uint64_t epoch = htole64(block->epoch);

	memset(out, 0, GL_DLM_BLOCK);
	out[0] = MAGIC;
	out[1] = VERSION;
	out[2] = (unsigned char)block->flags;
	memcpy(out + 4, &node, sizeof(node));
	memcpy(out + 8, &epoch, sizeof(epoch));
	uuid_to_bytes(block->uuid, out + 16);
}
