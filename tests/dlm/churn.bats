#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Many locks, and many that come and go, while keepers are killed: lock ids are used again at once, and what the kernel
# lists changes as it is read. FULL=1 does it more often. The first node is the master of the disks m*, for a paused guest
# there has them in mind.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

setup_file()
{
	cluster_begin 2 memory=256 token=30000
}

setup()
{
	local node

	cluster_settle
	guests_prepare
	for node in 1 2; do
		once_in_node "$node" disks 'mkdir -p /srv/m && cd /srv/m && for i in $(seq 90); do truncate -s 64K a$i b$i m$i; done'
	done
}

teardown()
{
	cluster_explain
	guests_end
}

teardown_file()
{
	cluster_end
}

# disks NAME COUNT: options for NAME1 to NAMECOUNT.
disks()
{
	local i

	for ((i = 1; i <= $2; i++)); do
		printf -- ' --disk /srv/m/%s%d' "$1" "$i"
	done
}

# start_many NODE NAME DISKS COUNT
start_many()
{
	launch_on "$1" "$2" "guestlock run --name $2 --timeout 40$(disks "$3" "$4") -- sleep 7200"
	eventually 60 is_running "$1" "$2"
}

# How many locks node 2 has exclusively.
has_exclusive()
{
	test "$(on 2 dlm_tool lockdump guestlock | grep -c 'gr EX')" = "$1"
}

@test "locks are given up as the worker is killed, and their numbers are used again: nobody else's lock goes" {
	start_many 1 first m 80
	on_for 40 1 'guestlock pause first' >/dev/null
	start_many 2 vm m 80
	start_many 2 steady a 40
	has_exclusive 122
	node_freeze 1
	launch_on 2 release 'guestlock release --force --timeout 20 vm'
	eventually 25 on 2 grep -q . /sys/kernel/debug/dlm/guestlock_waiters
	keeper_kill 2 worker KILL
	sleep 1
	node_thaw 1
	job_status 2 release 60 >/dev/null
	start_many 2 other b 60
	on_for 60 2 'guestlock reap' >/dev/null || :
	eventually 30 has_exclusive 102
	# Those that run have what they had, and say so; what was released is to be had.
	on_for 60 2 'guestlock pause other && guestlock resume other && guestlock pause steady && guestlock resume steady' >/dev/null
	has_exclusive 102
	run on_for 40 1 'guestlock run --disk /srv/m/b60 -- true'
	test "$status" = 1
	can_start 1 /srv/m/m1 /srv/m/m80
}

@test "a resume of many disks is under way as the worker is killed: it is none without proof" {
	start_many 1 first m 80
	on_for 40 1 'guestlock pause first' >/dev/null
	start_many 2 vm m 80
	on_for 40 2 'guestlock pause vm' >/dev/null
	node_freeze 1
	launch_on 2 resume 'guestlock resume --timeout 30 vm'
	eventually 25 on 2 grep -q . /sys/kernel/debug/dlm/guestlock_waiters
	keeper_kill 2 worker KILL
	sleep 1
	node_thaw 1
	job_status 2 resume 60 >/dev/null
	on_for 60 2 'guestlock resume vm' >/dev/null
	has_exclusive 81
	run on_for 40 1 'guestlock resume first'
	test "$status" = 1
}

@test "guard and worker are killed while others take and drop locks: every lock is taken back, and given up in the end" {
	local round rounds=4

	start_many 2 vm a 60
	test -z "${FULL-}" || rounds=50
	start_many 2 second b 1
	launch_on 1 churn "while :; do guestlock run --quiet$(disks m 20) -- true; done"
	for ((round = 0; round < rounds; round++)); do
		keeper_kill 2 both KILL
		on_for 60 2 'guestlock pause vm && guestlock resume vm' >/dev/null
		has_exclusive 63
	done
	job_end 1 churn KILL
	end_guest 2 vm
	eventually 60 has_exclusive 0
	eventually 40 can_start 1 /srv/m/a1 /srv/m/a60 /srv/m/b1
}
