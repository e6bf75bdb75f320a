#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What does not depend on storage: options, daemons that are not there or that end, and kills of what is guestlock's.
# shellcheck disable=SC2154 # of bats
load hosts

setup_file()
{
	world_begin
	test -n "${world_missing-}" || {
		host_begin alpha 1
		host_begin beta 2
		d=$world/disks
		export d
	}
}

# ---- Options ----

@test "without a watchdog it is refused, and the option that allows it is named" {
	reconfigure alpha -allow_no_watchdog
	refused alpha 69 run --disk "$d/a" -- true
	says watchdog allow_no_watchdog
	refused alpha 69 check
	says allow_no_watchdog
	has_leases alpha
}

@test "with leases that only this host sees it is refused, and the option that allows it is named" {
	reconfigure alpha -allow_local_leases
	refused alpha 69 run --disk "$d/a" -- true
	says "$leases" allow_local_leases
	has_leases alpha
}

@test "host_id and lease_dir are required, and wrong values are said" {
	reconfigure alpha -host_id
	refused alpha 78 run --disk "$d/a" -- true
	says host_id
	reconfigure alpha -lease_dir
	refused alpha 78 run --disk "$d/a" -- true
	says lease_dir
	reconfigure alpha "host_id = 0"
	refused alpha 78 run --disk "$d/a" -- true
	says host_id
	reconfigure alpha "host_id = 2001"
	refused alpha 78 run --disk "$d/a" -- true
	says host_id 2000
	reconfigure alpha "lease_dir = relative"
	refused alpha 78 run --disk "$d/a" -- true
	says lease_dir
	reconfigure alpha "sector_size = 1024"
	refused alpha 78 run --disk "$d/a" -- true
	says 512 4096
	reconfigure alpha "lockspace = a:b"
	refused alpha 78 run --disk "$d/a" -- true
	says lockspace
}

@test "a lease_dir that is not there, or that is no directory" {
	reconfigure alpha "lease_dir = $world/missing"
	run gl alpha run --disk "$d/a" -- true
	((status != 0))
	says "$world/missing"
	test ! -e "$world/missing"
	reconfigure alpha "lease_dir = $d/a"
	run gl alpha run --disk "$d/a" -- true
	((status != 0))
	says "$d/a"
}

@test "hosts whose disks have other identities do not meet" {
	gl alpha run --quiet --disk "$d/a" -- true
	reconfigure beta "guestlock.disk_identity = path"
	refused beta 78 run --disk "$d/a" -- true
	says disk_identity
}

@test "hosts with another sector size do not meet" {
	gl alpha run --quiet --disk "$d/a" -- true
	reconfigure beta "sector_size = 4096"
	refused beta 78 run --disk "$d/a" -- true
	says sector_size 512
}

# ---- The daemon ----

@test "no daemon: nothing starts, and it is said what is to be started" {
	daemon_end alpha KILL
	refused alpha 69 run --disk "$d/a" -- true
	says sanlock
	refused alpha 69 check
	says sanlock
	daemon_start alpha
	gl alpha run --quiet --disk "$d/a" -- true
}

@test "the daemon is killed with guests running: they live on, it is said, and nothing new starts" {
	local pid

	guest alpha web --disk "$d/a"
	pid=$(property alpha web pid)
	daemon_end alpha KILL
	refused alpha 69 run --name other --disk "$d/b" -- true
	says sanlock
	run gl alpha attach web --disk "$d/b"
	((status != 0))
	says sanlock
	refused beta 1 run --name copy --disk "$d/a" -- true
	eventually grep -qi 'sanlock.*\(ended\|died\|gone\|not run\|no longer\)' "$world/alpha/guestlock.log"
	kill -0 "$pid"
	refused alpha 69 check
	refused alpha 69 leave
	says "does not run"
	rm "$world/alpha/sanlock/sanlock.sock"
	refused alpha 69 leave
	says "does not run"
	is_state alpha web running
}

@test "the daemon is killed and comes back: a guest that lost its leases is told of, and no second one starts here" {
	local pid

	guest alpha web --disk "$d/a"
	pid=$(property alpha web pid)
	: >"$world/alpha/guestlock.log"
	daemon_end alpha KILL
	# What guests have lost cannot be told before there is a daemon again.
	eventually grep -q 'has lost a lock: the sanlock daemon has ended' "$world/alpha/guestlock.log"
	daemon_start alpha
	# The new daemon knows nothing of the guest; guestlock does.
	run gl alpha run --name copy --disk "$d/a" -- true
	((status != 0))
	says web
	eventually is_state alpha web lost
	kill -0 "$pid"
}

@test "a daemon that hangs: commands come to an end within their time, and all goes on afterwards" {
	local began

	guest alpha web --disk "$d/a"
	# Not for so long that the host loses its leases.
	daemon_stop alpha
	began=$EPOCHSECONDS
	run gl alpha --timeout 2 run --name other --disk "$d/b" -- touch "$world/ran"
	daemon_continue alpha
	((EPOCHSECONDS - began <= 8))
	test "$status" = 69 || test "$status" = 75
	test ! -e "$world/ran"
	eventually gl alpha run --quiet --name other --disk "$d/b" -- true
	holds alpha web "$d/a"
}

@test "leave: not while a guest holds something" {
	guest alpha web --disk "$d/a"
	refused alpha 1 leave
	says web
	holds alpha web "$d/a"
	guest_end alpha web
	gl alpha leave
	run sanlock_on alpha client gets
	[[ "$output" != *guestlock* ]]
	gl alpha run --quiet --disk "$d/a" -- true
}

# ---- Kills ----

@test "a worker that is killed: leases stay, and the next one goes on" {
	guest alpha web --disk "$d/a"
	kill -KILL "$(keeper_pids alpha worker)"
	holds alpha web "$d/a"
	gl alpha attach web --disk "$d/b"
	holds alpha web "$d/a" "$d/b"
	refused beta 1 run --name copy --disk "$d/b" -- true
}

@test "a guard that is killed: leases stay, and there is another one" {
	guest alpha web --disk "$d/a"
	kill -KILL "$(keeper_pids alpha guard)"
	holds alpha web "$d/a"
	gl alpha detach web --disk "$d/a"
	holds alpha web
}

@test "both are killed at once: leases stay" {
	guest alpha web --disk "$d/a"
	keeper_kill alpha
	holds alpha web "$d/a"
	refused beta 1 run --name copy --disk "$d/a" -- true
	gl alpha pause web
	has_leases alpha
	gl alpha resume web
	holds alpha web "$d/a"
}

@test "the command is killed: the guest keeps its leases, and they go with it" {
	local pid

	guest alpha web --disk "$d/a"
	job_end alpha web KILL
	holds alpha web "$d/a"
	refused beta 1 run --name copy --disk "$d/a" -- true
	pid=$(property alpha web pid)
	kill -KILL "$pid"
	eventually gl beta run --quiet --name copy --disk "$d/a" -- true
	eventually is_state alpha web gone
}

@test "commands that are killed at any moment of a start leave nothing that stays" {
	local turn

	gl alpha run --quiet --name first --disk "$d/a" --disk "$d/b" -- true
	for turn in 0.005 0.01 0.015 0.02 0.025 0.03 0.04 0.05 0.06 0.08 0.1; do
		on_host alpha timeout -s KILL "$turn" "$GUESTLOCK" run --quiet --name short --disk "$d/a" --disk "$d/b" -- true || :
	done
	eventually gl beta run --quiet --name copy --disk "$d/a" --disk "$d/b" -- true
	gl alpha reap
	has_leases alpha
}

@test "a guest that leaves a child behind keeps its leases until that one has ended" {
	launch alpha web guestlock run --name web --disk "$d/a" -- sh -c 'sleep 3 & echo running'
	eventually guest_is_settled alpha web
	refused beta 1 run --name copy --disk "$d/a" -- true
	eventually gl beta run --quiet --name copy --disk "$d/a" -- true
}
