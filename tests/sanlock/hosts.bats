#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The hosts that the other files of this folder stand on, with nothing but sanlock's own command: two daemons are two hosts.
# shellcheck disable=SC2154 # of bats
load hosts

setup_file()
{
	world_begin
	test -z "${world_missing-}" || return 0
	host_begin alpha 1
	host_begin beta 2
	truncate -s 3M "$leases/raw"
	sanlock direct init -s "raw:0:$leases/raw:0" -o 1
	sanlock direct init -r "raw:one:$leases/raw:1048576" -o 1
	sanlock direct init -r "raw:two:$leases/raw:2097152" -o 1
	on_host alpha timeout 30 sanlock client add_lockspace -s "raw:1:$leases/raw:0" -o 1 &
	on_host beta timeout 30 sanlock client add_lockspace -s "raw:2:$leases/raw:0" -o 1
	wait $!
}

setup()
{
	test -z "${world_missing-}" || skip "$world_missing"
}

# No guestlock runs here.
teardown()
{
	local host

	test -n "${BATS_TEST_COMPLETED-}" || world_explain
	for host in $(hosts); do
		end_guests "$host"
	done
}

# holder NAME JOB: a process that is registered with the daemon there.
holder()
{
	launch "$1" "$2" sanlock client command -c /bin/sleep 600
	eventually registered "$1" "$2"
}

registered()
{
	sanlock_on "$1" client status | grep -q "^p $(job_pid "$1" "$2") "
}

@test "the hosts have names of their own" {
	test "$(on_host alpha hostname)" = alpha
	test "$(on_host beta hostname)" = beta
	test "$(hostname)" != alpha
}

@test "two hosts, one lease: one winner, and a death frees it" {
	holder alpha sleeper
	holder beta sleeper
	sanlock_on alpha client acquire -r "raw:one:$leases/raw:1048576" -p "$(job_pid alpha sleeper)"
	has_leases alpha "$leases/raw:1048576"
	test "$(lease_owner beta "raw:one:$leases/raw:1048576")" = 1
	run sanlock_on beta client acquire -r "raw:one:$leases/raw:1048576" -p "$(job_pid beta sleeper)"
	[[ "$output" == *"acquire done -243"* ]]
	has_leases beta
	sanlock_on beta client acquire -r "raw:two:$leases/raw:2097152:SH" -p "$(job_pid beta sleeper)"
	has_leases beta "$leases/raw:2097152,SH"
	kill -KILL "$(job_pid alpha sleeper)"
	eventually sanlock_on beta client acquire -r "raw:one:$leases/raw:1048576" -p "$(job_pid beta sleeper)"
	eventually has_leases beta "$leases/raw:1048576" "$leases/raw:2097152,SH"
	test "$(lease_owner alpha "raw:one:$leases/raw:1048576")" = 2
}
