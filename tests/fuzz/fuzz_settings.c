/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of a configuration file: refused with a place and a reason, or every setting has a good value. */
#include "base/base.h"
#include "config/priv.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static const struct guestlock_option module_options[] = {
	{"lock_dir", GUESTLOCK_OPTION_PATH, "@state_dir@/demo", false, "where"},
	{"lockspace", GUESTLOCK_OPTION_STRING, "guestlock", false, "what"},
	{"host_id", GUESTLOCK_OPTION_UINT, NULL, true, "who"},
	{"careless", GUESTLOCK_OPTION_BOOL, "no", false, "how"},
	{NULL, GUESTLOCK_OPTION_STRING, NULL, false, NULL},
};

static void check_refusal(int status, const struct guestlock_error *err)
{
	char *printable = gl_printable(err->message);

	GL_FUZZ_ASSERT(status == GUESTLOCK_CONFIG && err->code == GUESTLOCK_CONFIG);
	GL_FUZZ_ASSERT(strncmp(err->message, "FILE:", 5) == 0 && err->message[5] >= '1' &&
		       err->message[5] <= '9');
	GL_FUZZ_ASSERT(printable && strcmp(printable, err->message) == 0);
	free(printable);
}

static void check_values(struct gl_settings *settings)
{
	size_t count, i;
	const struct guestlock_setting *all = gl_settings_all(settings, &count);

	GL_FUZZ_ASSERT(count == 18);
	for (i = 0; i < count; i++) {
		if (strcmp(all[i].type, "path") == 0) {
			GL_FUZZ_ASSERT(all[i].value[0] == '/');
		}
		if (strcmp(all[i].type, "bool") == 0) {
			GL_FUZZ_ASSERT(gl_settings_bool(settings, all[i].section, all[i].key) ==
				       (strcmp(all[i].value, "no") != 0));
		}
		GL_FUZZ_ASSERT(!strchr(all[i].value, '\n'));
		GL_FUZZ_ASSERT(strcmp(all[i].origin, "default") == 0 ||
			       strncmp(all[i].origin, "FILE:", 5) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gl_settings *settings = gl_settings_new();
	struct guestlock_error err;
	int status;

	if (!settings) {
		return 0;
	}
	setenv("HOME", "/home/fuzz", 1);
	status = gl_settings_parse(settings, "FILE", (const char *)data, size, &err);
	if (status == 0) {
		status = gl_settings_declare_core(settings, &err);
	}
	if (status == 0) {
		status = gl_settings_declare(settings, "demo", module_options, &err);
	}
	if (status < 0) {
		check_refusal(status, &err);
	} else {
		check_values(settings);
	}
	gl_settings_free(settings);
	return 0;
}
