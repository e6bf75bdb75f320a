/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/base.h"
#include "disk/wwid.h"
#include "suites.h"

#include <string.h>

#define NAA "600508b400105e210000900000490000"

#define DESIGNATOR(set, type, size) set, type, 0, size
#define NAA_16_BYTES                                                                                         \
	0x60, 0x05, 0x08, 0xb4, 0x00, 0x10, 0x5e, 0x21, 0x00, 0x00, 0x90, 0x00, 0x00, 0x49, 0x00, 0x00
#define NAA_8_BYTES 0x50, 0x01, 0x43, 0x80, 0x02, 0x03, 0xab, 0xcd
#define EUI_8_BYTES 0x00, 0xa0, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x01

struct page {
	size_t size;
	unsigned char bytes[96];
	const char *wwid; /* NULL: none */
};

static const struct page pages[] = {
	{24, {0, 0x83, 0, 20, DESIGNATOR(1, 3, 16), NAA_16_BYTES}, "3" NAA},
	/* in the order of worth, not of the page */
	{36, {0, 0x83, 0, 32, DESIGNATOR(1, 3, 8), NAA_8_BYTES, DESIGNATOR(1, 3, 16), NAA_16_BYTES}, "3" NAA},
	{28,
	 {0, 0x83, 0, 24, DESIGNATOR(1, 2, 8), EUI_8_BYTES, DESIGNATOR(1, 3, 8), NAA_8_BYTES},
	 "3500143800203abcd"},
	{23,
	 {0, 0x83, 0, 19, DESIGNATOR(2, 1, 3), 'A', ' ', 'B', DESIGNATOR(1, 2, 8), EUI_8_BYTES},
	 "200a0b80000000001"},
	/* names of the port and the target device are not of this disk */
	{28,
	 {0, 0x83, 0, 24, DESIGNATOR(1, 0x13, 8), NAA_8_BYTES, DESIGNATOR(1, 2, 8), EUI_8_BYTES},
	 "200a0b80000000001"},
	{16, {0, 0x83, 0, 12, DESIGNATOR(1, 0x23, 8), NAA_8_BYTES}, NULL},
	/* text */
	{24,
	 {0,   0x83, 0,   20,  DESIGNATOR(2, 1, 16),
	  'A', 'T',  'A', ' ', ' ',
	  ' ', ' ',  ' ', 'M', ' ',
	  '/', ' ',  '1', ' ', ' ',
	  ' '},
	 "1ATA_M___1"},
	{24,
	 {0,   0x83, 0,   20,  DESIGNATOR(0x12, 3, 16),
	  '6', '0',  '0', 'a', '1',
	  '2', '3',  '4', '5', '6',
	  '7', '8',  '9', '0', '1',
	  '2'},
	 "3600a123456789012"},
	{14, {0, 0x83, 0, 10, DESIGNATOR(2, 0, 6), 's', 'c', 's', 'i', '0', 0}, "0VENDOR_THE_MODEL_scsi0"},
	{10, {0, 0x83, 0, 6, DESIGNATOR(1, 0, 2), 0xab, 0x01}, "0VENDOR_THE_MODEL_ab01"},
	/* nothing that is a name */
	{12, {0, 0x83, 0, 8, DESIGNATOR(3, 8, 4), 'n', 'a', 'a', '.'}, NULL},
	{8, {0, 0x83, 0, 4, DESIGNATOR(1, 3, 0)}, NULL},
	{4, {0, 0x83, 0, 0}, NULL},
	/* damaged */
	{0, {0}, NULL},
	{3, {0, 0x83, 0}, NULL},
	{24, {0, 0x80, 0, 20, DESIGNATOR(1, 3, 16), NAA_16_BYTES}, NULL},
	{23, {0, 0x83, 0, 20, DESIGNATOR(1, 3, 16), NAA_16_BYTES}, NULL},
	{24, {0, 0x83, 0, 19, DESIGNATOR(1, 3, 16), NAA_16_BYTES}, NULL},
	{24, {0, 0x83, 0, 20, 1, 3, 7, 16, NAA_16_BYTES}, NULL},
	{24, {0, 0x83, 0xff, 0xff, DESIGNATOR(1, 3, 16), NAA_16_BYTES}, "3" NAA},
};

START_TEST(page_names)
{
	GL_AUTOFREE unsigned char *exact = malloc(pages[_i].size + 1);
	char wwid[GL_WWID_SIZE] = "";
	bool found;

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, pages[_i].bytes, pages[_i].size);
	found = gl_wwid_of_page(exact, pages[_i].size, "VENDOR", "THE  MODEL", wwid);
	ck_assert_int_eq(found, pages[_i].wwid != NULL);
	ck_assert_str_eq(wwid, found ? pages[_i].wwid : "");
}
END_TEST

/* Vendor and model have no blank between them when they are full. */
START_TEST(vendor_and_model_are_padded)
{
	static const unsigned char page[] = {0, 0x83, 0, 6, DESIGNATOR(2, 0, 2), 'i', 'd'};
	char wwid[GL_WWID_SIZE];

	ck_assert(gl_wwid_of_page(page, sizeof(page), "12345678", "1234567890123456", wwid));
	ck_assert_str_eq(wwid, "0123456781234567890123456id");
	ck_assert(gl_wwid_of_page(page, sizeof(page), "", "", wwid));
	ck_assert_str_eq(wwid, "0_id");
}
END_TEST

/* The longest name that fits a page. */
START_TEST(longest_name)
{
	unsigned char page[8 + 255] = {0, 0x83, 1, 3, DESIGNATOR(1, 1, 255)};
	char wwid[GL_WWID_SIZE];

	memset(page + 8, 0xee, 255);
	ck_assert(gl_wwid_of_page(page, sizeof(page), "", "", wwid));
	ck_assert_uint_eq(strlen(wwid), 1 + 2 * 255);
}
END_TEST

Suite *wwid_suite(void)
{
	Suite *suite = suite_create("wwid");
	TCase *names = tcase_create("names");

	tcase_add_loop_test(names, page_names, 0, GL_COUNT(pages));
	tcase_add_test(names, vendor_and_model_are_padded);
	tcase_add_test(names, longest_name);
	suite_add_tcase(suite, names);
	return suite;
}
