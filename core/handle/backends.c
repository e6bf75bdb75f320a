/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The modules there are, for tools. */
#include "base/base.h"
#include "base/error.h"
#include "handle/handle.h"

#include <string.h>

void guestlock_backends_free(struct guestlock_backend_info *infos, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		/* They are const for the caller only. */
		char *own[3];

		memcpy(&own[0], &infos[i].name, sizeof(own[0]));
		memcpy(&own[1], &infos[i].description, sizeof(own[1]));
		memcpy(&own[2], &infos[i].file, sizeof(own[2]));
		free(own[0]);
		free(own[1]);
		free(own[2]);
	}
	free(infos);
}

static int copy_words(struct guestlock_backend_info *info, const char *name, const char *description,
		      const char *file, struct guestlock_error *err)
{
	info->name = strdup(name);
	info->description = strdup(description);
	info->file = strdup(file);
	return info->name && info->description && info->file ? GUESTLOCK_OK : gl_fail_memory(err);
}

static void tell_trouble(struct guestlock_backend_info *info, int status, const struct guestlock_error *cause)
{
	info->status = status;
	gl_copy_cut(info->message, sizeof(info->message), status < 0 ? cause->message : "");
}

static int describe_loaded(struct guestlock *gl, const struct gl_module *module, bool selected,
			   struct guestlock_backend_info *info, struct guestlock_error *err)
{
	const struct guestlock_module *descriptor = module->descriptor;
	struct guestlock_error cause = {0};
	int status =
		selected ? guestlock_probe(gl, &cause)
			 : gl_settings_declare(gl->settings, descriptor->name, descriptor->options, &cause);

	tell_trouble(info, status, &cause);
	info->selected = selected;
	info->capabilities = descriptor->capabilities;
	info->abi = descriptor->abi;
	return copy_words(info, descriptor->name, descriptor->description, module->file, err);
}

static int describe(struct guestlock *gl, const char *name, struct guestlock_backend_info *info,
		    struct guestlock_error *err)
{
	struct guestlock_error cause = {0};
	struct gl_module module;
	int status;

	if (strcmp(name, gl_technology(gl)) == 0) {
		return describe_loaded(gl, &gl->module, true, info, err);
	}
	status = gl_module_load(name, &module, &cause);
	if (status < 0) {
		tell_trouble(info, status, &cause);
		return copy_words(info, name, "", "", err);
	}
	status = describe_loaded(gl, &module, false, info, err);
	gl_module_unload(&module);
	return status;
}

int guestlock_backends(struct guestlock *gl, struct guestlock_backend_info **out_infos, size_t *out_count,
		       struct guestlock_error *err)
{
	struct guestlock_backend_info *infos;
	char **names;
	size_t n_names, count = 0;
	int status = gl_module_names(&names, &n_names, err);

	if (status < 0) {
		return status;
	}
	infos = calloc(n_names + 1, sizeof(*infos));
	if (!infos) {
		status = gl_fail_memory(err);
	}
	for (; count < n_names && status == GUESTLOCK_OK; count++) {
		status = describe(gl, names[count], &infos[count], err);
	}
	gl_module_names_free(names, n_names);
	if (status < 0) {
		guestlock_backends_free(infos, infos ? count : 0);
		return status;
	}
	*out_infos = infos;
	*out_count = n_names;
	return GUESTLOCK_OK;
}
