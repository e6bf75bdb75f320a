#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Guests that go from one node of a cluster to the other, running and paused, in either order of completion, with
# nodes that lose their power on the way. Nobody else ever gets the disk.
load cluster
load command

readonly uuid=11111111-2222-4333-8444-555555555555

setup_file()
{
	cluster_begin 2 memory=192
}

setup()
{
	cluster_settle
	images a b
}

teardown()
{
	cluster_explain
}

teardown_file()
{
	cluster_end
}

# nobody_else [NODE...]: gets the disk, by default on both nodes.
nobody_else()
{
	local node

	test "$#" -gt 0 || set 1 2
	for node in "$@"; do
		refused "$node" 1 run --name copy --disk /disks/a -- true
	done
}

# arrives NODE: the guest there.
arrives()
{
	launch_on "$1" target "exec guestlock run --incoming --name vm --uuid $uuid --disk /disks/a -- sh -c 'echo running; exec sleep 600'"
	eventually 30 guest_is_settled "$1" target
	test "$(state "$1" vm)" = migrating-in
}

# both: the guest is on its way from node 1 to node 2, and has its disk on both.
both()
{
	guest 1 vm --uuid "$uuid" --disk /disks/a
	gl 1 migrate prepare vm
	test "$(state 1 vm)" = migrating-out
	arrives 2
	nobody_else
}

# only_at NODE: the guest runs there, and it is the only one that has the disk.
only_at()
{
	test "$(state "$1" vm)" = running
	test "$(gl "$1" --quiet holders /disks/a --json | jq -r '[.resources[0].holders[] | "\(.host) \(.mode)"] | join(",")')" = "node$1 exclusive"
	nobody_else
}

@test "the target completes first" {
	both
	gl 2 migrate complete vm
	test "$(state 2 vm)" = running
	nobody_else
	gl 1 migrate complete vm
	nobody_else
	guest_end 1 vm
	# What could not be had while the source still had it.
	gl 2 migrate complete vm --in
	only_at 2
	guest_end 2 target
	gl 1 run --name copy --disk /disks/a -- true
}

@test "the source completes first, and the guest goes back" {
	both
	gl 1 migrate complete vm
	nobody_else
	gl 2 migrate complete vm
	guest_end 1 vm
	only_at 2
	gl 2 migrate prepare vm
	arrives 1
	gl 2 migrate complete vm
	gl 1 migrate complete vm
	guest_end 2 target
	only_at 1
	guest_end 1 target
	gl 2 run --name copy --disk /disks/a -- true
}

@test "cancelled: the source has its disk alone again" {
	both
	refused 1 1 migrate cancel vm
	gl 2 migrate cancel vm
	nobody_else
	gl 1 migrate cancel vm
	only_at 1
	job_end 2 target
	guest_end 1 vm
	gl 2 run --name copy --disk /disks/a -- true
}

# paused_both: the same of a guest that is paused.
paused_both()
{
	guest 1 vm --uuid "$uuid" --disk /disks/a
	gl 1 pause vm
	gl 1 migrate prepare vm
	nobody_else
	arrives 2
	refused 1 1 migrate cancel vm
	nobody_else
}

@test "a paused guest, the source completes first" {
	paused_both
	gl 1 migrate complete vm
	nobody_else
	gl 2 migrate complete vm
	only_at 2
	gl 2 pause vm
	gl 2 resume vm
	only_at 2
	guest_end 2 target
}

@test "a paused guest, the target completes first" {
	paused_both
	gl 2 migrate complete vm
	gl 1 migrate complete vm
	gl 2 migrate complete vm --in
	only_at 2
	gl 2 pause vm
	gl 2 resume vm
	only_at 2
	guest_end 2 target
}

@test "a paused guest has its disk from prepare to cancel, and does not move once another has had it" {
	guest 1 vm --uuid "$uuid" --disk /disks/a
	gl 1 pause vm
	gl 1 migrate prepare vm
	nobody_else
	gl 1 migrate cancel vm
	test "$(state 1 vm)" = paused
	gl 1 resume vm
	only_at 1
	gl 1 pause vm
	guest 2 copy --disk /disks/a
	refused 2 1 run --incoming --name vm --uuid "$uuid" --disk /disks/a -- true
	[[ "$output" == *copy* ]]
	refused 1 1 resume vm
	[[ "$output" == *copy* ]]
	refused 1 1 migrate prepare vm
	guest_end 2 copy
	refused 1 65 resume vm
	refused 1 65 migrate prepare vm
}

@test "the keepers of both nodes are killed on the way" {
	both
	for node in 1 2; do
		on_for 30 "$node" 'kill -KILL $(pidof guestlock-keeper)'
	done
	nobody_else
	gl 1 migrate complete vm
	on_for 30 1 'kill -KILL $(pidof guestlock-keeper)'
	nobody_else
	gl 2 migrate complete vm
	only_at 2
	guest_end 1 vm
	guest_end 2 target
	gl 1 run --name copy --disk /disks/a -- true
}

@test "the target's node loses its power: the source cancels and goes on" {
	both
	node_kill 2
	nobody_else 1
	eventually 30 gl 1 migrate cancel vm
	test "$(state 1 vm)" = running
	nobody_else 1
	node_boot 2
	images a
	only_at 1
	guest_end 1 vm
}

@test "the source's node loses its power: the target completes and goes on" {
	both
	node_kill 1
	nobody_else 2
	eventually 30 gl 2 migrate complete vm
	test "$(state 2 vm)" = running
	nobody_else 2
	node_boot 1
	images a
	gl 2 migrate complete vm --in
	only_at 2
	guest_end 2 target
}
