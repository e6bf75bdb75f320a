/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One line for each suite; main.c runs them all. */
#ifndef GL_TEST_SUITES_H
#define GL_TEST_SUITES_H

#include <check.h>

Suite *util_suite(void);
Suite *settings_suite(void);
Suite *module_suite(void);
Suite *form_suite(void);
Suite *flush_suite(void);
Suite *key_suite(void);
Suite *disk_suite(void);
Suite *wwid_suite(void);
Suite *process_suite(void);
Suite *containers_suite(void);
Suite *tether_suite(void);
Suite *members_suite(void);
Suite *record_suite(void);
Suite *store_suite(void);
Suite *halves_suite(void);
Suite *hint_suite(void);
Suite *state_suite(void);
Suite *lifecycle_suite(void);
Suite *lives_suite(void);
Suite *monitor_suite(void);
Suite *writer_suite(void);
Suite *keeper_wire_suite(void);
Suite *keeper_server_suite(void);

#endif
