/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From what is locked to the 43 characters that a backend locks. */
#include <guestlock/backend.h>

#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <string.h>

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

bool guestlock_key_valid(const char *text)
{
	size_t i = 0;

	while ((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
	       (text[i] >= '0' && text[i] <= '9') || text[i] == '-' || text[i] == '_') {
		i++;
	}
	return text[i] == '\0' && i == GUESTLOCK_KEY_SIZE - 1;
}
