/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is a module what it says? Everything the core relies on later is looked at here, once. */
#include "backend/module.h"
#include "base/base.h"
#include "base/error.h"
#include "config/option.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char *const gl_capability_names[] = {
	"shared",      "handover", "hotplug",     "guest-only", "adopt",     "epoch", "may-block",
	"unprovision", "watch",    "loss-action", "cluster",    "bind-here", "hosts",
};

const char *guestlock_capability_name(unsigned bit)
{
	return bit < GL_COUNT(gl_capability_names) ? gl_capability_names[bit] : NULL;
}

/* Which functions there are; capability 0: always. */
struct gl_function {
	const char *name;
	size_t offset;
	unsigned capability;
};
#define GL_FUNCTION(member, bit)                                                                             \
	{                                                                                                    \
		.name = #member, .offset = offsetof(struct guestlock_backend_ops, member),                   \
		.capability = (bit)                                                                          \
	}

static const struct gl_function gl_functions[] = {
	GL_FUNCTION(init, 0),
	GL_FUNCTION(finish, 0),
	GL_FUNCTION(probe, 0),
	GL_FUNCTION(join, 0),
	GL_FUNCTION(leave, 0),
	GL_FUNCTION(status, 0),
	GL_FUNCTION(bind, 0),
	GL_FUNCTION(acquire, 0),
	GL_FUNCTION(release, 0),
	GL_FUNCTION(convert, GUESTLOCK_CAP_HANDOVER),
	GL_FUNCTION(inquire, 0),
	GL_FUNCTION(enumerate, 0),
	GL_FUNCTION(survey, GUESTLOCK_CAP_CLUSTER),
	GL_FUNCTION(release_orphan, 0),
	GL_FUNCTION(unprovision, GUESTLOCK_CAP_UNPROVISION),
	GL_FUNCTION(watch, GUESTLOCK_CAP_WATCH),
	GL_FUNCTION(next_event, GUESTLOCK_CAP_WATCH),
	GL_FUNCTION(busy, GUESTLOCK_CAP_MAY_BLOCK),
};

static const char *gl_capability_text(unsigned capability)
{
	return guestlock_capability_name((unsigned)__builtin_ctz(capability));
}

/* Says what is wrong; what to do is the same for every fault of a module. */
static int gl_fail_module(struct guestlock_error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static int gl_fail_module(struct guestlock_error *err, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return gl_fail(err, GUESTLOCK_INVALID, 0, "%s; install a corrected one", text);
}

static bool gl_has_function(const struct guestlock_backend_ops *ops, const struct gl_function *function)
{
	void (*pointer)(void);

	memcpy(&pointer, (const char *)ops + function->offset, sizeof(pointer));
	return pointer != NULL;
}

/* A pointer without its bit is as wrong as a bit without its pointer: nobody would ever call it. */
static int gl_check_functions(const struct guestlock_module *descriptor, struct guestlock_error *err)
{
	size_t i;

	for (i = 0; i < GL_COUNT(gl_functions); i++) {
		const struct gl_function *function = &gl_functions[i];
		bool wanted = !function->capability || (descriptor->capabilities & function->capability);

		if (gl_has_function(descriptor->ops, function) == wanted) {
			continue;
		}
		if (!function->capability) {
			return gl_fail_module(err, "the module has no function %s, which every backend needs",
					      function->name);
		}
		return gl_fail_module(
			err,
			wanted ? "the module claims capability %s but has no function %s"
			       : "the module does not claim capability %s but has a function %s",
			gl_capability_text(function->capability), function->name);
	}
	return 0;
}

static int gl_check_default(const struct guestlock_option *option, struct guestlock_error *err)
{
	const struct gl_option own = {.name = option->name, .kind = (enum gl_option_kind)option->type};
	char why_not[GL_WHY_NOT_SIZE];

	if (option->required) {
		return option->default_value
			       ? gl_fail_module(err, "option %s is required and has a default", option->name)
			       : 0;
	}
	if (!option->default_value) {
		return gl_fail_module(err, "option %s is not required and has no default", option->name);
	}
	if (own.kind == GL_KIND_PATH && (strncmp(option->default_value, "@state_dir@/", 12) == 0 ||
					 strncmp(option->default_value, "@run_dir@/", 10) == 0)) {
		return 0;
	}
	/* A path that is not needed may be empty by default. */
	if (own.kind == GL_KIND_PATH && option->default_value[0] == '\0') {
		return 0;
	}
	if (!gl_option_check(&own, option->default_value, why_not)) {
		return gl_fail_module(err, "option %s has default \"%s\" but %s", option->name,
				      option->default_value, why_not);
	}
	return 0;
}

static int gl_check_options(const struct guestlock_option *options, struct guestlock_error *err)
{
	const struct guestlock_option *option, *other;
	int status = 0;

	if (!options) {
		return gl_fail_module(err, "the module has no table of options");
	}
	for (option = options; status == 0 && option->name; option++) {
		if (!gl_option_name_valid(option->name)) {
			return gl_fail_module(err, "\"%s\" cannot be the name of an option", option->name);
		}
		for (other = options; other < option; other++) {
			if (strcmp(other->name, option->name) == 0) {
				return gl_fail_module(err, "option %s is there twice", option->name);
			}
		}
		if ((unsigned)option->type > GUESTLOCK_OPTION_UINT) {
			return gl_fail_module(err, "option %s has unknown type %d", option->name,
					      (int)option->type);
		}
		if (!option->help || option->help[0] == '\0') {
			return gl_fail_module(err, "option %s has no help text", option->name);
		}
		status = gl_check_default(option, err);
	}
	return status;
}

static int gl_check_sizes(const struct guestlock_module *descriptor, struct guestlock_error *err)
{
	if (descriptor->instance_size < sizeof(struct guestlock_backend)) {
		return gl_fail_module(err, "the module's instance has %zu bytes but needs at least %zu",
				      descriptor->instance_size, sizeof(struct guestlock_backend));
	}
	if (descriptor->limits.key_size != 0 && descriptor->limits.key_size < GUESTLOCK_KEY_SIZE - 1) {
		return gl_fail_module(err, "the module locks keys of %zu bytes, but keys have %d",
				      descriptor->limits.key_size, GUESTLOCK_KEY_SIZE - 1);
	}
	return 0;
}

static int gl_check_identity(const struct guestlock_module *descriptor, const char *name,
			     struct guestlock_error *err)
{
	if (!descriptor->name || strcmp(descriptor->name, name) != 0) {
		return gl_fail_module(err, "the module calls itself \"%s\", not \"%s\" like its file",
				      descriptor->name ? descriptor->name : "", name);
	}
	if (!gl_module_name_valid(name) || strcmp(name, "guestlock") == 0) {
		return gl_fail_module(err, "\"%s\" cannot be the name of a backend", name);
	}
	if (!descriptor->description || descriptor->description[0] == '\0' ||
	    strchr(descriptor->description, '\n')) {
		return gl_fail_module(err, "the module has no description of one line");
	}
	if (descriptor->capabilities >> GL_COUNT(gl_capability_names)) {
		return gl_fail_module(err, "the module claims capabilities 0x%x, of which some are not known",
				      descriptor->capabilities);
	}
	if ((descriptor->capabilities & GUESTLOCK_CAP_BIND_HERE) &&
	    (descriptor->capabilities & GUESTLOCK_CAP_ADOPT)) {
		return gl_fail_module(err, "the module claims capabilities adopt and bind-here, but who is "
					   "adopted cannot bind itself");
	}
	if (!descriptor->ops) {
		return gl_fail_module(err, "the module has no table of functions");
	}
	return 0;
}

int gl_module_check(const struct guestlock_module *descriptor, const char *name, struct guestlock_error *err)
{
	int status;

	/* Nothing behind abi may be looked at before it is known to be ours. */
	if (descriptor->abi != GUESTLOCK_BACKEND_ABI) {
		return gl_fail(
			err, GUESTLOCK_INVALID, 0,
			"the module is made for interface %u but this is interface %u; install the one that "
			"belongs to this version",
			descriptor->abi, GUESTLOCK_BACKEND_ABI);
	}
	status = gl_check_identity(descriptor, name, err);
	if (status == 0) {
		status = gl_check_functions(descriptor, err);
	}
	if (status == 0) {
		status = gl_check_sizes(descriptor, err);
	}
	if (status == 0) {
		status = gl_check_options(descriptor->options, err);
	}
	return status;
}
