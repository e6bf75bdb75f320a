/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the core offers to backends (and uses itself). */
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define GL_TEMPORARY_TRIES 16
#define GL_READ_STEP 4096

const char *guestlock_mode_name(enum guestlock_mode mode)
{
	static const char *const names[] = {
		[GUESTLOCK_MODE_NONE] = "none",
		[GUESTLOCK_MODE_SHARED] = "shared",
		[GUESTLOCK_MODE_HANDOVER] = "handover",
		[GUESTLOCK_MODE_EXCLUSIVE] = "exclusive",
	};

	return (size_t)mode < GL_COUNT(names) ? names[mode] : "unknown";
}

void guestlock_batch_answer(struct guestlock_batch *batch, enum guestlock_result result)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct guestlock_item *item = &batch->items[i];

		item->result = result;
		item->held_mode = GUESTLOCK_MODE_NONE;
		item->has_epoch = false;
		item->epoch = 0;
		item->holder = (struct guestlock_holder){0};
		item->n_others = 0;
		item->holders = NULL;
		item->n_holders = 0;
	}
}

static int gl_badness(enum guestlock_result result)
{
	return result == GUESTLOCK_RES_INFLIGHT ? INT_MAX : (int)result;
}

bool guestlock_item_worsen(struct guestlock_item *item, enum guestlock_result result,
			   enum guestlock_result *worst)
{
	bool worsened = gl_badness(result) > gl_badness(*worst);

	if (gl_badness(result) > gl_badness(item->result)) {
		item->result = result;
	}
	if (worsened) {
		*worst = result;
	}
	return worsened;
}

int64_t guestlock_monotonic_ms(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Where the kernel gives no random bytes (a system call filter): different at each call and in each process.
 */
static uint64_t gl_random_fallback(void)
{
	static uint64_t counter;
	struct timespec now = {0};
	uint64_t mix;

	clock_gettime(CLOCK_REALTIME, &now);
	mix = (uint64_t)now.tv_sec * 1000000007U + (uint64_t)now.tv_nsec;
	mix ^= (uint64_t)getpid() << 40;
	mix += __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED) * 0x9e3779b97f4a7c15U;
	mix = (mix ^ mix >> 31) * 0xd6e8feb86659fd93U;
	return mix ^ mix >> 32;
}

uint64_t guestlock_random64(void)
{
	uint64_t value = 0;

	while (value == 0) {
		ssize_t got = getrandom(&value, sizeof(value), 0);

		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got != (ssize_t)sizeof(value)) {
			value = gl_random_fallback();
		}
	}
	return value;
}

/* Opens a new file beside path. Leftovers of a crash are known by their name, ".tmp-". */
static int gl_open_temporary(const char *path, mode_t mode, char out_name[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	int directory = slash ? (int)(slash - path) + 1 : 0;
	int tries;

	for (tries = 0; tries < GL_TEMPORARY_TRIES; tries++) {
		int length = snprintf(out_name, PATH_MAX, "%.*s.tmp-%016llx", directory, path,
				      (unsigned long long)guestlock_random64());
		int fd;

		if (length < 0 || length >= PATH_MAX) {
			errno = ENAMETOOLONG;
			return -1;
		}
		fd = open(out_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
		if (fd >= 0 || errno != EEXIST) {
			return fd;
		}
	}
	return -1;
}

static int gl_write_all(int fd, const char *data, size_t size)
{
	struct rlimit limit;

	/* Writing beyond such a limit would end the process. */
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size) {
		errno = EFBIG;
		return -1;
	}
	while (size > 0) {
		ssize_t written = write(fd, data, size);

		if (written < 0 && errno == EINTR) {
			continue;
		}
		if (written < 0) {
			return -1;
		}
		data += written;
		size -= (size_t)written;
	}
	return 0;
}

/* Writes and closes fd in any case. */
static int gl_fill_temporary(int fd, const void *data, size_t size, mode_t mode)
{
	int result = gl_write_all(fd, data, size);
	int saved_errno;

	/* What others are to read must not depend on the umask of whoever writes. */
	if (result == 0 && (mode & 077) != 0) {
		result = fchmod(fd, mode);
	}
	saved_errno = errno;
	if (close(fd) < 0 && errno != EINTR) {
		return -1;
	}
	errno = saved_errno;
	return result;
}

int guestlock_write_file(const char *path, const void *data, size_t size, mode_t mode)
{
	char temporary[PATH_MAX];
	int fd = gl_open_temporary(path, mode, temporary);
	int saved_errno;

	if (fd < 0) {
		return -1;
	}
	if (gl_fill_temporary(fd, data, size, mode) == 0 && rename(temporary, path) == 0) {
		return 0;
	}
	saved_errno = errno;
	unlink(temporary);
	errno = saved_errno;
	return -1;
}

/* Reads until capacity is full or the file ends. */
static int gl_read_some(int fd, char *data, size_t capacity, size_t *used)
{
	while (*used < capacity) {
		ssize_t got = read(fd, data + *used, capacity - *used);

		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got <= 0) {
			return (int)got;
		}
		*used += (size_t)got;
	}
	return 0;
}

/* The content of fd, expected to have size bytes (0: not known). */
static char *gl_read_all(int fd, size_t size, size_t max, size_t *out_size)
{
	size_t capacity = (size > 0 ? size : GL_READ_STEP) + 1;
	size_t used = 0;
	GL_AUTOFREE char *data = NULL;
	char *out;

	for (;;) {
		char *grown = realloc(data, capacity + 1);

		if (!grown) {
			return NULL;
		}
		data = grown;
		if (gl_read_some(fd, data, capacity, &used) < 0) {
			return NULL;
		}
		if (used > max) {
			errno = EFBIG;
			return NULL;
		}
		if (used < capacity) {
			break;
		}
		capacity = used * 2;
	}
	data[used] = '\0';
	*out_size = used;
	out = data;
	data = NULL;
	return out;
}

int guestlock_read_file(const char *path, size_t max, char **out_data, size_t *out_size)
{
	/* O_NONBLOCK: a fifo put in the place of a file must not hang the reader. */
	GL_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct statx st;
	size_t size;
	char *data;

	/* Not its times: whoever asks for them makes the next write to it, and to others, cost more. */
	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE, &st) < 0) {
		return -1;
	}
	if (!S_ISREG(st.stx_mode)) {
		errno = S_ISDIR(st.stx_mode) ? EISDIR : EINVAL;
		return -1;
	}
	if (st.stx_size > max) {
		errno = EFBIG;
		return -1;
	}
	data = gl_read_all(fd, (size_t)st.stx_size, max, &size);
	if (!data) {
		return -1;
	}
	*out_data = data;
	*out_size = size;
	return 0;
}

int guestlock_ofd_lock(int fd, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &lock);
}

void guestlock_base64url(const void *data, size_t size, char *out)
{
	struct base64_encode_ctx context;
	char tail[BASE64_ENCODE_FINAL_LENGTH];
	size_t length, i;

	base64url_encode_init(&context);
	length = base64_encode_update(&context, out, size, data);
	out += length;
	length = base64_encode_final(&context, tail);
	for (i = 0; i < length && tail[i] != '='; i++) {
		*out++ = tail[i];
	}
	*out = '\0';
}

void guestlock_digest(const void *data, size_t size, char out[GUESTLOCK_KEY_SIZE])
{
	struct sha256_ctx context;
	uint8_t digest[SHA256_DIGEST_SIZE];

	sha256_init(&context);
	sha256_update(&context, size, data);
	sha256_digest(&context, sizeof(digest), digest);
	guestlock_base64url(digest, sizeof(digest), out);
}

static bool gl_is_plain(char c)
{
	static const bool plain[UCHAR_MAX + 1] = {
		['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['-'] = true, ['.'] = true,
		['_'] = true,         ['~'] = true,         ['/'] = true,         [':'] = true, ['@'] = true,
		['+'] = true,         [','] = true,         ['='] = true,
	};

	return plain[(unsigned char)c];
}

size_t gl_percent_plain(const char *text)
{
	size_t size = 0;

	while (gl_is_plain(text[size])) {
		size++;
	}
	return size;
}

char *guestlock_percent_encode(const char *text)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t size = 1;
	const char *p;
	char *out, *end;

	if (text[gl_percent_plain(text)] == '\0') {
		return strdup(text);
	}
	for (p = text; *p != '\0'; p++) {
		size += gl_is_plain(*p) ? 1 : 3;
	}
	out = malloc(size);
	if (!out) {
		return NULL;
	}
	end = out;
	for (p = text; *p != '\0'; p++) {
		unsigned char byte = (unsigned char)*p;

		if (gl_is_plain(*p)) {
			*end++ = *p;
			continue;
		}
		*end++ = '%';
		*end++ = digits[byte >> 4];
		*end++ = digits[byte & 15];
	}
	*end = '\0';
	return out;
}

/* Two hexadecimal digits as a byte; 0 when they are none, as a text cannot have that byte anyway. */
static unsigned gl_hex_byte(const char *digits)
{
	char pair[3] = "";
	uint64_t value;

	gl_copy_cut(pair, sizeof(pair), digits);
	return pair[0] != '\0' && pair[1] != '\0' && gl_parse_u64(pair, 16, &value) ? (unsigned)value : 0;
}

int guestlock_percent_decode(char *text)
{
	const char *from = text;
	char *to = text;

	while (*from != '\0') {
		unsigned byte;

		if (*from != '%') {
			if (!gl_is_plain(*from)) {
				return -1;
			}
			*to++ = *from++;
			continue;
		}
		byte = gl_hex_byte(from + 1);
		if (byte == 0) {
			return -1;
		}
		*to++ = (char)byte;
		from += 3;
	}
	*to = '\0';
	return 0;
}
