/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding and loading backends. */
#ifndef GL_MODULE_H
#define GL_MODULE_H

#include "config/settings.h"

struct gl_module {
	void *handle; /* of dlopen */
	const struct guestlock_module *descriptor;
	char *file;
};

/* What stands behind guestlock_backend.context. */
struct guestlock_backend_context {
	const struct gl_settings *settings;
	guestlock_log_fn *log;
	void *log_data;
	enum guestlock_log_level log_level;
	struct gl_keeper *keeper; /* who calls the backend, where that is not the caller */
};

/*
 * Loads NAME.so from the directories of GUESTLOCK_BACKEND_PATH (colon-separated; ignored in a set-user-ID
 * program) and the installed one, and checks its descriptor: ABI number, name, and that each capability bit
 * has its functions and the other way round. NOT_FOUND lists what there is. INVALID names what is wrong.
 */
int gl_module_load(const char *name, struct gl_module *out_module, struct guestlock_error *err);
void gl_module_unload(struct gl_module *module);

/* Names of the modules found, without duplicates, sorted; *out_names is freed by gl_module_names_free(). */
int gl_module_names(char ***out_names, size_t *out_count, struct guestlock_error *err);
void gl_module_names_free(char **names, size_t count);

/* The check of gl_module_load() alone. */
int gl_module_check(const struct guestlock_module *descriptor, const char *name, struct guestlock_error *err);

#endif
