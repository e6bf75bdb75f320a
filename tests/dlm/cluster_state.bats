#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the backend says about a real cluster when something of it is missing or waits. It must say it soon, and
# without touching the lockspace.
load cluster

setup()
{
	cluster_is_possible || test "$?" = 2
	cluster_needed
}

teardown()
{
	test -n "${BATS_TEST_COMPLETED-}" || test -z "${cluster-}" || cluster_report
	cluster_end
}

# state NODE [unsafe]: $output is what it says there. Whatever it is, it does not take long.
state()
{
	output=$(on "$1" /tests/cluster_state guests "${@:2}")
	echo "$output"
	! awk '/^(probe|status)/ && $3 > 1500 { found = 1 } END { exit !found }' <<<"$output"
}

# says NODE WORDS...: each of them, in this order.
says()
{
	local node=$1 pattern='' word

	shift
	for word in "$@"; do
		pattern+="*$word"
	done
	state "$node" >/dev/null
	# shellcheck disable=SC2053 # a pattern
	[[ $output == $pattern* ]]
}

join_all()
{
	local node

	for node in "$@"; do
		on "$node" dlm_tool join guests >/dev/null
	done
	for node in "$@"; do
		eventually 30 says "$node" "status joined"
	done
}

# Node 1 waits for both others to be fenced, in whichever order it names them, or for quorum.
misses_two()
{
	says 1 "status stopped" || return 1
	[[ $output == *"waits until nodes "*"are fenced"*"dlm_tool fence_ack"* || $output == *"waits for quorum"* ]] || return 1
	[[ $output == *"waits for quorum"* || ( $output == *"2 (node2)"* && $output == *"3 (node3)"* ) ]]
}

# One cluster, which it is told of in each state that it comes to.
@test "all is well; a node dies: it is named until it is fenced; one is cut off; two of three are gone: no quorum" {
	cluster_begin 3 fencing=yes quorum_lockspace=yes
	eventually 30 says 1 "probe granted" "status out" "has not joined it" "self 1 node1"
	[[ $output != *members* ]]
	join_all 1 2 3
	eventually 30 says 2 "probe granted" "status joined" "self 2 node2" "members 1 node1, 2 node2, 3 node3"
	node_kill 3
	eventually 30 says 1 "status stopped" "waits until node 3 (node3) is fenced" "dlm_tool fence_ack"
	eventually 30 says 2 "probe stopped" "waits until node 3 is fenced"
	[[ $output != *"()"* ]]
	on 1 dlm_tool fence_ack 3
	eventually 30 says 1 "probe granted" "status joined" "members 1 node1, 2 node2"
	[[ $output != *node3* ]]
	eventually 30 says 2 "status joined"
	node_boot 3
	on 3 dlm_tool join guests >/dev/null
	eventually 30 says 3 "status joined"
	eventually 30 says 1 "status joined" "members 1 node1, 2 node2, 3 node3"
	network_cut 3
	eventually 30 says 3 "probe stopped" "no quorum" "status stopped"
	eventually 30 says 1 "status stopped" "waits until node 3 (node3) is fenced"
	node_kill 2
	node_kill 3
	eventually 30 says 1 "probe stopped" "no quorum" "status stopped"
	eventually 30 misses_two
	on 1 dlm_tool fence_ack 2
	on 1 dlm_tool fence_ack 3
	eventually 30 says 1 "status stopped" "waits for quorum: this host is not with the majority"
	node_boot 2 2
	eventually 30 says 1 "probe granted" "status joined"
}

@test "dlm_controld is killed while the lockspace is in use" {
	cluster_begin 1 fencing=yes quorum_lockspace=yes
	join_all 1
	daemon_kill 1 dlm_controld KILL
	eventually 30 says 1 "probe stopped" "stopped for good: dlm_controld ended on this host" "status stopped"
}

@test "dlm_controld is killed beside others: they throw the node out and want it fenced" {
	cluster_begin 2 fencing=yes quorum_lockspace=yes
	join_all 1 2
	daemon_kill 1 dlm_controld KILL
	eventually 30 says 1 "probe stopped" "stopped for good" "status stopped" "stopped for good: corosync ended"
	eventually 30 says 2 "status stopped" "until node 1 (node1) is fenced"
	# Starting them again mends nothing.
	daemon_start 1 corosync
	daemon_start 1 dlm_controld
	sleep 5
	state 1
	[[ $output == *"status stopped"*"for good"* && $output != *"probe granted"* ]]
}

# One of the nodes has lost its daemons.
somebody_is_out()
{
	says 3 "stopped for good" || others_are_out
}

others_are_out()
{
	says 1 "stopped for good" || says 2 "stopped for good"
}

# out_and_back: node 3 hung, was thrown out, and is back. On both sides dlm_controld has corosync end the other's: mostly
# the two are faster, and if not, also if only one of them was, it is begun again.
out_and_back()
{
	for _ in 1 2 3; do
		cluster_begin 3 fencing=yes quorum_lockspace=yes
		join_all 1 2 3
		node_freeze 3
		eventually 30 says 1 "status stopped" "waits until node 3 (node3) is fenced"
		node_thaw 3
		eventually 40 somebody_is_out
		sleep 4
		others_are_out || return 0
		cluster_end
	done
	return 1
}

@test "a node that hung, was thrown out and comes back is stopped for good; the others go on" {
	out_and_back
	eventually 40 says 3 "probe stopped" "status stopped" "stopped for good"
	says 1 "status stopped" "waits until node 3" "is fenced"
	node_kill 3
	eventually 30 go_on_without_it
	[[ $output != *node3* ]]
	eventually 30 says 2 "status joined"
}

# Said too early it is for the time before, as the others notice only some seconds later that node 3 is gone once more.
go_on_without_it()
{
	on 1 dlm_tool fence_ack 3
	says 1 "status joined" "members 1 node1, 2 node2"
}

@test "corosync and dlm_controld hang: nobody waits for them for long; corosync is killed" {
	cluster_begin 2 fencing=yes quorum_lockspace=yes
	join_all 1 2
	daemon_kill 1 dlm_controld STOP
	says 1 "probe stopped" "dlm_controld runs but did not answer within 500 ms" "status joined"
	daemon_kill 1 dlm_controld CONT
	daemon_kill 1 corosync STOP
	says 1 "self 1 node 1" "members 1 node 1, 2 node 2"
	daemon_kill 1 corosync KILL
	eventually 30 says 1 "probe stopped" "stopped for good" "status stopped" "stopped for good: corosync ended"
}

@test "what is missing on a host is named, one thing after another" {
	cluster_begin 1
	state 1
	[[ $output == *"probe unsafe"*"fencing is switched off (enable_fencing=0)"*"allow_no_fencing = yes"* ]]
	state 1 unsafe
	[[ $output == *"probe granted"*"status out"* ]]
	daemon_kill 1 dlm_controld TERM
	eventually 30 says 1 "probe stopped" "dlm_controld does not run"
	daemon_kill 1 corosync TERM
	eventually 30 says 1 "probe stopped" "corosync does not run"
	on 1 rm /dev/misc
	says 1 "probe stopped" "there is a /dev/dlm-control but no /dev/misc/dlm-control"
	on 1 umount /sys/kernel/config
	on 1 rmmod dlm
	says 1 "probe stopped" "its module is not loaded" "modprobe dlm"
}
