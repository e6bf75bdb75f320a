/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* May locks be taken here, and does the lockspace run: what the kernel and dlm_controld show, in words. */
#include "cluster/cluster.h"

#include "cluster/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GL_DLM_KERNEL "/sys/kernel/dlm"
#define GL_DLM_DEVICES "/sys/class/misc"
#define GL_DLM_CONTROL "/dev/misc/dlm-control"
#define GL_DLM_CONTROL_PLAIN "/dev/dlm-control"
#define GL_DLM_STEPS_OF_ALL 0xaaU
#define GL_DLM_STEP_LAST 0x40U
#define GL_DLM_STEP_LAST_OF_ALL 0x80U
#define GL_DLM_NODES_TEXT 512

static bool exists(const struct gl_dlm_world *world, const char *path)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s%s", world->root, path);
	return access(full, F_OK) == 0;
}

static int64_t patience(const struct gl_dlm_world *world)
{
	return guestlock_monotonic_ms() + world->patience_ms;
}

/* ---- Nodes ---- */

/* "2 (beta), 3 (gamma)": the nodes that wait to be fenced. named: corosync may be asked. */
static size_t tell_unfenced(const struct gl_dlm_daemon *daemon, bool named, char *out, size_t size)
{
	size_t used = 0, told = 0, i;

	out[0] = '\0';
	for (i = 0; i < daemon->n_nodes && used < size; i++) {
		char name[GL_DLM_NODE_NAME];
		bool known;
		int added;

		if (!daemon->nodes[i].needs_fencing) {
			continue;
		}
		known = named && gl_dlm_cluster_node_name(daemon->nodes[i].node, name, sizeof(name));
		added = snprintf(out + used, size - used, "%s%u%s%s%s", told > 0 ? ", " : "",
				 daemon->nodes[i].node, known ? " (" : "", known ? name : "",
				 known ? ")" : "");
		used += added > 0 ? (size_t)added : 0;
		told++;
	}
	return told;
}

/* ---- Probe ---- */

/* What probe goes by. */
struct gl_dlm_probe {
	const struct gl_dlm_world *world;
	const char *lockspace;
	bool allow_no_fencing;
	struct gl_dlm_daemon daemon;
	struct guestlock_error *err;
};

static enum guestlock_result stopped(const struct gl_dlm_probe *probe, int sys_errno, const char *why)
{
	return guestlock_backend_fail(probe->err, GUESTLOCK_RES_STOPPED, sys_errno, 0,
				      "cannot use the DLM: %s", why);
}

static enum guestlock_result probe_kernel(struct gl_dlm_probe *probe)
{
	char path[PATH_MAX];

	if (!exists(probe->world, GL_DLM_KERNEL)) {
		return stopped(probe, ENOENT,
			       "its module is not loaded: there is no /sys/kernel/dlm; run: modprobe dlm. A "
			       "kernel made for virtual machines may not have it: install the full one");
	}
	snprintf(path, sizeof(path), "%s" GL_DLM_CONTROL, probe->world->root);
	if (access(path, R_OK | W_OK) == 0) {
		return GUESTLOCK_RES_GRANTED;
	}
	if (errno == EACCES || errno == EPERM || errno == EROFS) {
		return guestlock_backend_fail(probe->err, GUESTLOCK_RES_DENIED, errno, 0,
					      "cannot use the DLM: no right to open %s; run as root",
					      GL_DLM_CONTROL);
	}
	if (exists(probe->world, GL_DLM_CONTROL_PLAIN)) {
		return stopped(probe, ENOENT,
			       "there is a /dev/dlm-control but no /dev/misc/dlm-control, where libdlm "
			       "looks; install the udev rules of libdlm and run: udevadm trigger "
			       "--subsystem-match=misc");
	}
	return stopped(probe, ENOENT,
		       "there is no /dev/misc/dlm-control; run: modprobe dlm, and see whether udev runs");
}

static enum guestlock_join_state look_from(const struct gl_dlm_probe *probe,
					   struct guestlock_error *out_reason);

/* dlm_controld did not answer a question as it should. */
static enum guestlock_result tell_daemon(struct gl_dlm_probe *probe, int sys_errno)
{
	const struct gl_dlm_world *world = probe->world;
	struct guestlock_error reason = {0};

	if (sys_errno == ETIMEDOUT) {
		return guestlock_backend_fail(
			probe->err, GUESTLOCK_RES_STOPPED, sys_errno, 0,
			"cannot use the DLM: dlm_controld runs but did not answer within %lld ms; "
			"look at: journalctl -u dlm",
			(long long)world->patience_ms);
	}
	if (sys_errno != ECONNREFUSED) {
		return guestlock_backend_fail(
			probe->err, GUESTLOCK_RES_STOPPED, sys_errno, 0,
			"cannot use the DLM: dlm_controld gave no answer that can be understood (%s); "
			"compare with: dlm_tool status",
			strerrordesc_np(sys_errno));
	}
	/*
	 * To start them would be bad advice while a lockspace is left: dlm_controld would end corosync at
	 * once.
	 */
	if (look_from(probe, &reason) == GUESTLOCK_JOIN_STOPPED) {
		*probe->err = reason;
		return GUESTLOCK_RES_STOPPED;
	}
	if (!gl_dlm_socket_listens(world->corosync, true)) {
		return stopped(probe, sys_errno,
			       "corosync does not run on this host; start it and dlm_controld: "
			       "systemctl start corosync dlm");
	}
	return stopped(probe, sys_errno,
		       "dlm_controld does not run on this host; start it: systemctl start dlm");
}

static enum guestlock_result unsafe(const struct gl_dlm_probe *probe, const char *why)
{
	if (probe->allow_no_fencing) {
		return GUESTLOCK_RES_GRANTED;
	}
	return guestlock_backend_fail(
		probe->err, GUESTLOCK_RES_UNSAFE, 0, 0,
		"cannot protect disks with the DLM: %s: a host that hangs or is cut off could go on to write "
		"while others take over its locks; set up fencing in /etc/dlm/dlm.conf, or, for tests only, "
		"set allow_no_fencing = yes in section [dlm]",
		why);
}

static enum guestlock_result probe_fencing(struct gl_dlm_probe *probe)
{
	unsigned fencing = 0, startup = 1, quorum = 1;
	char *settings = NULL;
	int result = gl_dlm_daemon_settings(probe->world->daemon, patience(probe->world), &settings);
	bool told;

	if (result != 0) {
		return tell_daemon(probe, result);
	}
	told = gl_dlm_daemon_setting(settings, "enable_fencing", &fencing);
	gl_dlm_daemon_setting(settings, "enable_startup_fencing", &startup);
	gl_dlm_daemon_setting(settings, "enable_quorum_lockspace", &quorum);
	free(settings);
	if (!told) {
		return unsafe(probe,
			      "dlm_controld does not tell whether fencing is on (dlm_tool dump_config)");
	}
	if (fencing == 0) {
		return unsafe(probe, "fencing is switched off (enable_fencing=0)");
	}
	if (startup == 0 && quorum == 0) {
		return unsafe(probe, "hosts that start apart from each other are not fenced "
				     "(enable_startup_fencing=0 with enable_quorum_lockspace=0)");
	}
	return GUESTLOCK_RES_GRANTED;
}

static enum guestlock_result probe_daemon(struct gl_dlm_probe *probe)
{
	enum guestlock_result fencing;
	unsigned self;
	int result = gl_dlm_daemon_status(probe->world->daemon, patience(probe->world), &probe->daemon);

	if (result != 0) {
		return tell_daemon(probe, result);
	}
	fencing = probe_fencing(probe);
	if (fencing != GUESTLOCK_RES_GRANTED) {
		return fencing;
	}
	if (!probe->daemon.quorate) {
		return stopped(
			probe, 0,
			"this host is not with the majority of the cluster (no quorum); start more hosts or "
			"mend the network, and look at: corosync-quorumtool");
	}
	if (gl_dlm_cluster_self(probe->world, &self) < 0) {
		return stopped(probe, errno, "dlm_controld is still starting; try again in a moment");
	}
	return GUESTLOCK_RES_GRANTED;
}

/* ---- Status ---- */

struct gl_dlm_look {
	const struct gl_dlm_world *world;
	const char *lockspace;
	bool named; /* names of nodes may be asked for */
	struct guestlock_error *err;
};

__attribute__((format(printf, 3, 4))) static enum guestlock_join_state say(const struct gl_dlm_look *look,
									   enum guestlock_join_state state,
									   const char *format, ...)
{
	enum guestlock_result result =
		state == GUESTLOCK_JOIN_STOPPED ? GUESTLOCK_RES_STOPPED : GUESTLOCK_RES_NOT_JOINED;
	char text[sizeof(look->err->message)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	guestlock_backend_fail(look->err, result, 0, 0, "lockspace %s %s", look->lockspace, text);
	return state;
}

static enum guestlock_join_state say_daemon(const struct gl_dlm_look *look, int sys_errno)
{
	if (sys_errno != ECONNREFUSED) {
		return say(look, GUESTLOCK_JOIN_STOPPED,
			   "is stopped, and dlm_controld does not tell why (%s); look at: journalctl -u dlm",
			   strerrordesc_np(sys_errno));
	}
	return say(look, GUESTLOCK_JOIN_STOPPED,
		   "is stopped for good: %s ended on this host while it was in use, and starting it again "
		   "does not mend that; locks are still held. The other hosts fence this one; if they do "
		   "not, reboot it",
		   gl_dlm_socket_listens(look->world->corosync, true) ? "dlm_controld" : "corosync");
}

static enum guestlock_join_state say_fencing(const struct gl_dlm_look *look,
					     const struct gl_dlm_daemon *daemon)
{
	char nodes[GL_DLM_NODES_TEXT];
	size_t count = tell_unfenced(daemon, look->named, nodes, sizeof(nodes));

	if (count == 0) {
		return say(look, GUESTLOCK_JOIN_STOPPED,
			   "waits for a node to be fenced; look at: dlm_tool status");
	}
	return say(look, GUESTLOCK_JOIN_STOPPED,
		   "waits until node%s %s %s fenced. If no fence device does it: switch the machine off, "
		   "make sure that it is, and only then run for each: dlm_tool fence_ack NODE",
		   count > 1 ? "s" : "", nodes, count > 1 ? "are" : "is");
}

static enum guestlock_join_state say_wait(const struct gl_dlm_look *look, const struct gl_dlm_daemon *daemon,
					  const struct gl_dlm_daemon_lockspace *lockspace)
{
	char nodes[GL_DLM_NODES_TEXT];

	/* A node that must be fenced stands behind most other waiting too. */
	if (lockspace->wait == GL_DLM_WAIT_FENCING ||
	    tell_unfenced(daemon, false, nodes, sizeof(nodes)) > 0) {
		return say_fencing(look, daemon);
	}
	if (lockspace->wait == GL_DLM_WAIT_QUORUM || !daemon->quorate) {
		return say(look, GUESTLOCK_JOIN_STOPPED,
			   "waits for quorum: this host is not with the majority of the cluster; start more "
			   "hosts or mend the network, and look at: corosync-quorumtool");
	}
	if (lockspace->joining) {
		return say(look, GUESTLOCK_JOIN_JOINING, "is being joined; try again in a moment");
	}
	if (daemon->merged) {
		return say(look, GUESTLOCK_JOIN_STOPPED,
			   "waits: two parts of the cluster that ran apart have met again; the hosts of the "
			   "smaller part must be rebooted, look at: dlm_tool status");
	}
	return say(look, GUESTLOCK_JOIN_JOINING,
		   "recovers from a change of its members%s, which takes some seconds; if it does not end, "
		   "look at: dlm_tool ls",
		   lockspace->wait == GL_DLM_WAIT_NODES ? " (waiting for other hosts)" : "");
}

/*
 * Leaving a lockspace begins with the removal of its device, and then waits until everybody has closed it.
 * Where a daemon is new, and so does not know the lockspace, the device is still there.
 */
static bool has_device(const struct gl_dlm_look *look)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), GL_DLM_DEVICES "/dlm_%s", look->lockspace);
	return exists(look->world, path);
}

static enum guestlock_join_state look_closer(const struct gl_dlm_look *look)
{
	struct gl_dlm_daemon_lockspace lockspace;
	struct gl_dlm_daemon daemon;
	int64_t deadline_ms = patience(look->world);
	int result = gl_dlm_daemon_status(look->world->daemon, deadline_ms, &daemon);

	if (result == 0) {
		result = gl_dlm_daemon_lockspace(look->world->daemon, look->lockspace, deadline_ms,
						 &lockspace);
	}
	if (result == ENOENT && !has_device(look)) {
		return say(look, GUESTLOCK_JOIN_LOST,
			   "was taken away from this host with every lock in it, as \"dlm_tool leave\" does: "
			   "other hosts can lock what its guests use. Stop its guests now, and reboot it");
	}
	if (result == ENOENT) {
		return say(look, GUESTLOCK_JOIN_STOPPED,
			   "is stopped for good: dlm_controld was started anew and does not know it; locks "
			   "are still held. Reboot this host");
	}
	if (result != 0) {
		return say_daemon(look, result);
	}
	return say_wait(look, &daemon, &lockspace);
}

/*
 * The steps of the recovery that are done, a bit each. The node with the lowest number has another bit for
 * each, set when all nodes have done it, and is through only with the last of these: ff there, 55 elsewhere.
 */
static bool is_running(const char *recover_status)
{
	char *end;
	unsigned long steps = strtoul(recover_status, &end, 16);
	unsigned long last = (steps & GL_DLM_STEPS_OF_ALL) != 0 ? GL_DLM_STEP_LAST_OF_ALL : GL_DLM_STEP_LAST;

	return end != recover_status && *end == '\0' && steps <= UCHAR_MAX && (steps & last) != 0;
}

static enum guestlock_join_state look_at(const struct gl_dlm_look *look)
{
	char path[PATH_MAX], value[GL_DLM_VALUE_SIZE];

	snprintf(path, sizeof(path), "%s" GL_DLM_KERNEL "/%s/recover_status", look->world->root,
		 look->lockspace);
	if (gl_dlm_read_value(path, value) == 0) {
		return is_running(value) ? GUESTLOCK_JOIN_JOINED : look_closer(look);
	}
	if (errno == ENOENT || errno == ENOTDIR || errno == ENODEV) {
		return say(look, GUESTLOCK_JOIN_OUT, "this host has left it, or has not joined it");
	}
	return say(look, GUESTLOCK_JOIN_STOPPED, "cannot be looked at: %s: %s; run as root", path,
		   strerrordesc_np(errno));
}

enum guestlock_join_state gl_dlm_cluster_status(const struct gl_dlm_world *world, const char *lockspace,
						struct guestlock_error *err)
{
	const struct gl_dlm_look look = {.world = world, .lockspace = lockspace, .named = true, .err = err};

	return look_at(&look);
}

/* No names of nodes: nobody may be asked for them here. */
static enum guestlock_join_state look_from(const struct gl_dlm_probe *probe,
					   struct guestlock_error *out_reason)
{
	const struct gl_dlm_look look = {
		.world = probe->world,
		.lockspace = probe->lockspace,
		.err = out_reason,
	};

	return look_at(&look);
}

enum guestlock_result gl_dlm_cluster_probe(const struct gl_dlm_world *world, const char *lockspace,
					   bool allow_no_fencing, struct guestlock_error *err)
{
	struct gl_dlm_probe probe = {
		.world = world,
		.lockspace = lockspace,
		.allow_no_fencing = allow_no_fencing,
		.err = err,
	};
	struct guestlock_error reason = {0};
	enum guestlock_result result = probe_kernel(&probe);

	if (result == GUESTLOCK_RES_GRANTED) {
		result = probe_daemon(&probe);
	}
	if (result == GUESTLOCK_RES_GRANTED && look_from(&probe, &reason) == GUESTLOCK_JOIN_STOPPED) {
		*err = reason;
		result = GUESTLOCK_RES_STOPPED;
	}
	return result;
}

int gl_dlm_cluster_open(const char *lockspace)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), GL_DLM_KERNEL "/%s/recover_status", lockspace);
	return open(path, O_RDONLY | O_CLOEXEC);
}

bool gl_dlm_cluster_runs(int fd)
{
	char value[GL_DLM_VALUE_SIZE];
	ssize_t size = fd < 0 ? -1 : pread(fd, value, sizeof(value) - 1, 0);

	if (size <= 0) {
		return false;
	}
	value[size] = '\0';
	value[strcspn(value, "\n")] = '\0';
	return is_running(value);
}
