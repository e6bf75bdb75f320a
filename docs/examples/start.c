/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a command as a guest that has a disk for itself: start UUID DISK COMMAND [ARGUMENT]... */
#include <guestlock/domain.h>

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>

static void print_message(void *data, enum guestlock_log_level level, const char *message)
{
	(void)data;
	(void)level;
	fprintf(stderr, "start: %s\n", message);
}

static int fail(const struct guestlock_error *err)
{
	fprintf(stderr, "start: %s\n", err->message);
	if (err->code == GUESTLOCK_BUSY && err->holder.pid != 0) {
		fprintf(stderr, "start: the holder's pid is %ld\n", (long)err->holder.pid);
	}
	return err->code == GUESTLOCK_BUSY ? 1 : 2;
}

static int run(struct guestlock *gl, const char *uuid, const char *disk, char *const argv[])
{
	const struct guestlock_resource resource = {.type = GUESTLOCK_DISK, .name = disk};
	const struct guestlock_domain domain = {
		.uuid = uuid, .name = "example", .resources = &resource, .n_resources = 1};
	struct guestlock_error err;
	pid_t pid;
	int status;

	/* Without waiting (0) for whoever has the disk. */
	if (guestlock_domain_start(gl, &domain, argv, 0, &pid, &err) < 0) {
		return fail(&err);
	}
	/* It runs under its locks, whatever becomes of this process. */
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) {
			return 2;
		}
	}
	/* Refused (GUESTLOCK_ALIVE) if the command left processes behind: they keep the locks. */
	if (guestlock_domain_shutdown(gl, uuid, 0, &err) < 0) {
		return fail(&err);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

int main(int argc, char **argv)
{
	const struct guestlock_options options = {.size = sizeof(options), .log = print_message};
	struct guestlock_error err;
	struct guestlock *gl;
	int status;

	if (argc < 4) {
		fprintf(stderr, "usage: start UUID DISK COMMAND [ARGUMENT]...\n");
		return 2;
	}
	if (guestlock_open(&gl, &options, &err) < 0) {
		return fail(&err);
	}
	status = run(gl, argv[1], argv[2], argv + 3);
	guestlock_close(gl);
	return status;
}
