#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Requests that another node has not answered yet, when whoever sent them is killed. The first node is the master of
# /srv/a.img, for a paused guest there has it in mind; it stands still meanwhile, for less than the cluster would mind.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

setup_file()
{
	cluster_begin 2 memory=192 token=30000
}

setup()
{
	cluster_settle
	guests_prepare
	start_guest 1 paused /srv/a.img
	on 1 guestlock pause paused >/dev/null
	# Who has not joined yet asks nothing.
	can_start 2 /srv/b.img
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

# A request of node 2 has no answer yet.
is_under_way()
{
	on 2 grep -q . /sys/kernel/debug/dlm/guestlock_waiters
}

# interrupt WHO JOB SCRIPT: the keeper of node 2 is killed while SCRIPT there waits for node 1, which answers afterwards.
interrupt()
{
	node_freeze 1
	launch_on 2 "$2" "$3"
	eventually 25 is_under_way
	keeper_kill 2 "$1" KILL
	sleep 1
	node_thaw 1
}

# killed_while WHO SCRIPT: the same, and SCRIPT has ended.
killed_while()
{
	interrupt "$1" under_way "$2"
	job_status 2 under_way 60
}

# Of no guest on node 2. What could not be given back at once is tried again after a while.
nothing_is_left()
{
	eventually 40 no_locks 2 || {
		on 2 dlm_tool lockdump guestlock
		on 2 guestlock list
		return 1
	}
}

@test "a start is under way and the worker is killed: it succeeds, or leaves nothing" {
	killed_while worker 'guestlock run --timeout 20 --disk /srv/a.img -- true'
	eventually 40 can_start 2 /srv/a.img
	nothing_is_left
}

@test "a start is under way and the worker is killed, and again when the guest runs: it has its disk, and leaves nothing" {
	for _ in 1 2 3; do
		interrupt worker vm 'guestlock run --name vm --timeout 20 --disk /srv/a.img -- sleep 7200'
		eventually 40 is_running 2 vm
		keeper_kill 2 worker KILL
		eventually 40 is_held 2 /srv/a.img "vm exclusive"
		on_for 40 2 'guestlock pause vm && guestlock resume vm'
		test "$(holder 2 /srv/a.img)" = "vm exclusive"
		end_guest 2 vm
		nothing_is_left
	done
}

@test "a start is under way and guard and worker are killed: it leaves nothing in the way" {
	killed_while both 'guestlock run --timeout 20 --disk /srv/a.img -- true'
	eventually 40 can_start 2 /srv/a.img
	nothing_is_left
}

@test "a pause is under way and the worker is killed: paused, or as before" {
	start_guest 2 vm /srv/a.img
	killed_while worker 'guestlock pause --timeout 20 vm'
	on_for 40 2 'guestlock pause vm && guestlock resume vm'
	test "$(holder 2 /srv/a.img)" = "vm exclusive"
	end_guest 2 vm
	nothing_is_left
}

@test "a resume is under way and guard and worker are killed: nobody else has it, and it can be resumed" {
	start_guest 2 vm /srv/a.img
	on 2 guestlock pause vm
	killed_while both 'guestlock resume --timeout 20 vm'
	on_for 40 2 'guestlock resume vm'
	test "$(holder 2 /srv/a.img)" = "vm exclusive"
	run on 1 guestlock resume paused
	test "$status" = 1
	end_guest 2 vm
	nothing_is_left
}
