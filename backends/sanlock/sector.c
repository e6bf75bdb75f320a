/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What sanlock_read_resource_owners() does not tell. Of two hosts that want a lease at the same moment, the
 * one that does not get it may write the record of the winner once more, and so undo a release that came
 * between: the record names an owner that has left. That one has noted its release in its own sector as well,
 * which is what daemons go by.
 *
 * A lease begins with a sector that has its record; in the third one begins what the hosts write, a sector
 * each. Numbers are little endian.
 */
#include "sanlock_priv.h"

#include <endian.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GL_SANLOCK_BLOCK 4096 /* bytes that any storage can read at once */
#define GL_SANLOCK_HOSTS_BEGIN 2

enum {
	RECORD_SECTOR_SIZE = 12, /* 32 bits; the others have 64 */
	RECORD_OWNER = 32,
	RECORD_GENERATION = 40,
	RECORD_VERSION = 48,
	RECORD_TIMESTAMP = 152,
	HOST_OWNER = 16,
	HOST_GENERATION = 24,
	HOST_TIMESTAMP = 32,
	HOST_VERSION = 40,
	HOST_FLAGS = 52, /* 32 bits */
	HOST_MODE = 128, /* 32 bits */
};
#define HOST_RELEASED 1U
#define HOST_SHARES 1U

static uint64_t number(const unsigned char *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

static uint32_t small_number(const unsigned char *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

/* The record and that host's sector, each in a block of its own. The place of the sector, or NULL. */
static const unsigned char *read_both(int fd, uint64_t offset, uint64_t host_id, unsigned char *blocks)
{
	uint64_t at;
	uint32_t sector;

	if (pread(fd, blocks, GL_SANLOCK_BLOCK, (off_t)offset) != GL_SANLOCK_BLOCK) {
		return NULL;
	}
	sector = small_number(blocks + RECORD_SECTOR_SIZE);
	if (sector != 512 && sector != 4096) {
		return NULL;
	}
	at = offset + (GL_SANLOCK_HOSTS_BEGIN + host_id - 1) * sector;
	if (pread(fd, blocks + GL_SANLOCK_BLOCK, GL_SANLOCK_BLOCK, (off_t)(at - at % GL_SANLOCK_BLOCK)) !=
	    GL_SANLOCK_BLOCK) {
		return NULL;
	}
	return blocks + GL_SANLOCK_BLOCK + at % GL_SANLOCK_BLOCK;
}

static bool is_released(const unsigned char *record, const unsigned char *host,
			const struct sanlk_host *owner)
{
	return (small_number(host + HOST_FLAGS) & HOST_RELEASED) != 0 &&
	       (small_number(host + HOST_MODE) & HOST_SHARES) == 0 &&
	       number(record + RECORD_OWNER) == owner->host_id &&
	       number(record + RECORD_GENERATION) == owner->generation &&
	       number(host + HOST_OWNER) == owner->host_id &&
	       number(host + HOST_GENERATION) == owner->generation &&
	       number(host + HOST_TIMESTAMP) == number(record + RECORD_TIMESTAMP) &&
	       number(host + HOST_VERSION) == number(record + RECORD_VERSION);
}

/* The record is at the beginning of *blocks, which is freed with free(); the sector is returned, or NULL. */
static const unsigned char *look_at(const struct gl_sanlock_lease *lease, uint64_t host_id, void **blocks)
{
	const unsigned char *host = NULL;
	/* Past all caches, as the daemons write. */
	int fd = open(lease->disk.path, O_RDONLY | O_DIRECT | O_CLOEXEC);

	*blocks = NULL;
	if (fd < 0) {
		return NULL;
	}
	if (host_id > 0 && host_id <= GL_SANLOCK_HOSTS &&
	    posix_memalign(blocks, GL_SANLOCK_BLOCK, 2 * GL_SANLOCK_BLOCK) == 0) {
		host = read_both(fd, lease->disk.offset, host_id, *blocks);
	}
	close(fd);
	return host;
}

bool gl_sanlock_has_left(const struct gl_sanlock_lease *lease, const struct sanlk_host *owner)
{
	void *blocks;
	const unsigned char *host = look_at(lease, owner->host_id, &blocks);
	bool result = host && is_released(blocks, host, owner);

	free(blocks);
	return result;
}

bool gl_sanlock_shared_versions(const struct gl_sanlock_lease *lease, uint64_t host_id, uint64_t *out_since,
				uint64_t *out_now)
{
	void *blocks;
	const unsigned char *host = look_at(lease, host_id, &blocks);
	bool result = host && (small_number(host + HOST_MODE) & HOST_SHARES) != 0 &&
		      number(host + HOST_OWNER) == host_id && number(host + HOST_VERSION) > 0 &&
		      number(host + HOST_VERSION) <= number((unsigned char *)blocks + RECORD_VERSION);

	if (result) {
		*out_since = number(host + HOST_VERSION);
		*out_now = number((unsigned char *)blocks + RECORD_VERSION);
	}
	free(blocks);
	return result;
}
