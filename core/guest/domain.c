/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whole sequences: a handle is made, used and freed in each, so that callers keep none. */
#include <guestlock/domain.h>

/* A handle with everything of the description. */
static int make(struct guestlock *gl, enum guestlock_new_mode mode, const struct guestlock_domain *domain,
		struct guestlock_guest **out_guest, struct guestlock_error *err)
{
	struct guestlock_guest *guest;
	int status = guestlock_guest_new(gl, mode, &guest, err);

	if (status < 0) {
		return status;
	}
	status = guestlock_guest_set_param(guest, "uuid", domain->uuid ? domain->uuid : "", err);
	if (status == GUESTLOCK_OK && domain->name) {
		status = guestlock_guest_set_param(guest, "name", domain->name, err);
	}
	if (status == GUESTLOCK_OK && domain->id) {
		status = guestlock_guest_set_param(guest, "id", domain->id, err);
	}
	for (size_t i = 0; i < domain->n_resources && status == GUESTLOCK_OK; i++) {
		status = guestlock_guest_register_resource(guest, &domain->resources[i], err);
	}
	if (status < 0) {
		guestlock_guest_free(guest);
		return status;
	}
	*out_guest = guest;
	return GUESTLOCK_OK;
}

static int attach_guest(struct guestlock *gl, const char *uuid, struct guestlock_guest **out_guest,
			struct guestlock_error *err)
{
	const struct guestlock_domain domain = {.uuid = uuid};

	return make(gl, GUESTLOCK_NEW_ATTACH, &domain, out_guest, err);
}

/* Frees the handle, passes the status on. */
static int finish_guest(struct guestlock_guest *guest, int status)
{
	guestlock_guest_free(guest);
	return status;
}

int guestlock_domain_bind(struct guestlock *gl, const struct guestlock_domain *domain,
			  struct guestlock_error *err)
{
	struct guestlock_guest *guest;
	int status = make(gl, GUESTLOCK_NEW_START, domain, &guest, err);

	return status < 0 ? status : finish_guest(guest, guestlock_guest_bind(guest, NULL, err));
}

int guestlock_domain_acquire(struct guestlock *gl, const struct guestlock_domain *domain, int wait_ms,
			     struct guestlock_error *err)
{
	struct guestlock_guest *guest;
	int status = make(gl, GUESTLOCK_NEW_ATTACH, domain, &guest, err);

	return status < 0 ? status
			  : finish_guest(guest, guestlock_guest_acquire(guest, NULL, 0, wait_ms, err));
}

static int start(struct guestlock *gl, enum guestlock_new_mode mode, const struct guestlock_domain *domain,
		 char *const argv[], int wait_ms, pid_t *out_pid, struct guestlock_error *err)
{
	struct guestlock_guest *guest;
	int status = make(gl, mode, domain, &guest, err);

	if (status < 0) {
		return status;
	}
	status = guestlock_guest_start(guest, argv, NULL, wait_ms, out_pid, err);
	guestlock_guest_detach(guest);
	return finish_guest(guest, status);
}

int guestlock_domain_start(struct guestlock *gl, const struct guestlock_domain *domain, char *const argv[],
			   int wait_ms, pid_t *out_pid, struct guestlock_error *err)
{
	return start(gl, GUESTLOCK_NEW_START, domain, argv, wait_ms, out_pid, err);
}

int guestlock_domain_attach(struct guestlock *gl, const char *uuid, pid_t *out_pid,
			    struct guestlock_error *err)
{
	struct guestlock_guest *guest;
	int status = attach_guest(gl, uuid, &guest, err);

	if (status < 0) {
		return status;
	}
	status = guestlock_guest_settle(guest, err);
	if (status == GUESTLOCK_OK) {
		status = guestlock_guest_child(guest, out_pid, err);
	}
	return finish_guest(guest, status);
}

int guestlock_domain_shutdown(struct guestlock *gl, const char *uuid, unsigned flags,
			      struct guestlock_error *err)
{
	struct guestlock_guest *guest;
	int status = attach_guest(gl, uuid, &guest, err);

	return status < 0 ? status : finish_guest(guest, guestlock_guest_shutdown(guest, flags, err));
}

int guestlock_domain_plug(struct guestlock *gl, const char *uuid, const struct guestlock_resource *resource,
			  struct guestlock_error *err)
{
	struct guestlock_guest *guest;
	int status = attach_guest(gl, uuid, &guest, err);

	return status < 0 ? status
			  : finish_guest(guest, guestlock_guest_acquire_resource(guest, resource, 0, 0, err));
}

int guestlock_domain_unplug(struct guestlock *gl, const char *uuid, const struct guestlock_resource *resource,
			    struct guestlock_error *err)
{
	struct guestlock_guest *guest;
	int status = attach_guest(gl, uuid, &guest, err);

	return status < 0 ? status
			  : finish_guest(guest, guestlock_guest_release_resource(guest, resource, 0, err));
}

int guestlock_domain_suspend(struct guestlock *gl, const char *uuid, char **out_state,
			     struct guestlock_error *err)
{
	struct guestlock_guest *guest;
	int status = attach_guest(gl, uuid, &guest, err);

	return status < 0 ? status
			  : finish_guest(guest, guestlock_guest_pause(guest, GUESTLOCK_EXTERNALLY_STOPPED,
								      out_state, err));
}

int guestlock_domain_resume(struct guestlock *gl, const char *uuid, const char *state,
			    struct guestlock_error *err)
{
	struct guestlock_guest *guest;
	int status = attach_guest(gl, uuid, &guest, err);

	return status < 0 ? status : finish_guest(guest, guestlock_guest_resume(guest, state, 0, err));
}

int guestlock_domain_migrate_out(struct guestlock *gl, const char *uuid, const char *uri,
				 struct guestlock_error *err)
{
	struct guestlock_guest *guest;
	int status = attach_guest(gl, uuid, &guest, err);

	return status < 0 ? status : finish_guest(guest, guestlock_guest_prepare_migrate(guest, uri, err));
}

int guestlock_domain_migrate_out_end(struct guestlock *gl, const char *uuid, unsigned flags,
				     struct guestlock_error *err)
{
	struct guestlock_guest *guest;
	int status = attach_guest(gl, uuid, &guest, err);

	if (status < 0) {
		return status;
	}
	status = guestlock_guest_complete_migrate_out(guest, flags, err);
	if (status == GUESTLOCK_OK && !(flags & GUESTLOCK_MIGRATE_CANCEL)) {
		status = guestlock_guest_shutdown(guest, 0, err);
	}
	return finish_guest(guest, status);
}

int guestlock_domain_migrate_in(struct guestlock *gl, const struct guestlock_domain *domain,
				char *const argv[], pid_t *out_pid, struct guestlock_error *err)
{
	return start(gl, GUESTLOCK_NEW_MIGRATE, domain, argv, 0, out_pid, err);
}

int guestlock_domain_migrate_in_end(struct guestlock *gl, const char *uuid, unsigned flags,
				    struct guestlock_error *err)
{
	struct guestlock_guest *guest;
	int status = attach_guest(gl, uuid, &guest, err);

	if (status < 0) {
		return status;
	}
	status = guestlock_guest_complete_migrate_in(guest, flags, err);
	if (status == GUESTLOCK_OK && flags & GUESTLOCK_MIGRATE_CANCEL) {
		status = guestlock_guest_shutdown(guest, 0, err);
	}
	return finish_guest(guest, status);
}
