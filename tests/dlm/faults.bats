#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What may be killed at any instant without a lock being lost or stuck: keepers, guests, whole nodes. Two nodes; the
# lower one is the master of most resources.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

setup_file()
{
	cluster_begin 2 memory=192
}

setup()
{
	cluster_settle
	guests_prepare
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

# refused NODE DISK [GUEST]: a start there is refused, and names the guest. Its name is known as long as a keeper runs beside it.
refused()
{
	run on "$1" guestlock run --name other --disk "$2" -- true
	test "$status" = 1
	[[ $output == *"it is held (exclusive) by guest ${3-}"* ]]
}

@test "the worker is killed: the guest has its disks, and nobody else" {
	start_guest 1 vm /srv/a.img
	for ((i = 0; i < 5; i++)); do
		keeper_kill 1 worker KILL
		refused 2 /srv/a.img
		# Of those that live for a moment only, the next one takes its time.
		keeper_runs 1
	done
	# The next worker has to come back among the others first.
	eventually 30 refused 2 /srv/a.img vm
	test "$(holder 1 /srv/a.img)" = "vm exclusive"
	keeper_runs 1
	end_guest 1 vm
	eventually 30 can_start 2 /srv/a.img
}

@test "the guard is killed: the guest has its disks, and nobody else" {
	start_guest 2 vm /srv/a.img
	for ((i = 0; i < 5; i++)); do
		keeper_kill 2 guard KILL
		refused 1 /srv/a.img
		keeper_runs 2
	done
	eventually 30 refused 1 /srv/a.img vm
	test "$(holder 2 /srv/a.img)" = "vm exclusive"
	keeper_runs 2
	end_guest 2 vm
	eventually 30 can_start 1 /srv/a.img
}

# Its locks are orphans then, until the next command starts a keeper.
@test "guard and worker are killed at once: the next keeper takes the locks back" {
	start_guest 1 vm /srv/a.img
	start_guest 2 far /srv/b.img
	for ((i = 0; i < 3; i++)); do
		keeper_kill 1 both KILL
		refused 2 /srv/a.img
		test "$(holder 1 /srv/a.img)" = "vm exclusive"
		eventually 30 refused 2 /srv/a.img vm
		refused 1 /srv/b.img far
	done
	on 1 guestlock pause vm >/dev/null
	can_start 2 /srv/a.img
	run on 1 guestlock resume vm
	test "$status" = 65
	end_guest 1 vm
	end_guest 2 far
}

@test "a guest that dies while no keeper runs: the next one gives its locks back" {
	start_guest 1 vm /srv/a.img
	# Nor does the command that started it see it.
	on_for 30 1 'kill -KILL $(pidof guestlock)'
	keeper_kill 1 both KILL
	end_guest 1 vm
	run on 2 guestlock run --disk /srv/a.img -- true
	test "$status" = 1
	on 1 guestlock reap
	can_start 2 /srv/a.img
	no_locks 1
}

@test "a guest that dies: the keeper gives its locks back at once" {
	start_guest 1 vm /srv/a.img
	end_guest 1 vm
	# Nobody asks for it: it is the keeper that sees it.
	eventually 10 no_locks 1
}

@test "a node is killed with its guest: the other gets the disks when the cluster has recovered" {
	start_guest 2 vm /srv/a.img
	refused 1 /srv/a.img vm
	node_kill 2
	eventually 40 can_start 1 /srv/a.img
	start_guest 1 again /srv/a.img
	node_boot 2
	guests_prepare
	refused 2 /srv/a.img again
	end_guest 1 again
}

@test "the master is killed: the guest of the other node has its disks" {
	start_guest 1 first /srv/a.img
	start_guest 2 vm /srv/b.img
	end_guest 1 first
	node_kill 1
	eventually 40 is_held 2 /srv/b.img "vm exclusive"
	node_boot 1
	guests_prepare
	refused 1 /srv/b.img vm
	on 2 guestlock pause vm >/dev/null
	on 2 guestlock resume vm
	end_guest 2 vm
}

@test "a node that stands still: the start ends at its deadline, and nothing is left of it" {
	can_start 1 /srv/a.img
	start_guest 2 far /srv/a.img
	node_freeze 1
	run on_for 30 2 'timeout 25 guestlock run --timeout 3 --name vm --disk /srv/new.img -- true'
	node_thaw 1
	test "$status" != 124
	eventually 40 can_start 2 /srv/new.img
	test "$(holder 2 /srv/a.img)" = "far exclusive"
	end_guest 2 far
}
