#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Locks that the cluster cannot give for now: a dead node that must be fenced first, a node whose daemons have ended, too
# few nodes. Calls end in time with the reason, and what is held stays held. Fencing has no device: an administrator says
# that it is done.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

# two_nodes SETTING...
two_nodes()
{
	cluster_begin 2 memory=192 "$@"
	cluster_needed
	guests_prepare
	for node in 1 2; do
		on_for 30 "$node" 'sed -i "1alog = /run/keeper.log" /etc/guestlock/guestlock.conf'
	done
}

teardown()
{
	cluster_explain /run/keeper.log
	cluster_end
}

# stopped NODE DISK WORDS...: a start there ends in time, and says why. bash ends by KILL what hangs.
stopped()
{
	local node=$1 disk=$2 word

	shift 2
	run on_for 60 "$node" "timeout -s KILL 50 guestlock run --timeout 5 --disk $disk -- true; echo status \$?"
	[[ $output == *"status 69"* ]]
	for word in "$@"; do
		[[ $output == *"$word"* ]]
	done
}

# says NODE COUNT WORD...: so many lines of its keeper's log have these words; COUNT may be "some".
says()
{
	local node=$1 count=$2 word lines found

	shift 2
	lines=$(on "$node" cat /run/keeper.log)
	for word in "$@"; do
		lines=$(grep -F "$word" <<<"$lines" || :)
	done
	found=$(grep -c . <<<"$lines" || :)
	test "$found" = "$count" || test "$count:$((found > 0))" = some:1
}

@test "a dead node: the others wait until it is fenced, and say so; then its guest's disks are free" {
	two_nodes fencing=yes
	start_guest 2 vm /srv/a.img
	start_guest 1 far /srv/b.img
	node_kill 2
	eventually 40 stopped 1 /srv/a.img fence_ack "(node2)"
	is_running 1 far
	eventually 30 says 1 1 "gets no answers for now" fence_ack "(node2)"
	says 1 0 "gets answers again"
	on 1 dlm_tool fence_ack 2
	eventually 40 can_start 1 /srv/a.img
	test "$(holder 1 /srv/b.img)" = "far exclusive"
	eventually 30 says 1 1 "gets answers again"
	says 1 1 "gets no answers for now" fence_ack
	says 1 0 "lost a lock"
}

@test "dlm_controld is killed: starts end in time with the reason, and the commands live" {
	two_nodes fencing=yes
	start_guest 1 vm /srv/a.img
	start_guest 2 far /srv/b.img
	daemon_kill 1 dlm_controld KILL
	eventually 40 stopped 1 /srv/new.img "stopped for good"
	is_running 1 vm
	eventually 40 stopped 2 /srv/a.img fence_ack "(node1)"
	is_running 2 far
	# The host that stands still has what it had: nothing is lost, and nothing comes back. The other one has its corosync
	# end too, sooner or later, and that is another reason.
	eventually 30 says 1 some "gets no answers for now" "stopped for good"
	eventually 30 says 2 1 "gets no answers for now" "(node1)"
	says 1 0 "gets answers again"
	says 1 0 "lost a lock"
}

@test "quorum is lost: starts end in time with the reason, the guest goes on; with quorum they succeed" {
	two_nodes two_node=no quorum_lockspace=yes
	start_guest 1 vm /srv/a.img
	# A node that is no member of the lockspace is not missed there.
	can_start 2 /srv/b.img
	node_kill 2
	eventually 40 stopped 1 /srv/new.img "waits for quorum" "not with the majority"
	stopped 1 /srv/a.img "waits for quorum"
	run on_for 30 1 'timeout 20 guestlock pause --timeout 5 vm'
	test "$status" = 69
	is_running 1 vm
	node_boot 2
	guests_prepare
	eventually 40 can_start 1 /srv/new.img
	test "$(holder 2 /srv/a.img)" = "vm exclusive"
	run on 2 guestlock run --disk /srv/a.img -- true
	test "$status" = 1
	[[ $output == *"guest vm ("*") on node1"* ]]
	end_guest 1 vm
	eventually 30 can_start 2 /srv/a.img
}
