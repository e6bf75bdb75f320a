#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The life of guests on the nodes of a cluster, with the command.
load cluster
load command

setup_file()
{
	cluster_begin 2
}

setup()
{
	cluster_settle
	images a b c d
}

teardown()
{
	cluster_explain
}

teardown_file()
{
	cluster_end
}

@test "a guest's disk is refused to the other node, which names the guest" {
	guest 1 web --disk /disks/a
	test "$(state 1 web)" = running
	refused 2 1 run --name copy --disk /disks/a -- true
	[[ "$output" == *web* && "$output" == *node1* ]]
	refused 1 1 run --name twin --disk /disks/a -- true
	[[ "$output" == *web* ]]
	test "$(gl 2 --quiet holders /disks/a --json | jq -r '.resources[0].holders[0] | "\(.name) \(.host) \(.mode)"')" = "web node1 exclusive"
	guest 2 other --disk /disks/b
	guest_end 1 web
	guest_end 2 other
	gl 2 run --name copy --disk /disks/a -- true
}

@test "a batch of disks is all or nothing" {
	guest 1 one --disk /disks/b
	refused 2 1 run --name many --disk /disks/a --disk /disks/b --disk /disks/c -- true
	guest 1 two --disk /disks/a --disk /disks/c
	guest_end 1 one
	guest_end 1 two
	gl 2 run --name many --disk /disks/a --disk /disks/b --disk /disks/c -- true
}

@test "shared disks go together on both nodes, and nothing else goes with them" {
	guest 1 left --disk /disks/a,shared
	guest 2 right --disk /disks/a,shared
	refused 1 1 run --name alone --disk /disks/a -- true
	[[ "$output" == *"(shared)"* ]]
	test "$(gl 1 --quiet holders /disks/a --json | jq -r '[.resources[0].holders[] | "\(.name) \(.host) \(.mode)"] | sort | join(", ")')" = "left node1 shared, right node2 shared"
	guest_end 1 left
	refused 1 1 run --name alone --disk /disks/a -- true
	[[ "$output" == *right* ]]
	guest_end 2 right
	gl 1 run --name alone --disk /disks/a -- true
}

@test "a paused guest whose disk nobody used meanwhile resumes" {
	local word

	guest 1 web --disk /disks/a
	word=$(gl 1 pause web)
	test "$(state 1 web)" = paused
	gl 1 resume web --state "$word"
	test "$(state 1 web)" = running
	refused 2 1 run --name copy --disk /disks/a -- true
	guest_end 1 web
}

@test "a paused guest whose disk the other node used is not resumed" {
	local word

	guest 1 web --disk /disks/a
	word=$(gl 1 pause web)
	gl 2 run --name copy --disk /disks/a -- true
	refused 1 65 resume web --state "$word"
	test "$(state 1 web)" = paused
	refused 1 65 resume web
	guest 2 copy --disk /disks/a
	refused 1 1 resume web
	[[ "$output" == *copy* ]]
	guest_end 2 copy
}

@test "a guest that was killed leaves no lock" {
	guest 1 web --disk /disks/a
	job_end 1 web KILL
	refused 2 1 run --name copy --disk /disks/a -- true
	on_for 30 1 'kill -KILL $(pidof sleep)'
	eventually 30 gl 2 run --name copy --disk /disks/a -- true
}

@test "a keeper that is killed loses no lock, and the next one goes on" {
	guest 1 web --disk /disks/a
	on_for 30 1 'kill -KILL $(pidof guestlock-keeper)'
	refused 2 1 run --name copy --disk /disks/a -- true
	refused 1 1 run --name twin --disk /disks/a -- true
	[[ "$output" == *web* ]]
	gl 1 pause web
	gl 1 resume web
	guest_end 1 web
	gl 2 run --name copy --disk /disks/a -- true
}

@test "a guest migrates, and back" {
	local uuid=11111111-2222-4333-8444-555555555555

	guest 1 source --uuid "$uuid" --disk /disks/a
	gl 1 migrate prepare source
	launch_on 2 target "exec guestlock run --incoming --name target --uuid $uuid --disk /disks/a -- sh -c 'echo running; exec sleep 600'"
	eventually 30 guest_is_settled 2 target
	refused 2 1 run --name copy --disk /disks/a -- true
	gl 1 migrate complete source
	gl 2 migrate complete target
	test "$(state 2 target)" = running
	guest_end 1 source
	refused 1 1 run --name copy --disk /disks/a -- true
	[[ "$output" == *target* ]]
	guest_end 2 target
	gl 1 run --name copy --disk /disks/a -- true
}

# members NODE: of the lockspace, as it sees them; nothing if it is none.
members()
{
	on "$1" dlm_tool ls guestlock | sed -n 's/^members *//p' | tr -d '\n'
}

members_are()
{
	test "$(members "$1")" = "$2"
}

# daemon_stop NODE NAME: as when the node shuts down. It is told until it ends: one that is at the end of a lockspace
# stays.
daemon_stop()
{
	on_for 60 "$1" "kill -TERM \$(pidof $2) && while pid=\$(pidof $2); do kill -TERM \$pid; sleep 0.2; done"
}

@test "a node with a guest, running or paused, does not leave; one without does, and comes back" {
	guest 1 web --disk /disks/a
	guest 2 far --disk /disks/b
	refused 1 1 leave
	[[ "$output" == *"a guest of this host has a lock or waits paused"* ]]
	gl 1 pause web
	refused 1 1 leave
	members_are 1 "1 2 "
	gl 1 resume web
	refused 2 1 run --name copy --disk /disks/a -- true
	guest_end 1 web
	gl 1 leave
	members_are 1 ""
	gl 1 leave
	# Its daemons end in an orderly way: nobody waits for it, nobody is disturbed.
	: >"$cluster/1.changed"
	daemon_stop 1 dlm_controld
	daemon_stop 1 corosync
	gl 2 run --name copy --disk /disks/a -- true
	members_are 2 "2 "
	test "$(state 2 far)" = running
	refused 1 69 run --timeout 3 --name early --disk /disks/a -- true
	[[ "$output" == *"corosync does not run on this host"* ]]
	daemon_start 1 corosync
	daemon_start 1 dlm_controld
	cluster_ready 2 1 2
	gl 1 run --name web --disk /disks/a -- true
	members_are 1 "1 2 "
	refused 1 1 run --name copy --disk /disks/b -- true
	[[ "$output" == *far* ]]
	rm "$cluster/1.changed"
	guest_end 2 far
}

@test "one stray dlm_tool leave takes nothing from a guest" {
	guest 1 web --disk /disks/a
	on 1 dlm_tool leave guestlock
	members_are 1 "1 2 "
	refused 2 1 run --name copy --disk /disks/a -- true
	[[ "$output" == *web* ]]
	gl 1 pause web
	gl 1 resume web
	guest_end 1 web
	gl 2 run --name copy --disk /disks/a -- true
}

state_is()
{
	test "$(state "$1" "$2")" = "$3"
}

@test "somebody takes the lockspace away: a guest whose disk is taken meanwhile is lost, any other has its locks again" {
	guest 1 web --disk /disks/a
	guest 1 other --disk /disks/b
	on_for 30 1 'kill -STOP $(pidof guestlock-keeper)'
	# The last one waits until the keeper has closed it.
	launch_on 1 leaving 'while test -e /sys/class/misc/dlm_guestlock; do dlm_tool leave guestlock; done'
	eventually 30 on_for 30 1 '! test -e /sys/class/misc/dlm_guestlock'
	guest 2 copy --disk /disks/a
	on_for 30 1 'kill -CONT $(pidof guestlock-keeper)'
	eventually 30 state_is 1 web lost
	eventually 30 members_are 1 "1 2 "
	eventually 30 state_is 1 other running
	refused 2 1 run --name twin --disk /disks/b -- true
	[[ "$output" == *other* ]]
	refused 1 1 run --name twin --disk /disks/a -- true
	[[ "$output" == *copy* ]]
	test "$(job_status 1 leaving)" = 0
	job_end 1 web
	guest_end 2 copy
	guest_end 1 other
	eventually 30 gl 1 run --name copy --disk /disks/a -- true
}

@test "the guests of a node that lost its power are released, and not before" {
	guest 2 web --disk /disks/a
	guest 1 other --disk /disks/b
	refused 1 1 run --name copy --disk /disks/a -- true
	node_kill 2
	eventually 60 gl 1 run --name copy --disk /disks/a -- true
	test "$(state 1 other)" = running
	node_boot 2
	images a b c d
	refused 2 1 run --name twin --disk /disks/b -- true
	guest_end 1 other
}

@test "what a record of a guest names is no orphan, though nobody knows any more whose lock it is" {
	guest 1 web --disk /disks/a
	on_for 30 1 'rm /run/guestlock/owners/*'
	key=$(on 1 guestlock show web --json | jq -r '.guests[0].resources[] | select(.name == "/disks/a") | .key')
	run gl 1 release --orphan "$key"
	test "$status" = 66
	[[ $output == *"no orphan"* ]]
	refused 2 1 run --name copy --disk /disks/a -- true
	guest_end 1 web
	gl 2 run --name copy --disk /disks/a -- true
}
