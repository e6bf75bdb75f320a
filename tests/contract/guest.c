/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "contract.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define CONTROL_FD 3
#define REPORT_FD 4

/* What the child tells when it is ready. */
struct report {
	struct gl_process process;
	pid_t living;
	int status;
	char message[256];
};

static void name_owner(struct guest *guest, struct host *host, const char *name, const char *uuid)
{
	uint64_t a = guestlock_random64(), b = guestlock_random64();

	*guest = (struct guest){.host = host, .name = strdup(name), .control = -1};
	guest->owner = (struct guestlock_owner){
		.instance = guestlock_random64(),
		.name = guest->name,
		.host = host->name,
		.manager = host->run_dir,
	};
	if (uuid) {
		memcpy(guest->owner.uuid, uuid, GUESTLOCK_UUID_STRING);
		return;
	}
	snprintf(guest->owner.uuid, GUESTLOCK_UUID_STRING, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)a,
		 (unsigned)(a >> 32) & 0xffff, (unsigned)(a >> 48) & 0xfff, (unsigned)b & 0xfff,
		 (unsigned long long)(b >> 16));
}

static void describe(struct guestlock_owner *owner, const struct gl_process *process)
{
	owner->pid = process->pid;
	owner->pid_start = process->start;
	owner->pid_ns = process->ns;
	memcpy(owner->boot_id, process->boot_id, sizeof(owner->boot_id));
}

/* ---- In the guest's process ---- */

static void report_and_check(const struct report *report)
{
	if (write(REPORT_FD, report, sizeof(*report)) != (ssize_t)sizeof(*report) || report->status != 0) {
		_exit(1);
	}
	close(REPORT_FD);
}

/* Until the test ends, or lets go. */
static void live(enum guest_kind kind)
{
	char byte;

	if (kind == GUEST_EXEC) {
		char *argv[] = {(char[]){"cat"}, NULL};

		dup2(CONTROL_FD, STDIN_FILENO);
		execvp(argv[0], argv);
		_exit(1);
	}
	while (read(CONTROL_FD, &byte, 1) < 0 && errno == EINTR) {
	}
	_exit(0);
}

/* A backend that may block is called by one process, which is the test where there is no keeper. */
static bool is_bound_by_test(const struct guest *guest)
{
	return !guest->host->keeper && contract_can(GUESTLOCK_CAP_MAY_BLOCK) &&
	       !contract_can(GUESTLOCK_CAP_BIND_HERE);
}

static bool bind_guest(struct guest *guest, struct guestlock_error *err)
{
	struct guestlock_batch batch = {.owner = &guest->owner,
					.deadline_ms = guestlock_monotonic_ms() + CONTRACT_WAIT_MS};

	return contract.module->ops->bind(guest->host->backend, &batch, err) == GUESTLOCK_RES_GRANTED;
}

static void bind_here(struct guest *guest, struct report *report)
{
	struct guestlock_error err = {.message = ""};
	uint64_t inode;
	int tether;

	report->status = gl_tether_open(&guest->owner, guest->host->life_dir, &tether, &inode, &err);
	host_enter(guest->host);
	if (report->status == 0 && !is_bound_by_test(guest) && !bind_guest(guest, &err)) {
		report->status = GUESTLOCK_FAILED;
	}
	gl_copy_cut(report->message, sizeof(report->message), err.message);
}

static void be_guest(struct guest *guest, enum guest_kind kind)
{
	struct report report = {.status = 0};

	if (gl_process_look(getpid(), &report.process) < 0) {
		report.status = GUESTLOCK_FAILED;
	}
	describe(&guest->owner, &report.process);
	if (report.status == 0 && kind != GUEST_ADOPTED) {
		bind_here(guest, &report);
	}
	report.living = getpid();
	if (kind == GUEST_DAEMON) {
		pid_t child = contract_fork();

		if (child != 0) {
			_exit(child < 0);
		}
		report.living = getpid();
	}
	report_and_check(&report);
	live(kind);
}

/* The two pipes at fixed numbers, and nothing else of the test: other guests end when it ends. */
static void arrange_descriptors(int control, int report)
{
	int high_control = fcntl(control, F_DUPFD, 64), high_report = fcntl(report, F_DUPFD, 64);

	dup2(high_control, CONTROL_FD);
	dup2(high_report, REPORT_FD);
	fcntl(CONTROL_FD, F_SETFD, 0);
	close_range(REPORT_FD + 1, ~0U, 0);
}

/* ---- In the test ---- */

void guest_start(struct guest *guest, struct host *host, const char *name, const char *uuid,
		 enum guest_kind kind)
{
	struct report report = {.status = -1};
	int control[2], back[2];
	pid_t child;

	name_owner(guest, host, name, uuid);
	guest->owner.adopted = kind == GUEST_ADOPTED;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	ck_assert_int_eq(pipe2(control, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(back, O_CLOEXEC), 0);
	child = contract_fork();
	if (child == 0) {
		arrange_descriptors(control[0], back[1]);
		be_guest(guest, kind);
	}
	close(control[0]);
	close(back[1]);
	ck_assert_int_eq(read(back[0], &report, sizeof(report)), sizeof(report));
	ck_assert_msg(report.status == 0, "%s", report.message);
	close(back[0]);
	describe(&guest->owner, &report.process);
	guest->pid = report.living;
	guest->control = control[1];
	if (kind != GUEST_ADOPTED && is_bound_by_test(guest)) {
		struct guestlock_error err = {.message = ""};

		ck_assert_msg(bind_guest(guest, &err), "%s", err.message);
	}
	if (kind == GUEST_DAEMON) {
		ck_assert_int_eq(waitpid(child, NULL, 0), child);
	}
}

void guest_kill(struct guest *guest)
{
	if (guest->pid > 0) {
		kill(guest->pid, SIGKILL);
		ck_assert_int_eq(waitpid(guest->pid, NULL, 0), guest->pid);
	}
	if (guest->control >= 0) {
		close(guest->control);
	}
	host_reap(guest->host);
	free(guest->name);
	guest->pid = 0;
	guest->control = -1;
	guest->name = NULL;
	guest->owner.name = "";
}

void guest_pretend(struct guest *guest, struct host *host, const char *name)
{
	struct guestlock_error err = {.message = ""};
	struct gl_process process;
	uint64_t inode;
	int tether;

	if (contract_can(GUESTLOCK_CAP_BIND_HERE)) {
		guest_start(guest, host, name, NULL, GUEST_PLAIN);
		return;
	}
	name_owner(guest, host, name, NULL);
	ck_assert_int_eq(gl_process_look(getpid(), &process), 0);
	describe(&guest->owner, &process);
	ck_assert_msg(gl_tether_open(&guest->owner, host->life_dir, &tether, &inode, &err) == 0, "%s",
		      err.message);
}
