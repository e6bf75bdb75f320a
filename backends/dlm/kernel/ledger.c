/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file of the ledger: a page of its own things, then slots. It is mapped once, as far as it may ever grow, so that
 * no slot moves; it grows by allocating, as a page that is not there would end whoever writes to it.
 */
#include "kernel/table.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "gl-dlm\n"
#define HEAD 4096
#define MOST_SLOTS 262144
#define MORE_SLOTS 512
#define SIZE_OF(slots) (HEAD + (size_t)(slots) * sizeof(struct gl_dlm_lock))

_Static_assert(sizeof(struct gl_dlm_ledger) <= HEAD, "the head has one page");

struct gl_dlm_lock *gl_dlm_ledger_slots(const struct gl_dlm_table *table, size_t *out_count)
{
	*out_count = table->ledger ? table->ledger->slots : 0;
	return (struct gl_dlm_lock *)((char *)table->ledger + HEAD);
}

/* Lists slots as free, the first of them in front. */
static void list_free(struct gl_dlm_table *table, uint32_t from, uint32_t to)
{
	size_t count;
	struct gl_dlm_lock *slots = gl_dlm_ledger_slots(table, &count);

	for (uint32_t i = to; i > from; i--) {
		if (slots[i - 1].made == 0) {
			slots[i - 1].next = table->free;
			table->free = &slots[i - 1];
		}
	}
}

static int grow(struct gl_dlm_table *table)
{
	uint32_t slots = table->ledger->slots, more = slots + MORE_SLOTS;
	int error = more > MOST_SLOTS ? ENOSPC : posix_fallocate(table->fd, 0, (off_t)SIZE_OF(more));

	if (error) {
		errno = error;
		return -1;
	}
	__atomic_store_n(&table->ledger->slots, more, __ATOMIC_RELEASE);
	list_free(table, slots, more);
	return 0;
}

struct gl_dlm_lock *gl_dlm_ledger_slot(struct gl_dlm_table *table)
{
	struct gl_dlm_lock *slot;

	if (!table->free && (!table->ledger || grow(table) < 0)) {
		return NULL;
	}
	slot = table->free;
	table->free = slot->next;
	return slot;
}

/* ---- Opening ---- */

static bool is_of_this_boot(const struct gl_dlm_ledger *ledger)
{
	char boot[GUESTLOCK_UUID_STRING];

	guestlock_boot_id(boot);
	return strncmp(ledger->boot, boot, sizeof(boot)) == 0;
}

/* A crash in the midst of it leaves a file without its magic, which begins anew. */
static void begin(struct gl_dlm_ledger *ledger)
{
	memset(ledger, 0, HEAD);
	guestlock_boot_id(ledger->boot);
	ledger->version = GL_DLM_LEDGER_VERSION;
	memcpy(ledger->magic, MAGIC, sizeof(ledger->magic));
}

/* What the file has, or room for the head. 0 or -1 with errno. */
static int prepare(struct gl_dlm_table *table, size_t size)
{
	struct gl_dlm_ledger *ledger = table->ledger;

	if (size >= HEAD && memcmp(ledger->magic, MAGIC, sizeof(ledger->magic)) == 0 &&
	    is_of_this_boot(ledger)) {
		if (ledger->version != GL_DLM_LEDGER_VERSION || SIZE_OF(ledger->slots) > size ||
		    ledger->slots > MOST_SLOTS) {
			errno = EPROTO;
			return -1;
		}
	} else {
		int error = ftruncate(table->fd, 0) < 0 ? errno : posix_fallocate(table->fd, 0, HEAD);

		if (error) {
			errno = error;
			return -1;
		}
		begin(ledger);
	}
	/* The kernel writes answers there, and must not have to wait for the page of a process that is being killed. */
	if (mlock(ledger, HEAD) < 0) {
		ledger->answer[0] = 0;
	}
	list_free(table, 0, ledger->slots);
	return 0;
}

int gl_dlm_ledger_open(struct gl_dlm_table *table, int fd)
{
	int opened = fd < 0 ? memfd_create("guestlock-locks", MFD_CLOEXEC) : fd;
	void *map = MAP_FAILED;
	struct stat st;

	if (opened >= 0 && fstat(opened, &st) == 0) {
		map = mmap(NULL, SIZE_OF(MOST_SLOTS), PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
	}
	if (map != MAP_FAILED) {
		table->ledger = map;
		table->fd = opened;
		if (prepare(table, (size_t)st.st_size) == 0) {
			return 0;
		}
	}
	int saved_errno = errno;

	if (map != MAP_FAILED) {
		munmap(map, SIZE_OF(MOST_SLOTS));
	}
	if (opened >= 0 && fd < 0) {
		close(opened);
	}
	table->ledger = NULL;
	errno = saved_errno;
	return -1;
}

void gl_dlm_ledger_close(struct gl_dlm_table *table)
{
	if (table->ledger) {
		munmap(table->ledger, SIZE_OF(MOST_SLOTS));
		if (table->fd >= 0) {
			close(table->fd);
		}
	}
	table->ledger = NULL;
}
