#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# A cluster of two, where either is a majority of its own: what docs/dlm.md says of it.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

setup_file()
{
	cluster_begin 2 memory=192 fencing=yes quorum_lockspace=yes two_node=yes wait_for_all=yes
}

setup()
{
	cluster_settle
	guests_prepare
}

teardown()
{
	cluster_explain
}

teardown_file()
{
	cluster_end
}

# waits NODE DISK WORD: a start there ends in time, for that reason.
waits()
{
	run on_for 60 "$1" "timeout -s KILL 50 guestlock run --timeout 5 --disk $2 -- true; echo status \$?"
	echo "$output"
	[[ $output == *"status 69"* && $output == *"$3"* ]]
}

@test "the network between them is cut: both have quorum, and neither gets a lock before the other is fenced" {
	start_guest 1 one /srv/a.img
	start_guest 2 two /srv/b.img
	network_cut 2
	eventually 40 waits 1 /srv/b.img "(node2)"
	eventually 40 waits 2 /srv/a.img "(node1)"
	# Its own disk is no other matter.
	waits 1 /srv/c.img fence_ack
	for node in 1 2; do
		on "$node" corosync-quorumtool -s | grep -q '^Quorate: *Yes'
	done
	# One of them wins.
	node_kill 2
	on 1 dlm_tool fence_ack 2
	eventually 40 can_start 1 /srv/b.img
	is_running 1 one
	end_guest 1 one
}

@test "one that starts alone waits for the other, until it is told that there is none" {
	node_kill 1
	node_kill 2
	node_start 1
	eventually 90 node_answers 1
	guests_prepare_alone
	eventually 60 waits 1 /srv/a.img corosync
	on 1 corosync-quorumtool -s | grep -q '^Quorate: *No'
	on 1 corosync-cmapctl -s quorum.cancel_wait_for_all u8 1
	eventually 60 can_start 1 /srv/a.img
}

guests_prepare_alone()
{
	local cluster_nodes=1

	guests_prepare
}
