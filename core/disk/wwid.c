/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device may have several names. The first of one list that it has is taken, so that all hosts take
 * the same.
 */
#include "disk/wwid.h"
#include "base/base.h"

#include <stdio.h>
#include <string.h>

#define GL_PAGE_NUMBER 0x83
#define GL_PAGE_HEADER 4
#define GL_DESIGNATOR_HEADER 4
#define GL_VENDOR_LENGTH 8
#define GL_MODEL_LENGTH 16
#define GL_ANY_NAA (-1)

enum gl_code_set {
	GL_CODE_BINARY = 1,
	GL_CODE_ASCII = 2,
};

enum gl_designator_type {
	GL_TYPE_VENDOR_SPECIFIC = 0,
	GL_TYPE_T10 = 1,
	GL_TYPE_EUI64 = 2,
	GL_TYPE_NAA = 3,
	GL_TYPE_NAME = 8,
};

/* Names of a device from the best to the worst. Another order would name one device in two ways. */
static const struct gl_preference {
	enum gl_designator_type type;
	int naa;
	enum gl_code_set code_set;
} gl_preferences[] = {
	{GL_TYPE_NAA, 6, GL_CODE_BINARY},
	{GL_TYPE_NAA, 6, GL_CODE_ASCII},
	{GL_TYPE_NAA, 5, GL_CODE_BINARY},
	{GL_TYPE_NAA, 5, GL_CODE_ASCII},
	{GL_TYPE_NAA, GL_ANY_NAA, GL_CODE_BINARY},
	{GL_TYPE_NAA, GL_ANY_NAA, GL_CODE_ASCII},
	{GL_TYPE_EUI64, GL_ANY_NAA, GL_CODE_BINARY},
	{GL_TYPE_EUI64, GL_ANY_NAA, GL_CODE_ASCII},
	{GL_TYPE_T10, GL_ANY_NAA, GL_CODE_BINARY},
	{GL_TYPE_T10, GL_ANY_NAA, GL_CODE_ASCII},
	{GL_TYPE_VENDOR_SPECIFIC, GL_ANY_NAA, GL_CODE_BINARY},
	{GL_TYPE_VENDOR_SPECIFIC, GL_ANY_NAA, GL_CODE_ASCII},
};

/* As in the C locale: the name of a device must not depend on the language of a program. */
static bool gl_is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool gl_is_name(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c != '\0' && strchr("#+-.:=@_", c) != NULL);
}

/* A text as udev keeps it: no blanks at its ends, "_" for those within and for what names may not hold. */
static void gl_wwid_normalize(const char *text, char out_wwid[GL_WWID_SIZE])
{
	size_t used = 0;

	while (gl_is_blank(*text)) {
		text++;
	}
	while (*text != '\0' && used < GL_WWID_SIZE - 1) {
		while (gl_is_blank(*text) && gl_is_blank(text[1])) {
			text++;
		}
		if (gl_is_blank(*text) && text[1] == '\0') {
			break;
		}
		out_wwid[used++] = gl_is_name(*text) ? *text : '_';
		text++;
	}
	out_wwid[used] = '\0';
}

/* A designator names the logical unit itself, not the port it is seen through, and is of the wanted form. */
static bool gl_designator_fits(const unsigned char *designator, const struct gl_preference *wanted)
{
	return (designator[1] & 0x30) == 0 && (designator[1] & 0x0f) == (int)wanted->type &&
	       (designator[0] & 0x0f) == (int)wanted->code_set && designator[3] > 0 &&
	       (wanted->naa == GL_ANY_NAA || designator[4] >> 4 == wanted->naa);
}

static const unsigned char *gl_page_find(const unsigned char *page, size_t size,
					 const struct gl_preference *wanted)
{
	size_t at = GL_PAGE_HEADER;

	while (at + GL_DESIGNATOR_HEADER <= size && at + GL_DESIGNATOR_HEADER + page[at + 3] <= size) {
		if (gl_designator_fits(page + at, wanted)) {
			return page + at;
		}
		at += GL_DESIGNATOR_HEADER + page[at + 3];
	}
	return NULL;
}

/* Vendor specific names are unique within a model only. */
static void gl_designator_print(const unsigned char *designator, const char *vendor, const char *model,
				char out_wwid[GL_WWID_SIZE])
{
	const unsigned char *name = designator + GL_DESIGNATOR_HEADER;
	unsigned type = designator[1] & 0x0f;
	char text[GL_WWID_SIZE];
	size_t used, i;

	if (type == GL_TYPE_VENDOR_SPECIFIC) {
		used = (size_t)snprintf(text, sizeof(text), "%u%-*.*s%-*.*s", type, GL_VENDOR_LENGTH,
					GL_VENDOR_LENGTH, vendor, GL_MODEL_LENGTH, GL_MODEL_LENGTH, model);
	} else {
		used = (size_t)snprintf(text, sizeof(text), "%u", type);
	}
	for (i = 0; i < designator[3]; i++) {
		if ((designator[0] & 0x0f) == GL_CODE_ASCII) {
			text[used++] = (char)name[i];
		} else {
			text[used++] = "0123456789abcdef"[name[i] >> 4];
			text[used++] = "0123456789abcdef"[name[i] & 15];
		}
	}
	text[used] = '\0';
	gl_wwid_normalize(text, out_wwid);
}

bool gl_wwid_of_page(const unsigned char *page, size_t size, const char *vendor, const char *model,
		     char out_wwid[GL_WWID_SIZE])
{
	size_t length, i;

	/* Before SPC-3 names had no header: byte 6, which is reserved now, was a part of the first. */
	if (size < GL_PAGE_HEADER + GL_DESIGNATOR_HEADER || page[1] != GL_PAGE_NUMBER || page[6] != 0) {
		return false;
	}
	length = GL_PAGE_HEADER + ((size_t)page[2] << 8 | page[3]);
	if (length < size) {
		size = length;
	}
	for (i = 0; i < GL_COUNT(gl_preferences); i++) {
		const unsigned char *designator = gl_page_find(page, size, &gl_preferences[i]);

		if (designator) {
			gl_designator_print(designator, vendor, model, out_wwid);
			return true;
		}
	}
	return false;
}

/* The kernel passes on the case of a device's own text, but multipath spells numbers in small letters. */
static void gl_lower(char *text)
{
	for (; *text != '\0'; text++) {
		if (*text >= 'A' && *text <= 'Z') {
			*text = (char)(*text - 'A' + 'a');
		}
	}
}

bool gl_wwid_of_attribute(const char *text, char out_wwid[GL_WWID_SIZE])
{
	static const struct {
		const char *prefix;
		enum gl_designator_type type;
		bool number;
	} kinds[] = {
		{"naa.", GL_TYPE_NAA, true},
		{"eui.", GL_TYPE_EUI64, true},
		{"t10.", GL_TYPE_T10, false},
		{"", GL_TYPE_NAME, false},
	};
	char spelled[GL_WWID_SIZE];
	size_t i = 0;

	if (text[strspn(text, " \t\n")] == '\0') {
		return false;
	}
	while (strncmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) != 0) {
		i++;
	}
	snprintf(spelled, sizeof(spelled), "%u%s", (unsigned)kinds[i].type, text + strlen(kinds[i].prefix));
	if (kinds[i].number) {
		gl_lower(spelled);
	}
	gl_wwid_normalize(spelled, out_wwid);
	return true;
}
